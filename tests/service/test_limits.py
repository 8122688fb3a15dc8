"""Limits: of each key, of callers that are slow, of pictures, through a real server."""

import contextlib
import pickle
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from PIL import Image

from copycatch.v1 import brands_service_pb2, match_service_pb2, match_service_pb2_grpc
from service.access.limits import Allowances, KeyLimitReached, Limits, TokenBucket
from service.access.roles import Caller, KeyLimits, Role
from service.cli.credentials import Credentials, connect
from service.rpc.callers import CallerSilent, CallerStalled
from service.workers import PictureTimedOut, Workers
from tests.kit.images import encode
from tests.service.serving import Failure, Served, failure, occupied, picture, serving, settings

LIST = brands_service_pb2.ListBrandsRequest()
CHECK = "/copycatch.v1.MatchService/CheckListing"


def check(*images: bytes) -> match_service_pb2.CheckListingRequest:
    return match_service_pb2.CheckListingRequest(listing=match_service_pb2.Listing(images=images))


def item(number: int, *images: bytes) -> match_service_pb2.StreamingCheckListingsRequest:
    return match_service_pb2.StreamingCheckListingsRequest(
        item_id=str(number), request=check(*images)
    )


def wait_until(condition: Any) -> None:
    for _ in range(6000):
        if condition():
            return
        threading.Event().wait(0.005)
    raise AssertionError("it never came to be")


def test_a_bucket_fills_by_the_clock_and_goes_into_debt() -> None:
    now = [0.0]
    bucket = TokenBucket(10, lambda: now[0])
    assert bucket.wait_s(10) == 0
    bucket.take(25)
    assert bucket.wait_s() == pytest.approx(1.5)
    now[0] = 1.5
    assert bucket.wait_s() == 0 and bucket.wait_s(1) == pytest.approx(0.1)
    now[0] = 1000
    assert bucket.wait_s(10) == 0 and bucket.wait_s(11) > 0  # no more than a second is kept
    assert TokenBucket(0).wait_s(10**9) == 0


def test_each_key_has_limits_of_its_own_or_the_usual_ones() -> None:
    now = [0.0]
    allowances = Allowances(Limits(requests_per_s=1), lambda: now[0])
    usual = allowances.of(Caller("a", "a", Role.ADMIN))
    own = allowances.of(Caller("b", "b", Role.ADMIN, limits=KeyLimits(requests_per_s=3)))
    free = allowances.of(Caller("c", "c", Role.ADMIN, limits=KeyLimits(requests_per_s=0)))
    for allowance, calls in ((usual, 1), (own, 3)):
        for _ in range(calls):
            with allowance.call(stream=False):
                pass
        with pytest.raises(KeyLimitReached, match="requests_per_s"), allowance.call(stream=False):
            pass
    for _ in range(100):
        with free.call(stream=False):
            pass


def test_a_burst_is_refused_beyond_its_second_and_others_do_not_notice(server: Served) -> None:
    with server.acting(Role.ANALYST, limits=KeyLimits(requests_per_s=20)) as wild:
        outcomes: list[object] = []

        def attempt(_: int) -> None:
            try:
                outcomes.append(wild.brands.ListBrands(LIST))
            except grpc.RpcError as error:
                outcomes.append(error)

        began = time.monotonic()
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(attempt, range(200)))
        elapsed_s = time.monotonic() - began
        refused = [one for one in outcomes if isinstance(one, grpc.RpcError)]
        # A second's worth at once, and what came in while the burst lasted.
        assert 200 - len(refused) <= 20 + 20 * elapsed_s + 1
        assert refused or elapsed_s > 9  # a machine that slow has made no burst
        if refused:
            told = Failure(refused[0])
            assert told.code is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert told.reason == "KEY_LIMIT_REACHED"
            assert told.info.metadata["limit"] == "requests_per_s"
            assert told.retry_s and 0.05 <= told.retry_s <= 1
        for _ in range(30):
            server.brands.ListBrands(LIST)


