# make        create .venv, install the pins, generate and run the labs, build the site
# make test   every check that CI runs
# make figures  measure anew what the book's page of figures shows, on a machine that does nothing else
# make clean  delete what the two have made, .venv excepted

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := $(CURDIR)/.venv/bin
INSTALLED := .venv/installed
export PATH := $(BIN):$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.PHONY: all test lint figures clean
.NOTPARALLEL:

all: $(INSTALLED)
	course labs
	course book
	course run

test: lint
	course labs --check
	COURSE_SCALE=smoke course run
	course book
	pytest

lint: $(INSTALLED)
	ruff check .
	ruff format --check .
	codespell
	lint-imports

figures: $(INSTALLED)
	pytest tests/benchmarks tests/local_sagemaker/test_kill.py --figures book/reference/figures.json

$(INSTALLED): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info[:2] == (3, 11) else f"the course needs Python 3.11, $(PYTHON) is {sys.version.split()[0]}: make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv .venv
	pip install -qq --no-compile --no-deps -r requirements.txt
	pip install -qq --no-deps --no-build-isolation --editable .
	touch $@

clean:
	if [ -x "$(BIN)/course" ]; then course sagemaker stop; fi
	rm -rf _build .sagemaker
