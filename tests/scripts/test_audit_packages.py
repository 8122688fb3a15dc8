"""The audit of packages: pip-audit itself, against an advisory service of the test's own."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOCK = """\
certifi==2026.10.18 --hash=sha256:{0}
requests==2.34.2 --hash=sha256:{0}
""".format("a" * 64)


class Advisories(BaseHTTPRequestHandler):
    """Speaks OSV's protocol; knows of one vulnerability in one version of requests."""

    bad_version = ""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answer: dict[str, Any] = {}
        if (asked["package"]["name"], asked["version"]) == ("requests", self.bad_version):
            package = {"name": "requests", "ecosystem": "PyPI"}
            events = [{"introduced": "0"}, {"fixed": "2.99.0"}]
            fixed = {"package": package, "ranges": [{"type": "ECOSYSTEM", "events": events}]}
            answer = {"vulns": [{"id": "OSV-1", "summary": "leaks", "affected": [fixed]}]}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def service() -> Iterator[str]:
    """Where the advisories are."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Advisories)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1/query"
    server.shutdown()
    thread.join()
    server.server_close()


def audit(tmp_path: Path, url: str, lock: str = LOCK) -> "subprocess.CompletedProcess[str]":
    pytest.importorskip("pip_audit")
    file = tmp_path / "lock.txt"
    file.write_text(lock, encoding="utf-8")
    return subprocess.run(
        [sys.executable, str(ROOT / "scripts/audit_packages.py"), "--lock", file, "--osv-url", url],
        capture_output=True,
        text=True,
        check=False,
    )


def test_packages_without_a_known_vulnerability_pass(tmp_path: Path, service: str) -> None:
    done = audit(tmp_path, service)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (
        0,
        "0 of 2 locked packages have known vulnerabilities",
    )


def test_a_known_vulnerability_fails_with_the_version_that_mends_it(
    tmp_path: Path, service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Advisories, "bad_version", "2.34.2")
    done = audit(tmp_path, service)
    assert done.returncode == 1
    assert "requests 2.34.2: OSV-1, fixed in 2.99.0: leaks" in done.stdout
    assert "1 of 2 locked packages" in done.stdout


def test_without_a_network_it_says_so_and_passes(tmp_path: Path) -> None:
    done = audit(tmp_path, "http://127.0.0.1:9/v1/query")  # discard: nobody listens
    assert done.returncode == 0
    assert done.stdout.startswith("audit skipped: the advisory service can not be reached")


def test_a_lock_that_can_not_be_read_is_no_pass(tmp_path: Path) -> None:
    done = audit(tmp_path, "http://127.0.0.1:9/v1/query", "requests==2.34.2\n")
    assert done.returncode == 1
    assert "pip-audit failed" in done.stderr
