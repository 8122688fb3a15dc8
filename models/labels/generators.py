"""Family: names of image generators in fields that say which program or maker it was.

A name counts only in such a field (`Software`, `Make`, `CreatorTool`, `Credit`...), never in
a title or a caption: people write about Midjourney under photographs, too. Tools that
denoise or sharpen with a trained model (Topaz, DxO, Lightroom) are not in the list.
"""

import re
from collections.abc import Iterator

from models.labels.label import LabelHow, LabelSignal, LabelState, LabelTrust, Mark, clipped
from models.labels.survey import Field, Layer, Survey

PROGRAM_FIELDS = {
    *("Software", "Make", "Model", "HostComputer", "ImageEditor", "ImageEditingSoftware"),
    *("MetadataEditingSoftware", "xmp:CreatorTool", "tiff:Software", "tiff:Make", "tiff:Model"),
    *("photoshop:Credit", "photoshop:Source", "Credit", "Source", "OriginatingProgram"),
    *(
        "stEvt:softwareAgent",
        "Artist",
        "tiff:Artist",
        "dc:creator",
        "Author",
        "By-line",
        "Generator",
    ),
}
NAMES: tuple[tuple[str, str, str], ...] = (
    # product, words of which one must occur (lower case, | between them), pattern
    ("Midjourney", "midjourney", r"\bmidjourney\b"),
    ("DALL-E", "dall", r"\bdall[-·•]e\b|\bdalle?[- ]?e?[- ]?[23]\b"),
    (
        "OpenAI GPT-image",
        "gpt|openai",
        r"\bgpt[-_ ]?image\b|\bgpt-?4o\b|\bchatgpt\b|\bopenai\b",
    ),
    ("Adobe Firefly", "firefly", r"\badobe[ _]firefly\b"),
    ("Ideogram", "ideogram", r"\bideogram(?:\.ai| ai)?\b"),
    (
        "Google AI",
        "google|gemini|banana",
        r"\b(?:made|edited|created|generated) with google ai\b|\bgoogle (?:gemini|imagen)\b"
        r"|\bgemini[- ]\d(?:\.\d)?[- ](?:flash|pro)\b|\bnano[- ]banana\b",
    ),
    (
        "Stable Diffusion",
        "diffusion|stability|dreamstudio|sd.next",
        r"\bstable[-_ ]?diffusion\b|\bstability[. ]?ai\b|\bdreamstudio\b|\bsd\.next\b",
    ),
    ("AUTOMATIC1111", "automatic1111", r"\bautomatic1111\b"),
    ("ComfyUI", "comfyui", r"\bcomfyui\b"),
    ("InvokeAI", "invoke", r"\binvoke[- ]?ai\b"),
    ("Fooocus", "fooocus", r"\bfooocus\b"),
    ("SwarmUI", "swarmui", r"\b(?:stable)?swarmui\b"),
    ("Draw Things", "draw things", r"^draw things\b"),
    ("FLUX", "forest|flux.", r"\bblack[- ]forest[- ]labs\b|\bflux\.[12]\b"),
    ("Leonardo.Ai", "leonardo", r"\bleonardo\.? ?ai\b"),
    (
        "Bing Image Creator",
        "image creator|designer",
        r"\bbing image creator\b|\bimage creator from\b|\bmicrosoft designer\b",
    ),
    ("Meta AI", "meta ai|imagined", r"\bmeta ai\b|\bimagined with ai\b"),
    ("Grok", "grok", r"^(?:x\.?ai )?grok\b|\bgrok imagine\b"),
    ("Reve", "reve", r"^reve(?:\.com|\.art| image)"),
    ("Recraft", "recraft", r"\brecraft(?:\.ai| ai| v\d)"),
    ("Krea", "krea", r"\bkrea\.ai\b|\bkrea ai\b"),
    ("Playground AI", "playground", r"\bplayground(?:ai\b| ai\b|\.com\b)"),
    ("NightCafe", "nightcafe", r"\bnightcafe\b"),
    ("Runway", "runwayml", r"\brunwayml\b"),
    ("Craiyon", "craiyon", r"\bcraiyon\b"),
    ("Canva Magic Media", "magic media", r"\bmagic media\b"),
    ("Aphrodite AI", "aphrodite", r"\baphrodite ai\b"),
    ("Apple Image Playground", "image playground", r"\bimage playground\b"),
    ("Apple Clean Up", "clean up", r"\bapple photos clean up\b"),
    ("Doubao", "doubao|豆包", r"\bdoubao\b|豆包"),
    (
        "Jimeng / Dreamina",
        "jimeng|即梦|dreamina|seedream",
        r"\bjimeng\b|即梦|\bdreamina\b|\bseedream\b",
    ),
    ("Kling", "kling|可灵", r"\bkling ?ai\b|可灵"),
    ("Tongyi / Qwen", "通义|wanx|qwen|千问", r"通义|\bwanx(?:iang)?\b|\bqwen[- ]image\b|千问"),
    ("ERNIE / Wenxin", "文心|ernie", r"文心一格|文心一言|\bernie[- ]vilg\b"),
    ("Hunyuan", "混元|元宝|hunyuan", r"混元|元宝|\bhunyuan\b"),
)
_NAMES = tuple(
    (product, tuple(words.split("|")), re.compile(pattern, re.IGNORECASE))
    for product, words, pattern in NAMES
)
_EDITED = re.compile(r"edited with|clean up", re.IGNORECASE)
_PEOPLE = {"Artist", "tiff:Artist", "dc:creator", "Author", "By-line"}
_SURE_IN_PEOPLE = {"DALL-E", "OpenAI GPT-image", "Adobe Firefly", "Stable Diffusion", "Midjourney"}

