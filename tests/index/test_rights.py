"""Rights and disputes in the store: old formats, states in the index, what a deletion leaves."""

import shutil
from pathlib import Path

import pytest

from index.catalogue import Catalogue
from index.dispute_rows import RivalAppeared
from index.ledger import STORE_VERSION, OriginalExists
from index.records import OriginalRecord, Screening
from index.selection import AllBut
from tests.index.data.make_rights import LICENCE, NOW_NS, conflict, make
from tests.index.data.make_store import CONFIG
from tests.index.kit import SCHEMA, SPACES, SSCD, original, ticking

DATA = Path(__file__).parent / "data"


@pytest.fixture
def catalogue(tmp_path: Path) -> "Catalogue":
    made = Catalogue.open(tmp_path / "new", SPACES, SCHEMA, CONFIG, ticking())
    for brand in ("acme", "bolt", "cone"):
        made.create_brand(brand)
    return made


def found(catalogue: Catalogue, number: int) -> list[int]:
    """Keys near the vector of this original, the best first."""
    row = original(number).vectors["sscd"][None]
    return [neighbour.key for neighbour in catalogue.search("sscd", row, 9)[0]]


@pytest.mark.parametrize("snapshot", [True, False])
def test_an_old_store_opens_with_its_rights_and_disputes(tmp_path: Path, snapshot: bool) -> None:
    shutil.copytree(DATA / f"rights-v{STORE_VERSION}", tmp_path / "old")
    if not snapshot:
        shutil.rmtree(tmp_path / "old" / "snapshots")
    with Catalogue.open(tmp_path / "old", SPACES, SCHEMA, CONFIG, ticking()) as catalogue:
        assert catalogue.stats().opened_from == ("snapshot" if snapshot else "store")
        licences = catalogue.licences
        assert licences.get("acme", "summer") == LICENCE
        assert licences.get("acme", "gone").state(NOW_NS) == "REVOKED"
        assert licences.get("acme", "named").originals == ("photo-00001",)
        assert licences.held("flagship", "acme").own
        ids = [licence.licence for licence in licences.held("商" * 200, "acme").licences]
        assert ids == ["named", "summer"]
        assert [one.licence for one in licences.held("dealer-2", "acme").licences] == ["summer"]
        assert licences.list_sellers("acme", "dealers") == ["dealer-1", "dealer-2"]
        assert licences.get_programme("acme", "dealers").display_name == "Dealers"
        disputes = catalogue.disputes.list()
        assert [one.state for one in disputes] == ["OPEN", "RESOLVED", "RESOLVED", "WITHDRAWN"]
        assert disputes[0].match["evidence"] == [{"signal": "inliers", "value": 42.0}]
        assert disputes[1].reason == "it is theirs"
        states = {
            record.original: record.state
            for brand in ("acme", "bolt")
            for record in catalogue.list(brand)
        }
        assert states == {
            "photo-00001": "ACTIVE",
            "photo-00002": "REJECTED",
            "photo-00003": "ACTIVE",
            "photo-00011": "DISPUTED",
            "photo-00012": "ACTIVE",
            "photo-00013": "REJECTED",
            "photo-00014": "ACTIVE",
        }
        assert set(found(catalogue, 1)) == {1, 3, 6, 8}
        assert catalogue.disputes.open_count() == catalogue.stats().open_disputes == 1


def test_the_newest_store_of_rights_is_what_the_script_makes_today(tmp_path: Path) -> None:
    """Else the stored format has changed: then it needs a version, a migration and a new store."""
    make(tmp_path / "made")
    shutil.copytree(DATA / f"rights-v{STORE_VERSION}", tmp_path / "stored")
    contents = []
    for name in ("made", "stored"):
        with (
            Catalogue.open(tmp_path / name, SPACES, SCHEMA, CONFIG, ticking()) as catalogue,
            catalogue._store.read() as txn,
        ):
            tables = {t: txn.scan(t, limit=1000) for t in (*catalogue.counts(), "meta")}
            tables["meta"] = [pair for pair in tables["meta"] if pair[0] != b"store_id"]
            contents.append(tables)
    assert contents[0] == contents[1]


def test_a_state_decides_whether_an_original_is_searchable(catalogue: Catalogue) -> None:
    with catalogue:
        catalogue.register(original(1))
        for state, keys in (("REJECTED", []), ("ACTIVE", [1]), ("DISPUTED", []), ("ACTIVE", [1])):
            catalogue.update("acme", "photo-00001", state=state)
            assert found(catalogue, 1) == keys
            assert catalogue.stats().spaces[0].rows == len(keys)
        catalogue.update("acme", "photo-00001", state="REJECTED")
        catalogue.withdraw("acme", "photo-00001")
        assert found(catalogue, 1) == []


def test_a_state_is_kept_over_seals_snapshots_and_restarts(tmp_path: Path) -> None:
    path = tmp_path / "store"

    def states(catalogue: Catalogue) -> set[int]:
        return set(found(catalogue, 1))

    with Catalogue.open(path, SPACES, SCHEMA, CONFIG, ticking()) as catalogue:
        catalogue.create_brand("acme")
        catalogue.register_many([original(i) for i in range(1, 5)])
        catalogue.update("acme", "photo-00002", state="REJECTED")
        for index in catalogue._follower.indexes.values():
            index.seal()
        catalogue.snapshot()
        catalogue.update("acme", "photo-00002", state="ACTIVE")  # replayed: comes back
        catalogue.update("acme", "photo-00003", state="REJECTED")  # replayed: goes
        assert states(catalogue) == {1, 2, 4}
    with Catalogue.open(path, SPACES, SCHEMA, CONFIG, ticking()) as catalogue:
        assert catalogue.stats().opened_from == "snapshot"
        assert states(catalogue) == {1, 2, 4}
        for index in catalogue._follower.indexes.values():
            index.seal()
            index.compact(everything=True)
        assert states(catalogue) == {1, 2, 4}
    shutil.rmtree(path / "snapshots")
    with Catalogue.open(path, SPACES, SCHEMA, CONFIG, ticking()) as catalogue:
        assert catalogue.stats().opened_from == "store"
        assert states(catalogue) == {1, 2, 4}


