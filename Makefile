# Everything the project does, in a few commands. Each makes .venv itself, from the pinned and hashed files in
# requirements/; all it needs is Python 3.11 or newer (another one: make PYTHON=python3.13 ...) and make.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:

PYTHON ?= python3
RUNS ?= 2000
VENV := .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo test check bench soak lock clean

help: ## this list
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1	/' | expand -t 16

demo: $(VENV)/.runtime ## a cluster of three nodes on this machine, and a failover to watch (ARGS=--once: by itself)
	$(BIN)/primacy demo $(ARGS)

test: $(VENV)/.test ## every rung of the tests; SEED=n replays a run, PHASE="unit sim" runs some of them
	$(BIN)/python tests/phases.py $(PHASE)

check: $(VENV)/.dev ## ruff, mypy --strict, import contracts, house rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache --no-logo
	$(BIN)/python -m pytest -q tests/rules

bench: $(VENV)/.runtime ## the measured figures of the README
	for script in bench/*.py; do echo "== $$script"; $(BIN)/python "$$script"; done

soak: $(VENV)/.test ## the long runs: RUNS=n simulated clusters, then tests marked so; SEED=n replays
	seed=$${SEED:-$$RANDOM$$RANDOM}; echo "seed $$seed (replay with: make soak SEED=$$seed)"; \
	$(BIN)/primacy sim --seed $$seed --seeds $(RUNS)
	$(BIN)/python -m pytest -m soak --timeout=0 tests || test $$? -eq 5  # 5: no test is marked

lock: $(VENV)/.dev ## pin the newest versions that fit, with their hashes
	$(call compile,runtime,requirements/build.in)
	$(call compile,test,requirements/build.in requirements/test.in --constraint requirements/runtime.txt)
	$(call compile,dev,requirements/build.in requirements/test.in requirements/dev.in --constraint requirements/test.txt)

clean: ## remove .venv and what the tools left
	rm -rf $(VENV) .hypothesis .mypy_cache .pytest_cache .ruff_cache .coverage build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Each level holds the one before it: runtime, test, dev. An install that was broken off leaves no stamp.
$(VENV)/.runtime: requirements/runtime.txt pyproject.toml
	$(call install,runtime)
$(VENV)/.test: requirements/test.txt pyproject.toml
	$(call install,test)
	touch $(VENV)/.runtime
$(VENV)/.dev: requirements/dev.txt pyproject.toml
	$(call install,dev)
	touch $(VENV)/.runtime $(VENV)/.test

define install
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Primacy needs Python 3.11 or newer: make PYTHON=...")'
@test -x $(BIN)/python || { echo "making $(VENV) with $$($(PYTHON) --version)"; $(PYTHON) -m venv $(VENV); }
$(BIN)/python -m pip install --quiet --require-hashes --no-deps -r requirements/$(1).txt
$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
@touch $(VENV)/.$(1)
endef

define compile
$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --upgrade --generate-hashes \
	--custom-compile-command "make lock" pyproject.toml $(2) -o requirements/$(1).txt
endef
