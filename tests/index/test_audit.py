"""The audit log: complete, in order, and nothing in it can be changed unnoticed."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index import audit
from index.acting import Actor, acting
from index.audit import Retention
from index.audit_log import AuditEntryNotFound
from index.catalogue import Catalogue, CatalogueConfig
from index.chain import GENESIS, Anchor, AuditBroken, Link, link_hash, verify
from index.ids import number
from index.ledger import BrandExists, EtagMismatch, OriginalExists
from index.reader import open_view
from index.tables import Transaction
from tests.index.kit import SCHEMA, SPACES, original, ticking

CONFIG = CatalogueConfig(background=False, snapshot_changes=0)
DAY_NS = 86_400 * 10**9


def opened(path: Path, clock: Callable[[], int] | None = None, **retention: float) -> Catalogue:
    kept = Retention(**({"max_bytes": 1 << 30} | retention))  # type: ignore[arg-type]
    config = CatalogueConfig(background=False, snapshot_changes=0, retention=kept)
    return Catalogue.open(path, SPACES, SCHEMA, config, clock or ticking())


@pytest.fixture
def catalogue(tmp_path: Path) -> Iterator[Catalogue]:
    with opened(tmp_path / "store") as made:
        yield made


def filled(catalogue: Catalogue, count: int = 6) -> list[Link]:
    catalogue.create_brand("acme")
    for i in range(count - 1):
        catalogue.register(original(i))
    return list(catalogue.audit.links())


def whole(catalogue: Catalogue, *anchors: Anchor) -> int:
    """Verify all of it; the last sequence."""
    log = catalogue.audit
    return verify(log.links(), anchors=anchors, head=log.ends.head, whole=True).last


def test_every_write_is_in_the_log_with_who_made_it_and_by_which_call(catalogue: Catalogue) -> None:
    catalogue.create_brand("acme", "Acme")
    token = acting.set(Actor("key-7", "call-1", "OriginalsService/CreateOriginal"))
    try:
        record = catalogue.register(original(1))
        catalogue.register_many([original(2, by=Actor("key-8", "call-2", "X/Y"))])
    finally:
        acting.reset(token)
    catalogue.update("acme", "photo-00001", display_name="New")
    catalogue.withdraw("acme", "photo-00001")
    entries = [link.entry for link in catalogue.audit.links()]
    assert [(e["action"], e["principal"], e["request_id"], e["method"]) for e in entries] == [
        ("brand.create", "local", "", ""),
        ("original.create", "key-7", "call-1", "OriginalsService/CreateOriginal"),
        ("original.create", "key-8", "call-2", "X/Y"),
        ("original.update", "local", "", ""),
        ("original.delete", "local", "", ""),
    ]
    assert [e["sequence"] for e in entries] == [1, 2, 3, 4, 5]
    details = entries[1]["details"]
    assert details["name"] == "brands/acme/originals/photo-00001"
    assert details["sha256"] == record.sha256.hex()
    assert "annotations" not in str(entries) and "spring" not in str(entries)
    assert [x.sequence for x in catalogue.audit.page(request_id="call-1")] == [2]
    assert [x.sequence for x in catalogue.audit.page(brand="acme", after=3)] == [4, 5]
    assert [x.sequence for x in catalogue.audit.page(2, 2)] == [3, 4]
    assert catalogue.audit.page(brand="other") == []
    assert whole(catalogue) == 5


def test_what_was_refused_or_a_retry_leaves_no_entry(catalogue: Catalogue) -> None:
    filled(catalogue, 2)
    with pytest.raises(BrandExists):
        catalogue.create_brand("acme")
    with pytest.raises(OriginalExists):
        catalogue.register(original(0))
    with pytest.raises(EtagMismatch):
        catalogue.withdraw("acme", "photo-00000", etag="no")
    catalogue.register(original(7, request_id="r"))
    catalogue.register(original(7, request_id="r"))
    assert whole(catalogue) == 3


def test_an_entry_and_its_write_are_one(catalogue: Catalogue) -> None:
    """A write that fails after its entry takes the entry with it."""
    filled(catalogue, 2)

    def half(txn: Transaction) -> None:
        audit.append(txn, "half.done", {}, 1)
        raise InterruptedError

    with pytest.raises(InterruptedError):
        catalogue._store.write(half)
    assert whole(catalogue) == 2


def raw(catalogue: Catalogue, sequence: int, value: bytes | None) -> None:
    """Change the stored bytes of an entry, as somebody at the file would."""

    def run(txn: Transaction) -> None:
        if value is None:
            txn.remove("audit", number(sequence))
        else:
            txn.put("audit", number(sequence), value)

    catalogue._store.write(run)


@pytest.mark.parametrize("sequence", [1, 3, 6])
@pytest.mark.parametrize("where", [0, 31, 40, -2])
def test_a_changed_byte_anywhere_names_its_link(
    catalogue: Catalogue, sequence: int, where: int
) -> None:
    link = filled(catalogue)[sequence - 1]
    stored = bytearray(link.hash + link.body)
    stored[where] ^= 1
    raw(catalogue, sequence, bytes(stored))
    with pytest.raises(AuditBroken) as broken:
        whole(catalogue)
    assert broken.value.sequence == sequence


def test_an_entry_that_is_removed_moved_or_rewritten_is_named(catalogue: Catalogue) -> None:
    links = filled(catalogue)
    raw(catalogue, 4, None)
    with pytest.raises(AuditBroken, match="entry 4: it is missing"):
        whole(catalogue)
    raw(catalogue, 4, links[4].hash + links[4].body)
    with pytest.raises(AuditBroken, match="entry 4: "):
        whole(catalogue)
    # Rewritten with a hash of its own that is right: the next one does not follow any more.
    body = links[3].body.replace(b"local", b"other")
    raw(catalogue, 4, link_hash(links[3].previous, body) + body)
    with pytest.raises(AuditBroken, match="entry 5: "):
        whole(catalogue)
    raw(catalogue, 4, links[3].hash + links[3].body)
    raw(catalogue, 1, None)
    with pytest.raises(AuditBroken, match="entry 2: "):  # it follows nothing that is there
        whole(catalogue)


def cut_tail(catalogue: Catalogue, keep: int) -> None:
    """What somebody does who knows the format: cut, and set the stored end right."""
    last = catalogue.audit.get(keep)[0]

    def run(txn: Transaction) -> None:
        for link in audit.page(txn, keep, 1000):
            txn.remove("audit", number(link.sequence))
        before = audit.ends(txn)
        audit._keep(txn, audit.replace(before, last=keep, hash=last.hash))

    catalogue._store.write(run)


def test_a_tail_that_was_cut_off_is_noticed_by_the_stored_end_or_by_an_anchor(
    catalogue: Catalogue,
) -> None:
    anchor = filled(catalogue)[5].anchor
    assert whole(catalogue, anchor) == 6
    raw(catalogue, 6, None)
    with pytest.raises(AuditBroken, match="entry 6: it is missing"):
        whole(catalogue)
    cut_tail(catalogue, 4)
    assert whole(catalogue) == 4, "nothing inside of the log can show this"
    with pytest.raises(AuditBroken, match="entry 5: it is missing: the log once had 6 entries"):
        whole(catalogue, Anchor.parse(str(anchor)))
    catalogue.create_brand("later")
    catalogue.create_brand("even-later")
    with pytest.raises(AuditBroken, match="entry 6: the anchor has another hash"):
        whole(catalogue, anchor)


def test_a_beginning_that_was_cut_off_is_noticed(catalogue: Catalogue) -> None:
    links = filled(catalogue)

    def run(txn: Transaction) -> None:
        for sequence in (1, 2):
            txn.remove("audit", number(sequence))
        before = audit.ends(txn)
        audit._keep(txn, audit.replace(before, dropped=2, dropped_hash=links[1].hash))

    catalogue._store.write(run)
    with pytest.raises(AuditBroken, match="entry 1: it is missing: the log begins at 3"):
        whole(catalogue)


def test_age_drops_entries_and_the_rest_still_holds(tmp_path: Path) -> None:
    now = [10**18]
    with opened(tmp_path, lambda: now[0], days=30) as catalogue:
        anchor = filled(catalogue)[5].anchor
        now[0] += 20 * DAY_NS
        catalogue.create_brand("young")
        now[0] += 20 * DAY_NS
        catalogue.audit.hold_retention()
        entries = [link.entry for link in catalogue.audit.links()]
        assert [e["action"] for e in entries] == ["brand.create", "audit.prune"]
        assert entries[1]["details"] == {"through": 6, "prints": 0}
        assert (entries[0]["oldest"], entries[1]["oldest"]) == (1, 7)
        assert whole(catalogue, anchor) == 8
        assert catalogue.audit.page(brand="acme") == []
        with pytest.raises(AuditEntryNotFound):
            catalogue.audit.get(6)
    with opened(tmp_path, lambda: now[0] + 100 * DAY_NS, days=30) as catalogue:
        assert [x.entry["action"] for x in catalogue.audit.links()] == ["brand.create"][:0] + [
            "audit.prune"
        ] * len(list(catalogue.audit.links()))
        assert whole(catalogue) == catalogue.audit.ends.last


def test_fingerprints_go_first_for_age_and_for_room(tmp_path: Path) -> None:
    now = [10**18]
    with opened(tmp_path, lambda: now[0], print_days=7) as catalogue:
        prints = {0: b"a" * 100, 3: b"b" * 100}
        first = catalogue.audit.record("listing.judge", {"x": 1}, prints=prints).result()
        link, kept = catalogue.audit.get(first)
        assert kept == prints and set(link.entry["prints"]) == {"0", "3"}
        now[0] += 8 * DAY_NS
        second = catalogue.audit.record("listing.judge", {}, prints={0: b"c"}).result()
        catalogue.audit.hold_retention()
        assert catalogue.audit.get(first)[1] == {}
        assert catalogue.audit.get(second)[1] == {0: b"c"}
        assert catalogue.audit.ends.print_bytes == 1
        assert whole(catalogue) == 3
    with opened(tmp_path, lambda: now[0], max_bytes=1) as catalogue:
        assert catalogue.audit.ends.print_bytes == 0
        assert catalogue.audit.ends.last - catalogue.audit.ends.dropped <= 2
        assert whole(catalogue) > 3


def test_retention_is_held_while_the_store_is_in_use(tmp_path: Path) -> None:
    with opened(tmp_path, max_bytes=20_000) as catalogue:
        catalogue.create_brand("acme")
        for i in range(600):
            catalogue.audit.record("listing.judge", {"number": i}).result()
        catalogue._store.write(lambda txn: None)  # behind the last that was queued
        assert catalogue.audit.ends.entry_bytes < 20_000 + 300 * 400
        assert catalogue.audit.ends.dropped > 100
        assert whole(catalogue) > 600


def test_a_clock_that_jumps_back_keeps_the_order_and_drops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    now = [10**18]
    with opened(tmp_path, lambda: now[0], days=30) as catalogue:
        filled(catalogue, 3)
        now[0] -= 400 * DAY_NS
        catalogue.register(original(50))
        catalogue.snapshot()
        catalogue.withdraw("acme", "photo-00050")
        found = verify(catalogue.audit.links(), whole=True)
        assert (found.last, found.clock_jumps) == (5, (4,))
        assert [c.sequence for c in catalogue.changes()] == [1, 2, 3, 4]
    now[0] -= 10 * DAY_NS
    with opened(tmp_path, lambda: now[0], days=1) as catalogue:
        assert "did it jump?" in caplog.text
        assert whole(catalogue) == 5
        assert [r.original for r in catalogue.list("acme")] == ["photo-00000", "photo-00001"]
        rows = original(1).vectors["sscd"][None]
        assert catalogue.search("sscd", rows, 1)[0][0].key == 2


READER = """
import sys
from pathlib import Path
from index.audit_log import AuditLog
from index.chain import verify
from index.reader import open_view
with open_view(Path(sys.argv[1])) as view:
    seen = []
    while len(set(seen)) < 5:
        log = AuditLog(view)
        head = log.ends.head
        links = (link for link in log.links() if link.sequence <= head.sequence)
        seen.append(verify(links, head=head).last)
    print(*seen)
