"""API keys: made, looked up, revoked. They lie in an LMDB environment of their own.

A key reads `cck_<id>_<secret>`. The id may be shown and logged; of the secret only the SHA-256
is kept. A key that stands for a client certificate has no secret.

Any thread of any process may work in one environment at the same time; within a process it is
opened once and shared (LMDB allows no second time). Every look-up reads the disk's state, so
a revocation by another process counts at once.
"""

import hashlib
import hmac
import logging
import re
import secrets
import threading
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from index import audit
from index.disk import PRIVATE_FOLDER, StoreMissing, named
from index.ids import key_of, number
from index.store import Store, StoredView, StoreOptions
from index.tables import Transaction
from service.access.api_key import ApiKey, decode_key, encode_key
from service.access.refusals import (
    ApiKeyExpired,
    ApiKeyRevoked,
    ApiKeyUnknown,
    CertificateTaken,
    CertificateUnknown,
)
from service.access.roles import Caller, KeyLimits, Role

log = logging.getLogger(__name__)

Clock = Callable[[], int]

FOLDER = "access"
"""Within the data folder."""
TABLES: Mapping[str, bool] = {
    "keys": False,
    "certificates": False,
    "uses": False,
    **audit.TABLES,
}
"""The audit log of keys is a chain of its own: commands write it that never open the catalogue."""
VERSION = 1
_MAP_BYTES = 64 << 20  # about 100,000 keys; never grown, since other processes have it mapped
_KEY = re.compile(r"cck_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
_USE_NOTED_EVERY_NS = 60 * 10**9
_LIST_LIMIT = 100_000


class KeyStore:
    """The keys of one data folder. Open it with `open`; close it once for each `open`.

    Args:
        clock: nanoseconds since 1970.
    """

    _opened: ClassVar[dict[Path, tuple[Store, int]]] = {}
    _opening: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, path: Path, store: Store, clock: Clock) -> None:
        self._path, self._store, self._clock = path, store, clock
        self._noted: dict[str, int] = {}
        self._closed = False

    @classmethod
    def open(cls, data_dir: Path, clock: Clock = time.time_ns) -> "KeyStore":
        """Open or make the keys of a data folder.

        Raises:
            StoreReadOnly, StoreFull, StoreCorrupt, StoreTooNew, StoreFailed.
        """
        path = data_dir / FOLDER
        try:
            data_dir.mkdir(PRIVATE_FOLDER, parents=True, exist_ok=True)
            path.mkdir(PRIVATE_FOLDER, exist_ok=True)
            if path.stat().st_mode & 0o077:  # a restore makes folders as usual
                path.chmod(PRIVATE_FOLDER)
        except OSError as error:
            raise named(path, error.errno or 0, error.strerror or str(error)) from error
        path = path.resolve()
        with cls._opening:
            store, count = cls._opened.get(path, (None, 0))
            if store is None:
                options = StoreOptions(initial_bytes=_MAP_BYTES, max_bytes=_MAP_BYTES)
                store = Store(
                    path, TABLES, version=VERSION, migrations={}, options=options, shared=True
                )
            cls._opened[path] = store, count + 1
        return cls(path, store, clock)

    def close(self) -> None:
        """Let go of it; the last one in this process closes the file. Again does nothing."""
        with self._opening:
            if self._closed:
                return
            self._closed = True
            store, count = self._opened.pop(self._path)
            if count > 1:
                self._opened[self._path] = store, count - 1
            else:
                store.close()

    def __enter__(self) -> "KeyStore":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def create(
        self,
        name: str,
        role: Role,
        *,
        brands: Collection[str] = (),
        expire_time_ns: int = 0,
        certificate: str = "",
        limits: KeyLimits | None = None,
    ) -> tuple[ApiKey, str]:
        """Make a key.

        Args:
            name: for people; need not be its own.
            brands: of an owner; an owner has some, no other role has any.
            certificate: a name in client certificates; the key then has no secret.

        Returns:
            The key, and the text that its holder sends: nobody can read it again. Empty for a key
            that stands for a certificate.

        Raises:
            ValueError: an owner without brands, or brands of another role.
            CertificateTaken: an active key stands for certificates of that name.
            StoreFull, StoreReadOnly.
        """
        if (role is Role.OWNER) != bool(brands):
            raise ValueError("an owner is bound to brands, and no other role is")
        secret = "" if certificate else secrets.token_urlsafe(32)
        made = ApiKey(
            id=secrets.token_hex(6),
            name=name,
            role=role,
            brands=frozenset(brands),
            secret_sha256=_digest(secret) if secret else "",
            certificate=certificate,
            create_time_ns=self._clock(),
            expire_time_ns=expire_time_ns,
            limits=limits or KeyLimits(),
        )

        def write(txn: Transaction) -> None:
            if certificate:
                taken = _stands_for(txn, certificate)
                if taken is not None and taken.state(made.create_time_ns) == "active":
                    raise CertificateTaken(certificate, taken.id)
                txn.put("certificates", _name_key(certificate), made.id.encode())
            txn.put("keys", key_of(made.id), encode_key(made))
            said = {
                "key": made.id,
                "name": name,
                "role": role.value,
                "certificate": certificate,
                "expire_time_ns": expire_time_ns,
            }
            audit.append(txn, "key.create", said, made.create_time_ns, brands=made.brands)

        self._store.write(write)
        return made, f"cck_{made.id}_{secret}" if secret else ""

    def list(self) -> list[ApiKey]:
        """Return all keys, oldest first, revoked and expired ones too."""
        with self._store.read() as txn:
            return _all(txn)

    def revoke(self, key_id: str) -> ApiKey:
        """Revoke a key; again is no error, and keeps the time of the first.

        Raises:
            ApiKeyUnknown: there is no such key.
        """
        now = self._clock()

        def write(txn: Transaction) -> ApiKey:
            key = _find(txn, key_id)
            if not key.revoke_time_ns:
                key = replace(key, revoke_time_ns=now)
                txn.put("keys", key_of(key.id), encode_key(key))
                said = {"key": key.id, "name": key.name}
                audit.append(txn, "key.revoke", said, now, brands=key.brands)
            return key

        return self._store.write(write)

    def forget(self, key_id: str) -> None:
        """Remove a key without a trace; for keys that one run of a program made for itself."""

        def write(txn: Transaction) -> None:
            txn.remove("keys", key_of(key_id))
            txn.remove("uses", key_of(key_id))

        self._store.write(write)

    def identify(self, shown: str) -> Caller:
        """Return the caller that shows this text.

        Raises:
            ApiKeyUnknown, ApiKeyExpired, ApiKeyRevoked.
        """
        parts = _KEY.fullmatch(shown)
        if parts is None:
            raise ApiKeyUnknown
        with self._store.read() as txn:
            key = _find(txn, parts[1])
        if not hmac.compare_digest(key.secret_sha256, _digest(parts[2])):
            raise ApiKeyUnknown
        return self._admitted(key)

    def identify_certificate(self, names: Collection[str]) -> Caller:
        """Return the caller whose verified client certificate has these names.

        Raises:
            CertificateUnknown, ApiKeyExpired, ApiKeyRevoked.
        """
        with self._store.read() as txn:
            found = [key for name in names if (key := _stands_for(txn, name)) is not None]
        if not found:
            raise CertificateUnknown
        # One that is in force is preferred to one that is not; names in common are the operator's.
        now = self._clock()
        return self._admitted(min(found, key=lambda key: key.state(now) != "active"))

    def check(self, key_id: str) -> None:
        """Look whether a key that was identified before is still in force.

        Raises:
            ApiKeyUnknown, ApiKeyExpired, ApiKeyRevoked.
        """
        with self._store.read() as txn:
            self._in_force(_find(txn, key_id))

    def active_count(self) -> int:
        """Return how many keys are in force."""
        now = self._clock()
        return sum(key.state(now) == "active" for key in self.list())

    def _admitted(self, key: ApiKey) -> Caller:
        self._in_force(key)
        self._note_use(key.id)
        return key.caller

    def _in_force(self, key: ApiKey) -> None:
        state = key.state(self._clock())
        if state == "revoked":
            raise ApiKeyRevoked(key.id)
        if state == "expired":
            raise ApiKeyExpired(key.id)

    def _note_use(self, key_id: str) -> None:
        """Write the time of the last use, about once a minute; nobody waits for it."""
        now = self._clock()
        if abs(now - self._noted.get(key_id, 0)) < _USE_NOTED_EVERY_NS:
            return
        self._noted[key_id] = now

        def write(txn: Transaction) -> None:
            if txn.get("keys", key_of(key_id)) is not None:
                txn.put("uses", key_of(key_id), number(now))

        def written(done: "Future[None]") -> None:
            if (error := done.exception()) is not None:
                log.warning("the last use of key %s is not noted: %s", key_id, error)

        self._store.submit(write).add_done_callback(written)


