"""The two spaces every environment has: calls that fit the tools, and observations.

The action space *is* the set of tools; `problem` says in words why a call is not in it.
"""

from __future__ import annotations

import functools
import string
from typing import TYPE_CHECKING, Any

import gymnasium
import jsonschema_rs

from trajgen.errors import nearest
from trajgen.types import ArrayRecord, Json, Observation, ObservationRecord, Tool, ToolCall, stored, to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

_UNBOUNDED = 10  # sampled numbers without a bound lie in [-10, 10]
_MAX_ITEMS = 3
_MAX_CHARS = 8


def tool(name: str, description: str, /, **properties: Mapping[str, Json]) -> Tool:
    """Make a tool whose arguments are all required, each given by its JSON Schema, and which takes no others."""
    schema = {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }
    return Tool(name, description, schema)


@functools.lru_cache(maxsize=4_096)
def _validator(schema: str) -> jsonschema_rs.Validator:
    return jsonschema_rs.validator_for(schema)


class ToolSpace(gymnasium.Space[ToolCall]):
    """All calls that fit a set of tools.

    Args:
        tools: Names are unique.
        seed: For `sample`.
    """

    def __init__(self, tools: Sequence[Tool], seed: int | None = None) -> None:
        super().__init__(None, None, seed)
        self.tools = tuple(tools)
        self._by_name = {t.name: (t, _validator(to_json(t.parameters))) for t in self.tools}
        if len(self._by_name) != len(self.tools):
            raise ValueError(f"two tools share a name: {[t.name for t in self.tools]}")

    @property
    def is_np_flattenable(self) -> bool:
        """Calls have no numeric form."""
        return False

    def names(self) -> tuple[str, ...]:
        """Return the tools' names, in order."""
        return tuple(self._by_name)

    def problem(self, call: ToolCall) -> str | None:
        """Return why `call` does not fit, in a sentence for the agent; None when it fits."""
        known = self._by_name.get(call.tool or "")
        if known is None:
            if call.tool is None:
                return "the reply calls no tool; call one of: " + ", ".join(self._by_name)
            return f"no tool {call.tool!r}{nearest(call.tool, self._by_name) or '; the tools are: ' + ', '.join(self._by_name)}"
        _, validator = known
        try:
            to_json(dict(call.arguments))
        except UnicodeEncodeError:  # a schema lets it pass, or fails with this; no record could hold it
            return f"{call.tool}: the arguments hold a lone surrogate, which is no text; leave it out"
        if validator.is_valid(call.arguments):
            return None
        return f"{call.tool}: " + _first_error(validator, call.arguments, known[0])

    def contains(self, x: Any) -> bool:  # gymnasium's signature
        """Say whether `x` is a call that fits."""
        return isinstance(x, ToolCall) and self.problem(x) is None

    def sample(self, mask: Any = None, probability: Any = None) -> ToolCall:
        """Draw a tool uniformly and arguments that fit its schema. Masks are not supported."""
        if mask is not None or probability is not None:
            raise ValueError("ToolSpace.sample takes no mask and no probability")
        rng = self.np_random
        for _ in range(100):
            drawn = self.tools[int(rng.integers(len(self.tools)))]
            call = ToolCall(drawn.name, draw_json(drawn.parameters, rng))
            if self.problem(call) is None:
                return call
        raise ValueError(
            "no call that fits was drawn in 100 tries: a schema uses keywords that `draw_json` does not know"
        )

    def to_jsonable(self, sample_n: Iterable[ToolCall]) -> list[Any]:
        """Return calls as plain data."""
        return [{"tool": c.tool, "arguments": dict(c.arguments)} for c in sample_n]

    def from_jsonable(self, sample_n: list[Any]) -> list[ToolCall]:
        """Read what `to_jsonable` gave."""
        return [ToolCall(c["tool"], c["arguments"]) for c in sample_n]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ToolSpace) and self.tools == other.tools

    def __hash__(self) -> int:
        return hash(self.names())

    def __repr__(self) -> str:
        return f"ToolSpace({', '.join(self._by_name)})"


def _first_error(validator: jsonschema_rs.Validator, arguments: Mapping[str, Json], of: Tool) -> str:
    properties = of.parameters.get("properties", {})
    for key in arguments:
        if key not in properties and of.parameters.get("additionalProperties") is False:
            return (
                f"no argument {key!r}{nearest(key, properties) or '; it takes: ' + (', '.join(properties) or 'none')}"
            )
    error = next(iter(validator.iter_errors(arguments)))
    path = ".".join(str(p) for p in error.instance_path)
    return f"argument {path!r}: {error.message}" if path else error.message


