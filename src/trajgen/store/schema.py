"""Episodes <-> Arrow, under one explicit schema made from the structs of `trajgen.types`. Knows nothing of files.

Inferred schemas differ between shards wherever a column is all null; this one never does. Columns are built by
flattening: all steps of all episodes become one list per field, with offsets. That is about three times as fast as
handing dicts to Arrow. Builders and readers are made once per process, from the structs.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
from msgspec import inspect

from trajgen.types import Episode

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

Values = Sequence[Any]
Array = Any  # pyarrow's stubs do not know which array a type gives


class _Column(NamedTuple):
    """How one type of a struct is stored.

    Attributes:
        blank: A value of the type, for places that a mask hides.
        build: Python values -> Arrow array.
        read: Arrow array -> Python values.
    """

    type: Any
    nullable: bool
    blank: Any
    build: Callable[[Values], Array]
    read: Callable[[Array], Values]


_SCALARS: dict[type[inspect.Type], tuple[pa.DataType, Any]] = {
    inspect.StrType: (pa.string(), ""),
    inspect.IntType: (pa.int64(), 0),
    inspect.FloatType: (pa.float64(), 0.0),
    inspect.BoolType: (pa.bool_(), False),
    inspect.BytesType: (pa.binary(), b""),
}


def _column(found: inspect.Type, where: str) -> _Column:
    nullable = False
    if isinstance(found, inspect.UnionType):
        rest = [t for t in found.types if not isinstance(t, inspect.NoneType)]
        nullable = len(rest) < len(found.types)
        if len(rest) != 1:
            raise TypeError(f"{where}: expected one type or None, found a union of {len(rest)} types")
        found = rest[0]
    if isinstance(found, inspect.StructType):
        return _struct(found.cls, nullable=nullable)
    if isinstance(found, inspect.VarTupleType):
        return _list(_column(found.item_type, f"{where}[]"), nullable=nullable)
    if isinstance(found, inspect.LiteralType) and all(isinstance(v, str) for v in found.values):
        return _scalar(pa.string(), str(found.values[0]), nullable=nullable)
    if type(found) not in _SCALARS:
        known = "text, numbers, true or false, bytes, tuples of one type, structs"
        raise TypeError(f"{where}: expected {known}, found {type(found).__name__}, which no column can hold")
    return _scalar(*_SCALARS[type(found)], nullable=nullable)


def _scalar(type_: pa.DataType, blank: Any, *, nullable: bool) -> _Column:
    def build(values: Values) -> Array:
        if nullable and values.count(None) == len(values):
            return pa.nulls(len(values), type_)
        return pa.array(values, type=type_)

    def read(array: Array) -> Values:
        # numpy's way is 5 times as fast, but turns missing numbers into NaN
        if array.null_count and not (pa.types.is_string(type_) or pa.types.is_binary(type_)):
            return list(array.to_pylist())
        return list(array.to_numpy(zero_copy_only=False).tolist())

    return _Column(type_, nullable, blank, build, read)


def _mask(values: Values) -> Array | None:
    """Return which values are None, as Arrow wants it; None where none is."""
    return pa.array([v is None for v in values]) if None in values else None


@functools.cache
def _empty(type_: Any) -> Array:
    return pa.array([], type=type_)


def _list(item: _Column, *, nullable: bool) -> _Column:
    type_ = pa.list_(pa.field("element", item.type, nullable=item.nullable))

    def build(values: Values) -> Array:
        mask = _mask(values) if nullable else None
        lengths = map(len, values) if mask is None else (len(v or ()) for v in values)
        flat = list(itertools.chain.from_iterable(values if mask is None else filter(None, values)))
        offsets = np.zeros(len(values) + 1, np.int32)
        if flat:
            np.cumsum(np.fromiter(lengths, np.int32, len(values)), out=offsets[1:])
        below = item.build(flat) if flat else _empty(item.type)
        return pa.ListArray.from_arrays(pa.array(offsets), below, type=type_, mask=mask)

    def read(array: Array) -> Values:
        offsets = array.offsets.to_numpy().tolist()
        first, last = offsets[0], offsets[-1]
        flat = tuple(item.read(array.values.slice(first, last - first)))
        lists = [flat[a - first : b - first] for a, b in itertools.pairwise(offsets)]
        if not array.null_count:
            return lists
        return [None if gone else v for gone, v in zip(array.is_null().to_pylist(), lists, strict=True)]

    return _Column(type_, nullable, (), build, read)


def _struct(cls: type[msgspec.Struct], *, nullable: bool) -> _Column:
    found = msgspec.inspect.type_info(cls)
    if not isinstance(found, inspect.StructType) or cls.__struct_config__.array_like:
        raise TypeError(f"{cls.__name__}: expected a struct of named fields")
    names = [f.name for f in found.fields]
    if tuple(names) != cls.__struct_fields__:
        raise TypeError(f"{cls.__name__}: fields by position only: kw_only structs are not read back")
    columns = [_column(f.type, f"{cls.__name__}.{f.name}") for f in found.fields]
    fields = [pa.field(f.encode_name, c.type, nullable=c.nullable) for f, c in zip(found.fields, columns, strict=True)]
    getters = [attrgetter(name) for name in names]
    blank = cls(*(None if c.nullable else c.blank for c in columns))

    def build(values: Values) -> Array:
        mask = _mask(values) if nullable else None
        shown = values if mask is None else [blank if v is None else v for v in values]
        # field by field: a tuple per struct would be quicker to take apart, but wakes the garbage collector
        arrays = [c.build(list(map(get, shown))) for c, get in zip(columns, getters, strict=True)]
        return pa.StructArray.from_arrays(arrays, fields=fields, mask=mask)

    def read(array: Array) -> Values:
        parts = [c.read(array.field(i)) for i, c in enumerate(columns)]
        if not array.null_count:
            return list(map(cls, *parts))
        gone = array.is_null().to_pylist()
        return [None if g else cls(*row) for g, row in zip(gone, zip(*parts, strict=True), strict=True)]

    return _Column(pa.struct(fields), nullable, blank, build, read)


@functools.cache
def _episode() -> _Column:
    return _struct(Episode, nullable=False)


def arrow_schema(of: type[msgspec.Struct] = Episode) -> pa.Schema:
    """Return the Arrow schema of a struct, `Episode` unless told.

    Raises:
        TypeError: a field has a type that no column can hold; the message names struct and field.
    """
    column = _episode() if of is Episode else _struct(of, nullable=False)
    return pa.schema(list(column.type.fields))


def to_table(episodes: Sequence[Episode]) -> pa.Table:
    """Return episodes as a table, one row each.

    Raises:
        UnicodeEncodeError: a text holds a lone surrogate; see `trajgen.store.text`.
    """
    array = _episode().build(episodes)
    return pa.Table.from_arrays(array.flatten(), schema=arrow_schema())


def from_table(table: pa.Table) -> Iterator[Episode]:
    """Yield the episodes of a table, exactly as they were.

    Args:
        table: Columns that are absent give a neutral value: None, an empty tuple, "" or 0, structs of such.

    Raises:
        ValueError: a column is not of `arrow_schema()`.
    """
    present = _checked(table.schema)
    for batch in table.combine_chunks().to_batches():
        read = _rows(batch, present)
        yield from read


def _rows(batch: pa.RecordBatch, present: Collection[str]) -> Iterator[Episode]:
    columns: list[Any] = []
    for field, column, blank in zip(arrow_schema(), _fields(), _blanks(), strict=True):
        if field.name in present:
            columns.append(column.read(batch.column(field.name)))
        else:
            columns.append(itertools.repeat(blank, batch.num_rows))
    return map(Episode, *columns)


@functools.cache
def _fields() -> tuple[_Column, ...]:
    found = inspect.type_info(Episode)
    assert isinstance(found, inspect.StructType)  # noqa: S101 - it is one
    return tuple(_column(f.type, f"Episode.{f.name}") for f in found.fields)


def _blanks() -> list[Any]:
    blank = _episode().blank
    return [getattr(blank, name) for name in Episode.__struct_fields__]


def _checked(found: pa.Schema) -> set[str]:
    for field in found:
        index = arrow_schema().get_field_index(field.name)
        if index < 0 or not arrow_schema().field(index).equals(field):
            raise ValueError(f"column {field.name!r}: expected one of schema version 1, found {field}")
    return set(found.names)
