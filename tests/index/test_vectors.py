"""faiss behind its own names: right candidates, measured recall, no surprises."""

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from index.exact import ExactIndex
from index.live import LiveIndex
from index.pieces import Batch, Sealed
from index.spaces import Space
from index.vectors import DeviceMissing, IndexOptions, VectorIndex, faiss
from tests.index.contracts import index_contract, plain
from tests.index.kit import PDQ, SSCD, rows

WIDE, BITS = Space("wide", "float", 512), Space("bits", "binary", 256)
NO_GPU = int(faiss.get_num_gpus()) == 0


@pytest.mark.parametrize("space", [SSCD, WIDE, PDQ, BITS], ids=lambda space: space.name)
@pytest.mark.parametrize("fp16_from_rows", [0, 10**6])
def test_a_flat_index_agrees_with_the_reference(space: Space, fp16_from_rows: int) -> None:
    index_contract(space, plain(IndexOptions(device="cpu", fp16_from_rows=fp16_from_rows)))


def test_an_inverted_binary_index_that_probes_every_list_agrees_with_the_reference() -> None:
    index_contract(PDQ, plain(IndexOptions("cpu", binary_ivf_from_rows=1, ivf_recall=1.1)))


def test_an_inverted_float_index_ranks_by_exact_scores() -> None:
    options = IndexOptions("cpu", ivf_from_rows=1, ivf_recall=1.1)  # every list is probed
    held = WIDE.kept(rows(WIDE, 3000))
    keys, brands = np.arange(1, 3001), np.zeros(3000, np.int32)
    live = LiveIndex(WIDE, sealed=[Sealed(keys, brands, VectorIndex(WIDE, held, options))])
    exact = ExactIndex(WIDE)
    exact.add(keys, brands, held)
    queries = rows(WIDE, 20, seed=1)
    assert live.search(queries, 10) == exact.search(queries, 10)  # 42 candidates of 8 bits each


def test_the_kind_follows_the_size() -> None:
    options = IndexOptions("cpu", fp16_from_rows=10, ivf_from_rows=100, binary_ivf_from_rows=100)
    float_kinds = [VectorIndex(SSCD, SSCD.kept(rows(SSCD, n)), options).kind for n in (9, 10, 100)]
    assert float_kinds == ["flat-fp32", "flat-fp16", "ivf-sq8"]
    binary_kinds = [VectorIndex(PDQ, rows(PDQ, n), options).kind for n in (99, 100)]
    assert binary_kinds == ["flat-binary", "ivf-binary"]


@pytest.mark.parametrize("kind", ["float", "binary"])
def test_an_inverted_index_measures_its_recall_and_reaches_what_is_asked(kind: str) -> None:
    space = WIDE if kind == "float" else BITS
    centres = rows(space, 40, seed=1)
    rng = np.random.default_rng(2)
    held: NDArray[Any]
    if kind == "float":
        held = centres[rng.integers(40, size=4000)] + rng.standard_normal((4000, 512)) * 0.03
        held = (held / np.linalg.norm(held, axis=1, keepdims=True)).astype(np.float32)
    else:
        flips = np.packbits(rng.random((4000, 256)) < 0.15, axis=1)
        held = centres[rng.integers(40, size=4000)] ^ flips
    options = IndexOptions("cpu", ivf_from_rows=1, binary_ivf_from_rows=1, ivf_recall=0.9)
    index = VectorIndex(space, space.kept(held), options)
    assert index.recall is not None
    assert index.recall >= 0.9
    assert 1 <= index.probes < 100  # of 100 lists
    found = index.propose(space.checked(held[:300]), 1).positions[:, 0]
    assert (found == np.arange(300)).mean() >= 0.98  # 1.0 on this seed


@pytest.mark.parametrize("space", [SSCD, PDQ], ids=lambda space: space.name)
def test_an_inverted_index_answers_in_full_even_when_its_lists_are_short(space: Space) -> None:
    options = IndexOptions("cpu", ivf_from_rows=1, binary_ivf_from_rows=1, ivf_recall=0.0)
    index = VectorIndex(space, space.kept(rows(space, 500)), options)
    assert index.probes == 1
    batch = Batch(np.arange(1, 501), (np.arange(500) % 50).astype(np.int32), index.rows)
    live = LiveIndex(space, sealed=[Sealed(batch.keys, batch.brands, index)])
    for k in (5, 200, 499):
        assert [len(found) for found in live.search(rows(space, 3, seed=8), k)] == [k] * 3
    assert [n.key % 50 for n in live.search(rows(space, 1), 30, [7])[0]] == [8] * 10


def test_an_inverted_index_is_saved_and_read_with_its_recall(tmp_path: Path) -> None:
    options = IndexOptions("cpu", ivf_from_rows=1)
    index = VectorIndex(SSCD, SSCD.kept(rows(SSCD, 2000)), options)
    assert index.save(tmp_path / "index")
    assert index.recall is not None
    again = VectorIndex(SSCD, index.rows, options, (tmp_path / "index", index.probes, index.recall))
    queries = rows(SSCD, 10, seed=3)
    assert (again.recall, again.probes) == (index.recall, index.probes)
    assert (again.propose(queries, 9).positions == index.propose(queries, 9).positions).all()
    flat = VectorIndex(SSCD, SSCD.kept(rows(SSCD, 20)), IndexOptions("cpu"))
    assert not flat.save(tmp_path / "flat")


def test_an_empty_index_and_a_filter_that_lets_nothing_through_find_nothing() -> None:
    for space in (SSCD, PDQ):
        empty = VectorIndex(space, space.empty(), IndexOptions("cpu"))
        assert empty.propose(rows(space, 2), 5).positions.shape == (2, 0)
        index = VectorIndex(space, space.kept(rows(space, 10)), IndexOptions("cpu"))
        found = index.propose(rows(space, 2), 5, np.zeros(10, np.bool_))
        assert found.complete
        assert found.positions.shape == (2, 0)


def test_one_index_answers_many_threads() -> None:
    index = VectorIndex(WIDE, WIDE.kept(rows(WIDE, 3000)), IndexOptions("cpu", fp16_from_rows=0))
    queries = WIDE.checked(rows(WIDE, 8, seed=1))
    truth = index.propose(queries, 20).positions
    wrong = []

    def search(i: int) -> None:
        for _ in range(30):
            found = index.propose(queries[i : i + 1], 20).positions
            if (found != truth[i]).any():
                wrong.append(i)

    threads = [threading.Thread(target=search, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.skipif(not NO_GPU, reason="faiss sees a GPU here")
def test_insisting_on_a_gpu_where_there_is_none_is_an_error_and_auto_is_not() -> None:
    with pytest.raises(DeviceMissing, match="GPU"):
        VectorIndex(SSCD, SSCD.empty(), IndexOptions("gpu"))
    assert VectorIndex(SSCD, SSCD.empty(), IndexOptions("auto")).device == "cpu"


def test_without_faiss_the_error_names_the_extras() -> None:
    code = "import sys; sys.modules['faiss'] = None\nimport index.vectors"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode != 0
    assert "FaissMissing: faiss is not installed: `pip install '.[cpu]'` in" in ran.stderr
    assert "'.[gpu]'" in ran.stderr
