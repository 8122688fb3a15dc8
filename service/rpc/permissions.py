"""The one table: which role may call which method, and how an owner is kept to its brands.

A method that is not in the table is refused to everybody, and a test names it. To add a method,
add its line. Admins may call everything and are not written down.

The third column says what keeps an owner to its own brands; a line that lets owners in needs
one:
    brand("parent"), original("name") ...   the field holds a resource name; one of a brand that is
                    not the owner's gets the very answer of one that does not exist, before
                    anything is looked up. In a stream the servicer asks for each item
                    (`Server.keep_to_own`), since an item that is refused must not end it.
    ITSELF          the servicer shows an owner its own only (lists), or nothing of any brand
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from index.dispute_rows import DisputeNotFound
from index.ledger import BrandNotFound, OriginalNotFound
from index.licences import LicenceNotFound, ProgrammeNotFound
from service.access.roles import Caller, Role
from service.sweeps.ledger import SweepNotFound

ADMIN, PIPELINE, OWNER = Role.ADMIN, Role.PIPELINE, Role.OWNER
ANALYST, METRICS = Role.ANALYST, Role.METRICS

NotThere = Callable[[Sequence[str]], Exception]
"""Makes the error for a name that does not exist, from its ids, the brand first."""


class RoleForbids(RuntimeError):
    """The role of the caller's API key may not call this method."""

    reason = "ROLE_FORBIDS"

    def __init__(self, role: str, method: str) -> None:
        super().__init__(f"a key with the role {role} may not call {method}")
        self.role, self.method = role, method

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.role, self.method)


@dataclass(frozen=True, slots=True)
class Named:
    """A field that holds a resource name below `brands/{brand}`.

    Attributes:
        path: of the field in the message, such as `original.name`.
        not_there: what is raised for a brand that the caller does not see.
        common: a collection of the same resources that are no brand's; to an owner it is empty.
    """

    path: str
    not_there: NotThere
    common: str = ""

    def check(self, caller: Caller, message: Any) -> None:
        """Raise the error of a name that does not exist, if it is of a brand of others.

        A text that is no resource name is left to the servicer, which refuses it as such.
        """
        value = message
        for part in self.path.split("."):
            value = getattr(value, part)
        parts = str(value).split("/")
        if len(parts) >= 2 and parts[0] == "brands" and not caller.sees(parts[1]):
            raise self.not_there(parts[1::2])
        if self.common and parts[0] == self.common:
            raise self.not_there(parts[1:2])


class Itself:
    """The servicer sees to it that an owner gets nothing of others; it says how in its code."""

    def check(self, caller: Caller, message: Any) -> None:
        """Leave it to the servicer."""


ITSELF: Final = Itself()


def brand(path: str) -> Named:
    """The field names a brand, or something that can only be made in one."""
    return Named(path, lambda ids: BrandNotFound(ids[0]))


def original(path: str) -> Named:
    """The field names an original."""
    return Named(path, lambda ids: OriginalNotFound(ids[0], ids[-1]))


def licence(path: str) -> Named:
    """The field names a licence."""
    return Named(path, lambda ids: LicenceNotFound(ids[0], ids[-1]))


def programme(path: str) -> Named:
    """The field names a programme, or a brand for what is its own."""
    return Named(
        path,
        lambda ids: ProgrammeNotFound(ids[0], ids[-1]) if len(ids) > 1 else BrandNotFound(ids[0]),
    )


def dispute(path: str) -> Named:
    """The field names a dispute in the view of a brand; that of all (`-`) is no owner's."""
    return Named(path, lambda ids: DisputeNotFound(ids[-1]))


