"""Snapshots of the live indexes, so that a start need not read every record.

A snapshot is a folder: the rows, keys and brand numbers of each piece, and a manifest with
the schema, the store it belongs to, the change it stands at, and the digest of each file. It
is written aside, synced and renamed, so a crash leaves the previous one. Every byte is
checked before faiss sees it; a damaged snapshot is refused by the name of the file, and the
next older one or the store itself is used. Rows of withdrawn originals are left out, except
in inverted pieces, where they are until compaction.
"""

import hashlib
import json
import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from index.disk import digest_of, sync
from index.live import State
from index.pieces import Piece, Sealed, made_of
from index.spaces import Space
from index.vectors import IndexOptions, VectorIndex

log = logging.getLogger(__name__)

FORMAT = 1
_MANIFEST = "manifest.json"


class SnapshotCorrupt(RuntimeError):
    """A file of a snapshot is damaged or missing."""

    reason: ClassVar[str] = "SNAPSHOT_CORRUPT"

    def __init__(self, file: Path, why: str) -> None:
        super().__init__(f"snapshot file {file} is damaged: {why}")
        self.file, self.why = file, why


class SnapshotMismatch(RuntimeError):
    """A sound snapshot that belongs to another store, schema or set of spaces."""

    reason: ClassVar[str] = "SNAPSHOT_MISMATCH"

    def __init__(self, folder: Path, why: str) -> None:
        super().__init__(f"snapshot {folder} does not fit: {why}")
        self.folder, self.why = folder, why


class SnapshotFailed(RuntimeError):
    """A snapshot could not be written; the previous one is untouched."""

    reason: ClassVar[str] = "SNAPSHOT_FAILED"

    def __init__(self, folder: Path, why: str) -> None:
        super().__init__(f"no snapshot could be written to {folder}: {why}")
        self.folder, self.why = folder, why


@dataclass(frozen=True, slots=True)
class SnapshotInfo:
    """Which snapshot, and of when.

    Attributes:
        id: name of its folder.
        sequence: the last change that it holds.
    """

    id: str
    sequence: int
    create_time_ns: int
    byte_count: int


@dataclass(frozen=True, slots=True)
class Origin:
    """What a snapshot belongs to: one store, one schema, one set of spaces."""

    store: str
    schema: str
    spaces: tuple[Space, ...]


class Snapshots:
    """The snapshots of one catalogue, in one folder. Writes from one thread at a time."""

    def __init__(self, folder: Path, keep: int = 2) -> None:
        self.folder, self._keep = folder, max(1, keep)
        self.newest: SnapshotInfo | None = None
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(".*.tmp"):  # of a crash while writing
            shutil.rmtree(left)

    def found(self) -> list[str]:
        """Ids, the newest first."""
        return sorted((p.name for p in self.folder.iterdir() if p.is_dir()), reverse=True)

    def save(
        self, origin: Origin, sequence: int, states: Mapping[str, State], now_ns: int
    ) -> SnapshotInfo:
        """Write a snapshot of these states, then prune old ones.

        Raises:
            SnapshotFailed: the disk is full or can not be written.
        """
        name = f"{sequence:020d}-{now_ns:020d}"
        aside, final = self.folder / f".{name}.tmp", self.folder / name
        try:
            shutil.rmtree(aside, ignore_errors=True)
            aside.mkdir()
            byte_count = _write(aside, origin, sequence, states, now_ns)
            for file in (*aside.iterdir(), aside):
                sync(file)
            aside.rename(final)
            sync(self.folder)
        except (OSError, RuntimeError) as error:  # faiss raises RuntimeError when it can not write
            shutil.rmtree(aside, ignore_errors=True)
            raise SnapshotFailed(self.folder, str(error)) from error
        self.newest = SnapshotInfo(name, sequence, now_ns, byte_count)
        self.prune(self._keep)
        return self.newest

    def prune(self, keep: int) -> None:
        """Remove all but the newest so many."""
        for old in self.found()[keep:]:
            shutil.rmtree(self.folder / old)

    def load(
        self, name: str, origin: Origin, options: IndexOptions
    ) -> tuple[SnapshotInfo, dict[str, list[Sealed]]]:
        """Read a snapshot, every byte checked.

        Raises:
            SnapshotCorrupt, SnapshotMismatch: it can not be used.
        """
        folder = self.folder / name
        manifest = _manifest(folder / _MANIFEST)
        if manifest["format"] != FORMAT:
            raise SnapshotMismatch(folder, f"format {manifest['format']} is unknown")
        spaces = tuple(Space(*entry["space"]) for entry in manifest["spaces"])
        for what, mine, its in (
            ("store", origin.store, manifest["store"]),
            ("schema", origin.schema, manifest["schema"]),
            ("set of spaces", origin.spaces, spaces),
        ):
            if mine != its:
                raise SnapshotMismatch(folder, f"its {what} is {its}, not {mine}")
        for file, (size, digest) in manifest["files"].items():
            _check(folder / file, size, digest)
        pieces = {
            space.name: [_load_piece(folder, space, given, options) for given in entry["pieces"]]
            for space, entry in zip(spaces, manifest["spaces"], strict=True)
        }
        byte_count = sum(size for size, _ in manifest["files"].values())
        info = SnapshotInfo(name, manifest["sequence"], manifest["create_time_ns"], byte_count)
        return info, pieces


