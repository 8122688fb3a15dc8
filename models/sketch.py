"""A sketch: what is kept of a listing picture so that originals that come later can find it.

The fingerprint's record (`models.print_record`), and what verification lays over an original: a
grey rendition with a longest side of `SIDE_PX`, coded hard. No file, no colours and nothing of
its size is kept; but a person can see in a sketch what was on the picture, so keeping them is
for whoever asked for it. Key points are found in the rendition again when they are needed:
kept, they would take ten times as much.

Any thread may call any method; a sketch belongs to one caller at a time.
"""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from models import features, layout
from models.features import LocalFeatures
from models.fingerprint import ListingPrint, ViewPrint
from models.pdq import pdq_dihedral
from models.print_record import PrintRecord, PrintUnreadable, ViewRecord
from models.views import WHOLE, Region

UInt8Array = NDArray[np.uint8]

type Kept = Callable[[], Sketch | None]
"""Makes a sketch when it is wanted, None when it no longer can; holds on to no picture."""

SIDE_PX = 224
QUALITY = 50
"""Of WebP."""
_HEAD = struct.Struct("<BI")
_VERSION = 1


@dataclass(eq=False)
class Sketch:
    """What is kept of one listing picture.

    Attributes:
        record: its fingerprint, without pixels.
        sheet: uint8, shape (h, w), grey, longest side at most `SIDE_PX`.
    """

    record: PrintRecord
    sheet: UInt8Array = field(repr=False)

    @staticmethod
    def of(record: PrintRecord, listing: ListingPrint) -> "Sketch":
        """Take what is kept from a fingerprint and its record; holds on to no picture."""
        return Sketch(record, _small(layout.grey(listing.picture.rgb)))

    @staticmethod
    def of_twin(
        digests: PrintRecord,
        vectors: Mapping[str, NDArray[np.generic]],
        phash: int,
        preview: UInt8Array,
    ) -> "Sketch":
        """Sketch a listing picture that has the pixels of an original, from what that one left.

        Args:
            digests: of the listing's file and pixels, without views.
            vectors: of the original.
            preview: of the original, uint8, shape (h, w, 3).
        """
        hashes, quality = pdq_dihedral(preview)
        rows = {
            space: np.asarray(row, dtype=np.float32)
            for space, row in vectors.items()
            if row.dtype.kind == "f"
        }
        view = ViewRecord(WHOLE, rows, hashes, quality)
        record = replace(digests, phash=phash, views=(view,))
        return Sketch(record, _small(layout.grey(preview)))

    def rows(self) -> dict[str, dict[int, NDArray[np.generic]]]:
        """The rows that are searched, by space and view."""
        found: dict[str, dict[int, NDArray[np.generic]]] = {}
        for place, view in enumerate(self.record.views):
            for space, row in view.rows.items():
                found.setdefault(space, {})[place] = row
            if view.pdq_quality > 0:
                found.setdefault("pdq", {})[place] = view.pdq[0]
        return found

    @property
    def phash(self) -> int:
        """imagehash pHash, 64 bits."""
        assert self.record.phash is not None  # a sketch is made of what was compared
        return self.record.phash

    def points(self, region: Region, side: int = features.SIDE_PX) -> LocalFeatures:
        """Key points of a part of the rendition, reduced to a longest side."""
        return features.detect(np.ascontiguousarray(region.of(self.sheet)), side)

    @cached_property
    def views(self) -> list[ViewPrint]:
        """The views as they were searched, the whole first; their luma is of the rendition."""
        return [
            replace(view.restored(), luma=_stretched(self.sheet, view.region))
            for view in self.record.views
        ]

    @property
    def width_px(self) -> int:
        """Width of the rendition."""
        return int(self.sheet.shape[1])

    @property
    def height_px(self) -> int:
        """Height of the rendition."""
        return int(self.sheet.shape[0])

    @property
    def rgb(self) -> UInt8Array:
        """The rendition as a picture, uint8, shape (h, w, 3)."""
        return np.repeat(self.sheet[..., None], 3, axis=2)

    def to_bytes(self) -> bytes:
        """Encode for the store."""
        done, coded = cv2.imencode(".webp", self.sheet, [cv2.IMWRITE_WEBP_QUALITY, QUALITY])
        assert done, "OpenCV has no WebP"
        record = self.record.to_bytes(compact=True)
        return _HEAD.pack(_VERSION, len(record)) + record + coded.tobytes()

    @staticmethod
    def from_bytes(data: bytes) -> "Sketch":
        """Decode what `to_bytes` made.

        Raises:
            PrintUnreadable: the bytes are damaged or of an unknown version.
        """
        record = Sketch.record_of(data)
        _, length = _HEAD.unpack_from(data)
        coded = np.frombuffer(data, np.uint8, offset=_HEAD.size + length)
        sheet = cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE) if len(coded) else None
        if sheet is None:
            raise PrintUnreadable("its rendition is damaged")
        return Sketch(record, np.asarray(sheet, dtype=np.uint8))

    @staticmethod
    def record_of(data: bytes) -> PrintRecord:
        """Decode the fingerprint alone, which is all that a search compares.

        Raises:
            PrintUnreadable: the bytes are damaged or of an unknown version.
        """
        if len(data) < _HEAD.size or data[0] != _VERSION:
            raise PrintUnreadable("a sketch is cut short, or of a version unknown to this release")
        _, length = _HEAD.unpack_from(data)
        return PrintRecord.from_bytes(data[_HEAD.size : _HEAD.size + length])


def original_queries(
    vectors: Mapping[str, NDArray[np.generic]], preview: UInt8Array
) -> dict[str, NDArray[np.generic]]:
    """The rows with which an original looks for its copies, per space, in all orientations.

    Args:
        vectors: of the original.
        preview: of the original, uint8, shape (h, w, 3).

    Returns:
        Arrays of shape (n, width).
    """
    found = {
        space: row[None]
        for space, row in vectors.items()
        if space not in ("layout", "pdq", "points")  # no points of listings are kept
    }
    found["layout"] = layout.all_turns(np.asarray(vectors["layout"], dtype=np.float32))
    hashes, quality = pdq_dihedral(preview)
    if "pdq" in vectors and quality > 0:
        found["pdq"] = np.concatenate([vectors["pdq"][None], hashes[1:]])
    return found


def _small(luma: UInt8Array) -> UInt8Array:
    scale = SIDE_PX / max(luma.shape)
    if scale >= 1:
        return luma
    small = cv2.resize(luma, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.asarray(small, dtype=np.uint8)


def _stretched(sheet: UInt8Array, region: Region) -> UInt8Array:
    part = np.ascontiguousarray(region.of(sheet))
    sides = (layout.SIDE_PX, layout.SIDE_PX)
    return np.asarray(cv2.resize(part, sides, interpolation=cv2.INTER_AREA), dtype=np.uint8)
