"""The audit log through the service: writes, verdicts, pages, and the commands that read it."""

import json
import time
from pathlib import Path

import grpc
import pytest
from PIL import Image
from typer.testing import CliRunner

from copycatch.v1 import audit_service_pb2 as pb
from copycatch.v1 import (
    brands_service_pb2,
    listings_service_pb2,
    listings_service_pb2_grpc,
    match_service_pb2,
    originals_service_pb2,
)
from index.chain import Link, verify
from models.print_record import PrintRecord
from service.access.keys import KeyStore
from service.access.roles import Role
from service.cli.main import app
from tests.kit.images import draw, encode, photo
from tests.service.serving import Failure, Served, failure, new_original, picture, serving, settings

EVERY_WRITE = {
    "BrandsService/CreateBrand": "brand.create",
    "BrandsService/DeleteBrand": "brand.delete",
    "BrandsService/CreateLicence": "licence.create",
    "BrandsService/RevokeLicence": "licence.revoke",
    "BrandsService/CreateProgramme": "programme.create",
    "BrandsService/DeleteProgramme": "programme.delete",
    "BrandsService/AddSellers": "sellers.add",
    "BrandsService/RemoveSellers": "sellers.remove",
    "OriginalsService/CreateOriginal": "original.create",
    "OriginalsService/BatchCreateOriginals": "original.create",
    "OriginalsService/ImportOriginals": "original.create",
    "OriginalsService/UpdateOriginal": "original.update",
    "OriginalsService/DeleteOriginal": "original.delete",
}
"""Each method that changes something, and the action that stands for it in the log."""

ELSEWHERE = {
    "DisputesService/ResolveDispute": "dispute.resolve",  # test_disputes
    "ListingsService/DeleteListing": "listing.forget",  # below
    "SweepService/CancelSweep": "sweep.cancel",  # test_sweeps
    "SweepService/CreateSweep": "sweep.create",  # test_sweeps
}
"""Likewise, made by other tests."""

READS = {
    "DisputesService/GetDispute",
    "DisputesService/ListDisputes",
    "ListingsService/GetListing",
    "SweepService/GetFinding",
    "SweepService/GetSweep",
    "SweepService/ListFindingGroups",
    "SweepService/ListFindings",
    "SweepService/ListSweeps",
    "AuditService/GetAuditHead",
    "AuditService/ListAuditEntries",
    "AuditService/ReplayAuditEntry",
    "BrandsService/GetBrand",
    "BrandsService/ListBrands",
    "BrandsService/GetLicence",
    "BrandsService/ListLicences",
    "BrandsService/GetProgramme",
    "BrandsService/ListProgrammes",
    "BrandsService/ListSellers",
    "MatchService/CheckListing",
    "MatchService/CompareImages",
    "MatchService/GetServerInfo",
    "MatchService/LabelImages",
    "MatchService/StreamingCheckListings",
    "MatchService/WriteLabel",
    "OriginalsService/GetOriginal",
    "OriginalsService/GetOriginalPreview",
    "OriginalsService/ListOriginals",
}
"""Each method that changes nothing. Verdicts are logged all the same, by what they say."""


def call(request_id: str) -> list[tuple[str, str]]:
    return [("x-request-id", request_id)]


def entries(server: Served, **wanted: str) -> list[pb.AuditEntry]:
    found, token = [], ""
    while True:
        request = pb.ListAuditEntriesRequest(page_size=7, page_token=token, **wanted)
        page = server.audit.ListAuditEntries(request)
        found += page.audit_entries
        if not (token := page.next_page_token):
            return found


def check(*images: bytes, **fields: str) -> match_service_pb2.CheckListingRequest:
    listing = match_service_pb2.Listing(images=images, **fields)  # type: ignore[arg-type]
    return match_service_pb2.CheckListingRequest(listing=listing)


def test_every_method_is_known_to_change_something_or_not() -> None:
    """A new method has to be named here; one that writes has to append to the audit log."""
    from service.rpc.services import NAMES
    from tests.protos.test_contract import MODULES

    methods = {
        f"{service.name}/{method.name}"
        for module in MODULES
        for service in module.DESCRIPTOR.services_by_name.values()
        if service.full_name in NAMES
        for method in service.methods
    }
    assert methods == EVERY_WRITE.keys() | ELSEWHERE.keys() | READS


