"""Insets: pictures within a picture, found by straight upright edges that close to a rectangle.

Pure functions of their arguments: any thread may call them.
"""

import math
from dataclasses import replace
from itertools import combinations, product
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from models.outlines import Box, Outline, contrast, shared_colours, spread, steps_across
from models.views import BORDER_TOLERANCE, MIN_SIDE_PX, Region, unframe

UInt8Array = NDArray[np.uint8]
FloatArray = NDArray[np.float32]

SIDE_PX = 512
"""Longest side of the picture in which rectangles are looked for."""
_STEP = 10
"""Grey levels between neighbours that make an edge."""
_LINES = 12
"""Upright and level lines that are tried, each."""
_MIN_RUN = 0.09
"""Shortest straight run, as a share of the shorter side."""
_MIN_EXTENT = 0.08
_MIN_SCORE = 0.70
_TRIED = 80
"""Rectangles that are looked at, best first; most are the same one by neighbouring lines."""
_MEASURED = 8
"""Rectangles that are measured, best closed first: on a page that shows a picture between bars, an
advertisement, a portrait and a bar are all better closed than it is."""
_SAME = 0.75
"""Two rectangles with this intersection over union are one."""
_ONE_LENGTH_PX = 3
"""Two bars whose ends differ by no more are of one length."""
_SHARED = 0.01
"""Sides nearer to each other than this share of the picture are one."""


def insets(rgb: UInt8Array, limit: int) -> list[Region]:
    """Find pictures within a picture, the `limit` surest, surest first; see `outlines`."""
    found = [replace(region, score=outline.probability) for region, outline in outlines(rgb)]
    return sorted(found, key=lambda region: -region.score)[:limit]


def outlines(rgb: UInt8Array, limit: int = _MEASURED) -> list[tuple[Region, Outline]]:
    """Find rectangles that may be pictures within the picture, the best closed first.

    Straight runs of edge pixels are collected per column and per row; all rectangles of the
    strongest lines are scored at once by how much of each side is edge, less how far the
    edges run on beyond the corners (floor boards and page rules do, pasted pictures do not).
    Flat rectangles are dropped, uniform borders within are cut.

    Args:
        rgb: uint8, shape (h, w, 3).
        limit: at most this many, besides what lies between bars.
    """
    scale = SIDE_PX / max(rgb.shape[:2])
    if scale < 1:
        # By area alone do faint outlines stay as straight as they are.
        small = cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        rgb = np.asarray(small, dtype=np.uint8)
    h, w = rgb.shape[:2]
    if min(h, w) < 4 * MIN_SIDE_PX:
        return []
    run = max(12, int(_MIN_RUN * min(h, w)))
    # Grain would draw lines everywhere; the median leaves straight edges where they are.
    smooth = np.asarray(cv2.medianBlur(np.ascontiguousarray(rgb), 3), dtype=np.uint8)
    upright = np.asarray(cv2.transpose(smooth), dtype=np.uint8)
    uprights, levels = _edge_lines(upright, run), _edge_lines(smooth, run)
    columns = _Lines(uprights, run, w)
    rows = _Lines(levels, run, h)
    if not len(columns.first) or not len(rows.first):
        return []
    scored = _rectangle_scores(columns, rows, run)
    luma = np.asarray(cv2.blur(cv2.cvtColor(smooth, cv2.COLOR_RGB2GRAY), (5, 5)), dtype=np.uint8)
    found: list[_Rectangle] = []
    bars: list[_Rectangle] = []
    good = np.flatnonzero(scored.scores >= _MIN_SCORE)
    best = good[np.argsort(-scored.scores.ravel()[good], kind="stable")]
    for flat in best[:_TRIED]:
        if len(found) >= limit:
            break
        a, b = np.unravel_index(flat, scored.scores.shape)
        x0, x1 = int(columns.at[columns.first[a]]), int(columns.at[columns.second[a]])
        y0, y1 = int(rows.at[rows.first[b]]), int(rows.at[rows.second[b]])
        region = Region(x0 / w, y0 / h, x1 / w, y1 / h)
        one = _Rectangle(
            region, (x0, y0, x1, y1), float(scored.scores[a, b]), scored.beyond[:, a, b]
        )
        if any(_alike(region, other.region) for other in (*found, *bars)):
            continue
        if _bar(luma[y0:y1, x0:x1]):
            bars.append(one)
        elif not _flat(luma[y0:y1, x0:x1]):
            found.append(one)
    return _measured(rgb, [*_between(bars, w, h), *found])