_JOB = re.compile(r"\bJob ID: [0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b")
_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)
_SIGNATURE = re.compile(r"Signature: [A-Za-z0-9+/=]{64,}")
_MAX_CHARS = 400
US_PER_LOOKUP = 25.0


def generator_named(text: str) -> str:
    """The image generator that a program's name stands for, or nothing."""
    head = text[:_MAX_CHARS]
    lower = head.lower()
    for product, words, pattern in _NAMES:
        if any(word in lower for word in words) and pattern.search(head):
            return product
    return ""


def read(survey: Survey) -> Iterator[LabelSignal]:
    """Signals of generator names, Midjourney's job numbers and xAI's signature pair."""
    for field in survey.fields:
        name = field.name if field.layer is not Layer.TEXT else field.name.title()
        if name in PROGRAM_FIELDS and field.text.strip() != "NovelAI":
            survey.budget.charge(US_PER_LOOKUP)
            yield from _named(field, name)
        match = _JOB.search(field.text[: 1 << 14]) if "Job ID: " in field.text else None
        if match:
            yield _trace(Mark.MIDJOURNEY_JOB, field, match[0], "Holds a job number of Midjourney.")
    yield from _xai(survey)


def _named(field: Field, name: str) -> Iterator[LabelSignal]:
    product = generator_named(field.text)
    if not product or (name in _PEOPLE and product not in _SURE_IN_PEOPLE):
        return
    how = LabelHow.EDITED if _EDITED.search(field.text[:_MAX_CHARS]) else LabelHow.UNKNOWN
    note = f"Names {product}, which makes pictures with AI, as its maker or program."
    yield _trace(Mark.GENERATOR, field, field.text, note, how)


def _xai(survey: Survey) -> Iterator[LabelSignal]:
    """xAI's Grok: EXIF with a UUID as artist and a signature as description."""
    exif = {f.name: f for f in survey.fields if f.layer is Layer.EXIF}
    artist, description = exif.get("Artist"), exif.get("ImageDescription")
    if (
        artist
        and description
        and _UUID.fullmatch(artist.text.strip())
        and _SIGNATURE.match(description.text)
    ):
        note = "Carries the pair of fields that xAI's Grok writes into its pictures."
        yield _trace(Mark.XAI_SIGNATURE, description, description.text, note)


def _trace(
    mark: Mark, field: Field, value: str, note: str, how: LabelHow = LabelHow.UNKNOWN
) -> LabelSignal:
    return LabelSignal(
        mark, field.place, LabelTrust.TRACE, clipped(value), note, LabelState.SUSPECTED, how
    )
