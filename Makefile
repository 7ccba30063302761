PYTHON ?= python3
UV ?= uv
VENV := .venv/bin
LOCK := pip compile pyproject.toml --no-config --quiet --universal --python-version 3.11.2 \
	--generate-hashes --no-emit-index-url --no-header --no-annotate --all-extras \
	$(if $(UPGRADE),--upgrade)
INSTALL := install --quiet --no-input --disable-pip-version-check --require-hashes --only-binary :all:
# What stands on the dependencies: the wire, the database, the queue, the vault, PDF, HTTP, and the flow through all.
SLICE := tests/rules tests/gateways tests/vault tests/models tests/books tests/papers tests/worker tests/webhooks \
	tests/mailer tests/producer tests/reports tests/retention tests/telemetry tests/api tests/cli tests/flows \
	--deselect tests/api/test_schema.py::test_schemathesis
IN_BOUNDS := -n 4 --dist worksteal -p no:cacheprovider

.PHONY: help setup setup-dev run test check lint types imports tests fuzz-api chaos soak fuzz audit-packages bench format lock bounds newest docs secrets clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Make .venv and install what running needs
	@$(PYTHON) bootstrap.py

setup-dev: ## Make .venv and install what developing needs
	@$(PYTHON) bootstrap.py --dev

run: setup ## Start everything and run the sample batch (ONCE=1: end by itself)
	@$(VENV)/defray up $(if $(ONCE),--once)

ifdef T
test: tests ## Run every check (T=path: only the tests there)
else
test: check
endif

check: lint types imports tests ## Run lint, types, import contracts and tests

lint: setup-dev ## Check style and format
	$(VENV)/ruff check .
	$(VENV)/ruff format --check .

types: setup-dev ## Check types
	$(VENV)/mypy .

imports: setup-dev ## Check who imports whom
	$(VENV)/lint-imports

tests: setup-dev ## Run the tests (T=path: only those)
	$(VENV)/pytest $(if $(T),$(T),-n 4 --dist worksteal)

fuzz-api: setup-dev ## Look for untruths in the API's document for some minutes
	DEFRAY_TEST_FUZZ_EXAMPLES=50 $(VENV)/pytest tests/api/test_schema.py -k schemathesis --timeout 3600

fuzz: .venv-attack/installed ## Fuzz each parser for MINUTES=10, Linux on x86_64 (P="stripe money": only those)
	@.venv-attack/bin/python -m tests.fuzz $(P) --minutes $(or $(MINUTES),10) $(if $(GROWN),--grown $(GROWN))

audit-packages: .venv-attack/installed ## Ask PyPI for known weaknesses of what the locks name (needs its network)
	@.venv-attack/bin/pip-audit --strict --disable-pip --require-hashes --requirement requirements.txt
	@.venv-attack/bin/pip-audit --strict --disable-pip --require-hashes --requirement requirements-dev.txt

.venv-attack/installed: requirements-attack.txt
	@$(PYTHON) -m venv .venv-attack
	@.venv-attack/bin/python -m pip install --quiet --no-input --disable-pip-version-check \
		--require-hashes --only-binary :all: --requirement requirements-attack.txt
	@touch $@

simulate: setup-dev ## Run the real code against simulated time, faults and crashes (SEEDS=10000, FIRST=1)
	@$(VENV)/python -m tests.simulation --seeds $(or $(SEEDS),1000) --first $(or $(FIRST),1)

simulate-bugs: setup-dev ## Plant every deliberate bug; each must be found within its stated number of seeds
	@$(VENV)/python -m tests.simulation --bugs

race: setup-dev ## Do everything at once to one customer, and compare with one after another (ROUNDS=5000, SEED=1)
	@$(VENV)/python -m tests.concurrency --rounds $(or $(ROUNDS),1000) --seed $(or $(SEED),1)

