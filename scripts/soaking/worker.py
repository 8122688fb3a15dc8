"""One caller of a soak: does things to its own pictures and knows what must come of them.

No other caller touches its pictures, so that each answer has one right form although all share
the server. How it writes is told in `scripts.soaking.keeper`.
"""

import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from copycatch.v1 import originals_service_pb2
from scripts.soaking import bad
from scripts.soaking.caller import TIMEOUT_S, Unanswered
from scripts.soaking.held import Held, checking, creating, importing
from scripts.soaking.judge import judge
from scripts.soaking.keeper import BRANDS, Keeper, Post
from scripts.soaking.pictures import EDITS

_OUTCOME = originals_service_pb2.ImportOriginalsResponse
_LATE_S = 0.001
_REGISTERED_SHARE = 0.6
"""Originals are deleted above and registered below this share of a caller's pictures."""

MIX: Mapping[str, float] = {
    "exact": 22,
    "edited": 12,
    "withdrawn": 10,
    "stranger": 10,
    "stream": 8,
    "create": 9,
    "import": 5,
    "delete": 9,
    "read": 6,
    "rivals": 4,
    "bad": 8,
}
"""How often each thing is done. Some make several calls, so that bad input is 5 % of these."""
WITH_FAULTS: Mapping[str, float] = {"hang up": 4, "late": 4}
"""Faults of callers, besides."""


