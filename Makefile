# Everything this project does, on a fresh Debian machine with Python 3.11 or newer.
#   make setup   .venv with everything locked, and the distribution packages that are missing
#   make demo    a good release and two bad ones, on real Temporal, Envoy and Prometheus (under 5 minutes)
#   make test    every test, on real parts
.DEFAULT_GOAL := help
SHELL := /bin/bash
BIN := .venv/bin
STATE := $(CURDIR)/.coalmine

# Two processes to a core, each with servers of its own, and two more, for the real servers keep some of them waiting.
WORKERS ?= $(shell echo $$((2 * $$(nproc) + 2)))

# What we start keeps its files in the clone.
export COALMINE_HOME ?= $(STATE)/local
# The threads of numpy's libraries would only wait for each other: there are processes enough for the cores.
ISOLATED = env -u PYTHONDONTWRITEBYTECODE HOME="$(STATE)/home" XDG_CACHE_HOME="$(STATE)/home/.cache" XDG_CONFIG_HOME="$(STATE)/home/.config" \
	XDG_DATA_HOME="$(STATE)/home/.local/share" XDG_STATE_HOME="$(STATE)/home/.local/state" \
	XDG_RUNTIME_DIR="$(STATE)/run" TMPDIR="$(STATE)/tmp" \
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 \
	PATH="$(CURDIR)/$(BIN):$$PATH"

.PHONY: help setup demo test faults fuzz lint bench docs clean lock state

help:
	@grep -E '^#   make' Makefile | sed 's/^#   //'; echo 'make lint | faults | fuzz | bench | docs | lock | clean'

setup:
	@./scripts/setup

state: setup
	@mkdir -p "$(STATE)/home" "$(STATE)/tmp" "$(STATE)/run" && chmod 700 "$(STATE)/run"

demo: state
	@$(ISOLATED) $(BIN)/coalmine demo $(DEMO)

test: state
	@$(ISOLATED) $(BIN)/pytest -n $(WORKERS) --dist worksteal -q $(TESTS)

faults: state
	@$(ISOLATED) $(BIN)/pytest -q -n $$((3 * $$(nproc))) --dist worksteal tests/faults
	@$(ISOLATED) $(BIN)/python -m tests.faults $(FAULTS)

fuzz: state
	@$(ISOLATED) $(BIN)/python -m tests.fuzz $(FUZZ)

lint: state
	@$(ISOLATED) $(BIN)/ruff format --check .
	@$(ISOLATED) $(BIN)/ruff check .
	@$(ISOLATED) $(BIN)/mypy
	@$(ISOLATED) $(BIN)/lint-imports --no-cache

bench: state
	@$(ISOLATED) $(BIN)/python -m benchmarks $(BENCH)

# The figures from what was measured last, what routers can do, Grafana's dashboards, and the pictures from a release that is run for them.
docs: state
	@$(ISOLATED) $(BIN)/python -c 'from benchmarks import figures; print(figures.write())'
	@$(ISOLATED) $(BIN)/python -c 'from benchmarks.judge import page; page.write()'
	@$(ISOLATED) $(BIN)/python -m activities.routers.table
	@$(ISOLATED) $(BIN)/python -m infra.grafana
	@$(ISOLATED) $(BIN)/python -m benchmarks.pictures

# The lock names no registry: whatever index pip is set to use is used.
lock: state
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-emit-find-links --no-header --no-annotate --all-extras --group dev pyproject.toml -o requirements.lock

clean:
	@[ ! -x $(BIN)/coalmine ] || $(ISOLATED) $(BIN)/coalmine down >/dev/null 2>&1 || true
	@rm -rf .venv .coalmine .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist ledger
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
