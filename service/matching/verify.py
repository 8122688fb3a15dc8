"""Verification: lay a listing over one candidate in the most likely ways, keep the best.

Both the layout and the key points propose a map; each is refined and measured densely, and
the one under which the most of the original agrees is believed. So geometry alone, which a
shared carpet can satisfy, never decides.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from models.features import LocalFeatures
from models.fingerprint import Detail
from models.images import UInt8Array
from models.views import Region
from service.matching import dense, geometry, poses, signals
from service.matching.dense import Agreement
from service.matching.geometry import Fit, Probe
from service.matching.poses import Canvas, Sheet


@dataclass(frozen=True, slots=True, eq=False)
class Verification:
    """What a closer look at one original showed.

    Attributes:
        values: the verified signals, by name.
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
        points: its key points.
    """

    def __init__(
        self,
        rgb: UInt8Array,
        parts: Sequence[tuple[Region, UInt8Array]],
        points: LocalFeatures,
    ) -> None:
        self._rgb, self._parts, self._points = rgb, parts, points

    @cached_property
    def _sheet(self) -> Sheet:
        return Sheet.of(self._rgb, self._parts)

    @cached_property
    def _probe(self) -> Probe:
        return Probe.of(self._points)

    def verify(self, detail: Detail) -> Verification:
        """Compare the listing with one original."""
        canvas = Canvas.of(detail.thumbnail, detail.subject)
        proposed = poses.propose(self._sheet, canvas)
        fit = geometry.fit(self._probe, detail.points)
        maps = [pose.matrix for pose in proposed] + ([fit.matrix] if fit else [])
        measured = []
        for matrix in maps:
            bent, chance = dense.refine(self._sheet, canvas, matrix)
            measured.append(dense.measure(self._sheet, canvas, bent, chance))
        agreement = max(measured, key=lambda each: each.edges_all)
        return Verification(signals.verified(proposed[0], fit, agreement), agreement, fit, detail)
