"""OriginalsService, over the wire: create, batch, show, list, change, withdraw."""

import hashlib
import io

import grpc
import pytest
from PIL import Image

from copycatch.v1 import match_service_pb2
from copycatch.v1 import originals_service_pb2 as pb
from tests.kit.images import encode
from tests.service.serving import Served, failure, new_original, picture


def verdict_of(server: Served, image: bytes, brand: str) -> int:
    request = match_service_pb2.CheckListingRequest(
        listing=match_service_pb2.Listing(images=[image]),
        config=match_service_pb2.MatchConfig(brands=[f"brands/{brand}"]),
    )
    return server.match.CheckListing(request).verdict


def test_an_original_is_searchable_when_the_call_returns(server: Served) -> None:
    server.create_brand("searchable")
    image = picture(1)
    assert verdict_of(server, image, "searchable") == match_service_pb2.CLEAR
    server.create_original("one", image, "searchable")
    assert verdict_of(server, image, "searchable") == match_service_pb2.COPY


def test_an_original_is_shown_without_its_picture(server: Served) -> None:
    parent, image = server.create_brand("shown"), picture(2)
    made = server.originals.CreateOriginal(
        pb.CreateOriginalRequest(
            parent=parent,
            original_id="chair",
            original=pb.Original(
                image=image, display_name="A chair", annotations={"article": "17"}
            ),
        )
    )
    assert made.name == "brands/shown/originals/chair"
    assert (made.display_name, dict(made.annotations)) == ("A chair", {"article": "17"})
    assert (made.width_px, made.height_px, made.format) == (200, 160, "PNG")
    assert (made.byte_count, made.image) == (len(image), b"")
    assert made.sha256 == hashlib.sha256(image).hexdigest()
    assert made.state == pb.Original.ACTIVE
    assert made.etag and made.schema and made.create_time.seconds
    assert server.originals.GetOriginal(pb.GetOriginalRequest(name=made.name)) == made


def test_an_original_without_an_id_gets_one_from_its_bytes(server: Served) -> None:
    server.create_brand("unnamed")
    image = picture(3)
    made = server.create_original("", image, "unnamed")
    assert made.name.endswith("/o-" + hashlib.sha256(image).hexdigest()[:32])
    assert server.create_original("", image, "unnamed") == made


def test_an_id_is_taken_once_and_a_picture_too(server: Served) -> None:
    server.create_brand("taken")
    made = server.create_original("one", picture(4), "taken")
    assert server.create_original("one", picture(4), "taken") == made
    failed = failure(server.create_original, "one", picture(5), "taken")
    assert (failed.code, failed.reason) == (grpc.StatusCode.ALREADY_EXISTS, "ORIGINAL_EXISTS")
    assert failed.info.metadata["same_picture"] == "false"


def test_a_request_id_makes_a_retry_safe(server: Served) -> None:
    server.create_brand("retried")
    first = new_original("one", picture(6), "retried", request_id="r-1")
    made = server.originals.CreateOriginal(first)
    assert server.originals.CreateOriginal(first) == made
    other = new_original("two", picture(6), "retried", request_id="r-1")
    failed = failure(server.originals.CreateOriginal, other)
    assert (failed.code, failed.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "REQUEST_ID_REUSED",
    )


def test_a_brand_that_does_not_exist_owns_nothing(server: Served) -> None:
    failed = failure(server.create_original, "one", picture(7), "nobody")
    assert (failed.code, failed.reason) == (grpc.StatusCode.NOT_FOUND, "BRAND_NOT_FOUND")


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "IMAGE_UNDECODABLE"),
        (picture(8)[:2000], "IMAGE_TRUNCATED"),
        (encode(Image.new("RGB", (8, 8)), "PNG"), "IMAGE_TOO_SMALL"),
        (encode(Image.new("RGB", (30_001, 16)), "PNG"), "IMAGE_TOO_LARGE"),
        (bytes(16 * 1024 * 1024 + 1), "IMAGE_TOO_LARGE"),
        (encode(Image.new("RGB", (200, 200), "white"), "PNG"), "IMAGE_FEATURELESS"),
    ],
)
def test_a_picture_that_can_not_be_an_original_is_refused_by_name(
    server: Served, image: bytes, reason: str
) -> None:
    try:
        server.create_brand("refused")
    except grpc.RpcError:
        pass  # made by an earlier picture
    failed = failure(server.create_original, "one", image, "refused")
    assert (failed.code, failed.reason) == (grpc.StatusCode.INVALID_ARGUMENT, reason)


