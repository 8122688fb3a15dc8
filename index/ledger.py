"""What a registration, a change and a withdrawal write: the tables of brands and originals.

Functions of a transaction, each one complete: they check first, then write, and add a line
to the change log. They run in the store's writer thread and may run more than once.

Tables (numbers are big-endian, so that the order of keys is the order of numbers):
    brands      brand id                   -> Brand
    ids         brand id NUL original id   -> key
    originals   key                        -> OriginalRecord
    digests     kind byte + SHA-256        -> keys
    previews    key                        -> bytes, sealed
    features    key                        -> bytes
    log         sequence                   -> Change
    requests    brand id NUL request id    -> time, key and digest of what it made
    meta        counters, schema, spaces

Each write also appends to the audit log (`index.audit`), in the same transaction.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from index import audit
from index.ids import key_of, number, original_id
from index.records import (
    Brand,
    Change,
    ChangeKind,
    NewOriginal,
    OriginalRecord,
    decode_brand,
    decode_original,
    encode_brand,
    encode_change,
    encode_original,
    seal,
)
from index.tables import Transaction

TABLES: Mapping[str, bool] = {
    "brands": False,
    "ids": False,
    "originals": False,
    "digests": True,
    "previews": False,
    "features": False,
    "log": False,
    "requests": False,
    **audit.TABLES,
}
STORE_VERSION = 4

_ACTIONS: Mapping[ChangeKind, str] = {
    "REGISTER": "original.create",
    "UPDATE": "original.update",
    "WITHDRAW": "original.delete",
    "LICENSE": "licence.create",
    "REVOKE": "licence.revoke",
    "PROGRAMME": "programme.create",
    "END_PROGRAMME": "programme.delete",
    "ENROL": "sellers.add",
    "EXPEL": "sellers.remove",
    "DISPUTE": "dispute.open",
    "RESOLVE": "dispute.resolve",
    "END_DISPUTE": "dispute.end",
}

BYTES_DIGEST, PIXEL_DIGEST = b"b", b"p"
REQUEST = struct.Struct(">QQ32s")
_FORGET_AT_ONCE = 10_000


class BrandExists(ValueError):
    """The brand id is taken."""

    reason: ClassVar[str] = "BRAND_EXISTS"

    def __init__(self, brand: str) -> None:
        super().__init__(f"brand {brand!r} exists already")
        self.brand = brand


class BrandLeaving(ValueError):
    """The brand id belongs to a brand that is just being deleted; try again in a moment."""

    reason: ClassVar[str] = "BRAND_LEAVING"

    def __init__(self, brand: str) -> None:
        super().__init__(f"brand {brand!r} is being deleted; its id is free when that is done")
        self.brand = brand


class BrandNotFound(LookupError):
    """No such brand."""

    reason: ClassVar[str] = "BRAND_NOT_FOUND"

    def __init__(self, brand: str) -> None:
        super().__init__(f"no brand {brand!r}")
        self.brand = brand


class OriginalExists(ValueError):
    """The id is taken within its brand, or the picture is; `same_picture` tells which."""

    reason: ClassVar[str] = "ORIGINAL_EXISTS"

    def __init__(self, brand: str, original: str, same_picture: bool) -> None:
        what = "the same picture" if same_picture else "another picture"
        super().__init__(f"original {original!r} of brand {brand!r} exists already, with {what}")
        self.brand, self.original, self.same_picture = brand, original, same_picture


class OriginalNotFound(LookupError):
    """No such original; it may have been withdrawn."""

    reason: ClassVar[str] = "ORIGINAL_NOT_FOUND"

    def __init__(self, brand: str, original: str) -> None:
        super().__init__(f"no original {original!r} of brand {brand!r}")
        self.brand, self.original = brand, original


class EtagMismatch(ValueError):
    """Somebody changed it since the caller read it."""

    reason: ClassVar[str] = "ETAG_MISMATCH"

    def __init__(self, given: str, current: str) -> None:
        super().__init__(f"the etag is {current!r} by now, not {given!r}; read it again")
        self.given, self.current = given, current


class RequestIdReused(ValueError):
    """The request id belongs to another request, or to an original withdrawn since."""

    reason: ClassVar[str] = "REQUEST_ID_REUSED"

    def __init__(self, request_id: str, why: str) -> None:
        super().__init__(f"request id {request_id!r} can not be used: {why}")
        self.request_id, self.why = request_id, why


def counter(txn: Transaction, name: str) -> int:
    """The last value that a counter gave out."""
    return int.from_bytes(txn.get("meta", name.encode()) or b"")


def take_number(txn: Transaction, name: str) -> int:
    """The next value of a counter."""
    value = counter(txn, name) + 1
    txn.put("meta", name.encode(), number(value))
    return value


def find_brand(txn: Transaction, brand: str) -> Brand:
    """Raises BrandNotFound."""
    data = txn.get("brands", key_of(brand))
    if data is None:
        raise BrandNotFound(brand)
    return decode_brand(data)


def find_original(txn: Transaction, brand: str, original: str) -> OriginalRecord:
    """Raises OriginalNotFound."""
    key = txn.get("ids", original_id(brand, original))
    if txn.get("brands", key_of(brand)) is None:  # its rows may be there a moment longer
        key = None
    data = txn.get("originals", key) if key is not None else None
    if data is None:
        raise OriginalNotFound(brand, original)
    return decode_original(data)


def find_picture(
    txn: Transaction, brand: str, sha256: bytes, pixel_sha256: bytes | None
) -> OriginalRecord | None:
    """The original of a brand with the same bytes or pixels, in any state."""
    digests = [BYTES_DIGEST + sha256]
    digests += [PIXEL_DIGEST + pixel_sha256] if pixel_sha256 else []
    for digest in digests:
        for key in txn.values("digests", digest):
            record = decode_original(txn.get("originals", key) or b"")
            if record.brand == brand:
                return record
    return None


def add_brand(
    txn: Transaction, brand: str, display_name: str, annotations: Mapping[str, str], now_ns: int
) -> Brand:
    """Raises BrandExists, IdInvalid."""
    if txn.get("brands", key_of(brand)) is not None:
        raise BrandExists(brand)
    if any(decode_brand(data).brand == brand for _, data in txn.scan("leaving", limit=10_000)):
        raise BrandLeaving(brand)
    made = Brand(brand, take_number(txn, "brands"), display_name, dict(annotations), now_ns, now_ns)
    txn.put("brands", key_of(brand), encode_brand(made))
    audit.append(
        txn,
        "brand.create",
        {"name": f"brands/{brand}", "etag": made.etag, "display_name": display_name},
        now_ns,
        brands=(brand,),
    )
    return made


def add_original(
    txn: Transaction, new: NewOriginal, schema: str, now_ns: int, state: str = "ACTIVE"
) -> tuple[OriginalRecord, Change | None]:
    """Register; without a change when a retry finds its first answer.

    The vectors are taken as they come: `Space.kept` rows, checked before the write was queued.

    Raises:
        BrandNotFound, OriginalExists, RequestIdReused, IdInvalid.
    """
    name = original_id(new.brand, new.original)
    request = original_id(new.brand, new.request_id) if new.request_id else b""
    if request and (before := txn.get("requests", request)) is not None:
        return _retried(txn, new, before), None
    brand = find_brand(txn, new.brand)
    if (taken := txn.get("ids", name)) is not None:
        other = decode_original(txn.get("originals", taken) or b"")
        raise OriginalExists(new.brand, new.original, _same_picture(other, new))
    if new.once and (present := find_picture(txn, new.brand, new.sha256, new.pixel_sha256)):
        raise OriginalExists(new.brand, present.original, True)
    record = OriginalRecord(
        key=take_number(txn, "originals"),
        brand=new.brand,
        brand_number=brand.number,
        original=new.original,
        display_name=new.display_name,
        annotations=dict(new.annotations),
        create_time_ns=now_ns,
        update_time_ns=now_ns,
        state=state,
        sha256=new.sha256,
        pixel_sha256=new.pixel_sha256,
        width_px=new.width_px,
        height_px=new.height_px,
        format=new.format,
        byte_count=new.byte_count,
        schema=schema,
        vectors=dict(new.vectors),
        attributes=dict(new.attributes),
    )
    key = number(record.key)
    data = encode_original(record)
    txn.put("originals", key, data)
    txn.put("ids", name, key)
    txn.put("digests", BYTES_DIGEST + record.sha256, key)
    txn.put("digests", PIXEL_DIGEST + record.pixel_sha256, key)
    txn.put("previews", key, seal(new.preview))
    if new.features is not None:
        txn.put("features", key, new.features)
    if request:
        txn.put("requests", request, REQUEST.pack(now_ns, record.key, new.sha256))
    if state == "ACTIVE":
        _count(txn, record, 1)
    change = _logged(txn, "REGISTER", record, now_ns)
    _audit_original(txn, change, record)
    return decode_original(data), change


def change_original(
    txn: Transaction,
    brand: str,
    original: str,
    now_ns: int,
    etag: str | None,
    values: Mapping[str, Any],
) -> tuple[OriginalRecord, Change]:
    """Replace these fields of a record. Raises OriginalNotFound, EtagMismatch."""
    before = find_original(txn, brand, original)
    _check_etag(before, etag)
    record = replace(before, **values, update_time_ns=now_ns, revision=before.revision + 1)
    step = (record.state == "ACTIVE") - (before.state == "ACTIVE")
    if step:
        _count(txn, record, step)
    txn.put("originals", number(record.key), encode_original(record))
    change = _logged(txn, "UPDATE", record, now_ns)
    _audit_original(txn, change, record)
    return record, change


def remove_original(
    txn: Transaction, brand: str, original: str, now_ns: int, etag: str | None
) -> tuple[OriginalRecord, Change]:
    """Remove the record, preview and features; the log keeps its ids and nothing of the picture.

    The file may hold the old bytes in free pages until LMDB writes there again; a backup made
    with `mdb_copy -c` leaves them out.

    Raises:
        OriginalNotFound, EtagMismatch.
    """
    record = find_original(txn, brand, original)
    _check_etag(record, etag)
    change = drop_original(txn, record, now_ns)
    _audit_original(txn, change, record)
    return record, change


def drop_original(txn: Transaction, record: OriginalRecord, now_ns: int) -> Change:
    """Remove the rows of an original; of one of many, which the audit log does not name."""
    key = number(record.key)
    txn.remove("ids", original_id(record.brand, record.original))
    txn.remove("digests", BYTES_DIGEST + record.sha256, key)
    txn.remove("digests", PIXEL_DIGEST + record.pixel_sha256, key)
    for table in ("originals", "previews", "features"):
        txn.remove(table, key)
    if record.state == "ACTIVE":
        _count(txn, record, -1)
    return _logged(txn, "WITHDRAW", record, now_ns)


def forget_requests(txn: Transaction, before_ns: int, start: bytes) -> bytes:
    """Forget request ids used before this time, some per call; where to go on, empty at the end."""
    pairs = txn.scan("requests", start, limit=_FORGET_AT_ONCE)
    for key, value in pairs:
        if REQUEST.unpack(value)[0] < before_ns:
            txn.remove("requests", key)
    return pairs[-1][0] + b"\0" if len(pairs) == _FORGET_AT_ONCE else b""


def rows_in_space(txn: Transaction, space: str) -> int:
    """How many originals with a vector in this space are searchable."""
    return counter(txn, f"rows:{space}")


def _same_picture(record: OriginalRecord, new: NewOriginal) -> bool:
    return record.sha256 == new.sha256 or record.pixel_sha256 == new.pixel_sha256


def _count(txn: Transaction, record: OriginalRecord, step: int) -> None:
    for space in record.vectors:
        value = rows_in_space(txn, space) + step
        txn.put("meta", f"rows:{space}".encode(), number(value))


def _retried(txn: Transaction, new: NewOriginal, before: bytes) -> OriginalRecord:
    _, key, digest = REQUEST.unpack(before)
    data = txn.get("originals", number(key))
    if data is None:
        raise RequestIdReused(new.request_id, "the original that it made was withdrawn")
    record = decode_original(data)
    if (record.brand, record.original, digest) != (new.brand, new.original, new.sha256):
        raise RequestIdReused(new.request_id, "it made another original")
    return record


def note(
    txn: Transaction,
    kind: ChangeKind,
    brand: Brand,
    subject: str,
    now_ns: int,
    details: Mapping[str, Any],
    also: Sequence[str] = (),
) -> Change:
    """Add a line to the change log that is about no original, and one to the audit log.

    Args:
        details: what the audit log says besides.
        also: ids of other brands that it concerns.
    """
    sequence = take_number(txn, "log")
    change = Change(sequence, kind, 0, brand.brand, brand.number, "", now_ns, subject)
    txn.put("log", number(change.sequence), encode_change(change))
    said = {"brand": f"brands/{brand.brand}", "subject": subject, "change": change.sequence}
    audit.append(txn, _ACTIONS[kind], said | dict(details), now_ns, brands=(brand.brand, *also))
    return change


def _check_etag(record: OriginalRecord, etag: str | None) -> None:
    if etag and etag != record.etag:
        raise EtagMismatch(etag, record.etag)


def _logged(txn: Transaction, kind: ChangeKind, record: OriginalRecord, now_ns: int) -> Change:
    change = Change(
        take_number(txn, "log"),
        kind,
        record.key,
        record.brand,
        record.brand_number,
        record.original,
        now_ns,
    )
    txn.put("log", number(change.sequence), encode_change(change))
    return change


def _audit_original(txn: Transaction, change: Change, record: OriginalRecord) -> None:
    audit.append(
        txn,
        _ACTIONS[change.kind],
        {
            "name": f"brands/{record.brand}/originals/{record.original}",
            "etag": record.etag,
            "display_name": record.display_name,
            "sha256": record.sha256.hex(),
            "change": change.sequence,
        },
        change.time_ns,
        brands=(record.brand,),
    )
