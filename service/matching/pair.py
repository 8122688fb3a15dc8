"""Weighing two pictures that are handed in together; the second is taken as the original."""

from index.records import OriginalRecord
from models.detail import Detail
from models.fingerprint import Fingerprinter, OriginalPrint
from models.images import Picture
from service.matching import candidates
from service.matching.clock import Clock
from service.matching.looks import Weighed
from service.matching.placing import place_one
from service.matching.verify import Verifier
from service.matching.weigh import Weigher


def weigh_pair(
    fingerprinter: Fingerprinter,
    weigher: Weigher,
    listing: Picture,
    original: Picture,
    clock: Clock,
) -> Weighed:
    """Compare two pictures as a check compares a listing with an original, with every look.

    Raises:
        The errors of the encoders.
    """
    with clock.step("encode"):
        made = fingerprinter.original(original)
        detail = Detail.from_bytes(made.features)
        seen = fingerprinter.listing(listing)
        regions = [seen.unframed] if seen.unframed else []
        regions += seen.insets
        views = [seen.whole, *fingerprinter.views(listing.rgb, regions)]
    record = _record(original, made, fingerprinter.schema)
    (candidate,) = candidates.compare(fingerprinter, seen.phash, views, [record])
    with clock.step("verify"):
        parts = [(view.region, view.luma) for view in views]
        verifier = Verifier(listing.rgb, parts, seen.points)
        checked = verifier.verify(verifier.points(verifier.glance(detail), fine=True))
    weighed = Weighed.of(weigher.models, candidate, checked)
    placed = None if weighed.settles else place_one(seen, detail)
    if placed is None:
        return weighed
    _, _, found = weigher.placed(seen, views, [(record, placed)], clock)
    there = found[record.key]
    return max(weighed, there, key=lambda each: each.score)


def _record(picture: Picture, made: OriginalPrint, schema: str) -> OriginalRecord:
    """An original that is only compared with, in the form of a registered one."""
    return OriginalRecord(
        key=0,
        brand="",
        brand_number=0,
        original="",
        display_name="",
        annotations={},
        create_time_ns=0,
        update_time_ns=0,
        state="ACTIVE",
        sha256=picture.sha256,
        pixel_sha256=picture.pixel_sha256,
        width_px=picture.width_px,
        height_px=picture.height_px,
        format=picture.format,
        byte_count=0,
        schema=schema,
        vectors=made.vectors,
        attributes=made.attributes,
    )
