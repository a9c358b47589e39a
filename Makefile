# `make run` and `make test` need Python 3.11 or later and a package index, nothing else.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
JOB    ?= configs/news-topics.yaml

.PHONY: setup run test test-crash check fix bench conformance clean

run: $(VENV)/.installed          ## train a first model and show what came out
	$(BIN)/ftops run $(JOB)
	@echo; echo "To type these commands here, first: . $(BIN)/activate"

setup: $(VENV)/.installed-dev    ## everything that a developer needs

test: $(VENV)/.installed-dev     ## every test
	$(BIN)/python -m pytest

test-crash: $(VENV)/.installed-dev  ## kills engines, trainers and commands; about an hour
	$(BIN)/python -m pytest tests/crash tests/faults -m "slow_proof or not slow_proof"
	$(BIN)/python docs/generate.py

check: $(VENV)/.installed-dev    ## style, types, import directions, generated files
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python docs/generate.py --check

fix: $(VENV)/.installed-dev      ## rewrite what `make check` would complain about
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/python docs/generate.py

bench: $(VENV)/.installed-dev    ## measured ratios, see benchmarks/
	$(BIN)/python -m benchmarks

conformance: $(VENV)/.installed-dev  ## stock clients against the engine, writes docs/conformance.md
	$(BIN)/python -m conformance

clean:
	rm -rf $(VENV)

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "ftops needs Python 3.11 or later; name one with: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.installed: $(VENV)/.made pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.made pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $(VENV)/.installed $@