def test_bytes_are_paid_before_the_next_message_is_read(server: Served) -> None:
    limits = KeyLimits(bytes_per_s=1 << 10)
    with server.acting(Role.PIPELINE, limits=limits) as pipeline:
        assert pipeline.match.CheckListing(check(bytes(1 << 20))).image_results
        told = failure(pipeline.match.CheckListing, check(bytes(1 << 20)))
        assert (told.reason, told.info.metadata["limit"]) == ("KEY_LIMIT_REACHED", "bytes_per_s")
        assert told.retry_s and told.retry_s > 900  # a mebibyte at a kibibyte a second


def test_a_stream_is_slowed_and_not_refused(server: Served) -> None:
    limits = KeyLimits(requests_per_s=10)
    with server.acting(Role.PIPELINE, limits=limits) as pipeline:
        began = time.monotonic()
        small = picture(1, (32, 32))
        answers = list(pipeline.match.StreamingCheckListings(item(i, small) for i in range(15)))
        assert len(answers) == 15 and not any(one.HasField("error") for one in answers)
        assert time.monotonic() - began >= 0.4  # fifteen, of which ten were there


def test_a_key_has_so_many_streams_at_once(server: Served) -> None:
    with server.acting(Role.PIPELINE, limits=KeyLimits(streams=2)) as pipeline:
        more = threading.Event()

        def items() -> Iterator[match_service_pb2.StreamingCheckListingsRequest]:
            yield item(0, picture(1, (32, 32)))
            more.wait(60)

        open_ones = [pipeline.match.StreamingCheckListings(items()) for _ in range(2)]
        for one in open_ones:
            next(one)
        with pytest.raises(grpc.RpcError) as caught:
            next(pipeline.match.StreamingCheckListings(items()))
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert pipeline.match.CheckListing(check(picture(1, (32, 32)))).image_results
        more.set()
        for one in open_ones:
            list(one)
        assert len(list(pipeline.match.StreamingCheckListings(items()))) == 1


def test_a_key_has_so_many_pictures_in_work_and_the_others_have_the_rest(tmp_path: Path) -> None:
    with serving(settings(tmp_path, worker_threads=1, queue_size=40)) as server:
        with (
            server.acting(Role.PIPELINE, limits=KeyLimits(pictures=4)) as small,
            occupied(server, 1) as release,
            ThreadPoolExecutor(4) as pool,
        ):
            first = pool.submit(small.match.CheckListing, check(*[picture(i) for i in range(4)]))
            wait_until(lambda: server.running.pictures.taken == 5)
            told = failure(small.match.CheckListing, check(picture(5)))
            assert (told.reason, told.info.metadata["limit"]) == ("KEY_LIMIT_REACHED", "pictures")
            stream = small.match.StreamingCheckListings(item(i, picture(i)) for i in range(3))
            other = pool.submit(server.match.CheckListing, check(picture(6)))
            wait_until(lambda: server.running.pictures.taken == 6)
            release.set()
            assert len(first.result().image_results) == 4
            assert other.result().image_results
            assert len(list(stream)) == 3
        wait_until(lambda: server.running.pictures.taken == 0)


def test_a_caller_that_sends_no_message_is_sent_away(tmp_path: Path) -> None:
    with serving(
        settings(tmp_path, caller_timeout_s=0.3, stream_idle_s=0.3, max_calls=2)
    ) as server:
        for method in (CHECK, "/copycatch.v1.MatchService/StreamingCheckListings"):
            forever = threading.Event()
            silent: Any = server.channel.stream_stream(method)
            calls = [silent(iter(forever.wait, None)) for _ in range(2)]
            for call in calls:
                with pytest.raises(grpc.RpcError) as caught:
                    next(call)
                assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
                assert "no message came within 0.3 s" in str(caught.value)
            forever.set()
            wait_until(lambda: server.running.gate.inside == 0)
            assert server.match.CheckListing(check(picture(1))).image_results


def test_a_message_that_comes_too_slowly_holds_no_worker(tmp_path: Path) -> None:
    """A connection that trickles, as over a bad line or on purpose."""
    with serving(settings(tmp_path, caller_timeout_s=1.0, max_calls=2)) as server:
        with trickling(server.running.address, 20_000) as address:
            channel = connect(address, Credentials(server.secret))
            stub = match_service_pb2_grpc.MatchServiceStub(channel)
            call = stub.CheckListing.future(check(bytes(4 << 20)))
            wait_until(lambda: server.running.gate.inside == 1)
            assert server.running.pictures.taken == 0
            assert server.match.CheckListing(check(picture(1))).image_results
            wait_until(lambda: server.running.gate.inside == 0)
            call.cancel()
        channel.close()  # with the line cut; before, it would wait for its message to trickle out


