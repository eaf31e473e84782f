SHELL := /bin/sh
ROOT := $(dir $(abspath $(lastword $(MAKEFILE_LIST))))
PYTHON ?= python3
ARGS ?=
VENV := $(ROOT).venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev demo serve test test-slow lint format types contracts check bench lock verifier docs clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

$(VENV)/.runtime: $(ROOT)requirements.lock $(ROOT)pyproject.toml
	@command -v $(PYTHON) >/dev/null 2>&1 || { echo "creditvault needs python3 (3.11 or later): install it (Debian: apt-get install python3 python3-venv), then run make again." >&2; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "creditvault needs Python 3.11 or later; $$($(PYTHON) --version) was found. Name another with: make demo PYTHON=python3.12" >&2; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "Python's venv module is missing: install it (Debian: apt-get install python3-venv), then run make again." >&2; exit 2; }
	@echo "Setting up $(VENV) (once; hash-locked dependencies)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r $(ROOT)requirements.lock || { echo "The dependencies could not be installed: check that a package index can be reached (pip config list), then run make again." >&2; exit 2; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index -e $(ROOT)
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime $(ROOT)requirements-dev.lock
	@echo "Adding the development tools"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r $(ROOT)requirements-dev.lock || { echo "The development tools could not be installed: check that a package index can be reached (pip config list), then run make again." >&2; exit 2; }
	@touch $@

setup: $(VENV)/.runtime ## Make .venv with everything the vault needs

setup-dev: $(VENV)/.dev ## The same, with the development tools

demo: setup ## Run the whole story on real input (ARGS=--once ends it)
	@cd $(ROOT) && $(BIN)/creditvault demo $(ARGS)

# Other people's programs that tests are held against; without Node those tests skip and say so.
NODE := $(ROOT)tests/node
$(NODE)/node_modules/.installed: $(NODE)/package-lock.json
	@if command -v node >/dev/null 2>&1 && command -v npm >/dev/null 2>&1; then \
		echo "Adding other people's programs for the tests ($(NODE))"; \
		(cd $(NODE) && npm ci --silent) || { echo "They could not be installed: check that a package registry can be reached (npm config get registry), then run make again." >&2; exit 2; }; \
		touch $@; \
	else echo "Node is absent, so tests against other people's programs will skip: apt-get install nodejs npm"; fi

test: setup-dev $(NODE)/node_modules/.installed ## Run the fast tests on real PostgreSQL
	@cd $(ROOT) && $(BIN)/python -m pytest -n 2 $(ARGS)

test-slow: setup-dev $(NODE)/node_modules/.installed ## Run the slow tests: crash campaigns, secrecy, load
	@cd $(ROOT) && $(BIN)/python -m pytest -m slow -n 2 $(ARGS)

lint: setup-dev ## Lint and check the format
	@cd $(ROOT) && $(BIN)/ruff check . && $(BIN)/ruff format --check .

format: setup-dev ## Format and mend what can be mended
	@cd $(ROOT) && $(BIN)/ruff check --fix . ; $(BIN)/ruff format .

types: setup-dev ## Check the types, strictly
	@cd $(ROOT) && $(BIN)/mypy

contracts: setup-dev ## Check which room may import which
	@cd $(ROOT) && $(BIN)/lint-imports

check: lint types contracts ## Lint, types and contracts

bench: setup-dev ## Measure, as ratios of one run
	@cd $(ROOT) && $(BIN)/python -m bench $(ARGS)

verifier: setup ## Build the verifier as one file, and print its SHA-256
	@cd $(ROOT) && $(BIN)/python tools/build_verifier.py build/creditvault-verify.pyz

docs: setup ## Write the generated pages of docs/
	@cd $(ROOT) && $(BIN)/creditvault docs

lock: ## Renew the lock files (needs uv; CUTOFF=YYYY-MM-DD)
	@cd $(ROOT) && test -n "$(CUTOFF)" || { echo "name the newest day a release may have: make lock CUTOFF=2026-11-16" >&2; exit 2; }
	@cd $(ROOT) && uv pip compile -q --no-header --no-emit-index-url --universal --python-version 3.11 --generate-hashes --exclude-newer $(CUTOFF) --extra embedded --extra pkcs11 --group build pyproject.toml -o requirements.lock
	@cd $(ROOT) && uv pip compile -q --no-header --no-emit-index-url --universal --python-version 3.11 --generate-hashes --exclude-newer $(CUTOFF) -c requirements.lock --extra embedded --extra pkcs11 --group build --group dev pyproject.toml -o requirements-dev.lock

clean: ## Remove .venv and caches
	@rm -rf $(VENV) $(NODE)/node_modules $(ROOT).hypothesis $(ROOT).mypy_cache $(ROOT).ruff_cache $(ROOT).pytest_cache
