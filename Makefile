# Everything a developer does here. The Python that runs `bootstrap` may be chosen: make PYTHON=python3.12 test
PYTHON ?= python3
STACK = .venv/bin/python -m devstack

.DEFAULT_GOAL := help
.PHONY: help bootstrap demo demo-platform test test-fast up down clean status logs check generate verify docs dist bench coverage soak chaos hooks lock screenshots

help: ## Show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

bootstrap: ## Make the Python environments, .venv and .venv-airflow
	@$(PYTHON) devstack/bootstrap.py
	@$(if $(filter-out simulated,$(AIRFLOW)),$(PYTHON) devstack/bootstrap.py $(AIRFLOW))

demo: bootstrap ## Bring everything up, run an example training job, and watch it
	@$(STACK) demo $(if $(AIRFLOW),--airflow $(AIRFLOW))

demo-platform: bootstrap ## The same with a platform: dataset, features, models, predictions, a paused DAG told in Slack
	@$(STACK) demo-platform

test: bootstrap ## Run every check and every test, side by side (under half an hour on two cores; the first time it also builds)
	@$(PYTHON) devstack/bootstrap.py oldest
	@.venv/bin/python -m tests.suite all

test-fast: bootstrap ## Run what needs nothing running: checks, unit tests, chart rendering (2 minutes)
	@.venv/bin/python -m tests.suite fast

up: bootstrap ## Start the stack (NO_OPERATOR=1 without the operator, DAGS_FOLDERS=a:b with more DAGs, AIRFLOW=oldest or simulated)
	@$(STACK) up $(if $(NO_OPERATOR),--no-operator) $(if $(AIRFLOW),--airflow $(AIRFLOW))

down: bootstrap ## End all that `up` started; data stays
	@$(STACK) down

clean: bootstrap ## End all that `up` started and delete its data
	@$(STACK) clean

status: bootstrap ## Each component of the stack and its state
	@$(STACK) status

logs: bootstrap ## The end of each log (C=kafka for one, FOLLOW=1 to go on)
	@$(STACK) logs $(if $(FOLLOW),--follow) $(C)

check: bootstrap ## Format, lint, types, import layers, spelling, workflows
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	.venv/bin/codespell
	.venv/bin/python -m devstack.actionlint
	.venv/bin/zizmor --quiet --offline .github

generate: bootstrap ## Write crds/ from contract/, the field tables of docs/spec/ from crds/, mljob.sync from mljob.aio, the commands of kubectl mljob, and the version
	.venv/bin/python -m crds.generate
	.venv/bin/python -m crds.reference
	.venv/bin/python client/generate.py
	.venv/bin/python client/reference.py
	.venv/bin/python release/version.py

verify: bootstrap ## Fail if what is generated is not what is committed
	.venv/bin/python -m crds.generate --check
	.venv/bin/python -m crds.reference --check
	.venv/bin/python client/generate.py --check
	.venv/bin/python client/reference.py --check
	.venv/bin/python release/version.py --check

docs: bootstrap ## Build the site of the documentation into .dev-docs/html; a broken link or anchor fails
	@$(PYTHON) devstack/bootstrap.py docs
	@.venv/bin/python docs/build.py

dist: bootstrap ## Build the wheel of each package into dist/
	@rm -rf dist
	@for package in contract operator client airflow-provider; do \
	  (cd $$package && ../.venv/bin/python -m hatchling build -t wheel -d ../dist) || exit 1; \
	done

screenshots: bootstrap ## Take the pictures of the live view for the documentation, into docs/pictures
	.venv/bin/python -m tests.view.screenshots

comma := ,
bench: bootstrap ## Run the benchmarks; results go to benchmarks/results (ONLY=step or ONLY=step,fold: some of them, which are printed)
	.venv/bin/python -m benchmarks $(if $(ONLY),--only $(subst $(comma), ,$(ONLY)))

# The live tests whose DAGs use the provider.
COVERING = $(addprefix tests/e2e/test_,cancellation_dag.py declared_jobs.py examples.py monitoring.py parity.py)
COVERAGE = .venv-airflow/bin/python -m coverage
coverage: export COVERAGE_PROCESS_START = $(CURDIR)/tests/airflow/coverage.ini
coverage: export COVERAGE_SOURCE = $(CURDIR)/airflow-provider/src/mljob_airflow
coverage: export COVERAGE_FILE = $(CURDIR)/.dev-coverage/lines
coverage: bootstrap ## Which lines of the provider Airflow's processes run in live tests (eight minutes)
	@rm -rf .dev-coverage && mkdir .dev-coverage
	.venv/bin/python -m pytest $(COVERING); tests=$$?; unset COVERAGE_PROCESS_START; \
	$(COVERAGE) combine --quiet --rcfile tests/airflow/coverage.ini && \
	$(COVERAGE) report --rcfile tests/airflow/coverage.ini && exit $$tests

soak: bootstrap ## Run 200 MLJobs at once, some cancelled at random (most of an hour on two cores)
	.venv/bin/python -m pytest -s tests/soak

chaos: bootstrap ## Run 200 MLJobs while Kafka, Airflow, the API server and the leader are each away for a minute (MLJOB_CHAOS_SEED=7)
	MLJOB_CHAOS_JOBS=$(or $(MLJOB_CHAOS_JOBS),200) MLJOB_CHAOS_AWAY=$(or $(MLJOB_CHAOS_AWAY),60) \
	.venv/bin/python -m pytest -s tests/e2e/test_chaos.py

hooks: bootstrap ## Have git run the quick checks before each commit
	.venv/bin/prek install

lock: ## Resolve requirements/*.in again
	@$(PYTHON) devstack/bootstrap.py lock
