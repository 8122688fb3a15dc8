"""A server under load: full, late, too large, hung up on, and shutting down."""

import asyncio
import signal
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from copycatch.v1 import (
    brands_service_pb2,
    brands_service_pb2_grpc,
    match_service_pb2,
    originals_service_pb2,
)
from service.cli.credentials import Credentials, connect
from service.limits import MAX_REQUEST_BYTES
from tests.service.program import running
from tests.service.serving import (
    Served,
    failure,
    new_original,
    occupied,
    picture,
    serving,
    settings,
)


def check(*images: bytes) -> match_service_pb2.CheckListingRequest:
    return match_service_pb2.CheckListingRequest(listing=match_service_pb2.Listing(images=images))


def wait_until(condition: object) -> None:
    for _ in range(6000):
        if condition():  # type: ignore[operator]
            return
        threading.Event().wait(0.005)
    raise AssertionError("it never came to be")


def test_a_full_server_says_so_and_when_to_come_back(tmp_path: Path) -> None:
    with serving(settings(tmp_path, worker_threads=1, queue_size=20)) as server:
        server.create_brand()
        with occupied(server, 19):
            for call, request in (
                (server.match.CheckListing, check(picture(1), picture(2))),
                (server.match.LabelImages, match_service_pb2.LabelImagesRequest(images=[b"x"] * 2)),
            ):
                failed = failure(call, request)
                assert failed.code is grpc.StatusCode.RESOURCE_EXHAUSTED
                assert failed.reason == "QUEUE_FULL"
                assert failed.retry_s and 0.05 <= failed.retry_s <= 30
        wait_until(lambda: server.running.pictures.taken == 0)
        assert server.match.CheckListing(check(picture(1))).verdict == match_service_pb2.CLEAR


def test_more_calls_than_are_served_at_once_are_refused_before_they_are_read(
    tmp_path: Path,
) -> None:
    with serving(settings(tmp_path, worker_threads=1, max_calls=2)) as server:
        with occupied(server, 1) as release, ThreadPoolExecutor(2) as pool:
            calls = [pool.submit(server.match.CheckListing, check(picture(i))) for i in range(2)]
            wait_until(lambda: server.running.gate.inside == 2)
            # Too large to be received: were it read, the transport would refuse it instead.
            failed = failure(server.match.CheckListing, check(bytes(MAX_REQUEST_BYTES + 1)))
            assert (failed.code, failed.reason) == (
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                "QUEUE_FULL",
            )
            assert failed.retry_s
            info = match_service_pb2.GetServerInfoRequest()
            assert server.match.GetServerInfo(info).ready  # tells how a full server is
            release.set()
        assert [call.result().verdict for call in calls] == [match_service_pb2.CLEAR] * 2


