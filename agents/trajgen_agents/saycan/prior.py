"""How well a skill fits an instruction, from words alone: the scripted stand-in for a language model's opinion.

Sees the instruction, the tools, the words of skills and shown feedback; knows no environment, no state and no goal
beyond its words. It reads the instruction as wants (what is to be moved, how, whereto: argument values in the order in
which they are mentioned) and asks of a skill how much of what it says comes next in a want. Its English is that of
`_SAME`, `_OTHER`, `_STACK` and the plural; README.md says what it cannot read.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from trajgen.types import to_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from trajgen.types import Feedback, Json, Tool, ToolCall

DONE = "done"
_WORD = re.compile(r"[a-z0-9]+")
_CLAUSE = re.compile(r"[.;:,!?]|\b(?:and|then)\b")
_MAX_NAME_CHARS = 80  # longer text is no name, such as a question
_SAME = frozenset({"same", "matching"})
_OTHER = frozenset({"another", "other", "different", "mismatched"})
_STACK = frozenset({"stack", "pile"})
_FAILED = frozenset({"fail", "failed", "fails", "failure", "false", "not", "no", "unsuccessful"})
_DENIED = frozenset({"not", "no"})

# Weights of a value by where the want has it. A skill's fit is the square of its words' mean weight, so that one that
# also says what nobody asked for loses more than its share; not squared where it would end a want that is begun.
_NEXT, _LATER, _AGAIN = 1.0, 0.25, 0.8
_RANK = 0.5  # per want that is open before it
_UNBEGUN = 0.2  # a want that is not begun, while another is
_REPEAT = 0.5  # per time that a skill outside every want has worked since one came further
_RETRY = 0.8  # per failure since anything last worked
_NAMED = 0.05  # the instruction says the tool's own name
_BARE, _BARE_NAMED = 0.15, 0.5  # a tool that needs no value (`look`): as it is; and named, when nothing else is left
_DONE_UNREAD = 0.2  # `done` where the instruction could not be read at all


def sentence(call: ToolCall, tools: Sequence[Tool]) -> str:
    """Write a skill as words: the tool's name, then its values in the order of its schema: `pick red block`."""
    order = next((list(t.parameters.get("properties", {})) for t in tools if t.name == call.tool), [])
    keys = sorted(call.arguments, key=lambda k: order.index(k) if k in order else len(order))
    return " ".join([str(call.tool), *(_plain(call.arguments[k]) for k in keys)]).replace("_", " ")


def worked(feedback: Iterable[Feedback]) -> bool:
    """Say whether a call worked, as far as shown feedback tells; where nothing does, it is taken to have worked."""
    for line in feedback:
        if line.channel == "error" or (line.channel == "success" and _FAILED & set(_words(line.text))):
            return False
    return True


def _plain(value: Json) -> str:
    return value if isinstance(value, str) else to_json(value)


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold().replace("_", " "))


def _name(value: str) -> str:
    return " ".join(_words(value))


class Vocabulary:
    """The values that skills can have, as phrases to be found in text.

    Args:
        names: Values as they are written in schemas and calls.
    """

    def __init__(self, names: Iterable[str]) -> None:
        # a dict, to keep the order in which the tools name them
        self.names = tuple(dict.fromkeys(n for n in map(_name, names) if n))
        self._alone = {tuple(n.split()): (n,) for n in self.names}
        self._groups: dict[tuple[str, ...], tuple[str, ...]] = {}
        for name in self.names:
            head = name.split()[-1]
            if head != name:  # "blocks" means every "... block"
                for plural in (f"{head}s", f"{head}es"):
                    self._groups[(plural,)] = (*self._groups.get((plural,), ()), name)
        self._longest = max(map(len, self._alone), default=0)

    def mentions(self, words: Sequence[str]) -> list[tuple[str, ...]]:
        """Return what is mentioned, in order: one name, or all the names of a plural. The longest phrase wins."""
        found, at = [], 0
        while at < len(words):
            for n in range(self._longest, 0, -1):
                phrase = tuple(words[at : at + n])
                names = self._alone.get(phrase) or self._groups.get(phrase)
                if names:
                    found.append(names)
                    at += n - 1
                    break
            at += 1
        return found


class _Clause(NamedTuple):
    words: frozenset[str]
    mentions: list[tuple[str, ...]]


