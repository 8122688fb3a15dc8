"""Measure how often an edit that was made is named, and how often a named one was made.

    python -m scripts.evaluate_edits --data DIR [--limit N] [--encoder sscd_distilled]

Each `copy` row is compared with its original through `Matcher.compare`, as `copycatch compare`
does. Two tables: for each edit of the rows, the share of its rows where our word for it is
found (recall; also over the rows with this edit alone); for each of our words, the share of its
rows where an edit was made that it describes (precision). Rows that are not recognised as
copies show no edits and are counted as missed. Then, for the `restyled` rows, the kinds and the
words; for originals that were only encoded anew (JPEG 75, WebP 80, half the size as JPEG 90), the
words, none of which is true but `SCALED`; and milliseconds of naming kind, place and edits of a
match, with OpenCV on one thread.
"""

import argparse
import io
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from rich.console import Console
from rich.progress import track
from rich.table import Table

from index.catalogue import Catalogue
from index.spaces import Space
from models.batcher import Batcher
from models.fingerprint import Fingerprinter
from models.sscd import SscdEncoder
from scripts import evaluation_data
from service.matching.pipeline import Matcher
from service.matching.results import Comparison, EditType, Verdict

_T = EditType
WORD: Mapping[str, EditType] = {
    "hflip": _T.MIRRORED,
    "vflip": _T.MIRRORED,
    "rotate": _T.ROTATED,
    "crop": _T.CROPPED,
    "pad": _T.FRAMED,
    "padsq": _T.FRAMED,
    "meme": _T.FRAMED,
    "screenshot": _T.EMBEDDED,
    "collage": _T.EMBEDDED,
    "persp": _T.PERSPECTIVE,
    "aspect": _T.STRETCHED,
    "scale": _T.SCALED,
    "bright": _T.RECOLOURED,
    "contrast": _T.RECOLOURED,
    "sat": _T.RECOLOURED,
    "jitter": _T.RECOLOURED,
    "gray": _T.GREYSCALE,
    "blur": _T.BLURRED,
    "pixel": _T.BLURRED,
    "sharpen": _T.SHARPENED,
    "noise": _T.NOISE_ADDED,
    "shufflepx": _T.NOISE_ADDED,
    "jpeg": _T.RECOMPRESSED,
    "emoji": _T.OVERLAY_ADDED,
    "text": _T.OVERLAY_ADDED,
    "stripes": _T.OVERLAY_ADDED,
    "opacity": _T.OVERLAY_ADDED,
}
"""AugLy's edit -> our word for it."""

_COLOURS = (_T.RECOLOURED, _T.SUBJECT_RECOLOURED)
ALSO: Mapping[str, tuple[EditType, ...]] = {
    "vflip": (_T.ROTATED,),
    "rotate": (_T.CROPPED,),  # AugLy cuts the empty corners off
    "persp": (_T.ROTATED, _T.CROPPED, _T.STRETCHED, _T.FRAMED),
    "aspect": (_T.SCALED,),
    "screenshot": (_T.SCALED, _T.CROPPED, _T.FRAMED),
    "collage": (_T.SCALED, _T.CROPPED, _T.FRAMED),
    # The rows' pictures are at most 640 pixels wide and high, so what is framed is reduced too.
    "pad": (_T.EMBEDDED, _T.SCALED),
    "padsq": (_T.SCALED,),
    "meme": (_T.OVERLAY_ADDED, _T.SCALED),
    "opacity": _COLOURS,
    "bright": _COLOURS,
    "contrast": _COLOURS,
    "sat": (*_COLOURS, _T.GREYSCALE),
    "jitter": (*_COLOURS, _T.GREYSCALE),
    "gray": _COLOURS,
}
"""What is true besides where an edit was made; it counts for precision alone."""

AGAIN = 150
"""At most this many originals are encoded anew."""

Row = tuple[tuple[str, ...], frozenset[EditType]]
"""The edits that were made, and the words that were found."""


def recalls(rows: Iterable[Row]) -> dict[str, tuple[int, int, int, int]]:
    """Per edit: rows and rows named; then the same over rows with that edit alone."""
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for made, found in rows:
        for edit in set(made) & WORD.keys():
            named = WORD[edit] in found
            counts[edit][0] += 1
            counts[edit][1] += named
            if len(made) == 1:
                counts[edit][2] += 1
                counts[edit][3] += named
    return {edit: (n[0], n[1], n[2], n[3]) for edit, n in sorted(counts.items())}


