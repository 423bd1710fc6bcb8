"""Train, validation and test, decided by what a task *is* and not by its seed.

An environment draws start states until one falls in the split that was asked for, so every seed is valid in every
split and no test task can appear in train.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Literal, TypeVar, get_args

from trajgen.errors import ConfigError, nearest
from trajgen.strict import shown
from trajgen.types import to_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from trajgen.types import Json

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
T = TypeVar("T")
_MAX_DRAWS = 1_000


def split_of(task_key: Json) -> Split:
    """Return the split a task belongs to: `blake2b(task_key) mod 10`; 0 is test, 1 validation, else train.

    Args:
        task_key: Content of start state and goal, as JSON data.
    """
    bucket = int.from_bytes(blake2b(to_json(task_key).encode(), digest_size=8).digest(), "big") % 10
    return "test" if bucket == 0 else "validation" if bucket == 1 else "train"


def draw(split: str | None, begin: Callable[[], T], task_key: Callable[[], Json], *, max_draws: int = _MAX_DRAWS) -> T:
    """Call `begin` until the task it begins falls in `split`; None asks for any.

    Raises:
        ConfigError: `split` is no split, or none of `max_draws` start states fell in it.
    """
    if split is not None and split not in SPLITS:
        raise ConfigError(f"split: expected one of {', '.join(SPLITS)}, found {shown(split)}{nearest(split, SPLITS)}")
    for _ in range(max_draws):
        begun = begin()
        if split is None or split_of(task_key()) == split:
            return begun
    raise ConfigError(
        f"split: none of {max_draws} start states fell in {split!r}: this environment with these options has too few "
        "distinct starts; leave `split` away, or vary its options"
    )
