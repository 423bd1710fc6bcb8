"""What the dials of a job are, how they are found by name, and the order of their values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trajgen import config
from trajgen.compare.defaults import option_defaults
from trajgen.compare.keys import AGENT, ENV, FEEDBACK, SAMPLE, SEED, Key, Keys, in_order
from trajgen.errors import ConfigError
from trajgen.types import PASSIVE_CHANNELS

COUNTER = "trajgen-testing/Counter-v0"
MODELS = {
    "backend": {
        "small": {"kind": "scripted", "replies": ["a()"]},
        "large": {"kind": "scripted", "replies": ["b()"]},
    }
}


def keys(*tables, **top) -> Keys:
    return Keys(
        config.parse({"env": "Fake-v0", "agent": "random", "seeds": "0:3", "entry": list(tables), **top}).entries
    )


def names(found: Keys) -> dict[str, tuple[str, ...]]:
    return {key.name: key.values for key in found.varying()}


# ------------------------------------------------------------------------------------- values


def test_only_keys_with_two_values_vary():
    found = keys({"options": {"depth": 1, "kind": "a"}}, {"options": {"depth": 2, "kind": "a"}})
    assert names(found) == {"seed": ("0", "1", "2"), "depth": ("1", "2")}


def test_feedback_is_told_in_the_order_of_channels_and_its_absence_in_a_word():
    found = keys({}, feedback=[["scene", "object"], [], ["object", "success"]])
    assert names(found)["feedback"] == ("none", "success+object", "object+scene")


def test_seeds_and_samples_are_those_of_all_entries():
    found = keys({"seeds": [7, 2], "samples": 2}, {"seeds": [10]})
    assert (found.values(SEED), found.values(SAMPLE)) == (("2", "7", "10"), ("0", "1"))


def test_a_number_is_one_value_however_it_is_written():
    assert names(keys({"options": {"noise": 0}}, {"options": {"noise": 0.0}}, {"options": {"noise": 0.5}}))[
        "noise"
    ] == (
        "0",
        "0.5",
    )


def test_tables_inside_options_are_keys_of_their_own():
    found = keys({"options": {"noise": {"pick": 1}}}, {"options": {"noise": {"pick": 2}}})
    assert names(found)["noise.pick"] == ("1", "2")
    assert found.find("noise.pick") == found.find("options.noise.pick") == Key("options", "noise.pick")


def test_an_option_left_out_of_an_unknown_environment_is_absent():
    assert names(keys({"options": {"depth": 2}}, {}))["depth"] == ("-", "2")


def test_text_that_says_nothing_is_quoted():
    assert names(keys({"options": {"a": ""}}, {"options": {"a": "-"}}, {}))["a"] == ('""', '"-"', "-")


def test_budgets_and_models_are_keys():
    found = keys(
        {"agent": {"name": "llm", "backend": "small"}, "budget": {"max_steps": 9}},
        {"agent": {"name": "llm", "backend": "large"}},
        **MODELS,
    )
    assert names(found)["max_steps"] == ("-", "9")
    assert names(found)["backend"] == ("small", "large")


def test_an_option_left_out_of_a_plug_in_is_its_default():
    assert dict(option_defaults(COUNTER))["step_sleep_s"] == 0.0
    found = keys({"options": {"step_sleep_s": 0.0}}, {}, {"options": {"step_sleep_s": 1.0}}, env=COUNTER)
    assert names(found)["step_sleep_s"] == ("0", "1")


def test_only_installed_plug_ins_are_asked_for_defaults():
    assert option_defaults("CartPole-v1") == ()
    assert option_defaults("nosuch_module:Anything-v0") == ()


# ------------------------------------------------------------------------------------- names


def test_a_bare_name_is_found_in_whatever_table_has_it():
    found = keys({"options": {"depth": 1}}, {"budget": {"max_steps": 4}})
    assert found.find("depth") == Key("options", "depth")
    assert found.find("budget.max_steps") == found.find("max_steps") == Key("budget", "max_steps")
    assert found.find("agent") == AGENT


def test_a_name_of_two_tables_must_be_told_whole():
    found = keys({"options": {"size": 1}, "make_options": {"size": 2}})
    with pytest.raises(ConfigError, match=r"--by size: options\.size and make_options\.size are both of this name"):
        found.find("size")
    assert found.find("make_options.size") == Key("make_options", "size")
    assert found.spelled(found.find("options.size")) == "options.size"


def test_an_option_called_like_a_key_of_the_entry_is_told_whole():
    found = keys({"options": {"seed": 1}}, {"options": {"seed": 2}})
    assert found.find("seed") == SEED
    assert found.find("options.seed") == Key("options", "seed")
    assert "options.seed" in names(found)


def test_an_unknown_key_is_answered_with_the_nearest_and_with_what_varies():
    with pytest.raises(ConfigError, match=r"--by deth: no key of this run; did you mean 'depth'\? .*: seed, depth$"):
        keys({"options": {"depth": 1}}, {"options": {"depth": 2}}).find("deth")


# ------------------------------------------------------------------------------------- what else is equal


def test_what_is_alike_beside_a_key_is_equal_and_what_is_not_is_not():
    found = keys({"options": {"a": 1, "b": 1}}, {"options": {"a": 2, "b": 1}}, {"options": {"a": 2, "b": 2}})
    by = [found.find("a")]
    assert found.rest(0, by) == found.rest(1, by) != found.rest(2, by)


def test_another_agents_own_keys_do_not_make_another_task():
    found = keys({"agent": "random"}, {"agent": {"name": "llm", "backend": "small"}}, **MODELS)
    assert found.rest(0, [AGENT]) == found.rest(1, [AGENT])
    assert found.rest(0, [ENV]) != found.rest(1, [ENV])


# ------------------------------------------------------------------------------------- order


@pytest.mark.parametrize(
    ("values", "ordered"),
    [
        (["10", "9", "-", "0.5", "-1"], ["-", "-1", "0.5", "9", "10"]),
        (["true", "false", "-"], ["-", "false", "true"]),
        (["hard", "easy", "hard"], ["hard", "easy"]),
        (["inf", "3"], ["inf", "3"]),
    ],
)
def test_values_stand_in_their_natural_order(values, ordered):
    assert in_order(Key("options", "x"), values) == tuple(ordered)


@given(st.lists(st.sets(st.sampled_from(PASSIVE_CHANNELS)).map(sorted)))
def test_feedback_is_ordered_by_the_number_of_channels(sets):
    ordered = in_order(FEEDBACK, ["+".join(s) or "none" for s in sets])
    sizes = [0 if value == "none" else len(value.split("+")) for value in ordered]
    assert sizes == sorted(sizes)
    assert len(ordered) == len({tuple(s) for s in sets})


@given(st.lists(st.integers(-50, 50) | st.floats(-5, 5)))
def test_numbers_are_ordered_by_size(numbers):
    ordered = [float(v) for v in in_order(Key("options", "x"), [str(n) for n in numbers])]
    assert ordered == sorted(ordered)
