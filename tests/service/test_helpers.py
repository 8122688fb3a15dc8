"""Helpers: what processes that look at pictures answer, and what becomes of a lost one."""

import contextlib
import io
import os
import pickle
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.rpc import error_details_pb2
from PIL import Image

from copycatch.v1 import match_service_pb2 as pb
from copycatch.v1 import match_service_pb2_grpc
from index.catalogue import Catalogue
from index.disk import StoreFailed
from index.spaces import Space
from models.batcher import Batcher, DeadlineExpired
from models.fingerprint import Fingerprinter
from models.sketch import Kept, Sketch
from models.sscd import SscdEncoder
from models.toy import ToyEncoder
from service.assembly import assemble
from service.helpers.matcher import HelpedMatcher
from service.helpers.pool import HelperLost, Helpers
from service.helpers.wire import Setup, Task
from service.matching.pipeline import Matcher
from service.matching.results import CheckOptions, ImageVerdict, Verdict
from service.matching.score import ScoreModels
from service.registry import Registry, Submission
from tests.kit.images import encode, photo
from tests.service.program import running
from tests.service.serving import serving, settings

NAMES = ("chelsea", "coffee", "rocket")


class Deadly:
    """Ends whatever process reads it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os._exit, (7,)


class Endless:
    """Keeps whatever process reads it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return time.sleep, (600,)


class Market:
    """A catalogue of photographs, and what asks about it in threads and in helpers."""

    def __init__(self, catalogue: Catalogue, copy: Batcher, printer: Fingerprinter) -> None:
        self.catalogue, self.copy, self.printer = catalogue, copy, printer
        self.models = ScoreModels.bundled()
        self.plain = Matcher(catalogue, printer, models=self.models)

    @contextlib.contextmanager
    def helpers(self, count: int = 1, limit_s: float = 0.0) -> Iterator[Helpers]:
        encoder = self.copy.encoder
        how = {"sscd": (encoder.info, getattr(encoder, "preparation", None))}
        setup = Setup(how, "balanced", self.models, None, key_points=False)
        helpers = Helpers(count, limit_s)
        try:
            helpers.begin(setup, self.catalogue, {"sscd": self.copy})
            yield helpers
        finally:
            helpers.close()


@contextlib.contextmanager
def opened(folder: Path, encoder: SscdEncoder | ToyEncoder) -> Iterator[Market]:
    with Batcher(encoder) as copy:
        printer = Fingerprinter(copy)
        spaces = [Space(*space) for space in printer.spaces]
        with Catalogue.open(folder / "store", spaces, printer.schema) as catalogue:
            registry = Registry(catalogue, printer)
            catalogue.create_brand("acme")
            for name in NAMES:
                registry.register(Submission("acme", name, encode(photo(name), "PNG")))
            yield Market(catalogue, copy, printer)


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    with opened(tmp_path_factory.mktemp("market"), SscdEncoder("sscd_distilled", threads=1)) as it:
        yield it


@pytest.fixture(scope="module")
def helped(market: Market) -> Iterator[HelpedMatcher]:
    with market.helpers() as helpers:
        yield HelpedMatcher(market.catalogue, market.printer, helpers)


def listing(name: str = "coffee") -> bytes:
    return encode(photo(name).resize((420, 300)), "JPEG")


def told(found: ImageVerdict) -> tuple[Any, ...]:
    """All but how long it took; sums of floats differ in their last digits from run to run."""
    matches = [
        (
            each.key,
            each.kind,
            each.verdict,
            [edit.type for edit in each.edits],
            {one.signal for one in each.evidence},
            pytest.approx(each.score, abs=0.01),
        )
        for each in found.matches
    ]
    return found.verdict, matches, found.note, len(found.print)


def collage() -> bytes:
    page = Image.new("RGB", (900, 700), "white")
    page.paste(photo("coffee").resize((300, 200)), (80, 60))
    page.paste(photo("rocket").resize((320, 213)), (500, 400))
    return encode(page, "PNG")


