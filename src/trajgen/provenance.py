"""Where a row came from: versions, the environment's own source, the checkout. Cached per process.

What is said depends on the installation alone, never on what this process happened to import, so that rows of
different workers agree.
"""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import platform
import shutil
import socket
import subprocess
from hashlib import blake2b
from pathlib import Path

from trajgen import registry
from trajgen.ids import DIGEST_BYTES
from trajgen.types import Provenance, to_json

_ALWAYS = ("trajgen", "gymnasium", "numpy", "mujoco")


@functools.cache
def provenance(env_id: str, git: str | None) -> Provenance:
    """Return the provenance of rows of one environment; `git` is the driver's, see `git_revision`."""
    module = _module_of(env_id)
    packages = dict.fromkeys((*_ALWAYS, _distribution(env_id, module)))
    versions = {name: found for name in packages if (found := _version(name)) is not None}
    versions["python"] = platform.python_version()
    return Provenance(to_json(versions), _source_digest(module), git, socket.gethostname())


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _module_of(env_id: str) -> str | None:
    entry_point = registry.spec(env_id).entry_point
    return entry_point.partition(":")[0] if isinstance(entry_point, str) else getattr(entry_point, "__module__", None)


def _distribution(env_id: str, module: str | None) -> str:
    """Return who ships the environment; a foreign one by the convention that a package is named as its module."""
    plug_in = registry.plug_ins("envs").get(env_id.rpartition(":")[2])
    return plug_in.distribution if plug_in else (module or "").partition(".")[0]


def _source_digest(module: str | None) -> str | None:
    """Hash the environment's source: all of a plug-in's own folder, or one file of somebody else's package."""
    found = importlib.util.find_spec(module) if module else None
    if found is None or found.origin is None or not Path(found.origin).is_file():
        return None
    origin = Path(found.origin)
    plug_in = any(p.target.partition(":")[0] == module for p in registry.plug_ins("envs").values())
    files = [f for f in sorted(origin.parent.rglob("*")) if f.is_file() and f.suffix != ".pyc"] if plug_in else [origin]
    total = blake2b(digest_size=DIGEST_BYTES)
    for file in files:
        total.update(file.relative_to(origin.parent).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return total.hexdigest()


def git_revision(folder: Path) -> str | None:
    """Return the commit checked out in `folder`, with `+` behind it where files differ; None outside a checkout."""
    git = shutil.which("git")
    if git is None:
        return None

    def ask(*words: str) -> str | None:
        done = subprocess.run([git, *words], cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603
        return done.stdout.strip() if done.returncode == 0 else None

    commit = ask("rev-parse", "HEAD")
    return None if commit is None else commit + ("+" if ask("status", "--porcelain", "--untracked-files=no") else "")
