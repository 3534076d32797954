# Every target works alone on a fresh machine: it makes .venv and installs there once, and again when the pins change.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
PYTEST := $(BIN)/python -m pytest
# Two workers on one thread each beat one on two, and small tensors gain nothing from threads.
WORKERS ?= 2

.PHONY: help install demo prove test test-slow nightly lint bench docs wheel clean
.DEFAULT_GOAL := help

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(READY): pyproject.toml checker/pyproject.toml constraints.txt
	test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	@echo 'installing absdomain and what it needs into .venv (once; PyTorch is large)'
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ./checker -e '.[all,dev]'
	touch $@

install: $(READY)  ## make .venv and install absdomain in it, editable

demo: $(READY)  ## train on 8x8 digits, certify the test set, print the table, write the plots
	$(BIN)/absdomain demo

lint: $(READY)  ## style and types
	$(BIN)/ruff check
	$(BIN)/mypy -p absdomain

prove: $(READY)  ## check every lemma on the code that is installed
	OMP_NUM_THREADS=1 $(BIN)/absdomain prove

test: lint  ## style, types and the fast tests, every lemma among them
	OMP_NUM_THREADS=1 $(PYTEST) -n $(WORKERS) -m "not slow"

test-slow: $(READY)  ## the slow tests; those on real data run if ABSDOMAIN_DATA names the data folder
	OMP_NUM_THREADS=1 $(PYTEST) -n $(WORKERS) -m slow --timeout 7200

nightly: lint  ## everything, with many more random examples
	OMP_NUM_THREADS=1 $(PYTEST) -n $(WORKERS) --hypothesis-profile nightly --timeout 14400

bench: $(READY)  ## speed and memory beside a plain forward pass and a plain training step
	$(BIN)/python -m benchmarks bounds
	$(BIN)/python -m benchmarks methods
	$(BIN)/python -m benchmarks lowering
	$(BIN)/python -m benchmarks startup
	$(BIN)/python -m benchmarks verify

docs: $(READY)  ## the site: docs/_build/html/index.html
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[docs]'
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs docs/_build/html

wheel: $(READY)  ## dist/absdomain-*.whl
	$(BIN)/python -m build --wheel --no-isolation

clean:  ## remove what the tools wrote, .venv excepted
	rm -rf build dist docs/_build docs/generated *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
