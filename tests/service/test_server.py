"""The life of a server: loading, health, reflection, starting, stopping, signals."""

import asyncio
import logging
import signal
import urllib.request
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status

from copycatch.v1 import match_service_pb2
from index.disk import StoreInUse
from service.limits import MAX_REQUEST_BYTES
from service.rpc.gate import Gate, IndexNotReady
from service.rpc.services import NAMES
from service.server import ListenFailed, RunningServer, start
from tests.service.program import running
from tests.service.serving import Served, a_loop, failure, picture, serving, settings

Serving = health_pb2.HealthCheckResponse


def health(server: Served, service: str = "") -> int:
    return check_health(server.channel, service)


def check_health(channel: grpc.Channel, service: str = "") -> int:
    stub: Any = health_pb2_grpc.HealthStub(channel)
    return int(stub.Check(health_pb2.HealthCheckRequest(service=service)).status)


def test_health_is_known_for_the_server_and_each_service(server: Served) -> None:
    for name in ("", *NAMES):
        assert health(server, name) == Serving.SERVING
    with pytest.raises(grpc.RpcError) as caught:
        health(server, "copycatch.v1.Nothing")
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_while_it_loads_it_says_so_by_health_by_error_and_by_info(tmp_path: Path) -> None:
    """The real loader is held up by another owner of the data folder, then fails by name."""
    with serving(settings(tmp_path)) as owner:
        config = settings(tmp_path)
        with a_loop() as loop:

            async def begin() -> RunningServer:
                return RunningServer(config)

            running = asyncio.run_coroutine_threadsafe(begin(), loop).result(30)
            loading = asyncio.run_coroutine_threadsafe(running._start(), loop)
            loading.result(30)
            server = Served(running, loop)
            assert health(server) == Serving.NOT_SERVING
            failed = failure(server.match.CheckListing, match_service_pb2.CheckListingRequest())
            assert (failed.code, failed.reason) == (
                grpc.StatusCode.UNAVAILABLE,
                "INDEX_NOT_READY",
            )
            info = server.match.GetServerInfo(match_service_pb2.GetServerInfoRequest())
            assert not info.ready and info.version and info.limits.max_images == 20
            with pytest.raises(StoreInUse):
                asyncio.run_coroutine_threadsafe(running.ready(), loop).result(30)
            assert "can not load" in running._why_not_ready()
            server.channel.close()
            asyncio.run_coroutine_threadsafe(running.stop(0), loop).result(30)
        assert health(owner) == Serving.SERVING


def test_starting_waits_and_raises_what_kept_it_from_loading(tmp_path: Path) -> None:
    with serving(settings(tmp_path)), pytest.raises(StoreInUse):
        asyncio.run(start(settings(tmp_path)))


def test_a_port_that_is_taken_is_an_error(server: Served, tmp_path: Path) -> None:
    with pytest.raises(ListenFailed, match=server.running.address):
        asyncio.run(start(settings(tmp_path, listen=server.running.address)))


def test_it_listens_on_a_unix_socket(tmp_path: Path) -> None:
    with serving(settings(tmp_path, listen=f"unix:{tmp_path}/s.sock")) as server:
        assert server.running.address == f"unix:{tmp_path}/s.sock"
        server.create_brand()


def test_reflection_shows_the_contract(server: Served) -> None:
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(server.channel)
    requests = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol=NAMES[2]),
    ]
    services, file = stub.ServerReflectionInfo(iter(requests))
    names = {one.name for one in services.list_services_response.service}
    assert set(NAMES) | {"grpc.health.v1.Health"} <= names
    protos = [
        descriptor_pb2.FileDescriptorProto.FromString(data)
        for data in file.file_descriptor_response.file_descriptor_proto
    ]
    assert "copycatch/v1/match_service.proto" in {proto.name for proto in protos}


