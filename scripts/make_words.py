"""Make the visual words that key points are looked up by, from a folder of pictures.

    python -m scripts.make_words --pictures DIR --out models/data/words.npz

Only centroids are written, never a picture. The pictures should be like those that the service
will see, and must show nothing that is registered. Other centroids are another fingerprint schema:
originals have to be registered again.
"""

import argparse
import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
from rich.progress import track

from models import features, layout
from models.images import decode
from models.words import CENTROIDS, HALF, canonical
from scripts.unrelated import pictures_in

ROUNDS = 30


def centroids(rows: np.ndarray) -> np.ndarray:
    """k-means over both halves of descriptors, shape (n, 128): float32, shape (2, 256, 64)."""
    cv2.setRNGSeed(0)
    ends = (cv2.TERM_CRITERIA_MAX_ITER, ROUNDS, 0.0)
    found = []
    for half in (0, 1):
        part = np.ascontiguousarray(rows[:, half * HALF : (half + 1) * HALF])
        labels = np.zeros((len(part), 1), np.int32)
        _, _, middle = cv2.kmeans(part, CENTROIDS, labels, ends, 1, cv2.KMEANS_PP_CENTERS)
        found.append(np.asarray(middle, dtype=np.float32))
    return np.stack(found)


def main() -> None:
    """Run the script."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=Path, required=True, help="folder of pictures")
    parser.add_argument("--out", type=Path, required=True, help="file to write")
    options = parser.parse_args()
    paths = pictures_in(options.pictures)
    digest = hashlib.sha256()
    found = []
    for path in track(paths, "key points"):
        picture = decode(path.read_bytes())
        digest.update(picture.sha256)
        found.append(features.detect(layout.grey(picture.rgb)).descriptors)
    made = centroids(canonical(np.concatenate(found))).astype(np.float16)
    about = {
        "pictures": len(paths),
        "points": sum(map(len, found)),
        "sha256_of_digests": digest.hexdigest(),
        "command": f"python -m scripts.make_words --pictures DIR --out {options.out.name}",
    }
    np.savez_compressed(options.out, centroids=made, about=np.array(json.dumps(about)))
    print(f"{options.out}: {options.out.stat().st_size / 1e3:.0f} KB, {about['points']} points")


if __name__ == "__main__":
    main()