@pytest.mark.parametrize(
    ("image", "options"),
    [
        (encode(photo("coffee"), "PNG"), CheckOptions()),
        (encode(photo("coffee"), "PNG"), CheckOptions(thorough=True)),
        (listing(), CheckOptions()),
        (listing(), CheckOptions(policy="strict", max_matches=1)),
        (
            encode(photo("rocket").transpose(Image.Transpose.FLIP_LEFT_RIGHT), "JPEG"),
            CheckOptions(),
        ),
        (collage(), CheckOptions(min_score=0.0)),
        (encode(photo("motorcycle"), "JPEG"), CheckOptions(brands=frozenset({"acme"}))),
        (encode(Image.new("RGB", (300, 300), "white"), "PNG"), CheckOptions()),
    ],
)
def test_a_helper_answers_what_a_thread_answers(
    market: Market, helped: HelpedMatcher, image: bytes, options: CheckOptions
) -> None:
    assert told(helped.check(image, options)) == told(market.plain.check(image, options))


def test_a_comparison_is_the_same_and_its_evidence_is_drawn(
    market: Market, helped: HelpedMatcher
) -> None:
    a, b = listing(), encode(photo("coffee"), "PNG")
    ours, theirs = (each.compare(a, b, evidence_png=True) for each in (helped, market.plain))
    assert ours.match.kind is theirs.match.kind and ours.match.note == theirs.match.note
    drawn = [np.asarray(Image.open(io.BytesIO(each.evidence_png))) for each in (ours, theirs)]
    assert drawn[0].shape == drawn[1].shape


def test_what_may_be_remembered_comes_back(market: Market, helped: HelpedMatcher) -> None:
    sketches: list[Sketch | None] = []
    for matcher in (helped, market.plain):
        kept: list[Kept] = []
        matcher.check(listing(), CheckOptions(), keep=kept.append)
        sketches.append(kept[0]())
    ours, theirs = sketches
    assert ours is not None and theirs is not None
    assert (ours.sheet == theirs.sheet).all() and ours.phash == theirs.phash
    again = (each.check_again(ours, CheckOptions()) for each in (helped, market.plain))
    first, second = map(told, again)
    assert first == second and first[0] is Verdict.COPY


@pytest.mark.parametrize(
    "image",
    [b"", b"GIF89a", b"no picture", listing()[:2000], encode(Image.new("RGB", (4, 4)), "PNG")],
)
def test_errors_are_the_same(market: Market, helped: HelpedMatcher, image: bytes) -> None:
    errors = []
    for matcher in (helped, market.plain):
        with pytest.raises(Exception) as caught:
            matcher.check(image, CheckOptions())
        errors.append((type(caught.value), str(caught.value)))
    assert errors[0] == errors[1]
    assert market.plain.policies.of("") == helped.policies.of("")


def test_errors_of_the_server_reach_the_one_who_asked(helped: HelpedMatcher) -> None:
    with pytest.raises(Exception, match="nobody"):
        helped.check(listing(), CheckOptions(brands=frozenset({"nobody"})))
    with pytest.raises(DeadlineExpired):
        helped.check(listing(), CheckOptions(), time.monotonic() - 1)
    assert helped.check(listing(), CheckOptions()).verdict is Verdict.COPY


def test_an_encoder_that_the_server_prepares_pictures_for(tmp_path: Path) -> None:
    with opened(tmp_path, ToyEncoder()) as toy, toy.helpers() as helpers:
        ours = HelpedMatcher(toy.catalogue, toy.printer, helpers).check(listing(), CheckOptions())
        assert told(ours) == told(toy.plain.check(listing(), CheckOptions()))


def test_a_helper_that_was_killed_is_replaced_and_its_picture_answered(market: Market) -> None:
    with market.helpers(2) as helpers:
        matcher = HelpedMatcher(market.catalogue, market.printer, helpers)
        before = helpers.pids
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        with ThreadPoolExecutor(2) as pool:
            asked = [pool.submit(matcher.check, listing(), CheckOptions()) for _ in range(4)]
            assert {each.result().verdict for each in asked} == {Verdict.COPY}
        assert helpers.lost >= 1 and set(helpers.pids) != set(before)


