"""The fingerprint of a listing picture as bytes, so that a verdict can be looked at again.

What is kept is what searching compares: one row per space and view, the PDQ hashes, the pHash,
and the digests of the file and its pixels. Key points and pixels are not: they take ten times
as much, and a picture can be seen in them. So a restored fingerprint can be searched and
weighed, not verified; rows are float16, which moves a cosine by about 1e-4.

`to_record` and `ViewRecord.restored` are all that ties it to `models.fingerprint`.
"""

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from models import layout
from models.fingerprint import ListingPrint, ViewPrint
from models.views import Region

VERSION = 1
_HEAD = struct.Struct("<BI")


class PrintUnreadable(RuntimeError):
    """A stored fingerprint of a listing picture can not be read."""

    reason: ClassVar[str] = "PRINT_UNREADABLE"

    def __init__(self, why: str) -> None:
        super().__init__(f"a stored fingerprint of a listing picture can not be read: {why}")
        self.why = why

    def __reduce__(self) -> tuple[type["PrintUnreadable"], tuple[str]]:
        return type(self), (self.why,)


@dataclass(frozen=True, slots=True, eq=False)
class ViewRecord:
    """One view of a listing picture.

    Attributes:
        rows: per float space one row, float32, shape (width,); `layout` is the upright one.
        pdq: uint8, shape (8, 32).
    """

    region: Region
    rows: Mapping[str, NDArray[np.float32]]
    pdq: NDArray[np.uint8]
    pdq_quality: int

    def restored(self) -> ViewPrint:
        """The view as searching wants it; it has no luma, so it can not be verified."""
        vectors = {space: row for space, row in self.rows.items() if space != "layout"}
        layouts = layout.all_turns(self.rows["layout"])
        nothing = np.zeros((0, 0), np.uint8)
        return ViewPrint(self.region, nothing, vectors, layouts, self.pdq, self.pdq_quality)


@dataclass(frozen=True, slots=True, eq=False)
class PrintRecord:
    """What is kept of a listing picture.

    Attributes:
        schema: id of the fingerprint schema; two never are compared.
        sha256, pixel_sha256: of the file and of the decoded pixels.
        phash: 64 bits; None where nothing was compared because the digests agreed.
        views: the whole first; none where the digests agreed.
    """

    schema: str
    sha256: bytes
    pixel_sha256: bytes
    phash: int | None
    views: tuple[ViewRecord, ...]

    def to_bytes(self, *, compact: bool = False) -> bytes:
        """Encode, about 3 KB for each view: a JSON header, then the rows.

        Args:
            compact: keep float rows in one byte a number, about 1.5 KB for each view; that
                moves a cosine by 3e-4.
        """
        blobs, views = [], []
        for view in self.views:
            region = view.region
            sides = [region.left, region.top, region.right, region.bottom, region.score]
            rows = {space: len(row) for space, row in view.rows.items()}
            views.append({"region": sides, "rows": rows, "pdq_quality": view.pdq_quality})
            blobs += [_narrow(row, compact).tobytes() for row in view.rows.values()]
            blobs.append(view.pdq.tobytes())
        header = {
            "schema": self.schema,
            "sha256": self.sha256.hex(),
            "pixel_sha256": self.pixel_sha256.hex(),
            "phash": self.phash,
            "views": views,
        }
        if compact:
            header["compact"] = True
        words = json.dumps(header, separators=(",", ":")).encode()
        return _HEAD.pack(VERSION, len(words)) + words + b"".join(blobs)

    @staticmethod
    def from_bytes(data: bytes) -> "PrintRecord":
        """Decode what `to_bytes` made, of any version.

        Raises:
            PrintUnreadable: the bytes are damaged or of an unknown version.
        """
        try:
            version, length = _HEAD.unpack_from(data)
            if version != VERSION:
                raise PrintUnreadable(f"its version {version} is unknown to this release")
            header = json.loads(data[_HEAD.size : _HEAD.size + length])
            return _decoded(header, data, _HEAD.size + length)
        except (struct.error, ValueError, KeyError, TypeError) as error:
            raise PrintUnreadable(f"{type(error).__name__}: {error}") from error


def to_record(schema: str, listing: ListingPrint, views: Sequence[ViewPrint]) -> PrintRecord:
    """What is kept of a fingerprint; refers to its rows, copies nothing."""
    picture = listing.picture
    kept = tuple(
        ViewRecord(
            view.region, {**view.vectors, "layout": view.layouts[0]}, view.pdq, view.pdq_quality
        )
        for view in views
    )
    return PrintRecord(schema, picture.sha256, picture.pixel_sha256, listing.phash, kept)


def _narrow(row: NDArray[np.float32], compact: bool) -> NDArray[Any]:
    """A row as it is stored; its length is not, for it is 1."""
    if not compact:
        return row.astype("<f2")
    return np.rint(row * (127 / max(float(np.abs(row).max()), 1e-6))).astype(np.int8)


def _decoded(header: Mapping[str, Any], data: bytes, offset: int) -> PrintRecord:
    views, kind = [], np.dtype("|i1" if header.get("compact") else "<f2")
    for given in header["views"]:
        rows = {}
        for space, width in given["rows"].items():
            row = np.frombuffer(data, kind, width, offset).astype(np.float32)
            rows[space] = row / max(float(np.linalg.norm(row)), 1e-6)  # unit again, to 1e-7
            offset += kind.itemsize * width
        pdq = np.frombuffer(data, np.uint8, 8 * 32, offset).reshape(8, 32)
        offset += pdq.size
        views.append(ViewRecord(Region(*given["region"]), rows, pdq, given["pdq_quality"]))
    if offset != len(data):
        raise ValueError(f"{len(data)} bytes, not {offset}")
    return PrintRecord(
        header["schema"],
        bytes.fromhex(header["sha256"]),
        bytes.fromhex(header["pixel_sha256"]),
        header["phash"],
        tuple(views),
    )
