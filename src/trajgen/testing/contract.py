"""What trajgen asks of every environment and every agent, as tests to subclass. Needs pytest.

    from trajgen.testing.contract import AgentContract, EnvContract

    class TestMine(EnvContract):
        env_id = "ns/Mine-v0"

    class TestMyAgent(AgentContract):
        agent = "my-agent"

The form is dm_env's: the contract ships as a test kit, not as prose. Each test's name is one promise.
"""

from trajgen.testing.agent_contract import AgentContract
from trajgen.testing.env_contract import EnvContract

__all__ = ["AgentContract", "EnvContract"]
