"""What a command says when it can not do what it was asked, and with which exit code.

A person gets one line that names the thing and the remedy, never a traceback.
"""

from collections.abc import Mapping

import grpc
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from models.refusals import ImageEmpty
from service.access.roles import Role

EXIT_OK = 0
EXIT_FOUND = 1
EXIT_ERROR = 2
EXIT_INTERRUPTED = 130
"""What a shell says of a program that Ctrl-C has ended."""

# Refusals of images say themselves what to do.
_REMEDIES = {
    "BRAND_NOT_FOUND": "`copycatch brands list` shows those that your key sees; an admin's key "
    "creates one with `copycatch brands create ID`",
    "BRAND_EXISTS": "nothing to do, or choose another id",
    "BRAND_NOT_EMPTY": "add --force to delete it with everything that it has",
    "UNREADABLE": "see that the file is there, and that your user may read it",
    "ORIGINAL_NOT_FOUND": "see `copycatch originals list --brand ID`",
    "ORIGINAL_EXISTS": "another picture has this id: delete it first, or choose another id",
    "LICENCE_NOT_FOUND": "see `copycatch licences list --brand ID`",
    "LICENCE_EXISTS": "its terms do not change: revoke it and create another one",
    "PROGRAMME_NOT_FOUND": "create it with `copycatch programmes create BRAND/ID`",
    "PROGRAMME_EXISTS": "nothing to do, or choose another id",
    "PROGRAMME_IN_USE": "revoke it with `copycatch licences revoke`",
    "DISPUTE_NOT_FOUND": "see `copycatch disputes list`; with an owner's key add --brand ID",
    "DISPUTE_WITHDRAWN": "nothing is left to decide",
    "ETAG_MISMATCH": "somebody else changed it: look at it again",
    "API_KEY_MISSING": "set COPYCATCH_API_KEY or COPYCATCH_API_KEY_FILE; `copycatch keys create` "
    "makes a key, on the server's machine",
    "API_KEY_UNKNOWN": "see that all of the key is in COPYCATCH_API_KEY, and of this server",
    "API_KEY_EXPIRED": "ask the server's administrator for a new one",
    "API_KEY_REVOKED": "ask the server's administrator for a new one",
    "KEY_LIMIT_REACHED": "slow down, or ask the server's administrator for a key with more",
    "INDEX_NOT_READY": "the server is still loading: try again in a moment",
    "SHUTTING_DOWN": "the server is stopping: try again when it is back",
    "QUEUE_FULL": "the server is busy: try again in a moment",
    "STORE_FULL": "make room on the disk, raise the limit of the store, or delete originals",
    "STORE_READ_ONLY": "give the folder to the user that runs the server, or name another one",
    "SWEEP_NOT_FOUND": "see `copycatch sweep list`",
    "SWEEP_EXISTS": "choose another --id, or leave it out",
    "SWEEP_FINISHED": "nothing to do",
    "SOURCE_NOT_ALLOWED": "the server's operator allows it with sweep_roots or sweep_urls; "
    "on its machine --local DATA_DIR sweeps over its data folder while it is stopped",
    "INTERNAL": "the server's log has the details under this request id",
}

PASSING = frozenset(
    {
        "UNAVAILABLE",
        "DEADLINE_EXCEEDED",
        "INDEX_NOT_READY",
        "SHUTTING_DOWN",
        "QUEUE_FULL",
        "KEY_LIMIT_REACHED",
    }
)
"""Reasons that go away without another command: the same one, later, may well succeed."""

_UNREACHED = (
    (
        "Hostname Verification Check failed",
        "{target} shows a certificate of another name",
        "set COPYCATCH_SERVER_NAME to a name that is in it, if that is the server that you mean",
    ),
    (
        "CERTIFICATE_VERIFY_FAILED",
        "{target} shows a certificate that is not trusted",
        "set COPYCATCH_SERVER_CA to the PEM file of the CA that signed it; if it is set, see that "
        "the CA is the right one, and that the certificate has not expired",
    ),
    (
        "WRONG_VERSION_NUMBER",
        "{target} answers, and not with TLS",
        "if the server goes without, unset COPYCATCH_SERVER_CA and COPYCATCH_CLIENT_CERTIFICATE; "
        "to another machine set COPYCATCH_SERVER_PLAINTEXT=true as well",
    ),
    (
        "andshake failed",
        "{target} answers, and TLS does not come about",
        "COPYCATCH_SERVER_CA names the CA of its certificate; to a server without TLS on another "
        "machine COPYCATCH_SERVER_PLAINTEXT=true goes without",
    ),
    (
        "Failed parsing HTTP/2",
        "{target} is no gRPC server",
        "name another with --server or COPYCATCH_SERVER; the port of the metrics is none for calls",
    ),
    (
        "Socket closed",
        "{target} hangs up",
        "if it speaks TLS, set COPYCATCH_SERVER_CA to the PEM file of its CA; if it asks for a "
        "certificate of yours, COPYCATCH_CLIENT_CERTIFICATE and COPYCATCH_CLIENT_KEY to one that "
        "it trusts; if it goes without TLS on another machine, COPYCATCH_SERVER_PLAINTEXT=true; "
        "else it may be going away: try again",
    ),
)
"""Words in what gRPC says of a connection that did not come about, what is wrong then, and what to
do. A server with TLS hangs up on who speaks none, and on who shows it no certificate that it wants,
without saying which: the likelier is told first."""
_NOT_CONNECTED = "failed to connect to all addresses"


