"""CLIP through open_clip, on a GPU when there is one; the one module that imports it and torch.

What a picture means, beside SSCD's how it looks: CLIP proposes candidates whose pixels were
drawn anew, and never decides. It is optional, and says so: `choose` returns either an encoder
or the reason why there is none.

The picture is squashed or padded to the model's square. open_clip's own transform would cut
the edges off, and a copy is often at an edge. Only the image tower is kept.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from PIL import Image

from models.encoders import (
    EncoderInfo,
    EncoderUnavailable,
    FloatArray,
    Row,
    UInt8Array,
    digest_file,
    to_unit,
)
from models.weights import (
    CHECKPOINTS,
    CONFIG,
    DEFAULT_MODEL,
    ModelName,
    checkpoint_in,
    hub_file,
    parse_model,
)

if TYPE_CHECKING:
    import torch

Setting = Literal["auto", "required", "off"]
Fit = Literal["squash", "pad"]

_RESAMPLING = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}


@dataclass(frozen=True, slots=True)
class Clip:
    """Whether CLIP runs, and if not, why.

    Attributes:
        encoder: what runs, None when CLIP is off.
        reason: why it is off, a sentence with what to do; empty when it runs.
    """

    encoder: ClipEncoder | None
    reason: str = ""

    def __str__(self) -> str:
        if self.encoder is None:
            return f"off ({self.reason})"
        return f"{self.encoder.info.id} on {self.encoder.info.device}"


def choose(
    setting: Setting,
    model: str = DEFAULT_MODEL,
    *,
    device: str = "auto",
    fit: Fit = "squash",
    threads: int = 0,
    download_timeout_s: float = 900.0,
) -> Clip:
    """Load CLIP as the configuration asks.

    Args:
        setting: "required" raises when CLIP can not run, "auto" says why, "off" does not try.
        model: in one of the spellings of `models.weights`.
        device: as for `ClipEncoder`, like the rest.

    Raises:
        EncoderUnavailable: required, and can not run.
    """
    if setting == "off":
        return Clip(None, "it is switched off in the configuration")
    try:
        encoder = ClipEncoder(
            model,
            device=device,
            fit=fit,
            threads=threads,
            download_timeout_s=download_timeout_s,
        )
    except EncoderUnavailable as error:
        if setting == "required":
            raise
        return Clip(None, error.detail)
    return Clip(encoder)


class ClipEncoder:
    """The image tower of any model that open_clip knows."""

    def __init__(
        self,
        model: str = DEFAULT_MODEL,
        *,
        device: str = "auto",
        fit: Fit = "squash",
        threads: int = 0,
        download_timeout_s: float = 900.0,
    ) -> None:
        """Find the weights, load them, and encode one blank picture.

        Args:
            model: in one of the spellings of `models.weights`.
            device: "auto" (a GPU when torch sees one), or a device of torch ("cpu", "cuda:1").
            fit: "squash" to the model's square, or "pad" with the mean colour.
            threads: cores of torch, for the whole process; 0 leaves them alone.
            download_timeout_s: the longest that fetching weights may take; 0 never fetches.

        Raises:
            EncoderUnavailable: the package, the model, the weights or the device are missing
                or do not fit each other.
        """
        name = parse_model(model)
        torch, open_clip = _import(name.encoder)
        if threads > 0:
            torch.set_num_threads(threads)
        self._device = _device(name.encoder, device, torch)
        path, options = _locate(name, open_clip, download_timeout_s)
        try:
            whole = open_clip.create_model(**options, require_pretrained=True, device="cpu")
            self._tower = whole.visual.eval().to(self._device)
        except Exception as error:  # torch and open_clip raise whatever comes
            words = " ".join(str(error).split())[:300]
            raise EncoderUnavailable(
                name.encoder, f"{path} does not load as {name.text} ({words})."
            ) from error
        settings: dict[str, Any] = self._tower.preprocess_cfg
        size = settings["size"]
        self._size = (size, size) if isinstance(size, int) else (size[1], size[0])
        self._mean = torch.tensor(settings["mean"], device=self._device).view(1, 3, 1, 1) * 255
        self._deviation = torch.tensor(settings["std"], device=self._device).view(1, 3, 1, 1) * 255
        self._ground = tuple(round(255 * level) for level in settings["mean"])
        resampling = settings.get("interpolation", "bicubic")
        self._resampling = _RESAMPLING.get(resampling, Image.Resampling.BICUBIC)
        self._fit = fit
        self._torch = torch
        self._checkpoint_sha256 = digest_file(path)
        decisive = {
            "checkpoint": self._checkpoint_sha256,
            "quick_gelu": bool(options.get("quick_gelu", False)),
            "mean": list(settings["mean"]),
            "std": list(settings["std"]),
        }
        described = (
            f"uint8 RGB {self._size[0]} x {self._size[1]}, "
            f"Pillow {self._resampling.name.lower()}, {fit}"
        )
        blank = np.full((1, self._size[1], self._size[0], 3), 127, np.uint8)
        self._info = EncoderInfo(
            name=name.encoder,
            dimension=self._forward(blank).shape[1],
            weights_sha256=_digest({**decisive, "input": described}),
            device=str(self._device),
            input=described,
        )

    @property
    def info(self) -> EncoderInfo:
        """Who this is; the digest covers the checkpoint and how pictures are made ready."""
        return self._info

    @property
    def checkpoint_sha256(self) -> str:
        """SHA-256 of the checkpoint file alone, as `sha256sum` prints it."""
        return self._checkpoint_sha256

    def prepare(self, rgb: UInt8Array) -> Row:
        image = Image.fromarray(rgb)
        if self._fit == "squash":
            return np.asarray(image.resize(self._size, self._resampling))
        scale = min(self._size[0] / image.width, self._size[1] / image.height)
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        ground = Image.new("RGB", self._size, self._ground)
        place = ((self._size[0] - size[0]) // 2, (self._size[1] - size[1]) // 2)
        ground.paste(image.resize(size, self._resampling), place)
        return np.asarray(ground)

    def encode(self, batch: Row) -> FloatArray:
        return to_unit(self._forward(batch))

    def _forward(self, batch: Row) -> FloatArray:
        torch = self._torch
        with torch.inference_mode():
            pixels = torch.from_numpy(np.array(batch)).to(self._device)
            pixels = (pixels.permute(0, 3, 1, 2).float() - self._mean) / self._deviation
            answer = self._tower(pixels)
            pooled = answer[0] if isinstance(answer, tuple) else answer  # CoCa adds its tokens
            vectors: FloatArray = pooled.float().cpu().numpy()
            return vectors


def _digest(decisive: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()


def _import(encoder: str) -> tuple[Any, Any]:
    """Import torch and open_clip, or say what is missing."""
    try:
        import open_clip
        import torch
    except ModuleNotFoundError as error:
        if error.name in ("open_clip", "torch"):
            detail = (
                "open_clip is not installed; install it with `pip install -e '.[clip]'` (`uv pip` "
                "where uv made the environment) in the project's folder."
            )
            raise EncoderUnavailable(encoder, detail) from error
        raise EncoderUnavailable(encoder, f"open_clip can not be imported ({error}).") from error
    except (ImportError, OSError) as error:
        raise EncoderUnavailable(encoder, f"open_clip can not be imported ({error}).") from error
    return torch, open_clip


def _device(encoder: str, wanted: str, torch: Any) -> torch.device:
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(wanted)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        words = str(error).splitlines()[0][:200]
        detail = f"there is no device {wanted!r} ({words}); use auto or cpu."
        raise EncoderUnavailable(encoder, detail) from error
    return device


def _locate(name: ModelName, open_clip: Any, timeout_s: float) -> tuple[Path, dict[str, Any]]:
    """Return the checkpoint and what `open_clip.create_model` is to be told."""
    encoder = name.encoder
    if name.hub:
        config = hub_file(name.hub, (CONFIG,), encoder, timeout_s)
        hub_file(name.hub, CHECKPOINTS, encoder, timeout_s)
        path = checkpoint_in(config.parent, encoder)
        return path, {"model_name": f"local-dir:{config.parent}"}
    if name.folder is not None:
        return checkpoint_in(name.folder, encoder), {"model_name": f"local-dir:{name.folder}"}
    known = open_clip.list_models()
    if name.architecture not in known:
        near = get_close_matches(name.architecture, known, 5, 0.3) or known[:5]
        raise EncoderUnavailable(
            encoder,
            f"open_clip knows no architecture {name.architecture!r}, but {', '.join(near)}...",
        )
    if name.file is not None:
        if not name.file.is_file():
            raise EncoderUnavailable(encoder, f"there is no file {name.file}.")
        return name.file, {"model_name": name.architecture, "pretrained": str(name.file)}
    tag = open_clip.get_pretrained_cfg(name.architecture, name.tag)
    if not tag:
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(name.architecture)) or "no tag"
        raise EncoderUnavailable(
            encoder, f"{name.architecture} has no pretrained tag {name.tag!r}; it has {tags}."
        )
    repository, _, file = tag["hf_hub"].rpartition("/")
    names = (Path(file).with_suffix(".safetensors").name, file) if file else CHECKPOINTS
    path = hub_file(repository, names, encoder, timeout_s)
    options: dict[str, Any] = {"model_name": name.architecture, "pretrained": str(path)}
    # What the tag says of its training goes with it; open_clip only warns when it differs.
    options["quick_gelu"] = bool(tag.get("quick_gelu", False))
    fields = ("mean", "std", "interpolation")
    options["force_preprocess_cfg"] = {k: tag[k] for k in fields if tag.get(k) is not None}
    return path, options
