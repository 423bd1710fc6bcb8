"""Jobs as plain data, played for real in this process, and what came of them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from trajgen import config, driver, local
from trajgen.ids import content_digest
from trajgen.store import shards
from trajgen.store.layout import RunDir
from trajgen.testing.server import calling

if TYPE_CHECKING:
    from pathlib import Path

    from trajgen.driver import JobReport, Snapshot
    from trajgen.types import Episode


def no_view(_: Snapshot) -> None:
    """Look away."""


def play(path: Path, data: dict[str, Any], **how: bool) -> JobReport:
    """Play a job in this process."""
    job = config.parse(data)
    with driver.prepared(path, job, **how) as prepared:
        return local.run(prepared, job.concurrency, no_view)


def episodes_of(path: Path) -> list[Episode]:
    """Read every row of a run, superseded ones too."""
    return [e for file in sorted(RunDir(path).shards.glob("*.parquet")) for e in shards.rows(file)]


def digests_of(path: Path) -> list[str]:
    """Return the content digests of a run, sorted: equal for equal sets of episodes."""
    return sorted(map(content_digest, episodes_of(path)))


def counts(request: dict[str, Any]) -> Any:
    """Go one up or down towards the target, as whoever can count would; in the style of the request."""
    text = "\n".join(m["content"] for m in request["messages"])
    target, shown = int(re.search(r"to (\d+), then", text)[1]), int(re.findall(r"counter shows (\d+)", text)[-1])
    tool = "submit" if target == shown else "add" if target > shown else "subtract"
    arguments = {} if tool == "submit" else {"n": 1}
    if "tools" in request:
        return calling(tool, arguments)
    return f"Action: {tool}({', '.join(f'{k}={v}' for k, v in arguments.items())})"
