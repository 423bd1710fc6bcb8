"""The agents without a model keep the contract too."""

from typing import ClassVar

from trajgen.testing.contract import AgentContract
from trajgen.testing.drive import play
from trajgen.testing.fakes import ScriptedAgent


class TestOracle(AgentContract):
    agent = "oracle"


class TestRandom(AgentContract):
    agent = "random"


class TestScripted(AgentContract):
    agent = ScriptedAgent
    agent_config: ClassVar = {"turns": ["add(1)", "hm >>", "submit()"]}


def test_the_oracle_solves_and_says_who_it_is():
    contract = TestOracle()
    for seed in range(5):
        played = play(contract.env_id, contract._factory(), seed=seed)
        assert played.success
        assert {t.by for t in played.turns} == {"oracle"}
