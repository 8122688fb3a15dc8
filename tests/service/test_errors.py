"""The table of errors: complete, well formed, and what the caller sees of each."""

import importlib
import inspect
import pkgutil
import re
from pathlib import Path
from types import ModuleType

import grpc
import pytest
from google.rpc import error_details_pb2

import index
import models
import service.access
import service.matching
import service.rpc
import service.sweeps
from index.disk import StoreFull
from models.batcher import QueueFull
from service.rpc import errors
from service.rpc.fields import FieldInvalid

DOMAINS: tuple[ModuleType, ...] = (
    index,
    models,
    service.access,
    service.matching,
    service.sweeps,
    service.rpc,
)


def classes_with_a_reason() -> set[type[Exception]]:
    found: set[type[Exception]] = set()
    for package in DOMAINS:
        for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if info.name == "models.clip":
                continue  # imports torch; its errors are those of models.encoders
            for value in vars(importlib.import_module(info.name)).values():
                if (
                    inspect.isclass(value)
                    and issubclass(value, Exception)
                    and "reason" in vars(value)
                ):
                    found.add(value)
    return found


def test_every_error_with_a_reason_is_in_the_table() -> None:
    missing = classes_with_a_reason() - errors.CODES.keys()
    assert not missing, f"add to service/rpc/errors.py: {sorted(c.__name__ for c in missing)}"


def test_the_walk_finds_the_errors() -> None:
    """A walk that finds nothing would prove nothing."""
    names = {found.__name__ for found in classes_with_a_reason()}
    assert {"QueueFull", "OriginalExists", "ImageUndecodable", "FieldInvalid"} <= names


def test_a_reason_is_the_name_of_its_class() -> None:
    for error in errors.CODES:
        words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", error.__name__).upper()
        assert error.reason == words  # type: ignore[attr-defined]
        assert re.fullmatch(r"[A-Z][A-Z0-9_]{1,61}[A-Z0-9]", words)


def test_a_reason_belongs_to_one_class() -> None:
    reasons = [error.reason for error in errors.CODES]  # type: ignore[attr-defined]
    assert len(reasons) == len(set(reasons))


def test_metadata_are_the_attributes_of_the_error() -> None:
    status = errors.status_of(QueueFull(0.25, 7), "r")
    assert errors.code_in(status) is grpc.StatusCode.RESOURCE_EXHAUSTED
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    assert status.details[0].Unpack(info) and status.details[1].Unpack(retry)
    assert (info.reason, info.domain) == ("QUEUE_FULL", "copycatch.dev")
    assert dict(info.metadata) == {"retry_after_s": "0.25", "waiting": "7"}
    assert retry.retry_delay.ToNanoseconds() == 250_000_000


def test_violations_are_a_bad_request() -> None:
    status = errors.status_of(FieldInvalid((("a.b", "is required"), ("c", "is odd"))), "r")
    bad = error_details_pb2.BadRequest()
    assert status.details[1].Unpack(bad)
    assert [(one.field, one.description) for one in bad.field_violations] == [
        ("a.b", "is required"),
        ("c", "is odd"),
    ]


def test_where_the_server_keeps_its_files_is_its_own_affair() -> None:
    error = StoreFull(Path("/srv/secret/store"), "no space left on the disk")
    status = errors.status_of(error, "r")
    assert errors.code_in(status) is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "no space" in status.message
    assert "secret" not in str(status)


@pytest.mark.parametrize(
    "error", [ValueError("password 1234"), KeyError("password 1234"), MemoryError()]
)
def test_a_defect_gives_the_request_id_and_nothing_else(error: Exception) -> None:
    status = errors.status_of(error, "request-7")
    info = error_details_pb2.ErrorInfo()
    (detail,) = status.details
    assert detail.Unpack(info)
    assert (info.reason, dict(info.metadata)) == ("INTERNAL", {"request_id": "request-7"})
    assert "request-7" in status.message
    assert "1234" not in str(status)


def test_an_error_of_the_index_that_is_no_fault_of_the_caller_is_internal() -> None:
    internal = [e for e, code in errors.CODES.items() if code is grpc.StatusCode.INTERNAL]
    assert internal
    for error in internal:
        status = errors.status_of(error.__new__(error), "r")
        assert errors.reason_in(status) == "INTERNAL"
