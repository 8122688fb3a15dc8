"""Make the tiny store of rights and disputes that later releases must still read: `rights-v3`.

    python -m tests.index.data.make_rights tests/index/data/rights-v3

Run it once per stored format, and never over a store that was released.
"""

import sys
from dataclasses import replace
from pathlib import Path

from index.catalogue import Catalogue
from index.licences import Licence
from index.records import Conflict, Screening
from tests.index.data.make_store import CONFIG, keep
from tests.index.kit import SCHEMA, SPACES, original, ticking

NOW_NS = 1_750_000_000_000_000_000

LICENCE = Licence(
    brand="acme",
    licence="summer",
    display_name="Summer ü",
    sellers=("dealer", "商" * 200),
    programmes=("dealers",),
    scope="TAG",
    originals=(),
    tag_key="season",
    tag_value="spring",
    territories=("AT", "DE"),
    start_time_ns=NOW_NS,
    end_time_ns=NOW_NS + 10,
    create_time_ns=NOW_NS,
)


def conflict(key: int) -> Screening:
    """A screening that found one earlier original; its evidence is opaque to the store."""
    match = {"score": 0.75, "kind": "EDITED", "evidence": [{"signal": "inliers", "value": 42.0}]}
    return Screening(key, (Conflict(key, match, {"policy": "balanced@1"}),))


def make(path: Path) -> None:
    """Rights of every kind; a dispute that is open, one decided, one withdrawn."""
    with Catalogue.open(path, SPACES, SCHEMA, CONFIG, ticking()) as catalogue:
        catalogue.create_brand("acme", "Acme")
        catalogue.create_brand("bolt", "Bolt")
        catalogue.register_many([original(i) for i in range(1, 5)])
        licences = catalogue.licences
        licences.create_programme("acme", "dealers", "Dealers", NOW_NS)
        licences.add_sellers("acme", "", ["flagship"], NOW_NS)
        licences.add_sellers("acme", "dealers", ["dealer-1", "dealer-2"], NOW_NS)
        licences.create(LICENCE)
        licences.create(_of("named", scope="ORIGINALS", originals=("photo-00001",)))
        licences.create(_of("gone", scope="ALL"))
        licences.revoke("acme", "gone", NOW_NS + 1)
        for i in range(1, 5):
            catalogue.register(original(10 + i, brand="bolt", screening=conflict(i)))
        catalogue.snapshot()
        catalogue.disputes.resolve("d-2", "UPHOLD_NEWCOMER", "it is theirs", NOW_NS + 2)
        catalogue.disputes.resolve("d-3", "REJECT_NEWCOMER", "", NOW_NS + 3)
        catalogue.withdraw("acme", "photo-00004")


def _of(licence: str, **terms: object) -> Licence:
    plain = {"licence": licence, "programmes": (), "territories": (), "end_time_ns": None}
    return replace(LICENCE, **(plain | {"tag_key": "", "tag_value": ""} | terms))  # type: ignore[arg-type]


if __name__ == "__main__":
    keep(Path(sys.argv[1]), make)
