"""Pictures of every kind become upright sRGB pixels on white, whatever their container."""

import io
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms, ImageDraw

from models.images import (
    WORK_SIDE_PX,
    ImageEmpty,
    ImageTooLarge,
    ImageTooSmall,
    ImageTruncated,
    ImageUndecodable,
    Limits,
    Picture,
    decode,
)
from tests.kit.images import PHOTOS, draw, encode, packshot, photo

SCENE = draw(1, (200, 150))
LOSSLESS = {
    "PNG": encode(SCENE, "PNG"),
    "WEBP": encode(SCENE, "WEBP", lossless=True),
    "BMP": encode(SCENE, "BMP"),
    "TIFF": encode(SCENE, "TIFF"),
    "TIFF, LZW": encode(SCENE, "TIFF", compression="tiff_lzw"),
    "TIFF, deflate": encode(SCENE, "TIFF", compression="tiff_adobe_deflate"),
}
LOSSY = {
    "JPEG": encode(SCENE, "JPEG", quality=95, subsampling=0),
    "JPEG, progressive": encode(SCENE, "JPEG", quality=95, subsampling=0, progressive=True),
    "WEBP": encode(SCENE, "WEBP", quality=95),
    "AVIF": encode(SCENE, "AVIF", quality=95),
    "GIF": encode(SCENE, "GIF"),
    "TIFF, JPEG": encode(SCENE, "TIFF", compression="jpeg", quality=95),
}


def difference(picture: Picture, image: Image.Image) -> float:
    """Mean difference of the pixels, in levels of 256."""
    expected = np.asarray(image.convert("RGB"), dtype=np.float64)
    assert picture.rgb.shape == expected.shape
    return float(np.abs(picture.rgb - expected).mean())


# --- containers ----------------------------------------------------------------------


@pytest.mark.parametrize("name", LOSSLESS)
def test_the_same_pixels_have_one_digest_in_every_lossless_container(name: str) -> None:
    picture, png = decode(LOSSLESS[name]), decode(LOSSLESS["PNG"])
    assert picture.format == name.split(",")[0]
    assert difference(picture, SCENE) == 0
    assert picture.pixel_sha256 == png.pixel_sha256
    assert (picture.sha256 == png.sha256) == (name == "PNG")


@pytest.mark.parametrize("name", LOSSY)
def test_lossy_containers_come_close(name: str) -> None:
    picture = decode(LOSSY[name])
    assert picture.format == name.split(",")[0]
    assert difference(picture, SCENE) < 6
    assert picture.pixel_sha256 != decode(LOSSLESS["PNG"]).pixel_sha256


@pytest.mark.parametrize("name", PHOTOS)
def test_photographs_survive_the_way_through_png(name: str) -> None:
    image = photo(name)
    picture = decode(encode(image, "PNG"))
    assert (picture.width_px, picture.height_px) == image.size
    assert max(picture.rgb.shape) <= WORK_SIDE_PX
    assert not picture.featureless


def test_a_large_picture_is_reduced_and_a_small_one_is_not_enlarged() -> None:
    large = decode(encode(draw(2, (2000, 1000)), "PNG"))
    assert large.rgb.shape == (512, 1024, 3)
    assert (large.width_px, large.height_px) == (2000, 1000)
    plain = draw(2, (2000, 1000)).resize((1024, 512), Image.Resampling.BILINEAR)
    assert difference(large, plain) < 1.5
    assert decode(encode(draw(2, (30, 20)), "PNG")).rgb.shape == (20, 30, 3)


def test_a_sliver_keeps_at_least_one_pixel() -> None:
    sliver = decode(encode(Image.new("RGB", (29_000, 16), "red"), "PNG"))
    assert sliver.rgb.shape == (1, 1024, 3)
    assert sliver.featureless


def test_two_pictures_with_the_same_bytes_in_another_shape_differ() -> None:
    wide, tall = Image.new("RGB", (60, 30), "teal"), Image.new("RGB", (30, 60), "teal")
    digests = {decode(encode(image, "PNG")).pixel_sha256 for image in (wide, tall)}
    assert len(digests) == 2


def test_the_pixels_are_the_callers_own() -> None:
    picture = decode(LOSSLESS["PNG"])
    picture.rgb[:] = 0
    assert difference(decode(LOSSLESS["PNG"]), SCENE) == 0


# --- orientation ---------------------------------------------------------------------

# What a camera held that way stores: the inverse of what a viewer has to do.
STORED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", STORED)
def test_exif_orientation_is_applied(format: str, orientation: int) -> None:
    turn = STORED[orientation]
    stored = SCENE if turn is None else SCENE.transpose(turn)
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if format == "WEBP" else {"quality": 95}
    picture = decode(encode(stored, format, exif=exif, **options))
    assert difference(picture, SCENE) < 8
    assert (picture.width_px, picture.height_px) == SCENE.size


