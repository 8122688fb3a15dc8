"""Sweeps from their creation to their end: the door of this folder.

A manifest is looked at before a sweep is created, then written down whole as a plan in the
background, then worked off by an engine. All that is known of a sweep is in the book, so a
sweep goes on after a restart where it was: in planning from the beginning, later with the
chunks that are left.
"""

import contextlib
import logging
import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from typing import Protocol

from index.catalogue import Catalogue
from index.ledger import BrandNotFound, OriginalNotFound
from index.memory import MemoryOff
from service.matching.results import Provenance
from service.sweeps import manifest
from service.sweeps.access import Access
from service.sweeps.board import Board, Enter
from service.sweeps.book import SweepBook
from service.sweeps.errors import ManifestInvalid
from service.sweeps.ledger import SweepFinished, SweepNotFound
from service.sweeps.listing import Listing
from service.sweeps.local import Turn
from service.sweeps.partition import Interrupted
from service.sweeps.recall import FORM as REMEMBERED
from service.sweeps.recall import Recall
from service.sweeps.records import Sweep, SweepSpec, SweepState
from service.sweeps.target import Target

log = logging.getLogger(__name__)


class SweepEngine(Protocol):
    """Works off a board."""

    def start(self, board: Board, turn: Turn) -> None:
        """Begin; `turn` waits for the machine."""
        ...

    def stop(self) -> None:
        """End, after the board was closed."""
        ...


class Sweeps:
    """All sweeps of a server. Any thread may call any method.

    Args:
        book: what is stored of them.
        catalogue: knows brands and originals.
        access: what may be read.
        engine: works.
        provenance: what findings are computed with under a policy.
        enter: writes to the audit log; blocks.
        recall: finds remembered listings; None where nothing is remembered.
    """

    def __init__(
        self,
        book: SweepBook,
        catalogue: Catalogue,
        access: Access,
        engine: SweepEngine,
        provenance: Callable[[str], Provenance],
        enter: Enter,
        recall: Recall | None = None,
    ) -> None:
        self.book = book
        self._catalogue, self._access, self._engine = catalogue, access, engine
        self._provenance, self._recall = provenance, recall
        self._board = Board(book, enter)
        self._to_plan: queue.SimpleQueue[Sweep | None] = queue.SimpleQueue()
        self._planner = threading.Thread(target=self._plan_all, name="copycatch-plan", daemon=True)
        self._closing = threading.Event()

    def start(self, turn: Turn) -> None:
        """Begin to work, with the sweeps that were not done when the server last ended."""
        self._turn = turn
        for brand in {sweep.spec.brand for sweep in self.book.all()} - {""}:
            if not self._has(brand):  # the server ended while the brand was deleted
                self.forget(brand)
        self._engine.start(self._board, turn)
        for sweep in self.book.unfinished():
            log.info("the sweep %s goes on (%s)", sweep.spec.sweep, sweep.state.value)
            if sweep.state is SweepState.PLANNING:
                self._to_plan.put(sweep)
            else:
                self._board.add(sweep)
        self._planner.start()

    def close(self) -> None:
        """Stop after the pictures in work, and close the book."""
        self._closing.set()
        self._board.close()
        self._to_plan.put(None)
        if self._planner.is_alive():
            self._planner.join()
        self._engine.stop()
        self.book.close()

    def create(self, spec: SweepSpec) -> Sweep:
        """Create a sweep and begin it.

        Raises:
            SourceNotAllowed, SourceNotFound, SourceUnreadable, ExtraMissing, ManifestInvalid:
            the manifest can not be read.
            BrandNotFound, OriginalNotFound: of the target.
            MemoryOff: a sweep of remembered listings where nothing is remembered.
            SweepExists, SweepsTooMany, StoreFull.
        """
        assert not spec.brand or spec.target.only(spec.brand)
        for brand in sorted(spec.target.brands | {spec.brand} - {""}):
            self._catalogue.get_brand(brand)
        for name in sorted(spec.target.originals):
            _, brand, _, original = name.split("/")
            self._catalogue.get(brand, original)
        if spec.form != REMEMBERED:
            access = self._access.of_brand(spec.brand)
            spec = replace(spec, form=manifest.opened(spec.manifest, access, spec.form).form)
        elif self._recall is None:
            raise MemoryOff
        sweep, new = self.book.create(spec)
        if spec.brand and not self._has(spec.brand):  # deleted just now
            self.forget(spec.brand)
            raise BrandNotFound(spec.brand)
        if new:
            self._to_plan.put(sweep)
        return sweep

    def cancel(self, sweep: str) -> Sweep:
        """End a sweep; its findings so far stay. Raises SweepNotFound, SweepFinished."""
        ended = self.book.end(sweep, SweepState.CANCELLED)
        self._board.drop(ended)
        return ended

    def forget(self, brand: str) -> None:
        """Remove the sweeps of a brand, which was deleted, and all that they found."""
        while page := self.book.page(500, brand=brand):
            for sweep in page:
                self._board.drop(sweep)
                self.book.remove(sweep)

    def _has(self, brand: str) -> bool:
        try:
            self._catalogue.get_brand(brand)
        except BrandNotFound:
            return False
        return True

    def listings_per_s(self, sweep: Sweep) -> float:
        """Listings a second in the last minute; 0 when it does not run."""
        return self._board.listings_per_s(sweep)

    def _plan_all(self) -> None:
        while (sweep := self._to_plan.get()) is not None and not self._closing.is_set():
            try:
                self._plan(sweep)
            except Interrupted:
                continue  # cancelled, or to be planned again after the next start
            except (SweepFinished, SweepNotFound):
                log.info("the sweep %s was ended before it began", sweep.spec.sweep)
            except Exception as error:
                self._board.fail(sweep, error)

    def _plan(self, sweep: Sweep) -> None:
        spec = sweep.spec

        def go_on() -> bool:
            return not self._closing.is_set() and not self.book.get(spec.sweep).state.final

        remembered = spec.form == REMEMBERED
        if remembered:
            listings = self._remembered(spec.target, lambda: self._turn(lambda: not go_on()))
        else:
            access = self._access.of_brand(spec.brand)
            listings = manifest.opened(spec.manifest, access, spec.form).listings()
        counts = self.book.plan(sweep, listings, go_on)
        if counts is None:
            return  # cancelled, or to be planned again after the next start
        if not counts.planned and not remembered:
            raise ManifestInvalid(spec.manifest, "it has no listing")
        planned = self.book.run(spec.sweep, asdict(self._provenance(spec.policy)))
        self._board.add(planned)

    def _remembered(self, target: Target, turn: Callable[[], None]) -> Iterator[Listing]:
        """The remembered listings that may copy what a sweep looks for."""
        if self._recall is None:  # it was begun by a server with other settings
            raise MemoryOff
        return self._recall.listings(list(self._keys(target)), turn)

    def _keys(self, target: Target) -> Iterator[int]:
        """Keys of the originals that a sweep looks for; those that were withdrawn are left out."""
        for name in sorted(target.originals):
            _, brand, _, original = name.split("/")
            with contextlib.suppress(OriginalNotFound, BrandNotFound):
                yield self._catalogue.get(brand, original).key
        if target.originals:
            return
        for brand in sorted(target.brands) or self._brands():
            after = ""
            with contextlib.suppress(BrandNotFound):
                while page := self._catalogue.list(brand, 500, after):
                    yield from (record.key for record in page)
                    after = page[-1].original

    def _brands(self) -> Iterator[str]:
        after = ""
        while page := self._catalogue.list_brands(500, after):
            yield from (each.brand for each in page)
            after = page[-1].brand
