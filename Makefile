# Everything a person or CI runs. `make` prints this help.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help
help: ## print this help
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

$(STAMP): requirements-dev.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; set PYTHON=..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@echo "Compiling the detectors, once: half a minute or more, which no first start has to wait then."
	$(BIN)/python -c 'from detector.engine import warm_up_kernels; from shared.stream.fast_intake import warm_up; warm_up_kernels(); warm_up()'
	@touch $@

.PHONY: install
install: $(STAMP) ## make .venv with everything pinned

.PHONY: demo
demo: $(STAMP) ## the whole pipeline on a simulated market: live table here, dashboard in the browser
	$(BIN)/python -m deploy.local demo $(ALSO:%=--also %)

.PHONY: live
live: $(STAMP) ## the same on the real exchange; ALSO="coinbase kraken" reads these too, in the demo as well
	$(BIN)/python -m deploy.local live $(ALSO:%=--also %)

.PHONY: up
up: ## the docker-compose stack in the background
	docker compose up --detach --build

.PHONY: test
test: $(STAMP) ## all tests, with a real broker, database and browser where they are to be had
	@bash deploy/local/system_packages.sh
	$(BIN)/python -m pytest

.PHONY: check
check: $(STAMP) ## format, lint, types and the fast tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -m "not integration"

.PHONY: chaos
MINUTES ?= 30
MODE ?= exactly_once
chaos: $(STAMP) ## break the pipeline on a real Kafka for MINUTES (30); SEED=N repeats a run, MODE=at_least_once
	$(BIN)/python -m tests.chaos --minutes $(MINUTES) --mode $(MODE) $(if $(SEED),--seed $(SEED))

.PHONY: bench
bench: $(STAMP) ## measure the pipeline
	$(BIN)/python -m benchmarks pipeline

.PHONY: pictures
REAL_DATA_DIR ?= ../shared/data
pictures: export REAL_DATA_DIR := $(REAL_DATA_DIR)
pictures: $(STAMP) ## draw the pictures of docs/ anew, from the recordings of REAL_DATA_DIR
	$(BIN)/python -m benchmarks windows --rounds 1 --plot docs/pictures/windows.png
	$(BIN)/python -m benchmarks calibration --samples 100000 --plot docs/pictures/calibration.png --plot-tail docs/pictures/tail.png
	$(BIN)/python -m benchmarks engine --rounds 3 --plot docs/pictures/engine.png
	$(BIN)/python -m benchmarks wash --plot docs/pictures/wash.png
	$(BIN)/python -m detector explain $(REAL_DATA_DIR)/crash-2025-10-10/binance_trades_2025-10-10_POLUSDT.csv.gz --market POL-USDT --at 2025-10-10T21:43:06.062948 --plot docs/pictures/why.png
	$(BIN)/python -m detector explain $(REAL_DATA_DIR)/binance-vision/BTCUSDC-aggTrades-2025-10-08.zip --market BTC-USDC --at 2025-10-08T14:08:02.962072 --plot docs/pictures/why-not.png

.PHONY: lock
lock: $(STAMP) ## pin dependencies anew after a change of pyproject.toml
	$(BIN)/pip-compile --quiet --generate-hashes --strip-extras --no-emit-index-url --no-emit-find-links --no-header --output-file requirements.lock pyproject.toml
	$(BIN)/pip-compile --quiet --generate-hashes --strip-extras --allow-unsafe --no-emit-index-url --no-emit-find-links --no-header --extra dev -c requirements.lock --output-file requirements-dev.lock pyproject.toml

.PHONY: clean
clean: ## remove .venv, caches and local data
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist data *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
