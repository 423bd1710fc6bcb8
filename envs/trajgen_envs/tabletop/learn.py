"""Trains the learned affordance, and says how good it is on scenes it has not seen.

    python -m trajgen_envs.tabletop.learn --workers 2               # a table: models, training sizes, skills
    python -m trajgen_envs.tabletop.learn --workers 2 --out FILE    # and write the network to FILE

Trained on scenes of split train, measured on scenes of split test: no scene is in both. Needs scikit-learn; what it
writes does not.

**ROC-AUC**: the probability that a call that worked was given a higher estimate than one that failed; ties count half.
**ECE**, the expected calibration error: the held-out calls in the order of their estimates are cut into `BINS` bins of
equal size; in each, |mean estimate - share that worked|; their mean. Chance alone leaves up to 0.02 over 4,000 calls, so
much that a perfect estimate would show it where all are near one half, and less the surer they are.
"""

from __future__ import annotations

import importlib.util
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, get_args

import numpy as np
from cyclopts import Parameter

from trajgen.cli import OK, USER_ERROR, output
from trajgen.errors import MissingExtra, UserError
from trajgen_envs.tabletop import features, learned, practice
from trajgen_envs.tabletop.learned import Figures, Layer, Stored

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray
    from rich.table import Table

    from trajgen.types import Json
    from trajgen_envs.tabletop.practice import Tries

BINS = 15
SIZES = (100, 1_000, 10_000)
N_HELD_OUT = 4_000
REPEATS = 5  # of a training size that fits so often into the training data; the mean is given
Kind = Literal["logistic", "trees", "mlp"]
KINDS: tuple[Kind, ...] = get_args(Kind)
SHIPPED_KIND: Literal["mlp", "logistic"] = "mlp"
_HIDDEN = (48, 24)
_SEED = 0


class Score(NamedTuple):
    """One cell of the table.

    Attributes:
        calls: Which held-out calls: `all`, `begun` (those that the arm did not refuse), or of one skill.
        n_train: None for the analytic affordance, which learns nothing.
        auc: None where all calls came out the same.
    """

    model: str
    calls: str
    n_train: int | None
    n_held_out: int
    auc: float | None
    ece: float


# ------------------------------------------------------------------------------------- figures


def auc(worked: NDArray[np.bool_], estimate: NDArray[np.float64]) -> float | None:
    """Return the ROC-AUC (see this file's head); None where all came out the same."""
    n_worked, n = int(worked.sum()), len(worked)
    if n_worked in (0, n):
        return None
    _, inverse, counts = np.unique(estimate, return_inverse=True, return_counts=True)
    mean_ranks = np.cumsum(counts) - (counts - 1) / 2  # from 1; equal estimates share theirs
    above = mean_ranks[inverse][worked].sum() - n_worked * (n_worked + 1) / 2
    return float(above / (n_worked * (n - n_worked)))


def ece(worked: NDArray[np.bool_], estimate: NDArray[np.float64], bins: int = BINS) -> float:
    """Return the expected calibration error (see this file's head), in [0, 1]."""
    order = np.argsort(estimate, kind="stable")
    parts = np.array_split(order, min(bins, len(order)))
    gaps = [abs(float(estimate[part].mean()) - float(worked[part].mean())) * len(part) for part in parts]
    return sum(gaps) / len(order)


def scores(model: str, n_train: int | None, held_out: Tries, estimate: NDArray[np.float64]) -> Iterator[Score]:
    """Yield the figures over all held-out calls, over those that were begun, and over each skill's."""
    for calls, chosen in _groups(held_out).items():
        worked, own = held_out.y[chosen], estimate[chosen]
        if len(worked):
            yield Score(model, calls, n_train, len(worked), auc(worked, own), ece(worked, own))


def _groups(held_out: Tries) -> Mapping[str, NDArray[np.bool_]]:
    every = {"all": np.ones_like(held_out.refused), "begun": ~held_out.refused}
    return every | {skill: held_out.skill == i for i, skill in enumerate(features.SKILLS)}


# ------------------------------------------------------------------------------------- models


