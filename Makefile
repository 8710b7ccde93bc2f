# make install what the other ones need, into .venv
# make smoke   every stage in two minutes, in a folder of its own: what to run first
# make run     the whole pipeline, from nothing to a registered captioner
# make serve   Prefect's server and a worker
# make test    the test suite; a part of it: make test ARGS="tests/data -k leak", ARGS="-m 'not slow'"
# make lint    what .ci/run checks first: style, format, types
# make lock    constraints.txt anew, from pyproject.toml: the newest versions that go together
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

# Installation compiles nothing: what is used is compiled at its first use, and kept. pip shows what it fetches.
INSTALL = $(BIN)/python -m pip install --no-compile --disable-pip-version-check --constraint constraints.txt
unexport PYTHONDONTWRITEBYTECODE

.PHONY: install smoke run serve test lint lock

install: $(VENV)/installed

smoke: $(VENV)/installed
	PATH="$(CURDIR)/$(BIN):$$PATH" python -m benchmarks.smoke

run: $(VENV)/installed
	PATH="$(CURDIR)/$(BIN):$$PATH" python -m flows.prefect_server python -m flows.dvc_repro
	@$(BIN)/python -m components.evaluation.table results
	@echo 'Next: open reports/index.html | $(BIN)/mlflow ui | $(BIN)/python -m flows.caption PICTURE...'

serve: $(VENV)/installed
	$(BIN)/python -m flows.prefect_server

test: $(VENV)/installed-dev
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile $(ARGS)

lint: $(VENV)/installed-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

lock: $(VENV)/installed
	$(BIN)/python .ci/lock.py

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11 ...")'
	@echo 'Installing into $(VENV): about two minutes, most of them for torch; pip shows what it fetches.'
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) --editable .
	touch $@

$(VENV)/installed-lint: $(VENV)/installed
	$(INSTALL) --editable '.[lint]'
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(INSTALL) --editable '.[dev]'
	touch $@
