"""Parquet for TRL's SFT trainer: `messages` + `tools`, one row per episode. Knows no other format.

TRL (docs/source/dataset_formats.md) hands both columns to the tokenizer's chat template, which wants
`tool_calls[].function.arguments` as a mapping. Templates ask `'tool_calls' in message` (Llama 3), so a message must not
have keys it does not need, nor a call the arguments of other tools filled with nulls, which is what a typed Arrow column
would give. So each message and each tool is a JSON document of its own; see `trajgen.export.hf_parquet`. The other
columns are there to filter by: the trainer leaves out every column it does not know. A row holds the feedback that is
shown, so none of the record's `shown` flags.

Fractions in arguments pass the JSON reader of `datasets`, which may differ in the last digit (about one in 400). Long
episodes are written whole; it is the trainer that cuts each row at its `max_length`, 1,024 tokens unless told.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta, Struct

from trajgen.export import common
from trajgen.export.common import Choice, Ledger, Loss, Unfit
from trajgen.messages import tool_schema
from trajgen.types import Json, Tool

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from trajgen.chat import FunctionCall, Message
    from trajgen.protocols import ExportReport
    from trajgen.types import AgentRecord, Episode, ToolRecord

_JSON_COLUMNS = ("messages", "tools")
_NO_SPLIT = "train"


def _open_end(episode: Episode) -> int:
    """Return 1 where the chat ends on the result of a call; only a turn that stops the episode can be a last word."""
    if not episode.turns:
        return 0
    last = episode.turns[-1]
    called = bool(last.unexecuted) or (bool(episode.steps) and episode.steps[-1].turn == last.turn)
    return int(called or not (last.text or last.reasoning))


_LOST = (
    common.HIDDEN_FEEDBACK,
    common.REWARDS,
    common.DIGESTS,
    common.IMAGES,
    common.ARRAYS,
    common.RAW_ARGUMENTS,
    common.TOKENS,
    common.DELIBERATION,
    common.WEIGHTS,
    common.PERTURBED,
    Loss("replies after the last call's result, since the episode ended there (kept: TRL takes such rows)", _open_end),
)
_json = msgspec.json.Encoder()


class TrlConfig(Choice, frozen=True, kw_only=True):
    """Options of the exporter, beside those of `Choice`."""

    rows_per_file: Annotated[int, Meta(ge=1)] = 10_000


class TrlRow(Struct, frozen=True, rename={"return_": "return"}):
    """One row. `messages` and `tools` hold a JSON document each; `tools` is None where nothing could be called.

    Attributes:
        model: What the backend said it is; None where no model played.
        return_: Undiscounted sum of rewards.
        n_steps: Executed calls.
        oracle_steps: Calls the expert needs; None where not known.
    """

    messages: tuple[str, ...]
    tools: tuple[str, ...] | None
    episode_id: str
    group_id: str
    trial: int
    sample: int
    env_id: str
    seed: int
    split: str | None
    role: str
    agent: str
    model: str | None
    success: bool | None
    return_: float
    n_steps: int
    oracle_steps: int | None
    stop_reason: str


class TrlExporter:
    """See `trajgen.protocols.Exporter`."""

    summary: ClassVar[str] = "TRL's SFTTrainer: Parquet with messages + tools, opened by datasets>=4.7"
    config: ClassVar[type[Struct]] = TrlConfig

    def export(self, episodes: Iterable[Episode], out: Path, config: TrlConfig) -> ExportReport:
        """Write `out/data/SPLIT-NNNNN-of-NNNNN.parquet`; episodes without a split go to `train`.

        Raises:
            ConfigError: `out` holds something.
            StoreFault: the disk failed.
        """
        from trajgen.export.hf_parquet import SplitWriter  # pyarrow, which `trajgen list exporters` need not load

        ledger = Ledger((*_LOST, common.REWRITTEN) if config.as_ == "seen" else _LOST)
        with SplitWriter(common.new_folder(out), TrlRow, _JSON_COLUMNS, config.rows_per_file) as files:
            for given in episodes:
                try:
                    episode = common.admit(given, config)
                    rows = _rows(episode, config)
                except Unfit as reason:
                    ledger.leave_out(reason)
                    continue
                ledger.take(episode)
                for row in rows:
                    files.add(row.split or _NO_SPLIT, row)
        return ledger.report(files.files, _how_to_load(out) if files.files else "nothing was written")


def _how_to_load(out: Path) -> str:
    return f"from datasets import load_dataset; data = load_dataset({str(out)!r})"


# ------------------------------------------------------------------------------------- rows


def _rows(episode: Episode, config: TrlConfig) -> list[TrlRow]:
    """Return one row for each role that said something."""
    chats = [(agent, common.converse(episode, agent.role, config)) for agent in episode.agents]
    rows = [_row(episode, agent, chat) for agent, chat in chats if any(m.role == "assistant" for m in chat)]
    if not rows:
        raise Unfit("the agent never replied")
    return rows


def _row(episode: Episode, agent: AgentRecord, chat: Sequence[Message]) -> TrlRow:
    tools = tuple(_tool(t) for t in episode.tools if t.role == agent.role)
    messages = tuple(map(_message, chat))
    _check_numbers((*messages, *tools))
    models = [c.model for c in episode.model_calls if c.role == agent.role and c.model]
    task, outcome = episode.task, episode.outcome
    return TrlRow(
        messages=messages,
        tools=tools or None,  # some templates print an empty list of tools as if there were some
        episode_id=episode.episode_id,
        group_id=episode.group_id,
        trial=episode.trial,
        sample=episode.sample,
        env_id=task.env_id,
        seed=task.seed,
        split=task.split,
        role=agent.role,
        agent=agent.name,
        model=models[-1] if models else None,
        success=outcome.success,
        return_=outcome.return_,
        n_steps=len(episode.steps),
        oracle_steps=episode.oracle_steps,
        stop_reason=outcome.stop_reason,
    )


def _check_numbers(documents: Iterable[str]) -> None:
    from trajgen.export.hf_parquet import has_unreadable_number  # see `export`

    if any(map(has_unreadable_number, documents)):
        raise Unfit("a whole number beyond 64 bits, which `datasets` cannot read")


# ------------------------------------------------------------------------------------- messages


class _Function(Struct, frozen=True):
    name: str
    arguments: dict[str, Json]


class _ToolCall(Struct, frozen=True, kw_only=True):
    id: str
    type: Literal["function"] = "function"
    function: _Function


class _ChatMessage(Struct, frozen=True, omit_defaults=True):
    """A message with no key that it does not need."""

    role: str
    content: str
    reasoning_content: str | None = None
    tool_calls: tuple[_ToolCall, ...] = ()
    tool_call_id: str | None = None
    name: str | None = None


def _message(message: Message) -> str:
    calls = tuple(map(_tool_call, message.tool_calls))
    found = _ChatMessage(
        message.role, message.content, message.reasoning_content, calls, message.tool_call_id, message.name
    )
    return _json.encode(found).decode()


def _tool_call(call: FunctionCall) -> _ToolCall:
    try:
        arguments = msgspec.json.decode(call.arguments, type=dict[str, Json])
    except msgspec.DecodeError:  # only where a model was sent so: the record's own are objects
        raise Unfit("a call in a prompt whose arguments are no JSON object") from None
    return _ToolCall(id=call.id, function=_Function(call.name, arguments))


@functools.lru_cache(maxsize=1_024)
def _tool(tool: ToolRecord) -> str:
    schema = tool_schema(Tool(tool.name, tool.description, msgspec.json.decode(tool.parameters)))
    return _json.encode(schema).decode()
