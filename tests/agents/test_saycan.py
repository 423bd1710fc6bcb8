"""Say x can: what is both wanted and possible is done, everything that was weighed is kept, and words decide alone
only where they are told to."""

import asyncio
import itertools
import math
from typing import ClassVar

import gymnasium
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs import digests_of, episodes_of, play
from trajgen import config
from trajgen.backends.scripted import ScriptedBackend, check_turn
from trajgen.driver import preflight
from trajgen.errors import ConfigError, EnvFault
from trajgen.messages import Transcript, episode_messages
from trajgen.protocols import Aids, Opening
from trajgen.session import EnvSession
from trajgen.spaces import tool
from trajgen.testing.contract import AgentContract
from trajgen.testing.drive import Drive
from trajgen.testing.fakes import COUNTER_ID
from trajgen.toolenv import Acted, Impossible, ToolEnv
from trajgen.types import Observation, TaskBrief, ToolCall
from trajgen_agents.saycan.agent import SayCanAgent, SayCanConfig, SayCanPriorAgent
from trajgen_agents.saycan.prior import Prior

COLOURS = ("red", "blue", "green", "white")
SHELVES = ("top shelf", "bottom shelf", "window sill")
CUPS_ID = "saycan-tests/Cups-v0"


class CupsEnv(ToolEnv):
    """Put cups on shelves. A cup may stand inside another one, which has to go first, whatever the order of words.

    `info["legal"]` is the whole set of skills, as in the paper, and only where it is asked for; `can` is right about
    what is stacked and held, and knows nothing of the cups that are stuck at the first try.
    """

    p_stuck: ClassVar[float] = 0.1
    lies: ClassVar[float] = 0.0  # is added to what `can` says
    tells_legal: ClassVar[bool] = True
    tools = (
        tool("pick", "Take a cup.", object={"type": "string", "enum": [f"{c} cup" for c in COLOURS]}),
        tool("place", "Put down what you hold.", target={"type": "string", "enum": list(SHELVES)}),
        tool("done", "Say that all is done."),
    )

    def __init__(self):
        super().__init__()
        self.legal_wanted = False

    def begin(self, options):
        rng = self.np_random
        order = [f"{COLOURS[i]} cup" for i in rng.permutation(len(COLOURS))]
        self._goal = {cup: SHELVES[int(rng.integers(len(SHELVES)))] for cup in order[:3]}
        # the first that is mentioned stands inside a later one
        self._inside = {order[0]: order[int(rng.integers(1, 3))]} if rng.random() < 0.7 else {}
        self._stuck = {cup for cup in order if rng.random() < self.p_stuck}
        self._where, self._held, self._over, self.n_refused = {}, None, False, 0
        self.oracle_steps = 2 * len(self._goal) + 1
        clauses = [f"the {cup} on the {shelf}" for cup, shelf in self._goal.items()]
        return f"Put {', '.join(clauses[:-1])} and {clauses[-1]}."

    def act(self, call):
        problem = self._refusal(call)
        if problem is None and call.arguments.get("object") in self._stuck:
            self._stuck.discard(call.arguments["object"])
            problem = "it is stuck, but has come loose now"
        if problem is not None:
            self.n_refused += 1
            raise Impossible(problem)
        if call.tool == "pick":
            self._held = call.arguments["object"]
            self._where.pop(self._held, None)
            self._inside = {c: outer for c, outer in self._inside.items() if outer != self._held}
        elif call.tool == "place":
            self._where[self._held], self._held = call.arguments["target"], None
        else:
            self._over = True
        return Acted("Done.", terminated=self._over)

    def _refusal(self, call):
        if call.tool == "place":
            return None if self._held else "you hold nothing"
        if call.tool == "pick":
            outer = self._inside.get(call.arguments["object"])
            return f"you hold the {self._held}" if self._held else f"it is inside the {outer}" if outer else None
        return None

    def solved(self):
        return all(self._where.get(cup) == shelf for cup, shelf in self._goal.items())

    def state(self):
        return [self._goal, self._inside, sorted(self._stuck), self._where, self._held, self._over]

    def can(self, call):
        if self.action_space.problem(call) is not None or call.tool == "done":
            raise AssertionError(f"asked whether {call} works, which is no skill of this scene")
        return (0.95 if self._refusal(call) is None else 0.0) + self.lies

    def _info(self):
        return super()._info() | ({"legal": SKILLS} if self.legal_wanted and self.tells_legal else {})


