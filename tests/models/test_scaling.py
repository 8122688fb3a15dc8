"""Reducing pictures: as by area, whatever the factor."""

import cv2
import numpy as np
import pytest

from models.scaling import shrink, shrink_to
from tests.kit.images import photo


@pytest.mark.parametrize("size", [(300, 200), (299, 201), (150, 100), (97, 61), (13, 8), (1, 1)])
def test_a_picture_is_reduced_as_by_area(size: tuple[int, int]) -> None:
    picture = np.asarray(photo("coffee"))
    expected = cv2.resize(picture, size, interpolation=cv2.INTER_AREA).astype(np.int16)
    found = shrink(picture, size)
    assert found.shape == (size[1], size[0], 3) and found.dtype == np.uint8
    assert np.abs(found - expected).mean() < 1.0


def test_no_fine_pattern_is_left_that_the_smaller_picture_can_not_show() -> None:
    stripes = np.tile(np.array([0, 255], np.uint8), (400, 200))
    for side in (399, 300, 201, 150, 90):
        found = shrink_to(stripes, side)
        # What is left of it is a beat of the two grids, which area leaves too.
        area = cv2.resize(stripes, found.shape[::-1], interpolation=cv2.INTER_AREA)
        assert found.std() <= area.std() + 8


def test_a_picture_that_is_small_enough_is_left_alone() -> None:
    picture = np.asarray(photo("coffee"))
    assert shrink_to(picture, max(picture.shape)) is picture
    assert shrink(picture, picture.shape[1::-1]) is picture
    assert shrink_to(picture[..., 0].copy(), 100).shape == (67, 100)