def draw_json(schema: Mapping[str, Json], rng: Any) -> Any:  # any JSON value
    """Draw a value that fits a JSON Schema, for the keywords tools use.

    Known: type, enum, const, anyOf/oneOf, properties, required, items, minItems, maxItems, minimum, maximum,
    exclusiveMinimum, exclusiveMaximum, minLength, maxLength. Optional properties appear half of the time.
    """
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][int(rng.integers(len(schema["enum"])))]
    for keyword in ("anyOf", "oneOf"):
        if keyword in schema:
            return draw_json(schema[keyword][int(rng.integers(len(schema[keyword])))], rng)
    kind = schema.get("type", "string")
    if isinstance(kind, list):
        kind = kind[int(rng.integers(len(kind)))]
    return _DRAW[kind](schema, rng)


def _draw_object(schema: Mapping[str, Json], rng: Any) -> dict[str, Any]:
    required = schema.get("required", ())
    return {
        name: draw_json(sub, rng)
        for name, sub in schema.get("properties", {}).items()
        if name in required or rng.integers(2)
    }


def _draw_array(schema: Mapping[str, Json], rng: Any) -> list[Any]:
    low = int(schema.get("minItems", 0))
    high = int(schema.get("maxItems", low + _MAX_ITEMS))
    return [draw_json(schema.get("items", {}), rng) for _ in range(int(rng.integers(low, high + 1)))]


def _bounds(schema: Mapping[str, Json], step: float) -> tuple[float, float]:
    low = schema.get("minimum", schema.get("exclusiveMinimum", None))
    high = schema.get("maximum", schema.get("exclusiveMaximum", None))
    if low is None:
        low = -_UNBOUNDED if high is None else high - 2 * _UNBOUNDED
    elif "exclusiveMinimum" in schema and "minimum" not in schema:
        low += step
    if high is None:
        high = low + 2 * _UNBOUNDED
    elif "exclusiveMaximum" in schema and "maximum" not in schema:
        high -= step
    return low, high


def _draw_integer(schema: Mapping[str, Json], rng: Any) -> int:
    low, high = _bounds(schema, 1)
    return int(rng.integers(int(low), int(high), endpoint=True))


def _draw_number(schema: Mapping[str, Json], rng: Any) -> float:
    return float(rng.uniform(*_bounds(schema, 1e-9)))


def _draw_string(schema: Mapping[str, Json], rng: Any) -> str:
    low = int(schema.get("minLength", 1))
    high = int(schema.get("maxLength", max(low, _MAX_CHARS)))
    letters = rng.integers(len(string.ascii_lowercase), size=int(rng.integers(low, high, endpoint=True)))
    return "".join(string.ascii_lowercase[i] for i in letters)


_DRAW: dict[str, Callable[[Mapping[str, Json], Any], Any]] = {
    "object": _draw_object,
    "array": _draw_array,
    "integer": _draw_integer,
    "number": _draw_number,
    "string": _draw_string,
    "boolean": lambda _, rng: bool(rng.integers(2)),
    "null": lambda _, __: None,
}


class ObservationSpace(gymnasium.Space[Observation]):
    """All observations: any text, PNG images, named arrays."""

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(None, None, seed)

    @property
    def is_np_flattenable(self) -> bool:
        """Text has no numeric form of fixed size."""
        return False

    def contains(self, x: Any) -> bool:  # gymnasium's signature
        """Say whether `x` is an observation whose parts can be stored."""
        return (
            isinstance(x, Observation)
            and type(x.text) is str  # numpy's str_ is a str, but no encoder takes it
            and isinstance(x.images, tuple)
            and all(isinstance(image, bytes) for image in x.images)
            and all(
                type(name) is str and hasattr(array, "dtype") and not array.dtype.hasobject
                for name, array in x.arrays.items()
            )
        )

    def sample(self, mask: Any = None, probability: Any = None) -> Observation:
        """Draw an observation of random text."""
        return Observation(_draw_string({}, self.np_random))

    def to_jsonable(self, sample_n: Iterable[Observation]) -> list[Any]:
        """Return observations as plain data (arrays in their stored form)."""
        import msgspec  # only here

        return [msgspec.to_builtins(stored(o)) for o in sample_n]

    def from_jsonable(self, sample_n: list[Any]) -> list[Observation]:
        """Read what `to_jsonable` gave."""
        import msgspec  # only here

        return [restored(msgspec.convert(o, ObservationRecord)) for o in sample_n]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ObservationSpace)

    def __hash__(self) -> int:
        return hash(ObservationSpace)


def restored(record: ObservationRecord) -> Observation:
    """Return the observation that was stored, its arrays read-only."""
    return Observation(record.text, record.images, {a.name: _array(a) for a in record.arrays})


def _array(record: ArrayRecord) -> Any:  # numpy's own type says no more
    import numpy as np  # loaded with gymnasium anyway

    return np.frombuffer(record.data, dtype=np.dtype(record.dtype)).reshape(record.shape)
