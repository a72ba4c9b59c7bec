# The verbs of STORM. People and CI call the same ones; `make` alone lists them.
#
# There is one environment, .venv. `make run` installs what running needs; the first `make test`
# or `make check` adds the rest from a lock that holds the same versions. A stamp file in .venv
# remembers what is installed, so that a second call starts at once and asks no network.

SHELL := /bin/sh
.SHELLFLAGS := -eu -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:

GATEWAY := services/gateway
FRONTEND := frontend
VENV := .venv
PY := $(VENV)/bin/python
UV := $(VENV)/tools/bin/uv

TOOLS_STAMP := $(VENV)/tools/.installed
RUN_STAMP := $(VENV)/.installed-run
STACK_STAMP := $(VENV)/.installed-stack
DEV_STAMP := $(VENV)/.installed-dev
# Locust has an environment of its own: it brings much, and patches what Python does with sockets.
LOCUST_STAMP := $(VENV)/locust/.installed
# Once a larger set is installed, it serves for running too.
STACK_READY := $(if $(wildcard $(DEV_STAMP)),$(DEV_STAMP),$(STACK_STAMP))
READY := $(firstword $(wildcard $(DEV_STAMP) $(STACK_STAMP)) $(RUN_STAMP))

# Which Python makes the environment: PYTHON=... or the first good one of these.
PYTHON ?=
PYTHONS := $(if $(PYTHON),$(PYTHON),python3 python3.14 python3.13 python3.12 python3.11 python \
	/usr/bin/python3)

# Where `make run` listens: STORM_ADDR from the environment or the command line.
STORM_ADDR ?= 127.0.0.1:8080

# make run WORKERS=4: so many nodes, with NATS, Valkey and PostgreSQL beside them.
WORKERS ?=

# The web client: built into the Python package, where the gateway and the wheel take it from.
CLIENT := $(GATEWAY)/src/storm_gateway/web/index.html
# With folders, whose time changes when a file goes; tests are no part of it.
CLIENT_SOURCES := $(FRONTEND)/index.html $(FRONTEND)/vite.config.ts $(FRONTEND)/package.json $(shell \
	find $(FRONTEND)/src $(FRONTEND)/public $(FRONTEND)/scripts -name __tests__ -prune -o -print)
# npm writes it when everything is installed.
NPM_STAMP := $(FRONTEND)/node_modules/.package-lock.json
# The documents as a site.
SITE := site
SITE_STAMP := $(SITE)/node_modules/.package-lock.json
NODE_IS_NEW := node -e '[a, b] = process.versions.node.split(".").map(Number); \
	process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)' 2>/dev/null
NO_NODE := needs Node 20.19 or newer, and npm. On Debian and Ubuntu: apt-get install nodejs npm

# What the tests know Kubernetes' custom resources by.
SCHEMAS := $(GATEWAY)/tests/deploy/schemas
SCHEMAS_STAMP := $(SCHEMAS)/node_modules/.package-lock.json

