# check: what a commit must pass · test: the default tests · docs: what is generated from code and measurements
PYTHON ?= python

.PHONY: check test test-all docs

check:
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy

test:
	$(PYTHON) -m pytest

test-all: test
	$(PYTHON) -m pytest -m download

docs:
	$(PYTHON) docs/generate.py
	$(PYTHON) docs/performance.py
