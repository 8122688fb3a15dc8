"""Fingerprints: everything that is computed of one picture, for searching and for verifying.

An original is fingerprinted once, when it is registered; what verification needs later
(`models.detail`) is kept beside its vectors. A listing picture is
fingerprinted per view: the whole, without its borders, and the pictures within it. All
algorithms and weights that decide a vector are part of the schema id; fingerprints of two
schemas never meet.

Any thread may call any method.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from models import detail, features, layout, words
from models.background import Background
from models.detail import Detail, preview
from models.encoders import EncoderInfo, Row
from models.features import LocalFeatures
from models.hashes import phash
from models.images import Picture
from models.insets import insets
from models.pdq import BITS, pdq_dihedral
from models.subject import VERSION as SUBJECT_VERSION
from models.views import WHOLE, Region, unframe

UInt8Array = NDArray[np.uint8]
FloatArray = NDArray[np.float32]
SpaceTuple = tuple[str, Literal["float", "binary", "points"], int]

PDQ_VERSION = 1
_MOST_INSETS = 4


@dataclass(frozen=True, slots=True, eq=False)
class OriginalPrint:
    """The fingerprint of an original.

    Attributes:
        vectors: one row per space; `pdq` is left out where the hash says nothing, and `points`
            (see `models.words`) where there are next to none.
        attributes: pdq_quality 0..100, phash (16 hexadecimal digits), distinctiveness 0..1.
        preview: WebP, longest side at most `models.detail.PREVIEW_SIDE_PX`.
        features: a `Detail`, encoded.
    """

    vectors: Mapping[str, NDArray[np.generic]]
    attributes: Mapping[str, float | int | str]
    preview: bytes
    features: bytes


@dataclass(frozen=True, slots=True, eq=False)
class ViewPrint:
    """The fingerprint of one view of a listing picture.

    Attributes:
        region: which part it is.
        luma: uint8, shape (layout.SIDE_PX, layout.SIDE_PX), the part stretched.
        vectors: per float space one row; absent where it was not asked for.
        layouts: float32, shape (layout.TURNS, layout.DIMENSION).
        pdq: uint8, shape (8, 32), the orientations of the hash.
        pdq_quality: 0..100.
    """

    region: Region
    luma: UInt8Array
    vectors: Mapping[str, FloatArray]
    layouts: FloatArray
    pdq: UInt8Array
    pdq_quality: int


class ListingPrint:
    """The fingerprint of a listing picture; key points are found when they are asked for.

    Belongs to one caller; not for several threads at once.

    Attributes:
        picture: the decoded picture.
        phash: imagehash pHash, 64 bits.
        unframed: the picture without its uniform borders, when it has any.
        insets: pictures within the picture, surest first.
        whole: the view of all of it.
    """

    def __init__(self, picture: Picture, whole: Callable[[], ViewPrint]) -> None:
        """Look around in a picture while an encoder has it; `whole` waits for the encoder."""
        self.picture = picture
        self.phash = phash(picture.rgb)
        self.unframed = unframe(picture.rgb)
        self.insets = insets(picture.rgb, _MOST_INSETS)
        self.whole = whole()
        self._points: dict[tuple[Region, int], LocalFeatures] = {}

    @property
    def rgb(self) -> UInt8Array:
        """The picture's pixels, uint8, shape (h, w, 3)."""
        return self.picture.rgb

    def points(self, region: Region, side: int = features.SIDE_PX) -> LocalFeatures:
        """Key points of a part of the picture, reduced to a longest side; found once."""
        if (region, side) not in self._points:
            part = np.ascontiguousarray(region.of(self.picture.rgb))
            self._points[region, side] = features.detect(layout.grey(part), side)
        return self._points[region, side]


class Preparing(Protocol):
    """An encoder as far as pictures are made ready for it; see `models.encoders.Encoder`."""

    @property
    def info(self) -> EncoderInfo: ...

    def prepare(self, rgb: UInt8Array) -> Row: ...


class Encoding(Protocol):
    """Forward passes of an encoder; see `models.batcher.Batcher`."""

    @property
    def encoder(self) -> Preparing: ...

    def submit(self, prepared: Row, *, deadline: float | None = None) -> Future[FloatArray]: ...


def schema_of(ids: Mapping[str, str]) -> str:
    """Return the schema id of fingerprints whose vectors are made by these; `Fingerprinter.ids`."""
    parts = [
        *sorted(ids.values()),
        f"detail@{detail.VERSION}",
        f"features@{features.VERSION}",
        f"subject@{SUBJECT_VERSION}",
        f"words@{words.VERSION}",
    ]
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()[:16]


