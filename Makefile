# The two commands: `make demo` to see it run, `make test` for everything that CI runs.

.POSIX:
.PHONY: demo test bench bench-ha test-packages bench-packages bench-ha-packages

# gcc: the allocator and part of the cryptography are C and assembly. tomcat10-common is Tomcat without a service that
# would start at once.
TEST_PACKAGES = gcc libc6-dev ca-certificates curl default-jdk-headless git iproute2 keepalived nftables nghttp2-client \
	bind9-dnsutils bsdutils haproxy libnginx-mod-stream mariadb-server nginx nsd openssl postgresql python3 redis-server \
	tomcat10-common util-linux valgrind
BENCH_PACKAGES = nginx libnginx-mod-stream haproxy nghttp2-client valgrind linux-perf iproute2 python3
BENCH_HA_PACKAGES = haproxy iproute2 keepalived mariadb-server nftables python3
TARGET = $${CARGO_TARGET_DIR:-target}

demo:
	cargo build --release --locked
	@exec "$(TARGET)/release/haechi" demo

# Three compilations of the dependencies: checked (clippy, rustdoc), built (tests), and as released, for
# the gate, which fails where a request takes more instructions than before. GATE_BASE=COMMIT: before what.
test: test-packages
	cargo fmt --all --check
	cargo clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --lib
	@if cargo nextest --version >/dev/null 2>&1; then set -x; cargo nextest run --locked; \
		else set -x; cargo test --locked --lib --bins --tests; fi
	cargo test --locked --doc
	@if cargo deny --version >/dev/null 2>&1; then set -x; cargo deny --offline check bans licenses sources; \
		else echo "cargo-deny is not installed: licences and bans are not checked"; fi
	python3 benches/high_availability/figures_test.py
	python3 benches/end_to_end/gate_test.py
	python3 benches/end_to_end/gate.py

# QUICK=1: one short round of each cell, and no table is written.
bench: bench-packages
	cargo bench --locked --bench '*' -- $${QUICK:+--quick}
	cargo build --release --locked
	cargo build --release --locked --manifest-path benches/end_to_end/load/Cargo.toml --target-dir "$(TARGET)/load"
	python3 benches/end_to_end/run.py --haechi "$(TARGET)/release/haechi" --load "$(TARGET)/load/release/load" \
		--readme benches/README.md $${QUICK:+--quick}

# What a pair of hosts costs its clients when things fail, beside keepalived and HAProxy. QUICK=1 as above.
bench-ha: bench-ha-packages
	cargo build --release --locked
	python3 benches/high_availability/run.py --haechi "$(TARGET)/release/haechi" --contender haechi,keepalived \
		--readme benches/README.md $${QUICK:+--quick}

test-packages:
	@.ci/packages $(TEST_PACKAGES)

bench-packages:
	@.ci/packages $(BENCH_PACKAGES)

bench-ha-packages:
	@.ci/packages $(BENCH_HA_PACKAGES)