def test_each_write_leaves_its_entry_with_its_caller_and_call(server: Served) -> None:
    make = brands_service_pb2.CreateBrandRequest(brand_id="writer")
    name = "brands/writer/originals/one"
    renamed = originals_service_pb2.Original(name=name, display_name="Renamed")
    item = originals_service_pb2.ImportOriginalsRequest(
        item_id="i", request=new_original("three", picture(12), "writer")
    )
    batch = originals_service_pb2.BatchCreateOriginalsRequest(
        parent="brands/writer", requests=[new_original("two", picture(11), "writer")]
    )
    update = originals_service_pb2.UpdateOriginalRequest(original=renamed)
    one = new_original("one", picture(10), "writer")
    server.brands.CreateBrand(make, metadata=call("w-1"))
    server.originals.CreateOriginal(one, metadata=call("w-2"))
    server.originals.BatchCreateOriginals(batch, metadata=call("w-3"))
    list(server.originals.ImportOriginals(iter([item]), metadata=call("w-4")))
    server.originals.UpdateOriginal(update, metadata=call("w-5"))
    gone = originals_service_pb2.DeleteOriginalRequest(name=name)
    server.originals.DeleteOriginal(gone, metadata=call("w-6"))
    parent, programme = "brands/writer", "brands/writer/programmes/dealers"
    licence = brands_service_pb2.Licence(
        sellers=["seller-1"], all_originals=True, programmes=[programme]
    )
    calls = {
        "CreateProgramme": brands_service_pb2.CreateProgrammeRequest(
            parent=parent, programme_id="dealers"
        ),
        "AddSellers": brands_service_pb2.AddSellersRequest(parent=programme, sellers=["s-1"]),
        "RemoveSellers": brands_service_pb2.RemoveSellersRequest(parent=programme, sellers=["s-1"]),
        "CreateLicence": brands_service_pb2.CreateLicenceRequest(
            parent=parent, licence_id="summer", licence=licence
        ),
        "RevokeLicence": brands_service_pb2.RevokeLicenceRequest(
            name="brands/writer/licences/summer"
        ),
        "DeleteProgramme": brands_service_pb2.DeleteProgrammeRequest(name=programme),
        "DeleteBrand": brands_service_pb2.DeleteBrandRequest(name=parent, force=True),
    }
    for number, (method, request) in enumerate(calls.items(), 7):
        getattr(server.brands, method)(request, metadata=call(f"w-{number}"))
    last = 6 + len(calls)
    found = [entry for i in range(1, last + 1) for entry in entries(server, request_id=f"w-{i}")]
    assert found.pop().action == "brand.purge"  # the end of what brand.delete began
    assert {entry.method: entry.action for entry in found} == EVERY_WRITE
    assert {entry.principal for entry in found} == {server.key.id}
    named = [e.name for e in entries(server, brand="brands/writer")]
    assert [e.name for e in found] == named[:-1]


def test_a_verdict_is_in_the_log_when_it_is_answered(server: Served) -> None:
    server.create_brand("judged")
    server.create_original("cup", encode(draw(5, (400, 300)), "PNG"), "judged")
    edited = encode(draw(5, (400, 300)), quality=70)
    broken = b"no picture"
    answer = server.match.CheckListing(
        check(encode(photo("chelsea")), edited, broken, listing_id="offer-1", seller="seller-1"),
        metadata=call("v-1"),
    )
    assert answer.verdict == match_service_pb2.COPY
    (entry,) = entries(server, request_id="v-1")
    assert (entry.action, entry.method) == ("listing.judge", "MatchService/CheckListing")
    body = json.loads(entry.body)
    details = body["details"]
    assert (details["listing_id"], details["seller"]) == ("offer-1", "seller-1")
    assert details["verdict"] == "COPY"
    assert details["provenance"]["schema"] == answer.provenance.schema
    assert details["provenance"]["encoders"] == list(answer.provenance.encoders)
    assert [image["position"] for image in details["images"]] == [1, 2]
    assert details["images"][1]["error"] == "IMAGE_UNDECODABLE"
    (match,) = details["images"][0]["matches"]
    (answered,) = answer.image_results[1].matches
    assert match["original"] == answered.original
    assert match["score"] == pytest.approx(answered.score, abs=1e-6)
    assert [row[0] for row in match["evidence"]] == [one.signal for one in answered.evidence]
    assert body["brands"] == ["judged"] and list(body["prints"]) == ["1"]
    blob = server.running.gate.engine.catalogue.audit.get(body["sequence"])[1][1]
    record = PrintRecord.from_bytes(blob)
    assert record.sha256.hex() == details["images"][0]["sha256"]
    assert len(blob) < 16_000


