"""How fast episodes are stored and read, and how small, beside two floors of the same run.

    python benchmarks/store.py [--episodes 3000] [--steps 20] [--json]

Rates are per second of CPU time of this process. Floors: orjson lines (no compression, no schema); the same shard
built by pyarrow's `from_pylist`; and the same words under a small schema of six columns instead of the record's 114.
The text is words drawn at random, about 350 bytes of them a step, as a tool sandbox gives; a shard holds 64 episodes.
"""

import argparse
import json
import random
import tempfile
import time
from pathlib import Path

import msgspec
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from trajgen.store import commits, journal, schema, shards
from trajgen.store.layout import RunDir
from trajgen.store.plan import Unit
from trajgen.store.slots import SlotFile
from trajgen.types import (
    AgentRecord,
    Episode,
    Feedback,
    ObservationRecord,
    Outcome,
    Provenance,
    Reset,
    Step,
    Task,
    ToolRecord,
    TurnRecord,
)

SHARD = 64


def words(rng, n):
    return " ".join(rng.choices(VOCABULARY, k=n))


VOCABULARY = ["".join(random.Random(i).choices("abcdefghijklmnopqrstuvwxyz", k=2 + i % 9)) for i in range(2_000)]


def episode(number, n_steps):
    rng = random.Random(number)
    names = ["search", "calculate", "convert", "query", "answer"]

    def step(i):
        told = (
            Feedback("success", f"The last call {rng.choice(['worked', 'failed'])}.", shown=True),
            Feedback("scene", words(rng, 6), shown=True),
        )
        return Step(
            turn=i,
            call_id=f"call_{i}_0",
            tool=rng.choice(names),
            arguments=json.dumps({"query": words(rng, 4), "limit": rng.randrange(20)}),
            raw=None,
            observation=ObservationRecord(words(rng, 25)),
            reward=rng.random(),
            terminated=i == n_steps - 1,
            truncated=False,
            success=i == n_steps - 1,
            feedback=told,
            state_digest=rng.randbytes(16),
            agent_s=rng.random(),
            env_s=rng.random() / 1_000,
        )

    hex_id = rng.randbytes(16).hex()
    return Episode(
        episode_id=hex_id,
        group_id=rng.randbytes(16).hex(),
        trial=0,
        sample=0,
        task=Task("trajgen/Bench-v0", (), "{}", "{}", "train", number, words(rng, 20)),
        agents=(AgentRecord("agent", "planner", "1", "{}", None, None),),
        tools=tuple(ToolRecord("agent", name, words(rng, 12), '{"type":"object"}') for name in names),
        reset=Reset(ObservationRecord(words(rng, 40)), (), rng.randbytes(16)),
        turns=tuple(TurnRecord(i, "agent", "agent", text=words(rng, 12)) for i in range(n_steps)),
        steps=tuple(map(step, range(n_steps))),
        model_calls=(),
        tokens_exact=None,
        outcome=Outcome(success=True, return_=1.0, stop_reason="terminated"),
        failure=None,
        oracle_steps=n_steps,
        memory_in=None,
        reflection=None,
        provenance=Provenance('{"trajgen":"0.1.0"}', rng.randbytes(16).hex(), None, "host"),
        created_at="2026-01-01T00:00:00Z",
    )


def cpu(work):
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


def best(work, times=3):
    """Return the least CPU seconds of several runs, and the last result."""
    runs = [cpu(work) for _ in range(times)]
    return min(seconds for seconds, _ in runs), runs[-1][1]


def plain(part):
    """Return episodes as plain data, as a JSON line or `from_pylist` takes them."""
    return [msgspec.to_builtins(e, builtin_types=(bytes,)) for e in part]


def from_pylist(part):
    table = pa.Table.from_pylist(plain(part), schema=schema.arrow_schema())
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, **shards.writer_options(table))
    return sink.getvalue()


