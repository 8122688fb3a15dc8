"""Deleting a brand with everything that is its own: at once out of sight, then row by row.

One commit takes the brand from the table of brands, so that nothing of it is found, listed or
registered any more, and remembers it in `leaving`. Its rows then go in commits of some
hundreds, since a brand may have a million. A crash in between is made good at the next open,
before anything is searched; until the last row is gone the id can not be taken again.

`OWNED` says what a brand owns. Whoever adds a table with rows of brands adds its line there;
a test fails for a table that is in neither of the two lists.

Tables:
    leaving     brand number     -> Brand
"""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from index import audit, disputes, ledger, rights
from index.ids import key_of, number
from index.records import Brand, decode_brand, decode_original, encode_brand
from index.tables import Transaction

TABLES: Mapping[str, bool] = {"leaving": False}
AT_ONCE = 200
"""Rows that one commit removes: others wait for the writer meanwhile."""

Purge = Callable[[Transaction, Brand, int, int], int]
"""Removes at most so many rows of a brand at a time (nanoseconds); how many it removed."""


class BrandNotEmpty(ValueError):
    """The brand still has something of its own; `force` deletes it with everything."""

    reason: ClassVar[str] = "BRAND_NOT_EMPTY"

    def __init__(self, brand: str, table: str) -> None:
        super().__init__(f"brand {brand!r} still has {table}; force deletes it with everything")
        self.brand, self.table = brand, table

    def __reduce__(self) -> tuple[type["BrandNotEmpty"], tuple[str, str]]:
        return type(self), (self.brand, self.table)


def purge_originals(txn: Transaction, brand: Brand, limit: int, now_ns: int) -> int:
    """Remove originals with their digests, previews and features."""
    prefix = key_of(brand.brand) + b"\0"
    pairs = txn.scan("ids", prefix=prefix, limit=limit)
    for _, key in pairs:
        data = txn.get("originals", key)
        assert data is not None, "an id without its original"
        ledger.drop_original(txn, decode_original(data), now_ns)
    return len(pairs)


def purge_prefixed(table: str) -> Purge:
    """Removes the rows of a table whose keys begin with the brand's id and NUL."""

    def purge(txn: Transaction, brand: Brand, limit: int, now_ns: int) -> int:
        pairs = txn.scan(table, prefix=key_of(brand.brand) + b"\0", limit=limit)
        for key, _ in pairs:
            txn.remove(table, key)
        return len(pairs)

    return purge


OWNED: Mapping[str, Purge] = {
    "originals": purge_originals,
    "requests": purge_prefixed("requests"),
    "licences": rights.purge_licences,
    "sellers": rights.purge_sellers,
    "programmes": purge_prefixed("programmes"),
    "sides": disputes.purge_sides,
}
"""What a brand owns, by the table that its rows are found in, in the order of removal."""

WITH_OTHERS: Mapping[str, str] = {
    "ids": "with originals",
    "digests": "with originals",
    "previews": "with originals",
    "features": "with originals",
    "grants": "with licences and sellers",
    "disputes": "kept: each is another brand's as well, and holds no picture",
    "brands": "the brand itself, first of all",
    "leaving": "the brand itself, last of all",
    "log": "kept: ids and times of changes, nothing of a picture",
    "audit": "kept: who did what, and the verdicts; see the README",
    "audit_requests": "kept with audit",
    "audit_brands": "kept with audit: the way to what concerned the brand",
    "audit_prints": "those of pictures that were found alike to the brand's are dropped",
}
"""All other tables, and why they need no line above."""

_SHOWS = {"originals": "ids", "licences": "licences", "programmes": "programmes"}
"""What keeps a brand from being deleted without force, and the table in which it is seen."""


def begin(txn: Transaction, brand: str, now_ns: int, etag: str | None, force: bool) -> Brand:
    """Take a brand out of sight.

    Raises:
        BrandNotFound, EtagMismatch.
        BrandNotEmpty: it has originals, licences or programmes, and force is not given.
    """
    gone = ledger.find_brand(txn, brand)
    if etag and etag != gone.etag:
        raise ledger.EtagMismatch(etag, gone.etag)
    for what, table in _SHOWS.items():
        if not force and txn.scan(table, prefix=key_of(brand) + b"\0", limit=1):
            raise BrandNotEmpty(brand, what)
    txn.remove("brands", key_of(brand))
    txn.put("leaving", number(gone.number), encode_brand(gone))
    said: dict[str, Any] = {"name": f"brands/{brand}", "etag": gone.etag, "force": force}
    audit.append(
        txn, "brand.delete", said | {"display_name": gone.display_name}, now_ns, brands=(brand,)
    )
    return gone


def leaving(txn: Transaction) -> list[Brand]:
    """The brands that were deleted and of which rows may be left."""
    return [decode_brand(data) for _, data in txn.scan("leaving", limit=10_000)]


def purge(txn: Transaction, brand: Brand, now_ns: int, after: int = 0) -> int | None:
    """Remove some rows of a brand that was deleted.

    Args:
        after: where to go on among the audit entries, as the call before has returned it.

    Returns:
        Where to go on; None when nothing is left.
    """
    for remove in OWNED.values():
        if remove(txn, brand, AT_ONCE, now_ns):
            return 0
    if after := audit.drop_prints(txn, brand.brand, after):
        return after
    txn.remove("leaving", number(brand.number))
    said = {"name": f"brands/{brand.brand}", "number": brand.number}
    audit.append(txn, "brand.purge", said, now_ns, brands=(brand.brand,))
    return None
