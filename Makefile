# Everything runs in .venv at the checkout's root; uv is fetched when the machine has none.
.PHONY: demo server test differential simulate digests mutants fuzz chaos cluster-chaos pythons cluster cluster-down proto kinds check fmt bench clean

UV := $(or $(shell command -v uv),.tools/uv/bin/uv)
RUN := .venv/bin/python -m
READY := .venv/.ready
TEST_PROCESSES ?= $(shell cores=$$(getconf _NPROCESSORS_ONLN); echo $$((cores < 4 ? cores : 4)))
CLUSTER_TESTS ?= tests/cluster
STDLIB = $(shell .venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')

# Word count over the sources of Python's own standard library.
demo: $(READY)
	$(RUN) flows.gomr --runtime local --input '$(STDLIB)/*.py' \
		--output outputs/demo --overwrite examples/wordcount/worker.py
	@echo; echo "The most frequent words:"
	@.venv/bin/python examples/wordcount/top.py outputs/demo 15
	@echo "All of them, in order of the words: outputs/demo/"

# A Prefect server that stays, with a password, for runs to keep their history in (docs/prefect.md).
server: $(READY)
	@$(RUN) flows.kept_server

# Every tier that this machine can run; what is skipped is listed with its reason. Files of tests run
# side by side, but those of the cluster, of which a machine has one.
test: $(READY)
	$(RUN) pytest --numprocesses=$(TEST_PROCESSES) --dist=loadfile --ignore=tests/cluster
	$(if $(CLUSTER_TESTS),$(RUN) pytest $(CLUSTER_TESTS))

# Random programs against plain Python: `make differential N=20000 SEED=5` runs those from seed 5 on,
# `make differential SEED=17` shows one; ARGS=--shrink leaves out all that it differs without.
differential: $(READY)
	@$(RUN) tests.differential.run $(if $(N),--count $(N)) $(if $(SEED),--seed $(SEED) $(ARGS),$(if $(N),,--count 2000))

# Simulated schedules: `make simulate N=100000` on every core, `make simulate SEED=17` to see one.
simulate: $(READY)
	@$(RUN) tests.simulation.run $(if $(SEED),--seed $(SEED) $(ARGS),--count $(or $(N),2000) $(ARGS))

# What each simulated seed does, for the test of determinism, after a change that is meant.
digests: $(READY)
	$(RUN) tests.simulation.run --digests | cut -f 1,2 > tests/simulation/digests.txt

# Looks for a simulated seed that shows each seeded defect.
mutants: $(READY)
	@$(RUN) tests.simulation.hunt

# Processes that say anything, for minutes: `make fuzz MINUTES=60`; `make fuzz SEED=17` is one case.
fuzz: $(READY)
	@$(RUN) tests.fuzz.run $(if $(SEED),--seed $(SEED),--minutes $(or $(MINUTES),1)) $(ARGS)

# Real processes under seeded mixes of faults: `make chaos N=100`, `make chaos SEED=17` to see one.
chaos: $(READY)
	@$(RUN) tests.process.chaos.run $(if $(SEED),--seed $(SEED),--count $(or $(N),10) $(ARGS))

# The same on the test cluster, with pods, nodes, the network, the API server and the client.
cluster-chaos: $(READY)
	@$(RUN) tests.cluster.chaos.run $(if $(SEED),--seed $(SEED),--count $(or $(N),10) $(ARGS))

# The same seeds on every Python that we support: their traces must be equal. Where pyenv has the
# Pythons, all of them are made visible.
pythons: export PYENV_VERSION = $(shell pyenv versions --bare 2>/dev/null | paste -sd:)
pythons: $(READY)
	@for python in 3.11 3.12 3.13; do \
		UV_PYTHON_DOWNLOADS=never UV_PROJECT_ENVIRONMENT=.pythons/$$python $(UV) sync --frozen \
			--quiet --no-default-groups --group simulation --python $$python && \
		.pythons/$$python/bin/python -m tests.simulation.run --digests > .pythons/$$python.txt && \
		cmp .pythons/3.11.txt .pythons/$$python.txt && echo "Python $$python: equal traces" || exit 1; \
	done

# A real Kubernetes of three nodes for the tests; the last line is the kubeconfig's path.
cluster: $(READY)
	@$(RUN) tests.cluster.bring_up

# Removes it with all that was started for it; what was built stays in the cache.
cluster-down: $(READY)
	@$(RUN) tests.cluster.take_down

check: $(READY)
	$(RUN) ruff check
	$(RUN) ruff format --check
	$(RUN) mypy

fmt: $(READY)
	$(RUN) ruff check --fix
	$(RUN) ruff format

# After a change of the kinds of keys and values: the numbers that the compiled part has for them.
kinds: $(READY)
	$(RUN) native.kinds

proto: $(READY)
	$(RUN) grpc_tools.protoc -Igomr_runtime/_pb=proto \
		--python_out=. --pyi_out=. --grpc_python_out=. proto/*.proto

# One row beside its peers (ROW=wordcount-emit SCALE=small), or the page from the rows that were run.
SCALE ?= full
bench: $(READY)
	$(RUN) bench $(if $(ROW),$(ROW) --scale $(SCALE),table)

clean:
	rm -rf .venv .tools .pythons .gomr outputs dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

# Bytecode is compiled while installing: without it every start of Prefect takes seconds longer.
$(READY): uv.lock pyproject.toml $(wildcard native/pyproject.toml native/src/*) | $(filter .tools/%,$(UV))
	env -u PYTHONDONTWRITEBYTECODE UV_PYTHON_DOWNLOADS=never \
		$(UV) sync --frozen --quiet --compile-bytecode
	@touch $@

.tools/uv/bin/uv: build-tools.txt
	python3 -m venv .tools/uv
	.tools/uv/bin/python -m pip install --quiet --disable-pip-version-check \
		--only-binary :all: --require-hashes -r build-tools.txt
	@touch $@
