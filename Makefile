# Only Python 3.11+ is needed: each target makes its own environment in .venv, with what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CONSTRAINTS ?= constraints.txt
DEMO_FACES ?= 20000

.PHONY: demo test test-oldest test-wheel lint docs readme bench clean

demo: $(VENV)/plot.extra
	$(BIN)/nsrfc demo --faces $(DEMO_FACES)

# A file of tests stays in one process, as do its faces and servers. Processes take up to 1.5 GB each, and some tests
# start more, hence at most four.
test: export OMP_NUM_THREADS = 1
test: export OPENBLAS_NUM_THREADS = 1
test: export NUMBA_NUM_THREADS = 1
test: $(VENV)/test.extra
	$(BIN)/python -m pytest -q -n auto --maxprocesses 4 --dist loadfile

# The tests with the oldest versions that are allowed, in an environment of its own.
test-oldest:
	PYTEST_ADDOPTS="-W default" $(MAKE) test VENV=.venv-oldest CONSTRAINTS=constraints-oldest.txt

# Builds sdist and wheel into dist/, and tries the wheel in a fresh environment, outside of this folder.
test-wheel:
	PYTHON=$(PYTHON) CONSTRAINTS=$(CONSTRAINTS) bash .ci/wheel

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

$(VENV)/%.extra: pyproject.toml $(CONSTRAINTS) | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c $(CONSTRAINTS) -e '.[$*]'
	touch $@

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# Measures speed and memory beside other methods; takes hours, less with BENCH="--sizes 1000 10000".
bench: $(VENV)/bench.extra
	$(BIN)/python -m benchmarks --json docs/performance.json --page $(BENCH)

clean:
	rm -rf $(VENV) .venv-oldest dist site demo
