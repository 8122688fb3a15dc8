"""The writes of one caller of a soak: it registers and withdraws its own pictures.

A write that was not answered leaves a picture in doubt; before anything else is done with it,
the write is made again, which has to lead to one state whatever came of the first. An id is
never used twice, so an original that comes back is noticed.
"""

import random
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from copycatch.v1 import originals_service_pb2
from scripts.soaking.caller import TIMEOUT_S, Caller
from scripts.soaking.held import Gone, Held, creating
from scripts.soaking.ledger import Ledger
from scripts.soaking.pictures import Picture

BRANDS = ("ash", "birch", "cedar")


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


class Keeper:
    """Keeps some pictures registered and others not, and knows which."""

    def __init__(self, post: Post, held: Sequence[Held], seed: int) -> None:
        self._caller, self._ledger, self._gone = post.caller, post.ledger, post.gone
        self.held = list(held)
        self._rng = random.Random(seed)

    def settle(self) -> None:
        """Leave no picture in doubt; the server has to be up."""
        for held in self.held:
            self._sure(held)

    def change(self) -> None:
        """Register and withdraw some, so that none is in doubt and there are both."""
        self.settle()
        for held in self.shuffled()[:3]:
            self._delete(held) if held.name else self._create(held)

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
        held.name, held.doubt = name, ()
        if made.state != originals_service_pb2.Original.ACTIVE:
            # The matcher finds it alike to another brand's: that is its affair, not the soak's.
            self._ledger.note(f"{held.picture.name} set aside, alike to another picture")
            held.unfit = True

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
            self._gone.add(name)
            held.doubt = ()

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
            held.name = ""
        held.lingers = False
        return held

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
