# On a fresh machine with rustup: `make run`, `make test`. `make help` lists the rest.

CARGO ?= cargo
WASM_TARGET := wasm32-wasip2
WKG_VERSION := 0.16.1
WKG := target/tools/bin/wkg
MDBOOK_VERSION := 0.5.4
MDBOOK := target/tools/bin/mdbook
WIT_PACKAGE := target/wasocket-websocket.wasm
# The whole workspace, with the features that its tests need, so that wasmtime is only built once.
BUILD_RUNNER := $(CARGO) build --workspace --bin wasocket
BUILD_DIST := $(CARGO) build --profile dist --workspace --bin wasocket
LISTEN ?= 127.0.0.1:1234
# The examples that use `std`.
APPS := chat hello hijack json-rpc login relay subprotocols tunnel upload
# The components that do not use `std`.
BARE := client echo grip portable-chat portable-echo portable-json portable-tally protocol server

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: target ## build everything and serve the default app (LISTEN=127.0.0.1:1234)
	$(BUILD_RUNNER)
	@exec target/debug/wasocket serve --listen $(LISTEN)

.PHONY: dist
dist: target ## build the program for production: target/dist/wasocket
	$(BUILD_DIST)

# Runs two commands at a time: what waits for the network or for a peer next to what computes. Fails if one does.
together = $(1) & $(2); second=$$?; wait $$! && exit $$second

TEST_VIEWS := $(CARGO) test --manifest-path tests/views/Cargo.toml --target-dir target/views
TEST_BENCH = $(CARGO) test --manifest-path benches/Cargo.toml --target-dir $(BENCH) -p wasocket-bench

.PHONY: test
test: target ## run every check and test, and install what they need
	$(call together,tests/setup.sh,$(MAKE) lint)
	$(CARGO) test --workspace
	$(call together,$(TEST_VIEWS),$(TEST_BENCH))
	$(call together,$(MAKE) autobahn-server,$(MAKE) autobahn-client)
	$(MAKE) fuzz

# What CI runs of the Autobahn test suite; `make conformance` runs more.
.PHONY: autobahn-server autobahn-client
autobahn-server:
	tests/conformance.sh --if-available fast
	AB_COUNT=20 tests/conformance.sh --if-available deflate
autobahn-client:
	tests/conformance.sh --if-available --client fast
	AB_COUNT=20 tests/conformance.sh --if-available --client deflate

# One at a time: apps with and without `std` cannot share a build of the crate `wasocket`.
.PHONY: component
component: target ## build the components: target/wasm32-wasip2/release/*.wasm
	$(CARGO) build --release --target $(WASM_TARGET) $(BARE:%=-p %)
	$(CARGO) build --release --target $(WASM_TARGET) $(APPS:%=-p %)

.PHONY: languages
languages: target ## build the apps in other languages, and install what they need: target/languages/*.wasm
	tests/setup.sh
	languages/build.sh

.PHONY: conformance
conformance: target ## run the Autobahn test suite in both roles (CASES=fast, or all)
	$(BUILD_RUNNER) --example autobahn-client
	tests/conformance.sh $(or $(CASES),fast)
	tests/conformance.sh --client $(or $(CASES),fast)

FUZZ_SECONDS ?= 50
FUZZ_PROTOCOL := deflate frames handshake resume
FUZZ_HOST := contract network
FUZZ := $(FUZZ_PROTOCOL:%=target/fuzz/release/%) $(FUZZ_HOST:%=target/debug/%)
FUZZ_OPTIONS := -max_total_time=$(FUZZ_SECONDS) -max_len=4096 -timeout=30 -verbosity=0 -print_final_stats=1

# Without a sanitizer, which would need a nightly toolchain: there is no unsafe code to check. Two at a time: each is one
# thread.
.PHONY: fuzz
fuzz: target ## fuzz each target from its seeds (FUZZ_SECONDS=50)
	RUSTC_WRAPPER="$(CURDIR)/fuzz/rustc.sh" $(CARGO) build --release \
	  --manifest-path fuzz/protocol/Cargo.toml --target-dir target/fuzz
	RUSTC_WORKSPACE_WRAPPER="$(CURDIR)/fuzz/rustc.sh" $(CARGO) build --workspace $(FUZZ_HOST:%=--bin %)
	printf '%s\n' $(FUZZ) | xargs -P 2 -I {} fuzz/run.sh {} $(FUZZ_OPTIONS)

# In its own workspace and folder, so that it does not change how the rest is built.
BENCH := target/bench
BUILD_BENCH := $(CARGO) build --release --manifest-path benches/Cargo.toml --target-dir $(BENCH)

# The servers for rooms that npm has. It writes the hidden lock file last.
BENCH_ROOMS := benches/peers/rooms
$(BENCH_ROOMS)/node_modules/.package-lock.json: $(BENCH_ROOMS)/package-lock.json
	cd $(BENCH_ROOMS) && npm install --no-save --no-audit --no-fund --silent
	touch $@