class _Rectangle(NamedTuple):
    """A rectangle that was found, in parts of the picture and in pixels.

    Attributes:
        beyond: shape (4,), how far edges run on beyond its corners, by side.
        between: whether it is what lies between two bars.
    """

    region: Region
    box: Box
    closed: float
    beyond: FloatArray
    between: bool = False


def _alike(region: Region, other: Region) -> bool:
    """Whether two rectangles are one, or one is a slice of the other that shares its sides."""
    common = region.overlap(other)
    if common > _SAME:
        return True
    sides = zip(region.sides, other.sides, strict=True)
    return common > 0 and sum(abs(a - b) < _SHARED for a, b in sides) >= 2


def _edge_lines(rgb: UInt8Array, run: int) -> UInt8Array:
    """Mark level straight edges: (h + 1, w) of 0 and 1, row y lies between y - 1 and y."""
    red, green, blue = cv2.split(cv2.absdiff(rgb[1:], rgb[:-1]))
    step = cv2.max(cv2.max(red, green), blue)
    across, along = np.ones((3, 1), np.uint8), np.ones((1, 7), np.uint8)
    peak = ((step >= cv2.dilate(step, across)) & (step > _STEP)).view(np.uint8)
    joined = cv2.morphologyEx(cv2.dilate(peak, across), cv2.MORPH_CLOSE, along)
    lines = cv2.morphologyEx(joined, cv2.MORPH_OPEN, np.ones((1, run), np.uint8))
    framed = cv2.copyMakeBorder(lines, 1, 1, 0, 0, cv2.BORDER_CONSTANT, value=0)
    return np.asarray(framed, dtype=np.uint8)


class _Lines:
    """The strongest parallel lines of a picture, its two borders among them, and their pairs.

    Attributes:
        at: int, shape (l,), positions; the first is 0, the last the border at `extent`.
        first, second: int, shape (p,), indexes of the pairs far enough apart.
        run_length: float32, shape (l, length + 1): edge pixels along a line up to a place.
    """

    def __init__(self, marks: UInt8Array, run: int, extent: int) -> None:
        totals = cv2.reduce(marks, 1, cv2.REDUCE_SUM, dtype=cv2.CV_32S)[:, 0]
        totals[:3], totals[-3:] = 0, 0
        chosen: list[int] = []
        taken = np.zeros(len(totals), np.bool_)  # a line, and those two next to it
        for at in np.argsort(-totals, kind="stable").tolist():
            if totals[at] < run or len(chosen) >= _LINES:
                break
            if not taken[at]:
                chosen.append(at)
                taken[max(0, at - 2) : at + 3] = True
        self.extent = extent
        self.at = np.array([0, *sorted(chosen), extent])
        along = [marks[max(0, at - 1) : at + 2].max(axis=0) for at in self.at]
        self.run_length = np.pad(np.cumsum(np.stack(along), axis=1), ((0, 0), (1, 0))).astype(
            np.float32
        )
        first, second = np.triu_indices(len(self.at), 1)
        apart = self.at[second] - self.at[first] >= _MIN_EXTENT * extent
        self.first, self.second = first[apart], second[apart]

    def sides(self, line: NDArray[np.intp], other: "_Lines", run: int) -> tuple[FloatArray, ...]:
        """How much of the side on `line` is edge, for each pair of the other lines.

        Returns:
            Shares within the side and shares just beyond its ends, shape (len(line), pairs);
            on the border of the picture a half and none.
        """
        begin, end = other.at[other.first], other.at[other.second]
        length = self.run_length.shape[1] - 1
        sums = self.run_length[line]
        within = (sums[:, end] - sums[:, begin]) / (end - begin)
        after = sums[:, np.minimum(end + run, length)] - sums[:, np.minimum(end + 3, length)]
        before = sums[:, np.maximum(begin - 3, 0)] - sums[:, np.maximum(begin - run, 0)]
        border = ((self.at[line] == 0) | (self.at[line] == self.extent))[:, None]
        beyond = (after + before) / (2 * run)
        return np.where(border, 0.5, within), np.where(border, 0, beyond)


class _Scored(NamedTuple):
    """Every pair of columns with every pair of rows.

    Attributes:
        scores: shape (pairs of columns, pairs of rows); -1 where they make no rectangle.
        beyond: shape (4, pairs of columns, pairs of rows), see `_Rectangle.beyond`.
    """

    scores: FloatArray
    beyond: FloatArray


