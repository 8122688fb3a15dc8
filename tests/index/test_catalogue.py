"""The catalogue: what brands see, and that it equals a dictionary whatever they do."""

import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from index.catalogue import Catalogue, CatalogueConfig, IndexBehind
from index.exact import ExactIndex
from index.ids import IdInvalid
from index.ledger import (
    BrandExists,
    BrandNotFound,
    EtagMismatch,
    OriginalExists,
    OriginalNotFound,
    RequestIdReused,
)
from index.live import LiveOptions
from index.reader import KeyNotFound
from index.records import NewOriginal, OriginalRecord
from index.recovery import SchemaMismatch
from index.spaces import DimensionMismatch, NotFinite, NotUnit, Space, UnknownSpace
from index.store import StoreOptions
from tests.index.kit import (
    PDQ,
    SCHEMA,
    SPACES,
    SSCD,
    every_row_finds_itself,
    original,
    registered,
    rows,
    ticking,
)

QUIET = CatalogueConfig(background=False, snapshot_changes=0)


@pytest.fixture
def catalogue(tmp_path: Path) -> Iterator[Catalogue]:
    with Catalogue.open(tmp_path / "c", SPACES, SCHEMA, QUIET, ticking()) as made:
        made.create_brand("acme", "Acme")
        made.create_brand("bolt")
        yield made


def test_a_registered_original_is_stored_and_finds_itself(catalogue: Catalogue) -> None:
    new = original(1)
    record = catalogue.register(new)
    assert (record.key, record.brand, record.original) == (1, "acme", "photo-00001")
    assert (record.state, record.schema, record.revision) == ("ACTIVE", SCHEMA, 1)
    assert record.annotations == {"season": "spring"}
    assert record.attributes["phash"] == 2**63 + 1
    assert record.create_time_ns == record.update_time_ns > 0
    read = catalogue.get("acme", "photo-00001")
    assert read.etag == record.etag
    assert (read.vectors["sscd"] == record.vectors["sscd"]).all()
    assert catalogue.preview(record.key) == b"preview 1"
    assert catalogue.features(record.key) == b"features 1"
    for space in SPACES:
        best = catalogue.search(space.name, new.vectors[space.name][None], 5)[0][0]
        assert best.key == record.key
        assert best.score == pytest.approx(1, abs=1e-6)


def test_brands_are_made_read_and_paged(catalogue: Catalogue) -> None:
    for i in range(25):
        catalogue.create_brand(f"brand-{i:02d}", annotations={"n": str(i)})
    with pytest.raises(BrandExists):
        catalogue.create_brand("acme")
    with pytest.raises(BrandNotFound):
        catalogue.get_brand("nobody")
    assert catalogue.get_brand("brand-07").annotations == {"n": "7"}
    seen, after = list[str](), ""
    while page := catalogue.list_brands(10, after):
        seen += [brand.brand for brand in page]
        after = seen[-1]
    assert seen == ["acme", "bolt", *(f"brand-{i:02d}" for i in range(25))]
    assert len({catalogue.get_brand(brand).number for brand in seen}) == 27


@pytest.mark.parametrize("bad", ["", "a/b", "a\0b", "x" * 201, "\ud800"])
def test_ids_that_can_not_be_keys_are_refused(catalogue: Catalogue, bad: str) -> None:
    with pytest.raises(IdInvalid):
        catalogue.create_brand(bad)
    with pytest.raises(IdInvalid):
        catalogue.register(original(1, original=bad))
    with pytest.raises(IdInvalid):
        catalogue.get("acme", bad)


def test_originals_are_paged_in_the_order_of_their_ids_within_their_brand(
    catalogue: Catalogue,
) -> None:
    numbers = list(range(30))
    np.random.default_rng(0).shuffle(numbers)
    catalogue.register_many([original(i) for i in numbers])
    catalogue.register_many([original(100 + i, brand="bolt") for i in range(3)])
    seen, after = list[str](), ""
    while page := catalogue.list("acme", 7, after):
        seen += [record.original for record in page]
        after = seen[-1]
    assert seen == [f"photo-{i:05d}" for i in range(30)]
    assert [r.original for r in catalogue.list("bolt")] == [
        f"photo-{100 + i:05d}" for i in range(3)
    ]
    assert catalogue.list("acme", 5, "zzz") == []
    with pytest.raises(BrandNotFound):
        catalogue.list("nobody")


