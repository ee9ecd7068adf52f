# Wavebreak: needs Python 3.11 or newer and make. `make` alone lists the targets.

PYTHON ?=
WORKERS ?= 2
# The long ones come first: none keeps one worker waiting for another at the end.
TESTS = tests $(wildcard packages/*/tests) clients
# Starts no service and simulates no world.
QUICK = $(addprefix packages/engine/tests/,schema rules io privacy notices explain reports model test_*.py) \
	$(patsubst %,tests/contracts/test_%.py,architecture bounds core_lock deployment event_kinds features \
	integrations_setup narrowing outcomes rules source_conventions standard_ports workflow)
HOURS ?= 4
MINUTES ?= 60

BIN := .venv/bin
ANY_PYTHON = $(or $(PYTHON),$(shell command -v python3.11 python3.12 python3.13 python3.14 python3 | head -1))
# Three steps make .venv: what the demo and the service need, the kernel's machine code, and the rest.
INSTALLED := .venv/.installed
CORE_READY := .venv/.ready-core
READY := .venv/.ready
FLINK_READY := .venv-flink/.ready
WITH_OUTPUTS = README.md docs/tutorial.md $(addprefix docs/how-to/,write-a-rule.md seal-and-verify.md \
	build-a-case.md check-business-logs.md decide-business-sends.md)
SBOM = $(BIN)/python -W ignore -m cyclonedx_py requirements --pyproject packages/engine/pyproject.toml \
	--spec-version 1.6 --output-reproducible

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: FORCE help demo serve test test-quick integrations scale check fix speed mutants fuzz soak docs lock packages sbom audit clean assets
FORCE:

help: ## list the targets (this text)
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile
	@echo "The first one that needs it makes .venv from requirements.lock. Options: WORKERS=2 (of the tests),"
	@echo "PYTHON=/path/to/python3.11 (to make .venv with), TESTS=packages/server/tests (only these, of make test)"

assets: $(INSTALLED) ## the scripts, styles and fonts of the console, where a source changed
	@$(BIN)/python frontend/build.py

demo: assets ## a simulated day of campaigns and benign personas: run, evaluate, explain
	@$(BIN)/wavebreak demo

serve: assets $(CORE_READY) ## the service on a simulated live stream, and where to click; Ctrl-C ends it
	@$(BIN)/wavebreak serve demo-out/service --demo

test: $(READY) assets ## every test but speed
	@PYTHONPATH=tests $(BIN)/python -m support.chromium
	@$(BIN)/python frontend/build.py --tests
	@$(BIN)/python -m compileall -q -j 0 packages
	@$(BIN)/pytest $(TESTS) -n $(WORKERS) --dist worksteal -rs

test-quick: $(READY) assets ## tests of rules, events and contracts that start no service, while you work
	@$(BIN)/pytest $(QUICK) -n $(WORKERS) --dist worksteal

# As root with apt-get; as anybody else, and Synapse always, below the user's cache.
integrations: $(READY) assets ## the integrations' tests with real chat servers, which it installs
	@$(BIN)/python integrations/setup.py
	@$(BIN)/python integrations/synapse/install_synapse.py
	@$(BIN)/pytest $(if $(filter file,$(origin TESTS)),integrations,$(TESTS)) -rs

scale: $(READY) $(FLINK_READY) assets ## the job on Apache Flink and the log in Kafka, on clusters (KILLS=50 DAYS=7)
	@$(BIN)/pytest packages/flink/cluster_tests packages/server/cluster_tests -n0 -rs

check: $(READY) ## format, lint, types, layers, doctests, rules: all but the tests
	@$(BIN)/ruff format --quiet --check . || { echo "Next: make fix"; exit 1; }
	@$(BIN)/ruff check --quiet . || { echo "Next: make fix, then fix by hand what is left"; exit 1; }
	@types=$$(mktemp); trap 'rm -f "$$types"' EXIT; failed=0; \
	$(BIN)/mypy --no-error-summary >"$$types" 2>&1 & mypy=$$!; \
	$(BIN)/python frontend/build.py --check || failed=1; \
	$(BIN)/lint-imports --no-logo || failed=1; \
	$(BIN)/pytest --doctest-modules packages/*/src || failed=1; \
	$(BIN)/wavebreak rules check || failed=1; \
	wait $$mypy || failed=1; cat "$$types"; exit $$failed
	@echo "All checks passed. Next: make test"

fix: $(READY) ## fix format and lint in place
	@$(BIN)/ruff check --quiet --fix . || true
	@$(BIN)/ruff format --quiet .

speed: $(READY) assets ## measure throughput and memory against baselines (minutes)
	@$(BIN)/python -m benchmarks

mutants: $(READY) assets ## plant each bug of tests/mutation/bugs.toml not tried yet; print what the tests catch
	@PYTHONPATH=tests $(BIN)/python -m mutation --resume tests/mutation/results.jsonl

fuzz: $(READY) ## fuzz every parser of strangers' bytes for so long (HOURS=4, in all)
	@PYTHONPATH=tests $(BIN)/python -m fuzz --hours $(HOURS)

soak: $(READY) assets ## real servers under load and faults; memory and decide's p99 printed (MINUTES=60)
	@PYTHONPATH=tests $(BIN)/python -m soak --minutes $(MINUTES)

docs: $(READY) assets ## docs/reference from the code, and the documentation in site/ (OUTPUTS=1: shown outputs too)
	@$(BIN)/python docs/generate_reference.py
	@$(if $(OUTPUTS),$(BIN)/python docs/run_examples.py $(WITH_OUTPUTS))
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo "Open site/index.html"

lock: $(READY) ## the locks anew from pyproject.toml and package.json (UPGRADE=1 raises the pins)
	@$(BIN)/python -m packages.lock $(if $(UPGRADE),--upgrade)
	@$(BIN)/python frontend/build.py --lock

packages: $(READY) ## every package in dist/: wheels, npm, rock, ejabberd's module (one version)
	@$(BIN)/python packages/build.py

sbom: $(READY) ## CycloneDX files of the lock in dist/: what a service needs, and everything
	@mkdir -p dist; sed '/^# build$$/,$$d' requirements.lock >dist/service.txt
	@$(SBOM) --output-file dist/wavebreak-core.cdx.json dist/service.txt; rm dist/service.txt
	@$(SBOM) --output-file dist/wavebreak.cdx.json requirements.lock

audit: $(CORE_READY) ## compare the locks with published vulnerabilities (needs the network)
	@$(BIN)/python -m packages.lock --audit

clean: ## remove caches, builds and demo-out (to start afresh: rm -r .venv as well)
	@rm -rf build dist site demo-out .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find packages tests docs -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.made-by: FORCE
	@$(ANY_PYTHON) packages/environment.py venv $(if $(PYTHON),--chosen)

$(INSTALLED): .venv/.made-by requirements.lock $(wildcard packages/*/pyproject.toml)
	@$(BIN)/python packages/environment.py service && touch $@

$(CORE_READY): $(INSTALLED)
	@$(BIN)/wavebreak precompile && touch $@

$(READY): $(CORE_READY)
	@$(BIN)/python packages/environment.py dev && touch $@

$(FLINK_READY): $(CORE_READY) requirements-flink.lock packages/engine/pyproject.toml packages/flink/pyproject.toml
	@$(BIN)/python packages/environment.py flink && .venv-flink/bin/wavebreak precompile && touch $@
