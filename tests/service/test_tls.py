"""TLS and client certificates of a real server, and certificates that change meanwhile."""

import datetime
import ipaddress
import os
import socket
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from copycatch.v1 import brands_service_pb2, brands_service_pb2_grpc
from service.access.roles import Role
from service.cli.client import Client
from service.cli.credentials import Credentials, connect, from_environment
from service.cli.failure import CommandError
from service.tls import Tls, TlsFiles, TlsUnusable
from tests.service.serving import Failure, Served, serving, settings

LIST = brands_service_pb2.ListBrandsRequest()


class Authority:
    """A certificate authority, and PEM files of what it has signed."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.pem = folder / f"{name}.pem"
        self.pem.write_bytes(_pem(self._signed(self._name, self._key, None)))

    def issue(self, name: str, *alternatives: str) -> tuple[Path, Path]:
        """Return certificate and key of this common name, valid for this machine."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        alternative: x509.ExtensionType | None = None
        if alternatives:
            names: list[x509.GeneralName] = [x509.DNSName(one) for one in alternatives]
            names.append(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
            alternative = x509.SubjectAlternativeName(names)
        certificate = self._folder / f"{name}.pem"
        certificate.write_bytes(_pem(self._signed(subject, key, alternative)))
        path = self._folder / f"{name}.key"
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return certificate, path

    def _signed(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        alternative: x509.ExtensionType | None,
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=30))
            .add_extension(x509.BasicConstraints(subject == self._name, None), critical=True)
        )
        if alternative is not None:
            builder = builder.add_extension(alternative, critical=False)
        return builder.sign(self._key, hashes.SHA256())


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def tls(authority: Authority, **values: Any) -> dict[str, Any]:
    certificate, key = authority.issue("server", "localhost")
    return {"tls_certificate": certificate, "tls_key": key, **values}


def list_brands(address: str, credentials: Credentials) -> int:
    with connect(address, credentials) as channel:
        stub = brands_service_pb2_grpc.BrandsServiceStub(channel)
        return len(stub.ListBrands(LIST, timeout=20).brands)


def shown_serial(address: str, authority: Authority, *, alpn: bool = True) -> int:
    """The serial number of the certificate that a server shows."""
    context = ssl.create_default_context(cafile=str(authority.pem))
    if alpn:
        context.set_alpn_protocols(["h2"])
    host, _, port = address.rpartition(":")
    with (
        socket.create_connection((host, int(port))) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secure,
    ):
        found = secure.getpeercert(binary_form=True)
        assert found is not None
        return x509.load_der_x509_certificate(found).serial_number


def serial(certificate: Path) -> int:
    return x509.load_pem_x509_certificate(certificate.read_bytes()).serial_number


@pytest.fixture
def secure(tmp_path: Path, authority: Authority) -> Iterator[Served]:
    with serving(settings(tmp_path, **tls(authority))) as server:
        yield server


def test_with_tls_a_key_crosses_no_line_in_plain_text(
    secure: Served, authority: Authority, tmp_path: Path
) -> None:
    address, ca = secure.running.address, authority.pem.read_bytes()
    assert list_brands(address, Credentials(secure.secret, server_ca=ca)) == 0
    for credentials in (
        Credentials(secure.secret, plaintext=True),
        Credentials(secure.secret, server_ca=Authority(tmp_path, "other").pem.read_bytes()),
    ):
        with pytest.raises(grpc.RpcError) as caught:
            list_brands(address, credentials)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    with pytest.raises(grpc.RpcError) as caught:
        list_brands(address, Credentials(server_ca=ca))
    assert Failure(caught.value).reason == "API_KEY_MISSING"


def told(address: str, credentials: Credentials) -> str:
    """What a person reads whose command does not reach a server."""
    with Client(address, 20, credentials) as client, pytest.raises(CommandError) as caught:
        client.info()
    assert caught.value.reason == "UNAVAILABLE"
    return str(caught.value)


def test_a_connection_that_does_not_come_about_says_which_setting_it_takes(
    secure: Served, authority: Authority, tmp_path: Path
) -> None:
    address, ca = secure.running.address, authority.pem.read_bytes()
    other = Authority(tmp_path, "other").pem.read_bytes()
    plain = told(address, Credentials(secure.secret))
    assert plain.startswith(f"{address} hangs up: if it speaks TLS, set COPYCATCH_SERVER_CA")
    foreign = told(address, Credentials(secure.secret, server_ca=other))
    assert "a certificate that is not trusted: set COPYCATCH_SERVER_CA" in foreign
    named = told(address, Credentials(secure.secret, server_ca=ca, server_name="shop.example"))
    assert "a certificate of another name: set COPYCATCH_SERVER_NAME" in named
    with serving(settings(tmp_path / "plain")) as server:
        secret, address = server.secret, server.running.address
        spoken = told(address, Credentials(secret, server_ca=ca))
        assert spoken.startswith(f"{address} answers, and not with TLS: if the server goes without")
        metrics = told(server.running.metrics_address, Credentials(secret))
        assert metrics.startswith(f"{server.running.metrics_address} is no gRPC server")
    asking = settings(tmp_path / "asking", **tls(authority, tls_client_ca=authority.pem))
    with serving(asking) as server:
        unknown = told(server.running.address, Credentials(server.secret, server_ca=ca))
        assert "COPYCATCH_CLIENT_CERTIFICATE and COPYCATCH_CLIENT_KEY" in unknown


