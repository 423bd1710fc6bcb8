"""A wrapper that changes only what is seen."""

from __future__ import annotations

from typing import Any

import gymnasium

from trajgen import Observation, ToolCall


class Shouting(gymnasium.Wrapper[Observation, ToolCall, Observation, ToolCall]):
    """Observations in capitals."""

    def reset(self, **keys: Any) -> tuple[Observation, dict[str, Any]]:
        """See gymnasium."""
        observation, info = self.env.reset(**keys)
        return Observation(observation.text.upper(), observation.images, observation.arrays), info

    def step(self, action: ToolCall) -> tuple[Observation, Any, bool, bool, dict[str, Any]]:
        """See gymnasium."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        shouted = Observation(observation.text.upper(), observation.images, observation.arrays)
        return shouted, reward, terminated, truncated, info