def test_a_request_without_a_picture_names_the_field(server: Served) -> None:
    request = pb.CreateOriginalRequest(parent="brands/x", original_id="Y", request_id="a b")
    failed = failure(server.originals.CreateOriginal, request)
    assert set(failed.violations) == {"original", "original_id", "request_id"}
    assert failure(server.create_original, "one", b"").violations == ["original.image"]


def test_annotations_have_limits(server: Served) -> None:
    request = new_original("one", picture(9))
    request.original.annotations.update({"": "x", "k": "v" * 1025})
    assert len(failure(server.originals.CreateOriginal, request).violations) == 2
    request = new_original("one", picture(9))
    request.original.annotations.update({f"k{i}": "" for i in range(65)})
    assert failure(server.originals.CreateOriginal, request).violations == ["original.annotations"]


def test_a_batch_registers_what_it_can_and_reports_the_rest_by_position(server: Served) -> None:
    parent = server.create_brand("batched")
    server.create_original("taken", picture(10), "batched")
    response = server.originals.BatchCreateOriginals(
        pb.BatchCreateOriginalsRequest(
            parent=parent,
            requests=[
                new_original("a", picture(11), "batched"),
                new_original("b", b"junk", "batched"),
                new_original("taken", picture(12), "batched"),
                new_original("d", picture(13), "other"),
                pb.CreateOriginalRequest(original_id="e", original=pb.Original(image=picture(14))),
            ],
        )
    )
    assert [one.name for one in response.originals] == [
        "brands/batched/originals/a",
        "brands/batched/originals/e",
    ]
    codes = {i: status.code for i, status in response.failed_requests.items()}
    invalid, exists = (
        grpc.StatusCode.INVALID_ARGUMENT.value[0],
        grpc.StatusCode.ALREADY_EXISTS.value[0],
    )
    assert codes == {1: invalid, 2: exists, 3: invalid}
    assert "requests[3].parent" in response.failed_requests[3].message


def test_a_batch_has_limits_and_needs_its_brand(server: Served) -> None:
    call = server.originals.BatchCreateOriginals
    request = pb.BatchCreateOriginalsRequest(parent="brands/x")
    assert failure(call, request).violations == ["requests"]
    request.requests.extend([pb.CreateOriginalRequest()] * 65)
    assert failure(call, request).violations == ["requests"]
    del request.requests[1:]
    assert failure(call, request).reason == "BRAND_NOT_FOUND"


@pytest.mark.parametrize("page_size", [1, 2, 5, 500])
def test_pages_lead_through_all_originals_once(server: Served, page_size: int) -> None:
    parent = f"brands/listed{page_size}"
    server.create_brand(f"listed{page_size}")
    for i in range(5):
        server.create_original(f"o{i}", picture(20 + i), f"listed{page_size}")
    names, token = [], ""
    while True:
        page = server.originals.ListOriginals(
            pb.ListOriginalsRequest(parent=parent, page_size=page_size, page_token=token)
        )
        names += [one.name for one in page.originals]
        assert len(page.originals) <= page_size
        if not (token := page.next_page_token):
            break
    assert names == [f"{parent}/originals/o{i}" for i in range(5)]


def test_a_page_of_large_originals_fits_into_a_usual_client(server: Served) -> None:
    parent = server.create_brand("large")
    annotations = {f"key{i}": "é" * 1024 for i in range(64)}  # 128 KiB each
    request = new_original("o", picture(30), "large")
    request.original.annotations.update(annotations)
    for i in range(30):
        request.original_id, request.original.image = f"o{i:02}", picture(100 + i)
        server.originals.CreateOriginal(request)
    names, token = [], ""
    while True:
        page = server.originals.ListOriginals(
            pb.ListOriginalsRequest(parent=parent, page_size=500, page_token=token)
        )
        assert page.ByteSize() < 4 << 20
        names += [one.name for one in page.originals]
        if not (token := page.next_page_token):
            break
    assert names == [f"{parent}/originals/o{i:02}" for i in range(30)]


def test_a_token_belongs_to_its_list(server: Served) -> None:
    for brand in ("tokens-a", "tokens-b"):
        server.create_brand(brand)
        for i in range(2):
            server.create_original(f"o{i}", picture(i), brand)
    page = server.originals.ListOriginals(
        pb.ListOriginalsRequest(parent="brands/tokens-a", page_size=1)
    )
    request = pb.ListOriginalsRequest(parent="brands/tokens-b", page_token=page.next_page_token)
    assert failure(server.originals.ListOriginals, request).reason == "PAGE_TOKEN_INVALID"


