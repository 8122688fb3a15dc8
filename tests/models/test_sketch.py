"""What is kept of a listing picture: little, without its colours, and enough to verify with."""

from collections.abc import Iterator

import numpy as np
import pytest

from models.batcher import Batcher
from models.detail import read_preview
from models.fingerprint import Fingerprinter
from models.images import decode
from models.print_record import PrintRecord, PrintUnreadable, to_record
from models.sketch import SIDE_PX, Sketch, original_queries
from models.toy import ToyEncoder
from models.views import WHOLE
from tests.kit.images import border, encode, mirror, photo


@pytest.fixture(scope="module")
def printer() -> Iterator[Fingerprinter]:
    with Batcher(ToyEncoder()) as batcher:
        yield Fingerprinter(batcher)


def made(printer: Fingerprinter, data: bytes) -> Sketch:
    listing = printer.listing(decode(data))
    regions = [listing.unframed] if listing.unframed else []
    views = [listing.whole, *printer.views(listing.picture.rgb, regions)]
    return Sketch.of(to_record(printer.schema, listing, views), listing)


def test_what_is_kept_comes_back(printer: Fingerprinter) -> None:
    sketch = made(printer, encode(border(photo("coffee")), "PNG"))
    assert len(sketch.record.views) == 2
    data = sketch.to_bytes()
    back = Sketch.from_bytes(data)
    assert back.record.phash == sketch.record.phash
    assert (back.record.sha256, back.record.pixel_sha256) == (
        sketch.record.sha256,
        sketch.record.pixel_sha256,
    )
    rows, kept = sketch.rows(), back.rows()
    assert {space: sorted(views) for space, views in rows.items()} == {
        "sscd": [0, 1],
        "layout": [0, 1],
        "pdq": [0, 1],
    }
    for space, views in rows.items():
        for view, row in views.items():
            if space == "pdq":
                assert (kept[space][view] == row).all()
            else:
                assert np.asarray(kept[space][view]) @ np.asarray(row) > 0.999
    assert len(back.views) == 2 and len(back.points(WHOLE)) > 20
    assert back.rgb.shape == (*back.sheet.shape, 3)


def test_it_is_small_grey_and_smaller_than_what_was_sent(printer: Fingerprinter) -> None:
    image = photo("astronaut").resize((1500, 1500))
    sketch = made(printer, encode(image, "JPEG", quality=90))
    assert max(sketch.sheet.shape) == SIDE_PX and sketch.sheet.ndim == 2
    assert len(sketch.to_bytes()) < 12_000
    small = made(printer, encode(photo("coffee").resize((100, 60)), "PNG"))
    assert small.sheet.shape == (60, 100)


def test_damage_is_found(printer: Fingerprinter) -> None:
    data = made(printer, encode(photo("coffee"), "PNG")).to_bytes()
    for broken in (b"", data[:3], b"\x09" + data[1:], data[:40], data[:1500]):
        with pytest.raises(PrintUnreadable):
            Sketch.from_bytes(broken)
    length = int.from_bytes(data[1:5], "little")
    with pytest.raises(PrintUnreadable, match="rendition"):
        Sketch.from_bytes(data[: 5 + length])


def test_a_twin_of_an_original_is_sketched_like_the_picture_itself(printer: Fingerprinter) -> None:
    picture = decode(encode(photo("chelsea"), "PNG"))
    original = printer.original(picture)
    twin = Sketch.of_twin(
        PrintRecord(printer.schema, picture.sha256, picture.pixel_sha256, None, ()),
        original.vectors,
        int(str(original.attributes["phash"]), 16),
        read_preview(original.preview),
    )
    plain = made(printer, encode(photo("chelsea"), "PNG"))
    assert twin.record.phash == plain.record.phash
    for space, views in plain.rows().items():
        if space != "pdq":
            assert np.asarray(twin.rows()[space][0]) @ np.asarray(views[0]) > 0.999
    bits = np.bitwise_xor(
        np.asarray(twin.rows()["pdq"][0], np.uint8), np.asarray(plain.rows()["pdq"][0], np.uint8)
    )
    assert np.bitwise_count(bits).sum() <= 16
    assert Sketch.from_bytes(twin.to_bytes()).sheet.shape == twin.sheet.shape


def test_an_original_looks_for_its_copies_in_all_orientations(printer: Fingerprinter) -> None:
    picture = decode(encode(photo("coffee"), "PNG"))
    original = printer.original(picture)
    queries = original_queries(original.vectors, read_preview(original.preview))
    assert {space: len(rows) for space, rows in queries.items()} == {
        "sscd": 1,
        "layout": 8,
        "pdq": 8,
    }
    mirrored = made(printer, encode(mirror(photo("coffee")), "PNG")).rows()
    alike = np.asarray(queries["layout"], np.float32) @ np.asarray(mirrored["layout"][0])
    assert alike[1:].max() > 0.99 > 0.9 > alike[0]
    apart = np.bitwise_count(queries["pdq"] ^ np.asarray(mirrored["pdq"][0])).sum(axis=1)
    assert apart[1:].min() <= 20 < apart[0]
