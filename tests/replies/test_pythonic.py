"""Python literals become the JSON of the same value, and what is no literal becomes no JSON."""

import ast
import json

from hypothesis import given
from hypothesis import strategies as st

from trajgen.replies.arguments import parse_object
from trajgen.replies.pythonic import call_at, literal, written
from trajgen.spaces import tool

_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@given(_values)
def test_what_python_writes_is_read_as_the_same_value(value):
    assert parse_object(f'{{"v": {literal(repr(value))}}}').value == {"v": value}


@given(st.text("ab'\"\\[](){},:=1.-+_ Nnext ", max_size=14))
def test_whatever_is_read_is_what_python_would_read(text):
    call = call_at(f"f(v={text})")
    if call is None or call.end != len(text) + 5 or len(call.parts) != 1 or "\\" in text:
        return
    parsed = parse_object(written(call, [tool("f", "", v={})]).arguments)
    if parsed.problem is None:
        assert parsed.value == {"v": json.loads(json.dumps(ast.literal_eval(text.strip())))}
