"""Vectors in faiss: rows that never change, and the nearest of them. The one file with faiss.

faiss proposes, `index.spaces.scores` decides: an index here returns candidates with scores
that are right within a stated error, and `index.live` rescores them. So CPU and GPU, flat
and inverted, agree on order wherever they propose the same rows.

What faiss does by surprise is kept inside: rows are checked before they come here (a wrong
dimension is an empty assertion there, NaN finds -1), missing neighbours (-1) are masked by
the caller, and an index is never changed after it was built (searching while adding is a
segmentation fault). Searches of a CPU index may run on any thread; those of a GPU index go
through one owner thread.

Measured on two busy cores: one thread per search is never slower than two for one query at
100,000 rows (11 ms against 15 to 25), so that is the default.
"""

import functools
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from index.candidates import Found, Proposal, filtered
from index.owner import Owner
from index.recall import RECALL_K, exact_positions, recall, recall_queries
from index.spaces import BoolArray, Rows, Space


class FaissMissing(ImportError):
    """Neither faiss-cpu nor faiss-gpu is installed."""

    reason: ClassVar[str] = "FAISS_MISSING"

    def __init__(self) -> None:
        super().__init__(
            "faiss is not installed: `pip install '.[cpu]'` in the project's folder, or '.[gpu]' "
            "on a machine with an NVIDIA GPU; never both"
        )


class DeviceMissing(RuntimeError):
    """The configuration asks for a GPU and faiss sees none."""

    reason: ClassVar[str] = "DEVICE_MISSING"

    def __init__(self, why: str) -> None:
        super().__init__(f"the index is set to run on a GPU, but {why}")
        self.why = why


try:
    import faiss as installed
except ModuleNotFoundError as error:
    if error.name != "faiss":
        raise
    raise FaissMissing() from error
faiss: Any = installed  # its stubs describe C++, not what the Python layer accepts

_GPU_MAX_K = 2048
_TRAIN_ROWS_PER_LIST = 40
_BLOCK_ROWS = 65_536


@dataclass(frozen=True, slots=True)
class IndexOptions:
    """How an index is chosen by its size.

    Attributes:
        device: `auto` takes a GPU when there is one; `gpu` insists.
        search_threads: threads of one search on the CPU.
        fp16_from_rows: below, float rows are searched as float32, from here as float16.
        ivf_from_rows, binary_ivf_from_rows: from here an inverted file, which is approximate.
        ivf_recall: probes are raised until this recall@10 against exact search is measured.
    """

    device: Literal["auto", "cpu", "gpu"] = "auto"
    search_threads: int = 1
    fp16_from_rows: int = 5_000
    ivf_from_rows: int = 2_000_000
    binary_ivf_from_rows: int = 20_000_000
    ivf_recall: float = 0.95


Saved = tuple[Path, int, float]
"""An inverted index that was saved: its file, its probes and its measured recall."""


