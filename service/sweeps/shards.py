"""Manifests that are tar shards, as webdataset writes them.

A shard is read by its headers alone; a picture is a place in it. That takes shards that are
not compressed (pictures are already), and files that can be read from the middle.
"""

import json
import re
import tarfile
from collections.abc import Iterator, Sequence
from itertools import groupby
from posixpath import splitext
from typing import IO

from service.suffixes import PICTURE_SUFFIXES
from service.sweeps.access import Access
from service.sweeps.errors import ManifestInvalid
from service.sweeps.listing import ROW_INVALID, SHARD_TRUNCATED, Listing, Picture, refused
from service.sweeps.places import joined

_BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}")
_WILD = re.compile(r"[{*?]")
_BLOCK = 512
_JSON_BYTES = 1 << 20
_MOST_SHARDS = 100_000
_COMPRESSED = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\xfd7zXZ", b"BZh")


def is_pattern(source: str) -> bool:
    """Whether it names several shards."""
    return _WILD.search(source) is not None


def located(pattern: str, access: Access) -> str:
    """Return where a pattern of shards is, allowed. Raises SourceNotAllowed."""
    folder = _WILD.split(pattern)[0].rpartition("/")[0]
    name = pattern[len(folder) :].lstrip("/")
    return joined(access.located(folder or ("/" if pattern.startswith("/") else ".")), name)


def check(location: str, access: Access) -> None:
    """Raises ManifestInvalid when there is no shard, or one that is none."""
    if location.startswith(("http://", "https://")):
        raise ManifestInvalid(location, "shards are read from a folder or an object store")
    found = _shards(location, access)
    if not found:
        raise ManifestInvalid(location, "it names no shard")
    for shard in found:
        if access.size(shard) == 0:
            raise ManifestInvalid(shard, "the shard has 0 bytes; leave it out or make it anew")
        head = access.read(shard, 0, _BLOCK, _BLOCK)
        if head.startswith(_COMPRESSED):
            raise ManifestInvalid(shard, "the shard is compressed; decompress it first")
        if len(head) < _BLOCK or (head[257:262] != b"ustar" and any(head)):
            raise ManifestInvalid(shard, "it is no tar file")


def listings(location: str, access: Access) -> Iterator[Listing]:
    """Yield the listings of all shards, shard by shard."""
    for shard in _shards(location, access):
        with access.opened(shard) as file:
            try:
                archive = tarfile.open(fileobj=file, mode="r:")
            except tarfile.TarError as error:
                raise ManifestInvalid(shard, f"it is no tar file: {error}") from error
            for key, group in groupby(_members(archive), key=_key):
                yield _sample(shard, key, file, list(group))
            if not _ended(archive, file):
                name = shard.rpartition("/")[2]
                why = f"the shard breaks off after byte {archive.offset:,}; what followed is lost"
                yield refused(f"({name})", "", SHARD_TRUNCATED, why)


def _shards(location: str, access: Access) -> list[str]:
    """The shards that a location names: a file, a folder or a pattern."""
    found = _BRACES.search(location)
    if found:
        first, last = found[1], found[2]
        if int(last) - int(first) >= _MOST_SHARDS:
            raise ManifestInvalid(location, f"it names more than {_MOST_SHARDS:,} shards")
        names = (str(n).zfill(len(first)) for n in range(int(first), int(last) + 1))
        return [location[: found.start()] + name + location[found.end() :] for name in names]
    if is_pattern(location):
        return access.matching(location)
    if location.endswith(".tar"):
        return [location]
    return [
        joined(location, name) for name in access.files(location) if name.lower().endswith(".tar")
    ]


def _members(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Yield the files of an archive, to its end or to where it breaks off."""
    last = -1
    while True:
        try:
            member = archive.next()
        except (tarfile.TarError, OSError, ValueError):
            return  # `_ended` tells
        archive.members.clear()  # type: ignore[attr-defined]  # it would remember every one
        if member is None or member.offset <= last:  # a forged size must not lead back
            return
        last = member.offset
        hidden = any(part.startswith(".") for part in member.name.removeprefix("./").split("/"))
        if member.isreg() and not hidden and member.size >= 0:
            yield member


def _ended(archive: tarfile.TarFile, file: IO[bytes]) -> bool:
    """Whether reading stopped at the mark that ends an archive."""
    file.seek(archive.offset)
    mark = file.read(_BLOCK)
    return len(mark) == _BLOCK and not any(mark)


def _key(member: tarfile.TarInfo) -> str:
    """The name of the sample: all up to the first dot of the file's name."""
    folder, slash, name = member.name.removeprefix("./").rpartition("/")
    return f"{folder}{slash}{name.partition('.')[0]}"


def _sample(shard: str, key: str, file: IO[bytes], members: Sequence[tarfile.TarInfo]) -> Listing:
    listing_id, seller, territory = key, "", ""
    pictures = []
    for member in members:
        suffix = splitext(member.name)[1].lower()
        if suffix in PICTURE_SUFFIXES:
            pictures.append(Picture(shard, member.name, member.offset_data, member.size))
        elif suffix == ".json":
            try:
                listing_id, seller, territory = _described(key, file, member)
            except ValueError as error:
                return refused(key, "", ROW_INVALID, f"{member.name}: {error}")
    return Listing(listing_id, seller, tuple(pictures), territory=territory)


def _described(key: str, file: IO[bytes], member: tarfile.TarInfo) -> tuple[str, str, str]:
    """The id, seller and territory that a sample's JSON names. Raises ValueError."""
    if member.size > _JSON_BYTES:
        raise ValueError(f"it has {member.size:,} bytes, at most {_JSON_BYTES:,} are read")
    file.seek(member.offset_data)
    found = json.loads(file.read(member.size))
    if not isinstance(found, dict):
        raise ValueError("it is no JSON object")
    said = [str(found.get(name) or "").strip() for name in ("listing_id", "seller", "territory")]
    return said[0] or key, said[1], said[2]
