"""What the memory of listings writes: its tables, as functions of a transaction.

A ring: listings are numbered as they come, the oldest go first. Rows of a space are written one
by one until they fill a block; then they lie together, so that a search reads few large
values. What goes, by age, by count or because somebody asks, goes with every byte: blocks are
written anew without its rows.

Tables (numbers are big-endian, so that the order of keys is the order of numbers):
    listings   digest of a listing id -> number
    entries    number                 -> Entry
    prints     number, picture        -> bytes
    fresh      space NUL row          -> code
    blocks     space NUL row          -> the rows up to this one, without those that went
    meta       counters, schema
"""

from collections.abc import Mapping, Sequence
from hashlib import blake2b

import numpy as np

from index.codes import Codes, code_width
from index.ids import number
from index.seen import (
    Entry,
    RowId,
    SeenListing,
    decode_block,
    decode_entry,
    encode_block,
    encode_entry,
    framed,
    rows_of,
    unframed,
)
from index.spaces import Keys, Space
from index.tables import Transaction

TABLES: Mapping[str, bool] = {
    "listings": False,
    "entries": False,
    "prints": False,
    "fresh": False,
    "blocks": False,
}
STORE_VERSION = 1
_FRESH_AT_ONCE = 4096
_PAGE = 4096
_ENTRY_BYTES = 512

Encoded = Mapping[str, Mapping[int, bytes]]
"""Per space and view the code of one row."""


def find(txn: Transaction, listing_id: str) -> Entry | None:
    """The entry of a listing id."""
    key = txn.get("listings", _digest(listing_id))
    data = None if key is None else txn.get("entries", key)
    return None if data is None else decode_entry(data)


