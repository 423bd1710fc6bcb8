"""The embedded engine with the real SmolLM2: what it says, what it is held to, what it weighs, and that it ends.

Skipped where the engine or the model is missing. The model comes out of the cache; TRAJGEN_FETCH=1 lets it be fetched.
"""

import asyncio
import json
import math
import os
import time
from pathlib import Path

import jsonschema_rs
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from jobs import episodes_of, play
from trajgen.backends import gguf
from trajgen.backends.local import ConstraintRefused, LocalBackend, LocalConfig
from trajgen.chat import FunctionCall, Message
from trajgen.errors import UserError
from trajgen.types import Tool

pytest.importorskip("xllamacpp", reason="the engine is not installed: pip install 'trajgen[local]'")

NAME = gguf.SMOLLM2.name
CHAT = [Message("system", "You are terse."), Message("user", "The capital of France is?")]
GREEDY = {"temperature": 0.0, "max_tokens": 16}
HOT = {"temperature": 1.5, "max_tokens": 48}
ADD = Tool(
    "add",
    "Adds n to the counter.",
    {
        "type": "object",
        "properties": {"n": {"type": "integer", "minimum": 1, "maximum": 5}, "why": {"enum": ["now", "later"]}},
        "required": ["n", "why"],
        "additionalProperties": False,
    },
)
SUBMIT = Tool("submit", "Ends.", {"type": "object", "properties": {}, "additionalProperties": False})


@pytest.fixture(scope="module")
def model():
    if os.environ.get("TRAJGEN_FETCH") == "1":
        return gguf.fetch(gguf.SMOLLM2).path
    path = gguf.path_of(gguf.SMOLLM2)
    if not path.is_file():
        pytest.skip(f"the model is not here: trajgen models fetch {NAME}, or TRAJGEN_FETCH=1")
    return path


@pytest.fixture(scope="module")
def small(model):
    """A backend with one slot, and what runs coroutines on its loop."""
    with asyncio.Runner() as runner:
        backend = LocalBackend(LocalConfig(NAME, n_ctx=512, n_slots=1))
        yield backend, runner.run
        runner.run(backend.close())


def n_threads():
    return len(list(Path("/proc/self/task").iterdir()))


def test_a_greedy_reply_is_repeated_equal_with_its_tokens_and_log_probabilities(small):
    backend, run = small
    first, second = (run(backend.generate(CHAT, (), seed=1, sampling=GREEDY)) for _ in range(2))
    assert first.text
    assert (first.text, first.token_ids) == (second.text, second.token_ids)
    assert len(first.logprobs) == len(first.token_ids)
    assert all(p <= 0 for p in first.logprobs)
    assert first.usage.prompt_tokens == len(first.prompt_token_ids)
    assert second.usage.cached_tokens == len(first.prompt_token_ids) - 1


def test_a_seed_repeats_a_sampled_reply_and_another_one_changes_it(small):
    backend, run = small
    one, same, other = (run(backend.generate(CHAT, (), seed=s, sampling=HOT)).token_ids for s in (1, 1, 2))
    assert one == same != other


def test_a_conversation_with_calls_is_one_unbroken_sequence_of_tokens(small):
    backend, run = small
    chat, before = list(CHAT), ()
    for turn in range(3):
        reply = run(backend.generate(chat, [ADD, SUBMIT], seed=turn, sampling=HOT))
        assert reply.prompt_token_ids[: len(before)] == before
        before = reply.prompt_token_ids + reply.token_ids
        call = FunctionCall(f"c{turn}", reply.calls[0].name, reply.calls[0].arguments)
        chat += [Message("assistant", "", tool_calls=(call,)), Message("tool", "ok", tool_call_id=call.id)]


def test_more_conversations_than_slots_are_not_read_again(small):
    backend, run = small
    chats = [[*CHAT, Message("assistant", "Paris."), Message("user", f"And number {i}?")] for i in range(3)]
    sampling = {"max_tokens": 1}
    n_before = [len(run(backend.generate(chat, (), sampling=sampling)).prompt_token_ids) for chat in chats]
    for chat, n in zip(chats, n_before, strict=True):
        chat += [Message("assistant", "It is."), Message("user", "Are you quite sure of that?")]
        usage = run(backend.generate(chat, (), sampling=sampling)).usage
        assert usage.prompt_tokens > usage.cached_tokens >= n - 1


def test_a_call_fits_one_of_the_tools_every_time(small):
    backend, run = small
    for seed in range(5):
        reply = run(backend.generate(CHAT, [ADD, SUBMIT], seed=seed, sampling=HOT))
        (call,) = reply.calls
        tool = {"add": ADD, "submit": SUBMIT}[call.name]
        assert jsonschema_rs.is_valid(tool.parameters, json.loads(call.arguments))
        assert (reply.finish_reason, reply.text) == ("tool_calls", None)


