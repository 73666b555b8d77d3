# greendc: everything a checkout needs, by name. `make help` lists the targets.
#
# Set-up is kept by stamps in .venv, so a second run does nothing. No recipe needs root; a system
# package that is missing is one printed apt line and exit code 2.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory

# A certificate that an organisation added to the system is trusted here, too.
export UV_SYSTEM_CERTS ?= true
# The interpreter is the one that is here.
export UV_PYTHON_DOWNLOADS := never

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
UV     := $(BIN)/python -m uv
# The interpreter is the one of the environment; nothing but wheels is installed, by hash.
SYNC   := $(UV) pip sync --quiet --require-hashes --only-binary :all: --python $(BIN)/python
SETS    = requirements/bootstrap.txt requirements/run.txt
LOCK   := $(UV) pip compile --quiet --generate-hashes --universal --python-version 3.11 \
          --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"

.PHONY: help setup setup-dev board-files influxdb demo secrets test acceptance check format docs lock bench clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

# ---------------------------------------------------------------- set-up

setup: $(VENV)/.ready ## the environment with what a run needs

setup-dev: $(VENV)/.ready-dev ## the same, and what tests and checks need

$(VENV)/.bootstrapped: requirements/bootstrap.txt
	@PYTHON="$(PYTHON)" deploy/setup/system_packages.sh python
	@echo "set-up: making $(VENV)"
	@test -e $(VENV)/.made || { $(PYTHON) -m venv --clear $(VENV); touch $(VENV)/.made; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes \
	    --only-binary :all: -r requirements/bootstrap.txt
	@touch $@

# Once the development set is in, it stays in: a `make demo` between two `make test` removes nothing.
$(VENV)/.ready: $(VENV)/.bootstrapped requirements/run.txt pyproject.toml deploy/setup/locked_dependencies.py
	@echo "set-up: installing the run set"
	@$(SYNC) $(SETS) $(if $(wildcard $(VENV)/.ready-dev),requirements/dev.txt)
	@$(UV) pip install --quiet --no-deps --no-build-isolation --python $(BIN)/python --editable .
	@touch $@

$(VENV)/.ready-dev: $(VENV)/.ready requirements/dev.txt
	@echo "set-up: installing the development set"
	@$(SYNC) $(SETS) requirements/dev.txt
	@$(UV) pip install --quiet --no-deps --no-build-isolation --python $(BIN)/python --editable .
	@touch $@

board-files: $(VENV)/.ready ## the board's fonts and scripts of others, into dashboard/build/
	@$(BIN)/python deploy/setup/board_files.py

influxdb: ## a real InfluxDB 2.x for tests, by the first way that works
	@deploy/setup/influxdb.sh

# ---------------------------------------------------------------- run

demo: setup board-files ## the whole service with simulated sites on this machine
	@$(BIN)/greendc demo

secrets: setup ## passwords, token and certificates for docker-compose.yml, into secrets/ (ARGS="--host NAME")
	@$(BIN)/greendc broker secrets --folder secrets $(ARGS)

# ---------------------------------------------------------------- tests and checks

test: test-tools setup-dev board-files influxdb ## all tests but the long ones
	@$(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

acceptance: test-tools setup-dev board-files influxdb ## the long ones: kills, forecast bars, visual baselines
	@$(BIN)/python -m pytest -m acceptance --timeout 3600 $(ARGS)

.PHONY: test-tools
test-tools:
	@PYTHON="$(PYTHON)" deploy/setup/system_packages.sh python mosquitto chromium poppler

check: setup-dev ## style, types and the doors between the rooms
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: setup-dev ## puts the code into the one style
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format .

bench: setup-dev influxdb ## measures the ingester and the stores
	@$(BIN)/python -m bench $(ARGS)

# ---------------------------------------------------------------- upkeep

docs: setup ## the pages that are generated from the catalogues
	@$(BIN)/python -m greendc.catalogue_pages

lock: $(VENV)/.bootstrapped ## the requirement files anew from the .in files (ARGS=--upgrade for newer versions)
	@$(LOCK) $(ARGS) requirements/run.in -o requirements/run.txt
	@$(LOCK) $(ARGS) requirements/bootstrap.in -o requirements/bootstrap.txt
	@$(LOCK) $(ARGS) requirements/dev.in -o requirements/dev.txt
	@$(LOCK) $(ARGS) requirements/node.in -o requirements/node.txt
	@$(LOCK) $(ARGS) requirements/go.in -o requirements/go.txt

clean: ## removes what set-up and tests made; data and the user's cache stay
	@rm -rf $(VENV) dashboard/build dashboard/.build-* .pytest_cache .mypy_cache .ruff_cache \
	    .import_linter_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