@pytest.mark.parametrize("orientation", [0, 9, 65_535])
def test_an_impossible_orientation_is_ignored(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert difference(decode(encode(SCENE, "PNG", exif=exif)), SCENE) == 0


@pytest.mark.parametrize("exif", [b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*"])
def test_a_broken_exif_block_is_ignored(exif: bytes) -> None:
    assert difference(decode(encode(SCENE, "JPEG", exif=exif, quality=95)), SCENE) < 6


def test_an_oriented_copy_has_the_pixel_digest_of_the_upright_one() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = encode(SCENE.transpose(Image.Transpose.ROTATE_90), "PNG", exif=exif)
    assert decode(turned).pixel_sha256 == decode(LOSSLESS["PNG"]).pixel_sha256


# --- pixel layouts -------------------------------------------------------------------


@pytest.mark.parametrize("adobe", [True, False])
def test_cmyk_jpegs_come_out_in_their_colours(adobe: bool) -> None:
    data = encode(SCENE.convert("CMYK"), "JPEG", quality=95, subsampling=0)
    assert b"Adobe" in data
    if not adobe:  # the same inks, stored as inks and without the marker
        inks = Image.fromarray(255 - np.asarray(SCENE.convert("CMYK")), "CMYK")
        data = encode(inks, "JPEG", quality=95, subsampling=0)
        at = data.index(b"\xff\xee")
        data = data[:at] + data[at + 16 :]
    assert difference(decode(data), SCENE) < 6


def test_cmyk_tiffs_come_out_in_their_colours() -> None:
    assert difference(decode(encode(SCENE.convert("CMYK"), "TIFF")), SCENE) < 2


def test_sixteen_bit_grey_keeps_its_levels() -> None:
    grey = np.asarray(SCENE.convert("L"))
    deep = Image.fromarray(grey.astype(np.uint16) * 257)
    for format in ("PNG", "TIFF"):
        assert difference(decode(encode(deep, format)), SCENE.convert("L")) == 0


@pytest.mark.parametrize("extension", [".png", ".tiff"])
def test_sixteen_bit_colour_keeps_its_levels(extension: str) -> None:
    deep = np.asarray(SCENE)[:, :, ::-1].astype(np.uint16) * 257
    written, data = cv2.imencode(extension, deep)
    assert written
    assert difference(decode(data.tobytes()), SCENE) <= 1


@pytest.mark.parametrize("top", [1.0, 255.0, 65_535.0, 1e9])
def test_numbers_of_no_stated_range_are_scaled(top: float) -> None:
    grey = SCENE.convert("L")
    levels = np.asarray(grey, dtype=np.float32)
    levels = (levels - levels.min()) / (levels.max() - levels.min())
    picture = decode(encode(Image.fromarray(levels * np.float32(top)), "TIFF"))
    assert np.abs(picture.rgb[..., 0] - levels * 255.0).max() <= 1


def test_numbers_that_are_not_finite_become_black() -> None:
    values = np.full((40, 40), np.nan, np.float32)
    values[:20] = 1.0
    picture = decode(encode(Image.fromarray(values), "TIFF"))
    assert picture.rgb[0, 0, 0] == 255 and picture.rgb[39, 0, 0] == 0


def test_palette_and_bilevel_pictures_come_out_in_their_colours() -> None:
    indexed = SCENE.quantize(256)
    bilevel = SCENE.convert("1")
    for image in (indexed, bilevel):
        assert difference(decode(encode(image, "PNG")), image.convert("RGB")) == 0


def test_transparency_goes_on_white() -> None:
    alpha = Image.linear_gradient("L").resize(SCENE.size)
    rgba = SCENE.copy()
    rgba.putalpha(alpha)
    expected = Image.composite(SCENE, Image.new("RGB", SCENE.size, "white"), alpha)
    for format, options in (("PNG", {}), ("WEBP", {"lossless": True, "exact": True}), ("TIFF", {})):
        assert difference(decode(encode(rgba, format, **options)), expected) < 1
    la = SCENE.convert("L")
    la.putalpha(alpha)
    grey = Image.composite(SCENE.convert("L"), Image.new("L", SCENE.size, 255), alpha)
    assert difference(decode(encode(la, "PNG")), grey) < 1


def test_what_hides_under_full_transparency_is_not_seen() -> None:
    hidden = SCENE.copy()
    hidden.putalpha(0)
    picture = decode(encode(hidden, "PNG"))
    assert picture.rgb.min() == 255 and picture.featureless


def test_a_transparent_colour_of_a_palette_goes_on_white() -> None:
    indexed = Image.new("P", (60, 40), 0)
    indexed.putpalette([0, 0, 255, 255, 0, 0])
    ImageDraw.Draw(indexed).rectangle((0, 0, 29, 39), fill=1)
    for format in ("PNG", "GIF"):
        picture = decode(encode(indexed, format, transparency=0))
        assert picture.rgb[20, 10].tolist() == [255, 0, 0]
        assert picture.rgb[20, 50].tolist() == [255, 255, 255]


def test_lab_tiffs_come_out_in_their_colours() -> None:
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    converted = ImageCms.profileToProfile(SCENE, srgb, lab, outputMode="LAB")
    assert converted is not None
    assert difference(decode(encode(converted, "TIFF")), SCENE) < 4


# --- first of several ----------------------------------------------------------------


@pytest.mark.parametrize("format", ["GIF", "WEBP", "TIFF", "PNG", "AVIF"])
def test_the_first_of_several_pictures_counts(format: str) -> None:
    others = [draw(seed, SCENE.size) for seed in (2, 3)]
    options = {"lossless": True} if format == "WEBP" else {}
    data = encode(SCENE, format, save_all=True, append_images=others, **options)
    assert difference(decode(data), SCENE) < 6


def test_what_follows_a_jpeg_does_not_count() -> None:
    tail = encode(draw(5), "JPEG")
    assert decode(LOSSY["JPEG"] + tail).pixel_sha256 == decode(LOSSY["JPEG"]).pixel_sha256


# --- colour profiles -----------------------------------------------------------------


def swapped_profile() -> bytes:
    """Return a valid profile in which what is stored as red is blue, and the reverse."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, blue = profile.index(b"rXYZ"), profile.index(b"bXYZ")
    profile[red : red + 4], profile[blue : blue + 4] = b"bXYZ", b"rXYZ"
    return bytes(profile)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_an_embedded_profile_is_converted_to_srgb(format: str) -> None:
    stored = Image.merge("RGB", SCENE.split()[::-1])
    options = {"lossless": True} if format == "WEBP" else {"quality": 97}
    picture = decode(encode(stored, format, icc_profile=swapped_profile(), **options))
    assert difference(picture, SCENE) < 6
    assert difference(decode(encode(stored, format, **options)), SCENE) > 20


@pytest.mark.parametrize(
    "profile", [b"", b"not a profile", b"\0" * 500, swapped_profile()[:200], b"\xff" * 3000]
)
def test_a_broken_profile_is_ignored(profile: bytes) -> None:
    for format in ("JPEG", "PNG", "WEBP", "TIFF"):
        data = encode(SCENE, format, icc_profile=profile, quality=95)
        assert difference(decode(data), SCENE) < 8


def test_a_profile_for_other_pixels_is_ignored() -> None:
    grey = SCENE.convert("L")
    assert difference(decode(encode(grey, "PNG", icc_profile=swapped_profile())), grey) == 0


def test_the_profile_does_not_count_for_the_digest_of_the_pixels() -> None:
    with_profile = decode(encode(SCENE, "PNG", icc_profile=swapped_profile()))
    assert with_profile.pixel_sha256 == decode(LOSSLESS["PNG"]).pixel_sha256


# --- refusals ------------------------------------------------------------------------


def png_header(width: int, height: int) -> bytes:
    """Return a PNG file that claims a size and has hardly any pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 100)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


def test_no_bytes_are_refused() -> None:
    with pytest.raises(ImageEmpty):
        decode(b"")


def test_too_many_bytes_are_refused() -> None:
    data = LOSSLESS["BMP"]
    with pytest.raises(ImageTooLarge) as caught:
        decode(data, Limits(max_bytes=len(data) - 1))
    assert (caught.value.measure, caught.value.value) == ("bytes", len(data))
    assert decode(data, Limits(max_bytes=len(data))).format == "BMP"


@pytest.mark.parametrize(
    ("width", "height", "measure"),
    [(10_001, 10_000, "pixels"), (30_001, 16, "side"), (16, 2**31 - 1, "side")],
)
def test_a_claimed_size_is_refused_before_decoding(width: int, height: int, measure: str) -> None:
    with pytest.raises(ImageTooLarge) as caught:
        decode(png_header(width, height))
    assert caught.value.measure == measure
    assert str(caught.value.value) in str(caught.value) and str(caught.value.limit) in str(
        caught.value
    )


@pytest.mark.parametrize("size", [(15, 100), (100, 15), (1, 1)])
def test_a_picture_that_is_too_small_is_refused(size: tuple[int, int]) -> None:
    for format in ("PNG", "GIF", "BMP", "TIFF", "WEBP", "JPEG"):
        with pytest.raises(ImageTooSmall) as caught:
            decode(encode(Image.new("RGB", size), format))
        assert (caught.value.width_px, caught.value.height_px) == size


@pytest.mark.parametrize("name", [*LOSSLESS, *LOSSY])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_file_that_ends_early_is_called_truncated(name: str, share: float) -> None:
    data = {**LOSSY, **LOSSLESS}[name]
    with pytest.raises(ImageTruncated) as caught:
        decode(data[: int(len(data) * share)])
    assert caught.value.byte_count == int(len(data) * share)
    assert "whole file" in str(caught.value)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"<svg xmlns='http://www.w3.org/2000/svg'><rect/></svg>", "an SVG drawing"),
        (b"<?xml version='1.0'?>\n<!-- x -->\n<svg/>", "an SVG drawing"),
        (b"\xef\xbb\xbf  <!DOCTYPE html><html></html>", "an HTML page"),
        (b"<html><body>404</body></html>", "an HTML page"),
        (b"PK\x03\x04\x14\0\0\0", "a ZIP archive"),
        (b"%PDF-1.7", "a PDF document"),
        (b"\x1f\x8b\x08\0", "a gzip archive"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "a HEIC picture"),
        (b"\0\0\0\x18ftypisom\0\0\0\0isommp42", "a video"),
        (b"8BPS\0\x01", "a Photoshop document"),
        (b"\0\0\x01\0\x01\0\x10\x10", "an icon"),
        (b'{"error": "not found"}', "JSON"),
        (b"just some words", "not a picture"),
        (bytes(range(256)) * 8, "not a picture"),
        (b"\xff\xd8\xff\xd9", "ends before any picture begins"),
        (b"GIF89a\x10\0\x10\0\0\0\0;", "no picture"),
    ],
)
def test_what_is_no_picture_is_named(data: bytes, words: str) -> None:
    with pytest.raises(ImageUndecodable) as caught:
        decode(data)
    assert words in str(caught.value)
    assert "send a JPEG, PNG" in str(caught.value)


