"""What a server tells about itself: metrics, one log line per request, liveness, readiness.

Each server has its own registry of metrics, so that two in one process (tests, the demo) do
not add up. Nothing here sees pictures or annotations.
"""

import contextvars
import json
import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from service.access.roles import Caller

log = logging.getLogger("copycatch.request")

# From a digest lookup (below 1 ms) to a thorough check of a large picture.
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


@dataclass(slots=True)
class Request:
    """What is noted about one call while it is served.

    Attributes:
        id: the caller's `x-request-id`, or one that was made up.
        method: `MatchService/CheckListing`.
        caller: who makes it; None until that is known.
        items: pictures or items of a stream that were answered.
        failed: those of them that were answered with an error.
        steps_ms: milliseconds spent in each step, added up over the pictures.
    """

    id: str
    method: str
    caller: Caller | None = None
    items: int = 0
    failed: int = 0
    steps_ms: dict[str, float] = field(default_factory=dict)
    started: float = field(default_factory=time.perf_counter)

    def add_steps(self, steps_ms: Mapping[str, float]) -> None:
        """Add the steps of one picture."""
        for name, ms in steps_ms.items():
            self.steps_ms[name] = self.steps_ms.get(name, 0.0) + ms


current: contextvars.ContextVar[Request | None] = contextvars.ContextVar("request", default=None)
"""The call that this task serves; None outside of calls."""