def test_a_caller_that_takes_no_answer_is_dropped(tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (900, 900, 3), np.uint8)
    noise = encode(Image.fromarray(pixels), "PNG")
    with serving(settings(tmp_path, caller_timeout_s=2.0)) as server:
        compare: Any = server.channel.stream_stream(
            "/copycatch.v1.MatchService/CompareImages",
            request_serializer=match_service_pb2.CompareImagesRequest.SerializeToString,
        )
        request = match_service_pb2.CompareImagesRequest(
            image_a=noise, image_b=noise, evidence_image=True
        )
        size = server.match.CompareImages(request).ByteSize()
        calls = [compare(iter([request])) for _ in range(1 + (8 << 20) // size)]
        wait_until(lambda: server.running.gate.inside == 0)
        for call in calls:
            call.cancel()


def test_a_picture_that_hangs_is_given_up_and_the_others_are_answered(tmp_path: Path) -> None:
    """The picture hangs in the budget of decoding, which the test holds: real threads hang."""
    from models.pixel_budget import DECODING

    config = settings(tmp_path, worker_threads=1, picture_timeout_s=0.5)
    with serving(config) as server:
        with DECODING.hold(1 << 40):
            answer = server.match.CheckListing(check(picture(1)), timeout=60)
            (result,) = answer.image_results
            assert "PICTURE_TIMED_OUT" in str(result.error)
            assert answer.verdict == match_service_pb2.REVIEW  # what was not checked is not cleared
            assert server.running.pictures.hanging == 1
            assert server.running._why_not_ready() == "1 threads hang in pictures"
            # Another thread has taken over: what does not decode is answered.
            labels = match_service_pb2.LabelImagesRequest(images=[picture(2)])
            assert server.match.LabelImages(labels, timeout=60).ai_labels
        wait_until(lambda: server.running.pictures.hanging == 0)
        wait_until(lambda: server.running.pictures.taken == 0)
        assert server.match.CheckListing(check(picture(1))).verdict == match_service_pb2.CLEAR


def test_time_in_the_queue_is_no_time_of_the_picture() -> None:
    import asyncio

    async def run() -> None:
        workers = Workers("test", 1, 4, limit_s=0.3)
        release = threading.Event()
        with workers.admit(2) as places:
            first = asyncio.ensure_future(places.run(lambda: release.wait(60)))
            second = asyncio.ensure_future(places.run(lambda: "done"))
            with pytest.raises(PictureTimedOut):
                await first
            assert await second == "done"  # by the thread that stands in
            assert (workers.hanging, workers.taken) == (1, 1)
            release.set()
            while workers.hanging:
                await asyncio.sleep(0.01)
        workers.close()

    asyncio.run(run())


@pytest.mark.parametrize(
    "error",
    [KeyLimitReached("streams", 1.0), CallerSilent(2.0), CallerStalled(2.0), PictureTimedOut(3.0)],
)
def test_the_errors_survive_pickling(error: Exception) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error) and vars(again) == vars(error)


@contextmanager
def trickling(target: str, bytes_per_s: int) -> Iterator[str]:
    """A proxy that forwards to a server so many bytes a second; its answers as they come."""
    host, _, port = target.rpartition(":")
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def forward(source: socket.socket, sink: socket.socket, chunk: int, pause_s: float) -> None:
            try:
                while not ended.is_set() and (data := source.recv(chunk)):
                    sink.sendall(data)
                    ended.wait(pause_s)
            except OSError:
                pass  # one of the two has gone

        def serve() -> None:
            caller, _ = listener.accept()
            with caller, socket.create_connection((host, int(port))) as server:
                back = threading.Thread(target=forward, args=(server, caller, 65536, 0))
                back.start()
                forward(caller, server, bytes_per_s // 20, 0.05)
                with contextlib.suppress(OSError):  # the server has closed it before
                    server.shutdown(socket.SHUT_RDWR)
                back.join()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            ended.set()
            thread.join()
