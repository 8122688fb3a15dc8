"""What a server tells: metrics, log lines, liveness and readiness."""

import io
import json
import logging
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from copycatch.v1 import match_service_pb2, originals_service_pb2
from service import telemetry
from service.access.roles import Role
from service.probes import Probes, ProbesUnbound
from service.telemetry import JsonFormatter, Metrics, Request, TextFormatter, log_request
from tests.service.serving import Served, failure, picture, serving, settings

Check = match_service_pb2.CheckListingRequest


def get(server: Served, path: str, secret: str | None = None) -> tuple[int, str]:
    address = f"http://{server.running.metrics_address}{path}"
    shown = {} if secret == "" else {"Authorization": f"Bearer {secret or server.secret}"}
    try:
        with urllib.request.urlopen(urllib.request.Request(address, headers=shown)) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def samples(server: Served) -> dict[tuple[str, ...], float]:
    status, text = get(server, "/metrics")
    assert status == 200
    return {
        (sample.name, *(f"{k}={v}" for k, v in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture
def lines() -> Iterator[list[dict[str, object]]]:
    """The log lines of requests, as they would be written in JSON."""
    found: list[dict[str, object]] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(json.loads(JsonFormatter().format(record)))

    handler = Collector()
    telemetry.log.addHandler(handler)
    level = telemetry.log.level
    telemetry.log.setLevel(logging.INFO)
    yield found
    telemetry.log.removeHandler(handler)
    telemetry.log.setLevel(level)


def check(*images: bytes) -> Check:
    return Check(listing=match_service_pb2.Listing(images=images))


def test_calls_verdicts_steps_and_sizes_are_counted(tmp_path: Path) -> None:
    with serving(settings(tmp_path)) as server:
        server.create_brand()
        server.create_original("one", picture(1))
        server.match.CheckListing(check(picture(1), picture(2), b"junk"))
        failure(server.create_original, "one", picture(3))
        found = samples(server)
    method = "method=MatchService/CheckListing"
    assert found["copycatch_rpcs_total", "code=OK", method, "reason="] == 1
    assert found["copycatch_rpc_seconds_count", method] == 1
    assert found["copycatch_item_errors_total", method, "reason=IMAGE_UNDECODABLE"] == 1
    assert found["copycatch_verdicts_total", "verdict=COPY"] == 1
    assert found["copycatch_verdicts_total", "verdict=CLEAR"] == 1
    assert sum(v for k, v in found.items() if k[0] == "copycatch_matches_total") >= 1
    assert found["copycatch_ai_labels_total", "state=NONE"] == 3
    for step in ("ai_label", "fingerprint", "decode"):
        assert found["copycatch_step_seconds_count", f"step={step}"] >= 1
    assert (
        found[
            "copycatch_rpcs_total",
            "code=ALREADY_EXISTS",
            "method=OriginalsService/CreateOriginal",
            "reason=ORIGINAL_EXISTS",
        ]
        == 1
    )
    assert found["copycatch_originals",] == 1
    assert found["copycatch_originals_registered_total", "state=ACTIVE"] == 1
    assert found["copycatch_open_disputes",] == 0
    assert found["copycatch_brands",] == found["copycatch_ready",] == 1
    assert found["copycatch_queue_depth", "queue=pictures"] == 0
    assert found["copycatch_index_size", "space=sscd"] == 1
    assert found["copycatch_calls_in_progress",] == 0


def test_two_servers_in_one_process_count_for_themselves(tmp_path: Path) -> None:
    with serving(settings(tmp_path / "a")) as one, serving(settings(tmp_path / "b")) as two:
        one.create_brand()
        assert samples(one)["copycatch_brands",] == 1
        assert samples(two)["copycatch_brands",] == 0


def test_a_copy_with_an_ai_label_is_counted_as_such() -> None:
    metrics = Metrics()
    metrics.judged("COPY", ["EDITED"], "GENERATED")
    metrics.judged("COPY", ["EDITED"], "NONE")
    metrics.judged("CLEAR", [], "GENERATED")
    value = metrics.registry.get_sample_value(
        "copycatch_ai_labelled_copies_total", {"verdict": "COPY", "state": "GENERATED"}
    )
    assert value == 1
    assert metrics.registry.get_sample_value("copycatch_matches_total", {"kind": "EDITED"}) == 2


def test_liveness_and_readiness_are_two_answers(tmp_path: Path) -> None:
    with serving(settings(tmp_path)) as server:
        assert get(server, "/livez") == (200, "alive\n")
        assert get(server, "/readyz") == (200, "ready\n")
        assert get(server, "/elsewhere")[0] == 404
        server.loop.call_soon_threadsafe(server.running.gate.closing.set)
        while server.running.gate.ready:
            pass
        assert get(server, "/readyz") == (503, "shutting down\n")
        assert get(server, "/livez") == (200, "alive\n")


def test_metrics_ask_for_a_key_and_probes_for_none(server: Served) -> None:
    _, watcher = server.running.keys.create("prometheus", Role.METRICS)
    _, pipeline = server.running.keys.create("pipeline", Role.PIPELINE)
    assert get(server, "/metrics", watcher)[0] == 200
    for secret in ("", pipeline, "cck_000000000000_" + "A" * 43):
        status, text = get(server, "/metrics", secret)
        assert status == 401 and "copycatch_" not in text
    assert get(server, "/livez", "")[0] == get(server, "/readyz", "")[0] == 200


def test_an_address_that_is_taken_is_named() -> None:
    first = Probes("127.0.0.1:0", Metrics().registry, lambda: "")
    try:
        with pytest.raises(ProbesUnbound, match=f"{first.address}.*to go without"):
            Probes(first.address, Metrics().registry, lambda: "")
    finally:
        first.stop()


def test_a_call_leaves_one_line_with_its_id_and_its_steps(
    server: Served, lines: list[dict[str, object]]
) -> None:
    request = check(picture(1), picture(2), b"junk")
    _, call = server.match.CheckListing.with_call(request, metadata=(("x-request-id", "my-1"),))
    assert ("x-request-id", "my-1") in call.trailing_metadata()
    (line,) = lines
    assert line["request_id"] == "my-1"
    assert line["method"] == "MatchService/CheckListing"
    assert (line["code"], line["items"], line["failed"]) == ("OK", 2, 1)
    assert isinstance(line["ms"], float) and isinstance(line["steps_ms"], dict)
    assert "decode" in line["steps_ms"]
    assert "reason" not in line


def test_an_error_leaves_one_line_with_its_reason(
    server: Served, lines: list[dict[str, object]]
) -> None:
    request = originals_service_pb2.GetOriginalRequest(name="brands/a/originals/b")
    failed = failure(server.originals.GetOriginal, request)
    (line,) = lines
    assert (line["code"], line["reason"]) == ("NOT_FOUND", "ORIGINAL_NOT_FOUND")
    assert line["request_id"] == failed.request_id


@pytest.mark.parametrize("sent", ["", "has space", "x" * 65, "ü\n"])
def test_an_id_that_is_not_fit_for_a_log_is_replaced(
    server: Served, lines: list[dict[str, object]], sent: str
) -> None:
    metadata = (("x-request-id", sent),) if sent.isascii() else ()
    server.match.GetServerInfo(match_service_pb2.GetServerInfoRequest(), metadata=metadata)
    (line,) = lines
    assert line["request_id"] != sent and len(str(line["request_id"])) == 32


def test_neither_pictures_nor_annotations_are_logged(
    server: Served, lines: list[dict[str, object]]
) -> None:
    server.create_brand("secret")
    request = originals_service_pb2.CreateOriginalRequest(
        parent="brands/secret",
        original=originals_service_pb2.Original(
            image=b"PICTURE-BYTES", annotations={"note": "ANNOTATION"}
        ),
    )
    failure(server.originals.CreateOriginal, request)
    text = json.dumps(lines)
    assert "PICTURE-BYTES" not in text and "ANNOTATION" not in text


def test_a_line_is_json_or_words() -> None:
    for formatter, expected in (
        (JsonFormatter(), '"reason": "QUEUE_FULL"'),
        (TextFormatter(), "reason=QUEUE_FULL"),
    ):
        stream = io.StringIO()
        handler = logging.StreamHandler(stream)
        handler.setFormatter(formatter)
        telemetry.log.addHandler(handler)
        try:
            request = Request("r", "M/X", steps_ms={"decode": 1.23456})
            log_request(request, "RESOURCE_EXHAUSTED", "QUEUE_FULL", ValueError("boom"))
        finally:
            telemetry.log.removeHandler(handler)
        text = stream.getvalue()
        assert expected in text and "boom" in text and "1.235" in text
    assert json.loads(text.splitlines()[0].partition("steps_ms=")[2]) == {"decode": 1.235}
