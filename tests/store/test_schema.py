import msgspec
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.store.fakes import job, play
from tests.store.strategies import episodes, same
from trajgen.store import shards
from trajgen.store.plan import Plan, cut
from trajgen.store.schema import arrow_schema, from_table, to_table
from trajgen.store.text import clean, clean_text
from trajgen.types import Episode


def names(type_):
    """Return the shape of an Arrow type as nested names."""
    if pa.types.is_struct(type_):
        return {field.name: names(field.type) for field in type_}
    return names(type_.value_type) if pa.types.is_list(type_) else None


def struct_names(found):
    info = msgspec.inspect
    if isinstance(found, info.UnionType):
        (found,) = (t for t in found.types if not isinstance(t, info.NoneType))
    if isinstance(found, info.VarTupleType):
        return struct_names(found.item_type)
    if isinstance(found, info.StructType):
        return {field.encode_name: struct_names(field.type) for field in found.fields}
    return None


def test_the_schema_has_every_field_of_the_structs_in_order_and_no_other():
    expected = struct_names(msgspec.inspect.type_info(Episode))
    assert names(pa.struct(list(arrow_schema()))) == expected
    assert "return" in expected["outcome"]


def test_only_fields_that_may_be_none_are_nullable():
    schema = arrow_schema()
    assert not schema.field("episode_id").nullable
    assert schema.field("failure").nullable
    assert schema.field("steps").type.value_type.field("success").nullable
    assert not schema.field("steps").type.value_type.field("reward").nullable


class Inner(msgspec.Struct):
    free: dict[str, int]


class WithDict(msgspec.Struct):
    inner: tuple[Inner, ...]


class WithUnion(msgspec.Struct):
    either: int | str


@pytest.mark.parametrize(("bad", "where"), [(WithDict, "Inner.free"), (WithUnion, "WithUnion.either")])
def test_a_type_no_column_can_hold_is_an_error_that_names_the_field(bad, where):
    with pytest.raises(TypeError, match=where):
        arrow_schema(bad)


@settings(deadline=None, max_examples=30)
@given(st.lists(episodes(), max_size=4))
def test_any_episodes_come_back_from_a_table_to_the_bit(drawn):
    assert same(list(from_table(to_table(drawn))), drawn)


@settings(deadline=None, max_examples=25)
@given(st.lists(episodes(), max_size=3), st.lists(st.text(max_size=4), max_size=2))
def test_any_episodes_come_back_from_a_shard_to_the_bit(tmp_path_factory, drawn, unneeded):
    path = tmp_path_factory.mktemp("shard") / "00000.parquet"
    path.write_bytes(shards.encode("a run", "00000", drawn, unneeded))
    found = shards.read(path)
    assert same(found.episodes, drawn)
    assert found.info.unneeded == tuple(unneeded)
    assert (found.info.run, found.info.unit, found.info.schema_version) == ("a run", "00000", 1)


@settings(deadline=None, max_examples=15)
@given(st.lists(episodes(), min_size=4, max_size=6), st.data())
def test_a_slice_of_a_table_reads_as_that_slice(drawn, data):
    start = data.draw(st.integers(0, len(drawn)))
    stop = data.draw(st.integers(start, len(drawn)))
    assert same(list(from_table(to_table(drawn).slice(start, stop - start))), drawn[start:stop])


@settings(deadline=None, max_examples=30)
@given(episodes())
def test_a_column_that_was_not_read_is_neutral(drawn):
    (found,) = from_table(to_table([drawn]).select(["episode_id", "steps"]))
    assert same([found.episode_id, found.steps], [drawn.episode_id, drawn.steps])
    assert (found.turns, found.failure, found.task.goal, found.trial) == ((), None, "", 0)


def test_a_table_of_another_shape_is_refused():
    with pytest.raises(ValueError, match="column 'trial'"):
        list(from_table(pa.table({"trial": ["one"]})))


def test_rows_are_cut_into_groups_by_size_and_all_come_back(tmp_path, monkeypatch):
    one = job()
    plan = Plan(one, one.entries, cut(one))
    rows = [e for unit in plan.units for e in play(plan, unit)]
    monkeypatch.setattr(shards, "_ROW_GROUP_BYTES", 1)
    path = tmp_path / "x.parquet"
    path.write_bytes(shards.encode("r", "x", rows, ()))
    import pyarrow.parquet as pq

    assert pq.ParquetFile(path).num_row_groups == len(rows)
    assert shards.read(path).episodes == rows


# ---- lone surrogates


@given(st.text(st.characters(), max_size=20))
def test_cleaned_text_can_be_encoded_and_other_text_is_unchanged(text):
    cleaned = clean_text(text)
    cleaned.encode()
    assert len(cleaned) == len(text)
    assert cleaned == text or any("\ud800" <= c <= "\udfff" for c in text)


@settings(deadline=None, max_examples=30)
@given(episodes())
def test_an_episode_without_lone_surrogates_is_cleaned_to_itself(drawn):
    found = clean(drawn)
    assert same(found.episode, drawn)
    assert found.n_replaced == 0


@settings(deadline=None, max_examples=30)
@given(episodes(), st.integers(1, 3))
def test_lone_surrogates_are_replaced_and_counted(drawn, n):
    bad = msgspec.structs.replace(drawn, memory_in="a" + "\udcff" * n)
    found = clean(bad)
    assert found.n_replaced == n
    assert same(found.episode, msgspec.structs.replace(drawn, memory_in="a" + "\ufffd" * n))


def test_a_shard_holds_the_cleaned_text(tmp_path):
    from hypothesis import find

    bad = msgspec.structs.replace(find(episodes(), lambda _: True), memory_in="\ud83d")
    path = tmp_path / "x.parquet"
    path.write_bytes(shards.encode("r", "x", [bad], ()))
    assert shards.read(path).episodes[0].memory_in == "\ufffd"