def test_a_method_that_does_not_exist_is_unimplemented(server: Served) -> None:
    call: Any = server.channel.unary_unary("/copycatch.v1.MatchService/Nothing")
    with pytest.raises(grpc.RpcError) as caught:
        call(b"")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize(
    ("method", "streams"),
    [
        ("/copycatch.v1.MatchService/CheckListing", False),
        ("/copycatch.v1.MatchService/StreamingCheckListings", True),
        ("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", True),
        ("/grpc.health.v1.Health/Check", False),
    ],
)
def test_bytes_that_are_no_message_are_the_callers_fault_and_no_defect(
    server: Served, caplog: pytest.LogCaptureFixture, method: str, streams: bool
) -> None:
    junk = b"\xff\xff\xff"
    with caplog.at_level(logging.INFO):
        if streams:
            found = failure(lambda: list(server.channel.stream_stream(method)(iter([junk]))))
        else:
            found = failure(server.channel.unary_unary(method), junk)
    assert found.code is grpc.StatusCode.INVALID_ARGUMENT
    assert (found.reason, found.info.metadata["byte_count"]) == ("MESSAGE_UNDECODABLE", "3")
    assert not [line for line in caplog.records if line.levelno > logging.INFO or line.exc_info]
    assert health(server) == Serving.SERVING


def test_what_grpc_refuses_by_itself_has_a_code_and_no_reason(server: Served) -> None:
    """As the README says of a message above the limit."""
    too_large = b"\n" + bytes(MAX_REQUEST_BYTES)
    with pytest.raises(grpc.RpcError) as caught:
        server.channel.unary_unary("/copycatch.v1.MatchService/CheckListing")(too_large)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert rpc_status.from_call(caught.value) is None


def test_a_gate_without_an_engine_lets_only_the_question_for_it_in() -> None:
    async def run() -> None:
        gate = Gate(1)
        held = gate.enter("MatchService/GetServerInfo")
        with pytest.raises(IndexNotReady):
            gate.enter("MatchService/CheckListing")
        assert gate.inside == 1
        del held  # forgotten rather than given back
        await asyncio.wait_for(gate.emptied(), 10)

    asyncio.run(run())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_process_in_good_order(tmp_path: Path, number: int) -> None:
    with running(tmp_path / "data") as program:
        with program.connect() as channel:
            assert check_health(channel) == Serving.SERVING
        program.process.send_signal(number)
        said = program.read_to_the_end()
        assert said.index("shutting down") < said.index("stopped") == len(said) - 1
        assert program.process.wait() == 0


def test_the_log_names_the_port_that_the_metrics_got(tmp_path: Path) -> None:
    with running(tmp_path / "data", metrics_listen="127.0.0.1:0") as program:
        program.wait_until_ready()
        said = [str(line["message"]) for line in program.lines]
        (address,) = (one.rpartition(" ")[2] for one in said if one.startswith("metrics"))
        with urllib.request.urlopen(f"http://{address}/livez") as answer:
            assert answer.read() == b"alive\n"


def test_pictures_in_a_store_survive_a_stop_in_the_middle_of_an_import(tmp_path: Path) -> None:
    from copycatch.v1 import originals_service_pb2 as pb
    from tests.service.serving import new_original

    config = settings(tmp_path, stream_window=4)
    acknowledged = []
    with serving(config) as server:
        server.create_brand()
        items = (
            pb.ImportOriginalsRequest(item_id=str(i), request=new_original(f"o{i}", picture(i)))
            for i in range(200)
        )
        responses = server.originals.ImportOriginals(items)
        stopping = None
        try:
            for response in responses:
                acknowledged.append(response.original.name)
                if len(acknowledged) == 10:
                    stopping = asyncio.run_coroutine_threadsafe(
                        server.running.stop(30), server.loop
                    )
        except grpc.RpcError as error:
            assert error.code() is grpc.StatusCode.UNAVAILABLE
        assert stopping is not None
        stopping.result(30)
    assert 10 <= len(acknowledged) < 200
    with serving(config) as server:
        page = server.originals.ListOriginals(
            pb.ListOriginalsRequest(parent="brands/acme", page_size=500)
        )
        assert {one.name for one in page.originals} == set(acknowledged)
