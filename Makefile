# Everything a user or a maintainer runs. `make help` lists it.
PYTHON ?= python3
VENV ?= .venv
ARGS ?=
PYTEST_ARGS ?= -n auto

BIN := $(VENV)/bin
# One thread per process: tests are small, and pytest-xdist already runs one process per core.
SINGLE := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
# What an installation depends on: when one of these is newer, the next call installs again.
SOURCES := pyproject.toml setup.py constraints.txt
# The release of torch that everything is tested with; `make constraints` picks the rest to fit.
TORCH ?= 2.13.0
EXTRAS := contrib,data,dev,docs,human,joblib,mujoco,robotics,slurm,test,text

# A shell where warnings are errors is not meant for those of libraries.
unexport PYTHONWARNINGS PYTHONHOME

.DEFAULT_GOAL := help
.PHONY: help train test check format lint types docs wheel constraints clean

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "mmrl needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>&1 || true)." \
			"Choose another with: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
		echo "'$(PYTHON)' cannot make virtual environments (on Debian and Ubuntu:" \
			"apt install python3-venv)." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(SOURCES) | $(BIN)/python
	$(INSTALL) -e .
	@touch $@

$(VENV)/.installed-test: $(SOURCES) | $(BIN)/python
	$(INSTALL) -e '.[test]'
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-dev: $(SOURCES) | $(BIN)/python
	$(INSTALL) -e '.[dev]'
	@touch $@ $(VENV)/.installed $(VENV)/.installed-test

train: $(VENV)/.installed ## Install if needed, then train: make train ARGS="seed=1"
	$(BIN)/python -m mmrl.train $(ARGS)

test: $(VENV)/.installed-test ## Install if needed, then run the tests that are quick
	env -u PYTHONPATH $(SINGLE) $(BIN)/python -m pytest -m "not slow" $(PYTEST_ARGS)

check: lint types ## Everything: format, lint, types, all tests and doctests, warnings as errors
	$(SINGLE) $(BIN)/python -m pytest $(PYTEST_ARGS)

lint: $(VENV)/.installed-dev ## Format (checked) and lint
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/.installed-dev ## Types, strictly
	$(BIN)/mypy

format: $(VENV)/.installed-dev ## Format, and mend what the linter can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.installed-dev ## Build the documentation site into site/; warnings are errors
	$(BIN)/python -m mkdocs build --strict

wheel: $(VENV)/.installed-dev ## Build the distributions into dist/
	$(BIN)/python -m build

constraints: ## Write constraints.txt anew: the newest releases that fit pyproject.toml and TORCH
	rm -rf build/constraints && $(PYTHON) -m venv build/constraints
	build/constraints/bin/python -m pip install --disable-pip-version-check \
		torch==$(TORCH) -e '.[$(EXTRAS)]'
	build/constraints/bin/python -m pip freeze --all --exclude pip --exclude-editable \
		> build/constraints/frozen
	{ echo "# The tested set of versions. Written by: make constraints TORCH=$(TORCH)"; \
		echo "# Each tool's version stands here and nowhere else."; \
		sed -E 's/\+.*//' build/constraints/frozen; } > constraints.txt
	rm -rf build/constraints

clean: ## Remove what builds and tools leave behind (not runs)
	rm -rf $(VENV) build dist site *.egg-info .mypy_cache .pytest_cache .ruff_cache
