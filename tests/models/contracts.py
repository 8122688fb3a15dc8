"""What every encoder must do, as one function that each implementation's tests call."""

from collections.abc import Callable

import numpy as np

from models.encoders import Encoder
from tests.kit.images import draw, jpeg, resize


def encoder_contract(make: Callable[[], Encoder], *, copy_cosine: float = 0.7) -> None:
    """Check an encoder against the promises of `models.encoders.Encoder`.

    Args:
        make: builds the encoder; called twice.
        copy_cosine: floor for the cosine of a picture and its recompressed half-size copy.
    """
    encoder, twin = make(), make()
    info = encoder.info
    assert info == twin.info, "building it twice gives the same identity"
    assert info.dimension >= 1
    assert len(bytes.fromhex(info.weights_sha256)) == 32
    assert info.id == f"{info.name}@{info.weights_sha256[:8]}"

    pictures = [np.asarray(draw(seed, size)) for seed, size in enumerate(SIZES)]
    before = [picture.copy() for picture in pictures]
    rows = [encoder.prepare(picture) for picture in pictures]
    for picture, copy in zip(pictures, before, strict=True):
        np.testing.assert_array_equal(picture, copy, "prepare leaves the pixels alone")
    assert len({row.shape for row in rows}) == 1, "pictures of any size make rows of one shape"

    batch = np.stack(rows)
    batch_before = batch.copy()
    vectors = encoder.encode(batch)
    np.testing.assert_array_equal(batch, batch_before, "encode leaves the batch alone")
    assert vectors.dtype == np.float32
    assert vectors.shape == (len(rows), info.dimension)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-3)

    singly = np.concatenate([encoder.encode(row[None]) for row in rows])
    np.testing.assert_allclose(singly, vectors, atol=1e-4, err_msg="a row owes nothing to others")
    np.testing.assert_allclose(twin.encode(batch), vectors, atol=1e-5, err_msg="same weights")
    mixed = encoder.encode(batch[::-1].copy())[::-1]
    np.testing.assert_allclose(mixed, vectors, atol=1e-4, err_msg="rows keep their order")

    for blank in (0, 255):
        row = encoder.prepare(np.full((200, 300, 3), blank, np.uint8))
        length = float(np.linalg.norm(encoder.encode(row[None])))
        assert abs(length - 1.0) < 1e-3, "a blank picture has a unit vector, too"

    copies = [np.asarray(jpeg(resize(draw(seed, size)), 60)) for seed, size in enumerate(SIZES)]
    of_copies = encoder.encode(np.stack([encoder.prepare(copy) for copy in copies]))
    cosines = vectors @ of_copies.T
    assert np.diag(cosines).min() >= copy_cosine, "a copy is near its original"
    assert (cosines.argmax(axis=1) == np.arange(len(SIZES))).all(), "and nearer than to others"


SIZES = [(320, 240), (333, 517), (200, 200), (900, 300), (640, 640)]