# Seen from the web client, whose tools look after them.
SITE_FILES := ../$(SITE)/*.mjs ../$(SITE)/tests ../$(SITE)/.vitepress/config.mts \
	../$(SITE)/.vitepress/theme --config .prettierrc.json

# Parallel test processes, and more arguments for pytest (for example: make test ARGS='-k resume').
# More than cores: many tests wait for something. Handed out in small portions, so that all processes
# end together.
TEST_PROCESSES ?= 4
ARGS ?=
E2E_ARGS ?=
OTHER_TESTS := $(sort $(dir $(wildcard loadtest/tests/test_*.py benchmarks/tests/test_*.py)))
PYTEST := $(CURDIR)/$(PY) -m pytest -c $(CURDIR)/$(GATEWAY)/pyproject.toml --maxschedchunk 2
COVERAGE := --cov --cov-config=pyproject.toml
# What ARGS choose may be all in one of the two runs.
NONE_IS_FINE := $(if $(strip $(ARGS)),|| [ $$? -eq 5 ])

.PHONY: help run dev client test test-client test-timed test-gateway test-tools e2e check format docs site chaos bench bench-peers bench-cluster smoke load locust dist image lock clean

help: ## list these verbs
	@echo "STORM: make VERB"
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

# The page is built first where it is missing or old. Without Node, STORM runs without it.
define client_if_possible
	@if $(MAKE) --no-print-directory --question $(CLIENT) 2>/dev/null; then :; \
	elif ! $(NODE_IS_NEW); then echo "STORM runs without a new web page: building it $(NO_NODE)"; \
	elif ! $(MAKE) --no-print-directory $(CLIENT); then \
		echo "The web page could not be built (see above). STORM runs without a new one."; fi
endef

ifeq ($(strip $(WORKERS)),)
run: $(READY)
	$(client_if_possible)
	@echo "STORM    http://$(STORM_ADDR)    API http://$(STORM_ADDR)/docs    ws://$(STORM_ADDR)/ws    data in $${STORM_DATA_DIR:-.storm}    Ctrl-C ends it"
	@STORM_ADDR="$(STORM_ADDR)" exec $(VENV)/bin/storm serve
else
run: $(STACK_READY)
	$(client_if_possible)
	@STORM_ADDR="$(STORM_ADDR)" exec $(VENV)/bin/storm up --workers $(WORKERS)
endif
run: ## start a gateway on 127.0.0.1:8080 (STORM_ADDR=host:port changes it; WORKERS=4: so many nodes)

dev: $(READY) $(NPM_STAMP) ## the web client with hot reload on localhost:5173, and a gateway for it
	@STORM_ADDR="$(STORM_ADDR)" exec $(PY) $(FRONTEND)/scripts/dev.py

client: $(CLIENT) ## build the web client into the gateway

test: $(DEV_STAMP) $(LOCUST_STAMP) $(CLIENT) $(SCHEMAS_STAMP) ## run every test with coverage of branches (gate: 90 %), then `check`
	@# In turn, and to the end whatever fails: a run tells of all that is wrong.
	@$(MAKE) --no-print-directory --keep-going -j1 test-client test-timed test-gateway test-tools e2e check

test-client: $(NPM_STAMP) ## the web client's own part of `test`
	cd $(FRONTEND) && npm run --silent test

# One for each of two cores, and before the others.
test-timed: $(DEV_STAMP) $(CLIENT) ## the part that judges how long something takes
	@sh $(GATEWAY)/scripts/prometheus.sh $(VENV)/prometheus
	@sh $(GATEWAY)/scripts/proxies.sh $(VENV)/proxies
	@sh $(GATEWAY)/scripts/redis.sh $(VENV)/redis
	@sh $(GATEWAY)/scripts/jemalloc.sh
	@rm -f $(GATEWAY)/.coverage $(GATEWAY)/.coverage.*
	cd $(GATEWAY) && $(PYTEST) -n 2 -m timed $(COVERAGE) --cov-report= --cov-fail-under=0 $(ARGS) \
		$(NONE_IS_FINE)

test-gateway: $(DEV_STAMP) $(CLIENT) $(SCHEMAS_STAMP) ## the gateway's other tests, after `test-timed`
	cd $(GATEWAY) && $(PYTEST) -n $(TEST_PROCESSES) -m "not timed" $(COVERAGE) --cov-append \
		--cov-report=term:skip-covered $(ARGS) $(NONE_IS_FINE)

# Each in a process of its own: they have modules of the same names.
test-tools: $(DEV_STAMP) $(LOCUST_STAMP) $(CLIENT) ## the tests of benchmarks and load tests
	@failed=0; for folder in $(OTHER_TESTS); do \
		$(PYTEST) -n 2 --rootdir=$$folder $$folder || failed=1; done; exit $$failed

e2e: $(READY) $(CLIENT) ## the web client in a real browser (E2E_ARGS='--grep outbox' picks)
	@chromium=$$(sh $(FRONTEND)/scripts/chromium.sh) && cd $(FRONTEND) && \
		CHROMIUM="$$chromium" npx playwright test --project=tests $(E2E_ARGS)

check: $(DEV_STAMP) $(NPM_STAMP) $(SITE_STAMP) ## style, types, import rules, documents and lock files are in order
	cd $(FRONTEND) && npm run --silent lint && npm run --silent types && npm run --silent format:check
	cd $(FRONTEND) && npx --no-install prettier --check $(SITE_FILES) && \
		npx --no-install tsc --project ../$(SITE)
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	cd $(GATEWAY) && $(CURDIR)/$(VENV)/bin/mypy --strict && $(CURDIR)/$(VENV)/bin/mypy --strict scripts
	cd deploy/monitoring && $(CURDIR)/$(VENV)/bin/mypy --strict draw_panels.py grafana/dashboard.py
	cd $(GATEWAY) && $(CURDIR)/$(VENV)/bin/mypy --strict ../../deploy/proxies/*.py
	cd $(GATEWAY) && $(CURDIR)/$(VENV)/bin/lint-imports --config pyproject.toml
	$(PY) $(GATEWAY)/scripts/generate_docs.py --check
	@! grep -n '://' $(GATEWAY)/requirements*.lock loadtest/locust/requirements.lock || { echo "a lock file names a host"; exit 1; }
	@! grep -n '"resolved"' */package-lock.json || { echo "a lock file names a host"; exit 1; }
	cd $(SITE) && npm run --silent test
	@$(MAKE) --no-print-directory site
	@echo "check: all in order"

