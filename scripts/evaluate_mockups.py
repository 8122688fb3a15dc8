"""How pictures that are made on one template are told apart.

    python -m scripts.evaluate_mockups --data DIR [--limit 60] [--json FILE]

Shops print a hundred designs on one picture of a shirt, and put one frame around all they sell. So
pictures of the folder (see `scripts/evaluation_data.py`) are printed on others, the templates, set
in frames made of them, and laid over them as badges, and `MADE` of each are registered beside all
originals of the folder. Then it is asked for others on the same templates, which copy none of
these, and for edited copies of those registered, which copy that one and none of the others.
"""

import argparse
import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageOps
from rich.console import Console
from rich.progress import track
from rich.table import Table

from models.images import decode
from scripts.collect import BRAND, registered
from scripts.evaluation_data import Data, DataInvalid, load, spread
from service.matching.pipeline import Matcher
from service.matching.results import CheckOptions
from service.registry import Registry, Submission
from tests.kit.images import encode

MADE, OTHERS = 3, 2
"""Pictures on each template that are registered, and that are asked for."""
SIZES = (0.2, 0.3, 0.45)
"""Longest side of a design, as a share of the template's shortest. A frame has half of it on both
sides together."""
_SIDE_PX = 900
_QUALITY = 85
Counts = dict[str, Counter[str]]
"""By the way a picture was made, how often what was answered."""
console = Console(stderr=True)


@dataclass(frozen=True, slots=True)
class Asked:
    """A picture to ask for.

    Attributes:
        what: how it was made.
        image: encoded.
        original: the id of the original that it copies; empty for none.
        siblings: the ids of the others on its template.
    """

    what: str
    image: bytes
    original: str
    siblings: frozenset[str]


def printed(template: Image.Image, design: Image.Image, share: float) -> Image.Image:
    """Print a design on the middle of a template, whose folds and shadows go on showing."""
    page = ImageOps.contain(template, (_SIDE_PX, _SIDE_PX))
    ink = ImageOps.contain(design, (round(min(page.size) * share),) * 2)
    left, top = (page.width - ink.width) // 2, (page.height - ink.height) // 2
    cloth = page.crop((left, top, left + ink.width, top + ink.height)).convert("L")
    luma = np.asarray(cloth, np.float32) + 8
    shading = np.clip(luma / np.median(luma), 0.5, 1.3)[..., None]
    shaded = np.clip(np.asarray(ink, np.float32) * shading, 0, 255).astype(np.uint8)
    page.paste(Image.fromarray(shaded), (left, top))
    return page