chaos: setup-dev ## Break the real system by seeds (SEEDS=3, PAYMENTS=2000, FIRST=1; SEED=7: that one again)
	@$(VENV)/python -m tests.chaos --seeds $(or $(SEEDS),3) --first $(or $(FIRST),1) $(if $(SEED),--seed $(SEED)) \
		--payments $(or $(PAYMENTS),2000) --faults $(or $(FAULTS),18)

soak: setup-dev ## Load with faults for MINUTES=60; fails where memory, connections, handles, queues or delays grow
	@$(VENV)/python -m tests.chaos --soak $(or $(MINUTES),60) --payments 300 --singles 100 --faults 4 --seconds 8

prove: setup-dev ## Prove that nothing is lost and nothing is twice: 10,000 seeds, real processes broken, bugs planted
	@$(MAKE) simulate SEEDS=10000
	@$(MAKE) chaos
	@$(MAKE) simulate-bugs

bench: .venv-bench/installed ## Measure Defray beside its peers, some minutes (FULL=1: about an hour)
	@mkdir -p bench/out
	@rm -f bench/out/results.jsonl
	@BENCH_OUT=bench/out/results.jsonl .venv-bench/bin/python bench/services.py \
		.venv-bench/bin/python bench/run.py $(if $(FULL),--full)
	@.venv-bench/bin/python bench/report.py bench/out/results.jsonl

.venv-bench/installed: bench/requirements.txt
	@$(PYTHON) -m venv .venv-bench
	@.venv-bench/bin/python -m pip install --quiet --no-input --disable-pip-version-check \
		--require-hashes --only-binary :all: --requirement bench/requirements.txt
	@touch $@

format: setup-dev ## Put files into the format that lint checks
	$(VENV)/ruff check --fix .
	$(VENV)/ruff format .

lock: ## Make the lock files anew from pyproject.toml (needs uv; UPGRADE=1: latest versions)
	$(UV) $(LOCK) --output-file requirements.txt
	$(UV) $(LOCK) --group dev --constraint requirements.txt --output-file requirements-dev.txt
	$(UV) $(LOCK) --group slice --resolution lowest-direct --upgrade --output-file requirements-lowest.txt
	$(UV) $(LOCK) --group attack --constraint requirements.txt --output-file requirements-attack.txt
	$(UV) $(LOCK) bench/requirements.in --constraint requirements.txt --output-file bench/requirements.txt

docs: setup-dev ## Build the site of the docs into site/, without a network
	@NO_MKDOCS_2_WARNING=1 $(VENV)/mkdocs build --strict --quiet

bounds: .venv-lowest/installed newest ## Run the core tests with the lowest, then with the newest dependencies (newest: needs uv)
	.venv-lowest/bin/python -m pytest $(SLICE) $(IN_BOUNDS) -W default::DeprecationWarning -W default::PendingDeprecationWarning
	.venv-newest/bin/python -m pytest $(SLICE) $(IN_BOUNDS)

.venv-lowest/installed: requirements-lowest.txt
	@$(PYTHON) -m venv .venv-lowest
	@.venv-lowest/bin/python -m pip $(INSTALL) --requirement requirements-lowest.txt
	@touch $@

newest:
	@test -d .venv-newest || $(PYTHON) -m venv .venv-newest
	@$(UV) $(LOCK) --upgrade --group slice --output-file .venv-newest/requirements.txt
	@.venv-newest/bin/python -m pip $(INSTALL) --requirement .venv-newest/requirements.txt

secrets: setup ## Draw the passwords of docker-compose.yml into secrets/ (once)
	@$(VENV)/python -m local.compose_secrets

clean: ## Delete .venv, the data under .defray and what tools left
	@if $(VENV)/python -c 'import psycopg, redis' 2>/dev/null; then \
		$(VENV)/python -m local.clean && DEFRAY_HOME=bench/out/home $(VENV)/python -m local.clean; fi
	rm -rf .defray .venv .venv-attack .venv-bench .venv-lowest .venv-newest bench/out build site .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
