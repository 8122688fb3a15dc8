"""Stored bytes: what goes in comes out, and damage has a name."""

import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from index.records import (
    Brand,
    Change,
    OriginalRecord,
    RecordCorrupt,
    decode_brand,
    decode_change,
    decode_original,
    encode_brand,
    encode_change,
    encode_original,
    seal,
    unseal,
)
from tests.index.kit import PDQ, SSCD, rows

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
attributes = st.dictionaries(
    words, st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | words, max_size=5
)


def a_record(seed: int = 0, **changes: object) -> OriginalRecord:
    rng = np.random.default_rng(seed)
    given_values: dict[str, object] = {
        "key": seed + 1,
        "brand": "acme",
        "brand_number": 7,
        "original": "photo-1",
        "display_name": "Photo",
        "annotations": {"a": "b"},
        "create_time_ns": 1_700_000_000_000_000_001,
        "update_time_ns": 1_700_000_000_000_000_002,
        "state": "ACTIVE",
        "sha256": rng.bytes(32),
        "pixel_sha256": rng.bytes(32),
        "width_px": 640,
        "height_px": 480,
        "format": "PNG",
        "byte_count": 12,
        "schema": "s",
        "vectors": {"sscd": SSCD.kept(rows(SSCD, 1, seed))[0], "pdq": rows(PDQ, 1, seed)[0]},
        "attributes": {"x": 1.5},
        "revision": 3,
    }
    return OriginalRecord(**(given_values | changes))  # type: ignore[arg-type]


@given(st.integers(0, 10**6), words, st.dictionaries(words, words, max_size=4), attributes)
def test_a_record_comes_back_as_it_was_stored(
    seed: int, name: str, annotations: dict[str, str], attrs: dict[str, int | float | str]
) -> None:
    record = a_record(seed, display_name=name, annotations=annotations, attributes=attrs)
    back = decode_original(encode_original(record))
    for field in OriginalRecord.__dataclass_fields__:
        if field != "vectors":
            assert getattr(back, field) == getattr(record, field), field
    assert back.vectors.keys() == record.vectors.keys()
    assert (back.vectors["sscd"] == record.vectors["sscd"].astype(np.float32)).all()
    assert (back.vectors["pdq"] == record.vectors["pdq"]).all()
    assert encode_original(back) == encode_original(record)


def test_vectors_come_back_as_float32_and_uint8_and_can_not_be_written() -> None:
    vectors = decode_original(encode_original(a_record())).vectors
    assert {name: v.dtype.str for name, v in vectors.items()} == {"sscd": "<f4", "pdq": "|u1"}
    for vector in vectors.values():
        with pytest.raises(ValueError, match="read-only"):
            vector[0] = 0


def test_numbers_of_numpy_are_stored_as_numbers_and_other_things_are_refused() -> None:
    record = a_record(attributes={"a": np.int64(4), "b": np.float32(0.5)})
    assert decode_original(encode_original(record)).attributes == {"a": 4, "b": 0.5}
    with pytest.raises(TypeError, match="set"):
        encode_original(a_record(attributes={"a": {1}}))


def test_any_byte_that_changes_is_noticed() -> None:
    data = encode_original(a_record())
    for i in range(len(data)):
        damaged = bytearray(data)
        damaged[i] ^= 0x10
        with pytest.raises(RecordCorrupt):
            decode_original(bytes(damaged))
    for length in range(len(data)):
        with pytest.raises(RecordCorrupt):
            decode_original(data[:length])


def test_a_sealed_value_comes_back_and_any_byte_of_it_that_changes_is_noticed() -> None:
    data = seal(b"a preview")
    assert unseal(data) == b"a preview"
    mark = len(b"a preview")
    for i in (*range(mark), *range(len(data) - 4, len(data))):
        damaged = bytearray(data)
        damaged[i] ^= 0x10
        with pytest.raises(RecordCorrupt, match="checksum"):
            unseal(bytes(damaged))


@pytest.mark.parametrize("data", [b"", b"RIFF", b"an older release sealed none"])
def test_a_value_that_was_never_sealed_comes_back_as_it_is(data: bytes) -> None:
    assert unseal(data) == data


def test_a_version_of_the_future_is_refused_by_name() -> None:
    body = struct.pack("<BI", 99, 2) + b"{}"
    with pytest.raises(RecordCorrupt, match="version 99"):
        decode_original(body + struct.pack("<I", zlib.crc32(body)))


def test_brands_and_changes_come_back_too_and_etags_follow_revisions() -> None:
    brand = Brand("acme", 3, "Acme ü", {"k": "v"}, 1, 2, 5)
    assert decode_brand(encode_brand(brand)) == brand
    change = Change(9, "WITHDRAW", 4, "acme", 3, "photo", 77)
    assert decode_change(encode_change(change)) == change
    etags = {a_record(seed, revision=r).etag for seed in range(20) for r in range(1, 20)}
    assert len(etags) == 20 * 19
