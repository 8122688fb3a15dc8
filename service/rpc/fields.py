"""Checks of single fields: resource names, ids, sizes; all that is wrong is reported at once.

`Violations` collects while a message is read and raises once at the end, so that a caller
mends a request in one round.
"""

import re
from typing import ClassVar

from service.ids import ID, ID_WORDS
from service.rpc.paging import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE
from service.rpc.territories import TERRITORIES

ID_RULE = f"must be {ID_WORDS} (^[a-z]([a-z0-9-]{{0,61}}[a-z0-9])?$)"
MAX_SELLER_CHARS = 200
_REQUEST_ID = re.compile(r"[!-~]{0,64}")


class FieldInvalid(ValueError):
    """Fields of a request break their rules.

    Attributes:
        violations: pairs of a field's path and what is wrong with it.
    """

    reason: ClassVar[str] = "FIELD_INVALID"

    def __init__(self, violations: tuple[tuple[str, str], ...]) -> None:
        super().__init__("; ".join(f"{name}: {why}" for name, why in violations))
        self.violations = violations
        self.fields = ",".join(name for name, _ in violations)


class Violations:
    """What is wrong with one message. Call `check` when all of it was read."""

    def __init__(self) -> None:
        self._found: list[tuple[str, str]] = []

    def add(self, field: str, why: str) -> None:
        """Note one violation; `field` is its path, such as `listing.images[2]`."""
        self._found.append((field, why))

    @property
    def any(self) -> bool:
        """Whether anything was noted."""
        return bool(self._found)

    def check(self) -> None:
        """Raise `FieldInvalid` if anything was noted."""
        if self._found:
            raise FieldInvalid(tuple(self._found))

    def text(self, field: str, value: str, at_most: int, *, required: bool = False) -> str:
        """Return a text after a look at its length, in characters."""
        if required and not value:
            self.add(field, "is required")
        elif len(value) > at_most:
            self.add(field, f"has {len(value)} characters, at most {at_most} are allowed")
        return value

    def brand(self, field: str, name: str) -> str:
        """Return the id in `brands/{brand}`."""
        return self._ids(field, name, ("brands",))[0]

    def original(self, field: str, name: str) -> tuple[str, str]:
        """Return both ids in `brands/{brand}/originals/{original}`."""
        brand, original = self._ids(field, name, ("brands", "originals"))
        return brand, original

    def licence(self, field: str, name: str) -> tuple[str, str]:
        """Return both ids in `brands/{brand}/licences/{licence}`."""
        brand, licence = self._ids(field, name, ("brands", "licences"))
        return brand, licence

    def programme(self, field: str, name: str) -> tuple[str, str]:
        """Return both ids in `brands/{brand}/programmes/{programme}`."""
        brand, programme = self._ids(field, name, ("brands", "programmes"))
        return brand, programme

    def dispute(self, field: str, name: str) -> tuple[str, str]:
        """Return brand (empty for `-`, all) and id in `brands/{brand}/disputes/{dispute}`."""
        if name.startswith("brands/-/"):
            _, dispute = self._ids(field, name.replace("-", "all", 1), ("brands", "disputes"))
            return "", dispute
        brand, dispute = self._ids(field, name, ("brands", "disputes"))
        return brand, dispute

    def group(self, field: str, name: str) -> tuple[str, str]:
        """Return brand and programme of a group of sellers; no programme: the brand's own."""
        if name.count("/") == 1:
            return self.brand(field, name), ""
        return self.programme(field, name)

    def territory(self, field: str, value: str) -> str:
        """Return an ISO 3166-1 alpha-2 code."""
        if value not in TERRITORIES:
            remedy = "use GB" if value == "UK" else "two capitals, such as DE"
            self.add(field, f"is no ISO 3166-1 alpha-2 code ({remedy}), got {value[:80]!r}")
        return value

    def seller(self, field: str, value: str) -> str:
        """Return the id of a seller, as listings carry it."""
        return self.text(field, value, MAX_SELLER_CHARS, required=True)

    def sweep(self, field: str, name: str) -> str:
        """Return the id in `sweeps/{sweep}`, or `brand/id` of one in `brands/{brand}`."""
        if name.startswith("brands/"):
            return "/".join(self._ids(field, name, ("brands", "sweeps")))
        return self._ids(field, name, ("sweeps",))[0]

    def id(self, field: str, value: str) -> str:
        """Return an id that the caller has chosen."""
        if not value:
            self.add(field, "is required")
        elif not ID.fullmatch(value):
            self.add(field, f"{ID_RULE}, got {value[:80]!r}")
        return value

    def request_id(self, field: str, value: str) -> str:
        """Return the id that makes a retry safe, possibly empty."""
        if not _REQUEST_ID.fullmatch(value):
            self.add(field, "must have at most 64 printable ASCII characters and no space")
        return value

    def page_size(self, field: str, value: int) -> int:
        """Return how many to list, the default for 0."""
        if value < 0:
            self.add(field, "must not be negative")
        return min(value or DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)

    def _ids(self, field: str, name: str, collections: tuple[str, ...]) -> tuple[str, ...]:
        parts = name.split("/")
        ids = tuple(parts[1::2])
        if not name:
            self.add(field, "is required")
        elif tuple(parts[::2]) != collections or len(ids) != len(collections):
            pattern = "/".join(f"{word}/{{{word[:-1]}}}" for word in collections)
            self.add(field, f"must be {pattern}, got {name[:200]!r}")
        elif not all(ID.fullmatch(one) for one in ids):
            self.add(field, f"each id in it {ID_RULE}, got {name[:200]!r}")
        else:
            return ids
        return ("",) * len(collections)


def brand_name(brand: str) -> str:
    """Return `brands/{brand}`."""
    return f"brands/{brand}"


def programme_name(brand: str, programme: str) -> str:
    """Return `brands/{brand}/programmes/{programme}`."""
    return f"brands/{brand}/programmes/{programme}"


def original_name(brand: str, original: str) -> str:
    """Return `brands/{brand}/originals/{original}`."""
    return f"brands/{brand}/originals/{original}"
