# Only Python 3.11+ is needed: each target makes its own environment in .venv, with what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO_FACES ?= 20000

.PHONY: demo test lint docs readme bench clean

demo: $(VENV)/plot.extra
	$(BIN)/nsrfc demo --faces $(DEMO_FACES)

test: $(VENV)/test.extra
	$(BIN)/python -m pytest -q

lint: $(VENV)/test.extra $(VENV)/lint.extra
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

docs: $(VENV)/docs.extra
	$(BIN)/mkdocs build --strict

# Runs the commands shown in README.md again and puts their output below them.
readme: $(VENV)/plot.extra
	$(BIN)/python docs/tools/refresh.py

$(VENV)/%.extra: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[$*]'
	touch $@

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# Measures speed and memory beside other methods; takes hours, less with BENCH="--sizes 1000 10000".
bench: $(VENV)/bench.extra
	$(BIN)/python -m benchmarks --json docs/performance.json --page $(BENCH)

clean:
	rm -rf $(VENV) site demo
