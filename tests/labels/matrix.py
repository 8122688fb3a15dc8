"""Every mark in every container that can carry it: one table for the tests and the README."""

import json
from collections.abc import Callable

from models.labels.label import LabelState, LabelTrust, Mark
from tests.labels import kit

Maker = Callable[[str], bytes]
XMP_CONTAINERS = kit.CONTAINERS
EXIF_CONTAINERS = ("JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF")
GENERATED, POSSIBLY, SUSPECTED = LabelState.GENERATED, LabelState.POSSIBLY, LabelState.SUSPECTED
DECLARED, TRACE = LabelTrust.SELF_DECLARED, LabelTrust.TRACE

_LABEL = json.dumps(kit.GB)
_TENCENT = json.dumps(
    {"ServiceProvider": "腾讯云", "ServiceUser": "u", "Time": "2025-09-01", "ContentId": "c"},
    ensure_ascii=False,
)
_FOOOCUS = json.dumps({"prompt": "a", "steps": 30, "version": "Fooocus v2.5.5", "seed": "1"})
_NOVELAI = json.dumps({"prompt": "a", "steps": 28, "scale": 5, "seed": 1, "uc": "b"})


def in_xmp(inner: str = "", attributes: str = "") -> Maker:
    """In the XMP packet."""
    return lambda container: kit.save(container, packet=kit.xmp(inner, attributes))


def in_exif(**tags: str | bytes) -> Maker:
    """In EXIF tags."""
    return lambda container: kit.save(container, exif=kit.exif(**tags))


def in_text(**text: str) -> Maker:
    """In PNG text chunks."""
    return lambda container: kit.save(container, text=text)


def comment(text: str) -> bytes:
    """An EXIF UserComment as piexif writes it."""
    return b"UNICODE\0" + text.encode("utf-16-be")


def _c2pa(container: str) -> bytes:
    return kit.signed([kit.action("c2pa.created", kit.AI)], container)


Row = tuple[str, Mark, LabelState, LabelTrust, tuple[str, ...], Maker]

