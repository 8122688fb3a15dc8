"""API keys: made, shown once, expired, revoked, from this process and from others."""

import json
import os
import pickle
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from typer.testing import CliRunner

from copycatch.v1 import brands_service_pb2, brands_service_pb2_grpc, match_service_pb2
from index.disk import StoreFull
from service.access.keys import FOLDER, KeyStore
from service.access.refusals import (
    ApiKeyExpired,
    ApiKeyRevoked,
    ApiKeyUnknown,
    CertificateTaken,
    CertificateUnknown,
)
from service.access.roles import KeyLimits, Role
from service.cli.main import app
from service.rpc.permissions import RoleForbids
from tests.service.program import ROOT, running
from tests.service.serving import Served, failure, picture, serving, settings

LIST = brands_service_pb2.ListBrandsRequest()
HOUR = 3600 * 10**9


class Clock:
    """A clock that stands still until it is moved."""

    now = 1_700_000_000 * 10**9

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keys(tmp_path: Path, clock: Clock) -> Iterator[KeyStore]:
    with KeyStore.open(tmp_path, clock) as opened:
        yield opened


def test_a_key_is_known_by_its_text_and_by_nothing_else(keys: KeyStore) -> None:
    limits = KeyLimits(requests_per_s=5, pictures=3)
    made, text = keys.create("acme", Role.OWNER, brands=["acme", "bolt"], limits=limits)
    caller = keys.identify(text)
    assert (caller.key_id, caller.name, caller.role) == (made.id, "acme", Role.OWNER)
    assert caller.brands == {"acme", "bolt"} and caller.limits == limits
    other, _ = keys.create("other", Role.ADMIN)
    for wrong in ("", text[:-1], text + "A", text.upper(), f"cck_{other.id}_{text[-43:]}", "é"):
        with pytest.raises(ApiKeyUnknown):
            keys.identify(wrong)


def test_secrets_are_random_and_not_kept(keys: KeyStore, tmp_path: Path) -> None:
    texts = [keys.create("k", Role.METRICS)[1] for _ in range(50)]
    assert len({text[-43:] for text in texts}) == 50
    stored = (tmp_path / FOLDER / "data.mdb").read_bytes()
    for text in texts:
        assert text[4:16].encode() in stored  # the id
        assert text[-43:].encode() not in stored and text[-20:].encode() not in stored


def test_the_folder_of_the_keys_is_its_owners_alone(keys: KeyStore, tmp_path: Path) -> None:
    keys.create("k", Role.METRICS)
    assert stat.S_IMODE((tmp_path / FOLDER).stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / FOLDER / "data.mdb").stat().st_mode) == 0o600


def test_a_key_expires_by_the_clock(keys: KeyStore, clock: Clock) -> None:
    _, text = keys.create("short", Role.ADMIN, expire_time_ns=clock.now + HOUR)
    clock.now += HOUR - 1
    assert keys.identify(text).name == "short"
    clock.now += 1
    with pytest.raises(ApiKeyExpired):
        keys.identify(text)
    assert keys.active_count() == 0
    assert keys.list()[0].state(clock.now) == "expired"


def test_a_key_is_revoked_once_and_stays_on_the_list(keys: KeyStore, clock: Clock) -> None:
    made, text = keys.create("lost", Role.ADMIN)
    revoked = keys.revoke(made.id)
    clock.now += HOUR
    assert keys.revoke(made.id) == revoked
    with pytest.raises(ApiKeyRevoked):
        keys.identify(text)
    with pytest.raises(ApiKeyRevoked):
        keys.check(made.id)
    assert [key.state(clock.now) for key in keys.list()] == ["revoked"]
    with pytest.raises(ApiKeyUnknown):
        keys.revoke("000000000000")


def test_the_last_use_is_noted_to_the_minute(tmp_path: Path, clock: Clock) -> None:
    with KeyStore.open(tmp_path, clock) as keys:
        _, text = keys.create("used", Role.ADMIN)
        assert keys.list()[0].use_time_ns == 0
        first = clock.now
        keys.identify(text)
        clock.now += 10**9
        keys.identify(text)
    with KeyStore.open(tmp_path, clock) as keys:
        assert keys.list()[0].use_time_ns == first
        clock.now += HOUR
        keys.identify(text)
    with KeyStore.open(tmp_path, clock) as keys:
        assert keys.list()[0].use_time_ns == clock.now


