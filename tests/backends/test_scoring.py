"""Weighing given texts: what the scripted model says of them, and what the recorder lets through."""

import asyncio
import math

import pytest

from trajgen.backends.scripted import ScriptedBackend, ScriptError
from trajgen.chat import Message
from trajgen.errors import BackendFault
from trajgen.recording import RecordingBackend


def test_scores_that_are_none_are_the_models_fault():
    messages = [Message("system", "s"), Message("user", "u")]
    for bad in (math.nan, math.inf):
        backend = RecordingBackend(ScriptedBackend([], likes=lambda *_, bad=bad: bad), "backend", "e")
        with pytest.raises(BackendFault, match="expected 1 log-likelihoods"):
            asyncio.run(backend.score(messages, ["a"]))
        assert not backend.calls


def test_the_scripted_model_scores_by_words_and_checks_what_it_is_given():
    backend = ScriptedBackend(["pick red cup", "place top shelf"])
    chat = [Message("system", "s"), Message("user", "u")]
    later = [*chat, Message("assistant", "pick red cup"), Message("user", "ok")]
    texts = ["pick red cup", "pick blue cup", "place top shelf"]
    assert asyncio.run(backend.score(chat, texts)) == [0.0, -2.0, -6.0]
    assert asyncio.run(backend.score(later, texts))[2] == 0.0
    for messages, candidates in ((chat[:1], texts), (chat, []), (chat, [" "]), ([*later, *later[2:]] * 2, texts)):
        with pytest.raises(ScriptError):
            asyncio.run(backend.score(messages, candidates))
