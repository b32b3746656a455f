# `make help` lists the targets. Options of a verb go into ARGS: make dataset ARGS="--num-samples 500"
VENV ?= .venv
PYTHON ?= python3
ARGS ?=
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# One worker per core; idle workers take tests from busy ones.
PARALLEL := -n auto --maxprocesses 8 --dist worksteal

# The checkout root must not shadow installed packages such as Hugging Face's `datasets`.
export PYTHONSAFEPATH := 1

.DEFAULT_GOAL := help
.PHONY: help setup doctor rig object hand scene dataset preview train-vision eval-vision train-policy train-imitation \
	export estimate evaluate run view demonstrate demo bench ablation docs site build test test-slow check format lint type clean

help:  ## list the targets
	@echo 'make TARGET [ARGS="options, see ARGS=--help"] [VENV=.venv] [PYTHON=python3]'
	@echo
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | awk -F '\t' '{printf "  %-14s %s\n", $$1, $$2}'

setup: $(STAMP)  ## install everything; `make demo` and `make test` do it too

$(STAMP): pyproject.toml scripts/setup.sh
	bash scripts/setup.sh "$(VENV)" "$(PYTHON)"

doctor rig object hand scene dataset preview train-vision eval-vision train-policy train-imitation export estimate evaluate run view demonstrate demo bench: $(STAMP)
	$(BIN)/opendactyl $@ $(ARGS)

doctor:        ## check which parts of this machine work
rig:           ## import or draw cameras: ARGS="show dactyl"
object:        ## draw an object: ARGS="show FILE"
hand:          ## draw a hand: ARGS="show shadow"
scene:         ## draw a scene without a hand: ARGS="show table.toml"
dataset:       ## render data/train and data/val
preview:       ## draw a contact sheet
train-vision:  ## train the pose estimator (an hour by default)
eval-vision:   ## measure the estimator
train-policy:  ## train the control policy (an hour by default)
train-imitation:  ## train the network that imitates one demonstration
export:        ## join both into exports/bundle
estimate:      ## estimate poses from pictures or videos: ARGS="--images DIR"
evaluate:      ## count consecutive goals in closed loop
run:           ## record a video of the closed loop
view:          ## show the closed loop in a browser
demonstrate:   ## record a demonstration: ARGS="--program there-and-back"
demo:          ## run the whole chain at a small size
bench:         ## compare speed with other implementations

ablation: $(STAMP)  ## compare variants of the estimator: ARGS="base views-1"
	$(BIN)/python -m opendactyl.benchmarks.studies.ablations $(ARGS)

docs: $(STAMP)  ## generate the tables of the docs; ARGS=--pictures: images
	$(BIN)/python scripts/make_docs.py $(ARGS)

site: $(STAMP)  ## build the documentation's website in build/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict $(ARGS)

build: $(STAMP)  ## build sdist and wheel in dist/
	$(BIN)/python -m build --no-isolation $(ARGS)

test: $(STAMP)  ## run the default tests
	$(BIN)/pytest $(PARALLEL) $(ARGS)

test-slow: $(STAMP)  ## run the long tests too
	$(BIN)/pytest $(PARALLEL) -m "slow or not slow" $(ARGS)

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

# Through the link, the type checker finds the folders under their package names.
type: $(STAMP)  ## check types
	mkdir -p build/types && ln -sfn ../.. build/types/opendactyl
	$(BIN)/pyright --pythonpath $(BIN)/python

clean:  ## remove outputs of tests and builds; keeps data, runs, exports
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache
	find . -name __pycache__ -not -path "./$(VENV)/*" -prune -exec rm -rf {} +
