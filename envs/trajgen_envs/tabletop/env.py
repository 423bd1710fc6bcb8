"""`trajgen/Tabletop-v0`: skills in words, executed by physics, with feedback that says what came of them.

The observation text only acknowledges a call; what came of it reaches the agent through channels. So a channel that a
job does not show is really not known to the agent (Inner Monologue, arXiv 2207.05608).
"""

from __future__ import annotations

import copy
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from msgspec import Struct, structs, to_builtins

from trajgen.ids import DIGEST_BYTES
from trajgen.toolenv import Acted, Impossible, ToolEnv
from trajgen.types import Line, ToolCall
from trajgen_envs.tabletop import channels, goals, human, intents, learned, oracle, skills, tasks, tools
from trajgen_envs.tabletop.arm import OutOfReach
from trajgen_envs.tabletop.camera import FRAME_PX, Studio
from trajgen_envs.tabletop.channels import Verdict
from trajgen_envs.tabletop.goals import Related
from trajgen_envs.tabletop.table import Table
from trajgen_envs.tabletop.world import DIRECTIONS, PLACES, radius

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from trajgen.types import Channel, Json, Observation
    from trajgen_envs.tabletop.camera import Sink
    from trajgen_envs.tabletop.rig import Rig
    from trajgen_envs.tabletop.table import Saved
    from trajgen_envs.tabletop.tasks import Task

ACKNOWLEDGED = "Acknowledged."
_PUSHED = 0.5  # share of the distance asked for that counts as pushed


class Said(Struct, frozen=True):
    """What the last call brought, and whether it was the last of all.

    Attributes:
        answer: What the person said, if the call asked.
        over: Whether `done` was called.
    """

    verdict: Verdict | None = None
    answer: Line | None = None
    over: bool = False


class _Kept(NamedTuple):
    task: Task
    options: tasks.TabletopOptions
    table: Saved
    said: Said
    rng: Any
    problem: str | None
    worked: str | None
    oracle_steps: int | None


