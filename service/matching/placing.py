"""Originals that key points find in a listing, wherever and however small they lie in it.

Vectors of a whole picture say little of an original that is pasted small or turned, of which a
tenth was cut out, or whose subject was put elsewhere. The catalogue tells which originals share key
points with the listing by far more than chance (`index.points`), and geometry tells where: points
that are shared by chance agree on no map.
"""

from collections.abc import Collection
from dataclasses import dataclass

from index.points import PointQuery
from models.detail import Detail
from models.features import COARSE_SIDE_PX
from models.fingerprint import ListingPrint
from models.views import WHOLE, Region
from models.words import probes
from service.matching import geometry
from service.matching.alignment import usable, visible
from service.matching.geometry import Fit, Probe
from service.matching.originals import Originals

MOST = 2
"""Originals that are looked for in one listing."""
_VOTES = 3.0
"""An original has so many times the votes of chance. Four in ten listings that copy nothing have
one that has more; so have nine in ten that hold one at half a side, and six in ten at a quarter."""
_INLIERS = 8
"""So many coarse key points agree on one map; three in a hundred unrelated pictures have them."""
_LEAST_SIDE = 0.04
"""Shortest side of a part of the listing that is looked at as a picture."""


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """An original that key points have found in a listing.

    Attributes:
        detail: of the original.
        fit: the map on which they agree.
        region: the part of the listing that it covers.
    """

    detail: Detail
    fit: Fit
    region: Region


def place(
    catalogue: Originals,
    listing: ListingPrint,
    brands: Collection[str] | None,
    settled: Collection[int],
) -> dict[int, Placed]:
    """Look for the originals that share the most key points with a listing.

    Args:
        brands: ids of the brands to look among; None: all.
        settled: keys of originals that need not be looked for.

    Returns:
        By key; most often none.

    Raises:
        BrandNotFound: a brand does not exist.
    """
    points = listing.points(WHOLE, COARSE_SIDE_PX)
    query = probes(points)
    if query is None:
        return {}
    found = catalogue.most_voted(PointQuery(*query), MOST, brands=brands)
    likely = [each.key for each in found if each.score >= _VOTES and each.key not in settled]
    if not likely:
        return {}
    probe = Probe.of(points)
    placed = {}
    for key, blob in zip(likely, catalogue.features_many(likely), strict=True):
        # An original without a detail was withdrawn since it was found.
        at = _placed(probe, Detail.from_bytes(blob)) if blob is not None else None
        if at is not None:
            placed[key] = at
    return placed


def place_one(listing: ListingPrint, detail: Detail) -> Placed | None:
    """Look for one original in a listing; None where key points do not find it."""
    return _placed(Probe.of(listing.points(WHOLE, COARSE_SIDE_PX)), detail)


def _placed(probe: Probe, detail: Detail) -> Placed | None:
    fit = geometry.fit(probe, detail.points)
    if fit is None or fit.inliers < _INLIERS:
        return None
    region = _covered(fit)
    return Placed(detail, fit, region) if region is not None else None


def _covered(fit: Fit) -> Region | None:
    """The upright part of the listing that an original covers; None where it is next to nothing."""
    if not usable(fit.matrix):
        return None
    seen = visible(fit.matrix)
    if len(seen) < 3:
        return None
    left, top, right, bottom = (float(side) for side in (*seen.min(axis=0), *seen.max(axis=0)))
    large = min(right - left, bottom - top) >= _LEAST_SIDE
    return Region(left, top, right, bottom) if large else None
