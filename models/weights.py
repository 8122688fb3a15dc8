"""Which CLIP model is meant, and where its weights are: on disk, in the cache, or to be fetched.

Four spellings, told apart by what they look like:

| spelling | weights |
|---|---|
| `ViT-B-32/laion2b_s34b_b79k` | an architecture and a pretrained tag of open_clip |
| `ViT-B-32:/models/mine.safetensors` | an architecture and a checkpoint file |
| `hf-hub:org/name` | an open_clip model of the Hugging Face Hub |
| `local-dir:/models/name` | a folder with `open_clip_config.json` and a checkpoint |

The cache is asked first and without the network. A download runs in a process of its own, so
that its time is bounded; it is not tried when an environment variable says offline.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from models.encoders import EncoderUnavailable

DEFAULT_MODEL = "ViT-B-32/laion2b_s34b_b79k"
ENVIRONMENT = "COPYCATCH_CLIP_WEIGHTS"
"""Names a checkpoint file of a ViT-B-32, or a model in one of the spellings."""
OFFLINE_VARIABLES = ("COPYCATCH_OFFLINE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
CHECKPOINTS = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
    "open_clip_pytorch_model.pth",
)
"""File names of a checkpoint, in the order in which open_clip prefers them."""
CONFIG = "open_clip_config.json"


class WeightsNotFetched(EncoderUnavailable):
    """The weights are not in the local cache, and were not to be fetched now."""

    reason: ClassVar[str] = "WEIGHTS_NOT_FETCHED"


@dataclass(frozen=True, slots=True)
class ModelName:
    """One of the four spellings, taken apart.

    Attributes:
        text: as it was written.
        architecture: name in open_clip; empty for a hub model or a folder.
        tag: pretrained tag, or empty.
        file: checkpoint file, or None.
        hub: repository of the Hugging Face Hub, or empty.
        folder: local folder, or None.
    """

    text: str
    architecture: str = ""
    tag: str = ""
    file: Path | None = None
    hub: str = ""
    folder: Path | None = None

    @property
    def encoder(self) -> str:
        """The encoder's name, e.g. "clip-ViT-B-32"."""
        folder = self.folder.name if self.folder is not None else ""
        return f"clip-{self.architecture or self.hub.rpartition('/')[2] or folder}"


def parse_model(text: str) -> ModelName:
    """Take a spelling apart.

    Raises:
        EncoderUnavailable: it is none of the four.
    """
    text = text.strip()
    schema, _, rest = text.partition(":")
    if schema == "hf-hub" and rest.count("/") == 1 and all(rest.split("/")):
        return ModelName(text, hub=rest)
    if schema == "local-dir" and rest:
        return ModelName(text, folder=Path(rest).expanduser())
    if rest and schema not in ("hf-hub", "local-dir"):
        return ModelName(text, architecture=schema, file=Path(rest).expanduser())
    architecture, _, tag = text.rpartition("/")
    if architecture and tag and ":" not in text:
        return ModelName(text, architecture=architecture.replace("/", "-"), tag=tag)
    raise EncoderUnavailable(
        "clip",
        f"{text!r} names no model and weights; write ARCHITECTURE/TAG ({DEFAULT_MODEL}), "
        "ARCHITECTURE:/path/to/checkpoint, hf-hub:org/name or local-dir:/path.",
    )


def from_environment() -> str | None:
    """Return the model that `COPYCATCH_CLIP_WEIGHTS` names, None when it is not set."""
    value = os.environ.get(ENVIRONMENT, "").strip()
    if not value:
        return None
    return f"ViT-B-32:{value}" if Path(value).is_file() else value


def offline() -> str | None:
    """Return the environment variable that forbids downloads, None when none does."""
    for name in OFFLINE_VARIABLES:
        if os.environ.get(name, "").strip().lower() in ("1", "true", "yes", "on"):
            return name
    return None


def checkpoint_in(folder: Path, encoder: str) -> Path:
    """Return the checkpoint in a folder of an open_clip model.

    Raises:
        EncoderUnavailable: the folder, its configuration or its checkpoint is missing.
    """
    if not (folder / CONFIG).is_file():
        raise EncoderUnavailable(encoder, f"there is no {CONFIG} in {folder}.")
    for name in CHECKPOINTS:
        if (folder / name).is_file():
            return folder / name
    names = ", ".join(CHECKPOINTS)
    raise EncoderUnavailable(
        encoder, f"there is no checkpoint in {folder}; it has none of {names}."
    )


def hub_file(repository: str, names: Sequence[str], encoder: str, timeout_s: float) -> Path:
    """Return the first of some files of a hub repository, from the cache or fetched into it.

    Args:
        repository: "org/name".
        names: file names, the preferred one first.
        encoder: who asks, for the message.
        timeout_s: the longest that fetching may take; 0 never fetches.

    Raises:
        EncoderUnavailable: not in the cache, and offline or not to be had in time.
        WeightsNotFetched: not in the cache, and `timeout_s` is 0.
    """
    try:
        from huggingface_hub import try_to_load_from_cache
    except ImportError as error:
        raise EncoderUnavailable(encoder, "huggingface_hub is not installed.") from error
    for name in names:
        cached = try_to_load_from_cache(repository, name)
        if isinstance(cached, str) and Path(cached).is_file():
            return Path(cached)
    variable = offline()
    if variable is not None:
        raise EncoderUnavailable(
            encoder,
            f"the weights of {repository} are not in the local cache, and {variable} forbids "
            "to fetch them; fetch them on a machine with network, or name a checkpoint file.",
        )
    if not timeout_s:
        raise WeightsNotFetched(
            encoder,
            f"the weights of {repository} are not in the local cache, and are not fetched within "
            "0 s; name a checkpoint file, or give fetching more time.",
        )
    return _download(repository, names, encoder, timeout_s)


_DOWNLOAD = """
import json, sys
from huggingface_hub import constants, hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
from huggingface_hub.utils import get_session

def fetch(repository, *names):
    # Asked first, since a download retries for half a minute when nobody is there.
    try:
        get_session().head(constants.ENDPOINT, timeout=10)
    except Exception as error:
        return {"error": f"{constants.ENDPOINT} can not be reached: {error}"}
    for name in names:
        try:
            return {"path": hf_hub_download(repository, name)}
        except LocalEntryNotFoundError as error:  # a failed connection, in spite of its name
            return {"error": str(error.__cause__ or error)}
        except EntryNotFoundError:
            continue
        except Exception as error:
            return {"error": f"{type(error).__name__}: {error}"}
    return {"error": "it has none of " + ", ".join(names)}

print(json.dumps(fetch(*sys.argv[1:])))
"""


def _download(repository: str, names: Sequence[str], encoder: str, timeout_s: float) -> Path:
    """Fetch in another process: it can be ended, and shows its progress on stderr."""
    remedy = "name a checkpoint file (ARCHITECTURE:/path), or try again with network."
    try:
        done = subprocess.run(
            [sys.executable, "-c", _DOWNLOAD, repository, *names],
            stdout=subprocess.PIPE,
            text=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise EncoderUnavailable(
            encoder, f"fetching {repository} took longer than {timeout_s:g} s; {remedy}"
        ) from error
    try:
        answer = json.loads(done.stdout.strip().rpartition("\n")[2])
    except ValueError:
        answer = {"error": f"the download ended with status {done.returncode}"}
    if "path" in answer and Path(answer["path"]).is_file():
        return Path(answer["path"])
    why = " ".join(str(answer.get("error", "no answer")).split())[:200]
    raise EncoderUnavailable(encoder, f"{repository} could not be fetched ({why}); {remedy}")
