"""Sweeps over real pictures and a real catalogue: findings, groups, restarts, fairness."""

import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from index.ledger import BrandNotFound, OriginalNotFound
from service.matching.results import MatchKind, Verdict
from service.sweeps.book import FindingNotFound, SweepBook
from service.sweeps.errors import ManifestInvalid
from service.sweeps.filters import FindingFilter
from service.sweeps.lane import Lane
from service.sweeps.ledger import (
    BRAND_SWEEPS,
    SweepExists,
    SweepFinished,
    SweepNotFound,
    SweepsTooMany,
)
from service.sweeps.partition import Interrupted
from service.sweeps.recall import FORM as REMEMBERED
from service.sweeps.records import SweepSpec, SweepState
from service.sweeps.target import Target
from tests.kit.images import draw, encode
from tests.sweeps.kit import (
    NO_PICTURE,
    SIZE,
    Workshop,
    blank,
    edited,
    ended,
    findings,
    original,
    stolen,
    write_csv,
    write_tar,
)


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three originals of acme, the last of them twice in different sizes; one of bolt."""
    folder = tmp_path_factory.mktemp("registered")
    with Workshop(folder) as made:
        made.register(
            "acme",
            one=original(1),
            two=original(2),
            three=original(3),
            large=encode(draw(3, SIZE).resize((480, 360)), "PNG"),
        )
        made.register("bolt", four=original(4))
    return folder


@pytest.fixture
def shop(registered: Path, tmp_path: Path) -> Iterator[Workshop]:
    """A copy of what is registered, to work in."""
    shutil.copytree(registered / "data", tmp_path / "data")
    with Workshop(tmp_path) as made:
        yield made


COUNT = 400
"""Listings of a sweep that is interrupted: more than are done between two looks at it."""


def spec(sweep: str, manifest: Path | str, **values: object) -> SweepSpec:
    return SweepSpec(sweep, str(manifest), "", **values)  # type: ignore[arg-type]


def manifest(shop: Workshop, pictures: dict[str, tuple[str, bytes]], name: str = "m") -> Path:
    """A manifest of listings of one picture: id -> seller and bytes."""
    rows = []
    for listing_id, (seller, image) in pictures.items():
        (shop.folder / f"{name}-{listing_id}.jpg").write_bytes(image)
        path = f"{name}-{listing_id}.jpg"
        rows.append({"listing_id": listing_id, "seller": seller, "path": path})
    return write_csv(shop.folder / f"{name}.csv", rows)


def test_each_listing_is_answered_once_whatever_is_wrong_with_it(shop: Workshop) -> None:
    rows = [
        {"listing_id": "copy", "seller": "thief", "path": "copy.jpg"},
        {"listing_id": "two", "seller": "thief", "path": "clear.jpg"},
        {"listing_id": "two", "seller": "thief", "path": "copy4.jpg"},
        {"listing_id": "clear", "seller": "honest", "path": "clear.jpg"},
        {"listing_id": "missing", "seller": "honest", "path": "nowhere.jpg"},
        {"listing_id": "broken", "seller": "honest", "path": "broken.jpg"},
        {"listing_id": "half", "seller": "honest", "path": "clear.jpg"},
        {"listing_id": "half", "seller": "honest", "path": "nowhere.jpg"},
        {"listing_id": "copy", "seller": "again", "path": "clear.jpg"},
        {"listing_id": "outside", "seller": "again", "path": "/etc/hostname"},
        {"listing_id": "empty", "seller": "again", "path": "empty.jpg"},
    ]
    (shop.folder / "copy.jpg").write_bytes(edited(1))
    (shop.folder / "copy4.jpg").write_bytes(stolen(4))
    (shop.folder / "clear.jpg").write_bytes(blank())
    (shop.folder / "broken.jpg").write_bytes(NO_PICTURE)
    (shop.folder / "empty.jpg").touch()
    with shop.sweeps() as sweeps:
        sweeps.create(spec("s", write_csv(shop.folder / "m.csv", rows)))
        done = ended(sweeps, "s")
        found = findings(sweeps.book, "s")
        assert done.state is SweepState.SUCCEEDED
        assert done.counts.planned == done.counts.done == len(found) == 9
        assert done.counts.pictures == 5
        assert done.counts.failed == 6
        assert done.counts.by_verdict == {"COPY": 2, "CLEAR": 1, "REVIEW": 3}
        assert done.provenance["schema"] == shop.printer.schema
        logged = {e.details["listing_id"]: e for e in shop.entries}
        assert sorted(logged) == ["broken", "copy", "empty", "half", "two"]
        assert logged["two"].brands == {"bolt"}
        assert logged["two"].details["sweep"] == "s"
        assert logged["broken"].details["images"][0]["error"] == "IMAGE_UNDECODABLE"
        told = [(f.listing_id, f.verdict, [p.reason for p in f.problems]) for f in found]
        assert told == [
            ("copy", Verdict.COPY, []),
            ("two", Verdict.COPY, []),
            ("clear", Verdict.CLEAR, []),
            ("missing", None, ["SOURCE_NOT_FOUND"]),
            ("broken", Verdict.REVIEW, ["IMAGE_UNDECODABLE"]),
            ("half", Verdict.REVIEW, ["SOURCE_NOT_FOUND"]),
            ("copy", None, ["LISTING_REPEATED"]),
            ("outside", None, ["SOURCE_NOT_ALLOWED"]),
            ("empty", Verdict.REVIEW, ["IMAGE_EMPTY"]),
        ]
        assert [m.original for m in found[1].matches] == ["brands/bolt/originals/four"]
        assert found[1].matches[0].picture == "copy4.jpg"
        assert found[5].problems[0].picture == "nowhere.jpg"
        assert sweeps.book.place("s", "broken") == 4
        assert sweeps.book.place("s", "nobody") is None
        assert sweeps.book.finding("s", 0) == found[0]
        with pytest.raises(FindingNotFound):
            sweeps.book.finding("s", 9)


def test_findings_are_filtered_and_grouped(shop: Workshop) -> None:
    listings = {f"x{n}": ("big", stolen(1 + n % 2)) for n in range(5)}
    listings |= {"y": ("small", stolen(4)), "z": ("small", edited(3)), "n": ("", stolen(4))}
    listings |= {f"c{n}": ("honest", blank(n)) for n in range(3)}
    with shop.sweeps() as sweeps:
        sweeps.create(spec("s", manifest(shop, listings)))
        ended(sweeps, "s")
        book = sweeps.book

        def ids(**wanted: object) -> list[str]:
            return [each.listing_id for each in findings(book, "s", **wanted)]

        assert ids(verdicts=frozenset({Verdict.CLEAR})) == ["c0", "c1", "c2"]
        assert ids(brands=frozenset({"brands/bolt"})) == ["y", "n"]
        assert ids(sellers=frozenset({"small"})) == ["y", "z"]
        assert "y" in ids(kinds=frozenset({MatchKind.EXACT}))
        assert ids(failed=True) == []
        three = "brands/acme/originals/three"
        assert ids(families=frozenset({three})) == ["z"]
        (z,) = findings(book, "s", families=frozenset({three}))
        assert {match.family for match in z.matches} == {three}
        assert {match.original for match in z.matches} >= {three, "brands/acme/originals/large"}
        sellers = book.groups("s", "SELLER")
        assert [(g.name, g.listings, g.others) for g in sellers] == [
            ("big", 5, 2),
            ("small", 2, 2),
            ("", 1, 1),
        ]
        assert sellers[0].by_verdict == {"COPY": 5}
        assert sellers[0].largest[0] == ("brands/acme/originals/one", 3)
        families = book.groups("s", "FAMILY")
        assert [(g.name, g.listings, g.others) for g in families] == [
            ("brands/acme/originals/one", 3, 1),
            ("brands/bolt/originals/four", 2, 2),
            ("brands/acme/originals/two", 2, 1),
            (three, 1, 1),
        ]


def test_a_sweep_looks_for_what_it_is_told_to(shop: Workshop) -> None:
    path = manifest(shop, {"a": ("s", stolen(1)), "b": ("s", stolen(2)), "d": ("s", stolen(4))})
    bolt = Target(brands=frozenset({"bolt"}))
    chosen = Target(originals=frozenset({"brands/acme/originals/two"}))
    with shop.sweeps() as sweeps:
        sweeps.create(spec("bolt", path, target=bolt))
        sweeps.create(spec("chosen", path, target=chosen))
        for sweep, expected in (("bolt", ["d"]), ("chosen", ["b"])):
            assert ended(sweeps, sweep).state is SweepState.SUCCEEDED
            copies = findings(sweeps.book, sweep, verdicts=frozenset({Verdict.COPY}))
            assert [each.listing_id for each in copies] == expected
        with pytest.raises(BrandNotFound):
            sweeps.create(spec("x", path, target=Target(brands=frozenset({"nobody"}))))
        with pytest.raises(OriginalNotFound):
            lost = Target(originals=frozenset({"brands/acme/originals/nothing"}))
            sweeps.create(spec("x", path, target=lost))


def test_a_sweep_goes_on_where_it_was(shop: Workshop) -> None:
    image = stolen(1)
    shard = write_tar(shop.folder / "s.tar", {f"{n:03}.jpg": image for n in range(COUNT)})
    done = 0
    with shop.sweeps() as sweeps:
        sweeps.create(spec("s", shard))
        while done < 8:
            done = sweeps.book.get("s").counts.done
            time.sleep(0.001)
    assert done < COUNT
    shard.rename(shop.folder / "moved.tar")  # the plan is written; the manifest is not needed
    (shop.folder / "s.tar").symlink_to(shop.folder / "moved.tar")
    with shop.sweeps() as sweeps:
        assert sweeps.book.get("s").counts.done >= done
        assert ended(sweeps, "s").counts.done == COUNT
        found = findings(sweeps.book, "s")
        assert [each.listing_id for each in found] == [f"{n:03}" for n in range(COUNT)]
        assert sweeps.book.groups("s", "SELLER")[0].listings == COUNT


def test_a_sweep_that_is_cancelled_ends_and_keeps_what_it_has(shop: Workshop) -> None:
    image = stolen(1)
    shard = write_tar(shop.folder / "s.tar", {f"{n:03}.jpg": image for n in range(COUNT)})
    with shop.sweeps() as sweeps:
        sweeps.create(spec("s", shard))
        while not sweeps.book.get("s").counts.done:
            time.sleep(0.001)
        ended_ = sweeps.cancel("s")
        assert ended_.state is SweepState.CANCELLED
        with pytest.raises(SweepFinished):
            sweeps.cancel("s")
        time.sleep(0.3)  # whatever was in work is over
        now = sweeps.book.get("s")
        assert now.state is SweepState.CANCELLED
        assert 0 < now.counts.done < COUNT
        assert len(findings(sweeps.book, "s")) == now.counts.done
    with shop.sweeps() as sweeps:
        time.sleep(0.1)
        assert sweeps.book.get("s") == now
        with pytest.raises(SweepNotFound):
            sweeps.cancel("t")


def test_two_sweeps_share_the_machine(shop: Workshop) -> None:
    image = stolen(1)
    shards = [
        write_tar(shop.folder / f"{name}.tar", {f"{n:03}.jpg": image for n in range(COUNT)})
        for name in "ab"
    ]
    shop.idle.clear()  # nothing begins before both are there
    with shop.sweeps() as sweeps:
        for shard in shards:
            sweeps.create(spec(shard.stem, shard))
        while any(sweeps.book.get(name).state is not SweepState.RUNNING for name in "ab"):
            time.sleep(0.01)
        shop.idle.set()
        while sum(sweeps.book.get(name).counts.done for name in "ab") < COUNT // 2:
            time.sleep(0.001)
        counts = [sweeps.book.get(name).counts.done for name in "ab"]
        assert min(counts) >= 0.5 * max(counts)
        assert sweeps.listings_per_s(sweeps.book.get("a")) > 0
        for name in "ab":
            sweeps.cancel(name)


def test_a_sweep_waits_while_calls_have_pictures_in_work() -> None:
    idle = threading.Event()
    lane, turns = Lane(idle), []
    stop = threading.Event()

    def work() -> None:
        try:
            while True:
                lane.turn(stop.is_set)
                turns.append(time.monotonic())
                time.sleep(0.001)
        except Interrupted:
            pass

    thread = threading.Thread(target=work)
    thread.start()
    time.sleep(0.5)
    assert len(turns) == 0
    idle.set()
    while len(turns) < 10:
        time.sleep(0.001)
    idle.clear()
    time.sleep(0.05)
    before = len(turns)
    while len(turns) == before:  # what passes all the same, so that it ends one day
        time.sleep(0.01)
    stop.set()
    thread.join(5)
    assert not thread.is_alive()
    assert len(turns) <= before + 2


def test_a_manifest_is_refused_before_anything_is_kept(shop: Workshop) -> None:
    (shop.folder / "m.csv").write_text("sku,image\n1,a.jpg\n")
    with shop.sweeps() as sweeps:
        with pytest.raises(ManifestInvalid):
            sweeps.create(spec("s", shop.folder / "m.csv"))
        with pytest.raises(SweepNotFound):
            sweeps.book.get("s")


def test_a_manifest_that_breaks_later_fails_the_sweep_before_anything_is_checked(
    shop: Workshop,
) -> None:
    body = b"listing_id,path\n" + b"a,1.jpg\n" * 20_000 + b"b,\xff\n"
    (shop.folder / "m.csv").write_bytes(body)
    (shop.folder / "none.csv").write_text("listing_id,path\n")
    with shop.sweeps() as sweeps:
        for name, says in (("m", "line"), ("none", "no listing")):
            sweeps.create(spec(name, shop.folder / f"{name}.csv"))
            failed = ended(sweeps, name)
            assert failed.state is SweepState.FAILED
            assert failed.error[0] == "MANIFEST_INVALID"
            assert says in failed.error[1]
            assert findings(sweeps.book, name) == []


def test_a_brand_has_so_many_sweeps_at_a_time_and_no_more(tmp_path: Path) -> None:
    def spec(name: str, brand: str = "acme") -> SweepSpec:
        target = Target(frozenset({brand}))
        return SweepSpec(f"{brand}/{name}", "", REMEMBERED, target=target)

    with closing(SweepBook.open(tmp_path / "book")) as book:
        for number in range(BRAND_SWEEPS):
            book.create(spec(f"s{number}"))
        with pytest.raises(SweepsTooMany, match="'acme' has 10 sweeps"):
            book.create(spec("more"))
        book.create(spec("one", "other"))
        book.create(SweepSpec("ours", "", REMEMBERED))
        book.end("acme/s3", SweepState.CANCELLED)
        book.create(spec("more"))


def test_a_retry_with_its_request_id_is_the_same_sweep(shop: Workshop) -> None:
    path = manifest(shop, {"a": ("s", blank())})
    with shop.sweeps() as sweeps:
        first = sweeps.create(spec("s", path, request_id="r"))
        assert sweeps.create(spec("s2", path, request_id="r")).number == first.number
        with pytest.raises(SweepExists):
            sweeps.create(spec("s", path))
        ended(sweeps, "s")
        assert [each.spec.sweep for each in sweeps.book.page(10)] == ["s"]


def test_a_filter_that_fits_nothing_reads_a_bounded_number_of_findings(shop: Workshop) -> None:
    assert FindingFilter(verdicts=frozenset({Verdict.COPY})).only_flagged
    assert not FindingFilter(verdicts=frozenset({Verdict.COPY, Verdict.CLEAR})).only_flagged
    assert not FindingFilter(sellers=frozenset({"x"})).only_flagged
