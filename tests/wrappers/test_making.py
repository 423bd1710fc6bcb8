"""Environment ids become environments of our contract, and wrong options become messages."""

import gymnasium
import pytest

from trajgen import registry
from trajgen.errors import ConfigError, MissingExtra, UnknownName
from trajgen.types import ToolCall
from trajgen.wrappers.making import default_max_steps, make, replayable
from trajgen.wrappers.textual import Textual, is_foreign


def test_a_foreign_environment_is_wrapped_by_itself_and_its_budget_is_told_but_not_enforced():
    env = make("CartPole-v1")
    assert isinstance(env, Textual)
    first, _ = env.reset(seed=0)
    assert "usually ended after 500 steps" in first.text
    assert not isinstance(env.foreign, gymnasium.wrappers.TimeLimit)


def test_make_options_reach_the_constructor():
    env = make("FrozenLake-v1", make_options={"is_slippery": False, "map_name": "8x8"})
    first, _ = env.reset(seed=0)
    assert "not slippery" in first.text
    assert env.step(ToolCall("act", {"action": "right"}))[0].text.startswith("You are at row 0, column 1;")


@pytest.mark.parametrize(
    ("env_id", "options", "said"),
    [
        ("FrozenLake-v1", {"is_slipery": True}, r"make_options.is_slipery: .*did you mean 'is_slippery'\?"),
        ("FrozenLake-v1", {"zzz": 1}, r"make_options.zzz: .*it takes render_mode, desc, map_name, is_slippery"),
        (
            "FrozenLake-v1",
            {"map_name": "9x9"},
            r"make_options: FrozenLake-v1 does not take {'map_name': '9x9'}: KeyError",
        ),
        ("CartPole-v1", {"gravity": 1}, r"make_options.gravity: CartPole-v1 has no such option"),
    ],
)
def test_a_wrong_make_option_is_named(env_id, options, said):
    with pytest.raises(ConfigError, match=said):
        make(env_id, make_options=options)


def test_an_unknown_environment_gets_the_nearest_name():
    with pytest.raises(UnknownName, match="did you mean 'CartPole-v1'"):
        make("CartPol-v1")


def test_an_environment_that_cannot_be_made_here_says_so_in_its_own_words():
    with pytest.raises(MissingExtra, match="environment 'Reacher-v2' cannot be made here: The mujoco v2 and v3 based"):
        make("Reacher-v2")


@pytest.mark.parametrize(("env_id", "expected"), [("CartPole-v1", 500), ("Reacher-v5", 50), ("Blackjack-v1", None)])
def test_the_default_budget_is_gymnasiums(env_id, expected):
    assert default_max_steps(env_id) == expected


def test_an_environment_that_says_so_is_not_replayable():
    env = make("CartPole-v1")
    assert replayable(env)
    env.metadata = env.metadata | {"replayable": False}
    assert not replayable(env)
    other = make("CartPole-v1")
    other.spec.nondeterministic = True
    assert not replayable(other)


def test_named_wrappers_go_outside_in_the_order_given(monkeypatch):
    class Named(gymnasium.Wrapper):
        pass

    class Other(gymnasium.Wrapper):
        pass

    monkeypatch.setattr(registry, "wrapper", {"named": Named, "other": Other}.__getitem__)
    env = make("CartPole-v1", ["named", "other"])
    assert isinstance(env, Other)
    assert isinstance(env.env, Named)
    assert not is_foreign(env)


def test_an_unknown_wrapper_is_refused():
    with pytest.raises(UnknownName, match="no wrapper 'nobody'"):
        make("CartPole-v1", ["nobody"])
