"""TRL's SFTTrainer really takes what `trajgen export --to trl` writes. Runs in a venv of its own:

    python -m venv .venv-trl
    .venv-trl/bin/pip install torch
    .venv-trl/bin/pip install trl "datasets>=4.7" -e .
    HF_HUB_OFFLINE=1 PYTHONPATH=tests .venv-trl/bin/python tests/compat/trl_sft.py

Exports hand-built episodes of every kind, opens them with `datasets`, trains a tiny model of random weights for two
steps with Qwen3's own chat template and `assistant_only_loss`, and checks that no row was dropped and that exactly the
assistant's words are learnt, token by token. Then renders every chat template that TRL ships over every row.
Downloads nothing. Ends with `N passed, N failed`; exit code 1 where something failed.
"""

# ruff: noqa: T201 - what it found is what it is for

from __future__ import annotations

import itertools
import json
import sys
import tempfile
from pathlib import Path

import datasets
import jinja2
import msgspec
import tokenizers
import torch
import transformers
import trl

from export.episodes import every_kind, plain
from trajgen.export.trl import TrlConfig, TrlExporter
from trajgen.messages import episode_messages

TEMPLATES = Path(trl.__file__).parent / "chat_templates"
MARKS = ["<|im_start|>", "<|im_end|>", "<|endoftext|>"]
MUST_RENDER = (
    "qwen2_5",
    "qwen3",
    "qwen3_5_think",
    "qwen3_instruct_2507",
    "qwen3_8",
    "glm4moe",
    "lfm2",
    "gemma4_v5",
    "phi3",
)
SEEN = {"passed": 0, "failed": 0}


def check(claim, holds, detail=""):
    SEEN["passed" if holds else "failed"] += 1
    print(f"{'ok  ' if holds else 'FAIL'} {claim}{f': {detail}' if detail else ''}")


def tokenizer_of(texts):
    """A byte-level BPE of 800 tokens, learnt from the texts themselves, with Qwen3's chat template."""
    bpe = tokenizers.Tokenizer(tokenizers.models.BPE())
    bpe.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = tokenizers.decoders.ByteLevel()
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=800, special_tokens=MARKS, initial_alphabet=alphabet, show_progress=False
    )
    bpe.train_from_iterator(texts, trainer)
    made = transformers.PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    made.chat_template = (TEMPLATES / "qwen3.jinja").read_text()
    return made


def tiny_model(tokenizer):
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=8192,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )
    torch.manual_seed(0)
    return transformers.LlamaForCausalLM(config)


def as_qwen3_says_it(message):
    """An assistant's turn in Qwen3's words, from the episode itself and by other means than the template."""
    thought = (message.reasoning_content or "").strip("\n")
    text = f"<think>\n{thought}\n</think>\n\n{message.content}"
    for place, c in enumerate(message.tool_calls):
        arguments = json.dumps(json.loads(c.arguments), ensure_ascii=False)
        text += "\n" if place or message.content else ""
        text += f'<tool_call>\n{{"name": "{c.name}", "arguments": {arguments}}}\n</tool_call>'
    return text + "<|im_end|>\n"


def learnt(tokenizer, row):
    """The texts of the runs of tokens that count for the loss."""
    pairs = zip(row["input_ids"], row["labels"], strict=True)
    runs = itertools.groupby(pairs, key=lambda pair: pair[1] != -100)
    return [tokenizer.decode([token for token, _ in run]) for counts, run in runs if counts]


def check_training(data, episodes):
    texts = [json.dumps(r["messages"], ensure_ascii=False) for r in data["train"]]
    tokenizer = tokenizer_of(texts)
    config = trl.SFTConfig(
        output_dir=tempfile.mkdtemp(prefix="trajgen-sft-"),
        max_steps=2,
        per_device_train_batch_size=4,
        assistant_only_loss=True,
        max_length=None,
        use_cpu=True,
        bf16=False,
        report_to="none",
        logging_steps=1,
        save_strategy="no",
        disable_tqdm=True,
    )
    trainer = trl.SFTTrainer(
        model=tiny_model(tokenizer),
        args=config,
        train_dataset=data["train"],
        eval_dataset=data["validation"],
        processing_class=tokenizer,
    )
    prepared = [*trainer.train_dataset, *trainer.eval_dataset]
    check("no row is dropped", len(prepared) == len(episodes), f"{len(prepared)} of {len(episodes)}")
    by_id = {e.episode_id: e for e in episodes}
    wrong, n_learnt, n_all = [], 0, 0
    for row in prepared:
        said = [m for m in episode_messages(by_id[row["episode_id"]]) if m.role == "assistant"]
        if learnt(tokenizer, row) != [as_qwen3_says_it(m) for m in said]:
            wrong.append(row["episode_id"])
        n_learnt += sum(label != -100 for label in row["labels"])
        n_all += len(row["labels"])
    detail = f"{n_learnt:,} of {n_all:,} tokens in {len(prepared)} rows"
    check("exactly the assistant's words are learnt, to the token", not wrong, detail)
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    check("two steps of training", len(losses) == 2 and all(x > 0 for x in losses), f"losses {losses}")
    return tokenizer


def check_templates(data, tokenizer):
    rows = [*data["train"], *data["validation"]]
    for path in sorted(TEMPLATES.glob("*.jinja")):
        if "training" in path.stem:
            continue
        template = path.read_text()
        refused = {}
        for row in rows:
            try:
                tokenizer.apply_chat_template(
                    row["messages"], tools=row["tools"], chat_template=template, tokenize=False
                )
            except (jinja2.TemplateError, TypeError, ValueError) as error:
                refused.setdefault(f"{type(error).__name__}: {error}"[:90], []).append(row["seed"])
        why = "; ".join(f"{len(n)} x {reason}" for reason, n in refused.items())
        n_fine = len(rows) - sum(map(len, refused.values()))
        if path.stem in MUST_RENDER:
            check(f"template {path.stem} renders every row", not refused, why)
        else:
            print(f"     template {path.stem}: {n_fine} of {len(rows)} rows{f'; {why}' if why else ''}")


def main():
    print(f"torch {torch.__version__}, transformers {transformers.__version__}, trl {trl.__version__}", end=", ")
    print(f"datasets {datasets.__version__}")
    datasets.disable_progress_bars()
    kinds = every_kind()
    held_out = [_validation(kinds.pop("200 steps")), _validation(plain(500))]
    episodes = [*(plain(n + 100) for n in range(24)), *kinds.values(), *held_out]
    out = Path(tempfile.mkdtemp(prefix="trajgen-trl-"))
    report = TrlExporter().export(iter(episodes), out, TrlConfig())
    check("every episode is exported", report.n_out == len(episodes), f"{report.n_out} of {report.n_in}")
    data = datasets.load_dataset(str(out), cache_dir=tempfile.mkdtemp(prefix="trajgen-hf-"))
    keys = {k for r in data["train"] for m in r["messages"] for c in m.get("tool_calls", ()) for k in c["function"]}
    check("calls have a name and arguments and nothing else", keys == {"name", "arguments"})
    tokenizer = check_training(data, episodes)
    check_templates(data, tokenizer)
    print(f"{SEEN['passed']} passed, {SEEN['failed']} failed")
    return int(SEEN["failed"] > 0)


def _validation(episode):
    return msgspec.structs.replace(episode, task=msgspec.structs.replace(episode.task, split="validation"))


if __name__ == "__main__":
    sys.exit(main())
