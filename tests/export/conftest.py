"""`datasets`, offline and with nothing written outside the tests' own folders."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def datasets(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        # read when the package is imported, so before anything else imports it
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.setenv("HF_HOME", str(tmp_path_factory.mktemp("hf")))
        import datasets

        datasets.disable_progress_bars()
        yield datasets


@pytest.fixture
def load(datasets, tmp_path):
    def load(out):
        return datasets.load_dataset(str(out), cache_dir=str(tmp_path / "cache"))

    return load
