# Everything a person types here. `make demo` needs python >= 3.11 and make, nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q

.PHONY: demo test lint types check bench soak compat clean
.DELETE_ON_ERROR:

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "trajgen needs python >= 3.11, found " + sys.version.split()[0] + "; type: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml | $(BIN)/python
	$(PIP) install -e '.[demo]'
	@touch $@

$(VENV)/.dev: pyproject.toml tests/plugin_dist/pyproject.toml | $(BIN)/python
	$(PIP) install -e '.[dev]'
	$(PIP) install --no-deps -e tests/plugin_dist
	@touch $@ $(VENV)/.demo

demo: $(VENV)/.demo  ## install, play the quickstart on every core, print what came out
	$(BIN)/trajgen run configs/quickstart.toml

test: $(VENV)/.dev  ## the whole suite
	$(BIN)/python -m pytest -m 'not slow' -n 2 --dist loadgroup

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/codespell

types: $(VENV)/.dev
	$(BIN)/mypy

check: lint types test  ## what must be green before a change lands

bench: $(VENV)/.dev  ## every figure the README quotes
	$(BIN)/python -m benchmarks.run

soak: $(VENV)/.dev  ## the full sizes of the heavy checks; hours
	$(BIN)/python -m pytest -m slow

compat:  ## the real consumers of what is exported, each in its own environment
	tests/compat/run.sh

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
