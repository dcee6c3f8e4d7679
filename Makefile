# make        create .venv, install the pins, generate and run the labs, build the site
# make test   every check that CI runs; benchmarks alone, then the other tests in WORKERS processes
# make figures  measure anew what the book's page of figures shows, on a machine that does nothing else
# make clean  delete what the two have made, .venv excepted

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := $(CURDIR)/.venv/bin
INSTALLED := .venv/installed
export PATH := $(BIN):$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# The tests start thousands of interpreters: where this variable is set, as in many images, each compiles all it imports.
unexport PYTHONDONTWRITEBYTECODE
WORKERS ?= 4
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
	pytest -m benchmark
	OMP_NUM_THREADS=1 pytest -m "not benchmark and not whole" --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder --timeout 600

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
	python -m compileall -qq -j 0 -x '/tests?/' .venv/lib || true  # a few packages hold files that are no Python
	touch $@

clean:
	if [ -x "$(BIN)/course" ]; then course sagemaker stop; fi
	rm -rf _build .sagemaker