def test_one_that_died_while_it_waited_is_not_alive_until_it_is_replaced(market: Market) -> None:
    with market.helpers() as helpers:
        assert helpers.alive == 1
        (pid,) = helpers.pids
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert (helpers.alive, helpers.lost) == (0, 0)
        matcher = HelpedMatcher(market.catalogue, market.printer, helpers)
        assert matcher.check(listing(), CheckOptions()).verdict is Verdict.COPY
        assert (helpers.alive, helpers.lost) == (1, 1)


def test_a_picture_that_brings_down_every_process_is_named_and_hurts_no_other(
    market: Market,
) -> None:
    with market.helpers() as helpers:
        with pytest.raises(HelperLost, match="code 7"):
            helpers.run(Task("check", (Deadly(),)))
        assert helpers.lost == 2
        found = HelpedMatcher(market.catalogue, market.printer, helpers).check(
            listing(), CheckOptions()
        )
        assert found.verdict is Verdict.COPY


def test_a_picture_that_takes_for_ever_is_given_up_and_not_tried_again(market: Market) -> None:
    # The limit holds for the start of a helper, too, which takes a busy machine more than a second.
    with market.helpers(limit_s=5.0) as helpers:
        with pytest.raises(HelperLost, match="no sign"):
            helpers.run(Task("check", (Endless(),)))
        assert helpers.lost == 1


def test_what_may_wait_leaves_a_helper_to_calls(market: Market) -> None:
    begun, go_on = threading.Semaphore(0), threading.Event()

    class Slow:
        """The catalogue, which answers what may wait only later."""

        def __getattr__(self, name: str) -> Any:
            if name == "find_digest" and threading.current_thread().name.startswith("waiting"):
                begun.release()
                go_on.wait(60)
            return getattr(market.catalogue, name)

    with market.helpers(2) as helpers:
        helpers._catalogue = Slow()  # type: ignore[assignment]
        sweeps, calls = (
            HelpedMatcher(market.catalogue, market.printer, helpers, aside=aside)
            for aside in (True, False)
        )
        with ThreadPoolExecutor(2, "waiting") as pool:
            asked = [pool.submit(sweeps.check, listing(), CheckOptions()) for _ in range(2)]
            assert begun.acquire(timeout=60)
            assert calls.check(listing(), CheckOptions()).verdict is Verdict.COPY
            assert not begun.acquire(blocking=False)  # the second waits for the first
            go_on.set()
            assert {each.result(60).verdict for each in asked} == {Verdict.COPY}


def test_an_error_that_can_not_be_sent_is_told_in_words(market: Market) -> None:
    with market.helpers() as helpers:
        with pytest.raises(AttributeError):
            helpers.run(Task("no such thing", ()))
        assert helpers.lost == 0


def test_the_error_survives_a_pickle() -> None:
    again = pickle.loads(pickle.dumps(HelperLost("it was ended by signal 9", died=False)))
    assert (str(again), again.died) == (
        "the process that looked at the picture was lost: it was ended by signal 9",
        False,
    )


def test_helpers_that_nobody_needed_end() -> None:
    helpers = Helpers(2)
    pids = helpers.pids
    helpers.close()
    helpers.close()
    assert all(not Path(f"/proc/{pid}").exists() for pid in pids)


def test_a_server_that_can_not_start_leaves_no_helper(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "memory").write_text("no folder")  # opened when helpers run already
    config = settings(tmp_path, matching="processes", memory_listings=10)
    before = set(children(os.getpid()))
    with pytest.raises(StoreFailed, match="memory"):
        assemble(config)
    begun = set(children(os.getpid())) - before
    assert not [pid for pid in begun if b"helpers.process" in _called(pid)]