def test_listing_a_brand_that_does_not_exist_is_an_error_and_not_an_empty_list(
    server: Served,
) -> None:
    request = pb.ListOriginalsRequest(parent="brands/nobody")
    assert failure(server.originals.ListOriginals, request).reason == "BRAND_NOT_FOUND"


def test_an_update_changes_what_the_mask_names(server: Served) -> None:
    server.create_brand("changed")
    made = server.create_original("one", picture(31), "changed")
    given = pb.Original(name=made.name, display_name="New", annotations={"a": "1"})

    def update(*paths: str) -> pb.Original:
        request = pb.UpdateOriginalRequest(original=given)
        request.update_mask.paths.extend(paths)
        return server.originals.UpdateOriginal(request)

    named = update("display_name")
    assert (named.display_name, dict(named.annotations)) == ("New", {})
    assert named.etag != made.etag
    assert named.update_time.ToNanoseconds() > made.update_time.ToNanoseconds()
    assert dict(update("annotations").annotations) == {"a": "1"}
    given.ClearField("annotations")
    assert dict(update().annotations) == {"a": "1"}  # without a mask what is empty stays
    given.ClearField("display_name")
    emptied = update("*")
    assert (emptied.display_name, dict(emptied.annotations)) == ("", {})


@pytest.mark.parametrize("paths", [["image"], ["state"], ["*", "display_name"], ["nonsense"]])
def test_an_update_of_anything_else_is_refused(server: Served, paths: list[str]) -> None:
    request = pb.UpdateOriginalRequest(original=pb.Original(name="brands/a/originals/b"))
    request.update_mask.paths.extend(paths)
    assert failure(server.originals.UpdateOriginal, request).violations == ["update_mask"]


def test_an_old_etag_is_refused(server: Served) -> None:
    server.create_brand("etags")
    made = server.create_original("one", picture(32), "etags")
    given = pb.Original(name=made.name, display_name="New", etag=made.etag)
    server.originals.UpdateOriginal(pb.UpdateOriginalRequest(original=given))
    for failed in (
        failure(server.originals.UpdateOriginal, pb.UpdateOriginalRequest(original=given)),
        failure(
            server.originals.DeleteOriginal,
            pb.DeleteOriginalRequest(name=made.name, etag=made.etag),
        ),
    ):
        assert (failed.code, failed.reason) == (grpc.StatusCode.ABORTED, "ETAG_MISMATCH")


def test_a_withdrawn_original_no_longer_matches(server: Served) -> None:
    server.create_brand("withdrawn")
    image = picture(33)
    made = server.create_original("one", image, "withdrawn")
    server.originals.DeleteOriginal(pb.DeleteOriginalRequest(name=made.name))
    assert verdict_of(server, image, "withdrawn") == match_service_pb2.CLEAR
    for call, request in (
        (server.originals.GetOriginal, pb.GetOriginalRequest(name=made.name)),
        (server.originals.GetOriginalPreview, pb.GetOriginalPreviewRequest(name=made.name)),
        (server.originals.DeleteOriginal, pb.DeleteOriginalRequest(name=made.name)),
        (
            server.originals.UpdateOriginal,
            pb.UpdateOriginalRequest(original=pb.Original(name=made.name, display_name="x")),
        ),
    ):
        failed = failure(call, request)
        assert (failed.code, failed.reason) == (
            grpc.StatusCode.NOT_FOUND,
            "ORIGINAL_NOT_FOUND",
        )


def test_a_preview_is_a_small_picture_of_the_original(server: Served) -> None:
    server.create_brand("previews")
    made = server.create_original("one", picture(34, (1500, 900)), "previews")
    answer = server.originals.GetOriginalPreview(pb.GetOriginalPreviewRequest(name=made.name))
    assert answer.media_type == "image/webp"
    with Image.open(io.BytesIO(answer.image)) as preview:
        assert preview.format == "WEBP"
        assert max(preview.size) <= 640
        assert abs(preview.width / preview.height - 1500 / 900) < 0.01


@pytest.mark.parametrize("name", ["", "brands/a", "brands/a/originals/", "brands/a/b/c", "x"])
def test_a_name_that_is_none_is_refused(server: Served, name: str) -> None:
    for call, request in (
        (server.originals.GetOriginal, pb.GetOriginalRequest(name=name)),
        (server.originals.DeleteOriginal, pb.DeleteOriginalRequest(name=name)),
        (server.originals.GetOriginalPreview, pb.GetOriginalPreviewRequest(name=name)),
    ):
        assert failure(call, request).violations == ["name"]