class VectorIndex:
    """Rows of one space, searched by inner product or by equal bits; immutable.

    Attributes:
        kind: `flat-fp32`, `flat-fp16`, `flat-binary`, `ivf-sq8` or `ivf-binary`.
        device: `cpu` or `gpu`.
        rows: the kept values, shape (n, width), float16 or float32 or uint8; do not modify.
        error: bound on |proposed - exact score|.
        recall: recall@10 measured against exact search; None for an exact index.
        probes: lists visited by a search; 0 for a flat index.
    """

    def __init__(
        self, space: Space, rows: Rows, options: IndexOptions, saved: Saved | None = None
    ) -> None:
        """Build over kept rows, or take what `save` wrote before."""
        self.space, self._options = space, options
        self.recall: float | None = None
        self.probes = 0
        limit = options.ivf_from_rows if space.kind == "float" else options.binary_ivf_from_rows
        inverted = saved is not None or len(rows) >= limit
        if inverted:
            self.rows, self.kind = rows, "ivf-sq8" if space.kind == "float" else "ivf-binary"
            build = _built_ivf if space.kind == "float" else _built_binary_ivf
            self._faiss = _read(space, saved[0]) if saved else build(space, rows)
        else:
            self.kind, self._faiss, self.rows = _built_flat(space, rows, options)
        on_gpu = uses_gpu(options) and self.kind != "ivf-binary"  # faiss has none
        self.device = "gpu" if on_gpu else "cpu"
        self.error = _error_bound(space, inverted, on_gpu)
        self._gpu = _OnGpu(self._faiss) if on_gpu else None
        if saved:
            _, self.probes, self.recall = saved
        elif inverted:
            self._tune()
        if self._gpu is not None and self.probes:
            self._gpu.set_probes(self.probes)

    def __len__(self) -> int:
        return len(self.rows)

    def propose(self, queries: NDArray[Any], k: int, allowed: BoolArray | None = None) -> Proposal:
        """Find candidates for the k nearest rows of each query.

        Args:
            queries: shape (n, width), as `Space.checked` returns them.
            k: at least 1; more than there are rows is lowered.
            allowed: shape (len(self),): only these rows. None: all.
        """
        count = len(self) if allowed is None else int(np.count_nonzero(allowed))
        k = min(k, count)
        if not k:
            nothing = np.empty((len(queries), 0))
            return Proposal(nothing.astype(np.float32), nothing.astype(np.int64), True)
        enough = k + len(self) - count  # holds k allowed rows whichever they are
        if self._gpu is not None and enough <= _GPU_MAX_K:
            values, positions = filtered(self._gpu.search, queries, k, allowed, enough)
        else:
            values, positions = self._search(queries, k, allowed, self.probes)
        if self.probes and (positions < 0).any():  # the lists visited held too few
            values, positions = self._search(queries, k, allowed, self._faiss.nlist)
        if self.space.kind == "binary":
            values = 1 - values / self.space.dimension
        rough = np.where(positions < 0, -np.inf, values).astype(np.float32)
        return Proposal(rough, positions, complete=bool(self.probes) or k == count)

    def save(self, path: Path) -> bool:
        """Write what can not be rebuilt from the rows quickly; False when there is nothing."""
        if not self.probes:
            return False
        write = faiss.write_index if self.space.kind == "float" else faiss.write_index_binary
        write(self._faiss, str(path))
        return True

    def _search(
        self, queries: NDArray[Any], k: int, allowed: BoolArray | None, probes: int
    ) -> Found:
        faiss.omp_set_num_threads(self._options.search_threads)  # of this thread only
        if self.kind == "ivf-binary":  # takes no selector
            given = faiss.SearchParametersIVF(nprobe=probes)
            search = functools.partial(self._faiss.search, params=given)
            return filtered(search, queries, k, allowed, len(self))
        given = {"nprobe": probes} if probes else {}
        if allowed is not None:
            given["sel"] = faiss.IDSelectorBitmap(np.packbits(allowed, bitorder="little"))
        kind = faiss.SearchParametersIVF if probes else faiss.SearchParameters
        values, positions = self._faiss.search(queries, k, params=kind(**given) if given else None)
        return values, positions

    def _tune(self) -> None:
        """Raise the probes until the recall against exact search is as wanted; keep it."""
        queries, k = recall_queries(self.space, self.rows), min(RECALL_K, len(self))
        truth = exact_positions(self.space, self.rows, queries, k)
        self.probes = 1
        while True:
            self.recall = recall(self._search(queries, k, None, self.probes)[1], truth)
            if self.recall >= self._options.ivf_recall or self.probes >= self._faiss.nlist:
                return
            self.probes = min(self.probes * 2, self._faiss.nlist)