class Metrics:
    """The metrics of one server. Safe from any thread."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._rpcs = Counter(
            "copycatch_rpcs_total",
            "Calls that were answered, by gRPC code and ErrorInfo reason.",
            ["method", "code", "reason"],
            registry=registry,
        )
        self._rpc_seconds = Histogram(
            "copycatch_rpc_seconds",
            "Seconds from a call to its answer.",
            ["method"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._item_errors = Counter(
            "copycatch_item_errors_total",
            "Pictures and items of streams that were answered with an error, by reason.",
            ["method", "reason"],
            registry=registry,
        )
        self._step_seconds = Histogram(
            "copycatch_step_seconds",
            "Seconds of one step of the work on one picture.",
            ["step"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._batch_rows = Histogram(
            "copycatch_batch_rows",
            "Pictures that shared a forward pass.",
            ["encoder"],
            buckets=(1, 2, 4, 8, 16, 32, 64),
            registry=registry,
        )
        self._verdicts = Counter(
            "copycatch_verdicts_total",
            "Pictures that were checked, by verdict.",
            ["verdict"],
            registry=registry,
        )
        self._matches = Counter(
            "copycatch_matches_total",
            "Matches that were answered, by kind.",
            ["kind"],
            registry=registry,
        )
        self._labels = Counter(
            "copycatch_ai_labels_total",
            "Pictures whose AI label was read, by state.",
            ["state"],
            registry=registry,
        )
        self._labelled = Counter(
            "copycatch_ai_labelled_copies_total",
            "Pictures with the verdict COPY or REVIEW that also carry an AI label.",
            ["verdict", "state"],
            registry=registry,
        )
        self._registered = Counter(
            "copycatch_originals_registered_total",
            "Originals that were registered, by the state that they got.",
            ["state"],
            registry=registry,
        )
        self._remembered = Counter(
            "copycatch_listings_remembered_total",
            "Checked listings by what became of them: remembered, known (with the same pictures), "
            "dropped (too many waited) or failed.",
            ["outcome"],
            registry=registry,
        )
        self._calls = Gauge(
            "copycatch_calls_in_progress", "Calls that are being served.", registry=registry
        )
        self._not_logged = Counter(
            "copycatch_audit_failures_total",
            "Verdicts that could not be written to the audit log.",
            registry=registry,
        )
        self._ready = Gauge(
            "copycatch_ready",
            "1 when the indexes and encoders are loaded, 0 otherwise.",
            registry=registry,
        )
        self._ready.set(0)

    def answered(self, request: Request, code: str, reason: str) -> None:
        """Count a call that was answered, and its time."""
        self._rpcs.labels(request.method, code, reason).inc()
        self._rpc_seconds.labels(request.method).observe(time.perf_counter() - request.started)

    def item_failed(self, method: str, reason: str) -> None:
        """Count a picture or an item of a stream that was answered with an error."""
        self._item_errors.labels(method, reason).inc()

    def stepped(self, steps_ms: Mapping[str, float]) -> None:
        """Count the steps of one picture."""
        for step, ms in steps_ms.items():
            self._step_seconds.labels(step).observe(ms / 1000)

    def encoded(self, encoder: str, rows: int, queue_wait_s: float, forward_s: float) -> None:
        """Count one forward pass: its pictures, the longest wait for it, its time."""
        self._batch_rows.labels(encoder).observe(rows)
        self._step_seconds.labels(f"wait_for_{encoder}").observe(queue_wait_s)
        self._step_seconds.labels(f"forward_{encoder}").observe(forward_s)

    def waited(self, seconds: float) -> None:
        """Count how long a piece of work waited for a thread."""
        self._step_seconds.labels("wait_for_thread").observe(seconds)

    def judged(self, verdict: str, kinds: Iterable[str], label: str = "") -> None:
        """Count one checked picture: its verdict, the kinds of its matches, its AI label."""
        self._verdicts.labels(verdict).inc()
        for kind in kinds:
            self._matches.labels(kind).inc()
        if label and label != "NONE" and verdict in ("COPY", "REVIEW"):
            self._labelled.labels(verdict, label).inc()

    def labelled(self, state: str) -> None:
        """Count one picture whose AI label was read."""
        self._labels.labels(state).inc()

    def registered(self, state: str) -> None:
        """Count an original that was registered, by its state: ACTIVE, or DISPUTED."""
        self._registered.labels(state).inc()

    def not_logged(self) -> None:
        """Count a verdict that could not be written to the audit log."""
        self._not_logged.inc()

    def remembered(self, outcome: str, count: int) -> None:
        """Count listings by what became of them in the memory."""
        self._remembered.labels(outcome).inc(count)

    def set_ready(self, ready: bool) -> None:
        """Say whether the server is ready."""
        self._ready.set(1 if ready else 0)

    @contextmanager
    def call(self) -> Iterator[None]:
        """Count a call as in progress for the time of the block."""
        with self._calls.track_inprogress():
            yield

    def watch(self, read: Callable[[], Iterable["Reading"]]) -> None:
        """Add gauges that are read when somebody asks for the metrics."""
        self.registry.register(_Readings(read))


@dataclass(frozen=True, slots=True)
class Reading:
    """One gauge as it is now; `labels` may be empty."""

    name: str
    help: str
    value: float
    labels: Mapping[str, str] = field(default_factory=dict)


class _Readings(Collector):
    def __init__(self, read: Callable[[], Iterable[Reading]]) -> None:
        self._read = read

    def describe(self) -> Iterable[Metric]:
        return ()  # reading at registration would ask a server that is not built yet

    def collect(self) -> Iterator[Metric]:
        families: dict[str, GaugeMetricFamily] = {}
        for reading in self._read():
            family = families.setdefault(
                reading.name,
                GaugeMetricFamily(
                    f"copycatch_{reading.name}", reading.help, labels=list(reading.labels)
                ),
            )
            family.add_metric(list(reading.labels.values()), reading.value)
        yield from families.values()


def log_request(request: Request, code: str, reason: str, error: BaseException | None) -> None:
    """Write the one line of a call; `error` only for defects, with its traceback."""
    fields: dict[str, Any] = {
        "request_id": request.id,
        "method": request.method,
        "code": code,
        "ms": round((time.perf_counter() - request.started) * 1000, 3),
    }
    if request.caller is not None:
        fields["key"] = request.caller.key_id
    if reason:
        fields["reason"] = reason
    if request.items:
        fields["items"] = request.items
    if request.failed:
        fields["failed"] = request.failed
    if request.steps_ms:
        fields["steps_ms"] = {name: round(ms, 3) for name, ms in request.steps_ms.items()}
    level = logging.ERROR if error else logging.INFO
    log.log(level, "request", extra={"fields": fields}, exc_info=error)


class JsonFormatter(logging.Formatter):
    """One JSON object a line, with the fields of `extra={"fields": {...}}` beside the message."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without a newline."""
        line = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S") + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802
        """Return when, in UTC: a log is read far from where it was written."""
        return time.strftime(datefmt or "%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))


class TextFormatter(logging.Formatter):
    """The same for a terminal: time, level, message, then `name=value` for each field."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; a traceback follows on lines of its own."""
        text = super().format(record)
        fields: Mapping[str, Any] = getattr(record, "fields", {})
        words = " ".join(
            f"{name}={json.dumps(value) if isinstance(value, dict) else value}"
            for name, value in fields.items()
        )
        first, newline, rest = text.partition("\n")
        return f"{first} {words}".rstrip() + newline + rest


def configure_logging(form: str, level: str, stream: IO[str] | None = None) -> None:
    """Send all log lines of the process to one stream, standard error when None.

    Args:
        form: `json` or `text`.
        level: least severity, a name of `logging` in lower case.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