format: $(DEV_STAMP) $(NPM_STAMP) ## put the code in its form
	cd $(FRONTEND) && npm run --silent format -- --log-level warn
	cd $(FRONTEND) && npx --no-install prettier --write --log-level warn $(SITE_FILES)
	$(VENV)/bin/ruff check --fix
	$(VENV)/bin/ruff format

docs: $(DEV_STAMP) ## write the documents that come from the code, then the site (`make site`)
	$(PY) $(GATEWAY)/scripts/generate_docs.py
	@$(MAKE) --no-print-directory site

# Links in the documents and to their headings are looked at in what was built.
site: $(SITE_STAMP) ## the documents as a site in build/site; a link that leads nowhere fails
	@cd $(SITE) && npm run --silent build && node check.mjs ../build/site
	@echo "look at it: cd $(SITE) && npm run preview, then http://localhost:4173"

chaos: $(DEV_STAMP) ## every fault under load; the report is in build/chaos (ARGS='--scenario NAME' picks)
	$(VENV)/bin/storm audit --report build/chaos $(if $(findstring --scenario,$(ARGS)),,--scenario all) $(ARGS)

bench: $(DEV_STAMP) ## measure, side by side with others (needs a C compiler)
	$(PY) benchmarks/run.py $(ARGS)

bench-peers: $(DEV_STAMP) ## measure beside FastAPI, Socket.IO, Node, Go and others (needs Node and a C compiler)
	$(PY) benchmarks/peers_run.py $(ARGS)

bench-cluster: $(DEV_STAMP) ## measure four nodes with real servers (needs a C compiler)
	$(PY) benchmarks/cluster_run.py $(ARGS)

smoke: $(DEV_STAMP) ## 200 virtual users against a gateway of its own
	$(PY) loadtest/smoke.py $(ARGS)

# make load PROFILE=laptop; loadtest/k6/profiles/ has them. ARGS='--report' writes docs/load-tests/.
PROFILE ?= ci
load: $(DEV_STAMP) ## many users of k6 on a stack of its own (PROFILE=ci|laptop|100k|cluster)
	$(PY) loadtest/load.py $(PROFILE) $(ARGS)

# make locust URL=http://…: a STORM that runs already, with its secret in STORM_JWT_SECRET.
URL ?=
locust: $(DEV_STAMP) $(LOCUST_STAMP) ## users of Locust, with its web page (ARGS='--headless -u 50 -r 10 -t 20s')
	@exec $(PY) loadtest/locust_run.py $(if $(URL),--url "$(URL)") $(ARGS)

dist: $(DEV_STAMP) $(CLIENT) ## what a release consists of, in dist/: wheel, source, bills of materials, checksums
	@$(PY) $(GATEWAY)/scripts/release.py

image: $(TOOLS_STAMP) ## build the container image storm:local (needs Docker)
	@version=$$(cd $(GATEWAY) && PYTHONPATH=$(CURDIR)/$(VENV)/tools $(CURDIR)/$(PY) -m hatchling version) \
		&& docker build \
		--build-arg VERSION="$$version" --build-arg REVISION="$$(git rev-parse HEAD)" \
		--build-arg CREATED="$$(git show -s --format=%cI HEAD)" --tag storm:local \
		--tag "storm:$$(echo "$$version" | tr + -)" .

