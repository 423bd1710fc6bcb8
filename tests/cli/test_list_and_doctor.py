"""`trajgen list` and `trajgen doctor`: what is there, read without importing it."""

from __future__ import annotations

import importlib.metadata

import pytest

from trajgen.cli import listing
from trajgen.cli.doctor import examine
from trajgen.registry import PlugIn


@pytest.mark.parametrize(
    ("kind", "name"),
    [("envs", "trajgen/Toolbox-v0"), ("agents", "oracle"), ("backends", "openai"), ("exporters", "trl")],
)
def test_a_list_gives_name_source_and_summary(cli, kind, name):
    (found,) = [item for item in cli("list", kind, "--json").json[kind] if item["name"] == name]
    assert found["source"] == "trajgen " + importlib.metadata.version("trajgen")
    assert found["summary"]
    assert found["needs"] is None
    assert name in cli("list", kind).out


def test_environments_of_gymnasium_are_listed_too_each_in_its_newest_version(cli):
    said = cli("list", "envs")
    assert "Any gymnasium environment works too" in said.out
    ids = cli("list", "envs", "--json").json["gymnasium"]
    assert "CartPole-v1" in ids
    assert "CartPole-v0" not in ids
    assert "MiniGrid-*" in said.out


def point(value: str) -> PlugIn:
    entry = importlib.metadata.EntryPoint("ns/Some-v0", value, "trajgen.envs")
    return PlugIn(entry.name, value.partition("[")[0].strip(), "trajgen", "1.0", (entry.extras or [None])[0], entry)


def test_a_plug_in_whose_extra_is_missing_says_what_to_install(monkeypatch):
    asked = []

    def installed(distribution):
        asked.append(distribution)

    monkeypatch.setattr(listing, "installed", installed)
    assert listing._listed(point("trajgen.toolenv:ToolEnv [ray]")).needs == "pip install 'trajgen[ray]'"
    assert asked == ["ray"]


def test_a_plug_in_whose_module_is_gone_is_listed_with_what_to_do():
    found = listing._listed(point("no_such_package.env:Env"))
    assert "no module no_such_package.env" in found.needs


def test_a_summary_is_read_without_running_the_source(tmp_path):
    source = tmp_path / "x.py"
    source.write_text(
        'raise SystemExit\nclass A:\n    """Does a thing.\n\n    More."""\nclass B:\n    summary = "B."\n'
    )
    assert listing.summary_of(source, "A") == "Does a thing."
    assert listing.summary_of(source, "B") == "B."
    source.write_text('"""The module."""\nclass A:\n    """See `Other`."""\n')
    assert listing.summary_of(source, "A") == "The module."
    source.write_text("class :")
    assert listing.summary_of(source, "A") is None


def test_a_sound_installation_is_called_so(cli):
    said = cli("doctor", "--json")
    assert said.code == 0
    assert said.json["ok"] is True
    found = {f["what"]: f for f in said.json["findings"]}
    assert found["gymnasium"]["found"] == importlib.metadata.version("gymnasium")
    assert found["disk here"]["state"] == "ok"
    assert "python" in cli("doctor").out


def test_a_missing_extra_is_no_fault_and_says_what_to_type(monkeypatch):
    real = listing.installed
    monkeypatch.setattr(listing, "installed", lambda name: None if name == "ray" else real(name))
    (ray,) = [f for f in examine(full=False) if f.what == "extra ray"]
    assert (ray.state, ray.advice) == ("missing", "pip install 'trajgen[ray]'")


def test_a_missing_dependency_is_a_fault(cli, monkeypatch):
    real = listing.installed
    monkeypatch.setattr("trajgen.cli.doctor.installed", lambda name: None if name == "numpy" else real(name))
    said = cli("doctor")
    assert said.code == 1
    assert "broken" in said.out


def test_a_folder_that_cannot_be_written_to_is_found(cli, monkeypatch):
    monkeypatch.chdir("/proc")
    (disk,) = [f for f in examine(full=False) if f.what == "disk here"]
    assert disk.state == "missing"
    assert "--out FOLDER" in disk.advice
