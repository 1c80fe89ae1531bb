# Each target prepares .venv by itself; `make PYTHON=python3.12 ...` takes another Python, 3.11 or later.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
SPARK := .venv/.spark

.PHONY: help install install-spark demo test test-unit test-services fuzz chaos up down bench lint audit

help:
	@echo "make demo     three months of yellow and green through all five assets, on this machine"
	@echo "make up       start PostgreSQL, the emulators and Dagster; make down stops them"
	@echo "make test     the tests          make test-unit  those that start nothing"
	@echo "make lint     formatting, lint, layers, types and definitions"
	@echo "make chaos    random faults against loads of months, ROUNDS=1000 SEED=1"
	@echo "make bench    the benchmarks, or some: ONLY=history MILLIONS='10 50'"
	@echo "make install  only prepare .venv"
	@echo "make audit    look for known vulnerabilities in what is installed"
	@echo "make install-spark   what the years of history need, 490 MB"

# A .venv knows the folder that it was made in: in a copy, or after a move, it would run the old folder's code.
ifneq ($(shell cat $(INSTALLED) 2>/dev/null),$(CURDIR))
.PHONY: $(INSTALLED)
endif

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Python 3.11 or later is needed, but $(PYTHON) is $$($(PYTHON) --version 2>&1); try make PYTHON=python3.12"; exit 1; }
	@echo "Installing into .venv, which takes about a minute the first time ..."
	@$(PYTHON) -m venv --clear .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@echo "$(CURDIR)" > $@

# Spark is 490 MB that nothing but its own tests and assets needs.
install-spark: $(SPARK)

$(SPARK): $(INSTALLED)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,spark]'
	@touch $@

demo: install
	@$(BIN)/taxi demo

# Two at a time, in the order of conftest.py: what takes longest comes first.
PARALLEL := -n 2 --dist loadgroup --no-loadscope-reorder

test: install-spark
	@$(BIN)/python -m pytest $(PARALLEL)

# For an unhurried hour: the property tests of cleaning with many more examples, other ones each time.
fuzz: install
	@EXAMPLES_FACTOR=100 $(BIN)/python -m pytest $(PARALLEL) taxi_assets_tests/cleaning/test_clean_file_properties.py

# Random faults against the embedded stack; a round that shows a violation says how to repeat it.
ROUNDS ?= 1000
SEED ?= 1
chaos: install
	@$(BIN)/python -m chaos --rounds $(ROUNDS) --seed $(SEED) $(if $(DAGSTER),--dagster) $(if $(ROUND),--round $(ROUND) --loaded $(or $(LOADED),0))

up: install
	@$(BIN)/taxi up

down: install
	@$(BIN)/taxi down

# What the benchmarks compare with comes only with them.
bench: install
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench,spark]'
	@$(BIN)/python -m benchmarks $(addprefix --only ,$(ONLY)) $(addprefix --millions ,$(MILLIONS))

lint: install
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/mypy
	@mkdir -p .taxi && DAGSTER_HOME="$$(mktemp -d)" VIRTUAL_ENV="$(CURDIR)/.venv" $(BIN)/dg check defs

# Pure code and definitions: no service is started, and nothing takes long. In these folders all tests do, and what they
# import would take a quarter of the time.
ALL_LONG := browser models reports spark
test-unit: install
	@$(BIN)/python -m pytest $(PARALLEL) -m 'not services and not long' $(ALL_LONG:%=--ignore=taxi_assets_tests/%)

# The others: `make test` is both.
test-services: install-spark
	@$(BIN)/python -m pytest $(PARALLEL) -m 'services or long'

audit: install
	@$(BIN)/python .ci/audit.py
