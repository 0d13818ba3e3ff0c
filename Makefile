# From a fresh clone, with nothing but python3 (3.10 or later, with venv) and make:
#
#   make demo         install, and run the cup task from demonstrations to report
#   make test         the quick tests              make test-slow   the slow ones (wheels, kills, long runs)
#   make check        lint, format, types, layers  make build       wheel and source archive, into dist/
#   make format       mend what ruff can mend      make clean       remove the environment and what was built
#
# PYTHON=python3.12   another interpreter
# PIP_ARGS=...        more arguments for pip. On Linux PyPI's PyTorch brings gigabytes of CUDA; without a GPU use
#                     PIP_ARGS="--extra-index-url https://download.pytorch.org/whl/cpu"
# ARGS=...            more arguments for `dexloop run cup` or for pytest

PYTHON ?= python3
PIP_ARGS ?=
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL = $(BIN)/python -m pip install --disable-pip-version-check $(PIP_ARGS) -c constraints.txt
# The platform on which scripts/system-packages.sh saw MuJoCo render; a MUJOCO_GL of the user's own wins.
WITH_GL = MUJOCO_GL="$${MUJOCO_GL:-$$(cat $(VENV)/.rendering)}"

.PHONY: demo test test-slow check format build proto clean

demo: $(VENV)/.train $(VENV)/.rendering
	$(WITH_GL) $(BIN)/dexloop run cup $(ARGS)

test: $(VENV)/.dev $(VENV)/.rendering
	$(WITH_GL) $(BIN)/python -m pytest -m "not slow" $(ARGS)

test-slow: $(VENV)/.dev $(VENV)/.rendering
	$(WITH_GL) $(BIN)/python -m pytest -m slow $(ARGS)

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

build: $(VENV)/.dev
	$(BIN)/python -m build --no-isolation

# Generated with an old compiler, as its code asks for no newer libraries than itself; kept out of the environment.
proto:
	$(PYTHON) -m venv build/proto && build/proto/bin/pip install -q grpcio-tools==1.73.1 'setuptools<80'
	build/proto/bin/python -m grpc_tools.protoc -Iproto --python_out=src --pyi_out=src --grpc_python_out=src \
		proto/dexloop/v1/robot.proto

clean:
	rm -rf $(VENV) build dist

# Stamps: each is as new as the last time its step succeeded, so that a second make goes straight to work.

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "error: dexloop needs Python 3.10 or later: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
		{ echo "error: no virtual environment; on Debian or Ubuntu: sudo apt-get install python3-venv" >&2; exit 1; }
	@touch $@

$(VENV)/.train: $(VENV)/.made pyproject.toml constraints.txt
	$(PIP_INSTALL) -e '.[train]'
	@touch $@

$(VENV)/.dev: $(VENV)/.made pyproject.toml constraints.txt
	$(PIP_INSTALL) -e '.[train,dev]'
	@touch $@ $(VENV)/.train

# After whichever installation was asked for: rendering is tried with the installed MuJoCo.
$(VENV)/.rendering: | $(if $(filter test test-slow,$(MAKECMDGOALS)),$(VENV)/.dev,$(VENV)/.train)
	@scripts/system-packages.sh $(BIN)/python > $@.new && mv $@.new $@
