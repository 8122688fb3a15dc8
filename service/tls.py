"""The server's certificate and key, read again when their files change.

gRPC asks for the certificates at each handshake. A file is read only when its time or size has
changed, and what does not fit together (a new certificate beside the old key, half a file) is
logged and left alone: the server goes on with what it had, and looks again at the next.
"""

import logging
import ssl
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import grpc

log = logging.getLogger(__name__)


class TlsUnusable(ValueError):
    """A certificate, a key or the client CA can not be used."""

    reason: ClassVar[str] = "TLS_UNUSABLE"

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Where the PEM files are.

    Attributes:
        certificate: of the server, followed by its chain.
        key: of the certificate, not encrypted.
        client_ca: whose client certificates are taken; with it every client has to show one.
    """

    certificate: Path
    key: Path
    client_ca: Path | None = None

    @property
    def all(self) -> tuple[Path, ...]:
        """The files that there are."""
        return tuple(one for one in (self.certificate, self.key, self.client_ca) if one is not None)


class Tls:
    """The certificates in force; any thread may ask.

    Raises:
        TlsUnusable: the files can not be used at the start.
    """

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        self._lock = threading.Lock()
        self._seen = self._state()
        self._grpc, self._context = self._read()

    def server_credentials(self) -> grpc.ServerCredentials:
        """Return credentials for gRPC that follow the files."""
        return grpc.dynamic_ssl_server_credentials(
            self._grpc, self._fetch, self._files.client_ca is not None
        )

    def context(self) -> ssl.SSLContext:
        """Return what the HTTP endpoint serves with; it asks clients for no certificate."""
        self._follow()
        return self._context

    def _fetch(self) -> grpc.ServerCertificateConfiguration:
        """Return the certificates in force. Called by gRPC, on its threads."""
        self._follow()
        return self._grpc

    def _follow(self) -> None:
        """Read the files again when they have changed."""
        with self._lock:
            state = self._state()
            if state == self._seen:
                return
            try:
                self._grpc, self._context = self._read()
            except TlsUnusable as error:
                self._seen = state
                log.error("the new TLS files are not used, the old ones stay: %s", error)
                return
            self._seen = state
            log.info("TLS files read again: %s", ", ".join(map(str, self._files.all)))

    def _state(self) -> tuple[object, ...]:
        """Return what changes with the files."""
        found: list[object] = []
        for path in self._files.all:
            try:
                stat = path.stat()  # follows links, as they are exchanged on Kubernetes
            except OSError as error:
                found.append(error.errno)
            else:
                found.append((stat.st_mtime_ns, stat.st_size, stat.st_ino))
        return tuple(found)

    def _read(self) -> tuple["grpc.ServerCertificateConfiguration", ssl.SSLContext]:
        files = self._files
        try:
            certificate, key = files.certificate.read_bytes(), files.key.read_bytes()
            client_ca = files.client_ca.read_bytes() if files.client_ca else None
        except OSError as error:
            raise TlsUnusable(f"{error.filename}: {error.strerror}") from error
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            # Holds the key against the certificate; a password would be asked for at a terminal.
            context.load_cert_chain(files.certificate, files.key, password="")
        except (ssl.SSLError, OSError, ValueError) as error:
            raise TlsUnusable(
                f"{files.certificate} and {files.key} are no PEM certificate and its "
                f"unencrypted key: {error}"
            ) from error
        if client_ca is not None:
            try:
                ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(
                    cadata=client_ca.decode("ascii")
                )
            except (ssl.SSLError, ValueError) as error:
                raise TlsUnusable(f"{files.client_ca} holds no CA: {error}") from error
        made = grpc.ssl_server_certificate_configuration([(key, certificate)], client_ca)
        return made, context
