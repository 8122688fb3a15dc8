"""Asking a server about every listing of a labelled folder, as many callers at once."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import grpc
from rich.progress import Progress

from copycatch.v1 import match_service_pb2 as pb
from copycatch.v1 import match_service_pb2_grpc
from scripts.evaluation_data import Data
from scripts.serving import connect, register
from service.evaluation.answers import Asked, judged
from service.evaluation.messages import answer_of, described, policies_of

Names = Mapping[str, str]
MATCHES = 10
ALONE = 100
"""Listings that one caller asks again, alone, for the latency."""


@dataclass(slots=True)
class Run:
    """What was asked, answered and timed.

    Attributes:
        asked: every listing with its answers.
        judgements: by policy, the same listings with its verdicts.
        seconds: wall time of all checks by `callers` at once, and of the registration.
        alone_ms: latency of single calls with nobody else there, one for each listing asked.
        steps_ms: of each step, one value for each listing that took it.
        failures: originals that could not be registered, and why.
        info: GetServerInfo, as JSON has it; of the last server when there were several.
    """

    asked: list[Asked] = field(default_factory=list)
    judgements: defaultdict[str, list[Asked]] = field(default_factory=lambda: defaultdict(list))
    seconds: float = 0.0
    registration_seconds: float = 0.0
    registered: int = 0
    alone_ms: list[float] = field(default_factory=list)
    steps_ms: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    failures: dict[str, str] = field(default_factory=dict)
    info: dict[str, Any] = field(default_factory=dict)


def register_all(run: Run, address: str, brand: str, data: Data, progress: Progress) -> Names:
    """Register everything; returns the name in the data of each resource name."""
    with connect(address) as channel:
        task = progress.add_task("register", total=len(data.registered))
        began = time.perf_counter()
        images = {path: _reader(data, path) for path in data.registered}
        names, run.failures = register(channel, brand, images, lambda: progress.advance(task))
        run.registration_seconds, run.registered = time.perf_counter() - began, len(names)
    return names


def ask(
    run: Run,
    address: str,
    data: Data,
    names: Names,
    progress: Progress,
    *,
    callers: int,
    policy: str = "",
    brand: str = "",
) -> None:
    """Ask about the listings of `data`, and add what was answered to the run.

    Args:
        names: the name in the data of each resource name.
        policy: that answers are asked for by; empty is the server's.
        brand: that answers are asked for among; empty is all.
    """
    with connect(address) as channel:
        stub = match_service_pb2_grpc.MatchServiceStub(channel)
        info = stub.GetServerInfo(pb.GetServerInfoRequest(), timeout=60)
    run.info = described(info, policy)
    config = pb.MatchConfig(
        brands=[f"brands/{brand}"] if brand else [],
        max_matches=MATCHES,
        min_score=0.0,
        policy=policy,
    )
    caller = Caller(address, data, names, config)
    answered: list[Asked] = []
    try:
        task = progress.add_task("check", total=len(data.listings))
        began = time.perf_counter()
        with ThreadPoolExecutor(callers, thread_name_prefix="caller") as pool:
            for listing, result in pool.map(caller, data.listings):
                answered.append(listing)
                for step, spent in result.steps_ms.items():
                    run.steps_ms[step].append(spent)
                progress.advance(task)
        run.seconds += time.perf_counter() - began
    finally:
        caller.close()
    run.asked += answered
    for name, begins in policies_of(info).items():
        run.judgements[name] += judged(answered, begins)


def time_alone(
    run: Run, address: str, data: Data, names: Names, progress: Progress, brand: str = ""
) -> None:
    """Ask about some listings again, one at a time, for the latency."""
    config = pb.MatchConfig(brands=[f"brands/{brand}"] if brand else [], max_matches=MATCHES)
    caller = Caller(address, data, names, config)
    spread = data.limited(ALONE).listings
    task = progress.add_task("one caller", total=len(spread))
    try:
        for listing in spread:
            began = time.perf_counter()
            caller(listing)
            run.alone_ms.append((time.perf_counter() - began) * 1000)
            progress.advance(task)
    finally:
        caller.close()


class Caller:
    """Checks listings, each thread over a connection of its own."""

    def __init__(
        self, address: str, data: Data, names: Mapping[str, str], config: pb.MatchConfig
    ) -> None:
        self._address, self._data, self._names, self._config = address, data, names, config
        self._local = threading.local()
        self._lock = threading.Lock()
        self._channels: list[grpc.Channel] = []

    def __call__(self, listing: Asked) -> tuple[Asked, pb.ImageResult]:
        """Return the listing with its answers, and the answer."""
        request = pb.CheckListingRequest(
            listing=pb.Listing(
                listing_id=listing.path[-200:], images=[self._data.read(listing.path)]
            ),
            config=self._config,
        )
        result = self._stub().CheckListing(request, timeout=300).image_results[0]
        answered = replace(
            listing,
            verdict=pb.Verdict.Name(result.verdict),
            answers=tuple(answer_of(m, self._names[m.original]) for m in result.matches),
            error=result.error.message,
        )
        return answered, result

    def close(self) -> None:
        """Close all connections."""
        for channel in self._channels:
            channel.close()

    def _stub(self) -> match_service_pb2_grpc.MatchServiceStub:
        if not hasattr(self._local, "stub"):
            channel = connect(self._address)
            with self._lock:
                self._channels.append(channel)
            self._local.stub = match_service_pb2_grpc.MatchServiceStub(channel)
        stub: match_service_pb2_grpc.MatchServiceStub = self._local.stub
        return stub


def _reader(data: Data, path: str) -> Callable[[], bytes]:
    return lambda: data.read(path)
