"""Callers share forward passes, and nobody pays for another's row, time or crash."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.batcher import (
    Batcher,
    BatcherStopped,
    BatchReport,
    DeadlineExpired,
    EncodingFailed,
    QueueFull,
)
from models.encoders import EncoderInfo, FloatArray, Row, UInt8Array
from models.toy import ToyEncoder
from tests.kit.images import draw

WAIT_S = 20.0
"""Longer than anything here takes; only a hang reaches it."""


class Plane:
    """A true encoder small enough to check by value: a row (x,) becomes (cos x, sin x).

    Holds every pass until `gate` is set, and remembers the batches it saw. Rows of value 13
    raise, rows of value 14 give NaN, rows of value 15 give a wrong shape.
    """

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)
        self.batches: list[list[float]] = []

    @property
    def info(self) -> EncoderInfo:
        return EncoderInfo("plane", 2, "00" * 32, "cpu", "one number")

    def prepare(self, rgb: UInt8Array) -> Row:
        return np.array([float(rgb.mean())])

    def encode(self, batch: Row) -> FloatArray:
        self.batches.append([float(x) for x in batch[:, 0]])
        self.entered.release()
        assert self.gate.wait(WAIT_S)
        if 13.0 in batch[:, 0]:
            raise ZeroDivisionError("thirteen")
        if 15.0 in batch[:, 0]:
            return np.zeros((len(batch), 5), np.float32)
        vectors = np.stack([np.cos(batch[:, 0]), np.sin(batch[:, 0])], axis=1)
        vectors[batch[:, 0] == 14.0] = np.nan
        return vectors.astype(np.float32)


def row(value: float, length: int = 1) -> Row:
    return np.array([value] + [0.0] * (length - 1))


def expected(value: float) -> FloatArray:
    return np.array([np.cos(value), np.sin(value)], np.float32)


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def make(encoder: Plane, **settings: object) -> Batcher:
    return Batcher(encoder, **settings).start()  # type: ignore[arg-type]


def hold(batcher: Batcher, encoder: Plane) -> "Future[FloatArray]":
    """Occupy the worker with a row of value 0, so that what follows waits in the queue."""
    encoder.gate.clear()
    future = batcher.submit(row(0.0))
    assert encoder.entered.acquire(timeout=WAIT_S)
    return future


def test_callers_get_their_own_vectors_from_a_real_encoder() -> None:
    encoder = ToyEncoder()
    rows = [encoder.prepare(np.asarray(draw(seed, (64, 48)))) for seed in range(20)]
    direct = encoder.encode(np.stack(rows))
    with Batcher(encoder, max_batch=4) as batcher, ThreadPoolExecutor(8) as callers:
        answers = list(callers.map(lambda r: batcher.submit(r).result(WAIT_S), rows))
    np.testing.assert_allclose(np.stack(answers), direct, atol=1e-6)


def test_rows_that_wait_share_one_pass() -> None:
    encoder = Plane()
    with make(encoder, max_batch=8) as batcher:
        first = hold(batcher, encoder)
        others = [batcher.submit(row(float(n))) for n in range(1, 6)]
        assert batcher.waiting == 5
        encoder.gate.set()
        for n, future in enumerate([first, *others]):
            np.testing.assert_array_equal(future.result(WAIT_S), expected(float(n)))
    assert encoder.batches == [[0.0], [1.0, 2.0, 3.0, 4.0, 5.0]]


def test_a_batch_has_at_most_max_batch_rows() -> None:
    encoder = Plane()
    with make(encoder, max_batch=2) as batcher:
        hold(batcher, encoder)
        futures = [batcher.submit(row(float(n))) for n in range(1, 6)]
        encoder.gate.set()
        for future in futures:
            future.result(WAIT_S)
    assert [len(batch) for batch in encoder.batches] == [1, 2, 2, 1]


def test_workers_share_what_waits() -> None:
    encoder = Plane()
    encoder.gate.clear()
    with Batcher(encoder, max_batch=8, workers=2) as batcher:
        held = [batcher.submit(row(x)) for x in (0.1, 0.2)]
        for _ in held:
            assert encoder.entered.acquire(timeout=WAIT_S)
        waiting = [batcher.submit(row(x)) for x in (1.0, 2.0, 3.0, 4.0)]
        encoder.gate.set()
        for value, future in zip((0.1, 0.2, 1.0, 2.0, 3.0, 4.0), held + waiting, strict=True):
            np.testing.assert_allclose(future.result(WAIT_S), expected(value), atol=1e-6)
    assert max(map(len, encoder.batches)) == 2  # of four, each of two workers takes two


def test_rows_of_different_shapes_are_encoded_apart() -> None:
    encoder = Plane()
    with make(encoder, max_batch=8) as batcher:
        hold(batcher, encoder)
        lengths = [1, 3, 1, 3, 2]
        futures = [batcher.submit(row(float(n + 1), k)) for n, k in enumerate(lengths)]
        encoder.gate.set()
        for n, future in enumerate(futures):
            np.testing.assert_array_equal(future.result(WAIT_S), expected(n + 1.0))
    assert encoder.batches == [[0.0], [1.0, 3.0], [2.0, 4.0], [5.0]]


def test_a_full_queue_says_when_to_come_back() -> None:
    encoder = Plane()
    with make(encoder, max_queue=3) as batcher:
        hold(batcher, encoder)
        waiting = [batcher.submit(row(1.0)) for _ in range(3)]
        with pytest.raises(QueueFull) as caught:
            batcher.submit(row(2.0))
        assert caught.value.retry_after_s > 0
        assert caught.value.waiting == 3
        encoder.gate.set()
        for future in waiting:
            future.result(WAIT_S)


def test_cancelled_rows_make_room_and_are_not_encoded() -> None:
    encoder = Plane()
    with make(encoder, max_queue=2) as batcher:
        hold(batcher, encoder)
        gone, kept = batcher.submit(row(1.0)), batcher.submit(row(2.0))
        assert gone.cancel()
        late = batcher.submit(row(3.0))
        encoder.gate.set()
        kept.result(WAIT_S)
        late.result(WAIT_S)
    assert encoder.batches == [[0.0], [2.0, 3.0]]


def test_expired_rows_are_skipped_before_the_pass() -> None:
    encoder, clock = Plane(), Clock()
    with make(encoder, clock=clock) as batcher:
        hold(batcher, encoder)
        expiring = batcher.submit(row(1.0), deadline=101.0)
        lasting = batcher.submit(row(2.0), deadline=200.0)
        clock.now = 101.5
        encoder.gate.set()
        with pytest.raises(DeadlineExpired) as caught:
            expiring.result(WAIT_S)
        assert caught.value.late_s == pytest.approx(0.5)
        np.testing.assert_array_equal(lasting.result(WAIT_S), expected(2.0))
    assert encoder.batches == [[0.0], [2.0]]


def test_a_row_that_comes_too_late_is_refused_at_once() -> None:
    with make(Plane(), clock=Clock()) as batcher, pytest.raises(DeadlineExpired):
        batcher.submit(row(1.0), deadline=99.0)


def test_encode_gives_up_at_its_deadline_and_withdraws_its_rows() -> None:
    encoder = Plane()
    with make(encoder) as batcher:
        hold(batcher, encoder)
        with pytest.raises(DeadlineExpired):
            batcher.encode([row(1.0), row(2.0)], deadline=time.monotonic() + 0.05)
        encoder.gate.set()
        batcher.encode([row(3.0)])
    assert encoder.batches == [[0.0], [3.0]]


@pytest.mark.parametrize(
    ("poison", "error"),
    [(13.0, ZeroDivisionError), (14.0, EncodingFailed), (15.0, EncodingFailed)],
)
def test_a_bad_row_fails_alone(poison: float, error: type[Exception]) -> None:
    encoder = Plane()
    with make(encoder) as batcher:
        hold(batcher, encoder)
        values = [1.0, poison, 2.0]
        futures = [batcher.submit(row(value)) for value in values]
        encoder.gate.set()
        np.testing.assert_array_equal(futures[0].result(WAIT_S), expected(1.0))
        with pytest.raises(error):
            futures[1].result(WAIT_S)
        np.testing.assert_array_equal(futures[2].result(WAIT_S), expected(2.0))
        np.testing.assert_array_equal(batcher.encode([row(4.0)]), expected(4.0)[None])


@pytest.mark.parametrize("error", [MemoryError, SystemExit, KeyboardInterrupt])
def test_a_crash_reaches_its_callers_and_the_batcher_lives_on(error: type[BaseException]) -> None:
    class Crashing(Plane):
        def encode(self, batch: Row) -> FloatArray:
            if 99.0 in batch[:, 0]:
                raise error
            return super().encode(batch)

    with make(Crashing()) as batcher:
        with pytest.raises(error):
            batcher.submit(row(99.0)).result(WAIT_S)
        np.testing.assert_array_equal(batcher.submit(row(1.0)).result(WAIT_S), expected(1.0))


def test_an_encoders_own_timeout_is_not_taken_for_a_deadline() -> None:
    class Slow(Plane):
        def encode(self, batch: Row) -> FloatArray:
            raise TimeoutError("the device did not answer")

    with make(Slow()) as batcher, pytest.raises(TimeoutError, match="did not answer"):
        batcher.encode([row(1.0)], deadline=time.monotonic() + WAIT_S)


def test_encode_takes_more_rows_than_the_queue_holds() -> None:
    encoder = Plane()
    with make(encoder, max_queue=3, max_batch=2) as batcher:
        vectors = batcher.encode([row(20.0 + n) for n in range(20)])
        assert batcher.encode([]).shape == (0, 2)
    np.testing.assert_array_equal(vectors, np.stack([expected(20.0 + n) for n in range(20)]))


def test_encode_does_not_wait_behind_a_queue_full_of_others() -> None:
    encoder = Plane()
    with make(encoder, max_queue=2) as batcher:
        hold(batcher, encoder)
        others = [batcher.submit(row(1.0)) for _ in range(2)]
        with pytest.raises(QueueFull):
            batcher.encode([row(2.0)])
        encoder.gate.set()
        for future in others:
            future.result(WAIT_S)


def test_stopping_encodes_what_waits() -> None:
    encoder = Plane()
    batcher = make(encoder)
    hold(batcher, encoder)
    futures = [batcher.submit(row(float(n))) for n in range(1, 4)]
    encoder.gate.set()
    batcher.stop()
    for n, future in enumerate(futures, 1):
        np.testing.assert_array_equal(future.result(0), expected(float(n)))
    with pytest.raises(BatcherStopped):
        batcher.submit(row(1.0))


def test_stopping_at_once_fails_what_waits_and_finishes_what_runs() -> None:
    encoder = Plane()
    batcher = make(encoder)
    running = hold(batcher, encoder)
    waiting = batcher.submit(row(1.0))
    stopper = threading.Thread(target=lambda: batcher.stop(drain=False))
    stopper.start()
    with pytest.raises(BatcherStopped):
        waiting.result(WAIT_S)
    encoder.gate.set()
    stopper.join(WAIT_S)
    np.testing.assert_array_equal(running.result(WAIT_S), expected(0.0))


def test_stopping_does_not_wait_for_ever_for_a_stuck_pass() -> None:
    encoder = Plane()
    batcher = make(encoder)
    hold(batcher, encoder)
    waiting = batcher.submit(row(1.0))
    batcher.stop(timeout_s=0.05)
    with pytest.raises(BatcherStopped):
        waiting.result(0)
    encoder.gate.set()


def test_nothing_is_taken_before_the_start_and_a_stopped_batcher_starts_again() -> None:
    batcher = Batcher(Plane())
    with pytest.raises(BatcherStopped):
        batcher.submit(row(1.0))
    for value in (1.0, 2.0):
        with batcher:
            np.testing.assert_array_equal(batcher.encode([row(value)])[0], expected(value))


def test_each_pass_is_reported() -> None:
    encoder, clock = Plane(), Clock()
    reports: list[BatchReport] = []
    with make(encoder, clock=clock, observe=reports.append) as batcher:
        hold(batcher, encoder)
        futures = [batcher.submit(row(1.0)), batcher.submit(row(14.0))]
        clock.now += 2.0
        encoder.gate.set()
        futures[0].result(WAIT_S)
    assert [(r.rows, r.failed) for r in reports] == [(1, 0), (2, 1)]
    assert reports[1].queue_wait_s == pytest.approx(2.0)


def test_a_failing_observer_hurts_nobody() -> None:
    def fail(_: BatchReport) -> None:
        raise RuntimeError("metrics are down")

    with make(Plane(), observe=fail) as batcher:
        for value in (1.0, 2.0):
            np.testing.assert_array_equal(batcher.encode([row(value)])[0], expected(value))


def test_a_caller_may_change_its_answer() -> None:
    encoder = Plane()
    with make(encoder) as batcher:
        hold(batcher, encoder)
        mine, other = batcher.submit(row(1.0)), batcher.submit(row(2.0))
        encoder.gate.set()
        mine.result(WAIT_S)[:] = 7.0
        np.testing.assert_array_equal(other.result(WAIT_S), expected(2.0))


# --- any order of arrivals, cancellations, deadlines and failures ---------------------

Event = tuple[str, int]
_events = st.lists(
    st.one_of(
        st.tuples(st.just("submit"), st.integers(0, 20)),
        st.tuples(st.just("submit_wide"), st.integers(0, 12)),
        st.tuples(st.just("submit_expiring"), st.integers(0, 12)),
        st.tuples(st.just("cancel"), st.integers(0, 40)),
        st.tuples(st.just("release"), st.just(0)),
        st.tuples(st.just("pass_time"), st.integers(1, 3)),
    ),
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(_events, st.integers(1, 5), st.integers(1, 6), st.integers(1, 3))
def test_every_caller_gets_its_own_answer_in_any_order_of_events(
    events: list[Event], max_batch: int, max_queue: int, workers: int
) -> None:
    encoder, clock = Plane(), Clock()
    batcher = Batcher(
        encoder, max_batch=max_batch, max_queue=max_queue, workers=workers, clock=clock
    ).start()
    encoder.gate.clear()
    sent: list[tuple[float, float | None, Future[FloatArray]]] = []

    def submit(value: float, deadline: float | None, length: int) -> None:
        try:
            sent.append((value, deadline, batcher.submit(row(value, length), deadline=deadline)))
        except QueueFull as full:
            assert full.waiting == max_queue

    def cancel(n: int) -> None:
        if n < len(sent):
            sent[n][2].cancel()

    def release(_: int) -> None:
        encoder.gate.set()
        encoder.gate.clear()

    act: dict[str, Callable[[int], None]] = {
        "submit": lambda n: submit(float(n), None, 1),
        "submit_wide": lambda n: submit(float(n), None, 3),
        "submit_expiring": lambda n: submit(float(n), clock.now + 1.0, 1),
        "cancel": cancel,
        "release": release,
        "pass_time": lambda n: setattr(clock, "now", clock.now + n / 2),
    }
    for name, number in events:
        act[name](number)
        assert batcher.waiting <= max_queue
    encoder.gate.set()
    batcher.stop(timeout_s=WAIT_S)

    for value, deadline, future in sent:
        assert future.done(), "every future ends"
        if future.cancelled():
            continue
        error = future.exception()
        if isinstance(error, DeadlineExpired):
            assert deadline is not None and deadline <= clock.now
        elif value == 13.0:
            assert isinstance(error, ZeroDivisionError)
        elif value in (14.0, 15.0):
            assert isinstance(error, EncodingFailed)
        else:
            np.testing.assert_array_equal(future.result(), expected(value))
    cancelled = {id(f) for _, _, f in sent if f.cancelled()}
    encoded = sum(len(batch) for batch in encoder.batches if len(batch) <= max_batch)
    assert encoded >= len(sent) - len(cancelled) - sum(
        isinstance(f.exception(), DeadlineExpired) for _, _, f in sent if not f.cancelled()
    )
    assert all(len(batch) <= max_batch for batch in encoder.batches)


def test_many_threads_under_load_get_their_own_rows() -> None:
    encoder = Plane()

    def ask(n: int) -> bool:
        value = 20.0 + n
        answer = batcher.encode([row(value), row(value + 0.5)], deadline=time.monotonic() + WAIT_S)
        return bool((answer == np.stack([expected(value), expected(value + 0.5)])).all())

    with make(encoder, max_batch=4, max_queue=64, workers=2) as batcher:
        with ThreadPoolExecutor(16) as callers:
            assert all(callers.map(ask, range(400)))
    assert len(encoder.batches) < 800, "passes were shared"
