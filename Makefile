# Two commands matter to a newcomer: `make demo` and `make test`. Each does all its own set-up.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PEERS := $(abspath build/peers)
RUST := $(wildcard rust/*/Cargo.toml rust/*/src/*.rs rust/*/src/*/*.rs) Cargo.toml
export VIRTUAL_ENV := $(abspath $(VENV))
unexport PYTHONPATH

.PHONY: help demo test setup build lint format rust-test py-test sim sim-campaign bench bench-peers scale mutate mutate-ikev1 mutate-x509 mutants-x509 soak-rekey offload-equality clean

help:
	@echo "make demo    two networks joined by an encrypted tunnel, on this machine, in one story"
	@echo "make test    everything that must hold: Rust, Python, live tests against strongSwan"
	@echo "make lint    formatting, lint and types of both languages"
	@echo "make sim     500 simulated worlds of an hour each; SEED=7 TRACE=1 replays one"
	@echo "make sim-campaign   every figure of the simulated tests in full (an hour)"
	@echo "make bench   throughput, packets, latency, handshakes, memory: Isthmus beside other VPNs"
	@echo "make scale   what 100, 500 and 2,000 tunnels cost: start, reload, status, idle, memory"
	@echo "make mutate  200,000 mutated datagrams against a running daemon"
	@echo "make mutate-ikev1  the same over IKEv1, with keys and without"
	@echo "make mutate-x509  100,000 mutated certificates, revocation lists and OCSP answers"
	@echo "make mutants-x509  small errors in the certificate verifier, which its tests must notice"
	@echo "make soak-rekey  1,000 renewals of phase 2 and 100 of phase 1, by both ends, under traffic"
	@echo "make offload-equality  a million random packets with offloads and without: the same octets"
	@echo "make clean   remove the virtual environment and what was built"

demo: setup
	@tools/packages demo
	@$(BIN)/isthmus lab demo

test: setup rust-test py-test

setup: $(VENV)/.ready $(VENV)/.built

$(VENV)/.ready: pyproject.toml tools/packages
	@tools/packages build
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing Python packages into $(VENV)"
	@$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1" "maturin>=1.16,<2"
	@$(BIN)/python -m pip install --quiet --group test
	@touch $@

# maturin compiles the data plane and makes the package importable from python/ as it stands.
$(VENV)/.built: $(VENV)/.ready $(RUST) pyproject.toml
	@echo "building the data plane (the first time takes some minutes)"
	@$(BIN)/maturin develop --quiet --release
	@# Byte code made now and not at each start: a daemon that was killed is back sooner.
	@$(BIN)/python -m compileall -q python/isthmus
	@touch $@

build: setup

rust-test: setup
	cargo test --quiet --release --workspace --exclude isthmus-py

py-test: setup
	@tools/packages test
	$(BIN)/python -W error::DeprecationWarning -m pytest

lint: setup
	$(BIN)/ruff format --check python tests bench tools
	$(BIN)/ruff check python tests bench tools
	$(BIN)/mypy
	$(BIN)/mypy -p bench
	cargo fmt --all --check
	cargo fmt --manifest-path bench/generator/Cargo.toml --check
	cargo clippy --quiet --release --workspace --all-targets -- -D warnings

format: setup
	$(BIN)/ruff format python tests bench tools
	$(BIN)/ruff check --fix python tests bench tools
	cargo fmt --all

# SEED=7 replays one world (TRACE=1 prints all of it, KEEP=0,3 only with these incidents, SHRINK=1
# drops incidents that do not matter); COUNT=500 START=0 JOBS=2 runs many. IKE=1 (or auto) lets the
# tunnels of the same worlds speak IKEv1 (or one end of each either version).
sim: setup
	@$(BIN)/python -m isthmus.simulator.run $(if $(SEED),--seed $(SEED)) $(if $(TRACE),--trace) \
		$(if $(KEEP),--keep $(KEEP)) $(if $(SHRINK),--shrink) $(if $(IKE),--ike $(IKE)) \
		$(if $(COUNT),--count $(COUNT)) $(if $(START),--start $(START)) $(if $(JOBS),--jobs $(JOBS))

# NAMES="interleavings disorder" for some of them, COUNT=1000 for another number of worlds.
sim-campaign: setup
	@$(BIN)/python -m isthmus.simulator.campaign $(NAMES) \
		$(if $(COUNT),--count $(COUNT)) $(if $(JOBS),--jobs $(JOBS))

# ARGS="--quick" is a glance; ARGS="--only throughput --rounds 3" a part; bench/__main__.py has all.
bench: setup bench-peers
	@tools/packages bench
	@cargo build --quiet --release --manifest-path bench/generator/Cargo.toml \
		--target-dir target/bench
	$(BIN)/python -m bench $(ARGS)

# Programs that no Debian package brings in a version of today; `make bench` goes on without them.
bench-peers:
	@test -x $(PEERS)/bin/wireguard || ! command -v go >/dev/null || { \
		echo "building wireguard-go into $(PEERS)"; \
		GOBIN=$(PEERS)/bin go install golang.zx2c4.com/wireguard@latest; } || true
	@test -x $(PEERS)/bin/boringtun-cli || { \
		echo "building boringtun into $(PEERS)"; \
		cargo install --quiet --root $(PEERS) boringtun-cli; } || true

scale: setup
	@tools/packages test
	$(BIN)/python -m bench.scale

mutate: setup
	@tools/packages test
	$(BIN)/python tools/mutate.py

mutate-ikev1: setup
	@tools/packages test
	$(BIN)/python tools/mutate.py --version 1

mutate-x509: setup
	$(BIN)/python tools/mutate_x509.py

mutants-x509: setup
	$(BIN)/python tools/mutants_x509.py

soak-rekey: setup
	@tools/packages test
	$(BIN)/python tools/soak_rekey.py

# COUNT=100000 for fewer, SEED=7 for the packets of a run before.
offload-equality: setup
	@tools/packages test
	$(BIN)/python tools/offload_equality.py $(if $(COUNT),--count $(COUNT)) \
		$(if $(SEED),--seed $(SEED))

clean:
	rm -rf $(VENV) target build dist python/isthmus/_dataplane*.so
