"""What was done to an original, in words, from what was measured (`service.matching.study`).

Each threshold stands above what pictures that were only encoded anew show. An edit is reported
where it can be measured and left out where it can not.
"""

import math

import numpy as np

from models.layout import Matrix
from service.matching.alignment import depths, jacobian, project, visible
from service.matching.changes import Patch
from service.matching.colours import Shift
from service.matching.results import Box, Edit, EditType
from service.matching.study import Study

TURNED_DEG = 1.5
"""Settled maps of re-encoded pictures turn by less than half a degree."""
CROPPED = 0.95
FRAMED = 0.95
PART_OF_ANOTHER = 0.5
_PLAIN, _RATHER_PLAIN = 0.93, 0.6
"""Share of one colour around a picture: a frame has little else, a page or a collage much."""
SCALED = 1.15
STRETCHED = 1.06
PERSPECTIVE = 1.07
"""Far side beside near side."""
RECOLOURED_DE, PER_NOISE = 3.0, 0.1
"""Noise that is cut off at white darkens white: by 0.1 units for each level of 255."""
BRIGHTER_L, CONTRAST, CHROMA, HUE_DEG = 3.0, 1.15, 1.2, 8.0
GREY_LEFT, GREY_SHARE, COLOURFUL = 4.0, 0.2, 9.0
SUBJECT_DE, SUBJECT_BESIDE = 9.0, 1.5
BLURRED_PX = 1.0
SHARPENED = 1.2
NOISE_LEVELS = 6.5
BLOCKS = 0.48
FINER = 1.15
"""Sharpening lifts the finest detail above the coarser; clipped brightening lifts both alike."""
GROUND_CHANGED = 0.5
PRODUCT_KEPT, MORE_THAN_GROUND = 0.5, 0.15
"""How the product's fine detail follows the original's, and by how much more its middle detail
does than that of the ground."""
SUBJECT_CHANGED = 0.25
REPAINTED_AREA = 0.015
"""Smaller places are where JPEG or a resampling has moved a colour."""
MOST_PATCHED = 0.45
"""Where more of the picture than this is changed in place, it is another picture."""


def find_edits(
    seen: Study, listing_size: tuple[int, int], original_size: tuple[int, int], restyled: bool
) -> tuple[Edit, ...]:
    """List the edits of a pair in words.

    Args:
        seen: what was measured.
        listing_size: width and height in pixels.
        original_size: likewise, its true size.
        restyled: whether the picture was drawn anew; its colours and its fine detail then say
            nothing more.

    Returns:
        Geometry first, then colours, then detail, then content.
    """
    found = _geometry(seen, listing_size, original_size)
    if seen.mixed is not None:
        # What colours and detail became says nothing where two pictures are in one place.
        words = f"another picture mixed in: about {seen.mixed:.0%} of the original shows through"
        found.append(Edit(EditType.OVERLAY_ADDED, 1.0, words))
        return tuple(found)
    if restyled and not replaced(seen):
        words = "drawn anew: the same composition, with other detail"
        found.append(Edit(EditType.RESTYLED, max(0.0, 1 - seen.look.follows[1]), words))
        return tuple(found)
    found += _colours(seen)
    # Detail is compared where there is most of it, and that may be another background.
    found += [] if replaced(seen) else _detail(seen)
    found += _content(seen)
    return tuple(found)


def replaced(seen: Study) -> bool:
    """Whether the product was kept and what surrounds it is another.

    Kept is what still has the original's detail: light and colours change with the place, and
    a picture that was drawn anew follows the original as little in the product as around it.
    """
    if seen.mixed is not None or not seen.changes.ground >= GROUND_CHANGED:
        return False
    # In a part of a page, a map that is a little off would pass for another ground.
    if seen.placed.listing_overlap < PART_OF_ANOTHER:
        return False
    own, beside = seen.look.product, seen.look.ground
    return own[0] >= PRODUCT_KEPT and own[1] >= beside[1] + MORE_THAN_GROUND


def stretched(seen: Study) -> bool:
    """Whether width and height were scaled by so much differently that a person sees it."""
    return not 1 / STRETCHED < seen.stretch < STRETCHED


