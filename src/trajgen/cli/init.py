"""`trajgen init env`: a new plug-in package with its contract test, from the templates beside this file."""

import importlib.resources
import importlib.util
import keyword
import re
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from trajgen.cli import OK, output
from trajgen.errors import ConfigError

_NAME = re.compile(r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*")
_MAX_NAME = 50
_FILES = {
    "pyproject.toml.in": "pyproject.toml",
    "README.md.in": "README.md",
    "__init__.py.in": "src/@PACKAGE@/__init__.py",
    "env.py.in": "src/@PACKAGE@/env.py",
    "test_contract.py.in": "tests/test_contract.py",
}


def init_env(
    name: Annotated[str, Parameter(name="NAME", help="E.g. box-world: gives box-world/BoxWorld-v0.")],
    /,
    *,
    dir_: Annotated[str | None, Parameter(name="--dir", help="Where to put it; ./NAME without it.")] = None,
) -> int:
    """Write a package with an environment of tools: a small world that works, to be made yours."""
    words = _words(name)
    folder = Path(dir_ or name)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"--dir: expected a new or empty folder, found {folder}, which is not; type --dir OTHER")
    for path, text in _rendered(words):
        file = folder / path
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"--dir: cannot write {file}: {error.strerror}") from error
        output.say(f"wrote {file}")
    output.say("next:")
    for command in _next(folder, words):
        output.say(f"  {command}")
    return OK


def _words(name: str) -> dict[str, str]:
    """Return what stands in the templates for what, or say why the name will not do."""
    if not _NAME.fullmatch(name) or len(name) > _MAX_NAME:
        raise ConfigError(
            f"NAME: expected at most {_MAX_NAME} of a-z, 0-9 and single - or _ between them, a letter first, e.g. "
            f"box-world, found {name!r}"
        )
    package = name.replace("-", "_")
    if keyword.iskeyword(package) or keyword.issoftkeyword(package):
        raise ConfigError(f"NAME: {name!r} is a word of Python itself and cannot be imported; type another name")
    if importlib.util.find_spec(package) is not None:
        raise ConfigError(f"NAME: there is a module {package!r} already, which yours would hide; type another name")
    camel = "".join(part.capitalize() for part in re.split("[-_]", name))
    return {"@NAME@": name, "@PACKAGE@": package, "@CLASS@": f"{camel}Env", "@ENV_ID@": f"{name}/{camel}-v0"}


def _rendered(words: dict[str, str]) -> list[tuple[str, str]]:
    templates = importlib.resources.files("trajgen.cli") / "templates" / "env"
    files = []
    for template, path in _FILES.items():
        text = (templates / template).read_text(encoding="utf-8")
        files.append((_filled(path, words), _filled(text, words)))
    return files


def _filled(text: str, words: dict[str, str]) -> str:
    for mark, word in words.items():
        text = text.replace(mark, word)
    return text


def _next(folder: Path, words: dict[str, str]) -> list[str]:
    return [
        output.typed("pip", "install", "-e", folder if folder.is_absolute() else f"./{folder}"),
        output.typed("python", "-m", "pytest", folder),
        output.typed("trajgen", "run", "--env", words["@ENV_ID@"], "--agent", "oracle", "random", "-n", "20"),
    ]
