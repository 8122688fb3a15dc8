"""From a photograph to a verdict through the real server with SSCD and real photographs."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from PIL import Image

from copycatch.v1 import match_service_pb2 as pb
from tests.kit.images import border, crop, encode, jpeg, mirror, photo, resize, text
from tests.service.serving import Served, serving, settings

ORIGINALS = ("astronaut", "chelsea", "coffee", "rocket", "motorcycle", "china", "flower")
OTHERS = ("retina", "hubble", "tissue")


@pytest.fixture(scope="module")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("sscd")
    with serving(settings(folder, encoder="sscd_distilled")) as server:
        server.create_brand()
        for name in ORIGINALS:
            server.create_original(name, encode(photo(name), quality=92))
        yield server


def check(server: Served, image: Image.Image, **config: Any) -> pb.CheckListingResponse:
    return server.match.CheckListing(
        pb.CheckListingRequest(
            listing=pb.Listing(images=[encode(image, quality=85)]), config=pb.MatchConfig(**config)
        )
    )


@pytest.mark.parametrize(
    ("edit", "kinds"),
    [
        (lambda p: p, (pb.EXACT, pb.NEAR_DUPLICATE)),
        (lambda p: jpeg(p, 30), (pb.NEAR_DUPLICATE,)),
        (lambda p: resize(p, 0.5), (pb.NEAR_DUPLICATE,)),
        (mirror, (pb.NEAR_DUPLICATE, pb.EDITED)),
        (lambda p: crop(p, 0.7), (pb.EDITED, pb.PARTIAL, pb.NEAR_DUPLICATE)),
        (border, (pb.EDITED, pb.NEAR_DUPLICATE, pb.PARTIAL)),
        (text, (pb.EDITED, pb.NEAR_DUPLICATE)),
    ],
    ids=["encoded", "compressed", "smaller", "mirrored", "cropped", "framed", "with-text"],
)
def test_a_copy_is_found_with_its_original_and_its_kind(
    stocked: Served, edit: Callable[[Image.Image], Image.Image], kinds: tuple[int, ...]
) -> None:
    for name in ("coffee", "rocket", "chelsea"):
        answer = check(stocked, edit(photo(name)))
        assert answer.verdict == pb.COPY, name
        best = answer.image_results[0].matches[0]
        assert best.original == f"brands/acme/originals/{name}"
        assert best.kind in kinds, pb.MatchKind.Name(best.kind)
        assert best.evidence and best.note
        assert 0.5 < best.score <= 1


@pytest.mark.parametrize("name", OTHERS)
def test_a_photograph_of_something_else_is_clear(stocked: Served, name: str) -> None:
    assert check(stocked, photo(name)).verdict == pb.CLEAR


def test_the_same_bytes_are_exact(stocked: Served) -> None:
    image = encode(photo("china"), quality=92)
    answer = stocked.match.CheckListing(pb.CheckListingRequest(listing=pb.Listing(images=[image])))
    assert answer.image_results[0].matches[0].kind == pb.EXACT


def test_a_mirrored_copy_says_so(stocked: Served) -> None:
    best = check(stocked, mirror(photo("coffee"))).image_results[0].matches[0]
    assert best.alignment.mirrored
    assert pb.Edit.MIRRORED in {edit.type for edit in best.edits}
    assert len(best.alignment.homography) == 9
    assert len(best.alignment.listing_region) == 4


def test_two_photographs_are_compared_with_a_picture_of_the_evidence(stocked: Served) -> None:
    request = pb.CompareImagesRequest(
        image_a=encode(crop(photo("astronaut"), 0.7)),
        image_b=encode(photo("astronaut")),
        evidence_image=True,
    )
    answer = stocked.match.CompareImages(request)
    assert answer.match.verdict == pb.COPY
    assert answer.evidence_image.startswith(b"\x89PNG")
    request.image_a = encode(photo("hubble"))
    assert stocked.match.CompareImages(request).match.verdict == pb.CLEAR


def test_the_provenance_names_the_encoder_and_its_weights(stocked: Served) -> None:
    encoders = check(stocked, photo("coffee")).provenance.encoders
    assert any(one.startswith("sscd_distilled@") for one in encoders)
    assert any(one.startswith("clip: off") for one in encoders)
