"""Jobs, units and played episodes for tests of the store, without an environment or an agent."""

from trajgen.entries import AgentChoice, Budget, Entry, Job
from trajgen.ids import digest
from trajgen.types import (
    AgentRecord,
    Episode,
    Failure,
    Feedback,
    ObservationRecord,
    Outcome,
    Provenance,
    Reset,
    Step,
    Task,
    TurnRecord,
    to_json,
)


def entry(seeds=range(4), *, env_id="Fake-v0", agent="random", max_steps=30, samples=1, trials=1, resources=None):
    budget = Budget(max_steps=max_steps)
    key = digest("entry", agent, max_steps, trials)
    return Entry(
        key=key,
        id=digest("set", key, env_id),
        env_id=env_id,
        wrappers=(),
        make_options={},
        options={"depth": 3},
        split="train",
        agent=AgentChoice(agent, "1", {}),
        feedback=("success", "error"),
        budget=budget,
        seeds=tuple(seeds),
        samples=samples,
        trials=trials,
        resources=resources or {},
    )


def job(*entries, name="fake", workers=0):
    return Job(name, None, workers, 4, entries or (entry(),))


def played(of, key, *, success=True, failure=None, n_steps=3, mark=""):
    """Return the episode that a worker would have made for one key of an entry's unit."""
    seen = ObservationRecord(f"{mark}seed {key.seed}, é")
    told = (Feedback("success", "The last call worked.", shown=True), Feedback("progress", "0.5", shown=False))
    steps = tuple(
        Step(
            i,
            f"call_{i}_0",
            "go",
            '{"x":1}',
            None,
            seen,
            0.5,
            i == n_steps - 1,
            False,
            success,
            told,
            b"d" * 16,
            0.1,
            0.2,
        )
        for i in range(n_steps)
    )
    return Episode(
        episode_id=key.episode_id,
        group_id=key.group_id,
        trial=key.trial,
        sample=key.sample,
        task=Task(of.env_id, of.wrappers, to_json(of.make_options), to_json(of.options), of.split, key.seed, "go"),
        agents=(AgentRecord("agent", of.agent.name, "1", "{}", None, None),),
        tools=(),
        reset=Reset(seen),
        turns=tuple(TurnRecord(i, "agent", "agent", text="I go.") for i in range(n_steps)),
        steps=steps,
        model_calls=(),
        tokens_exact=None,
        outcome=Outcome(None if failure else success, 0.5 * n_steps, "failure" if failure else "terminated"),
        failure=Failure(*failure) if failure else None,
        oracle_steps=2,
        memory_in=None,
        reflection=None,
        provenance=Provenance("{}", None, None, "host"),
        created_at="2026-01-01T00:00:00Z",
    )


def play(plan, unit, **changes):
    """Return all episodes of a unit."""
    of = plan.entries[unit.entry]
    return [played(of, key, **changes) for key in plan.keys(unit)]
