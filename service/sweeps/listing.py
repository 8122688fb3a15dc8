"""One listing of a manifest: whose it is, where its pictures are, or why it can not be checked.

A picture is a reference, never bytes: a plan of ten million listings is written down before
the first of them is read, and a reference of another process means the same.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.limits import MAX_IMAGES

ID_LIMIT = 200
"""Characters of a listing id or of a seller, as in CheckListing."""
_TERRITORY = re.compile(r"[A-Z]{2}")


@dataclass(frozen=True, slots=True)
class Picture:
    """Where the bytes of a picture are.

    Attributes:
        location: absolute path or URL of the file that holds it.
        name: what a person calls it: the words of the manifest.
        offset: first byte of the picture within the file.
        length: bytes of the picture; -1: all from `offset` on.
    """

    location: str
    name: str
    offset: int = 0
    length: int = -1


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a listing or one of its pictures could not be checked.

    Attributes:
        reason: in UPPER_SNAKE, of an error class or one of those below.
        message: for a person, with the thing and the remedy.
        picture: name of the picture that it is about; empty when it is the listing.
    """

    reason: str
    message: str
    picture: str = ""


LISTING_REPEATED = "LISTING_REPEATED"
LISTING_TOO_LARGE = "LISTING_TOO_LARGE"
ROW_INVALID = "ROW_INVALID"
SHARD_TRUNCATED = "SHARD_TRUNCATED"
PROBLEMS: Mapping[str, str] = {
    ROW_INVALID: "The row or the sample has no id, no picture, or contradicts its neighbours.",
    LISTING_REPEATED: "The id came before in this manifest; the first one was checked.",
    LISTING_TOO_LARGE: f"The listing has more than {MAX_IMAGES} pictures.",
    SHARD_TRUNCATED: "The shard breaks off; what came before was checked.",
}
"""What can be wrong with a listing of a readable manifest, by reason."""


@dataclass(frozen=True, slots=True)
class Listing:
    """One listing of a manifest.

    Attributes:
        listing_id: from the manifest, 1 to `ID_LIMIT` characters.
        seller: likewise; empty when the manifest names none.
        territory: where it is offered, ISO 3166-1 alpha-2; empty when the manifest names none.
        pictures: 1 to `MAX_IMAGES`, none with a `problem`.
        problem: why it can not be checked at all.
    """

    listing_id: str
    seller: str = ""
    pictures: tuple[Picture, ...] = ()
    problem: Problem | None = None
    territory: str = ""


def checked(listing: Listing) -> Listing:
    """Return the listing, or one with a problem in its place where it breaks a limit."""
    if listing.problem is not None:
        return listing
    seller = listing.seller[:ID_LIMIT]
    if not listing.listing_id:
        return refused("(no id)", seller, ROW_INVALID, "it has no listing_id")
    if len(listing.listing_id) > ID_LIMIT or len(listing.seller) > ID_LIMIT:
        why = f"an id has at most {ID_LIMIT} characters"
        return refused(listing.listing_id[:ID_LIMIT], seller, ROW_INVALID, why)
    if listing.territory and not _TERRITORY.fullmatch(listing.territory):
        why = f"its territory is {listing.territory[:20]!r}; write two capitals, such as DE"
        return refused(listing.listing_id, seller, ROW_INVALID, why)
    if not listing.pictures:
        return refused(listing.listing_id, seller, ROW_INVALID, "it names no picture")
    if len(listing.pictures) > MAX_IMAGES:
        why = f"it has {len(listing.pictures)} pictures, at most {MAX_IMAGES} are checked"
        return refused(listing.listing_id, seller, LISTING_TOO_LARGE, why)
    return listing


def refused(listing_id: str, seller: str, reason: str, message: str) -> Listing:
    """A listing that can not be checked, with the reason."""
    return Listing(listing_id, seller, (), Problem(reason, message))


def encode_listings(listings: Sequence[Listing]) -> bytes:
    """The bytes of planned listings, JSON that a person can read."""
    return json.dumps([_plain(each) for each in listings], ensure_ascii=False).encode()


def decode_listings(data: bytes) -> list[Listing]:
    """The listings of these bytes."""
    return [_listing(each) for each in json.loads(data)]


def _plain(listing: Listing) -> dict[str, Any]:
    plain: dict[str, Any] = {"id": listing.listing_id}
    if listing.seller:
        plain["seller"] = listing.seller
    if listing.territory:
        plain["territory"] = listing.territory
    if listing.pictures:
        plain["pictures"] = [[p.location, p.name, p.offset, p.length] for p in listing.pictures]
    if listing.problem is not None:
        plain["problem"] = [listing.problem.reason, listing.problem.message]
    return plain


def _listing(plain: Mapping[str, Any]) -> Listing:
    problem = plain.get("problem")
    return Listing(
        plain["id"],
        plain.get("seller", ""),
        tuple(Picture(*each) for each in plain.get("pictures", ())),
        Problem(*problem) if problem else None,
        plain.get("territory", ""),
    )
