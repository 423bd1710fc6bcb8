"""Composes a question: a chain of operations over the typed graph, each needing what the one before it found.

Answer, least number of calls and oracle are known by construction. What surrounds a question (its wording, an unused
database, which distractors there are, which calls fail) is a function of what it asks, so that no question can stand
in two splits in two dresses.
"""

from __future__ import annotations

import functools
from hashlib import blake2b
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, Struct, structs

from trajgen.errors import ConfigError
from trajgen.types import Json, ToolCall, to_json
from trajgen_envs.toolbox import database, facts, folding, graph, moves, phrases
from trajgen_envs.toolbox.answers import is_right
from trajgen_envs.toolbox.database import Plan
from trajgen_envs.toolbox.graph import Found, Ground, Value
from trajgen_envs.toolbox.phrases import BY_OP, PHRASES, PRONOUNS, RELATIONS
from trajgen_envs.toolbox.tools import FAMILIES, Family

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.random import Generator

Depth = Annotated[int, Meta(ge=1, le=8)]
N_EXTRAS = 12


class ToolboxOptions(Struct, frozen=True):
    """What `reset` takes beside `split`.

    Attributes:
        depth: Tool calls a question needs, `answer` not counted; a number or [low, high].
        families: Kinds of tools there are, and so of questions.
        distractors: How many tools are offered that no question needs.
        ambiguous: Every question holds a name that needs what tells it apart.
        failures: Chance that a call fails for the moment; never three in a row.
    """

    depth: Depth | tuple[Depth, ...] = 3  # msgspec 0.22 misreads a bounded int beside a tuple of fixed length
    families: tuple[Family, ...] = FAMILIES
    distractors: Annotated[int, Meta(ge=0, le=N_EXTRAS)] = 0
    ambiguous: bool = False
    failures: Annotated[float, Meta(ge=0, le=1)] = 0.0


class Node(Struct, frozen=True):
    """One part of a question.

    Attributes:
        literal: What the question writes in its hole; None where the part before gives it.
        call: The call that answers it.
        proof: What a tool must have shown for it to count as known.
    """

    op: str
    literal: str | None
    params: dict[str, str]
    ref: int | None
    value: Value
    proof: str
    call: ToolCall


class Task(Struct, frozen=True):
    """A question with all that is known about it.

    Attributes:
        content: What it asks, as JSON data: the key of its split.
        seed: For what surrounds it; a function of `content`.
        titles: Its parts in words.
    """

    goal: str
    nodes: tuple[Node, ...]
    plan: Plan
    content: Json
    seed: int
    titles: tuple[str, ...]

    def answer(self) -> Value:
        """Return what the question asks for."""
        return self.nodes[-1].value


def compose(rng: Generator, options: ToolboxOptions) -> Task:
    """Draw a question.

    Raises: ConfigError: the options allow no such question.
    """
    low, high = _depths(options)
    if not options.families:
        raise ConfigError(f"options.families: expected at least one of {', '.join(FAMILIES)}, found none")
    for _ in range(_TRIES):
        depth = low + int(rng.integers(high - low + 1))
        chain = _Chain(rng, options, depth).grow()
        if chain is not None:
            return _finished(chain)
    raise ConfigError(
        f"options: no question {low} to {high} calls deep was found with families = {list(options.families)}"
        f"{', ambiguous = true' if options.ambiguous else ''}; add families (search and sql lead on to all others), or ask "
        "for less depth"
    )


_TRIES = 500


def _depths(options: ToolboxOptions) -> tuple[int, int]:
    if not isinstance(options.depth, tuple):
        return options.depth, options.depth
    given = list(options.depth)
    if len(given) != 2 or given[0] > given[1]:  # noqa: PLR2004 - a pair
        raise ConfigError(f"options.depth: expected a number or [low, high], found {given}; write 3 or [1, 4]")
    return given[0], given[1]


@functools.cache
def _ops_taking(kind: str, families: tuple[Family, ...]) -> dict[Family, tuple[str, ...]]:
    """Return the operations that take a kind of value, by family in a fixed order."""
    fit = [p.op for p in PHRASES if kind in p.takes and folding.family(p.op) in families]
    grouped = {f: tuple(op for op in fit if folding.family(op) == f) for f in FAMILIES}
    return {f: ops for f, ops in grouped.items() if ops}


