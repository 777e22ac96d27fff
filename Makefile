# The common jobs of a developer: `make help` lists them. PYTHON chooses the interpreter of the environment.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

CSRC := src/ls3d/ops/backends/cpu/csrc/*
.DEFAULT_GOAL := help
.PHONY: help setup kernel test slow faults gpu coverage lint types format wheel docs site mutation sbom bench clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## create the environment: the package with its extras, linters, pre-commit hooks
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -c constraints.txt --upgrade pip
	$(BIN)/pip install -c constraints.txt -e '.[train,hub,serve,test]' --group dev
	$(BIN)/pre-commit install

kernel: ## recompile the CPU kernel after a change in csrc
	$(BIN)/pip install -c constraints.txt --no-deps -e .

test: ## the tests (minutes)
	$(BIN)/pytest

slow: ## the slow tests, too long for every change
	$(BIN)/pytest -m slow

faults: ## the tests of hostile and damaged input (minutes)
	$(BIN)/pytest tests/faults

gpu: ## the tests marked gpu (needs a CUDA device)
	$(BIN)/pytest -m gpu -n 0

coverage: ## the tests with branch coverage, against its thresholds
	$(BIN)/pytest --cov --cov-report=
	PATH=$(abspath $(BIN)):$$PATH scripts/coverage.sh

lint: ## style, spelling and import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/clang-format --dry-run -Werror $(CSRC)
	$(BIN)/codespell
	$(BIN)/lint-imports

types: ## mypy, strict
	$(BIN)/mypy

format: ## format the code and apply ruff's safe fixes
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(CSRC)

wheel: ## build a wheel, and check it in a new environment
	$(BIN)/pip install -c constraints.txt --group wheel
	$(BIN)/python scripts/check_wheel.py

docs: ## regenerate docs/models.md from the registry, and the scores of `ls3d models` from benchmarks/results
	$(BIN)/python scripts/model_table.py
	$(BIN)/python scripts/measured_scores.py

site: ## build the documentation site into site/
	$(BIN)/pip install -q -c constraints.txt --group docs
	$(BIN)/mkdocs build --strict

mutation: ## the mutation score of sizes and timestamps (half an hour)
	$(BIN)/pip install -q -c constraints.txt --group mutation
	PATH=$(abspath $(BIN)):$$PATH scripts/mutation.sh

sbom: ## write a software bill of materials of the environment, dist/sbom.json
	$(BIN)/pip install -q -c constraints.txt --group sbom
	PATH=$(abspath $(BIN)):$$PATH scripts/sbom.sh

bench: ## time the operator and the engine on this machine; JSON files under runs/
	mkdir -p runs
	$(BIN)/python -P benchmarks/operator.py --json runs/operator.json
	$(BIN)/python -P benchmarks/engine.py > runs/engine.json

clean: ## delete caches and build products; environment and runs/ stay
	rm -rf build dist site src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage .coverage.*
	find src tests benchmarks scripts examples -name __pycache__ -type d -exec rm -rf {} +
