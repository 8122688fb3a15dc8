"""Who may call what: each role and each method, through a real server."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor, message, message_factory
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

import copycatch.v1
from copycatch.v1 import brands_service_pb2, match_service_pb2, originals_service_pb2
from scripts.generate_protos import sources
from service.access.roles import Role
from service.rpc import permissions
from service.rpc.permissions import EVERYBODY, RULES, Named
from tests.service.serving import Acting, Failure, Served, failure, new_original, picture

ROLES = list(Role)


def services() -> list[descriptor.ServiceDescriptor]:
    """Every service that the server offers: those of all protos, health and reflection."""
    import importlib

    assert copycatch.v1.__name__
    modules = [
        importlib.import_module(name.removesuffix(".proto").replace("/", ".") + "_pb2")
        for name in sources()
    ]
    found = [
        service
        for module in (*modules, health_pb2, reflection_pb2)
        for service in module.DESCRIPTOR.services_by_name.values()
    ]
    assert len(found) >= 5
    return found


METHODS = {
    f"{service.full_name}/{method.name}": method
    for service in services()
    for method in service.methods
}
FORMS = (
    "brands/{}",
    "brands/{}/originals/one",
    "brands/{}/originals/nothing",
    "brands/{}/licences/one",
    "brands/{}/programmes/one",
    "brands/{}/disputes/d-1",
    "brands/{}/sweeps/one",
    "brands/{}/sweeps/one/findings/1",
)
OWNED = [name for name, rule in RULES.items() if isinstance(rule.own, Named)]


def call(channel: grpc.Channel, method: str, request: message.Message) -> Any:
    """Call a method with one message, whatever its kind; return its first answer."""
    about = METHODS[method]
    answer_class = message_factory.GetMessageClass(about.output_type)
    return next(
        iter(
            channel.stream_stream(
                f"/{method}",
                request_serializer=type(request).SerializeToString,
                response_deserializer=answer_class.FromString,
            )(iter([request]), timeout=60)
        ),
        None,
    )


def filled(method: str, path: str = "", name: str = "") -> message.Message:
    """A request with a picture wherever one belongs, and a name at one path."""
    request = message_factory.GetMessageClass(METHODS[method].input_type)()

    def fill(part: message.Message) -> None:
        for field in part.DESCRIPTOR.fields:
            if field.name in ("image", "image_a", "image_b") and field.type == field.TYPE_BYTES:
                setattr(part, field.name, picture(1))
            elif field.name in ("original", "request") and field.message_type is not None:
                fill(getattr(part, field.name))

    fill(request)
    values: Any = request
    if method.endswith("/CreateLicence"):
        values.licence.sellers.append("seller")
        values.licence.tag.key, values.licence.tag.value = "season", "spring"
        values.licence_id = "one"
    elif method.endswith("/CreateSweep"):
        values.sweep.retroactive.SetInParent()
    elif method.endswith("/CreateProgramme"):
        values.programme_id = "one"
    elif method.endswith("Sellers") and "sellers" in request.DESCRIPTOR.fields_by_name:
        values.sellers.append("seller")
    if "requests" in request.DESCRIPTOR.fields_by_name:
        fill(request.requests.add())  # type: ignore[attr-defined]
    if path:
        *parents, last = path.split(".")
        target: Any = request
        for part in parents:
            target = getattr(target, part)
        setattr(target, last, name)
    return request


def refused(channel: grpc.Channel, method: str, request: message.Message) -> Failure | None:
    """What a caller is told, also when it is told of one item of a stream; None when nothing."""
    try:
        answer = call(channel, method, request)
    except grpc.RpcError as error:
        return Failure(error)
    if answer is not None and "error" in answer.DESCRIPTOR.fields_by_name:
        if answer.HasField("error"):
            return Failure.of_item(answer.error)
    return None


def test_every_method_of_every_service_has_an_entry() -> None:
    """Add a line to `RULES` in service/rpc/permissions.py for the methods that this names."""
    missing = METHODS.keys() - RULES.keys() - EVERYBODY
    assert not missing, f"no entry in service/rpc/permissions.py: {sorted(missing)}"
    strays = (RULES.keys() | EVERYBODY) - METHODS.keys()
    assert not strays, f"entries in service/rpc/permissions.py of no method: {sorted(strays)}"
    assert not RULES.keys() & EVERYBODY


def test_every_entry_that_lets_owners_in_says_how_they_are_kept_to_their_own() -> None:
    for method, rule in RULES.items():
        assert (rule.own is not None) == (Role.OWNER in rule.roles), method
        assert Role.ADMIN in rule.roles, method


def test_a_method_without_an_entry_is_refused_to_everybody(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = "copycatch.v1.BrandsService/ListBrands"
    monkeypatch.setattr(
        permissions, "RULES", {name: rule for name, rule in RULES.items() if name != method}
    )
    failed = failure(server.brands.ListBrands, brands_service_pb2.ListBrandsRequest())
    assert failed.reason == "ROLE_FORBIDS"


@pytest.fixture(scope="module")
def actors(server: Served) -> Iterator[dict[Role, Acting]]:
    """Stubs for each role; the owner is bound to a brand that exists."""
    server.create_brand("own")
    server.create_brand("rival")
    server.create_original("one", picture(1), "rival")
    server.create_original("mine", picture(2), "own")
    from contextlib import ExitStack

    with ExitStack() as stack:
        yield {
            role: stack.enter_context(
                server.acting(role, *(("own",) if role is Role.OWNER else ()))
            )
            for role in ROLES
        }


@pytest.mark.parametrize("method", sorted(METHODS))
def test_each_role_may_call_what_the_table_says_and_nothing_else(
    actors: dict[Role, Acting], method: str
) -> None:
    for role in ROLES:
        told = refused_at_the_door(lambda r=role: call(actors[r].channel, method, filled(method)))  # type: ignore[misc]
        may = method in EVERYBODY or role in RULES[method].roles
        assert told == ("" if may else "ROLE_FORBIDS"), f"{role} {method}"


@pytest.mark.parametrize("method", sorted(METHODS))
def test_nobody_calls_anything_without_a_key_but_the_health_check(
    server: Served, method: str
) -> None:
    cases = {
        "API_KEY_MISSING": server.connect(""),
        "API_KEY_UNKNOWN": server.connect("cck_0123456789ab_" + "A" * 43),
    }
    wrong_secret = f"cck_{server.key.id}_" + "A" * 43
    for expected, channel in (
        *cases.items(),
        ("API_KEY_UNKNOWN", server.connect(wrong_secret)),
        ("API_KEY_UNKNOWN", server.connect("x")),
    ):
        with channel:
            told = refused_at_the_door(lambda c=channel: call(c, method, filled(method)))  # type: ignore[misc]
        assert told == ("" if method in EVERYBODY else expected)


def refused_at_the_door(attempt: Callable[[], Any]) -> str:
    """The reason why a call was refused before it was looked at, empty when it was not."""
    try:
        attempt()
    except grpc.RpcError as error:
        assert isinstance(error, grpc.Call)
        code = error.code()
        if code in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED):
            return Failure(error).reason
        assert code is not grpc.StatusCode.INTERNAL, error
    return ""


@pytest.mark.parametrize("method", OWNED)
def test_to_an_owner_what_is_a_rivals_and_what_nobody_has_are_the_same(
    server: Served, actors: dict[Role, Acting], method: str
) -> None:
    """The same code, the same words, the same details; and the words that an admin gets."""
    rule = RULES[method].own
    assert isinstance(rule, Named)
    before = everything_of(server, "rival")
    told = {}
    for who, brand in (("owner", "rival"), ("owner", "ghost"), ("admin", "ghost")):
        actor = actors[Role(who)]
        for form in FORMS:
            found = refused(actor.channel, method, filled(method, rule.path, form.format(brand)))
            assert found is not None, (who, brand, form)
            told[who, brand, form] = (
                found.code,
                found.reason,
                found.message.replace(brand, "BRAND"),
                {k: v.replace(brand, "BRAND") for k, v in found.info.metadata.items()},
                found.violations,
            )
    for (who, brand, form), words in told.items():
        if who == "owner":
            assert words == told["owner", "ghost", form], (brand, form)
    # Where the name is of the right form, the answer is that of a name that does not exist.
    right = next(form for form in FORMS if told["admin", "ghost", form][1] != "FIELD_INVALID")
    assert told["owner", "rival", right] == told["admin", "ghost", right]
    assert told["owner", "rival", right][0] is grpc.StatusCode.NOT_FOUND
    assert everything_of(server, "rival") == before


def everything_of(server: Served, brand: str) -> bytes:
    """All that can be read of a brand's originals."""
    request = originals_service_pb2.ListOriginalsRequest(parent=f"brands/{brand}", page_size=500)
    answer = server.originals.ListOriginals(request)
    assert answer.originals
    return bytes(answer.SerializeToString(deterministic=True))


