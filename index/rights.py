"""The tables of rights: licences, programmes, and the sellers of both and of brands.

A licence names sellers and programmes; a programme is a set of sellers. What a check asks is
the other way round (what does this seller hold of this brand?), so `grants` keeps the way
back. Nothing is cached: a check reads what the last committed write has left.

Tables:
    licences    brand NUL licence id               -> Licence
    programmes  brand NUL programme id             -> Programme
    sellers     group NUL the seller's id          -> the seller's id
    grants      `s`, digest of the seller, brand   -> `o` (own), `l` licence id, `p` programme id
                `p`, brand NUL programme id        -> licence ids

A group is `brand NUL programme id`, with an empty programme id for the brand's own sellers. A
seller's id may be longer than a key of LMDB: in keys stand its beginning and its digest.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from hashlib import sha256
from typing import Any

from index import ledger
from index.follower import Outcome, Written
from index.ids import key_of
from index.licences import (
    Holding,
    Licence,
    LicenceExists,
    LicenceNotFound,
    Programme,
    ProgrammeExists,
    ProgrammeInUse,
    ProgrammeNotFound,
)
from index.records import Brand, ChangeKind, decode_plain, encode_plain
from index.store import Store
from index.tables import Transaction

TABLES = {"licences": False, "programmes": False, "sellers": False, "grants": True}
PAGE_LIMIT = 1000
_AT_ONCE = 10_000


class Licences:
    """Reads and writes of the tables above; safe from any thread.

    Pages start after `after` and hold at most `page_size`, at most 1,000; a shorter page is
    the last one.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def create(self, new: Licence) -> Licence:
        """Keep a licence.

        Raises:
            BrandNotFound, ProgrammeNotFound, OriginalNotFound: it names what is not there.
            LicenceExists, IdInvalid.
        """

        def write(txn: Transaction) -> Outcome[Licence]:
            brand = ledger.find_brand(txn, new.brand)
            if txn.get("licences", _key(new.brand, new.licence)) is not None:
                raise LicenceExists(new.brand, new.licence)
            for programme in new.programmes:
                _find_programme(txn, new.brand, programme)
            for original in new.originals:
                ledger.find_original(txn, new.brand, original)
            txn.put("licences", _key(new.brand, new.licence), encode_plain(new))
            for table_key, value in _grants(new):
                txn.put("grants", table_key, value)
            return _noted(
                txn, "LICENSE", brand, new.licence, new.create_time_ns, new, {"terms": asdict(new)}
            )

        return self._store.write(write).value

    def revoke(self, brand: str, licence: str, now_ns: int, etag: str | None = None) -> Licence:
        """End a licence for good; a revoked one stays as it is.

        Raises:
            LicenceNotFound, EtagMismatch.
        """

        def write(txn: Transaction) -> Outcome[Licence]:
            before = _find_licence(txn, brand, licence)
            if etag and etag != before.etag:
                raise ledger.EtagMismatch(etag, before.etag)
            if before.revoke_time_ns is not None:
                return Outcome(before, ())
            after = replace(before, revoke_time_ns=now_ns, revision=before.revision + 1)
            txn.put("licences", _key(brand, licence), encode_plain(after))
            for table_key, value in _grants(before):
                txn.remove("grants", table_key, value)
            owner = ledger.find_brand(txn, brand)
            return _noted(txn, "REVOKE", owner, licence, now_ns, after)

        return self._store.write(write).value

    def get(self, brand: str, licence: str) -> Licence:
        """Raises LicenceNotFound."""
        with self._store.read() as txn:
            return _find_licence(txn, brand, licence)

    def list(self, brand: str, page_size: int = 100, after: str = "") -> Sequence[Licence]:
        """A page of the licences of a brand, ordered by id. Raises BrandNotFound."""
        return [
            decode_plain(Licence, data) for data in self._page("licences", brand, page_size, after)
        ]

    def create_programme(
        self, brand: str, programme: str, display_name: str, now_ns: int
    ) -> Programme:
        """Raises BrandNotFound, ProgrammeExists, IdInvalid."""
        new = Programme(brand, programme, display_name, now_ns)

        def write(txn: Transaction) -> Outcome[Programme]:
            owner = ledger.find_brand(txn, brand)
            if txn.get("programmes", _key(brand, programme)) is not None:
                raise ProgrammeExists(brand, programme)
            txn.put("programmes", _key(brand, programme), encode_plain(new))
            return _noted(txn, "PROGRAMME", owner, programme, now_ns, new)

        return self._store.write(write).value

    def get_programme(self, brand: str, programme: str) -> Programme:
        """Raises ProgrammeNotFound."""
        with self._store.read() as txn:
            return _find_programme(txn, brand, programme)

    def list_programmes(
        self, brand: str, page_size: int = 100, after: str = ""
    ) -> Sequence[Programme]:
        """A page of the programmes of a brand, ordered by id. Raises BrandNotFound."""
        page = self._page("programmes", brand, page_size, after)
        return [decode_plain(Programme, data) for data in page]

    def delete_programme(self, brand: str, programme: str, now_ns: int) -> None:
        """Delete a programme; its sellers first, some per commit, so that none is left over.

        Raises:
            ProgrammeNotFound, ProgrammeInUse.
        """

        def write(txn: Transaction) -> Outcome[bool]:
            _find_programme(txn, brand, programme)
            for licence in txn.values("grants", _programme_key(brand, programme)):
                named = _find_licence(txn, brand, licence.decode())
                if named.state(now_ns) in ("ACTIVE", "SCHEDULED"):
                    raise ProgrammeInUse(brand, programme, named.licence)
            prefix = _group(brand, programme)
            members = txn.scan("sellers", prefix=prefix, limit=_AT_ONCE)
            for _, seller in members:
                _take(txn, brand, programme, seller.decode())
            if len(members) == _AT_ONCE:
                return Outcome(False, ())
            txn.remove("programmes", _key(brand, programme))
            owner = ledger.find_brand(txn, brand)
            return _noted(txn, "END_PROGRAMME", owner, programme, now_ns, True)

        while not self._store.write(write).value:
            pass

    def add_sellers(self, brand: str, programme: str, sellers: Sequence[str], now_ns: int) -> int:
        """Add sellers to a programme, or with an empty one to the brand's own.

        Returns:
            How many of them are new there.

        Raises:
            BrandNotFound, ProgrammeNotFound.
        """

        def write(txn: Transaction) -> Outcome[int]:
            owner = _find_group(txn, brand, programme)
            count = sum(_give(txn, brand, programme, seller) for seller in sellers)
            said = {"sellers": list(sellers), "new": count}
            return _noted(txn, "ENROL", owner, programme, now_ns, count, said)

        return self._store.write(write).value

    def remove_sellers(
        self, brand: str, programme: str, sellers: Sequence[str], now_ns: int
    ) -> int:
        """Remove sellers again; how many of them were there. Raises as `add_sellers` does."""

        def write(txn: Transaction) -> Outcome[int]:
            owner = _find_group(txn, brand, programme)
            count = sum(_take(txn, brand, programme, seller) for seller in sellers)
            said = {"sellers": list(sellers), "removed": count}
            return _noted(txn, "EXPEL", owner, programme, now_ns, count, said)

        return self._store.write(write).value

    def list_sellers(
        self, brand: str, programme: str, page_size: int = 100, after: str = ""
    ) -> Sequence[str]:
        """A page of the sellers of a programme, or with an empty one of the brand's own ones.

        Raises:
            BrandNotFound, ProgrammeNotFound.
        """
        start = _seller_key(brand, programme, after) + b"\0" if after else b""
        with self._store.read() as txn:
            _find_group(txn, brand, programme)
            limit = min(page_size, PAGE_LIMIT)
            found = txn.scan("sellers", start, prefix=_group(brand, programme), limit=limit)
        return [seller.decode() for _, seller in found]

    def holds_any(self, seller: str) -> bool:
        """Whether a seller has, or had until it expired, a right of any brand."""
        if not seller:
            return False
        with self._store.read() as txn:
            return bool(txn.scan("grants", prefix=_holder_key(seller, ""), limit=1))

    def held(self, seller: str, brand: str) -> Holding:
        """What a seller has of a brand; nothing of a brand that does not exist."""
        own, ids = False, set[bytes]()
        with self._store.read() as txn:
            for value in txn.values("grants", _holder_key(seller, brand)):
                kind, name = value[:1], value[1:]
                if kind == b"o":
                    own = True
                elif kind == b"l":
                    ids.add(name)
                else:
                    ids.update(txn.values("grants", _programme_key(brand, name.decode())))
            found = [_find_licence(txn, brand, name.decode()) for name in sorted(ids)]
        return Holding(own, tuple(found))

    def _page(self, table: str, brand: str, page_size: int, after: str) -> Sequence[bytes]:
        start = _key(brand, after) + b"\0" if after else b""
        with self._store.read() as txn:
            ledger.find_brand(txn, brand)
            limit = min(page_size, PAGE_LIMIT)
            prefix = key_of(brand) + b"\0"
            return [data for _, data in txn.scan(table, start, prefix=prefix, limit=limit)]


