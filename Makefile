# Two commands do everything on a machine with Python 3.11+, pip and make: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: help install demo test lint format docs clean

help:  ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

install: $(INSTALLED)  ## build .venv from the lock

$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info < (3, 14) else "Python 3.11 to 3.13 is needed, this is " + sys.version.split()[0] + "; name one with: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --progress-bar off -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: install  ## start the local stack, run one whole change on a real model and real reviews
	$(BIN)/avss demo

lint: install  ## format, lint and type checks
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# Two processes, since most of what takes long waits for servers; each has its own stack.
test: lint  ## everything that must hold
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

format: install  ## rewrite in the house format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: install  ## write docs/cli.md again from the commands' own help
	$(BIN)/python -m flows.reference docs/cli.md

clean:  ## remove the environment, caches and the demo's output
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build *.egg-info demo .avss