class _Chain:
    """One question while it grows; dropped as a whole where it gets stuck."""

    def __init__(self, rng: Generator, options: ToolboxOptions, depth: int) -> None:
        self.rng = rng
        self.options = options
        self.depth = depth
        self.nodes: list[Node] = []
        self.plan: Plan | None = None
        self.start = Value("text", "")
        self.also: tuple[str, ...] = ()
        self._folding = folding.Chain()
        self._db_seed = int(rng.integers(2**32))

    def grow(self) -> _Chain | None:
        """Add parts up to the depth; None where no operation follows or the question gives something away."""
        self.start = self._start()
        while len(self.nodes) < self.depth:
            if not self._extend():
                return None
        return None if _gives_away(self) else self

    # ---- the first part's input

    def _start(self) -> Value:
        if self.options.ambiguous:
            return self._ambiguous_start()
        starts = [k for k in _START_KINDS if _ops_taking(k, self.options.families)]
        if self.depth > _DEEPEST_AMOUNT and len(starts) > 1:
            starts = [k for k in starts if k != "quantity"]
        return self._literal(starts[self._below(len(starts))])

    def _ambiguous_start(self) -> Value:
        kinds = [("city", "search"), ("person", "sql"), ("number", "sql")]
        usable = [kind for kind, needs in kinds if needs in self.options.families]
        if "search" not in self.options.families:
            usable = usable[:1]  # a city that shares its name is told apart only when it is looked up
        if not usable:
            raise ConfigError(
                "options.ambiguous: only search and sql have names to confuse; add one of them to families"
            )
        return self._literal(usable[self._below(len(usable))])

    def _literal(self, kind: str) -> Value:
        unit = self._one(tuple(graph.CONVERSIONS)) if kind == "quantity" else None
        draw: dict[str, Callable[[], str]] = {
            "country": lambda: self._one(facts.countries()),
            "city": self._city,
            "element": lambda: self._one(facts.elements()),
            "symbol": lambda: self._one(facts.symbols()),
            "date": lambda: graph.draw_date(self._ground()),
            "person": lambda: graph.person(Plan("shop", self._db_seed, twins=self.options.ambiguous)),
        }
        return Value(kind, draw.get(kind, self._number)(), unit)

    def _city(self) -> str:
        pool = facts.twin_cities() if self.options.ambiguous else facts.plain_cities()
        return pool[self._below(len(pool))].display()

    def _number(self) -> str:
        return str(1 + self._below(999))

    def _one(self, pool: Sequence[str]) -> str:
        return pool[self._below(len(pool))]

    def _below(self, n: int) -> int:
        return int(self.rng.integers(n))

    # ---- one part more

    def _ground(self) -> Ground:
        earlier = [n.value for n in self.nodes]
        goes_on = len(self.nodes) + 1 < self.depth
        return Ground(self.rng, earlier, not self.nodes, self.options.ambiguous, goes_on, self._db_seed)

    def _extend(self) -> bool:
        x = self.nodes[-1].value if self.nodes else self.start
        by_family = _ops_taking(x.kind, self.options.families)
        order = [list(by_family)[i] for i in self.rng.permutation(len(by_family)).tolist()]
        ground = self._ground()
        for family in order:
            ops = by_family[family]
            for i in self.rng.permutation(len(ops)).tolist():
                if self._folding.allows(ops[i], goes_on=ground.goes_on) and self._try(ops[i], x, ground):
                    return True
        return False

    def _try(self, op: str, x: Value, ground: Ground) -> bool:
        if not self.nodes and not self._may_begin(op, x):
            return False
        found = graph.FIND[op](ground, x)
        if found is None or self._repeats(found, x) or (self.nodes and self._is_in_sight(op, found)):
            return False
        self._add(op, x, found)
        return True

    def _may_begin(self, op: str, x: Value) -> bool:
        if x.kind == "quantity":
            return op == "convert"
        return not (self.options.ambiguous and x.kind == "number") or op == "customer_city"

    def _is_in_sight(self, op: str, found: Found) -> bool:
        """Say whether a search could return the sentence before the part before is known."""
        if BY_OP[op].relation is None:
            return False
        known = [self.start.text, *self.also, *(n.value.text for n in self.nodes[:-1])]
        known += [text for n in self.nodes for text in n.params.values()]
        said = facts.words(found.proof)
        return found.proof in _in_plain_sight() or any(
            w in said and facts.is_telling(w) for t in known for w in facts.words(t)
        )

    def _repeats(self, found: Found, x: Value) -> bool:
        texts = [n.value.text for n in self.nodes] + [x.text]
        return found.value.text in texts

    def _add(self, op: str, x: Value, found: Found) -> None:
        literal = None if self.nodes else (f"{x.text} {x.unit}" if x.unit else x.text)
        ref = None if found.ref is None else self.nodes[found.ref].value.text
        call = moves.move(op, x.text, found.params, unit=x.unit, ref=ref)
        self.nodes.append(Node(op, literal, dict(found.params), found.ref, found.value, found.proof, call))
        self.plan = found.plan or self.plan
        self.also += found.also
        self._folding = self._folding.then(op)


