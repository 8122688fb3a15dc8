"""What a server remembers of checked listings, and that it forgets when it is told to."""

import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest

from copycatch.v1 import listings_service_pb2 as pb
from copycatch.v1 import match_service_pb2 as match_pb2
from index.memory import Memory
from index.spaces import Space
from models.batcher import Batcher
from models.fingerprint import Fingerprinter
from models.images import decode
from models.print_record import to_record
from models.sketch import Sketch
from models.toy import ToyEncoder
from service.remembering import Remembering
from tests.kit.images import draw, encode
from tests.service.serving import Served, failure, picture, serving, settings


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server that remembers."""
    with serving(settings(tmp_path_factory.mktemp("server"), memory_listings=100)) as served:
        yield served


def check(
    served: Served, listing_id: str, *images: bytes, seller: str = "shop"
) -> match_pb2.CheckListingResponse:
    """Check a listing, and wait until what is remembered of it is written."""
    answer = served.match.CheckListing(
        match_pb2.CheckListingRequest(
            listing=match_pb2.Listing(listing_id=listing_id, seller=seller, images=images)
        )
    )
    remembering = served.running.gate.engine.remembering
    if remembering is not None:
        remembering.flush()
    return answer


def remembered(served: Served, listing_id: str) -> pb.RememberedListing:
    return served.listings.GetListing(pb.GetListingRequest(listing_id=listing_id))


def test_a_checked_listing_is_remembered_with_the_pictures_that_could_be_read(
    server: Served,
) -> None:
    blank = encode(draw(1, (64, 64)).point(lambda value: 255), "PNG")
    check(server, "Angebot 1/ä", picture(1), b"no picture", picture(2), blank)
    found = remembered(server, "Angebot 1/ä")
    assert (found.listing_id, found.seller) == ("Angebot 1/ä", "shop")
    shas = [decode(picture(seed)).sha256.hex() for seed in (1, 2)]
    assert list(found.image_sha256s) == shas
    assert 1000 < found.byte_count < 2 * 20_000
    assert found.create_time.seconds > 1_700_000_000


def test_a_copy_of_an_originals_very_bytes_is_remembered_too(server: Served) -> None:
    server.create_brand("twins")
    server.create_original("cup", picture(3), "twins")
    answer = check(server, "same-bytes", picture(3))
    assert answer.verdict == match_pb2.COPY
    assert list(remembered(server, "same-bytes").image_sha256s) == [decode(picture(3)).sha256.hex()]
    memory = server.running.gate.engine.remembering
    assert memory is not None
    entry = memory.memory.get("same-bytes")
    assert entry is not None
    data = memory.memory.print(entry.number, 0)
    assert data is not None
    record = server.running.gate.engine.catalogue.get("twins", "cup")
    sketch = Sketch.from_bytes(data)
    hit = memory.memory.search("sscd", record.vectors["sscd"][None], 1)[0][0]
    assert hit.score > 0.999
    assert f"{sketch.record.phash:016x}" == record.attributes["phash"]


def test_listings_of_a_stream_are_remembered(server: Served) -> None:
    items = [
        match_pb2.StreamingCheckListingsRequest(
            item_id=str(i),
            request=match_pb2.CheckListingRequest(
                listing=match_pb2.Listing(listing_id=f"streamed-{i}", images=[picture(20 + i)])
            ),
        )
        for i in range(3)
    ]
    assert len(list(server.match.StreamingCheckListings(iter(items)))) == 3
    memory = server.running.gate.engine.remembering
    assert memory is not None
    memory.flush()
    assert all(remembered(server, f"streamed-{i}").image_sha256s for i in range(3))


def test_a_listing_without_an_id_or_without_a_picture_is_not_remembered(server: Served) -> None:
    memory = server.running.gate.engine.remembering
    assert memory is not None
    before = memory.memory.stats()
    check(server, "", picture(4))
    check(server, "nothing-readable", b"no picture")
    assert memory.memory.stats() == before


def test_a_deleted_listing_is_gone_until_it_is_checked_again(server: Served) -> None:
    check(server, "private", picture(5))
    server.listings.DeleteListing(pb.DeleteListingRequest(listing_id="private"))
    for call in (server.listings.GetListing, server.listings.DeleteListing):
        kind = pb.GetListingRequest if call is server.listings.GetListing else None
        request = (kind or pb.DeleteListingRequest)(listing_id="private")
        failed = failure(call, request)
        assert (failed.code, failed.reason) == (grpc.StatusCode.NOT_FOUND, "LISTING_NOT_FOUND")
        assert failed.info.metadata["listing"] == "private"
    server.listings.DeleteListing(pb.DeleteListingRequest(listing_id="private", allow_missing=True))
    check(server, "private", picture(5))
    assert remembered(server, "private").image_sha256s


def test_an_id_is_required_and_bounded(server: Served) -> None:
    for bad in ("", "x" * 201):
        failed = failure(server.listings.DeleteListing, pb.DeleteListingRequest(listing_id=bad))
        assert failed.reason == "FIELD_INVALID" and failed.violations == ["listing_id"]


def test_what_is_remembered_outlives_the_server_and_counts_are_shown(tmp_path: Path) -> None:
    config = settings(tmp_path, memory_listings=3)
    with serving(config) as served:
        for number in range(5):
            check(served, f"offer-{number}", picture(number))
        check(served, "offer-4", picture(4))
        metrics = served.running.metrics.registry
        counted = metrics.get_sample_value
        name = "copycatch_listings_remembered_total"
        assert counted(name, {"outcome": "remembered"}) == 5
        assert counted(name, {"outcome": "known"}) == 1
        assert counted("copycatch_memory_listings") == 3
    with serving(config) as served:
        assert remembered(served, "offer-4").image_sha256s
        assert (
            failure(served.listings.GetListing, pb.GetListingRequest(listing_id="offer-1")).reason
            == "LISTING_NOT_FOUND"
        )


def test_a_server_that_remembers_nothing_says_so(tmp_path: Path) -> None:
    with serving(settings(tmp_path)) as served:
        check(served, "offer", picture(1))
        failed = failure(served.listings.GetListing, pb.GetListingRequest(listing_id="offer"))
        assert (failed.code, failed.reason) == (
            grpc.StatusCode.FAILED_PRECONDITION,
            "MEMORY_OFF",
        )
        assert "memory_listings" in failed.message
    assert not (tmp_path / "data" / "memory").exists()


@pytest.fixture
def printer() -> Iterator[Fingerprinter]:
    with Batcher(ToyEncoder()) as batcher:
        yield Fingerprinter(batcher)


def sketch(printer: Fingerprinter, seed: int) -> Sketch:
    listing = printer.listing(decode(picture(seed)))
    return Sketch.of(to_record(printer.schema, listing, [listing.whole]), listing)


def opened(path: Path, printer: Fingerprinter) -> Memory:
    return Memory.open(path, [Space(*each) for each in printer.spaces], printer.schema)


def test_listings_that_come_too_fast_are_left_out_and_counted(
    tmp_path: Path, printer: Fingerprinter
) -> None:
    counts: dict[str, int] = {}
    going, entered = threading.Event(), threading.Event()

    def count(outcome: str, number: int) -> None:
        counts[outcome] = counts.get(outcome, 0) + number

    def slow() -> Sketch:
        entered.set()
        assert going.wait(30)
        return sketch(printer, 1)

    with opened(tmp_path, printer) as memory:
        remembering = Remembering(memory, 2, count)
        assert remembering.offer("slow", "", [slow])
        assert entered.wait(30)
        made = sketch(printer, 2)
        outcomes = [remembering.offer(f"offer-{i}", "", [lambda: made]) for i in range(5)]
        assert outcomes == [True, True, False, False, False]
        going.set()
        remembering.flush()
        assert remembering.offer("late", "", [lambda: made], wait=True)
        remembering.close()
        assert memory.stats().listings == 4
        assert counts == {"dropped": 3, "remembered": 4, "known": 0}


def test_what_can_not_be_written_is_counted_and_the_next_is_tried(
    tmp_path: Path, printer: Fingerprinter, caplog: pytest.LogCaptureFixture
) -> None:
    counts: dict[str, int] = {}

    def count(outcome: str, number: int) -> None:
        counts[outcome] = counts.get(outcome, 0) + number

    with opened(tmp_path, printer) as memory:
        remembering = Remembering(memory, 100, count)
        strange = sketch(printer, 1)
        strange.record.views[0].rows["unknown"] = np.ones(3, np.float32)  # type: ignore[index]
        remembering.offer("strange", "", [lambda: strange])
        remembering.flush()
        good = sketch(printer, 2)
        remembering.offer("good", "", [lambda: good])
        remembering.close()
        assert counts == {"failed": 1, "remembered": 1, "known": 0}
        assert "could not be remembered" in caplog.text
        assert memory.get("strange") is None and memory.get("good") is not None


def test_a_sketch_that_can_no_longer_be_made_is_left_out(
    tmp_path: Path, printer: Fingerprinter
) -> None:
    with opened(tmp_path, printer) as memory:
        remembering = Remembering(memory, 4)
        remembering.offer("half", "", [lambda: None, lambda: sketch(printer, 1)])
        remembering.offer("none", "", [lambda: None])
        remembering.close()
        entry = memory.get("half")
        assert entry is not None and len(entry.digests) == 1
        assert memory.get("none") is None
