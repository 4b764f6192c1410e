# The project's vocabulary; `make` alone lists it. It needs Python 3.11 or later and nothing else.
#
# A virtual environment is installed in two sizes: what the demo needs, and everything for development. Each has a
# stamp file that is older than the files it depends on when an installation is due.

VENV ?= .venv
PYTHONS ?= 3.11 3.12 3.13
ARGS ?=
SECONDS ?= 300
TRAINERS := .venv-trainers

BIN := $(VENV)/bin
PROJECTS := pyproject.toml $(wildcard envs/*/pyproject.toml)
EDITABLE := $(patsubst %/pyproject.toml,-e ./%,$(wildcard envs/*/pyproject.toml))
PIP := $(BIN)/python -m pip --disable-pip-version-check install -qq --constraint constraints.txt
PYTEST := $(BIN)/python -m pytest -n auto --maxprocesses 8 --dist loadgroup

# A test that hangs says where it does, and is failed: its process is ended, and another one goes on.
HANGS_AFTER = -o faulthandler_timeout=$(1) --timeout $$(( $(1) + 20 )) --timeout-method thread

.DEFAULT_GOAL := help
.PHONY: help install demo test test-full test-slow test-engines test-nemo-gym test-pythons test-trainers test-verifiers learn chaos readmes escape fuzz bench lint format types docs clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' Makefile

demo: $(VENV)/.demo ## Play episodes against real environments, each in its own process
	@$(BIN)/openenv demo

test: $(VENV)/.dev ## Run the fast tests (ARGS="-k name" for some of them)
	$(PYTEST) $(call HANGS_AFTER,180) -m "not slow and not engine" $(ARGS)

test-full: $(VENV)/.dev ## Run all tests but those that need an engine
	$(PYTEST) $(call HANGS_AFTER,900) -m "not engine" $(ARGS)

test-slow: $(VENV)/.dev ## Run what the fast tests leave out
	$(PYTEST) $(call HANGS_AFTER,900) -m "slow and not engine" $(ARGS)

test-engines: $(VENV)/.engines ## Start Docker, a swarm, Kubernetes and Ray, run the tests that need them, end them
	PYTHON=$(BIN)/python tests/engines/run.sh $(ARGS)

test-pythons: ## Run the fast tests on each Python of PYTHONS that this machine has
	@for version in $(PYTHONS); do \
	    if python=$$(.ci/find-python $$version 2>/dev/null); then \
	        echo "Python $$version:"; \
	        $(MAKE) --no-print-directory test VENV=.venv-$$version PYTHON=$$python || exit 1; \
	    else \
	        echo "Python $$version is not on this machine: skipped"; \
	    fi; \
	done

test-trainers: $(TRAINERS)/.installed ## Run the tests against the trainers' own code, in an environment of their own
	@$(call trainers,$(TRAINERS)/bin/python -m pytest -n 2 --dist loadgroup tests/integrations $(ARGS))
	@$(call trainers,$(TRAINERS)/bin/python -m pytest tests/snippets -k trainers)
	@$(call trainers,$(TRAINERS)/bin/python -m pytest tests/examples -k "sb3 or skyrl or lightning or inspect")

learn: $(TRAINERS)/.installed ## Train small models with the trainers, and see that they learn and a control does not
	@$(call trainers,TRAINERS=$(TRAINERS)/bin/python .ci/learn $(ARGS))

# What these two need has other versions than constraints.txt, so each has an environment of its own.
test-verifiers: .venv-verifiers/.installed ## Let the taskset of verifiers drive environments (1 to 4 minutes and 640 MB at first)
	PYTHONPATH=src:envs $(<D)/bin/python -m pytest tests/integrations/test_verifiers.py $(ARGS)

test-nemo-gym: .venv-nemo-gym/.installed ## Let the server of NeMo Gym run environments (3 to 6 minutes and 1.4 GB at first)
	PYTHONPATH=src:envs $(<D)/bin/python -m pytest tests/integrations/test_nemo_gym.py $(ARGS)

