"""What trajgen asks of every environment, asked of this one."""

from trajgen.testing.contract import EnvContract


class TestGuess(EnvContract):
    env_id = "counting/Guess-v0"