def framed(template: Image.Image, picture: Image.Image, share: float) -> Image.Image:
    """Set a picture in a frame that shows a template, with the name of a shop."""
    page = ImageOps.fit(template, (_SIDE_PX, _SIDE_PX))
    side = round(_SIDE_PX * (1 - share / 2))
    page.paste(ImageOps.fit(picture, (side, side)), ((_SIDE_PX - side) // 2,) * 2)
    pen = ImageDraw.Draw(page)
    pen.rectangle((0, _SIDE_PX - 90, _SIDE_PX, _SIDE_PX), fill=(20, 60, 120))
    pen.text((40, _SIDE_PX - 80), "SHOP24: FREE SHIPPING", (255, 255, 0), font_size=56)
    return page


def badged(picture: Image.Image, badge: Image.Image, share: float) -> Image.Image:
    """Lay something over the upper left corner of a picture."""
    page = ImageOps.contain(picture, (_SIDE_PX, _SIDE_PX))
    page.paste(ImageOps.fit(badge, (round(min(page.size) * share),) * 2), (20, 20))
    return page


WAYS = {"design": printed, "picture in the frame": framed, "badge": badged}
"""How a template is used, by what is put on it."""
ON_ORIGINALS = ("badge",)
"""What is put on a picture that is registered itself, too: then it is no template but an original,
which is copied whatever is put on it."""
NO_COPIES = tuple(f"another {what}" for what in WAYS if what not in ON_ORIGINALS)


def edits(image: Image.Image) -> dict[str, Image.Image]:
    """A few ways in which it is copied; what was put on the template stays in sight."""
    w, h = image.size
    named = image.copy()
    ImageDraw.Draw(named).text((w * 0.05, h * 0.05), "SHOP24 - 50 %", (200, 0, 0), font_size=48)
    return {
        "reduced": image.resize((w // 2, h // 2)),
        "cropped": image.crop((w // 8, h // 8, w - w // 8, h - h // 8)),
        "mirrored, with a text": ImageOps.mirror(named),
        "greyscale": image.convert("L").convert("RGB"),
    }


def made(data: Data, limit: int) -> tuple[dict[str, bytes], list[Asked]]:
    """What is registered beside the folder's originals, by id, and what is asked for.

    Raises:
        DataInvalid: the folder has too few pictures.
    """
    templates = spread([each.path for each in data.listings if each.role == "unrelated"], limit)
    count = MADE + OTHERS
    if not templates or len(data.registered) < count:
        raise DataInvalid(f"{data.folder} needs listings of role unrelated, and {count} originals")
    rng = np.random.default_rng(0)
    originals: dict[str, bytes] = {}
    asked: list[Asked] = []
    for (number, path), (what, put) in product(enumerate(templates), WAYS.items()):
        template, share = _picture(data, path), SIZES[number % len(SIZES)]
        chosen = rng.choice(len(data.registered), count, replace=False)
        pictures = [put(template, _picture(data, data.registered[int(k)]), share) for k in chosen]
        if what in ON_ORIGINALS:
            pictures[0] = ImageOps.contain(template, (_SIDE_PX, _SIDE_PX))
        names = [f"{what.split()[0]}-{number}-{k}" for k in range(MADE)]
        copied = names[0] if what in ON_ORIGINALS else ""
        for name, picture in zip(names, pictures, strict=False):
            originals[name] = encode(picture, quality=_QUALITY)
            others = frozenset(names) - {name}
            asked += [
                Asked(f"{what}: {how}", encode(one, quality=_QUALITY), name, others)
                for how, one in edits(picture).items()
            ]
        for picture in pictures[MADE:]:
            others = frozenset(names) - {copied}
            asked.append(
                Asked(f"another {what}", encode(picture, quality=_QUALITY), copied, others)
            )
    return originals, asked


def count(matcher: Matcher, asked: list[Asked], pool: ThreadPoolExecutor) -> Counts:
    """Check all."""

    def ask(one: Asked) -> list[str]:
        found = {
            match.original.rsplit("/", 1)[1]: match.verdict.value
            for match in matcher.check(one.image, CheckOptions()).matches
        }
        beside = [found[name] for name in one.siblings if name in found]
        said = [f"own {found.get(one.original, 'CLEAR')}"] if one.original else []
        worst = next((word for word in ("COPY", "REVIEW") if word in beside), "CLEAR")
        return [*said, f"sibling {worst}"]

    counts: Counts = {}
    answers = track(pool.map(ask, asked), "pictures", len(asked), console=console)
    for one, said in zip(asked, answers, strict=True):
        counts.setdefault(one.what, Counter()).update(["asked", *said])
    return counts


def show(counts: Counts) -> None:
    """Print the table."""
    columns = ("own COPY", "own REVIEW", "sibling COPY", "sibling REVIEW")
    table = Table("made by", *columns)
    for what, found in counts.items():
        own = [
            "-" if what in NO_COPIES else f"{found[word] / found['asked']:.0%}"
            for word in columns[:2]
        ]
        table.add_row(what, *own, *(f"{found[w] / found['asked']:.0%}" for w in columns[2:]))
    Console().print(table)


def main() -> None:
    """Run the script."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=60, help="templates")
    parser.add_argument("--encoder", default="sscd_distilled")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    data = load(options.data)
    originals, asked = made(data, options.limit)
    with registered(data, options.encoder) as (catalogue, printer, pool):
        registry = Registry(catalogue, printer)
        for name, image in originals.items():
            registry.register(Submission(BRAND, name, image))
        counts = count(Matcher(catalogue, printer), asked, pool)
    show(counts)
    if options.json:
        options.json.write_text(json.dumps(counts, indent=1) + "\n", encoding="utf-8")


def _picture(data: Data, path: str) -> Image.Image:
    return Image.fromarray(decode(data.read(path)).rgb)


if __name__ == "__main__":
    main()