def test_owners_have_brands_and_nobody_else_has(keys: KeyStore) -> None:
    with pytest.raises(ValueError, match="bound to brands"):
        keys.create("x", Role.OWNER)
    with pytest.raises(ValueError, match="bound to brands"):
        keys.create("x", Role.PIPELINE, brands=["acme"])


def test_one_key_at_a_time_stands_for_a_certificate(keys: KeyStore, clock: Clock) -> None:
    made, text = keys.create("mtls", Role.PIPELINE, certificate="shop.example")
    assert text == ""
    assert keys.identify_certificate(["else", "shop.example"]).key_id == made.id
    with pytest.raises(CertificateUnknown):
        keys.identify_certificate(["else"])
    with pytest.raises(CertificateTaken, match=made.id):
        keys.create("again", Role.ADMIN, certificate="shop.example")
    with pytest.raises(ApiKeyUnknown):  # it has no secret that could be shown
        keys.identify(f"cck_{made.id}_" + "A" * 43)
    keys.revoke(made.id)
    with pytest.raises(ApiKeyRevoked):
        keys.identify_certificate(["shop.example"])
    again, _ = keys.create("again", Role.ADMIN, certificate="shop.example")
    assert keys.identify_certificate(["shop.example"]).key_id == again.id


def test_a_full_store_of_keys_says_so_and_keeps_what_it_has(keys: KeyStore) -> None:
    _, text = keys.create("first", Role.ADMIN)
    with pytest.raises(StoreFull):
        for _ in range(100):
            keys.create("x" * 4_000_000, Role.METRICS)
    assert keys.identify(text).name == "first"


@pytest.mark.parametrize(
    "error",
    [
        ApiKeyExpired("a1"),
        ApiKeyRevoked("a1"),
        CertificateTaken("shop", "a1"),
        RoleForbids("owner", "BrandsService/CreateBrand"),
    ],
)
def test_the_errors_survive_pickling(error: Exception) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error) and vars(again) == vars(error)


def test_within_a_process_the_keys_are_opened_once_and_shared(tmp_path: Path) -> None:
    with KeyStore.open(tmp_path) as one:
        with KeyStore.open(tmp_path / "." / "../" / tmp_path.name) as two:
            _, text = one.create("shared", Role.ADMIN)
            assert two.identify(text).name == "shared"
            two.close()
            two.close()  # once is enough, twice is no harm
        assert one.identify(text).name == "shared"


MAKER = """
import sys
from pathlib import Path
from service.access.keys import KeyStore
from service.access.roles import Role
with KeyStore.open(Path(sys.argv[1])) as keys:
    for number in range(int(sys.argv[2])):
        print(keys.create(f"key {number}", Role.METRICS)[1], flush=True)
"""


def maker(folder: Path, count: int) -> "subprocess.Popen[str]":
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'protos'}"}
    return subprocess.Popen(
        [sys.executable, "-c", MAKER, str(folder), str(count)],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )


def test_processes_make_keys_beside_each_other_and_one_is_killed(tmp_path: Path) -> None:
    """What was shown before a kill -9 is known afterwards, and the others never notice."""
    with KeyStore.open(tmp_path) as keys, maker(tmp_path, 20) as one, maker(tmp_path, 10**6) as two:
        assert two.stdout is not None and one.stdout is not None
        shown = [next(two.stdout).strip() for _ in range(20)]
        two.send_signal(signal.SIGKILL)
        shown += [text for line in two.stdout if (text := line.strip()) and len(text) == 60]
        shown += [line.strip() for line in one.stdout]
        assert len(shown) >= 40
        assert all(keys.identify(text).role is Role.METRICS for text in shown)
        keys.create("after", Role.ADMIN)