def test_formats_outside_the_list_are_never_tried() -> None:
    for format in ("ICO", "PPM", "TGA", "PCX", "EPS", "JPEG2000", "SGI", "QOI", "DDS"):
        with pytest.raises(ImageUndecodable):
            decode(encode(SCENE.resize((64, 64)), format))


def test_many_threads_decode_to_the_same_pixels() -> None:
    jobs = [*LOSSLESS.values(), *LOSSY.values()] * 6
    once = [decode(data).pixel_sha256 for data in jobs]
    with ThreadPoolExecutor(8) as pool:
        assert [p.pixel_sha256 for p in pool.map(decode, jobs)] == once


def test_limits_of_a_caller_change_nothing_for_others() -> None:
    before = Image.MAX_IMAGE_PIXELS
    with pytest.raises(ImageTooLarge):
        decode(LOSSLESS["PNG"], Limits(max_pixels=100))
    decode(LOSSLESS["PNG"], Limits(max_pixels=10**9))
    assert before == Image.MAX_IMAGE_PIXELS


# --- featureless ---------------------------------------------------------------------


def gradient(low: float, high: float, angle: bool = False) -> Image.Image:
    ramp = np.linspace(low, high, 600)[None, :] * np.ones((400, 1))
    pixels = (ramp.T if angle else ramp).astype(np.uint8)
    return Image.fromarray(pixels).convert("RGB")


