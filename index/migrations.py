"""From a version of the tables to the next. Each runs once, all that are due in one commit."""

import time
from collections.abc import Callable, Mapping

from index import audit
from index.ids import original_id
from index.ledger import REQUEST
from index.records import decode_change
from index.tables import Transaction

_LINES_AT_ONCE = 10_000


def _begin_audit(txn: Transaction) -> None:
    """Version 1 had no audit log: say in it that what came before was not logged."""
    details = {
        "from_version": 1,
        "originals": txn.count("originals"),
        "brands": txn.count("brands"),
    }
    audit.append(txn, "store.migrate", details, time.time_ns())


def _requests_by_brand(txn: Transaction) -> None:
    """Version 2 had request ids without their brand, so that one could ask what others had used."""
    pairs = txn.scan("requests", limit=txn.count("requests"))
    wanted = {REQUEST.unpack(value)[1] for _, value in pairs}
    brands: dict[int, str] = {}
    start = b""
    while wanted - brands.keys():  # the log knows withdrawn ones too
        lines = txn.scan("log", start, limit=_LINES_AT_ONCE)
        if not lines:
            break
        for change in (decode_change(data) for _, data in lines):
            brands[change.key] = change.brand
        start = lines[-1][0] + b"\0"
    for key, value in pairs:
        txn.remove("requests", key)
        brand = brands.get(REQUEST.unpack(value)[1])
        if brand is not None:
            txn.put("requests", original_id(brand, key.decode()), value)


def _previews_as_they_are(txn: Transaction) -> None:
    """Version 3 sealed no previews: they are read as they are, and new ones are sealed."""


MIGRATIONS: Mapping[int, Callable[[Transaction], None]] = {
    1: _begin_audit,
    2: _requests_by_brand,
    3: _previews_as_they_are,
}
"""By the version that they begin with."""
