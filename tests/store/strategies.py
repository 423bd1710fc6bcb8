"""Any episode the record can hold, drawn from the structs themselves: a new field is drawn without a change here."""

import msgspec
from hypothesis import strategies as st
from msgspec import inspect

from trajgen.types import Episode

INT64 = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(max_size=12) | st.sampled_from(["", "\0", "é中🙂", '{"a": null}', "a\r\nb"])
SCALARS = {
    inspect.StrType: TEXT,
    inspect.IntType: INT64,
    inspect.FloatType: st.floats(),  # NaN, infinities and -0.0 too
    inspect.BoolType: st.booleans(),
    inspect.BytesType: st.binary(max_size=20) | st.just(bytes(range(256)) * 8),
    inspect.NoneType: st.none(),
}


def values(found):
    """Draw values of one type of a struct's field."""
    if isinstance(found, inspect.UnionType):
        return st.one_of(*map(values, found.types))
    if isinstance(found, inspect.LiteralType):
        return st.sampled_from(found.values)
    if isinstance(found, inspect.VarTupleType):
        return st.lists(values(found.item_type), max_size=2).map(tuple)
    if isinstance(found, inspect.StructType):
        return st.deferred(lambda: records(found.cls))
    return SCALARS[type(found)]


def records(cls):
    """Draw structs of one class."""
    return st.builds(cls, *(values(field.type) for field in inspect.type_info(cls).fields))


def episodes():
    """Draw episodes; nothing about them makes sense but their types."""
    return records(Episode)


def same(a, b):
    """Say whether two records are equal to the bit, where NaN equals itself."""
    return msgspec.msgpack.encode(a) == msgspec.msgpack.encode(b)
