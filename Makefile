# Every target works on a fresh machine by itself: it makes .venv and installs what it needs, once.
# `make demo` needs the small core only; the others add the extras `train` and `dev`.
PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check -c constraints.txt
CODE := src tests tools $(wildcard bench)
RIVALS ?= mosec litserve pytriton bentoml mlserver ray
BENCHES := $(sort $(wildcard bench/bench_*.py))

.PHONY: setup demo test check format bench bench-serve docs clean
.DEFAULT_GOAL := setup

setup: .venv/installed-all ## make .venv with everything the other targets need
	@echo "ready: $(BIN)/fleetsight --help"

demo: .venv/installed-core ## three simulated coolers trade; until Ctrl-C at a terminal, nine shoppers elsewhere
	@if [ -t 0 ]; then $(BIN)/fleetsight demo; else $(BIN)/fleetsight demo --once; fi

test: .venv/installed-all ## install the services that tests use where they are missing, then run every test
	@bash tools/install_test_services.sh
	$(BIN)/python -m pytest -n auto --dist loadfile

check: .venv/installed-all ## format, lint, types, import contracts, sizes, docstrings, generated pages
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/mypy $(CODE)
	$(BIN)/lint-imports --no-logo --cache-dir .import_linter_cache
	$(BIN)/pydoclint --quiet src
	$(BIN)/python tools/check_sizes.py $(CODE)
	$(BIN)/python tools/commands_page.py --check
	$(BIN)/python tools/knobs_page.py --check
	$(BIN)/python tools/readme_tables.py --check

format: .venv/installed-all ## bring the code into the form that check wants
	$(BIN)/ruff format $(CODE)
	$(BIN)/ruff check --fix $(CODE)

bench: .venv/installed-all ## measure again: each script writes bench/results/NAME.json
	@set -e; for script in $(BENCHES); do echo "== $$script" >&2; $(BIN)/python $$script; done
	$(BIN)/python tools/readme_tables.py

bench-serve: .venv/installed-all $(RIVALS:%=build/rivals/%/installed) ## the inference service and its rivals side by side (hours; idle machine)
	$(BIN)/python bench/serve/measure_rivals.py fleetsight $(RIVALS)
	$(BIN)/python bench/serve/measure_plan.py
	$(BIN)/python bench/serve/summary.py

build/rivals/%/installed: bench/serve/requirements/%.txt | .venv/bin/python
	@echo "installing $* into build/rivals/$* ..." >&2
	@rm -rf build/rivals/$*
	@mkdir -p build/rivals
	@PYTHON="$(PYTHON)" bash tools/make_venv.sh build/rivals/$*
	@build/rivals/$*/bin/python -m pip install --quiet --quiet --disable-pip-version-check -r $<
	@touch $@

docs: .venv/installed-all ## write docs/commands.md, docs/knobs.md and the tables of the README again
	$(BIN)/python tools/commands_page.py
	$(BIN)/python tools/knobs_page.py
	$(BIN)/python tools/readme_tables.py

clean: ## remove what the targets made
	rm -rf .venv demo .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

.venv/bin/python:
	@PYTHON="$(PYTHON)" bash tools/make_venv.sh .venv

.venv/installed-core: pyproject.toml constraints.txt | .venv/bin/python
	@echo "installing the core into .venv (about a minute) ..." >&2
	@$(INSTALL) -e .
	@touch $@

.venv/installed-all: .venv/installed-core
	@echo "installing torch and the tools of development into .venv (a few minutes) ..." >&2
	@$(INSTALL) -e ".[stripe,train,dev]"
	@touch $@