def test_the_id_of_an_original_is_taken_once_per_brand(catalogue: Catalogue) -> None:
    catalogue.register(original(1))
    with pytest.raises(OriginalExists) as same:
        catalogue.register(original(1))
    assert same.value.same_picture
    with pytest.raises(OriginalExists) as other:
        catalogue.register(original(2, original="photo-00001"))
    assert not other.value.same_picture
    assert catalogue.register(original(1, brand="bolt")).brand == "bolt"
    assert catalogue.stats().originals == 2


def test_a_retry_with_its_request_id_gets_the_first_answer(catalogue: Catalogue) -> None:
    first = catalogue.register(original(1, request_id="r1"))
    again = catalogue.register(original(1, request_id="r1"))
    assert (again.key, again.etag) == (first.key, first.etag)
    assert catalogue.stats().sequence == 1
    assert len(catalogue.search("sscd", first.vectors["sscd"][None], 9)[0]) == 1
    with pytest.raises(RequestIdReused):
        catalogue.register(original(2, request_id="r1"))
    with pytest.raises(RequestIdReused):
        catalogue.register(original(1, sha256=b"x" * 32, request_id="r1"))
    catalogue.withdraw("acme", "photo-00001")
    with pytest.raises(RequestIdReused, match="withdrawn"):
        catalogue.register(original(1, request_id="r1"))


def test_the_request_ids_of_one_brand_are_nothing_to_another(catalogue: Catalogue) -> None:
    """Otherwise a brand could ask whether a rival has used an id."""
    catalogue.register(original(1, request_id="r1"))
    theirs = catalogue.register(original(2, brand="bolt", request_id="r1"))
    assert catalogue.register(original(2, brand="bolt", request_id="r1")).key == theirs.key
    catalogue.withdraw("bolt", "photo-00002")
    assert catalogue.register(original(1, request_id="r1")).key == 1


def test_request_ids_are_forgotten_after_their_days(tmp_path: Path) -> None:
    with Catalogue.open(tmp_path, SPACES, SCHEMA, QUIET, lambda: 0) as catalogue:
        catalogue.create_brand("acme")
        catalogue.register(original(1, request_id="r1"))
    day = 86_400 * 10**9
    with Catalogue.open(tmp_path, SPACES, SCHEMA, QUIET, lambda: 7 * day) as catalogue:
        assert catalogue.register(original(1, request_id="r1")).key == 1
    with Catalogue.open(tmp_path, SPACES, SCHEMA, QUIET, lambda: 7 * day + 1) as catalogue:
        assert catalogue.register(original(2, request_id="r1")).key == 2


def test_many_are_registered_together_and_each_has_its_own_answer(catalogue: Catalogue) -> None:
    bad = original(7)
    nan = np.full(16, np.nan, np.float32)
    results = catalogue.register_many(
        [
            original(1),
            original(2, brand="nobody"),
            original(1),
            replace(bad, vectors={"sscd": nan}),
            replace(bad, vectors={"sscd": np.zeros(16, np.float32)}),
            replace(bad, vectors={"sscd": np.zeros(3, np.float32)}),
            replace(bad, vectors={"other": nan}),
            original(3),
        ]
    )
    assert [type(r) for r in results] == [
        OriginalRecord,
        BrandNotFound,
        OriginalExists,
        NotFinite,
        NotUnit,
        DimensionMismatch,
        UnknownSpace,
        OriginalRecord,
    ]
    assert [registered(results[i]).key for i in (0, 7)] == [1, 2]
    assert catalogue.stats().originals == 2


def test_an_original_may_lack_a_space_and_is_not_found_there(catalogue: Catalogue) -> None:
    record = catalogue.register(original(1, vectors={"sscd": rows(SSCD, 1)[0]}))
    assert catalogue.search("pdq", rows(PDQ, 1), 5) == [[]]
    assert catalogue.search("sscd", rows(SSCD, 1), 5)[0][0].key == record.key
    assert set(catalogue.get("acme", "photo-00001").vectors) == {"sscd"}
    with pytest.raises(UnknownSpace):
        catalogue.search("clip", rows(SSCD, 1), 5)


