# Two commands do everything: `make run` and `make test`. Both make .venv first, from hash-locked packages.

SHELL := /bin/sh
VENV := .venv
STAMP := $(VENV)/.installed
PYTHON ?=
ARGS ?=
SEED ?=
MINUTES ?=
# Tests mostly wait for servers: three at a time keep two cores busy. A file's tests share its servers.
PARALLEL ?= -n 3 --dist loadfile

.PHONY: help run test faults bench check kafka lock clean
.DEFAULT_GOAL := help

help:
	@echo 'make run                 start everything on a simulated market (Ctrl-C stops it)'
	@echo 'make run FEED=live       the same on the real Kraken'
	@echo 'make run FEED=recording FILE=XBTUSD.csv    a recording; SYMBOL=BTC/USD where its name says no market'
	@echo 'make run ARGS="--duration 60 --report report.json"      all options: .venv/bin/liqmon run --help'
	@echo 'make test                all tests; some of them: make test ARGS="-k outbox"'
	@echo 'make faults              kills, freezes and outages on a whole stack, with a real Kafka where Java is'
	@echo 'make faults SEED=7 MINUTES=20        all of them at random, for so long'
	@echo 'make bench               this program beside Kafka Streams and Flink, one table (Java 17 and Maven)'
	@echo 'make bench ARGS="--only rows-10,frames-20 --json results.json"      some parts, and a file of results'
	@echo 'make check               lint, format and types'
	@echo 'make kafka               a real Kafka on port 9092 until Ctrl-C (Java 17 and Maven)'
	@echo 'make lock                resolve requirements.lock anew'
	@echo 'make clean               remove the environment and the caches; keeps the data in .liqmon'

run: $(STAMP)
	@$(VENV)/bin/liqmon run $(ARGS)

test: $(STAMP)
	@$(VENV)/bin/pytest $(PARALLEL) $(ARGS)

# With MINUTES it is the random schedule alone, for that long; SEED brings one back.
faults: $(STAMP)
	@SEED="$(SEED)" MINUTES="$(MINUTES)" $(VENV)/bin/pytest -m faults --log-cli-level=INFO \
		$(if $(MINUTES),tests/faults/test_schedule.py,tests/faults) $(ARGS)

# Fills a real Kafka with the same trades for all, and builds the peers once.
bench: $(STAMP)
	@$(VENV)/bin/python -m tests.benchmarks.bench $(ARGS)

check: $(STAMP)
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy

# A real Kafka on port 9092, from Maven Central's jars: needs Java 17 and Maven.
kafka: $(STAMP)
	@$(VENV)/bin/python -m tests.kafka $(ARGS)

LOCK := $(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--custom-compile-command 'make lock' pyproject.toml

# The image needs neither the embedded servers nor the tests; its versions are the same.
lock: $(STAMP)
	@$(LOCK) --all-extras -o requirements.lock
	@$(LOCK) --extra build -c requirements.lock -o requirements-image.lock

clean:
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Any Python from 3.11 to 3.14 will do: PYTHON if it is given, else the first that is found.
# The packages are binary wheels, checked against their hashes; the project itself is linked, not copied.
$(STAMP): requirements.lock pyproject.toml
	@works() { "$$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null; }; \
	if ! works $(VENV)/bin/python; then \
		python=; \
		for candidate in $(or $(PYTHON),python3 python3.14 python3.13 python3.12 python3.11); do \
			if works "$$candidate"; then python=$$candidate; break; fi; \
		done; \
		if [ -z "$$python" ]; then \
			echo "Python 3.11, 3.12, 3.13 or 3.14 is needed, $(or $(PYTHON),python3) is $$("$(or $(PYTHON),python3)" --version 2>&1 | tail -n 1)." \
				"Install one, or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python3.12" >&2; \
			exit 1; \
		fi; \
		if ! "$$python" -c 'import ensurepip, venv' 2>/dev/null; then \
			echo "$$python has no venv module. On Debian and Ubuntu: apt-get install python3-venv, then again." >&2; \
			exit 1; \
		fi; \
		echo "Making the environment .venv with $$("$$python" --version)"; \
		"$$python" -m venv --clear $(VENV) || exit 1; \
	fi
	@echo "Installing $$(grep -c '^[a-z0-9].*==' requirements.lock) packages into .venv, once: about a minute"
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-input --only-binary :all: \
		--require-hashes -r requirements.lock
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-input --no-deps --no-build-isolation -e .
	@touch $@
