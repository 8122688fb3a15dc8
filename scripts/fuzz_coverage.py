"""Fuzz the parsers of ours for a while, guided by what they reach, and count.

    .venv-test/bin/python -m pip install atheris
    .venv-test/bin/python -m scripts.fuzz_coverage --seconds 300

atheris sees which branches an input takes and keeps what reaches new ones, so it finds its way
into formats that blind mutants (scripts/fuzz_images.py, fuzz_labels.py) rarely get through.
Targets: the readers of AI labels, the readers of image headers, and the checks of requests.
Each runs in a process of its own for an equal share of the time. A finding is printed as bytes.
"""

import argparse
import importlib
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from scripts.fuzzing import show_finding

try:
    import atheris
except ModuleNotFoundError as error:
    raise SystemExit("atheris is not installed: pip install atheris") from error

_INSTRUMENTED = ["models.labels", "models.containers", "models.container", "models.jpeg"]
_INSTRUMENTED += ["models.png", "models.tiff", "service.rpc"]
_MOST_BYTES = 8192
_S = 5
"""An input that takes longer is a finding."""


def _labels() -> tuple[Callable[[bytes], object], Sequence[bytes]]:
    with atheris.instrument_imports(include=_INSTRUMENTED):
        fuzzing = importlib.import_module("tests.labels.fuzzing")
    kit = importlib.import_module("tests.labels.kit")
    corpus = [data for container in kit.CONTAINERS for data in fuzzing.corpus(container)]
    return fuzzing.check_reading, corpus


def _headers() -> tuple[Callable[[bytes], object], Sequence[bytes]]:
    with atheris.instrument_imports(include=_INSTRUMENTED):
        containers = importlib.import_module("models.containers")
        fuzzing = importlib.import_module("tests.kit.fuzzing")

    def check(data: bytes) -> None:
        try:
            containers.read_container(data)
        except fuzzing.REFUSALS:
            pass

    return check, [data for format in fuzzing.FORMATS for data in fuzzing.pictures(format)]


def _requests() -> tuple[Callable[[bytes], object], Sequence[bytes]]:
    """Bytes as a message, of the kind that their first byte says, through its check."""
    with atheris.instrument_imports(include=_INSTRUMENTED):
        rpc = importlib.import_module("service.rpc.convert")
        terms = importlib.import_module("service.rpc.terms")
        sweeps = importlib.import_module("service.rpc.sweep_requests")
        paging = importlib.import_module("service.rpc.paging")
        errors = importlib.import_module("service.rpc.errors")
    from google.protobuf.message import DecodeError

    from copycatch.v1 import brands_service_pb2 as brands
    from copycatch.v1 import match_service_pb2 as match
    from copycatch.v1 import originals_service_pb2 as originals
    from copycatch.v1 import sweep_service_pb2 as sweep

    kinds: list[tuple[Any, Callable[[Any], object]]] = [
        (brands.CreateBrandRequest, rpc.new_brand),
        (brands.CreateLicenceRequest, lambda message: terms.new_licence(message, 10**18)),
        (brands.CreateProgrammeRequest, terms.new_programme),
        (originals.CreateOriginalRequest, rpc.submission),
        (originals.BatchCreateOriginalsRequest, rpc.batch),
        (originals.UpdateOriginalRequest, rpc.change),
        (match.CheckListingRequest, rpc.check),
        (match.CompareImagesRequest, rpc.pair),
        (match.LabelImagesRequest, rpc.labelled),
        (match.WriteLabelRequest, rpc.mark),
        (sweep.CreateSweepRequest, sweeps.new_sweep),
        (sweep.FindingFilter, sweeps.filtered),
        (sweep.GetFindingRequest, lambda message: sweeps.finding(message.name)),
        (
            originals.ListOriginalsRequest,
            lambda message: paging.after_token(message.page_token, message.parent),
        ),
    ]

    def check(data: bytes) -> None:
        kind, read = kinds[data[0] % len(kinds)] if data else kinds[0]
        try:
            read(kind.FromString(data[1:]))
        except DecodeError:
            pass
        except Exception as error:
            if errors.code_of(error).name == "INTERNAL":
                raise

    text = b"\x0a\x0bbrands/acme\x12\x04\x0a\x02ab\x1a\x03cup"
    return check, [bytes([number]) + text for number in range(len(kinds))]


TARGETS = {"labels": _labels, "headers": _headers, "requests": _requests}


def main() -> None:
    """Run each target for its share of the time, and end with 1 after a finding."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--target", choices=TARGETS, help="only this one, in this process")
    parser.add_argument("folder", nargs="*", help=argparse.SUPPRESS)  # of the inputs it begins with
    options, given = parser.parse_known_args()
    if options.target:
        check, seeds = TARGETS[options.target]()
        (folder,) = options.folder
        for number, data in enumerate(seeds):
            (Path(folder) / f"{number:04d}").write_bytes(data)
        atheris.Setup([sys.argv[0], folder, *given], check)
        atheris.Fuzz()  # ends the process
    executions = findings = 0
    for name in TARGETS:
        with tempfile.TemporaryDirectory(prefix="copycatch-fuzz-") as folder:
            count, found = _run(name, Path(folder), options.seconds / len(TARGETS), options.seed)
        print(f"{name:10} {count:10,} executions, {found} findings", flush=True)
        executions, findings = executions + count, findings + found
    print(f"total {executions:,} executions, {findings} findings, seed {options.seed}")
    raise SystemExit(bool(findings))


def _run(name: str, folder: Path, seconds: float, seed: int) -> tuple[int, int]:
    """Fuzz one target in a process; how many inputs it was given, and how many were findings."""
    seeds, found = folder / "seeds", folder / "found"
    seeds.mkdir()
    found.mkdir()
    done = subprocess.run(
        [
            *(sys.executable, "-m", "scripts.fuzz_coverage", "--target", name, str(seeds)),
            *(f"-max_total_time={round(seconds)}", f"-seed={seed}", f"-max_len={_MOST_BYTES}"),
            *(f"-timeout={_S}", f"-artifact_prefix={found}/", "-print_final_stats=1"),
        ],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        errors="replace",
        check=False,
    )
    counted = re.search(r"stat::number_of_executed_units: (\d+)", done.stderr)
    finds = sorted(found.iterdir())
    for path in finds:
        show_finding(f"{name}, {path.name}", path.read_bytes())
    if finds or counted is None or done.returncode:
        print(done.stderr[-4000:])
    return int(counted[1]) if counted else 0, max(len(finds), int(bool(done.returncode)))


if __name__ == "__main__":
    main()
