"""Where a sweep may read, and reading there. The one file with fsspec.

Whoever starts a sweep names files, and the server reads them: without a fence that is a way
to any file of the machine and to any address of its network. Nothing is allowed but what the
operator lists: folders (after symbolic links are resolved), and prefixes of URLs with scheme
and host. A redirect is followed only to what is listed as well. What is listed with `{brand}` in
it is for the sweeps of brands, each with its own id there, and they read nothing else.

Values of these classes travel to other processes; any thread may call any method.
"""

import errno
import glob
import os
import stat
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote, urlsplit

from service.sweeps.errors import ExtraMissing, SourceNotAllowed, SourceNotFound, SourceUnreadable
from service.sweeps.places import below, is_remote, parsed

BRAND = "{brand}"
_HTTP = ("http", "https")
_TIMEOUT_S = 30.0
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Access:
    """What may be read.

    Attributes:
        roots: folders, resolved; everything below them may be read.
        remote: prefixes of URLs, `scheme://host[:port][/path]`.
        by_brand: folders and prefixes with `{brand}` in them; nothing by themselves.
        brand: whose sweeps this is for; empty: those of no brand.
    """

    roots: tuple[Path, ...] = ()
    remote: tuple[str, ...] = ()
    by_brand: tuple[str, ...] = ()
    brand: str = ""

    @staticmethod
    def of(roots: Sequence[Path], remote: Sequence[str] = ()) -> "Access":
        """Allow these; raises SourceNotAllowed for a prefix that names no scheme and host."""
        for prefix in remote:
            parsed(prefix.replace(BRAND, "brand"))
        return Access(
            tuple(root.resolve() for root in roots if BRAND not in str(root)),
            tuple(prefix for prefix in remote if BRAND not in prefix),
            tuple(each for each in map(str, (*roots, *remote)) if BRAND in each),
        )

    def of_brand(self, brand: str) -> "Access":
        """What the sweeps of a brand may read; without an id, those that belong to none."""
        if not brand:
            return self
        own = [each.replace(BRAND, brand) for each in self.by_brand]
        return Access(
            tuple(Path(each).resolve() for each in own if not is_remote(each)),
            tuple(each for each in own if is_remote(each)),
            brand=brand,
        )

    def located(self, source: str, base: str = "") -> str:
        """Return where a source is, allowed.

        Args:
            source: path or URL; a relative path is taken from `base`.
            base: folder or URL of the manifest that names it.

        Returns:
            An absolute path with links resolved, or a URL.

        Raises:
            SourceNotAllowed
        """
        if not source or "\0" in source:
            raise SourceNotAllowed(source, "it is empty or has a NUL in it")
        if source.startswith("file://"):
            source = unquote(urlsplit(source).path)
        if "://" not in source and is_remote(base) and not source.startswith("/"):
            source = f"{base.rstrip('/')}/{source}"
        if "://" in source:
            return self._remote(source)
        try:
            path = Path(base or ".", source).resolve()
        except (OSError, RuntimeError) as error:  # a circle of links
            raise SourceNotAllowed(source, str(error)) from error
        if not any(path.is_relative_to(root) for root in self.roots):
            listed = " or ".join(map(str, self.roots))
            where = f"{listed}, with links resolved" if listed else self._nothing("folder")
            raise SourceNotAllowed(source, f"the setting sweep_roots allows {where}")
        return str(path)

    def read(self, location: str, offset: int, length: int, most: int) -> bytes:
        """Return bytes of a file, at most `most` and one more, which tells that there are more.

        Raises:
            SourceNotAllowed, SourceNotFound, SourceUnreadable, ExtraMissing.
        """
        wanted = most + 1 if length < 0 else min(length, most + 1)
        with self.opened(location) as file, _named(location):
            if offset:
                file.seek(offset)
            parts: list[bytes] = []
            while wanted > 0 and (part := file.read(min(wanted, _CHUNK_BYTES))):
                parts.append(part)
                wanted -= len(part)
        if length >= 0 and wanted > 0 and sum(map(len, parts)) < min(length, most + 1):
            raise SourceUnreadable(location, f"it ends before byte {offset + length:,}")
        return b"".join(parts)

    @contextmanager
    def opened(self, location: str) -> Iterator[IO[bytes]]:
        """Open a file for reading.

        Raises:
            SourceNotAllowed, SourceNotFound, SourceUnreadable, ExtraMissing.
        """
        location = self.located(location)
        if not is_remote(location):
            with _named(location):
                # Not blocking, so that a pipe or a device can be told from a file and refused.
                handle = os.open(location, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            with os.fdopen(handle, "rb") as local:
                if not stat.S_ISREG(os.fstat(handle).st_mode):
                    raise SourceUnreadable(location, "it is no regular file")
                yield local
            return
        with _named(location):
            if urlsplit(location).scheme in _HTTP:
                file: IO[bytes] = self._http(location)
            else:
                system, path = _filesystem(location)
                file = system.open(path, "rb")
        with file:
            yield file

    def size(self, location: str) -> int:
        """Bytes of a file. Raises as `opened` does."""
        location = self.located(location)
        with _named(location):
            if not is_remote(location):
                return os.stat(location).st_size
            system, path = _filesystem(location)
            return int(system.size(path) or 0)

    def is_folder(self, location: str) -> bool:
        """Whether it is a folder, or a prefix of objects. Raises as `opened` does."""
        location = self.located(location)
        with _named(location):
            if not is_remote(location):
                os.stat(location)
                return os.path.isdir(location)
            if urlsplit(location).scheme in _HTTP:
                return False
            system, path = _filesystem(location)
            if not system.exists(path):
                raise FileNotFoundError(errno.ENOENT, "no such object")
            return bool(system.isdir(path))

    def files(self, location: str) -> Iterator[str]:
        """Yield the names of the files below a folder, relative, in a fixed order.

        Hidden ones are left out, and links to folders are not followed. Holds the names of
        one folder at a time.

        Raises:
            as `opened` does.
        """
        location = self.located(location)
        if is_remote(location):
            with _named(location):
                system, path = _filesystem(location)
                found = sorted(system.find(path))
            prefix = path.rstrip("/") + "/"
            for each in found:
                name = each.removeprefix(prefix)
                if not any(part.startswith(".") for part in name.split("/")):
                    yield name
            return
        yield from _walk(location, "")

    def matching(self, pattern: str) -> list[str]:
        """The files that a pattern with `*` or `?` names, sorted. Raises as `opened` does."""
        if is_remote(pattern):
            self.located(pattern.split("*")[0].split("?")[0])
            with _named(pattern):
                system, path = _filesystem(pattern)
                scheme = urlsplit(pattern).scheme
                return [f"{scheme}://{each.lstrip('/')}" for each in sorted(system.glob(path))]
        return sorted(glob.glob(pattern))

    def _remote(self, url: str) -> str:
        scheme, host, port, path = parsed(url)
        for prefix in self.remote:
            allowed = parsed(prefix)
            if (scheme, host, port) == allowed[:3] and below(path, allowed[3]):
                return url
        listed = ", ".join(self.remote) or self._nothing("URL")
        raise SourceNotAllowed(url, f"the setting sweep_urls allows {listed}")

    def _nothing(self, what: str) -> str:
        if self.brand:
            return f"the sweeps of brands no {what}, since it has none with {BRAND} in it"
        return f"no {what} at all"

    def _http(self, url: str) -> IO[bytes]:
        opener = urllib.request.OpenerDirector()
        handlers = [
            urllib.request.ProxyHandler(),
            urllib.request.HTTPHandler(),
            urllib.request.HTTPSHandler(),
            urllib.request.HTTPDefaultErrorHandler(),
            urllib.request.HTTPErrorProcessor(),
            _AllowedRedirects(self),
        ]
        for handler in handlers:
            opener.add_handler(handler)
        answer: Any = opener.open(urllib.request.Request(url), timeout=_TIMEOUT_S)
        found: IO[bytes] = answer
        return found


class _AllowedRedirects(urllib.request.HTTPRedirectHandler):
    """Follows a redirect only to what could have been named in the first place."""

    def __init__(self, access: Access) -> None:
        self._access = access

    def redirect_request(
        self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        """Return the request to go on with. Raises SourceNotAllowed."""
        try:
            self._access.located(newurl)
        except SourceNotAllowed:
            fp.close()
            raise
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _walk(folder: str, at: str) -> Iterator[str]:
    with _named(folder), os.scandir(folder) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(entry.path, f"{at}{entry.name}/")
        elif entry.is_file():
            yield f"{at}{entry.name}"


def _filesystem(location: str) -> tuple[Any, str]:
    try:
        import fsspec
    except ImportError as error:
        raise ExtraMissing(f"{urlsplit(location).scheme}://", "sweeps") from error
    system, path = fsspec.core.url_to_fs(location)
    return system, str(path)


@contextmanager
def _named(location: str) -> Iterator[None]:
    """Turn what a read raises into an error that names the source."""
    try:
        yield
    except (SourceNotAllowed, SourceNotFound, SourceUnreadable, ExtraMissing):
        raise
    except (FileNotFoundError, NotADirectoryError) as error:
        raise SourceNotFound(location) from error
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in (404, 410):
            raise SourceNotFound(location) from error
        raise SourceUnreadable(location, f"HTTP {error.code} {error.reason}") from error
    except ImportError as error:  # fsspec knows the scheme and lacks the package for it
        raise SourceUnreadable(location, str(error)) from error
    except (OSError, ValueError, RuntimeError) as error:
        raise SourceUnreadable(location, str(error) or type(error).__name__) from error
