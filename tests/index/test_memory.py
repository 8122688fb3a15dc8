"""The memory of listings: a ring that is searched exactly, forgets wholly, and survives kills."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from index import codes, ring
from index.memory import Memory, MemoryConfig, MemoryMismatch
from index.nearest import Hit
from index.records import RecordCorrupt
from index.seen import (
    Entry,
    RowId,
    SeenListing,
    SeenPicture,
    decode_block,
    decode_entry,
    encode_block,
    encode_entry,
)
from index.spaces import Space, UnknownSpace, scores
from tests.index.kit import PDQ, SCHEMA, SPACES, SSCD, rows, ticking

CONFIG = MemoryConfig(max_listings=1000, block_rows=8)


def picture(number: int, views: int = 2) -> SeenPicture:
    """A picture whose every part follows from its number; its last view has no PDQ hash."""
    rng = np.random.default_rng(number)
    vectors = {space.name: rows(space, views, seed=number) for space in SPACES}
    kept = {name: dict(enumerate(each)) for name, each in vectors.items()}
    del kept["pdq"][views - 1]
    return SeenPicture(rng.bytes(32), rng.bytes(32), kept, f"print {number}".encode())


def listing(number: int, pictures: int = 1, seller: str = "shop") -> SeenListing:
    """A listing of such pictures."""
    return SeenListing(
        f"offer/{number}",
        seller,
        tuple(picture(100 * number + i, 1 + (number + i) % 3) for i in range(pictures)),
    )


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with Memory.open(tmp_path, SPACES, SCHEMA, CONFIG, ticking()) as opened:
        yield opened


def reference(
    space: Space, held: Sequence[tuple[int, SeenListing]], queries: NDArray[Any], k: int
) -> list[list[Hit]]:
    """Compare with everything, one query at a time, over the rows as they are kept."""
    ids, kept = [], []
    for number, seen in held:
        for place, each in enumerate(seen.pictures):
            for view, row in each.rows[space.name].items():
                ids.append(RowId(number, place, view))
                kept.append(codes.decode(space, codes.encode(space, row[None]))[0])
    found = []
    for query in space.checked(queries):
        exact = scores(space, query, np.stack(kept)) if kept else np.empty(0)
        order = sorted(range(len(ids)), key=lambda j: (-exact[j], ids[j]))
        found.append([Hit(ids[j], float(exact[j])) for j in order[:k]])
    return found


def numbers(memory: Memory, held: Sequence[SeenListing]) -> list[tuple[int, SeenListing]]:
    """Listings with the numbers that they got."""
    return [(entry.number, seen) for seen in held if (entry := memory.get(seen.listing_id))]


@pytest.mark.parametrize("space", SPACES, ids=lambda space: space.name)
@pytest.mark.parametrize("count", [0, 1, 5, 60])
def test_search_agrees_with_comparing_everything(memory: Memory, space: Space, count: int) -> None:
    held = [listing(i, 1 + i % 3) for i in range(count)]
    memory.remember(held)
    queries = np.concatenate([rows(space, 12, seed=9), rows(space, 1, seed=300)])
    for k in (1, 3, 500):
        assert memory.search(space.name, queries, k) == reference(
            space, numbers(memory, held), queries, k
        )


def test_rows_that_are_equal_are_all_found_in_the_order_of_their_numbers(memory: Memory) -> None:
    same = picture(7, 1).rows
    held = [
        SeenListing(f"twin-{i}", "", (SeenPicture(bytes(32), bytes(32), same, b""),))
        for i in range(40)
    ]
    memory.remember(held)
    query = next(iter(same["sscd"].values()))[None]
    found = memory.search("sscd", query, 5)[0]
    assert [hit.row.number for hit in found] == [1, 2, 3, 4, 5]
    assert len(memory.search("sscd", query, 100)[0]) == 40


def test_hits_below_the_least_score_are_left_out(memory: Memory) -> None:
    memory.remember([listing(i) for i in range(30)])
    query = rows(SSCD, 1, seed=1)
    every = memory.search("sscd", query, 1000)[0]
    least = every[10].score
    assert memory.search("sscd", query, 1000, least=least)[0] == [
        hit for hit in every if hit.score >= least
    ]


def test_codes_move_a_cosine_by_little_and_bits_not_at_all() -> None:
    wide = Space("sscd", "float", 512)
    held, queries = rows(wide, 200, seed=1), rows(wide, 20, seed=2)
    kept = codes.decode(wide, codes.encode(wide, held))
    moved = np.abs(queries @ held.T - queries @ kept.T)
    assert moved.max() < 2e-3 and moved.mean() < 4e-4
    rough = codes.compared(wide, codes.prepared(wide, queries), codes.encode(wide, held))
    exact = np.array([scores(wide, query, kept) for query in queries])
    assert np.abs(rough - exact).max() < 1e-5
    bits = rows(PDQ, 50, seed=3)
    rough = codes.compared(PDQ, codes.prepared(PDQ, bits[:5]), codes.encode(PDQ, bits))
    exact = np.array([scores(PDQ, query, bits) for query in bits[:5]])
    assert np.abs(rough - exact).max() < 1e-6


def test_a_row_with_one_large_number_among_zeros_is_kept(memory: Memory) -> None:
    row = np.zeros(16, np.float32)
    row[3] = -1
    memory.remember(
        [SeenListing("axis", "", (SeenPicture(bytes(32), bytes(32), {"sscd": {0: row}}, b""),))]
    )
    assert memory.search("sscd", row[None], 1)[0][0].score == 1


def test_what_is_kept_of_a_listing_comes_back(memory: Memory) -> None:
    memory.remember([listing(1), listing(2, 3, "other shop")])
    entry = memory.get("offer/2")
    assert entry is not None
    assert memory.entry(entry.number) == entry
    assert (entry.listing_id, entry.seller) == ("offer/2", "other shop")
    assert [memory.print(entry.number, i) for i in range(4)] == [
        b"print 200",
        b"print 201",
        b"print 202",
        None,
    ]
    assert memory.get("offer/3") is None


def test_a_forgotten_listing_is_neither_found_nor_kept_anywhere(memory: Memory) -> None:
    held = [listing(i, 2) for i in range(40)]
    memory.remember(held)
    gone = [held[i] for i in (0, 7, 20, 39)]  # first, in blocks, and still fresh
    for seen in gone:
        assert memory.forget(seen.listing_id)
        assert not memory.forget(seen.listing_id)
    left = [seen for seen in held if seen not in gone]
    for space in SPACES:
        queries = rows(space, 5, seed=4)
        expected = reference(space, numbers(memory, left), queries, 10_000)
        assert memory.search(space.name, queries, 10_000) == expected
        assert memory.stats().rows[space.name] == len(expected[0])
    with memory._store.read() as txn:
        every = b"".join(
            key + value
            for table in ("listings", "entries", "prints", "fresh", "blocks")
            for key, value in txn.scan(table, limit=100_000)
        )
    for seen in gone:
        assert seen.listing_id.encode() + b'"' not in every
        for each in seen.pictures:
            assert each.print + b"\0" not in every and each.sha256.hex().encode() not in every
            for space in SPACES:
                for row in each.rows[space.name].values():
                    assert codes.encode(space, row[None]).tobytes() not in every
    kept = held[1].pictures[0].rows["sscd"][0]
    assert codes.encode(SSCD, kept[None]).tobytes() in every, "this is how one is found"


def test_the_same_pictures_again_write_nothing_and_others_take_their_place(memory: Memory) -> None:
    assert memory.remember([listing(1), listing(2)]) == 2
    before = memory.get("offer/1")
    assert memory.remember([listing(1)]) == 0
    assert memory.get("offer/1") == before
    changed = SeenListing("offer/1", "shop", (picture(77),))
    assert memory.remember([changed]) == 1
    found = memory.search("sscd", rows(SSCD, 1, seed=5), 100)[0]
    expected = reference(SSCD, numbers(memory, [changed, listing(2)]), rows(SSCD, 1, seed=5), 100)[
        0
    ]
    assert found == expected
    assert memory.stats().listings == 2


def test_of_one_id_twice_in_a_commit_the_last_stays(memory: Memory) -> None:
    last = SeenListing("offer/1", "shop", (picture(5),))
    assert memory.remember([listing(1), last]) == 2
    entry = memory.get("offer/1")
    assert entry is not None and entry.digests[0][0] == last.pictures[0].sha256
    assert memory.stats().listings == 1


def test_the_oldest_go_when_there_are_too_many(tmp_path: Path) -> None:
    config = MemoryConfig(max_listings=30, block_rows=8)
    with Memory.open(tmp_path, SPACES, SCHEMA, config, ticking()) as memory:
        held = [listing(i, 2) for i in range(400)]
        for start in range(0, 400, 80):
            memory.remember(held[start : start + 80])
            assert memory.stats().listings == 30
        expected = reference(SSCD, numbers(memory, held[-30:]), rows(SSCD, 1), 1000)
        assert memory.search("sscd", rows(SSCD, 1), 1000) == expected
        assert memory.get("offer/369") is None and memory.get("offer/370") is not None


def test_listings_go_when_they_are_too_old(tmp_path: Path) -> None:
    now = [0]
    config = MemoryConfig(max_age_s=100, block_rows=8)
    with Memory.open(tmp_path, SPACES, SCHEMA, config, lambda: now[0]) as memory:
        for second in range(0, 300, 10):
            now[0] = second * 10**9
            memory.remember([listing(second)])
        assert memory.stats().listings == 11
        assert memory.stats().oldest_ns == 190 * 10**9
        now[0] = 350 * 10**9
        assert memory.trim() == 6
        now[0] = 10**12
        assert memory.trim() == 5
        assert memory.search("pdq", rows(PDQ, 1), 10) == [[]]
        assert memory.stats().rows == {"sscd": 0, "pdq": 0}


def test_a_clock_that_is_set_back_leaves_the_number_bounded(tmp_path: Path) -> None:
    now = [10**18]
    config = MemoryConfig(max_listings=10, max_age_s=100, block_rows=8)
    with Memory.open(tmp_path, SPACES, SCHEMA, config, lambda: now[0]) as memory:
        memory.remember([listing(i) for i in range(8)])
        now[0] = 10**17
        memory.remember([listing(i) for i in range(100, 120)])
        assert memory.stats().listings == 10
        now[0] += 200 * 10**9
        assert memory.trim() == 10


def test_a_memory_that_is_opened_again_is_the_same(tmp_path: Path) -> None:
    held = [listing(i) for i in range(30)]
    with Memory.open(tmp_path, SPACES, SCHEMA, CONFIG) as memory:
        memory.remember(held)
        found = memory.search("sscd", rows(SSCD, 3), 50)
    with Memory.open(tmp_path, SPACES, SCHEMA, CONFIG) as memory:
        assert memory.search("sscd", rows(SSCD, 3), 50) == found
        memory.remember([listing(99)])
        entry = memory.get("offer/99")
        assert entry is not None and entry.number == 31


def test_another_schema_is_refused_unless_nothing_is_remembered(tmp_path: Path) -> None:
    Memory.open(tmp_path, SPACES, "schema-0").close()
    with Memory.open(tmp_path, SPACES, SCHEMA) as memory:
        memory.remember([listing(1)])
    with pytest.raises(MemoryMismatch, match="1 listings.*Move the folder") as caught:
        Memory.open(tmp_path, SPACES, "schema-2")
    assert caught.value.listings == 1
    with pytest.raises(MemoryMismatch):
        Memory.open(tmp_path, SPACES[:1], SCHEMA)


def test_rows_that_do_not_fit_leave_nothing_behind(memory: Memory) -> None:
    odd = SeenPicture(bytes(32), bytes(32), {"clip": {0: rows(SSCD, 1)[0]}}, b"")
    with pytest.raises(UnknownSpace):
        memory.remember([listing(1), SeenListing("offer/2", "", (odd,))])
    assert memory.stats().listings == 0
    with pytest.raises(UnknownSpace):
        memory.search("clip", rows(SSCD, 1), 1)
    with pytest.raises(ValueError, match="one byte"):
        SeenListing("offer/3", "", (SeenPicture(b"", b"", {"sscd": {256: rows(SSCD, 1)[0]}}, b""),))


def test_a_search_can_be_stopped_between_blocks(memory: Memory) -> None:
    memory.remember([listing(i) for i in range(50)])

    def stop() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        memory.search("sscd", rows(SSCD, 1), 1, turn=stop)
    memory.remember([listing(99)])  # no read is left open


def test_stored_bytes_come_back_and_damage_is_found() -> None:
    entry = Entry(3, "ÄÖ/", "seller", 5, ((b"a" * 32, b"b" * 32),), (2,))
    assert decode_entry(encode_entry(entry)) == entry
    keys, kept = np.arange(5), codes.encode(SSCD, rows(SSCD, 5))
    found = decode_block(SSCD, encode_block(keys, kept))
    assert (found[0] == keys).all() and (found[1] == kept).all()
    for data in (encode_entry(entry), encode_block(keys, kept)):
        for place in (0, len(data) // 2, len(data) - 1):
            broken = bytearray(data)
            broken[place] ^= 1
            with pytest.raises(RecordCorrupt):
                decode_block(SSCD, bytes(broken))
        with pytest.raises(RecordCorrupt):
            decode_entry(data[:2])
    with pytest.raises(RecordCorrupt, match="whole number"):
        decode_block(Space("odd", "binary", 72), encode_block(keys, kept))


def test_many_are_remembered_in_one_commit(tmp_path: Path) -> None:
    with Memory.open(tmp_path, SPACES, SCHEMA, CONFIG) as memory:
        memory.remember([listing(i, 2) for i in range(300)])
        assert memory.stats().listings == 300


def test_a_full_memory_forgets_the_oldest_and_can_always_forget_more(tmp_path: Path) -> None:
    config = MemoryConfig(max_bytes=4 << 20, block_rows=8)
    with Memory.open(tmp_path, SPACES, SCHEMA, config) as memory:
        for start in range(0, 1200, 50):
            memory.remember([listing(i, 2) for i in range(start, start + 50)])
        kept = memory.stats()
        assert 100 < kept.listings < 1200
        assert kept.disk_bytes <= 4 << 20
        assert memory.get("offer/1199") is not None
        for i in range(1200):
            memory.forget(f"offer/{i}")
        assert memory.stats().listings == 0
        with memory._store.read() as txn:
            assert ring.byte_count(txn) == 0


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("remember"), st.integers(0, 30), st.integers(1, 3)),
        st.tuples(st.just("forget"), st.integers(0, 30), st.just(0)),
        st.tuples(st.just("wait"), st.integers(1, 40), st.just(0)),
    ),
    min_size=5,
    max_size=60,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS)
def test_it_is_at_any_time_what_a_plain_list_would_be(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, int]]
) -> None:
    now, held = [10**9], dict[str, tuple[int, SeenListing]]()
    config = MemoryConfig(max_listings=12, max_age_s=100, block_rows=4)
    path = tmp_path_factory.mktemp("memory")
    with Memory.open(path, SPACES, SCHEMA, config, lambda: now[0]) as memory:
        for what, number, pictures in steps:
            name = f"offer/{number}"
            if what == "remember":
                seen = listing(number, pictures)
                if name not in held or len(held[name][1].pictures) != pictures:
                    held.pop(name, None)
                    held[name] = (now[0], seen)
                memory.remember([seen])
            elif what == "forget":
                assert memory.forget(name) == (held.pop(name, None) is not None)
            else:
                now[0] += number * 10**9
                memory.trim()
            held = {n: each for n, each in held.items() if now[0] - each[0] <= 100 * 10**9}
            held = dict(list(held.items())[-12:])
        plain = numbers(memory, [seen for _, seen in held.values()])
        assert len(plain) == len(held) == memory.stats().listings
        for space in SPACES:
            queries = rows(space, 2, seed=8)
            found = memory.search(space.name, queries, 1000)
            assert found == reference(space, plain, queries, 1000)
            assert memory.stats().rows[space.name] == len(found[0])


CHILD = """
import sys
from pathlib import Path
from tests.index.test_memory import remembering
remembering(Path(sys.argv[1]), int(sys.argv[2]))
"""
RING = MemoryConfig(max_listings=200, block_rows=16)


def remembering(path: Path, first: int) -> None:
    """Remember and forget without end; say what was acknowledged, after the fact."""
    memory, number = Memory.open(path, SPACES, SCHEMA, RING), first
    while True:
        held = [listing(number + i) for i in range(8)]
        memory.remember(held)
        os.write(1, "".join(f"+{seen.listing_id}\n" for seen in held).encode())
        memory.forget(held[3].listing_id)
        os.write(1, f"-{held[3].listing_id}\n".encode())
        number += 8


@pytest.mark.slow
def test_kills_lose_nothing_acknowledged_and_leave_no_row_without_its_listing(
    tmp_path: Path,
) -> None:
    rng = np.random.default_rng(0)
    order: list[str] = []
    gone: set[str] = set()
    for round_ in range(4):
        first = 10_000 * round_
        with subprocess.Popen(
            [sys.executable, "-c", CHILD, str(tmp_path), str(first)],
            stdout=subprocess.PIPE,
            text=True,
        ) as child:
            assert child.stdout is not None
            lines, said = int(rng.integers(20, 120)), list[str]()
            for line in child.stdout:
                said.append(line.strip())
                if len(said) >= lines:
                    child.send_signal(signal.SIGKILL)
                    said += child.stdout.read().split()
                    break
        assert child.returncode == -signal.SIGKILL
        order += [line[1:] for line in said if line[0] == "+"]
        gone |= {line[1:] for line in said if line[0] == "-"}
        forgetting = first + 8 * sum(line[0] == "-" for line in said) + 3
        with Memory.open(tmp_path, SPACES, SCHEMA, RING) as memory:
            stats = memory.stats()
            memory.trim()  # the child was killed between remembering and forgetting the oldest
            assert 0 <= stats.listings - memory.stats().listings <= 8
            # What was in flight may be there; it takes the places of at most 8 old ones.
            expected = [name for name in order if name not in gone][-(200 - 8) :]
            lost = {name for name in expected if memory.get(name) is None}
            assert lost <= {f"offer/{forgetting}"}
            assert not [name for name in gone if memory.get(name)]
            every = {hit.row.number for hit in memory.search("sscd", rows(SSCD, 1), 10_000)[0]}
            assert len(every) == memory.stats().listings
            wanted: dict[str, list[tuple[RowId, NDArray[Any]]]] = {
                name: [] for name in memory.spaces
            }
            for number in every:
                entry = memory.entry(number)
                assert entry is not None
                each = listing(int(entry.listing_id.removeprefix("offer/"))).pictures[0]
                assert memory.print(number, 0) == each.print
                for name, rows_of_space in wanted.items():
                    rows_of_space += [(RowId(number, 0, v), r) for v, r in each.rows[name].items()]
            for name, pairs in wanted.items():
                found = memory.search(name, np.stack([row for _, row in pairs]), 1)
                assert [best.row for (best,) in found] == [row_id for row_id, _ in pairs]


def test_a_search_during_writes_sees_whole_listings(memory: Memory) -> None:
    memory.remember([listing(i) for i in range(40)])
    added = iter(range(100, 200))

    def write() -> None:
        memory.remember([listing(next(added))])
        memory.forget(f"offer/{next(added) - 90}")

    turn: Callable[[], None] = write
    found = memory.search("sscd", rows(SSCD, 1), 1000, turn=turn)[0]
    assert len({hit.row for hit in found}) == len(found) >= 30
