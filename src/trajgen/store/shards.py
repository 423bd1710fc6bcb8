"""One finished unit <-> one Parquet file. Knows the file format; knows no plan, no commit record and no lease.

zstd-3; page checksums written and verified (without them three of four flipped bits give wrong data in silence); no
dictionaries: on free text they cost time, and after zstd they gain nothing on names either. What the rows cannot say is in the file's metadata.
"""

from __future__ import annotations

import functools
import itertools
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from msgspec import Struct

from trajgen.errors import DamagedRun
from trajgen.store.plan import engine_version
from trajgen.store.schema import arrow_schema, from_table, to_table
from trajgen.store.text import clean
from trajgen.types import SCHEMA_VERSION

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path

    from trajgen.types import Episode

_KEY = b"trajgen"
_ROW_GROUP_BYTES = 64 << 20  # bounds what a reader holds, and keeps 32-bit offsets far away
_MIN_COMPRESSED_BYTES = 512
_ZSTD_LEVEL = 3


class ShardInfo(Struct, frozen=True):
    """What a shard says of itself, beside its rows.

    Attributes:
        run: Name of the run.
        unneeded: Ids of trials that were not needed, which have no row.
    """

    schema_version: int
    trajgen: str
    run: str
    unit: str
    unneeded: tuple[str, ...]


class Shard(NamedTuple):
    """A whole shard in memory."""

    info: ShardInfo
    episodes: list[Episode]


def encode(run_name: str, unit_id: str, episodes: Sequence[Episode], unneeded: Sequence[str]) -> bytes:
    """Return a unit as the bytes of a Parquet file. Lone surrogates are replaced, see `trajgen.store.text`."""
    info = ShardInfo(SCHEMA_VERSION, engine_version(), run_name, unit_id, tuple(unneeded))
    tables = map(_table, _groups(episodes))
    first = next(tables, arrow_schema().empty_table())
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, arrow_schema(), **writer_options(first)) as writer:
        writer.add_key_value_metadata({_KEY: msgspec.json.encode(info)})
        for table in itertools.chain([first], tables):
            writer.write_table(table, row_group_size=max(table.num_rows, 1))
    return bytes(sink.getvalue())


def writer_options(table: pa.Table) -> dict[str, Any]:
    """Return the writer's settings for files whose first row group is `table`.

    Columns that hold next to nothing are not compressed: an empty zstd context costs more than they do, twice.
    """
    sizes = [n for column in table.columns for n in _sizes(column.chunk(0) if column.num_chunks else None)]
    large = [path for path, n_bytes in zip(_leaf_paths(), sizes, strict=False) if n_bytes >= _MIN_COMPRESSED_BYTES]
    return {
        "compression": dict.fromkeys(_leaf_paths(), "none") | dict.fromkeys(large, "zstd"),
        "compression_level": dict.fromkeys(large, _ZSTD_LEVEL),
        "use_dictionary": False,
        "write_statistics": False,  # a shard is too small to skip parts of
        "write_page_checksum": True,
        "store_schema": False,  # the Parquet types say it all, and a copy of them is 10 KB a shard
    }


def _sizes(array: Any) -> Iterator[int]:
    """Yield how many bytes each leaf below an array holds."""
    if isinstance(array, pa.StructArray):
        for index in range(array.type.num_fields):
            yield from _sizes(array.field(index))
    elif isinstance(array, pa.ListArray):
        yield from _sizes(array.values)
    elif array is not None:
        yield 0 if array.null_count == len(array) else array.get_total_buffer_size()


@functools.cache
def _leaf_paths() -> tuple[str, ...]:
    """Return the Parquet path of every leaf column, in order."""
    return tuple(path for field in arrow_schema() for path in _paths(field.type, field.name))


def _paths(type_: Any, path: str) -> Iterator[str]:
    if pa.types.is_struct(type_):
        for field in type_:
            yield from _paths(field.type, f"{path}.{field.name}")
    elif pa.types.is_list(type_):
        yield from _paths(type_.value_type, f"{path}.list.element")
    else:
        yield path


def _table(episodes: Sequence[Episode]) -> pa.Table:
    try:
        return to_table(episodes)
    except UnicodeEncodeError:
        return to_table([clean(episode).episode for episode in episodes])


def _groups(episodes: Sequence[Episode]) -> Iterator[list[Episode]]:
    group: list[Episode] = []
    size = 0
    for episode in episodes:
        weight = _weight(episode)
        if group and size + weight > _ROW_GROUP_BYTES:
            yield group
            group, size = [], 0
        group.append(episode)
        size += weight
    if group:
        yield group


def _weight(episode: Episode) -> int:
    """Return about how many bytes an episode's largest columns hold."""
    seen = [episode.reset.observation, *(step.observation for step in episode.steps)]
    return sum(len(o.text) + sum(map(len, o.images)) + sum(len(array.data) for array in o.arrays) for o in seen) + sum(
        len(call.raw) for call in episode.model_calls
    )


def info(path: Path) -> ShardInfo:
    """Read what a shard says of itself. Raises DamagedRun, which names the file."""
    try:
        return _info(pq.read_metadata(path))
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise _damaged(path, error) from error


def rows(path: Path, *, columns: Collection[str] | None = None, verify: bool = True) -> Iterator[Episode]:
    """Yield the episodes of a shard, one row group in memory at a time.

    Args:
        columns: Names of top-level fields to read; the others hold neutral values, see `schema.from_table`.
        verify: Check the page checksums.

    Raises:
        DamagedRun: the file cannot be read, or a page does not match its checksum; the message names the file.
    """
    try:
        with pq.ParquetFile(path, page_checksum_verification=verify) as file:
            _info(file.metadata)
            for group in range(file.num_row_groups):
                wanted = None if columns is None else sorted(columns)
                yield from from_table(file.read_row_group(group, columns=wanted, use_threads=False))
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise _damaged(path, error) from error


def read(path: Path) -> Shard:
    """Read and verify a whole shard. Raises DamagedRun, which names the file."""
    return Shard(info(path), list(rows(path)))


def _info(metadata: pq.FileMetaData) -> ShardInfo:
    found = msgspec.json.decode((metadata.metadata or {})[_KEY], type=ShardInfo)
    if found.schema_version > SCHEMA_VERSION:
        raise ValueError(f"schema version {found.schema_version}, from a newer trajgen ({found.trajgen})")
    return found


def _damaged(path: Path, error: Exception) -> DamagedRun:
    return DamagedRun(
        f"{path}: {type(error).__name__}: {str(error)[:300]}\nRestore this shard from a copy of the run; or remove it "
        f"and its record (commits/{path.stem}.json), and `trajgen resume {path.parent.parent}` plays its unit again"
    )
