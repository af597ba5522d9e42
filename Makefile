# Every target makes the environment it needs. `make help` lists them.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
ARGS ?=

# Fast tests compute in one thread each and run side by side; slow ones have time limits and run alone.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses=auto --dist=worksteal
PYTEST_SLOW := $(BIN)/python -m pytest

.DEFAULT_GOAL := help
.PHONY: help setup train test test-slow faults lint format type check clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## make the environment .venv with pinned versions

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "error: Python 3.11 or later is needed; set PYTHON=")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

train: $(READY) ## train, evaluate and report; ARGS="data=multi30k encoder=bilstm" overrides settings
	$(BIN)/python scripts/train.py $(ARGS)

test: $(READY) ## run the fast tests
	$(PYTEST) -m 'not slow' $(ARGS)

test-slow: $(READY) ## run the tests that train models and run whole commands
	$(PYTEST_SLOW) -m slow $(ARGS)

faults: $(READY) ## kill, stop and damage runs on purpose; about an hour; ARGS="kills=20 soak=1m" for less
	$(BIN)/python scripts/faults.py $(ARGS)

lint: $(READY) ## check style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(READY) ## mend style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

type: $(READY) ## check types
	$(BIN)/mypy

check: lint type test test-slow ## everything that has to pass before a change is shared

clean: ## remove the environment and caches, never runs or data
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache *.egg-info
