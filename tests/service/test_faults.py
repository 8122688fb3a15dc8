"""Faults of the disk and the clock, injected for real: named, nothing lost, reads go on."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from PIL import Image
from typer.testing import CliRunner

from copycatch.v1 import brands_service_pb2 as brands_pb
from copycatch.v1 import match_service_pb2 as pb
from copycatch.v1 import originals_service_pb2 as originals_pb
from index.chain import verify
from service.cli.main import app
from service.server import DataDirUnusable
from tests.index.test_store import small_disk
from tests.kit.images import encode
from tests.service.serving import Failure, Served, failure, picture, serving, settings

__all__ = ["small_disk"]

BLANK = encode(Image.new("RGB", (200, 200), "white"))
DAY_NS = 86_400 * 10**9


def check(*images: bytes) -> pb.CheckListingRequest:
    return pb.CheckListingRequest(listing=pb.Listing(images=images))


def get(server: Served, name: str) -> originals_pb.Original:
    request = originals_pb.GetOriginalRequest(name=f"brands/acme/originals/{name}")
    return server.originals.GetOriginal(request)


def whole(server: Served) -> int:
    """Verify the audit log; its last entry."""
    log = server.running.gate.engine.catalogue.audit
    return verify(log.links(), head=log.ends.head, whole=True).last


def remount(disk: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(disk)], check=True)


def test_on_a_full_disk_reads_go_on_and_writes_say_so(small_disk: Path) -> None:
    config = settings(small_disk, snapshot_changes=0)
    with serving(config) as served:
        served.create_brand()
        kept: list[str] = []
        for number in range(500):
            try:
                served.create_original(f"o{number}", picture(number, (96, 96)))
            except grpc.RpcError as error:
                assert Failure(error).reason == "STORE_FULL"
                break
            kept.append(f"o{number}")
        assert 5 < len(kept) < 500
        # Reads and checks that need no entry are answered; one that does says why it is not.
        assert all(get(served, name).name for name in kept)
        assert served.match.CheckListing(check(BLANK)).verdict == pb.CLEAR
        refused = failure(
            served.originals.CreateOriginal,
            originals_pb.CreateOriginalRequest(
                parent="brands/acme",
                original=originals_pb.Original(image=picture(901, (96, 96))),
            ),
        )
        assert refused.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        remount(small_disk, "size=6m")
        answer = served.match.CheckListing(check(picture(3, (96, 96))))
        assert answer.verdict == pb.COPY and answer.audit_entry
        served.create_original("later", picture(902, (96, 96)))
        entries = whole(served)
        assert entries >= len(kept) + 3
    with serving(config) as served:
        assert all(get(served, name).name for name in [*kept, "later"])
        assert whole(served) == entries


def test_a_disk_that_is_read_only_is_named_and_can_still_be_read(
    tmp_path: Path, small_disk: Path
) -> None:
    config = settings(small_disk, snapshot_changes=0)
    with serving(config) as served:
        served.create_brand()
        served.create_original("one", picture(1, (96, 96)))
    remount(small_disk, "ro")
    with pytest.raises(DataDirUnusable, match="data_dir: this user may not write"), serving(config):
        pass
    folder = ["--data-dir", str(small_disk / "data")]
    done = CliRunner().invoke(app, ["audit", "verify", *folder])
    assert done.exit_code == 0 and "2 entries" in done.output
    done = CliRunner().invoke(app, ["backup", str(tmp_path / "backup"), *folder])
    assert done.exit_code == 0, done.output
    done = CliRunner().invoke(
        app, ["restore", str(tmp_path / "backup"), "--data-dir", str(tmp_path / "data")]
    )
    assert done.exit_code == 0, done.output
    with serving(settings(tmp_path)) as served:
        assert served.match.CheckListing(check(picture(1, (96, 96)))).verdict == pb.COPY
    remount(small_disk, "rw")
    with serving(config) as served:
        assert get(served, "one").name


def damage(data: Path, near: bytes, where: Callable[[int], int], with_: bytes) -> None:
    """Overwrite bytes of a store's file, at a place that follows from where `near` stands."""
    content = bytearray(data.read_bytes())
    at = content.find(near)
    assert at > 0
    while at > 0:  # free pages hold older copies of it
        start = where(at)
        content[start : start + len(with_)] = with_
        at = content.find(near, at + 1)
    data.write_bytes(content)