def read(instruction: str, vocabulary: Vocabulary) -> list[tuple[str, ...]]:
    """Return the wants of an instruction: names in the order of mention, what is moved first; lists shared out."""
    clauses = [
        _Clause(frozenset(words), vocabulary.mentions(words))
        for words in map(_words, _CLAUSE.split(instruction.casefold()))
    ]
    stacks = any(_STACK & clause.words for clause in clauses)
    on = ("on",) if "on" in vocabulary.names else ()
    wants: list[tuple[str, ...]] = []
    movers: list[str] = []  # "the red block and the blue block in ...": both wait for where they go
    for clause in clauses:
        if not clause.mentions:
            continue
        first, *rest = clause.mentions
        movers += first
        if rest:
            wants += _stacked(movers, rest, clause, on) if stacks else _shared(movers, rest, clause)
            movers = []
    if stacks:
        wants += _stacked(movers, [], None, on)
    elif not wants:
        wants += [(mover,) for mover in movers]
    return wants


def _shared(movers: Sequence[str], rest: list[tuple[str, ...]], clause: _Clause) -> Iterator[tuple[str, ...]]:
    """Give every mover the same way to go; of a plural target one each."""
    taken: Counter[str] = Counter()
    for mover in movers:
        chosen = tuple(_chosen(names, mover, taken, clause.words) for names in rest)
        taken.update(chosen)
        yield (mover, *chosen)


def _stacked(
    movers: Sequence[str], rest: list[tuple[str, ...]], clause: _Clause | None, on: tuple[str, ...]
) -> Iterator[tuple[str, ...]]:
    """Put the first where it is told, and each further one on the one before."""
    if clause is not None:
        yield from _shared(movers[:1], rest, clause)
    for below, mover in itertools.pairwise(movers):
        yield (mover, *on, below)


def _chosen(names: tuple[str, ...], mover: str, taken: Counter[str], said: frozenset[str]) -> str:
    own = set(mover.split())

    def rank(name: str) -> tuple[bool, int]:
        alike = bool(own & set(name.split()))
        unfit = not alike if said & _SAME else alike if said & _OTHER else False
        return unfit or name == mover, taken[name]

    return min(names, key=rank)


class _Want:
    """One want and how far it has come.

    Attributes:
        at: How many of its values are used up.
        confirmed: The `scene` channel has named it.
    """

    def __init__(self, values: tuple[str, ...]) -> None:
        self.values = values
        self.at = 0
        self.confirmed = False

    @property
    def met(self) -> bool:
        return self.at == len(self.values)

    def match(self, values: Sequence[str]) -> float:
        """Return how much of what a skill says comes next, from 0 to 1."""
        sizes = [len(v.split()) for v in values]
        got = sum(size * self._weight(v, values) for v, size in zip(values, sizes, strict=True))
        share = got / sum(sizes)
        return share if self.at and self.values[-1] in values else share**2

    def _weight(self, value: str, beside: Sequence[str]) -> float:
        if value in self._next(beside):
            return _NEXT
        if value in self.values[: self.at]:
            return _AGAIN
        return _LATER if value in self.values else 0.0

    def _next(self, values: Sequence[str]) -> tuple[str, ...]:
        """Return what may come next in a skill with these values."""
        # before it is begun, only a skill with both ends of a want relates them: "place on the red block" moves no red block
        if len(values) == 1 or (self.at == 0 and not {self.values[0], self.values[-1]} <= set(values)):
            return self.values[self.at : self.at + 1]
        return self.values[self.at : self.at + len(values) + 1]  # one more, for a relation that the skill leaves out

    def take(self, values: Sequence[str]) -> bool:
        """Use up what a skill that worked has said, where it said nothing else, or the end of the want; say whether it did."""
        window = self._next(values)
        reached = max((i for i, v in enumerate(window, self.at + 1) if v in values), default=self.at)
        if reached == len(self.values) or all(v in window for v in values):
            self.at = reached
            return True
        return False

    def named_in(self, mentions: Sequence[tuple[str, ...]]) -> bool:
        """Say whether a line names what is moved, and after it whereto."""
        first, last = (self.values[0],), (self.values[-1],)
        return first in mentions and last in mentions[mentions.index(first) + 1 :]


