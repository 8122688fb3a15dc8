"""What is stored of a brand and of an original, and its bytes.

Stored bytes carry a version and a checksum: `version u8 | header length u32 | header (JSON) |
vectors | CRC-32`. JSON for the words, because a person with nothing else can still read it;
raw little-endian arrays for the vectors, because tens of records are read per query. A new
version adds a decoder here and keeps the old ones: old stores stay readable (a test opens
those that were written by each released version).

Previews and local features are not part of a record: they are read for few candidates only
and lie in tables of their own.
"""

import json
import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from index.acting import Actor

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Attribute = float | int | str
ChangeKind = Literal[
    # of an original
    "REGISTER",
    "UPDATE",
    "WITHDRAW",
    # of a right; `Change.subject` is the licence or the programme
    "LICENSE",
    "REVOKE",
    "PROGRAMME",
    "END_PROGRAMME",
    "ENROL",
    "EXPEL",
    # of a conflict between originals; `Change.subject` is the dispute
    "DISPUTE",
    "RESOLVE",
    "END_DISPUTE",
]

RECORD_VERSION = 1
_HEAD = struct.Struct("<BI")
_SEAL = b"\0sealed\1"
_CRC = struct.Struct("<I")


class RecordCorrupt(RuntimeError):
    """Stored bytes that can not be what was written."""

    reason: ClassVar[str] = "RECORD_CORRUPT"

    def __init__(self, why: str) -> None:
        super().__init__(f"a stored record is damaged: {why}")
        self.why = why


@dataclass(frozen=True, slots=True)
class Brand:
    """A brand that registers originals.

    Attributes:
        brand: the id that its owner chose.
        number: assigned by the store, from 1, never reused; rows of an index carry it.
        revision: 1 when created, one more with each change.
    """

    brand: str
    number: int
    display_name: str
    annotations: Mapping[str, str]
    create_time_ns: int
    update_time_ns: int
    revision: int = 1

    @property
    def etag(self) -> str:
        """Changes with each change of the brand."""
        return f"b{self.number:x}-{self.revision}"


@dataclass(frozen=True, slots=True)
class Conflict:
    """An earlier original that a newcomer was found to copy.

    Attributes:
        key: of the earlier original.
        match, provenance: the evidence and what it was computed with, as JSON; opaque here.
    """

    key: int
    match: Mapping[str, Any]
    provenance: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Screening:
    """What a newcomer was compared with, before it is kept.

    Attributes:
        until_key: it was compared with all originals up to this key.
        conflicts: those of other brands that it was found to copy.
        rival: whether it may copy an original that was registered since, by a cheap look. Runs
            in the writer thread, perhaps more than once; None: nobody looks.
    """

    until_key: int = 0
    conflicts: tuple[Conflict, ...] = ()
    rival: "Callable[[OriginalRecord], bool] | None" = None


@dataclass(frozen=True, slots=True, eq=False)
class NewOriginal:
    """An original to be registered.

    Attributes:
        brand: id of an existing brand.
        original: id within the brand, chosen by the caller.
        vectors: per space one row, shape (width,), as `Space.checked` takes it. A space may be
            left out (a blank picture has no hash worth comparing): it then is not found there.
        attributes: facts about the picture that matching reads back (quality, hashes).
        preview: an encoded picture to verify against and to show.
        features: local features of the preview, opaque here.
        request_id: a retry with the same id and the same picture returns the first answer.
        by: on whose behalf; None is whoever acts where it is registered.
        once: refuse it when the brand has the same bytes or pixels under another id.
        screening: what it was compared with; None: with nothing.
    """

    brand: str
    original: str
    sha256: bytes
    pixel_sha256: bytes
    width_px: int
    height_px: int
    format: str
    byte_count: int
    vectors: Mapping[str, NDArray[Any]] = field(repr=False)
    display_name: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    preview: bytes = field(default=b"", repr=False)
    features: bytes | None = field(default=None, repr=False)
    request_id: str = ""
    by: Actor | None = None
    once: bool = False
    screening: Screening | None = None


@dataclass(frozen=True, slots=True, eq=False)
class OriginalRecord:
    """A registered original, without its preview and local features.

    Attributes:
        key: assigned by the store, from 1, never reused.
        brand_number: the brand's number, as the rows of an index carry it.
        state: `ACTIVE`: it is matched. `DISPUTED`, `REJECTED`: it is not, see `index.disputes`.
        schema: id of the fingerprint schema that made the vectors.
        vectors: float32 rows (float spaces) and uint8 rows (binary spaces); read-only.
        revision: 1 when registered, one more with each change.
    """

    key: int
    brand: str
    brand_number: int
    original: str
    display_name: str
    annotations: Mapping[str, str]
    create_time_ns: int
    update_time_ns: int
    state: str
    sha256: bytes
    pixel_sha256: bytes
    width_px: int
    height_px: int
    format: str
    byte_count: int
    schema: str
    vectors: Mapping[str, NDArray[Any]] = field(repr=False)
    attributes: Mapping[str, Attribute]
    revision: int = 1

    @property
    def etag(self) -> str:
        """Changes with each change of the original; equal for no two originals of a store."""
        return f"{self.key:x}-{self.revision}"


