"""Originals that come later find the listings that were seen before."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from index.memory import Memory
from index.seen import SeenListing, SeenPicture
from index.spaces import Space
from models.sketch import Kept, Sketch
from service.matching.results import CheckOptions, MatchKind, Verdict
from service.sweeps.listing import Listing
from service.sweeps.recall import ListingForgotten, Recall
from tests.kit.images import (
    TRANSFORMS,
    Transform,
    collage,
    crop,
    draw,
    encode,
    mirror,
    photo,
    text,
    turn,
)
from tests.sweeps.kit import Workshop

STOLEN: dict[str, Transform] = {
    "same-file": lambda image: image,
    "mirrored": mirror,
    "turned": turn,
    "cropped": lambda image: crop(image, 0.7),
    "texted": text,
    "recoloured": TRANSFORMS["recoloured"],
    "collaged": lambda image: collage(image, 0.6),
}


class Remembered:
    """A workshop with a memory of what its matcher checks."""

    def __init__(self, shop: Workshop, memory: Memory) -> None:
        self.shop, self.memory = shop, memory
        self.recall = Recall(
            memory,
            shop.catalogue,
            shop.matcher.could_be,
            lambda sketch, entry, options: shop.matcher.check_again(sketch, options),
        )

    def see(self, listing_id: str, *images: bytes) -> None:
        """Check a listing, and remember it."""
        kept: list[Kept] = []
        for image in images:
            self.shop.matcher.check(image, CheckOptions(), keep=kept.append)
        sketches = [sketch for each in kept if (sketch := each())]
        seen = [
            SeenPicture(s.record.sha256, s.record.pixel_sha256, s.rows(), s.to_bytes())
            for s in sketches
        ]
        self.memory.remember([SeenListing(listing_id, "shop", tuple(seen))])

    def found(self) -> list[Listing]:
        """What all originals find."""
        records = self.shop.catalogue.list("acme", 1000)
        return list(self.recall.listings([record.key for record in records]))


@pytest.fixture
def remembered(tmp_path: Path) -> Iterator[Remembered]:
    with Workshop(tmp_path) as shop:
        spaces = [Space(*space) for space in shop.printer.spaces]
        with Memory.open(tmp_path / "memory", spaces, shop.printer.schema) as memory:
            yield Remembered(shop, memory)


def png(image: Image.Image) -> bytes:
    return encode(image, "PNG")


def test_an_original_finds_its_copies_that_were_seen_before_it_came(remembered: Remembered) -> None:
    coffee = photo("coffee")
    for name, edit in STOLEN.items():
        remembered.see(name, png(edit(coffee)))
    for seed in range(8):
        remembered.see(f"other-{seed}", png(draw(seed, (240, 180))))
    remembered.shop.register("acme", coffee=png(coffee))
    listings = {each.listing_id: each for each in remembered.found()}
    assert set(STOLEN) <= set(listings)
    verdicts = {}
    for name in STOLEN:
        (picture,) = listings[name].pictures
        answer = remembered.recall.seen(picture.location).check(CheckOptions())
        verdicts[name] = answer
        assert answer.verdict in (Verdict.COPY, Verdict.REVIEW), name
        assert answer.matches[0].original == "brands/acme/originals/coffee"
    assert verdicts["same-file"].matches[0].kind is MatchKind.EXACT
    alignment = verdicts["mirrored"].matches[0].alignment
    assert alignment is not None and alignment.mirrored
    for name in set(listings) - set(STOLEN):  # the gate is generous, verification is not
        for picture in listings[name].pictures:
            verdict = remembered.recall.seen(picture.location).check(CheckOptions()).verdict
            assert verdict is Verdict.CLEAR, name


def test_what_is_found_again_is_what_a_check_of_the_picture_says(remembered: Remembered) -> None:
    coffee = photo("coffee")
    pictures = {name: png(edit(coffee)) for name, edit in STOLEN.items()}
    for name, image in pictures.items():
        remembered.see(name, image)
    remembered.shop.register("acme", coffee=png(coffee), cat=png(photo("chelsea")))
    for listing in remembered.found():
        (picture,) = listing.pictures
        again = remembered.recall.seen(picture.location).check(CheckOptions())
        now = remembered.shop.matcher.check(pictures[listing.listing_id], CheckOptions())
        assert [m.original for m in again.matches] == [m.original for m in now.matches]
        assert again.matches[0].score == pytest.approx(now.matches[0].score, abs=0.15)


def test_only_the_pictures_that_may_be_copies_are_looked_at(remembered: Remembered) -> None:
    coffee = png(photo("coffee"))
    remembered.see("album", png(draw(1, (240, 180))), coffee, png(draw(2, (240, 180))))
    remembered.shop.register("acme", coffee=coffee)
    (listing,) = remembered.found()
    assert "picture 2" in [picture.name for picture in listing.pictures]
    assert listing.seller == "shop"


def test_a_listing_that_is_forgotten_meanwhile_says_so(remembered: Remembered) -> None:
    remembered.see("offer", png(photo("coffee")))
    remembered.shop.register("acme", coffee=png(photo("coffee")))
    (listing,) = remembered.found()
    remembered.memory.forget("offer")
    with pytest.raises(ListingForgotten):
        remembered.recall.seen(listing.pictures[0].location).check(CheckOptions())
    assert remembered.found() == []


def test_more_copies_than_are_looked_at_first_are_all_found(remembered: Remembered) -> None:
    coffee = photo("coffee")
    remembered.see("one", png(coffee))
    entry = remembered.memory.get("one")
    assert entry is not None
    data = remembered.memory.print(entry.number, 0)
    assert data is not None
    sketch = Sketch.from_bytes(data)
    many = [
        SeenListing(
            f"copy-{i}",
            "shop",
            (SeenPicture(i.to_bytes(32), i.to_bytes(32), sketch.rows(), data),),
        )
        for i in range(700)
    ]
    remembered.memory.remember(many)
    remembered.shop.register("acme", coffee=png(coffee))
    assert len(remembered.found()) == 701
