"""The GPU variants answer as the CPU does. Skipped, with the reason, where faiss sees no GPU."""

import threading

import numpy as np
import pytest

from index.pieces import Batch
from index.spaces import Space
from index.vectors import IndexOptions, VectorIndex, faiss
from tests.index.contracts import index_contract, plain
from tests.index.kit import rows

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(int(faiss.get_num_gpus()) == 0, reason="faiss sees no GPU"),
]

WIDE, BITS = Space("wide", "float", 512), Space("bits", "binary", 256)


@pytest.mark.parametrize("space", [WIDE, BITS], ids=lambda space: space.name)
def test_a_gpu_index_agrees_with_the_reference(space: Space) -> None:
    index_contract(space, plain(IndexOptions(device="gpu")), n=3000)


@pytest.mark.parametrize("space", [WIDE, BITS], ids=lambda space: space.name)
def test_a_gpu_index_runs_on_the_gpu(space: Space) -> None:
    assert VectorIndex(space, space.kept(rows(space, 100)), IndexOptions("gpu")).device == "gpu"


def test_an_inverted_gpu_index_reaches_its_recall() -> None:
    options = IndexOptions("gpu", ivf_from_rows=1, ivf_recall=0.95)
    index = VectorIndex(WIDE, WIDE.kept(rows(WIDE, 5000)), options)
    assert index.kind == "ivf-sq8"
    assert index.recall is not None
    assert index.recall >= 0.95


def test_many_threads_share_the_owner_and_each_gets_its_own_rows() -> None:
    held = WIDE.kept(rows(WIDE, 5000))
    batch = Batch(np.arange(5000), np.zeros(5000, np.int32), held)
    index = VectorIndex(WIDE, batch.rows, IndexOptions("gpu"))
    queries, wrong = WIDE.checked(held[:64].astype(np.float32)), []

    def search(i: int) -> None:
        for k in (1, 5, 50):
            if index.propose(queries[i : i + 1], k).positions[0, 0] != i:
                wrong.append(i)

    threads = [threading.Thread(target=search, args=(i,)) for i in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
