"""Where something is: paths, and URLs that all readers have to read in the same way."""

import posixpath
from urllib.parse import unquote, urlsplit

from service.sweeps.errors import SourceNotAllowed


def is_remote(location: str) -> bool:
    """Whether a location is a URL."""
    return "://" in location


def folder_of(location: str) -> str:
    """The folder of a file, or the URL above it."""
    return posixpath.dirname(location)


def joined(folder: str, name: str) -> str:
    """The location of a file in a folder."""
    return f"{folder.rstrip('/')}/{name}"


def parsed(url: str) -> tuple[str, str, int | None, str]:
    """Scheme, host, port and path; refuses what different readers read differently."""
    try:
        parts = urlsplit(url)
        scheme, host, port = parts.scheme, parts.hostname or "", parts.port
    except ValueError as error:
        raise SourceNotAllowed(url, str(error)) from error
    if not scheme or not host:
        raise SourceNotAllowed(url, "a URL has a scheme and a host, as in s3://bucket/folder")
    if "::" in url or "\\" in url or any(ord(c) <= 32 for c in url) or "@" in parts.netloc:
        raise SourceNotAllowed(url, "it has '::', '@', a backslash or a blank in it")
    path = unquote(parts.path)
    if ".." in path.split("/"):
        raise SourceNotAllowed(url, "it has '..' in it")
    default = {"http": 80, "https": 443}.get(scheme)
    return scheme, host.lower(), default if port is None else port, path


def below(path: str, allowed: str) -> bool:
    """Whether the path of a URL is another one or lies below it."""
    prefix = allowed.rstrip("/")
    return not prefix or path == prefix or path.startswith(f"{prefix}/")
