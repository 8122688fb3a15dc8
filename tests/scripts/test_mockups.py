"""Templates are used the same way each time, and counted by the original that was copied."""

from collections import Counter
from pathlib import Path

import pytest

from scripts.collect import BRAND, registered
from scripts.evaluate_mockups import MADE, NO_COPIES, OTHERS, WAYS, Asked, count, edits, made
from scripts.evaluation_data import Data, DataInvalid, load
from service.matching.pipeline import Matcher
from service.registry import Registry, Submission
from tests.kit.images import encode, photo

ORIGINALS = ("chelsea", "rocket", "astronaut", "motorcycle", "brick")
ROWS = (
    "path,role,original,edits,fidelity,group",
    *(f"{name}.png,original,,,," for name in ORIGINALS),
    "coffee.png,unrelated,,,,",
)


@pytest.fixture
def data(tmp_path: Path) -> Data:
    for name in (*ORIGINALS, "coffee"):
        (tmp_path / f"{name}.png").write_bytes(encode(photo(name), "PNG"))
    (tmp_path / "eval.csv").write_text("\n".join(ROWS) + "\n", encoding="utf-8")
    return load(tmp_path)


def test_each_way_makes_originals_their_copies_and_others(data: Data) -> None:
    originals, asked = made(data, 5)
    assert (originals, asked) == made(data, 5)
    assert len(originals) == MADE * len(WAYS) and len(set(originals.values())) == len(originals)
    others = [each for each in asked if each.what.startswith("another")]
    assert len(others) == OTHERS * len(WAYS)
    assert len(asked) - len(others) == len(originals) * len(edits(photo("coffee")))
    for each in asked:
        assert each.siblings <= originals.keys() and each.original not in each.siblings
        assert len(each.siblings) == MADE - bool(each.original)
        assert bool(each.original) == (each.what not in NO_COPIES)


def test_what_is_answered_is_counted_for_the_original_and_for_its_siblings(data: Data) -> None:
    originals, asked = made(data, 1)
    chosen = [each for each in asked if each.what in ("design: reduced", "another design")]
    with registered(data, "sscd_distilled") as (catalogue, printer, pool):
        registry = Registry(catalogue, printer)
        for name, image in originals.items():
            registry.register(Submission(BRAND, name, image))
        counts = count(Matcher(catalogue, printer), chosen, pool)
        blank = Asked("nothing", encode(photo("text")), "", frozenset(originals))
        assert count(Matcher(catalogue, printer), [blank], pool) == {
            "nothing": Counter({"asked": 1, "sibling CLEAR": 1})
        }
    copies, others = counts["design: reduced"], counts["another design"]
    assert copies["own COPY"] == copies["asked"] == MADE
    assert others["asked"] == OTHERS and not any(what.startswith("own") for what in others)
    for found in (copies, others):
        told = sum(n for what, n in found.items() if what.startswith("sibling"))
        assert told == found["asked"]


def test_a_folder_without_templates_is_refused(data: Data, tmp_path: Path) -> None:
    (tmp_path / "eval.csv").write_text(
        "\n".join(row for row in ROWS if ",unrelated," not in row)
        + "\ncoffee.png,copy,brick.png,,,\n",
        encoding="utf-8",
    )
    with pytest.raises(DataInvalid, match="role unrelated"):
        made(load(tmp_path), 5)