def _rectangle_scores(columns: _Lines, rows: _Lines, run: int) -> _Scored:
    left, left_on = columns.sides(columns.first, rows, run)
    right, right_on = columns.sides(columns.second, rows, run)
    top, top_on = (side.T for side in rows.sides(rows.first, columns, run))
    bottom, bottom_on = (side.T for side in rows.sides(rows.second, columns, run))
    width = (columns.at[columns.second] - columns.at[columns.first])[:, None]
    height = (rows.at[rows.second] - rows.at[rows.first])[None]
    area = width * height / (columns.extent * rows.extent)
    borders = (
        (columns.at[columns.first] == 0)[:, None].astype(int)
        + (columns.at[columns.second] == columns.extent)[:, None]
        + (rows.at[rows.first] == 0)[None]
        + (rows.at[rows.second] == rows.extent)[None]
    )
    shares = np.stack((left, right, top, bottom))
    closed = (shares > 0.6).sum(axis=0)
    # A pale picture on a pale page shows only two opposite sides, which end together.
    facing = ((left > 0.85) & (right > 0.85) & (left_on < 0.3) & (right_on < 0.3)) | (
        (top > 0.85) & (bottom > 0.85) & (top_on < 0.3) & (bottom_on < 0.3)
    )
    cut_off = (closed >= 2) & (borders >= 1) & (shares.min(axis=0) >= 0.45)
    valid = (closed >= 3) | facing | cut_off
    valid &= (area > 0.012) & (area < 0.97) & (width < 5 * height) & (height < 5 * width)
    valid &= borders < 3
    beyond = np.stack((left_on, right_on, top_on, bottom_on))
    score = shares.mean(axis=0) - 0.6 * beyond.mean(axis=0) + 0.15 * np.sqrt(area) + 0.1 * facing
    return _Scored(np.where(valid, score, -1).astype(np.float32), beyond)


def _bar(luma: UInt8Array) -> bool:
    """Whether a rectangle is of one colour but for specks, as the bars beside a picture are."""
    inner = luma[3:-3:2, 3:-3:2]
    return bool(inner.size) and spread(inner, 0.1) < BORDER_TOLERANCE


def _between(bars: list[_Rectangle], w: int, h: int) -> list[_Rectangle]:
    """What lies between two bars of one length: the sides that it has no edges of are theirs.

    So pages show pictures that are too narrow or too flat for the room, and a product on white
    has no other outline on a white page.
    """
    found: list[_Rectangle] = []
    # Side by side, or one above the other.
    for (one, other), across in product(combinations(bars, 2), (0, 1)):
        first, second = sorted((one.box, other.box), key=lambda box: box[across])
        along = 1 - across
        ends = max(abs(first[k] - second[k]) for k in (along, along + 2))
        extent = (w, h)[across]
        if ends > _ONE_LENGTH_PX or second[across] - first[across + 2] < _MIN_EXTENT * extent:
            continue
        box = list(first)
        box[across], box[across + 2] = first[across + 2], second[across]
        x0, y0, x1, y1 = box
        region = Region(x0 / w, y0 / h, x1 / w, y1 / h)
        if all(not _alike(region, each.region) for each in found):
            closed = min(one.closed, other.closed)
            beyond = np.zeros(4, np.float32)
            found.append(_Rectangle(region, (x0, y0, x1, y1), closed, beyond, between=True))
    return found


def _flat(luma: UInt8Array) -> bool:
    """Whether the inner part of a rectangle shows nothing."""
    h, w = luma.shape
    my, mx = max(4, h // 8), max(4, w // 8)
    inner = luma[my : h - my, mx : w - mx]
    return not inner.size or spread(inner, 0.02) < BORDER_TOLERANCE


def _measured(rgb: UInt8Array, found: list[_Rectangle]) -> list[tuple[Region, Outline]]:
    """Cut the borders within each rectangle; of two that become one, the better closed stays."""
    kept: list[tuple[Region, Outline]] = []
    for one in found:
        # What lies between bars fills the room between them, be it as white as the page.
        rest = None if one.between else unframe(one.region.of(rgb)[1:-1, 1:-1])
        trimmed = rest.inside(one.region) if rest else one.region
        if all(trimmed.overlap(other) <= _SAME for other, _ in kept):
            steps = steps_across(rgb, one.box)
            outline = Outline(
                closed=one.closed,
                beyond=float(one.beyond.mean()),
                beyond_most=float(one.beyond.max()),
                size=math.log(trimmed.area),
                trimmed=trimmed.area / one.region.area,
                shared=shared_colours(rgb, one.box),
                step=float(np.mean(steps)),
                step_least=min(steps),
                contrast=contrast(trimmed.of(rgb)),
                between=float(one.between),
            )
            kept.append((trimmed, outline))
    return kept
