"""Cheap signals: what vectors say of a listing and each original, beside the others."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from index.catalogue import Catalogue
from index.records import OriginalRecord
from index.spaces import Space
from models.batcher import Batcher
from models.fingerprint import Fingerprinter, ListingPrint
from models.images import decode
from models.sscd import SscdEncoder
from service.matching import candidates
from service.matching.candidates import Candidate
from service.registry import Registry, Submission
from tests.kit.images import encode, photo

NAMES = ("chelsea", "coffee", "rocket", "motorcycle", "motorcycle_beside")


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Catalogue, Fingerprinter]]:
    """Photographs, two of them of one scene, registered with the encoder that serves."""
    batcher = Batcher(SscdEncoder("sscd_distilled", threads=1)).start()
    printer = Fingerprinter(batcher)
    folder: Path = tmp_path_factory.mktemp("catalogue")
    with Catalogue.open(
        folder / "store", [Space(*space) for space in printer.spaces], printer.schema
    ) as catalogue:
        catalogue.create_brand("a")
        registry = Registry(catalogue, printer)
        for name in NAMES:
            registry.register(Submission("a", name.replace("_", "-"), encode(photo(name), "PNG")))
        yield catalogue, printer
    batcher.stop()


def listing_of(printer: Fingerprinter, name: str) -> ListingPrint:
    return printer.listing(decode(encode(photo(name).resize((400, 300)), "JPEG")))


def records_of(catalogue: Catalogue, *names: str) -> list[OriginalRecord]:
    return [catalogue.get("a", name.replace("_", "-")) for name in names]


def compared(
    parts: tuple[Catalogue, Fingerprinter], listing: ListingPrint, *names: str
) -> dict[str, Candidate]:
    catalogue, printer = parts
    found = candidates.compare(
        printer, listing.phash, [listing.whole], records_of(catalogue, *names)
    )
    return {each.record.original.replace("-", "_"): each for each in found}


def test_similarities_are_those_of_the_vectors(parts: tuple[Catalogue, Fingerprinter]) -> None:
    catalogue, printer = parts
    listing = listing_of(printer, "coffee")
    ours = listing.whole.vectors["sscd"]
    ordinary = printer.ordinariness("sscd", ours[None])
    assert ordinary is not None
    for name, candidate in compared(parts, listing, *NAMES).items():
        (record,) = records_of(catalogue, name)
        cosine = float(ours @ record.vectors["sscd"].astype(np.float32))
        assert candidate.values["sscd_cosine"] == pytest.approx(cosine, abs=1e-5)
        assert candidate.values["sscd_excess"] == pytest.approx(cosine - ordinary[0], abs=1e-5)
        layout = max(listing.whole.layouts @ record.vectors["layout"].astype(np.float32))
        assert candidate.values["layout_cosine"] == pytest.approx(float(layout), abs=1e-5)


def test_a_copy_is_proposed_however_it_is_turned(parts: tuple[Catalogue, Fingerprinter]) -> None:
    catalogue, printer = parts
    own = records_of(catalogue, "chelsea")[0].key
    for quarter in range(4):
        turned = photo("chelsea").rotate(90 * quarter, expand=True)
        listing = printer.listing(decode(encode(turned, "JPEG")))
        assert own in candidates.gather(catalogue, [listing.whole], None)


def test_a_sibling_is_told_by_its_hash_and_one_photograph_twice_is_none(
    parts: tuple[Catalogue, Fingerprinter],
) -> None:
    catalogue, printer = parts
    listing = listing_of(printer, "coffee")
    names = ("coffee", "motorcycle", "motorcycle_beside")
    found = compared(parts, listing, *names)
    records = dict(zip(names, records_of(catalogue, *names), strict=True))
    apart = np.bitwise_count(
        records["motorcycle"].vectors["pdq"] ^ records["motorcycle_beside"].vectors["pdq"]
    ).sum()
    assert apart > candidates.SAME_PHOTOGRAPH_BITS
    for name in names[1:]:
        assert found[name].values["sibling_agreement"] == pytest.approx(1 - apart / 256)
    assert 1 - apart / 256 >= candidates.SIBLINGS_FROM
    # Its nearest agrees no further than unrelated pictures may.
    assert np.isnan(found["coffee"].values["sibling_agreement"])
    twice = replace(records["motorcycle"], key=10**6)
    (one, other) = candidates.compare(
        printer, listing.phash, [listing.whole], [records["motorcycle"], twice]
    )
    assert np.isnan([each.values["sibling_agreement"] for each in (one, other)]).all()
    (alone,) = compared(parts, listing, "coffee").values()
    assert np.isnan(alone.values["sibling_agreement"])


def test_the_siblings_of_an_original_are_found_whoever_registered_them(
    parts: tuple[Catalogue, Fingerprinter],
) -> None:
    catalogue, _ = parts
    motorcycle, coffee = records_of(catalogue, "motorcycle", "coffee")
    near = candidates.siblings(catalogue, [motorcycle, coffee], 4)
    (beside,) = records_of(catalogue, "motorcycle_beside")
    assert near == [[beside.key], []]
    assert candidates.siblings(catalogue, [motorcycle], 0) == [[]]
    assert candidates.siblings(catalogue, [], 4) == []
    blank = replace(coffee, vectors={"sscd": coffee.vectors["sscd"]})
    assert candidates.siblings(catalogue, [blank, motorcycle], 4) == [[], [beside.key]]
