"""Sweeps of brands: an owner's own, which show it nothing of anybody else."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from copycatch.v1 import brands_service_pb2, match_service_pb2
from copycatch.v1 import sweep_service_pb2 as pb
from service.access.roles import Role
from tests.kit.images import draw, encode
from tests.service.serving import Acting, Served, failure, serving, settings
from tests.service.test_sweeps import all_findings, ended, new
from tests.sweeps.kit import blank, edited, original, stolen, write_csv


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Uploads of two brands, and the marketplace's own manifest beside them."""
    made = tmp_path_factory.mktemp("uploads")
    for place in ("acme", "rival", "ours"):
        (made / place).mkdir()
        for name, image in (("one", edited(1)), ("two", stolen(2)), ("clear", blank())):
            (made / place / f"{name}.jpg").write_bytes(image)
        rows = [{"listing_id": n, "seller": "shop", "path": f"{n}.jpg"} for n in ("one", "two")]
        rows += [{"listing_id": "clear", "seller": "fair", "path": "clear.jpg"}]
        rows += [{"listing_id": "lost", "seller": "fair", "path": "lost.jpg"}]
        write_csv(made / place / "m.csv", rows)
    return made


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> Iterator[Served]:
    """A server that remembers listings; two brands have the same picture, the rival's is older."""
    roots = (folder / "{brand}", folder / "ours")
    config = settings(
        tmp_path_factory.mktemp("server"),
        sweep_roots=roots,
        memory_listings=100,
        conflict_check="off",
    )
    with serving(config) as made:
        for brand in ("rival", "acme"):
            made.create_brand(brand)
        made.create_original("one", original(1), "rival")
        made.create_original("two", original(2), "rival")
        made.create_original("one", encode(draw(1, (240, 180)), quality=97), "acme")
        for name, image in (("copy", edited(1)), ("other", edited(2)), ("fair", original(50))):
            listing = match_service_pb2.Listing(listing_id=name, seller="shop", images=[image])
            made.match.CheckListing(match_service_pb2.CheckListingRequest(listing=listing))
        yield made


@pytest.fixture(scope="module")
def owner(server: Served) -> Iterator[Acting]:
    with server.acting(Role.OWNER, "acme") as made:
        yield made


def remembered(parent: str = "", sweep_id: str = "", **fields: Any) -> pb.CreateSweepRequest:
    wanted = pb.Sweep(retroactive=pb.RetroactiveSource(), **fields)
    return pb.CreateSweepRequest(parent=parent, sweep_id=sweep_id, sweep=wanted)


def of(parent: str, request: pb.CreateSweepRequest) -> pb.CreateSweepRequest:
    request.parent = parent
    return request


def listed(stub: Any, parent: str = "", size: int = 1) -> list[str]:
    request = pb.ListSweepsRequest(parent=parent, page_size=size)
    names: list[str] = []
    while True:
        page = stub.ListSweeps(request)
        names += [each.name for each in page.sweeps]
        request.page_token = page.next_page_token
        if not request.page_token:
            return names


def matched(findings: list[pb.Finding]) -> set[str]:
    """Every resource name that some findings tell."""
    return {n for one in findings for m in one.matches for n in (m.original, m.family, m.licence)}


def test_an_owner_sweeps_its_uploads_and_is_told_of_its_own_originals_alone(
    server: Served, owner: Acting, folder: Path
) -> None:
    request = of("brands/acme", new(folder / "acme" / "m.csv", "june"))
    made = owner.sweeps.CreateSweep(request)
    assert made.name == "brands/acme/sweeps/june"
    assert list(made.target.brands) == ["brands/acme"]
    done = ended(owner.sweeps, made.name)
    assert done.state == pb.Sweep.SUCCEEDED
    found = all_findings(owner.sweeps, made.name)
    assert [one.listing_id for one in found] == ["one", "two", "clear", "lost"]
    # The rival's is older and the same picture, so it would name the family.
    assert matched(found) == {"brands/acme/originals/one", ""}
    assert [one.listing_id for one in found if one.matches] == ["one"]
    groups = pb.ListFindingGroupsRequest(parent=made.name, group_by="FAMILY")
    (group,) = owner.sweeps.ListFindingGroups(groups).groups
    assert (group.name, group.listing_count) == ("brands/acme/originals/one", 1)
    assert found[3].name == f"{made.name}/findings/3"
    assert owner.sweeps.GetFinding(pb.GetFindingRequest(name=found[3].name)) == found[3]
    assert not done.provenance.snapshot and done.provenance.schema
    assert server.sweeps.GetSweep(pb.GetSweepRequest(name=made.name)).provenance.snapshot
    cancel = pb.CancelSweepRequest(name=made.name)
    assert failure(owner.sweeps.CancelSweep, cancel).reason == "SWEEP_FINISHED"


