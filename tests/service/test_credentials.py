"""Signed pictures through the server: whom it trusts, and what it signs anew."""

from pathlib import Path

import grpc
import pytest

from copycatch.v1 import ai_label_pb2
from copycatch.v1 import match_service_pb2 as pb
from service.config import ConfigInvalid
from tests.labels import kit
from tests.service.serving import Served, failure, serving, settings

CREATED = kit.action("c2pa.created", kit.AI)
MARK = ai_label_pb2.AiLabelMark(content_propagator="Marketplace", propagate_id="l-1")


@pytest.fixture
def pem(tmp_path: Path) -> dict[str, Path]:
    """Files of the test's own certificate authority, by the names of the settings."""
    signer = kit.signer()
    texts = {
        "c2pa_trust": signer.root_pem,
        "c2pa_certificate": signer.chain_pem,
        "c2pa_key": signer.key_pem,
    }
    paths = {name: tmp_path / f"{name}.pem" for name in texts}
    for name, text in texts.items():
        paths[name].write_text(text)
    return paths


def label_of(server: Served, image: bytes) -> ai_label_pb2.AiLabel:
    return server.match.LabelImages(pb.LabelImagesRequest(images=[image])).ai_labels[0]


def test_without_certificates_a_signature_is_somebodys_and_its_picture_is_left_alone(
    server: Served,
) -> None:
    image = kit.signed([CREATED])
    label = label_of(server, image)
    assert label.state == ai_label_pb2.AiLabel.GENERATED
    assert label.signals[0].trust == ai_label_pb2.AiLabel.SIGNED
    failed = failure(server.match.WriteLabel, pb.WriteLabelRequest(image=image, mark=MARK))
    assert (failed.code, failed.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "MANIFEST_PRESENT",
    )


def test_with_certificates_a_signature_is_trusted_and_its_picture_signed_anew(
    tmp_path: Path, pem: dict[str, Path]
) -> None:
    image = kit.signed([CREATED])
    with serving(settings(tmp_path, **pem)) as server:
        assert label_of(server, image).signals[0].trust == ai_label_pb2.AiLabel.SIGNED_TRUSTED
        answer = server.match.WriteLabel(pb.WriteLabelRequest(image=image, mark=MARK))
        again = label_of(server, answer.image)
    assert again.state == ai_label_pb2.AiLabel.GENERATED
    assert ai_label_pb2.AiLabel.SIGNED_TRUSTED in {signal.trust for signal in again.signals}


def test_a_certificate_needs_its_key(tmp_path: Path, pem: dict[str, Path]) -> None:
    with pytest.raises(ConfigInvalid, match="go together"):
        settings(tmp_path, c2pa_certificate=pem["c2pa_certificate"])


def test_a_certificate_that_is_not_there_keeps_the_server_from_starting(tmp_path: Path) -> None:
    with (
        pytest.raises(FileNotFoundError, match="nowhere"),
        serving(settings(tmp_path, c2pa_trust=tmp_path / "nowhere.pem")),
    ):
        pass
