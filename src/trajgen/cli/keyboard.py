"""`trajgen play`: a person plays one episode in the terminal, and it is stored as any agent's."""

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from trajgen import config
from trajgen.cli import options as flags
from trajgen.cli.play import How, play
from trajgen.ids import digest
from trajgen.store.layout import RunDir

if TYPE_CHECKING:
    from trajgen.types import Json

_A_DAY_S = 86_400.0
_AGENT = "human"

Names = Annotated[list[str] | None, Parameter(negative="", consume_multiple=True)]


def at_keyboard(
    env: Annotated[str, Parameter(name="ENV", help="An environment id; `trajgen list` shows them.")],
    /,
    *,
    seed: Annotated[int, Parameter(name="--seed", help="Which task.")] = 0,
    options: Annotated[Names, Parameter(name="--options", help="KEY=VALUE for the reset.")] = None,
    split: Annotated[str | None, Parameter(name="--split", help="train, validation or test.")] = None,
    feedback: Annotated[
        str | None, Parameter(name="--feedback", help="Channels to be told, e.g. success,scene.")
    ] = None,
    max_steps: Annotated[int | None, Parameter(name="--max-steps", help="Most calls.")] = None,
    out: Annotated[str | None, Parameter(name="--out", help="The run's folder; runs/NAME without it.")] = None,
    as_json: flags.AsJson = False,
) -> int:
    """Play an environment yourself, and keep the episode.

    Type calls as an agent writes them, e.g. pick("red block"); THOUGHT >> CALL keeps a thought beside it. Ctrl-C keeps
    nothing. A task that was played is there already: to play it again, give another --out.
    """
    shaping: dict[str, Json] = {
        "env": env,
        "options": flags.read_settings("--options", options or []),
        "split": split,
        "budget": {"episode_timeout_s": _A_DAY_S, **({} if max_steps is None else {"max_steps": max_steps})},
        "feedback": None if feedback is None else [[c.strip() for c in feedback.split(",") if c.strip()]],
    }
    given = {key: value for key, value in shaping.items() if value}
    job = config.parse(
        {
            **given,
            "name": f"play-{digest(env, seed, given)[:8]}",
            "agent": _AGENT,
            "seeds": [seed],
            "workers": 0,
            "concurrency": 1,
            **({} if out is None else {"out": out}),
        }
    )
    return play(RunDir.of(job).path, job, How(as_json=as_json, silent=True))
