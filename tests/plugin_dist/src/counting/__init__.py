"""A guessing game, an agent for it and a wrapper, as an outside distribution of trajgen plug-ins."""
