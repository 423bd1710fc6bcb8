"""`trajgen verify` and `trajgen export` on real runs."""

from __future__ import annotations

import gymnasium
import pytest

from cli.calling import finished, spawn
from trajgen import ToolEnv, tool
from trajgen.cli.replay import _spread
from trajgen.toolenv import Acted

# ------------------------------------------------------------------------------------- verify


class DriftingEnv(ToolEnv):
    """Says another thing once `offset` is changed, as a new version of a simulator might."""

    offset = 0
    tools = (tool("look", "Look."),)

    def begin(self, options):
        self._looks = 0
        return f"Look three times. Today's number is {int(self.np_random.integers(9))}."

    def act(self, call):
        self._looks += 1
        return Acted(f"You see {self._looks + (self.offset if self._looks == 2 else 0)}.", terminated=self.solved())

    def solved(self):
        return self._looks == 3

    def state(self):
        return self._looks


@pytest.fixture
def drifting(cli, monkeypatch):
    """A run of an environment that has changed since."""
    gymnasium.register("cli-test/Drifting-v0", entry_point=DriftingEnv)
    try:
        said = cli("run", "--env", "cli-test/Drifting-v0", "--agent", "random", "-n", 3, "--out", "drifting")
        assert said.code == 0, said.err
        monkeypatch.setattr(DriftingEnv, "offset", 40)
        yield "drifting"
    finally:
        del gymnasium.registry["cli-test/Drifting-v0"]


def test_every_episode_of_a_sound_run_replays(cli, small_run):
    said = cli("verify", small_run)
    assert said.code == 0
    assert "18 replay to the bit" in said.out
    assert "0 diverge" in said.out


def test_one_episode_alone_can_be_verified(cli, small_run):
    assert cli("verify", small_run, "3", "--json").json["checked"] == 1


def test_a_sample_is_spread_over_the_run(cli, small_run):
    assert cli("verify", small_run, "-n", 4, "--json").json["checked"] == 4
    assert list(_spread(iter(range(10)), 4, 10)) == [0, 2, 5, 7]
    assert list(_spread(iter(range(3)), 3, 3)) == [0, 1, 2]


def test_a_divergent_run_names_the_first_step_that_differs_and_exits_1(cli, drifting):
    said = cli("verify", drifting)
    assert said.code == 1
    assert "diverges at step 2, after 1 equal ones: observation.text" in said.out
    assert "stored    'You see 2.'" in said.out
    assert "replayed  'You see 42.'" in said.out
    assert "3 diverge" in said.out
    (first, *_) = cli("verify", drifting, "--json").json["episodes"]
    assert first["divergence"]["field"] == "observation.text"


class HalfEnv(ToolEnv):
    """Says half a character; seed 1 fails before its reset is over, seed 2 when it is closed."""

    tools = (tool("look", "Look."),)

    def reset(self, *, seed=None, options=None):
        self._seed = seed
        if seed == 1:
            raise OSError("no window")
        return super().reset(seed=seed, options=options)

    def begin(self, options):
        self._looked = False
        return "Look \ud83d."

    def act(self, call):
        self._looked = True
        return Acted("You see \ud83d.", terminated=True)

    def solved(self):
        return self._looked

    def state(self):
        return self._looked

    def close(self):
        if self._seed == 2:
            raise OSError("the window cannot be closed")


def test_rows_of_an_environment_that_fails_at_either_end_are_told_apart_from_divergent_ones(cli):
    gymnasium.register("cli-test/Half-v0", entry_point=HalfEnv)
    try:
        cli("run", "--env", "cli-test/Half-v0", "--agent", "random", "-n", 3, "--out", "half")
        said = cli("verify", "half", "--json")
    finally:
        del gymnasium.registry["cli-test/Half-v0"]
    assert said.code == 0, said.json
    counts = said.json["counts"]
    assert (counts["replays"], counts["failed"], counts["diverges"]) == (1, 2, 0)


# ------------------------------------------------------------------------------------- export


def test_an_export_counts_what_went_in_and_out_and_says_how_to_load_it(cli, small_run):
    said = cli("export", small_run, "--to", "trl", "--out", "trl")
    assert said.code == 0
    assert "18 episodes in, 18 rows out, 0 episodes left out" in said.out
    assert "load_dataset('trl')" in said.out
    assert "lost: " in said.out


def test_what_is_left_out_is_counted_with_its_reason(cli, small_run):
    found = cli("export", small_run, "--to", "trl", "--out", "trl", "--set", "only=success", "--json").json
    assert found["episodes_in"] == 18
    assert sum(found["rejected"].values()) == 18 - found["rows_out"] > 0


