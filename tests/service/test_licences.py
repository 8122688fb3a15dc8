"""Rights, over the wire: who may use whose originals, when, where, and until when."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from PIL import Image

from copycatch.v1 import brands_service_pb2 as pb
from copycatch.v1 import match_service_pb2 as match_pb
from copycatch.v1 import originals_service_pb2 as originals_pb
from service.matching.decide import sentence
from service.matching.results import Match, MatchKind, Verdict
from tests.kit.images import draw, encode, photo
from tests.service.serving import Served, failure, new_original, picture, serving, settings

State = pb.Licence.State
NOON_NS = int(datetime(2026, 7, 1, 12, tzinfo=UTC).timestamp()) * 10**9
SECOND_NS = 10**9


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now_ns = NOON_NS

    def __call__(self) -> int:
        return self.now_ns


@pytest.fixture(scope="module")
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, clock: Clock) -> Iterator[Served]:
    """A server with `acme` (cup, cat; the cat is of spring) and `bolt` (its own cup)."""
    folder = tmp_path_factory.mktemp("rights")
    # What a right may hide is tried with originals that would be in dispute.
    with serving(settings(folder, conflict_check="off"), clock=clock) as server:
        for brand in ("acme", "bolt"):
            server.create_brand(brand)
        server.create_original("cup", CUP, "acme")
        spring = new_original("cat", CAT, "acme")
        spring.original.annotations["season"] = "spring"
        server.originals.CreateOriginal(spring)
        server.create_original("lamp", encode(photo("coins")), "bolt")
        yield server


@pytest.fixture(autouse=True)
def _at_noon(clock: Clock) -> Iterator[None]:
    yield
    clock.now_ns = NOON_NS


def at(time_ns: int) -> Timestamp:
    made = Timestamp()
    made.FromNanoseconds(time_ns)
    return made


def grant(server: Served, name: str = "", brand: str = "acme", **terms: Any) -> pb.Licence:
    if not {"originals", "tag"} & terms.keys():
        terms["all_originals"] = True
    return server.brands.CreateLicence(
        pb.CreateLicenceRequest(
            parent=f"brands/{brand}", licence_id=name, licence=pb.Licence(**terms)
        )
    )


def revoke(server: Served, licence: pb.Licence) -> pb.Licence:
    return server.brands.RevokeLicence(pb.RevokeLicenceRequest(name=licence.name))


def ask(
    server: Served, seller: str, image: bytes, territory: str = "", **config: Any
) -> match_pb.CheckListingResponse:
    listing = match_pb.Listing(seller=seller, territory=territory, images=[image])
    request = match_pb.CheckListingRequest(listing=listing, config=match_pb.MatchConfig(**config))
    return server.match.CheckListing(request)


def verdict(server: Served, seller: str, image: bytes, territory: str = "") -> str:
    return match_pb.Verdict.Name(ask(server, seller, image, territory).verdict)


CUP, CAT, LAMP = picture(1), encode(photo("astronaut")), encode(photo("coins"))
STRANGER = encode(photo("tissue"))  # registered by no test of this file
LATE = encode(photo("rocket"))
EDITED_CUP = encode(draw(1, (200, 160)), "JPEG", quality=60)


@pytest.mark.parametrize("image", [CUP, EDITED_CUP], ids=["exact", "edited"])
def test_a_licensed_seller_is_authorised_by_name_and_the_match_is_still_listed(
    shop: Served, image: bytes
) -> None:
    licence = grant(shop, sellers=["dealer"])
    answer = ask(shop, "dealer", image)
    (match,) = answer.image_results[0].matches
    assert answer.verdict == answer.image_results[0].verdict == match.verdict
    assert match.verdict == match_pb.AUTHORISED
    assert (match.licence, match.original) == (licence.name, "brands/acme/originals/cup")
    assert match.evidence and licence.name in match.note
    assert verdict(shop, "stranger", image) == "COPY"
    assert verdict(shop, "", image) == "COPY"
    assert ask(shop, "stranger", image).image_results[0].matches[0].licence == ""
    revoke(shop, licence)


def test_nobody_is_asked_to_look_at_what_a_licence_allows(shop: Served) -> None:
    licence = grant(shop, sellers=["doubtful"])
    engine = shop.running.gate.engine
    record = engine.catalogue.get("acme", "cup")
    note = sentence(MatchKind.RESTYLED, Verdict.REVIEW, "the cup", 0.3, beside="parallax")
    assert note.endswith("A person should look at it.")
    found = Match(
        key=record.key,
        original="brands/acme/originals/cup",
        brand="brands/acme",
        kind=MatchKind.RESTYLED,
        verdict=Verdict.REVIEW,
        score=0.3,
        evidence=(),
        note=note,
    )
    (allowed,) = engine.rights.apply([found], engine.rights.offer("doubtful"))
    assert allowed.verdict is Verdict.AUTHORISED
    assert note.endswith("A person should look at it.")
    assert "should look" not in allowed.note
    assert allowed.note.endswith(f"(score 0.30). The seller may use it by {licence.name}.")
    revoke(shop, licence)


def test_a_revocation_counts_from_the_next_call(shop: Served) -> None:
    for _ in range(3):
        licence = grant(shop, sellers=["brief"])
        assert verdict(shop, "brief", CUP) == "AUTHORISED"
        revoked = revoke(shop, licence)
        assert verdict(shop, "brief", CUP) == "COPY"
        assert (licence.state, revoked.state) == (State.ACTIVE, State.REVOKED)
        assert revoked.revoke_time == at(NOON_NS) and revoked.etag != licence.etag
        assert revoke(shop, licence) == revoked
    found = shop.brands.GetLicence(pb.GetLicenceRequest(name=licence.name))
    assert found == revoked


def test_a_licence_counts_from_its_start_until_before_its_end(shop: Served, clock: Clock) -> None:
    start, end = NOON_NS + 10 * SECOND_NS, NOON_NS + 20 * SECOND_NS
    licence = grant(shop, sellers=["timed"], start_time=at(start), end_time=at(end))
    request = pb.GetLicenceRequest(name=licence.name)
    for now, state, found in (
        (NOON_NS, "SCHEDULED", "COPY"),
        (start - 1, "SCHEDULED", "COPY"),
        (start, "ACTIVE", "AUTHORISED"),
        (end - 1, "ACTIVE", "AUTHORISED"),
        (end, "EXPIRED", "COPY"),
        (end + 10**18, "EXPIRED", "COPY"),
        (start, "ACTIVE", "AUTHORISED"),  # the clock was set back: nothing was remembered
    ):
        clock.now_ns = now
        assert verdict(shop, "timed", CUP) == found, now
        assert State.Name(shop.brands.GetLicence(request).state) == state
    revoke(shop, licence)


def test_without_times_a_licence_counts_at_once_and_without_an_end(
    shop: Served, clock: Clock
) -> None:
    licence = grant(shop, sellers=["always"])
    assert licence.start_time == at(NOON_NS) and not licence.HasField("end_time")
    assert verdict(shop, "always", CUP) == "AUTHORISED"
    clock.now_ns = NOON_NS + 10**18
    assert verdict(shop, "always", CUP) == "AUTHORISED"
    clock.now_ns = NOON_NS - 1
    assert verdict(shop, "always", CUP) == "COPY"


def test_a_licence_with_territories_covers_listings_there_and_no_unknown_ones(
    shop: Served,
) -> None:
    grant(shop, sellers=["alpine"], territories=["AT", "CH", "AT"])
    found = {place: verdict(shop, "alpine", CUP, place) for place in ("AT", "CH", "DE", "")}
    assert found == {"AT": "AUTHORISED", "CH": "AUTHORISED", "DE": "COPY", "": "COPY"}
    grant(shop, sellers=["global"])
    assert {verdict(shop, "global", CUP, place) for place in ("AT", "DE", "")} == {"AUTHORISED"}


def test_named_originals_and_tags_are_granted_and_nothing_else(shop: Served) -> None:
    named = pb.Licence.Originals(names=["brands/acme/originals/cup"])
    grant(shop, sellers=["one"], originals=named)
    assert [verdict(shop, "one", image) for image in (CUP, CAT)] == ["AUTHORISED", "COPY"]
    grant(shop, sellers=["season"], tag=pb.Licence.Tag(key="season", value="spring"))
    assert [verdict(shop, "season", image) for image in (CUP, CAT)] == ["COPY", "AUTHORISED"]


def test_a_tag_is_looked_at_when_the_listing_is_checked(shop: Served) -> None:
    shop.create_original("late", LATE, "acme")
    grant(shop, sellers=["tagged"], tag=pb.Licence.Tag(key="line", value="home"))
    name = "brands/acme/originals/late"
    found = []
    for annotations in ({}, {"line": "home"}, {"line": "Home"}):
        changed = originals_pb.Original(name=name, annotations=annotations)
        request = originals_pb.UpdateOriginalRequest(original=changed)
        request.update_mask.paths.append("annotations")
        shop.originals.UpdateOriginal(request)
        found.append(verdict(shop, "tagged", LATE))
    assert found == ["COPY", "AUTHORISED", "COPY"]


def test_a_licence_of_one_brand_says_nothing_about_another(shop: Served) -> None:
    grant(shop, sellers=["acme-only"])
    assert verdict(shop, "acme-only", LAMP) == "COPY"


def shot(name: str) -> Image.Image:
    return photo(name).convert("RGB").resize((400, 320))


def beside(left: Image.Image, right: Image.Image) -> bytes:
    """Two pictures of 400 x 320 beside each other, in one."""
    both = Image.new("RGB", (860, 380), "white")
    both.paste(left, (20, 30))
    both.paste(right, (440, 30))
    return encode(both, "JPEG", quality=90)


def test_what_is_allowed_does_not_hide_what_is_not(shop: Served) -> None:
    shop.create_original("rug", encode(shot("coffee"), "PNG"), "acme")
    shop.create_original("vase", encode(shot("chelsea"), "PNG"), "bolt")
    both = beside(shot("coffee"), shot("chelsea"))
    grant(shop, sellers=["half"])
    answer = ask(shop, "half", both)
    found = {one.original: one.verdict for one in answer.image_results[0].matches}
    assert found == {
        "brands/bolt/originals/vase": match_pb.COPY,
        "brands/acme/originals/rug": match_pb.AUTHORISED,
    }
    assert answer.verdict == match_pb.COPY
    assert answer.image_results[0].matches[0].verdict == match_pb.COPY  # what counts comes first
    (only,) = ask(shop, "half", both, max_matches=1).image_results[0].matches
    assert only.verdict == match_pb.COPY
    grant(shop, brand="bolt", sellers=["half"])
    answer = ask(shop, "half", both)
    assert answer.verdict == match_pb.AUTHORISED and len(answer.image_results[0].matches) == 2


def test_the_very_bytes_of_one_brand_do_not_hide_a_copy_of_another(shop: Served) -> None:
    """A picture that a brand registered itself and that contains another brand's original."""
    shop.create_original("clock", encode(shot("retina"), "PNG"), "bolt")
    both = beside(shot("china"), shot("retina"))
    shop.create_original("set", both, "acme")
    grant(shop, sellers=["exact"])
    answer = ask(shop, "exact", both)
    assert answer.verdict == match_pb.COPY
    kinds = {one.original: one.kind for one in answer.image_results[0].matches}
    assert kinds["brands/acme/originals/set"] == match_pb.EXACT
    assert kinds["brands/bolt/originals/clock"] != match_pb.EXACT


