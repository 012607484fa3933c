PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO_FACES ?= 20000

.PHONY: demo test lint clean

demo: $(VENV)/ready
	$(BIN)/nsrfc demo --faces $(DEMO_FACES)

test: $(VENV)/ready
	$(BIN)/python -m pytest -q

lint: $(VENV)/ready
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[lint]'
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(VENV)/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[test]'
	touch $@

clean:
	rm -rf $(VENV)
