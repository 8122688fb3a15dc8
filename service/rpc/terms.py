"""The terms of licences: from messages, with everything that is wrong said at once, and back."""

import uuid
from collections.abc import Sequence

from google.protobuf import timestamp_pb2

from copycatch.v1 import brands_service_pb2 as pb
from index.licences import Licence, Programme, Scope
from service.rights import licence_name
from service.rpc.answers import timestamp
from service.rpc.fields import Violations, original_name, programme_name

MAX_SELLERS = 1000
"""In one licence, and in one call that adds or removes some."""

MAX_PROGRAMMES = 100
MAX_ORIGINALS = 1000


def new_licence(message: pb.CreateLicenceRequest, now_ns: int) -> Licence:
    """Return the licence to create.

    Args:
        now_ns: nanoseconds since 1970; when it is created and, where nothing else is said, when
            it begins to count.
    """
    found, given = Violations(), message.licence
    brand = found.brand("parent", message.parent)
    if not message.HasField("licence"):
        found.add("licence", "is required")
    if not given.sellers and not given.programmes:
        found.add("licence.sellers", "a seller or a programme is required")
    _few(found, "licence.programmes", given.programmes, MAX_PROGRAMMES)
    programmes = []
    for i, name in enumerate(given.programmes[:MAX_PROGRAMMES]):
        field = f"licence.programmes[{i}]"
        programmes.append(_of(found, field, brand, found.programme(field, name)))
    scope, originals = _scope(found, given, brand)
    start = _moment(found, "licence.start_time", given, "start_time")
    end = _moment(found, "licence.end_time", given, "end_time")
    start = now_ns if start is None else start
    if end is not None and end <= start:
        found.add("licence.end_time", "must be after start_time, by default the present")
    made = Licence(
        brand=brand,
        licence=found.id("licence_id", message.licence_id or f"l-{uuid.uuid4().hex[:16]}"),
        display_name=found.text("licence.display_name", given.display_name, 200),
        sellers=_sellers(found, "licence.sellers", given.sellers),
        programmes=tuple(dict.fromkeys(programmes)),
        scope=scope,
        originals=originals,
        tag_key=given.tag.key,
        tag_value=given.tag.value,
        territories=tuple(
            dict.fromkeys(
                found.territory(f"licence.territories[{i}]", code)
                for i, code in enumerate(given.territories)
            )
        ),
        start_time_ns=start,
        end_time_ns=end,
        create_time_ns=now_ns,
    )
    found.check()
    return made


def new_programme(message: pb.CreateProgrammeRequest) -> tuple[str, str, str]:
    """Return brand, id and display name of the programme to create."""
    found = Violations()
    brand = found.brand("parent", message.parent)
    programme = found.id("programme_id", message.programme_id)
    name = found.text("programme.display_name", message.programme.display_name, 200)
    found.check()
    return brand, programme, name


def sellers(
    message: pb.AddSellersRequest | pb.RemoveSellersRequest,
) -> tuple[str, str, tuple[str, ...]]:
    """Return brand, programme (empty: the brand's own sellers) and the sellers of a change."""
    found = Violations()
    brand, programme = found.group("parent", message.parent)
    if not message.sellers:
        found.add("sellers", "is required")
    given = _sellers(found, "sellers", message.sellers)
    found.check()
    return brand, programme, given


def licence(value: Licence, now_ns: int) -> pb.Licence:
    """Return a licence as a message, with its state at a moment."""
    message = pb.Licence(
        name=licence_name(value),
        display_name=value.display_name,
        sellers=value.sellers,
        programmes=[programme_name(value.brand, one) for one in value.programmes],
        territories=value.territories,
        start_time=timestamp(value.start_time_ns),
        state=pb.Licence.State.Value(value.state(now_ns)),
        create_time=timestamp(value.create_time_ns),
        etag=value.etag,
    )
    if value.scope == "ALL":
        message.all_originals = True
    elif value.scope == "TAG":
        message.tag.key, message.tag.value = value.tag_key, value.tag_value
    else:
        message.originals.names.extend(original_name(value.brand, one) for one in value.originals)
    if value.end_time_ns is not None:
        message.end_time.CopyFrom(timestamp(value.end_time_ns))
    if value.revoke_time_ns is not None:
        message.revoke_time.CopyFrom(timestamp(value.revoke_time_ns))
    return message


def programme(value: Programme) -> pb.Programme:
    """Return a programme as a message."""
    return pb.Programme(
        name=programme_name(value.brand, value.programme),
        display_name=value.display_name,
        create_time=timestamp(value.create_time_ns),
    )


def _scope(found: Violations, given: pb.Licence, brand: str) -> tuple[Scope, tuple[str, ...]]:
    """Return what is granted, and the ids of the originals where they are named."""
    which = given.WhichOneof("scope")
    if which == "originals":
        names = given.originals.names
        if not names:
            found.add("licence.originals.names", "is required")
        _few(found, "licence.originals.names", names, MAX_ORIGINALS)
        ids = []
        for i, name in enumerate(names[:MAX_ORIGINALS]):
            field = f"licence.originals.names[{i}]"
            ids.append(_of(found, field, brand, found.original(field, name)))
        return "ORIGINALS", tuple(dict.fromkeys(ids))
    if which == "tag":
        found.text("licence.tag.key", given.tag.key, 63, required=True)
        found.text("licence.tag.value", given.tag.value, 1024, required=True)
        return "TAG", ()
    if which is None or not given.all_originals:
        found.add("licence.scope", "set all_originals to true, originals or tag")
    return "ALL", ()


def _of(found: Violations, field: str, brand: str, ids: tuple[str, str]) -> str:
    """Return the id of what belongs to the licence's own brand."""
    if brand and ids[0] and ids[0] != brand:
        found.add(field, f"must be of brands/{brand}, got one of brands/{ids[0]}")
    return ids[1]


def _sellers(found: Violations, field: str, given: Sequence[str]) -> tuple[str, ...]:
    _few(found, field, given, MAX_SELLERS)
    some = given[:MAX_SELLERS]
    return tuple(
        dict.fromkeys(found.seller(f"{field}[{i}]", seller) for i, seller in enumerate(some))
    )


def _few(found: Violations, field: str, given: Sequence[str], at_most: int) -> None:
    if len(given) > at_most:
        found.add(field, f"has {len(given)}, at most {at_most} are allowed")


def _moment(found: Violations, field: str, given: pb.Licence, name: str) -> int | None:
    """Return nanoseconds since 1970, None when the field is not set."""
    if not given.HasField(name):  # type: ignore[arg-type]  # one of the two times
        return None
    value: timestamp_pb2.Timestamp = getattr(given, name)
    time_ns = value.seconds * 10**9 + value.nanos
    if not 0 <= value.nanos < 10**9 or not 0 <= value.seconds < 253_402_300_800:
        found.add(field, "must be a time from 1970 to 9999")
    return time_ns