class CommandError(RuntimeError):
    """A command can not go on; `str` is the line that its user reads.

    Attributes:
        thing: what is wrong, naming the file, the id or the address.
        remedy: what to do about it; empty when nothing can be done.
        reason: the server's reason in UPPER_SNAKE, or the name of gRPC's code when no server
            answered; empty when the command found out by itself.
        details: what the server said beside its reason, such as the `field` that it is about.
    """

    exit_code = EXIT_ERROR

    def __init__(
        self,
        thing: str,
        remedy: str = "",
        reason: str = "",
        details: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{thing}: {remedy}" if remedy else thing)
        self.thing = thing
        self.remedy = remedy
        self.reason = reason
        self.details = details or {}


class Interrupted(CommandError):
    """Whoever runs the command has ended it."""

    exit_code = EXIT_INTERRUPTED

    def __init__(self, remedy: str = "") -> None:
        super().__init__("interrupted", remedy)


def make_status(reason: str, message: str) -> status_pb2.Status:
    """Make the status that the server would have answered, for what is refused before it."""
    status = status_pb2.Status(code=grpc.StatusCode.INVALID_ARGUMENT.value[0], message=message)
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason=reason, domain="copycatch.dev"))
    return status


def refused_unseen(size: int, max_bytes: int) -> status_pb2.Status | None:
    """Return what the server would say of a picture of so many bytes, None when it would look."""
    if not size:
        return make_status(ImageEmpty.reason, str(ImageEmpty()))
    if size > max_bytes:
        message = f"{size:,} bytes; send a file of at most {max_bytes:,}."
        return make_status("IMAGE_TOO_LARGE", message)
    return None


def unreadable(error: OSError) -> status_pb2.Status:
    """Return what is said of a file that can not be read here; no server was asked about it."""
    return make_status("UNREADABLE", f"The file can not be read: {error.strerror or error}.")


def reason_of(status: status_pb2.Status) -> str:
    """Return the `ErrorInfo` reason of a status, or the name of its code without one."""
    info = _info_of(status)
    if info.reason:
        return str(info.reason)
    names = {code.value[0]: code.name for code in grpc.StatusCode}
    return names.get(status.code, "UNKNOWN")


def remedy_for(reason: str) -> str:
    """Return what to do about a reason; empty when its message says so, or nothing can be done."""
    return _REMEDIES.get(reason, "")


def from_rpc_error(error: grpc.RpcError, target: str) -> CommandError:
    """Translate what a call raised into the line that a person reads.

    Args:
        error: raised by a call; all of grpc's are also a `grpc.Call`.
        target: address that was called.
    """
    status = rpc_status.from_call(error) if isinstance(error, grpc.Call) else None
    if status is not None:
        reason = reason_of(status)
        thing = f"{status.message} ({reason})"
        return CommandError(thing, _remedy_of(status), reason, dict(_info_of(status).metadata))
    code = error.code() if isinstance(error, grpc.Call) else None
    details = str((error.details() if isinstance(error, grpc.Call) else error) or "")
    if code is grpc.StatusCode.UNAVAILABLE:
        return CommandError(*_unreached(details, target), code.name)
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return CommandError(
            f"{target} did not answer in time",
            "give it longer with --timeout SECONDS",
            code.name,
        )
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return CommandError(
            f"{target} is not a Copycatch server of this version", "check the address and versions"
        )
    return CommandError(f"{target} answered {code.name if code else 'an error'}", details)


def _unreached(details: str, target: str) -> tuple[str, str]:
    """Return what is wrong with a connection, and what to do, from what gRPC says of it."""
    for words, thing, remedy in _UNREACHED:
        if _NOT_CONNECTED in details and words in details:
            return thing.format(target=target), remedy
    return (
        f"no server answers at {target}",
        "start one with `copycatch serve`, or name another with --server or COPYCATCH_SERVER",
    )


def describe(status: status_pb2.Status) -> str:
    """Return a status as one line with its remedy, for tables of failures."""
    remedy = _remedy_of(status)
    return f"{status.message} ({remedy})" if remedy else status.message


def _info_of(status: status_pb2.Status) -> error_details_pb2.ErrorInfo:
    """Return the `ErrorInfo` of a status, an empty one without it."""
    info = error_details_pb2.ErrorInfo()
    for detail in status.details:
        if detail.Unpack(info):
            break
    return info


def _remedy_of(status: status_pb2.Status) -> str:
    if reason_of(status) == "ROLE_FORBIDS":
        return _allowed_roles(_info_of(status).metadata["method"])
    return remedy_for(reason_of(status))


def _allowed_roles(method: str) -> str:
    """Return whose keys may call a method, `Service/Method`, by the table of this version."""
    from service.rpc.permissions import RULES  # brings the store's modules, for this case alone

    rule = RULES.get(f"copycatch.v1.{method}")
    if rule is None:  # of a later version
        return "use a key of another role"
    roles = ", ".join(role.value for role in Role if role in rule.roles)
    return f"use a key with a role that may: {roles}"
