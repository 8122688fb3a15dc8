"""Reading and writing Parquet. The one file with pyarrow, which the extra `sweeps` brings."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import batched
from pathlib import Path
from typing import IO, Any

from service.sweeps.errors import ExtraMissing, ManifestInvalid

_ROWS = 1024
"""Rows that are in memory at a time."""

Kind = type[str] | type[int] | type[float]


def column_names(location: str, file: IO[bytes]) -> list[str]:
    """The columns of a Parquet file. Raises ManifestInvalid, ExtraMissing."""
    return list(_opened(location, file).schema_arrow.names)


def rows(location: str, file: IO[bytes], names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield the rows of a Parquet file, of these columns those that it has.

    Raises:
        ManifestInvalid: it is no Parquet file, or a damaged one.
        ExtraMissing
    """
    arrow, _ = _pyarrow()
    opened = _opened(location, file)
    wanted = [name for name in names if name in opened.schema_arrow.names]
    batches = opened.iter_batches(batch_size=_ROWS, columns=wanted)
    while True:
        try:
            batch = next(batches)
        except StopIteration:
            return
        except (arrow.ArrowException, OSError) as error:
            raise ManifestInvalid(location, f"it is damaged: {error}") from error
        yield from batch.to_pylist()


def write(path: Path, columns: Mapping[str, Kind], values: Iterable[Mapping[str, Any]]) -> int:
    """Write rows to a Parquet file; how many. Raises ExtraMissing."""
    arrow, parquet = _pyarrow()
    types = {str: arrow.string(), int: arrow.int64(), float: arrow.float64()}
    schema = arrow.schema([(name, types[kind]) for name, kind in columns.items()])
    count = 0
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        for block in batched(values, _ROWS * 16):
            writer.write_table(arrow.Table.from_pylist(list(block), schema=schema))
            count += len(block)
    return count


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ExtraMissing("Parquet", "sweeps") from error
    return pyarrow, pyarrow.parquet


def _opened(location: str, file: IO[bytes]) -> Any:
    arrow, parquet = _pyarrow()
    try:
        return parquet.ParquetFile(file)
    except (arrow.ArrowException, OSError) as error:
        raise ManifestInvalid(location, f"it is no Parquet file: {error}") from error
