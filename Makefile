# `make help` says what there is. Everything runs in .venv, which make itself sets up from pyproject.toml and constraints.txt.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
BENCHMARKS := $(patsubst evals/%.py,%,$(wildcard evals/[a-z]*.py))

.DEFAULT_GOAL := help
.PHONY: help demo test postgres storm check bench rivals exchange clean

help:  ## what there is
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## */  make \1\t/' | expand -t 16

demo: $(READY)  ## label 1,000 news articles for a few cents of recorded answers, in a few minutes
	$(BIN)/labelwright demo

test: $(READY)  ## the tests, on all cores, four at once at most; ARGS='-k word' narrows them
	$(BIN)/pytest -n auto --dist loadfile --no-loadscope-reorder -m 'not storm' $(ARGS)

postgres: $(READY)  ## a throw-away PostgreSQL in the foreground, and the `store:` address to use; Ctrl-C ends it
	$(BIN)/python -m tests.postgres

storm: $(READY)  ## money and answers against a provider and a machine that misbehave, at full size: about half an hour, and the tests that are for it alone
	@failed=; $(BIN)/pytest -m storm || failed=" tests"; \
	for name in race faults kills batches; do $(BIN)/python -m tests.storm $$name || failed="$$failed $$name"; done; \
	test -z "$$failed" || { echo "does not hold:$$failed"; exit 1; }

check: $(READY)  ## lint, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy agent $(wildcard evals/*.py)

bench: $(READY)  ## every benchmark in evals/, one after the other
	@missed=; for name in $(BENCHMARKS); do echo "== $$name"; $(BIN)/python -m evals.$$name || missed="$$missed $$name"; done; \
		if [ -n "$$missed" ]; then echo "a target does not hold:$$missed"; exit 1; fi
	@test -n "$(BENCHMARKS)" || echo "evals/ holds no benchmark yet"

rivals: $(READY)  ## environments of their own for the libraries that evals.selection_speed, learning_curve and distil_rivals run beside ours
	$(PYTHON) -m venv .cache/rivals
	.cache/rivals/bin/pip install -qq -c constraints.txt small-text==1.4.1 scikit-activeml==1.0.1 scikit-learn numpy scipy pandas
	.cache/rivals/bin/pip install -qq --no-deps modAL-python==0.4.2.1
	$(PYTHON) -m venv --clear .cache/distillers
	.cache/distillers/bin/pip install -qq --no-deps setfit==1.2.0 sentence-transformers==6.2.0 evaluate==0.4.6
	$(BIN)/python -c 'import site; print(*site.getsitepackages())' > "$$(.cache/distillers/bin/python -c 'import site; print(*site.getsitepackages())')/labelwright.pth"

exchange:  ## an environment of their own for Label Studio's and Argilla's packages, which tests hold our files against
	$(PYTHON) -m venv .cache/exchange
	.cache/exchange/bin/pip install -qq label-studio-sdk==2.1.2 argilla==2.8.0

clean:  ## forget what was built and cached; .venv stays
	rm -rf build dist demo-out .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
	find agent tests evals -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	@echo "installing what pyproject.toml names into .venv (some minutes the first time)"
	$(BIN)/pip install -qq -c constraints.txt -e '.[demo,dev]'
	touch $@
