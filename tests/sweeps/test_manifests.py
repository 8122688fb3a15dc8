"""Manifests of every form: what is read, what becomes a problem, what is refused at once."""

import json
import os
from pathlib import Path

import pytest

from service.sweeps.access import Access
from service.sweeps.errors import ExtraMissing, ManifestInvalid, SourceNotAllowed, SourceNotFound
from service.sweeps.listing import decode_listings, encode_listings
from service.sweeps.manifest import opened
from tests.sweeps.kit import read, write_csv, write_tar

P = b"bytes of a picture"


def test_rows_of_one_listing_stand_together(tmp_path: Path) -> None:
    rows = [
        {"listing_id": "a", "seller": "s1", "path": "1.jpg", "price": "3"},
        {"listing_id": "a", "seller": "", "path": "sub/2.jpg", "price": ""},
        {"listing_id": "b", "seller": "s2", "path": str(tmp_path / "3.jpg"), "price": ""},
    ]
    found = read(write_csv(tmp_path / "m.csv", rows), tmp_path)
    assert [(each.listing_id, each.seller) for each in found] == [("a", "s1"), ("b", "s2")]
    assert [p.location for p in found[0].pictures] == [
        str(tmp_path / "1.jpg"),
        str(tmp_path / "sub/2.jpg"),
    ]
    assert found[1].pictures[0].name == str(tmp_path / "3.jpg")
    assert decode_listings(encode_listings(found)) == found


@pytest.mark.parametrize(
    ("row", "reason", "says"),
    [
        ({"listing_id": "", "path": "1.jpg"}, "ROW_INVALID", "no listing_id"),
        ({"listing_id": "x", "path": ""}, "ROW_INVALID", "names no picture"),
        ({"listing_id": "x", "path": "1.jpg", "territory": "Germany"}, "ROW_INVALID", "such as DE"),
        ({"listing_id": "x" * 201, "path": "1.jpg"}, "ROW_INVALID", "200 characters"),
        ({"listing_id": "x", "path": "/etc/passwd"}, "SOURCE_NOT_ALLOWED", "sweep_roots"),
        ({"listing_id": "x", "path": "../up.jpg"}, "SOURCE_NOT_ALLOWED", "sweep_roots"),
        ({"listing_id": "x", "path": "file:///etc/passwd"}, "SOURCE_NOT_ALLOWED", "sweep_roots"),
        ({"listing_id": "x", "path": "http://169.254.169.254/"}, "SOURCE_NOT_ALLOWED", "no URL"),
    ],
)
def test_a_bad_row_is_a_listing_with_a_problem(
    tmp_path: Path, row: dict[str, str], reason: str, says: str
) -> None:
    good = {"listing_id": "good", "path": "1.jpg", "territory": "DE"}
    found = read(write_csv(tmp_path / "m.csv", [good, row, {**good, "listing_id": "z"}]), tmp_path)
    assert [bool(each.problem) for each in found] == [False, True, False]
    problem = found[1].problem
    assert problem is not None
    assert problem.reason == reason
    assert says in problem.message


def test_rows_that_name_two_sellers_are_a_problem(tmp_path: Path) -> None:
    rows = [
        {"listing_id": "a", "seller": "s1", "path": "1.jpg"},
        {"listing_id": "a", "seller": "s2", "path": "2.jpg"},
    ]
    (found,) = read(write_csv(tmp_path / "m.csv", rows), tmp_path)
    assert found.problem is not None
    assert "s1, s2" in found.problem.message


def test_more_pictures_than_a_check_takes_are_a_problem(tmp_path: Path) -> None:
    rows = [{"listing_id": "a", "path": f"{n}.jpg"} for n in range(21)]
    (found,) = read(write_csv(tmp_path / "m.csv", rows), tmp_path)
    assert found.problem is not None
    assert found.problem.reason == "LISTING_TOO_LARGE"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b"id,path\n1,a.jpg\n", "no column 'listing_id'; its columns are id, path"),
        (b"listing_id;path\n1;a.jpg\n", "'listing_id'; its columns are separated by semicolons"),
        (b"listing_id,file\n1,a.jpg\n", "neither a column 'path' nor 'url'"),
        (b"listing_id,path\n1,\xff\xfe\n", "not UTF-8"),
    ],
)
def test_a_csv_that_is_no_manifest_is_refused(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "m.csv").write_bytes(content)
    with pytest.raises(ManifestInvalid, match=says):
        opened(str(tmp_path / "m.csv"), Access.of([tmp_path]))


def test_bytes_that_are_no_text_far_into_a_csv_are_named_by_their_line(tmp_path: Path) -> None:
    body = b"listing_id,path\n" + b"a,1.jpg\n" * 20_000 + b"b,\xff\n"
    (tmp_path / "m.csv").write_bytes(body)
    with pytest.raises(ManifestInvalid, match="line [0-9]+"):
        read(tmp_path / "m.csv", tmp_path)


