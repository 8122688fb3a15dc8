"""Pictures of every shape are laid on each other, pixel on pixel."""

import numpy as np
import pytest

from models.scaling import shrink
from service.matching.alignment import project
from service.matching.laid import settle
from tests.kit.images import photo

MOST_OFF_PX = 1.0


@pytest.mark.parametrize("upright", [False, True])
@pytest.mark.parametrize(
    "size", [(40, 6), (96, 10), (96, 25), (176, 16), (600, 36), (1200, 100), (300, 200)]
)
def test_a_picture_of_any_shape_is_laid_on_itself_from_nearby(
    size: tuple[int, int], upright: bool
) -> None:
    """Of banners and wordmarks the flow once ended the process."""
    width, height = size
    banner = np.asarray(photo("coffee").convert("RGB"))[150:350]
    original = shrink(np.ascontiguousarray(banner), (width, height))
    original = np.ascontiguousarray(original.transpose(1, 0, 2)) if upright else original
    nearby = np.array([[1.0, 0, 0.008], [0, 1.0, -0.01], [0, 0, 1.0]])
    found = settle(original, original, nearby)
    corners = np.array([[0.1, 0.1], [0.9, 0.1], [0.9, 0.9], [0.1, 0.9]])
    h, w = original.shape[:2]
    off = np.abs((project(corners, found.matrix) - corners) * [w, h])
    before = np.abs((project(corners, nearby) - corners) * [w, h])
    assert found.inside.any()
    assert off.max() <= max(MOST_OFF_PX * max(w, h) / 176, before.max())
