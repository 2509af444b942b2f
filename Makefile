# What a developer does with this tree. `make` alone lists it.

# The cargo profile of build, test and test-system: dev, ci or release.
PROFILE ?= ci
CARGO ?= cargo
PYTHON ?= python3

# Cargo's folder for a profile is its name, but for `dev`.
FOLDER = $(if $(filter dev,$(PROFILE)),debug,$(PROFILE))
TARGET = $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)
BIN = $(TARGET)/$(FOLDER)
NEXTEST = $(shell $(CARGO) nextest --version >/dev/null 2>&1 && echo yes)

# Tests are not repeated: one that fails now and then is a defect.
RUN_NEXTEST = nextest run --cargo-profile $(PROFILE) --no-fail-fast
RUN_CARGO = test --profile $(PROFILE) --no-fail-fast

.PHONY: help build man demo demo-zephir test test-system bench soak torture torture-crash torture-disk torture-fuzz torture-hostile torture-network torture-sim tools lint fmt deny clean

help: ## List what there is to make
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  PROFILE=$(PROFILE) (dev, ci or release) selects how things are built"

build: ## Build the programs
	$(CARGO) build --workspace --bins --profile $(PROFILE)
	@echo "programs are in $(BIN)"

man: ## Write manual pages of all programs and their sub-commands
	$(CARGO) build --workspace --bins --profile $(PROFILE)
	@for program in brine brine-key brine-tui brine-minion; do \
		"$(BIN)/$$program" man --to "$(TARGET)/man/man1" || exit 1; \
	done

# The demo is what a visitor runs first: it shows the speed of the released programs.
demo demo-zephir: PROFILE := $(if $(filter command line environment,$(origin PROFILE)),$(PROFILE),release)
demo: ## Watch a master and three minions at work (builds release first)
	@echo "building ($(PROFILE)); the first time takes some minutes" >&2
	$(CARGO) build --workspace --bins --profile $(PROFILE)
	@sh tests/demo/first.sh "$(BIN)"

demo-zephir: ## Watch servers and minions being linked, both ways (needs curl and jq)
	@echo "building ($(PROFILE)); the first time takes some minutes" >&2
	$(CARGO) build --workspace --bins --profile $(PROFILE)
	@sh tests/demo/zephir.sh "$(BIN)"

test: ## All tests that need only Rust and a C linker
	$(CARGO) build --workspace --all-targets --profile $(PROFILE)
ifeq ($(NEXTEST),yes)
	BRINE_BIN_DIR="$(BIN)" $(CARGO) $(RUN_NEXTEST) --workspace
else
	BRINE_BIN_DIR="$(BIN)" $(CARGO) $(RUN_CARGO) --workspace
endif