@pytest.mark.parametrize(
    "image",
    [
        Image.new("RGB", (500, 300), "white"),
        Image.new("RGB", (500, 300), "black"),
        Image.new("RGB", (500, 300), (190, 30, 40)),
        Image.new("RGB", (16, 16), "navy"),
        gradient(100, 200),
        gradient(120, 130, angle=True),
        Image.fromarray(np.random.default_rng(0).integers(126, 130, (300, 300, 3), np.uint8)),
    ],
    ids=["white", "black", "red", "tiny", "gradient", "slight gradient", "faint noise"],
)
def test_a_flat_picture_is_featureless(image: Image.Image) -> None:
    assert decode(encode(image, "PNG")).featureless
    assert decode(encode(image, "JPEG", quality=80)).featureless


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("share", [0.5, 0.15, 0.06])
def test_a_packshot_or_a_small_logo_on_white_is_not_featureless(seed: int, share: float) -> None:
    image = packshot(seed, (1200, 900), share)
    assert not decode(encode(image, "JPEG")).featureless


def test_two_colours_of_one_luminance_are_not_featureless() -> None:
    image = Image.new("RGB", (300, 300), (200, 0, 0))
    ImageDraw.Draw(image).ellipse((60, 60, 240, 240), fill=(0, 102, 0))
    assert not decode(encode(image, "PNG")).featureless


def test_decoding_needs_no_file_handles(recwarn: pytest.WarningsRecorder) -> None:
    for data in [*LOSSLESS.values(), *LOSSY.values()]:
        decode(io.BytesIO(data).getvalue())
    assert not recwarn.list