# The runner and everything it serves must be optimised, so the first build takes long.
.PHONY: bench-build
bench-build: target $(BENCH_ROOMS)/node_modules/.package-lock.json
	tests/setup.sh
	$(BUILD_DIST)
	$(CARGO) build --profile component --target $(WASM_TARGET) --target-dir $(BENCH) -p portable-echo --features composed
	$(CARGO) build --profile component --manifest-path benches/Cargo.toml --target-dir $(BENCH) \
		--target $(WASM_TARGET) -p wasocket-bench-echo -p wasocket-bench-room
	$(BUILD_BENCH) -p wasocket-bench -p wasocket-bench-peers

.PHONY: bench
bench: bench-build ## compare with other servers, for 35 minutes (BENCH_OPTIONS=--quick, or --write for docs/performance.md)
	$(BENCH)/release/wasocket-bench run $(BENCH_OPTIONS)

.PHONY: bench-rooms
bench-rooms: bench-build ## the same for rooms only, also across two runners over NATS and Redis
	$(BENCH)/release/wasocket-bench run --rooms $(BENCH_OPTIONS)

.PHONY: bench-shares
bench-shares: bench-build ## measure what a client has to wait next to clients that flood the server
	$(BENCH)/release/wasocket-bench shares $(BENCH_OPTIONS)

.PHONY: bench-swaps
bench-swaps: bench-build languages ## measure how long connections wait while a new version replaces theirs, 8 minutes
	$(BENCH)/release/wasocket-bench swaps $(BENCH_OPTIONS)

.PHONY: bench-sleep
bench-sleep: bench-build languages ## measure the memory of connections that sleep, and what waking one costs, 8 minutes
	$(BENCH)/release/wasocket-bench sleep $(BENCH_OPTIONS)

.PHONY: bench-grow
bench-grow: bench-build ## measure how the cost grows with connections, messages and components
	$(BENCH)/release/wasocket-bench grow $(BENCH_OPTIONS)

.PHONY: bench-micro
bench-micro: ## measure the parts of the protocol: masking, headers, UTF-8, handshake, compression
	$(CARGO) bench --manifest-path benches/Cargo.toml --target-dir $(BENCH) -p wasocket-bench-micro

SOAK_MINUTES ?= 30

.PHONY: soak
soak: target ## load the runner for SOAK_MINUTES=30, and check that its memory stays flat (SOAK_OPTIONS=--write for docs/performance.md)
	$(BUILD_DIST)
	$(BUILD_BENCH) -p wasocket-bench
	$(BENCH)/release/wasocket-bench soak --minutes $(SOAK_MINUTES) $(SOAK_OPTIONS)

.PHONY: lint
lint: target links ## check format, lints, documentation and links
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	$(CARGO) clippy --target $(WASM_TARGET) $(BARE:%=-p %) -p compresses -p pending -- -D warnings
	$(CARGO) clippy --target $(WASM_TARGET) -p portable-chat -p portable-echo -p portable-json --features composed -- -D warnings
	$(CARGO) clippy --target $(WASM_TARGET) -p portable-tally --features v2 -- -D warnings
	$(CARGO) fmt --manifest-path languages/tools/Cargo.toml --check
	$(CARGO) fmt --manifest-path benches/Cargo.toml --all --check
	$(CARGO) clippy --manifest-path benches/Cargo.toml --target-dir target/bench --all-targets -- -D warnings
	$(CARGO) clippy --target $(WASM_TARGET) $(APPS:%=-p %) -p outgoing -p faults -p files -p breaches -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --quiet

.PHONY: wit
wit: $(WKG) ## build the WIT package for publication: target/wasocket-websocket.wasm
	$(WKG) wit build --output $(WIT_PACKAGE)

.PHONY: fmt
fmt: ## format the code
	$(CARGO) fmt --all

.PHONY: doc
doc: ## build the documentation: target/doc/wasocket/index.html
	$(CARGO) doc -p wasocket -p wasocket-host -p wasocket-test --no-deps

.PHONY: screenshot
screenshot: target setup ## retake the README's screenshot of the default page: docs/default-page.png
	$(BUILD_RUNNER)
	tests/peers/browser/screenshot.sh $(CURDIR)/target/debug/wasocket $(CURDIR)/docs/default-page.png

.PHONY: site
site: $(MDBOOK) ## build the documentation as a website: target/site/index.html
	docs/site/build.py $(MDBOOK) target/site

.PHONY: links
links: ## check the links in all documents: files and anchors
	docs/site/check_links.py

.PHONY: setup
setup: target ## install what the tests need: Go, Chromium, npm packages
	tests/setup.sh

# Prints nothing if they are already installed.
.PHONY: target
target:
	@rustup target list --installed | grep -q '^$(WASM_TARGET)$$' || rustup target add $(WASM_TARGET)
	@rustup component list --installed | grep -q '^clippy' || rustup component add clippy rustfmt

# Not for `make test`: it is about 400 crates, and the test `component` encodes the package, too. A debug build is good
# enough.
$(WKG):
	$(CARGO) install wkg --version $(WKG_VERSION) --locked --debug --no-default-features --root target/tools

# With search, but without its server.
$(MDBOOK):
	$(CARGO) install mdbook --version $(MDBOOK_VERSION) --locked \
	  --no-default-features --features search --root target/tools
