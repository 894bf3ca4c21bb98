# Every target sets up what it needs in .venv first.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
SPREAD := --maxprocesses 4 --dist loadfile --no-loadscope-reorder
CORES := $(shell getconf _NPROCESSORS_ONLN)

# Tests start a hundred processes, which would all compile the project's code again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: page train check test faults lint format clean

page: $(VENV)/ready ## open the page; ARGS="--port 8000" and the like are passed on
	$(RUN) app.py $(ARGS)

train: $(VENV)/ready ## train in the terminal; ARGS="--recipe scratch" and the like are passed on
	$(RUN) app.py --train-only $(ARGS)

check: lint ## style, types and the quick tests: about a minute
	$(RUN) -m pytest -n $(CORES) $(SPREAD) -m "not browser and not process and not slow" $(ARGS)

test: lint ## everything that must pass before a commit; ARGS="-k stop" and the like go to pytest
	$(RUN) -m pytest -n auto $(SPREAD) $(ARGS)

faults: lint ## the long form of tests/faults, which writes its table; FAULTS=1000 for more examples of each fault
	FAULTS=$(or $(FAULTS),300) $(RUN) -m pytest tests/faults $(ARGS)

lint: $(VENV)/ready-dev
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

format: $(VENV)/ready-dev ## format the code
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

clean: ## remove the environment; runs and data stay
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache

$(VENV)/ready: requirements.txt
	@echo "Installing the packages into $(VENV): about 6 GB, a few minutes the first time."
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install -q -r requirements.txt
	touch $@

$(VENV)/ready-dev: requirements-dev.txt $(VENV)/ready
	$(RUN) -m pip install -q -r requirements-dev.txt
	touch $@
