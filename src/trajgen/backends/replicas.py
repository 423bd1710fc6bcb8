"""Which of several equal servers gets a request: always the same one for the same task, while it works.

A server keeps the beginnings of prompts it has seen, so all calls of an episode should reach the same one. Rendezvous
hashing (Thaler and Ravishankar 1998) over the first two messages, which name the agent and the task, does that without
any state: no seam carries an episode's name, workers agree without talking, and a replica more or less moves only the
tasks that it gets or had. One that fails is avoided for a while that doubles with every further failure; then a single
call tries it. Where all are avoided, the least bad is asked all the same. Knows no HTTP.
"""

from __future__ import annotations

import time
from hashlib import blake2b
from typing import TYPE_CHECKING

from yarl import URL

from trajgen.backends.pace import Pace
from trajgen.backends.wire import encode_message

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from trajgen.chat import Message

_N_PINNING = 2  # the system prompt and the first user message
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0


class Replica:
    """One server.

    Attributes:
        url: Where requests are posted to.
        pace: Its slots.
        n_failures: In a row.
        failed_s: When the last of them was counted, by the clock of `Replicas`.
        avoided_until_s: Likewise; in the past where it is not avoided.
    """

    def __init__(self, base_url: str, most: int) -> None:
        self.url = URL(base_url.rstrip("/") + "/chat/completions")
        self.pace = Pace(most)
        self.n_failures = 0
        self.failed_s = self.avoided_until_s = float("-inf")


class Replicas:
    """Equal servers.

    Args:
        base_urls: At least one; up to and without `/chat/completions`.
        most: Exchanges at once with each.
        clock: Seconds that never run backwards.
    """

    def __init__(self, base_urls: Sequence[str], most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._all = tuple(Replica(url, most) for url in base_urls)
        self.now = clock

    def order(self, messages: Sequence[Message]) -> tuple[Replica, ...]:
        """Return all replicas, the one that these messages belong to first, then who stands in for it."""
        if len(self._all) == 1:
            return self._all
        key = blake2b(b"\0".join(map(encode_message, messages[:_N_PINNING])), digest_size=16).digest()
        return tuple(sorted(self._all, key=lambda r: blake2b(str(r.url).encode(), key=key, digest_size=8).digest()))

    def choose(self, order: Sequence[Replica], tried: Sequence[Replica] = ()) -> Replica:
        """Return whom to ask: the first that is not avoided and was tried least often by this call.

        The one call that comes after the pause of a replica is its probe: others avoid it for as long again, unless
        the probe works.
        """
        if len(order) == 1:
            return order[0]
        now = self.now()
        chosen = min(order, key=lambda r: (now < r.avoided_until_s, tried.count(r)))
        if chosen.n_failures and now >= chosen.avoided_until_s:
            chosen.avoided_until_s = now + _pause_s(chosen.n_failures)
        return chosen

    def failed(self, replica: Replica, began_s: float) -> None:
        """Avoid a replica for a while. Calls that were on their way at its last failure say nothing new."""
        if began_s >= replica.failed_s:
            replica.n_failures += 1
            replica.failed_s = self.now()
            replica.avoided_until_s = replica.failed_s + _pause_s(replica.n_failures)

    def worked(self, replica: Replica) -> None:
        """Take a replica back at once."""
        replica.n_failures = 0
        replica.avoided_until_s = float("-inf")


def _pause_s(n_failures: int) -> float:
    pause_s: float = FIRST_PAUSE_S * 2 ** min(n_failures - 1, 10)
    return min(LONGEST_PAUSE_S, pause_s)
