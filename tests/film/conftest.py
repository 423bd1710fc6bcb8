"""Small episodes that can be filmed."""

from __future__ import annotations

import pytest

from film.fakes import BLIND, DRAWN, FILMED, SCRIPT, registered
from test_rollout import by_llm


@pytest.fixture(autouse=True)
def known():
    """The fakes are known to gymnasium."""
    with registered():
        yield


@pytest.fixture
def filmed(known):
    return by_llm([*SCRIPT], env=FILMED)


@pytest.fixture
def drawn(known):
    return by_llm([*SCRIPT], env=DRAWN)


@pytest.fixture
def blind(known):
    return by_llm([*SCRIPT], env=BLIND)