def purge_licences(txn: Transaction, brand: Brand, limit: int, now_ns: int) -> int:
    """Remove licences of a brand that is being deleted; see `index.removal`."""
    pairs = txn.scan("licences", prefix=key_of(brand.brand) + b"\0", limit=limit)
    for key, data in pairs:
        for table_key, value in _grants(decode_plain(Licence, data)):
            txn.remove("grants", table_key, value)
        txn.remove("licences", key)
    return len(pairs)


def purge_sellers(txn: Transaction, brand: Brand, limit: int, now_ns: int) -> int:
    """Remove the sellers of a brand that is being deleted, its own and those of programmes."""
    prefix = key_of(brand.brand) + b"\0"
    pairs = txn.scan("sellers", prefix=prefix, limit=limit)
    for key, seller in pairs:
        # After the brand stands the programme, empty for the brand's own sellers.
        programme = key[len(prefix) :].partition(b"\0")[0].decode()
        _take(txn, brand.brand, programme, seller.decode())
    return len(pairs)


def _key(brand: str, name: str) -> bytes:
    return key_of(brand) + b"\0" + key_of(name)


def _group(brand: str, programme: str) -> bytes:
    return key_of(brand) + b"\0" + (key_of(programme) if programme else b"") + b"\0"


def _seller_key(brand: str, programme: str, seller: str) -> bytes:
    """Ordered by the seller's id as far as there is room, and never equal for two sellers."""
    data = seller.encode()
    return _group(brand, programme) + data[:64] + b"\0" + sha256(data).digest()[:16]


