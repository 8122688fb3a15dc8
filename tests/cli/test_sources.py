"""Reading folders, CSV files and archives for an import."""

import io
import tarfile
from pathlib import Path

import pytest

from service.cli.failure import CommandError
from service.cli.sources import Broken, Item, count_items, read_source


def write(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())


def items(source: Path, brand: str | None = None) -> list[Item]:
    read = list(read_source(source, brand))
    assert all(isinstance(item, Item) for item in read)
    return [item for item in read if isinstance(item, Item)]


def test_a_folder_names_brands_by_its_first_folders(tmp_path: Path) -> None:
    write(tmp_path, "Acme Shoes/red.png", "acme-bags/deep/red.png")
    read = items(tmp_path)
    assert [(item.brand, item.original) for item in read][0] == ("acme-shoes", "red")
    assert read[1].brand == "acme-bags"
    assert read[1].original.startswith("red-")
    assert read[0].read() == b"Acme Shoes/red.png"
    assert count_items(tmp_path) == 2


def test_a_folder_without_folders_asks_for_the_brand(tmp_path: Path) -> None:
    write(tmp_path, "red.png")
    with pytest.raises(CommandError, match="which brand red.png belongs to: give --brand"):
        list(read_source(tmp_path, None))
    assert items(tmp_path, "acme")[0].brand == "acme"


def test_a_csv_gives_ids_names_and_annotations(tmp_path: Path) -> None:
    write(tmp_path, "pictures/a.png", "pictures/b.png")
    table = tmp_path / "list.csv"
    table.write_text(
        "path,brand,id,display_name,sku\n"
        "pictures/a.png,acme,first,The first,12\n"
        "pictures/b.png,acme,,,\n",
        encoding="utf-8",
    )
    first, second = items(table)
    assert (first.original, first.display_name, first.annotations) == (
        "first",
        "The first",
        {"sku": "12"},
    )
    assert (second.original, second.display_name, second.annotations) == (
        "b",
        "pictures/b.png",
        {},
    )
    assert count_items(table) == 2


def test_rows_of_a_csv_that_lead_nowhere_are_failures_of_their_own(tmp_path: Path) -> None:
    write(tmp_path, "a.png")
    table = tmp_path / "list.csv"
    table.write_text("path,brand\na.png,acme\nmissing.png,acme\n,acme\na.png,\n", encoding="utf-8")
    read = list(read_source(table, None))
    assert isinstance(read[0], Item)
    assert [item.message for item in read[1:] if isinstance(item, Broken)] == [
        "no such file (named in list.csv:3)",
        "the row has no path",
        "the row has no brand",
    ]


@pytest.mark.parametrize(
    ("header", "complaint"),
    [
        ("file,brand", "no column 'path', its columns are file, brand: its first line"),
        ("path;brand", "no column 'path', its columns are separated by semicolons"),
        ("path,id", "no column 'brand', its columns are path, id: add it"),
    ],
)
def test_a_csv_without_its_columns_is_refused(tmp_path: Path, header: str, complaint: str) -> None:
    table = tmp_path / "list.csv"
    table.write_text(f"{header}\n", encoding="utf-8")
    with pytest.raises(CommandError, match=complaint):
        list(read_source(table, None))


@pytest.mark.parametrize("suffix", ["tar", "tar.gz", "tar.xz"])
def test_an_archive_is_read_in_any_compression(tmp_path: Path, suffix: str) -> None:
    archive = tmp_path / f"pictures.{suffix}"
    mode = {"tar": "w", "tar.gz": "w:gz", "tar.xz": "w:xz"}[suffix]
    with tarfile.open(archive, mode) as file:  # type: ignore[call-overload]
        for name in ("./acme/a.png", "acme/notes.txt", "acme/deep/a.png"):
            info = tarfile.TarInfo(name)
            info.size = len(name)
            file.addfile(info, io.BytesIO(name.encode()))
    read = items(archive)
    assert [(item.name, item.brand, item.original) for item in read] == [
        ("acme/a.png", "acme", "a"),
        ("acme/deep/a.png", "acme", "a-2"),
    ]
    # Each item holds its own bytes, whatever was read after it.
    assert [item.read() for item in read] == [b"./acme/a.png", b"acme/deep/a.png"]


def test_an_archive_that_breaks_off_is_a_failure_and_what_came_before_is_kept(
    tmp_path: Path,
) -> None:
    archive = tmp_path / "pictures.tar"
    with tarfile.open(archive, "w") as file:
        for name in ("a.png", "b.png"):
            info = tarfile.TarInfo(name)
            info.size = 4000
            file.addfile(info, io.BytesIO(b"x" * 4000))
    archive.write_bytes(archive.read_bytes()[:6000])
    read = list(read_source(archive, "acme"))
    assert isinstance(read[0], Item)
    assert isinstance(read[-1], Broken)
    assert "breaks off" in read[-1].message


def test_what_is_no_source_is_refused_by_name(tmp_path: Path) -> None:
    write(tmp_path, "a.png")
    with pytest.raises(CommandError, match="neither a folder nor a CSV"):
        read_source(tmp_path / "a.png", "acme")
    with pytest.raises(CommandError, match="does not exist"):
        read_source(tmp_path / "nothing", "acme")
