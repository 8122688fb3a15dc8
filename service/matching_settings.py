"""The settings of how pictures are looked at, a part of those of a server (`service.config`)."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field
from pydantic_settings import BaseSettings

from service.cores import cores


class MatchingSettings(BaseSettings):
    """What can be set about encoders, the score and where pictures are looked at."""

    encoder: Literal["sscd", "sscd_distilled", "toy"] = Field(
        "sscd_distilled",
        description="Copy descriptor. `sscd` finds more, `sscd_distilled` takes a quarter of the "
        "time; `toy` is for tests. An index belongs to one of them: changing it needs a new "
        "`data_dir`.",
    )
    encoder_threads: Annotated[int, Field(ge=0, le=256)] = Field(
        0,
        description="Threads of one forward pass of the copy descriptor, of which as many run at "
        "once as there are cores for them; 0 is one, with which most pictures a second are "
        "checked. CLIP takes one for each core at 0.",
    )
    batch_size: Annotated[int, Field(ge=1, le=256)] = Field(
        8, description="Most pictures in one forward pass."
    )
    batch_wait_ms: Annotated[float, Field(ge=0, le=1000)] = Field(
        0.0,
        description="Milliseconds that a picture waits for others to share a forward pass: 0 on a "
        "CPU, where batches gather while a pass runs; a few pay on a GPU.",
    )
    clip: Literal["auto", "required", "off"] = Field(
        "auto",
        description="CLIP beside the copy descriptor: `auto` uses it when it is installed and "
        "its weights can be had, `required` refuses to start without it, `off` never does.",
    )
    clip_model: str = Field(
        "ViT-B-32",
        description="Name of an open_clip architecture; or `hf-hub:org/name` or "
        "`local-dir:/path`, which bring their own weights.",
    )
    clip_pretrained: str = Field(
        "laion2b_s34b_b79k",
        description="Tag of pretrained weights that open_clip knows; it downloads them once.",
    )
    clip_weights: Path | None = Field(
        None, description="Checkpoint file to load instead of `clip_pretrained`; needs no network."
    )
    clip_device: str = Field(
        "auto", description="Where CLIP runs: `auto` (a GPU when there is one), `cpu`, `cuda:0`."
    )
    clip_download_s: Annotated[float, Field(ge=0, le=86_400)] = Field(
        900.0,
        description="Seconds that fetching CLIP's weights may take at start, before CLIP counts as "
        "not to be had; the server is not ready meanwhile. 0 never fetches.",
    )

    key_points: Literal["thorough", "always"] = Field(
        "thorough",
        description="Which checks look up key points too, which finds what is pasted small or "
        "turned, or cut from a tenth of its original: `thorough` ones, or `always`, which takes "
        "half as much again on listings that copy nothing.",
    )
    policy: Literal["strict", "balanced", "recall"] = Field(
        "balanced",
        description="Policy of a request that names none: `strict` has few false alarms, `recall` "
        "few misses.",
    )
    calibration: Path | None = Field(
        None,
        description="JSON file of `copycatch calibrate`: your own calibration of the score, and "
        "policies that hold the precision they are named by; made for one score model and encoder.",
    )
    score_model: Path | None = Field(
        None,
        description="JSON file of `scripts/fit.py` to score with instead of the model that comes "
        "with this version.",
    )

    matching: Literal["processes", "threads"] = Field(
        "processes",
        description="Where pictures are looked at: in `processes` of their own, which Python's "
        "interpreter lock does not hold up, or in `threads` of the server, which take less memory "
        "and check fewer pictures a second.",
    )
    matching_processes: Annotated[int, Field(ge=0, le=256)] = Field(
        0,
        description="Number of these processes; 0 is one more than the cores. Sweeps leave "
        "one of them to calls.",
    )

    @property
    def clip_name(self) -> str:
        """The three settings about CLIP's weights in the one spelling of `models.weights`."""
        if self.clip_model.startswith(("hf-hub:", "local-dir:")):
            return self.clip_model
        if self.clip_weights is not None:
            return f"{self.clip_model}:{self.clip_weights}"
        return f"{self.clip_model}/{self.clip_pretrained}"

    @property
    def processes(self) -> int:
        """Number of processes that look at pictures; 0 when the server's threads do."""
        return 0 if self.matching == "threads" else self.matching_processes or cores() + 1

    @property
    def threads_of_pass(self) -> int:
        """Number of threads that `encoder_threads` stands for, of the copy descriptor.

        A second thread makes a pass of `sscd_distilled` take as long as before, on more cores, and
        one of `sscd` a third less, which a caller alone does not notice beside all else.
        """
        return self.encoder_threads or 1

    @property
    def passes_at_once(self) -> int:
        """Number of passes of the copy descriptor that the cores have room for."""
        return max(1, cores() // self.threads_of_pass)