def test_an_update_changes_what_is_given_and_minds_the_etag(catalogue: Catalogue) -> None:
    first = catalogue.register(original(1))
    second = catalogue.update("acme", "photo-00001", display_name="New", etag=first.etag)
    assert second.display_name == "New"
    assert second.annotations == first.annotations
    assert second.etag != first.etag
    assert second.update_time_ns > second.create_time_ns == first.create_time_ns
    with pytest.raises(EtagMismatch) as caught:
        catalogue.update("acme", "photo-00001", annotations={}, etag=first.etag)
    assert caught.value.current == second.etag
    third = catalogue.update("acme", "photo-00001", annotations={"a": "b"}, attributes={"x": 1})
    assert (third.annotations, third.attributes, third.revision) == ({"a": "b"}, {"x": 1}, 3)
    assert (catalogue.get("acme", "photo-00001").vectors["pdq"] == first.vectors["pdq"]).all()
    with pytest.raises(OriginalNotFound):
        catalogue.update("acme", "nothing", display_name="x")


def test_a_withdrawn_original_no_longer_matches_and_leaves_nothing_of_the_picture(
    catalogue: Catalogue,
) -> None:
    new = original(1)
    record = catalogue.register(new)
    catalogue.register(original(2))
    with pytest.raises(EtagMismatch):
        catalogue.withdraw("acme", "photo-00001", etag="other")
    assert catalogue.withdraw("acme", "photo-00001", etag=record.etag).key == record.key
    for space in SPACES:
        found = catalogue.search(space.name, new.vectors[space.name][None], 5)[0]
        assert [n.key for n in found] == [2]
    assert catalogue.find_digest(sha256=new.sha256, pixel_sha256=new.pixel_sha256) == []
    assert catalogue.by_key([1]) == [None]
    assert catalogue.features(1) is None
    with pytest.raises(KeyNotFound):
        catalogue.preview(1)
    with pytest.raises(OriginalNotFound):
        catalogue.get("acme", "photo-00001")
    with pytest.raises(OriginalNotFound):
        catalogue.withdraw("acme", "photo-00001")
    log = catalogue.changes()
    assert [(c.sequence, c.kind, c.key) for c in log] == [
        (1, "REGISTER", 1),
        (2, "REGISTER", 2),
        (3, "WITHDRAW", 1),
    ]
    assert catalogue.changes(after=2)[0].original == "photo-00001"
    assert catalogue.register(new).key == 3, "keys are not used again"


def test_digests_find_all_with_the_same_bytes_or_pixels(catalogue: Catalogue) -> None:
    a, b, c = original(1), original(2), original(3)
    b = replace(b, pixel_sha256=a.pixel_sha256)
    c = replace(c, brand="bolt", sha256=a.sha256)
    catalogue.register_many([a, b, c])
    assert catalogue.find_digest(sha256=a.sha256) == [1, 3]
    assert catalogue.find_digest(pixel_sha256=a.pixel_sha256) == [1, 2]
    assert catalogue.find_digest(sha256=a.sha256, pixel_sha256=a.pixel_sha256) == [1, 2, 3]
    assert catalogue.find_digest(sha256=b"?" * 32) == []


def test_records_previews_and_features_come_in_the_order_of_the_keys(catalogue: Catalogue) -> None:
    catalogue.register_many([original(i, features=None if i == 2 else b"f") for i in (1, 2, 3)])
    assert [r and r.key for r in catalogue.by_key([3, 99, 1])] == [3, None, 1]
    assert catalogue.features_many([3, 2, 99]) == [b"f", None, None]
    assert catalogue.previews_many([2, 99]) == [b"preview 2", None]


def test_a_search_can_be_held_to_brands(catalogue: Catalogue) -> None:
    catalogue.register_many([original(i, brand=("acme", "bolt")[i % 2]) for i in range(20)])
    for brands, count in ((["acme"], 10), (["acme", "bolt"], 20), ([], 0)):
        found = catalogue.search("sscd", rows(SSCD, 1), 50, brands=brands)[0]
        assert len(found) == count
    found = catalogue.search("sscd", rows(SSCD, 1), 50, brands=["bolt"])[0]
    assert {r.brand for r in catalogue.by_key([n.key for n in found]) if r} == {"bolt"}
    with pytest.raises(BrandNotFound):
        catalogue.search("sscd", rows(SSCD, 1), 1, brands=["nobody"])


