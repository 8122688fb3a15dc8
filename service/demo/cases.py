"""The listings of the built-in demo, and what the service is expected to answer.

The expectation is written as a user would: which verdicts are right, and which kinds describe
the edit fairly. A filter that redraws a picture may end in REVIEW: that a person looks is right.
"""

from collections.abc import Callable
from dataclasses import dataclass

from service.demo import edits
from service.demo import photographs as photos
from service.demo.photographs import Photograph

COPY = frozenset({"COPY"})
COPY_OR_REVIEW = frozenset({"COPY", "REVIEW"})
CLEAR_OR_REVIEW = frozenset({"CLEAR", "REVIEW"})
CLEAR = frozenset({"CLEAR"})


@dataclass(frozen=True, slots=True)
class Case:
    """One listing picture.

    Attributes:
        id: its listing id.
        title: what was done, in words.
        original: the photograph that it is a copy of; None when it is of nothing registered.
        make: returns the encoded picture.
        verdicts: verdicts that are right; empty when any is, for what is shown and not judged.
        kinds: kinds that are right; empty when any is.
    """

    id: str
    title: str
    original: Photograph | None
    make: Callable[[], bytes]
    verdicts: frozenset[str]
    kinds: frozenset[str] = frozenset()

    @property
    def judged(self) -> bool:
        """Whether a wrong answer fails the demo."""
        return bool(self.verdicts)


def _kinds(*names: str) -> frozenset[str]:
    return frozenset(names)


def cases() -> tuple[Case, ...]:
    """Return the listings in the order of the table: copies, restyles, then the others."""
    e = edits.encode
    same = _kinds("EXACT")
    near = _kinds("NEAR_DUPLICATE")
    edited = _kinds("EDITED", "NEAR_DUPLICATE")
    part = _kinds("PARTIAL", "EDITED")
    restyled = _kinds("RESTYLED")
    others = [photo.open() for photo in (photos.BRICK, photos.CAMERA, photos.MOON)]
    return (
        Case("exact", "The same file", photos.COFFEE, photos.COFFEE.read, COPY, same),
        Case(
            "repacked",
            "The same pixels as WebP",
            photos.CAT,
            lambda: e(photos.CAT.open(), "WEBP"),
            COPY,
            same,
        ),
        Case(
            "re-encoded",
            "Half the size, JPEG quality 25",
            photos.MOTORCYCLE,
            lambda: e(edits.shrink(photos.MOTORCYCLE.open(), 0.5), quality=25),
            COPY,
            near,
        ),
        Case(
            "mirrored",
            "Mirrored left to right",
            photos.ASTRONAUT,
            lambda: e(edits.mirror(photos.ASTRONAUT.open())),
            COPY,
            near,
        ),
        Case(
            "recoloured",
            "Warmer and stronger colours",
            photos.PAGODA,
            lambda: e(edits.recolour(photos.PAGODA.open())),
            COPY,
            edited,
        ),
        Case(
            "cropped",
            "Cropped to a third of its area",
            photos.PAGODA,
            lambda: e(edits.crop(photos.PAGODA.open(), 0.08, 0.12, 0.62, 0.78)),
            COPY,
            part,
        ),
        Case(
            "overlaid",
            "Price banner and sticker on it",
            photos.DAHLIA,
            lambda: e(edits.overlay(photos.DAHLIA.open())),
            COPY,
            edited,
        ),
        Case(
            "framed",
            "Turned by 9 degrees, in a frame",
            photos.ROCKET,
            lambda: e(edits.frame_and_turn(photos.ROCKET.open(), 9)),
            COPY,
            part | edited,
        ),
        Case(
            "collaged",
            "One of four pictures of a collage",
            photos.CAT,
            lambda: e(edits.collage(photos.CAT.open(), others)),
            COPY,
            part,
        ),
        Case(
            "screenshot",
            "On a screenshot of a shop's page",
            photos.COFFEE,
            lambda: e(edits.screenshot(photos.COFFEE.open())),
            COPY,
            part,
        ),
        Case(
            "cartoon",
            "Restyled: flat colours and outlines",
            photos.MOTORCYCLE,
            lambda: e(edits.cartoon(photos.MOTORCYCLE.open())),
            COPY_OR_REVIEW,
            restyled,
        ),
        Case(
            "painting",
            "Restyled: soft painting, mirrored",
            photos.COFFEE,
            lambda: e(edits.mirror(edits.painting(photos.COFFEE.open()))),
            COPY_OR_REVIEW,
            restyled,
        ),
        Case(
            "pencil",
            "Restyled: coloured pencil",
            photos.ASTRONAUT,
            lambda: e(edits.pencil(photos.ASTRONAUT.open())),
            COPY_OR_REVIEW,
            restyled,
        ),
        Case("unrelated-retina", "Unrelated: a retina", None, photos.RETINA.read, CLEAR),
        Case("unrelated-galaxies", "Unrelated: galaxies", None, photos.GALAXIES.read, CLEAR),
        Case("unrelated-camera", "Unrelated: a photographer", None, photos.CAMERA.read, CLEAR),
        Case(
            "similar-gravel",
            "Unrelated: gravel, a texture like the grass",
            None,
            photos.GRAVEL.read,
            CLEAR,
        ),
        Case(
            "beside",
            "No copy: another photograph, taken from beside (stereo pair)",
            photos.MOTORCYCLE,
            photos.MOTORCYCLE_BESIDE.read,
            CLEAR_OR_REVIEW,
        ),
    )
