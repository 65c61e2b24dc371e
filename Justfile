# rustlet's one entry point. `just` alone lists the recipes.

set shell := ["bash", "-euo", "pipefail", "-c"]

# The lab needs root for namespaces, mounts and cgroups; everything else runs as you.
root := if `id -u` == "0" { "" } else { "sudo --preserve-env=PATH,HOME,GOPATH,GOCACHE,GOPROXY,RUSTLET_LAB_BIN,RUSTLET_LAB_AGENT" }
lab := root + " target/debug/lab"

# List the recipes
default:
    @just --list --unsorted

# Bring up a real cluster with two rustlet workers and watch the walkthrough (`--once`: exit by itself)
demo *ARGS: tools _lab _release
    {{ lab }} demo --rustlet target/release/rustlet {{ ARGS }}

# A real cluster with two rustlet workers, until Ctrl-C (`--agent upstream`: the Go components instead)
up *ARGS: tools _lab _release
    {{ lab }} up --rustlet target/release/rustlet {{ ARGS }}

# Remove whatever an interrupted lab left behind
down: _lab
    {{ lab }} down

# All tests: pure, fakes, real kernel in namespaces, real cluster, some of upstream's conformance suite
test: tools test-unit test-netns test-cluster conformance-smoke

# Pure logic and components with fakes; the architecture held against its page (root: tmpfs and owners of volumes)
test-unit:
    cargo build --tests
    {{ root }} env "PATH=$PATH" cargo test --lib --bins --test architecture --test proxy_rules
    cargo test -p rustlet-lab --lib --bins
    cargo test -p rustlet-lab --doc

# The CNI plugin, the pod network and the proxy against the real kernel, in namespaces of their own
test-netns:
    cargo build --tests
    {{ root }} env "PATH=$PATH" cargo test --test netns_cni --test netns_network --test netns_proxy
    {{ root }} env "PATH=$PATH" cargo test -p rustlet-lab --test machines

# Real API server, etcd, containerd and runc with two rustlet nodes (`just test-cluster NAME` runs matching cases)
test-cluster *ARGS: _lab
    cargo build --tests
    {{ lab }} build --metrics-server
    {{ root }} env "PATH=$PATH" cargo test -p rustlet-lab --test cluster -- {{ ARGS }}
    {{ root }} env "PATH=$PATH" cargo test --test cluster -- {{ ARGS }}

# The same cluster cases on upstream's kubelet, kube-proxy and CNI plugins: what differs there is ours or is written down
test-upstream *ARGS: tools
    cargo build --tests
    {{ lab }} build --metrics-server --upstream
    {{ root }} env "PATH=$PATH" RUSTLET_LAB_AGENT=upstream cargo test --test cluster -- {{ ARGS }}

# Malformed requests to the node's API (`request`) or any Pods (`pod`), for a while (libFuzzer; stable Rust is let use what it needs)
fuzz TARGET="request" SECONDS="60":
    command -v cargo-fuzz >/dev/null || { echo "installing cargo-fuzz (once)"; cargo install --locked cargo-fuzz; }
    RUSTC_BOOTSTRAP=1 cargo fuzz run {{ TARGET }} -- -max_total_time={{ SECONDS }} -max_len=4096 {{ if TARGET == "request" { "-dict=fuzz/request.dict" } else { "" } }}

# Formatting, lints, docs, licences
check:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --document-private-items --quiet
    command -v cargo-deny >/dev/null || { echo "installing cargo-deny (once)"; cargo install --locked cargo-deny; }
    cargo deny --config .deny.toml check licenses bans sources
    if compgen -G "$HOME/.cargo/advisory-dbs/*" >/dev/null; then cargo deny --offline --config .deny.toml check advisories; else echo "advisories: skipped, no local advisory database (cargo deny fetch)"; fi

# Format the code
fmt:
    cargo fmt --all

# Rewrite the golden rulesets after looking at the difference
golden-update:
    UPDATE_GOLDEN=1 cargo test --test proxy_rules

# Beside upstream on a real cluster: `just bench` the node's footprint, `just bench pods` starts over the runtime's floor, deaths, restarts
bench *ARGS: tools _lab _release
    cargo build --release --quiet -p rustlet-floor
    {{ lab }} bench --rustlet target/release/rustlet {{ ARGS }}

# Upstream's conformance suite on two nodes, or the tests matching FOCUS (`--node`: its other node tests; `--agent upstream`, `--serial`, `--procs N`)
conformance *ARGS: _lab _release
    {{ lab }} conformance --rustlet target/release/rustlet {{ ARGS }}

# Some 30 tests of that suite that touch every path
conformance-smoke *ARGS: _lab
    cargo build --quiet --bin rustlet
    {{ lab }} conformance --smoke --rustlet target/debug/rustlet {{ ARGS }}

# Build the release binary
build: _release

# Install the Debian packages and build the Go components the lab needs (once; about 10 minutes on 2 cores)
tools: _lab
    {{ lab }} build

_lab:
    @echo "building the lab tool"
    cargo build --quiet -p rustlet-lab

_release:
    @echo "building rustlet (release)"
    cargo build --release --quiet --bin rustlet
