"""A copy of a catalogue that is only read: by other processes, perhaps on other machines.

`Catalogue.copy_to` makes it: a folder with a copy of the store and of a snapshot. Any number of
processes may have it open at once; nobody may write to it.
"""

import threading
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from index import ledger
from index.audit import Retention
from index.audit_log import AuditWriter
from index.catalogue import Catalogue, CatalogueConfig, Clock
from index.disk import StoreTooNew, used_bytes
from index.disputes import Disputes
from index.follower import Follower
from index.maintenance import Maintenance
from index.reader import Reader, open_view
from index.recovery import open_indexes
from index.rights import Licences
from index.snapshot import Snapshots
from index.spaces import Space
from index.store import Store, StoredView
from index.tables import Transaction


@dataclass(frozen=True, slots=True)
class _ReadOnly:
    """A store's view, with what a catalogue tells of its store."""

    view: StoredView

    @property
    def map_bytes(self) -> int:
        return used_bytes(self.view.path)

    @property
    def disk_bytes(self) -> int:
        return used_bytes(self.view.path)

    def close(self) -> None:
        self.view.__exit__()

    def read(self) -> AbstractContextManager[Transaction]:
        return self.view.read()


class FrozenCatalogue(Catalogue):
    """A catalogue over such a folder. It has no writes: what would write fails."""

    def __init__(
        self,
        path: Path,
        spaces: Sequence[Space],
        schema: str,
        config: CatalogueConfig | None = None,
        clock: Clock = time.time_ns,
    ) -> None:
        """Open a copy.

        Raises:
            StoreMissing, StoreCorrupt, StoreTooNew, SchemaMismatch.
        """
        config = config or CatalogueConfig()
        store = cast(Store, _ReadOnly(open_view(path)))
        with store.read() as txn:
            version = int(txn.get("meta", b"store_version") or b"0")
            if version != ledger.STORE_VERSION:
                raise StoreTooNew(path, f"the copy has version {version}; make it again")
            last = ledger.counter(txn, "originals")
        Reader.__init__(self, store)
        self.licences, self.disputes = Licences(store), Disputes(store)
        self.schema, self._config, self._clock = schema, config, clock
        snapshots = Snapshots(path / "snapshots", config.snapshots_kept)
        self._opened = open_indexes(store, snapshots, spaces, schema, config.live)
        self._snapshots = snapshots
        self._follower = Follower(self._opened.indexes, self._opened.sequence, last)
        self.audit = AuditWriter(store, Retention(), clock)
        self._saving = threading.Lock()
        self._renew = False
        self._maintenance = Maintenance((), lambda: None, start=False)

    def close(self) -> None:
        """Close the view of the store."""
        self._store.close()
