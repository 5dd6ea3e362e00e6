# The developer's tasks. `make help` lists them.

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help install test quick lint format types check digits docs golden bench wheel ci clean

help: ## list the tasks
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(BIN)/cnnspec: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q -e '.[dev]'
	@touch $@

install: $(BIN)/cnnspec ## make .venv with cnnspec, editable, and the developer's tools

test: $(BIN)/cnnspec ## run the whole test suite
	$(BIN)/pytest -q -n 2

quick: $(BIN)/cnnspec ## run the tests that take no training
	$(BIN)/pytest -q -n 2 -m "not slow"

lint: $(BIN)/cnnspec ## look for mistakes and wrong format with ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(BIN)/cnnspec ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(BIN)/cnnspec ## check types with mypy
	$(BIN)/mypy

check: lint types test ## lint, types and tests: what a change must pass

digits: $(BIN)/cnnspec ## train specs/digits.cnn
	$(BIN)/cnnspec train specs/digits.cnn

golden: $(BIN)/cnnspec ## rewrite the expected outputs of tests/cases; read the diff
	$(BIN)/pytest -q tests/syntax tests/model tests/passes tests/plan --update-golden

bench: ## compare with PyTorch and onnxruntime, about half an hour (benchmarks/README.md)
	$(BIN)/python -m benchmarks --publish

wheel: $(BIN)/cnnspec ## build the wheel and the source archive into dist/
	$(BIN)/python -m build -o dist .

ci: ## run all that a change must pass, from a clean checkout
	bash .ci/run

clean: ## remove what the tasks made
	rm -rf $(VENV) benchmarks/.peers dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis
