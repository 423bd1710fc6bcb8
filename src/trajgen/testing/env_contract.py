"""What trajgen asks of every environment, as tests to subclass; see `trajgen.testing.contract`. Knows no engine."""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import gymnasium
import pytest
from gymnasium.utils.env_checker import check_env

from trajgen.abilities import find
from trajgen.errors import ConfigError
from trajgen.feedback.telling import asked
from trajgen.protocols import Digest, FeedbackSource, Oracle, Snapshot
from trajgen.spaces import ToolSpace
from trajgen.splits import SPLITS, split_of
from trajgen.toolenv import ToolEnv
from trajgen.types import ACTIVE_CHANNELS, PASSIVE_CHANNELS, Observation, ToolCall
from trajgen.wrappers.making import make
from trajgen.wrappers.textual import Textual

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from trajgen.feedback.telling import Said
    from trajgen.types import Channel, Json, Tool

Env = gymnasium.Env[Any, Any]
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_CHANNELS = (*PASSIVE_CHANNELS, *ACTIVE_CHANNELS)
_HOSTILE = (
    "",
    "\x00\x1b[31m",
    "' OR 1=1; --",
    "<script>alert(1)</script>",
    "../../etc/passwd",
    "{}[](){{}}%s%n",
    "\N{RIGHT-TO-LEFT OVERRIDE}\N{PILE OF POO}",
    "9" * 400,
    "x" * 10_000,
)


def require(holds: bool, message: str) -> None:  # noqa: FBT001 - reads like an assertion
    """Fail the test with `message` alone where `holds` is false."""
    if not holds:
        pytest.fail(message, pytrace=False)


class _Landed(NamedTuple):
    """One step, as far as it must be the same again."""

    observation: Observation
    reward: float
    terminated: bool
    truncated: bool
    success: object
    digest: bytes | None


def _digest(env: Env) -> bytes | None:
    able = find(env, Digest)
    return None if able is None else able.state_digest()


def _said(able: FeedbackSource, channels: Sequence[Channel] = _CHANNELS) -> list[Said]:
    """Return what is told now, each line checked."""
    said = [line for channel in channels for line in asked(able, channel)]
    for line in said:
        where = f"describe({line.channel!r})"
        require(bool(line.text.strip()), f"{where}: nothing to say is None or no lines, found the text {line.text!r}")
        require(bool(line.source.strip()), f"{where}: expected what {line.text!r} came from, found {line.source!r}")
        for part in (line.text, line.source):
            require(part.isprintable(), f"{where}: expected one line of printable text, found {part!r}")
    return said


def _step(env: Env, call: ToolCall) -> _Landed:
    observation, reward, terminated, truncated, info = env.step(call)
    require(
        "success" in info and info["success"] in {None, True, False},
        f"step {call}: info['success'] must be True, False or None (cannot tell), found {info.get('success', 'nothing')!r}",
    )
    require(observation in env.observation_space, f"step {call}: {observation!r} is not in the observation space")
    return _Landed(observation, float(reward), terminated, truncated, info["success"], _digest(env))


