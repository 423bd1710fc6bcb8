"""A backend that writes down every exchange. Agents get this one; they report nothing themselves.

One recorder a role and episode. It derives the seed of each call from the episode's id and the call's index, attributes
the provider's failures, and keeps of each prompt only what is new.
"""

from __future__ import annotations

import math
import time
from hashlib import blake2b
from typing import TYPE_CHECKING

from trajgen.chat import Reply
from trajgen.errors import boundary
from trajgen.protocols import Scorer
from trajgen.strict import shown
from trajgen.types import ModelCall, to_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trajgen.chat import Message
    from trajgen.protocols import Backend
    from trajgen.types import Json, Tool

SCORE = "score"  # the purpose of calls that weighed given texts; `raw` holds the texts and their log-likelihoods


class RecordingBackend:
    """Passes calls on and keeps a `ModelCall` of each.

    Attributes:
        calls: What was exchanged, in order.
        purpose: What the next calls are for; calls are compared with earlier ones of the same purpose.
        turn: The turn the next calls belong to.
    """

    def __init__(self, inner: Backend, role: str, episode_id: str) -> None:
        self._inner, self._role, self._episode_id = inner, role, episode_id
        self._kept: dict[str, list[Message]] = {}
        self._tokens: dict[str, tuple[int, ...]] = {}
        self.calls: list[ModelCall] = []
        self.tokens_exact: bool | None = None
        self.purpose = "act"
        self.turn = 0

    async def generate(
        self,
        messages: Sequence[Message],
        tools: Sequence[Tool],
        *,
        seed: int | None = None,
        sampling: Mapping[str, Json] | None = None,
        constraint: Mapping[str, Json] | None = None,
    ) -> Reply:
        """See `trajgen.protocols.Backend`; without a seed, the episode's own is used."""
        if seed is None:
            seed = self._seed()
        started = time.perf_counter()
        with boundary("backend"):
            reply = await self._inner.generate(messages, tools, seed=seed, sampling=sampling, constraint=constraint)
        self._record(messages, reply, time.perf_counter() - started, self.purpose)
        return reply

    async def score(self, messages: Sequence[Message], candidates: Sequence[str]) -> Sequence[float]:
        """See `trajgen.protocols.Scorer`."""
        started = time.perf_counter()
        with boundary("backend"):
            if not isinstance(self._inner, Scorer):
                raise TypeError("this backend cannot score given texts")
            scores = [float(s) for s in await self._inner.score(messages, candidates)]
            if len(scores) != len(candidates) or any(math.isnan(s) or s == math.inf for s in scores):
                raise ValueError(f"expected {len(candidates)} log-likelihoods, found {shown(scores)}")
        # nothing was generated, so no export may take it for a reply
        raw = to_json({"candidates": list(candidates), "log_likelihoods": scores})
        self._record(messages, Reply(None, raw=raw), time.perf_counter() - started, SCORE)
        return scores

    async def close(self) -> None:
        """Do nothing: the backend is shared, and its owner closes it."""

    def _seed(self) -> int:
        text = f"{self._episode_id}/{self._role}/{len(self.calls)}"
        return int.from_bytes(blake2b(text.encode(), digest_size=4).digest(), "big") >> 1  # servers take 31 bits

    def _record(self, messages: Sequence[Message], reply: Reply, latency_s: float, purpose: str) -> None:
        before = self._kept.get(purpose, [])
        n_kept = 0
        for old, new in zip(before, messages, strict=False):
            if old is not new and old != new:
                break
            n_kept += 1
        self._kept[purpose] = list(messages)
        prefix, new_ids = (None, None) if purpose == SCORE else self._new_tokens(reply)
        self.calls.append(
            ModelCall(
                turn=self.turn,
                role=self._role,
                purpose=purpose,
                model=reply.model,
                n_kept=n_kept,
                messages_new=tuple(messages[n_kept:]),
                raw=reply.raw,
                prompt_prefix_len=prefix,
                prompt_token_ids_new=new_ids,
                token_ids=reply.token_ids,
                logprobs=reply.logprobs,
                finish_reason=reply.finish_reason,
                usage=reply.usage,
                error_kind=reply.error_kind,
                latency_s=latency_s,
            )
        )

    def _new_tokens(self, reply: Reply) -> tuple[int | None, tuple[int, ...] | None]:
        if reply.prompt_token_ids is None:
            self.tokens_exact = False if self.tokens_exact is not None else None
            return None, None
        before = self._tokens.get(self.purpose, ())
        prompt = reply.prompt_token_ids
        prefix = 0
        while prefix < len(before) and prefix < len(prompt) and before[prefix] == prompt[prefix]:
            prefix += 1
        unbroken = prefix == len(before) and reply.token_ids is not None
        self.tokens_exact = unbroken if self.tokens_exact is None else self.tokens_exact and unbroken
        self._tokens[self.purpose] = (*prompt, *(reply.token_ids or ()))
        return prefix, prompt[prefix:]
