# Copycatch: `make` lists what there is to do.
#
# Two environments, both from hash-pinned locks: .venv is what a newcomer needs (no torch, no
# tools, wheels only), .venv-test has everything. They are kept apart so that the demo is always
# run by the small set that users install, and never leans on a package that only tests bring.
# Each is built once and again only when its lock or pyproject.toml changes.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo serve test check format lint types contracts protos protos-check audit lock evaluate bench bench-labels clean

VENV := .venv
TEST := .venv-test
TEST_PYTHON := $(TEST)/bin/python

# Settings a caller may give: make demo CLIP=ViT-B-32/laion2b_s34b_b79k
CLIP ?=
ORIGINALS ?=
LISTINGS ?=
OUT ?= demo-output
DATA ?=
ARGS ?=
# Two workers: the tests are safe in parallel, and more only share the same cores with torch.
WORKERS ?= 2
export PYTHON

$(VENV)/.demo: requirements/demo.txt pyproject.toml scripts/environment.sh
	@sh scripts/environment.sh $(VENV) requirements/demo.txt
	@touch $@

$(VENV)/.clip: requirements/clip.txt $(VENV)/.demo
	@sh scripts/environment.sh $(VENV) requirements/clip.txt
	@touch $@

$(TEST)/.all: requirements/test.txt pyproject.toml scripts/environment.sh
	@sh scripts/environment.sh $(TEST) requirements/test.txt
	@touch $@

help: ## list these targets
	@echo 'make TARGET, where TARGET is one of:'
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-13s %s\n", $$1, $$2 }'

demo: $(VENV)/$(if $(CLIP),.clip,.demo) ## start a server, register photographs, send copies of them, show the verdicts (CLIP=, ORIGINALS=, LISTINGS=, OUT=)
	@$(VENV)/bin/copycatch demo --out '$(OUT)' $(if $(CLIP),--clip '$(CLIP)') \
		$(if $(ORIGINALS),--originals '$(ORIGINALS)') $(if $(LISTINGS),--listings '$(LISTINGS)') $(ARGS)

serve: $(VENV)/$(if $(CLIP),.clip,.demo) ## run the server in the foreground (ARGS='--config copycatch.toml')
	@$(VENV)/bin/copycatch serve $(ARGS)

test: $(TEST)/.all ## run every test, with CLIP (ARGS='-m "not slow" -k matching')
	@$(TEST_PYTHON) -m pytest -n $(WORKERS) $(ARGS)

check: lint types contracts protos-check audit ## everything CI checks besides the tests

format: $(TEST)/.all ## rewrite the code in the house format
	@$(TEST_PYTHON) -m ruff check --fix --quiet .
	@$(TEST_PYTHON) -m ruff format .

lint: $(TEST)/.all ## format and lint, changing nothing
	@$(TEST_PYTHON) -m ruff format --check .
	@$(TEST_PYTHON) -m ruff check .

types: $(TEST)/.all ## mypy --strict on the packages and the scripts
	@$(TEST_PYTHON) -m mypy

contracts: $(TEST)/.all ## imports point one way; one file per dangerous library
	@$(TEST)/bin/lint-imports

protos: $(TEST)/.all ## regenerate the Python code of the protos (ARGS=--accept takes them as the new baseline)
	@$(TEST_PYTHON) scripts/generate_protos.py $(ARGS)

protos-check: $(TEST)/.all ## buf lint, no breaking change, and generated code that is not stale
	@$(TEST_PYTHON) scripts/generate_protos.py --check

audit: $(TEST)/.all ## look the locked packages up among known vulnerabilities, where there is a network
	@$(TEST_PYTHON) scripts/audit_packages.py

# Not after .all: a lock that has to be made anew would fail the check that ends that build.
UV = $(or $(shell command -v uv),$(TEST)/bin/uv)
LOCK = $(UV) pip compile --quiet --universal --no-emit-index-url --generate-hashes \
	--custom-compile-command 'make lock' pyproject.toml requirements/build.in
lock: | $(UV) ## resolve the pinned requirements again (ARGS='--upgrade')
	$(LOCK) $(ARGS) --constraint requirements/constraints.in --extra cpu --extra demo --extra clip --extra sweeps --extra ray --extra dev -o requirements/test.txt
	$(LOCK) $(ARGS) --constraint requirements/test.txt --extra cpu --extra demo --extra clip -o requirements/clip.txt
	$(LOCK) $(ARGS) --constraint requirements/test.txt --extra cpu --extra demo -o requirements/demo.txt
	$(LOCK) $(ARGS) --constraint requirements/test.txt --extra cpu -o requirements/serve.txt
	$(UV) pip compile --quiet --universal --python-version 3.12 --no-emit-index-url --generate-hashes --custom-compile-command 'make lock' requirements/peers.in $(ARGS) -o requirements/peers.txt

$(TEST)/bin/uv:
	@sh scripts/environment.sh $(TEST) requirements/test.txt

evaluate: $(VENV)/$(if $(CLIP),.clip,.demo) ## measure accuracy on a labelled folder (DATA=DIR, ARGS='--json FILE')
	@test -n '$(DATA)' || { echo 'Name the folder: make evaluate DATA=DIR (it holds eval.csv; see "Evaluate" in the README)' >&2; exit 2; }
	@$(VENV)/bin/python scripts/evaluate.py --data '$(DATA)' $(ARGS)

# Memory and sweeps are measured on real pictures alone.
BENCHES = bench $(if $(DATA),bench_memory bench_sweep)
bench: $(VENV)/.demo ## measure speed and memory on this machine (DATA=DIR: on the pictures of a labelled folder)
	@$(VENV)/bin/python -m scripts.bench_index
	@for name in $(BENCHES); do echo "== $$name"; $(VENV)/bin/python -m scripts.$$name $(if $(DATA),--data '$(DATA)') || exit 1; done

# Apart: its hostile files are those of the tests, which need the tests' packages.
bench-labels: $(TEST)/.all ## measure how long AI labels take to read (DATA=DIR likewise)
	@$(TEST_PYTHON) -m scripts.bench_labels $(if $(DATA),--data '$(DATA)') $(ARGS)

clean: ## delete the environments, caches and the demo's output
	rm -rf $(VENV) $(TEST) $(OUT) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find service index models scripts tests protos -name __pycache__ -type d -prune -exec rm -rf {} +