.venv-verifiers/.installed: NEEDS = verifiers==0.4.0 uv
.venv-verifiers/.installed: VERSION = 3.11
.venv-nemo-gym/.installed: NEEDS = nemo-gym==0.4.0
.venv-nemo-gym/.installed: VERSION = 3.12
.venv-verifiers/.installed .venv-nemo-gym/.installed: pyproject.toml
	@python=$$(.ci/find-python $(VERSION)) && $$python -m venv $(@D)
	@echo "Installing $(NEEDS) into $(@D) ..."
	@$(@D)/bin/python -m pip --disable-pip-version-check install -qq -e . $(NEEDS) pytest hypothesis
	@touch $@

chaos: $(VENV)/.dev ## Break everything a thousand times, and count what went wrong (ARGS="--seed 1 --only cut")
	$(BIN)/python -m tests.chaos $(ARGS)

readmes: $(VENV)/.dev ## Do what the README of each environment says, in a virtual environment of its own (ARGS=echo_env)
	$(BIN)/python -m tests.readmes $(ARGS)

escape: $(VENV)/.dev ## Try to get out of the sandbox, and say what stopped each attempt (ARGS=sandbox)
	$(BIN)/python -m tests.escape $(ARGS)

fuzz: $(VENV)/.dev ## Feed the decoders of frames with whatever Hypothesis finds (SECONDS=300)
	$(BIN)/python -m tests.fuzz --seconds $(SECONDS) $(ARGS)

bench: $(VENV)/.bench ## Measure, and print the figures (ARGS=--plot draws them, too)
	$(BIN)/python -m benchmarks $(ARGS)

lint: $(VENV)/.dev ## Check style, formatting and the import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

format: $(VENV)/.dev ## Mend what the linter can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(VENV)/.dev ## Check the types, strictly
	$(BIN)/mypy

docs: $(VENV)/.dev ## Run every code block of the README and the documentation
	$(PYTEST) tests/snippets tests/docs $(ARGS)

install: $(VENV)/.dev ## Install everything for development into .venv

# Their libraries are large, and want other versions than the rest. Where they cannot be installed, nothing of them runs.
trainers = if [ -x $(TRAINERS)/bin/python ]; \
    then HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false $(1); \
    else echo "Skipped: the trainers' libraries are tested on Python 3.11, which is not on this machine."; fi

# What the examples, and the tests on trainers, play.
PLAYED := blackjack_env echo_env game2048_env grid_world_env gymnasium_env openspiel_env python_exec_env
TRAINERS_PIP := $(TRAINERS)/bin/python -m pip --disable-pip-version-check install -qq --constraint constraints-trainers.txt

$(TRAINERS)/.installed: $(PROJECTS) constraints-trainers.txt
	@if python=$$(.ci/find-python 3.11 2>/dev/null); then \
	    echo "Installing into $(TRAINERS) ..." && \
	    $$python -m venv $(TRAINERS) && \
	    $(TRAINERS_PIP) torch && \
	    $(TRAINERS_PIP) -e '.[test,trainers]' $(PLAYED:%=-e ./envs/%) && \
	    touch $@; \
	fi

clean: ## Remove the virtual environments and what tools left behind
	rm -rf .venv .venv-* build dist .mypy_cache .ruff_cache .hypothesis .import_linter_cache

$(BIN)/python:
	@python=$$(PYTHON="$(PYTHON)" .ci/find-python) && echo "Making $(VENV) with $$python" && $$python -m venv $(VENV)

$(VENV)/.demo: $(PROJECTS) constraints.txt | $(BIN)/python
	@echo "Installing into $(VENV) ..."
	@$(PIP) -e . $(EDITABLE)
	@touch $@

$(VENV)/.bench: $(VENV)/.dev
	@$(PIP) -e '.[bench]'
	@touch $@

$(VENV)/.engines: $(VENV)/.dev
	@$(PIP) -e '.[aca,daytona,docker,modal,ray]'
	@touch $@

$(VENV)/.dev: $(PROJECTS) constraints.txt | $(BIN)/python
	@echo "Installing into $(VENV), with the development tools ..."
	@$(PIP) -e '.[dev]' $(EDITABLE)
	@touch $(VENV)/.demo $@
