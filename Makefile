# Auditwire. `make help` says what there is.
PYTHON ?= python3
BIN := .venv/bin
SOURCES := schemas connectors pipeline infra examples tests bench
WORKERS ?= 4

.DEFAULT_GOAL := help
unexport PYTHONDONTWRITEBYTECODE # hundreds of short processes would each compile what they import
.PHONY: help install fmt check tools test up feed down status demo faults bench bench-page bench-micro bench-profiles bench-sustained bench-e2e bench-export clean

help: ## what there is
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: ## the environment in .venv and the servers' jars in .cache (what needs it calls it)
	@$(PYTHON) infra/install.py

fmt: install ## format the code, mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

check: install ## formatting, lint, types, layers, generated files
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy $(addprefix -p ,$(SOURCES))
	$(BIN)/mypy --config-file connectors/sdk/pyproject.toml connectors/sdk/src connectors/sdk/tests
	$(BIN)/lint-imports
	$(BIN)/python -m schemas check
	$(BIN)/python -m infra.docs check

tools: ## what only tests need of this machine, a Chromium and promtool (`make test` calls it)
	@$(PYTHON) infra/tools.py

test: install tools ## the whole suite, real servers and a real browser included
	$(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

faults: install ## break the running pipeline on purpose, 60 runs of 5 faults; FAULTS="--runs 6 --seed 2" for less (docs/faults.md)
	$(BIN)/python -m tests.faults.harness $(or $(FAULTS),--runs 60)

demo: install ## from an agent's action to a compliance extract, then nothing left running
	@$(BIN)/python -m infra.demo

up: install ## start servers and all parts in the background; endpoints and .auditwire/env
	@$(BIN)/python -m infra.stack up

feed: install ## the demo's input into what `make up` runs: something to look at
	@$(BIN)/python -m infra.demo.into

status: ## a line each: name, pid, state, endpoint; fails when something is down
	@$(BIN)/python -m infra.stack status

down: ## end what `make up` started; data stay
	@$(BIN)/python -m infra.stack down

bench: install ## every step and process against peers and limits, latency, cold starts: a table, and .auditwire/bench.json (10 minutes)
	$(BIN)/python -m bench $(BENCH)

bench-page: install ## the tables and plots of docs/performance.md from the last `make bench`
	$(BIN)/python -m bench.report --take .auditwire/bench.json

bench-micro: install ## the steps that need no server, at two sizes and three shares of dirty events; STEP=redact for one (also insert, fetch, …)
	$(BIN)/python -m bench.steps $(STEP)

bench-profiles: install ## in which code each process spends its CPU under load (needs py-spy), and docs/performance.md's tables of it
	$(BIN)/python -m bench.profiles --json docs/plots/profiles.json
	$(BIN)/python -m bench.report

bench-sustained: install ## a rate held, then a burst; BENCH="--rate 8000 --minutes 10" (docs/benchmarks.md)
	$(BIN)/python -m bench.sustained $(BENCH)

bench-e2e: install ## the whole path under load: throughput, latency, and that nothing is lost or doubled
	$(BIN)/python -m bench.e2e

bench-export: install ## an extract of 5 million events: memory, progress, the same bytes although the service is killed twice
	$(BIN)/python -m bench.export

clean: ## end everything; remove data, environment and caches
	@if [ -x $(BIN)/python ]; then $(BIN)/python -m infra.stack down; fi
	rm -rf .auditwire .venv .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
