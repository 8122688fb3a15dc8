"""What `scripts/collect.py` wrote, joined with the labels of its folder: the pairs of a fit."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scripts.additive import SEED, Array
from scripts.evaluation_data import FILE, Data, DataInvalid
from service.evaluation.answers import Asked
from service.evaluation.measures import Bools
from service.evaluation.metrics import NEGATIVE_ROLES

FOLDS = 5
LEAST_EACH = FOLDS
"""Clear copies, and listings that copy nothing, without which nothing is fitted: one for each fold.
So few make a fit run; whether it is worth anything, its figures say."""
BURST_WEIGHT = 0.15


class PairsTooFew(ValueError):
    """The pairs do not bear a fit; the message says how many there are and how many are needed."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """Collected pairs with their labels; arrays hold one value per pair.

    Attributes:
        names: of the signals, as in the columns of `values`.
        asked: the listing of each pair.
        originals: the path of its original.
        truth: whether the original is the listing's own.
        drawn: whether the listing was drawn anew.
        unclear: whether a person may not call the listing a copy.
        fold: of the cross-validation; products stay together.
        weight: in the fit.
        listings: all that were asked about, with or without a pair.
    """

    names: tuple[str, ...]
    values: Array
    asked: tuple[Asked, ...]
    originals: tuple[str, ...]
    truth: Bools
    drawn: Bools
    unclear: Bools
    fold: NDArray[np.int64]
    weight: Array
    listings: tuple[Asked, ...]

    def columns(self, names: Sequence[str]) -> Array:
        """The values of some signals, shape (pairs, len(names))."""
        return self.values[:, [self.names.index(name) for name in names]]


def read(data: Data, path: Path, apart: str = "products") -> Pairs:
    """Join collected signals with the labels of the evaluation folder.

    Args:
        apart: `products` or `sources`, whichever are never on both sides of a fit.

    Raises:
        DataInvalid: a source is not known.
    """
    found = np.load(path)
    by_path = {listing.path: listing for listing in data.listings}
    asked = tuple(by_path[listing] for listing in found["listing"])
    originals = tuple(str(each) for each in found["original"])
    groups = [(_source if apart == "sources" else _group)(data, each) for each in asked]
    rng = np.random.default_rng(SEED)
    every = sorted(set(groups))
    dealt = range(len(every)) if apart == "sources" else rng.integers(0, FOLDS, len(every))
    folds = dict(zip(every, dealt, strict=True))
    truth = np.array([each.original == b for each, b in zip(asked, originals, strict=True)])
    # Wrong originals of a true copy are often its near-duplicates: they teach less.
    weight = np.where(np.array([bool(each.original) for each in asked]) & ~truth, 0.3, 1.0)
    # Shots of one shelf, seconds apart: no copies, but nothing like them is counted.
    weight = np.where(np.array([each.role == "burst" for each in asked]), BURST_WEIGHT, weight)
    unclear = np.array([each.fidelity in ("weak", "medium") for each in asked])
    return Pairs(
        names=tuple(found["names"]),
        values=found["values"].astype(np.float64),
        asked=asked,
        originals=originals,
        truth=truth,
        drawn=np.array([_drawn(each) for each in asked]),
        unclear=unclear,
        fold=np.array([folds[each] for each in groups]),
        weight=np.where(truth & unclear, 0.3, weight),
        listings=tuple(each for each in data.listings if each.role != "burst"),
    )


def check(pairs: Pairs) -> None:
    """See that there is enough to fit to.

    Raises:
        PairsTooFew: there is not.
    """
    clear = pairs.truth & ~pairs.unclear
    copies = len({asked.path for asked, own in zip(pairs.asked, clear, strict=True) if own})
    others = len({asked.path for asked in pairs.asked if asked.role in NEGATIVE_ROLES})
    if min(copies, others) < LEAST_EACH:
        raise PairsTooFew(
            f"pairs of {copies} copies and of {others} listings that copy nothing are too few to "
            f"fit a score: {LEAST_EACH} of each are needed, and many more for a good one"
        )
    if len(np.unique(pairs.fold)) < 2:
        raise PairsTooFew("all pairs fall into one fold: add pairs of other products, or sources")


def _group(data: Data, asked: Asked) -> str:
    """The product that a listing shows; listings of one are never on both sides of a fit."""
    if not asked.original or asked.group != asked.path:
        return asked.group
    return data.groups.get(asked.original, asked.original)


def _source(data: Data, asked: Asked) -> str:
    """The catalogue, or the collection of an editor's work, that a listing is from."""
    if asked.path not in data.sources:
        raise DataInvalid(f"{data.folder / FILE} names no source of {asked.path}; add the column")
    return data.sources[asked.path]


def _drawn(asked: Asked) -> bool:
    return asked.role == "restyled" and asked.edits[0] not in ("upscale", "background-swap")
