"""Verification: lay a listing over one candidate in the most likely ways, keep the best.

First a glance: the layouts propose poses, and a number says whether the edges meet under one
of them. It costs a tenth of the rest and turns most lookalikes away. Then the key points
propose a map too, each map is refined, and the one under which the edges stand out most is
measured densely. So geometry alone, which a shared carpet can satisfy, never decides.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from models.features import LocalFeatures
from models.fingerprint import Detail
from models.images import UInt8Array
from models.layout import Matrix
from models.views import WHOLE, Region
from service.matching import dense, geometry, poses, signals
from service.matching.dense import Agreement
from service.matching.geometry import Fit, Probe
from service.matching.poses import Canvas, Sheet

_SMALL_PART = 0.5
"""Parts below this share of the picture have too few key points of the whole."""


@dataclass(frozen=True, slots=True, eq=False)
class Glance:
    """What a first look at one original showed.

    Attributes:
        values: the signals of the glance, by name.
        maps: float64, shape (3, 3), each with how far its edges stand out, best first.
        region: the part of the listing that the best of them is of.
        canvas: the original, prepared.
        detail: the original's own.
    """

    values: dict[str, float]
    maps: list[tuple[float, Matrix]]
    region: Region
    canvas: Canvas
    detail: Detail


@dataclass(frozen=True, slots=True, eq=False)
class Verification:
    """What a closer look at one original showed.

    Attributes:
        values: the signals of the glance and the verified ones, by name.
        agreement: under the map that is believed.
        fit: the geometry of key points, when there is one.
        detail: the original's own.
    """

    values: dict[str, float]
    agreement: Agreement
    fit: Fit | None
    detail: Detail


class Verifier:
    """Verifies the candidates of one listing picture. Belongs to one caller.

    Args:
        rgb: uint8, shape (h, w, 3), of the listing.
        parts: its views, the whole first: where each lies, and its stretched luma.
        points: finds the key points of a part; called when a candidate first needs them.
    """

    def __init__(
        self,
        rgb: UInt8Array,
        parts: Sequence[tuple[Region, UInt8Array]],
        points: Callable[[Region], LocalFeatures],
    ) -> None:
        self._rgb, self._parts, self._points = rgb, parts, points
        self._probes: dict[Region, Probe] = {}

    @cached_property
    def _sheet(self) -> Sheet:
        return Sheet.of(self._rgb, self._parts)

    def glance(self, detail: Detail) -> Glance:
        """Look whether an original lies in the listing as its layout proposes."""
        canvas = Canvas.of(detail.thumbnail, detail.subject)
        proposed = poses.propose(self._sheet, canvas)
        rated = [(*self._rated(canvas, pose.matrix), pose.region) for pose in proposed]
        rated.sort(key=lambda each: -each[0])
        standing, _, region = rated[0]
        maps = [(stands, matrix) for stands, matrix, _ in rated]
        return Glance(signals.glanced(proposed[0], standing), maps, region, canvas, detail)

    def verify(self, glance: Glance) -> Verification:
        """Compare the listing with one original closely."""
        canvas, maps = glance.canvas, list(glance.maps)
        fit = self._fit(glance)
        if fit:
            maps.append(self._rated(canvas, fit.matrix))
        best = max(maps, key=lambda rated: rated[0])
        settled = dense.settle(self._sheet, canvas, best[1])
        if dense.standing(self._sheet, canvas, settled) < best[0]:
            settled = best[1]
        agreement = dense.measure(self._sheet, canvas, settled)
        values = glance.values | signals.verified(fit, agreement)
        return Verification(values, agreement, fit, glance.detail)

    def _fit(self, glance: Glance) -> Fit | None:
        """Match key points; those of a small part are looked for in the part, enlarged."""
        region = glance.region if glance.region.area < _SMALL_PART else WHOLE
        if region not in self._probes:
            self._probes[region] = Probe.of(self._points(region))
        fit = geometry.fit(self._probes[region], glance.detail.points)
        return fit.of_part(region) if fit else None

    def _rated(self, canvas: Canvas, matrix: Matrix) -> tuple[float, Matrix]:
        bent = dense.refine(self._sheet, canvas, matrix)
        return dense.standing(self._sheet, canvas, bent), bent
