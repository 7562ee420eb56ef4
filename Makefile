# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
SITE ?= site

.PHONY: demo test check docs

demo: $(VENV)/installed
	$(BIN)/nba defend --multirun +experiment=demo

test: $(VENV)/installed-dev
	$(BIN)/python -m pytest

check: $(VENV)/installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports
	dist=$$(mktemp -d) && trap 'rm -rf "$$dist"' EXIT && \
	  $(BIN)/python -m build --outdir "$$dist" . && $(BIN)/twine check --strict "$$dist"/*

docs: $(VENV)/installed-dev
	$(BIN)/python -m mkdocs build --strict --config-file scripts/docs/mkdocs.yml --site-dir "$(abspath $(SITE))"

$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/installed-dev: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@ $(VENV)/installed
