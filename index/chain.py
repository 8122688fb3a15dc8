"""The hash chain of the audit log: what a link is, and how anybody can verify a run of them.

Each link's hash is SHA-256 over the hash of the link before it (32 bytes, zeros for the first)
and the bytes of its own entry, a JSON object. So no entry can be changed, left out, moved or
put in without every later hash changing, and one hash that is kept elsewhere (an `Anchor`)
vouches for all entries up to it. Pure functions: this is all that an auditor needs.

What a chain can not show: that entries after the last anchor kept elsewhere were rewritten by
somebody who can write to the store and computes the hashes anew, or that something was never
logged at all.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

GENESIS = bytes(32)
"""What the first entry follows."""
_ANCHOR = re.compile(r"([0-9]{1,19}):([0-9a-f]{64})")


class AuditBroken(RuntimeError):
    """The audit log is not what was written; `sequence` is the first link that is wrong."""

    reason: ClassVar[str] = "AUDIT_BROKEN"

    def __init__(self, sequence: int, why: str) -> None:
        super().__init__(f"the audit log is broken at entry {sequence}: {why}")
        self.sequence, self.why = sequence, why

    def __reduce__(self) -> tuple[type[Self], tuple[int, str]]:
        return type(self), (self.sequence, self.why)


@dataclass(frozen=True, slots=True)
class Anchor:
    """The hash of one entry; kept elsewhere, it vouches for everything up to that entry."""

    sequence: int
    hash: bytes

    def __str__(self) -> str:
        return f"{self.sequence}:{self.hash.hex()}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `str` of an anchor gives. Raises ValueError."""
        found = _ANCHOR.fullmatch(text.strip())
        if found is None:
            raise ValueError(f"an anchor is SEQUENCE:HASH with 64 hexadecimal digits, not {text!r}")
        return cls(int(found[1]), bytes.fromhex(found[2]))


@dataclass(frozen=True, slots=True)
class Link:
    """One entry in the chain.

    Attributes:
        sequence: from 1, without gaps.
        previous: hash of the entry before.
        hash: of this one.
        body: the entry, JSON in UTF-8, exactly as it was hashed.
    """

    sequence: int
    previous: bytes
    hash: bytes
    body: bytes

    @property
    def entry(self) -> Mapping[str, Any]:
        """The entry, decoded."""
        entry: Mapping[str, Any] = json.loads(self.body)
        return entry

    @property
    def anchor(self) -> Anchor:
        """The anchor that this link is."""
        return Anchor(self.sequence, self.hash)

    def to_line(self) -> str:
        """One line of JSON; `entry` comes last and stands there byte by byte."""
        head = f'{{"hash":"{self.hash.hex()}","previous":"{self.previous.hex()}","entry":'
        return f"{head}{self.body.decode()}}}"

    @classmethod
    def from_line(cls, line: str) -> Self:
        """Read what `to_line` made. Raises ValueError."""
        plain = json.loads(line)
        _, mark, rest = line.strip().partition('"entry":')
        if not mark or not isinstance(plain, dict) or "hash" not in plain:
            raise ValueError("it is no line of an exported audit log")
        hashes = bytes.fromhex(plain["previous"]), bytes.fromhex(plain["hash"])
        return cls(int(plain["entry"]["sequence"]), *hashes, rest[:-1].encode())


def link_hash(previous: bytes, body: bytes) -> bytes:
    """The hash of an entry that follows the one with the hash `previous`."""
    return hashlib.sha256(previous + body).digest()


@dataclass(frozen=True, slots=True)
class Verified:
    """A run of links that holds.

    Attributes:
        first, last: sequences of its ends; 0 when there is no entry.
        head: the last link, None when there is no entry.
        oldest: the oldest entry that was kept when the last one was written.
        clock_jumps: sequences of entries whose time lies before that of the one before.
        anchored: the last entry that an anchor vouched for; 0 for none.
    """

    first: int
    last: int
    head: Anchor | None
    oldest: int
    clock_jumps: tuple[int, ...]
    anchored: int


def verify(
    links: Iterable[Link],
    *,
    anchors: Sequence[Anchor] = (),
    head: Anchor | None = None,
    whole: bool = False,
) -> Verified:
    """Verify consecutive links.

    Args:
        anchors: hashes kept elsewhere. Those of entries older than the first link are passed
            over: retention has dropped what they vouched for.
        head: what the source says its last entry is; None when it says nothing.
        whole: whether the links are all that is kept, not a part of it.

    Raises:
        AuditBroken: at the first link that is wrong, or where the tail was cut off.
    """
    wanted: dict[int, set[bytes]] = {}
    for anchor in (*anchors, *([head] if head else [])):
        wanted.setdefault(anchor.sequence, set()).add(anchor.hash)
    outside = {anchor.sequence for anchor in anchors}
    first = last = oldest = time_ns = anchored = 0
    previous: bytes | None = None
    jumps: list[int] = []
    for link in links:
        expected = last + 1 if previous is not None else link.sequence
        if link.sequence != expected:
            raise AuditBroken(expected, f"it is missing; entry {link.sequence} follows")
        if previous is not None and link.previous != previous:
            raise AuditBroken(link.sequence, f"it does not follow entry {last} as that one is now")
        if link_hash(link.previous, link.body) != link.hash:
            raise AuditBroken(link.sequence, "its content is not what was hashed")
        entry = _entry(link)
        if link.sequence in wanted:
            if wanted[link.sequence] != {link.hash}:
                why = "the anchor has another hash: this log, up to here, is not the one it is of"
                raise AuditBroken(link.sequence, why)
            anchored = link.sequence if link.sequence in outside else anchored
        first = first or link.sequence
        if link.sequence == 1 and link.previous != GENESIS:
            raise AuditBroken(1, "it is the first, and follows something")
        if entry["time_ns"] < time_ns:
            jumps.append(link.sequence)
        last, previous, oldest = link.sequence, link.hash, entry["oldest"]
        time_ns = entry["time_ns"]
    for sequence in sorted(wanted):
        if sequence > last:
            raise AuditBroken(last + 1, f"it is missing: the log once had {sequence} entries")
    if whole and first > oldest:
        raise AuditBroken(oldest, f"it is missing: the log begins at {first}, and never said so")
    return Verified(
        first, last, Anchor(last, previous) if previous else None, oldest, tuple(jumps), anchored
    )


def _entry(link: Link) -> Mapping[str, Any]:
    """The entry of a link, whose hash was verified: it can only be wrong by design."""
    try:
        entry = link.entry
        if entry["sequence"] == link.sequence and entry["oldest"] <= link.sequence:
            int(entry["time_ns"])
            return entry
        why = f"it calls itself entry {entry['sequence']}"
    except (ValueError, KeyError, TypeError) as error:
        why = f"it is no entry: {type(error).__name__}: {error}"
    raise AuditBroken(link.sequence, why)