def test_without_constraints_it_may_say_anything_and_calls_nothing_by_itself(model):
    async def free():
        backend = LocalBackend(LocalConfig(NAME, constrain=False, n_ctx=256, n_slots=1))
        reply = await backend.generate(CHAT, [ADD], seed=1, sampling=GREEDY)
        await backend.close()
        return reply

    reply = asyncio.run(free())
    assert (reply.calls, bool(reply.text)) == ((), True)


def test_a_call_that_was_cut_off_is_no_call(small):
    backend, run = small
    reply = run(backend.generate(CHAT, [ADD], seed=0, sampling={"max_tokens": 4}))
    assert (reply.calls, reply.finish_reason) == ((), "length")
    assert reply.text.startswith('{"name')


async def writable(backend, text):
    """Whether the model's vocabulary has every byte of a text: SmolLM2's lacks some of control characters."""
    client = await backend._ready()
    tokens = await client.tokenize(text, begins=False, special=False)
    async with client._session.post(client._base_url + "/detokenize", json={"tokens": tokens}) as response:
        return (await response.json())["content"] == text


@given(
    choices=st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=6), min_size=1, max_size=3
    )
)
@example(choices=["\x16"])
@example(choices=["go", "go north", 'say "hi"\\\n'])
@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_choice_accepts_exactly_its_choices_or_is_refused_where_the_model_cannot_write_them(small, choices):
    backend, run = small
    sampling = {"temperature": 2.0, "max_tokens": 64}
    for allowed in (choices, choices[:1]):
        try:
            reply = run(backend.generate(CHAT, (), seed=1, sampling=sampling, constraint={"choice": allowed}))
        except ConstraintRefused:
            assert not all(run(writable(backend, text)) for text in allowed)
        else:
            assert reply.text in allowed
            assert reply.finish_reason == "stop"


@pytest.mark.parametrize(
    ("constraint", "fits"),
    [
        ({"regex": "[a-c]{3}/[0-9]"}, lambda text: len(text) == 5 and text[3] == "/"),
        ({"grammar": 'root ::= [a-z] "!"'}, lambda text: text[1:] == "!"),
        ({"json_schema": {"type": "object", "properties": {"k": {"type": "integer"}}, "required": ["k"]}}, json.loads),
    ],
)
def test_every_kind_of_constraint_is_kept(small, constraint, fits):
    backend, run = small
    assert fits(run(backend.generate(CHAT, (), seed=3, sampling=HOT, constraint=constraint)).text)


@pytest.mark.parametrize(
    "constraint",
    [
        {"grammar": "root ::= ("},
        {"json_schema": {"type": "string", "pattern": "a(?=b)"}},
        {"regex": "a(?=b)"},
        {"choice": ["\U00040000"]},  # its first byte is not in the vocabulary
    ],
)
def test_a_constraint_that_the_engine_cannot_keep_is_refused_and_not_passed_over(small, constraint):
    backend, run = small
    with pytest.raises(ConstraintRefused, match="constraint"):
        run(backend.generate(CHAT, (), seed=2, sampling={"temperature": 0.0, "max_tokens": 64}, constraint=constraint))


def test_a_prompt_that_is_too_long_is_the_episodes_fault(small):
    backend, run = small
    reply = run(backend.generate([Message("user", "word " * 600)], ()))
    assert (reply.error_kind, reply.text) == ("context", None)


def test_likely_texts_score_above_unlikely_ones_and_none_above_zero(small):
    backend, run = small
    texts = ["Paris", "London", "xq zv pp", "Paris, France"]
    paris, london, noise, longer = run(backend.score(CHAT, texts))
    assert 0 >= paris > london > noise
    assert longer < paris
    again = run(backend.score(CHAT, texts[::-1]))[::-1]
    assert again == pytest.approx([paris, london, noise, longer], abs=0.02)
    with pytest.raises(ValueError, match="empty"):
        run(backend.score(CHAT, [""]))


def test_a_score_is_the_sum_over_the_whole_vocabulary_looked_up_token_by_token(small):
    backend, run = small
    text = "Paris!"

    async def looked_up():
        client = await backend._ready()
        prompt, ids = await backend._prompt(client, CHAT, ())
        tokens = (await client.tokenize(prompt + text, begins=True, special=True))[len(ids) :]
        total = 0.0
        for i, token in enumerate(tokens):
            request = {"prompt": [*ids, *tokens[:i]], "n_predict": 1, "n_probs": 49_152, "temperature": 0.0}
            async with client._session.post(client._base_url + "/completion", json=request) as response:
                everything = (await response.json())["completion_probabilities"][0]["top_logprobs"]
            assert math.fsum(math.exp(t["logprob"]) for t in everything) == pytest.approx(1, abs=1e-3)
            total += next(t["logprob"] for t in everything if t["id"] == token)
        return total

    assert run(backend.score(CHAT, [text])) == pytest.approx([run(looked_up())], abs=0.02)