class Worker(Keeper):
    """A caller that does things by chance. `run` blocks until it is told to end."""

    role = "caller"

    def __init__(self, post: Post, held: Sequence[Held], seed: int) -> None:
        super().__init__(post, held, seed)
        self._up, self._strangers = post.up, post.strangers
        self._do: Mapping[str, Callable[[], None]] = {
            "exact": self._exact,
            "edited": self._edited,
            "withdrawn": self._withdrawn,
            "stranger": self._stranger,
            "stream": self._stream,
            "create": lambda: self._create(self._pick(registered=False)),
            "import": self._import,
            "delete": self._delete_some,
            "read": self._read,
            "rivals": self._rivals,
            "bad": self._bad,
            "hang up": self._hang_up,
            "late": self._late,
        }

    def run(self, ended: threading.Event, faults: threading.Event) -> None:
        """Do one thing after the other."""
        while not ended.is_set():
            try:
                self._once(ended, faults)
            except Unanswered:
                self._wait_for_server(0.1)
            except Exception as error:  # of the soak itself: nothing is proved without it
                self._ledger.mistake(f"the {self.role} failed: {type(error).__name__}: {error}")
                raise

    def _once(self, ended: threading.Event, faults: threading.Event) -> None:
        mix = {**MIX, **(WITH_FAULTS if faults.is_set() else {})}
        (kind,) = self._rng.choices(list(mix), list(mix.values()))
        self._do[kind]()

    def _wait_for_server(self, pause_s: float) -> None:
        time.sleep(pause_s)
        self._up.wait(200)
        self._caller.reconnect()

    # --- writes ------------------------------------------------------------------------

    def _delete_some(self) -> None:
        """Delete one, or several while most are registered."""
        fit = self.shuffled()
        registered = sum(bool(held.name) for held in fit)
        for _ in range(4 if registered > _REGISTERED_SHARE * len(fit) else 1):
            self._delete(self._pick(registered=True))

    def _import(self) -> None:
        chosen = self._some(4, lambda held: not held.name)
        names = {held.next_name(self._rng.choice(BRANDS)): held for held in chosen}
        for name, held in names.items():
            held.doubt = (name,)
        stub = self._caller.originals.ImportOriginals
        answered = set()
        for answer in self._caller.stream("import", stub, importing(names)):
            held = names[answer.item_id]
            answered.add(answer.item_id)
            if answer.outcome != _OUTCOME.CREATED:
                self._ledger.mistake(f"import {answer.item_id}: {answer}")
            else:
                self._registered(held, answer.item_id, answer.original)
        if answered != names.keys():
            self._ledger.mistake(f"import: {len(answered)} of {len(names)} items were answered")

    def _hang_up(self) -> None:
        """Leave a stream in its middle: of checks, or of an import, whose rest is in doubt."""
        leave = self._rng.randrange(3)
        if self._rng.random() < 0.5:
            requests = [checking(held.picture.bytes_of(), str(i)) for i, held in self._pictures(5)]
            check = self._caller.match.StreamingCheckListings
            for _ in self._caller.stream("hang up check", check, requests, leave_after=leave):
                pass
            return
        chosen = self._some(4, lambda held: not held.name)
        names = {held.next_name(self._rng.choice(BRANDS)): held for held in chosen}
        for name, held in names.items():
            held.doubt, held.lingers = (name,), True
        stub = self._caller.originals.ImportOriginals
        leave = min(leave, len(names))
        for answer in self._caller.stream(
            "hang up import", stub, importing(names), leave_after=leave
        ):
            if answer.outcome == _OUTCOME.CREATED:
                self._registered(names[answer.item_id], answer.item_id, answer.original)

    def _late(self) -> None:
        """Leave a call a millisecond; what is written is in doubt, unless it is answered."""
        ends = ("OK", "DEADLINE_EXCEEDED", "DEADLINE_EXPIRED")
        what = self._rng.randrange(3)
        if what < 2:
            held = self._pick(registered=bool(what))
            held.lingers = True
            write = self._delete if what else self._create
            write(held, _LATE_S, ends)
        else:
            held = self._pick(registered=True)
            self._check("check late", held.picture.bytes_of(), held, _LATE_S, ends)

    def _rivals(self) -> None:
        """Two brands register one picture at the same time: one has it, the other disputes it."""
        held = self._pick(registered=False)
        if held.name:
            return
        one, other = self._rng.sample(BRANDS, 2)
        names = held.next_name(one), held.next_name(other)
        held.doubt = names
        both: list[Any] = [None, None]

        def register(place: int) -> None:
            try:
                both[place] = self._caller.call(
                    "create rival",
                    self._caller.originals.CreateOriginal,
                    creating(names[place], held.picture),
                )
            except Unanswered as error:
                both[place] = error

        threads = [threading.Thread(target=register, args=(place,)) for place in (0, 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for answer in both:
            if isinstance(answer, Unanswered):
                raise answer
        states = sorted(originals_service_pb2.Original.State.Name(one.state) for one in both)
        if states != ["ACTIVE", "DISPUTED"]:
            self._ledger.mistake(f"create {names}: {states}, not one owner and one dispute")
        owner, rival = sorted(both, key=lambda one: int(one.state))
        held.name = owner.name
        self._check("check rivals", held.picture.bytes_of(), held)
        request = originals_service_pb2.DeleteOriginalRequest(name=rival.name)
        held.doubt, held.name = (rival.name, owner.name), ""
        self._caller.call("delete", self._caller.originals.DeleteOriginal, request)
        self._gone.add(rival.name)
        held.name, held.doubt = owner.name, ()

    # --- questions ---------------------------------------------------------------------

    def _exact(self) -> None:
        held = self._pick(registered=True)
        self._check("check exact", held.picture.bytes_of(), held)

    def _edited(self) -> None:
        held = self._pick(registered=True)
        edit = self._rng.choice(sorted(EDITS))
        self._check("check edited", held.picture.bytes_of(edit), held, edit=edit)

    def _withdrawn(self) -> None:
        held = self._pick(registered=False)
        self._check("check withdrawn", held.picture.bytes_of(), held)

    def _stranger(self) -> None:
        picture = self._rng.choice(self._strangers)
        held = Held(picture, -1)
        self._check("check stranger", picture.bytes_of(), held)

    def _check(
        self,
        kind: str,
        image: bytes,
        held: Held,
        timeout_s: float = TIMEOUT_S,
        ends: Collection[str] = ("OK",),
        edit: str = "",
    ) -> None:
        start = time.monotonic()
        request = checking(image, f"{held.number}-{edit}").request
        call = self._caller.match.CheckListing
        answer = self._caller.call(kind, call, request, timeout_s=timeout_s, ends=ends)
        if answer is not None:
            judge(self._ledger, self._gone, kind, answer, held, start, edit)

    def _stream(self) -> None:
        chosen = dict(self._pictures(5))
        start = time.monotonic()
        requests = [checking(held.picture.bytes_of(), str(i)) for i, held in chosen.items()]
        requests.append(checking(b"no picture", "bad"))
        stub = self._caller.match.StreamingCheckListings
        answered = set()
        for answer in self._caller.stream("stream of checks", stub, requests):
            answered.add(answer.item_id)
            if answer.item_id == "bad":
                bad.expect(self._ledger, "stream", answer.response, "IMAGE_UNDECODABLE")
            elif answer.HasField("response"):
                held = chosen[int(answer.item_id)]
                judge(self._ledger, self._gone, "stream", answer.response, held, start)
            else:
                self._ledger.mistake(f"stream: item {answer.item_id}: {answer.error.message}")
        if len(answered) != len(requests):
            self._ledger.mistake(f"stream: {len(answered)} of {len(requests)} items were answered")

    def _read(self) -> None:
        held = self._sure(self.shuffled()[0])
        call, ask = self._caller.originals.GetOriginal, originals_service_pb2.GetOriginalRequest
        if held.name:
            found = self._caller.call("get", call, ask(name=held.name))
            if found.name != held.name:
                self._ledger.mistake(f"get {held.name}: answered {found.name}")
        else:
            name = f"brands/{BRANDS[0]}/originals/p{held.number}-{held.generation + 1}"
            self._caller.call("get", call, ask(name=name), ends=("ORIGINAL_NOT_FOUND",))

    def _bad(self) -> None:
        bad.ask(self._rng, self._caller, self._ledger)

    def _pictures(self, count: int) -> Iterator[tuple[int, Held]]:
        yield from enumerate(self._some(count, lambda held: True))