def test_a_failed_handshake_is_one_line_and_none_of_grpcs(
    secure: Served, authority: Authority, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from service.cli.entry import run; run()", "info"],
        env={
            **{name: value for name, value in os.environ.items() if name != "GRPC_VERBOSITY"},
            "COPYCATCH_SERVER": secure.running.address,
            "COPYCATCH_SERVER_CA": str(Authority(tmp_path, "other").pem),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert "a certificate that is not trusted" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_metrics_are_behind_the_same_certificate(secure: Served, authority: Authority) -> None:
    context = ssl.create_default_context(cafile=str(authority.pem))
    address = f"https://{secure.running.metrics_address}"
    with urllib.request.urlopen(f"{address}/livez", context=context) as answer:
        assert answer.read() == b"alive\n"
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{address}/metrics", context=context)
    with caught.value as refused:
        assert refused.code == 401
    with pytest.raises(OSError):
        urllib.request.urlopen(f"http://{secure.running.metrics_address}/livez", timeout=20)


def test_a_new_certificate_is_used_without_a_restart(
    secure: Served, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    files = secure.running._config
    certificate, key = files.tls_certificate, files.tls_key
    assert certificate is not None and key is not None
    first = serial(certificate)
    addresses = (secure.running.address, secure.running.metrics_address)
    assert [shown_serial(one, authority, alpn=False) for one in addresses[1:]] == [first]
    assert shown_serial(addresses[0], authority) == first
    ca = authority.pem.read_bytes()
    with connect(addresses[0], Credentials(secure.secret, server_ca=ca)) as channel:
        stub = brands_service_pb2_grpc.BrandsServiceStub(channel)
        stub.ListBrands(LIST)
        new_certificate, new_key = authority.issue("renewed", "localhost")
        os.replace(new_certificate, certificate)
        # Half of the exchange: the new certificate is not of the old key.
        assert shown_serial(addresses[0], authority) == first
        assert "the old ones stay" in caplog.text
        os.replace(new_key, key)
        second = serial(certificate)
        assert second != first
        assert shown_serial(addresses[0], authority) == second
        assert shown_serial(addresses[1], authority, alpn=False) == second
        stub.ListBrands(LIST)  # the connection that is open stays
    certificate.write_text("no certificate")
    assert shown_serial(addresses[0], authority) == second


def test_a_client_certificate_is_asked_for_and_stands_for_a_key(
    tmp_path: Path, authority: Authority
) -> None:
    config = settings(tmp_path, **tls(authority, tls_client_ca=authority.pem))
    ca = authority.pem.read_bytes()

    def client(name: str, *alternatives: str) -> tuple[bytes, bytes]:
        certificate, key = authority.issue(name, *alternatives)
        return key.read_bytes(), certificate.read_bytes()

    with serving(config) as server:
        keys, address = server.running.keys, server.running.address
        made, _ = keys.create("m", Role.ANALYST, certificate="checkout.shop.example")
        keys.create("own", Role.OWNER, brands=["acme"], certificate="by-common-name")
        checkout = client("anything", "checkout.shop.example")
        assert list_brands(address, Credentials(server_ca=ca, client=checkout)) == 0
        named = client("by-common-name")
        assert list_brands(address, Credentials(server_ca=ca, client=named)) == 0
        stranger = client("checkout.shop.example", "stranger.example")
        for credentials, reason in (
            # Alternative names outrank the common one: the first would be another's.
            (Credentials(server_ca=ca, client=stranger), "CERTIFICATE_UNKNOWN"),
            (Credentials("cck_wrong", server_ca=ca, client=checkout), "API_KEY_UNKNOWN"),
        ):
            with pytest.raises(grpc.RpcError) as caught:
                list_brands(address, credentials)
            assert Failure(caught.value).reason == reason
        assert list_brands(address, Credentials(server.secret, server_ca=ca, client=stranger)) == 0
        keys.revoke(made.id)
        with pytest.raises(grpc.RpcError) as caught:
            list_brands(address, Credentials(server_ca=ca, client=checkout))
        assert Failure(caught.value).reason == "API_KEY_REVOKED"
        other = Authority(tmp_path, "other")
        certificate, key = other.issue("forged", "checkout.shop.example")
        forged = (key.read_bytes(), certificate.read_bytes())
        for credentials in (
            Credentials(server.secret, server_ca=ca),
            Credentials(server.secret, server_ca=ca, client=forged),
        ):
            with pytest.raises(grpc.RpcError) as caught:
                list_brands(address, credentials)
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_the_owner_behind_a_certificate_is_kept_to_its_brands(
    tmp_path: Path, authority: Authority
) -> None:
    config = settings(tmp_path, **tls(authority, tls_client_ca=authority.pem))
    ca = authority.pem.read_bytes()
    with serving(config) as server:
        server.running.keys.create("o", Role.OWNER, brands=["acme"], certificate="acme.example")
        admin = authority.issue("admin")
        shown = Credentials(
            server.secret, server_ca=ca, client=(admin[1].read_bytes(), admin[0].read_bytes())
        )
        with connect(server.running.address, shown) as channel:
            stub = brands_service_pb2_grpc.BrandsServiceStub(channel)
            for brand in ("acme", "rival"):
                stub.CreateBrand(brands_service_pb2.CreateBrandRequest(brand_id=brand))
        certificate, key = authority.issue("acme", "acme.example")
        owner = Credentials(server_ca=ca, client=(key.read_bytes(), certificate.read_bytes()))
        with connect(server.running.address, owner) as channel:
            stub = brands_service_pb2_grpc.BrandsServiceStub(channel)
            assert [one.name for one in stub.ListBrands(LIST).brands] == ["brands/acme"]
            with pytest.raises(grpc.RpcError) as caught:
                stub.GetBrand(brands_service_pb2.GetBrandRequest(name="brands/rival"))
            assert Failure(caught.value).reason == "BRAND_NOT_FOUND"


def test_files_that_can_not_be_used_keep_a_server_from_starting_by_name(
    tmp_path: Path, authority: Authority
) -> None:
    certificate, key = authority.issue("server", "localhost")
    _, other_key = authority.issue("other", "localhost")
    missing, junk = tmp_path / "missing.pem", tmp_path / "junk.pem"
    junk.write_text("junk")
    for files, named in (
        (TlsFiles(missing, key), "missing.pem"),
        (TlsFiles(certificate, other_key), "other.key"),
        (TlsFiles(junk, key), "junk.pem"),
        (TlsFiles(certificate, key, junk), "junk.pem"),
    ):
        with pytest.raises(TlsUnusable, match=named):
            Tls(files)


def test_commands_take_what_they_show_from_the_environment(
    secure: Served, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "key").write_text(secure.secret + "\n")
    monkeypatch.setenv("COPYCATCH_API_KEY_FILE", str(tmp_path / "key"))
    monkeypatch.setenv("COPYCATCH_SERVER_CA", str(authority.pem))
    with Client(secure.running.address) as client:
        assert client.info().ready
    monkeypatch.setenv("COPYCATCH_SERVER_PLAINTEXT", "true")
    with pytest.raises(CommandError, match="contradicts"):
        from_environment()
    monkeypatch.delenv("COPYCATCH_SERVER_PLAINTEXT")
    monkeypatch.setenv("COPYCATCH_API_KEY_FILE", str(tmp_path / "nothing"))
    with pytest.raises(CommandError, match="nothing can not be read"):
        from_environment()
    monkeypatch.setenv("COPYCATCH_API_KEY", "cck_with space")
    with pytest.raises(CommandError, match="characters that no key has"):
        from_environment()


def test_to_another_machine_no_key_is_sent_in_plain_text_unasked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server without TLS on an address that is not the loopback's gets no byte of the key."""
    heard: list[bytes] = []
    host = socket.gethostbyname(socket.gethostname())
    if ipaddress.ip_address(host).is_loopback:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect(("192.0.2.1", 9))  # sends nothing; tells which address would
            except OSError:
                pytest.skip("this machine has no address but the loopback's")
            host = probe.getsockname()[0]
    with socket.create_server((host, 0)) as listener:
        listener.settimeout(20)
        address = f"{host}:{listener.getsockname()[1]}"
        with Client(address, 2.0, Credentials("cck_secret")) as client:
            with pytest.raises(CommandError, match="SERVER_PLAINTEXT"):
                import threading

                def hear() -> None:
                    connection, _ = listener.accept()
                    with connection:
                        heard.append(connection.recv(65536))

                thread = threading.Thread(target=hear)
                thread.start()
                try:
                    client.info()
                finally:
                    thread.join()
    assert heard and heard[0][0] == 0x16  # the first byte of a TLS handshake
    assert b"cck_secret" not in heard[0]