def test_nothing_is_logged_of_what_is_clear(server: Served) -> None:
    before = server.audit.GetAuditHead(pb.GetAuditHeadRequest()).sequence
    blank = encode(Image.new("RGB", (200, 200), "white"))
    answer = server.match.CheckListing(check(blank))
    assert answer.verdict == match_service_pb2.CLEAR
    assert server.audit.GetAuditHead(pb.GetAuditHeadRequest()).sequence == before


def test_a_stream_and_a_comparison_are_logged_like_a_call(server: Served) -> None:
    server.create_brand("streamed")
    image = picture(31)
    server.create_original("one", image, "streamed")
    items = (
        match_service_pb2.StreamingCheckListingsRequest(
            item_id=str(i), request=check(image, listing_id=f"s-{i}")
        )
        for i in range(5)
    )
    list(server.match.StreamingCheckListings(items, metadata=call("s-1")))
    found = [json.loads(entry.body)["details"] for entry in entries(server, request_id="s-1")]
    assert {details["listing_id"] for details in found} == {f"s-{i}" for i in range(5)}
    pair = match_service_pb2.CompareImagesRequest(image_a=image, image_b=image)
    server.match.CompareImages(pair, metadata=call("c-1"))
    (entry,) = entries(server, request_id="c-1")
    assert (entry.action, json.loads(entry.body)["details"]["verdict"]) == (
        "images.compare",
        "COPY",
    )


def test_the_log_that_is_listed_verifies(server: Served) -> None:
    server.create_brand("listed")
    head = server.audit.GetAuditHead(pb.GetAuditHeadRequest())
    links = [
        Link(int(e.name.rpartition("/")[2]), e.previous_hash, e.hash, e.body.encode())
        for e in entries(server)
    ]
    found = verify(links, whole=True)
    assert found.head is not None
    assert (found.last, found.head.hash) == (head.sequence, head.hash)
    after = entries(server, after=f"auditEntries/{found.last - 2}")
    assert [e.hash for e in after] == [x.hash for x in links[-2:]]


def test_fields_that_are_wrong_are_named(server: Served) -> None:
    listing = server.audit.ListAuditEntries
    bad = pb.ListAuditEntriesRequest(after="auditEntries/zero", page_size=-1, brand="x")
    assert set(failure(listing, bad).violations) == {"after", "page_size", "brand"}
    both = pb.ListAuditEntriesRequest(brand="brands/acme", request_id="r")
    assert failure(listing, both).violations == ["brand"]
    token = pb.ListAuditEntriesRequest(page_token="forged")
    assert failure(listing, token).reason == "PAGE_TOKEN_INVALID"


def run(*arguments: str | Path) -> tuple[int, str]:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return done.exit_code, done.output


