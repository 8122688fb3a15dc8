"""From a version of the tables to the next. Each runs once, all that are due in one commit."""

import time
from collections.abc import Callable, Mapping

from index import audit
from index.tables import Transaction


def _begin_audit(txn: Transaction) -> None:
    """Version 1 had no audit log: say in it that what came before was not logged."""
    details = {
        "from_version": 1,
        "originals": txn.count("originals"),
        "brands": txn.count("brands"),
    }
    audit.append(txn, "store.migrate", details, time.time_ns())


MIGRATIONS: Mapping[int, Callable[[Transaction], None]] = {1: _begin_audit}
"""By the version that they begin with."""
