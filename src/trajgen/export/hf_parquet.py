"""A folder of Parquet files that `datasets.load_dataset(FOLDER)` opens, with JSON that it decodes. Knows no row's meaning.

    FOLDER/data/train-00000-of-00002.parquet     the split is read off the name

A JSON column is a list of documents in Arrow's own `arrow.json` type. `datasets` (from 4.7.0) reads that as
`List(Json())` from the Arrow schema alone and decodes each document by itself, so every object has exactly its own
keys; for all others (pandas, polars, DuckDB, pyarrow) it is a list of strings. Names are given when all is written,
so a folder whose writer was killed holds no data set.
"""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Generic, Self, TypeVar

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from msgspec import Struct

from trajgen.errors import boundary
from trajgen.store.schema import arrow_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path
    from types import TracebackType

    from trajgen.types import Json

R = TypeVar("R", bound=Struct)

_GROUP_ROWS = 1_000
_GROUP_CHARS = 8 << 20  # of JSON; one row group of each split is in memory
_SMALLEST, _LARGEST = -(2**63), 2**64 - 1
_MAYBE_LONG = re.compile(r"\d{19}")


def has_unreadable_number(document: str) -> bool:
    """Say whether `datasets` would refuse the whole file: its JSON reader knows whole numbers of 64 bits only.

    Args:
        document: JSON as msgspec writes it (large fractions with an exponent).
    """
    if _MAYBE_LONG.search(document) is None:
        return False
    return any(not _SMALLEST <= number <= _LARGEST for number in _integers(msgspec.json.decode(document)))


def _integers(value: Json) -> Iterable[int]:
    if isinstance(value, int):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _integers(item)


def file_schema(row: type[Struct], json_columns: Iterable[str]) -> pa.Schema:
    """Return the schema of rows. All columns may be null: `datasets` knows no others."""
    json_list = pa.list_(pa.json_())
    chosen = set(json_columns)
    return pa.schema([pa.field(f.name, json_list if f.name in chosen else f.type) for f in arrow_schema(row)])


class SplitWriter(Generic[R]):
    """Writes rows to one set of files a split; a context manager. What was written is in `files` once it is left.

    Args:
        out: An empty folder.
        row: Struct of scalars, and of tuples of strings for JSON columns.
        json_columns: Names of columns that are tuples of JSON documents.
        rows_per_file: A split that has more gets several files.
    """

    def __init__(self, out: Path, row: type[R], json_columns: tuple[str, ...], rows_per_file: int) -> None:
        self.files: tuple[Path, ...] = ()
        self._folder = out / "data"
        self._plain = pa.schema([pa.field(f.name, f.type) for f in arrow_schema(row)])
        self._schema = file_schema(row, json_columns)
        self._columns = [(f.encode_name, f.name) for f in msgspec.structs.fields(row)]
        self._json_columns = json_columns
        self._rows_per_file = rows_per_file
        self._splits: dict[str, _Split] = {}

    def add(self, split: str, row: R) -> None:
        """Append a row.

        Raises:
            StoreFault: the disk failed.
        """
        if split not in self._splits:
            with boundary("store"):
                self._folder.mkdir(exist_ok=True)
            self._splits[split] = _Split(self._folder, split, self._schema, self._rows_per_file, self._table)
        n_chars = sum(len(d) for name in self._json_columns for d in getattr(row, name) or ())
        self._splits[split].add(row, n_chars)

    def _table(self, rows: list[Struct]) -> pa.Table:
        columns = {column: [getattr(r, name) for r in rows] for column, name in self._columns}
        return pa.Table.from_pydict(columns, schema=self._plain).cast(self._schema)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        done = False
        try:
            if error is None:
                with boundary("store"):
                    for split in self._splits.values():
                        split.close()
                    self.files = tuple(f for _, split in sorted(self._splits.items()) for f in split.name_files())
                done = True
        finally:
            if not done:
                self._discard()

    def _discard(self) -> None:
        for split in self._splits.values():
            split.discard()
        # so that the next export finds an empty folder; where it cannot go, the first error is what counts
        with contextlib.suppress(OSError):
            self._folder.rmdir()


class _Split:
    """The files of one split, and the rows that are not in one yet."""

    def __init__(
        self, folder: Path, name: str, schema: pa.Schema, rows_per_file: int, table: Callable[[list[Struct]], pa.Table]
    ) -> None:
        self._folder, self._name, self._schema, self._table = folder, name, schema, table
        self._rows_per_file = rows_per_file
        self._rows: list[Struct] = []
        self._chars = 0
        self._n_in_file = 0
        self._parts: list[Path] = []
        self._writer: pq.ParquetWriter | None = None

    def add(self, row: Struct, n_chars: int) -> None:
        self._rows.append(row)
        self._chars += n_chars
        self._n_in_file += 1
        full = self._n_in_file >= self._rows_per_file
        if full or len(self._rows) >= _GROUP_ROWS or self._chars >= _GROUP_CHARS:
            with boundary("store"):
                self._flush()
                if full:
                    self.close()

    def _flush(self) -> None:
        if self._writer is None:
            # a leading dot hides it from `datasets` until it has its name
            part = self._folder / f".{self._name}-{len(self._parts):05}.part"
            self._parts.append(part)
            self._writer = pq.ParquetWriter(part, self._schema, compression="zstd", write_page_checksum=True)
        self._writer.write_table(self._table(self._rows))
        self._rows, self._chars = [], 0

    def close(self) -> None:
        if self._rows:
            self._flush()
        if self._writer is not None:
            self._writer.close()
        self._writer, self._n_in_file = None, 0

    def name_files(self) -> list[Path]:
        n = len(self._parts)
        return [p.rename(self._folder / f"{self._name}-{i:05}-of-{n:05}.parquet") for i, p in enumerate(self._parts)]

    def discard(self) -> None:
        for part in self._parts:
            part.unlink(missing_ok=True)
        if self._writer is not None:
            # closing writes a footer, and the disk may be what failed; that error is on its way already
            with contextlib.suppress(OSError, pa.ArrowException):
                self._writer.close()
