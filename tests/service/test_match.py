"""MatchService, over the wire."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from PIL import Image

from copycatch.v1 import ai_label_pb2
from copycatch.v1 import match_service_pb2 as pb
from service.matching.results import ImageVerdict, Verdict
from service.rpc import answers, errors
from tests.kit.images import draw, encode, photo
from tests.service.serving import Served, failure, picture


def check(*images: bytes, **config: Any) -> pb.CheckListingRequest:
    return pb.CheckListingRequest(
        listing=pb.Listing(listing_id="l-1", seller="s", images=images),
        config=pb.MatchConfig(**config),
    )


@pytest.fixture(scope="module")
def stocked(server: Served) -> Served:
    """The server with a few originals of two brands."""
    for brand in ("stock-a", "stock-b"):
        server.create_brand(brand)
    for i in range(4):
        server.create_original(f"o{i}", picture(i), "stock-a")
    server.create_original("only-b", picture(50), "stock-b")
    return server


def test_each_picture_of_a_listing_gets_its_answer_in_order(stocked: Served) -> None:
    unlike = encode(photo("coffee"), "JPEG")  # the drawings share words and shapes
    answer = stocked.match.CheckListing(check(unlike, picture(2), b"junk", picture(50)))
    verdicts = [result.verdict for result in answer.image_results]
    assert verdicts == [pb.CLEAR, pb.COPY, pb.VERDICT_UNSPECIFIED, pb.COPY]
    assert answer.verdict == pb.COPY
    assert answer.listing_id == "l-1"
    best = answer.image_results[1].matches[0]
    assert best.original == "brands/stock-a/originals/o2"
    assert 0.5 < best.score <= 1 and best.evidence
    assert errors.reason_in(answer.image_results[2].error) == "IMAGE_UNDECODABLE"
    assert answer.image_results[1].steps_ms


def test_every_answer_says_what_it_was_computed_with(stocked: Served) -> None:
    provenance = stocked.match.CheckListing(check(picture(1))).provenance
    assert provenance.snapshot and provenance.schema and provenance.encoders
    assert "@" in provenance.policy and "@" in provenance.model


def test_a_recompressed_copy_is_found(stocked: Served) -> None:
    copy = encode(draw(1, (200, 160)), "JPEG", quality=60)
    answer = stocked.match.CheckListing(check(copy))
    assert answer.verdict == pb.COPY
    assert answer.image_results[0].matches[0].original.endswith("/o1")


def test_only_the_brands_that_are_named_are_looked_among(stocked: Served) -> None:
    brands = ["brands/stock-b"]
    assert stocked.match.CheckListing(check(picture(1), brands=brands)).verdict == pb.CLEAR
    assert stocked.match.CheckListing(check(picture(50), brands=brands)).verdict == pb.COPY


def test_a_brand_that_does_not_exist_is_an_error_and_not_clear(stocked: Served) -> None:
    failed = failure(stocked.match.CheckListing, check(picture(1), brands=["brands/nobody"]))
    assert (failed.code, failed.reason) == (grpc.StatusCode.NOT_FOUND, "BRAND_NOT_FOUND")


def test_a_picture_that_could_not_be_read_is_not_cleared(stocked: Served) -> None:
    answer = stocked.match.CheckListing(check(encode(photo("coffee")), b"junk"))
    assert answer.image_results[0].verdict == pb.CLEAR
    assert answer.verdict == pb.REVIEW


def test_an_answer_names_the_policy_that_it_was_judged_by(stocked: Served) -> None:
    asked = check(picture(1))
    asked.config.policy = "strict"
    assert stocked.match.CheckListing(asked).provenance.policy.startswith("strict@")
    assert stocked.match.CheckListing(check(picture(1))).provenance.policy.startswith("balanced@")


def test_a_blank_picture_is_clear_and_says_why(stocked: Served) -> None:
    blank = encode(Image.new("RGB", (300, 300), "white"), "PNG")
    answer = stocked.match.CheckListing(check(blank))
    assert answer.verdict == pb.CLEAR
    assert answer.image_results[0].note


@pytest.mark.parametrize(
    ("request_", "fields"),
    [
        (pb.CheckListingRequest(), ["listing.images"]),
        (check(*[b"x"] * 21), ["listing.images"]),
        (check(b"x", max_matches=-1), ["config.max_matches"]),
        (check(b"x", policy="lenient"), ["config.policy"]),
        (check(b"x", min_score=1.5), ["config.min_score"]),
        (check(b"x", min_score=float("nan")), ["config.min_score"]),
        (check(b"x", brands=["acme", "brands/b"]), ["config.brands[0]"]),
        (
            pb.CheckListingRequest(
                listing=pb.Listing(listing_id="x" * 201, seller="x" * 201, images=[b"x"])
            ),
            ["listing.listing_id", "listing.seller"],
        ),
    ],
)
def test_a_request_outside_of_the_limits_names_its_fields(
    server: Served, request_: pb.CheckListingRequest, fields: list[str]
) -> None:
    failed = failure(server.match.CheckListing, request_)
    assert (failed.code, failed.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "FIELD_INVALID")
    assert sorted(failed.violations) == fields


def test_the_verdict_of_a_listing_is_the_gravest_of_its_pictures() -> None:
    def listing(*verdicts: Verdict | None) -> Verdict:
        return answers.listing_verdict([ImageVerdict(v) if v else None for v in verdicts])

    assert listing(Verdict.CLEAR, Verdict.AUTHORISED) is Verdict.AUTHORISED
    assert listing(Verdict.AUTHORISED, Verdict.COPY, Verdict.REVIEW) is Verdict.COPY
    assert listing(Verdict.CLEAR, None) is Verdict.REVIEW
    assert listing(None, Verdict.COPY) is Verdict.COPY


def test_a_stream_survives_bad_items(stocked: Served) -> None:
    items = [
        pb.StreamingCheckListingsRequest(item_id="good", request=check(picture(3))),
        pb.StreamingCheckListingsRequest(item_id="empty"),
        pb.StreamingCheckListingsRequest(item_id="junk", request=check(b"junk")),
        pb.StreamingCheckListingsRequest(
            item_id="nobody", request=check(picture(1), brands=["brands/nobody"])
        ),
        pb.StreamingCheckListingsRequest(item_id="x" * 1025, request=check(picture(1))),
        pb.StreamingCheckListingsRequest(item_id="last", request=check(encode(photo("coffee")))),
    ]
    got = {one.item_id: one for one in stocked.match.StreamingCheckListings(iter(items))}
    assert got["good"].response.verdict == pb.COPY
    assert got["last"].response.verdict == pb.CLEAR
    assert got["junk"].response.verdict == pb.REVIEW
    reasons = {name: errors.reason_in(got[name].error) for name in ("empty", "nobody")}
    assert reasons == {"empty": "FIELD_INVALID", "nobody": "BRAND_NOT_FOUND"}
    assert errors.reason_in(got["x" * 1024].error) == "FIELD_INVALID"
    assert len(got) == 6


def test_a_stream_answers_what_a_single_call_answers(stocked: Served) -> None:
    request = check(picture(1), picture(60))
    alone = stocked.match.CheckListing(request)
    item = pb.StreamingCheckListingsRequest(item_id="i", request=request)
    (streamed,) = stocked.match.StreamingCheckListings(iter([item]))
    for answer in (alone, streamed.response):
        answer.ClearField("audit_entry")
        for result in answer.image_results:
            result.ClearField("steps_ms")
    assert streamed.response == alone


def test_many_streams_and_calls_at_once_get_their_own_answers(stocked: Served) -> None:
    def one(number: int) -> tuple[int, list[str]]:
        request = check(picture(number % 4), picture(70 + number))
        if number % 2:
            response = stocked.match.CheckListing(request)
        else:
            items = [pb.StreamingCheckListingsRequest(item_id=str(number), request=request)]
            (answer,) = stocked.match.StreamingCheckListings(iter(items))
            response = answer.response
        return number, [match.original for match in response.image_results[0].matches[:1]]

    with ThreadPoolExecutor(16) as pool:
        for number, best in pool.map(one, range(48)):
            assert best == [f"brands/stock-a/originals/o{number % 4}"]


def test_an_endless_stream_is_answered_as_it_goes(stocked: Served) -> None:
    """An answer does not wait for the next request, as a batch would."""
    more = threading.Semaphore(1)

    def items() -> object:
        for number in range(4):
            assert more.acquire(timeout=30)
            yield pb.StreamingCheckListingsRequest(item_id=str(number), request=check(b"junk"))

    got = []
    for answer in stocked.match.StreamingCheckListings(items()):  # type: ignore[arg-type]
        got.append(answer.item_id)
        more.release()
    assert got == ["0", "1", "2", "3"]


def test_two_pictures_are_compared(server: Served) -> None:
    image = picture(5)
    request = pb.CompareImagesRequest(image_a=image, image_b=image)
    answer = server.match.CompareImages(request)
    assert answer.match.verdict == pb.COPY
    assert answer.evidence_image == b""
    assert answer.provenance.schema and answer.steps_ms
    request.evidence_image = True
    assert server.match.CompareImages(request).evidence_image


def test_a_comparison_with_a_blank_picture_says_so(server: Served) -> None:
    blank = encode(Image.new("RGB", (300, 300), "white"), "PNG")
    grey = encode(Image.new("RGB", (300, 300), (90, 90, 90)), "PNG")
    for pair, told in (
        ((blank, picture(5)), "The listing picture is blank or nearly so"),
        ((picture(5), blank), "The original is blank or nearly so"),
        ((blank, grey), "The listing picture and the original are blank or nearly so"),
    ):
        request = pb.CompareImagesRequest(image_a=pair[0], image_b=pair[1])
        match = server.match.CompareImages(request).match
        assert match.verdict == pb.CLEAR
        assert match.note == f"{told}: there is nothing to compare."


def test_a_comparison_says_which_picture_is_bad(server: Served) -> None:
    request = pb.CompareImagesRequest(image_a=picture(5), image_b=b"junk")
    failed = failure(server.match.CompareImages, request)
    assert failed.reason == "IMAGE_UNDECODABLE"
    assert failed.info.metadata["field"] == "image_b"
    failed = failure(server.match.CompareImages, pb.CompareImagesRequest(image_a=b"x"))
    assert failed.violations == ["image_b"]


def labelled_picture() -> bytes:
    """A picture with the settings of an image generator, as Stable Diffusion WebUI writes."""
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("parameters", "a chair\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1")
    return encode(draw(6, (200, 160)), "PNG", pnginfo=info)


def test_labels_are_read_from_the_bytes(server: Served) -> None:
    request = pb.LabelImagesRequest(images=[labelled_picture(), picture(6), b"junk"])
    labels = server.match.LabelImages(request).ai_labels
    assert [label.state for label in labels] == [
        ai_label_pb2.AiLabel.SUSPECTED,
        ai_label_pb2.AiLabel.NONE,
        ai_label_pb2.AiLabel.NONE,
    ]
    assert labels[0].signals[0].trust == ai_label_pb2.AiLabel.TRACE
    assert "not mean" in labels[1].note


def test_a_declaration_alone_leads_to_possibly(server: Served) -> None:
    request = pb.LabelImagesRequest(images=[picture(6)], ai_declared=True)
    (label,) = server.match.LabelImages(request).ai_labels
    assert label.state == ai_label_pb2.AiLabel.POSSIBLY
    listing = check(picture(6))
    listing.listing.ai_declared = True
    (result,) = server.match.CheckListing(listing).image_results
    assert result.ai_label.state == ai_label_pb2.AiLabel.POSSIBLY


def test_a_copy_with_a_label_is_reported_as_such(stocked: Served) -> None:
    stocked.create_brand("laundered")
    stocked.create_original("one", picture(6), "laundered")
    for image, labelled in ((labelled_picture(), True), (picture(6), False)):
        request = check(image, brands=["brands/laundered"])
        (result,) = stocked.match.CheckListing(request).image_results
        assert result.verdict == pb.COPY
        assert (result.ai_label.state == ai_label_pb2.AiLabel.SUSPECTED) is labelled
        assert ("AI label (SUSPECTED)" in result.matches[0].note) is labelled


def test_a_label_is_written_and_read_back(server: Served) -> None:
    request = pb.WriteLabelRequest(
        image=picture(6),
        mark=ai_label_pb2.AiLabelMark(
            content_propagator="Marketplace",
            propagate_id="l-1",
            state=ai_label_pb2.AiLabel.GENERATED,
            how=ai_label_pb2.AiLabel.EDITED,
        ),
    )
    answer = server.match.WriteLabel(request)
    assert answer.ai_label.state == ai_label_pb2.AiLabel.GENERATED
    assert answer.image != request.image
    (label,) = server.match.LabelImages(pb.LabelImagesRequest(images=[answer.image])).ai_labels
    assert label == answer.ai_label


@pytest.mark.parametrize(
    ("image", "mark", "reason", "fields"),
    [
        (b"", {}, "FIELD_INVALID", ["image", "mark.content_propagator", "mark.propagate_id"]),
        (
            b"x",
            {"content_propagator": "a", "propagate_id": "b", "state": "NONE"},
            "FIELD_INVALID",
            ["mark.state"],
        ),
        (
            b"x",
            {"content_propagator": "a\x00", "propagate_id": "b"},
            "LABEL_FIELD_INVALID",
            [],
        ),
        (b"junk", {"content_propagator": "a", "propagate_id": "b"}, "LABEL_UNSUPPORTED", []),
        (
            encode(draw(6, (64, 64)), "GIF"),
            {"content_propagator": "a", "propagate_id": "b"},
            "LABEL_UNSUPPORTED",
            [],
        ),
    ],
)
def test_a_label_that_can_not_be_written_is_refused(
    server: Served, image: bytes, mark: dict[str, Any], reason: str, fields: list[str]
) -> None:
    request = pb.WriteLabelRequest(image=image, mark=ai_label_pb2.AiLabelMark(**mark))
    failed = failure(server.match.WriteLabel, request)
    assert (failed.code, failed.reason) == (grpc.StatusCode.INVALID_ARGUMENT, reason)
    assert failed.violations == fields


def test_the_server_says_what_it_runs(stocked: Served) -> None:
    info = stocked.match.GetServerInfo(pb.GetServerInfoRequest())
    assert info.ready and info.version and info.schema
    assert info.encoders[0].name == "toy" and len(info.encoders[0].weights_sha256) == 64
    assert info.clip.startswith("off")
    assert info.original_count >= 5 and info.brand_count >= 2
    assert {index.space for index in info.indexes} >= {"sscd", "pdq"}
    assert all(index.recall == 1 for index in info.indexes)
    assert info.limits.max_image_bytes == 16 << 20
    assert info.limits.max_request_bytes == 64 << 20
    assert info.policy.startswith("balanced@") and "strict" in info.policies
    assert list(info.warnings) == []
