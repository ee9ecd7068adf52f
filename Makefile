# Wavebreak: needs Python 3.11 or newer and make. `make` alone lists what there is to do.

PYTHON ?=
WORKERS ?= 2
# Page capture is tested with Chromium, which is looked for, and installed where it is not there.
TESTS = tests
UPGRADE ?=

BIN := .venv/bin
READY := .venv/.ready
SPEED_READY := .venv/.ready-speed
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --progress-bar off
UV_COMPILE := $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header \
	$(if $(UPGRADE),--upgrade) --group dev pyproject.toml

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo serve test check fix speed docs lock clean

help: ## list the targets (this text)
	@echo "Wavebreak. Targets:"
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' Makefile
	@echo "The first one that needs it makes .venv from requirements.lock."
	@echo "Options: PYTHON=/path/to/python3.11 (to make .venv with), WORKERS=2 (of the tests),"
	@echo "TESTS=tests/integration (only these, of make test)."

demo: $(READY) ## a simulated day with campaigns and innocents: run, evaluate, explain
	@$(BIN)/wavebreak demo

serve: $(READY) ## the service on a simulated live stream, and where to click; Ctrl-C ends it
	@$(BIN)/wavebreak serve demo-out/service --demo

test: $(READY) ## every test but speed
	@$(if $(filter file,$(origin TESTS)),$(BIN)/python tests/chromium.py)
	@echo "Tests: $(TESTS)"
	@$(BIN)/pytest $(TESTS) -n $(WORKERS) --dist worksteal -rs

check: $(READY) ## format, lint, types, layers, doctests, rules: all but the tests
	@echo "Format and lint (ruff)"
	@$(BIN)/ruff format --quiet --check . || { echo "Next: make fix"; exit 1; }
	@$(BIN)/ruff check --quiet . || { echo "Next: make fix, then mend by hand what is left"; exit 1; }
	@echo "Types (mypy)"
	@$(BIN)/mypy --no-error-summary
	@echo "Layers (import-linter)"
	@$(BIN)/lint-imports --no-logo
	@echo "Examples in docstrings"
	@$(BIN)/pytest --doctest-modules src
	@echo "Rules"
	@$(BIN)/wavebreak rules check
	@echo "All checks passed. Next: make test"

fix: $(READY) ## mend format and lint in place
	@$(BIN)/ruff check --quiet --fix . || true
	@$(BIN)/ruff format --quiet .
	@echo "Done. Next: make check"

speed: $(SPEED_READY) ## measure throughput and memory against baselines (minutes)
	@$(BIN)/python -m benchmarks

docs: $(READY) ## the documentation as a site in site/; its reference pages and outputs anew
	@$(BIN)/python docs/generate_reference.py
	@$(BIN)/mkdocs build --quiet
	@echo "Open site/index.html"

lock: $(READY) ## make both locks anew from pyproject.toml (UPGRADE=1 raises the pins)
	@$(PIP_INSTALL) uv
	@$(UV_COMPILE) --output-file requirements.lock
	@$(UV_COMPILE) --group speed --output-file requirements-speed.lock
	@echo "Wrote requirements.lock and requirements-speed.lock. Next: make test, then commit both"

clean: ## remove caches, builds and demo-out (to start afresh: rm -r .venv as well)
	@rm -rf build dist site demo-out .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find src tests docs -name __pycache__ -type d -prune -exec rm -rf {} +
	@echo "Clean."

$(READY): requirements.lock pyproject.toml
	@for python in $(or $(PYTHON),python3.11 python3); do \
	  if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    echo "Preparing .venv with $$($$python --version) ($$python)"; \
	    exec $$python -m venv .venv; \
	  fi; \
	done; \
	echo "Wavebreak needs Python 3.11 or newer; tried: $(or $(PYTHON),python3.11 python3)." >&2; \
	echo "Fix: install it, or name it: make PYTHON=/path/to/python3.11" >&2; \
	exit 1
	@echo "Installing what requirements.lock pins (once; a minute or two)"
	@$(PIP_INSTALL) --require-hashes -r requirements.lock
	@$(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	@echo "Compiling the kernel (once; kept in ~/.cache/wavebreak)"
	@$(BIN)/wavebreak warm
	@touch $@

$(SPEED_READY): $(READY) requirements-speed.lock
	@echo "Installing the baselines that requirements-speed.lock adds"
	@$(PIP_INSTALL) --require-hashes -r requirements-speed.lock
	@touch $@