def test_an_original_that_a_licence_leaves_out_is_found_beside_one_that_it_names(
    shop: Served,
) -> None:
    left, right = shot("camera"), shot("flower")
    for name, pixels in (("left", left), ("right", right)):
        shop.create_original(name, encode(pixels, "PNG"), "acme")
    named = pb.Licence.Originals(names=["brands/acme/originals/left"])
    grant(shop, sellers=["left-only"], originals=named)
    answer = ask(shop, "left-only", beside(left, right))
    found = {
        one.original.rpartition("/")[2]: one.verdict for one in answer.image_results[0].matches
    }
    assert found == {"left": match_pb.AUTHORISED, "right": match_pb.COPY}
    assert answer.verdict == match_pb.COPY


def test_the_brands_that_are_asked_for_bound_the_second_look_too(shop: Served) -> None:
    shop.create_original("rug", encode(shot("coffee"), "PNG"), "acme")
    shop.create_original("vase", encode(shot("chelsea"), "PNG"), "bolt")
    grant(shop, sellers=["asked"])
    both = beside(shot("coffee"), shot("chelsea"))
    assert ask(shop, "asked", both, brands=["brands/acme"]).verdict == match_pb.AUTHORISED
    both_named = ["brands/acme", "brands/bolt"]
    assert ask(shop, "asked", both, brands=both_named).verdict == match_pb.COPY