def test_a_key_expires_on_a_running_server_by_its_clock(tmp_path: Path, clock: Clock) -> None:
    with serving(settings(tmp_path), clock=clock) as server:
        with server.acting(Role.ANALYST, expire_time_ns=clock.now + HOUR) as analyst:
            analyst.brands.ListBrands(LIST)
            clock.now += HOUR
            told = failure(analyst.brands.ListBrands, LIST)
            assert (told.code, told.reason) == (
                grpc.StatusCode.UNAUTHENTICATED,
                "API_KEY_EXPIRED",
            )
        server.brands.ListBrands(LIST)


def test_a_revoked_key_ends_its_streams_and_its_calls_at_once(server: Served) -> None:
    with server.acting(Role.PIPELINE) as pipeline:
        more = threading.Event()

        def items() -> Iterator[match_service_pb2.StreamingCheckListingsRequest]:
            for number in range(2):
                listing = match_service_pb2.Listing(images=[picture(number)])
                yield match_service_pb2.StreamingCheckListingsRequest(
                    item_id=str(number),
                    request=match_service_pb2.CheckListingRequest(listing=listing),
                )
                if number == 0:
                    more.wait(60)

        stream = pipeline.match.StreamingCheckListings(items())
        assert next(stream).item_id == "0"
        server.running.keys.revoke(pipeline.key_id)
        more.set()
        with pytest.raises(grpc.RpcError) as caught:
            next(stream)
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
        told = failure(pipeline.match.GetServerInfo, match_service_pb2.GetServerInfoRequest())
        assert told.reason == "API_KEY_REVOKED"


def run(*arguments: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["keys", *arguments])
    return done.exit_code, done.stdout, done.stderr


def test_the_commands_work_on_a_running_server_of_another_process(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running(data) as program, program.connect() as channel:
        del channel
        from copycatch.v1 import brands_service_pb2_grpc
        from service.cli.credentials import Credentials, connect

        code, text, told = run(
            "create", "acme", "--role", "owner", "--brand", "acme", "--data-dir", str(data)
        )
        assert code == 0 and text.startswith("cck_") and "shown this once" in told
        assert text.strip() not in told
        with connect(program.address, Credentials(text.strip())) as channel:
            stub = brands_service_pb2_grpc.BrandsServiceStub(channel)
            assert not stub.ListBrands(LIST).brands
            code, listed, _ = run("list", "--json", "--data-dir", str(data))
            rows = [json.loads(line) for line in listed.splitlines()]
            assert [(row["name"], row["state"]) for row in rows] == [
                ("the test", "active"),
                ("acme", "active"),
            ]
            assert rows[1]["brands"] == ["acme"] and "use_time" in rows[1]
            assert text.strip()[-43:] not in listed
            assert run("revoke", "acme", "--data-dir", str(data))[0] == 0
            assert failure(stub.ListBrands, LIST).reason == "API_KEY_REVOKED"
        assert "revoked" in run("list", "--data-dir", str(data))[1]
        code, again, _ = run("revoke", "acme", "--data-dir", str(data))
        assert code == 0 and "(acme) was revoked already, " in again


def test_the_first_key_of_a_folder_says_that_the_folder_is_new(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name, said in (("data", "was not there and is made now"), ("empty", "was empty")):
        make = ("create", "me", "--role", "admin", "--data-dir", str(tmp_path / name))
        code, text, told = run(*make)
        assert code == 0 and text.startswith("cck_")
        assert f"{tmp_path / name} {said}: a server has to name it" in told
        assert said not in run(*make)[2]
    (tmp_path / "file").touch()
    code, text, told = run("create", "me", "--role", "admin", "--data-dir", str(tmp_path / "file"))
    assert code == 2 and not text
    assert f"{tmp_path / 'file'} is no folder" in told


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("create", "x", "--role", "owner"), "an owner is bound to brands"),
        (("create", "x", "--role", "admin", "--brand", "a"), "an owner is bound to brands"),
        (
            ("create", "x", "--role", "owner", "--brand", "A b"),
            "'A b' is no id of a brand: it has 1",
        ),
        (("create", "x", "--role", "admin", "--expires", "soon"), "'soon' is no time"),
        (("create", "", "--role", "admin"), "a name has 1 to 200"),
        (("revoke", "nobody"), "there is no key 'nobody'"),
        (("revoke", "twin"), "2 keys have the name 'twin'"),
    ],
)
def test_what_the_commands_refuse_is_named(
    tmp_path: Path, arguments: tuple[str, ...], told: str
) -> None:
    with KeyStore.open(tmp_path) as keys:
        keys.create("twin", Role.ADMIN)
        keys.create("twin", Role.ADMIN)
    done = run(*arguments, "--data-dir", str(tmp_path))
    assert done[0] == 2 and told in done[2]