def test_an_owner_is_answered_about_rivals_without_a_look_at_the_store(
    server: Served, actors: dict[Role, Acting]
) -> None:
    """So there is nothing to time. Held up, the store's threads answer its own names no more."""
    import threading

    release = threading.Event()
    held = [server.running._store.submit(release.wait, 60) for _ in range(4)]
    try:
        for brand in ("rival", "ghost"):
            told = failure(
                actors[Role.OWNER].originals.GetOriginal,
                originals_service_pb2.GetOriginalRequest(name=f"brands/{brand}/originals/one"),
                timeout=60,
            )
            assert told.reason == "ORIGINAL_NOT_FOUND"
        with pytest.raises(grpc.RpcError) as caught:
            actors[Role.OWNER].originals.GetOriginal(
                originals_service_pb2.GetOriginalRequest(name="brands/own/originals/mine"),
                timeout=0.3,
            )
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    finally:
        release.set()
        for one in held:
            one.result()


def test_an_owner_works_with_what_is_its_own(server: Served, actors: dict[Role, Acting]) -> None:
    owner = actors[Role.OWNER]
    made = owner.originals.CreateOriginal(new_original("new", picture(3), "own"))
    assert owner.originals.GetOriginal(originals_service_pb2.GetOriginalRequest(name=made.name))
    assert owner.originals.GetOriginalPreview(
        originals_service_pb2.GetOriginalPreviewRequest(name=made.name)
    ).image
    made.display_name = "New"
    assert (
        owner.originals.UpdateOriginal(
            originals_service_pb2.UpdateOriginalRequest(original=made)
        ).display_name
        == "New"
    )
    items = [
        originals_service_pb2.ImportOriginalsRequest(
            item_id=brand, request=new_original("x", picture(4), brand)
        )
        for brand in ("rival", "own", "ghost")
    ]
    told = {one.item_id: one for one in owner.originals.ImportOriginals(iter(items))}
    assert told["own"].WhichOneof("result") == "original"
    for brand in ("rival", "ghost"):
        assert "BRAND_NOT_FOUND" in str(told[brand].error)
    owner.originals.DeleteOriginal(originals_service_pb2.DeleteOriginalRequest(name=made.name))