def _geometry(
    seen: Study, listing_size: tuple[int, int], original_size: tuple[int, int]
) -> list[Edit]:
    placed, found = seen.placed, []
    if placed.mirrored:
        upended = abs(placed.rotation_deg) > 180 - TURNED_DEG
        side = "top to bottom" if upended else "left to right"
        found.append(Edit(EditType.MIRRORED, 1.0, f"mirrored {side}"))
    upside = placed.mirrored and abs(placed.rotation_deg) > 180 - TURNED_DEG
    if abs(placed.rotation_deg) > TURNED_DEG and not upside:
        side = "clockwise" if placed.rotation_deg > 0 else "counter-clockwise"
        words = f"turned by {abs(placed.rotation_deg):.0f}° {side}"
        found.append(Edit(EditType.ROTATED, placed.rotation_deg, words))
    if placed.original_overlap < CROPPED:
        words = f"cropped to {placed.original_overlap:.0%}"
        found.append(Edit(EditType.CROPPED, placed.original_overlap, words))
    found += _surroundings(seen)
    matrix = seen.laid.matrix
    away = depths(matrix)
    slanted = len(away) > 0 and float(away.max()) > PERSPECTIVE
    if slanted:
        smaller = 1 - 1 / float(away.max())
        words = f"seen in perspective: its far side is {smaller:.0%} smaller than its near side"
        found.append(Edit(EditType.PERSPECTIVE, smaller, words))
    if seen.bent:
        words = f"bent, as by a lens or in waves: its detail is moved by up to {seen.bent:.0%}"
        found.append(Edit(EditType.BENT, seen.bent, words))
    steps = jacobian(matrix, listing_size, original_size)
    scale = math.sqrt(abs(float(np.linalg.det(steps))))
    if not 1 / SCALED < scale < SCALED:
        words = f"reduced to {scale:.0%} of its size"
        words = f"enlarged {scale:.1f} times" if scale > 1 else words
        found.append(Edit(EditType.SCALED, scale, words))
    # What is seen from the side looks narrower and was not stretched.
    if not slanted and stretched(seen):
        side, times = ("wide", seen.stretch) if seen.stretch > 1 else ("high", 1 / seen.stretch)
        words = f"stretched: {times:.2f} times as {side} as it should be"
        found.append(Edit(EditType.STRETCHED, seen.stretch, words, misleads_buyer=True))
    return found


def _surroundings(seen: Study) -> list[Edit]:
    """A frame, or a larger picture around it; by the upright box, not by the turned area."""
    corners = visible(seen.laid.matrix, seen.part)
    low, high = corners.min(axis=0), corners.max(axis=0)
    share = float(np.prod(high - low))
    if share >= FRAMED:
        return []
    region = Box(float(low[0]), float(low[1]), float(high[0] - low[0]), float(high[1] - low[1]))
    plain = _PLAIN if share < PART_OF_ANOTHER else _RATHER_PLAIN
    if seen.framing >= plain:
        words = f"framed: it takes {share:.0%} of the listing"
        return [Edit(EditType.FRAMED, share, words, region)]
    words = f"pasted into another picture, of which it takes {share:.0%}, {_where(region)}"
    return [Edit(EditType.EMBEDDED, share, words, region)]


def _colours(seen: Study) -> list[Edit]:
    whole = seen.product if replaced(seen) else seen.whole
    if whole is None:
        return []
    if (
        whole.colourful > COLOURFUL
        and whole.left < GREY_LEFT
        and whole.left < GREY_SHARE * whole.colourful
    ):
        return [Edit(EditType.GREYSCALE, whole.colourful, "colours removed")]
    found = []
    if _recoloured(seen, whole):
        how = []
        if abs(whole.lightness) >= BRIGHTER_L:
            side = "brighter" if whole.lightness > 0 else "darker"
            how.append(f"{side} by {abs(whole.lightness):.0f} of 100")
        if not 1 / CONTRAST < whole.contrast < CONTRAST:
            how.append(f"{'more' if whole.contrast > 1 else 'less'} contrast")
        if not 1 / CHROMA < whole.chroma < CHROMA:
            how.append(f"colours {'stronger' if whole.chroma > 1 else 'paler'}")
        if abs(whole.hue_deg) >= HUE_DEG:
            how.append(f"hues turned by {whole.hue_deg:+.0f}°")
        words = f"recoloured, on average by ΔE {whole.delta_e:.0f}"
        words += f": {', '.join(how)}" if how else ""
        found.append(Edit(EditType.RECOLOURED, whole.delta_e, words))
    on, off = seen.product, seen.ground
    if on is not None and off is not None and not replaced(seen):
        other = on.chromatic >= SUBJECT_DE and on.chromatic > SUBJECT_BESIDE * off.chromatic + 3
        if other:
            words = f"the product's own colour changed, on average by ΔE {on.delta_e:.0f}"
            words += f", hue turned by {on.hue_deg:+.0f}°" if abs(on.hue_deg) >= HUE_DEG else ""
            edit = Edit(EditType.SUBJECT_RECOLOURED, on.delta_e, words, misleads_buyer=True)
            found.append(edit)
    return found


def _recoloured(seen: Study, whole: Shift) -> bool:
    """Whether one change moved the colours, by more than noise and compression can."""
    least = RECOLOURED_DE + PER_NOISE * seen.texture.noise
    if whole.common >= least and whole.common > whole.apart:
        return True
    # On white, most of the picture keeps its colour whatever was done to the product.
    own = seen.product
    return own is not None and own.common >= 2 * least and own.common > own.apart


