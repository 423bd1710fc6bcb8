"""`trajgen list`: what is installed. Reads the source of plug-ins for their summaries and imports none of them."""

import ast
import importlib.metadata
import importlib.util
import re
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, get_args

from cyclopts import Parameter

from trajgen import registry
from trajgen.cli import OK, output
from trajgen.cli import options as flags
from trajgen.errors import UnknownName, nearest
from trajgen.registry import PlugIn

Kind = Literal["envs", "agents", "backends", "exporters"]
_KINDS: tuple[Kind, ...] = get_args(Kind)
_EXTRA = re.compile(r"""extra\s*==\s*['"](?P<name>[^'"]+)['"]""")
_REQUIREMENT = re.compile(r"^[A-Za-z0-9._-]+")


class Listed(NamedTuple):
    """One name.

    Attributes:
        source: The distribution it comes from, with its version.
        summary: One line of its author; None where there is none.
        needs: What to type before it can be used; None where it can be used now.
    """

    name: str
    source: str
    summary: str | None
    needs: str | None


def list_(
    kind: Annotated[str, Parameter(name="KIND", help="envs, agents, backends or exporters.")],
    /,
    *,
    as_json: flags.AsJson = False,
) -> int:
    """List environments, agents, backends or exporters: name, what it is, where it comes from."""
    known = next((k for k in _KINDS if k == kind), None)
    if known is None:
        raise UnknownName(f"KIND: expected one of {', '.join(_KINDS)}, found {kind!r}{nearest(kind, _KINDS)}")
    found = listed(known)
    foreign = foreign_ids() if known == "envs" else []
    if as_json:
        gymnasium = {"gymnasium": foreign} if known == "envs" else {}
        output.say_json({known: [item._asdict() for item in found], **gymnasium})
        return OK
    _tell(found)
    if known == "envs":
        _tell_foreign(foreign)
    return OK


def listed(kind: Kind) -> list[Listed]:
    """Return every plug-in of one kind."""
    return [_listed(plug_in) for plug_in in registry.plug_ins(kind).values()]


def _listed(plug_in: PlugIn) -> Listed:
    module, _, attribute = plug_in.target.partition(":")
    try:
        found = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        found = None
    needs = _missing_extra(plug_in)
    if found is None and needs is None:
        needs = f"pip install {plug_in.distribution} again: it has no module {module}"
    summary = summary_of(Path(found.origin), attribute) if found is not None and found.origin else None
    return Listed(plug_in.name, f"{plug_in.distribution} {plug_in.version}", summary, needs)


def _missing_extra(plug_in: PlugIn) -> str | None:
    if plug_in.extra is None or not missing_of_extra(plug_in.distribution, plug_in.extra):
        return None
    return f"pip install '{plug_in.distribution}[{plug_in.extra}]'"


def missing_of_extra(distribution: str, extra: str) -> list[str]:
    """Return the packages of a pip extra that are not installed."""
    missing = []
    for requirement in importlib.metadata.requires(distribution) or ():
        marker = _EXTRA.search(requirement)
        name = _REQUIREMENT.match(requirement)
        if marker is not None and marker["name"] == extra and name is not None and not installed(name[0]):
            missing.append(name[0])
    return missing


def installed(distribution: str) -> str | None:
    """Return the version of a distribution; None where it is not installed."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def summary_of(source: Path, attribute: str) -> str | None:
    """Return the first line about a class, from its source: its `summary`, else its docstring, else the module's."""
    try:
        tree = ast.parse(source.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, UnicodeDecodeError, ValueError):
        return None
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == attribute:
            return _own_summary(node) or _first_line(ast.get_docstring(node)) or _first_line(ast.get_docstring(tree))
    return _first_line(ast.get_docstring(tree))


def _own_summary(node: ast.ClassDef) -> str | None:
    for part in node.body:
        target = (
            part.target
            if isinstance(part, ast.AnnAssign)
            else part.targets[0]
            if isinstance(part, ast.Assign)
            else None
        )
        if isinstance(target, ast.Name) and target.id == "summary":
            value = part.value if isinstance(part, ast.AnnAssign | ast.Assign) else None
            return value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else None
    return None


def _first_line(docstring: str | None) -> str | None:
    first = (docstring or "").strip().partition("\n")[0].strip()
    # "See `protocols.Agent`." says nothing of what it is
    return None if not first or first.startswith("See `") else first


def _tell(found: list[Listed]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    table.add_column(style="dim", overflow="fold")
    for item in found:
        summary = Text(output.one_line(item.summary or "-"))
        if item.needs:
            summary.append(f" needs: {output.one_line(item.needs)}", "yellow")
        table.add_row(Text(output.one_line(item.name)), summary, Text(output.one_line(item.source)))
    output.say_rich(table)


def foreign_ids() -> list[str]:
    """Return the environments that come with gymnasium, the newest version of each."""
    import gymnasium  # 0.2 s, which the other lists need not pay

    newest: dict[str, tuple[int, str]] = {}
    for env_id, spec in gymnasium.registry.items():
        version = spec.version or 0
        own = spec.namespace is None and str(spec.entry_point).startswith("gymnasium.envs.")
        if own and version >= newest.get(spec.name, (-1, ""))[0]:
            newest[spec.name] = (version, env_id)
    return sorted(env_id for _, env_id in newest.values())


def _tell_foreign(ids: list[str]) -> None:
    from rich.columns import Columns

    output.say("\nAny gymnasium environment works too, by words; one of another package as package:Id-v0. Its own are:")
    output.say_rich(Columns([output.one_line(i) for i in ids], padding=(0, 2), column_first=True))
    for prefix, plug_in in registry.plug_ins("modules").items():
        needs = _missing_extra(plug_in)
        output.say(f"{prefix}*  " + (f"needs: {needs}" if needs else f"from {plug_in.target}"))
