"""Write the README's tables of settings, permissions, error reasons and metrics from the code.

    python scripts/readme_tables.py            rewrite them
    python scripts/readme_tables.py --check    change nothing; fail when one is stale

A table stands between `<!-- table: NAME -->` and `<!-- end -->`.
"""

import argparse
import asyncio
import inspect
import re
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import grpc
from prometheus_client.metrics import MetricWrapperBase

from service.access.roles import Role
from service.config import load
from service.described import settings
from service.rpc.errors import CODES
from service.rpc.permissions import EVERYBODY, RULES
from service.server import start

README = Path(__file__).resolve().parents[1] / "README.md"
RETRIES = {
    grpc.StatusCode.UNAVAILABLE: "with back-off",
    grpc.StatusCode.RESOURCE_EXHAUSTED: "when told",
    grpc.StatusCode.ABORTED: "after reading again",
}


def settings_table() -> str:
    """Return the settings of a server: name, variable, values, default, meaning."""
    rows = [
        (f"`{one.name}`", one.kind.replace("|", "\\|"), _code(one.default), one.description)
        for one in settings()
    ]
    return _table(("setting", "values", "default", "meaning"), rows)


def reasons_table() -> str:
    """Return the reasons that a caller can see, once each, with their gRPC code."""
    rows: dict[str, tuple[str, str, str, str]] = {}
    for error, code in CODES.items():
        if code is grpc.StatusCode.INTERNAL:
            continue
        reason = str(getattr(error, "reason", ""))
        if reason in rows:
            continue
        rows[reason] = (
            f"`{reason}`",
            code.name,
            _first_sentence(error),
            RETRIES.get(code, "no"),
        )
    rows["INTERNAL"] = (
        "`INTERNAL`",
        "INTERNAL",
        "A defect of the server; the log has more under the request id in the metadata.",
        "no",
    )
    return _table(("reason", "code", "meaning", "retry"), rows.values())


def metrics_table() -> str:
    """Return the metrics of a running server: name as Prometheus shows it, labels, meaning."""
    with tempfile.TemporaryDirectory() as folder:
        families = asyncio.run(_families(Path(folder)))
    rows = [
        (f"`{name}`", kind, ", ".join(f"`{label}`" for label in labels), text)
        for name, kind, labels, text in sorted(families)
    ]
    return _table(("metric", "type", "labels", "meaning"), rows)


async def _families(folder: Path) -> set[tuple[str, str, tuple[str, ...], str]]:
    """Start a small server and return name, type, labels and meaning of all it counts."""
    config = load(
        data_dir=folder, listen="127.0.0.1:0", metrics_listen="", encoder="toy", clip="off"
    )
    server = await start(config)
    try:
        # Its age is a metric from the first one on.
        await asyncio.to_thread(server.gate.engine.catalogue.snapshot)
        found = set()
        for metric in vars(server.metrics).values():
            if isinstance(metric, MetricWrapperBase):
                (family,) = metric.describe()
                suffix = "_total" if family.type == "counter" else ""
                labels = tuple(metric._labelnames)
                found.add((family.name + suffix, family.type, labels, family.documentation))
        known = {name.removesuffix("_total") for name, *_ in found}
        for family in server.metrics.registry.collect():
            if family.name not in known:
                labels = tuple(family.samples[0].labels)
                found.add((family.name, family.type, labels, family.documentation))
        return found
    finally:
        await server.stop(0)


def permissions_table() -> str:
    """Return which role may call which method; `own` is what belongs to the key's brands."""
    rows = [
        (f"`{method.removeprefix('copycatch.v1.')}`", *(_may(role, method) for role in Role))
        for method in (*RULES, *sorted(EVERYBODY))
    ]
    return _table(("method", *(f"`{role}`" for role in Role)), rows)


def _may(role: Role, method: str) -> str:
    if method in EVERYBODY:
        return "yes, without a key"
    rule = RULES[method]
    if role not in rule.roles:
        return ""
    return "own" if role is Role.OWNER and method.startswith("copycatch.") else "yes"


TABLES = {
    "settings": settings_table,
    "permissions": permissions_table,
    "reasons": reasons_table,
    "metrics": metrics_table,
}


def rewritten(text: str) -> str:
    """Return the README with its tables as the code has them.

    Raises:
        ValueError: a table has no place in the text.
    """
    for name, make in TABLES.items():
        pattern = re.compile(rf"(<!-- table: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        body = make()
        text, count = pattern.subn(lambda found, b=body: found[1] + b + found[2], text)  # type: ignore[misc]
        if count != 1:
            raise ValueError(f"the README has {count} places for the table {name}")
    return text


def main() -> int:
    """Parse the command line and return the exit status."""
    parser = argparse.ArgumentParser(description="Write the README's tables from the code.")
    parser.add_argument("--check", action="store_true", help="change nothing, fail when stale")
    options = parser.parse_args()
    text = README.read_text(encoding="utf-8")
    fresh = rewritten(text)
    if options.check and fresh != text:
        print("README.md is stale: run scripts/readme_tables.py", file=sys.stderr)
        return 1
    if not options.check:
        README.write_text(fresh, encoding="utf-8")
    return 0


def _first_sentence(error: type[Exception]) -> str:
    text = " ".join((inspect.getdoc(error) or "").split("\n\n")[0].split())
    return text if text.endswith(".") else f"{text}."


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
