# Two commands matter: `make demo` shows the whole system at work, `make test` proves it.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
ARGS   ?=

# `uv` installs the lock file in seconds; it comes as a wheel into the virtual environment, nothing else is touched.
UV_VERSION := 0.13.9
KUSTOMIZE  := sigs.k8s.io/kustomize/kustomize/v5@v5.7.1

.PHONY: help install demo test clients lint bench chaos fuzz dashboards alerts manifests audit lock clean

help:            ## this list
	@grep -hE '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

install: $(VENV)/.run   ## the `interest` command, into .venv/bin

demo: $(VENV)/.run   ## Kafka, Redis, a model, a worker and a live view (ARGS="--events 20000" ends by itself)
	@$(BIN)/interest demo $(ARGS)

test: $(VENV)/.dev   ## the whole suite on a real Kafka and Redis that it starts itself (ARGS="-k redis")
	@$(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

clients: $(VENV)/.dev   ## readers and producers in every language, also what compiles too long for `make test`
	@CLIENTS=all $(BIN)/python -m pytest tests/conformance $(ARGS)

lint: $(VENV)/.dev   ## format, lint, types, import arrows
	@$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/mypy && $(BIN)/lint-imports

bench: $(VENV)/.dev   ## every figure of deploy/docs/figures.md (ARGS="throughput --json out.json" for one)
	@$(BIN)/interest bench $(ARGS)

chaos: $(VENV)/.dev   ## make things go wrong under load and check that nothing shows of it (ARGS="--faults" lists what)
	@$(BIN)/python -m tests.failure.chaos $(ARGS)

fuzz: $(VENV)/.dev   ## hostile bytes into every decoder, compared with naive truths (ARGS="--seconds 600 --seed 1 --target decode")
	@$(BIN)/python -m tests.fuzz $(ARGS)

dashboards: $(VENV)/.dev   ## write Grafana's dashboards and the page of metrics from the code
	@$(BIN)/python -m deploy.grafana && $(BIN)/python -m deploy.docs.metrics_page

alerts: $(VENV)/.dev   ## break a running system and see each alert fire and stop (ARGS="--only InterestRedisLost"); half an hour
	@$(BIN)/python -m tests.operate.alarms $(ARGS)

audit: $(VENV)/.dev   ## known vulnerabilities of every pinned package
	@$(BIN)/python deploy/audit.py deploy/requirements-dev.lock

manifests:       ## Kubernetes' manifests as kustomize builds them; needs Go, which fetches it
	@for folder in base overlays/production; do go run $(KUSTOMIZE) build deploy/kubernetes/$$folder; echo ---; done

lock: $(VENV)/.run   ## pin again what pyproject.toml asks for
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url pyproject.toml -o deploy/requirements.lock
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --all-extras pyproject.toml -o deploy/requirements-dev.lock

$(VENV)/bin/uv:
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info < (3, 13) else "Python 3.11 or 3.12 is needed, this is %d.%d: make PYTHON=python3.12 ..." % sys.version_info[:2])'
	@echo "making $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet uv==$(UV_VERSION)

$(VENV)/.run: $(VENV)/bin/uv pyproject.toml deploy/requirements.lock
	@test -e $(VENV)/.dev || { echo "installing (TensorFlow is large, 1.6 GB on disk)"; $(BIN)/uv pip install --python $(BIN)/python --require-hashes --compile-bytecode -q -r deploy/requirements.lock; }
	@$(BIN)/uv pip install --python $(BIN)/python -q --no-deps -e .
	@touch $@

$(VENV)/.dev: $(VENV)/bin/uv pyproject.toml deploy/requirements-dev.lock
	@echo "installing what runs and what tests (TensorFlow is large, 1.6 GB on disk)"
	@$(BIN)/uv pip install --python $(BIN)/python --require-hashes --compile-bytecode -q -r deploy/requirements-dev.lock
	@$(BIN)/uv pip install --python $(BIN)/python -q --no-deps -e .
	@touch $@ $(VENV)/.run

clean:           ## the virtual environment and everything that the demo and the tests left
	rm -rf $(VENV) .interest
