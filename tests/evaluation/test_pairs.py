"""A file of labelled pairs: how it is read, and what is wrong with it is named."""

from pathlib import Path

import pytest

from service.evaluation.pairs import LabelsInvalid, digest_of, read_pairs

HEADER = "listing,original,label"


def labels(folder: Path, *rows: str, header: str = HEADER) -> Path:
    """A file of labels beside the pictures a.jpg, b.jpg and originals/o.png."""
    (folder / "originals").mkdir(exist_ok=True)
    for name in ("a.jpg", "b.jpg", "originals/o.png"):
        (folder / name).write_bytes(name.encode())
    path = folder / "labels.csv"
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8-sig")
    return path


def test_an_original_is_a_file_or_a_name_or_none(tmp_path: Path) -> None:
    pairs = read_pairs(
        labels(
            tmp_path,
            "a.jpg,originals/o.png,copy",
            "a.jpg,acme/cup,same_product",
            "a.jpg,brands/acme/originals/mug,unrelated",
            "b.jpg,,unrelated",
        )
    )
    assert [pair.original for pair in pairs] == [
        tmp_path / "originals/o.png",
        "brands/acme/originals/cup",
        "brands/acme/originals/mug",
        None,
    ]
    assert [pair.is_copy for pair in pairs] == [True, False, False, False]
    assert [pair.line for pair in pairs] == [2, 3, 4, 5]


def test_edits_are_told_apart_and_a_restyle_is_strong_unless_it_says_otherwise(
    tmp_path: Path,
) -> None:
    header = f"{HEADER},edits,fidelity,group"
    copy, drawn, weak = read_pairs(
        labels(
            tmp_path,
            "a.jpg,acme/cup,copy,crop+ text,,cups",
            "b.jpg,acme/cup,restyled,cartoon: GAN,,",
            "b.jpg,acme/mug,restyled,cartoon,weak,",
            header=header,
        )
    )
    assert (copy.edits, copy.fidelity, copy.group) == (("crop", "text"), "", "cups")
    assert (drawn.edits, drawn.fidelity) == (("cartoon",), "strong")
    assert weak.fidelity == "weak"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["c.jpg,,unrelated"], r"line 2: the listing 'c\.jpg' is no file"),
        ([",,unrelated"], "line 2: the listing '' is no file"),
        (["a.jpg,,fake"], "label 'fake' is none of copy, restyled, same_product, unrelated"),
        (["a.jpg,,copy"], "line 2: a copy needs its original"),
        (["a.jpg,missing/file.png,copy"], r"original 'missing/file\.png' is neither a file"),
        (["a.jpg,o,copy,extra,more"], "neither a file beside it nor a name like brand/original"),
        (
            ["a.jpg,acme/cup,copy", "a.jpg,brands/acme/originals/cup,same_product"],
            "line 2 says copy and line 3 says same_product of one pair",
        ),
        (["a.jpg,acme/cup,copy", "a.jpg,,unrelated"], "line 3 says that .* copies nothing, line 2"),
        ([], "has no rows"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, rows: list[str], message: str) -> None:
    with pytest.raises(LabelsInvalid, match=message):
        read_pairs(labels(tmp_path, *rows))


def test_everything_that_is_wrong_is_said_at_once_up_to_ten(tmp_path: Path) -> None:
    with pytest.raises(LabelsInvalid) as caught:
        read_pairs(labels(tmp_path, *["a.jpg,,fake"] * 14))
    assert len(str(caught.value).splitlines()) == 11
    assert "and 4 more" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"listing,label\n", "has no column original; it needs listing, original, label"),
        (b"listing,tag\n", "; its columns are listing, tag$"),
        (b"", "has no column listing, original, label.*its columns are none"),
        (b"listing;original;label\n", "separated by semicolons, and have to be by commas"),
        (b"listing\toriginal\tlabel\n", "separated by tabs, and have to be by commas"),
        (b"listing,original,label\n\xff\xfe,,copy\n", "no CSV in UTF-8"),
    ],
)
def test_what_is_no_such_table_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "labels.csv"
    path.write_bytes(content)
    with pytest.raises(LabelsInvalid, match=message):
        read_pairs(path)
    with pytest.raises(LabelsInvalid, match="no file; name a CSV"):
        read_pairs(tmp_path)


def test_the_digest_tells_other_labels_and_other_pictures(tmp_path: Path) -> None:
    path = labels(tmp_path, "a.jpg,originals/o.png,copy")
    first = digest_of(path, read_pairs(path))
    assert first == digest_of(path, read_pairs(path))
    (tmp_path / "originals/o.png").write_bytes(b"another")
    second = digest_of(path, read_pairs(path))
    labels(tmp_path, "a.jpg,originals/o.png,restyled")
    assert len({first, second, digest_of(path, read_pairs(path))}) == 3