SKILLS = (
    *(ToolCall("pick", {"object": f"{c} cup"}) for c in COLOURS),
    *(ToolCall("place", {"target": s}) for s in SHELVES),
)


class LyingCupsEnv(CupsEnv):
    lies: ClassVar[float] = 1.0


class SilentCupsEnv(CupsEnv):
    tells_legal: ClassVar[bool] = False


for _name, _env in {"Cups": CupsEnv, "LyingCups": LyingCupsEnv, "SilentCups": SilentCupsEnv}.items():
    if f"saycan-tests/{_name}-v0" not in gymnasium.registry:
        gymnasium.register(f"saycan-tests/{_name}-v0", entry_point=_env)


def drive(seed, agent=SayCanPriorAgent, env_id=CUPS_ID, **how):
    """Play one episode; return what happened and how many skills the environment refused."""
    drive = Drive(env_id, agent, seed=seed, max_steps=20, **how)
    played = asyncio.run(drive.play())
    return played, drive.session.env.unwrapped.n_refused


def words_model():
    """A model that likes what the goal mentions next after what it has done last, and each cup once."""

    def likes(messages, text):
        goal, worked = messages[1].content, []
        for said, answer in itertools.pairwise(messages):
            if said.role == "assistant" and "The last call worked." in answer.content:
                worked.append(said.content)
        n_picked = sum(t.startswith("pick") for t in worked)
        holds = bool(worked) and worked[-1].startswith("pick")
        if text == "done":
            return -1.0 if n_picked == 3 and not holds else -20.0
        if text in worked and text.startswith("pick"):
            return -20.0
        at = goal.find(worked[-1].partition(" ")[2]) if worked else 0
        name = text.partition(" ")[2]
        ahead, anywhere = goal.find(name, at), goal.find(name)
        return -0.05 * (ahead - at) if ahead >= 0 else -5.0 - 0.05 * anywhere if anywhere >= 0 else -20.0

    return ScriptedBackend([], likes=likes)


# ------------------------------------------------------------------------------------- the contract


class TestPriorInCounter(AgentContract):
    agent = SayCanPriorAgent


class TestPriorInCups(AgentContract):
    agent = SayCanPriorAgent
    env_id = CUPS_ID


class TestModelInCups(AgentContract):
    agent = SayCanAgent
    env_id = CUPS_ID

    def backends(self):
        return {"backend": words_model()}


class TestModelInCounter(AgentContract):
    agent = SayCanAgent

    def backends(self):
        return {"backend": ScriptedBackend(["add(n=1)", "submit()"], "repeat")}


# ------------------------------------------------------------------------------------- what it is for


def rates(n, **config):
    refused = steps = solved = 0
    for seed in range(n):
        played, n_refused = drive(seed, config=config)
        refused, steps, solved = refused + n_refused, steps + len(played.steps), solved + bool(played.success)
    return refused / steps, solved / n


def test_say_x_can_tries_a_fifth_as_many_infeasible_skills_as_say_alone_and_solves_no_less():
    alone, alone_solved = rates(60, use_can=False)
    both, both_solved = rates(60)
    assert alone > 0.2
    assert alone >= 5 * both > 0  # the stuck cups, which `can` does not know
    assert both_solved == 1.0
    assert both_solved >= alone_solved


def test_a_model_that_keeps_wanting_the_impossible_is_corrected_by_can():
    solved = {}
    for use_can in (True, False):
        how = {"agent": SayCanAgent, "config": {"use_can": use_can}}
        solved[use_can] = sum(bool(drive(s, backends={"backend": words_model()}, **how)[0].success) for s in range(40))
    assert solved[True] == 40
    assert solved[False] <= 36  # ten points less


def test_with_can_left_out_it_is_still_asked_and_kept():
    played, _ = drive(0, config={"use_can": False})
    for turn in played.turns:
        assert all(o.score == o.say for o in turn.options)
    assert any(o.can == 0.0 for turn in played.turns for o in turn.options)


# ------------------------------------------------------------------------------------- the options


