"""Finding pictures and naming originals after them."""

import os
import re
from pathlib import Path

import pytest
from google.rpc import status_pb2
from hypothesis import given
from hypothesis import strategies as st

from service.cli import pictures
from service.cli.failure import CommandError, describe, reason_of

ID = re.compile(r"^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$")


def touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def test_a_folder_is_searched_through_and_sorted(tmp_path: Path) -> None:
    touch(tmp_path, "b.JPG", "a.png", "notes.txt", "deep/c.webp", ".hidden.png", ".git/d.png")
    found = [str(path.relative_to(tmp_path)) for path in pictures.find([tmp_path])]
    assert found == ["a.png", "b.JPG", "deep/c.webp"]


def test_a_named_file_is_taken_whatever_its_name_and_only_once(tmp_path: Path) -> None:
    touch(tmp_path, "upload.bin", "a.png")
    found = pictures.find([tmp_path / "upload.bin", tmp_path / "a.png", tmp_path])
    assert [path.name for path in found] == ["upload.bin", "a.png"]


def test_a_link_that_leads_nowhere_is_a_picture_that_can_not_be_read(tmp_path: Path) -> None:
    touch(tmp_path, "a.png")
    (tmp_path / "lost.jpg").symlink_to(tmp_path / "gone.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")  # whoever read it would wait for ever
    (tmp_path / "folder.jpg").mkdir()
    lost = tmp_path / "lost.jpg"
    assert pictures.find([tmp_path]) == [tmp_path / "a.png", lost]
    assert pictures.find([lost]) == [lost]
    status = pictures.read(lost, 100)
    assert isinstance(status, status_pb2.Status)
    assert reason_of(status) == "UNREADABLE"
    assert "No such file" in describe(status)
    assert "your user may read it" in describe(status)
    assert pictures.read(tmp_path / "a.png", 100) == b"x"


def test_a_missing_path_is_named(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"nowhere\.png does not exist"):
        pictures.find([tmp_path / "nowhere.png"])


def test_a_folder_without_pictures_says_what_is_looked_for(tmp_path: Path) -> None:
    touch(tmp_path, "notes.txt")
    with pytest.raises(CommandError, match=r"no picture in .*\.jpg"):
        pictures.find([tmp_path])


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("Red Shoe (front)", "red-shoe-front"),
        ("SKU_1234", "sku-1234"),
        ("1234", "o-1234"),
        ("ÄÖ", "o-"),
        ("a" * 80, "a" * 54 + "-"),
    ],
)
def test_ids_come_from_file_names(name: str, made: str) -> None:
    assert pictures.make_id(name).startswith(made)


@given(st.text(max_size=200))
def test_every_id_is_one_that_the_service_accepts(name: str) -> None:
    made = pictures.make_id(name)
    assert ID.match(made)
    assert made == pictures.make_id(name)


@given(st.lists(st.text(alphabet="ab/. -é1", min_size=1, max_size=90), unique=True, max_size=12))
def test_different_files_get_different_ids(names: list[str]) -> None:
    made = pictures.make_ids(names)
    assert len(set(made)) == len(names)
    assert all(ID.match(one) for one in made)
    assert made == pictures.make_ids(names)
