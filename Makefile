# The commands of a developer. PYTHON is an environment with the extras
# tests and docs; tools/run_tests.sh makes the one for the tests.
PYTHON ?= .venv/bin/python
export NO_MKDOCS_2_WARNING = 1

.PHONY: help test style tables docs docs-serve

help:      ## This list
	@grep -E '^[a-z-]+: .*##' Makefile | sed 's/:.*##/\t/'

test:      ## Set-up and all tests
	bash tools/run_tests.sh

style:     ## What the style tests check, in seconds
	$(PYTHON) -m ruff check mmtvface tools tests configs setup.py
	$(PYTHON) -m pytest -q tests/test_package/test_style.py \
		tests/test_package/test_docs.py

tables:    ## Renew the generated tables of docs/
	$(PYTHON) tools/docs/tables.py

docs:      ## Build site/, with warnings as errors
	$(PYTHON) -m mkdocs build --strict

docs-serve: ## The same at http://127.0.0.1:8000, renewed as you write
	$(PYTHON) -m mkdocs serve
