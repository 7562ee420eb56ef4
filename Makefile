# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
SITE ?= site

RUNS ?= runs
TABLES ?= $(RUNS)/tables
FORMS := md csv tex html
EXPERIMENTS ?= six_attacks other_defenses dynamic_attacks all2one clean_model clean_ratio poison_rate pseudo_samples knowledge_form teacher other_wishes knowing_attackers fashion_mnist preact_resnet18

.PHONY: demo test check docs reproduce tables

demo: $(VENV)/installed
	$(BIN)/nba defend --multirun +experiment=demo

test: $(VENV)/installed-dev
	$(BIN)/python -m pytest

# Finished runs are skipped: the same command goes on where it was stopped, and makes the tables anew.
reproduce: $(VENV)/installed
	set -e; for each in $(EXPERIMENTS); do \
	  $(BIN)/nba defend --multirun +experiment=$$each output="$(RUNS)"; \
	  for form in $(FORMS); do \
	    $(BIN)/nba table output="$(RUNS)" experiment=$$each file="$(TABLES)/$$each.$$form" overwrite=true; \
	  done; \
	done

# The tables of the runs that are kept in results/, and those of README, which are copied from them.
tables: $(VENV)/installed
	set -e; grep -v '^#' results/tables.txt | while IFS='|' read -r table words; do \
	  case "$$words" in *layout=matrix*|*compare=*) forms="$(filter-out csv,$(FORMS))";; *) forms="$(FORMS)";; esac; \
	  for form in $$forms; do \
	    eval "$(BIN)/nba table $$words file=results/$$table.$$form overwrite=true"; \
	  done; \
	done
	$(BIN)/python -m scripts.goals results/six_attacks results/six_attacks/goals.md
	$(BIN)/python -m scripts.selection results/selection results/selection/best.md
	$(BIN)/python -m scripts.demo results/demo results/demo/seeds.md
	$(BIN)/python -m scripts.readme README.md

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
