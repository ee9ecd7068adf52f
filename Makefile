# Wavebreak: needs Python 3.11 or newer and make. `make` alone lists what there is to do.

PYTHON ?=
WORKERS ?= 2
# The long ones come first: none keeps one worker waiting for another at the end.
# Page capture is tested with Chromium, which is looked for, and installed where it is not there.
TESTS = tests $(wildcard packages/*/tests) clients
UPGRADE ?=
HOURS ?= 4
MINUTES ?= 60

BIN := .venv/bin
# Two steps make .venv: what the demo and the service need, then what tests and development add.
MADE_BY := .venv/.made-by
INSTALLED := .venv/.installed
CORE_READY := .venv/.ready-core
READY := .venv/.ready
SPEED_READY := .venv/.ready-speed
pip_install = $(1)/python -m pip install --quiet --disable-pip-version-check --progress-bar off
PIP_INSTALL := $(call pip_install,$(BIN))
# Flink pins older libraries than ours: its job has an environment of its own.
FLINK := .venv-flink/bin
FLINK_READY := .venv-flink/.ready
# The distributions of this repository, in the order in which they need each other.
PACKAGES = packages/engine packages/server packages/cases packages/business packages/lab packages/flink
OWN := $(patsubst wavebreak-engine,wavebreak,$(PACKAGES:packages/%=wavebreak-%))
UV_COMPILE := $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header \
	$(addprefix --no-emit-package ,$(OWN)) $(if $(UPGRADE),--upgrade)
CYCLONEDX := $(BIN)/python -W ignore -m cyclonedx_py requirements \
	--pyproject packages/engine/pyproject.toml --spec-version 1.6 --output-reproducible

# Install what a lock pins: by uv, which takes seconds where pip takes a minute, from the index that
# pip is set to use; by pip where uv cannot. The second argument is of uv's options, the third the
# environment's programs.
define install_lock
	@index=$${UV_DEFAULT_INDEX:-$${PIP_INDEX_URL:-$$($(BIN)/python -m pip config get global.index-url 2>/dev/null)}}; \
	  UV_SYSTEM_CERTS=1 $(BIN)/uv pip install --quiet --python $(or $(3),$(BIN))/python --require-hashes \
	    $(2) $${index:+--default-index "$$index"} -r $(1) || \
	  { echo "uv could not; pip does it (a minute or two)"; $(call pip_install,$(or $(3),$(BIN))) --require-hashes -r $(1); }
endef

.DEFAULT_GOAL := help
.NOTPARALLEL:
FORCE:
.PHONY: FORCE help demo serve test integrations scale check fix speed mutants fuzz soak docs lock packages sbom audit clean assets

help: ## list the targets (this text)
	@echo "Wavebreak. Targets:"
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile
	@echo "The first one that needs it makes .venv from requirements.lock."
	@echo "Options: PYTHON=/path/to/python3.11 (to make .venv with), WORKERS=2 (of the tests),"
	@echo "TESTS=packages/server/tests/integration (only these, of make test)."

# Built by Node from a wheel: nobody has to install one.
assets: $(INSTALLED) ## the scripts, styles and fonts of the console, where a source changed
	@$(BIN)/python frontend/build.py

# It compiles what decides beside the simulation, and the rest behind it.
demo: assets ## a simulated day of campaigns and benign personas: run, evaluate, explain
	@$(BIN)/wavebreak demo

serve: assets $(CORE_READY) ## the service on a simulated live stream, and where to click; Ctrl-C ends it
	@$(BIN)/wavebreak serve demo-out/service --demo

test: $(READY) ## every test but speed
	@$(if $(filter file,$(origin TESTS)),$(BIN)/python tests/support/chromium.py)
	@$(BIN)/python frontend/build.py --tests
	@$(BIN)/python -m compileall -q -j 0 packages
	@echo "Tests: $(TESTS)"
	@$(BIN)/pytest $(TESTS) -n $(WORKERS) --dist worksteal -rs

# As root with apt-get; as anybody else, and Synapse always, below the user's cache.
integrations: $(READY) ## the integrations' tests with real chat servers, which it installs
	@$(BIN)/python integrations/setup.py
	@$(BIN)/python integrations/synapse/install_synapse.py
	@$(BIN)/pytest $(filter-out packages/%/tests tests clients,$(TESTS)) $(if $(filter file,$(origin TESTS)),integrations) -rs

# With what the package index carries: Flink, its Python and a small cluster; and a Kafka broker from
# Maven's jars, which it fetches. Needs a Java runtime (17 or newer) and Maven.
# Longer: KILLS=50 processes, HANGS=4 parts that hang, DAYS=7 of the simulated log, TRACE=59835 events of the real one.
scale: $(READY) $(FLINK_READY) ## the job on Apache Flink and the log in Kafka: tests on clusters (KILLS=50 DAYS=7)
	@$(BIN)/pytest packages/flink/cluster_tests packages/server/cluster_tests -n0 -rs

check: $(READY) ## format, lint, types, layers, doctests, rules: all but the tests
	@echo "Format and lint (ruff)"
	@$(BIN)/ruff format --quiet --check . || { echo "Next: make fix"; exit 1; }
	@$(BIN)/ruff check --quiet . || { echo "Next: make fix, then fix by hand what is left"; exit 1; }
	@echo "Types (mypy), and meanwhile the rest"
	@types=$$(mktemp); trap 'rm -f "$$types"' EXIT; failed=0; \
	$(BIN)/mypy --no-error-summary >"$$types" 2>&1 & mypy=$$!; \
	$(BIN)/python frontend/build.py --check || failed=1; \
	echo "Layers (import-linter)"; $(BIN)/lint-imports --no-logo || failed=1; \
	echo "Examples in docstrings"; $(BIN)/pytest --doctest-modules packages/*/src || failed=1; \
	echo "Rules"; $(BIN)/wavebreak rules check || failed=1; \
	wait $$mypy || failed=1; cat "$$types"; exit $$failed
	@echo "All checks passed. Next: make test"

fix: $(READY) ## fix format and lint in place
	@$(BIN)/ruff check --quiet --fix . || true
	@$(BIN)/ruff format --quiet .
	@echo "Done. Next: make check"

speed: $(SPEED_READY) ## measure throughput and memory against baselines (minutes)
	@$(BIN)/python -m benchmarks

mutants: $(READY) ## plant each bug of tests/mutation/bugs.toml not tried yet; print what the tests catch
	@PYTHONPATH=tests $(BIN)/python -m mutation --resume tests/mutation/results.jsonl

fuzz: $(READY) ## fuzz every parser of strangers' bytes for so long (HOURS=4, in all)
	@PYTHONPATH=tests $(BIN)/python -m fuzz --hours $(HOURS)

soak: $(READY) ## real servers under load and faults; memory and decide's p99 printed (MINUTES=60)
	@PYTHONPATH=tests $(BIN)/python -m soak --minutes $(MINUTES)

docs: $(READY) ## the documentation in site/, its reference anew (OUTPUTS=1: shown outputs too)
	@$(BIN)/python docs/generate_reference.py
	@$(if $(OUTPUTS),$(BIN)/python docs/run_examples.py README.md docs/tutorial.md \
	  docs/how-to/write-a-rule.md docs/how-to/seal-and-verify.md docs/how-to/build-a-case.md docs/how-to/check-business-logs.md \
	  docs/how-to/decide-business-sends.md)
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo "Open site/index.html"

lock: $(READY) ## make the locks anew from pyproject.toml (UPGRADE=1 raises the pins)
	@$(UV_COMPILE) $(PACKAGES:%=%/pyproject.toml) --all-extras --group pyproject.toml:dev \
	  --output-file requirements.lock
	@$(UV_COMPILE) $(PACKAGES:%=%/pyproject.toml) --all-extras --group pyproject.toml:dev \
	  --group pyproject.toml:speed --output-file requirements-speed.lock
	@$(UV_COMPILE) packages/server/pyproject.toml packages/cases/pyproject.toml \
	  --group pyproject.toml:build --constraint requirements.lock --output-file requirements-core.lock
	@machine_code=$$(mktemp); trap 'rm -f "$$machine_code"' EXIT; \
	grep -oE '^(numba|llvmlite)==[0-9.]+' requirements.lock >"$$machine_code"; \
	$(UV_COMPILE) packages/engine/pyproject.toml --group packages/flink/pyproject.toml:job \
	  --python-version 3.11 --constraint "$$machine_code" --output-file requirements-flink.lock; \
	sed -i '\|#   -c /|d' requirements-flink.lock
	@$(BIN)/python frontend/build.py --lock
	@echo "Wrote requirements.lock, requirements-speed.lock, requirements-core.lock, requirements-flink.lock."
	@echo "Next: make test, then commit them"

packages: $(READY) ## every package in dist/: wheels, npm, rock, ejabberd's module (one version)
	@$(BIN)/python packages/build.py

sbom: $(READY) ## what it is built from: CycloneDX files from the locks, in dist/
	@mkdir -p dist
	@$(CYCLONEDX) --output-file dist/wavebreak-core.cdx.json requirements-core.lock
	@$(CYCLONEDX) --output-file dist/wavebreak.cdx.json requirements.lock
	@echo "Wrote dist/wavebreak-core.cdx.json (make demo) and dist/wavebreak.cdx.json (every extra, and"
	@echo "development)."

# Strict: a package that cannot be looked up is a failure, not a pass.
audit: $(CORE_READY) ## compare the locks with published vulnerabilities (needs the network)
	@for lock in requirements-core.lock requirements.lock; do \
	  echo "Audit: $$lock"; \
	  index=$${UV_DEFAULT_INDEX:-$${PIP_INDEX_URL:-$$($(BIN)/python -m pip config get global.index-url 2>/dev/null)}}; \
	  UV_SYSTEM_CERTS=1 $(BIN)/uv tool run --quiet $${index:+--default-index "$$index"} --from 'pip-audit>=2.7,<3' \
	    pip-audit --strict --disable-pip --require-hashes --progress-spinner off -r $$lock || \
	  { echo "Fix: make lock UPGRADE=1; where packages could not be looked up, run it where their index can be asked" >&2; \
	    exit 1; }; \
	done
	@echo "No known vulnerability in the locks."

clean: ## remove caches, builds and demo-out (to start afresh: rm -r .venv as well)
	@rm -rf build dist site demo-out .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find packages tests docs -name __pycache__ -type d -prune -exec rm -rf {} +
	@echo "Clean."

# Another Python's libraries beside those of the one that made .venv would load, and fail later.
$(MADE_BY): FORCE
	@build='import sys, sysconfig; print(sys.version.split()[0], sysconfig.get_config_var("SOABI"), sys.base_prefix)'; \
	is=$$($(BIN)/python -c "$$build" 2>/dev/null); was=$$(cat $@ 2>/dev/null || echo "$$is"); \
	wanted=$(if $(PYTHON),$$($(PYTHON) -c "$$build" 2>/dev/null),"$$is"); \
	if [ -n "$$is" ] && [ "$$is" = "$$was" ] && [ "$$is" = "$$wanted" ] && \
	  [ $$(ls -d .venv/lib/python3.* | wc -l) -eq 1 ]; then \
	  [ -e $@ ] || { echo "$$is" >$@; touch -r .venv/pyvenv.cfg $@; }; exit 0; \
	fi; \
	for python in $(or $(PYTHON),python3.11 python3); do \
	  if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    [ ! -e .venv/pyvenv.cfg ] || echo ".venv is of another Python ($${was:-it is gone}): it is made anew"; \
	    echo "1 of 2: preparing .venv with $$($$python --version) ($$python)"; \
	    $$python -m venv --clear .venv && $$python -c "$$build" >$@ && exit 0; \
	    echo "Fix: install what $$python -m venv needs (Debian: apt-get install python3-venv)" >&2; \
	    exit 1; \
	  fi; \
	done; \
	echo "Wavebreak needs Python 3.11 or newer; tried: $(or $(PYTHON),python3.11 python3)." >&2; \
	echo "Fix: install it, or name it: make PYTHON=/path/to/python3.11" >&2; \
	exit 1

$(INSTALLED): $(MADE_BY) requirements-core.lock $(PACKAGES:%=%/pyproject.toml)
	@echo "2 of 2: installing what requirements-core.lock pins (once; seconds, and the download)"
	@awk '/^uv==/ { own = 1 } own { print; if (!/\\$$/) exit }' requirements-core.lock >.venv/uv.lock
	@$(PIP_INSTALL) --require-hashes -r .venv/uv.lock
	$(call install_lock,requirements-core.lock)
	@$(PIP_INSTALL) --no-deps --no-build-isolation $(PACKAGES:%=--editable %)
	@touch $@

$(CORE_READY): $(INSTALLED)
	@echo "Compiling the kernel on $$(nproc 2>/dev/null || echo all) cores (once; kept in the user cache directory)"
	@$(BIN)/wavebreak precompile
	@touch $@

$(READY): $(CORE_READY) requirements.lock
	@echo "Installing what requirements.lock adds for tests and development (once)"
	$(call install_lock,requirements.lock,--compile-bytecode)
	@touch $@

$(FLINK_READY): $(CORE_READY) requirements-flink.lock packages/engine/pyproject.toml packages/flink/pyproject.toml
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info[:2] > (3, 12))' || { \
	  echo "Flink's Python packages need Python 3.11 or 3.12, and .venv has $$($(BIN)/python --version)." >&2; \
	  echo "Fix: make scale PYTHON=/path/to/python3.11" >&2; exit 1; }
	@java -version 2>&1 | awk -F '"' '/version/ { split($$2, v, "."); good = v[1] >= 11 } END { exit !good }' || { \
	  echo "Flink needs Java 11 or newer, and there is no such java on the PATH." >&2; \
	  echo "Fix: install one (Debian: apt-get install openjdk-17-jre-headless)" >&2; exit 1; }
	@echo "Installing Apache Flink into .venv-flink, as requirements-flink.lock pins it (once; 300 MB)"
	@$(BIN)/python -m venv --clear .venv-flink
	$(call install_lock,requirements-flink.lock,--compile-bytecode,$(FLINK))
	@$(call pip_install,$(FLINK)) --no-deps --no-build-isolation --editable packages/engine --editable packages/flink
	@$(FLINK)/wavebreak precompile
	@touch $@

$(SPEED_READY): $(READY) requirements-speed.lock
	@echo "Installing the baselines that requirements-speed.lock adds"
	$(call install_lock,requirements-speed.lock)
	@touch $@
