"""Licences and programmes as they are stored, and what a licence covers.

`index.rights` keeps them; this module knows no store.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

from index.records import OriginalRecord

Scope = Literal["ALL", "ORIGINALS", "TAG"]
State = Literal["ACTIVE", "SCHEDULED", "EXPIRED", "REVOKED"]


class LicenceExists(ValueError):
    """The licence id is taken within its brand, perhaps by a licence that was revoked."""

    reason: ClassVar[str] = "LICENCE_EXISTS"

    def __init__(self, brand: str, licence: str) -> None:
        super().__init__(f"licence {licence!r} of brand {brand!r} exists already")
        self.brand, self.licence = brand, licence

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return type(self), (self.brand, self.licence)


class LicenceNotFound(LookupError):
    """No such licence."""

    reason: ClassVar[str] = "LICENCE_NOT_FOUND"

    def __init__(self, brand: str, licence: str) -> None:
        super().__init__(f"no licence {licence!r} of brand {brand!r}")
        self.brand, self.licence = brand, licence

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return type(self), (self.brand, self.licence)


class ProgrammeExists(ValueError):
    """The programme id is taken within its brand."""

    reason: ClassVar[str] = "PROGRAMME_EXISTS"

    def __init__(self, brand: str, programme: str) -> None:
        super().__init__(f"programme {programme!r} of brand {brand!r} exists already")
        self.brand, self.programme = brand, programme

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return type(self), (self.brand, self.programme)


class ProgrammeNotFound(LookupError):
    """No such programme."""

    reason: ClassVar[str] = "PROGRAMME_NOT_FOUND"

    def __init__(self, brand: str, programme: str) -> None:
        super().__init__(f"no programme {programme!r} of brand {brand!r}")
        self.brand, self.programme = brand, programme

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return type(self), (self.brand, self.programme)


class ProgrammeInUse(ValueError):
    """A licence names the programme that is neither revoked nor expired."""

    reason: ClassVar[str] = "PROGRAMME_IN_USE"

    def __init__(self, brand: str, programme: str, licence: str) -> None:
        super().__init__(
            f"programme {programme!r} of brand {brand!r} is named by licence {licence!r}; "
            "revoke that first"
        )
        self.brand, self.programme, self.licence = brand, programme, licence

    def __reduce__(self) -> tuple[type, tuple[str, str, str]]:
        return type(self), (self.brand, self.programme, self.licence)


@dataclass(frozen=True, slots=True)
class Licence:
    """A right of sellers to use a brand's originals; its terms never change.

    Attributes:
        licence: id within the brand.
        sellers, programmes: who is licensed, by seller and programme ids.
        scope: `ALL` originals of the brand, those named in `originals` (ids), or those with
            the annotation `tag_key` = `tag_value`.
        territories: where; empty means everywhere.
        start_time_ns: counts from this moment on, included.
        end_time_ns: counts until this moment, excluded; None: no end.
        revoke_time_ns: when it was revoked, None when it was not.
        revision: 1 when created, one more with each change.
    """

    brand: str
    licence: str
    display_name: str
    sellers: tuple[str, ...]
    programmes: tuple[str, ...]
    scope: Scope
    originals: tuple[str, ...]
    tag_key: str
    tag_value: str
    territories: tuple[str, ...]
    start_time_ns: int
    end_time_ns: int | None
    create_time_ns: int
    revoke_time_ns: int | None = None
    revision: int = 1

    @property
    def etag(self) -> str:
        """Changes with each change of the licence."""
        return f"{self.brand}/{self.licence}/{self.revision}"

    def state(self, now_ns: int) -> State:
        """What it is at a moment."""
        if self.revoke_time_ns is not None:
            return "REVOKED"
        if now_ns < self.start_time_ns:
            return "SCHEDULED"
        if self.end_time_ns is not None and now_ns >= self.end_time_ns:
            return "EXPIRED"
        return "ACTIVE"

    def reaches(self, now_ns: int, territory: str) -> bool:
        """Whether it counts at this moment and place; an unknown place is empty."""
        here = not self.territories or territory in self.territories
        return here and self.state(now_ns) == "ACTIVE"

    def covers(self, original: OriginalRecord) -> bool:
        """Whether an original is among those that it grants."""
        if original.brand != self.brand:
            return False
        if self.scope == "TAG":
            return original.annotations.get(self.tag_key) == self.tag_value
        return self.scope == "ALL" or original.original in self.originals


@dataclass(frozen=True, slots=True)
class Programme:
    """A set of sellers that licences can name together."""

    brand: str
    programme: str
    display_name: str
    create_time_ns: int


@dataclass(frozen=True, slots=True)
class Holding:
    """What a seller has of one brand.

    Attributes:
        own: the seller is one of the brand's own.
        licences: those that name the seller or a programme of the seller's, in any state but
            revoked, ordered by id.
    """

    own: bool
    licences: tuple[Licence, ...]
