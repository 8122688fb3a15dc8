"""Families of originals: those that are nearly the same picture count as one.

A brand registers a picture in three sizes, and a copy of it matches all three. The family of
an original is named by the oldest one that is nearly equal to it, followed until that is its
own oldest; so it does not depend on what was found before, and originals that are registered
later change no name. A sweep for some brands knows families of these alone.
"""

from collections.abc import Set
from functools import lru_cache

import numpy as np

from index.catalogue import Catalogue
from index.ledger import BrandNotFound
from index.records import OriginalRecord

NEAREST = 16
PDQ_AGREEMENT = 1 - 31 / 256
"""At most 31 of 256 bits apart, as other platforms take PDQ for the same picture."""
COSINE = 0.9
"""Of the copy descriptor; another photograph of the same product stays below."""
_MOST_STEPS = 16


class Families:
    """Names families. Any thread may call it."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        # By the key: withdrawn originals keep theirs, and no key is given out twice.
        self._oldest = lru_cache(maxsize=65_536)(self._look)

    def of(self, key: int, brands: Set[str] = frozenset()) -> int:
        """The key of the family of an original; its own when it has been withdrawn.

        Args:
            brands: only originals of these belong to it; empty means all.
        """
        among = frozenset(brands)
        for _ in range(_MOST_STEPS):
            oldest = self._oldest(key, among)
            if oldest == key:
                break
            key = oldest
        return key

    def name(self, key: int, brands: Set[str] = frozenset()) -> str:
        """The resource name of the family of an original; empty when all were withdrawn."""
        for each in (self.of(key, brands), key):
            record = self._catalogue.by_key([each])[0]
            if record is not None:
                return f"brands/{record.brand}/originals/{record.original}"
        return ""

    def _look(self, key: int, brands: frozenset[str]) -> int:
        record = self._catalogue.by_key([key])[0]
        if record is None or "pdq" not in record.vectors or "sscd" not in record.vectors:
            return key
        asked = record.vectors["pdq"][None]
        try:
            found = self._catalogue.search("pdq", asked, NEAREST, brands=brands or None)[0]
        except BrandNotFound:  # one of them is being deleted
            return key
        alike = [each.key for each in found if each.key < key]
        others = [each for each in self._catalogue.by_key(alike) if each is not None]
        return min((each.key for each in others if _nearly_equal(record, each)), default=key)


def _nearly_equal(a: OriginalRecord, b: OriginalRecord) -> bool:
    if "pdq" not in b.vectors or "sscd" not in b.vectors:
        return False
    apart = int(np.bitwise_count(a.vectors["pdq"] ^ b.vectors["pdq"]).sum())
    cosine = float(a.vectors["sscd"] @ b.vectors["sscd"])
    return 1 - apart / (8 * len(a.vectors["pdq"])) >= PDQ_AGREEMENT and cosine >= COSINE
