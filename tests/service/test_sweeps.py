"""SweepService over gRPC: the resource, its findings and groups, its errors, and kill -9."""

import time
from pathlib import Path
from typing import Any

import grpc
import pytest

from copycatch.v1 import (
    brands_service_pb2,
    brands_service_pb2_grpc,
    match_service_pb2,
    originals_service_pb2_grpc,
    sweep_service_pb2_grpc,
)
from copycatch.v1 import sweep_service_pb2 as pb
from index.seen import SeenListing, SeenPicture
from models.sketch import Kept
from service.assembly import assemble
from service.matching.results import CheckOptions
from tests.service.program import running
from tests.service.serving import (
    Served,
    failure,
    new_original,
    occupied,
    serving,
    settings,
)
from tests.sweeps.kit import NO_PICTURE, blank, edited, original, stolen, write_csv, write_tar

FINAL = (pb.Sweep.SUCCEEDED, pb.Sweep.CANCELLED, pb.Sweep.FAILED)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What sweeps may read: pictures by the name of what they are."""
    made = tmp_path_factory.mktemp("listings")
    pictures = {"one": stolen(1), "two": stolen(2), "edited": edited(1), "clear": blank()}
    for name, image in (pictures | {"broken": NO_PICTURE}).items():
        (made / f"{name}.jpg").write_bytes(image)
    rows = [
        ("a", "big", "one"),
        ("b", "big", "two"),
        ("c", "big", "edited"),
        ("d", "small", "two"),
        ("e", "honest", "clear"),
        ("f", "honest", "broken"),
        ("g", "honest", "nowhere"),
        ("h", "acme-shop", "one"),
    ]
    write_csv(
        made / "m.csv",
        [{"listing_id": i, "seller": s, "path": f"{p}.jpg"} for i, s, p in rows],
    )
    return made


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> Any:
    """A server with two originals of acme, which sells in a shop of its own."""
    config = settings(tmp_path_factory.mktemp("server"), sweep_roots=(folder,))
    with serving(config) as server:
        server.create_brand("acme")
        server.create_original("one", original(1))
        server.create_original("two", original(2))
        server.brands.AddSellers(
            brands_service_pb2.AddSellersRequest(parent="brands/acme", sellers=["acme-shop"])
        )
        yield server


def new(manifest: Path | str, sweep_id: str = "", **fields: Any) -> pb.CreateSweepRequest:
    forward = pb.ForwardSource(manifest=str(manifest))
    return pb.CreateSweepRequest(sweep_id=sweep_id, sweep=pb.Sweep(forward=forward, **fields))


def ended(stub: Any, name: str, within_s: float = 120.0) -> pb.Sweep:
    until = time.monotonic() + within_s
    while (sweep := stub.GetSweep(pb.GetSweepRequest(name=name))).state not in FINAL:
        assert time.monotonic() < until, sweep
        time.sleep(0.02)
    return sweep


def all_findings(stub: Any, name: str, size: int = 3, **wanted: Any) -> list[pb.Finding]:
    request = pb.ListFindingsRequest(parent=name, page_size=size, filter=pb.FindingFilter(**wanted))
    found: list[pb.Finding] = []
    while True:
        page = stub.ListFindings(request)
        found += page.findings
        request.page_token = page.next_page_token
        if not request.page_token:
            return found


@pytest.fixture(scope="module")
def swept(shop: Served, folder: Path) -> pb.Sweep:
    """A sweep that has ended."""
    made = shop.sweeps.CreateSweep(new(folder / "m.csv", "done", display_name="The first"))
    assert made.name == "sweeps/done"
    assert made.forward.form == pb.ForwardSource.CSV
    return ended(shop.sweeps, made.name)


def test_a_sweep_tells_how_far_it_is_and_what_it_found(shop: Served, swept: pb.Sweep) -> None:
    assert swept.state == pb.Sweep.SUCCEEDED
    assert swept.display_name == "The first"
    assert swept.counts == pb.Counts(
        planned_count=8,
        done_count=8,
        picture_count=6,
        failed_count=2,
        clear_count=1,
        review_count=1,
        copy_count=4,
        authorised_count=1,
    )
    assert swept.provenance.schema
    assert swept.create_time.seconds <= swept.start_time.seconds <= swept.end_time.seconds
    assert [one.name for one in shop.sweeps.ListSweeps(pb.ListSweepsRequest()).sweeps] == [
        swept.name
    ]


def test_every_verdict_is_in_the_audit_log(shop: Served, swept: pb.Sweep) -> None:
    audit = shop.running.gate.engine.catalogue.audit
    entries = [link.entry for link in audit.links()]
    judged = [e for e in entries if e["action"] == "listing.judge"]
    assert sorted(e["details"]["listing_id"] for e in judged) == list("abcdfh")
    assert {e["details"]["sweep"] for e in judged} == {"done"}
    assert [e["details"]["sweep"] for e in entries if e["action"] == "sweep.create"] == ["done"]


def test_findings_are_read_page_by_page_and_one_by_one(shop: Served, swept: pb.Sweep) -> None:
    found = all_findings(shop.sweeps, swept.name)
    assert [one.listing_id for one in found] == list("abcdefgh")
    assert [one.name for one in found] == [f"{swept.name}/findings/{n}" for n in range(8)]
    assert shop.sweeps.GetFinding(pb.GetFindingRequest(name=found[2].name)) == found[2]
    edited_ = found[2].matches[0]
    assert edited_.original == edited_.family == "brands/acme/originals/one"
    assert edited_.picture == "edited.jpg"
    assert edited_.score > 0.5
    assert found[5].errors[0].reason == "IMAGE_UNDECODABLE"
    assert found[6].verdict == match_service_pb2.VERDICT_UNSPECIFIED
    assert found[7].verdict == match_service_pb2.AUTHORISED


@pytest.mark.parametrize(
    ("wanted", "listings"),
    [
        ({"verdicts": [match_service_pb2.COPY]}, "abcd"),
        ({"verdicts": [match_service_pb2.AUTHORISED, match_service_pb2.CLEAR]}, "eh"),
        ({"kinds": [match_service_pb2.EXACT], "sellers": ["big"]}, "ab"),
        ({"families": ["brands/acme/originals/two"]}, "bd"),
        ({"brands": ["brands/bolt"]}, ""),
        ({"failed": True}, "fg"),
        ({"flagged": True}, "abcdfgh"),
        ({"listing_id": "d"}, "d"),
        ({"listing_id": "nobody"}, ""),
    ],
)
def test_findings_are_filtered(
    shop: Served, swept: pb.Sweep, wanted: dict[str, Any], listings: str
) -> None:
    found = all_findings(shop.sweeps, swept.name, **wanted)
    assert "".join(one.listing_id for one in found) == listings


def test_findings_are_grouped_by_seller_and_by_original(shop: Served, swept: pb.Sweep) -> None:
    request = pb.ListFindingGroupsRequest(parent=swept.name, page_size=2)
    first = shop.sweeps.ListFindingGroups(request)
    assert [(g.name, g.listing_count, g.part_count) for g in first.groups] == [
        ("big", 3, 2),
        ("acme-shop", 1, 1),
    ]
    assert first.total_size == 3
    assert first.groups[1].authorised_count == 1
    assert first.groups[0].largest_parts[0] == pb.FindingGroup.Part(
        name="brands/acme/originals/one", listing_count=2
    )
    request.page_token = first.next_page_token
    second = shop.sweeps.ListFindingGroups(request)
    assert [g.name for g in second.groups] == ["small"]
    assert not second.next_page_token
    by_family = pb.ListFindingGroupsRequest(parent=swept.name, group_by="FAMILY")
    families = shop.sweeps.ListFindingGroups(by_family).groups
    assert [(g.name[-3:], g.listing_count, g.part_count) for g in families] == [
        ("one", 3, 2),
        ("two", 2, 2),
    ]
    assert (
        failure(
            shop.sweeps.ListFindingGroups,
            pb.ListFindingGroupsRequest(parent=swept.name, page_token=first.next_page_token[:-1]),
        ).reason
        == "PAGE_TOKEN_INVALID"
    )


def test_what_can_not_be_swept_is_refused_by_name(shop: Served, folder: Path) -> None:
    create = shop.sweeps.CreateSweep
    (folder / "empty.tar").touch()
    (folder / "odd.csv").write_text("sku,file\n1,one.jpg\n")
    code = grpc.StatusCode
    for request, reason, status in (
        (new("/etc/hosts.csv"), "SOURCE_NOT_ALLOWED", code.PERMISSION_DENIED),
        (new("http://169.254.169.254/m.csv"), "SOURCE_NOT_ALLOWED", code.PERMISSION_DENIED),
        (new("gopher://x/m.csv"), "SOURCE_NOT_ALLOWED", code.PERMISSION_DENIED),
        (new(folder / "nowhere.csv"), "SOURCE_NOT_FOUND", code.NOT_FOUND),
        (new(folder / "empty.tar"), "MANIFEST_INVALID", code.INVALID_ARGUMENT),
        (new(folder / "odd.csv"), "MANIFEST_INVALID", code.INVALID_ARGUMENT),
        (
            new(folder / "m.csv", target=pb.Target(brands=["brands/nobody"])),
            "BRAND_NOT_FOUND",
            code.NOT_FOUND,
        ),
        (
            new(folder / "m.csv", target=pb.Target(originals=["brands/acme/originals/x"])),
            "ORIGINAL_NOT_FOUND",
            code.NOT_FOUND,
        ),
    ):
        refused = failure(create, request)
        assert (refused.reason, refused.code) == (reason, status), refused.message
    assert failure(create, pb.CreateSweepRequest()).violations == ["sweep"]
    bad = new("", "Not An Id", policy="lenient", target=pb.Target(brands=["x"]))
    assert set(failure(create, bad).violations) == {
        "sweep.forward.manifest",
        "sweep_id",
        "sweep.policy",
        "sweep.target.brands[0]",
    }


def test_a_sweep_has_one_id_and_one_end(shop: Served, swept: pb.Sweep, folder: Path) -> None:
    stub = shop.sweeps
    assert failure(stub.CreateSweep, new(folder / "m.csv", "done")).reason == "SWEEP_EXISTS"
    cancel = pb.CancelSweepRequest(name=swept.name)
    assert failure(stub.CancelSweep, cancel).reason == "SWEEP_FINISHED"
    for call, request in (
        (stub.GetSweep, pb.GetSweepRequest(name="sweeps/none")),
        (stub.CancelSweep, pb.CancelSweepRequest(name="sweeps/none")),
        (stub.ListFindings, pb.ListFindingsRequest(parent="sweeps/none")),
        (stub.ListFindingGroups, pb.ListFindingGroupsRequest(parent="sweeps/none")),
    ):
        assert failure(call, request).reason == "SWEEP_NOT_FOUND"
    lost = pb.GetFindingRequest(name=f"{swept.name}/findings/99")
    assert failure(stub.GetFinding, lost).reason == "FINDING_NOT_FOUND"
    for name in ("sweeps/done/findings/x", "sweeps/done/findings/01", "findings/1", ""):
        assert failure(stub.GetFinding, pb.GetFindingRequest(name=name)).violations == ["name"]


def test_a_sweep_waits_for_calls(shop: Served, folder: Path) -> None:
    """While calls have pictures in work it hardly moves; then it ends."""
    image = stolen(1)
    write_tar(folder / "wait.tar", {f"{n:03}.jpg": image for n in range(200)})
    with occupied(shop, 1):
        made = shop.sweeps.CreateSweep(new(folder / "wait.tar"))
        time.sleep(0.5)
        running_ = shop.sweeps.GetSweep(pb.GetSweepRequest(name=made.name))
        assert running_.counts.done_count == 0
    assert ended(shop.sweeps, made.name).counts.copy_count == 200


KILLS = 5


@pytest.mark.slow
def test_five_kills_lose_no_listing_and_repeat_none(tmp_path: Path) -> None:
    image = stolen(1)
    names = [f"{n:04}" for n in range(300)]
    shard = write_tar(tmp_path / "s.tar", {f"{name}.jpg": image for name in names})
    survives(tmp_path / "data", new(shard, "s"), names, sweep_roots=[str(tmp_path)])


@pytest.mark.slow
def test_five_kills_of_a_retroactive_sweep_lose_no_listing_and_repeat_none(tmp_path: Path) -> None:
    names = [f"seen-{n:04}" for n in range(200)]
    remember(tmp_path, names, stolen(1))
    survives(
        tmp_path / "data",
        pb.CreateSweepRequest(sweep_id="s", sweep=pb.Sweep(retroactive=pb.RetroactiveSource())),
        names,
        memory_listings=1000,
    )


def remember(folder: Path, names: list[str], image: bytes) -> None:
    """Have a server remember that it saw this picture in so many listings."""
    engine = assemble(settings(folder, memory_listings=len(names)))
    try:
        kept: list[Kept] = []
        engine.matcher.check(image, CheckOptions(), keep=kept.append)
        sketch = kept[0]()
        assert sketch is not None and engine.remembering is not None
        record, data = sketch.record, sketch.to_bytes()
        picture = SeenPicture(record.sha256, record.pixel_sha256, sketch.rows(), data)
        listings = [SeenListing(name, "shop", (picture,)) for name in names]
        assert engine.remembering.memory.remember(listings) == len(names)
    finally:
        engine.close()


def survives(
    data_dir: Path, request: pb.CreateSweepRequest, names: list[str], **settings: Any
) -> None:
    """Sweep copies of one original under kills, spread over the sweep; each has one finding."""
    kills = done = before = 0
    while True:
        with running(data_dir, sweep_threads=1, **settings) as program:
            with program.connect() as channel:
                stub = sweep_service_pb2_grpc.SweepServiceStub(channel)
                if not kills:
                    prepare(channel)
                    stub.CreateSweep(request)
                while kills < KILLS and done < before + len(names) // 10:
                    time.sleep(0.005)
                    sweep = stub.GetSweep(pb.GetSweepRequest(name="sweeps/s"))
                    assert sweep.state not in FINAL, "it was faster than the kills"
                    done = sweep.counts.done_count
                if kills < KILLS:
                    kills, before = kills + 1, done
                    program.process.kill()
                    continue
                last = ended(stub, "sweeps/s")
                found = all_findings(stub, "sweeps/s", 500)
                groups = stub.ListFindingGroups(pb.ListFindingGroupsRequest(parent="sweeps/s"))
                break
    assert last.counts.planned_count == last.counts.done_count == len(names)
    assert last.counts.copy_count == sum(g.copy_count for g in groups.groups) == len(names)
    assert [one.listing_id for one in found] == names
    assert {one.verdict for one in found} == {match_service_pb2.COPY}


def prepare(channel: grpc.Channel) -> None:
    brand = brands_service_pb2.CreateBrandRequest(
        brand_id="acme", brand=brands_service_pb2.Brand(display_name="Acme")
    )
    brands_service_pb2_grpc.BrandsServiceStub(channel).CreateBrand(brand)
    originals_service_pb2_grpc.OriginalsServiceStub(channel).CreateOriginal(
        new_original("one", original(1))
    )