def _holder_key(seller: str, brand: str) -> bytes:
    return b"s" + sha256(seller.encode()).digest() + brand.encode()


def _programme_key(brand: str, programme: str) -> bytes:
    return b"p" + _key(brand, programme)


def _grants(licence: Licence) -> list[tuple[bytes, bytes]]:
    """Key and value of each way back from a holder to a licence."""
    name = key_of(licence.licence)
    by_seller = [(_holder_key(seller, licence.brand), b"l" + name) for seller in licence.sellers]
    by_programme = [(_programme_key(licence.brand, one), name) for one in licence.programmes]
    return by_seller + by_programme


def _give(txn: Transaction, brand: str, programme: str, seller: str) -> bool:
    """Put a seller into a group; whether the seller is new there."""
    key = _seller_key(brand, programme, seller)
    if txn.get("sellers", key) is not None:
        return False
    txn.put("sellers", key, seller.encode())
    txn.put("grants", _holder_key(seller, brand), _membership(programme))
    return True


def _take(txn: Transaction, brand: str, programme: str, seller: str) -> bool:
    """Take a seller out of a group; whether the seller was there."""
    if not txn.remove("sellers", _seller_key(brand, programme, seller)):
        return False
    txn.remove("grants", _holder_key(seller, brand), _membership(programme))
    return True


def _membership(programme: str) -> bytes:
    return b"p" + key_of(programme) if programme else b"o"


def _find_group(txn: Transaction, brand: str, programme: str) -> Brand:
    owner = ledger.find_brand(txn, brand)
    if programme:
        _find_programme(txn, brand, programme)
    return owner


def _find_licence(txn: Transaction, brand: str, licence: str) -> Licence:
    data = txn.get("licences", _key(brand, licence))
    if data is None:
        raise LicenceNotFound(brand, licence)
    return decode_plain(Licence, data)


def _find_programme(txn: Transaction, brand: str, programme: str) -> Programme:
    data = txn.get("programmes", _key(brand, programme))
    if data is None:
        raise ProgrammeNotFound(brand, programme)
    return decode_plain(Programme, data)


def _noted[T](
    txn: Transaction,
    kind: ChangeKind,
    brand: Brand,
    subject: str,
    now_ns: int,
    value: T,
    details: Mapping[str, Any] | None = None,
) -> Outcome[T]:
    """The value, with a line in the change log and in the audit log."""
    change = ledger.note(txn, kind, brand, subject, now_ns, details or {})
    return Outcome(value, (Written(None, change),))
