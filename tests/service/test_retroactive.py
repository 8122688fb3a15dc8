"""Retroactive sweeps over gRPC: originals that came later, and the listings seen before them."""

from collections.abc import Iterator

import grpc
import pytest

from copycatch.v1 import brands_service_pb2, listings_service_pb2, match_service_pb2
from copycatch.v1 import sweep_service_pb2 as pb
from tests.kit.images import encode, photo
from tests.service.serving import Served, failure, serving, settings
from tests.service.test_sweeps import all_findings, ended
from tests.sweeps.kit import edited, original, stolen, write_csv

OTHERS = ("astronaut", "camera", "chelsea", "china", "coffee", "coins", "flower", "rocket")
"""Photographs; drawn scenes are alike to each other where the encoder is a toy."""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server that has checked listings, and then learnt of the originals that they copy."""
    with serving(settings(tmp_path_factory.mktemp("server"), memory_listings=1000)) as server:
        for listing_id, seller, images in (
            ("same", "big", [stolen(1)]),
            ("edited", "small", [original(30), edited(1)]),
            ("licensed", "acme-shop", [edited(1)]),
            ("of-two", "big", [edited(2)]),
            *((f"other-{name}", "honest", [encode(photo(name))]) for name in OTHERS),
        ):
            listing = match_service_pb2.Listing(listing_id=listing_id, seller=seller, images=images)
            answer = server.match.CheckListing(
                match_service_pb2.CheckListingRequest(listing=listing)
            )
            assert answer.verdict == match_service_pb2.CLEAR
        server.create_brand("acme")
        server.create_original("one", original(1))
        server.create_original("two", original(2))
        server.brands.AddSellers(
            brands_service_pb2.AddSellersRequest(parent="brands/acme", sellers=["acme-shop"])
        )
        yield server


def sweep(shop: Served, sweep_id: str, *originals: str) -> pb.Sweep:
    """Run a retroactive sweep to its end."""
    target = pb.Target(originals=[f"brands/acme/originals/{name}" for name in originals])
    wanted = pb.Sweep(retroactive=pb.RetroactiveSource(), target=target)
    made = shop.sweeps.CreateSweep(pb.CreateSweepRequest(sweep_id=sweep_id, sweep=wanted))
    assert made.HasField("retroactive") and not made.HasField("forward")
    return ended(shop.sweeps, made.name)


def test_originals_that_came_later_find_their_copies_with_the_rights_of_their_sellers(
    shop: Served,
) -> None:
    done = sweep(shop, "all")
    assert done.state == pb.Sweep.SUCCEEDED
    found = {one.listing_id: one for one in all_findings(shop.sweeps, done.name, flagged=True)}
    assert set(found) >= {"same", "edited", "licensed", "of-two"}
    verdicts = {name: match_service_pb2.Verdict.Name(one.verdict) for name, one in found.items()}
    assert not [n for n, v in verdicts.items() if n.startswith("other") and v != "REVIEW"]
    assert verdicts["same"] == "COPY" and verdicts["licensed"] == "AUTHORISED"
    assert verdicts["edited"] in ("COPY", "REVIEW") and verdicts["of-two"] in ("COPY", "REVIEW")
    assert found["same"].matches[0].kind == match_service_pb2.EXACT
    assert found["edited"].matches[0].original == "brands/acme/originals/one"
    assert found["edited"].matches[0].picture == "picture 2"
    assert found["edited"].seller == "small"
    groups = shop.sweeps.ListFindingGroups(pb.ListFindingGroupsRequest(parent=done.name)).groups
    assert {group.name for group in groups} >= {"big", "small", "acme-shop"}
    assert done.counts.done_count == done.counts.planned_count >= 4
    assert done.counts.failed_count == 0


def test_only_the_chosen_originals_are_looked_for(shop: Served) -> None:
    done = sweep(shop, "two-alone", "two")
    flagged = all_findings(shop.sweeps, done.name, flagged=True)
    matched = {match.original for one in flagged for match in one.matches}
    assert matched == {"brands/acme/originals/two"}
    ids = {one.listing_id for one in flagged}
    assert "of-two" in ids and not ids & {"same", "edited", "licensed"}


def test_the_same_listings_give_the_same_findings_as_a_check_of_today(shop: Served) -> None:
    done = sweep(shop, "again", "one")
    found = {one.listing_id: one for one in all_findings(shop.sweeps, done.name, flagged=True)}
    listing = match_service_pb2.Listing(images=[edited(1)])
    today = shop.match.CheckListing(match_service_pb2.CheckListingRequest(listing=listing))
    (match,) = today.image_results[0].matches
    assert found["edited"].matches[0].original == match.original
    assert found["edited"].matches[0].score == pytest.approx(match.score, abs=0.15)


def test_a_deleted_listing_is_not_found(shop: Served) -> None:
    listing = match_service_pb2.Listing(listing_id="erased", images=[edited(2)])
    shop.match.CheckListing(match_service_pb2.CheckListingRequest(listing=listing))
    assert "erased" in [
        one.listing_id for one in all_findings(shop.sweeps, sweep(shop, "before", "two").name)
    ]
    shop.listings.DeleteListing(listings_service_pb2.DeleteListingRequest(listing_id="erased"))
    assert "erased" not in [
        one.listing_id for one in all_findings(shop.sweeps, sweep(shop, "after", "two").name)
    ]


def test_a_source_is_required_and_a_memory_too(
    shop: Served, tmp_path_factory: pytest.TempPathFactory
) -> None:
    failed = failure(shop.sweeps.CreateSweep, pb.CreateSweepRequest(sweep=pb.Sweep()))
    assert failed.violations == ["sweep.forward"]
    with serving(settings(tmp_path_factory.mktemp("forgetful"))) as server:
        wanted = pb.Sweep(retroactive=pb.RetroactiveSource())
        failed = failure(server.sweeps.CreateSweep, pb.CreateSweepRequest(sweep=wanted))
        assert (failed.code, failed.reason) == (
            grpc.StatusCode.FAILED_PRECONDITION,
            "MEMORY_OFF",
        )


def test_what_a_sweep_checked_is_remembered_like_any_listing(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("listings")
    (folder / "a.jpg").write_bytes(edited(3))
    manifest = write_csv(
        folder / "m.csv", [{"listing_id": "swept", "seller": "big", "path": "a.jpg"}]
    )
    config = settings(tmp_path_factory.mktemp("server"), memory_listings=10, sweep_roots=(folder,))
    with serving(config) as server:
        forward = pb.ForwardSource(manifest=str(manifest))
        made = server.sweeps.CreateSweep(
            pb.CreateSweepRequest(sweep_id="forward", sweep=pb.Sweep(forward=forward))
        )
        assert ended(server.sweeps, made.name).counts.clear_count == 1
        server.create_brand("acme")
        server.create_original("three", original(3))
        done = sweep(server, "back", "three")
        (found,) = all_findings(server.sweeps, done.name, flagged=True)
        assert (found.listing_id, found.seller) == ("swept", "big")


def test_a_sweep_goes_on_after_a_restart_with_each_listing_once(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    config = settings(tmp_path_factory.mktemp("server"), memory_listings=100, sweep_threads=1)
    with serving(config) as server:
        for number in range(12):
            listing = match_service_pb2.Listing(listing_id=f"copy-{number}", images=[edited(4)])
            server.match.CheckListing(match_service_pb2.CheckListingRequest(listing=listing))
        server.create_brand("acme")
        server.create_original("four", original(4))
        wanted = pb.Sweep(retroactive=pb.RetroactiveSource())
        server.sweeps.CreateSweep(pb.CreateSweepRequest(sweep_id="long", sweep=wanted))
    with serving(config) as server:
        done = ended(server.sweeps, "sweeps/long")
        assert done.state == pb.Sweep.SUCCEEDED and done.HasField("retroactive")
        found = [one.listing_id for one in all_findings(server.sweeps, done.name)]
        assert sorted(found) == sorted({f"copy-{number}" for number in range(12)})