def sweep(path: str) -> Named:
    """The field names a sweep or a finding of one; those outside of brands are no owner's."""
    return Named(path, lambda ids: SweepNotFound("/".join(ids[:2])), common="sweeps")


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of the table.

    Attributes:
        roles: may call the method.
        own: keeps an owner to its brands; None when no owner may call.
    """

    roles: frozenset[Role]
    own: Named | Itself | None


def _may(*roles: Role, own: Named | Itself | None = None) -> Rule:
    return Rule(frozenset({ADMIN, *roles}), own)


EVERYBODY: Final = frozenset({"grpc.health.v1.Health/Check", "grpc.health.v1.Health/List"})
"""Asks for no key. Load balancers and kubelets have none, and are told what a connection that
is refused would tell as well: whether the server is there and takes calls. (`List` is
UNIMPLEMENTED.)"""

RULES: Final[Mapping[str, Rule]] = {
    "copycatch.v1.BrandsService/CreateBrand": _may(),
    "copycatch.v1.BrandsService/GetBrand": _may(ANALYST, OWNER, own=brand("name")),
    "copycatch.v1.BrandsService/ListBrands": _may(ANALYST, OWNER, own=ITSELF),
    "copycatch.v1.BrandsService/DeleteBrand": _may(),
    "copycatch.v1.BrandsService/CreateLicence": _may(OWNER, own=brand("parent")),
    "copycatch.v1.BrandsService/GetLicence": _may(ANALYST, OWNER, own=licence("name")),
    "copycatch.v1.BrandsService/ListLicences": _may(ANALYST, OWNER, own=brand("parent")),
    "copycatch.v1.BrandsService/RevokeLicence": _may(OWNER, own=licence("name")),
    "copycatch.v1.BrandsService/CreateProgramme": _may(OWNER, own=brand("parent")),
    "copycatch.v1.BrandsService/GetProgramme": _may(ANALYST, OWNER, own=programme("name")),
    "copycatch.v1.BrandsService/ListProgrammes": _may(ANALYST, OWNER, own=brand("parent")),
    "copycatch.v1.BrandsService/DeleteProgramme": _may(OWNER, own=programme("name")),
    "copycatch.v1.BrandsService/AddSellers": _may(OWNER, own=programme("parent")),
    "copycatch.v1.BrandsService/RemoveSellers": _may(OWNER, own=programme("parent")),
    "copycatch.v1.BrandsService/ListSellers": _may(ANALYST, OWNER, own=programme("parent")),
    "copycatch.v1.OriginalsService/CreateOriginal": _may(OWNER, own=brand("parent")),
    "copycatch.v1.OriginalsService/BatchCreateOriginals": _may(OWNER, own=brand("parent")),
    "copycatch.v1.OriginalsService/ImportOriginals": _may(OWNER, own=brand("request.parent")),
    "copycatch.v1.OriginalsService/GetOriginal": _may(ANALYST, OWNER, own=original("name")),
    "copycatch.v1.OriginalsService/ListOriginals": _may(ANALYST, OWNER, own=brand("parent")),
    "copycatch.v1.OriginalsService/UpdateOriginal": _may(OWNER, own=original("original.name")),
    "copycatch.v1.OriginalsService/DeleteOriginal": _may(OWNER, own=original("name")),
    "copycatch.v1.OriginalsService/GetOriginalPreview": _may(ANALYST, OWNER, own=original("name")),
    "copycatch.v1.DisputesService/GetDispute": _may(ANALYST, OWNER, own=dispute("name")),
    "copycatch.v1.DisputesService/ListDisputes": _may(ANALYST, OWNER, own=brand("parent")),
    "copycatch.v1.DisputesService/ResolveDispute": _may(),
    "copycatch.v1.MatchService/CheckListing": _may(PIPELINE, ANALYST),
    "copycatch.v1.MatchService/StreamingCheckListings": _may(PIPELINE, ANALYST),
    "copycatch.v1.MatchService/CompareImages": _may(PIPELINE, ANALYST),
    "copycatch.v1.MatchService/LabelImages": _may(PIPELINE, ANALYST),
    "copycatch.v1.MatchService/WriteLabel": _may(PIPELINE),
    "copycatch.v1.MatchService/GetServerInfo": _may(PIPELINE, ANALYST, METRICS, OWNER, own=ITSELF),
    "copycatch.v1.AuditService/ListAuditEntries": _may(ANALYST),
    "copycatch.v1.AuditService/GetAuditHead": _may(ANALYST),
    "copycatch.v1.AuditService/ReplayAuditEntry": _may(ANALYST),
    "copycatch.v1.ListingsService/GetListing": _may(PIPELINE, ANALYST),
    "copycatch.v1.ListingsService/DeleteListing": _may(PIPELINE),
    # An empty parent: no owner creates a sweep without one, and lists those of its brands.
    "copycatch.v1.SweepService/CreateSweep": _may(ANALYST, OWNER, own=brand("parent")),
    "copycatch.v1.SweepService/GetSweep": _may(ANALYST, OWNER, own=sweep("name")),
    "copycatch.v1.SweepService/ListSweeps": _may(ANALYST, OWNER, own=brand("parent")),
    "copycatch.v1.SweepService/CancelSweep": _may(ANALYST, OWNER, own=sweep("name")),
    "copycatch.v1.SweepService/GetFinding": _may(ANALYST, OWNER, own=sweep("name")),
    "copycatch.v1.SweepService/ListFindings": _may(ANALYST, OWNER, own=sweep("parent")),
    "copycatch.v1.SweepService/ListFindingGroups": _may(ANALYST, OWNER, own=sweep("parent")),
    # The contract is no secret; but a stream costs the server something, so it has a caller.
    "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": _may(
        PIPELINE, ANALYST, METRICS, OWNER, own=ITSELF
    ),
    "grpc.health.v1.Health/Watch": _may(PIPELINE, ANALYST, METRICS, OWNER, own=ITSELF),
}
"""`package.Service/Method` -> who may call it."""


def rule_of(caller: Caller, method: str) -> Rule:
    """Return the line of a method that this caller may call.

    Args:
        method: `package.Service/Method`.

    Raises:
        RoleForbids: it may not, or the method is in no line.
    """
    rule = RULES.get(method)
    if rule is None or caller.role not in rule.roles:
        raise RoleForbids(caller.role.value, method.rpartition(".")[2])
    return rule


def keep_to_own(caller: Caller, method: str, message: Any) -> None:
    """Raise the error of what does not exist, when a message names what is not the caller's."""
    if not caller.confined:
        return
    own = rule_of(caller, method).own
    if own is None:  # a line that lets owners in without saying how to keep them
        raise RoleForbids(caller.role.value, method.rpartition(".")[2])
    own.check(caller, message)
