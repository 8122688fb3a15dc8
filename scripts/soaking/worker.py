"""One caller of a soak: does things to its own pictures and knows what must come of them.

No other caller touches its pictures, so that each answer has one right form although all share
the server. A write that was not answered leaves a picture in doubt; before anything else is
done with it, the write is made again, which has to lead to one state whatever came of the
first. An id is never used twice, so an original that comes back is noticed.
"""

import random
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from copycatch.v1 import match_service_pb2, originals_service_pb2
from scripts.soaking import bad
from scripts.soaking.caller import TIMEOUT_S, Caller, Unanswered
from scripts.soaking.ledger import Ledger
from scripts.soaking.pictures import EDITS, Picture

BRANDS = ("ash", "birch", "cedar")
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


class Gone:
    """Names of originals that were withdrawn, and when that was acknowledged."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}

    def add(self, name: str) -> None:
        self._since[name] = time.monotonic()

    def before(self, name: str, start: float) -> bool:
        """Whether it was withdrawn before a call began."""
        return name in self._since and self._since[name] < start


@dataclass(slots=True)
class Held:
    """A picture and what is known of it.

    Attributes:
        name: resource name of the original; empty when it is not registered.
        doubt: names that may or may not be registered, after a write without an answer.
        withdrawn: whether it was registered before and is not now.
        lingers: whether what is in doubt may still be at work in the server.
        unfit: whether it is to be withdrawn, and left alone from then on.
    """

    picture: Picture
    number: int
    name: str = ""
    doubt: tuple[str, ...] = ()
    withdrawn: bool = False
    generation: int = 0
    lingers: bool = False
    unfit: bool = False

    def next_name(self, brand: str) -> str:
        """A name that was never used."""
        self.generation += 1
        return f"brands/{brand}/originals/p{self.number}-{self.generation}"


@dataclass(frozen=True, slots=True)
class Post:
    """What a worker of a soak works with.

    Attributes:
        caller: its own connection.
        ledger: where everything is written down.
        gone: what was withdrawn, and when.
        up: set while the server is there.
        strangers: pictures that are never registered.
    """

    caller: Caller
    ledger: Ledger
    gone: Gone
    up: threading.Event
    strangers: Sequence[Picture]


class Worker:
    """A caller with pictures of its own. `run` blocks until it is told to end."""

    role = "caller"

    def __init__(self, post: Post, held: Sequence[Held], seed: int) -> None:
        self._caller, self._ledger, self._gone = post.caller, post.ledger, post.gone
        self._up, self._strangers = post.up, post.strangers
        self.held = list(held)
        self._rng = random.Random(seed)
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

    def settle(self) -> None:
        """Leave no picture in doubt; the server has to be up."""
        for held in self.held:
            self._sure(held)

    def change(self) -> None:
        """Register and withdraw some, so that none is in doubt and there are both."""
        self.settle()
        for held in self.shuffled()[:3]:
            self._delete(held) if held.name else self._create(held)

    # --- writes ------------------------------------------------------------------------

    def _create(
        self, held: Held, timeout_s: float = TIMEOUT_S, ends: Collection[str] = ("OK",)
    ) -> None:
        if held.name:
            return
        name = held.next_name(self._rng.choice(BRANDS))
        held.doubt = (name,)
        kind = "create" if timeout_s > 1 else "create late"
        call = self._caller.originals.CreateOriginal
        made = self._caller.call(
            kind, call, creating(name, held.picture), timeout_s=timeout_s, ends=ends
        )
        if made is not None:
            self._registered(held, name, made)

    def _registered(self, held: Held, name: str, made: originals_service_pb2.Original) -> None:
        """Take an answer that says that a picture is registered."""
        if made.name != name:
            self._ledger.mistake(f"create {name}: answered {made.name}")
        held.name, held.doubt, held.withdrawn = name, (), False
        if made.state != originals_service_pb2.Original.ACTIVE:
            # The matcher finds it alike to another brand's: that is its affair, not the soak's.
            self._ledger.note(f"{held.picture.name} set aside, alike to another picture")
            held.unfit = True

    def _delete_some(self) -> None:
        """Delete one, or several while most are registered."""
        fit = self.shuffled()
        registered = sum(bool(held.name) for held in fit)
        for _ in range(4 if registered > _REGISTERED_SHARE * len(fit) else 1):
            self._delete(self._pick(registered=True))

    def _delete(
        self, held: Held, timeout_s: float = TIMEOUT_S, ends: Collection[str] = ("OK",)
    ) -> None:
        if not held.name:
            return
        name, held.name = held.name, ""
        held.doubt = (name,)
        kind = "delete" if timeout_s > 1 else "delete late"
        request = originals_service_pb2.DeleteOriginalRequest(name=name)
        call = self._caller.originals.DeleteOriginal
        if self._caller.call(kind, call, request, timeout_s=timeout_s, ends=ends) is not None:
            self._forgotten(held, name)

    def _forgotten(self, held: Held, *names: str) -> None:
        for name in names:
            self._gone.add(name)
        held.name, held.doubt, held.withdrawn = "", (), True

    def _sure(self, held: Held) -> Held:
        """Withdraw what may be registered, after a write that was not answered.

        After a caller's own fault a name in doubt is first written again and then deleted, so
        that it was there for certain: whatever is left of the first write has to come before.
        Nothing is left of it where the server has ended since.
        """
        if held.unfit and held.name:
            held.doubt, held.name = (held.name,), ""
        while held.doubt:
            name = held.doubt[0]
            if held.lingers:
                create = self._caller.originals.CreateOriginal
                self._caller.call("create again", create, creating(name, held.picture))
            request = originals_service_pb2.DeleteOriginalRequest(name=name)
            delete = self._caller.originals.DeleteOriginal
            self._caller.call("delete again", delete, request, ends=("OK", "ORIGINAL_NOT_FOUND"))
            self._gone.add(name)
            held.doubt = held.doubt[1:]
            held.name, held.withdrawn = "", True
        held.lingers = False
        return held

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
        held.name, held.doubt, held.withdrawn = owner.name, (), False

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
            self._judge(kind, answer, held, start, edit)

    def _judge(
        self,
        kind: str,
        answer: match_service_pb2.CheckListingResponse,
        held: Held,
        start: float,
        edit: str = "",
    ) -> None:
        """Hold the answer about one picture against what is known of it."""
        (result,) = answer.image_results
        what = f"{kind} {held.picture.name} {edit}".strip()
        if result.HasField("error"):
            self._ledger.mistake(f"{what}: {result.error.message}")
            return
        named = [match.original for match in result.matches]
        copied = [m.original for m in result.matches if m.verdict == match_service_pb2.COPY]
        for name in named:
            if self._gone.before(name, start):
                self._ledger.mistake(f"{what}: matches {name}, which was withdrawn before")
        if len({name.split("/")[1] for name in copied}) > 1:
            self._ledger.mistake(f"{what}: two owners, {copied}")
        verdict = match_service_pb2.Verdict.Name(answer.verdict)
        if held.name:
            sure = verdict == "COPY" if not edit else verdict in ("COPY", "REVIEW")
            if not sure or named[:1] != [held.name]:
                self._ledger.mistake(
                    f"{what}: {verdict} {named[:2]}, and it is registered as {held.name}"
                )
        elif verdict == "COPY":
            self._ledger.mistake(f"{what}: COPY of {named[:2]}, and nothing like it is registered")
        elif verdict == "REVIEW":
            self._ledger.note("REVIEW of a picture that is not registered")

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
                self._judge("stream", answer.response, chosen[int(answer.item_id)], start)
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

    # --- choice ------------------------------------------------------------------------

    def shuffled(self) -> list[Held]:
        """The pictures in an order of chance, without those that are set aside."""
        fit = [held for held in self.held if not held.unfit]
        for held in self.held:
            if held.unfit:
                self._sure(held)
        return self._rng.sample(fit, len(fit))

    def _pick(self, *, registered: bool) -> Held:
        """A picture that is registered or not, as far as there is one."""
        order = self.shuffled()
        for held in order:
            self._sure(held)
        fitting = [held for held in order if bool(held.name) == registered]
        if not fitting and registered:
            self._create(order[0])
        elif not fitting:
            self._delete(order[0])
        return (fitting or order)[0]

    def _some(self, count: int, wanted: Callable[[Held], bool]) -> list[Held]:
        order = self.shuffled()
        return [held for held in order if wanted(self._sure(held))][:count]

    def _pictures(self, count: int) -> Iterator[tuple[int, Held]]:
        yield from enumerate(self._some(count, lambda held: True))


def creating(name: str, picture: Picture) -> originals_service_pb2.CreateOriginalRequest:
    """The request that registers a picture under a name."""
    _, brand, _, original = name.split("/")
    return originals_service_pb2.CreateOriginalRequest(
        parent=f"brands/{brand}",
        original_id=original,
        original=originals_service_pb2.Original(image=picture.bytes_of()),
    )


def importing(names: Mapping[str, Held]) -> list[originals_service_pb2.ImportOriginalsRequest]:
    """The items of an import; their marks are the names."""
    return [
        originals_service_pb2.ImportOriginalsRequest(
            item_id=name, request=creating(name, held.picture)
        )
        for name, held in names.items()
    ]


def checking(image: bytes, mark: str) -> match_service_pb2.StreamingCheckListingsRequest:
    """The item of a stream that checks one picture."""
    return match_service_pb2.StreamingCheckListingsRequest(
        item_id=mark,
        request=match_service_pb2.CheckListingRequest(
            listing=match_service_pb2.Listing(listing_id=f"offer-{mark}", images=[image])
        ),
    )
