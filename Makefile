# Wherry's commands. Everything is made in .venv and build/; `make clean` removes both.
#
#   make demo           the whole way on a small speech network, and a table of what came out
#   make test           the fast tests
#   make test-slow      tests that take minutes
#   make lint           ruff and mypy
#   make sanitize       the native tests under ASan and UBSan, and under TSan
#   make bench-models   every network of the model zoo against TensorFlow
#   make bench-contect  the paper's network: conversion, file, load, memory, speed, against LiteRT and TensorFlow
#   make bench-peers    six networks against LiteRT, ONNX Runtime, MNN and ncnn
#   make bench-memory   Contect in 48 MB: limits it survives, memory, what streaming costs (the limits need root)
#   make bench-arm      the inner loops on ARM cores, by llvm-mca: cycles for each multiply-add beside the core's best

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.wherry
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
export TF_CPP_MIN_LOG_LEVEL ?= 2
export CUDA_VISIBLE_DEVICES ?= -1

.PHONY: all demo test test-slow lint sanitize bench-models bench-contect bench-peers bench-memory bench-arm clean install system llvm-mca

all: install

# ------------------------------------------------------------------------------------------------ installing
install: $(STAMP)/package

# What Debian and Ubuntu keep in packages of their own: the emulator that runs ARM programs, and, where the Python is
# the system's, its venv module and headers. Other systems skip the emulator.
system:
	@if [ "$$(uname -s)" != Linux ]; then \
	  echo "== not Linux: what needs the ARM emulator is skipped"; \
	else \
	  missing=""; \
	  command -v qemu-aarch64-static >/dev/null || command -v qemu-aarch64 >/dev/null || missing="qemu-user-static"; \
	  $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || missing="$$missing python3-venv"; \
	  $(PYTHON) -c 'import pathlib, sys, sysconfig; sys.exit(not (pathlib.Path(sysconfig.get_path("include")) / "Python.h").exists())' \
	    || missing="$$missing python3-dev"; \
	  if [ -n "$$missing" ]; then \
	    echo "== installing system packages:$$missing"; \
	    $(SUDO) apt-get update -qq && DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install -y -qq $$missing >/dev/null; \
	  fi; \
	fi

$(STAMP)/venv: | system
	@echo "== making $(VENV)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "Wherry needs Python 3.10 or newer; set PYTHON="; exit 1; }
	@$(PYTHON) -m venv $(VENV)
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

# The peers of bench-peers, apart from everything else.
PEERS := build/bench/packages
$(PEERS)/.installed: $(STAMP)/requirements requirements-bench.txt
	@echo "== installing the runtimes to compare with"
	@rm -rf $(PEERS)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target $(PEERS) -r requirements-bench.txt
	@touch $@

# ------------------------------------------------------------------------------------------------ running
demo: install
	@$(BIN)/python examples/speech/demo.py

test: install
	@echo "== tests"
	@$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow" tests

test-slow: install
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

bench-peers: install $(PEERS)/.installed
	@$(BIN)/python -m benchmarks.peers.run

# LiteRT's file is the one that bench-contect converts, which takes minutes: it is made where it is missing.
bench-memory: install
	@test -e build/bench/contect/contect.tflite || $(BIN)/python -m benchmarks.contect.run --peers-only
	@$(BIN)/python -m benchmarks.memory.run

bench-arm: install llvm-mca
	@$(BIN)/python -m benchmarks.arm.run

llvm-mca:
	@command -v llvm-mca >/dev/null || { \
	  echo "== installing system packages: llvm"; \
	  $(SUDO) apt-get update -qq && DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install -y -qq llvm >/dev/null; \
	}

clean:
	rm -rf $(VENV) build dist