def test_parquet_says_what_csv_says(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow", reason="the extra `sweeps` is not installed")
    import pyarrow.parquet as parquet

    rows = [
        {"listing_id": "1", "seller": "s", "path": "1.jpg"},
        {"listing_id": "1", "seller": "s", "path": "2.jpg"},
        {"listing_id": "2", "seller": "", "path": "3.jpg"},
    ]
    listed = [
        {"listing_id": 1, "seller": "s", "path": ["1.jpg", "2.jpg"], "n": 1.5},
        {"listing_id": 2, "seller": None, "path": ["3.jpg"], "n": 2.5},
    ]
    parquet.write_table(arrow.Table.from_pylist(rows), tmp_path / "rows.parquet")
    parquet.write_table(arrow.Table.from_pylist(listed), tmp_path / "lists.parquet")
    found = read(write_csv(tmp_path / "m.csv", rows), tmp_path)
    assert read(tmp_path / "rows.parquet", tmp_path) == found
    assert read(tmp_path / "lists.parquet", tmp_path) == found


def test_a_file_that_is_no_parquet_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="the extra `sweeps` is not installed")
    (tmp_path / "m.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(ManifestInvalid, match="no Parquet"):
        opened(str(tmp_path / "m.parquet"), Access.of([tmp_path]))


def test_a_folder_says_whose_and_which_listing_it_is(tmp_path: Path) -> None:
    for name in ("x.jpg", "shop/y.PNG", "shop/l1/b.jpg", "shop/l1/a.jpg", "shop/l1/deep/c.webp"):
        (tmp_path / "f" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "f" / name).write_bytes(P)
    (tmp_path / "f/notes.txt").write_text("no picture")
    (tmp_path / "f/.hidden.jpg").write_bytes(P)
    (tmp_path / "f/loop").symlink_to(tmp_path / "f")
    found = read(tmp_path / "f", tmp_path)
    assert [(each.listing_id, each.seller, len(each.pictures)) for each in found] == [
        ("shop/l1", "shop", 3),
        ("shop/y.PNG", "shop", 1),
        ("x.jpg", "", 1),
    ]


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestInvalid, match="no picture"):
        opened(str(tmp_path), Access.of([tmp_path]))


def shard(tmp_path: Path, name: str = "s-000.tar") -> Path:
    described = json.dumps({"listing_id": "offer-7", "seller": "shop"}).encode()
    return write_tar(
        tmp_path / name,
        {
            f"{name}/0001.jpg": P,
            f"{name}/0001.json": described.replace(b"7", name.encode()),
            f"{name}/0001.cls": b"3",
            f"{name}/0002.front.jpg": P + b"1",
            f"{name}/0002.back.png": P + b"22",
        },
    )


def test_shards_are_read_as_webdataset_writes_them(tmp_path: Path) -> None:
    path = shard(tmp_path)
    found = read(path, tmp_path)
    assert [(each.listing_id, each.seller) for each in found] == [
        ("offer-s-000.tar", "shop"),
        ("s-000.tar/0002", ""),
    ]
    access = Access.of([tmp_path])
    images = [access.read(p.location, p.offset, p.length, 99) for p in found[1].pictures]
    assert images == [P + b"1", P + b"22"]


@pytest.mark.parametrize("source", ["", "s-{000..001}.tar", "s-*.tar"])
def test_many_shards_are_one_manifest(tmp_path: Path, source: str) -> None:
    shard(tmp_path, "s-000.tar")
    shard(tmp_path, "s-001.tar")
    found = read(f"{tmp_path}/{source}" if source else tmp_path, tmp_path)
    assert len(found) == 4


def test_an_empty_shard_is_refused_before_anything_runs(tmp_path: Path) -> None:
    shard(tmp_path)
    (tmp_path / "s-001.tar").touch()
    with pytest.raises(ManifestInvalid, match="0 bytes"):
        opened(f"{tmp_path}/s-*.tar", Access.of([tmp_path]))


def test_a_missing_shard_is_refused_before_anything_runs(tmp_path: Path) -> None:
    shard(tmp_path)
    with pytest.raises(SourceNotFound, match="s-001.tar"):
        opened(f"{tmp_path}/s-{{000..001}}.tar", Access.of([tmp_path]))


def test_what_is_no_shard_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(b"x" * 2048)
    with pytest.raises(ManifestInvalid, match="no tar"):
        opened(str(tmp_path / "a.tar"), Access.of([tmp_path]))
    (tmp_path / "b.tar").write_bytes(b"\x1f\x8b" + b"x" * 2048)
    with pytest.raises(ManifestInvalid, match="compressed"):
        opened(str(tmp_path / "b.tar"), Access.of([tmp_path]))


@pytest.mark.parametrize("kept", [700, 1024, 2900, 4000])
def test_what_a_cut_shard_has_lost_is_said(tmp_path: Path, kept: int) -> None:
    path = shard(tmp_path)
    path.write_bytes(path.read_bytes()[:kept])
    found = read(path, tmp_path)
    problem = found[-1].problem
    assert problem is not None
    assert problem.reason == "SHARD_TRUNCATED"
    assert "s-000.tar" in found[-1].listing_id


def test_a_link_leads_nowhere_that_is_not_allowed(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "secret.csv").write_text("listing_id,path\na,b\n")
    (tmp_path / "in/m.csv").symlink_to(tmp_path / "secret.csv")
    with pytest.raises(SourceNotAllowed):
        opened(str(tmp_path / "in/m.csv"), Access.of([tmp_path / "in"]))


def test_nothing_may_be_read_unless_it_is_allowed(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("listing_id,path\na,b\n")
    with pytest.raises(SourceNotAllowed, match="no folder at all"):
        opened(str(tmp_path / "m.csv"), Access())


def test_a_pipe_is_no_manifest(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "m.csv")
    with pytest.raises(RuntimeError, match="no regular file"):
        opened(str(tmp_path / "m.csv"), Access.of([tmp_path]))


def test_a_form_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestInvalid, match="there are CSV"):
        opened(str(tmp_path), Access.of([tmp_path]), "XLSX")
    (tmp_path / "m.xlsx").write_bytes(P)
    with pytest.raises(ManifestInvalid, match=r"a \.csv"):
        opened(str(tmp_path / "m.xlsx"), Access.of([tmp_path]))


def test_errors_survive_being_sent_to_another_process() -> None:
    import pickle

    for error in (
        SourceNotAllowed("a", "b"),
        SourceNotFound("a"),
        ExtraMissing("a", "b"),
        ManifestInvalid("a", "b"),
    ):
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))
