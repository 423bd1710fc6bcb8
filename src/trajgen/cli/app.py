"""The verbs by name. Each is a lazy import string, so that `trajgen --help` loads none of them."""

from __future__ import annotations

from importlib.metadata import version

from cyclopts import App

_HELP = """Agent trajectories from simulators, with Inner Monologue feedback, that replay and that trainers accept.

First: trajgen run --env CartPole-v1 --agent random -n 100"""

_VERBS = {
    "run": ("run:run", "Play a job file, or an environment and an agent named here, into a run."),
    "play": ("keyboard:at_keyboard", "Play an environment yourself, in the terminal, and keep the episode."),
    "resume": ("resume:resume", "Play what is missing of a run."),
    "show": ("show:show", "Print a run's table, compare its cells, or tell one episode."),
    "verify": ("replay:verify", "Re-execute stored episodes and compare them step by step."),
    "render": ("render:render", "Make a film of one episode, with its inner monologue as captions."),
    "export": ("export:export", "Write a run in the format of a trainer."),
    "list": ("listing:list_", "List environments, agents, backends or exporters."),
    "doctor": ("doctor:doctor", "Say what is installed, what is missing and what to type."),
}


def make_app() -> App:
    """Return the command line; it returns exit codes and raises errors, and leaves exiting to `main`."""
    app = App(
        name="trajgen",
        help=_HELP,
        help_format="plaintext",
        version=_version,
        result_action="return_value",
        exit_on_error=False,
        print_error=False,
        suppress_keyboard_interrupt=False,
    )
    for verb, (target, summary) in _VERBS.items():
        app.command(f"trajgen.cli.{target}", name=verb, help=summary)
    init = App(name="init", help="Write a new plug-in package.", help_format="plaintext")
    init.command("trajgen.cli.init:init_env", name="env", help="An environment of tools, with its contract test.")
    app.command(init)
    models = App(name="models", help="List, fetch or remove models for the local backend.", help_format="plaintext")
    models.command("trajgen.cli.models:list_models", name="list", help="What can be fetched, and what is here.")
    models.command("trajgen.cli.models:fetch", name="fetch", help="Get a model and check it; installs nothing.")
    models.command("trajgen.cli.models:remove", name="remove", help="Delete a fetched model.")
    app.command(models)
    app.register_install_completion_command(help="Install completion for this shell.")
    return app


def _version() -> str:
    return version("trajgen")