def weigh(logits, cans, **settings):
    """Let the agent weigh three tools over and over: one option a pair of numbers."""

    class Model:
        async def score(self, messages, candidates):
            check_turn(messages)
            assert list(candidates) == [f"use {i}" for i in range(len(logits))]
            return logits

    class Affordance:
        async def can(self, call):
            return cans[call.arguments["n"]]

    tools = (tool("use", "Use one.", n={"type": "integer"}),)
    legal = [ToolCall("use", {"n": n}) for n in range(len(logits))]
    agent = SayCanAgent(SayCanConfig(**settings), {"backend": Model()}, Aids(affordance=Affordance()))
    brief = TaskBrief("e", "g", 9, 9)
    agent.reset(Opening(brief, tools, Observation("g"), feedback=(), legal=legal, rng=None))
    return asyncio.run(agent.act())


NUMBERED = st.lists(
    st.tuples(st.one_of(st.just(-math.inf), st.floats(-2_000, 0)), st.sampled_from([0.0, 0.3, 0.5, 1.0])),
    min_size=1,
    max_size=9,  # one digit: texts and numbers have the same order
)


@given(NUMBERED, st.booleans(), st.sampled_from([0.1, 1.0, 10.0]))
def test_says_sum_to_one_and_the_best_score_is_done(pairs, use_can, temperature):
    logits, cans = [p[0] for p in pairs], [p[1] for p in pairs]
    turn = weigh(logits, cans, use_can=use_can, temperature=temperature)
    assert math.fsum(o.say for o in turn.options) == pytest.approx(1.0)
    assert [o.score for o in turn.options] == sorted((o.score for o in turn.options), reverse=True)
    for option in turn.options:
        assert option.can == cans[msgspec.json.decode(option.arguments)["n"]]
        assert option.score == (option.say * option.can if use_can else option.say)
    assert len({o.arguments for o in turn.options}) == len(pairs)
    done = turn.calls[0].arguments["n"]
    assert msgspec.json.decode(turn.options[0].arguments)["n"] == done
    if use_can and any(cans[i] > 0 and logits[i] > -math.inf for i in range(len(pairs))):
        assert cans[done] > 0


def test_equals_are_told_apart_by_their_fixed_order():
    assert weigh([-1.0] * 4, [0.5] * 4).calls[0].arguments == {"n": 0}
    assert weigh([-1.0] * 4, [0.5, 0.5, 1.0, 1.0]).calls[0].arguments == {"n": 2}
    assert weigh([-3.0, -1.0, -1.0], [0.0] * 3).calls[0].arguments == {"n": 1}  # nothing is possible: what is wanted


def test_a_possible_skill_wins_however_unlikely_its_words():
    turn = weigh([0.0, -5_000.0, -6_000.0], [0.0, 0.2, 1.0])
    assert turn.options[0].score == 0.0  # too small for a float, and still
    assert turn.calls[0].arguments == {"n": 1}


def test_done_is_always_an_option_and_can_be_done():
    played, _ = drive(3)
    for turn in played.turns:
        (done,) = [o for o in turn.options if o.tool == "done"]
        assert done.can == 1.0
    assert played.turns[-1].calls[0].tool == "done"
    assert played.turns[-1].stop
    assert not any(t.stop for t in played.turns[:-1])


def test_what_is_left_out_is_counted_and_never_the_best():
    whole, _ = drive(0)
    cut, _ = drive(0, config={"max_options": 3})
    assert [t.calls for t in cut.turns] == [t.calls for t in whole.turns]
    assert {len(t.options) for t in cut.turns} == {3}
    assert {t.plan for t in cut.turns} == {"5 of 8 options were not weighed (max_options)."}
    assert all(any(o.tool == "done" for o in t.options) for t in cut.turns)
    assert {t.plan for t in whole.turns} == {None}


def test_bad_keys_are_refused():
    for keys in ({"temperature": 0}, {"temperature": math.inf}, {"max_options": 0}, {"say": "prior"}):
        with pytest.raises(ConfigError):
            config.parse({"env": COUNTER_ID, "agent": {"name": "saycan-prior", **keys}, "seeds": "0:1"})


# ------------------------------------------------------------------------------------- before a job starts


def job(agent, env=CUPS_ID, **backends):
    entry = {"env": env, "seeds": "0:4", "agent": agent, "budget": {"max_steps": 20}}
    return {"name": "saycan", "workers": 0, "backend": backends, "entry": [entry]}


SCRIPTED = {"kind": "scripted", "replies": ["pick(red cup)", "place(top shelf)", "done()"], "at_end": "repeat"}
OPENAI = {"kind": "openai", "base_url": "http://127.0.0.1:9/v1", "model": "m"}


