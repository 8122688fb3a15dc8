"""Replaying a verdict: the same while nothing changes, and each change by its name."""

import json
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import pytest
from typer.testing import CliRunner

from copycatch.v1 import audit_service_pb2 as pb
from copycatch.v1 import brands_service_pb2, match_service_pb2, originals_service_pb2
from models.print_record import PrintRecord
from service.cli.main import app
from service.replay import TOLERANCE
from service.replayed import Cause
from tests.kit.images import draw, encode
from tests.service.serving import Served, failure, picture, serving, settings

COPY, REVIEW = match_service_pb2.COPY, match_service_pb2.REVIEW
CLEAR, AUTHORISED = match_service_pb2.CLEAR, match_service_pb2.AUTHORISED
ORIGINAL = encode(draw(5, (400, 300)), "PNG")
EDITED = encode(draw(5, (400, 300)), quality=60)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    # Each brand registers the same picture, which would be a dispute.
    with serving(settings(tmp_path_factory.mktemp("replay"), conflict_check="off")) as served:
        yield served


def judged(server: Served, brand: str, image: bytes = EDITED, **fields: str) -> str:
    """Register an original, check a copy of it, and return the entry's name."""
    server.create_brand(brand)
    server.create_original("cup", ORIGINAL, brand)
    listing = match_service_pb2.Listing(images=[image], **fields)  # type: ignore[arg-type]
    config = match_service_pb2.MatchConfig(brands=[f"brands/{brand}"])
    request = match_service_pb2.CheckListingRequest(listing=listing, config=config)
    answer = server.match.CheckListing(request)
    assert answer.verdict == COPY
    return answer.audit_entry


def replay(server: Served, name: str, *images: bytes) -> pb.Replay:
    request = pb.ReplayAuditEntryRequest(name=name, images=images)
    return server.audit.ReplayAuditEntry(request)


def causes(found: pb.Replay) -> list[str]:
    return [pb.Replay.Cause.Name(r.cause) for one in found.pictures for r in one.reasons]


def test_the_causes_are_those_of_the_protos() -> None:
    names = [n for n in pb.Replay.Cause.keys() if not n.endswith("UNSPECIFIED")]
    assert names == [cause.value for cause in Cause]


@pytest.mark.parametrize("image", [EDITED, ORIGINAL], ids=["edited", "exact"])
def test_nothing_changed_is_the_same_verdict_for_certain(shop: Served, image: bytes) -> None:
    name = judged(shop, f"same{len(image)}", image)
    for images in ((), (image,)):
        found = replay(shop, name, *images)
        assert (found.logged_verdict, found.verdict) == (COPY, COPY)
        assert (found.differs, found.certain, causes(found)) == (False, True, [])
        (one,) = found.pictures
        assert one.complete == bool(images)
        (each,) = one.originals
        # Rows of float16 moved this score by less than 0.001.
        assert each.score == pytest.approx(each.logged_score, abs=TOLERANCE / 2)


def test_a_withdrawn_original_is_named(shop: Served) -> None:
    name = judged(shop, "gone")
    original = "brands/gone/originals/cup"
    shop.originals.DeleteOriginal(originals_service_pb2.DeleteOriginalRequest(name=original))
    for images in ((), (EDITED,)):
        found = replay(shop, name, *images)
        assert (found.differs, found.verdict) == (True, CLEAR)
        assert causes(found) == ["ORIGINAL_WITHDRAWN"]
        assert found.pictures[0].reasons[0].original == original


def test_an_original_that_was_registered_since_is_named(shop: Served) -> None:
    name = judged(shop, "added")
    shop.create_original("similar", encode(draw(5, (400, 300)), quality=90), "added")
    found = replay(shop, name)
    assert causes(found) == ["ORIGINAL_ADDED"]
    assert (found.differs, found.certain) == (False, False)
    found = replay(shop, name, EDITED)
    assert causes(found) == ["ORIGINAL_ADDED"] and found.certain
    assert [each.logged_verdict for each in found.pictures[0].originals] == [COPY, 0]
    # The very picture: told for certain from its digest alone.
    shop.create_original("same", EDITED, "added")
    found = replay(shop, name)
    assert found.pictures[0].originals[1].original == "brands/added/originals/same"
    assert found.pictures[0].originals[1].verdict == COPY


def test_a_licence_since_is_a_change_of_rights(shop: Served) -> None:
    name = judged(shop, "licensed", seller="dealer")
    own = brands_service_pb2.AddSellersRequest(parent="brands/licensed", sellers=["dealer"])
    shop.brands.AddSellers(own)
    for images in ((), (EDITED,)):
        found = replay(shop, name, *images)
        assert (found.verdict, found.differs, found.certain) == (AUTHORISED, True, True)
        assert causes(found) == ["RIGHTS_CHANGED"]