class Prior:
    """What fits next, of one instruction, given what has been done.

    Args:
        goal: The first observation; the instruction is its first line.
        tools: Their enumerated values are names.
        skills: Calls that are known at the start; their text values are names too.
    """

    def __init__(self, goal: str, tools: Sequence[Tool], skills: Iterable[ToolCall]) -> None:
        instruction = next(iter(goal.strip().splitlines()), "")
        self._said = frozenset(_words(instruction))
        self._vocabulary = Vocabulary([*_enumerated(tools), *_spoken(skills)])
        self._wants = [_Want(values) for values in read(instruction, self._vocabulary)]
        # what can be called without naming anything is no way to bring a named thing about, with a name or without
        self._bare = frozenset(t.name for t in tools if not t.parameters.get("required"))
        self._n_worked: Counter[str] = Counter()
        self._n_failed: Counter[str] = Counter()

    def fit(self, call: ToolCall) -> float:
        """Return how well a skill fits now, from 0 to 1 (and `_NAMED` more where the instruction names its tool)."""
        open_wants = [w for w in self._wants if not w.met]
        if call.tool == DONE:
            return _DONE_UNREAD if not self._wants else float(not open_wants)
        values, named = self._values(call), bool(self._said.intersection(_words(str(call.tool))))
        key = to_json([call.tool, call.arguments])
        if values and open_wants:
            fit = self._best(values, open_wants)[0]
        else:
            fit = self._outside(values, named=named and not open_wants) * _REPEAT ** self._n_worked[key]
        return (fit + _NAMED * named) * _RETRY ** self._n_failed[key]

    def _values(self, call: ToolCall) -> list[str]:
        """Return a call's text values as names, each once; of a tool that needs none, none."""
        return [] if call.tool in self._bare else list(dict.fromkeys(n for n in map(_name, _spoken([call])) if n))

    def _best(self, values: Sequence[str], open_wants: Sequence[_Want]) -> tuple[float, _Want]:
        """Return how well values fit the want that they fit best, and that want; of equals the earliest."""
        is_begun = any(w.at for w in open_wants)
        fits = [
            _RANK**rank * (_UNBEGUN if is_begun and not want.at else 1.0) * want.match(values)
            for rank, want in enumerate(open_wants)
        ]
        best = max(range(len(fits)), key=fits.__getitem__)
        return fits[best], open_wants[best]

    def _outside(self, values: Sequence[str], *, named: bool) -> float:
        """Return the fit of a skill that no open want speaks of."""
        if not values:
            return _BARE_NAMED if named else _BARE
        if self._wants:
            return 0.0  # everything asked for is done
        words = [word for value in values for word in value.split()]
        return sum(word in self._said for word in words) / len(words) * _BARE_NAMED

    def saw(self, call: ToolCall, feedback: Sequence[Feedback]) -> None:
        """Take in what came of a call."""
        key, values = to_json([call.tool, call.arguments]), self._values(call)
        open_wants = [w for w in self._wants if not w.met]
        want = self._best(values, open_wants)[1] if values and open_wants else None
        if worked(feedback):
            self._n_worked[key] += 1
            self._n_failed.clear()
            if want is not None and want.take(values):
                self._n_worked.clear()
        else:
            self._n_failed[key] += 1
            if want is not None and want.match(values) > 0:
                want.at = 0  # what was picked up may have been dropped
        self.heard(feedback)

    def heard(self, feedback: Sequence[Feedback]) -> None:
        """Take in what the `scene` channel says holds: it meets a want, and opens it again when it says so no more."""
        told = [_words(line.text) for line in feedback if line.channel == "scene"]
        facts = [self._vocabulary.mentions(words) for words in told if not _DENIED.intersection(words)]
        for want in self._wants if told else ():
            if len(want.values) > 1 and any(want.named_in(mentions) for mentions in facts):
                want.at, want.confirmed = len(want.values), True
            elif want.confirmed:
                want.at, want.confirmed = 0, False


def _spoken(calls: Iterable[ToolCall]) -> Iterator[str]:
    for call in calls:
        yield from (v for v in call.arguments.values() if isinstance(v, str) and len(v) <= _MAX_NAME_CHARS)


def _enumerated(tools: Iterable[Tool]) -> Iterator[str]:
    for tool in tools:
        for schema in tool.parameters.get("properties", {}).values():
            if isinstance(schema, dict):
                yield from (v for v in schema.get("enum", ()) if isinstance(v, str))
