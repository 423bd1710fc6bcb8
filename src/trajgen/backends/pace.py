"""How many exchanges one server gets at once: all that are allowed, until it says that they are too many.

Additive increase, multiplicative decrease (Chiu and Jain 1989), as TCP has it: one more for every `limit` answers,
half at a sign of pressure, and only once for all calls that were on their way when the limit was halved. Where TCP
begins with few this begins with the most: a model server queues by itself what it cannot batch yet, so a slow start
would only idle it, and the first refusals of one that does not queue cost a retry each. No clock; knows no HTTP.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque


class Pace:
    """Slots for exchanges: `async with pace:` waits for one, first come first served.

    Args:
        most: The limit at the start, which is never exceeded.

    Attributes:
        limit: How many may be open at once now, from 1 to `most`. More are for a while where it was just lowered.
        n_open: How many are.
        epoch: How often the limit was lowered; a call notes it as it begins, for `pressed`.
    """

    def __init__(self, most: int) -> None:
        self.most = self.limit = most
        self.n_open = 0
        self.epoch = 0
        self._n_answered = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def __aenter__(self) -> None:
        if self.n_open < self.limit:  # nobody waits: `_admit` let all in for whom there was room
            self.n_open += 1
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.cancelled():
                with contextlib.suppress(ValueError):  # `_admit` may have passed over it
                    self._waiting.remove(waiter)
            else:  # the slot and the cancellation came together
                self._leave()
            raise

    async def __aexit__(self, *_: object) -> None:
        self._leave()

    def answered(self) -> None:
        """Note one answer without a sign of pressure."""
        self._n_answered += 1
        if self._n_answered >= self.limit:
            self._n_answered = 0
            self.limit = min(self.most, self.limit + 1)
            self._admit()

    def pressed(self, epoch: int) -> None:
        """Note that the server had too much; of calls that began in one epoch, only the first counts."""
        if epoch == self.epoch:
            self.epoch += 1
            self._n_answered = 0
            self.limit = max(1, self.limit // 2)

    def _leave(self) -> None:
        self.n_open -= 1
        self._admit()

    def _admit(self) -> None:
        while self._waiting and self.n_open < self.limit:
            waiter = self._waiting.popleft()
            if not waiter.done():  # else cancelled
                self.n_open += 1
                waiter.set_result(None)
