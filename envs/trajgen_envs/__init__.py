"""The bundled environments. Importing this package registers every plug-in environment in gymnasium, by name only.

So `gymnasium.make("trajgen_envs:trajgen/Toolbox-v0")` works alone; no simulator is imported before it is made.
"""

from trajgen import registry

registry.load()
