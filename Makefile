# Everything a developer runs, by name. `make check test` before each commit; `make soak bench` before a change is called done.
PYTHON ?= python

.PHONY: check test bench torture soak docs completions

check:
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy

test:
	$(PYTHON) -m pytest

bench:
	$(PYTHON) tests/bench/run.py

torture:
	$(PYTHON) -m pytest tests/torture --long

soak:
	$(PYTHON) tests/soak.py

docs completions:
	$(PYTHON) tests/generate.py