lock: $(TOOLS_STAMP) ## renew the lock files: exact versions with hashes, no hosts
	cd $(GATEWAY) && uv="$(CURDIR)/$(UV) pip compile --quiet --upgrade --universal --generate-hashes \
		--no-header --no-emit-index-url --no-emit-find-links --python-version 3.11" && \
		$$uv pyproject.toml --output-file requirements.lock && \
		$$uv pyproject.toml --extra stack --constraints requirements.lock \
			--output-file requirements-stack.lock && \
		$$uv pyproject.toml requirements-dev.in --constraints requirements-stack.lock \
			--output-file requirements-dev.lock && \
		$$uv requirements-build.in --constraints requirements-dev.lock \
			--output-file requirements-build.lock
	@! grep -n '://' $(GATEWAY)/requirements*.lock || { echo "a lock file names a host"; exit 1; }

clean: ## remove the environment and everything made; messages in .storm stay
	rm -rf $(VENV) dist build htmlcov $(dir $(CLIENT)) $(FRONTEND)/node_modules $(SCHEMAS)/node_modules \
		$(SITE)/node_modules $(SITE)/pages \
		$(FRONTEND)/coverage $(FRONTEND)/playwright-report $(FRONTEND)/test-results
	find . -path ./.git -prune -o -type d \( -name __pycache__ -o -name .pytest_cache \
		-o -name .mypy_cache -o -name .ruff_cache -o -name .hypothesis \
		-o -name .import_linter_cache \) -prune -exec rm -rf {} +
	rm -f .coverage .coverage.* $(GATEWAY)/.coverage $(GATEWAY)/.coverage.*

# --- the environment ---

$(PY):
	@python=$$(sh $(GATEWAY)/scripts/python.sh $(PYTHONS)) && \
		echo "making $(VENV) with $$("$$python" --version), $$python" && \
		"$$python" -m venv --clear $(VENV)

# npm checks the hashes of the lock, too.
$(NPM_STAMP): $(FRONTEND)/package-lock.json
	@$(NODE_IS_NEW) || { echo "The web client $(NO_NODE)" >&2; exit 1; }
	@echo "installing $<"
	@cd $(FRONTEND) && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

$(SCHEMAS_STAMP): $(SCHEMAS)/package-lock.json
	@echo "installing $<"
	@cd $(SCHEMAS) && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

$(SITE_STAMP): $(SITE)/package-lock.json
	@$(NODE_IS_NEW) || { echo "The documentation site $(NO_NODE)" >&2; exit 1; }
	@echo "installing $<"
	@cd $(SITE) && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

$(CLIENT): $(CLIENT_SOURCES) $(NPM_STAMP)
	@echo "building the web client"
	@cd $(FRONTEND) && npx --no-install vite build --logLevel warn
	@touch $@

# pip checks the hashes of uv and of the build back end; uv does the rest, much faster.
$(TOOLS_STAMP): $(GATEWAY)/requirements-build.lock | $(PY)
	@rm -rf $(VENV)/tools
	@$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps \
		--only-binary :all: --target $(VENV)/tools --requirement $<
	@touch $@

# $(1): the lock. Compiled at once: a start must not wait for it, where Python may not write.
# The package itself is linked to the source tree, built without the network.
define install
	@echo "installing $(1)"
	@$(UV) pip sync --quiet --compile-bytecode --require-hashes --python $(PY) $(1)
	@PYTHONPATH=$(CURDIR)/$(VENV)/tools $(UV) pip install --quiet --no-deps --no-build-isolation \
		--python $(PY) --editable $(GATEWAY)
	@touch $@
endef

$(RUN_STAMP): $(GATEWAY)/requirements.lock $(GATEWAY)/pyproject.toml $(TOOLS_STAMP)
	$(call install,$<)

$(STACK_STAMP): $(GATEWAY)/requirements-stack.lock $(GATEWAY)/pyproject.toml $(TOOLS_STAMP)
	$(call install,$<)
	@touch $(RUN_STAMP)

$(DEV_STAMP): $(GATEWAY)/requirements-dev.lock $(GATEWAY)/pyproject.toml $(TOOLS_STAMP)
	$(call install,$<)
	@touch $(RUN_STAMP) $(STACK_STAMP)

$(LOCUST_STAMP): loadtest/locust/requirements.lock $(TOOLS_STAMP)
	@echo "installing $<"
	@$(PY) -m venv --clear --without-pip $(VENV)/locust
	@$(UV) pip sync --quiet --compile-bytecode --require-hashes --python $(VENV)/locust/bin/python $<
	@touch $@