def test_a_backend_that_cannot_score_is_refused_before_the_job_starts_and_told_which_can():
    agent = {"name": "saycan", "backend": "b"}
    preflight(config.parse(job(agent, b=SCRIPTED)))
    with pytest.raises(
        ConfigError, match=r"agent.backend: .*'b' of kind 'openai', which cannot; kinds that can: .*scripted"
    ):
        preflight(config.parse(job(agent, b=OPENAI)))
    with pytest.raises(ConfigError, match="expected the NAME of a"):
        config.parse(job("saycan"))


def test_an_environment_without_affordance_is_refused_before_the_job_starts():
    with pytest.raises(ConfigError, match="needs an environment with affordance"):
        preflight(config.parse(job("saycan-prior", "CartPole-v1")))


def test_an_environment_that_does_not_tell_what_is_legal_is_refused_at_its_first_reset():
    with pytest.raises(ConfigError, match=r"info\['legal'\], and saycan-tests/SilentCups-v0 has none"):
        drive(0, env_id="saycan-tests/SilentCups-v0")


def test_an_affordance_that_is_no_probability_is_the_environments_fault():
    with pytest.raises(EnvFault, match="expected a probability"):
        drive(0, env_id="saycan-tests/LyingCups-v0")


# ------------------------------------------------------------------------------------- in a job


def test_a_job_keeps_what_was_weighed_and_is_the_same_twice(tmp_path):
    for run in ("one", "two"):
        report = play(tmp_path / run, job("saycan-prior"))
        assert (report.committed, report.failed) == (4, 0)
    assert digests_of(tmp_path / "one") == digests_of(tmp_path / "two")
    for episode in episodes_of(tmp_path / "one"):
        assert episode.outcome.success
        assert episode.agents[0].backend is None
        for turn, step in zip(episode.turns, episode.steps, strict=True):
            assert (turn.options[0].tool, turn.options[0].arguments) == (step.tool, step.arguments)


def test_what_a_model_scored_is_kept_as_such_and_reads_back_as_what_it_was_sent(tmp_path):
    play(tmp_path / "run", job({"name": "saycan", "backend": "b"}, b=SCRIPTED))
    for episode in episodes_of(tmp_path / "run"):
        assert {c.purpose for c in episode.model_calls} == {"score"}
        sent = []
        for call, turn in zip(episode.model_calls, episode.turns, strict=True):
            sent = [*sent[: call.n_kept], *call.messages_new]
            raw = msgspec.json.decode(call.raw)
            assert turn.text in raw["candidates"]
            assert len(raw["candidates"]) == len(raw["log_likelihoods"]) == len(turn.options)
        assert episode_messages(episode)[: len(sent)] == sent


def test_a_deadline_after_scores_is_an_ending_and_not_the_models_silence(tmp_path):
    data = job({"name": "saycan", "backend": "b"}, COUNTER_ID, b={**SCRIPTED, "replies": ["add(n=1)"]})
    data["entry"][0]["budget"] = {"max_steps": 1_000_000, "max_turns": 1_000_000, "episode_timeout_s": 0.3}
    data["entry"][0]["seeds"] = "0:1"
    report = play(tmp_path / "run", data)
    assert report.committed == 1
    assert [e.outcome.stop_reason for e in episodes_of(tmp_path / "run")] == ["deadline"]


def test_the_model_reads_the_same_transcript_as_any_other_agent():
    seen = []
    likes = lambda messages, text: seen.append(list(messages)) or -float(text == "done")  # noqa: E731
    drive(1, agent=SayCanAgent, backends={"backend": ScriptedBackend([], likes=likes)})
    opening = Transcript(None, ["pick", "place", "done"]).messages[0]
    assert all(messages[0] == opening for messages in seen)
    assert [m.role for m in seen[-1][:5]] == ["system", "user", "assistant", "tool", "assistant"]


def test_the_prior_has_no_eyes_beyond_its_text():
    """The same words and feedback give the same opinion, whatever the state."""
    goals = {}
    for seed in range(12):
        session = EnvSession(CUPS_ID, (), {}, want_legal=True)
        begun = session.begin(seed, {}, None)
        prior = Prior(begun.goal, begun.tools, begun.landing.legal)
        goals.setdefault(begun.goal, []).append([prior.fit(c) for c in SKILLS])
        session.close()
    assert all(len({tuple(f) for f in fits}) == 1 for fits in goals.values())
