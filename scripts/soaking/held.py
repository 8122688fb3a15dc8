"""What one caller of a soak knows of its pictures, and the requests that are made of them."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

from copycatch.v1 import match_service_pb2, originals_service_pb2
from scripts.soaking.pictures import Picture


class Gone:
    """Names of originals that were withdrawn, and when that was acknowledged."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}

    def add(self, name: str) -> None:
        self._since[name] = time.monotonic()

    def before(self, name: str, start: float) -> bool:
        """Whether it was withdrawn before a call began."""
        return name in self._since and self._since[name] < start


@dataclass(slots=True)
class Held:
    """A picture and what is known of it.

    Attributes:
        name: resource name of the original; empty when it is not registered.
        doubt: names that may or may not be registered, after a write without an answer.
        lingers: whether what is in doubt may still be at work in the server.
        unfit: whether it is to be withdrawn, and left alone from then on.
    """

    picture: Picture
    number: int
    name: str = ""
    doubt: tuple[str, ...] = ()
    generation: int = 0
    lingers: bool = False
    unfit: bool = False

    def next_name(self, brand: str) -> str:
        """A name that was never used."""
        self.generation += 1
        return f"brands/{brand}/originals/p{self.number}-{self.generation}"


def creating(name: str, picture: Picture) -> originals_service_pb2.CreateOriginalRequest:
    """The request that registers a picture under a name."""
    _, brand, _, original = name.split("/")
    return originals_service_pb2.CreateOriginalRequest(
        parent=f"brands/{brand}",
        original_id=original,
        original=originals_service_pb2.Original(image=picture.bytes_of()),
    )


def importing(names: Mapping[str, Held]) -> list[originals_service_pb2.ImportOriginalsRequest]:
    """The items of an import; their marks are the names."""
    return [
        originals_service_pb2.ImportOriginalsRequest(
            item_id=name, request=creating(name, held.picture)
        )
        for name, held in names.items()
    ]


def checking(image: bytes, mark: str) -> match_service_pb2.StreamingCheckListingsRequest:
    """The item of a stream that checks one picture."""
    return match_service_pb2.StreamingCheckListingsRequest(
        item_id=mark,
        request=match_service_pb2.CheckListingRequest(
            listing=match_service_pb2.Listing(listing_id=f"offer-{mark}", images=[image])
        ),
    )
