# Everything a newcomer types: `make demo` and `make test`. Both set up what they need, once.
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
NATIVE := xbarspice/surrogate/native
KERNELS := $(NATIVE)/built/.ready
# a file of tests stays with one worker, which makes its models and deployments once
PYTEST_ARGS ?= -n auto --dist loadfile
PYTHON_WITH_CUDA ?= python3
SITE ?= site

.DEFAULT_GOAL := help
.PHONY: help setup ngspice decktools compiler demo reproduce reproduce-quick test test-long test-cuda check format golden bench bench-quick wheel docs clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ngspice $(VENV)/.ready $(KERNELS) ## install ngspice and a C++ compiler (system packages), the virtual environment, kernels

ngspice:
	@.ci/install-ngspice

decktools: ## install KLayout, Magic and netgen, which run designers' decks (system packages; tests need them)
	@.ci/install-decktools

compiler:
	@.ci/install-compiler

$(VENV)/.ready: pyproject.toml .ci/constraints.txt .ci/install-venv | compiler
	@.ci/install-venv

$(KERNELS): $(NATIVE)/build.py $(wildcard $(NATIVE)/*.cpp $(NATIVE)/*.hpp) | compiler $(VENV)/.ready
	@echo "compiling the kernels" && $(BIN)/python $(NATIVE)/build.py && touch $@

demo: setup ## run the main job: train, map, netlists, ngspice, verify; results in runs/demo
	@$(BIN)/xbarspice demo --out runs/demo

reproduce: setup ## the paper's experiment with its confirmation in ngspice; resumable, about 40 minutes
	@$(BIN)/python -m papers.drolet2023 --engine ngspice --out runs/reproduce --markdown papers/drolet2023/REPRODUCTION.md

reproduce-quick: setup ## the paper's experiment, small, in two minutes; no figure of it stands for it
	@$(BIN)/python -m papers.drolet2023 --engine ngspice --quick --out runs/reproduce-quick

test: setup decktools ## run the whole test suite (needs ngspice and the decks' programs; never skips them)
	@XBARSPICE_REQUIRE_NGSPICE=1 $(BIN)/python -m pytest $(PYTEST_ARGS)

test-long: setup decktools ## ten times as many examples of chance, and a million weights in ngspice
	@XBARSPICE_REQUIRE_NGSPICE=1 XBARSPICE_LONG=1 $(BIN)/python -m pytest $(PYTEST_ARGS) --dist load -m "long or not long" \
	  tests/long tests/property tests/faults/test_fuzzed_files.py tests/unit/calibration/test_goodness.py tests/unit/calibration/test_inspection.py tests/unit/calibration/test_joint.py \
	  tests/unit/calibration/test_array_inspection.py \
	  tests/unit/calibration/test_coverage.py \
	  tests/unit/calibration/test_ranking.py tests/unit/calibration/test_bootstrap.py

test-cuda: ## on a machine with a GPU and torch: the CUDA tests, and arrays on it against the CPU
	@$(PYTHON_WITH_CUDA) -m pytest -p no:cacheprovider -k cuda tests/unit/nn tests/contract
	@$(PYTHON_WITH_CUDA) -m benchmarks.bench_tensors

check: setup ## lint, format and type checks
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/pyright

format: setup ## rewrite the sources in the project's format
	@$(BIN)/ruff check --fix . && $(BIN)/ruff format .

golden: setup ## write the golden files anew; review the diff
	@XBARSPICE_REGENERATE=1 $(BIN)/python -m pytest tests/golden

bench: setup ## measure speed side by side; writes benchmarks/RESULTS.md
	@$(BIN)/python -m pip install -q --no-deps badcrossbar==1.1.0 pathvalidate
	@$(BIN)/python -m benchmarks

bench-quick: setup ## run small benchmarks, under a minute; writes benchmarks/out only
	@$(BIN)/python -m benchmarks --quick

wheel: setup ## build the wheel into dist/
	@$(BIN)/python -m pip wheel -q --no-deps -w dist .

docs: setup ## build the documentation site into site/; any broken link stops it
	@NO_MKDOCS_2_WARNING=1 PYTHONPATH=$(CURDIR) $(BIN)/python -m mkdocs build --strict -d $(SITE)

clean: ## remove what was built (not the virtual environment)
	@rm -rf build dist runs site *.egg-info .pytest_cache .ruff_cache .hypothesis
