"""ImportOriginals: bad items, resuming, back-pressure, group commit."""

import queue
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
from google.rpc import error_details_pb2, status_pb2

from copycatch.v1 import originals_service_pb2 as pb
from service.rpc import errors
from tests.service.serving import Served, new_original, occupied, picture, serving, settings

Outcome = pb.ImportOriginalsResponse.Outcome


def item(name: str, image: bytes, brand: str) -> pb.ImportOriginalsRequest:
    return pb.ImportOriginalsRequest(item_id=name, request=new_original(name, image, brand))


def by_id(responses: object) -> dict[str, pb.ImportOriginalsResponse]:
    return {one.item_id: one for one in responses}  # type: ignore[attr-defined]


def violations(status: status_pb2.Status) -> list[str]:
    bad = error_details_pb2.BadRequest()
    assert any(detail.Unpack(bad) for detail in status.details)
    return [one.field for one in bad.field_violations]


def test_a_bad_item_does_not_end_the_stream(server: Served) -> None:
    server.create_brand("imports")
    items = [
        item("a", picture(1), "imports"),
        item("junk", b"junk", "imports"),
        item("nobody", picture(2), "nobody"),
        item("B", picture(3), "imports"),
        item("e", picture(4), "imports"),
    ]
    got = by_id(server.originals.ImportOriginals(iter(items)))
    assert got["a"].outcome == got["e"].outcome == Outcome.CREATED
    assert got["a"].original.name == "brands/imports/originals/a"
    reasons = {name: errors.reason_in(got[name].error) for name in ("junk", "nobody", "B")}
    assert reasons == {
        "junk": "IMAGE_UNDECODABLE",
        "nobody": "BRAND_NOT_FOUND",
        "B": "FIELD_INVALID",
    }
    assert violations(got["B"].error) == ["request.original_id"]
    assert all(got[name].outcome == Outcome.FAILED for name in reasons)


def test_an_import_that_broke_off_is_sent_again_as_it_was(server: Served) -> None:
    server.create_brand("resumed")
    items = [item(f"o{i}", picture(10 + i), "resumed") for i in range(6)]
    first = by_id(server.originals.ImportOriginals(iter(items[:4])))
    assert {one.outcome for one in first.values()} == {Outcome.CREATED}
    again = by_id(server.originals.ImportOriginals(iter(items)))
    outcomes = [again[f"o{i}"].outcome for i in range(6)]
    assert outcomes == [Outcome.ALREADY_PRESENT] * 4 + [Outcome.CREATED] * 2
    assert again["o0"].original == first["o0"].original


def test_an_id_with_other_bytes_is_a_conflict_and_not_already_there(server: Served) -> None:
    server.create_brand("conflict")
    server.create_original("one", picture(20), "conflict")
    (answer,) = server.originals.ImportOriginals(iter([item("one", picture(21), "conflict")]))
    assert answer.outcome == Outcome.FAILED
    assert errors.reason_in(answer.error) == "ORIGINAL_EXISTS"


def test_the_same_id_twice_in_one_stream_is_registered_once(server: Served) -> None:
    server.create_brand("twice")
    items = [item("one", picture(22), "twice") for _ in range(6)]
    outcomes = [one.outcome for one in server.originals.ImportOriginals(iter(items))]
    assert outcomes.count(Outcome.CREATED) == 1
    assert set(outcomes) == {Outcome.CREATED, Outcome.ALREADY_PRESENT}


def test_an_empty_import_ends_at_once(server: Served) -> None:
    assert list(server.originals.ImportOriginals(iter([]))) == []


def test_the_server_reads_no_further_than_its_window_while_it_is_busy(tmp_path: Path) -> None:
    """More than the window is in flight only as bytes of the connection (below 1 MiB)."""
    image = picture(30) + bytes(1_600_000)  # what follows the picture is not looked at
    with serving(settings(tmp_path, worker_threads=1, stream_window=2, queue_size=20)) as server:
        server.create_brand()
        sent: list[int] = []

        def items() -> Iterator[pb.ImportOriginalsRequest]:
            for i in range(40):
                sent.append(i)
                yield item(f"o{i}", image + bytes(i), "acme")

        with occupied(server, 1) as release:
            responses = server.originals.ImportOriginals(items())
            threading.Event().wait(0.5)  # time in which a server without bounds reads it all
            assert len(sent) < 20, f"{len(sent)} items of {len(image):,} bytes were taken"
            release.set()
            assert len(list(responses)) == 40


def test_an_import_waits_for_room_instead_of_failing(tmp_path: Path) -> None:
    with serving(settings(tmp_path, worker_threads=1, queue_size=20)) as server:
        server.create_brand()
        with occupied(server, 20) as release:
            items = (item(f"o{i}", picture(40 + i), "acme") for i in range(12))
            responses = server.originals.ImportOriginals(items)
            threading.Timer(0.2, release.set).start()
            assert {one.outcome for one in responses} == {Outcome.CREATED}


def test_a_caller_that_hangs_up_leaves_nothing_behind(tmp_path: Path) -> None:
    with serving(settings(tmp_path, worker_threads=1, queue_size=20)) as server:
        server.create_brand()
        with occupied(server, 1) as release:
            waiting: queue.SimpleQueue[pb.ImportOriginalsRequest] = queue.SimpleQueue()
            waiting.put(item("one", picture(60), "acme"))
            responses = server.originals.ImportOriginals(iter(waiting.get, None))
            while server.running.pictures.taken < 2:  # until it waits behind our work
                threading.Event().wait(0.005)
            responses.cancel()
            waiting.put(None)  # type: ignore[arg-type]
            while server.running.gate.inside:
                threading.Event().wait(0.005)
            release.set()
        page = server.originals.ListOriginals(pb.ListOriginalsRequest(parent="brands/acme"))
        assert list(page.originals) == []


def test_a_deadline_ends_an_import(tmp_path: Path) -> None:
    with serving(settings(tmp_path, worker_threads=1)) as server:
        server.create_brand()
        with occupied(server, 1):
            responses = server.originals.ImportOriginals(
                iter([item("one", picture(61), "acme")]), timeout=0.3
            )
            try:
                list(responses)
                raise AssertionError("answered")
            except grpc.RpcError as error:
                assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
