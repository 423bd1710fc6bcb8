"""Goals count what holds, name a next move exactly while something is missing, and the expert gets there from anywhere."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tabletops import BOWL_INSIDE_M, PaperTable, bowl_pose, drawn_tasks, pose, table
from trajgen.toolenv import Impossible
from trajgen.types import ToolCall
from trajgen_envs.tabletop import goals, oracle, tasks
from trajgen_envs.tabletop.goals import AllOf, Apart, Clear, Mismatched, Related, Tower
from trajgen_envs.tabletop.objects import Thing
from trajgen_envs.tabletop.world import LID_M, PLACES, Pose, World


def _solve(paper, goal):
    """Let the expert play; return how many calls it made."""
    n = 0
    for call in oracle.calls(goal, lambda: paper.world, tuple, lambda: paper.over):
        n += 1
        try:
            paper.play(call)
        except Impossible as why:
            # what nobody asks for may have been put where something belongs: the expert tidies nothing up
            assume("there is no room" not in str(why))
            pytest.fail(f"the expert asked for {call}, which cannot be done: {why}", pytrace=False)
    return n


def _muddled(paper, data):
    """Pile things on and in each other at random."""
    names = [thing.name for thing in paper.world.things if thing.kind != "bowl"]
    for _ in range(data.draw(st.integers(0, 6))):
        name, target = data.draw(st.sampled_from(names)), data.draw(st.sampled_from(paper.world.things))
        call = {"target": target.name, "relation": "in" if target.kind == "bowl" else "on"}
        try:
            paper.play(ToolCall("pick", {"object": name}))
            paper.play(ToolCall("place", call))
        except Impossible:
            continue


@settings(deadline=None)
@given(drawn_tasks())
def test_no_task_is_solved_at_the_start_and_all_of_it_is_counted(task):
    now = tasks.start(task.things, task.starts)
    assert task.goal.n_needed >= 1
    assert len(task.goal.facts(now)) < task.goal.n_needed
    assert not goals.holds(task.goal, now)
    assert task.goal.next_move(now) is not None


@settings(deadline=None)
@given(drawn_tasks())
def test_where_nothing_goes_wrong_the_expert_needs_as_many_calls_as_it_says(task):
    paper = PaperTable(task)
    least = oracle.n_calls(task.goal, paper.world)
    assert _solve(paper, task.goal) == least
    assert goals.holds(task.goal, paper.world)


@settings(max_examples=200, deadline=None)
@given(drawn_tasks(), st.data())
def test_the_expert_undoes_any_muddle(task, data):
    paper = PaperTable(task)
    _muddled(paper, data)
    assert _solve(paper, task.goal) <= oracle.MAX_CALLS
    assert goals.holds(task.goal, paper.world)


@settings(deadline=None)
@given(drawn_tasks(), st.data())
def test_there_is_a_next_move_exactly_until_the_goal_is_reached(task, data):
    paper = PaperTable(task)
    _muddled(paper, data)
    for call in itertools.islice(oracle.calls(task.goal, lambda: paper.world, tuple, lambda: paper.over), 8):
        now = paper.world
        facts = task.goal.facts(now)
        assert len(facts) <= task.goal.n_needed
        assert len(set(facts)) == len(facts)
        assert (task.goal.next_move(now) is None) == (len(facts) == task.goal.n_needed)
        try:
            paper.play(call)
        except Impossible:
            break


@settings(deadline=None)
@given(drawn_tasks(), st.data())
def test_a_goal_is_not_reached_while_the_cup_holds_something(task, data):
    paper = PaperTable(task)
    _solve(paper, task.goal)
    held = data.draw(st.integers(0, len(task.things) - 1))
    assert not goals.holds(task.goal, paper.world._replace(held=held))


@settings(deadline=None)
@given(drawn_tasks(), st.data())
def test_the_next_move_is_about_what_is_there(task, data):
    paper = PaperTable(task)
    _muddled(paper, data)
    wanted = task.goal.next_move(paper.world)
    assume(wanted is not None)
    move = goals.unburied(paper.world, wanted)
    names = [thing.name for thing in task.things]
    assert move.moved in names
    assert move.target in (PLACES if move.relation == "at" else names)


THREE = {"red block": pose(0.4, 0.2), "blue block": pose(0.5, 0.0), "pink block": pose(0.6, -0.2)}


def test_what_has_to_come_out_of_a_bowl_comes_out_before_anything_is_put_in():
    where = {
        "red block": pose(0.4, 0.2),
        "blue block": pose(0.5, 0.0, BOWL_INSIDE_M),
        "green bowl": bowl_pose(0.5, 0.0),
    }
    goal = AllOf((Related("red block", "in", "green bowl"), Related("blue block", "at", "top side")))
    assert goal.next_move(table(where)) == ("blue block", "top side", "at")
    (call,) = itertools.islice(oracle.calls(goal, lambda: table(where, held="red block"), tuple, lambda: False), 1)
    assert call.arguments["relation"] == "at"


def test_what_has_to_be_moved_itself_gets_nothing_put_on_it():
    now = table(THREE, held="pink block")
    goal = AllOf((Related("blue block", "on", "red block"), Related("pink block", "on", "blue block")))
    (call,) = itertools.islice(oracle.calls(goal, lambda: now, tuple, lambda: False), 1)
    assert call.arguments["relation"] == "at"


def test_a_tower_on_a_wrong_base_is_taken_down_before_it_grows():
    where = {"pink block": pose(0.5, 0.0), "red block": pose(0.5, 0.0, 0.06), "gray block": pose(0.4, 0.2)}
    goal = AllOf((Related("gray block", "on", "red block"), Related("pink block", "on", "gray block")))
    move = goal.next_move(table(where))
    assert (move.moved, move.relation) == ("pink block", "at")
    assert goals.unburied(table(where), move).moved == "red block"


def test_two_blocks_that_have_to_change_bowls_do_not_bury_each_other():
    bowls = {"red bowl": bowl_pose(0.4, 0.1), "blue bowl": bowl_pose(0.6, 0.1)}
    blocks = {"red block": pose(0.4, 0.1, BOWL_INSIDE_M), "blue block": pose(0.6, 0.1, BOWL_INSIDE_M)}
    goal = Mismatched(tuple(blocks), tuple(bowls))
    lifted = table({**blocks, **bowls}, held="red block")
    assert goal.next_move(lifted) == ("blue block", "red bowl", "in")


def test_a_tower_counts_the_best_stack_and_asks_for_the_rest():
    goal = Tower(tuple(THREE))
    now = table({**THREE, "pink block": pose(0.5, 0.0, 0.06)})
    assert [fact.source for fact in goal.facts(now)] == ["on(pink block, blue block)"]
    assert goal.next_move(now) == ("red block", "pink block", "on")


def test_a_tower_elsewhere_is_taken_down_from_the_top():
    now = table({**THREE, "pink block": pose(0.5, 0.0, 0.06)})
    goal = Tower(tuple(THREE), "bottom left corner")
    assert goal.next_move(now) == ("blue block", "red block", "on")
    away = table({**THREE, "red block": pose(0.5, 0.0, 0.10), "pink block": pose(0.5, 0.0, 0.06)})
    assert goal.next_move(away) == ("red block", "bottom left corner", "at")


def test_of_two_blocks_in_one_corner_one_has_to_go_elsewhere():
    now = table({"red block": pose(0.6, 0.2), "blue block": pose(0.6, 0.14), "pink block": pose(0.4, -0.2)})
    goal = Apart(tuple(THREE))
    assert len(goal.facts(now)) == 2
    move = goal.next_move(now)
    assert move.moved == "blue block"
    assert move.target in {"top right corner", "bottom left corner"}


def test_an_area_is_not_clear_while_anything_is_left_there_or_has_been_thrown_off_the_table():
    goal = Clear(tuple(THREE), "left side")
    assert len(goal.facts(table(THREE))) == 2
    thrown = table({**THREE, "red block": pose(0.9, 0.0, -0.38)})
    assert len(goal.facts(thrown)) == 2
    assert len(goal.facts(table({**THREE, "red block": pose(0.4, 0.0)}))) == 3


def test_a_block_in_a_bowl_of_its_own_colour_is_mismatched_nowhere():
    goal = Mismatched(("red block",), ("red bowl", "blue bowl"))
    bowls = {"red bowl": bowl_pose(0.4, 0.0), "blue bowl": bowl_pose(0.6, 0.0)}
    assert not goal.facts(table({"red block": pose(0.4, 0.0, BOWL_INSIDE_M), **bowls}))
    assert goal.facts(table({"red block": pose(0.6, 0.0, BOWL_INSIDE_M), **bowls}))


def test_of_nested_bowls_only_the_uppermost_holds_a_block():
    things = (Thing("block", "red"), Thing("bowl", "green"), Thing("bowl", "blue"))
    pose = Pose(0.5, 0.0, 0.0, 0.0, 1.0, LID_M["bowl"])
    block = Pose(0.5, 0.0, 0.046, 0.0, 1.0, LID_M["block"])
    nested = World(things, (block, pose, pose._replace(z=0.021)), held=-1)
    assert nested.inside(0, 2)
    assert not nested.inside(0, 1)


def test_an_area_is_clear_only_of_what_lies_wholly_outside():
    things = (Thing("block", "red"), Thing("bowl", "green"))
    edge = PLACES["left side"].y0
    for index, half in ((0, 0.02), (1, 0.068)):
        for gap, expected in ((half - 0.002, False), (half + 0.002, True)):
            poses = [Pose(0.5, -0.2, 0.0, 0.0, 1.0, LID_M["block"])] * 2
            poses[index] = poses[index]._replace(y=edge - gap)
            assert World(things, tuple(poses), held=-1).clear_of(index, "left side") is expected