@dataclass(frozen=True, slots=True)
class Change:
    """One line of the change log.

    Attributes:
        sequence: from 1, without gaps.
        kind: what happened; `WITHDRAW` keeps no trace of the picture itself.
        key: the original's key, 0 when it is about none.
        brand_number: the brand's number.
        original: the original's id, empty when it is about none.
        subject: what else it is about, such as a licence.
    """

    sequence: int
    kind: ChangeKind
    key: int
    brand: str
    brand_number: int
    original: str
    time_ns: int
    subject: str = ""


def encode_original(record: OriginalRecord) -> bytes:
    """The bytes of a record, in the newest version."""
    names, blobs = [], []
    for name, row in record.vectors.items():
        kept = row.astype("<f2") if row.dtype.kind == "f" else row.astype("|u1")
        names.append([name, kept.dtype.str, len(kept)])
        blobs.append(kept.tobytes())
    header = _values(record) | {
        "sha256": record.sha256.hex(),
        "pixel_sha256": record.pixel_sha256.hex(),
        "annotations": dict(record.annotations),
        "attributes": dict(record.attributes),
        "vectors": names,
    }
    return _framed(header, b"".join(blobs))


def decode_original(data: bytes) -> OriginalRecord:
    """The record of these bytes, of any version.

    Raises:
        RecordCorrupt: the bytes are damaged or of an unknown version.
    """
    header, offset = _unframed(data)
    vectors: dict[str, NDArray[Any]] = {}
    for name, dtype, length in header["vectors"]:
        row = np.frombuffer(data, dtype=dtype, count=length, offset=offset)
        offset += row.nbytes
        vectors[name] = row if row.dtype.kind == "u" else row.astype(np.float32)
        vectors[name].flags.writeable = False
    header["vectors"] = vectors
    header["sha256"] = bytes.fromhex(header["sha256"])
    header["pixel_sha256"] = bytes.fromhex(header["pixel_sha256"])
    return OriginalRecord(**header)


def encode_brand(brand: Brand) -> bytes:
    """The bytes of a brand, in the newest version."""
    return _framed(_values(brand) | {"annotations": dict(brand.annotations)})


def decode_brand(data: bytes) -> Brand:
    """The brand of these bytes, of any version."""
    return Brand(**_unframed(data)[0])


def encode_change(change: Change) -> bytes:
    """The bytes of a line of the change log, in the newest version."""
    values = _values(change)
    if not change.subject:  # lines of originals stay as short as they were
        del values["subject"]
    return _framed(values)


def decode_change(data: bytes) -> Change:
    """The line of the change log of these bytes, of any version."""
    return Change(**_unframed(data)[0])


def encode_plain(value: "DataclassInstance") -> bytes:
    """The bytes of a record of words, numbers, and tuples and maps of them."""
    return _framed(_values(value))


def decode_plain[T](kind: type[T], data: bytes) -> T:
    """The record of this kind that `encode_plain` wrote.

    Raises:
        RecordCorrupt: the bytes are damaged or of an unknown version.
    """
    header, _ = _unframed(data)
    return kind(**{n: tuple(v) if isinstance(v, list) else v for n, v in header.items()})


def frame(header: Mapping[str, Any]) -> bytes:
    """The bytes of any other record that is words alone, such as an API key's."""
    return _framed(header)


def unframe(data: bytes) -> dict[str, Any]:
    """What `frame` was given. Raises RecordCorrupt."""
    return _unframed(data)[0]


def seal(data: bytes) -> bytes:
    """The bytes of an opaque value, such as a preview, with a checksum behind them."""
    return data + _SEAL + _CRC.pack(zlib.crc32(data))


def unseal(data: bytes) -> bytes:
    """What `seal` was given; a value of a release that sealed none comes back as it is.

    Raises:
        RecordCorrupt: the checksum does not fit.
    """
    at = len(data) - len(_SEAL) - _CRC.size
    if at < 0 or data[at : at + len(_SEAL)] != _SEAL:
        return data
    if zlib.crc32(memoryview(data)[:at]) != _CRC.unpack_from(data, len(data) - _CRC.size)[0]:
        raise RecordCorrupt("its checksum does not fit")
    return data[:at]


def _values(value: "DataclassInstance") -> dict[str, Any]:
    return {f.name: getattr(value, f.name) for f in fields(value)}


def _plain(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} {value!r} can not be stored")


def _framed(header: Mapping[str, Any], tail: bytes = b"") -> bytes:
    words = json.dumps(header, ensure_ascii=False, separators=(",", ":"), default=_plain).encode()
    body = _HEAD.pack(RECORD_VERSION, len(words)) + words + tail
    return body + _CRC.pack(zlib.crc32(body))


def _unframed(data: bytes) -> tuple[dict[str, Any], int]:
    """The header, and where the vectors begin."""
    if len(data) < _HEAD.size + _CRC.size:
        raise RecordCorrupt(f"{len(data)} bytes are too few")
    version, length = _HEAD.unpack_from(data)
    if zlib.crc32(memoryview(data)[: -_CRC.size]) != _CRC.unpack_from(data, len(data) - 4)[0]:
        raise RecordCorrupt("its checksum does not fit")
    if version != RECORD_VERSION:
        raise RecordCorrupt(f"its version {version} is unknown to this release")
    header: dict[str, Any] = json.loads(data[_HEAD.size : _HEAD.size + length])
    return header, _HEAD.size + length
