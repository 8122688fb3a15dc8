"""What matching needs of the catalogue: to look originals up, and nothing that writes."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Protocol

from index.points import PointQuery
from index.records import Brand, OriginalRecord
from index.spaces import Neighbor, Query

if TYPE_CHECKING:  # helpers have no index
    from index.stats import CatalogueStats


class Originals(Protocol):
    """See the methods of `index.catalogue.Catalogue`."""

    def search_many(
        self, queries: Sequence[Query], *, brands: Collection[str] | None = None
    ) -> list[list[list[Neighbor]]]: ...

    def most_voted(
        self, query: PointQuery, k: int, *, brands: Collection[str] | None = None
    ) -> list[Neighbor]: ...

    def by_key(self, keys: Sequence[int]) -> Sequence[OriginalRecord | None]: ...

    def features_many(self, keys: Sequence[int]) -> Sequence[bytes | None]: ...

    def previews_many(self, keys: Sequence[int]) -> Sequence[bytes | None]: ...

    def find_digest(self, *, sha256: bytes, pixel_sha256: bytes) -> Sequence[int]: ...

    def get_brand(self, brand: str) -> Brand: ...

    def stats(self) -> "CatalogueStats": ...