test-system: tools ## Tests that need root, the network and more tools, which it names
	shellcheck -x tests/demo/*.sh tests/system/*.sh keytool/brine-connect.sh .ci/run
	$(CARGO) build --workspace --all-targets --profile $(PROFILE) --features brine-tests/system
	BRINE_BIN_DIR="$(BIN)" $(CARGO) $(RUN_CARGO) --workspace --features brine-tests/system --test system

# Never skips: what is missing is named first, and then nothing runs.
tools:
	@missing=; \
	for tool in $(PYTHON) curl debootstrap gpgv jq nsenter openssl setpriv sha256sum shellcheck systemd-analyze tmux unshare; do \
		command -v "$$tool" >/dev/null 2>&1 || missing="$$missing $$tool"; \
	done; \
	$(PYTHON) -c 'import zmq' >/dev/null 2>&1 || missing="$$missing pyzmq"; \
	[ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || missing="$$missing debian-archive-keyring"; \
	[ "$$(id -u)" = 0 ] || missing="$$missing root"; \
	id nobody >/dev/null 2>&1 || missing="$$missing user-nobody"; \
	if [ -n "$$missing" ]; then echo "make test-system needs:$$missing"; exit 1; fi

# Judged by nobody: machines differ. ONLY=name,… measures some, BENCH_QUICK=1 little of everything, and
# SALT_PYTHON=… names a Python with Salt for a column beside ours. `cargo bench -p brine-protocol` (brine-pki,
# brine-master) measures the hot pieces alone, so that a change can be judged.
bench: PROFILE := $(if $(filter command line environment,$(origin PROFILE)),$(PROFILE),release)
bench: ## Measure speed and scale, each figure beside this machine's limit (builds release first)
	$(CARGO) build --workspace --bins --profile $(PROFILE)
	BRINE_BIN_DIR="$(BIN)" "$(BIN)/brine-bench" --out "$(TARGET)/bench.json" --key-dir "$(TARGET)/swarm-keys" \
		$(if $(ONLY),--only "$(ONLY)") $(if $(SALT_PYTHON),--salt-python "$(SALT_PYTHON)")

# SOAK_MINUTES (20) says for how long; two are enough to see that everything runs. Released programs: what is
# measured is what people run.
soak: PROFILE := $(if $(filter command line environment,$(origin PROFILE)),$(PROFILE),release)
soak: ## Keep a master with 1,000 simulated minions at work and see that nothing grows (builds release first)
	$(CARGO) build --workspace --bins --profile $(PROFILE)
	BRINE_BIN_DIR="$(BIN)" "$(BIN)/brine-soak"

# Each suite has its own target; CRASH_SEED, DISK_SEED, NETWORK_SEED, FUZZ_SEED and BRINE_SIM_SEED repeat a run.
torture: torture-sim torture-fuzz torture-crash torture-disk torture-network torture-hostile ## Run the suites that take chances for hours (builds release first)

torture-crash: PROFILE := $(if $(filter command line environment,$(origin PROFILE)),$(PROFILE),release)
torture-crash:
	$(CARGO) build --workspace --bins --profile $(PROFILE)
	BRINE_BIN_DIR="$(BIN)" CRASH_ROUNDS=$(or $(CRASH_ROUNDS),1000) $(CARGO) test --profile $(PROFILE) \
		--package brine-tests --test crash -- --nocapture

# FUZZ_SECONDS is for each target. Not built for release: numbers that overflow are to be found.
torture-fuzz:
	FUZZ_SECONDS=$(or $(FUZZ_SECONDS),300) FUZZ_SEED=$(or $(FUZZ_SEED),$$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')) \
		$(CARGO) test --profile $(PROFILE) --package brine-tests --test fuzz takes_anything -- --nocapture

# First with the heartbeat that masters have by default, then as often as wanted with the short one of CI.
torture-network: PROFILE := $(if $(filter command line environment,$(origin PROFILE)),$(PROFILE),release)
torture-network:
	$(CARGO) build --workspace --bins --profile $(PROFILE)
	for run in "10 1" "3 $(or $(NETWORK_ROUNDS),20)"; do \
		set -- $$run; \
		BRINE_BIN_DIR="$(BIN)" NETWORK_HEARTBEAT=$$1 NETWORK_ROUNDS=$$2 $(CARGO) test --profile $(PROFILE) \
			--package brine-tests --test network -- --nocapture || exit 1; \
	done

torture-hostile: PROFILE := $(if $(filter command line environment,$(origin PROFILE)),$(PROFILE),release)
torture-hostile:
	$(CARGO) build --workspace --bins --profile $(PROFILE)
	BRINE_BIN_DIR="$(BIN)" HOSTILE_PAIRS=$(or $(HOSTILE_PAIRS),60) $(CARGO) test --profile $(PROFILE) \
		--package brine-tests --test thousand -- --nocapture

torture-disk: PROFILE := $(if $(filter command line environment,$(origin PROFILE)),$(PROFILE),release)
torture-disk:
	$(CARGO) build --workspace --bins --profile $(PROFILE)
	BRINE_BIN_DIR="$(BIN)" DISK_ROUNDS=$(or $(DISK_ROUNDS),1000) DISK_DAMAGES=$(or $(DISK_DAMAGES),1000) \
		$(CARGO) test --profile $(PROFILE) --package brine-tests --test disk -- --nocapture

torture-sim: PROFILE := $(if $(filter command line environment,$(origin PROFILE)),$(PROFILE),release)
torture-sim:
	BRINE_SIM_SEEDS=$(or $(BRINE_SIM_SEEDS),20000) $(CARGO) test --profile $(PROFILE) --package brine-tests --test sim \
		every_promise -- --nocapture

lint: ## Check format and lints
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --profile $(PROFILE) --features brine-tests/system -- -D warnings

fmt: ## Format the code
	$(CARGO) fmt --all

deny: ## Check licences, bans and sources (needs cargo-deny)
	$(CARGO) deny check bans licenses sources

clean: ## Remove what was built
	$(CARGO) clean