def test_each_picture_of_a_listing_is_judged_and_the_gravest_counts(shop: Served) -> None:
    grant(shop, sellers=["several"])
    listing = match_pb.Listing(seller="several", images=[CUP, STRANGER, LAMP])
    answer = shop.match.CheckListing(match_pb.CheckListingRequest(listing=listing))
    verdicts = [match_pb.Verdict.Name(one.verdict) for one in answer.image_results]
    assert verdicts == ["AUTHORISED", "CLEAR", "COPY"]
    assert answer.verdict == match_pb.COPY
    listing = match_pb.Listing(seller="several", images=[CUP, STRANGER])
    answer = shop.match.CheckListing(match_pb.CheckListingRequest(listing=listing))
    assert answer.verdict == match_pb.AUTHORISED


def test_a_stream_knows_rights_too(shop: Served) -> None:
    grant(shop, sellers=["streamed"])
    request = match_pb.CheckListingRequest(
        listing=match_pb.Listing(seller="streamed", images=[CUP])
    )
    item = match_pb.StreamingCheckListingsRequest(item_id="i", request=request)
    (answer,) = shop.match.StreamingCheckListings(iter([item]))
    assert answer.response.verdict == match_pb.AUTHORISED


def change_sellers(server: Served, parent: str, *, add: bool, sellers: list[str]) -> int:
    if add:
        added = server.brands.AddSellers(pb.AddSellersRequest(parent=parent, sellers=sellers))
        return added.added_count
    request = pb.RemoveSellersRequest(parent=parent, sellers=sellers)
    return server.brands.RemoveSellers(request).removed_count


