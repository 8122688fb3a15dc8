"""The one table from error class to gRPC code, and the status that a caller gets.

A status holds one `ErrorInfo` (the class's `reason`, domain `copycatch.dev`, the error's
attributes as metadata), a `BadRequest` for invalid fields, and a `RetryInfo` where the error
knows when to come back. Whatever is not in the table is a defect of the server: the caller
gets INTERNAL and the request id, the log gets the rest.
"""

from collections.abc import Mapping
from pathlib import Path

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2

from index import (
    audit_log,
    backup,
    catalogue,
    chain,
    disk,
    dispute_rows,
    ids,
    ledger,
    licences,
    live,
    memory,
    reader,
    records,
    recovery,
    removal,
    snapshot,
    spaces,
    vectors,
)
from models import background, batcher, encoders, features, print_record, refusals, weights
from models.labels import budget, content_credentials, embed, write, xmp_merge
from service import replayed, workers
from service.access import limits
from service.access import refusals as keys
from service.helpers import pool as helpers
from service.matching import calibration, policies, score
from service.rpc import callers, fields, gate, paging, permissions
from service.sweeps import book, recall
from service.sweeps import errors as manifests
from service.sweeps import ledger as sweeps

DOMAIN = "copycatch.dev"
INTERNAL_REASON = "INTERNAL"
_METADATA_CHARS = 256

Code = grpc.StatusCode

