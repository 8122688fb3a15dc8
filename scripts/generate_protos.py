"""Make the Python code of `protos/copycatch/v1` and hold the contract to its rules.

    python scripts/generate_protos.py            write the generated code
    python scripts/generate_protos.py --check    change nothing; fail when the code is stale,
                                                 buf lint complains or the contract is broken
    python scripts/generate_protos.py --accept   take the protos as the new baseline

The baseline `contract.binpb` is the descriptor set of the last accepted contract. buf
compares with it, so the check needs neither a network nor the history of the repository.
Adding to the contract passes; what would break a caller (removing, renumbering, retyping,
renaming) fails until somebody decides for it with `--accept`, which is visible in review.
"""

import argparse
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import grpc_tools
from google.api import field_behavior_pb2
from grpc_tools import protoc

ROOT = Path(__file__).resolve().parents[1]
PROTO_ROOT = ROOT / "protos"
PACKAGE = Path("copycatch/v1")
BASELINE = PROTO_ROOT / PACKAGE / "contract.binpb"
BUF_CONFIG = PROTO_ROOT / "buf.yaml"
INCLUDES = (
    PROTO_ROOT,
    Path(grpc_tools.__file__).parent / "_proto",
    Path(field_behavior_pb2.__file__).parents[2],
)
"""Where imports are found: ours, protobuf's own types, and googleapis-common-protos."""


def sources() -> list[str]:
    """Return our proto files, relative to `PROTO_ROOT`, in a fixed order."""
    return sorted(str(p.relative_to(PROTO_ROOT)) for p in (PROTO_ROOT / PACKAGE).glob("*.proto"))


def run_protoc(*arguments: str) -> None:
    """Run protoc over our files; raise `SystemExit` when it fails (it prints why)."""
    scripts = Path(sysconfig.get_path("scripts"))
    plugins = [
        f"--plugin={name}={scripts / name}"
        for name in ("protoc-gen-mypy", "protoc-gen-mypy_grpc")
        if (scripts / name).exists()
    ]
    command = ["protoc", *(f"-I{path}" for path in INCLUDES), *plugins, *arguments, *sources()]
    if protoc.main(command):
        raise SystemExit("protoc failed, see above")


def generate(target: Path) -> None:
    """Write modules and stubs below `target`, which plays the part of `protos/`."""
    run_protoc(
        f"--python_out={target}",
        f"--grpc_python_out={target}",
        f"--mypy_out=quiet:{target}",
        f"--mypy_grpc_out=quiet:{target}",
    )
    for name in ("__init__.py", "v1/__init__.py"):
        (target / "copycatch" / name).touch()


def describe(target: Path, *, comments: bool) -> None:
    """Write the descriptor set, imports included, to the file `target`."""
    comment_flags = ["--include_source_info"] if comments else []
    run_protoc(f"--descriptor_set_out={target}", "--include_imports", *comment_flags)


def generated(root: Path) -> dict[str, bytes]:
    """Return the generated files below `root` by their relative names."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted((root / PACKAGE).glob("*_pb2*.py*"))
        if path.suffix in {".py", ".pyi"}
    }


def stale() -> list[str]:
    """Return the committed generated files that differ from what the generator makes."""
    with tempfile.TemporaryDirectory() as folder:
        fresh_root = Path(folder)
        generate(fresh_root)
        fresh, committed = generated(fresh_root), generated(PROTO_ROOT)
    names = sorted(fresh.keys() | committed.keys())
    return [name for name in names if fresh.get(name) != committed.get(name)]


def buf(*arguments: str) -> str:
    """Run buf and return what it complains about, empty when nothing."""
    executable = Path(sysconfig.get_path("scripts")) / "buf"
    if not executable.exists():
        raise SystemExit("buf is not installed: pip install buf-bin")
    done = subprocess.run([executable, *arguments], capture_output=True, text=True, check=False)
    complaint = (done.stdout + done.stderr).strip()
    return complaint or (f"buf ended with {done.returncode}" if done.returncode else "")


def lint() -> str:
    """Return what `buf lint` says about our files, empty when nothing."""
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder, "image.binpb")
        describe(image, comments=True)
        return buf("lint", str(image), "--config", str(BUF_CONFIG))


def breaking(proto_image: Path | None = None) -> str:
    """Return what a caller of the baseline would lose, empty when nothing.

    Args:
        proto_image: a descriptor set to hold against the baseline; our files when None.
    """
    with tempfile.TemporaryDirectory() as folder:
        image = proto_image or Path(folder, "image.binpb")
        if proto_image is None:
            describe(image, comments=False)
        return buf("breaking", str(image), "--against", str(BASELINE), "--config", str(BUF_CONFIG))


def check() -> int:
    """Print every complaint and return the exit status."""
    complaints = [f"stale: protos/{name} (run scripts/generate_protos.py)" for name in stale()]
    complaints += [f"lint: {line}" for line in lint().splitlines()]
    complaints += [f"breaking: {line}" for line in breaking().splitlines()]
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    return 1 if complaints else 0


def main() -> int:
    """Parse the command line and return the exit status."""
    parser = argparse.ArgumentParser(description="Make the Python code of the protos.")
    parser.add_argument("--check", action="store_true", help="change nothing, fail when stale")
    parser.add_argument("--accept", action="store_true", help="make this the new baseline")
    options = parser.parse_args()
    if options.check:
        return check()
    for name in generated(PROTO_ROOT):
        (PROTO_ROOT / name).unlink()
    generate(PROTO_ROOT)
    if options.accept or not BASELINE.exists():
        describe(BASELINE, comments=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