def precisions(rows: Iterable[Row]) -> dict[EditType, tuple[int, int]]:
    """Per word: rows in which it was found, and those in which it is true."""
    found_in: Counter[EditType] = Counter()
    true_in: Counter[EditType] = Counter()
    for made, found in rows:
        true = {WORD[edit] for edit in made if edit in WORD}
        true.update(word for edit in made for word in ALSO.get(edit, ()))
        found_in.update(found)
        true_in.update(found & true)
    return {word: (found_in[word], true_in[word]) for word in sorted(found_in)}


def main() -> None:
    """Compare, count, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with eval.csv")
    parser.add_argument("--limit", type=int, default=0, help="rows of each role; 0 is all")
    parser.add_argument("--encoder", default="sscd_distilled", help="copy descriptor")
    given = parser.parse_args()
    data = evaluation_data.load(given.data)
    console = Console()
    encoder = SscdEncoder(given.encoder)
    encoder.warm_up()
    found = Found()
    with tempfile.TemporaryDirectory() as folder, Batcher(encoder) as batcher:
        printer = Fingerprinter(batcher)
        spaces = [Space(*space) for space in printer.spaces]
        with Catalogue.open(Path(folder) / "store", spaces, printer.schema) as catalogue:
            matcher = Matcher(catalogue, printer)
            for role in ("copy", "restyled"):
                asked = [each for each in data.listings if each.role == role]
                asked = evaluation_data.spread(asked, given.limit or len(asked))
                for each in track(asked, f"comparing: {role}", console=console):
                    pair = data.read(each.path), data.read(each.original)
                    found.add(matcher.compare(*pair), role, each.edits, each.fidelity)
            names = evaluation_data.spread(data.registered, min(given.limit or AGAIN, AGAIN))
            for name in track(names, "comparing: encoded anew", console=console):
                original = data.read(name)
                for how, listing in again(original).items():
                    found.add(matcher.compare(listing, original), "again", (how,), "")
    show(console, found)


def again(original: bytes) -> dict[str, bytes]:
    """A picture encoded anew in three ways."""
    with Image.open(io.BytesIO(original)) as opened:
        image = ImageOps.exif_transpose(opened).convert("RGB")
    half = image.resize((max(1, image.width // 2), max(1, image.height // 2)))
    made = {}
    for how, (picture, format, quality) in {
        "JPEG 75": (image, "JPEG", 75),
        "WebP 80": (image, "WEBP", 80),
        "half size": (half, "JPEG", 90),
    }.items():
        buffer = io.BytesIO()
        picture.save(buffer, format, quality=quality)
        made[how] = buffer.getvalue()
    return made


@dataclass
class Found:
    """What was found: `words` and `kinds` count rows by the name of a group of rows."""

    rows: list[Row] = field(default_factory=list)
    kinds: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    words: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    explain_ms: list[float] = field(default_factory=list)

    def add(self, answer: Comparison, role: str, edits: tuple[str, ...], fidelity: str) -> None:
        """Count one answer."""
        match = answer.match
        words = frozenset(edit.type for edit in match.edits)
        if match.alignment is not None and match.verdict is not Verdict.CLEAR:
            self.explain_ms.append(answer.steps_ms["explain"])
        if role == "copy":
            self.rows.append((edits, words))
            return
        name = f"{edits[0].split(': ')[0]}, {fidelity}" if role == "restyled" else edits[0]
        matched = match.verdict is not Verdict.CLEAR
        self.kinds[name][match.kind.value if matched else "not matched"] += 1
        self.words[name].update(words)


def show(console: Console, found: Found) -> None:
    """Print the tables."""
    table = Table("edit", "our word", "rows", "named", "alone", "named", title="recall of edits")
    for edit, (n, named, alone, alone_named) in recalls(found.rows).items():
        table.add_row(
            edit, WORD[edit], str(n), _share(named, n), str(alone), _share(alone_named, alone)
        )
    console.print(table)
    table = Table("our word", "found in", "true", title="precision of words")
    for word, (n, true) in precisions(found.rows).items():
        table.add_row(word, str(n), _share(true, n))
    console.print(table)
    table = Table("rows", "kinds", "words", title="restyled, and only encoded anew")
    for name, counts in found.kinds.items():
        words = (f"{word} {n}" for word, n in found.words[name].most_common())
        kinds = (f"{kind} {n}" for kind, n in sorted(counts.items()))
        table.add_row(name, ", ".join(kinds), ", ".join(words))
    console.print(table)
    p50, p95 = np.percentile(found.explain_ms, [50, 95])
    console.print(f"naming kind, place and edits: p50 {p50:.0f} ms, p95 {p95:.0f} ms a match")


def _share(part: int, of: int) -> str:
    return f"{part / of:.0%}" if of else "-"


if __name__ == "__main__":
    main()
