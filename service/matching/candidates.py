"""Candidates: which originals are worth a closer look, and what their vectors say.

Every view of a listing proposes the nearest originals of every space: the copy descriptor,
the layout and PDQ in all eight orientations (by rank, since edits push PDQ beyond any useful
radius), CLIP when it is on. The similarities of all spaces are then computed for all of them,
whoever proposed them, raw and beyond what the listing has with unrelated pictures.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from index.records import OriginalRecord
from index.spaces import Query
from models.fingerprint import Fingerprinter, ViewPrint
from models.hashes import PHASH_BITS, bits_apart
from models.pdq import BITS as PDQ_BITS
from service.matching.originals import Originals
from service.matching.signals import MISSING

NEAREST = {"sscd": 10, "layout": 4, "pdq": 3, "clip": 5}
"""Originals that the whole picture proposes per space."""
NEAREST_IN_PART = {"sscd": 4, "layout": 3, "pdq": 2, "clip": 2}
"""Likewise for each of its parts."""


SAME_PHOTOGRAPH_BITS = 31
"""Originals whose PDQ hashes are no further apart are one photograph, registered twice."""
SIBLINGS_FROM = 0.64
"""Share of equal bits from which two originals are siblings. Hashes of unrelated pictures have half
of them, 3 % more or less; and the more originals there are, the nearer one comes by chance."""
_SAME_PHOTOGRAPH = 1 - SAME_PHOTOGRAPH_BITS / PDQ_BITS
_NEAREST_SIBLINGS = 10
"""Originals whose hashes are compared with that of one; itself is one of them, and so are all that
show it in other colours."""
_UPRIGHT = (0, 4)
"""The turns whose layouts are searched for: none, and mirrored."""


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """An original that may have been copied.

    Attributes:
        record: what is stored of it.
        values: the cheap signals, by name.
    """

    record: OriginalRecord
    values: Mapping[str, float]


def gather(
    catalogue: Originals,
    views: Sequence[ViewPrint],
    brands: Collection[str] | None,
) -> list[int]:
    """Propose originals for the views of one listing picture.

    Returns:
        Keys, each once, in the order of proposal.

    Raises:
        BrandNotFound: a brand does not exist.
    """
    keys: dict[int, None] = {}
    queries = [query for view in views for query in _queries(view)]
    for query, found in zip(queries, catalogue.search_many(queries, brands=brands), strict=True):
        best: dict[int, float] = {}
        for neighbours in found:
            for key, score in neighbours:
                best[key] = max(score, best.get(key, -1.0))
        ranked = sorted(best, key=lambda key: (-best[key], key))
        keys.update(dict.fromkeys(ranked[: query.k]))
    return list(keys)


def compare(
    fingerprinter: Fingerprinter,
    phash: int,
    views: Sequence[ViewPrint],
    records: Iterable[OriginalRecord],
) -> list[Candidate]:
    """Compute the cheap signals between the views of a listing and some originals."""
    originals = list(records)
    if not originals:
        return []
    table: dict[str, NDArray[np.float64]] = {}
    for space in ("sscd", "clip"):
        if space in views[0].vectors:
            queries = np.stack([view.vectors[space] for view in views])
            alike = queries @ _stack(originals, space).T
            table |= _normalised(fingerprinter, space, queries, alike, originals)
    turns = np.concatenate([view.layouts for view in views])
    alike = turns @ _stack(originals, "layout").T
    table |= _normalised(fingerprinter, "layout", turns, alike, originals)
    table["pdq_agreement"] = _pdq_agreement(views, originals)
    table["phash_agreement"] = np.array(
        [_phash_agreement(phash, original) for original in originals]
    )
    table["sibling_agreement"] = _sibling_agreement(originals)
    return [
        Candidate(original, {name: float(column[i]) for name, column in table.items()})
        for i, original in enumerate(originals)
    ]


def siblings(catalogue: Originals, records: Sequence[OriginalRecord], most: int) -> list[list[int]]:
    """The other originals, of any brand, that are much like each of some by their hashes.

    Returns:
        For each the keys of at most so many; other photographs come before the same in other
        colours, then the most alike comes first.
    """
    hashed = [each for each in records if "pdq" in each.vectors]
    queries = [Query("pdq", each.vectors["pdq"][None], _NEAREST_SIBLINGS) for each in hashed]
    near: dict[int, list[int]] = {}
    for record, (found,) in zip(hashed, catalogue.search_many(queries), strict=True):
        others = [each for each in found if each.key != record.key and each.score >= SIBLINGS_FROM]
        others.sort(key=lambda each: (each.score >= _SAME_PHOTOGRAPH, -each.score, each.key))
        near[record.key] = [each.key for each in others[:most]]
    return [near.get(each.key, []) for each in records]


def _queries(view: ViewPrint) -> Iterable[Query]:
    nearest = NEAREST if view.region.area >= 1 else NEAREST_IN_PART
    for space, row in view.vectors.items():
        yield Query(space, row[None], nearest[space])
    # Quarter turns are found by PDQ, at a sixtieth of the price.
    yield Query("layout", view.layouts[list(_UPRIGHT)], nearest["layout"])
    if view.pdq_quality > 0:
        yield Query("pdq", view.pdq, nearest["pdq"])


def _stack(originals: Sequence[OriginalRecord], space: str) -> NDArray[np.float32]:
    return np.stack([original.vectors[space] for original in originals]).astype(np.float32)


def _normalised(
    fingerprinter: Fingerprinter,
    space: str,
    queries: NDArray[np.float32],
    alike: NDArray[np.float32],
    originals: Sequence[OriginalRecord],
) -> dict[str, NDArray[np.float64]]:
    """The best similarity over the queries, raw and beyond the ordinary, per original."""
    ours = fingerprinter.ordinariness(space, queries)
    theirs = fingerprinter.ordinariness(space, _stack(originals, space))
    unknown = np.full(len(originals), MISSING)
    excess = unknown if ours is None else (alike - ours[:, None]).max(axis=0)
    return {
        f"{space}_cosine": alike.max(axis=0).astype(np.float64),
        f"{space}_excess": np.asarray(excess, dtype=np.float64),
        f"{space}_ordinary": unknown if theirs is None else theirs.astype(np.float64),
    }


def _pdq_agreement(
    views: Sequence[ViewPrint], originals: Sequence[OriginalRecord]
) -> NDArray[np.float64]:
    rows = [view.pdq for view in views if view.pdq_quality > 0]
    result = np.full(len(originals), MISSING)
    if not rows:
        return result
    hashes = np.concatenate(rows)
    for i, original in enumerate(originals):
        if "pdq" in original.vectors:
            apart = np.bitwise_count(hashes ^ original.vectors["pdq"][None]).sum(axis=1)
            result[i] = 1 - float(apart.min()) / (8 * hashes.shape[1])
    return result


def _sibling_agreement(originals: Sequence[OriginalRecord]) -> NDArray[np.float64]:
    """How alike the most alike of the other originals is, where it is a sibling.

    Two registrations of one photograph are none, nor are originals that agree by chance.
    Renders of one blank shirt in several colours and prints differ less from each other than
    from most of their copies. So where an original has such siblings, likeness says little.
    """
    result = np.full(len(originals), MISSING)
    hashed = [i for i, original in enumerate(originals) if "pdq" in original.vectors]
    if len(hashed) < 2:
        return result
    hashes = np.stack([originals[i].vectors["pdq"] for i in hashed])
    apart = np.bitwise_count(hashes[:, None] ^ hashes[None]).sum(axis=2, dtype=np.int64)
    bits = 8 * hashes.shape[1]
    agree = 1 - np.where(apart > SAME_PHOTOGRAPH_BITS, apart, bits).min(axis=1) / bits
    result[hashed] = np.where(agree >= SIBLINGS_FROM, agree, MISSING)
    return result


def _phash_agreement(ours: int, original: OriginalRecord) -> float:
    theirs = original.attributes.get("phash")
    if not isinstance(theirs, str):
        return MISSING
    return 1 - bits_apart(ours, int(theirs, 16)) / PHASH_BITS
