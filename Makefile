# make demo and make test do all their own set-up: a virtual environment in
# .venv, the compiled kernels, the package itself.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
KERNELS := $(wildcard src/hotsplit/_native/*.pyx src/hotsplit/_native/*.h)

.PHONY: demo test lint fuzz sanitize campaign bench compatibility errors clean

$(VENV)/installed: pyproject.toml $(KERNELS)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/dev: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --group dev
	touch $@

demo: $(VENV)/installed ## show the main job on a small real hot split set
	$(BIN)/hotsplit demo

test: $(VENV)/dev ## the whole test suite with the coverage floor
	$(BIN)/python -m pytest -n auto --cov --cov-report=term:skip-covered

lint: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fuzz: $(VENV)/dev ## look for crashes with damaged files for FUZZ_SECONDS (300)
	$(BIN)/python -m fuzz.run

sanitize: $(VENV)/dev ## kernels under address and undefined behaviour sanitizers: tests, fuzzing
	$(BIN)/python -m fuzz.sanitize

# CAMPAIGN: options of the engine's campaign; --seconds bounds it, e.g. CAMPAIGN="--seconds 600 --jobs 2"
CAMPAIGN ?= --points 1000000 --jobs 2

campaign: $(VENV)/dev ## crashes at every change of a file: of both ways of recovery, of the engine
	FAULTS=all $(BIN)/python -m pytest -n auto tests/ese/recovery/test_faults.py \
		tests/ese/engine/test_inplace.py
	$(BIN)/python -m tests.ese.engine.campaign $(CAMPAIGN)

bench: $(VENV)/dev ## all benchmarks; the figures go to docs/performance.md
	$(BIN)/python -m bench.run

compatibility: $(VENV)/dev ## counts of docs/compatibility.md that need no published engine
	$(BIN)/python -m tests.compatibility

errors: $(VENV)/installed ## write docs/errors.md anew
	$(BIN)/python -m hotsplit.errors > docs/errors.md

clean:
	rm -rf $(VENV) build src/hotsplit/_native/*.c src/hotsplit/_native/*.so src/*.egg-info
