"""Hostile files end in a named refusal or in their picture, soon and in bounded memory.

The bombs here would take minutes or tens of gigabytes in a reader that believes them; the
time limit of the test run is what notices. The rest is fuzzing: real pictures of every format,
changed in any way, decode or are refused by name, and nothing else.
"""

import resource
import struct
import threading
import zlib
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from models.images import (
    ImageEmpty,
    ImageTooLarge,
    ImageTooSmall,
    ImageTruncated,
    ImageUndecodable,
    Limits,
    Picture,
    decode,
)
from tests.kit.images import draw, encode

REFUSALS = (ImageEmpty, ImageTooLarge, ImageTooSmall, ImageTruncated, ImageUndecodable)
SCENE = draw(3, (96, 72))
MEGABYTE = 1024 * 1024
ANY_SIZE = Limits()

# Pillow warns of broken tags; outside of tests that is a line in the log, and so it is here.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")


def attempt(data: bytes, limits: Limits = ANY_SIZE) -> Picture | None:
    """Decode; None when refused by name. Anything else fails the test."""
    try:
        picture = decode(data, limits)
    except REFUSALS as refusal:
        assert str(refusal) and len(str(refusal)) < 500
        return None
    assert picture.rgb.dtype == np.uint8 and picture.rgb.ndim == 3
    return picture


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def with_chunks(extra: bytes) -> bytes:
    """Return the scene as PNG, with chunks put behind its header."""
    data = encode(SCENE, "PNG")
    return data[:33] + extra + data[33:]


def segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def memory_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


# --- bombs ---------------------------------------------------------------------------


@cache
def bomb(megabytes: int) -> bytes:
    """Return zeros, deflated a thousandfold."""
    deflater = zlib.compressobj(9)
    pieces = [deflater.compress(b"\0" * MEGABYTE) for _ in range(megabytes)]
    return b"".join([*pieces, deflater.flush()])


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt", b"tEXt", b"iCCP", b"eXIf"])
def test_a_png_chunk_that_inflates_to_gigabytes_costs_nothing(kind: bytes) -> None:
    bodies = {
        b"zTXt": b"key\0\0" + bomb(256),
        b"iTXt": b"key\0\1\0\0\0" + bomb(256),
        b"iCCP": b"name\0\0" + bomb(256),
    }
    data = with_chunks(chunk(kind, bodies.get(kind, b"key\0" + b"x" * (2 * MEGABYTE))) * 5)
    before = memory_mb()
    picture = attempt(data)
    assert picture is not None and (picture.rgb == np.asarray(SCENE)).all()
    assert memory_mb() - before < 100


def test_a_png_of_a_million_chunks_is_refused() -> None:
    assert attempt(with_chunks(chunk(b"tEXt", b"") * 1_000_000)) is None


def test_png_pixels_that_inflate_beyond_the_picture_are_not_inflated() -> None:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 0))
    data = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", bomb(256)) + chunk(b"IEND", b"")
    before = memory_mb()
    attempt(data)
    assert memory_mb() - before < 50


def tiff(entries: list[bytes], payload: bytes = b"", next_directory: int = 0) -> bytes:
    directory = struct.pack("<H", len(entries)) + b"".join(entries)
    return b"II*\0" + struct.pack("<I", 8) + directory + struct.pack("<I", next_directory) + payload


def entry(tag: int, kind: int, count: int, value: int) -> bytes:
    return struct.pack("<HHII", tag, kind, count, value)


def plain_tiff_entries(side: int, offset: int) -> list[bytes]:
    values = {
        256: side,
        257: side,
        258: 8,
        259: 1,
        262: 1,
        273: offset,
        277: 1,
        278: side,
        279: side * side,
    }
    return [entry(tag, 4, 1, value) for tag, value in values.items()]


