"""The learned affordance: its data, its figures, its file, and where the environment uses it."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from trajgen.errors import ConfigError
from trajgen.types import ToolCall
from trajgen.wrappers.making import make
from trajgen_envs.tabletop import features, learn, learned, practice, tasks
from trajgen_envs.tabletop.env import TabletopEnv
from trajgen_envs.tabletop.intents import Belief
from trajgen_envs.tabletop.learned import Figures
from trajgen_envs.tabletop.objects import Thing
from trajgen_envs.tabletop.practice import Tries
from trajgen_envs.tabletop.tasks import TabletopOptions

ID = "trajgen/Tabletop-v0"
HAND = (0.32, 0.0, 0.3)
UNMEASURED = Figures(0, 0, 0.0, 0.0)
N_FEATURES = len(features.NAMES)


@pytest.fixture(scope="module")
def train():
    return practice.practise("train", 60)


@pytest.fixture(scope="module")
def unseen():
    return practice.practise("test", 60)


@pytest.fixture(scope="module")
def shipped():
    return learned.load(learned.SHIPPED)


def _made_up(n, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, N_FEATURES)) * rng.uniform(0.1, 10, N_FEATURES) + rng.normal(size=N_FEATURES)
    y = x[:, 0] / x[:, 0].std() + rng.normal(size=n) > 0
    nothing = np.zeros(n)
    return Tries(x, y, nothing.astype(int), nothing.astype(bool), nothing, np.arange(n))


# ---- figures


@given(st.lists(st.tuples(st.booleans(), st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0])), min_size=2, max_size=60))
def test_auc_is_scikit_learns_ties_included(pairs):
    worked, estimate = np.array([w for w, _ in pairs]), np.array([e for _, e in pairs])
    if worked.all() or not worked.any():
        assert learn.auc(worked, estimate) is None
    else:
        assert learn.auc(worked, estimate) == pytest.approx(roc_auc_score(worked, estimate))


def test_calibration_error_is_the_mean_gap_over_bins_of_equal_size():
    worked = np.array([False, False, True, True, True, True])
    estimate = np.array([0.1, 0.3, 0.5, 0.7, 0.9, 0.9])
    # three bins of two: means 0.2, 0.6, 0.9 against shares 0, 1, 1
    assert learn.ece(worked, estimate, bins=3) == pytest.approx((0.2 + 0.4 + 0.1) / 3)


def test_a_true_probability_is_calibrated_and_an_overconfident_one_is_not():
    rng = np.random.default_rng(0)
    truth = rng.uniform(size=20_000)
    worked = rng.uniform(size=20_000) < truth
    assert learn.ece(worked, truth) < 0.02
    assert learn.ece(worked, np.round(truth)) > 0.2


# ---- features


def _table(*where):
    things = (Thing("block", "red"), Thing("bowl", "green"), Thing("can", "blue"))
    starts = tuple((x, y, 0.02 if i == 0 else 0.03 * (i == 2), 0.0) for i, (x, y) in enumerate(where))
    return tasks.start(things, starts)


SPOTS = st.tuples(st.floats(0.3, 0.7), st.floats(-0.3, 0.3))
CALLS = (
    ToolCall("pick", {"object": "red block"}),
    ToolCall("pick", {"object": "blue can"}),
    ToolCall("place", {"target": "red block", "relation": "on"}),
    ToolCall("place", {"target": "blue can", "relation": "behind"}),
    ToolCall("place", {"target": "green bowl", "relation": "in"}),
    ToolCall("place", {"target": "middle", "relation": "at"}),
    ToolCall("push", {"object": "red block", "direction": "left", "distance_m": 0.1}),
    ToolCall("push", {"object": "green bowl", "direction": "back", "distance_m": 0.25}),
)


@given(st.tuples(SPOTS, SPOTS, SPOTS), st.integers(-1, 2), st.sampled_from(CALLS), st.sets(st.integers(0, 2)))
def test_features_are_finite_numbers_one_for_each_name(where, held, call, unseen):
    found = features.vector(call, Belief(_table(*where)._replace(held=held), unseen), TabletopOptions(), HAND)
    assert found.shape == (N_FEATURES,)
    assert np.isfinite(found).all()


def test_an_object_that_was_never_seen_is_unknown():
    env = TabletopEnv()
    env.reset(seed=1, options={"occlusion": True, "objects": 6})
    belief = env.table.belief()
    hidden = belief.world.name(next(iter(belief.unseen)))
    for call in (
        ToolCall("pick", {"object": hidden}),
        ToolCall("push", {"object": hidden, "direction": "left", "distance_m": 0.1}),
        ToolCall("place", {"target": hidden, "relation": "behind"}),
    ):
        found = dict(zip(features.NAMES, features.vector(call, belief, TabletopOptions(), HAND), strict=True))
        told = {name for name, value in found.items() if value}
        assert told == {f"asked.{call.tool}", *(("target.beside",) if call.tool == "place" else ())}


def test_features_are_of_skills_on_objects_of_the_table():
    belief = Belief(_table((0.4, 0.1), (0.5, -0.1), (0.6, 0.2)))
    with pytest.raises(ValueError, match="expected one of pick, place, push, found look"):
        features.vector(ToolCall("look", {}), belief, TabletopOptions(), HAND)
    with pytest.raises(ValueError, match="expected an object of this table, found 'pink can'"):
        features.vector(ToolCall("pick", {"object": "pink can"}), belief, TabletopOptions(), HAND)


# ---- data


def test_the_data_is_the_same_however_many_processes_play(train):
    again = practice.practise("train", len(train.y) // 2, workers=2)
    for one, other in zip(train.rows(slice(len(again.y))), again, strict=True):
        assert np.array_equal(one, other)


def test_refused_calls_are_labelled_failed_and_do_not_dominate(train, unseen):
    for tries in (train, unseen):
        assert not tries.y[tries.refused].any()
        assert 0.1 < tries.refused.mean() < 0.4
        assert 0.3 < tries.y.mean() < 0.9
        assert set(tries.skill) == {0, 1, 2}


def test_no_scene_is_both_trained_on_and_measured_on():
    env = TabletopEnv()
    keys = []
    for split in ("train", "test"):
        for seed in range(5):
            env.reset(
                seed=seed, options={**msgspec.to_builtins(practice.dials(np.random.default_rng(seed))), "split": split}
            )
            keys.append(json.dumps(env.task_key()))
    assert len(set(keys)) == len(keys)


# ---- models


@pytest.mark.parametrize("kind", ["mlp", "logistic"])
def test_numpy_says_what_scikit_learn_says(kind):
    train, other = _made_up(400), _made_up(200, seed=1)
    model = learn.fitted(kind, train)
    ours = learned.Learned(learn.exported(model, kind, "", UNMEASURED))
    for x in (train.x, other.x, 50 * other.x):
        assert np.abs(ours.probabilities(x) - model.predict_proba(x)[:, 1]).max() < 1e-6


def test_a_model_comes_back_from_its_file_to_the_bit(tmp_path):
    train = _made_up(100)
    stored = learn.exported(learn.fitted("mlp", train), "mlp", "type this", Figures(100, 10, 0.5, 0.25))
    learned.save(stored, tmp_path / "new folder" / "model.json")
    found = learned.load(tmp_path / "new folder" / "model.json")
    assert found.stored == stored
    assert np.array_equal(found.probabilities(train.x), learned.Learned(stored).probabilities(train.x))


def test_training_again_on_the_same_calls_writes_the_same_file(train, unseen, tmp_path):
    first, second = (tmp_path / name / "model.json" for name in "ab")
    figures = [learn.write(train, unseen, path) for path in (first, second)]
    assert figures[0] == figures[1]
    assert first.read_bytes() == second.read_bytes()


def test_more_calls_make_a_better_model():
    found = learn.compared(_made_up(1_000), _made_up(1_000, seed=0), (50, 1_000), ("logistic",))
    small, large = (s.auc for s in found if s.calls == "all" and s.model == "logistic")
    assert large > small


# ---- the file


def _stored(**changes):
    n = len(features.NAMES)
    plain = {
        "kind": "logistic",
        "command": "type this",
        "figures": msgspec.to_builtins(UNMEASURED),
        "features": list(features.NAMES),
        "mean": [0.0] * n,
        "scale": [1.0] * n,
        "layers": [{"weights": [[0.0]] * n, "bias": [0.0]}],
    }
    return json.dumps({**plain, **changes})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "expected a model that `trajgen_envs.tabletop.learn` wrote"),
        ("[]", "expected a table, found"),
        (_stored(layer=[]), "unknown key; did you mean 'layers'?"),
        (
            _stored(features=["a", *features.NAMES[1:]]),
            f"it lacks {features.NAMES[0]} and has a too many; train it again: type this",
        ),
        (_stored(features=features.NAMES[::-1]), "in the order of `features.NAMES`"),
        (_stored(layers=[]), "at least one layer"),
        (_stored(mean=[0.0]), "means"),
        (_stored(scale=[0.0] * N_FEATURES), "scales above 0"),
        (_stored(layers=[{"weights": [[0.0]], "bias": [0.0]}]), r"layers\[0\]: expected weights of shape"),
        (
            _stored(layers=[{"weights": [[0.0, 1.0]] * N_FEATURES, "bias": [0.0, 1.0]}]),
            r"layers\[0\]: expected weights",
        ),
        (_stored(layers=[{"weights": [[0.0]] * (N_FEATURES - 1) + [[]], "bias": [0.0]}]), "weights"),
    ],
)
def test_a_file_that_is_no_model_is_told_from_one_by_its_name(content, said, tmp_path):
    path = tmp_path / "model.json"
    path.write_text(content)
    with pytest.raises(ConfigError, match=rf"(?s)model\.json.*{said}"):
        learned.load(path)


@given(st.binary(max_size=200))
@settings(max_examples=50)
def test_no_bytes_break_the_reader(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("any") / "model.json"
    path.write_bytes(data)
    with pytest.raises(ConfigError):
        learned.load(path)


# ---- what is shipped


def test_the_shipped_model_is_small_and_as_good_as_asked(shipped):
    assert learned.SHIPPED.stat().st_size < 200_000
    figures = shipped.stored.figures
    assert figures.n_train == 10_000
    assert figures.auc >= 0.9
    assert figures.ece <= 0.05


def test_the_shipped_model_is_right_about_fresh_scenes(shipped, unseen):
    assert learn.auc(unseen.y, shipped.probabilities(unseen.x)) > 0.85


def test_the_shipped_model_needs_no_scikit_learn():
    code = (
        "import sys; sys.modules['sklearn'] = None\n"
        "from trajgen.wrappers.making import make\n"
        f"make({ID!r}, (), {{'affordance': 'learned'}})"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
@pytest.mark.timeout(7_200)
def test_the_recorded_command_trains_the_shipped_model_again(shipped, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = shlex.split(shipped.stored.command)
    assert words[:3] == ["python", "-m", "trajgen_envs.tabletop.learn"]
    subprocess.run([sys.executable, *words[1:], "--workers", "2"], check=True)
    again = learned.load(tmp_path / learned.SHIPPED.name).stored.figures
    # the last digits hang on the linear algebra of the machine
    assert again.auc == pytest.approx(shipped.stored.figures.auc, abs=0.005)
    assert again.ece == pytest.approx(shipped.stored.figures.ece, abs=0.01)


# ---- in the environment


def _playable(env, seed, **options):
    """Begin a task; return the calls that are legal in it."""
    env.legal_wanted = True
    return env.reset(seed=seed, options=options)[1]["legal"]


@pytest.fixture(scope="module")
def learned_env():
    return make(ID, (), {"affordance": "learned"}).unwrapped


def test_every_legal_call_has_a_probability_and_asking_changes_nothing(learned_env):
    for seed in range(3):
        calls = _playable(learned_env, seed, distractors=2)
        for _ in range(4):
            before = learned_env.state_digest()
            found = [learned_env.can(call) for call in calls]
            assert all(0.0 <= can <= 1.0 for can in found)
            assert learned_env.state_digest() == before
            skills = [i for i, call in enumerate(calls) if call.tool in features.SKILLS]
            calls = learned_env.step(calls[max(skills, key=found.__getitem__)])[4]["legal"]


def test_it_has_learned_what_an_arm_can_do(learned_env):
    learned_env.reset(seed=0, options={"family": "stack_all"})
    first, second, *_ = (t.name for t in learned_env.task.things if t.kind == "block")
    pick, onto = ToolCall("pick", {"object": first}), ToolCall("place", {"target": second, "relation": "on"})
    assert learned_env.can(pick) > 0.8
    assert learned_env.can(onto) < 0.2, "the cup is empty"
    learned_env.step(pick)
    assert learned_env.can(pick) < 0.2, "the cup is full"
    assert learned_env.can(onto) > 0.8
    learned_env.step(onto)
    assert learned_env.can(ToolCall("pick", {"object": second})) < 0.2, "something lies on it"


def test_noise_lowers_what_a_pick_is_given(learned_env):
    found = []
    for noise_m in (0.0, 0.006, 0.015):
        learned_env.reset(seed=3, options={"family": "stack_all", "pick_noise_m": noise_m})
        block = next(t.name for t in learned_env.task.things if t.kind == "block")
        found.append(learned_env.can(ToolCall("pick", {"object": block})))
    assert found[0] > found[1] > found[2]


@pytest.mark.parametrize("tool", ["look", "done"])
def test_what_is_no_skill_always_works(learned_env, tool):
    learned_env.reset(seed=0)
    assert learned_env.can(ToolCall(tool, {})) == 1.0


def test_a_model_of_your_own_is_chosen_by_its_path(tmp_path):
    path = tmp_path / "model.json"
    path.write_text(_stored())
    env = make(ID, (), {"affordance": str(path)}).unwrapped
    calls = _playable(env, 0)
    assert {env.can(call) for call in calls if call.tool in features.SKILLS} == {0.5}


def test_the_analytic_affordance_is_the_usual_one():
    usual, named = TabletopEnv(), TabletopEnv(affordance="analytic")
    calls, same = (_playable(env, 0, pick_noise_m=0.01) for env in (usual, named))
    assert calls == same
    assert [usual.can(call) for call in calls] == [named.can(call) for call in calls]


def test_an_affordance_nobody_knows_is_refused_and_the_nearest_one_named():
    with pytest.raises(ConfigError, match=r"make_options\.affordance: .*found 'learned2'; did you mean 'learned'"):
        make(ID, (), {"affordance": "learned2"})


# ---- the command


def test_the_table_has_a_row_for_each_model_and_a_column_for_each_size():
    found = [
        learn.Score("analytic", "pick", None, 40, 0.75, 0.125),
        learn.Score("mlp", "pick", 100, 40, None, 0.25),
        learn.Score("mlp", "pick", 1_000, 40, 0.875, 0.0625),
    ]
    grid = learn.table(found, (100, 1_000))
    cells = [list(column.cells) for column in grid.columns]
    assert [column.header for column in grid.columns][3:] == ["N = 100", "N = 1,000"]
    assert list(zip(*cells, strict=True)) == [
        ("pick", "40", "analytic", "0.750 0.125", "0.750 0.125"),
        ("pick", "40", "mlp", "- 0.250", "0.875 0.062"),
    ]


def test_the_command_prints_a_table_and_writes_the_model(tmp_path, capsys):
    path = tmp_path / "model.json"
    assert learn.main(["--sizes", "30", "--held-out", "30", "--out", str(path)]) == 0
    printed = capsys.readouterr().out
    assert "split train: 30 calls in" in printed
    for word in ("analytic", "logistic", "trees", "mlp", "N = 30", "begun", "push"):
        assert word in printed
    assert learned.load(path).stored.figures.n_train == 30


def test_the_command_prints_json_alone(capsys):
    assert learn.main(["--sizes", "30", "--held-out", "30", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["data"]["train"]["calls"] == 30
    assert {s["model"] for s in printed["scores"]} == {"analytic", *learn.KINDS}


def test_a_mistyped_flag_is_one_message(capsys):
    assert learn.main(["--held", "40"]) == 2
    assert "--held" in capsys.readouterr().err
