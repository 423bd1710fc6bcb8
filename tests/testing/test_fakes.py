"""The fakes check what they are given, and misbehave exactly as told."""

import asyncio
import subprocess
import sys
import threading
import time

import gymnasium
import numpy as np
import pytest

from trajgen.abilities import find
from trajgen.errors import ConfigError
from trajgen.protocols import Affordance, Aids, Digest, FeedbackSource, Opening, Oracle, Snapshot
from trajgen.testing import CounterEnv, ScriptedAgent, ScriptedBackend, serve
from trajgen.testing.drive import play
from trajgen.testing.fakes import COUNTER_ID
from trajgen.types import Feedback, Observation, ObservationRecord, Step, TaskBrief, ToolCall, Turn

ADD = ToolCall("add", {"n": 1})


def counter(seed=0, **options):
    env = CounterEnv()
    env.reset(seed=seed, options=options)
    return env


def test_the_counter_has_every_ability():
    for ability in (Oracle, Snapshot, FeedbackSource, Affordance, Digest):
        assert find(counter(), ability) is not None
    assert counter().can(ADD) == 1
    assert counter(target=5).can(ToolCall("subtract", {"n": 1})) == 0


def test_the_oracle_needs_as_many_steps_as_the_reset_says_from_any_state():
    for target in range(1, 12):
        env = CounterEnv()
        _, info = env.reset(seed=0, options={"target": target})
        calls = list(zip(range(99), env.oracle(), strict=False))
        # the generator reads the state, which nobody changed: it would go on for ever
        assert len(calls) == 99
        n, success = 0, False
        for call in env.oracle():
            *_, info_now = env.step(call)
            n, success = n + 1, info_now["success"]
        assert (n, success) == (info["oracle_steps"], True)


def test_raise_at_counts_steps_and_zero_is_the_reset():
    env = counter(raise_at=2)
    env.step(ADD)
    with pytest.raises(RuntimeError, match="step 2"):
        env.step(ADD)
    with pytest.raises(RuntimeError, match="step 0"):
        counter(raise_at=0)


def test_only_seeds_and_once_in_narrow_the_misbehaviour(tmp_path):
    counter(seed=1, raise_at=1, only_seeds=[2]).step(ADD)
    with pytest.raises(RuntimeError):
        counter(seed=2, raise_at=1, only_seeds=[2]).step(ADD)
    with pytest.raises(RuntimeError):
        counter(seed=2, raise_at=1, once_in=str(tmp_path)).step(ADD)
    counter(seed=2, raise_at=1, once_in=str(tmp_path)).step(ADD)


def test_nondeterministic_observations_differ():
    assert counter(nondeterministic=True).step(ADD)[0] != counter(nondeterministic=True).step(ADD)[0]


def test_step_sleep_takes_its_time():
    env = counter(step_sleep_s=0.05)
    started = time.monotonic()
    env.step(ADD)
    assert time.monotonic() - started >= 0.05


def test_a_bad_option_names_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'raise_at'"):
        counter(rais_at=1)


def _in_a_process(options, then="e.step(ToolCall('add', {'n': 1}))"):
    code = f"""
import threading, time
from trajgen.testing.fakes import CounterEnv
from trajgen.types import ToolCall
beats = []
threading.Thread(target=lambda: [(time.sleep(0.05), print("beat", flush=True)) for _ in range(400)], daemon=True).start()
e = CounterEnv()
e.reset(seed=0, options={options!r})
print("reset", flush=True)
{then}
print("returned", flush=True)
"""
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize(("by", "code"), [("kill", -9), ("exit", 17)])
def test_exit_at_ends_the_process(by, code):
    process = _in_a_process({"exit_at": 1, "exit_by": by})
    out, _ = process.communicate(timeout=60)
    assert process.returncode == code
    assert "reset" in out
    assert "returned" not in out


@pytest.mark.parametrize(("option", "beats"), [("hang_at", True), ("hold_gil_at", False)])
def test_hang_at_leaves_the_gil_and_hold_gil_at_does_not(option, beats):
    process = _in_a_process({option: 1})
    try:
        while process.stdout.readline().strip() != "reset":
            pass
        lines = []
        reader = threading.Thread(target=lambda: lines.extend(iter(process.stdout.readline, "")), daemon=True)
        reader.start()
        time.sleep(1.0)
        assert (len(lines) > 3) == beats
        assert "returned\n" not in lines
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()
        reader.join()
        process.stdout.close()


def _agent(turns):
    agent = ScriptedAgent(turns, {}, Aids())
    env = counter()
    agent.reset(
        Opening(
            TaskBrief(COUNTER_ID, "g", 9, 9),
            env.tools,
            Observation("x"),
            feedback=(),
            legal=None,
            rng=np.random.default_rng(0),
        )
    )
    return agent


def _seen(turn=0, feedback=()):
    return Step(turn, "c", "add", "{}", None, ObservationRecord("x"), 0.0, False, False, None, feedback, None, 0.0, 0.0)


def test_the_scripted_agent_plays_its_turns_and_stops():
    agent = _agent(["a thought >> add(2)", Turn(text="hm")])
    turn = asyncio.run(agent.act())
    assert turn.text == "a thought"
    assert turn.calls[0].arguments == {"n": 2}
    agent.observe(_seen(), legal=None)
    assert asyncio.run(agent.act()).text == "hm"
    agent.observe(_seen(1), legal=None)
    assert asyncio.run(agent.act()).stop


def test_the_scripted_agent_complains_of_a_broken_protocol():
    with pytest.raises(AssertionError, match="before reset"):
        asyncio.run(ScriptedAgent(["add(1)"], {}, Aids()).act())
    for feedback, turn, said in [((Feedback("scene", "secret", shown=False),), 0, "not shown"), ((), 3, "turn 3")]:
        agent = _agent(["add(1)"])
        asyncio.run(agent.act())
        with pytest.raises(AssertionError, match=said):
            agent.observe(_seen(turn, feedback), legal=None)
    agent = _agent(["add(1)", "add(1)"])
    asyncio.run(agent.act())
    with pytest.raises(AssertionError, match="1 calls of the last turn were not told"):
        asyncio.run(agent.act())


def test_the_drive_plays_a_script_to_success():
    if COUNTER_ID not in gymnasium.registry:
        gymnasium.register(COUNTER_ID, entry_point="trajgen.testing.fakes:CounterEnv")
    played = play(COUNTER_ID, ScriptedAgent, config={"turns": ["add(3); add(2)", "submit()"]}, options={"target": 5})
    assert played.success
    assert [s.call_id for s in played.steps] == ["call_0_0", "call_0_1", "call_1_0"]


def test_the_kit_loads_neither_pytest_nor_a_server_before_it_is_used():
    code = (
        "import sys, trajgen.testing as t; bad = {'pytest', 'aiohttp', 'gymnasium'} & set(sys.modules); assert not bad, bad;"
        "t.CounterEnv; assert 'pytest' not in sys.modules and 'aiohttp' not in sys.modules; t.serve; t.ScriptedBackend"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    assert ScriptedBackend
    assert serve
