"""Manifests that are folders of pictures: the path says whose and which listing it is."""

from collections.abc import Iterator
from itertools import groupby
from posixpath import splitext

from service.suffixes import PICTURE_SUFFIXES, TAKEN
from service.sweeps.access import Access
from service.sweeps.errors import ManifestInvalid
from service.sweeps.listing import Listing, Picture
from service.sweeps.places import joined


def check(location: str, access: Access) -> None:
    """Raises ManifestInvalid when there is no picture."""
    if not access.is_folder(location):
        raise ManifestInvalid(location, "it is no folder")
    if not any(_is_picture(name) for name in access.files(location)):
        raise ManifestInvalid(location, f"there is no picture in it: {TAKEN}")


def listings(location: str, access: Access) -> Iterator[Listing]:
    """Yield the listings of a folder, in the order of their names."""
    names = (name for name in access.files(location) if _is_picture(name))
    for listing_id, group in groupby(names, key=_listing_of):
        parts = listing_id.split("/")
        pictures = tuple(Picture(joined(location, name), name) for name in group)
        yield Listing(listing_id, parts[0] if len(parts) > 1 else "", pictures)


def _listing_of(name: str) -> str:
    """`seller/listing` of a picture deeper than that, otherwise the picture's own name."""
    parts = name.split("/")
    return "/".join(parts[:2]) if len(parts) > 2 else name


def _is_picture(name: str) -> bool:
    return splitext(name)[1].lower() in PICTURE_SUFFIXES
