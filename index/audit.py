"""The audit log in the store: entries that are only ever appended, and what retention drops.

Functions of a transaction, like those of `index.ledger`: an entry about a write is appended in
the transaction of the write, so neither is ever there without the other. Who made it is known
to the transaction (`Transaction.by`).

Tables:
    audit            sequence                     -> hash, entry (JSON); see `index.chain`
    audit_prints     sequence, picture            -> the fingerprint that a verdict was made from
    audit_requests   request id NUL sequence      -> nothing
    audit_brands     brand id NUL sequence        -> nothing
    meta `audit`     the ends of the log and its bytes

Fingerprints lie beside the entries, which hold their digests: they can be dropped, for their
age or with their brand, while the chain of entries stays whole.
"""

import hashlib
import json
import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from index.chain import GENESIS, Anchor, Link, link_hash
from index.ids import key_of, number
from index.tables import Transaction

TABLES: Mapping[str, bool] = {
    "audit": False,
    "audit_prints": False,
    "audit_requests": False,
    "audit_brands": False,
}
_ENDS = struct.Struct(">Q32sQ32sQQ")
_KEY = b"audit"
_AT_ONCE = 500
"""Entries that one call of `prune` or `drop_prints` looks at: it shares the writer thread."""
_DAY_NS = 86_400 * 10**9


@dataclass(frozen=True, slots=True)
class Ends:
    """Where the log begins and ends.

    Attributes:
        last: sequence of the newest entry, 0 for none.
        hash: of the newest entry.
        dropped: sequence of the newest entry that retention has dropped, 0 for none.
        dropped_hash: its hash, which the oldest kept entry follows.
        entry_bytes, print_bytes: what entries and fingerprints take, without their keys.
    """

    last: int = 0
    hash: bytes = GENESIS
    dropped: int = 0
    dropped_hash: bytes = GENESIS
    entry_bytes: int = 0
    print_bytes: int = 0

    @property
    def head(self) -> Anchor:
        """The newest entry as an anchor."""
        return Anchor(self.last, self.hash)


@dataclass(frozen=True, slots=True)
class Retention:
    """How long entries and fingerprints are kept; 0 days keeps them for good.

    Attributes:
        days: of entries.
        max_bytes: of entries and fingerprints together; the oldest go first.
        print_days: of fingerprints, at most as long as their entries.
    """

    days: float = 0
    max_bytes: int = 1 << 34
    print_days: float = 0


def ends(txn: Transaction) -> Ends:
    """Where the log begins and ends."""
    data = txn.get("meta", _KEY)
    return Ends(*_ENDS.unpack(data)) if data else Ends()