def look_up(data_dir: Path) -> list[ApiKey]:
    """Return the keys of a data folder as `KeyStore.list` does, making and locking nothing.

    Raises:
        StoreCorrupt, StoreFailed.
    """
    try:
        view = StoredView(data_dir / FOLDER, TABLES)
    except StoreMissing:
        return []
    with view, view.read() as txn:
        return _all(txn)


def _all(txn: Transaction) -> list[ApiKey]:
    found = [decode_key(data) for _, data in txn.scan("keys", limit=_LIST_LIMIT)]
    found = [replace(key, use_time_ns=_use_time(txn, key.id)) for key in found]
    return sorted(found, key=lambda key: (key.create_time_ns, key.id))


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _name_key(certificate: str) -> bytes:
    """Names in certificates may be URIs of any length: their digest is the key."""
    return hashlib.sha256(certificate.encode(errors="surrogateescape")).digest()


def _stands_for(txn: Transaction, certificate: str) -> ApiKey | None:
    key_id = txn.get("certificates", _name_key(certificate))
    data = txn.get("keys", key_id) if key_id is not None else None
    return decode_key(data) if data is not None else None


def _find(txn: Transaction, key_id: str) -> ApiKey:
    data = txn.get("keys", key_of(key_id))
    if data is None:
        raise ApiKeyUnknown
    return decode_key(data)


def _use_time(txn: Transaction, key_id: str) -> int:
    return int.from_bytes(txn.get("uses", key_of(key_id)) or b"")