class Fingerprinter:
    """Makes fingerprints with one set of encoders.

    Args:
        copy: the copy descriptor, running.
        clip: the semantic encoder, running; None when CLIP is off.
        background: what ordinariness is measured against; None is the bundled one.
    """

    def __init__(
        self, copy: Encoding, clip: Encoding | None = None, background: Background | None = None
    ) -> None:
        self._encoders: dict[str, Encoding] = {"sscd": copy}
        if clip is not None:
            self._encoders["clip"] = clip
        self.background = Background.bundled() if background is None else background
        self.ids: Mapping[str, str] = {
            "layout": f"layout@{layout.VERSION}",
            "pdq": f"pdq@{PDQ_VERSION}",
        } | {space: batcher.encoder.info.id for space, batcher in self._encoders.items()}
        self.schema = schema_of(self.ids)

    @property
    def spaces(self) -> tuple[SpaceTuple, ...]:
        """Name, kind and dimension of each kind of vector."""
        floats: list[SpaceTuple] = [
            (space, "float", batcher.encoder.info.dimension)
            for space, batcher in self._encoders.items()
        ]
        return (
            *floats,
            ("layout", "float", layout.DIMENSION),
            ("pdq", "binary", BITS),
            ("points", "points", words.POINTS),
        )

    def original(self, picture: Picture, deadline: float | None = None) -> OriginalPrint:
        """Fingerprint an original.

        Args:
            deadline: `time.monotonic()` after which the encoders do not begin.

        Raises:
            QueueFull, DeadlineExpired, BatcherStopped, EncodingFailed: of the encoders.
        """
        view = self.view(picture.rgb, WHOLE, deadline)
        vectors: dict[str, NDArray[np.generic]] = {**view.vectors, "layout": view.layouts[0]}
        if view.pdq_quality > 0:
            vectors["pdq"] = view.pdq[0]
        ordinary = self.ordinariness("sscd", view.vectors["sscd"][None])
        attributes: dict[str, float | int | str] = {
            "pdq_quality": view.pdq_quality,
            "phash": f"{phash(picture.rgb):016x}",
        }
        if ordinary is not None:
            attributes["distinctiveness"] = round(1 - max(0.0, float(ordinary[0])), 4)
        kept = Detail.of(picture.rgb)
        points = words.row_of(kept.points)
        if points is not None:
            vectors["points"] = points
        return OriginalPrint(vectors, attributes, preview(picture.rgb), kept.to_bytes())

    def listing(self, picture: Picture, deadline: float | None = None) -> ListingPrint:
        """Fingerprint a listing picture as a whole, and find the parts that may be looked up."""
        views = self._views(picture.rgb, [WHOLE], deadline)
        return ListingPrint(picture, lambda: views()[0])

    def view(self, rgb: UInt8Array, region: Region, deadline: float | None = None) -> ViewPrint:
        """Fingerprint one view of a picture."""
        return self.views(rgb, [region], deadline)[0]

    def views(
        self, rgb: UInt8Array, regions: Sequence[Region], deadline: float | None = None
    ) -> list[ViewPrint]:
        """Fingerprint several views of a picture; the encoders take them together."""
        return self._views(rgb, regions, deadline)()

    def _views(
        self, rgb: UInt8Array, regions: Sequence[Region], deadline: float | None
    ) -> Callable[[], list[ViewPrint]]:
        """Hand several views to the encoders; what is returned does the rest and waits for them."""
        parts = [np.ascontiguousarray(region.of(rgb)) for region in regions]
        waiting = {
            space: [
                batcher.submit(batcher.encoder.prepare(part), deadline=deadline) for part in parts
            ]
            for space, batcher in self._encoders.items()
        }

        def finish() -> list[ViewPrint]:
            prints = []
            for i, (region, part) in enumerate(zip(regions, parts, strict=True)):
                luma = layout.grey(layout.thumbnail(part))
                layouts = layout.layout_vectors(luma)
                hashes, quality = pdq_dihedral(part)
                rows = {space: futures[i].result() for space, futures in waiting.items()}
                prints.append(ViewPrint(region, luma, rows, layouts, hashes, quality))
            return prints

        return finish

    def ordinariness(self, space: str, rows: NDArray[np.generic]) -> FloatArray | None:
        """See `Background.ordinariness`; None where the background does not know the space."""
        return self.background.ordinariness(self.ids[space], rows)
