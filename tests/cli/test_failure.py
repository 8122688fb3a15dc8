"""Errors as a person reads them."""

import os
import signal
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


def serve(*options: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a server, in a process of its own, that does not start."""
    return subprocess.run(
        [sys.executable, "-m", "service.cli.main", "serve", *options],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_a_taken_port_is_one_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = serve(
            COPYCATCH_LISTEN=address,
            COPYCATCH_METRICS_LISTEN="",
            COPYCATCH_DATA_DIR=str(tmp_path / "data"),
            COPYCATCH_ENCODER="toy",
        )
    assert done.returncode == 2
    assert f"error: can not listen on {address}: another program does" in done.stderr
    assert "COPYCATCH_LISTEN" in done.stderr
    assert len(done.stderr.splitlines()) == 1  # and none of gRPC's


@pytest.mark.parametrize("check", [[], ["--check-config"]])
def test_a_data_folder_that_can_not_be_is_named_by_its_setting(
    tmp_path: Path, check: list[str]
) -> None:
    (tmp_path / "file").touch()
    done = serve(
        *check,
        COPYCATCH_DATA_DIR=str(tmp_path / "file/data"),
        COPYCATCH_CLIP="off",
        COPYCATCH_ENCODER="toy",
    )
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        f"error: data_dir: {tmp_path / 'file'} is no folder; name another folder"
    )


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
    assert done.exit_code == 130
    assert done.stderr == "error: interrupted\n"


def test_an_interruption_while_it_loads_shows_nothing_of_its_modules() -> None:
    """The signal comes at the first import of ours, from a finder that stands in its way."""
    program = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
class Interrupting:
    def find_spec(self, name, *rest):
        if name == "service.cli.output":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupting())
from service.cli.entry import run
run()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (-signal.SIGINT, b"")


def test_an_interrupted_command_ends_at_once_whatever_its_threads_do() -> None:
    program = """
import sys, threading, time
from service.cli.client import Client
from service.cli.entry import run
def info(self):
    threading.Thread(target=time.sleep, args=(3600,)).start()
    raise KeyboardInterrupt
Client.info = info
sys.argv = ["copycatch", "info"]
run()
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (-signal.SIGINT, b"error: interrupted\n")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("check", "error: Missing argument 'PATHS' (see `copycatch check --help`)\n"),
        ("check a --foo", "error: No such option: --foo (see `copycatch check --help`)\n"),
        (
            "chek a",
            "error: No such command 'chek'. Did you mean 'check'? (see `copycatch --help`)\n",
        ),
    ],
)
def test_wrong_usage_is_one_line(words: str, line: str) -> None:
    done = CliRunner().invoke(app, words.split(), prog_name="copycatch")
    assert done.exit_code == 2
    assert done.stderr == line


def test_a_command_without_arguments_shows_its_help_alone() -> None:
    done = CliRunner().invoke(app, ["keys"])
    assert done.exit_code == 2
    assert "Make, list and revoke API keys" in done.stdout
    assert not done.stderr
