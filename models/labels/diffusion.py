"""Family: the settings that image generators leave in a file, by the tool that wrote them.

All of them are traces: they record how a picture was made without declaring anything.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

from models.labels.bounded_json import find_object
from models.labels.budget import US_PER_SEARCHED_CHAR, BlockUnreadable
from models.labels.label import LabelHow, LabelSignal, LabelState, LabelTrust, Mark, clipped
from models.labels.survey import Field, Layer, Survey

_STEPS = re.compile(r"\bSteps: \d{1,5}\b")
_SETTING = re.compile(r"\b(?:Sampler|CFG scale|Seed|Model hash|Schedule type): ")
_WINDOW = 1 << 16
US_PER_LOOKUP = 10.0
_SAMPLER_WORDS = ("sampler", "sampler_name", "scheduler", "cfg_scale", "cfgscale", "scale", "uc")
_COMFY_LATENT = ("EmptyLatentImage", "EmptySD3LatentImage", "EmptyHunyuanLatent", "EmptyLatent")

INVOKE_KEYS = {
    "invokeai_metadata",
    "invokeai_workflow",
    "invokeai_graph",
    "sd-metadata",
    "dream",
}
_INVOKE_MODE = re.compile(
    r'"generation_mode"\s*:\s*"(?:\w+_)?([a-z0-9]+)"|"type"\s*:\s*"(\w{2,3}2img|inpaint|outpaint)"'
)
Reader = Callable[[Field, dict[str, Field]], LabelSignal | None]


def read(survey: Survey) -> Iterator[LabelSignal]:
    """Signals of WebUI, ComfyUI, InvokeAI, NovelAI, Fooocus, SwarmUI and their relatives."""
    by_name: dict[str, Field] = {}
    for field in survey.fields:
        by_name.setdefault(field.name.lower(), field)
    for field in survey.fields:
        if field.layer is Layer.IIM or len(field.text) < 2:
            continue
        survey.budget.charge(US_PER_LOOKUP + US_PER_SEARCHED_CHAR * len(field.text))
        try:
            for reader in _READERS:
                signal = reader(field, by_name)
                if signal:
                    yield signal
                    break
        except BlockUnreadable as refusal:
            survey.problem(field.place, refusal.note)


def _trace(mark: Mark, field: Field, note: str, how: LabelHow = LabelHow.UNKNOWN) -> LabelSignal:
    return LabelSignal(
        mark, field.place, LabelTrust.TRACE, clipped(field.text), note, LabelState.SUSPECTED, how
    )


def _novelai(field: Field, by_name: dict[str, Field]) -> LabelSignal | None:
    name = field.name.lower()
    if name == "software" and field.text.strip() == "NovelAI":
        return _trace(Mark.NOVELAI, field, "Written by NovelAI, an image generator.")
    if name == "source" and field.text.startswith("NovelAI Diffusion"):
        return _trace(Mark.NOVELAI, field, "Names a model of NovelAI, an image generator.")
    software = by_name.get("software")
    if name in ("comment", "usercomment") and software and software.text.strip() == "NovelAI":
        how = LabelHow.FULLY_GENERATED
        if '"request_type": "Img2Img' in field.text or '"strength"' in field.text:
            how = LabelHow.UNKNOWN
        return _trace(
            Mark.NOVELAI, field, "Holds the settings of NovelAI, an image generator.", how
        )
    return None


def _invokeai(field: Field, _: dict[str, Field]) -> LabelSignal | None:
    if field.name.lower() not in INVOKE_KEYS:
        return None
    how = LabelHow.UNKNOWN
    mode = _INVOKE_MODE.search(field.text[:_WINDOW])
    if mode:
        name = mode[1] or mode[2]
        how = {"txt2img": LabelHow.FULLY_GENERATED, "img2img": LabelHow.EDITED}.get(
            name, LabelHow.EDITED if "paint" in name else LabelHow.UNKNOWN
        )
    return _trace(Mark.INVOKEAI, field, "Holds the settings of InvokeAI, an image generator.", how)


def _comfyui(field: Field, _: dict[str, Field]) -> LabelSignal | None:
    """A graph: in PNG text, or in EXIF Make/Model/ImageDescription with its name before it."""
    text = field.text
    api = '"class_type"' in text and '"inputs"' in text
    ui = '"nodes"' in text and '"links"' in text
    named = field.name.lower() in ("prompt", "workflow") or re.match(
        r"\s*(?:prompt|workflow)\s*:\s*\{", text[:64], re.IGNORECASE
    )
    if not (api or ui) or not (named or '"KSampler' in text):
        return None
    how = LabelHow.UNKNOWN
    if any(word in text for word in _COMFY_LATENT):
        how = LabelHow.FULLY_GENERATED
    elif "LoadImage" in text:
        how = LabelHow.EDITED
    kind = "graph" if api else "workflow"
    return _trace(Mark.COMFYUI, field, f"Holds a {kind} of ComfyUI, an image generator.", how)


def _fooocus(field: Field, by_name: dict[str, Field]) -> LabelSignal | None:
    name = field.name.lower()
    if name == "fooocus_scheme" or (name == "makernote" and field.text in ("fooocus", "a1111")):
        return _trace(Mark.FOOOCUS, field, "Written by Fooocus, an image generator.")
    if name in ("parameters", "usercomment", "comment"):
        scheme = by_name.get("fooocus_scheme")
        if '"Fooocus' in field.text[:_WINDOW] or (scheme and field.text.lstrip().startswith("{")):
            note = "Holds the settings of Fooocus, an image generator."
            return _trace(Mark.FOOOCUS, field, note, LabelHow.FULLY_GENERATED)
    return None


def _swarmui(field: Field, _: dict[str, Field]) -> LabelSignal | None:
    if '"sui_image_params"' not in field.text[:_WINDOW]:
        return None
    how = LabelHow.EDITED if '"initimage' in field.text[:_WINDOW] else LabelHow.FULLY_GENERATED
    return _trace(Mark.SWARMUI, field, "Holds the settings of SwarmUI, an image generator.", how)


def _webui(field: Field, _: dict[str, Field]) -> LabelSignal | None:
    text = field.text[-_WINDOW:]  # the settings stand on the last line, after the prompts
    if "Steps: " in text and _STEPS.search(text) and _SETTING.search(text):
        edited = "Mask blur: " in text or ("Denoising strength: " in text and "Hires " not in text)
        how = LabelHow.EDITED if edited else LabelHow.FULLY_GENERATED
        return _trace(Mark.WEBUI, field, "Holds the settings of Stable Diffusion WebUI.", how)
    if field.name.lower() in ("postprocessing", "extras") and "Postprocess upscale" in text:
        note = "Enlarged by an upscaler of Stable Diffusion WebUI."
        return _trace(Mark.WEBUI, field, note, LabelHow.ENHANCED)
    return None


def _settings(field: Field, by_name: dict[str, Field]) -> LabelSignal | None:
    """Settings as JSON by no tool in particular (Draw Things, Easy Diffusion, TensorArt...)."""
    name = field.name.lower()
    if name == "num_inference_steps" and ("seed" in by_name or "prompt" in by_name):
        return _trace(Mark.DIFFUSION_SETTINGS, field, "Holds settings of a diffusion model.")
    if name == "hf-job-id":
        return _trace(Mark.HUGGINGFACE_JOB, field, "Made by a job hosted at Hugging Face.")
    text = field.text[:_WINDOW]
    if '"steps"' not in text or '"seed"' not in text or not text.lstrip().startswith("{"):
        return None
    found: dict[str, Any] = find_object(text) or {}
    lower = {str(key).lower() for key in found}
    if {"steps", "seed"} <= lower and lower & set(_SAMPLER_WORDS):
        return _trace(Mark.DIFFUSION_SETTINGS, field, "Holds settings of a diffusion model.")
    return None


_READERS: tuple[Reader, ...] = (
    _novelai,
    _invokeai,
    _comfyui,
    _swarmui,
    _fooocus,
    _webui,
    _settings,
)