def test_another_schema_is_refused_with_what_can_be_done_and_an_empty_one_adopts_it(
    tmp_path: Path,
) -> None:
    Catalogue.open(tmp_path, SPACES, "old", QUIET).close()
    with Catalogue.open(tmp_path, SPACES, SCHEMA, QUIET) as catalogue:
        catalogue.create_brand("acme")
        catalogue.register(original(1))
    for spaces, schema in ((SPACES, "new"), ((SSCD,), SCHEMA), ((Space("x", "float", 3),), SCHEMA)):
        with pytest.raises(SchemaMismatch, match="register the pictures again") as caught:
            Catalogue.open(tmp_path, spaces, schema, QUIET)
        assert caught.value.originals == 1
    with Catalogue.open(tmp_path, SPACES, SCHEMA, QUIET) as catalogue:
        assert catalogue.stats().originals == 1


def test_what_is_not_searchable_after_its_commit_is_an_error_until_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Catalogue.open(tmp_path, SPACES, SCHEMA, QUIET) as catalogue:
        catalogue.create_brand("acme")
        catalogue.register(original(1))
        with monkeypatch.context() as patch:
            patch.setattr("index.follower.add_records", lambda *given: 1 // 0)
            with pytest.raises(IndexBehind, match="ZeroDivisionError"):
                catalogue.register(original(2))
        with pytest.raises(IndexBehind):
            catalogue.register(original(3))
        with pytest.raises(IndexBehind):
            catalogue.snapshot()
        assert "ZeroDivisionError" in catalogue.stats().behind
        assert len(catalogue.search("sscd", rows(SSCD, 1), 9)[0]) == 1
    with Catalogue.open(tmp_path, SPACES, SCHEMA, QUIET) as catalogue:
        assert len(catalogue.search("sscd", rows(SSCD, 1), 9)[0]) == 2
        assert catalogue.register(original(3)).key == 3


def test_a_call_returns_when_its_original_is_searchable_from_any_thread(tmp_path: Path) -> None:
    config = CatalogueConfig(live=LiveOptions(seal_rows=32), snapshot_changes=100)
    with Catalogue.open(tmp_path, SPACES, SCHEMA, config) as catalogue:
        catalogue.create_brand("acme")

        def register(i: int) -> None:
            new = original(i)
            key = catalogue.register(new).key
            assert catalogue.search("sscd", new.vectors["sscd"][None], 1)[0][0].key == key
            if i % 5 == 0:
                catalogue.withdraw("acme", new.original)
                found = catalogue.search("sscd", new.vectors["sscd"][None], 400)[0]
                assert key not in [n.key for n in found]

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(register, range(300)))
        stats = catalogue.stats()
        assert (stats.originals, stats.sequence, stats.maintenance_failure) == (240, 360, "")
        for index in catalogue._follower.indexes.values():
            assert len(index) == 240
            every_row_finds_itself(index)


def test_a_failure_in_the_background_is_told_and_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = CatalogueConfig(live=LiveOptions(seal_rows=4), snapshot_changes=0)
    with Catalogue.open(tmp_path, SPACES, SCHEMA, config) as catalogue:
        catalogue.create_brand("acme")
        tried = threading.Event()

        def broken(*given: object) -> None:
            tried.set()
            raise MemoryError("no room")

        with monkeypatch.context() as patch:
            patch.setattr("index.pieces.Sealed.of", broken)
            catalogue.register_many([original(i) for i in range(8)])
            assert tried.wait(60)
            catalogue._maintenance.idle()
            assert catalogue.stats().maintenance_failure == "MemoryError: no room"
        assert len(catalogue.search("sscd", rows(SSCD, 1), 20)[0]) == 8
        catalogue.register(original(100))
        catalogue._maintenance.idle()
        assert catalogue.stats().maintenance_failure == ""
        assert catalogue.stats().spaces[0].delta_rows == 0


