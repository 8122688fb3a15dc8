"""`serve --check-config`: says what would be served or what is wrong, and changes nothing."""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from copycatch.v1 import (
    brands_service_pb2,
    brands_service_pb2_grpc,
    originals_service_pb2_grpc,
)
from service.access.keys import KeyStore
from service.access.roles import Role
from service.cli.main import app
from service.config import PREFIX
from tests.service.program import running
from tests.service.serving import new_original, picture, serving, settings

QUICK = {"ENCODER": "toy", "CLIP": "off"}


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run the command in an empty folder, with these settings in the environment."""
    for name in os.environ:
        if name.startswith(PREFIX):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)

    def run(**values: object) -> Result:
        environment = {PREFIX + name.upper(): str(value) for name, value in values.items()}
        for name, value in QUICK.items():
            environment.setdefault(PREFIX + name, value)
        return CliRunner().invoke(app, ["serve", "--check-config"], env=environment)

    return run


def contents(folder: Path) -> Mapping[str, str]:
    """Every file below a folder with its digest; of LMDB's lock file, which notes readers, none."""
    return {
        str(path.relative_to(folder)): ""
        if path.name == "lock.mdb" or path.is_dir()
        else hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
    }


def test_it_says_what_would_be_served_and_leaves_nothing_behind(check: Any, tmp_path: Path) -> None:
    done = check(data_dir="data", listen="127.0.0.1:0")
    assert done.exit_code == 0, done.output
    assert "127.0.0.1:0, no TLS" in done.stdout
    assert f"{tmp_path / 'data'}: new" in done.stdout
    assert "toy@" in done.stdout
    rows = {line.split()[1]: line.split()[3] for line in done.stdout.splitlines() if "│" in line}
    assert rows["listen"] == '"127.0.0.1:0"' and rows["queue_size"] == "256"
    assert rows["insecure"] == "false" and rows["sweep_roots"] == "[]"
    assert "no API key in force" in done.stderr
    assert not list(tmp_path.iterdir())


def test_it_may_be_asked_beside_the_server_that_runs_on_the_folder(
    check: Any, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    with running(data) as program, program.connect() as channel:
        brands = brands_service_pb2_grpc.BrandsServiceStub(channel)
        originals = originals_service_pb2_grpc.OriginalsServiceStub(channel)
        brands.CreateBrand(brands_service_pb2.CreateBrandRequest(brand_id="acme"))
        originals.CreateOriginal(new_original("one", picture(1)))
        before = contents(tmp_path)
        done = check(data_dir=data)
        assert done.exit_code == 0, done.output
        assert f"{data}: 1 original of 1 brand" in done.stdout
        assert "1 in force" in done.stdout
        assert contents(tmp_path) == before
        assert originals.CreateOriginal(new_original("two", picture(2))).name


def test_everything_that_is_wrong_is_told_with_its_setting_and_a_remedy(
    check: Any, tmp_path: Path
) -> None:
    (tmp_path / "words").write_text("no PEM, no JSON", encoding="utf-8")
    (tmp_path / "file").touch()
    words = tmp_path / "words"
    done = check(
        data_dir=tmp_path / "file" / "data",
        tls_certificate=words,
        tls_key=words,
        c2pa_trust=words,
        c2pa_certificate=words,
        c2pa_key=words,
        calibration=words,
        score_model=tmp_path / "nowhere",
        index_device="gpu",
        listen="127.0.0.1:9",
        metrics_listen="127.0.0.1:9",
        sweep_roots=tmp_path / "gone",
    )
    assert done.exit_code == 2
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    named = {line.removeprefix("error: ").partition(":")[0] for line in errors}
    assert named == {
        "data_dir",
        "tls_certificate, tls_key, tls_client_ca",
        "c2pa_trust",
        "c2pa_certificate, c2pa_key",
        "calibration",
        "score_model",
        "index_device",
        "metrics_listen",
    }
    assert "nowhere: No such file or directory; name a file" in done.stderr
    assert "warning: sweep_roots: there is no folder" in done.stderr


def test_a_folder_of_other_fingerprints_is_refused_as_the_start_would(
    check: Any, tmp_path: Path
) -> None:
    with serving(settings(tmp_path, memory_listings=10)) as server:
        server.create_brand()
        server.create_original("one", picture(1))
    before = contents(tmp_path)
    done = check(data_dir=tmp_path / "data", encoder="sscd_distilled")
    assert done.exit_code == 2
    assert "error: data_dir: catalogue" in done.stderr
    assert 'set encoder = "toy", as it was' in done.stderr
    assert "register the pictures again" in done.stderr
    assert contents(tmp_path) == before


def test_weights_that_a_start_would_fetch_are_not_fetched(
    check: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("open_clip")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    done = check(clip="required", clip_model="hf-hub:no-such-org/no-such-model")
    assert done.exit_code == 0, done.output
    assert "warning: clip: its weights are not here yet" in done.stderr
    done = check(clip="required", clip_model="hf-hub:no-such-org/no-such-model", clip_download_s=0)
    assert done.exit_code == 2
    assert "error: clip: the weights of no-such-org/no-such-model are not" in done.stderr
    assert not list(tmp_path.iterdir())


def test_clip_that_is_asked_for_has_to_be_installed(check: Any, tmp_path: Path) -> None:
    done = check(clip="required", clip_weights=tmp_path / "nowhere.pt")
    assert done.exit_code == 2
    assert "error: clip: " in done.stderr
    assert "set clip to auto or off" in done.stderr


def test_a_key_that_is_no_longer_in_force_does_not_count(check: Any, tmp_path: Path) -> None:
    with KeyStore.open(tmp_path / "data") as keys:
        key, _ = keys.create("one", Role.ADMIN)
        keys.create("two", Role.METRICS)
        keys.revoke(key.id)
    done = check(data_dir=tmp_path / "data")
    assert done.exit_code == 0, done.output
    assert "1 in force" in done.stdout


def test_what_is_wrong_with_a_setting_is_told_before_anything_is_read(check: Any) -> None:
    done = check(queue_size=3)
    assert done.exit_code == 2
    assert "queue_size" in done.stderr