def test_the_brands_own_sellers_need_no_licence(shop: Served, clock: Clock) -> None:
    assert change_sellers(shop, "brands/acme", add=True, sellers=["flagship", "outlet"]) == 2
    assert change_sellers(shop, "brands/acme", add=True, sellers=["flagship"]) == 0
    answer = ask(shop, "flagship", CUP, "JP")
    (match,) = answer.image_results[0].matches
    assert (answer.verdict, match.licence) == (match_pb.AUTHORISED, "")
    assert "own sellers of brands/acme" in match.note
    assert verdict(shop, "flagship", LAMP) == "COPY"
    assert change_sellers(shop, "brands/acme", add=False, sellers=["flagship", "nobody"]) == 1
    assert verdict(shop, "flagship", CUP) == "COPY"
    assert verdict(shop, "outlet", CUP) == "AUTHORISED"


def test_whoever_joins_a_programme_is_licensed_and_whoever_leaves_is_not(shop: Served) -> None:
    programme = shop.brands.CreateProgramme(
        pb.CreateProgrammeRequest(
            parent="brands/acme",
            programme_id="dealers",
            programme=pb.Programme(display_name="Dealers"),
        )
    )
    get = pb.GetProgrammeRequest(name=programme.name)
    assert shop.brands.GetProgramme(get) == programme
    licence = grant(shop, "by-programme", programmes=[programme.name])
    sellers = [f"dealer-{i:04}" for i in range(1000)]
    assert verdict(shop, "dealer-0007", CUP) == "COPY"
    assert change_sellers(shop, programme.name, add=True, sellers=sellers) == 1000
    answer = ask(shop, "dealer-0007", CUP)
    assert answer.image_results[0].matches[0].licence == licence.name
    assert change_sellers(shop, programme.name, add=False, sellers=["dealer-0007"]) == 1
    assert verdict(shop, "dealer-0007", CUP) == "COPY"
    assert verdict(shop, "dealer-0008", CUP) == "AUTHORISED"
    listed, token = [], ""
    while True:
        page = shop.brands.ListSellers(
            pb.ListSellersRequest(parent=programme.name, page_size=400, page_token=token)
        )
        listed += page.sellers
        if not (token := page.next_page_token):
            break
    assert listed == [seller for seller in sellers if seller != "dealer-0007"]
    delete = pb.DeleteProgrammeRequest(name=programme.name)
    failed = failure(shop.brands.DeleteProgramme, delete)
    assert (failed.code, failed.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "PROGRAMME_IN_USE",
    )
    assert failed.info.metadata["licence"] == "by-programme"
    revoke(shop, licence)
    shop.brands.DeleteProgramme(delete)
    assert failure(shop.brands.GetProgramme, get).reason == "PROGRAMME_NOT_FOUND"
    shop.brands.CreateProgramme(
        pb.CreateProgrammeRequest(parent="brands/acme", programme_id="dealers")
    )
    assert shop.brands.ListSellers(pb.ListSellersRequest(parent=programme.name)).sellers == []
    grant(shop, programmes=[programme.name])
    assert verdict(shop, "dealer-0008", CUP) == "COPY"