class CatalogueEqualsDict(RuleBasedStateMachine):
    """Registrations, updates, withdrawals, maintenance, snapshots and restarts in any order."""

    config = CatalogueConfig(
        live=LiveOptions(seal_rows=6, tier_pieces=2),
        store=StoreOptions(initial_bytes=1 << 17),
        background=False,
        snapshot_changes=15,
    )

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.held: dict[tuple[str, str], tuple[OriginalRecord, NewOriginal]] = {}
        self.clock, self.number = ticking(), 0
        self.catalogue = self._open()
        for brand in ("acme", "bolt"):
            self.catalogue.create_brand(brand)

    def _open(self) -> Catalogue:
        return Catalogue.open(Path(self.folder.name), SPACES, SCHEMA, self.config, self.clock)

    @rule(
        brand=st.sampled_from(["acme", "bolt", "none"]),
        ids=st.lists(st.integers(0, 40), min_size=1, max_size=8),
        lacks=st.sampled_from([None, "sscd", "pdq"]),
    )
    def register(self, brand: str, ids: list[int], lacks: str | None) -> None:
        news = []
        for i in ids:
            self.number += 1
            made = original(self.number, brand=brand, original=f"o{i}")
            vectors = {name: v for name, v in made.vectors.items() if name != lacks}
            news.append(replace(made, vectors=vectors))
        for new, result in zip(news, self.catalogue.register_many(news), strict=True):
            if brand == "none":
                assert isinstance(result, BrandNotFound)
            elif (brand, new.original) in self.held:
                assert isinstance(result, OriginalExists)
            else:
                self.held[brand, new.original] = registered(result), new

    @rule(brand=st.sampled_from(["acme", "bolt"]), i=st.integers(0, 40))
    def withdraw(self, brand: str, i: int) -> None:
        if (brand, f"o{i}") in self.held:
            self.catalogue.withdraw(brand, f"o{i}")
            del self.held[brand, f"o{i}"]
        else:
            with pytest.raises(OriginalNotFound):
                self.catalogue.withdraw(brand, f"o{i}")

    @rule(data=st.data(), name=st.text(st.characters(exclude_categories=["Cs"]), max_size=9))
    def update(self, data: st.DataObject, name: str) -> None:
        if self.held:
            brand, original_id = data.draw(st.sampled_from(sorted(self.held)))
            before, new = self.held[brand, original_id]
            after = self.catalogue.update(brand, original_id, display_name=name, etag=before.etag)
            self.held[brand, original_id] = after, new

    @rule()
    def maintain(self) -> None:
        self.catalogue.maintain()

    @rule(snapshot=st.booleans())
    def restart(self, snapshot: bool) -> None:
        if snapshot:
            self.catalogue.snapshot()
        self.catalogue.close()
        self.catalogue = self._open()

    @rule(k=st.integers(1, 30), seed=st.integers(0, 20), brand=st.sampled_from([None, "bolt"]))
    def search(self, k: int, seed: int, brand: str | None) -> None:
        for space in SPACES:
            exact = ExactIndex(space)
            for record, _ in self.held.values():
                if space.name in record.vectors and brand in (None, record.brand):
                    row = record.vectors[space.name][None].astype(space.dtype)
                    exact.add(np.array([record.key]), np.array([1], np.int32), row)
            queries = rows(space, 2, seed)
            found = self.catalogue.search(
                space.name, queries, k, brands=None if brand is None else [brand]
            )
            assert found == exact.search(queries, k)

    @invariant()
    def the_store_equals_the_dictionary(self) -> None:
        for brand in ("acme", "bolt"):
            wanted = sorted(i for b, i in self.held if b == brand)
            assert [r.original for r in self.catalogue.list(brand)] == wanted
        keys = [record.key for record, _ in self.held.values()]
        assert [r and r.etag for r in self.catalogue.by_key(keys)] == [
            record.etag for record, _ in self.held.values()
        ]
        assert self.catalogue.previews_many(keys) == [new.preview for _, new in self.held.values()]
        counts = self.catalogue.counts()
        assert counts["originals"] == counts["ids"] == counts["previews"] == len(keys)
        assert counts["digests"] == 2 * len(keys)
        assert counts["log"] == self.catalogue.stats().sequence

    def teardown(self) -> None:
        self.catalogue.close()
        self.folder.cleanup()


CatalogueEqualsDict.TestCase.settings = settings(
    max_examples=20, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)
TestCatalogueEqualsDict = CatalogueEqualsDict.TestCase
