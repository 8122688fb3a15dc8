"""The audit log as its readers see it: pages, one request's entries, its ends, its fingerprints.

Reads work on any thread and, through `StoredView`, on a store that another process has open.
"""

import contextlib
import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import Future
from contextlib import AbstractContextManager
from typing import Any, ClassVar, Protocol

from index import audit
from index.acting import LOCAL
from index.audit import Ends, Retention
from index.chain import Link
from index.disk import StoreClosed
from index.store import Store
from index.tables import Transaction

log = logging.getLogger(__name__)

_PAGE = 500
_PRUNE_EVERY = 256


class AuditEntryNotFound(LookupError):
    """No such entry in the audit log; retention may have dropped it."""

    reason: ClassVar[str] = "AUDIT_ENTRY_NOT_FOUND"

    def __init__(self, sequence: int) -> None:
        super().__init__(f"the audit log has no entry {sequence}; it may have been dropped for age")
        self.sequence = sequence


class Readable(Protocol):
    """A store that can be read."""

    def read(self) -> AbstractContextManager[Transaction]:
        """One consistent state of all tables."""


class AuditLog:
    """The audit log of one store. Safe from any thread."""

    def __init__(self, store: Readable) -> None:
        self._store = store

    @property
    def ends(self) -> Ends:
        """Where the log begins and ends."""
        with self._store.read() as txn:
            return audit.ends(txn)

    def page(
        self, after: int = 0, limit: int = 100, *, request_id: str = "", brand: str = ""
    ) -> list[Link]:
        """The entries that follow the entry `after`, the oldest first.

        Args:
            request_id: only those of this call.
            brand: only those that concern this brand; not together with `request_id`.
        """
        with self._store.read() as txn:
            if request_id:
                return audit.found(txn, "audit_requests", request_id, after, limit)
            if brand:
                return audit.found(txn, "audit_brands", brand, after, limit)
            return audit.page(txn, after, limit)

    def links(self, after: int = 0) -> Iterator[Link]:
        """All entries that follow the entry `after`, in pages: reads stay short."""
        while page := self.page(after, _PAGE):
            yield from page
            after = page[-1].sequence

    def get(self, sequence: int) -> tuple[Link, dict[int, bytes]]:
        """One entry and its fingerprints by position. Raises AuditEntryNotFound."""
        with self._store.read() as txn:
            link = audit.get(txn, sequence)
            if link is None:
                raise AuditEntryNotFound(sequence)
            return link, audit.prints_of(txn, sequence)


class AuditWriter(AuditLog):
    """The audit log of a store that this process writes.

    Args:
        retention: what is kept; held with every few hundred writes, and at start.
        clock: nanoseconds since 1970.
    """

    def __init__(self, store: Store, retention: Retention, clock: Callable[[], int]) -> None:
        super().__init__(store)
        self._writes, self._retention, self._clock = store, retention, clock
        self._since = 0

    def record(
        self,
        action: str,
        details: Mapping[str, Any],
        *,
        brands: Collection[str] = (),
        prints: Mapping[int, bytes] | None = None,
    ) -> "Future[int]":
        """Append an entry about something that wrote nothing else; see `index.audit.append`.

        Returns:
            A future of its sequence, done when the entry is on disk. Entries that wait share
            one commit with each other and with all other writes.

        Raises:
            StoreClosed: at once. StoreFull, StoreReadOnly, StoreFailed: from the future.
        """
        now = self._clock()
        return self._writes.submit(
            lambda txn: audit.append(txn, action, details, now, brands=brands, prints=prints)
        )

    def committed(self, writes: int) -> None:
        """Hold the retention now and then. In the writer thread, which must not wait for itself."""
        self._since += writes
        if self._since >= _PRUNE_EVERY:
            self._since = 0
            with contextlib.suppress(StoreClosed):
                self._writes.submit(self._prune, LOCAL).add_done_callback(_say_why_not)

    def hold_retention(self) -> None:
        """Drop all that is due.

        A clock that stands before the newest entry is not believed: nothing is dropped by it,
        and the log of the server says so.
        """
        ends = self.ends
        if not ends.last:
            return
        newest, _ = self.get(ends.last)
        behind_s = (newest.entry["time_ns"] - self._clock()) / 1e9
        if behind_s > 0:
            log.warning(
                "the clock stands %.0f s before the newest entry of the audit log: did it jump?",
                behind_s,
            )
            return
        while self._writes.submit(self._prune, LOCAL).result():
            pass

    def _prune(self, txn: Transaction) -> bool:
        return audit.prune(txn, self._retention, self._clock())


def _say_why_not(done: "Future[bool]") -> None:
    if error := done.exception():
        log.warning("the audit log could not be held to its retention: %s", error)
