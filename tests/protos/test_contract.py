"""The contract: generated code is current, the rules hold, nothing breaks a caller."""

import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2

from copycatch.v1 import (
    ai_label_pb2,
    audit_service_pb2,
    brands_service_pb2,
    disputes_service_pb2,
    listings_service_pb2,
    match_service_pb2,
    originals_service_pb2,
    sweep_service_pb2,
)
from scripts import generate_protos
from service.matching import results

MODULES = (
    ai_label_pb2,
    audit_service_pb2,
    brands_service_pb2,
    listings_service_pb2,
    disputes_service_pb2,
    originals_service_pb2,
    match_service_pb2,
    sweep_service_pb2,
)


def baseline() -> descriptor_pb2.FileDescriptorSet:
    return descriptor_pb2.FileDescriptorSet.FromString(generate_protos.BASELINE.read_bytes())


def ours(files: descriptor_pb2.FileDescriptorSet) -> dict[str, descriptor_pb2.FileDescriptorProto]:
    return {file.name: file for file in files.file if file.name.startswith("copycatch/")}


def test_generated_code_is_what_the_generator_makes() -> None:
    assert generate_protos.stale() == []


def test_a_changed_proto_makes_the_generated_code_stale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy_protos(tmp_path, monkeypatch, "string seller = 2", "string vendor = 2")
    stale = generate_protos.stale()
    assert "copycatch/v1/match_service_pb2.py" in stale
    assert "copycatch/v1/match_service_pb2.pyi" in stale


def test_the_protos_pass_buf_lint() -> None:
    assert generate_protos.lint() == ""


def test_buf_lint_finds_a_missing_comment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy_protos(tmp_path, monkeypatch, "  // Not set: the picture could not be checked.\n", "")
    assert "VERDICT_UNSPECIFIED" in generate_protos.lint()


def test_the_contract_breaks_no_caller_of_the_baseline() -> None:
    assert generate_protos.breaking() == ""


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("  string seller = 2 [(google.api.field_behavior) = OPTIONAL];\n", "", "seller"),
        ("string listing_id = 1 [", "string listing_id = 9 [", "listing_id"),
        ("int32 max_matches = 2", "int64 max_matches = 2", "max_matches"),
        (
            "rpc CompareImages(CompareImagesRequest) returns (Comparison);",
            "rpc CompareImages(CompareImagesRequest) returns (ServerInfo);",
            "CompareImages",
        ),
    ],
)
def test_a_change_that_breaks_callers_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, named: str
) -> None:
    copy_protos(tmp_path, monkeypatch, old, new)
    assert named in generate_protos.breaking()


def test_the_wire_of_the_baseline_is_the_wire_of_the_code() -> None:
    """Every field, number and type that was ever accepted is in the imported code."""
    known = ours(baseline())
    for module in MODULES:
        file = descriptor_pb2.FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(file)
        assert wire(known[file.name]) <= wire(file)
    assert len(known) == len(MODULES)


def test_the_check_of_the_command_line_passes() -> None:
    script = str(generate_protos.ROOT / "scripts" / "generate_protos.py")
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("values", "message_enum"),
    [
        (results.Verdict, match_service_pb2.Verdict),
        (results.MatchKind, match_service_pb2.MatchKind),
        (results.EditType, match_service_pb2.Edit.Type),
    ],
)
def test_the_words_of_an_answer_are_those_of_the_protos(values: type, message_enum: object) -> None:
    names = [name for name in message_enum.keys() if not name.endswith("UNSPECIFIED")]  # type: ignore[attr-defined]
    assert names == [value.value for value in values]  # type: ignore[attr-defined]


def test_every_request_field_says_whether_it_is_required() -> None:
    """AIP-203: REQUIRED, OPTIONAL, or another behaviour that says the same."""
    from google.api import field_behavior_pb2

    silent = [
        field.full_name
        for module in MODULES
        for message in module.DESCRIPTOR.message_types_by_name.values()
        if message.name.endswith("Request") or message.name in ("Listing", "MatchConfig", "Brand")
        for field in message.fields
        if not field.GetOptions().Extensions[field_behavior_pb2.field_behavior]
    ]
    assert silent == []


def wire(file: descriptor_pb2.FileDescriptorProto) -> set[tuple[object, ...]]:
    """Return what a caller depends on: fields, enum values and methods."""
    found: set[tuple[object, ...]] = set()

    def walk(prefix: str, message: descriptor_pb2.DescriptorProto) -> None:
        name = f"{prefix}.{message.name}"
        for field in message.field:
            found.add((name, field.name, field.number, field.type, field.label, field.type_name))
        for enum in message.enum_type:
            found.update((name, enum.name, value.name, value.number) for value in enum.value)
        for nested in message.nested_type:
            walk(name, nested)

    for message in file.message_type:
        walk("", message)
    for enum in file.enum_type:
        found.update((enum.name, value.name, value.number) for value in enum.value)
    for service in file.service:
        for method in service.method:
            found.add(
                (
                    service.name,
                    method.name,
                    method.input_type,
                    method.output_type,
                    method.client_streaming,
                    method.server_streaming,
                )
            )
    return found


def copy_protos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str) -> None:
    """Point the generator at a copy of the protos, with one change in match_service.proto."""
    package = tmp_path / generate_protos.PACKAGE
    package.mkdir(parents=True)
    for path in (generate_protos.PROTO_ROOT / generate_protos.PACKAGE).iterdir():
        if path.is_file():
            (package / path.name).write_bytes(path.read_bytes())
    changed = package / "match_service.proto"
    text = changed.read_text()
    assert text.count(old) == 1
    changed.write_text(text.replace(old, new))
    monkeypatch.setattr(generate_protos, "PROTO_ROOT", tmp_path)
    monkeypatch.setattr(generate_protos, "INCLUDES", (tmp_path, *generate_protos.INCLUDES[1:]))