CODES: Mapping[type[Exception], grpc.StatusCode] = {
    # What the caller sent.
    callers.MessageUndecodable: Code.INVALID_ARGUMENT,
    fields.FieldInvalid: Code.INVALID_ARGUMENT,
    policies.UnknownPolicy: Code.INVALID_ARGUMENT,
    paging.PageTokenInvalid: Code.INVALID_ARGUMENT,
    ids.IdInvalid: Code.INVALID_ARGUMENT,
    replayed.ImageDiffers: Code.INVALID_ARGUMENT,
    refusals.ImageEmpty: Code.INVALID_ARGUMENT,
    refusals.ImageUndecodable: Code.INVALID_ARGUMENT,
    refusals.ImageTruncated: Code.INVALID_ARGUMENT,
    refusals.ImageTooLarge: Code.INVALID_ARGUMENT,
    refusals.ImageTooSmall: Code.INVALID_ARGUMENT,
    refusals.ImageFeatureless: Code.INVALID_ARGUMENT,
    workers.PictureTimedOut: Code.INVALID_ARGUMENT,
    helpers.HelperLost: Code.INVALID_ARGUMENT,
    write.LabelUnsupported: Code.INVALID_ARGUMENT,
    write.LabelFieldInvalid: Code.INVALID_ARGUMENT,
    embed.LabelUnwritable: Code.INVALID_ARGUMENT,
    embed.LabelTooLarge: Code.INVALID_ARGUMENT,
    xmp_merge.XmpUnmergeable: Code.INVALID_ARGUMENT,
    manifests.ManifestInvalid: Code.INVALID_ARGUMENT,
    manifests.SourceNotAllowed: Code.PERMISSION_DENIED,
    # What is there, or not.
    ledger.BrandNotFound: Code.NOT_FOUND,
    ledger.OriginalNotFound: Code.NOT_FOUND,
    recall.ListingForgotten: Code.NOT_FOUND,
    sweeps.SweepNotFound: Code.NOT_FOUND,
    book.FindingNotFound: Code.NOT_FOUND,
    manifests.SourceNotFound: Code.NOT_FOUND,
    sweeps.SweepExists: Code.ALREADY_EXISTS,
    audit_log.AuditEntryNotFound: Code.NOT_FOUND,
    memory.ListingNotFound: Code.NOT_FOUND,
    ledger.BrandExists: Code.ALREADY_EXISTS,
    ledger.OriginalExists: Code.ALREADY_EXISTS,
    licences.LicenceNotFound: Code.NOT_FOUND,
    licences.ProgrammeNotFound: Code.NOT_FOUND,
    licences.LicenceExists: Code.ALREADY_EXISTS,
    licences.ProgrammeExists: Code.ALREADY_EXISTS,
    licences.ProgrammeInUse: Code.FAILED_PRECONDITION,
    dispute_rows.DisputeNotFound: Code.NOT_FOUND,
    dispute_rows.DisputeWithdrawn: Code.FAILED_PRECONDITION,
    ledger.EtagMismatch: Code.ABORTED,
    ledger.BrandLeaving: Code.FAILED_PRECONDITION,
    removal.BrandNotEmpty: Code.FAILED_PRECONDITION,
    ledger.RequestIdReused: Code.FAILED_PRECONDITION,
    replayed.NotReplayable: Code.FAILED_PRECONDITION,
    write.ManifestPresent: Code.FAILED_PRECONDITION,
    sweeps.SweepFinished: Code.FAILED_PRECONDITION,
    sweeps.SweepsTooMany: Code.FAILED_PRECONDITION,
    manifests.SourceUnreadable: Code.FAILED_PRECONDITION,
    manifests.ExtraMissing: Code.FAILED_PRECONDITION,
    memory.MemoryOff: Code.FAILED_PRECONDITION,
    # Who calls.
    keys.ApiKeyMissing: Code.UNAUTHENTICATED,
    keys.ApiKeyUnknown: Code.UNAUTHENTICATED,
    keys.ApiKeyExpired: Code.UNAUTHENTICATED,
    keys.ApiKeyRevoked: Code.UNAUTHENTICATED,
    keys.CertificateUnknown: Code.UNAUTHENTICATED,
    permissions.RoleForbids: Code.PERMISSION_DENIED,
    limits.KeyLimitReached: Code.RESOURCE_EXHAUSTED,
    callers.CallerSilent: Code.DEADLINE_EXCEEDED,
    callers.CallerStalled: Code.DEADLINE_EXCEEDED,
    # How the server is.
    gate.IndexNotReady: Code.UNAVAILABLE,
    gate.ShuttingDown: Code.UNAVAILABLE,
    catalogue.IndexBehind: Code.UNAVAILABLE,
    batcher.BatcherStopped: Code.UNAVAILABLE,
    disk.StoreClosed: Code.UNAVAILABLE,
    disk.StoreReadOnly: Code.UNAVAILABLE,
    batcher.QueueFull: Code.RESOURCE_EXHAUSTED,
    disk.StoreFull: Code.RESOURCE_EXHAUSTED,
    batcher.DeadlineExpired: Code.DEADLINE_EXCEEDED,
    # The disk has lost something; all else is still answered.
    records.RecordCorrupt: Code.DATA_LOSS,
    disk.StoreCorrupt: Code.DATA_LOSS,
    # Defects of the server or its disk, in a call or at start: the caller can do nothing.
    chain.AuditBroken: Code.INTERNAL,
    dispute_rows.RivalAppeared: Code.INTERNAL,
    reader.KeyNotFound: Code.INTERNAL,
    live.DuplicateKey: Code.INTERNAL,
    spaces.DimensionMismatch: Code.INTERNAL,
    spaces.NotFinite: Code.INTERNAL,
    spaces.NotUnit: Code.INTERNAL,
    spaces.UnknownSpace: Code.INTERNAL,
    disk.StoreInUse: Code.INTERNAL,
    disk.StoreMissing: Code.INTERNAL,
    backup.BackupMissing: Code.INTERNAL,
    backup.BackupCorrupt: Code.INTERNAL,
    backup.FolderNotEmpty: Code.INTERNAL,
    backup.FolderUnwritable: Code.INTERNAL,
    disk.StoreFailed: Code.INTERNAL,
    disk.StoreTooNew: Code.INTERNAL,
    recovery.SchemaMismatch: Code.INTERNAL,
    memory.MemoryMismatch: Code.INTERNAL,
    print_record.PrintUnreadable: Code.INTERNAL,
    snapshot.SnapshotCorrupt: Code.INTERNAL,
    snapshot.SnapshotMismatch: Code.INTERNAL,
    snapshot.SnapshotFailed: Code.INTERNAL,
    vectors.FaissMissing: Code.INTERNAL,
    vectors.DeviceMissing: Code.INTERNAL,
    encoders.EncoderUnavailable: Code.INTERNAL,
    weights.WeightsNotFetched: Code.INTERNAL,
    batcher.EncodingFailed: Code.INTERNAL,
    features.FeaturesCorrupt: Code.INTERNAL,
    print_record.PrintUnreadable: Code.INTERNAL,
    background.BackgroundCorrupt: Code.INTERNAL,
    score.ModelCorrupt: Code.INTERNAL,
    calibration.CalibrationCorrupt: Code.INTERNAL,
    calibration.CalibrationMismatch: Code.INTERNAL,
    budget.BlockUnreadable: Code.INTERNAL,
    content_credentials.ManifestSigningFailed: Code.INTERNAL,
    content_credentials.TrustListUnusable: Code.INTERNAL,
    keys.CertificateTaken: Code.INTERNAL,  # of `copycatch keys`; no call makes keys
}
"""Every class with a `reason` in `index`, `models`, `service.rpc` and what is below it."""

