"""The log of a real server process: who asked what, and nothing of pictures or keys."""

import base64
import io
import signal
from pathlib import Path
from typing import Any

import grpc
from PIL.PngImagePlugin import PngInfo

from copycatch.v1 import (
    brands_service_pb2,
    brands_service_pb2_grpc,
    match_service_pb2,
    match_service_pb2_grpc,
    originals_service_pb2,
    originals_service_pb2_grpc,
)
from tests.kit.images import draw
from tests.service.program import running

MARK = "PICTURE-BYTES-7f3a91"
KEY = "ck_SECRET-5b8e0d77c1"
NOTE = "ANNOTATION-VALUE-42d1"


def marked(seed: int) -> bytes:
    """A picture that has a mark in its file, which no log may show."""
    words = PngInfo()
    words.add_text("Comment", MARK)
    out = io.BytesIO()
    draw(seed, (200, 160)).save(out, "PNG", pnginfo=words)
    assert MARK.encode() in out.getvalue()
    return out.getvalue()


def test_no_picture_no_key_and_no_annotation_is_in_the_log(tmp_path: Path) -> None:
    image, other, refused = marked(1), marked(2), 0
    with running(tmp_path / "data") as program:
        with grpc.insecure_channel(program.wait_until_ready()) as channel:
            brands = brands_service_pb2_grpc.BrandsServiceStub(channel)
            originals = originals_service_pb2_grpc.OriginalsServiceStub(channel)
            match = match_service_pb2_grpc.MatchServiceStub(channel)
            make = originals_service_pb2.CreateOriginalRequest(
                parent="brands/acme",
                original_id="one",
                original=originals_service_pb2.Original(image=image, annotations={"note": NOTE}),
            )
            listing = match_service_pb2.Listing(images=[other, image, other[:-40], MARK.encode()])
            asked = match_service_pb2.CheckListingRequest(listing=listing)
            calls: tuple[tuple[Any, Any], ...] = (
                (brands.CreateBrand, brands_service_pb2.CreateBrandRequest(brand_id="acme")),
                (originals.CreateOriginal, make),
                (match.CheckListing, asked),
                (
                    match.CompareImages,
                    match_service_pb2.CompareImagesRequest(image_a=image, image_b=MARK.encode()),
                ),
                (match.LabelImages, match_service_pb2.LabelImagesRequest(images=[image])),
                (
                    match.WriteLabel,
                    match_service_pb2.WriteLabelRequest(image=MARK.encode()),
                ),
            )
            for key in (program.secret, KEY):
                shown = (("authorization", f"Bearer {key}"), ("x-request-id", "call-of-the-test"))
                for call, request in calls:
                    try:
                        call(request, metadata=shown)
                    except grpc.RpcError:  # what is refused is logged as well
                        refused += 1
        program.process.send_signal(signal.SIGTERM)
        program.read_to_the_end()
    text = repr(program.lines)
    assert refused == 2 + 6, "two bad pictures, and whatever an unknown key asks"
    methods = {str(line.get("method")) for line in program.lines}
    assert {"OriginalsService/CreateOriginal", "MatchService/CheckListing"} <= methods
    assert "call-of-the-test" in text
    for secret in (MARK, KEY, NOTE, program.secret, program.secret.split("_", 2)[2]):
        data = secret.encode()
        for form in (secret, data.hex(), base64.b64encode(data).decode()[:-4]):
            assert form not in text
    assert image[:24].hex() not in text and "\\x89PNG" not in text