@pytest.mark.parametrize("kind", ["record", "preview", "page"])
def test_a_damaged_page_is_an_error_of_what_lies_there_and_of_nothing_else(
    tmp_path: Path, kind: str
) -> None:
    config = settings(tmp_path)
    with serving(config) as served:
        served.create_brand()
        for number in range(12):
            served.create_original(f"o{number}", picture(number))
        preview = served.originals.GetOriginalPreview(
            originals_pb.GetOriginalPreviewRequest(name="brands/acme/originals/o4")
        ).image
        record = served.running.gate.engine.catalogue.get("acme", "o4")
    data = tmp_path / "data/data.mdb"
    if kind == "record":  # one letter of it
        damage(data, b'"original":"o4"', lambda at: at + 4, b"j")
    elif kind == "preview":  # one byte of it
        damage(data, preview, lambda at: at + 200, bytes([preview[200] ^ 1]))
    else:  # the header of the first page of the preview
        damage(data, preview, lambda at: at // 4096 * 4096, b"\xff" * 16)
    with serving(config) as served:
        name = "brands/acme/originals/o4"
        assert served.running.gate.engine.catalogue.stats().opened_from == "snapshot"
        if kind == "record":
            found = failure(
                served.originals.GetOriginal, originals_pb.GetOriginalRequest(name=name)
            )
            assert (found.code, found.reason) == (grpc.StatusCode.DATA_LOSS, "RECORD_CORRUPT")
            answer = served.match.CheckListing(check(picture(4), BLANK))
            assert answer.verdict == pb.REVIEW, "what could not be compared is not cleared"
            assert answer.image_results[0].error.code == grpc.StatusCode.DATA_LOSS.value[0]
            assert answer.image_results[1].verdict == pb.CLEAR
        else:
            found = failure(
                served.originals.GetOriginalPreview,
                originals_pb.GetOriginalPreviewRequest(name=name),
            )
            reason = "RECORD_CORRUPT" if kind == "preview" else "STORE_CORRUPT"
            assert (found.code, found.reason) == (grpc.StatusCode.DATA_LOSS, reason)
            assert kind == "preview" or "restore it from a backup" in found.message
            assert str(tmp_path) not in found.message
            assert get(served, "o4").sha256 == record.sha256.hex()
        assert all(get(served, f"o{number}").name for number in range(12) if number != 4)
        assert served.match.CheckListing(check(picture(7))).verdict == pb.COPY
        served.create_original("new", picture(60))
        assert whole(served) >= 14


def test_snapshots_that_are_damaged_are_made_again_from_the_store(tmp_path: Path) -> None:
    config = settings(tmp_path)
    with serving(config) as served:
        served.create_brand()
        served.create_original("one", picture(1))
    for file in (tmp_path / "data/snapshots").rglob("*.rows.npy"):
        content = bytearray(file.read_bytes())
        content[-1] ^= 1
        file.write_bytes(content)
    with serving(config) as served:
        info = served.match.GetServerInfo(pb.GetServerInfoRequest())
        assert info.loaded_from.startswith("store") and "damaged" in info.loaded_from
        assert served.match.CheckListing(check(picture(1))).verdict == pb.COPY


@pytest.fixture
def moved() -> Iterator[list[int]]:
    yield [1_800_000_000 * 10**9]


def test_a_clock_that_jumps_back_changes_no_answer(tmp_path: Path, moved: list[int]) -> None:
    config = settings(tmp_path, audit_days=30.0)
    for jump in (0, -400 * DAY_NS, 3 * DAY_NS):
        moved[0] += jump
        with serving(config, clock=lambda: moved[0]) as served:
            if not jump:
                served.create_brand()
                served.create_original("one", picture(1))
            moved[0] -= DAY_NS
            served.create_original(f"o{moved[0]}", picture(abs(jump) // DAY_NS + 2))
            answer = served.match.CheckListing(check(picture(1)))
            assert answer.verdict == pb.COPY
            assert get(served, "one").create_time.seconds == 1_800_000_000
            request = originals_pb.GetOriginalRequest(name="brands/acme/originals/one")
            etag = served.originals.GetOriginal(request).etag
            changed = originals_pb.UpdateOriginalRequest(
                original=originals_pb.Original(name=request.name, display_name="x", etag=etag)
            )
            assert served.originals.UpdateOriginal(changed).etag != etag
            assert whole(served) > 3
    with serving(config, clock=lambda: moved[0]) as served:
        brand = brands_pb.GetBrandRequest(name="brands/acme")
        assert served.brands.GetBrand(brand).create_time.seconds == 1_800_000_000
        # Nothing was dropped for an age that a clock made up.
        assert served.running.gate.engine.catalogue.audit.ends.dropped == 0