def inner_products(queries: NDArray[np.float32], rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Compare each query with every row, on this thread alone.

    Four times faster than NumPy for one query on busy cores, where the threads of its BLAS
    wait for each other.

    Args:
        queries: shape (n, d). rows: shape (m, d). Both C-contiguous.

    Returns:
        float32, shape (n, m).
    """
    out = np.empty((len(queries), len(rows)), np.float32)
    for query, values in zip(queries, out, strict=True) if len(rows) else ():
        faiss.fvec_inner_products_ny(
            faiss.swig_ptr(values), faiss.swig_ptr(query), faiss.swig_ptr(rows), *rows.shape[::-1]
        )
    return out


def _built_flat(space: Space, rows: Rows, options: IndexOptions) -> tuple[str, Any, Rows]:
    """The kind, the faiss index and a view of the rows inside it (no second copy)."""
    made: Any
    if space.kind == "binary":
        kind, made, field = "flat-binary", faiss.IndexBinaryFlat(space.dimension), "xb"
        held = np.ascontiguousarray(rows)
    elif len(rows) < options.fp16_from_rows or uses_gpu(options):
        kind, made, field = "flat-fp32", faiss.IndexFlatIP(space.dimension), "codes"
        held = np.ascontiguousarray(rows, dtype=np.float32)
    else:
        made = faiss.IndexScalarQuantizer(
            space.dimension, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
        )
        kind, field, held = "flat-fp16", "codes", np.ascontiguousarray(rows, dtype=np.float16)
    store = getattr(made, field)
    faiss.copy_array_to_vector(held.reshape(-1).view(np.uint8), store)
    made.ntotal = len(held)
    if not len(held):
        return kind, made, held
    inside = faiss.rev_swig_ptr(store.data(), held.nbytes)
    return kind, made, inside.view(held.dtype).reshape(held.shape)


def _lists(rows: int) -> int:
    return max(1, min(int(4 * rows**0.5), rows // _TRAIN_ROWS_PER_LIST))


def _sample(rows: Rows, lists: int) -> Rows:
    rng = np.random.default_rng(lists)
    wanted = min(len(rows), lists * _TRAIN_ROWS_PER_LIST)
    return rows[np.sort(rng.choice(len(rows), wanted, False))]


def _built_ivf(space: Space, rows: Rows) -> Any:
    lists = _lists(len(rows))
    made = faiss.IndexIVFScalarQuantizer(
        faiss.IndexFlatIP(space.dimension),
        space.dimension,
        lists,
        faiss.ScalarQuantizer.QT_8bit,
        faiss.METRIC_INNER_PRODUCT,
    )
    made.train(_sample(rows, lists).astype(np.float32))
    for start in range(0, len(rows), _BLOCK_ROWS):
        made.add(rows[start : start + _BLOCK_ROWS].astype(np.float32))
    return made


def _built_binary_ivf(space: Space, rows: Rows) -> Any:
    lists = _lists(len(rows))
    made = faiss.IndexBinaryIVF(faiss.IndexBinaryFlat(space.dimension), space.dimension, lists)
    made.train(np.ascontiguousarray(_sample(rows, lists)))
    made.add(np.ascontiguousarray(rows))
    return made


def _read(space: Space, path: Path) -> Any:
    read = faiss.read_index if space.kind == "float" else faiss.read_index_binary
    return read(str(path))


def _error_bound(space: Space, inverted: bool, on_gpu: bool) -> float:
    """How far a proposed score may be off."""
    if space.kind == "binary":
        return 1e-6  # only the rounding to float32
    rounded = 2**-11  # float16 rows are not quite of length 1
    summed = space.dimension * 6e-8 + 1e-6  # float32 sums of a unit vector's products
    return rounded + summed + (0.05 if inverted else 0) + (2e-3 if on_gpu else 0)


def uses_gpu(options: IndexOptions) -> bool:
    """Return whether indexes are searched on a GPU.

    Raises:
        DeviceMissing: they have to be, and there is none.
    """
    gpus = int(faiss.get_num_gpus()) if options.device != "cpu" else 0
    if options.device == "gpu" and not gpus:
        built = hasattr(faiss, "StandardGpuResources")
        raise DeviceMissing("faiss sees no GPU" if built else "faiss-cpu is installed")
    return gpus > 0


@functools.cache
def _gpu_owner() -> tuple[Owner, Any]:
    owner = Owner("faiss-gpu")
    return owner, owner.call(lambda: faiss.StandardGpuResources())


class _OnGpu:
    """The GPU's copy of a CPU index; every touch of it happens on the owner's thread."""

    def __init__(self, made: Any) -> None:
        self._owner, resources = _gpu_owner()
        binary = isinstance(made, faiss.IndexBinary)
        copy = faiss.index_binary_cpu_to_gpu if binary else faiss.index_cpu_to_gpu
        held = [self._owner.call(lambda: copy(resources, 0, made))]
        self._held = held
        weakref.finalize(self, self._owner.post, held.clear)

    def search(self, queries: NDArray[Any], k: int) -> Found:
        return self._owner.search(id(self), self._held[0].search, queries, k)

    def set_probes(self, probes: int) -> None:
        held = self._held[0]
        self._owner.call(lambda: setattr(held, "nprobe", probes))
