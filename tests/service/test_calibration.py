"""The settings `calibration` and `score_model`: served, shown, and refused at start."""

import json
from importlib import resources
from pathlib import Path

import pytest

from copycatch.v1 import match_service_pb2 as pb
from models.images import decode
from service.matching.calibration import (
    LIMIT,
    Calibration,
    CalibrationCorrupt,
    CalibrationMismatch,
    Claim,
)
from service.matching.score import ModelCorrupt
from tests.kit.images import draw, encode
from tests.service.serving import Served, picture, serving, settings

POLICIES = ("strict", "balanced", "recall")


def own(info: pb.ServerInfo) -> Calibration:
    """A calibration for what a server runs, under which nothing is a COPY."""
    return Calibration(
        model=info.model,
        schema=info.schema,
        knots=(-LIMIT, LIMIT),
        heights=(-1.0, 0.0),
        thresholds={name: {"copy": 0.9, "review": 0.1} for name in POLICIES},
        claims={name: Claim(0.95, 0.95, 120, 1) for name in POLICIES},
        about={},
    )


def info_of(server: Served) -> pb.ServerInfo:
    return server.match.GetServerInfo(pb.GetServerInfoRequest())


def test_a_calibration_is_served_and_shown(tmp_path: Path) -> None:
    with serving(settings(tmp_path)) as server:
        server.create_brand()
        server.create_original("one", picture(1))
        plain = info_of(server)
    assert plain.calibration == ""
    assert [one.name for one in plain.policy_details] == list(POLICIES)
    assert all(
        0 < one.min_review_score < one.min_copy_score <= 1 and one.copy_precision == 0
        for one in plain.policy_details
    )
    path = tmp_path / "calibration.json"
    path.write_text(own(plain).to_json(), encoding="utf-8")
    copy = encode(draw(1, (200, 160)), "JPEG", quality=60)
    assert decode(copy).pixel_sha256 != decode(picture(1)).pixel_sha256
    with serving(settings(tmp_path, calibration=path)) as server:
        info = info_of(server)
        answer = server.match.CheckListing(
            pb.CheckListingRequest(listing=pb.Listing(images=[copy]))
        )
    assert info.calibration == Calibration.load(path).id
    (detail,) = {(d.min_copy_score, d.min_review_score) for d in info.policy_details}
    assert detail == (0.9, 0.1)
    assert info.policy_details[0].copy_precision == 0.95
    assert answer.provenance.calibration == info.calibration
    assert answer.provenance.policy == f"balanced@{info.calibration}"
    assert answer.verdict == pb.REVIEW and answer.image_results[0].matches[0].score <= 0.5


def test_a_calibration_of_another_model_or_none_at_all_keeps_a_server_from_starting(
    tmp_path: Path,
) -> None:
    path = tmp_path / "calibration.json"
    path.write_text(own(pb.ServerInfo(model="score@old", schema="x")).to_json(), encoding="utf-8")
    with (
        pytest.raises(CalibrationMismatch, match="score@old"),
        serving(settings(tmp_path, calibration=path)),
    ):
        pass
    path.write_text("{}", encoding="utf-8")
    with (
        pytest.raises(CalibrationCorrupt, match="calibration.json"),
        serving(settings(tmp_path, calibration=path)),
    ):
        pass
    with (
        pytest.raises(FileNotFoundError),
        serving(settings(tmp_path, calibration=tmp_path / "nowhere.json")),
    ):
        pass


def test_another_score_model_is_served_and_shown(tmp_path: Path) -> None:
    plain = json.loads(resources.files("service.matching").joinpath("score.json").read_bytes())
    plain["copy"]["offset"] = 20.0
    path = tmp_path / "score.json"
    path.write_text(json.dumps(plain), encoding="utf-8")
    with serving(settings(tmp_path, score_model=path)) as server:
        assert info_of(server).model.startswith("score@")
        named = info_of(server).model
    with serving(settings(tmp_path)) as server:
        assert info_of(server).model != named
    path.write_text("[]", encoding="utf-8")
    with (
        pytest.raises(ModelCorrupt, match="score.json"),
        serving(settings(tmp_path, score_model=path)),
    ):
        pass
