"""Verification: lay a listing over one candidate in the most likely ways, keep the best.

Looks, each dearer and surer than the one before, so that most lookalikes are turned away
early. A glance: the layouts propose poses, and a number says whether the edges meet under one
of them. Then key points of a reduced picture are matched, and propose one map more. What could
still be a copy is verified: the map under which the edges stand out most is settled to parts of a
pixel, and the two are compared place by place. So geometry alone, which a shared carpet can
satisfy, never decides. What a glance shows so well that no better map is needed can be verified by
it alone; what stays in doubt, with finer key points. A listing that lies beside every map may be
bent, and is then straightened first (`service.matching.bends`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from models import layout
from models.detail import Detail
from models.features import COARSE_SIDE_PX, SIDE_PX, LocalFeatures
from models.images import UInt8Array
from models.layout import FloatArray, Matrix
from models.scaling import shrink_to
from models.views import WHOLE, Region
from service.matching import bends, borders, dense, geometry, poses, signals
from service.matching.bends import Bend
from service.matching.dense import Agreement, Laid
from service.matching.geometry import Fit, Probe
from service.matching.poses import Canvas, Sheet
from service.matching.siblings import own_detail

_SMALL_PART = 0.5
"""Parts below this share of the picture have too few key points of the whole."""
_PLAINLY = 30.0
"""Edges that stand out by so many deviations under one pose do so under no other: of 140 glances at
copies in which the first pose did, the second was better in none."""
_BORDERS_PX = 640
"""Longest side of the listing whose seams are looked for."""
_PLENTY = 15
"""So many key points of a reduced picture that agree need no finer ones beside them: of 200 edited
copies three in four have them, and nineteen in twenty of these lie within five of 128 pixels of
where the finer ones say, which is less than the edges are then searched in."""


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """What a look at one original showed.

    Attributes:
        values: the signals measured so far, by name.
        detail: the original's own.
    """

    values: dict[str, float]
    detail: Detail


@dataclass(frozen=True, slots=True, eq=False)
class Glance(Look):
    """What a first look showed.

    Attributes:
        canvas: the original, prepared.
        laid: the listing on it, by the best map.
        standing: how far the edges stand out there.
        region: the part of the listing that it is of.
    """

    canvas: Canvas
    laid: Laid
    standing: float
    region: Region


@dataclass(frozen=True, slots=True, eq=False)
class Points(Look):
    """What the key points showed.

    Attributes:
        glance: the look before.
        fit: the geometry that most of them agree on; None when there is none.
        region: the part of the listing that they were looked for in.
        plenty: whether so many agree, or so fine ones, that no finer ones are worth matching.
    """

    glance: Glance
    fit: Fit | None
    region: Region
    plenty: bool


@dataclass(frozen=True, slots=True, eq=False)
class Verification(Look):
    """What the closest look showed.

    Attributes:
        agreement: under the map that is believed.
        seen: the looks that it is by.
        bend: how the listing was bent; it was straightened before it was compared. None when it
            lies flat.
    """

    agreement: Agreement
    seen: Glance | Points
    bend: Bend | None

    @property
    def fit(self) -> Fit | None:
        """The geometry of key points, when they were matched and there is one."""
        return self.seen.fit if isinstance(self.seen, Points) else None

    def straight(self, rgb: UInt8Array) -> UInt8Array:
        """The listing as it lies on the original: itself, or straightened when it is bent."""
        return self.bend.straighten(rgb) if self.bend else rgb

    @property
    def coarse(self) -> Points | None:
        """The key points that it is by, when finer ones may tell more."""
        return self.seen if isinstance(self.seen, Points) and not self.seen.plenty else None


class Verifier:
    """Verifies the candidates of one listing picture. Belongs to one caller.

    Args:
        rgb: uint8, shape (h, w, 3), of the listing.
        parts: its views, the whole first: where each lies, and its stretched luma.
        detect: finds the key points of a part, reduced to a longest side in pixels; called when a
            candidate first needs them.
    """

    def __init__(
        self,
        rgb: UInt8Array,
        parts: Sequence[tuple[Region, UInt8Array]],
        detect: Callable[[Region, int], LocalFeatures],
    ) -> None:
        self._rgb, self._parts, self._detect = rgb, parts, detect
        self._probes: dict[tuple[Region, int], Probe] = {}
        self._by_glance: dict[Glance, Agreement] = {}
        self._fine: dict[Detail, FloatArray] = {}

    @cached_property
    def _sheet(self) -> Sheet:
        return Sheet.of(self._rgb, self._parts)

    @cached_property
    def _reduced(self) -> UInt8Array:
        return shrink_to(self._rgb, _BORDERS_PX)

    def glance(self, detail: Detail) -> Glance:
        """Look whether an original lies in the listing as its layout proposes."""
        canvas = Canvas.of(detail.thumbnail, detail.subject)
        proposed = poses.propose(self._sheet, canvas)
        (standing, best), region = self._rated(canvas, proposed[0].matrix), proposed[0].region
        for pose in proposed[1:]:
            if standing >= _PLAINLY:
                break
            rated, bent = self._rated(canvas, pose.matrix)
            if rated > standing:
                standing, best, region = rated, bent, pose.region
        values = signals.glanced(proposed[0], standing)
        return Glance(values, detail, canvas, best, standing, region)

    def points(self, glance: Glance, *, fine: bool = False) -> Points:
        """Match the key points of the listing with those of an original.

        Those of a small part are looked for in the part, enlarged.

        Args:
            fine: at once those of the full size, and not of a reduced picture first.
        """
        region = glance.region if glance.region.area < _SMALL_PART else WHOLE
        reduced = not fine and max(region.of(self._rgb).shape[:2]) >= 2 * COARSE_SIDE_PX
        fit = self._fit(glance.detail, region, COARSE_SIDE_PX if reduced else SIDE_PX)
        plenty = not reduced or (fit is not None and fit.inliers >= _PLENTY)
        return Points(
            glance.values | signals.pointed(fit), glance.detail, glance, fit, region, plenty
        )

    def placed(self, detail: Detail, fit: Fit, region: Region) -> Points:
        """Take the key points of the full size where coarse ones have found an original.

        Args:
            fit: on which the coarse ones agree.
            region: the part of the listing that the original covers.
        """
        part = region if region.area < _SMALL_PART else WHOLE
        finer = self._fit(detail, part, SIDE_PX)
        best = finer if finer is not None and finer.inliers >= fit.inliers else fit
        glance = self.glance(detail)
        values = glance.values | signals.pointed(best) | {signals.PLACED: region.area}
        return Points(values, detail, glance, best, part, plenty=True)

    def verify(self, seen: Glance | Points) -> Verification:
        """Compare the listing with one original closely, under the best map of the looks so far."""
        glance, fit = (seen, None) if isinstance(seen, Glance) else (seen.glance, seen.fit)
        canvas = glance.canvas
        rated = self._rated(canvas, fit.matrix) if fit else None
        if rated and rated[0] > glance.standing:
            agreement = self._agreement(canvas, *rated)
        else:
            if glance not in self._by_glance:
                self._by_glance[glance] = self._agreement(canvas, glance.standing, glance.laid)
            agreement = self._by_glance[glance]
        bend = None
        if fit and signals.off_the_map(agreement, fit):
            bend = bends.find(self._sheet, canvas, agreement.matrix)
        if bend:
            straight = self._straight(bend)
            laid = dense.laid(straight, agreement.matrix)
            agreement = dense.measure(straight, laid, canvas)
        beyond = signals.MISSING
        # Another part of the very same photograph may show more of it, too.
        if agreement.residual >= signals.ONE_EXPOSURE:
            beyond = borders.beyond(
                lambda: bend.straighten(self._reduced) if bend else self._reduced,
                seen.detail.thumbnail,
                agreement.matrix,
            )
        values = seen.values | signals.verified(agreement, fit, beyond)
        return Verification(values, seen.detail, agreement, seen, bend)

    def finer(self, checked: Verification) -> Verification:
        """Verify once more with the key points of the full size, when more of them agree."""
        seen = checked.coarse
        if seen is None:
            return checked
        fit = self._fit(seen.detail, seen.region, SIDE_PX)
        if fit is None or (seen.fit is not None and seen.fit.inliers >= fit.inliers):
            return checked
        values = seen.values | signals.pointed(fit)
        return self.verify(replace(seen, values=values, fit=fit, plenty=True))

    def own_detail(self, checked: Verification, siblings: Sequence[Detail]) -> list[float]:
        """How much the listing shows of what sets the original apart from each of its siblings."""
        sheet = self._straight(checked.bend) if checked.bend else self._sheet
        laid = dense.laid(sheet, checked.agreement.matrix, layout.FINE_SIDE_PX)
        others = (self._edges(each) for each in siblings)
        return own_detail(laid.field, laid.inside, self._edges(checked.detail), others)

    def _straight(self, bend: Bend) -> Sheet:
        """The listing, straightened."""
        return self._sheet.straightened(bend.straighten(self._sheet.levels[0]))

    def _edges(self, detail: Detail) -> FloatArray:
        """The edges of an original at the finer size, found once."""
        if detail not in self._fine:
            self._fine[detail] = layout.gradient_field(layout.grey(detail.thumbnail))
        return self._fine[detail]

    def _fit(self, detail: Detail, region: Region, side: int) -> Fit | None:
        """Match the key points of a part, reduced to a longest side."""
        if (region, side) not in self._probes:
            self._probes[region, side] = Probe.of(self._detect(region, side))
        fit = geometry.fit(self._probes[region, side], detail.points)
        return fit.of_part(region) if fit else None

    def _agreement(self, canvas: Canvas, standing: float, best: Laid) -> Agreement:
        """Compare place by place under a map, or under the same one settled, if it is no worse."""
        settled = dense.laid(self._sheet, dense.settle(best, canvas))
        if dense.standing(settled, canvas) >= standing:
            best = settled
        return dense.measure(self._sheet, best, canvas)

    def _rated(self, canvas: Canvas, matrix: Matrix) -> tuple[float, Laid]:
        """Bend a map until the edges meet; how far they stand out then, and the listing there."""
        bent = dense.laid(self._sheet, dense.refine(dense.laid(self._sheet, matrix), canvas))
        return dense.standing(bent, canvas), bent