def small(part):
    rows = [
        {
            "id": e.episode_id,
            "thoughts": [t.text for t in e.turns],
            "arguments": [s.arguments for s in e.steps],
            "seen": [s.observation.text for s in e.steps],
            "told": [f.text for s in e.steps for f in s.feedback],
            "rewards": [s.reward for s in e.steps],
        }
        for e in part
    ]
    sink = pa.BufferOutputStream()
    options = {"compression": "zstd", "compression_level": 3, "use_dictionary": False, "write_page_checksum": True}
    pq.write_table(pa.Table.from_pylist(rows), sink, **options)
    return sink.getvalue()


def arrow(data):
    return pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True).read(use_threads=False)


def lines(part):
    return b"".join(orjson.dumps(row, default=bytes.hex) + b"\n" for row in plain(part))


def rates_of(parts, root):
    """Return CPU seconds by what was done, and the bytes of JSON and of Parquet."""
    seconds = {}

    def over(name, work, items, times=3):
        seconds[name], done = best(lambda: [work(item) for item in items], times)
        return done

    n_json = sum(map(len, over("floor: orjson lines, write", lines, parts)))
    over("floor: from_pylist, write", from_pylist, parts, 1)
    few = over("floor: six columns, write", small, parts)
    over("floor: six columns, read as Arrow", arrow, few)
    over("table alone", schema.to_table, parts)
    files = over("write", lambda part: shards.encode("bench", "00000", part, ()), parts)
    over("read as Arrow", arrow, files)
    paths = [root / f"{i}.parquet" for i in range(len(files))]
    for path, data in zip(paths, files, strict=True):
        path.write_bytes(data)
    assert over("read as Episode", lambda path: list(shards.rows(path)), paths) == parts
    return seconds, n_json, sum(map(len, files))


def commit_ms(run, part):
    unit = Unit("00000", 0, 0, tuple((i, 0) for i in range(len(part))))
    start = time.perf_counter()
    commits.commit(run, unit, part, ())
    return 1_000 * (time.perf_counter() - start)


def slot_us(run, who, n=100_000):
    slots = SlotFile.create(run, "bench", alone=False, n_slots=4)
    slot = slots.slot(1)
    seconds, _ = best(lambda: [(slot.enter(who), slot.leave()) for _ in range(n)])
    slots.close_clean()
    return 1e6 * seconds / n


def measure(n_episodes, n_steps, root):
    episodes = [episode(i, n_steps) for i in range(n_episodes)]
    parts = [episodes[i : i + SHARD] for i in range(0, len(episodes), SHARD)]
    seconds, n_json, n_parquet = rates_of(parts, root)
    run = RunDir(root / "run")
    run.create()
    with journal.Journal(run, "00000", "a") as log:
        seconds["journal"], _ = best(lambda: [log.append(e) for e in episodes])
    total = n_episodes * n_steps
    return {
        "steps": total,
        "json_MB": n_json / 1e6,
        "parquet_over_json": n_parquet / n_json,
        "steps_per_cpu_s": {name: total / s for name, s in seconds.items()},
        "slot_enter_leave_us": slot_us(run, episodes[0].episode_id),
        "commit_of_a_unit_ms_wall": commit_ms(run, parts[0]),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--episodes", type=int, default=3_000)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        found = measure(given.episodes, given.steps, Path(root))
    if given.json:
        print(json.dumps(found))
        return
    rates = found["steps_per_cpu_s"]
    floor = rates["floor: orjson lines, write"]
    print(
        f"{found['steps']} steps, {found['json_MB']:.1f} MB as JSON; Parquet is {found['parquet_over_json']:.3f} of it"
    )
    for name, rate in rates.items():
        print(f"{name:34} {rate / 1e3:6.0f} k steps/CPU-s   {rate / floor:5.2f} x orjson lines")
    slot, commit = found["slot_enter_leave_us"], found["commit_of_a_unit_ms_wall"]
    print(f"slot enter + leave {slot:.2f} us of CPU; commit of {SHARD} episodes {commit:.0f} ms of wall time")


if __name__ == "__main__":
    main()
