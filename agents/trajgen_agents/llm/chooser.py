"""A language model that only weighs: of all legal calls the one whose words it finds likeliest is done.

So the weakest model acts without ever writing a malformed call. Its log-likelihoods are kept in `Turn.options`. Unlike
`saycan` it needs no affordance: what is legal is all that is asked of the environment.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, cast

from msgspec import Meta, Struct

from trajgen.errors import ConfigError
from trajgen.messages import SYSTEM_PROMPT, PlacedCall, Transcript
from trajgen.types import Call, Option, Turn, as_written
from trajgen.words import call_words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trajgen.protocols import Aids, Backend, Opening, Scorer
    from trajgen.types import Need, Step, ToolCall


class ChooserConfig(Struct, frozen=True):
    """Keys of the agent.

    Attributes:
        temperature: 0 takes the best; above, a call is drawn from the softmax of the scores over it.
        per: What a log-likelihood is divided by: `text` for nothing, `character` so that long calls are not put back.
        system_prompt: Instead of the default one.
    """

    temperature: Annotated[float, Meta(ge=0, le=1e6)] = 0.0
    per: Literal["text", "character"] = "character"
    system_prompt: str | None = None


class ChooserAgent:
    """Weighs every legal call, and does one."""

    version: ClassVar[str] = "1"
    needs: ClassVar[frozenset[Need]] = frozenset(("legal", "score"))
    config: ClassVar[type[Struct]] = ChooserConfig
    backends: ClassVar[tuple[str, ...]] = ("backend",)
    prompts: ClassVar[tuple[str, ...]] = (SYSTEM_PROMPT,)

    def __init__(self, config: ChooserConfig, backends: Mapping[str, Backend], aids: Aids) -> None:
        """Keep the model."""
        self._config = config
        self._model = cast("Scorer", backends["backend"])  # the engine keeps to `needs`

    @property
    def system_prompt(self) -> str | None:
        """The prompt as the model sees it; None for the default one."""
        return self._config.system_prompt

    def reset(self, opening: Opening) -> None:
        """Write the first two messages.

        Raises:
            ConfigError: the environment does not tell what is legal.
        """
        if opening.legal is None:
            raise ConfigError(
                f"agent: chooser weighs the calls in info['legal'], and {opening.task.env_id} has none there; "
                "`llm`, `react` and `inner_monologue` play any environment"
            )
        self._legal, self._rng = opening.legal, opening.rng
        self._transcript = Transcript(self._config.system_prompt, [t.name for t in opening.tools])
        self._transcript.open(opening.observation.text, opening.feedback)

    async def act(self) -> Turn:
        """Weigh what is legal; stop where nothing is."""
        calls = list(self._legal)
        if not calls:
            return Turn(text="Nothing is possible now.", stop=True)
        texts = [call_words(call.tool, as_written(call.arguments)) for call in calls]
        says = await self._model.score(self._transcript.messages, texts)
        weighed = [
            say / (len(text) if self._config.per == "character" else 1) for say, text in zip(says, texts, strict=True)
        ]
        order = sorted(range(len(calls)), key=lambda i: -weighed[i])  # stable: equals stay in the environment's order
        chosen = calls[order[0] if not self._config.temperature else self._drawn(weighed)]
        return Turn(
            calls=(Call(chosen.tool, dict(chosen.arguments)),),
            options=tuple(
                Option(calls[i].tool or "", as_written(calls[i].arguments), say=says[i], score=weighed[i])
                for i in order
            ),
        )

    def observe(self, step: Step, *, legal: Sequence[ToolCall] | None) -> None:
        """Write down what was done and what came of it, as `messages.episode_messages` will from the record."""
        self._legal = legal or ()
        self._transcript.turn(None, None, [PlacedCall(step.call_id, step.tool, step.arguments)])
        self._transcript.step(step)

    def _drawn(self, weighed: Sequence[float]) -> int:
        best = max(weighed)
        weights = [math.exp((w - best) / self._config.temperature) if w > -math.inf else 0.0 for w in weighed]
        total = math.fsum(weights)
        if not total > 0:  # every text is impossible to the model: none is better than another
            return int(self._rng.integers(len(weighed)))
        return int(self._rng.choice(len(weighed), p=[w / total for w in weights]))