def test_an_owner_lists_its_own_brands_and_no_page_token_shows_others(
    server: Served, actors: dict[Role, Acting]
) -> None:
    with server.acting(Role.OWNER, "own", "unmade", "rival") as owner:
        page = owner.brands.ListBrands(brands_service_pb2.ListBrandsRequest(page_size=1))
        assert [one.name for one in page.brands] == ["brands/own"] and page.next_page_token
        page = owner.brands.ListBrands(
            brands_service_pb2.ListBrandsRequest(page_size=1, page_token=page.next_page_token)
        )
        assert [one.name for one in page.brands] == ["brands/rival"] and not page.next_page_token
    alone = actors[Role.OWNER].brands
    assert [
        one.name for one in alone.ListBrands(brands_service_pb2.ListBrandsRequest()).brands
    ] == ["brands/own"]
    whole = server.brands.ListBrands(brands_service_pb2.ListBrandsRequest(page_size=1))
    stolen = brands_service_pb2.ListBrandsRequest(page_token=whole.next_page_token)
    assert not alone.ListBrands(stolen).brands


def test_an_owner_is_not_told_how_much_is_registered(actors: dict[Role, Acting]) -> None:
    request = match_service_pb2.GetServerInfoRequest()
    own = actors[Role.OWNER].match.GetServerInfo(request)
    whole = actors[Role.METRICS].match.GetServerInfo(request)
    assert own.ready and own.limits.max_images and own.schema == whole.schema
    assert whole.original_count and whole.sequence and whole.indexes
    assert not own.original_count and not own.brand_count and not own.sequence
    assert not own.indexes and not own.store_byte_count and not own.HasField("snapshot")


def test_a_pipeline_is_told_names_and_gets_no_picture(actors: dict[Role, Acting]) -> None:
    pipeline = actors[Role.PIPELINE]
    answer = pipeline.match.CheckListing(
        match_service_pb2.CheckListingRequest(
            listing=match_service_pb2.Listing(images=[picture(1)])
        )
    )
    (match, *_) = answer.image_results[0].matches
    assert match.original == "brands/rival/originals/one"
    told = failure(
        pipeline.originals.GetOriginalPreview,
        originals_service_pb2.GetOriginalPreviewRequest(name=match.original),
    )
    assert told.reason == "ROLE_FORBIDS"


def test_the_key_of_a_call_is_in_its_log_line_and_its_secret_is_not(
    server: Served, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    import logging

    with caplog.at_level(logging.INFO, "copycatch.request"):
        server.brands.ListBrands(brands_service_pb2.ListBrandsRequest())
    (line,) = [one for one in caplog.records if one.name == "copycatch.request"]
    assert line.__dict__["fields"]["key"] == server.key.id
    assert server.secret not in str(line.__dict__)
