"""pHash is imagehash's own, as a number."""

import imagehash
import numpy as np
import pytest

from models.hashes import bits_apart, phash
from tests.kit.images import draw, jpeg, photo


@pytest.mark.parametrize("name", ["coffee", "camera", "astronaut"])
def test_phash_is_the_number_that_imagehash_prints(name: str) -> None:
    image = photo(name)
    assert f"{phash(np.asarray(image)):016x}" == str(imagehash.phash(image))


def test_phash_has_golden_values() -> None:
    # imagehash 4.3.2 with Pillow 13; a few bits of room for another resampler.
    assert bits_apart(phash(np.asarray(photo("coffee"))), 0xBB8320376C0F3637) <= 4
    assert bits_apart(phash(np.asarray(photo("astronaut"))), 0xC2924C5532BDDFC8) <= 4


def test_a_recompressed_picture_is_near_and_another_is_far() -> None:
    image = draw(1)
    original = phash(np.asarray(image))
    assert bits_apart(original, phash(np.asarray(jpeg(image, 30)))) <= 6
    assert bits_apart(original, phash(np.asarray(draw(2)))) > 12


def test_bits_apart_counts_differing_bits() -> None:
    assert bits_apart(0b1011, 0b0010) == 2
    assert bits_apart(0, 2**64 - 1) == 64
