"""`trajgen verify`: stored episodes are executed again and compared, one after another in this process."""

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Annotated

from cyclopts import Parameter

from trajgen.cli import INCOMPLETE, OK, output
from trajgen.cli import options as flags
from trajgen.cli.progress import counting
from trajgen.errors import ConfigError
from trajgen.store import reader
from trajgen.store.layout import RunDir
from trajgen.types import Episode, Json
from trajgen.verify import Status, Verdict
from trajgen.verify import verify as replayed

_WORDS: dict[Status, str] = {
    "replays": "replay to the bit",
    "diverges": "diverge",
    "not_replayable": "are not replayable",
    "failed": "failed when they were played, and replay up to there",
}
_SHOWN = 10  # divergent episodes that are told in full


def verify(
    run: flags.RunArg,
    episode: Annotated[
        str | None, Parameter(name="EPISODE", help="Only this one: the first characters of its id, or its place.")
    ] = None,
    /,
    *,
    n: Annotated[int | None, Parameter(name="-n", help="Only so many, spread evenly over the run.")] = None,
    as_json: flags.AsJson = False,
) -> int:
    """Execute stored episodes again and compare them step by step.

    Observation, reward, ends, success, feedback and state digest are compared to the bit. The exit code is 1 where an
    episode diverges, else 0.
    """
    found = reader.open_run(run)
    if n is not None and (n < 1 or episode is not None):
        raise ConfigError(f"-n: expected a whole number from 1, and no EPISODE beside it, found {n}")
    with output.kept_clean():
        verdicts = _replay(found, n) if episode is None else [replayed(reader.find_episode(found, episode))]
    if as_json:
        output.say_json(_document(found, verdicts))
    else:
        _tell(verdicts)
    return INCOMPLETE if any(v.status == "diverges" for v in verdicts) else OK


def _replay(run: RunDir, n: int | None) -> list[Verdict]:
    there = sum(s.tally.n_episodes for s in reader.summary(run))
    total = there if n is None else min(n, there)
    with counting("replaying", total) as advance:
        verdicts = []
        for episode in _spread(reader.iter_episodes(run), total, there):
            verdicts.append(replayed(episode))
            advance()
    return verdicts


def _spread(episodes: Iterator[Episode], n: int, total: int) -> Iterator[Episode]:
    """Yield `n` of `total` episodes at equal distances, the first one included."""
    at = -1
    for number in range(n):
        wanted = number * total // n
        yield from islice(episodes, wanted - at - 1, wanted - at)
        at = wanted


def _tell(verdicts: list[Verdict]) -> None:
    divergent = [v for v in verdicts if v.status == "diverges"]
    for verdict in divergent[:_SHOWN]:
        for line in divergence_lines(verdict):
            output.say(line)
    if len(divergent) > _SHOWN:
        output.say(f"... and {len(divergent) - _SHOWN:,} more diverge; --json lists all")
    why = dict.fromkeys(v.why for v in verdicts if v.status == "not_replayable" and v.why)
    counts = Counter(v.status for v in verdicts)
    output.say(f"{len(verdicts):,} episodes, {sum(v.n_steps for v in verdicts):,} equal steps:")
    for status, words in _WORDS.items():
        if counts[status] or status in {"replays", "diverges"}:
            output.say(f"  {counts[status]:>7,} {words}")
    for reason in why:
        output.say(f"  {output.one_line(reason)}")


def divergence_lines(verdict: Verdict) -> Iterator[str]:
    """Yield where an episode went apart, what is stored there and what came."""
    found = verdict.divergence
    if found is not None:
        where = "at the reset" if found.step < 0 else f"at step {found.step + 1}, after {verdict.n_steps} equal ones"
        yield f"{verdict.episode_id} diverges {where}: {found.field}"
        yield f"  stored    {output.one_line(found.expected, 300)}"
        yield f"  replayed  {output.one_line(found.found, 300)}"


def _document(run: RunDir, verdicts: list[Verdict]) -> Json:
    counts = Counter(v.status for v in verdicts)
    return {
        "run": str(run.path),
        "checked": len(verdicts),
        "equal_steps": sum(v.n_steps for v in verdicts),
        "counts": {status: counts[status] for status in _WORDS},
        # those that replay have nothing to say
        "episodes": [_verdict(v) for v in verdicts if v.status != "replays"],
    }


def _verdict(verdict: Verdict) -> Json:
    divergence = verdict.divergence
    return {
        "episode_id": verdict.episode_id,
        "status": verdict.status,
        "equal_steps": verdict.n_steps,
        "divergence": None if divergence is None else divergence._asdict(),
        "why": verdict.why,
    }