def test_an_expired_licence_does_not_keep_a_programme(shop: Served, clock: Clock) -> None:
    name = shop.brands.CreateProgramme(
        pb.CreateProgrammeRequest(parent="brands/acme", programme_id="summer")
    ).name
    grant(shop, programmes=[name], end_time=at(NOON_NS + SECOND_NS))
    delete = pb.DeleteProgrammeRequest(name=name)
    assert failure(shop.brands.DeleteProgramme, delete).reason == "PROGRAMME_IN_USE"
    clock.now_ns = NOON_NS + SECOND_NS
    shop.brands.DeleteProgramme(delete)


def test_a_seller_may_have_any_id(shop: Served) -> None:
    """Longer than a key of the store, alike at the beginning, with marks of other fields."""
    odd = ["商" * 200, "商" * 199 + "人", "a/b", "a\0b", " padded ", "Case"]
    tiles = encode(photo("brick"), "PNG")  # unlike the drawings, which share words and shapes
    shop.create_original("tiles", tiles, "bolt")
    assert change_sellers(shop, "brands/bolt", add=True, sellers=odd) == len(odd)
    assert {verdict(shop, seller, tiles) for seller in odd} == {"AUTHORISED"}
    assert {verdict(shop, one, tiles) for one in ("商" * 198, "padded", "case")} == {"COPY"}
    listed = shop.brands.ListSellers(pb.ListSellersRequest(parent="brands/bolt")).sellers
    assert sorted(listed) == sorted(odd)
    assert change_sellers(shop, "brands/bolt", add=False, sellers=odd) == len(odd)


def test_licences_are_listed_in_pages_whatever_their_state(shop: Served) -> None:
    shop.create_brand("listed")
    made = [grant(shop, f"l{i}", "listed", sellers=["s"]) for i in range(5)]
    made[2] = revoke(shop, made[2])
    found, token = [], ""
    while True:
        page = shop.brands.ListLicences(
            pb.ListLicencesRequest(parent="brands/listed", page_size=2, page_token=token)
        )
        found += page.licences
        if not (token := page.next_page_token):
            break
    assert found == made
    failed = failure(
        shop.brands.ListLicences,
        pb.ListLicencesRequest(parent="brands/acme", page_token=page_token(shop)),
    )
    assert failed.reason == "PAGE_TOKEN_INVALID"


def page_token(server: Served) -> str:
    request = pb.ListLicencesRequest(parent="brands/listed", page_size=1)
    return server.brands.ListLicences(request).next_page_token


def test_an_id_is_taken_once_and_an_etag_is_minded(shop: Served) -> None:
    licence = grant(shop, "once", sellers=["s"])
    revoke(shop, licence)
    with pytest.raises(grpc.RpcError) as caught:
        grant(shop, "once", sellers=["s"])
    assert caught.value.code() is grpc.StatusCode.ALREADY_EXISTS
    again = grant(shop, "twice", sellers=["s"])
    stale = pb.RevokeLicenceRequest(name=again.name, etag=licence.etag)
    assert failure(shop.brands.RevokeLicence, stale).reason == "ETAG_MISMATCH"
    fresh = pb.RevokeLicenceRequest(name=again.name, etag=again.etag)
    assert shop.brands.RevokeLicence(fresh).state == State.REVOKED


@pytest.mark.parametrize(
    ("terms", "fields"),
    [
        ({"all_originals": True}, ["licence.sellers"]),
        ({"sellers": ["s"]}, ["licence.scope"]),
        ({"sellers": ["s"], "all_originals": False}, ["licence.scope"]),
        ({"sellers": ["s", ""], "all_originals": True}, ["licence.sellers[1]"]),
        ({"sellers": ["x" * 201], "all_originals": True}, ["licence.sellers[0]"]),
        ({"sellers": ["s"] * 1001, "all_originals": True}, ["licence.sellers"]),
        ({"sellers": ["s"], "originals": {}}, ["licence.originals.names"]),
        (
            {"sellers": ["s"], "originals": {"names": ["brands/bolt/originals/lamp"]}},
            ["licence.originals.names[0]"],
        ),
        (
            {"sellers": ["s"], "tag": {"key": "", "value": ""}},
            ["licence.tag.key", "licence.tag.value"],
        ),
        (
            {"programmes": ["brands/bolt/programmes/p", "p"], "all_originals": True},
            ["licence.programmes[0]", "licence.programmes[1]"],
        ),
        (
            {"sellers": ["s"], "all_originals": True, "territories": ["DE", "UK", "de", "EU"]},
            ["licence.territories[1]", "licence.territories[2]", "licence.territories[3]"],
        ),
        (
            {"sellers": ["s"], "all_originals": True, "end_time": at(NOON_NS)},
            ["licence.end_time"],
        ),
        (
            {
                "sellers": ["s"],
                "all_originals": True,
                "start_time": at(NOON_NS + 5),
                "end_time": at(NOON_NS + 5),
            },
            ["licence.end_time"],
        ),
        (
            {"sellers": ["s"], "all_originals": True, "start_time": Timestamp(seconds=-1)},
            ["licence.start_time"],
        ),
    ],
)
def test_terms_that_can_not_be_meant_are_refused_by_field(
    shop: Served, terms: dict[str, Any], fields: list[str]
) -> None:
    request = pb.CreateLicenceRequest(parent="brands/acme", licence=pb.Licence(**terms))
    failed = failure(shop.brands.CreateLicence, request)
    assert (failed.code, failed.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "FIELD_INVALID")
    assert failed.violations == fields


