PY := .venv/bin/python
# What .venv is made with, and the newest Python 3 that all pinned packages have wheels for.
PYTHON ?= python3
NEWEST := 14
BIN := .venv/bin
PACKAGES := libs/common services/control-plane services/runner services/reporter services/cli
SOURCES := libs services tests docs/demo deploy

.PHONY: help install demo dev test check bench bench-page contracts sbom format
help:
	@echo "make demo       run the demo: storefront, workflows, a table, a log search"
	@echo "make dev        the whole of Headrace on this machine, until Ctrl-C"
	@echo "make test       the tests; those that lack a server skip and say how to get it (PROCESSES=2: quicker)"
	@echo "make check      lint, types, import rules, generated files"
	@echo "make contracts  write contracts/ anew from the code"
	@echo "make sbom       write sbom.json: what is installed, as a CycloneDX bill of materials"
	@echo "make bench      measure every scenario against bare references (a quarter of an hour); reports go to build/bench"
	@echo "make bench-page write docs/reference/benchmarks.md with what make bench measured"
	@echo "PYTHON=...      the interpreter that .venv is made with, if there is none yet (python3)"

# Installed once, and again when a package's dependencies or the constraints change.
install: .venv/.installed
.venv/.installed: constraints.txt $(PACKAGES:%=%/pyproject.toml)
	@echo "== installing Headrace into .venv"
	@test -x $(PY) || $(PYTHON) -m venv .venv
	@$(PY) -c 'import sys; sys.exit(sys.version_info[1] > $(NEWEST))' || echo "== some pinned packages are not made for this" \
	  "Python yet; if the installation fails: rm -r .venv && make install PYTHON=python3.$(NEWEST)"
	@$(PY) -m pip install -q --disable-pip-version-check -c constraints.txt hatchling editables
	@$(PY) -m pip install -q --disable-pip-version-check --no-build-isolation -c constraints.txt \
	  $(foreach p,$(PACKAGES),-e $(p)) -r requirements-dev.txt
	@touch $@

demo: install
	@$(BIN)/headrace demo

dev: install
	@$(BIN)/headrace dev

PROCESSES ?= 1
test: install
	@$(PY) -m pytest $(if $(filter-out 1,$(PROCESSES)),-n $(PROCESSES))

check: install
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy libs/common/headrace services/control-plane/headrace_control services/runner/headrace_runner \
	  services/reporter/headrace_reporter services/cli/headrace_cli
	@$(BIN)/lint-imports
	@$(PY) -m headrace_cli.contracts --check

contracts: install
	@$(PY) -m headrace_cli.contracts

bench: install
	@echo "== installing RabbitMQ and a MongoDB-protocol server, where they are missing; without them Postgres alone is measured"
	-@$(PY) deploy/local install rabbitmq mongodb
	@$(PY) deploy/local run --only rabbitmq --only mongodb -- $(BIN)/headrace bench all --out build/bench
	@$(PY) -m pytest -m bench tests/bench -s

bench-page: install
	@$(BIN)/headrace bench page build/bench --into docs/reference/benchmarks.md

# In an environment of its own: what makes the bill does not belong on it.
sbom: install
	@test -x .venv/sbom/bin/cyclonedx-py || ($(PYTHON) -m venv .venv/sbom && \
	  .venv/sbom/bin/python -m pip install -q --disable-pip-version-check -c constraints.txt cyclonedx-bom)
	@.venv/sbom/bin/cyclonedx-py environment $(PY) --of JSON --output-reproducible -o sbom.json
	@echo "wrote sbom.json"

format: install
	@$(BIN)/ruff check --fix -q . ; $(BIN)/ruff format -q .