def test_of_remembered_listings_an_owner_is_shown_those_that_copy_its_originals(
    server: Served, owner: Acting
) -> None:
    name = owner.sweeps.CreateSweep(remembered("brands/acme", "back")).name
    assert ended(owner.sweeps, name).state == pb.Sweep.SUCCEEDED
    whole = {one.listing_id: one for one in all_findings(server.sweeps, name)}
    assert {"copy", "other"} <= set(whole) and not whole["other"].matches
    shown = all_findings(owner.sweeps, name)
    assert shown == [one for one in whole.values() if one.matches]
    assert whole["copy"] in shown and whole["other"] not in shown
    found = whole["copy"]
    assert matched(shown) == {"brands/acme/originals/one", ""}
    for wanted in ({"listing_id": "other"}, {"brands": ["brands/rival"]}, {"failed": True}):
        assert not all_findings(owner.sweeps, name, **wanted)
    get = owner.sweeps.GetFinding
    assert get(pb.GetFindingRequest(name=found.name)) == found
    hidden = failure(get, pb.GetFindingRequest(name=whole["other"].name))
    none = failure(get, pb.GetFindingRequest(name=f"{name}/findings/99"))
    assert (hidden.code, hidden.reason) == (none.code, none.reason)
    last = whole["other"].name.rpartition("/")[2]
    assert hidden.message.replace(last, "99") == none.message


def test_the_sweeps_of_others_do_not_exist(server: Served, owner: Acting, folder: Path) -> None:
    for request in (
        new(folder / "ours" / "m.csv", "ours"),
        of("brands/rival", new(folder / "rival" / "m.csv", "theirs")),
    ):
        ended(server.sweeps, server.sweeps.CreateSweep(request).name)
    for there, nowhere in (
        ("sweeps/ours", "sweeps/none"),
        ("brands/rival/sweeps/theirs", "brands/rival/sweeps/none"),
    ):
        for call, request in (
            (owner.sweeps.GetSweep, pb.GetSweepRequest(name="{}")),
            (owner.sweeps.CancelSweep, pb.CancelSweepRequest(name="{}")),
            (owner.sweeps.ListFindings, pb.ListFindingsRequest(parent="{}")),
            (owner.sweeps.ListFindingGroups, pb.ListFindingGroupsRequest(parent="{}")),
            (owner.sweeps.GetFinding, pb.GetFindingRequest(name="{}/findings/0")),
        ):
            (field,) = request.ListFields()
            told = []
            for name in (there, nowhere):
                setattr(request, field[0].name, field[1].format(name))
                one = failure(call, request)
                last = name.rpartition("/")[2]
                told.append((one.code, one.reason, one.message.replace(last, "NAME")))
            assert told[0] == told[1]
            assert told[0][:2] == (grpc.StatusCode.NOT_FOUND, "SWEEP_NOT_FOUND")
    # A name that others have is free.
    for taken in ("ours", "theirs"):
        owner.sweeps.CreateSweep(remembered("brands/acme", taken))
    again = failure(owner.sweeps.CreateSweep, remembered("brands/acme", "ours"))
    assert again.reason == "SWEEP_EXISTS"
    mine = listed(owner.sweeps)
    assert {"brands/acme/sweeps/ours", "brands/acme/sweeps/theirs"} <= set(mine)
    assert all(name.startswith("brands/acme/sweeps/") for name in mine)
    assert listed(owner.sweeps, "brands/acme") == mine == listed(server.sweeps, "brands/acme", 2)
    everything = listed(server.sweeps)
    assert {*mine, "sweeps/ours", "brands/rival/sweeps/theirs"} == set(everything)
    with server.acting(Role.OWNER, "acme", "rival") as both:
        assert listed(both.sweeps) == [n for n in everything if n.startswith("brands/")]
    whole = server.sweeps.ListSweeps(pb.ListSweepsRequest(page_size=1)).next_page_token
    page = owner.sweeps.ListSweeps(pb.ListSweepsRequest(page_token=whole))
    assert all(one.name in mine for one in page.sweeps)


