"""Look the locked packages up among known vulnerabilities, with pip-audit.

    python scripts/audit_packages.py

requirements/test.txt holds every package of every lock. Ends with 1 when one of them has a
known vulnerability in its locked version. Where the advisory service (OSV) can not be reached,
one line says so, and the end is 0: a machine without a network can check everything else.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

LOCK = Path(__file__).resolve().parents[1] / "requirements/test.txt"
_TIMEOUT_S = 600
_UNREACHABLE = (
    "ConnectionError",
    "ConnectTimeout",
    "ReadTimeout",
    "ProxyError",
    "SSLError",
    "HTTPError",
    "JSONDecodeError",
)
"""Classes of what pip-audit ends with when there is no service, or something else in its place."""


def main() -> None:
    """Ask, and end with 1 for a finding or when pip-audit itself fails."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--lock", type=Path, default=LOCK)
    parser.add_argument("--osv-url", help="another advisory service that speaks OSV's protocol")
    options = parser.parse_args()
    command = [sys.executable, "-m", "pip_audit", "--vulnerability-service", "osv"]
    command += ["--require-hashes", "--disable-pip", "--requirement", str(options.lock)]
    command += ["--format", "json", "--progress-spinner", "off", "--timeout", "10"]
    if options.osv_url:
        command += ["--osv-url", options.osv_url]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        print(f"audit skipped: the advisory service took longer than {_TIMEOUT_S} s")
        return
    last = done.stderr.strip().rpartition("\n")[2]
    if not done.stdout.lstrip().startswith("{"):
        named = last.partition(":")[0].rpartition(".")[2]
        if named in _UNREACHABLE or "connect" in last.lower():
            print(f"audit skipped: the advisory service can not be reached ({last[:200]})")
            return
        raise SystemExit(f"pip-audit failed: {done.stderr.strip()[-2000:]}")
    raise SystemExit(_tell(json.loads(done.stdout)))


def _tell(report: dict[str, Any]) -> int:
    """Print what was found; the exit code."""
    asked = [one for one in report["dependencies"] if "vulns" in one]
    skipped = [one["name"] for one in report["dependencies"] if "vulns" not in one]
    for one in asked:
        for found in one["vulns"]:
            fixed = ", ".join(found["fix_versions"]) or "no version yet"
            names = ", ".join([found["id"], *found.get("aliases", [])])
            words = found.get("description", "")[:200]
            print(f"{one['name']} {one['version']}: {names}, fixed in {fixed}: {words}")
    if skipped:
        print(f"not looked up: {', '.join(skipped)}")
    count = sum(bool(one["vulns"]) for one in asked)
    print(f"{count} of {len(asked)} locked packages have known vulnerabilities")
    if count:
        print("take fixed versions: make lock ARGS='--upgrade-package NAME'")
    return 1 if count else 0


if __name__ == "__main__":
    main()