def test_export_and_verify_from_a_server_a_folder_and_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(settings(tmp_path)) as served:
        served.create_brand("acme")
        served.create_original("one", picture(1))
        at = ["--server", served.running.address]
        monkeypatch.setenv("COPYCATCH_API_KEY", served.secret)
        code, said = run("audit", "export", "--out", tmp_path / "early.jsonl", *at)
        assert code == 0 and "--anchor 2:" in said
        anchor = json.loads((tmp_path / "early.jsonl").read_text().splitlines()[-1])["head"]
        served.create_original("two", picture(2))
        (tmp_path / "copy.png").write_bytes(picture(1))
        code, said = run("check", tmp_path / "copy.png", "--json", *at)
        assert code == 1 and json.loads(said)["audit_entry"] == "auditEntries/4"
        code, said = run("audit", "verify", *at, "--anchor", anchor)
        assert code == 0 and "4 entries, 1 to 4" in said
        assert "vouches for entries up to 2" in said and "vouches for the 2 after it" in said
    folder = ["--data-dir", tmp_path / "data"]
    code, said = run("audit", "verify", *folder)
    assert code == 0 and "no anchor was given" in said
    whole, principal = tmp_path / "whole.jsonl", served.key.id
    assert run("audit", "export", *folder, "--out", whole)[0] == 0
    code, said = run("audit", "verify", whole, "--anchor", anchor, "--json")
    assert code == 0 and json.loads(said)["vouched_for"] == 2
    lines = whole.read_text().splitlines()
    damaged = tmp_path / "damaged.jsonl"
    damaged.write_text(
        "\n".join([lines[0], lines[1].replace(principal, "somebody-else"), *lines[2:]])
    )
    code, said = run("audit", "verify", damaged)
    assert code == 1 and "broken at entry 2" in said
    damaged.write_text("\n".join(lines[:-1]))
    code, said = run("audit", "verify", damaged)
    assert code == 2
    damaged.write_text("\n".join([*lines[:-2], lines[-1]]))
    code, said = run("audit", "verify", damaged)
    assert code == 1 and "the log once had 4 entries" in said
    code, said = run("audit", "verify", tmp_path / "early.jsonl", "--anchor", anchor)
    assert code == 0
    assert run("audit", "verify", "--data-dir", tmp_path / "nowhere")[0] == 2


@pytest.mark.parametrize("audit", ["required", "best_effort"])
def test_a_full_store_refuses_what_needs_the_log_and_answers_the_rest(
    tmp_path: Path, audit: str
) -> None:
    image, blank = encode(draw(5, (400, 300))), encode(Image.new("RGB", (200, 200), "white"))
    config = settings(tmp_path, audit=audit, store_gib=0.001)
    with serving(config) as served:
        served.create_brand("acme")
        served.create_original("one", image)
        registry = served.running.metrics.registry
        answered = 0
        while not registry.get_sample_value("copycatch_audit_failures_total"):
            assert answered < 2000, "the store is never full"
            try:
                answer = served.match.CheckListing(check(image))
            except grpc.RpcError as error:
                assert audit == "required" and Failure(error).reason == "STORE_FULL"
            else:
                assert answer.verdict == match_service_pb2.COPY
                answered += 1
        logged = answered - (audit == "best_effort")
        brands = 0  # are shorter than a verdict, so that a few may still find room
        with pytest.raises(grpc.RpcError) as caught:
            for brands in range(500):
                make = brands_service_pb2.CreateBrandRequest(brand_id=f"more-{brands}")
                served.brands.CreateBrand(make)
        assert Failure(caught.value).reason == "STORE_FULL"
        assert served.match.CheckListing(check(blank)).verdict == match_service_pb2.CLEAR
        assert served.brands.GetBrand(brands_service_pb2.GetBrandRequest(name="brands/acme")).name
        links = served.running.gate.engine.catalogue.audit.links()
        assert verify(links, whole=True).last == 2 + logged + brands > 50


def test_what_is_forgotten_of_a_listing_is_in_the_log(tmp_path: Path) -> None:
    with serving(settings(tmp_path, memory_listings=10)) as served:
        served.match.CheckListing(check(picture(1), listing_id="offer-1"))
        remembering = served.running.gate.engine.remembering
        assert remembering is not None
        gone = listings_service_pb2.DeleteListingRequest(listing_id="offer-1", allow_missing=True)
        stub = listings_service_pb2_grpc.ListingsServiceStub(served.channel)
        for _ in range(600):
            stub.DeleteListing(gone, metadata=call("f-1"))
            found = entries(served, request_id="f-1")
            if found:
                break
            time.sleep(0.1)  # it is remembered after its answer
        assert [entry.action for entry in found] == ["listing.forget"]
        assert json.loads(found[0].body)["details"] == {"listing_id": "offer-1"}


def test_keys_have_a_chain_of_their_own(tmp_path: Path) -> None:
    with KeyStore.open(tmp_path) as keys:
        made, secret = keys.create("shop", Role.OWNER, brands=["acme"])
        keys.revoke(made.id)
    code, said = run("audit", "verify", "--data-dir", tmp_path / "access")
    assert code == 0 and "2 entries, 1 to 2" in said
    code, said = run("audit", "export", "--data-dir", tmp_path / "access")
    assert "key.create" in said and "key.revoke" in said and made.id in said
    assert secret.split("_", 2)[2] not in said