def test_a_tiff_whose_tags_each_claim_the_whole_file_costs_nothing() -> None:
    size = 8 * MEGABYTE
    entries = plain_tiff_entries(64, 700_000) + [
        entry(tag, 1, size, 8) for tag in range(1000, 51_000) if tag != 34_675
    ]
    data = tiff(sorted(entries), b"\x55" * (size + 8))
    before = memory_mb()
    picture = attempt(data)
    assert picture is not None and picture.rgb.shape == (64, 64, 3)
    assert memory_mb() - before < 300


@pytest.mark.parametrize("tag", [258, 273, 279, 320, 324, 325, 347, 34_675])
def test_a_needed_tiff_tag_of_millions_of_values_is_bounded(tag: int) -> None:
    entries = [e for e in plain_tiff_entries(64, 1000) if e[:2] != struct.pack("<H", tag)]
    data = tiff(sorted([*entries, entry(tag, 1, 15 * MEGABYTE, 8)]), b"\0" * (15 * MEGABYTE))
    attempt(data)


def test_a_tiff_directory_that_leads_to_itself_ends() -> None:
    assert attempt(tiff(plain_tiff_entries(64, 200), b"\x33" * 8000, next_directory=8)) is not None


def test_a_fax_is_refused() -> None:
    with pytest.raises(ImageUndecodable, match="fax"):
        decode(encode(SCENE.convert("1"), "TIFF", compression="group4"))


@pytest.mark.parametrize("offset", [0, 4, 2**31, 2**32 - 1])
def test_a_tiff_directory_outside_the_file_is_refused(offset: int) -> None:
    assert attempt(b"II*\0" + struct.pack("<I", offset) + b"\0" * 50) is None


def test_a_webp_that_claims_the_largest_canvas_is_refused_before_it_is_allocated() -> None:
    data = bytearray(encode(SCENE, "WEBP", exif=Image.Exif()))
    body = b"VP8X" + struct.pack("<I", 10) + b"\0" * 4 + b"\xfe\x3f\0" + b"\xfe\x3f\0"
    claimed = b"RIFF" + struct.pack("<I", 4 + len(body) + len(data) - 12) + b"WEBP" + body
    before = memory_mb()
    with pytest.raises(ImageTooLarge) as caught:
        decode(bytes(claimed + data[12:]))
    assert caught.value.value == 16_383**2
    assert memory_mb() - before < 50


def progressive_bomb(side: int, scans: int) -> bytes:
    """Return a progressive JPEG with the same refinement scan again and again."""
    data = encode(Image.new("RGB", (side, side), "grey"), "JPEG", progressive=True)
    first = data.index(b"\xff\xda")
    second = data.index(b"\xff\xc4", first)
    last = data.rindex(b"\xff\xda")
    return data[:second] + data[last:-2] * scans + b"\xff\xd9"


def test_a_progressive_jpeg_of_thousands_of_passes_is_refused() -> None:
    bomb = progressive_bomb(4000, 3000)
    assert len(bomb) < Limits().max_bytes
    with pytest.raises(ImageUndecodable, match="passes"):
        decode(bomb)


def test_ordinary_progressive_jpegs_are_not_taken_for_bombs() -> None:
    for mode in ("RGB", "L", "CMYK"):
        assert attempt(encode(SCENE.convert(mode), "JPEG", progressive=True)) is not None


def test_a_jpeg_with_hostile_exif_costs_nothing() -> None:
    tags = [struct.pack("<HHII", tag, 1, 65_000, 8) for tag in range(5_000)]
    exif = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + b"".join(tags)
    body = encode(SCENE, "JPEG")
    before = memory_mb()
    assert attempt(body[:2] + segment(0xE1, exif) * 200 + body[2:]) is not None
    assert memory_mb() - before < 100


def test_a_jpeg_of_a_million_segments_is_refused() -> None:
    body = encode(SCENE, "JPEG")
    assert attempt(body[:2] + segment(0xFE, b"") * 1_000_000 + body[2:]) is None