def test_an_owner_of_a_brand_that_is_not_there_is_told_of(tmp_path: Path) -> None:
    with serving(settings(tmp_path)) as server:
        server.create_brand("acme")
    create = ("create", "x", "--role", "owner", "--data-dir", str(tmp_path / "data"), "--brand")
    code, text, told = run(*create, "acmee")
    assert code == 0 and text.startswith("cck_")
    assert "there is no brand acmee in" in told and "`copycatch brands create acmee`" in told
    assert "there is no brand" not in run(*create, "acme")[2]
    fresh = ("--data-dir", str(tmp_path / "fresh"))
    assert (
        "there is no brand acme"
        in run("create", "x", "--role", "owner", "--brand", "acme", *fresh)[2]
    )


def test_a_restore_says_that_keys_revoked_since_count_again(tmp_path: Path) -> None:
    with serving(settings(tmp_path)) as server:
        key, _ = server.running.keys.create("leaver", Role.PIPELINE)

    def call(*words: object) -> str:
        done = CliRunner().invoke(app, [str(word) for word in words])
        assert done.exit_code == 0, done.output
        return done.output

    call("backup", tmp_path / "monday", "--data-dir", tmp_path / "data")
    assert run("revoke", key.id, "--data-dir", str(tmp_path / "data"))[0] == 0
    said = call("restore", tmp_path / "monday", "--data-dir", tmp_path / "again")
    assert "one that was revoked since counts again" in said and "copycatch keys list" in said
    with KeyStore.open(tmp_path / "again") as keys:
        assert not next(one for one in keys.list() if one.id == key.id).revoke_time_ns


def test_a_key_without_its_prefix_is_told_what_to_send(tmp_path: Path) -> None:
    with serving(settings(tmp_path)) as server:
        address, (_, secret) = server.running.address, server.running.keys.create("x", Role.ADMIN)
        with grpc.insecure_channel(address) as channel:
            ask = brands_service_pb2_grpc.BrandsServiceStub(channel).ListBrands

            def told(*headers: str) -> str:
                shown = [("authorization", header) for header in headers]
                refused = failure(lambda request: ask(request, metadata=shown), LIST)
                assert refused.reason == "API_KEY_UNKNOWN"
                assert secret not in refused.message
                return refused.message

            assert "does not begin with `Bearer `" in told(secret)
            assert told("Bearer x") == "there is no such API key"
            assert "send one" in told(f"Bearer {secret}", f"Bearer {secret}")


def test_keys_of_a_folder_that_is_not_there_are_not_listed_as_none(tmp_path: Path) -> None:
    code, _, told = run("list", "--data-dir", str(tmp_path / "typo"))
    assert code == 2 and "there is no data folder" in told
    assert not (tmp_path / "typo").exists()


def test_an_insecure_server_asks_nobody_and_says_so_loudly(tmp_path: Path) -> None:
    with running(tmp_path, insecure=True) as program:
        with grpc.insecure_channel(program.wait_until_ready()) as channel:
            stub = brands_service_pb2_grpc.BrandsServiceStub(channel)
            stub.CreateBrand(brands_service_pb2.CreateBrandRequest(brand_id="anybody"))
    (line,) = [each for each in program.lines if "INSECURE" in str(each["message"])]
    assert line["level"] == "warning"


def test_a_server_without_keys_says_how_to_make_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(settings(tmp_path)) as server:
        server.running.keys.revoke(server.key.id)
        server.running.say_who_may_call()
    assert "copycatch keys create" in caplog.text
