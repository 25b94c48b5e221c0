# Landbridge: `make` lists the targets. Everything lives in .venv and var/; nothing else is touched.

PYTHON ?= python3
ARGS ?=
BIN := .venv/bin
STAMP := .venv/.landbridge-installed

# The default path works offline: the embedded encoder needs no hub.
export HF_HUB_OFFLINE ?= 1
# Threads that spin collapse throughput as soon as two processes share the cores.
export OMP_WAIT_POLICY ?= PASSIVE
export DAGSTER_DISABLE_TELEMETRY ?= yes
# Container images often forbid bytecode; every process would then compile Dagster, dbt and MLflow anew (2 to 14 s).
export PYTHONDONTWRITEBYTECODE =

# uv reads none of pip's settings; it is told those it needs.
UV := UV_FIND_LINKS="$${UV_FIND_LINKS:-$$PIP_FIND_LINKS}" \
      UV_DEFAULT_INDEX="$${UV_DEFAULT_INDEX:-$${PIP_INDEX_URL:-https://pypi.org/simple}}" \
      SSL_CERT_FILE="$${SSL_CERT_FILE:-$$PIP_CERT}" \
      UV_HTTP_TIMEOUT="$${UV_HTTP_TIMEOUT:-180}" $(BIN)/uv

.DEFAULT_GOAL := help
.PHONY: help setup run ui dbt-docs test test-fast lint format lock clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP)  ## create .venv with the exact versions of requirements.lock (quick when nothing changed)

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Landbridge needs Python 3.11 or later; $(PYTHON) is $$($(PYTHON) --version 2>&1). Try: make setup PYTHON=python3.11"; \
	  exit 1; }
	@echo "Setting up .venv with the versions of requirements.lock: a minute or so the first time, then skipped."
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/uv --version >/dev/null 2>&1 || $(BIN)/python -m pip install -qq uv \
	  || echo "uv cannot be had here; pip installs instead, which takes a minute or two longer"
	@if $(BIN)/uv --version >/dev/null 2>&1; then \
	  $(UV) pip install --quiet --python $(BIN)/python -r requirements.lock \
	  || $(BIN)/python -m pip install --quiet -r requirements.lock; \
	else $(BIN)/python -m pip install --quiet -r requirements.lock; fi
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

run: setup  ## the whole path on the demo world, or ARGS="--config examples/food_kitchen.yaml"
	$(BIN)/landbridge run $(ARGS)

ui: setup  ## Dagster and MLflow on this machine; Ctrl-C ends both
	$(BIN)/landbridge ui $(ARGS)

dbt-docs: setup  ## the documentation of every table as one page; prints its path
	@$(BIN)/python -m orchestration.resources.dbt_docs

# In the order of the folders; xdist's own begins with the files of most tests and ends with the longest ones.
test: setup  ## every test, on two processes
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

test-fast: setup  ## the tests that take seconds
	$(BIN)/python -m pytest -m "not slow" $(ARGS)

lint: setup  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup  ## rewrite the code as `make lint` wants it
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Local version suffixes (torch==2.13.0+cpu) and link lines name one machine's wheels; without them the lock serves
# every machine: a CPU wheel where pip's find-links offer one, the CUDA build elsewhere.
lock:  ## resolve requirements.lock anew
	@test -x $(BIN)/uv || { echo "run \`make setup\` first: the lock is resolved with .venv/bin/uv"; exit 1; }
	@fresh=$$(mktemp) && trap 'rm -f "$$fresh"' EXIT && \
	  $(UV) pip compile pyproject.toml --extra cpu --extra dev --extra service --python-version 3.11 \
	    --no-annotate --no-header --quiet --output-file "$$fresh" && \
	  sed -E -e '/^--/d' -e '/^$$/d' -e 's/^([^ ]+==[^ +]+)\+[^ ]+/\1/' "$$fresh" > requirements.lock
	@echo "requirements.lock: $$(wc -l < requirements.lock) packages; now: make setup test"

clean:  ## remove .venv and caches; var/ (your data) stays
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info dbt_project/target dbt_project/logs