def test_scores_agree_with_transformers(small, model):
    torch = pytest.importorskip("torch", reason="extra [train]")
    transformers = pytest.importorskip("transformers", reason="extra [train]")
    pytest.importorskip("gguf", reason="extra [train]")
    backend, run = small
    texts = ["Paris", "London", "The capital is Paris."]

    async def tokens():
        client = await backend._ready()
        prompt, ids = await backend._prompt(client, CHAT, ())
        whole = [await client.tokenize(prompt + text, begins=True, special=True) for text in texts]
        return len(ids), whole

    n_prompt, sequences = run(tokens())
    network = transformers.AutoModelForCausalLM.from_pretrained(str(model.parent), gguf_file=model.name).eval()
    for sequence, score in zip(sequences, run(backend.score(CHAT, texts)), strict=True):
        with torch.no_grad():
            logprobs = network(torch.tensor([sequence])).logits[0].float().log_softmax(-1)
        expected = sum(float(logprobs[i - 1, sequence[i]]) for i in range(n_prompt, len(sequence)))
        # the engine multiplies weights of 4 bits by activations of 8, transformers both as floats
        assert score == pytest.approx(expected, abs=0.15 * (len(sequence) - n_prompt))


def test_a_cancelled_reply_ends_in_the_engine_too(small):
    backend, run = small

    async def cancelled():
        await backend.generate(CHAT, (), sampling={"max_tokens": 1})
        long = {"grammar": 'root ::= ("a" | "b"){900}'}
        task = asyncio.create_task(backend.generate(CHAT, (), seed=1, sampling={"max_tokens": 400}, constraint=long))
        await asyncio.sleep(0.2)
        task.cancel()
        started = time.perf_counter()
        await backend.generate(CHAT, (), sampling={"max_tokens": 1})
        return time.perf_counter() - started

    assert run(cancelled()) < 3  # 400 tokens take 6 s and more


def test_two_backends_share_one_engine_and_the_last_one_ends_it(model):
    async def life():
        config = LocalConfig(NAME, n_ctx=128, n_slots=2, n_threads=1)
        one, two = LocalBackend(config), LocalBackend(config)
        sampling = {"max_tokens": 1}
        await asyncio.gather(one.generate(CHAT, (), sampling=sampling), two.generate(CHAT, (), sampling=sampling))
        running = n_threads()
        assert one._client._engine is two._client._engine
        await one.close()
        assert n_threads() == running
        assert (await two.generate(CHAT, (), sampling=sampling)).token_ids
        await two.close()
        await two.close()
        return running

    before = n_threads()
    running = asyncio.run(life())
    assert running > before
    assert n_threads() <= before  # threads of earlier tests may end meanwhile


def test_what_is_missing_is_said_with_what_to_type(tmp_path, monkeypatch):
    monkeypatch.setenv("TRAJGEN_CACHE", str(tmp_path))
    with pytest.raises(UserError, match=f"type: trajgen models fetch {NAME}"):
        LocalBackend(LocalConfig(NAME))
    with pytest.raises(UserError, match="path of a GGUF file"):
        LocalBackend(LocalConfig("smollm.gguf"))
    (tmp_path / "models").mkdir()
    for path, said in ((tmp_path / "models" / f"{NAME}.gguf", "damaged"), (tmp_path / "own.gguf", "cannot load")):
        path.write_bytes(b"GGUF and nothing more")
        backend = LocalBackend(LocalConfig(NAME if said == "damaged" else str(path)))
        with pytest.raises(UserError, match=said):
            asyncio.run(backend.generate(CHAT, ()))


def test_a_real_episode_is_played_to_its_end(model, tmp_path):
    backend = {
        "kind": "local",
        "model": str(model),
        "n_ctx": 2048,
        "n_slots": 1,
        "timeout_s": 200,
        "sampling": {"max_tokens": 48},
    }
    job = {
        "name": "local",
        "workers": 0,
        "concurrency": 1,
        "budget": {"max_turns": 2, "episode_timeout_s": 280},
        "backend": {"b": backend},
        "entry": [
            {
                "env": "trajgen/Toolbox-v0",
                "options": {"depth": 1},
                "seeds": "0:1",
                "agent": {"name": "llm", "backend": "b"},
            }
        ],
    }
    report = play(tmp_path / "run", job)
    assert (report.committed, report.failed) == (1, 0)
    (episode,) = episodes_of(tmp_path / "run")
    assert episode.failure is None
    assert episode.tokens_exact
    assert episode.outcome.stop_reason in {"terminated", "max_turns", "max_steps"}
    for call in episode.model_calls:
        assert call.error_kind is None
        assert call.token_ids
        assert len(call.logprobs) == len(call.token_ids)