def test_a_deleted_brand_leaves_the_verdict_and_no_fingerprint(shop: Served) -> None:
    name = judged(shop, "deleted")
    request = brands_service_pb2.DeleteBrandRequest(name="brands/deleted", force=True)
    shop.brands.DeleteBrand(request)
    found = replay(shop, name)
    assert set(causes(found)) == {"FINGERPRINT_DROPPED", "ORIGINAL_WITHDRAWN"}
    assert (found.logged_verdict, found.verdict, found.certain) == (COPY, CLEAR, False)


def changed_model(folder: Path, bias: float = 0.0, threshold: float = 0.0) -> Path:
    """The score of the package with another bias, or other thresholds."""
    data = resources.files("service.matching").joinpath("score.json").read_bytes()
    plain = json.loads(data)
    plain["copy"]["offset"] += bias
    for name, at in plain["thresholds"].items():
        if threshold and name != "gate":
            at["copy"] = threshold
    path = folder / "score.json"
    path.write_text(json.dumps(plain))
    return path


def test_another_policy_model_or_encoder_is_named(tmp_path: Path) -> None:
    with serving(settings(tmp_path)) as served:
        name = judged(served, "acme")
        score = replay(served, name).pictures[0].originals[0].score
    stricter = changed_model(tmp_path, threshold=min(1.0, score + 1e-4) if score < 1 else 1.1)
    with serving(settings(tmp_path, score_model=stricter)) as served:
        found = replay(served, name)
        assert (found.verdict, found.differs) == (REVIEW, True)
        assert causes(found) == ["POLICY_CHANGED"]
        assert found.logged_provenance.policy != found.provenance.policy
    weaker = changed_model(tmp_path, bias=-30.0)
    with serving(settings(tmp_path, score_model=weaker)) as served:
        for images in ((), (EDITED,)):
            found = replay(served, name, *images)
            assert (found.verdict, found.differs) == (CLEAR, True)
            assert causes(found) == ["MODEL_CHANGED"]
        brand = brands_service_pb2.DeleteBrandRequest(name="brands/acme")
        assert failure(served.brands.DeleteBrand, brand).reason == "BRAND_NOT_EMPTY"
        gone = originals_service_pb2.DeleteOriginalRequest(name="brands/acme/originals/cup")
        served.originals.DeleteOriginal(gone)
    with serving(settings(tmp_path, encoder="sscd_distilled")) as served:
        found = replay(served, name)
        assert "ENCODER_CHANGED" in causes(found) and not found.certain


def test_what_can_not_be_replayed_is_refused_by_name(shop: Served) -> None:
    name = judged(shop, "refused")
    call = shop.audit.ReplayAuditEntry
    other = pb.ReplayAuditEntryRequest(name=name, images=[picture(77)])
    assert failure(call, other).reason == "IMAGE_DIFFERS"
    first = pb.ReplayAuditEntryRequest(name="auditEntries/1")
    assert failure(call, first).reason == "NOT_REPLAYABLE"
    none = pb.ReplayAuditEntryRequest(name="auditEntries/999999")
    assert failure(call, none).reason == "AUDIT_ENTRY_NOT_FOUND"
    assert failure(call, pb.ReplayAuditEntryRequest(name="x")).violations == ["name"]


def test_the_command_says_whether_and_why(
    shop: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = judged(shop, "commanded")
    monkeypatch.setenv("COPYCATCH_API_KEY", shop.secret)
    at = ["--server", shop.running.address]
    done = CliRunner().invoke(app, ["replay", name, *at])
    assert done.exit_code == 0 and "would be the same" in done.output
    original = "brands/commanded/originals/cup"
    shop.originals.DeleteOriginal(originals_service_pb2.DeleteOriginalRequest(name=original))
    log = shop.running.gate.engine.catalogue.audit
    request_id = log.get(int(name.partition("/")[2]))[0].entry["request_id"]
    done = CliRunner().invoke(app, ["replay", request_id, *at])
    assert done.exit_code == 1
    assert "ORIGINAL_WITHDRAWN" in done.output and "would differ" in done.output
    (tmp_path / "listing.jpg").write_bytes(EDITED)
    arguments = ["replay", name, "--image", str(tmp_path / "listing.jpg"), "--json", *at]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 1 and json.loads(done.output)["differs"] is True
    done = CliRunner().invoke(app, ["replay", "no-such-request", *at])
    assert done.exit_code == 2 and "no verdict of request" in done.output


def test_a_fingerprint_that_is_kept_is_the_one_that_was_compared(shop: Served) -> None:
    name = judged(shop, "kept")
    engine = shop.running.gate.engine
    blob = engine.catalogue.audit.get(int(name.partition("/")[2]))[1][0]
    record = PrintRecord.from_bytes(blob)
    assert PrintRecord.from_bytes(record.to_bytes()).to_bytes() == blob
    from models.images import decode

    made = engine.registry._fingerprinter.listing(decode(EDITED)).whole
    back = record.views[0].restored()
    for space, row in made.vectors.items():
        assert abs(back.vectors[space] - row).max() < 1e-3
    assert abs(back.layouts - made.layouts).max() < 1e-3
    assert (back.pdq == made.pdq).all() and back.pdq_quality == made.pdq_quality
