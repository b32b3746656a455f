# `make help` lists the targets. Options of a verb go into ARGS: make dataset ARGS="--num-samples 500"
VENV ?= .venv
PYTHON ?= python3
ARGS ?=
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
CHECKED := benchmarks cli configs control datasets examples files geometry models policy render sim tests vision

# The checkout root must not shadow installed packages such as Hugging Face's `datasets`.
export PYTHONSAFEPATH := 1

.DEFAULT_GOAL := help
.PHONY: help setup doctor dataset preview train-vision eval-vision train-policy export evaluate run \
	view demo bench test test-slow check format lint type clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | awk -F '\t' '{printf "  %-14s %s\n", $$1, $$2}'

setup: $(STAMP)  ## install system packages (when allowed) and the virtual environment

$(STAMP): pyproject.toml scripts/setup.sh
	bash scripts/setup.sh "$(VENV)" "$(PYTHON)"

doctor dataset preview train-vision eval-vision train-policy export evaluate run view demo bench: $(STAMP)
	$(BIN)/opendactyl $@ $(ARGS)

doctor:        ## say which parts of this machine work
dataset:       ## render data/train and data/val
preview:       ## draw a contact sheet
train-vision:  ## train the pose estimator (an hour by default)
eval-vision:   ## measure the estimator
train-policy:  ## train the control policy (an hour by default)
export:        ## join both into exports/bundle
evaluate:      ## count consecutive goals in closed loop
run:           ## film the closed loop
view:          ## watch the closed loop in a browser
demo:          ## all of it in one go, at a small size
bench:         ## measure speed against other ways, in one run

test: $(STAMP)  ## run the default tests
	$(BIN)/pytest $(ARGS)

test-slow: $(STAMP)  ## run the long tests too
	$(BIN)/pytest -m "slow or not slow" $(ARGS)

check: $(STAMP)  ## format check, lint, types, tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(MAKE) type
	$(MAKE) test

format: $(STAMP)  ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: $(STAMP)  ## lint the code
	$(BIN)/ruff check .

type: $(STAMP)  ## check types; a link lets the checker see the folders as the packages they are
	mkdir -p build/types && ln -sfn ../.. build/types/opendactyl
	$(BIN)/pyright --pythonpath $(BIN)/python

clean:  ## remove what tests and builds leave behind, but no data, runs or exports
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache
	find . -name __pycache__ -not -path "./$(VENV)/*" -prune -exec rm -rf {} +
