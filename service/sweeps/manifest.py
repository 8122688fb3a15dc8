"""What is to be swept: a manifest in one of its forms, as a stream of listings.

    CSV      a header line, then a row a picture: `listing_id`, `path` or `url`, and optionally
             `seller` and `territory`. Rows of one listing stand together; other columns are
             ignored.
    PARQUET  the same columns; `path` or `url` may also be a list of strings.
    FOLDER   every picture below it. `seller/listing/any.jpg` is a picture of a listing,
             `seller/listing.jpg` or `listing.jpg` a listing of one picture.
    SHARDS   tar files as webdataset writes them: the members of a sample stand together and
             share their name up to the first dot. Pictures by their suffix; `.json` may say
             `listing_id`, `seller` and `territory`, otherwise the sample's name is the id.

A manifest that can not be read is an error before anything is checked; a listing that breaks
a rule becomes a listing with a problem, so that each one is answered.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from service.sweeps import folder, rows, shards
from service.sweeps.access import Access
from service.sweeps.errors import ManifestInvalid
from service.sweeps.listing import Listing, checked
from service.sweeps.places import is_remote, joined

FORMS = ("CSV", "PARQUET", "FOLDER", "SHARDS")
_SUFFIXES = {".csv": "CSV", ".parquet": "PARQUET", ".tar": "SHARDS"}


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest that exists and may be read. Made by `opened`.

    Attributes:
        location: allowed, absolute.
        form: one of `FORMS`.
        access: what may be read.
    """

    location: str
    form: str
    access: Access

    def listings(self) -> Iterator[Listing]:
        """Yield its listings in its order, each within the limits or with a problem.

        Raises:
            ManifestInvalid, SourceNotFound, SourceUnreadable: it can not be read on.
        """
        read = {
            "CSV": rows.of_csv,
            "PARQUET": rows.of_parquet,
            "FOLDER": folder.listings,
            "SHARDS": shards.listings,
        }[self.form]
        for listing in read(self.location, self.access):
            yield checked(listing)


def opened(source: str, access: Access, form: str = "") -> Manifest:
    """Look at a manifest: is it allowed, is it there, does it have the columns it needs?

    Args:
        source: path, URL, or a pattern of shards such as `shard-{000000..000127}.tar`.
        access: what may be read.
        form: one of `FORMS`; empty goes by the name.

    Raises:
        SourceNotAllowed, SourceNotFound, SourceUnreadable, ExtraMissing.
        ManifestInvalid: it has no listing, lacks a column, or is of no known form.
    """
    if form and form not in FORMS:
        raise ManifestInvalid(source, f"there is no form {form!r}; there are {', '.join(FORMS)}")
    if shards.is_pattern(source):
        location, found = shards.located(source, access), "SHARDS"
    else:
        location = access.located(source)
        found = form or _form(location, access)
    manifest = Manifest(location, found, access)
    check: Callable[[str, Access], None] = {
        "CSV": rows.check_csv,
        "PARQUET": rows.check_parquet,
        "FOLDER": folder.check,
        "SHARDS": shards.check,
    }[manifest.form]
    check(location, access)
    return manifest


def _form(location: str, access: Access) -> str:
    """Go by the name, and for a folder by what is in it."""
    for suffix, form in _SUFFIXES.items():
        if location.lower().endswith(suffix):
            return form
    if not access.is_folder(location):
        raise ManifestInvalid(
            location,
            "a manifest is a .csv, a .parquet, a .tar or a folder"
            + ("; a web server lists no folders" if is_remote(location) else ""),
        )
    first = next(access.files(location), "")
    return "SHARDS" if joined(location, first).lower().endswith(".tar") else "FOLDER"