MATRIX: tuple[Row, ...] = (
    ("C2PA manifest", Mark.C2PA, GENERATED, LabelTrust.SIGNED, kit.CONTAINERS, _c2pa),
    (
        "IPTC DigitalSourceType",
        Mark.IPTC_DIGITAL_SOURCE_TYPE,
        GENERATED,
        DECLARED,
        XMP_CONTAINERS,
        in_xmp(attributes=f'Iptc4xmpExt:DigitalSourceType="{kit.AI}"'),
    ),
    (
        "IPTC 2025.1 AI fields",
        Mark.IPTC_AI,
        GENERATED,
        DECLARED,
        XMP_CONTAINERS,
        in_xmp("<Iptc4xmpExt:AISystemUsed>Imaginer 3</Iptc4xmpExt:AISystemUsed>"),
    ),
    (
        "GB 45438 XMP element",
        Mark.GB45438,
        GENERATED,
        DECLARED,
        XMP_CONTAINERS,
        in_xmp(f"<TC260:AIGC>{kit.escaped(_LABEL)}</TC260:AIGC>"),
    ),
    (
        "GB 45438 XMP attribute",
        Mark.GB45438,
        GENERATED,
        DECLARED,
        XMP_CONTAINERS,
        in_xmp(attributes=f'TC260:AIGC="{kit.escaped(_LABEL)}"'),
    ),
    (
        "GB 45438 EXIF UserComment",
        Mark.GB45438,
        GENERATED,
        DECLARED,
        EXIF_CONTAINERS,
        in_exif(UserComment=b"ASCII\0\0\0" + json.dumps({"AIGC": kit.GB}).encode()),
    ),
    (
        "GB 45438 EXIF ImageDescription",
        Mark.GB45438,
        GENERATED,
        DECLARED,
        EXIF_CONTAINERS,
        in_exif(ImageDescription=json.dumps({"AIGC": kit.GB})),
    ),
    ("GB 45438 text chunk", Mark.GB45438, GENERATED, DECLARED, ("PNG",), in_text(AIGC=_LABEL)),
    (
        "GB 45438 bare segment",
        Mark.GB45438,
        GENERATED,
        DECLARED,
        ("JPEG",),
        lambda _: kit.jpeg_with((0xE9, b"AIGC" + _LABEL.encode())),
    ),
    (
        "Tencent AIGC label",
        Mark.TENCENT_AIGC,
        GENERATED,
        DECLARED,
        EXIF_CONTAINERS,
        in_exif(ImageDescription=_TENCENT),
    ),
    (
        "ByteDance export note",
        Mark.BYTEDANCE_AIGC,
        GENERATED,
        DECLARED,
        EXIF_CONTAINERS,
        in_exif(UserComment=b'ASCII\0\0\0{"product":"x","data":"{\\"aigc_label_type\\":1}"}'),
    ),
    (
        "Stable Diffusion WebUI, EXIF",
        Mark.WEBUI,
        SUSPECTED,
        TRACE,
        EXIF_CONTAINERS,
        in_exif(UserComment=comment(kit.WEBUI)),
    ),
    (
        "Stable Diffusion WebUI, text",
        Mark.WEBUI,
        SUSPECTED,
        TRACE,
        ("PNG",),
        in_text(parameters=kit.WEBUI),
    ),
    ("ComfyUI, text", Mark.COMFYUI, SUSPECTED, TRACE, ("PNG",), in_text(prompt=kit.COMFY)),
    (
        "ComfyUI, EXIF",
        Mark.COMFYUI,
        SUSPECTED,
        TRACE,
        EXIF_CONTAINERS,
        in_exif(Model=f"prompt:{kit.COMFY}"),
    ),
    (
        "InvokeAI, text",
        Mark.INVOKEAI,
        SUSPECTED,
        TRACE,
        ("PNG",),
        in_text(invokeai_metadata='{"generation_mode":"txt2img","positive_prompt":"a"}'),
    ),
    (
        "NovelAI, text",
        Mark.NOVELAI,
        SUSPECTED,
        TRACE,
        ("PNG",),
        in_text(Software="NovelAI", Source="NovelAI Diffusion V4 37442FCA", Comment=_NOVELAI),
    ),
    (
        "NovelAI, EXIF",
        Mark.NOVELAI,
        SUSPECTED,
        TRACE,
        EXIF_CONTAINERS,
        in_exif(Software="NovelAI", UserComment=b"ASCII\0\0\0" + _NOVELAI.encode()),
    ),
    (
        "Fooocus, text",
        Mark.FOOOCUS,
        SUSPECTED,
        TRACE,
        ("PNG",),
        in_text(fooocus_scheme="fooocus", parameters=_FOOOCUS),
    ),
    (
        "Fooocus, EXIF",
        Mark.FOOOCUS,
        SUSPECTED,
        TRACE,
        EXIF_CONTAINERS,
        in_exif(UserComment=comment(_FOOOCUS), MakerNote=b"fooocus"),
    ),
    (
        "generator in EXIF Software",
        Mark.GENERATOR,
        SUSPECTED,
        TRACE,
        EXIF_CONTAINERS,
        in_exif(Software="Midjourney 6.1"),
    ),
    (
        "generator in EXIF Make",
        Mark.GENERATOR,
        SUSPECTED,
        TRACE,
        EXIF_CONTAINERS,
        in_exif(Make="Ideogram AI"),
    ),
    (
        "generator in XMP CreatorTool",
        Mark.GENERATOR,
        SUSPECTED,
        TRACE,
        XMP_CONTAINERS,
        in_xmp(attributes='xmp:CreatorTool="Adobe Firefly"'),
    ),
    (
        "xAI signature",
        Mark.XAI_SIGNATURE,
        SUSPECTED,
        TRACE,
        EXIF_CONTAINERS,
        in_exif(
            Artist="0f8fad5b-d9cb-469f-a165-70867728950e",
            ImageDescription="Signature: " + "QUJD" * 40,
        ),
    ),
    (
        "Photoshop generative fill",
        Mark.PHOTOSHOP_GENERATIVE,
        SUSPECTED,
        TRACE,
        XMP_CONTAINERS,
        in_xmp("<photoshop:History>Open&#10;Generative Fill&#10;Save</photoshop:History>"),
    ),
)