"""


def test_another_process_verifies_while_this_one_writes(tmp_path: Path) -> None:
    with opened(tmp_path) as catalogue:
        catalogue.create_brand("acme")
        command = [sys.executable, "-c", READER, str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as reader:
            count = 0
            while reader.poll() is None:
                catalogue.audit.record("listing.judge", {"x": "y" * 2000}).result()
                count += 1
            assert reader.stdout is not None
            seen = [int(word) for word in reader.stdout.read().split()]
        assert reader.returncode == 0
        assert len(seen) >= 5 and seen == sorted(seen)
        assert whole(catalogue) == count + 1


def test_the_view_of_a_store_of_an_older_release_has_an_empty_log(tmp_path: Path) -> None:
    import shutil

    shutil.copytree(Path(__file__).parent / "data/store-v1", tmp_path / "old")
    with open_view(tmp_path / "old") as view, view.read() as txn:
        assert audit.ends(txn).last == 0
        assert audit.page(txn, 0, 10) == [] and txn.count("audit") == 0
        assert txn.count("originals") == 6


WORDS = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)


@settings(max_examples=60, deadline=None)
@given(words=WORDS, value=st.floats(allow_nan=False, allow_infinity=False))
def test_a_line_of_an_export_is_the_link(words: str, value: float) -> None:
    import json

    details = {"words": words, "value": value, "entry": {"entry": [words]}}
    entry = {"sequence": 1, "time_ns": 0, "oldest": 1, "details": details}
    body = json.dumps(entry, ensure_ascii=False, separators=(",", ":")).encode()
    link = Link(1, GENESIS, link_hash(GENESIS, body), body)
    assert Link.from_line(link.to_line() + "\n") == link
    assert verify([Link.from_line(link.to_line())], anchors=[link.anchor]).anchored == 1
