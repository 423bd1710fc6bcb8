"""`trajgen doctor --endpoint URL`: what works at a model's server, as findings."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from trajgen.backends import openai, probe
from trajgen.errors import ConfigError, nearest
from trajgen.strict import convert

if TYPE_CHECKING:
    from trajgen.backends.probe import Probed

_TIMEOUT_S = 60.0
_SHOWN = 8


def probed(url: str, model: str | None, api_key_env: str | None) -> list[Probed]:
    """Ask a server for its models, then the model what it can do.

    Args:
        model: None for the first one the server names.

    Raises:
        ConfigError: the URL or the key's variable is no good, or no model is named by anybody.
    """
    return asyncio.run(_probed(url, model, api_key_env))


async def _probed(url: str, model: str | None, api_key_env: str | None) -> list[Probed]:
    keys = {"base_url": url, "model": model or "any", "api_key_env": api_key_env, "timeout_s": _TIMEOUT_S}
    config = convert({**keys, "max_retries": 1}, openai.OpenAIConfig, "--endpoint")
    there = await probe.models(url, api_key_env)
    found = [_about(there, model)]
    if model is None:
        if not there:
            raise ConfigError(f"--model: missing; {url} does not name its models; type: --model NAME")
        config = convert({**keys, "model": there[0], "max_retries": 1}, openai.OpenAIConfig, "--endpoint")
    return found + [one async for one in probe.probe(config)]


def _about(there: list[str] | None, model: str | None) -> Probed:
    if there is None:
        return probe.Probed("models", None, "the server does not name them")
    names = ", ".join(there[:_SHOWN]) + (f" and {len(there) - _SHOWN} more" if len(there) > _SHOWN else "")
    if model is not None and model not in there:
        return probe.Probed("models", works=False, found=f"{names}; no {model!r}{nearest(model, there)}")
    return probe.Probed("models", works=True, found=names or "none")
