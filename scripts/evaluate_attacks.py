"""How many copies are found that were made by somebody who does not want them to be found.

    python -m scripts.evaluate_attacks --data DIR [--limit 60] [--json FILE]

All originals of the folder (see `scripts/evaluation_data.py`) are registered; `limit` of those that
have copies, spread over all, are attacked in each way of `scripts/attacks.py` and checked, as
listings are by default and `thorough`. What counts is the answer for the original itself.
"""

import argparse
import io
import json
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.table import Table

from models.images import decode
from scripts.attacks import ATTACKS, Attack
from scripts.collect import registered
from scripts.evaluation_data import Data, DataInvalid, load, spread
from service.matching.pipeline import Matcher
from service.matching.results import CheckOptions

MODES: Mapping[str, CheckOptions] = {
    "default": CheckOptions(),
    "thorough": CheckOptions(thorough=True),
}
Counts = dict[str, dict[str, Counter[str]]]
"""By attack and mode, how often each verdict was given."""
_QUALITY = 80
console = Console(stderr=True)


def attacked(data: Data, limit: int) -> list[tuple[str, str]]:
    """The originals to attack, spread over all with copies, each with a picture to put it on.

    Raises:
        DataInvalid: the folder has none.
    """
    copied = sorted({each.original for each in data.listings if each.role == "copy"})
    grounds = [each.path for each in data.listings if each.role == "unrelated"]
    if not copied or not grounds:
        raise DataInvalid(f"{data.folder} needs listings of the roles copy and unrelated")
    chosen = enumerate(spread(copied, limit))
    return [(path, grounds[i * 7 % len(grounds)]) for i, path in chosen]


def made(data: Data, attack: Attack, original: str, ground: str, seed: int) -> bytes:
    """The attacked picture, encoded as a shop would."""
    image, other = (Image.fromarray(decode(data.read(path)).rgb) for path in (original, ground))
    stream = io.BytesIO()
    attack(image, other, np.random.default_rng(seed)).save(stream, "JPEG", quality=_QUALITY)
    return stream.getvalue()


def verdict(matcher: Matcher, listing: bytes, original: str, options: CheckOptions) -> str:
    """What is answered for the original itself."""
    found = matcher.check(listing, options)
    own = (match for match in found.matches if match.original.endswith(f"/{original}"))
    return next((match.verdict.value for match in own), "CLEAR")


def count(data: Data, matcher: Matcher, limit: int, pool: ThreadPoolExecutor) -> Counts:
    """Attack and check."""
    number = {path: f"o{i}" for i, path in enumerate(data.registered)}
    chosen = attacked(data, limit)
    counts: Counts = {}
    for name, attack in track(ATTACKS.items(), "attacks", len(ATTACKS), console=console):

        def ask(seeded: tuple[int, tuple[str, str]], attack: Attack = attack) -> list[str]:
            seed, (original, ground) = seeded
            listing = made(data, attack, original, ground, seed)
            return [verdict(matcher, listing, number[original], how) for how in MODES.values()]

        answers = list(pool.map(ask, enumerate(chosen)))
        counts[name] = {
            mode: Counter(answer[i] for answer in answers) for i, mode in enumerate(MODES)
        }
    return counts


def show(counts: Counts) -> None:
    """Print the table."""
    table = Table("attack", *(f"{mode}: {word}" for mode in MODES for word in ("COPY", "REVIEW")))
    for name, found in counts.items():
        cells = []
        for mode in MODES:
            total = found[mode].total()
            cells += [f"{found[mode][word] / total:.0%}" for word in ("COPY", "REVIEW")]
        table.add_row(name, *cells)
    Console().print(table)


def main() -> None:
    """Run the script."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=60, help="originals that are attacked")
    parser.add_argument("--encoder", default="sscd_distilled")
    parser.add_argument("--key-points", action="store_true", help='as key_points = "always"')
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    data = load(options.data)
    with registered(data, options.encoder) as (catalogue, printer, pool):
        matcher = Matcher(catalogue, printer, key_points=options.key_points)
        counts = count(data, matcher, options.limit, pool)
    show(counts)
    if options.json:
        options.json.write_text(json.dumps(counts, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