def test_junk_between_jpeg_segments_is_skipped() -> None:
    body = encode(SCENE, "JPEG", quality=95)
    for junk in (b"\xff" * MEGABYTE, b"\0" * MEGABYTE, b"\xff\0" * 500_000):
        picture = attempt(body[:20] + junk + body[20:])
        assert picture is not None
        assert (picture.rgb == decode(body).rgb).all()


def test_gif_comments_do_not_stall() -> None:
    data = encode(SCENE, "GIF")
    at = 13 + (3 << (data[10] & 7) + 1)
    comment = b"!\xfe" + (b"\xff" + b"c" * 255) * 60_000 + b"\0"
    assert attempt(data[:at] + comment + data[at:]) is not None
    tiny_blocks = b"!\xfe" + b"\x01c" * 5_000_000 + b"\0"
    assert attempt(data[:at] + tiny_blocks + data[at:]) is None


def test_a_gif_frame_beyond_its_screen_is_measured() -> None:
    data = bytearray(encode(SCENE, "GIF"))
    at = data.index(b",", 13 + (3 << (data[10] & 7) + 1))
    struct.pack_into("<HH", data, at + 5, 65_000, 65_000)
    with pytest.raises(ImageTooLarge):
        decode(bytes(data))


def test_a_large_run_length_bitmap_is_refused() -> None:
    header = struct.pack("<IiiHHIIiiII", 40, 9000, 9000, 1, 8, 1, 0, 0, 0, 256, 0)
    data = b"BM" + struct.pack("<IHHI", 0, 0, 0, 14 + 40 + 1024) + header + b"\0" * 1024
    assert attempt(data + b"\x01\x07" * (4 * MEGABYTE)) is None
    small = struct.pack("<ii", 300, 200)
    rows = (b"\x01\x07" * 300 + b"\0\0") * 200
    assert attempt(data[:18] + small + data[26:] + rows) is not None


def test_an_avif_with_hostile_exif_costs_nothing() -> None:
    start = b"II*\0\x08\0\0\0"
    harmless = start + b"\0\0" + b"\xaa" * 65_000
    tags = b"".join(struct.pack("<HHII", tag, 1, 60_000, 8) for tag in range(5_000))
    hostile = (start + struct.pack("<H", 5_000) + tags).ljust(len(harmless), b"\0")
    data = encode(SCENE, "AVIF", exif=harmless)
    assert data.count(harmless) == 1
    before = memory_mb()
    assert attempt(data.replace(harmless, hostile)) is not None
    assert memory_mb() - before < 100


@pytest.mark.slow
def test_a_picture_of_the_largest_size_is_decoded() -> None:
    image = Image.new("L", (10_000, 10_000), 255)
    image.paste(draw(1, (4000, 4000)).convert("L"), (3000, 3000))
    picture = attempt(encode(image, "PNG", compress_level=1))
    assert picture is not None
    assert (picture.width_px, picture.height_px) == (10_000, 10_000)


# --- fuzzing -------------------------------------------------------------------------