def test_all_but_some_brands_are_searched(catalogue: Catalogue) -> None:
    with catalogue:
        for i, brand in enumerate(("acme", "bolt", "cone"), 1):
            catalogue.register(original(i, brand=brand))
        row = original(1).vectors["sscd"][None]

        def keys(brands: AllBut[str]) -> set[int]:
            return {one.key for one in catalogue.search("sscd", row, 9, brands=brands)[0]}

        assert keys(AllBut({"acme"})) == {2, 3}
        assert keys(AllBut({"acme", "cone"})) == {2}
        assert keys(AllBut({"acme", "bolt", "cone"})) == set()
        catalogue._follower.index("sscd").seal()
        assert keys(AllBut({"acme"})) == {2, 3}
    assert "acme" not in AllBut({"acme"}) and "bolt" in AllBut({"acme"})


def alike(record: OriginalRecord) -> bool:
    return record.original == "photo-00001"


def test_what_was_registered_since_is_noticed_at_the_commit(catalogue: Catalogue) -> None:
    with catalogue:
        before = Screening(catalogue.searchable_key, (), alike)
        catalogue.register(original(1))
        with pytest.raises(RivalAppeared):
            catalogue.register(original(2, brand="bolt", screening=before))
        assert catalogue.counts()["originals"] == 1
        own = catalogue.register(original(3, screening=before))  # one's own is no rival
        later = Screening(catalogue.searchable_key, (), alike)
        assert later.until_key == own.key
        assert catalogue.register(original(2, brand="bolt", screening=later)).state == "ACTIVE"


def test_rivals_within_one_commit_are_noticed(catalogue: Catalogue) -> None:
    with catalogue:
        screening = Screening(0, (), lambda record: True)
        results = catalogue.register_many(
            [
                original(1, screening=screening),
                original(2, brand="bolt", screening=screening),
                original(3, brand="cone", screening=screening),
            ]
        )
        assert [type(one) for one in results] == [OriginalRecord, RivalAppeared, RivalAppeared]


def test_a_conflict_with_what_is_gone_or_matches_no_more_is_none(catalogue: Catalogue) -> None:
    with catalogue:
        catalogue.register_many([original(1), original(2), original(3, brand="cone")])
        catalogue.withdraw("acme", "photo-00001")
        catalogue.update("acme", "photo-00002", state="REJECTED")
        catalogue.delete_brand("cone", force=True)
        for i in (1, 2, 3):
            made = catalogue.register(original(10 + i, brand="bolt", screening=conflict(i)))
            assert made.state == "ACTIVE"
        assert catalogue.disputes.list() == []


def test_a_picture_is_kept_once_where_that_is_asked_for(catalogue: Catalogue) -> None:
    with catalogue:
        first = original(1)
        catalogue.register(first)
        for same in (
            original(2, sha256=first.sha256, once=True),
            original(2, pixel_sha256=first.pixel_sha256, once=True),
        ):
            with pytest.raises(OriginalExists) as caught:
                catalogue.register(same)
            assert (caught.value.original, caught.value.same_picture) == ("photo-00001", True)
        other = original(2, brand="bolt", sha256=first.sha256, once=True)
        assert catalogue.register(other).state == "ACTIVE"


@pytest.mark.parametrize(("brand", "newcomer"), [("acme", "ACTIVE"), ("bolt", None)])
def test_a_brand_that_is_deleted_ends_its_disputes(
    catalogue: Catalogue, brand: str, newcomer: str | None
) -> None:
    with catalogue:
        catalogue.register(original(1))
        catalogue.register(original(2, brand="bolt", screening=conflict(1)))
        catalogue.delete_brand(brand, force=True)
        (dispute,) = catalogue.disputes.list()
        assert dispute.state == "WITHDRAWN"
        if newcomer:
            assert catalogue.get("bolt", "photo-00002").state == newcomer
            assert found(catalogue, 2) == [2]
        else:
            assert found(catalogue, 1) == [1]
        catalogue.create_brand(brand)
        assert catalogue.disputes.list(brand) == []
        assert catalogue.disputes.open_count() == 0


def test_the_log_says_what_became_of_disputes(catalogue: Catalogue) -> None:
    with catalogue:
        catalogue.register(original(1))
        catalogue.register(original(2, brand="bolt", screening=conflict(1)))
        catalogue.disputes.resolve("d-1", "UPHOLD_NEWCOMER", "", NOW_NS)
        catalogue.disputes.resolve("d-1", "REJECT_NEWCOMER", "", NOW_NS)
        kinds = [change.kind for change in catalogue.changes()]
        assert kinds == ["REGISTER", "REGISTER", "DISPUTE"] + ["RESOLVE", "UPDATE", "UPDATE"] * 2
        assert [c.sequence for c in catalogue.changes()] == list(range(1, 10))
        actions = [link.entry["action"] for link in catalogue.audit.links()]
        assert actions.count("dispute.resolve") == 2
        assert catalogue.stats().sequence == 9
        assert SSCD.name in catalogue.get("bolt", "photo-00002").vectors