OF_ONE_PICTURE = frozenset({Code.INVALID_ARGUMENT, Code.INTERNAL, Code.DATA_LOSS})
"""Codes that say something about one picture of a listing; the others are about the server."""

FOR_THE_LOG = frozenset({Code.INTERNAL, Code.DATA_LOSS})
"""Codes of which the log gets all that is known: somebody has to look after the server."""

_BY_NUMBER = {code.value[0]: code for code in grpc.StatusCode}


def code_of(error: BaseException) -> grpc.StatusCode:
    """Return the code of an error, INTERNAL when it is in no line of the table."""
    for kind in type(error).__mro__:
        if kind in CODES:
            return CODES[kind]
    return Code.INTERNAL


def reason_of(error: BaseException) -> str:
    """Return the reason that the caller sees."""
    if code_of(error) is Code.INTERNAL:
        return INTERNAL_REASON
    return str(getattr(error, "reason", INTERNAL_REASON))


def status_of(error: BaseException, request_id: str) -> status_pb2.Status:
    """Return what the caller is told about an error.

    Args:
        request_id: shown for INTERNAL, so that the log line can be found.
    """
    code = code_of(error)
    if code is Code.INTERNAL:
        info = _info(INTERNAL_REASON, {"request_id": request_id})
        message = f"internal error; the server's log has more under request id {request_id}"
        return _status(code, message, [info])
    details = [_info(reason_of(error), _metadata(error))]
    if isinstance(error, fields.FieldInvalid):
        details.append(
            _packed(
                error_details_pb2.BadRequest(
                    field_violations=[
                        error_details_pb2.BadRequest.FieldViolation(field=name, description=why)
                        for name, why in error.violations
                    ]
                )
            )
        )
    retry_after_s = getattr(error, "retry_after_s", None)
    if retry_after_s is not None:
        delay = duration_pb2.Duration()
        delay.FromNanoseconds(int(retry_after_s * 1e9))
        details.append(_packed(error_details_pb2.RetryInfo(retry_delay=delay)))
    return _status(code, _message(error), details)


def code_in(status: status_pb2.Status) -> grpc.StatusCode:
    """Return the gRPC code of a status."""
    return _BY_NUMBER[status.code]


def reason_in(status: status_pb2.Status) -> str:
    """Return the reason in a status's `ErrorInfo`, empty when it has none."""
    for detail in status.details:
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            return str(info.reason)
    return ""


def _status(code: grpc.StatusCode, message: str, details: list[any_pb2.Any]) -> status_pb2.Status:
    return status_pb2.Status(code=code.value[0], message=message, details=details)


def _info(reason: str, metadata: Mapping[str, str]) -> any_pb2.Any:
    return _packed(error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN, metadata=metadata))


def _packed(detail: error_details_pb2.ErrorInfo) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(detail)
    return packed


def _metadata(error: BaseException) -> dict[str, str]:
    """Return the attributes of an error as text; where the server keeps its files is private."""
    return {
        name: _text(value)[:_METADATA_CHARS]
        for name, value in vars(error).items()
        if not name.startswith("_") and name != "violations" and not isinstance(value, Path)
    }


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _message(error: BaseException) -> str:
    message = str(error)
    for value in vars(error).values():
        if isinstance(value, Path):
            message = message.replace(f"{value} ", "").replace(str(value), value.name)
    return message