@pytest.mark.parametrize(
    ("brand", "terms", "reason"),
    [
        ("nobody", {"sellers": ["s"]}, "BRAND_NOT_FOUND"),
        ("acme", {"programmes": ["brands/acme/programmes/none"]}, "PROGRAMME_NOT_FOUND"),
        (
            "acme",
            {"sellers": ["s"], "originals": {"names": ["brands/acme/originals/none"]}},
            "ORIGINAL_NOT_FOUND",
        ),
    ],
)
def test_a_licence_can_not_name_what_is_not_there(
    shop: Served, brand: str, terms: dict[str, Any], reason: str
) -> None:
    if "originals" not in terms:
        terms = {**terms, "all_originals": True}
    request = pb.CreateLicenceRequest(parent=f"brands/{brand}", licence=pb.Licence(**terms))
    failed = failure(shop.brands.CreateLicence, request)
    assert (failed.code, failed.reason) == (grpc.StatusCode.NOT_FOUND, reason)


def test_what_is_not_there_is_not_found(shop: Served) -> None:
    for call, request, reason in (
        (
            shop.brands.GetLicence,
            pb.GetLicenceRequest(name="brands/acme/licences/none"),
            "LICENCE_NOT_FOUND",
        ),
        (
            shop.brands.RevokeLicence,
            pb.RevokeLicenceRequest(name="brands/nobody/licences/none"),
            "LICENCE_NOT_FOUND",
        ),
        (
            shop.brands.AddSellers,
            pb.AddSellersRequest(parent="brands/acme/programmes/none", sellers=["s"]),
            "PROGRAMME_NOT_FOUND",
        ),
        (
            shop.brands.ListSellers,
            pb.ListSellersRequest(parent="brands/nobody"),
            "BRAND_NOT_FOUND",
        ),
        (
            shop.brands.ListProgrammes,
            pb.ListProgrammesRequest(parent="brands/nobody"),
            "BRAND_NOT_FOUND",
        ),
    ):
        failed = failure(call, request)
        assert (failed.code, failed.reason) == (grpc.StatusCode.NOT_FOUND, reason)


def test_a_listing_names_a_territory_or_none(shop: Served) -> None:
    listing = match_pb.Listing(territory="uk", images=[CUP])
    failed = failure(shop.match.CheckListing, match_pb.CheckListingRequest(listing=listing))
    assert failed.violations == ["listing.territory"]


def test_rights_survive_a_restart(tmp_path: Path) -> None:
    with serving(settings(tmp_path)) as server:
        server.create_brand()
        server.create_original("cup", CUP)
        change_sellers(server, "brands/acme", add=True, sellers=["own"])
        kept = grant(server, "kept", sellers=["dealer"], territories=["DE"])
        revoke(server, grant(server, "gone", sellers=["former"]))
    with serving(settings(tmp_path)) as server:
        assert verdict(server, "own", CUP) == "AUTHORISED"
        assert verdict(server, "former", CUP) == "COPY"
        assert verdict(server, "dealer", CUP) == "COPY"
        answer = ask(server, "dealer", CUP, "DE")
        assert answer.image_results[0].matches[0].licence == kept.name
        assert [
            one.state
            for one in server.brands.ListLicences(
                pb.ListLicencesRequest(parent="brands/acme")
            ).licences
        ] == [State.REVOKED, State.ACTIVE]
