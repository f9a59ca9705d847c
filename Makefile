# Wherry's commands. Everything is made in .venv and build/; `make clean` removes both.
#
#   make demo           the whole way on a small speech network, and a table of what came out
#   make test           the fast tests
#   make test-slow      tests that take minutes
#   make lint           ruff and mypy
#   make sanitize       the native tests under ASan and UBSan, and under TSan
#   make bench-models   every network of the model zoo against TensorFlow
#   make bench-contect  the paper's network: conversion, file, load, memory, speed, against LiteRT and TensorFlow

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.wherry
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
export TF_CPP_MIN_LOG_LEVEL ?= 2
export CUDA_VISIBLE_DEVICES ?= -1

.PHONY: all demo test test-slow lint sanitize bench-models bench-contect clean install system

all: install

# ------------------------------------------------------------------------------------------------ installing
install: $(STAMP)/package

# The one system package: an emulator that runs 64-bit ARM programs. Only Linux has it.
system:
	@if [ "$$(uname -s)" != Linux ]; then \
	  echo "== not Linux: what needs the ARM emulator is skipped"; \
	elif ! command -v qemu-aarch64-static >/dev/null && ! command -v qemu-aarch64 >/dev/null; then \
	  echo "== installing the system package qemu-user-static (runs ARM programs here)"; \
	  $(SUDO) apt-get update -qq && $(SUDO) apt-get install -y -qq qemu-user-static >/dev/null; \
	fi

$(STAMP)/venv:
	@echo "== making $(VENV)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "Wherry needs Python 3.10 or newer; set PYTHON="; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "python3-venv is missing; install it, or set PYTHON="; exit 1; }
	@mkdir -p $(STAMP) && touch $@

$(STAMP)/requirements: $(STAMP)/venv requirements-dev.txt
	@echo "== installing Python packages (TensorFlow among them: some minutes the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

# The native module is built again when a source of it is newer.
$(STAMP)/package: $(STAMP)/requirements pyproject.toml CMakeLists.txt $(shell find cpp -type f)
	@echo "== building the native module"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	@touch $@

# ------------------------------------------------------------------------------------------------ running
demo: system install
	@$(BIN)/python examples/speech/demo.py

test: system install
	@echo "== tests"
	@$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow" tests

test-slow: system install
	@$(BIN)/python -m pytest -m slow tests

lint: install
	@$(BIN)/ruff check .
	@$(BIN)/mypy

sanitize: install
	@$(BIN)/python tests/sanitize.py

bench-models: install
	@$(BIN)/python -m benchmarks.models

bench-contect: install
	@$(BIN)/python -m benchmarks.contect.run

clean:
	rm -rf $(VENV) build dist
