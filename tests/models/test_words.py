"""Words of key points: small, the same for a mirrored picture, and nearly so for an edited one."""

import json
from importlib import resources

import numpy as np
import pytest
from PIL import Image

from index import points, spaces
from index.points import POINTS as POINTS_NAME
from index.points import PointIndex, PointQuery
from index.spaces import Space
from models import features, layout, words
from models.features import LocalFeatures
from models.words import CODE_BYTES, LEAST, NOWHERE, POINTS, probes, row_of
from tests.kit.images import jpeg, mirror, photo


def of(image: Image.Image, side: int = features.SIDE_PX) -> LocalFeatures:
    return features.detect(layout.grey(np.asarray(image.convert("RGB"))), side)


def taken_apart(row: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return row[: 2 * POINTS].view("<u2"), row[2 * POINTS :].reshape(POINTS, CODE_BYTES)


def test_a_row_holds_points_spread_over_all_and_says_where_there_are_none() -> None:
    many = of(photo("astronaut"))
    assert len(many) > POINTS
    held, _ = taken_apart(row_of(many))
    assert (held != NOWHERE).all()
    few = LocalFeatures(many.points[:20], many.descriptors[:20], many.size)
    held, codes = taken_apart(row_of(few))
    assert (held[:20] != NOWHERE).all() and (held[20:] == NOWHERE).all() and not codes[20:].any()


def test_a_row_is_what_the_index_takes() -> None:
    """Neither of the two folders imports the other, so the form of a row stands in both."""
    space = Space(POINTS_NAME, "points", POINTS)
    row = row_of(of(photo("coffee")))
    assert row.shape == (space.width,) and row.dtype == space.dtype
    assert (CODE_BYTES, NOWHERE) == (spaces.CODE_BYTES, points.NOWHERE)
    index = PointIndex(space, row[None])
    some = of(photo("coffee"))
    held = index.hits(PointQuery(*probes(some)))
    exact = held.points[held.bits == 0]
    assert len(np.unique(exact)) >= 0.9 * min(len(some), POINTS)


def test_too_few_points_say_nothing() -> None:
    some = of(photo("astronaut"))
    few = LocalFeatures(some.points[: LEAST - 1], some.descriptors[: LEAST - 1], some.size)
    assert row_of(few) is None and probes(few) is None


def test_points_of_a_mirrored_picture_have_the_same_words_and_codes() -> None:
    """But for the few whose halves weigh the same."""
    plain = of(photo("coffee"))
    ones, others = (probes(each) for each in (plain, plain.mirrored()))
    same = (ones.words == others.words).all(axis=1) & (ones.codes == others.codes).all(axis=(1, 2))
    assert same.mean() > 0.99


def test_the_first_word_of_a_listing_s_point_is_among_its_probes_with_the_same_code() -> None:
    some = of(photo("coffee"))
    some = LocalFeatures(some.points[:100], some.descriptors[:100], some.size)
    held, codes = taken_apart(row_of(some))
    asked = probes(some)
    assert asked.words.shape == (100, 4) and asked.codes.shape == (100, 4, CODE_BYTES)
    for i in range(100):
        at = asked.words[i].tolist().index(held[i])
        assert np.array_equal(asked.codes[i, at], codes[i])


@pytest.mark.parametrize("edit", [jpeg, mirror, lambda image: image.rotate(20, expand=True)])
def test_points_of_a_copy_are_nearer_than_those_of_another_picture(edit) -> None:  # type: ignore[no-untyped-def]
    held, codes = taken_apart(row_of(of(photo("coffee"))))
    near = []
    for image in (edit(photo("coffee")), photo("chelsea")):
        asked = probes(of(image))
        same = asked.words[:, :, None] == held
        bits = np.bitwise_count(asked.codes[:, :, None] ^ codes).sum(axis=3)
        near.append(float((same & (bits <= 40)).any(axis=(1, 2)).mean()))
    assert near[0] > 4 * near[1] + 0.05


def test_the_bundled_centroids_say_how_they_were_made() -> None:
    assert words.centroids().shape == (2, 256, 64)
    assert np.isfinite(words.centroids()).all()
    with resources.files("models").joinpath("data/words.npz").open("rb") as file:
        about = json.loads(str(np.load(file)["about"]))
    assert about["pictures"] >= 100 and "scripts.make_words" in about["command"]
