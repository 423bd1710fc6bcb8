"""What makes an episode itself: ids and digests. Pure functions of content; nothing here knows how a job runs.

`episode_id` hashes what shapes an episode, so that a job can grow or move and keep its ids. `content_digest` hashes
what an episode holds, so that two runs can be compared whatever machine, worker count or resume made them.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

import msgspec

from trajgen.types import to_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trajgen.types import Episode, Json, ModelCall, Step

DIGEST_BYTES = 16


def digest(*parts: Json) -> str:
    """Return 32 hex digits over JSON values; the order of keys inside a part does not matter."""
    return blake2b(to_json(list(parts)).encode(), digest_size=DIGEST_BYTES).hexdigest()


def task_id(
    env_id: str, wrappers: Sequence[str], make_options: Json, options: Json, split: str | None, seed: int
) -> str:
    """Return the `group_id`: equal for every agent, sample and trial that plays the same task."""
    return digest("task", env_id, list(wrappers), make_options, options, split, seed)


def episode_id(entry: str, group_id: str, sample: int, trial: int) -> str:
    """Return the id of one episode; `entry` is the hash of what shapes its content beside the task."""
    return digest("episode", entry, group_id, sample, trial)


def content_digest(episode: Episode) -> str:
    """Return 32 hex digits over what the episode holds.

    Left out: `created_at`, every `*_s`, `host`, provider ids (inside `raw`), and image bytes.
    """
    timeless = msgspec.structs.replace(
        episode,
        created_at="",
        reset=msgspec.structs.replace(
            episode.reset, observation=msgspec.structs.replace(episode.reset.observation, images=())
        ),
        steps=tuple(map(_timeless_step, episode.steps)),
        model_calls=tuple(map(_timeless_call, episode.model_calls)),
        provenance=msgspec.structs.replace(episode.provenance, host=None),
    )
    return blake2b(msgspec.msgpack.encode(timeless), digest_size=DIGEST_BYTES).hexdigest()


def _timeless_step(step: Step) -> Step:
    seen = step.observation
    return msgspec.structs.replace(
        step, agent_s=0.0, env_s=0.0, observation=msgspec.structs.replace(seen, images=()) if seen.images else seen
    )


def _timeless_call(call: ModelCall) -> ModelCall:
    return msgspec.structs.replace(call, latency_s=0.0, raw=_without_provider_ids(call.raw))


def _without_provider_ids(raw: str) -> str:
    if '"id"' not in raw:
        return raw
    try:
        message = msgspec.json.decode(raw)
    except msgspec.DecodeError:
        return raw
    for call in (message.get("tool_calls") or ()) if isinstance(message, dict) else ():
        if isinstance(call, dict):
            call.pop("id", None)
    return to_json(message)
