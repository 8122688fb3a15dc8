"""Errors as a person reads them."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import grpc
import pytest
from typer.testing import CliRunner

from service.cli.client import Client
from service.cli.failure import CommandError, describe, make_status, reason_of
from service.cli.main import app


def test_a_status_made_here_reads_like_the_servers() -> None:
    status = make_status("QUEUE_FULL", "256 wait")
    assert reason_of(status) == "QUEUE_FULL"
    assert status.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert describe(status) == "256 wait (the server is busy: try again in a moment)"


def test_a_status_without_a_reason_is_named_by_its_code() -> None:
    status = make_status("X", "")
    del status.details[:]
    assert reason_of(status) == "INVALID_ARGUMENT"


def test_a_server_that_is_not_there_is_one_line_with_the_remedy() -> None:
    # Port 1 is reserved and nothing listens on it.
    with Client("127.0.0.1:1", timeout_s=20) as client, pytest.raises(CommandError) as caught:
        client.info()
    assert str(caught.value) == (
        "no server answers at 127.0.0.1:1: start one with `copycatch serve`, or name another "
        "with --server or COPYCATCH_SERVER"
    )


@pytest.mark.parametrize("target", ["localhost", "localhost:", "localhost:http", ""])
def test_what_is_no_address_is_refused(target: str) -> None:
    with pytest.raises(CommandError, match="is not an address"):
        Client(target)


def test_a_taken_port_is_one_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = subprocess.run(
            [sys.executable, "-m", "service.cli.main", "serve"],
            env={
                **os.environ,
                "COPYCATCH_LISTEN": address,
                "COPYCATCH_METRICS_LISTEN": "",
                "COPYCATCH_DATA_DIR": str(tmp_path / "data"),
                "COPYCATCH_ENCODER": "toy",
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
    assert done.returncode == 2
    assert f"error: can not listen on {address}: another program does" in done.stderr
    assert "COPYCATCH_LISTEN" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_defect_is_one_line_too_and_a_traceback_with_debug(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(self: Client) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(Client, "info", broken)
    done = CliRunner().invoke(app, ["info"])
    assert done.exit_code == 2
    assert "a defect of copycatch: ZeroDivisionError: by zero" in done.stderr
    shown = CliRunner().invoke(app, ["--debug", "info"])
    assert isinstance(shown.exception, ZeroDivisionError)


def test_an_interruption_does_not_look_like_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: Client) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Client, "info", interrupted)
    done = CliRunner().invoke(app, ["info"])
    assert done.exit_code == 2
    assert "error: interrupted" in done.stderr


def test_wrong_usage_is_explained() -> None:
    done = CliRunner().invoke(app, ["check"])
    assert done.exit_code == 2
    assert "Missing argument" in done.stderr