def test_a_message_above_the_limit_is_refused_and_leaves_nothing_behind(
    server: Served,
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        server.match.CheckListing(check(bytes(MAX_REQUEST_BYTES)))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    wait_until(lambda: server.running.gate.inside == 0)


def test_the_largest_picture_is_received(server: Served) -> None:
    """The default limit of gRPC, 4 MiB, would refuse it."""
    answer = server.match.CheckListing(check(bytes(16 << 20)))
    assert "IMAGE_UNDECODABLE" in str(answer.image_results[0].error.details[0].value)


def test_work_that_its_deadline_leaves_no_time_for_is_not_begun(tmp_path: Path) -> None:
    with serving(settings(tmp_path, worker_threads=1)) as server:
        server.create_brand()
        with occupied(server, 1) as release:
            with pytest.raises(grpc.RpcError) as caught:
                server.originals.CreateOriginal(new_original("late", picture(1)), timeout=0.2)
            assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            wait_until(lambda: server.running.gate.inside == 0)
            # Ours alone: the place is given back a turn of the loop after the call has left.
            wait_until(lambda: server.running.pictures.taken == 1)
            release.set()
        failed = failure(
            server.originals.GetOriginal,
            originals_service_pb2.GetOriginalRequest(name="brands/acme/originals/late"),
        )
        assert failed.reason == "ORIGINAL_NOT_FOUND"


def test_a_caller_that_hangs_up_cancels_the_pictures_that_wait(tmp_path: Path) -> None:
    with serving(settings(tmp_path, worker_threads=1, queue_size=40)) as server:
        with occupied(server, 1) as release:
            call = server.match.CheckListing.future(check(*[picture(i) for i in range(20)]))
            wait_until(lambda: server.running.pictures.taken == 21)
            call.cancel()
            wait_until(lambda: server.running.pictures.taken == 1)
            release.set()


def test_a_listing_with_a_late_picture_begins_no_other(tmp_path: Path) -> None:
    """One error of the server's own ends the call; the other pictures give up their places."""
    with serving(settings(tmp_path, worker_threads=1, queue_size=40)) as server:
        with occupied(server, 1) as release:
            call = server.match.CheckListing.future(
                check(*[picture(i) for i in range(20)]), timeout=0.2
            )
            wait_until(call.done)
            assert call.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            wait_until(lambda: server.running.pictures.taken == 1)
            release.set()


def test_a_server_that_stops_answers_what_it_has_accepted_and_refuses_the_rest(
    tmp_path: Path,
) -> None:
    with serving(settings(tmp_path, worker_threads=1)) as server:
        with occupied(server, 1) as release, ThreadPoolExecutor(8) as pool:
            calls = [pool.submit(server.match.CheckListing, check(picture(i))) for i in range(4)]
            more = threading.Event()

            def items() -> object:
                yield match_service_pb2.StreamingCheckListingsRequest(
                    item_id="read", request=check(picture(9))
                )
                more.wait(30)

            stream = server.match.StreamingCheckListings(items())  # type: ignore[arg-type]
            wait_until(lambda: server.running.pictures.taken == 6)
            stopping = asyncio.run_coroutine_threadsafe(server.running.stop(30), server.loop)
            wait_until(lambda: not server.running.gate.ready)
            failed = failure(server.match.CheckListing, check(picture(5)))
            assert (failed.code, failed.reason) == (
                grpc.StatusCode.UNAVAILABLE,
                "SHUTTING_DOWN",
            )
            assert not stopping.done()
            release.set()
            assert {call.result().verdict for call in calls} == {match_service_pb2.CLEAR}
            assert next(stream).item_id == "read"
            with pytest.raises(grpc.RpcError) as caught:
                next(stream)
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
            more.set()
            stopping.result(30)


def test_whoever_calls_while_a_server_ends_is_answered_or_told_that_it_goes_away(
    tmp_path: Path,
) -> None:
    """gRPC itself would end some of these calls with CANCELLED."""
    ends: Counter[grpc.StatusCode] = Counter()
    with running(tmp_path / "data") as program:
        address, begun = program.wait_until_ready(), threading.Barrier(9)

        def call_until_refused() -> None:
            options = [("grpc.use_local_subchannel_pool", 1)]
            with connect(address, Credentials(program.secret), options) as channel:
                brands = brands_service_pb2_grpc.BrandsServiceStub(channel)
                brands.ListBrands(brands_service_pb2.ListBrandsRequest())
                begun.wait(60)
                while True:
                    try:
                        brands.ListBrands(brands_service_pb2.ListBrandsRequest(), timeout=60)
                    except grpc.RpcError as error:
                        ends[error.code()] += 1
                        return

        with ThreadPoolExecutor(8) as pool:
            calls = [pool.submit(call_until_refused) for _ in range(8)]
            begun.wait(60)
            program.process.send_signal(signal.SIGTERM)
            for call in calls:
                call.result()
        assert program.process.wait(60) == 0
    assert ends == {grpc.StatusCode.UNAVAILABLE: 8}


def test_calls_that_take_longer_than_the_grace_are_cancelled(tmp_path: Path) -> None:
    with serving(settings(tmp_path, worker_threads=1)) as server:
        with occupied(server, 1) as release, ThreadPoolExecutor(1) as pool:
            call = pool.submit(server.match.CheckListing, check(picture(1)))
            wait_until(lambda: server.running.pictures.taken == 2)
            stopping = asyncio.run_coroutine_threadsafe(server.running.stop(0.1), server.loop)
            with pytest.raises(grpc.RpcError) as caught:
                call.result(30)
            assert caught.value.code() in (
                grpc.StatusCode.UNAVAILABLE,
                grpc.StatusCode.CANCELLED,
            )
            release.set()
            stopping.result(30)


def test_what_was_registered_is_there_after_a_restart(tmp_path: Path) -> None:
    config = settings(tmp_path)
    image = picture(7)
    with serving(config) as server:
        server.create_brand()
        server.create_original("one", image)
    with serving(config) as server:
        info = server.match.GetServerInfo(match_service_pb2.GetServerInfoRequest())
        assert info.loaded_from.startswith("snapshot")
        assert info.original_count == 1
        answer = server.match.CheckListing(check(image))
        assert answer.image_results[0].matches[0].original == "brands/acme/originals/one"


def test_no_reader_of_a_stream_shuts_out_single_calls(tmp_path: Path) -> None:
    """Streams take at most half of the places, however much they send."""
    with serving(settings(tmp_path, worker_threads=2, queue_size=20, stream_window=64)) as server:
        server.create_brand()

        def items() -> object:
            for i in range(60):
                yield match_service_pb2.StreamingCheckListingsRequest(
                    item_id=str(i), request=check(picture(i))
                )

        stream = server.match.StreamingCheckListings(items())  # type: ignore[arg-type]
        for _ in range(10):
            assert server.match.CheckListing(check(picture(1))).image_results
            server.brands.GetBrand(brands_service_pb2.GetBrandRequest(name="brands/acme"))
        assert len(list(stream)) == 60


def test_a_batch_may_be_larger_than_the_queue(tmp_path: Path) -> None:
    with serving(settings(tmp_path, worker_threads=2, queue_size=20)) as server:
        parent = server.create_brand()
        request = originals_service_pb2.BatchCreateOriginalsRequest(
            parent=parent, requests=[new_original(f"o{i}", picture(i, (96, 96))) for i in range(64)]
        )
        assert len(server.originals.BatchCreateOriginals(request).originals) == 64
        with occupied(server, 20):
            assert failure(server.originals.BatchCreateOriginals, request).reason == "QUEUE_FULL"
