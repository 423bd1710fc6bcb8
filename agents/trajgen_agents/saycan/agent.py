"""Does what is both asked for and possible: every legal skill is weighed, say x can, and the best is done.

SayCan (arXiv 2204.01691, algorithm 1). `can` is the environment's affordance. `say` is a language model's likelihood of
the skill's words (`saycan`), or a script's opinion of them (`saycan-prior`). All options are kept in `Turn.options`,
the best first. Neither reads the state; both see the legal calls, the text and the shown feedback.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, ClassVar, NamedTuple, cast

import msgspec
from msgspec import Meta, Struct

from trajgen.errors import ConfigError
from trajgen.messages import SYSTEM_PROMPT, PlacedCall, Transcript
from trajgen.types import Call, Option, ToolCall, Turn, as_written, to_json
from trajgen_agents.saycan.prior import DONE, Prior, sentence

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trajgen.protocols import AffordanceProxy, Aids, Backend, Opening, Scorer
    from trajgen.types import Need, Step

Temperature = Annotated[float, Meta(gt=0, le=1e6)]


class PriorConfig(Struct, frozen=True):
    """Keys of `saycan-prior`.

    Attributes:
        temperature: Of the softmax over how well the options fit (0 to 1): lower is surer.
        use_can: False leaves `can` out of the score (the paper's "No VF"); it is still asked and kept.
        max_options: If more are possible, those whose words fit best are weighed; the turn's `plan` counts the rest.
    """

    temperature: Temperature = 0.1
    use_can: bool = True
    max_options: Annotated[int, Meta(ge=1)] = 200


class SayCanConfig(Struct, frozen=True):
    """Keys of `saycan`.

    Attributes:
        temperature: Of the softmax over the options' log-likelihoods (natural log); 1 is the model's own opinion.
        use_can: See `PriorConfig`.
        max_options: See `PriorConfig`.
    """

    temperature: Temperature = 1.0
    use_can: bool = True
    max_options: Annotated[int, Meta(ge=1)] = 200


class Weighed(NamedTuple):
    """One option, and how good it is."""

    call: ToolCall
    option: Option
    rank: tuple[float, float, float]


class SayCanPriorAgent:
    """Asks a script what is wanted, and the environment what is possible."""

    version: ClassVar[str] = "1"
    needs: ClassVar[frozenset[Need]] = frozenset(("affordance", "legal"))
    config: ClassVar[type[Struct]] = PriorConfig
    backends: ClassVar[tuple[str, ...]] = ()
    prompts: ClassVar[tuple[str, ...]] = ()

    def __init__(self, config: PriorConfig | SayCanConfig, backends: Mapping[str, Backend], aids: Aids) -> None:
        """Keep what answers `can`."""
        self._config = config
        self._affordance = cast("AffordanceProxy", aids.affordance)  # the engine keeps to `needs`

    def reset(self, opening: Opening) -> None:
        """Read the instruction.

        Raises:
            ConfigError: the environment does not tell what is legal.
        """
        self._env_id, self._tools = opening.task.env_id, tuple(opening.tools)
        self._legal = self._told(opening.legal)
        self._prior = Prior(opening.observation.text, opening.tools, self._legal)
        self._prior.heard(opening.feedback)

    async def act(self) -> Turn:
        """Weigh every option and do the best; after `done` the episode is over, whatever the environment says."""
        known = self._options()
        if not known:
            return Turn(text="Nothing is possible now.", stop=True)
        options = self._fitting(known)
        log_says = _log_softmax(await self._opinions(options), self._config.temperature)
        weighed = [
            self._weigh(call, log_say, await self._can(call)) for call, log_say in zip(options, log_says, strict=True)
        ]
        weighed.sort(key=lambda w: w.rank, reverse=True)  # stable: equals stay in the order of `_options`
        best = weighed[0].call
        left_out = len(known) - len(options)
        return Turn(
            text=sentence(best, self._tools),
            calls=(Call(best.tool, dict(best.arguments)),),
            plan=f"{left_out} of {len(known)} options were not weighed (max_options)." if left_out else None,
            options=tuple(w.option for w in weighed),
            stop=best.tool == DONE,
        )

    def observe(self, step: Step, *, legal: Sequence[ToolCall] | None) -> None:
        """Take in what came of the skill."""
        self._legal = self._told(legal)
        self._prior.saw(ToolCall(step.tool, msgspec.json.decode(step.arguments)), step.feedback)

    # ---- options

    def _told(self, legal: Sequence[ToolCall] | None) -> Sequence[ToolCall]:
        if legal is None:
            raise ConfigError(
                f"agent: saycan weighs the calls in info['legal'], and {self._env_id} has none there; an environment "
                "that tells them is needed, or another agent: `random` and `llm` play any environment"
            )
        return legal

    def _options(self) -> list[ToolCall]:
        """Return what is legal, each once, in the order of tools and arguments; and `done`, where there is that tool."""
        place = {t.name: i for i, t in enumerate(self._tools)}
        known = {(place.get(c.tool or "", len(place)), to_json(c.arguments)): c for c in self._legal}
        if DONE in place and not any(c.tool == DONE for c in known.values()):
            known[place[DONE], "{}"] = ToolCall(DONE)
        return [known[key] for key in sorted(known)]

    def _fitting(self, known: list[ToolCall]) -> list[ToolCall]:
        """Return at most `max_options`, `done` always among them: those whose words fit best, in their order."""
        if len(known) <= self._config.max_options:
            return known
        ranked = sorted(known, key=lambda c: (c.tool != DONE, -self._prior.fit(c)))
        kept = {id(call) for call in ranked[: self._config.max_options]}
        return [call for call in known if id(call) in kept]

    async def _opinions(self, options: Sequence[ToolCall]) -> Sequence[float]:
        """Return how much each option is wanted, on a log scale."""
        return [self._prior.fit(call) for call in options]

    async def _can(self, call: ToolCall) -> float:
        return 1.0 if call.tool == DONE else await self._affordance.can(call)

    def _weigh(self, call: ToolCall, log_say: float, can: float) -> Weighed:
        say, counted = math.exp(log_say), can if self._config.use_can else 1.0
        option = Option(str(call.tool), as_written(call.arguments), say, can, say * counted)
        # the logarithm keeps apart what is too small as a product; where nothing is possible, what is wanted most wins
        log_score = log_say + math.log(counted) if counted > 0 else -math.inf
        return Weighed(call, option, (say * counted, log_score, log_say))


class SayCanAgent(SayCanPriorAgent):
    """Asks a language model what is wanted: the likelihood of each skill's words as its next reply."""

    needs: ClassVar[frozenset[Need]] = frozenset(("affordance", "legal", "score"))
    config: ClassVar[type[Struct]] = SayCanConfig
    backends: ClassVar[tuple[str, ...]] = ("backend",)
    prompts: ClassVar[tuple[str, ...]] = (SYSTEM_PROMPT,)

    def __init__(self, config: SayCanConfig, backends: Mapping[str, Backend], aids: Aids) -> None:
        """Keep the model."""
        super().__init__(config, backends, aids)
        self._model = cast("Scorer", backends["backend"])  # the engine keeps to `needs`
        self._said: str | None = None

    def reset(self, opening: Opening) -> None:
        """Write the first two messages; see `SayCanPriorAgent.reset`."""
        super().reset(opening)
        self._transcript = Transcript(None, [t.name for t in opening.tools])
        self._transcript.open(opening.observation.text, opening.feedback)

    async def act(self) -> Turn:
        """See `SayCanPriorAgent.act`."""
        turn = await super().act()
        self._said = turn.text
        return turn

    def observe(self, step: Step, *, legal: Sequence[ToolCall] | None) -> None:
        """Write down what was said and what came of it, as `messages.episode_messages` will from the record."""
        super().observe(step, legal=legal)
        self._transcript.turn(self._said, None, [PlacedCall(step.call_id, step.tool, step.arguments)])
        self._transcript.step(step)
        self._said = None  # the next call may be another's

    async def _opinions(self, options: Sequence[ToolCall]) -> Sequence[float]:
        return await self._model.score(self._transcript.messages, [sentence(call, self._tools) for call in options])


def _log_softmax(values: Sequence[float], temperature: float) -> list[float]:
    """Return log-probabilities (natural log); of options that are all impossible to say, none is preferred."""
    best = max(values)
    if best == -math.inf:
        return [-math.log(len(values))] * len(values)
    scaled = [(value - best) / temperature for value in values]
    total = math.log(math.fsum(map(math.exp, scaled)))
    return [s - total for s in scaled]
