"""A folder to evaluate on: what is wrong with it is named, with the remedy."""

from pathlib import Path

import pytest

from scripts.evaluation_data import DataInvalid, load

HEADER = "path,role,original,edits,fidelity,group"


def folder(at: Path, *rows: str, header: str = HEADER) -> Path:
    """A folder with these rows and the files a.jpg and b.jpg."""
    (at / "eval.csv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    for name in ("a.jpg", "b.jpg"):
        (at / name).write_bytes(b"x")
    return at


def test_edits_are_told_apart_and_a_restyle_has_its_kind(tmp_path: Path) -> None:
    rows = ["a.jpg,original,,,,", "b.jpg,copy,a.jpg,crop+text,,"]
    data = load(folder(tmp_path, *rows, "b.jpg,restyled,a.jpg,cartoon: GAN,strong,g1"))
    assert data.registered == ("a.jpg",)
    copy, restyled = data.listings
    assert (copy.edits, copy.group) == (("crop", "text"), "b.jpg")
    assert (restyled.edits, restyled.group) == (("cartoon",), "g1")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["a.jpg,original,,,,", "c.jpg,unrelated,,,,"], "line 3: .*c.jpg is missing"),
        (["a.jpg,original,,,,", "b.jpg,copy,z.jpg,,,"], "line 3: its original 'z.jpg'"),
        (["a.jpg,originl,,,,"], "line 2: role 'originl' is none of original"),
        (["a.jpg,original,,,,"], "rows to ask for"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, rows: list[str], message: str) -> None:
    with pytest.raises(DataInvalid, match=message):
        load(folder(tmp_path, *rows))


def test_a_missing_column_and_a_missing_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataInvalid, match=r"eval.csv is missing; name a folder"):
        load(tmp_path)
    with pytest.raises(DataInvalid, match="has no column fidelity, group; it needs path, role"):
        load(folder(tmp_path, header="path,role,original,edits"))
    with pytest.raises(DataInvalid, match="separated by semicolons"):
        load(folder(tmp_path, header="path;role;original;edits;fidelity;group"))


def test_a_trial_keeps_the_originals_that_its_listings_need(tmp_path: Path) -> None:
    rows = ["a.jpg,original,,,,", "b.jpg,original,,,,"]
    data = load(folder(tmp_path, *rows, *["a.jpg,copy,b.jpg,,,"] * 5)).limited(1)
    assert len(data.listings) == 1
    assert "b.jpg" in data.registered