def fitted(kind: Kind, train: Tries) -> Any:  # a scikit-learn pipeline
    """Train one model.

    Raises: MissingExtra: scikit-learn is not installed.
    """
    if importlib.util.find_spec("sklearn") is None:
        raise MissingExtra("training needs the package 'scikit-learn'; type: pip install 'trajgen[learn]'")
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    model = make_pipeline(StandardScaler(), _classifier(kind, len(train.y)))
    # one thread: sums in the same order on every machine, and no waiting for cores that others use
    with warnings.catch_warnings(), threadpool_limits(1):
        # a bound on the passes over the data is part of the recipe
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(train.x, train.y)


def _classifier(kind: Kind, n: int) -> Any:
    if kind == "logistic":
        from sklearn.linear_model import LogisticRegression

        return LogisticRegression(C=0.3, max_iter=2_000)
    if kind == "trees":
        from sklearn.ensemble import HistGradientBoostingClassifier

        return HistGradientBoostingClassifier(
            max_iter=150,
            learning_rate=0.05,
            max_leaf_nodes=15,
            min_samples_leaf=min(20, max(2, n // 25)),
            l2_regularization=1.0,
            random_state=_SEED,
        )
    from sklearn.neural_network import MLPClassifier

    return MLPClassifier(_HIDDEN, alpha=0.3, max_iter=60, learning_rate_init=2e-3, random_state=_SEED)


def exported(model: Any, kind: Literal["mlp", "logistic"], command: str, figures: Figures) -> Stored:
    """Return a trained pipeline as what a model's file holds."""
    scaler, classifier = model[0], model[-1]
    if kind == "logistic":
        pairs = [(classifier.coef_.T, classifier.intercept_)]
    else:
        pairs = list(zip(classifier.coefs_, classifier.intercepts_, strict=True))
    layers = tuple(Layer(tuple(map(tuple, weights.tolist())), tuple(bias.tolist())) for weights, bias in pairs)
    return Stored(
        kind, command, figures, features.NAMES, tuple(scaler.mean_.tolist()), tuple(scaler.scale_.tolist()), layers
    )


def compared(train: Tries, held_out: Tries, sizes: Sequence[int], kinds: Sequence[Kind] = KINDS) -> list[Score]:
    """Return the figures of every model at every training size, the analytic affordance first."""
    found = list(scores("analytic", None, held_out, held_out.analytic))
    for kind in kinds:
        for size in sizes:
            parts = [train.rows(slice(i * size, (i + 1) * size)) for i in range(min(REPEATS, len(train.y) // size))]
            each = [
                list(scores(kind, size, held_out, fitted(kind, part).predict_proba(held_out.x)[:, 1])) for part in parts
            ]
            found += [_mean(same) for same in zip(*each, strict=True)]
    return found


def _mean(same: Sequence[Score]) -> Score:
    aucs = [score.auc for score in same if score.auc is not None]
    mean_auc = sum(aucs) / len(aucs) if aucs else None
    return same[0]._replace(auc=mean_auc, ece=sum(score.ece for score in same) / len(same))


# ------------------------------------------------------------------------------------- the command


class Shares(NamedTuple):
    """What the data consists of: counts of calls."""

    scenes: int
    calls: int
    refused: int
    begun: Mapping[str, int]
    worked: Mapping[str, int]
    unstable_scenes: int


def shares(tries: Tries) -> Shares:
    """Count what the data consists of."""
    begun = {skill: (tries.skill == i) & ~tries.refused for i, skill in enumerate(features.SKILLS)}
    return Shares(
        len(np.unique(tries.scene)),
        len(tries.y),
        int(tries.refused.sum()),
        {skill: int(chosen.sum()) for skill, chosen in begun.items()},
        {skill: int(tries.y[chosen].sum()) for skill, chosen in begun.items()},
        tries.unstable,
    )


def learn(
    *,
    sizes: Annotated[tuple[int, ...], Parameter(help="Training sizes, in calls.", consume_multiple=True)] = SIZES,
    held_out: Annotated[int, Parameter(help="Calls in scenes of split test to measure on.")] = N_HELD_OUT,
    workers: Annotated[int, Parameter(help="Processes that play; the data is the same whatever it is.")] = 1,
    out: Annotated[str | None, Parameter(help="Write the network trained at the largest size into this file.")] = None,
    as_json: Annotated[bool, Parameter(name="--json", negative="", help="Print one JSON document.")] = False,
) -> None:
    """Play random skills in random scenes, train on them, and print how good each model is on unseen scenes."""
    sizes = tuple(sorted(sizes))
    output.tell(f"playing {sizes[-1]:,} calls in scenes of split train, {held_out:,} in scenes of split test ...")
    train = practice.practise("train", sizes[-1], workers=workers)
    unseen = practice.practise("test", held_out, workers=workers)
    found = compared(train, unseen, sizes)
    if out is not None:
        write(train, unseen, Path(out))
    counted = {"train": shares(train), "test": shares(unseen)}
    if as_json:
        output.say_json(document(found, counted))
        return
    for split, counts in counted.items():
        output.say(_told(split, counts))
    output.say("ROC-AUC and expected calibration error on the held-out calls, after N training calls:")
    output.say_rich(table(found, sizes))
    if out is not None:
        output.say(f"wrote {out}")


def write(train: Tries, unseen: Tries, out: Path) -> Figures:
    """Train the network on all of `train`, write its file and return its figures on `unseen`."""
    model = fitted(SHIPPED_KIND, train)
    whole = next(scores(SHIPPED_KIND, len(train.y), unseen, model.predict_proba(unseen.x)[:, 1]))
    figures = Figures(len(train.y), len(unseen.y), round(whole.auc or 0.0, 4), round(whole.ece, 4))
    command = (
        f"python -m trajgen_envs.tabletop.learn --sizes {len(train.y)} --held-out {len(unseen.y)} --out {out.name}"
    )
    learned.save(exported(model, SHIPPED_KIND, command, figures), out)
    return figures


def document(found: Sequence[Score], counted: Mapping[str, Shares]) -> Json:
    """Return everything as JSON."""
    return {
        "data": {split: counts._asdict() for split, counts in counted.items()},
        "bins": BINS,
        "scores": [score._asdict() for score in found],
    }


def _told(split: str, counts: Shares) -> str:
    begun = ", ".join(
        f"{n:,} {skill} ({counts.worked[skill] / max(n, 1):.0%} worked)" for skill, n in counts.begun.items()
    )
    return f"split {split}: {counts.calls:,} calls in {counts.scenes:,} scenes: {begun}, {counts.refused:,} refused"


def table(found: Sequence[Score], sizes: Sequence[int]) -> Table:
    """Return the figures as a table: a row for each model and kind of call, a column for each training size."""
    from rich.table import Table

    grid = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("calls", "n", "model"):
        grid.add_column(name, justify="right" if name == "n" else "left")
    for size in sizes:
        grid.add_column(f"N = {size:,}", justify="right", no_wrap=True)
    for calls in dict.fromkeys(score.calls for score in found):
        for model in dict.fromkeys(score.model for score in found):
            own = {score.n_train: score for score in found if (score.model, score.calls) == (model, calls)}
            cells = [own.get(size, own.get(None)) for size in sizes]
            n = next((f"{score.n_held_out:,}" for score in own.values()), "-")
            grid.add_row(calls, n, model, *map(_cell, cells))
    return grid


def _cell(score: Score | None) -> str:
    if score is None:
        return "-"
    return f"{'-' if score.auc is None else f'{score.auc:.3f}'} {score.ece:.3f}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; a mistake of who typed it is one message.

    Args:
        argv: Words behind the module's name; None takes the process's own.
    """
    from cyclopts import App, CycloptsError

    output.prepare()
    app = App(
        name="python -m trajgen_envs.tabletop.learn",
        help_format="plaintext",
        version_flags=[],
        result_action="return_value",
        exit_on_error=False,
        print_error=False,
    )
    app.default(learn)
    try:
        app(None if argv is None else list(argv))
    except (CycloptsError, UserError) as error:
        output.error(str(error))
        return USER_ERROR
    return OK


if __name__ == "__main__":
    sys.exit(main())
