# From a bare Python 3.11 each target sets up .venv first (once) and then does its work.
#
#   make demo    one domain, three groups: probe, groups, training, evaluation, report  -> runs/demo/report/report.html
#   make world   four domains                                                           -> runs/world/report/report.html
#   make world-paper   also the six mixing ratios     -> runs/world-paper/report/report.html
#   make world-seeds   the three groups with three training seeds each  -> runs/world-seeds/report/report.html
#   make watch   one domain, two groups, each training watched -> runs/watch/report/report.html
#   make test    the tests            make lint    ruff and mypy            make docs    the site
#   make clean   removes the runs of the experiments above and all caches; the environment stays (rm -r .venv)

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
CORES ?= 2
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# Nothing here needs a network once the environment stands, and nobody is told about a run.
export HF_HUB_OFFLINE ?= 1
export AXOLOTL_DO_NOT_TRACK ?= 1

.PHONY: demo watch world world-paper world-seeds test lint docs clean help $(VENV)

demo watch world world-paper world-seeds: $(READY)
	$(BIN)/snakemake --snakefile scripts/Snakefile --configfile scripts/experiments/$@.yaml \
	  --profile scripts/profiles/local --cores $(CORES) --quiet host reason

test: $(READY)
	$(BIN)/python -m pytest -n $(CORES) --dist loadfile

lint: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

docs: $(READY)
	$(BIN)/python scripts/build_site.py build/site

clean:
	rm -rf runs/demo runs/watch runs/world runs/world-paper runs/world-seeds build/site .snakemake .mypy_cache .pytest_cache .ruff_cache .hypothesis

help:
	@sed -n 's/^#   //p' $(firstword $(MAKEFILE_LIST))

$(VENV): $(READY)

# An environment whose installation was cut short is not to be trusted: pip takes half a package for a whole one. One that
# was not made here (no mark) is used, never removed. torch comes first and by itself, so that a build that this machine
# prefers (a CPU wheel, say) is the one that stays.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "Python 3.11 is needed, found '$(PYTHON)': install it, or name it with make PYTHON=/path/to/python3.11" >&2; exit 2; }
	@if [ ! -e $@ ] && [ -e $(VENV)/.made-by-make ]; then rm -rf $(VENV); fi
	@if [ -d $(VENV) ] && [ ! -x $(BIN)/python ] && [ -n "$$(ls -A $(VENV))" ]; then \
	  echo "$(VENV) exists and is no virtual environment: move it away, or name another with make VENV=..." >&2; exit 2; fi
	@if [ ! -x $(BIN)/python ]; then mkdir -p $(VENV) && touch $(VENV)/.made-by-make && $(PYTHON) -m venv $(VENV); fi
	@rm -f $@
	@echo "Installing into $(VENV), once: some 4 minutes and 5 GB"
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[eval,train,grid,dev]'
	@touch $@