class TabletopEnv(ToolEnv):
    """An arm with a suction cup over a table; see README.md of this folder for tools, options and scores.

    Args:
        affordance: What `can` goes by: `analytic`, `learned`, or the file of a model; see `learned`.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 15}  # noqa: RUF012 - gymnasium's declaration
    options_type = tasks.TabletopOptions
    tools = tools.ANY
    refusal: ClassVar[str] = ACKNOWLEDGED

    def __init__(self, render_mode: str | None = None, affordance: str = "analytic") -> None:
        super().__init__()
        if render_mode not in (None, "rgb_array"):
            raise ValueError(f"render_mode: expected None or 'rgb_array', found {render_mode!r}")
        self.render_mode = render_mode
        self._estimate = learned.chosen(affordance)
        self.legal_wanted = False
        self._task: Task | None = None
        self._table: Table | None = None
        self._options = tasks.TabletopOptions()
        self._said = Said()
        self._studio = Studio()

    # ---- what ToolEnv asks for

    def begin(self, options: tasks.TabletopOptions) -> str:
        """Draw a task and say what is to be done."""
        task = tasks.compose(self.np_random, options)
        self._take(task, options)
        self.oracle_steps = oracle.n_calls(task.goal, tasks.start(task.things, task.starts))
        return f"{task.text}\nOn the table: {', '.join(thing.name for thing in task.things)}."

    def _take(self, task: Task, options: tasks.TabletopOptions) -> None:
        """Put a task on the table, which is built when it is needed: a split draws many tasks and plays one."""
        self._task, self._options, self._table, self._said = task, options, None, Said()
        names = [thing.name for thing in task.things]
        self.tools = tools.offered(names, look=options.look, ask=options.ask)

    @property
    def task(self) -> Task:
        """The present task."""
        if self._task is None:
            raise RuntimeError("reset the environment before anything else")
        return self._task

    @property
    def table(self) -> Table:
        """The table of the present task; built where there is none yet."""
        if self._table is None:
            self._table = Table(self.task, short_sight=self._options.occlusion, on_built=self._watch)
        return self._table

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin a task."""
        observation, info = super().reset(seed=seed, options=options)
        return self._sensed(observation), info

    def step(self, action: ToolCall) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Execute one call."""
        observation, reward, terminated, truncated, info = super().step(action)
        return self._sensed(observation), reward, terminated, truncated, info

    def _sensed(self, observation: Observation) -> Observation:
        """Add to words what the options ask for.

        With `arrays`, `poses` (n, 7) and `cup` (3,), metres; with `images`, one picture of the table.
        """
        rig = self.table.rig
        self._studio.last(rig, self.task.things)
        if self._options.arrays:
            arrays = {"poses": rig.poses(self.table.visible()), "cup": rig.cup()}
            observation = structs.replace(observation, arrays=arrays)
        if self._options.images:
            observation = structs.replace(observation, images=(self._studio.image(rig, self.task.things),))
        return observation

    def act(self, call: ToolCall) -> Acted:
        """Execute one call that fits.

        Raises: Impossible: it cannot be begun; nothing moved.
        """
        if self._said.over:
            raise Impossible("the episode is over: 'done' was called")
        tool: Callable[[Mapping[str, Json]], Acted] = getattr(self, f"_{call.tool}")
        try:
            return tool(call.arguments)
        except OutOfReach as why:  # somewhere on the way: whether the ends are in reach was asked before
            return self._judged("reach()", f"the arm had to stop: {why}", worked=False)

    def solved(self) -> bool:
        """Say whether the goal holds: on the physics, whatever was said."""
        return goals.holds(self.task.goal, self.table.world())

    def task_key(self) -> Json:
        """Return start and goal."""
        return self.task.key()

    def state(self) -> Json:
        """Return the task, what was said last, and where everything is."""
        qpos = self.table.rig.data.qpos.tolist()
        return {"task": self.task.key(), "said": to_builtins(self._said), "qpos": qpos}

    # ---- the tools

    def _pick(self, arguments: Mapping[str, Json]) -> Acted:
        name, table = str(arguments["object"]), self.table
        aim = table.astray(intents.pick(table.belief(), name), self._options.pick_noise_m)
        table.run(lambda rig: skills.pick(rig, aim, table.tops_m()))
        world = table.world()
        why = "the cup holds nothing: the seal did not hold"
        if world.held >= 0:
            why = f"the cup holds the {world.name(world.held)}"
        return self._judged(f"held({name})", why, worked=world.held == world.find(name))

    def _place(self, arguments: Mapping[str, Json]) -> Acted:
        target, relation, table = str(arguments["target"]), arguments["relation"], self.table
        held = table.world().held
        aim = table.astray(intents.place(table.belief(), target, relation), self._options.place_noise_m)
        table.run(lambda rig: skills.place(rig, aim, table.tops_m(held), held, table.thickness_m(held)))
        world = table.world()
        if held < 0:
            return self._judged("held()", "the cup held nothing", worked=False)
        part = Related(world.name(held), relation, target)
        why = f"it came out otherwise: {human.whereabouts(world, held)}"
        return self._judged(part.fact().source, why, worked=part.holds(world))

    def _push(self, arguments: Mapping[str, Json]) -> Acted:
        name, direction, table = str(arguments["object"]), str(arguments["direction"]), self.table
        distance_m = float(arguments["distance_m"])
        aim = intents.push(table.belief(), name, direction, distance_m)
        before = table.world()
        index = before.find(name)
        half = radius(before.things[index])
        free = table.run(lambda rig: skills.push(rig, aim, table.tops_m(), direction, distance_m, half))
        after = table.world()
        old, new, (dx, dy) = before.poses[index], after.poses[index], DIRECTIONS[direction]
        moved_m = (new.x - old.x) * dx + (new.y - old.y) * dy
        why = f"it moved {100 * moved_m:.0f} cm" if free else "something was in the way"
        if after.fallen(index):
            why = "it fell off the table"
        worked = moved_m >= _PUSHED * distance_m and not after.fallen(index)
        return self._judged(f"moved({name}, {direction}, {distance_m:g})", why, worked=worked)

    def _look(self, arguments: Mapping[str, Json]) -> Acted:
        place, table = arguments.get("place"), self.table
        if place is not None:
            x, y = PLACES[place].middle
            table.run(lambda rig: skills.look(rig, x, y, table.tops_m(table.world().held)))
        now = table.world()
        told = [human.whereabouts(now, i) for i in table.visible()]
        return self._judged("visible()", None, worked=True, text="\n".join(told) or "Nothing is in view.")

    def _ask(self, arguments: Mapping[str, Json]) -> Acted:
        line = human.answer(str(arguments["question"]), self.table.world(), self.task.goal)
        return self._judged("asked()", None, worked=True, answer=line)

    def _done(self, arguments: Mapping[str, Json]) -> Acted:
        solved = self.solved()
        judged = self._judged("goal()", "the instruction is not carried out", worked=solved)
        self._said = structs.replace(self._said, over=True)
        return judged._replace(reward=float(solved), terminated=True)

    def _judged(
        self, source: str, why: str | None, *, worked: bool, answer: Line | None = None, text: str = ACKNOWLEDGED
    ) -> Acted:
        """Note what came of a call; `why` is for when it did not work."""
        self._said = Said(Verdict(worked, source, None if worked else why), answer)
        return Acted(text)

    # ---- abilities

    def describe(self, channel: Channel) -> str | Sequence[Line] | None:
        """Return the lines of a channel, each with the predicate and the bodies it came from."""
        if self._task is None:
            return None
        verdict, answer = self._said.verdict, self._said.answer
        if self._problem is not None:
            verdict, answer = Verdict(worked=False, source="refused()", why=self._problem), None
        lines: dict[Channel, Callable[[], list[Line]]] = {
            "success": lambda: channels.success(verdict),
            "object": lambda: channels.objects(self.table.world(), self.table.visible()),
            "scene": lambda: channels.scene(self.table.world(), self.task.goal),
            "error": lambda: channels.error(verdict),
            "human": lambda: [] if answer is None else [answer],
        }
        return lines[channel]() if channel in lines else None

    def _info(self) -> dict[str, Any]:
        info = super()._info()
        if self.legal_wanted:
            info["legal"] = () if self._said.over else tuple(self._legal())
        return info

    def _legal(self) -> Iterator[ToolCall]:
        everything = self._options.legal == "all"
        return intents.legal(self.table.belief(), look=self._options.look, everything=everything)

    def oracle(self) -> Iterator[ToolCall]:
        """Yield the calls that are still needed."""
        return oracle.calls(self.task.goal, self.table.world, self._unseen, lambda: self._said.over)

    def _unseen(self) -> Collection[int]:
        """Return the objects that have to be looked for, and can be."""
        return self.table.belief().unseen if self._options.look else ()

    def can(self, call: ToolCall) -> float:
        """Return the probability that a call works now; see `affordance` and `learned`. 0 for one that does not fit."""
        if self.action_space.problem(call) is not None:  # type: ignore[attr-defined] # a ToolSpace
            return 0.0
        return self._estimate(call, self.table.belief(), self._options, self.table.rig.at)

    def state_digest(self) -> bytes:
        """Return 16 bytes over the physics, everything else that changes, and the generators."""
        whole = blake2b(self.table.fingerprint(), digest_size=DIGEST_BYTES)
        whole.update(repr((self._said, self.np_random.bit_generator.state)).encode())
        return whole.digest()

    def snapshot(self) -> object:
        """Return the state: the table's, and what is beside it."""
        return _Kept(
            self.task,
            self._options,
            self.table.save(),
            self._said,
            copy.deepcopy(self.np_random),
            self._problem,
            self._worked,
            self.oracle_steps,
        )

    def restore(self, saved: Any) -> None:  # opaque
        """Return to a state that `snapshot` gave."""
        self._take(saved.task, saved.options)
        self.table.load(saved.table)
        self._said, self.np_random = saved.said, copy.deepcopy(saved.rng)
        self._problem, self._worked, self.oracle_steps = saved.problem, saved.worked, saved.oracle_steps
        self._offer_tools()

    # ---- pictures

    def render(self) -> Any:  # gymnasium's own type is wider
        """Return the table as it is now, shape (480, 640, 3), or None where no `render_mode` was asked for."""
        if self.render_mode is None:
            return None
        return self._studio.picture(self.table.rig, self.task.things, *FRAME_PX)

    def film(self, sink: Sink | None, *, fps: float = 15.0, width: int = 640, height: int = 480) -> None:
        """Hand frames to `sink` while calls and resets are simulated; see `trajgen.protocols.Filmed`."""
        self._studio.film(sink, fps=fps, width=width, height=height)
        if self._table is not None:
            self._watch(self._table.rig)

    def _watch(self, rig: Rig) -> None:
        self._studio.watch(rig, self.task.things)

    def close(self) -> None:
        """Give the cameras' OpenGL contexts back."""
        self._studio.close()