class EnvContract:
    """Subclass it, name it Test..., set `env_id`; everything else has a default.

    Attributes:
        env_id: A registered id, or `package.module:Id-v0`.
        make_options, options: For making and for every reset.
        seeds: The published ones that are tried here; 0-99 are published.
        has_oracle: Every environment should have one; without, nothing is asked about solving.
        has_splits: False where there are so few start states that a split may hold none of them.
        oracle_share: Least share of `seeds` the oracle solves.
        random_share: Largest share that random calls solve within twice the oracle's steps. Where blind chance is
            higher, because the task is short, say so in your README and set it.
        max_steps: Bound on the oracle's calls.
    """

    env_id: ClassVar[str] = ""
    make_options: ClassVar[Mapping[str, Json]] = {}
    options: ClassVar[Mapping[str, Json]] = {}
    seeds: ClassVar[Sequence[int]] = range(10)
    has_oracle: ClassVar[bool] = True
    has_splits: ClassVar[bool] = True
    oracle_share: ClassVar[float] = 0.99
    random_share: ClassVar[float] = 0.05
    max_steps: ClassVar[int] = 300

    @pytest.fixture
    def new(self) -> Iterator[Callable[[], Env]]:
        """Make environments; they are closed after the test."""
        require(bool(self.env_id), f"{type(self).__name__}: set env_id")
        made: list[Env] = []

        def one() -> Env:
            made.append(make(self.env_id, (), dict(self.make_options)))
            return made[-1]

        yield one
        for env in made:
            env.close()

    def begin(self, env: Env, seed: int, split: str | None = None) -> tuple[Observation, dict[str, Any]]:
        """Reset to a task."""
        given = dict(self.options) | ({} if split is None else {"split": split})
        observation, info = env.reset(seed=seed, options=given)
        return observation, info

    def drawn(self, env: Env, seed: int, n: int) -> list[_Landed]:
        """Play up to `n` random calls that fit; start the episode afresh where it ends."""
        env.action_space.seed(seed)
        landed = []
        for _ in range(n):
            landed.append(_step(env, env.action_space.sample()))
            if landed[-1].terminated or landed[-1].truncated:
                self.begin(env, seed)
        return landed

    # ---- form

    def test_gymnasiums_own_checker_has_no_complaint(self, new: Callable[[], Env]) -> None:
        """Pass `gymnasium.utils.env_checker.check_env` without a warning."""
        raw = new().unwrapped
        # the windows of a foreign environment are none of our business
        with warnings.catch_warnings(action="error"):
            check_env(raw, skip_render_check=isinstance(raw, Textual))

    def test_its_tools_can_be_offered_to_a_model(self, new: Callable[[], Env]) -> None:
        """Have at least one tool; names that servers take, descriptions, object schemas."""
        env = new()
        self.begin(env, self.seeds[0])
        space = env.action_space
        require(isinstance(space, ToolSpace) and bool(space.tools), f"action_space: expected tools, found {space!r}")
        for tool in space.tools:  # type: ignore[attr-defined] # just required
            require(bool(_NAME.fullmatch(tool.name)), f"tool {tool.name!r}: expected 1-64 of A-Z a-z 0-9 _ -")
            require(bool(tool.description.strip()), f"tool {tool.name!r}: it has no description")
            kind = tool.parameters.get("type")
            require(kind == "object", f"tool {tool.name!r}: expected parameters of type object, found {kind!r}")

    def test_the_first_observation_states_the_goal(self, new: Callable[[], Env]) -> None:
        """Begin with text, and say `oracle_steps` as a count or None."""
        env = new()
        for seed in self.seeds:
            observation, info = self.begin(env, seed)
            require(observation in env.observation_space, f"seed {seed}: {observation!r} is not in the space")
            require(bool(observation.text.strip()), f"seed {seed}: the first observation has no text")
            steps = info.get("oracle_steps")
            require(steps is None or (isinstance(steps, int) and steps >= 0), f"seed {seed}: oracle_steps is {steps!r}")

    def test_nothing_is_printed(self, new: Callable[[], Env], capfd: pytest.CaptureFixture[str]) -> None:
        """Leave stdout alone: it belongs to whoever runs the job."""
        env = new()
        self.begin(env, self.seeds[0])
        self.drawn(env, 0, 10)
        printed = capfd.readouterr().out
        require(not printed, f"printed to stdout: {printed[:200]!r}")

    # ---- determinism

    def test_equal_seeds_give_equal_episodes(self, new: Callable[[], Env]) -> None:
        """Give the same observations, rewards, ends and digests: again, and in another instance."""
        first, second = new(), new()
        for seed in list(self.seeds)[:3]:
            runs = []
            for env in (first, first, second):
                observation, _ = self.begin(env, seed)
                runs.append([observation, _digest(env), *self.drawn(env, seed, 20)])
            for run, which in ((runs[1], "again"), (runs[2], "in another instance")):
                at = next((i for i, (a, b) in enumerate(zip(runs[0], run, strict=True)) if a != b), None)
                if at is not None:
                    pytest.fail(
                        f"seed {seed}: item {at} differs {which}: {runs[0][at]!r} and {run[at]!r}", pytrace=False
                    )

    def test_a_restored_snapshot_goes_on_as_before(self, new: Callable[[], Env]) -> None:
        """Snapshot, step, restore, step: equal, and more than once."""
        env = new()
        self.begin(env, self.seeds[0])
        able = find(env, Snapshot)
        if able is None:
            pytest.skip("it has no snapshots")
        self.drawn(env, 1, 2)
        saved, before = able.snapshot(), _digest(env)
        first: dict[int, list[_Landed]] = {}
        for way in (*range(2, 8), *range(2, 8)):  # different calls between, so that what they left behind shows
            landed = self._until_end(env, way, 10)
            require(first.setdefault(way, landed) == landed, "the same calls after restore gave other results")
            able.restore(saved)
            require(_digest(env) == before, "state_digest differs after restore")

    def _until_end(self, env: Env, seed: int, n: int) -> list[_Landed]:
        env.action_space.seed(seed)
        landed: list[_Landed] = []
        while len(landed) < n and not (landed and (landed[-1].terminated or landed[-1].truncated)):
            landed.append(_step(env, env.action_space.sample()))
        return landed

    def test_describing_changes_nothing(self, new: Callable[[], Env]) -> None:
        """Say the same twice, draw no random number and leave the state alone."""
        env = new()
        self.begin(env, self.seeds[0])
        able = find(env, FeedbackSource)
        if able is None:
            pytest.skip("it describes nothing")
        for _ in range(3):
            before = _digest(env), repr(env.unwrapped.np_random.bit_generator.state)
            said, again = _said(able), _said(able)
            require(said == again, f"describe said {said}, then {again}")
            after = _digest(env), repr(env.unwrapped.np_random.bit_generator.state)
            require(before == after, "describe changed the state or drew a random number")
            self.drawn(env, 3, 1)

    def test_active_channels_answer_only_the_step_that_asked(self, new: Callable[[], Env]) -> None:
        """Say nothing on `human` and `simulation` at reset, and after a call that was refused."""
        env = new()
        able = find(env, FeedbackSource)
        if able is None:
            pytest.skip("it describes nothing")
        for seed in list(self.seeds)[:3]:
            self.begin(env, seed)
            said = _said(able, ACTIVE_CHANNELS)
            require(not said, f"seed {seed}: nobody asked yet, but describe said {said}")
            landed = self._until_asked(env, able, seed)
            if landed is None or landed.terminated or landed.truncated:
                continue
            _step(env, ToolCall("no_such_tool"))
            said = _said(able, ACTIVE_CHANNELS)
            require(not said, f"seed {seed}: a refused call asked nothing, but describe said {said}")

    def _until_asked(self, env: Env, able: FeedbackSource, seed: int) -> _Landed | None:
        """Play random calls until one is answered; None where none was."""
        for i in range(20):
            landed = self._until_end(env, 100 * seed + i, 1)[-1]
            if landed.terminated or landed.truncated:
                return landed
            if _said(able, ACTIVE_CHANNELS):
                return landed
        return None

    def test_splits_are_respected(self, new: Callable[[], Env]) -> None:
        """Take every seed in every split; where the state is known, it falls in the split that was asked for."""
        if not self.has_splits:
            pytest.skip("it has too few start states")
        env = new()
        for split in SPLITS:
            for seed in list(self.seeds)[:5]:
                first, _ = self.begin(env, seed, split)
                raw = env.unwrapped
                if isinstance(raw, ToolEnv):
                    found = split_of(raw.task_key())
                    require(found == split, f"seed {seed}: asked for {split}, found a task of {found}")
                again, _ = self.begin(env, seed, split)
                require(first == again, f"seed {seed}, split {split}: another task the second time")
        with pytest.raises(ConfigError):
            self.begin(env, self.seeds[0], "training")

    # ---- bad calls

    def test_bad_calls_change_nothing_and_say_why(self, new: Callable[[], Env]) -> None:
        """Refuse what does not fit a tool: a step without an exception, a change or an end, and with an error line."""
        env = new()
        self.begin(env, self.seeds[0])
        told = find(env, FeedbackSource)
        before = _digest(env)
        for call in _misfits(env.action_space.tools):  # type: ignore[attr-defined] # tested above
            landed = _step(env, call)
            where = f"bad call {str(call)[:80]}"
            require(landed.digest == before, f"{where}: it changed the state")
            require(not (landed.terminated or landed.truncated), f"{where}: it ended the episode")
            require(told is None or bool(told.describe("error")), f"{where}: describe('error') says nothing")

    def test_hostile_text_that_fits_is_a_step_like_any_other(self, new: Callable[[], Env]) -> None:
        """Never raise, whatever text arrives in an argument."""
        env = new()
        self.begin(env, self.seeds[0])
        space = env.action_space
        for text in _HOSTILE:
            for tool in space.tools:  # type: ignore[attr-defined] # tested above
                call = ToolCall(tool.name, dict.fromkeys(tool.parameters.get("properties", {}), text))
                landed = _step(env, call)
                if landed.terminated or landed.truncated:
                    self.begin(env, self.seeds[0])

    # ---- solving

    def test_the_oracle_solves_it(self, new: Callable[[], Env]) -> None:
        """Solve the published seeds, in no fewer steps than `oracle_steps` says are needed."""
        env = new()
        solved = {seed: self._solve(env, seed) for seed in self.seeds}
        failing = [seed for seed, n in solved.items() if n is None]
        share = 1 - len(failing) / len(solved)
        require(share >= self.oracle_share, f"the oracle solved {share:.0%}; seeds it did not: {failing}")

    def test_chance_does_not(self, new: Callable[[], Env]) -> None:
        """Stay unsolved by random calls within twice the oracle's steps, three tries a seed."""
        env = new()
        tries = [(seed, sample) for seed in self.seeds for sample in range(3)]
        lucky = [seed for seed, sample in tries if self._lucky(env, seed, sample)]
        share = len(lucky) / len(tries)
        require(share <= self.random_share, f"random calls solved {share:.0%} of {len(tries)}: seeds {lucky}")

    def _solve(self, env: Env, seed: int) -> int | None:
        """Return how many calls the oracle needed; None where it did not solve the task."""
        _, info = self.begin(env, seed)
        able = find(env, Oracle)
        if able is None:
            if self.has_oracle:
                pytest.fail("it has no oracle; write one, or set has_oracle = False", pytrace=False)
            pytest.skip("it has no oracle")
        n, landed = 0, None
        for call in able.oracle():
            landed = _step(env, call)
            n += 1
            if landed.terminated or landed.truncated or n >= self.max_steps:
                break
        if landed is None or not landed.success:
            return None
        least = info.get("oracle_steps")
        require(least is None or n >= least, f"seed {seed}: solved in {n} calls, but oracle_steps says {least}")
        return n

    def _lucky(self, env: Env, seed: int, sample: int) -> bool:
        budget = 2 * (self._solve(env, seed) or self.max_steps // 2)
        self.begin(env, seed)
        landed = self._until_end(env, 1_000 * seed + sample, budget)
        return bool(landed and landed[-1].success)


def _misfits(tools: Sequence[Tool]) -> Iterator[ToolCall]:
    """Yield calls that fit none of `tools`."""
    space = ToolSpace(tools)
    wrong: tuple[Json, ...] = (None, [], {"a": [{}]}, 10**40, -1.5, True, *_HOSTILE)
    candidates = [ToolCall(None), ToolCall(""), ToolCall("no_such_tool", {"x": 1}), ToolCall("\x00" * 300)]
    for tool in tools:
        names = list(tool.parameters.get("properties", {}))
        candidates += [ToolCall(tool.name, {}), ToolCall(tool.name, {"no such argument": 1})]
        candidates += [ToolCall(tool.name, dict.fromkeys(names, value)) for value in wrong]
    yield from (call for call in candidates if space.problem(call) is not None)
