"""Whether two fields agree at this very place, and nowhere else.

A matched filter over the whole picture: exact agreement of faint edges, summed up, stands out
even where a painted texture hides each of them; a similar product, whose edges come only near,
does not. Phase correlation (Kuglin and Hines 1975), half whitened.

Pure functions of their arguments: any thread may call them.
"""

from functools import lru_cache

import numpy as np
from scipy import fft

from models.layout import FloatArray
from service.matching.poses import BoolArray


def stands_out(
    ours: FloatArray, theirs: FloatArray, near: int, ring: tuple[int, int]
) -> tuple[float, ...]:
    """How far the correlation of two fields at no shift stands out from that at others.

    Half whitened, so that fine edges weigh nearly as much as broad ones.

    Args:
        ours: shape (2, n, n).
        theirs: shape (m, 2, n, n).
        near: greatest shift, in pixels, that counts as none.
        ring: least and greatest shift of the others.

    Returns:
        For each of theirs, standard deviations of the values at the shifts in the ring.
    """
    n = ours.shape[-1]
    a, b = fft.rfft2(ours), fft.rfft2(theirs)
    product = (np.conj(a) * b).sum(axis=1)
    power = (np.abs(a) ** 2).sum(axis=0) * (np.abs(b) ** 2).sum(axis=1)
    surface = fft.irfft2(product / np.maximum(power, 1e-6) ** 0.25, (n, n))
    at_none, others = _shift_masks(n, near, ring)
    found = []
    for each in surface:
        rest = each[others]
        found.append(float((each[at_none].max() - rest.mean()) / (rest.std() + 1e-6)))
    return tuple(found)


@lru_cache(maxsize=4)
def _shift_masks(n: int, near: int, ring: tuple[int, int]) -> tuple[BoolArray, BoolArray]:
    along = np.abs(fft.fftfreq(n) * n)
    shift = np.maximum(along[:, None], along[None])
    return shift <= near, (shift > ring[0]) & (shift <= ring[1])