def test_a_server_in_helpers_answers_as_one_in_threads(tmp_path: Path) -> None:
    answers = []
    for mode in ("processes", "threads"):
        config = settings(tmp_path / mode, matching=mode, matching_processes=2)
        with serving(config) as served:
            served.create_brand()
            served.create_original("coffee", encode(photo("coffee"), "PNG"))
            images = [listing(), encode(photo("rocket"), "JPEG"), b"no picture", collage()]
            request = pb.CheckListingRequest(listing=pb.Listing(images=images))
            with ThreadPoolExecutor(4) as pool:
                found = list(pool.map(served.match.CheckListing, [request] * 6))
            assert all(_plain(each) == _plain(found[0]) for each in found)
            answers.append(_plain(found[0]))
    assert answers[0] == answers[1]
    assert [each[0] for each in answers[0]] == [pb.COPY, pb.CLEAR, pb.VERDICT_UNSPECIFIED, pb.COPY]


def test_a_server_goes_on_when_its_helpers_are_killed(tmp_path: Path) -> None:
    with serving(settings(tmp_path, matching="processes", matching_processes=1)) as served:
        served.create_brand()
        served.create_original("coffee", encode(photo("coffee"), "PNG"))
        request = pb.CheckListingRequest(listing=pb.Listing(images=[listing()]))
        before = _plain(served.match.CheckListing(request))
        helpers = served.running.gate.engine.helpers
        assert helpers is not None
        for _ in range(3):
            os.kill(helpers.pids[0], signal.SIGKILL)
            assert _plain(served.match.CheckListing(request)) == before
        assert helpers.lost == 3
        with killing(helpers):
            told = served.match.CheckListing(request).image_results[0].error
        assert told.details[0].Is(error_details_pb2.ErrorInfo.DESCRIPTOR), told
        info = error_details_pb2.ErrorInfo()
        told.details[0].Unpack(info)
        assert info.reason == "HELPER_LOST" and "signal 9" in told.message
        assert _plain(served.match.CheckListing(request)) == before


def test_another_package_in_the_servers_folder_is_not_taken_for_ours(
    market: Market, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "service").mkdir()
    (tmp_path / "service" / "__init__.py").write_text("raise SystemExit('another service')\n")
    monkeypatch.chdir(tmp_path)
    with market.helpers() as helpers:
        matcher = HelpedMatcher(market.catalogue, market.printer, helpers)
        assert matcher.check(listing(), CheckOptions()).verdict is Verdict.COPY


def test_helpers_end_with_their_server_however_it_ends(tmp_path: Path) -> None:
    for how in (signal.SIGTERM, signal.SIGKILL):
        with running(tmp_path / how.name, matching_processes=2) as program:
            with program.connect() as channel:
                stub = match_service_pb2_grpc.MatchServiceStub(channel)
                stub.CheckListing(pb.CheckListingRequest(listing=pb.Listing(images=[listing()])))
            helpers = children(program.process.pid)
            assert len(helpers) == 2
            program.process.send_signal(how)
            program.process.wait(60)
            for _ in range(6000):
                if not any(Path(f"/proc/{pid}").exists() for pid in helpers):
                    break
                threading.Event().wait(0.01)
            assert not any(Path(f"/proc/{pid}").exists() for pid in helpers)


@contextlib.contextmanager
def killing(helpers: Helpers) -> Iterator[None]:
    """Kill every helper that there is or comes, as a picture does that brings each down."""
    ended = threading.Event()

    def kill() -> None:
        while not ended.wait(0.005):
            for pid in helpers.pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _plain(answer: pb.CheckListingResponse) -> list[tuple[Any, ...]]:
    """An answer without what differs from call to call."""
    return [
        (
            each.verdict,
            [(m.original, m.kind, pytest.approx(m.score, abs=0.01)) for m in each.matches],
            each.error.message,
            each.note,
        )
        for each in answer.image_results
    ]


def _called(pid: int) -> bytes:
    """The command of a process; empty when it has ended."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def children(pid: int) -> list[int]:
    """Processes that a process has begun."""
    found = []
    for name in os.listdir("/proc"):
        with contextlib.suppress(OSError, IndexError, ValueError):
            words = Path(f"/proc/{int(name)}/stat").read_text().rpartition(")")[2].split()
            if int(words[1]) == pid:
                found.append(int(name))
    return found
