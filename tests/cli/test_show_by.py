"""`trajgen show --by`: success by the keys of a job, in lines, in JSON and as a picture."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from compare.synthetic import ablation, make_run
from trajgen.cli import comparison
from trajgen.compare.comparison import compare

if TYPE_CHECKING:
    from trajgen.store.layout import RunDir


@pytest.fixture(scope="module")
def ablated(tmp_path_factory) -> RunDir:
    return ablation(tmp_path_factory.mktemp("ablation") / "monologue")


def text_of(found, width=None) -> list[str]:
    return [str(line) for line in comparison.lines(found, width)]


# ------------------------------------------------------------------------------------- what is printed


def test_two_keys_are_first_a_grid_then_cells_then_paired_tests(cli, ablated):
    said = cli("show", ablated.path, "--by", "feedback,disturbance")
    assert said.code == 0
    lines = said.out.splitlines()
    assert lines[2].split() == ["feedback", "0", "0.5"]
    assert lines[3].split()[:3] == ["none", "30", "%"]
    assert next(line for line in lines if line.startswith("object+scene    0")).split()[2:7] == [
        "40",
        "90",
        "%",
        "(77-96.0)",
        "3.0",
    ]
    place = lines.index("disturbance, at feedback=none")
    row = "0 -> 0.5 40 4 8 0 28 -20.0 (-34.0 to -6.5) 0.0078 0.0625 33 %"
    assert " ".join(lines[place + 1].split()) == row
    assert "adjusted for all 12 tests made here" in " ".join(lines)


def test_one_key_needs_no_grid(cli, ablated):
    out = cli("show", ablated.path, "--by", "disturbance").out
    assert "down" not in out
    assert "adjusted for the one test made here" in out.replace("\n", " ")


def test_keys_can_be_told_apart_by_commas_spaces_or_flags(cli, ablated):
    whole = cli("show", ablated.path, "--by", "feedback,disturbance").out
    assert cli("show", ablated.path, "--by", "feedback", "disturbance").out == whole
    assert cli("show", ablated.path, "--by", "feedback", "--by", "disturbance").out == whole


def test_all_pairs_are_tested_where_asked_for(cli, ablated):
    found = cli("show", ablated.path, "--by", "feedback", "--pairs", "all", "--json").json
    assert found["tests"] == len(found["pairs"]) == 6


@pytest.mark.parametrize(
    "by", [["feedback"], ["feedback", "disturbance"], ["seed", "feedback"], ["agent", "env", "split"]]
)
@pytest.mark.parametrize("width", [60, 80])
def test_it_fits_the_terminal(ablated, by, width):
    lines = text_of(compare(ablated, by), width)
    assert max(map(len, lines)) <= width


def test_long_labels_of_pairs_are_told_whole_on_a_line_of_their_own(tmp_path):
    many = ["success", "object", "scene", "progress"]
    job = {"env": "Fake-v0", "agent": "random", "seeds": "0:9", "feedback": [many, [*many, "error"]]}
    lines = text_of(compare(make_run(tmp_path / "run", job, lambda e, k: {"success": True}), ["feedback"]), 80)
    assert "  success+object+scene+progress -> success+object+scene+progress+error" in lines
    assert max(map(len, lines)) <= 80


def test_what_a_narrow_terminal_leaves_out_is_named(ablated):
    narrow, wide = (" ".join(text_of(compare(ablated, ["feedback"]), width)) for width in (80, None))
    assert "left out for want of room, and in --json:" in narrow
    assert "left out" not in wide


def test_failed_and_unpaired_episodes_are_told(cli, tmp_path):
    job = {"env": "Fake-v0", "agent": "random", "seeds": "0:9", "feedback": [[], ["object"]]}
    crash = ("env", "RuntimeError", "it broke")
    run = make_run(
        tmp_path / "run", job, lambda e, k: {"failure": crash} if k.seed == 5 and e.feedback else {"success": True}
    )
    lines = cli("show", run.path, "--by", "feedback").out.splitlines()
    assert next(line for line in lines if line.startswith("object")).split()[1] == "8"
    assert next(line for line in lines if line.startswith("object")).split()[-1] == "1"
    assert next(line for line in lines if "none -> object" in line).split()[8] == "1+1"
    assert "unpaired:" in " ".join(lines)


def test_missing_episodes_are_told(cli, tmp_path):
    job = {"env": "Fake-v0", "agent": "random", "seeds": "0:9"}
    run = make_run(tmp_path / "run", job, lambda e, k: {"success": True}, n_units=4)
    said = cli("show", run.path, "--by", "agent")
    assert "5 episodes are missing; to play them: " in said.err
    assert cli("show", run.path, "--by", "agent", "--json").json["missing"] == 5


def test_hostile_values_are_inert(ablated):
    hostile = "\x1b[31mred\u202e"
    found = compare(ablated, ["feedback", "disturbance"])
    axes = tuple(replace(axis, name=hostile, values=(hostile, *axis.values[1:])) for axis in found.axes)
    cells = tuple(replace(c, values=(hostile, hostile)) for c in found.cells)
    pairs = tuple(replace(p, key=hostile, a=(hostile, hostile), b=(hostile, hostile)) for p in found.pairs)
    for width in (80, None):
        text = "\n".join(text_of(replace(found, axes=axes, cells=cells, pairs=pairs), width))
        assert "\\x1b[31mred\\u202e" in text
        assert "\x1b" not in text
        assert "\u202e" not in text


def test_an_empty_run_is_shown_as_such(cli, tmp_path):
    job = {"env": "Fake-v0", "agent": "random", "seeds": "0:9", "feedback": [[], ["object"]]}
    run = make_run(tmp_path / "run", job, lambda e, k: {}, n_units=0)
    assert cli("show", run.path, "--by", "feedback,seed").code == 0


# ------------------------------------------------------------------------------------- played for real


def test_a_played_run_can_be_compared(cli, small_run):
    found = cli("show", small_run, "--by", "agent,depth", "--json").json
    assert [key["values"] for key in found["keys"]] == [["oracle", "random"], ["[1,2]", "-"]]
    counts = {(c["values"]["agent"], c["values"]["depth"]): (c["n"], c["successes"]) for c in found["cells"]}
    assert counts["oracle", "[1,2]"] == (6, 6)
    assert counts["random", "[1,2]"] == (6, 0)
    (agents,) = (p for p in found["pairs"] if p["key"] == "agent")
    assert (agents["n"], agents["only_a"], agents["p"]) == (6, 6, 2 / 2**6)


def test_what_is_shown_of_the_counter_decides_who_reaches_it(cli, tmp_path):
    job = tmp_path / "counter.toml"
    job.write_text(
        """
        workers = 0
        out = "counter"
        env = "trajgen-testing/Counter-v0"
        seeds = "0:5"
        feedback = [[], ["scene"]]
        [[entry]]
        agent = "oracle"
        options = { step_sleep_s = 0.0 }
        [[entry]]
        agent = "random"
        budget = { max_steps = 3 }
        """
    )
    assert cli("run", job).code == 0
    found = cli("show", "counter", "--by", "feedback,agent", "--json").json
    lines = [c["feedback_lines"] for c in found["cells"] if c["values"]["agent"] == "oracle"]
    assert lines[0] == 0 < lines[1]
    # with another budget it is another task, so oracle and random are no pairs
    assert [(p["key"], p["n"]) for p in found["pairs"]] == [
        ("feedback", 5),
        ("feedback", 5),
        ("agent", 0),
        ("agent", 0),
    ]


# ------------------------------------------------------------------------------------- keys


def test_without_a_value_it_lists_the_keys_that_vary(cli, ablated):
    said = cli("show", ablated.path, "--by")
    assert said.code == 0
    assert [line.split()[:2] for line in said.out.splitlines()[1:]] == [
        ["feedback", "4"],
        ["seed", "40"],
        ["disturbance", "2"],
    ]
    assert "--by feedback" in said.err
    keys = cli("show", ablated.path, "--by", "--json").json["keys"]
    assert keys[2] == {"key": "disturbance", "values": ["0", "0.5"]}


def test_where_nothing_varies_it_says_so(cli, tmp_path):
    run = make_run(tmp_path / "run", {"env": "Fake-v0", "agent": "random", "seeds": "0:1"}, lambda e, k: {})
    assert cli("show", run.path, "--by").out.strip() == "nothing varies in this run: one entry, one seed"


# ------------------------------------------------------------------------------------- JSON and the picture


def test_json_has_everything(cli, ablated):
    found = cli("show", ablated.path, "--by", "feedback,disturbance", "--json").json
    assert found["keys"][0] == {
        "key": "feedback",
        "values": ["none", "object", "success+object", "object+scene"],
        "paired": True,
    }
    assert found["cells"][0] == {
        "values": {"feedback": "none", "disturbance": "0"},
        "n": 40, "failed": 0, "judged": 40, "successes": 12, "success": 0.3,
        "success_95": pytest.approx([0.1807, 0.4543], abs=1e-4),
        "mean_steps": 3.0, "median_steps": 3.0, "mean_return": 1.5, "feedback_lines": 120,
    }  # fmt: skip
    pair = found["pairs"][-1]
    assert set(pair) == {
        "key", "a", "b", "n", "both", "only_a", "only_b", "neither", "unpaired_a", "unpaired_b", "p", "p_holm",
        "difference", "difference_95", "kept",
    }  # fmt: skip
    assert pair["b"] == {"feedback": "object+scene", "disturbance": "0.5"}
    assert found["tests"] == 12


@pytest.mark.parametrize("json_too", [False, True])
def test_a_plot_is_written_and_where_is_said(cli, ablated, tmp_path, json_too):
    said = cli("show", ablated.path, "--by", "feedback,disturbance", "--plot", "plot.png", *["--json"] * json_too)
    assert said.code == 0
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads(said.out)["plot"] == "plot.png" if json_too else "wrote plot.png" in said.out


# ------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--by", "feedbak"], "did you mean 'feedback'? what varies in it: feedback, seed, disturbance"),
        (["--by", "nosuchthing"], "no key of this run; what varies in it: feedback, seed, disturbance"),
        (["--by", "feedback,feedback"], "'feedback' is there 2 times; type each key once"),
        (["--by", "--plot", "p.png"], "--by: expected KEY[,KEY...], found none"),
        (["--plot", "p.png"], "--plot p.png: expected --by KEY[,KEY...] beside it"),
        (["--pairs", "all"], "--pairs all: expected --by KEY[,KEY...] beside it"),
        (["--by", "feedback", "--failed"], "--by: --failed is given too; expected one of them"),
        (["0", "--by", "feedback"], "--by: EPISODE ('0') is given too; expected one of them"),
        (["--by", "feedback", "--plot", "p.svg"], "expected the name of a PNG file, like p.png"),
    ],
)
def test_what_cannot_be_meant_is_refused_and_says_what_to_type(cli, ablated, words, said):
    answer = cli("show", ablated.path, *words)
    assert (answer.code, answer.out) == (2, "")
    assert said in answer.err
