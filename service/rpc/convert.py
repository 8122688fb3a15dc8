"""The door for messages: requests are checked and become plain values here.

Everything behind it trusts its types. `service.rpc.answers` is the way back.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from copycatch.v1 import (
    ai_label_pb2,
    brands_service_pb2,
    match_service_pb2,
    originals_service_pb2,
)
from models.labels.label import LabelHow, LabelState
from models.labels.write import MAX_FIELD_CHARS, LabelText, Propagation
from service.limits import MAX_IMAGES
from service.matching.results import CheckOptions
from service.registry import Submission
from service.rpc.fields import MAX_SELLER_CHARS, Violations

MAX_BATCH = 64
"""Originals in one BatchCreateOriginals."""

MAX_BRANDS = 1000
DEFAULT_MATCHES = 10
MAX_MATCHES = 50
POLICIES = ("strict", "balanced", "recall")

LABEL_STATES: Mapping[int, LabelState | None] = {
    ai_label_pb2.AiLabel.STATE_UNSPECIFIED: None,
    ai_label_pb2.AiLabel.NONE: LabelState.NONE,
    ai_label_pb2.AiLabel.GENERATED: LabelState.GENERATED,
    ai_label_pb2.AiLabel.POSSIBLY: LabelState.POSSIBLY,
    ai_label_pb2.AiLabel.SUSPECTED: LabelState.SUSPECTED,
}
LABEL_HOWS: Mapping[int, LabelHow] = {
    ai_label_pb2.AiLabel.HOW_UNSPECIFIED: LabelHow.UNKNOWN,
    ai_label_pb2.AiLabel.FULLY_GENERATED: LabelHow.FULLY_GENERATED,
    ai_label_pb2.AiLabel.COMPOSITE: LabelHow.COMPOSITE,
    ai_label_pb2.AiLabel.EDITED: LabelHow.EDITED,
    ai_label_pb2.AiLabel.ENHANCED: LabelHow.ENHANCED,
}

_MUTABLE = ("display_name", "annotations")


@dataclass(frozen=True, slots=True)
class Check:
    """A CheckListingRequest, checked."""

    listing_id: str
    seller: str
    territory: str
    images: tuple[bytes, ...]
    ai_declared: bool
    options: CheckOptions


@dataclass(frozen=True, slots=True)
class Change:
    """An UpdateOriginalRequest, checked; None leaves a field as it is."""

    brand: str
    original: str
    display_name: str | None
    annotations: dict[str, str] | None
    etag: str


def new_brand(message: brands_service_pb2.CreateBrandRequest) -> tuple[str, str]:
    """Return the id and the display name of a brand to create."""
    found = Violations()
    brand = found.id("brand_id", message.brand_id)
    display_name = found.text("brand.display_name", message.brand.display_name, 200)
    found.check()
    return brand, display_name


def submission(
    message: originals_service_pb2.CreateOriginalRequest, *, at: str = "", parent: str = ""
) -> Submission:
    """Return what is to be registered; its id is empty when the caller has chosen none.

    Args:
        at: path of the message in its request, such as `requests[3].`.
        parent: that of the batch; the message's own must then be empty or equal.
    """
    found = Violations()
    if parent and message.parent not in ("", parent):
        found.add(f"{at}parent", f"must be empty or {parent}")
    brand = found.brand(f"{at}parent", parent or message.parent)
    image = message.original.image
    if not message.HasField("original"):
        found.add(f"{at}original", "is required")
    elif not image:
        found.add(f"{at}original.image", "is required")
    if message.original_id:
        found.id(f"{at}original_id", message.original_id)
    result = Submission(
        brand=brand,
        original=message.original_id,
        image=image,
        display_name=_display_name(found, at, message.original),
        annotations=_annotations(found, at, message.original),
        request_id=found.request_id(f"{at}request_id", message.request_id),
    )
    found.check()
    return result


def batch(
    message: originals_service_pb2.BatchCreateOriginalsRequest,
) -> Sequence[originals_service_pb2.CreateOriginalRequest]:
    """Check the outside of a batch and return its requests, which are still to be checked."""
    found = Violations()
    found.brand("parent", message.parent)
    if not message.requests:
        found.add("requests", "is required")
    elif len(message.requests) > MAX_BATCH:
        found.add("requests", f"has {len(message.requests)}, at most {MAX_BATCH} are allowed")
    found.check()
    return message.requests


def change(message: originals_service_pb2.UpdateOriginalRequest) -> Change:
    """Return what is to be changed of an original."""
    found = Violations()
    brand, original = found.original("original.name", message.original.name)
    given = message.original
    paths = set(message.update_mask.paths)
    if "*" in paths:
        if len(paths) > 1:
            found.add("update_mask", "`*` must stand alone")
        paths = set(_MUTABLE)
    elif not paths:
        paths = {name for name in _MUTABLE if getattr(given, name)}
    for path in sorted(paths - set(_MUTABLE)):
        found.add("update_mask", f"{path!r} can not be changed; {' and '.join(_MUTABLE)} can")
    display_name = _display_name(found, "", given) if "display_name" in paths else None
    annotations = _annotations(found, "", given) if "annotations" in paths else None
    found.check()
    return Change(brand, original, display_name, annotations, given.etag)


def check(message: match_service_pb2.CheckListingRequest, *, at: str = "") -> Check:
    """Return a listing to check and how; `at` as in `submission`."""
    found = Violations()
    listing, config = message.listing, message.config
    if len(config.brands) > MAX_BRANDS:
        found.add(f"{at}config.brands", f"at most {MAX_BRANDS} are allowed")
    brands = frozenset(
        found.brand(f"{at}config.brands[{i}]", name)
        for i, name in enumerate(config.brands[:MAX_BRANDS])
    )
    if config.max_matches < 0:
        found.add(f"{at}config.max_matches", "must not be negative")
    if config.policy and config.policy not in POLICIES:
        found.add(f"{at}config.policy", f"must be one of {', '.join(POLICIES)}")
    min_score = config.min_score if config.HasField("min_score") else None
    if min_score is not None and not 0 <= min_score <= 1:
        found.add(f"{at}config.min_score", f"must be in [0, 1], got {min_score:g}")
    result = Check(
        listing_id=found.text(f"{at}listing.listing_id", listing.listing_id, 200),
        seller=found.text(f"{at}listing.seller", listing.seller, MAX_SELLER_CHARS),
        territory=found.territory(f"{at}listing.territory", listing.territory)
        if listing.territory
        else "",
        images=_images(found, f"{at}listing.images", listing.images),
        ai_declared=listing.ai_declared,
        options=CheckOptions(
            brands=brands,
            max_matches=min(config.max_matches or DEFAULT_MATCHES, MAX_MATCHES),
            thorough=config.thorough,
            policy=config.policy,
            min_score=min_score,
        ),
    )
    found.check()
    return result


def pair(message: match_service_pb2.CompareImagesRequest) -> tuple[bytes, bytes]:
    """Return the two pictures to compare."""
    found = Violations()
    for name in ("image_a", "image_b"):
        if not getattr(message, name):
            found.add(name, "is required")
    found.check()
    return message.image_a, message.image_b


def labelled(message: match_service_pb2.LabelImagesRequest) -> tuple[bytes, ...]:
    """Return the pictures whose labels are asked for."""
    found = Violations()
    images = _images(found, "images", message.images)
    found.check()
    return images


def mark(message: match_service_pb2.WriteLabelRequest) -> tuple[Propagation, LabelText]:
    """Return the mark and the label to write."""
    found = Violations()
    given = message.mark
    if not message.image:
        found.add("image", "is required")
    for name in ("content_propagator", "propagate_id"):
        found.text(f"mark.{name}", getattr(given, name), MAX_FIELD_CHARS, required=True)
    for name in ("content_producer", "produce_id"):
        found.text(f"mark.{name}", getattr(given, name), MAX_FIELD_CHARS)
    if given.state == ai_label_pb2.AiLabel.NONE:
        found.add("mark.state", "NONE can not be written: no label says that AI was not used")
    if given.state not in LABEL_STATES or given.how not in LABEL_HOWS:
        found.add("mark", "has a state or a how that this server does not know")
    found.check()
    label = LabelText(
        state=LABEL_STATES[given.state],
        how=LABEL_HOWS[given.how],
        producer=given.content_producer or None,
        produce_id=given.produce_id or None,
    )
    return Propagation(given.content_propagator, given.propagate_id), label


def item_id(found_id: str) -> str:
    """Return the mark of an item of a stream."""
    found = Violations()
    found.text("item_id", found_id, 1024)
    found.check()
    return found_id


def _images(found: Violations, field: str, images: Sequence[bytes]) -> tuple[bytes, ...]:
    if not images:
        found.add(field, "is required")
    elif len(images) > MAX_IMAGES:
        found.add(field, f"has {len(images)}, at most {MAX_IMAGES} are allowed")
    return tuple(images)


def _display_name(found: Violations, at: str, given: originals_service_pb2.Original) -> str:
    return found.text(f"{at}original.display_name", given.display_name, 200)


def _annotations(
    found: Violations, at: str, given: originals_service_pb2.Original
) -> dict[str, str]:
    field = f"{at}original.annotations"
    if len(given.annotations) > 64:
        found.add(field, f"has {len(given.annotations)} entries, at most 64 are allowed")
    for key, value in given.annotations.items():
        if not 1 <= len(key) <= 63:
            found.add(field, f"a key has {len(key)} characters, 1 to 63 are allowed")
        found.text(f"{field}[{key[:63]!r}]", value, 1024)
    return dict(given.annotations)
