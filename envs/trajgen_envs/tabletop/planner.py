"""How the scripted agent `planner` plays the tabletop: it reads the instruction, moves one thing at a time, and listens.

The observation-only player of Inner Monologue's ablation (arXiv 2207.05608, section 4.1). It sees the goal's text, the
tools, what its own calls answered and the feedback it is shown, all read by `reading`; what is still to be done follows
from facts alone (`wishes`). Where nobody tells it otherwise it takes it that all went well: that is its open loop. It
knows nothing of the environment, its state or its tasks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct, structs

from trajgen.types import Call, Turn
from trajgen_envs.tabletop import reading, wishes
from trajgen_envs.tabletop.wishes import Fact, Spot, Wish

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.random import Generator

    from trajgen.types import Feedback, Step, Tool
    from trajgen_envs.tabletop.reading import Complaint, Told

MAX_PICKS = 5  # of one object in a row that did not work
MAX_PLACES = 6  # of one object where it belongs that did not work; one that was refused counts twice
MAX_ASIDES = 4  # of one object out of the way that did not work
MAX_SWEEPS = 2  # of looks at every place of the table
MAX_CALLS = 60
_DOUBT_AFTER = 2  # failed picks after a failed place, before it is thought that the cup never let go


class Tries(Struct, frozen=True):
    """What did not work with one object.

    Attributes:
        shift: How many of the spots it may go to were given up for the next one.
    """

    picks: int = 0
    places: int = 0
    asides: int = 0
    shift: int = 0


class _Made(NamedTuple):
    """The last call, and what it was for. `proper`: a place where the object belongs, not just out of the way."""

    tool: str
    name: str = ""
    spot: Spot | None = None
    proper: bool = True


class TabletopPlanner:
    """Plays one instruction. Create one per episode; `start`, then `next` and `saw` in turn."""

    def start(self, goal: str, tools: Sequence[Tool], feedback: Sequence[Feedback], rng: Generator) -> None:
        """Read the instruction. Nothing is drawn: the same words and feedback give the same play."""
        self._goal = reading.goal(goal, tools)
        self._asked = asked = self._goal.asked
        self._asides = () if asked is None else wishes.asides(asked, self._goal.places)
        self._facts = frozenset() if asked is None else wishes.presumed(asked)
        self._lying: frozenset[Fact] = frozenset()  # what was said to lie on something, beside the facts
        self._parts: tuple[int, int] | None = None  # how much of the goal holds; None where nobody says
        self._cup: str | None = None  # what it is taken to hold
        self._doubt: str | None = None  # what it may still hold, since a place failed and nobody said how
        self._tries: dict[str, Tries] = {}
        self._fallen: frozenset[str] = frozenset()
        self._seen: frozenset[str] = frozenset()
        self._lost: frozenset[str] = frozenset()  # what is not where it was thought to be
        self._can_look = any(tool.name == "look" for tool in tools)
        self._n_looks = self._n_calls = 0
        self._made = _Made("reset")
        self._news = ""  # what came of the last call, in words
        told = reading.told(feedback)
        # at the start everything is on the table: a view that leaves something out does not reach everywhere
        self._partial = told.view is not None and set(told.view) != set(self._goal.things)
        self._hear(told)

    # ---- what it does

    def next(self) -> Turn:
        """Return a thought and the next call; stop where the instruction is not understood."""
        if self._asked is None:
            return Turn(text="I do not understand this instruction, so I leave the table as it is.", stop=True)
        if self._cup is not None and self._n_calls < MAX_CALLS:
            return self._put(self._cup)
        wish = self._wish()
        if wish is None or self._n_calls >= MAX_CALLS:
            return self._turn(_Made("done"), {}, self._farewell())
        if self._is_hidden(wish.moved):
            return self._look(wish.moved)
        spot = self._spot(wish)
        why = "out of the way" if spot is None else f"to put it {spot}"
        return self._turn(_Made("pick", wish.moved), {"object": wish.moved}, f"I pick up the {wish.moved} {why}.")

    def _wish(self) -> Wish | None:
        """Return what to move next: the first wish, or what is in its way."""
        wish = next(iter(self._open()), None)
        for _ in self._goal.things:
            blocker = None if wish is None else self._blocker(wish.moved, self._spot(wish))
            if blocker is None:
                break
            wish = Wish(blocker, ())
        return wish

    def _open(self) -> list[Wish]:
        """Return what is left to do and can be done."""
        if self._asked is None:
            return []
        left = self._asked.wishes(self._facts, self._out(), self._cup)
        there = [Wish(w.moved, tuple(s for s in w.spots if s.target not in self._fallen)) for w in left]
        return [wish for wish in there if wish.spots]

    def _is_amiss(self, name: str) -> bool:
        """Say whether an object is not as it should be, as far as one knows, and whether or not it can be helped."""
        left = () if self._asked is None else self._asked.wishes(self._facts, (), self._cup)
        return any(wish.moved == name for wish in left)

    def _out(self) -> frozenset[str]:
        """Return what is not tried any more."""
        tired = (n for n, t in self._tries.items() if t.picks >= MAX_PICKS or t.places >= MAX_PLACES)
        return self._fallen.union(tired)

    def _spot(self, wish: Wish) -> Spot | None:
        """Return where a wish goes now: spots that failed make room for the next one."""
        return wish.spots[self._tried(wish.moved).shift % len(wish.spots)] if wish.spots else None

    def _blocker(self, moved: str, spot: Spot | None) -> str | None:
        """Return what lies on an object, or on the one it is to stand on."""
        under = {moved, spot.target} if spot is not None and spot.relation == "on" else {moved}
        spared = {moved, *self._out()}
        lying = sorted(f for f in self._facts | self._lying if f.relation == "on" and f.target in under)
        return next((fact.name for fact in lying if fact.name not in spared), None)

    def _put(self, name: str) -> Turn:
        """Put down what is in the cup: where it belongs, or else where it is in nobody's way."""
        spot = self._home(name)
        proper = spot is not None
        if spot is None:
            n_tried = self._tried(name).asides
            if n_tried >= min(MAX_ASIDES, len(self._asides)):
                return self._turn(_Made("done"), {}, f"I cannot put down the {name} anywhere, so I give up here.")
            spot = self._asides[n_tried]
        if self._is_hidden(spot.target):
            return self._look(spot.target)
        where = {"target": spot.target, "relation": spot.relation}
        text = f"I put the {name} {spot}{'' if proper else ', out of the way'}."
        return self._turn(_Made("place", name, spot, proper), where, text)

    def _home(self, name: str) -> Spot | None:
        """Return where an object belongs, unless something else has to be moved first."""
        left = self._open()
        wish = next((w for w in left if w.moved == name), None)
        spot = None if wish is None else self._spot(wish)
        if spot is None or spot.target in {w.moved for w in left} or self._blocker(name, spot) is not None:
            return None
        return spot

    def _is_hidden(self, name: str) -> bool:
        """Say whether an object is out of sight and worth looking for."""
        hidden = name in self._lost or (self._partial and name not in self._seen)
        worth = self._can_look and self._n_looks < MAX_SWEEPS * len(self._goal.places)
        return worth and hidden and name in self._goal.things

    def _look(self, name: str) -> Turn:
        place = self._goal.places[self._n_looks % len(self._goal.places)]
        self._n_looks += 1
        text = f"I do not know where the {name} is, so I look at the {place}."
        return self._turn(_Made("look", name), {"place": place}, text)

    def _turn(self, made: _Made, arguments: dict[str, str], text: str) -> Turn:
        left = self._open()
        first = "" if self._n_calls else _BEGIN.get(len(left), f"There are {len(left)} things to move.")
        self._made = made
        self._n_calls += 1
        steps = [*(f"the {wish.moved} {self._spot(wish)}" for wish in left), "done"]
        plan = "\n".join(f"{i}. {step}" for i, step in enumerate(steps, start=1))
        return Turn(text=f"{self._news or first} {text}".strip(), calls=(Call(made.tool, arguments),), plan=plan)

    def _farewell(self) -> str:
        if self._parts is not None and self._parts[0] == self._parts[1]:
            return f"All {self._parts[1]} parts of the goal hold, so I am done."
        out = sorted(self._out())
        if out or self._open():
            return f"I can do no more{f' about {_listed(out)}' if out else ''}, so I give up here."
        return "Nothing is left to do, so I am done."

    # ---- what it hears

    def saw(self, step: Step) -> None:
        """Take in what the last call brought, as far as it is shown."""
        told, made = reading.told(step.feedback), self._made
        complaint = None if told.why is None else reading.complaint(told.why)
        self._hear(told)
        if complaint is not None:
            self._mind(complaint)
        if made.tool == "look":
            self._looked(step.observation.text)
        elif made.tool == "pick":
            self._picked(made.name, told, complaint)
        elif made.spot is not None:
            self._placed(made, made.spot, told, complaint)

    def _hear(self, told: Told) -> None:
        """Take in what holds whatever the call was: the facts of the scene, and what is in view."""
        if told.facts is not None:
            self._facts, self._parts = told.facts, told.parts
        if told.view is not None:
            names = frozenset(told.view).union([] if told.cup is None else [told.cup])
            self._find(names)
            self._cup = told.cup
            if not self._partial:
                self._fallen = frozenset(self._goal.things) - names

    def _mind(self, complaint: Complaint) -> None:
        """Take in what a reason tells of the table."""
        if complaint.upon is not None:
            self._lying |= {complaint.upon}
        if complaint.unseen is not None:
            self._lost |= {complaint.unseen}
        if complaint.fallen is not None:
            self._fallen |= {complaint.fallen}

    def _find(self, names: frozenset[str]) -> None:
        self._seen |= names
        self._lost -= names

    def _looked(self, text: str) -> None:
        names = reading.seen(text)
        self._find(names)
        self._fallen |= reading.fallen(text)
        self._news = f"I see {_listed(sorted(names))}." if names else "There is nothing to be seen."

    def _picked(self, name: str, told: Told, complaint: Complaint | None) -> None:
        if told.view is None:  # else the cup was in view
            failed = told.worked is False or complaint is not None
            self._cup = name if not failed else None if complaint is None else complaint.held
        if self._cup is not None:
            self._lifted(self._cup)
        tries = self._tried(name)
        if self._cup == name:
            self._doubt = None
            self._tries[name] = structs.replace(tries, picks=0)
            self._news = _heard(f"The {name} is in the cup", told, sure=told.view is not None)
            return
        self._tries[name] = structs.replace(tries, picks=MAX_PICKS if _is_hopeless(complaint) else tries.picks + 1)
        if self._partial and told.view is not None and name not in told.view:
            self._lost |= {name}
        self._news = self._failed(f"The {name} is not in the cup", told)
        if self._cup is None and self._doubt is not None and self._tries[name].picks >= _DOUBT_AFTER:
            self._cup, self._doubt = self._doubt, None
            self._news += f" Perhaps the cup never let go of the {self._cup}."

    def _lifted(self, name: str) -> None:
        """Forget what was so as long as it was not lifted."""
        self._lying = frozenset(f for f in self._lying if name not in (f.name, f.target))
        if self._parts is None:
            self._facts = frozenset(f for f in self._facts if f.name != name)

    def _placed(self, made: _Made, spot: Spot, told: Told, complaint: Complaint | None) -> None:
        name = made.name
        if told.view is None:
            kept = complaint is not None and complaint.refused
            self._cup = name if kept else None
        kept = self._cup is not None
        worked = complaint is None and not kept if told.worked is None else told.worked
        unexplained = not worked and told.view is None and complaint is None
        self._doubt = name if unexplained else None
        if worked and self._parts is None and self._asked is not None:
            self._facts = self._facts.union(wishes.brought_about(self._asked, name, spot))
        if complaint is not None and complaint.where is not None:
            self._landed(complaint.where, spot)
        missed = self._is_amiss(name) if made.proper else not worked
        self._count(made, missed=missed, complaint=complaint)
        if missed:
            self._news = self._failed(f"The {name} is not {spot}", told)
        else:
            self._news = _heard(f"The {name} is {spot}", told, sure=self._parts is not None and made.proper)

    def _landed(self, where: Fact, spot: Spot) -> None:
        """Note what was put down on something that was not meant: that lies on what was, perhaps."""
        if where.relation == "on" and where.target in self._goal.things and where.target != spot.target:
            self._lying |= {where}
            if spot.relation == "on":
                self._lying |= {Fact(where.target, "on", spot.target)}

    def _count(self, made: _Made, *, missed: bool, complaint: Complaint | None) -> None:
        tries, kept = self._tried(made.name), self._cup is not None
        if not missed or (complaint is not None and complaint.unseen is not None):
            return
        if made.proper:
            # what was refused is refused again; a spot that failed twice may be a bad one
            another = kept or tries.places % 2 == 1
            tries = structs.replace(tries, places=tries.places + 1 + kept, shift=tries.shift + another)
        else:
            tries = structs.replace(tries, asides=tries.asides + 1)
        self._tries[made.name] = tries

    def _tried(self, name: str) -> Tries:
        return self._tries.get(name, Tries())

    def _failed(self, what: str, told: Told) -> str:
        """Say that something did not work, and who says so."""
        if told.why is not None:
            return f'{what}; I am told: "{told.why}"'
        if told.cup is not None:
            return f"{what}; I see the {told.cup} in it." if "cup" in what else f"{what}; I see it in the cup."
        if told.view is not None and "cup" in what:
            return f"{what}; I see that it is empty."
        if self._parts is not None and "cup" not in what:
            return f"{what}; {self._parts[0]} of {self._parts[1]} parts of the goal hold."
        return f"{what}; I am told that it failed."


_BEGIN = {0: "There is nothing to move.", 1: "There is one thing to move."}


def _heard(what: str, told: Told, *, sure: bool) -> str:
    """Say that something worked, and whether that is known."""
    return f"{what}." if sure or told.worked else f"I take it that {what[:1].lower()}{what[1:]}."


def _is_hopeless(complaint: Complaint | None) -> bool:
    """Say whether a pick was refused for a reason that will not go away."""
    if complaint is None or not complaint.refused:
        return False
    return complaint.held is None and complaint.upon is None and complaint.unseen is None


def _listed(names: Sequence[str]) -> str:
    told = [f"the {name}" for name in names]
    return told[0] if len(told) == 1 else f"{', '.join(told[:-1])} and {told[-1]}"
