"""`copycatch health`, as a container runtime calls it."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from service.cli.main import app
from tests.service.serving import serving, settings
from tests.service.test_tls import Authority


def test_it_ends_with_0_while_the_server_answers_and_shows_no_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COPYCATCH_API_KEY", raising=False)
    with serving(settings(tmp_path)) as server:
        address = server.running.address
        done = CliRunner().invoke(app, ["health", "--server", address])
        assert (done.exit_code, done.stdout.strip()) == (0, f"{address}: SERVING")
    done = CliRunner().invoke(app, ["health", "--server", address, "--json", "--timeout", "3"])
    assert done.exit_code == 1
    assert json.loads(done.stdout)["status"] == "UNREACHABLE"


def test_a_server_that_loads_is_not_healthy(tmp_path: Path) -> None:
    # Its weights are missing, so that it never ends to load.
    config = settings(tmp_path, score_model=tmp_path / "nowhere.json")
    with serving(config, wait=False) as server:
        done = CliRunner().invoke(app, ["health", "--server", server.running.address])
        assert done.exit_code == 1
        assert "NOT_SERVING: it is loading or shutting down" in done.stdout


def test_a_certificate_for_another_name_than_the_address_needs_that_name(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue("copycatch.example")
    config = settings(tmp_path, tls_certificate=certificate, tls_key=key)
    environment = {"COPYCATCH_SERVER_CA": str(authority.pem)}
    with serving(config) as server:
        arguments = ["health", "--server", server.running.address, "--timeout", "5"]
        assert CliRunner().invoke(app, arguments, env=environment).exit_code == 1
        environment["COPYCATCH_SERVER_NAME"] = "copycatch.example"
        done = CliRunner().invoke(app, arguments, env=environment)
        assert done.exit_code == 0, done.output