_exif = Image.Exif()
_exif[0x0112] = 6
_rgba = SCENE.copy()
_rgba.putalpha(Image.linear_gradient("L").resize(SCENE.size))
SEEDS = {
    "jpeg": encode(SCENE, "JPEG", exif=_exif, icc_profile=b"\0" * 200),
    "progressive jpeg": encode(SCENE, "JPEG", progressive=True),
    "cmyk jpeg": encode(SCENE.convert("CMYK"), "JPEG"),
    "png": encode(SCENE, "PNG", exif=_exif),
    "palette png": encode(SCENE.quantize(64), "PNG", transparency=3),
    "16-bit png": encode(Image.fromarray(np.asarray(SCENE.convert("L")).astype(np.uint16)), "PNG"),
    "rgba png": encode(_rgba, "PNG"),
    "webp": encode(SCENE, "WEBP", exif=_exif),
    "lossless webp": encode(_rgba, "WEBP", lossless=True),
    "animated webp": encode(SCENE, "WEBP", save_all=True, append_images=[draw(4, SCENE.size)]),
    "gif": encode(SCENE, "GIF"),
    "animated gif": encode(SCENE, "GIF", save_all=True, append_images=[draw(4, SCENE.size)]),
    "bmp": encode(SCENE, "BMP"),
    "tiff": encode(SCENE, "TIFF"),
    "lzw tiff": encode(_rgba, "TIFF", compression="tiff_lzw"),
    "jpeg tiff": encode(SCENE, "TIFF", compression="jpeg"),
    "float tiff": encode(Image.fromarray(np.asarray(SCENE.convert("L"), dtype=np.float32)), "TIFF"),
    "big tiff": encode(SCENE, "TIFF", big_tiff=True),
    "avif": encode(SCENE, "AVIF", exif=_exif, speed=10),
}
SMALL = Limits(max_pixels=4_000_000)
"""Mutations that claim a large size would only test the speed of decoding zeros."""

_positions = st.floats(0.0, 1.0)
_mutations = st.lists(
    st.one_of(
        st.tuples(st.just("set"), _positions, st.binary(min_size=1, max_size=8)),
        st.tuples(st.just("insert"), _positions, st.binary(max_size=24)),
        st.tuples(st.just("delete"), _positions, st.binary(max_size=64)),
        st.tuples(st.just("repeat"), _positions, st.binary(max_size=64)),
        st.tuples(st.just("cut"), _positions, st.just(b"")),
    ),
    min_size=1,
    max_size=6,
)


def mutate(data: bytes, changes: list[tuple[str, float, bytes]], near_start: bool) -> bytes:
    """Apply changes; near the start is where the headers are."""
    for name, place, value in changes:
        at = int(place * (min(len(data), 700) if near_start else len(data)))
        n = len(value)
        if name == "set":
            data = data[:at] + value + data[at + n :]
        elif name == "insert":
            data = data[:at] + value + data[at:]
        elif name == "delete":
            data = data[:at] + data[at + n :]
        elif name == "repeat":
            data = data[:at] + data[at : at + n] * 2 + data[at + n :]
        elif not near_start:
            data = data[:at]
    return data


@pytest.mark.parametrize("name", SEEDS)
def test_the_seeds_of_the_fuzzing_are_pictures(name: str) -> None:
    assert attempt(SEEDS[name]) is not None


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(sorted(SEEDS)), _mutations, st.booleans())
def test_changed_pictures_decode_or_are_refused_by_name(
    name: str, changes: list[tuple[str, float, bytes]], near_start: bool
) -> None:
    attempt(mutate(SEEDS[name], changes, near_start), SMALL)


@pytest.mark.parametrize("name", SEEDS)
def test_pictures_cut_anywhere_decode_or_are_refused_by_name(name: str) -> None:
    data = SEEDS[name]
    for length in range(0, min(len(data), 400), 3):
        attempt(data[:length], SMALL)
    for length in range(400, len(data), max(1, len(data) // 60)):
        attempt(data[:length], SMALL)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(SEEDS)), st.integers(2, 16), st.binary(max_size=300))
def test_noise_behind_a_magic_number_is_refused_by_name(name: str, kept: int, noise: bytes) -> None:
    attempt(SEEDS[name][:kept] + noise, SMALL)


def test_hostile_files_in_many_threads_leave_the_others_alone() -> None:
    good, failures = SEEDS["png"], []

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for _ in range(30):
            name = str(rng.choice(sorted(SEEDS)))
            data = bytearray(SEEDS[name])
            for at in rng.integers(0, len(data), 5):
                data[at] = int(rng.integers(256))
            try:
                attempt(bytes(data), SMALL)
                assert attempt(good) is not None
            except BaseException as error:  # reported below, from the main thread
                failures.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
