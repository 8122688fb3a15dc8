"""How a command reaches a server and shows who it is.

All of it comes from the environment or from files that it names, never from arguments: those
are seen by everybody on the machine in the list of processes.

    COPYCATCH_API_KEY             the key, or
    COPYCATCH_API_KEY_FILE        a file that holds it
    COPYCATCH_SERVER_CA           PEM file of the CA that signed the server's certificate
    COPYCATCH_SERVER_NAME         name in the server's certificate, where it is not the address
    COPYCATCH_SERVER_PLAINTEXT    `true`: no TLS, also to another machine
    COPYCATCH_CLIENT_CERTIFICATE, COPYCATCH_CLIENT_KEY    PEM files, when the server asks for one
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import grpc

from service.addresses import is_local
from service.cli.failure import CommandError

type Metadata = tuple[tuple[str, str | bytes], ...]


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a client shows, and what it asks the server to show.

    Attributes:
        api_key: empty when there is none.
        server_ca: PEM; None trusts the roots that gRPC brings.
        server_name: in the server's certificate; empty is the host of the address.
        client: PEM of a key and of its certificate.
        plaintext: None leaves it to the address: on this machine there is no TLS, elsewhere there
            is.
    """

    api_key: str = ""
    server_ca: bytes | None = None
    server_name: str = ""
    client: tuple[bytes, bytes] | None = None
    plaintext: bool | None = None


def from_environment() -> Credentials:
    """Read the variables.

    Raises:
        CommandError: a file can not be read, or variables contradict each other.
    """
    api_key, key_file = _variable("API_KEY"), _variable("API_KEY_FILE")
    if key_file and not api_key:
        api_key = _read(key_file).decode("utf-8", "replace").strip()
    if not api_key.isascii() or not api_key.isprintable() or " " in api_key:
        raise CommandError(
            "the API key has characters that no key has", "copy it again, without spaces or quotes"
        )
    server_ca = _variable("SERVER_CA")
    certificate, key = _variable("CLIENT_CERTIFICATE"), _variable("CLIENT_KEY")
    if bool(certificate) != bool(key):
        raise CommandError("COPYCATCH_CLIENT_CERTIFICATE and COPYCATCH_CLIENT_KEY go together")
    plaintext = _variable("SERVER_PLAINTEXT").lower() in ("1", "true", "yes")
    if plaintext and (server_ca or certificate):
        raise CommandError(
            "COPYCATCH_SERVER_PLAINTEXT contradicts COPYCATCH_SERVER_CA and "
            "COPYCATCH_CLIENT_CERTIFICATE",
            "unset one of them",
        )
    return Credentials(
        api_key=api_key,
        server_ca=_read(server_ca) if server_ca else None,
        server_name=_variable("SERVER_NAME"),
        client=(_read(key), _read(certificate)) if certificate else None,
        plaintext=True if plaintext else None,
    )


def connect(
    target: str, credentials: Credentials, options: list[tuple[str, Any]] | None = None
) -> grpc.Channel:
    """Return a channel whose calls show the key; the first call connects.

    Args:
        target: `host:port` or `unix:path`.
    """
    plaintext = credentials.plaintext
    if plaintext is None:
        asked = credentials.server_ca is not None or credentials.client is not None
        plaintext = is_local(target) and not asked
    if plaintext:
        channel = grpc.insecure_channel(target, options)
    else:
        key, certificate = credentials.client or (None, None)
        secure = grpc.ssl_channel_credentials(credentials.server_ca, key, certificate)
        if credentials.server_name:
            name = ("grpc.ssl_target_name_override", credentials.server_name)
            options = [*(options or []), name]
        channel = grpc.secure_channel(target, secure, options)
    if not credentials.api_key:
        return channel
    return grpc.intercept_channel(channel, _ShowKey(credentials.api_key))


class _Details(NamedTuple):
    """A call about to be made, as grpc's own, whose fields can not be set."""

    method: str
    timeout: float | None
    metadata: Metadata
    credentials: grpc.CallCredentials | None
    wait_for_ready: bool | None
    compression: grpc.Compression | None


class _ClientCallDetails(_Details, grpc.ClientCallDetails):  # type: ignore[misc]
    """What a continuation takes."""


class _ShowKey(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamUnaryClientInterceptor,
    grpc.StreamStreamClientInterceptor,
):
    """Adds the key to the metadata of each call."""

    def __init__(self, api_key: str) -> None:
        self._header = ("authorization", f"Bearer {api_key}")

    def _show(self, call: Callable[..., Any], details: Any, request: Any) -> Any:
        metadata = (*(details.metadata or ()), self._header)
        shown = _ClientCallDetails(
            details.method,
            details.timeout,
            metadata,
            details.credentials,
            getattr(details, "wait_for_ready", None),
            getattr(details, "compression", None),
        )
        return call(shown, request)

    def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        return self._show(continuation, details, request)

    def intercept_unary_stream(self, continuation: Any, details: Any, request: Any) -> Any:
        return self._show(continuation, details, request)

    def intercept_stream_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        return self._show(continuation, details, request)

    def intercept_stream_stream(self, continuation: Any, details: Any, request: Any) -> Any:
        return self._show(continuation, details, request)


def _variable(name: str) -> str:
    return os.environ.get(f"COPYCATCH_{name}", "").strip()


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise CommandError(f"{path} can not be read: {error.strerror}") from error
