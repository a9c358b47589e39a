# `make run` and `make test` need Python 3.11 or later and a package index.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
JOB    ?= configs/news-topics.yaml

# Packages are pinned by hash in constraints*.txt; `CONSTRAINED=` installs the newest that fit.
CONSTRAINED ?= yes
UV          := $(shell command -v uv 2>/dev/null)
PIP          = $(if $(UV),uv pip install --quiet --python $(BIN)/python,\
                   $(BIN)/python -m pip install --quiet --disable-pip-version-check)
INSTALL      = $(if $(CONSTRAINED),$(PIP) --require-hashes --no-deps -r $(1) && \
                   $(PIP) --no-deps --no-build-isolation -e .,$(PIP) --upgrade -e '.$(2)')
LOCK         = printf 'hatchling\neditables\n' | uv pip compile --quiet --universal \
                   --python-version 3.11 --generate-hashes --no-annotate --no-header pyproject.toml -

# PyTorch without CUDA: from where pip is configured to look, else from PyTorch's index, which uv knows.
TORCH       := $(shell sed -n 's/^lora = \["\(torch==[^"]*\)".*/\1/p' pyproject.toml)
INSTALL_CPU  = $(BIN)/python -m pip install --quiet --disable-pip-version-check '$(TORCH)+cpu' || \
               $(if $(UV),uv pip install --quiet --python $(BIN)/python --torch-backend cpu '$(TORCH)' ||) \
               test "$$(uname)" != Linux

# The parts of the crash tests; `make test-crash PART=engine` runs one of them.
PART            ?= all
PROOF_all       := tests/crash tests/faults
PROOF_commands  := tests/crash/test_runs.py tests/crash/test_commands.py
PROOF_uploads   := tests/crash/test_uploads.py
PROOF_schedules := tests/crash/test_schedules.py
PROOF_faults    := tests/faults
PROOF_lora      := tests/crash/test_lora.py
PROOF_providers := tests/crash/test_providers.py
PROOF_engine    := tests/crash/test_engine.py tests/crash/test_engine_failures.py

.PHONY: setup run test test-latest test-crash test-lora structure check fix bench conformance lock clean

run: $(VENV)/.installed          ## train a first model and show its results
	$(BIN)/ftops run $(JOB)
	@echo; echo "To use these commands, first run: . $(BIN)/activate"

setup: $(VENV)/.installed-dev    ## everything that a developer needs

test: $(VENV)/.installed-dev     ## all tests, in parallel by file
	$(BIN)/python -m pytest -n auto --dist loadfile

test-latest:                     ## all tests, with the newest packages that pyproject.toml allows
	rm -rf $(VENV)-latest
	$(MAKE) test VENV=$(VENV)-latest CONSTRAINED=

test-crash: $(VENV)/.installed-dev  ## kill engines, trainers and commands; PART= for one part
	$(BIN)/python -m pytest $(or $(PROOF_$(PART)),$(error unknown part: $(PART))) \
	    -m "slow_proof or not slow_proof"; \
	    code=$$?; $(BIN)/python docs/generate.py; exit $$code

test-lora: $(VENV)/.installed-lora  ## the trainer `lora`, with PyTorch and a real model
	$(BIN)/python -m pytest tests/engine/lora -m "slow_proof or not slow_proof"

check: $(VENV)/.installed-dev    ## style, types, import directions, generated files
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python docs/generate.py --check

fix: $(VENV)/.installed-dev      ## fix what `make check` reports, where possible
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/python docs/generate.py

structure: $(VENV)/.installed-dev  ## figures of the code structure and their limits
	$(BIN)/python -m tests.structure

bench: $(VENV)/.installed-dev    ## benchmarks and their limits, see benchmarks/
	$(BIN)/python -m benchmarks

conformance: $(VENV)/.installed-dev  ## run unmodified clients and SDKs of providers, write docs/conformance.md
	$(BIN)/python -m conformance

lock:                            ## update constraints*.txt to the newest packages; needs uv
	$(LOCK) --upgrade --extra dev -o constraints-dev.txt >/dev/null
	$(LOCK) --upgrade -c constraints-dev.txt -o constraints.txt >/dev/null

clean:
	rm -rf $(VENV) $(VENV)-*

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "ftops needs Python 3.11 or later; select one with: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.installed: $(VENV)/.made constraints.txt pyproject.toml
	$(call INSTALL,constraints.txt,)
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.made constraints-dev.txt pyproject.toml
	$(call INSTALL,constraints-dev.txt,[dev])
	@touch $(VENV)/.installed $@

$(VENV)/.installed-lora: $(VENV)/.installed-dev
	@$(INSTALL_CPU) || { echo "no build of PyTorch without CUDA can be installed here"; exit 1; }
	$(PIP) -e '.[lora,lora-serve]'
	@touch $@
