# The verbs of the project. Each says what it does; each may be called again and does only what is missing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
YEAR ?= 2019
SAMPLE := data/sample
PIP := PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/python -m pip install --quiet -c constraints.txt

.PHONY: help run test bench ui review-ui clean

help:
	@echo "make run        set up, make the sample workspace, run its annual update of $(YEAR)"
	@echo "make test       set up, then all tests, lint and types"
	@echo "make bench      set up, then measure: rated lines, broken files, irregular use, 200 kills, scale up to 2 M services, Celery (hours)"
	@echo "make ui         the Dagster UI on http://127.0.0.1:3000, showing the runs that make run made"
	@echo "make review-ui  the same for reviewers on http://127.0.0.1:3001: all to be seen, nothing to be started"
	@echo "make clean      remove what make run made of the sample (not .venv)"

$(VENV)/.python:
	@echo "Making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed: make PYTHON=python3.12 ..."; exit 2; }
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.run: $(VENV)/.python pyproject.toml constraints.txt
	@echo "Installing annual-billing and what it needs (once; a minute or two)"
	@$(PIP) -e .
	@touch $@

$(VENV)/.test: $(VENV)/.run
	@echo "Installing what the tests need (once)"
	@$(PIP) -e ".[test]"
	@touch $@

$(VENV)/.bench: $(VENV)/.run
	@echo "Installing what the annual update is measured against (once)"
	@$(PIP) -e ".[test,bench]"
	@touch $@

$(SAMPLE)/truth/.made: $(VENV)/.run $(SAMPLE)/simulation.yaml $(SAMPLE)/workspace.yaml $(wildcard $(SAMPLE)/districts/*.yaml) $(wildcard pipelines/simulation/*.py)
	@echo "Making the sample's deliveries and CIS extracts"
	@$(BIN)/annual-billing simulate $(SAMPLE)
	@touch $@

run: $(SAMPLE)/truth/.made
	@$(BIN)/annual-billing run $(YEAR) --workspace $(SAMPLE)

test: $(VENV)/.test
	@$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

bench: $(VENV)/.bench
	@$(BIN)/python benchmarks/rating.py
	@$(BIN)/python benchmarks/mutations.py
	@$(BIN)/python benchmarks/irregular_use.py
	@$(BIN)/python benchmarks/kills.py
	@$(BIN)/python benchmarks/scale.py
	@$(BIN)/python benchmarks/on_celery.py

ui: $(VENV)/.run
	@$(BIN)/annual-billing ui --workspace $(SAMPLE)

review-ui: $(VENV)/.run
	@$(BIN)/annual-billing ui --workspace $(SAMPLE) --port 3001 --read-only

clean:
	rm -rf $(SAMPLE)/work $(SAMPLE)/deliveries $(SAMPLE)/cis_extract $(SAMPLE)/adjustments $(SAMPLE)/truth
