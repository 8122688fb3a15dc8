"""Make the background that similarities are normalised with, from a folder of pictures.

    python scripts/make_background.py --pictures DIR --out models/data/background.npz

Only vectors and hashes are written, never a picture. The pictures should be like those that
the service will see, and must show nothing that is registered: an original that is part of
the background would count as ordinary. Vectors of both bundled copy descriptors are made; with
`--clip NAME` (as in the setting `clip_name`) those of a CLIP model too.
"""

import argparse
import hashlib
from pathlib import Path

import numpy as np
from rich.progress import track

from models.background import Background
from models.batcher import Batcher
from models.clip import choose
from models.encoders import Encoder
from models.fingerprint import Fingerprinter
from models.images import decode
from models.sscd import SscdEncoder
from scripts.unrelated import pictures_in


def main() -> None:
    """Run the script."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=Path, required=True, help="folder of pictures")
    parser.add_argument("--out", type=Path, required=True, help="file to write")
    parser.add_argument("--clip", default="", help="CLIP model as in the setting clip_name")
    options = parser.parse_args()
    paths = pictures_in(options.pictures)
    encoders: list[Encoder] = [SscdEncoder("sscd"), SscdEncoder("sscd_distilled")]
    if options.clip:
        clip = choose("required", options.clip)
        assert clip.encoder is not None
        encoders.append(clip.encoder)
    rows: dict[str, list[np.ndarray]] = {}
    digest = hashlib.sha256()
    batchers = [Batcher(encoder).start() for encoder in encoders]
    printer = Fingerprinter(batchers[0], background=Background({}))
    for path in track(paths, "fingerprints"):
        picture = decode(path.read_bytes())
        digest.update(picture.sha256)
        made = printer.original(picture).vectors
        for space in ("layout", "pdq"):
            if space in made:
                rows.setdefault(printer.ids[space], []).append(made[space])
        for batcher in batchers:
            row = batcher.encode([batcher.encoder.prepare(picture.rgb)])[0]
            rows.setdefault(batcher.encoder.info.id, []).append(row)
    about = {
        "pictures": len(paths),
        "sha256_of_digests": digest.hexdigest(),
        "command": f"python scripts/make_background.py --pictures DIR --out {options.out.name}",
    }
    Background({id_: np.stack(found) for id_, found in rows.items()}, about).save(options.out)
    for batcher in batchers:
        batcher.stop()
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.1f} MB, {sorted(rows)}")


if __name__ == "__main__":
    main()
