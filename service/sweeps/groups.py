"""Who copied how much of what: the flagged listings of a sweep by seller, or by family."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from index.ids import number
from service.sweeps.ledger import DIGEST_BYTES


@dataclass(frozen=True, slots=True)
class Group:
    """What one seller copied, or who copied one family.

    Attributes:
        name: the seller (empty: the manifest names none), or the family's resource name.
        listings: flagged ones.
        others: how many families the seller copied, or sellers copied the family.
        by_verdict: listings by the name of their verdict.
        largest: the others with the most listings, at most `LARGEST`, with their counts.
    """

    name: str
    listings: int
    others: int
    by_verdict: Mapping[str, int]
    largest: Sequence[tuple[str, int]]


LARGEST = 12
GroupBy = Literal["SELLER", "FAMILY"]

Row = tuple[str, dict[str, int]]
"""A name, and listings by the name of their verdict."""

_SELLER_BYTES = len(number(0)) + DIGEST_BYTES
"""The beginning of the key of a pair, which is the key of its seller."""


def grouped(
    sellers: Mapping[bytes, Row], pairs: Iterable[tuple[bytes, Row]], by: GroupBy
) -> Sequence[Group]:
    """All groups, most listings first.

    Args:
        sellers: the rows of the table `sellers` of one sweep, by their keys.
        pairs: the rows of its table `pairs`; those of other sellers are passed over.
    """
    found: dict[str, tuple[dict[str, int], dict[str, int]]] = {}
    if by == "SELLER":
        found = {name: (counts, {}) for name, counts in sellers.values()}
    for key, (family, counts) in pairs:
        if key[:_SELLER_BYTES] not in sellers:
            continue
        seller = sellers[key[:_SELLER_BYTES]][0]
        name, other = (seller, family) if by == "SELLER" else (family, seller)
        verdicts, others = found.setdefault(name, ({}, {}))
        others[other] = sum(counts.values())
        if by == "FAMILY":
            for verdict, count in counts.items():
                verdicts[verdict] = verdicts.get(verdict, 0) + count
    groups = [_group(name, *each) for name, each in found.items()]
    return sorted(groups, key=lambda group: (-group.listings, -group.others, group.name))


def _group(name: str, verdicts: dict[str, int], others: dict[str, int]) -> Group:
    largest = sorted(others.items(), key=lambda pair: (-pair[1], pair[0]))[:LARGEST]
    return Group(name, sum(verdicts.values()), len(others), verdicts, largest)