def _detail(seen: Study) -> list[Edit]:
    texture, found = seen.texture, []
    strength = seen.look.strength
    # A veil weakens fine detail and coarse alike; a blur takes the fine away first.
    softer = strength[0] * FINER <= strength[2]
    if texture.blur_px >= BLURRED_PX and softer:
        words = f"blurred, by about {texture.blur_px:.1f} pixels"
        found.append(Edit(EditType.BLURRED, texture.blur_px, words))
    sharper = texture.gain >= SHARPENED and strength[0] >= FINER * strength[2]
    if texture.noise >= NOISE_LEVELS and not (sharper and texture.noise < 2 * NOISE_LEVELS):
        words = f"noise added, about {texture.noise:.0f} of 255 grey levels"
        found.append(Edit(EditType.NOISE_ADDED, texture.noise, words))
    elif sharper:
        words = f"sharpened: fine detail has {texture.gain:.1f} times its contrast"
        found.append(Edit(EditType.SHARPENED, texture.gain, words))
    if texture.blocks >= BLOCKS:
        words = "compressed until the blocks of JPEG show"
        found.append(Edit(EditType.RECOMPRESSED, texture.blocks, words))
    return found


def _content(seen: Study) -> list[Edit]:
    changed = seen.changes
    if replaced(seen):
        words = f"background replaced, {changed.ground:.0%} of it; the product is kept"
        return [Edit(EditType.BACKGROUND_REPLACED, changed.ground, words)]
    everywhere = float(changed.mask[seen.laid.inside].mean())
    if everywhere > MOST_PATCHED:
        return []
    told = (p for p in changed.patches if p.change != "repainted" or p.area >= REPAINTED_AREA)
    found = [_patch(seen, patch) for patch in told]
    if changed.bare >= SUBJECT_CHANGED:
        words = f"{changed.bare:.0%} of the product does not look as in the original"
        edit = Edit(EditType.SUBJECT_CHANGED, changed.bare, words, misleads_buyer=True)
        found.append(edit)
    return found


def _patch(seen: Study, patch: Patch) -> Edit:
    region = _region(seen, patch)
    at = _where(region)
    own = patch.on_subject >= 0.8
    if patch.change == "repainted" and patch.form == "banner":
        # Another colour within a straight band is the band's.
        words = f"{'see-through ' * patch.through}banner or stripe added, {at}"
        return Edit(EditType.OVERLAY_ADDED, patch.area, words, region)
    if patch.change == "repainted" and own:
        words = f"a part of the product has another colour, {at}"
        return Edit(EditType.SUBJECT_RECOLOURED, patch.area, words, region, misleads_buyer=True)
    if patch.change == "repainted":
        return Edit(EditType.RECOLOURED, patch.area, f"recoloured in one place, {at}", region)
    if patch.change == "removed" and own:
        words = f"a part of the product removed or painted over, {at}"
        return Edit(EditType.SUBJECT_CHANGED, patch.area, words, region, misleads_buyer=True)
    if patch.change == "removed":
        words = f"text, mark or thing removed, {at}"
        return Edit(EditType.OVERLAY_REMOVED, patch.area, words, region)
    if region.width > 0.75 and region.height > 0.75:
        words = "another picture or a pattern laid over it or mixed in"
        return Edit(EditType.OVERLAY_ADDED, patch.area, words, region)
    what = {"text": "text or drawing", "banner": "banner or stripe", "thing": "sticker or emoji"}
    named = f"see-through {what[patch.form]}" if patch.through else what[patch.form]
    return Edit(EditType.OVERLAY_ADDED, patch.area, f"{named} added, {at}", region)


def _region(seen: Study, patch: Patch) -> Box:
    """The upright box around a patch, in fractions of the listing."""
    h, w = patch.mask.shape
    left, top, right, bottom = patch.box
    corners: Matrix = np.array(
        [[left / w, top / h], [right / w, top / h], [right / w, bottom / h], [left / w, bottom / h]]
    )
    there = project(corners, np.linalg.inv(seen.laid.matrix)).clip(0, 1)
    low, high = there.min(axis=0), there.max(axis=0)
    return Box(float(low[0]), float(low[1]), float(high[0] - low[0]), float(high[1] - low[1]))


def _where(box: Box) -> str:
    """Name the place of a box in a picture: `top left`, `across the middle`, `everywhere`."""
    wide, high = box.width > 0.75, box.height > 0.75
    if wide and high:
        return "over all of it"
    x, y = box.left + box.width / 2, box.top + box.height / 2
    row = "top" if y < 1 / 3 else "bottom" if y > 2 / 3 else "middle"
    column = "left" if x < 1 / 3 else "right" if x > 2 / 3 else "centre"
    if wide:
        return f"across the {row}"
    if high:
        return f"from top to bottom, {column}"
    if row == "middle":
        return "in the centre" if column == "centre" else f"centre {column}"
    return f"{row} {column}"
