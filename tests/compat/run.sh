#!/usr/bin/env bash
# Each real consumer of what is exported, in an environment of its own: heavy, so not part of `make check`.
set -euo pipefail
cd "$(dirname "$0")/../.."
venv=.venv-trl
[ -x $venv/bin/python ] || ${PYTHON:-python3} -m venv $venv
pip="$venv/bin/python -m pip --disable-pip-version-check -q"
$pip install "torch==2.13.0"
$pip install trl "datasets>=4.7" -e .
HF_HUB_OFFLINE=1 PYTHONPATH=tests $venv/bin/python tests/compat/trl_sft.py