def test_an_owner_makes_no_sweep_outside_of_its_brand(
    server: Served, owner: Acting, folder: Path
) -> None:
    create = owner.sweeps.CreateSweep
    assert failure(create, remembered()).violations == ["parent"]
    assert failure(create, remembered("brands/rival")).reason == "BRAND_NOT_FOUND"
    told = set()
    for brand in ("rival", "ghost"):
        for target in (
            pb.Target(brands=[f"brands/{brand}"]),
            pb.Target(brands=["brands/acme", f"brands/{brand}"]),
            pb.Target(originals=[f"brands/{brand}/originals/one"]),
            pb.Target(originals=["brands/acme/originals/one", f"brands/{brand}/originals/one"]),
        ):
            told.add(failure(create, remembered("brands/acme", target=target)).message)
    assert told == {"sweep.target: must lie in brands/acme, as the sweep does"}
    (folder / "acme" / "way-out.csv").symlink_to(folder / "ours" / "m.csv")
    for place in ("rival/m.csv", "ours/m.csv", "nowhere.csv", "acme/way-out.csv"):
        refused = failure(create, of("brands/acme", new(folder / place)))
        assert refused.reason == "SOURCE_NOT_ALLOWED" and "rival" not in refused.message.replace(
            place, ""
        )
    # Whoever makes it: a sweep of a brand reads what is the brand's.
    ours = of("brands/acme", new(folder / "ours" / "m.csv"))
    assert failure(server.sweeps.CreateSweep, ours).reason == "SOURCE_NOT_ALLOWED"


def test_pictures_that_a_manifest_of_a_brand_names_elsewhere_are_not_read(
    owner: Acting, folder: Path
) -> None:
    rows = [{"listing_id": "x", "path": str(folder / "ours" / "one.jpg")}]
    manifest = write_csv(folder / "acme" / "elsewhere.csv", rows)
    made = owner.sweeps.CreateSweep(of("brands/acme", new(manifest)))
    ended(owner.sweeps, made.name)
    (found,) = all_findings(owner.sweeps, made.name)
    assert not found.matches and "SOURCE_NOT_ALLOWED" in str(found.errors)


def test_a_request_id_belongs_to_a_brand(server: Served, owner: Acting) -> None:
    def asked(parent: str) -> pb.CreateSweepRequest:
        request = remembered(parent)
        request.request_id = "again"
        return request

    other = server.sweeps.CreateSweep(asked(""))
    made = owner.sweeps.CreateSweep(asked("brands/acme"))
    assert made.name != other.name
    assert owner.sweeps.CreateSweep(asked("brands/acme")).name == made.name


def test_the_sweeps_of_a_brand_go_with_it(server: Served) -> None:
    server.create_brand("brief")
    server.create_original("one", original(1), "brief")
    with server.acting(Role.OWNER, "brief") as brief:
        done = brief.sweeps.CreateSweep(remembered("brands/brief", "done")).name
        ended(brief.sweeps, done)
        assert all_findings(brief.sweeps, done)
        brief.sweeps.CreateSweep(remembered("brands/brief", "running"))
        delete = brands_service_pb2.DeleteBrandRequest(name="brands/brief", force=True)
        server.brands.DeleteBrand(delete)
        server.create_brand("brief")
        assert listed(brief.sweeps) == []
        assert failure(brief.sweeps.GetSweep, pb.GetSweepRequest(name=done)).reason == (
            "SWEEP_NOT_FOUND"
        )
        again = brief.sweeps.CreateSweep(remembered("brands/brief", "done"))
        assert ended(brief.sweeps, again.name).counts.planned_count == 0