def _write(
    folder: Path, origin: Origin, sequence: int, states: Mapping[str, State], now_ns: int
) -> int:
    """Write the files of a snapshot, the manifest last; their bytes."""
    spaces = [_save_space(folder, space, states[space.name]) for space in origin.spaces]
    files = {p.name: (p.stat().st_size, digest_of(p)) for p in sorted(folder.iterdir())}
    manifest = {
        "format": FORMAT,
        "store": origin.store,
        "schema": origin.schema,
        "sequence": sequence,
        "create_time_ns": now_ns,
        "spaces": spaces,
        "files": files,
    }
    words = json.dumps(manifest, indent=1) + "\n"
    digest = hashlib.sha256(words.encode()).hexdigest()
    (folder / _MANIFEST).write_text(f"{digest}\n{words}")
    return sum(size for size, _ in files.values())


def _save_space(folder: Path, space: Space, state: State) -> dict[str, Any]:
    pieces = [
        _save_piece(folder, space, f"{space.name}-{i}", piece)
        for i, piece in enumerate(state.pieces)
        if piece.size
    ]
    return {"space": [space.name, space.kind, space.dimension], "pieces": pieces}


def _save_piece(folder: Path, space: Space, name: str, piece: Piece) -> dict[str, Any]:
    given: dict[str, Any] = {"name": name, "trained": False}
    arrays: tuple[NDArray[Any], NDArray[Any], NDArray[Any]]
    if isinstance(piece, Sealed) and isinstance(piece.index, VectorIndex) and piece.index.probes:
        given["trained"] = piece.index.save(folder / f"{name}.faiss")
        given["probes"], given["recall"] = piece.index.probes, piece.index.recall
        arrays = (piece.keys, piece.brands, piece.index.rows)
        if piece.dead is not None:
            np.save(folder / f"{name}.dead.npy", piece.dead, allow_pickle=False)
            given["dead"] = True
    elif isinstance(piece, Sealed) and piece.dead is None:
        arrays = (piece.keys, piece.brands, piece.index.rows)
    else:
        arrays = piece.live()
    keys, brands, rows = arrays
    kept: dict[str, NDArray[Any]] = {
        "keys": keys,
        "brands": brands,
        "rows": rows.astype(space.dtype, copy=False),
    }
    for field, array in kept.items():
        np.save(folder / f"{name}.{field}.npy", array, allow_pickle=False)
    return given


def _load_piece(
    folder: Path, space: Space, given: Mapping[str, Any], options: IndexOptions
) -> Sealed:
    def read(field: str, mmap: bool = False) -> NDArray[Any]:
        mode: Any = "r" if mmap else None
        array: NDArray[Any] = np.load(folder / f"{given['name']}.{field}.npy", mmap_mode=mode)
        return array

    tuned = None
    if given["trained"]:
        tuned = (folder / f"{given['name']}.faiss", given["probes"], given["recall"])
    copied = tuned is None and space.kind != "points"  # by a flat index; inverted ones keep them
    rows = read("rows", mmap=copied)
    index = made_of(space, rows, options, tuned)
    return Sealed(read("keys"), read("brands"), index, read("dead") if given.get("dead") else None)


def _manifest(file: Path) -> dict[str, Any]:
    try:
        digest, _, words = file.read_text().partition("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise SnapshotCorrupt(file, str(error)) from error
    if hashlib.sha256(words.encode()).hexdigest() != digest:
        raise SnapshotCorrupt(file, "its digest does not fit")
    manifest: dict[str, Any] = json.loads(words)
    return manifest


def _check(file: Path, size: int, digest: str) -> None:
    try:
        found = file.stat().st_size
        if found != size:
            raise SnapshotCorrupt(file, f"it has {found} bytes, not {size}")
        if digest_of(file) != digest:
            raise SnapshotCorrupt(file, "its digest does not fit")
    except OSError as error:
        raise SnapshotCorrupt(file, str(error)) from error