def add(
    txn: Transaction,
    spaces: Sequence[Space],
    seen: SeenListing,
    codes: Sequence[Encoded],
    now_ns: int,
    block_rows: int,
) -> Entry | None:
    """Remember a listing; None when it is remembered with the same pictures already.

    That one is left as it is: its age counts from when it was first seen. With other pictures
    a listing takes the place of what was there.

    Args:
        codes: of each picture.
        block_rows: rows that are put together.
    """
    digests = tuple((p.sha256, p.pixel_sha256) for p in seen.pictures)
    before = find(txn, seen.listing_id)
    if before is not None:
        if (before.digests, before.seller, before.territory) == (
            digests,
            seen.seller,
            seen.territory,
        ):
            return None
        remove(txn, spaces, [before])
    last = counter(txn, "listings") + 1
    txn.put("meta", b"listings", number(last))
    views = tuple(max((v + 1 for each in c.values() for v in each), default=0) for c in codes)
    byte_count = _ENTRY_BYTES + sum(
        -(-len(picture.print) // _PAGE) * _PAGE
        + sum(len(code) + 8 for each in encoded.values() for code in each.values())
        for picture, encoded in zip(seen.pictures, codes, strict=True)
    )
    entry = Entry(
        last, seen.listing_id, seen.seller, now_ns, digests, views, seen.territory, byte_count
    )
    _add(txn, "bytes", byte_count)
    txn.put("entries", number(last), encode_entry(entry))
    txn.put("listings", _digest(seen.listing_id), number(last))
    for place, (picture, encoded) in enumerate(zip(seen.pictures, codes, strict=True)):
        txn.put("prints", _print_key(last, place), framed(picture.print))
        for name, rows in encoded.items():
            for view, code in rows.items():
                txn.put("fresh", _row_key(name, RowId(last, place, view).key), code)
            _count(txn, "fresh", name, len(rows))
            _count(txn, "rows", name, len(rows))
    for space in spaces:
        _seal(txn, space, block_rows)
    return entry


def remove(txn: Transaction, spaces: Sequence[Space], entries: Sequence[Entry]) -> None:
    """Forget listings with every byte of theirs.

    The file may hold the old bytes in free pages until LMDB writes there again.
    """
    for entry in entries:
        _add(txn, "bytes", -entry.byte_count)
        txn.remove("entries", number(entry.number))
        txn.remove("listings", _digest(entry.listing_id))
        for place in range(len(entry.views)):
            txn.remove("prints", _print_key(entry.number, place))
    rows = sorted(row for entry in entries for row in rows_of(entry))
    for space in spaces:
        in_blocks = [r for r in rows if not txn.remove("fresh", _row_key(space.name, r))]
        were_fresh = len(rows) - len(in_blocks)
        _count(txn, "fresh", space.name, -were_fresh)
        _count(txn, "rows", space.name, -were_fresh - _drop(txn, space, in_blocks))


def oldest(txn: Transaction, limit: int) -> list[Entry]:
    """The entries that were remembered first."""
    return [decode_entry(data) for _, data in txn.scan("entries", limit=limit)]


def entry_of(txn: Transaction, listing: int) -> Entry | None:
    """The entry of this number; None when it went."""
    data = txn.get("entries", number(listing))
    return None if data is None else decode_entry(data)


def print_of(txn: Transaction, listing: int, picture: int) -> bytes | None:
    """The print of a picture; None when it went."""
    data = txn.get("prints", _print_key(listing, picture))
    return None if data is None else unframed(data)


def rows_after(txn: Transaction, space: Space, after: int) -> tuple[Keys, Codes, int]:
    """Some rows with numbers above `after`, in their order.

    Returns:
        Their numbers, int64 of shape (n,), their codes, and the row after which to go on. No
        rows: there are no more.
    """
    prefix, start = _prefix(space.name), _row_key(space.name, after + 1)
    while found := txn.scan("blocks", start, prefix=prefix, limit=1):
        ((name, data),) = found
        keys, codes = decode_block(space, data)
        kept = keys > after
        if kept.any():
            return keys[kept], codes[kept], _row_of(name)
        start = name + b"\0"
    pairs = txn.scan("fresh", start, prefix=prefix, limit=_FRESH_AT_ONCE)
    keys, codes = _together(space, pairs)
    return keys, codes, int(keys[-1]) if len(keys) else after


def counter(txn: Transaction, name: str) -> int:
    """A number of the table `meta`."""
    return int.from_bytes(txn.get("meta", name.encode()) or b"")


def byte_count(txn: Transaction) -> int:
    """About what all listings take on the disk."""
    return counter(txn, "bytes")


def row_count(txn: Transaction, space: str) -> int:
    """How many rows of a space are remembered."""
    return counter(txn, f"rows:{space}")


def _seal(txn: Transaction, space: Space, block_rows: int) -> None:
    """Put the oldest fresh rows of a space into blocks while they fill one."""
    while counter(txn, f"fresh:{space.name}") >= block_rows:
        pairs = txn.scan("fresh", prefix=_prefix(space.name), limit=block_rows)
        txn.put("blocks", pairs[-1][0], encode_block(*_together(space, pairs)))
        for name, _ in pairs:
            txn.remove("fresh", name)
        _count(txn, "fresh", space.name, -len(pairs))


def _drop(txn: Transaction, space: Space, rows: Sequence[int]) -> int:
    """Write blocks anew without these rows, ascending; how many were there."""
    left, dropped = np.array(rows, np.int64), 0
    while len(left):
        start = _row_key(space.name, int(left[0]))
        found = txn.scan("blocks", start, prefix=_prefix(space.name), limit=1)
        if not found:
            break
        ((name, data),) = found
        here = left[left <= _row_of(name)]
        left = left[len(here) :]
        keys, codes = decode_block(space, data)
        kept = ~np.isin(keys, here)
        dropped += len(keys) - int(kept.sum())
        if not kept.any():
            txn.remove("blocks", name)
        elif not kept.all():
            txn.put("blocks", name, encode_block(keys[kept], codes[kept]))
    return dropped


def _together(space: Space, pairs: Sequence[tuple[bytes, bytes]]) -> tuple[Keys, Codes]:
    keys = np.array([_row_of(name) for name, _ in pairs], np.int64)
    codes = np.frombuffer(b"".join(code for _, code in pairs), np.uint8)
    return keys, codes.reshape(len(pairs), code_width(space))


def _count(txn: Transaction, what: str, space: str, step: int) -> None:
    _add(txn, f"{what}:{space}", step)


def _add(txn: Transaction, name: str, step: int) -> None:
    if step:
        txn.put("meta", name.encode(), number(counter(txn, name) + step))


def _digest(listing_id: str) -> bytes:
    """A listing id of any length and letters as a key."""
    return blake2b(listing_id.encode(errors="surrogatepass"), digest_size=16).digest()


def _print_key(listing: int, picture: int) -> bytes:
    return number(listing) + bytes([picture])


def _prefix(space: str) -> bytes:
    return space.encode() + b"\0"


def _row_key(space: str, row: int) -> bytes:
    return _prefix(space) + number(row)


def _row_of(name: bytes) -> int:
    return int.from_bytes(name[-8:])
