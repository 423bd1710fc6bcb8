"""The learned affordance: a small network over `features`, from a JSON file, evaluated in numpy.

Knows neither how it was trained (`learn` does) nor scikit-learn. A logistic model is a network without hidden layers.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import numpy as np
from msgspec import Struct

from trajgen.errors import ConfigError, nearest
from trajgen.strict import convert
from trajgen_envs.tabletop import affordance, features

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from trajgen.types import ToolCall
    from trajgen_envs.tabletop.features import Hand
    from trajgen_envs.tabletop.intents import Belief
    from trajgen_envs.tabletop.tasks import TabletopOptions

    Estimate = Callable[[ToolCall, Belief, TabletopOptions, Hand], float]

SHIPPED = Path(__file__).with_name("data") / "affordance.json"
NAMES = ("analytic", "learned")
_MAX_BYTES = 10_000_000


class Layer(Struct, frozen=True):
    """One layer: `weights` has a row for each input and a column for each output."""

    weights: tuple[tuple[float, ...], ...]
    bias: tuple[float, ...]


class Figures(Struct, frozen=True):
    """How good the model was on scenes it had not seen; see `learn` for what the figures are."""

    n_train: int
    n_held_out: int
    auc: float
    ece: float


class Stored(Struct, frozen=True):
    """What a model's file holds.

    Attributes:
        command: What to type to train it again.
        features: Names of the inputs, in order.
        mean, scale: Of the training data; inputs are standardised by them.
        layers: With a rectifier behind each but the last, whose one output is the logit.
    """

    kind: Literal["mlp", "logistic"]
    command: str
    figures: Figures
    features: tuple[str, ...]
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    layers: tuple[Layer, ...]


class Learned:
    """A trained affordance.

    Args:
        stored: As a file holds it.
        where: Prefix of messages, the file's name.
    Raises: ConfigError: its parts do not fit together, or it was trained on other features.
    """

    def __init__(self, stored: Stored, where: str = "model") -> None:
        self.stored = stored
        if stored.features != features.NAMES:
            raise ConfigError(f"{where}: features: {_difference(stored.features)}; train it again: {stored.command}")
        self._mean, self._scale = np.array(stored.mean), np.array(stored.scale)
        self._layers = [
            (_matrix(layer.weights, f"{where}: layers[{i}].weights"), np.array(layer.bias))
            for i, layer in enumerate(stored.layers)
        ]
        self._check(where)

    def _check(self, where: str) -> None:
        n = len(features.NAMES)
        shapes = [self._mean.shape, self._scale.shape, *(w.shape for w, _ in self._layers)]
        if shapes[:2] != [(n,), (n,)] or not self._layers:
            raise ConfigError(f"{where}: expected {n} means, {n} scales and at least one layer, found {shapes}")
        for number, (weights, bias) in enumerate(self._layers):
            n_out = 1 if number == len(self._layers) - 1 else len(bias)
            if weights.shape != (n, n_out) or bias.shape != (n_out,):
                raise ConfigError(
                    f"{where}: layers[{number}]: expected weights of shape ({n}, {n_out}) and {n_out} biases, found "
                    f"{weights.shape} and {len(bias)}"
                )
            n = n_out
        numbers = [self._mean, self._scale, *(part for layer in self._layers for part in layer)]
        if not (self._scale > 0).all() or not all(np.isfinite(part).all() for part in numbers):
            raise ConfigError(f"{where}: expected finite numbers, and scales above 0")

    def can(self, call: ToolCall, belief: Belief, options: TabletopOptions, hand: Hand) -> float:
        """Return the probability, in [0, 1], that `call` works; 1 for what is not a skill: looking, asking, `done`."""
        if call.tool not in features.SKILLS:
            return 1.0
        return float(self.probabilities(features.vector(call, belief, options, hand)[None])[0])

    def probabilities(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the probability of success of each row of features, shape (n,)."""
        value = (x - self._mean) / self._scale
        last = len(self._layers) - 1
        for number, (weights, bias) in enumerate(self._layers):
            value = value @ weights + bias
            if number < last:
                value = np.maximum(value, 0.0)
        # of the two forms of the logistic function, neither overflows
        logit = value[:, 0]
        small = np.exp(-np.abs(logit))
        result: NDArray[np.float64] = np.where(logit >= 0, 1.0, small) / (1.0 + small)
        return result


def _matrix(rows: Sequence[Sequence[float]], where: str) -> NDArray[np.float64]:
    widths = {len(row) for row in rows}
    if len(widths) > 1:
        raise ConfigError(f"{where}: expected rows of one length, found lengths {sorted(widths)}")
    return np.array(rows, dtype=np.float64)


def _difference(found: Sequence[str]) -> str:
    new, old = sorted(set(features.NAMES) - set(found)), sorted(set(found) - set(features.NAMES))
    if not new and not old:
        return "expected them in the order of `features.NAMES`"
    return f"it lacks {', '.join(new) or 'none'} and has {', '.join(old) or 'none'} too many"


def save(stored: Stored, path: Path) -> None:
    """Write a model's file: JSON, one line; numbers as exact as they are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.encode(stored) + b"\n")


def load(path: Path) -> Learned:
    """Read a model's file.

    Raises: ConfigError: there is none, or it is no model; the message starts with the file's name.
    """
    where = str(path)
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ConfigError(f"{where}: expected a model of less than {_MAX_BYTES / 1e6:g} MB")
        data: Any = msgspec.json.decode(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{where}: cannot be read: {error.strerror}") from None
    except msgspec.DecodeError as error:
        raise ConfigError(
            f"{where}: expected a model that `trajgen_envs.tabletop.learn` wrote, found {error}"
        ) from None
    return Learned(convert(data, Stored, where), where)


@functools.lru_cache(maxsize=8)
def _loaded(path: Path, _: tuple[int, int]) -> Learned:
    return load(path)


def chosen(name: str) -> Estimate:
    """Return the affordance of a name: `analytic`, `learned` (the shipped model), or the path of a model's file.

    Raises: ConfigError: neither a name nor a file.
    """
    if name == "analytic":
        return lambda call, belief, options, _: affordance.analytic(call, belief, options)
    path = SHIPPED if name == "learned" else Path(name).expanduser()
    if not path.is_file():
        raise ConfigError(
            f"make_options.affordance: expected {' or '.join(map(repr, NAMES))}, or the path of a model's file, found "
            f"{name!r}{nearest(name, NAMES)}"
        )
    status = path.stat()
    # every episode of a worker makes an environment: the file is read again only where it changed
    return _loaded(path, (status.st_mtime_ns, status.st_size)).can
