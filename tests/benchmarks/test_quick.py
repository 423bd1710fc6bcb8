"""Every benchmark runs at its smallest size. What it measures then means nothing, so no figure is judged."""

import math

import pytest

from benchmarks import run


@pytest.mark.ray
@pytest.mark.xdist_group("ray")
def test_every_benchmark_runs_and_gives_finite_figures_beside_its_floors(ray_cluster):
    figures = run.measure(run.NAMES, quick=True)
    assert {f.name.partition(",")[0].partition(":")[0] for f in figures} == set(run.NAMES)
    for figure in figures:
        assert math.isfinite(figure.value), figure
        assert figure.floor is None or figure.floor > 0, figure


def test_an_unknown_benchmark_is_named_with_those_there_are(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["run", "turn_overhed"])
    with pytest.raises(SystemExit):
        run.main()
    said = capsys.readouterr().err
    assert "turn_overhed" in said
    assert "latency_hiding" in said