_DEEPEST_AMOUNT = 2  # a converted amount seldom leads further than to one calculation
_START_KINDS = (
    "country",
    "city",
    "element",
    "symbol",
    "number",
    "quantity",
    "date",
    "person",
    "country",
    "element",
    "city",
)


def _gives_away(chain: _Chain) -> bool:
    """Say whether the answer stands in the question, or a constant of a later part would have found an earlier one."""
    given = [chain.start.text, *chain.also]
    given += [text for node in chain.nodes for text in node.params.values()]
    if any(is_right(text, chain.nodes[-1].value) for text in given):
        return True
    constants = {word for text in given for word in facts.words(text) if facts.is_telling(word)}
    return any(
        BY_OP[node.op].relation is not None and not constants.isdisjoint(facts.words(node.proof))
        for node in chain.nodes[1:]
    )


@functools.cache
def _in_plain_sight() -> frozenset[str]:
    """Return the sentences that a search for nothing but a kind of fact returns: someone may begin with that."""
    queries = dict.fromkeys(q for r in RELATIONS.values() for q in (r.keywords, *r.keywords.split()))
    return frozenset(sentence for query in queries for sentence in facts.search(query))


# ------------------------------------------------------------------------------------- words


def _finished(chain: _Chain) -> Task:
    asked = [[n.op, n.literal, dict(n.params), n.ref] for n in chain.nodes]
    content: Json = {"parts": asked, "database": None if chain.plan is None else structs.asdict(chain.plan)}
    seed = int.from_bytes(blake2b(to_json(content).encode(), digest_size=6).digest(), "big")
    plan = chain.plan or Plan("shop" if seed % 2 else "lab", seed % 2**32)
    nodes = tuple(chain.nodes)
    steps = _steps(nodes, seed)
    nested = seed % 5 < _NESTED_OF_FIVE and _can_nest(nodes, seed)
    question = phrases.nested_goal(_nested(nodes, seed)) if nested else phrases.stepwise_goal(steps)
    goal = f"{question}\n{_answer_line(nodes[-1].value)}"
    return Task(goal, nodes, plan, content, seed, tuple(steps))


_LONGEST_NESTED = 5
_NESTED_OF_FIVE = 4


def _can_nest(nodes: Sequence[Node], seed: int) -> bool:
    if len(nodes) > _LONGEST_NESTED or any(n.ref is not None for n in nodes):
        return False
    return all(phrases.nests_well(n.op, seed >> k) for k, n in enumerate(nodes) if k)


def _steps(nodes: Sequence[Node], seed: int) -> list[str]:
    steps = []
    for k, node in enumerate(nodes):
        x = node.literal if node.literal is not None else PRONOUNS[BY_OP[nodes[k - 1].op].gives]
        steps.append(phrases.fill(node.op, seed >> k, x, node.params, node.ref))
    return steps


def _nested(nodes: Sequence[Node], seed: int) -> str:
    said = nodes[0].literal or ""
    for k, node in enumerate(nodes):
        said = phrases.fill(node.op, seed >> k, said, node.params)
    return said


def _answer_line(value: Value) -> str:
    what = {"date": "a date as YYYY-MM-DD", "number": "an exact number", "quantity": f"a number of {value.unit}"}
    return f"Call answer with {what.get(value.kind, 'the name or word asked for')}."


def database_line(plan: Plan) -> str:
    """Say what the database holds, for goals where there is one."""
    return f"The database holds the tables {database.schema_text(plan.theme)}."