def append(
    txn: Transaction,
    action: str,
    details: Mapping[str, Any],
    now_ns: int,
    *,
    brands: Iterable[str] = (),
    prints: Mapping[int, bytes] | None = None,
) -> int:
    """Append an entry; its sequence.

    Args:
        action: what was done, `noun.verb`: `original.create`, `listing.judge`.
        details: values that JSON knows. No picture, no secret, no annotation; not-a-number
            becomes null.
        now_ns: when.
        brands: ids of the brands that it concerns, to find it by.
        prints: fingerprints of listing pictures, by their position in the listing.
    """
    before, prints, named = ends(txn), prints or {}, sorted(set(brands))
    sequence = before.last + 1
    digests = {str(i): hashlib.sha256(blob).hexdigest() for i, blob in sorted(prints.items())}
    entry = {
        "sequence": sequence,
        "time_ns": now_ns,
        "principal": txn.by.principal,
        "request_id": txn.by.request_id,
        "method": txn.by.method,
        "action": action,
        "oldest": before.dropped + 1,
        "brands": named,
        "details": _plain(details),
        "prints": digests,
    }
    body = json.dumps(entry, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    digest, key = link_hash(before.hash, body), number(sequence)
    txn.put("audit", key, digest + body)
    if txn.by.request_id:
        txn.put("audit_requests", key_of(txn.by.request_id) + b"\0" + key, b"")
    for brand in named:
        txn.put("audit_brands", key_of(brand) + b"\0" + key, b"")
    for position, blob in prints.items():
        txn.put("audit_prints", _print_key(sequence, position), blob)
    _keep(
        txn,
        replace(
            before,
            last=sequence,
            hash=digest,
            entry_bytes=before.entry_bytes + len(digest) + len(body),
            print_bytes=before.print_bytes + sum(map(len, prints.values())),
        ),
    )
    return sequence


def page(txn: Transaction, after: int, limit: int) -> list[Link]:
    """The entries that follow the entry `after`, or the oldest ones kept."""
    start = max(after, ends(txn).dropped)
    pairs = txn.scan("audit", number(start + 1), limit=limit)
    previous = _hash_of(txn, start)
    links = []
    for key, value in pairs:
        link = Link(int.from_bytes(key), previous, value[:32], value[32:])
        links.append(link)
        previous = link.hash
    return links


def found(txn: Transaction, table: str, wanted: str, after: int, limit: int) -> list[Link]:
    """The entries of a request or a brand that follow the entry `after`.

    Args:
        table: `audit_requests` or `audit_brands`.
        wanted: the request id or the brand id.
    """
    prefix = key_of(wanted) + b"\0"
    pairs = txn.scan(table, prefix + number(after + 1), prefix=prefix, limit=limit)
    links = (get(txn, int.from_bytes(key[-8:])) for key, _ in pairs)
    return [link for link in links if link is not None]


def get(txn: Transaction, sequence: int) -> Link | None:
    """One entry; None when there is none or it was dropped."""
    value = txn.get("audit", number(sequence))
    if value is None:
        return None
    return Link(sequence, _hash_of(txn, sequence - 1), value[:32], value[32:])


def prints_of(txn: Transaction, sequence: int) -> dict[int, bytes]:
    """The fingerprints of an entry that are still kept, by position."""
    pairs = txn.scan("audit_prints", prefix=number(sequence), limit=256)
    return {key[-1]: value for key, value in pairs}


def prune(txn: Transaction, retention: Retention, now_ns: int) -> bool:
    """Drop what is too old or too much, the oldest first, some at a time; whether more is due.

    The newest entry is always kept. What was dropped is itself an entry.
    """
    before, room = ends(txn), _AT_ONCE
    oldest_print = now_ns - int(retention.print_days * _DAY_NS) if retention.print_days else -1
    oldest_entry = now_ns - int(retention.days * _DAY_NS) if retention.days else -1
    after, gone = before, 0
    # Fingerprints first: they are the larger part, and the less missed.
    for key, blob in txn.scan("audit_prints", limit=room):
        link = get(txn, int.from_bytes(key[:8]))
        old = link is None or link.entry["time_ns"] < oldest_print
        if not old and after.entry_bytes + after.print_bytes <= retention.max_bytes:
            break
        txn.remove("audit_prints", key)
        after, gone = replace(after, print_bytes=after.print_bytes - len(blob)), gone + 1
    for link in page(txn, before.dropped, room):
        old = link.entry["time_ns"] < oldest_entry
        much = after.entry_bytes + after.print_bytes > retention.max_bytes
        if link.sequence == before.last or not (old or much):
            break
        after = _without(txn, link, after)
    if after == before:
        return False
    _keep(txn, after)
    append(txn, "audit.prune", {"through": after.dropped, "prints": gone}, now_ns)
    return gone == room or after.dropped - before.dropped == room


def drop_prints(txn: Transaction, brand: str, after: int) -> int:
    """Drop the fingerprints of listing pictures that were found alike to a brand's originals.

    The entries stay: that there was a verdict, on what evidence, is a fact about others too.

    Args:
        after: look at entries that follow this one, some at a time.

    Returns:
        Where to go on; 0 when there are no more.
    """
    state = ends(txn)
    links = found(txn, "audit_brands", brand, after, _AT_ONCE)
    for link in links:
        for position in _pictures_of(link.entry, brand):
            key = _print_key(link.sequence, position)
            blob = txn.get("audit_prints", key)
            if blob is not None:
                txn.remove("audit_prints", key)
                state = replace(state, print_bytes=state.print_bytes - len(blob))
    _keep(txn, state)
    return links[-1].sequence if len(links) == _AT_ONCE else 0


def _pictures_of(entry: Mapping[str, Any], brand: str) -> Sequence[int]:
    images = entry["details"].get("images", ())
    name = f"brands/{brand}/"
    return [
        image["position"]
        for image in images
        if any(str(match["original"]).startswith(name) for match in image.get("matches", ()))
    ]


def _without(txn: Transaction, link: Link, state: Ends) -> Ends:
    entry, key, print_bytes = link.entry, number(link.sequence), 0
    txn.remove("audit", key)
    if entry["request_id"]:
        txn.remove("audit_requests", key_of(entry["request_id"]) + b"\0" + key)
    for brand in entry["brands"]:
        txn.remove("audit_brands", key_of(brand) + b"\0" + key)
    for position, blob in prints_of(txn, link.sequence).items():
        txn.remove("audit_prints", _print_key(link.sequence, position))
        print_bytes += len(blob)
    return replace(
        state,
        dropped=link.sequence,
        dropped_hash=link.hash,
        entry_bytes=state.entry_bytes - 32 - len(link.body),
        print_bytes=state.print_bytes - print_bytes,
    )


def _hash_of(txn: Transaction, sequence: int) -> bytes:
    value = txn.get("audit", number(sequence)) if sequence else GENESIS
    if value is not None:
        return value[:32]
    state = ends(txn)
    return state.dropped_hash if state.dropped == sequence else GENESIS


def _keep(txn: Transaction, state: Ends) -> None:
    data = _ENDS.pack(
        state.last,
        state.hash,
        state.dropped,
        state.dropped_hash,
        state.entry_bytes,
        state.print_bytes,
    )
    txn.put("meta", _KEY, data)


def _print_key(sequence: int, position: int) -> bytes:
    return number(sequence) + bytes([position])


def _plain(value: Any) -> Any:
    """The value as JSON knows it."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if value is None or isinstance(value, str | int | bool):
        return value
    raise TypeError(f"{type(value).__name__} {value!r} can not be logged")