def test_the_same_export_can_be_made_again_in_the_same_place(cli, small_run, tmp_path):
    words = ("export", small_run, "--to", "trl", "--out", "trl")
    first, again = cli(*words, "--json").json, cli(*words, "--json").json
    assert first == again
    assert [p.name for p in (tmp_path / "trl" / "data").iterdir()] == ["train-00000-of-00001.parquet"]


def test_a_folder_of_somebody_else_is_left_alone(cli, small_run, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    said = cli("export", small_run, "--to", "trl", "--out", "mine")
    assert said.code == 2
    assert "thesis.txt" in said.err
    assert "rm -r mine" in said.err
    assert (tmp_path / "mine" / "thesis.txt").exists()


def test_a_file_added_to_an_export_is_not_removed_with_it(cli, small_run, tmp_path):
    words = ("export", small_run, "--to", "trl", "--out", "trl")
    cli(*words)
    (tmp_path / "trl" / "notes.txt").write_text("mine")
    assert cli(*words).code == 2
    assert (tmp_path / "trl" / "notes.txt").exists()


def test_a_forged_mark_does_not_reach_out_of_its_folder(cli, small_run, tmp_path):
    words = ("export", small_run, "--to", "trl", "--out", "trl")
    cli(*words)
    (tmp_path / "precious.txt").write_text("x")
    mark = tmp_path / "trl" / ".trajgen-export.json"
    mark.write_text(mark.read_text().replace('"files":[', '"files":["../precious.txt",'))
    cli(*words)
    assert (tmp_path / "precious.txt").exists()


@pytest.fixture(scope="module")
def told_run(tmp_path_factory):
    """A run of an agent that reads no feedback and of one that does, shown the same."""
    folder = tmp_path_factory.mktemp("told")
    job = folder / "told.toml"
    job.write_text(
        """
        out = "%s"
        workers = 0
        feedback = ["success", "error"]
        [[entry]]
        env = "trajgen/Toolbox-v0"
        agent = ["oracle", "planner"]
        seeds = "0:3"
        """
        % (folder / "run")
    )
    said = finished(spawn("run", job, cwd=folder))
    assert said.code == 0, said.err
    return folder / "run"


def chats(out):
    import pyarrow.parquet as pq

    return {
        (row["agent"], row["seed"]): "".join(row["messages"][1:])  # beside the prompt, which explains channels
        for file in sorted(out.glob("data/*.parquet"))
        for row in pq.read_table(file).to_pylist()
    }


def test_another_choice_of_feedback_is_given_for_agents_that_read_none_and_counted_for_others(cli, told_run, tmp_path):
    words = ("export", told_run, "--to", "trl", "--out", "trl", "--feedback", "scene,error")
    said = cli(*words)
    assert said.code == 0, said.err
    assert "6 episodes in, 3 rows out, 3 episodes left out" in said.out
    wanted = (
        "the agent acted on [success], which --feedback leaves out and was not shown [scene], which --feedback adds"
    )
    assert f"left out 3: {wanted}" in said.out
    assert cli(*words, "--json").json["rejected"] == {wanted: 3}
    found = chats(tmp_path / "trl")
    assert set(found) == {("oracle", seed) for seed in range(3)}
    assert all("[scene]" in chat and "[success]" not in chat for chat in found.values())


def test_the_feedback_that_was_shown_gives_the_same_files_as_no_choice(cli, told_run, tmp_path):
    cli("export", told_run, "--to", "trl", "--out", "plain")
    said = cli("export", told_run, "--to", "trl", "--out", "chosen", "--feedback", "error, success")
    assert "6 rows out" in said.out
    assert chats(tmp_path / "chosen") == chats(tmp_path / "plain")


@pytest.mark.parametrize("words", [("--feedback", "none"), ("--feedback", ""), ("--set", "feedback=[]")])
def test_no_feedback_at_all_is_a_choice_too(cli, told_run, tmp_path, words):
    assert cli("export", told_run, "--to", "trl", "--out", "trl", *words).code == 0
    found = chats(tmp_path / "trl")
    assert len(found) == 3
    assert not any("[success]" in chat or "[scene]" in chat for chat in found.values())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--feedback", "objecct,scene"), "found 'objecct'; did you mean 'object'?"),
        (("--feedback", "object,"), "found ''"),
        (("--feedback", "human"), "answers to a tool that asked are always shown"),
        (("--feedback", "object", "--as", "seen"), "as, feedback: "),
    ],
)
def test_a_choice_that_cannot_be_is_refused_before_anything_is_written(cli, told_run, tmp_path, words, said):
    found = cli("export", told_run, "--to", "trl", "--out", "trl", *words)
    assert found.code == 2
    assert said in found.err
    assert not (tmp_path / "trl").exists()


def test_the_help_says_where_another_choice_of_feedback_is_honest(cli):
    said = " ".join(cli("export", "--help").out.split())
    assert "--feedback" in said
    assert "left out if a line would change" in said.replace("│ │ ", "")
