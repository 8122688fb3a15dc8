"""Only what is listed is read: by brand, after a redirect, and through fsspec for real."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from service.sweeps.access import Access
from service.sweeps.errors import SourceNotAllowed, SourceNotFound, SourceUnreadable


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path.startswith("/to/"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/to/"))
            self.end_headers()
            return
        if self.path == "/secret":
            status, body = 200, b"secret"
        elif self.path == "/images/a.jpg":
            status, body = 200, b"a picture"
        else:
            status, body = (500 if "broken" in self.path else 404), b""
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a web server."""
    monkeypatch.setenv("no_proxy", "*")
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_listed_url_is_read(host: str) -> None:
    access = Access.of([], [f"{host}/images"])
    assert access.read(f"{host}/images/a.jpg", 0, -1, 100) == b"a picture"
    assert access.read(f"{host}/images/a.jpg", 0, -1, 3) == b"a pi"  # one more than asked for
    with pytest.raises(SourceNotFound):
        access.read(f"{host}/images/b.jpg", 0, -1, 100)
    with pytest.raises(SourceUnreadable, match="500"):
        access.read(f"{host}/images/broken.jpg", 0, -1, 100)


def test_a_redirect_is_followed_only_to_what_is_listed(host: str) -> None:
    access = Access.of([], [f"{host}/images", f"{host}/to"])
    assert access.read(f"{host}/to/{host}/images/a.jpg", 0, -1, 100) == b"a picture"
    for target in (f"{host}/secret", "http://localhost/", "file:///etc/passwd", "ftp://x/y"):
        with pytest.raises((SourceNotAllowed, SourceUnreadable)) as caught:
            access.read(f"{host}/to/{target}", 0, -1, 100)
        assert b"secret" not in str(caught.value).encode().replace(b"/secret", b"")


@pytest.mark.parametrize(
    "url",
    [
        "http://evil.example/images/a.jpg",
        "https://good.example/images/a.jpg",
        "http://good.example:81/images/a.jpg",
        "http://good.example.evil.example/images/a.jpg",
        "http://good.example@evil.example/images/a.jpg",
        "http://good.example/imagesque/a.jpg",
        "http://good.example/images/../secret",
        "http://good.example/images/%2e%2e/secret",
        "http://good.example/images\\..\\secret",
        "simplecache::http://good.example/images/a.jpg",
        "http://good.example/images/a.jpg\r\nHost: evil",
        "file://good.example/images/a.jpg",
        "http:///images/a.jpg",
        "http://[::1/images",
    ],
)
def test_what_only_looks_listed_is_refused(url: str) -> None:
    with pytest.raises(SourceNotAllowed):
        Access.of([], ["http://good.example/images"]).located(url)


def test_a_prefix_names_a_scheme_and_a_host() -> None:
    with pytest.raises(SourceNotAllowed, match="scheme and a host"):
        Access.of([], ["good.example"])


def test_object_stores_are_read_through_fsspec() -> None:
    fsspec = pytest.importorskip("fsspec", reason="the extra `sweeps` is not installed")
    store = fsspec.filesystem("memory")
    store.pipe({"/bucket/shop/1.jpg": b"one", "/bucket/shop/2.jpg": b"two", "/other/3.jpg": b"x"})
    access = Access.of([], ["memory://bucket"])
    assert access.is_folder("memory://bucket/shop")
    assert list(access.files("memory://bucket/shop")) == ["1.jpg", "2.jpg"]
    assert access.read("memory://bucket/shop/2.jpg", 1, 2, 100) == b"wo"
    assert access.size("memory://bucket/shop/1.jpg") == 3
    assert access.matching("memory://bucket/shop/*.jpg") == [
        "memory://bucket/shop/1.jpg",
        "memory://bucket/shop/2.jpg",
    ]
    with pytest.raises(SourceNotFound):
        access.read("memory://bucket/shop/9.jpg", 0, -1, 100)
    with pytest.raises(SourceNotAllowed):
        access.read("memory://other/3.jpg", 0, -1, 100)


def test_a_brand_reads_its_own_folders_and_urls_and_no_other(tmp_path: Path) -> None:
    for brand in ("acme", "acme-2", "ours"):
        (tmp_path / brand).mkdir()
        (tmp_path / brand / "m.csv").touch()
    (tmp_path / "acme" / "link").symlink_to(tmp_path / "ours")
    urls = ["s3://bucket/{brand}/in", "https://shop.example/"]
    access = Access.of([tmp_path / "{brand}", tmp_path / "ours"], urls)
    acme = access.of_brand("acme")
    assert acme.located("acme/m.csv", str(tmp_path)) == str(tmp_path / "acme" / "m.csv")
    assert acme.located("s3://bucket/acme/in/m.csv") == "s3://bucket/acme/in/m.csv"
    for source in ("acme-2/m.csv", "ours/m.csv", "acme/../ours/m.csv", "acme/link/m.csv"):
        with pytest.raises(SourceNotAllowed, match="sweep_roots"):
            acme.located(source, str(tmp_path))
    for url in ("s3://bucket/acme-2/in/m", "s3://bucket/acme/inner/m", "https://shop.example/m"):
        with pytest.raises(SourceNotAllowed, match="sweep_urls"):
            acme.located(url)
    # Without a brand, what is listed for brands is not listed.
    assert access.of_brand("") is access
    assert access.located("ours/m.csv", str(tmp_path)) == str(tmp_path / "ours" / "m.csv")
    for source in ("acme/m.csv", "{brand}/m.csv"):
        with pytest.raises(SourceNotAllowed):
            access.located(source, str(tmp_path))
    with pytest.raises(SourceNotAllowed, match="no folder, since it has none with {brand} in it"):
        Access.of([tmp_path]).of_brand("acme").located("acme/m.csv", str(tmp_path))
    with pytest.raises(SourceNotAllowed):
        Access.of((), ["{brand}/no-host"])


def test_a_relative_name_in_a_remote_manifest_stays_there() -> None:
    access = Access.of([], ["memory://bucket"])
    assert access.located("a/1.jpg", "memory://bucket/shop") == "memory://bucket/shop/a/1.jpg"
    with pytest.raises(SourceNotAllowed):
        access.located("../../other/3.jpg", "memory://bucket/shop")
