# The verbs of this project; `make` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help

help: ## list the verbs
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup: ## install what is missing (Debian 12, root); quick when done
	scripts/setup

demo: setup ## three pods, a policy, some calls, and what became of them
	cargo build --locked
	target/debug/weir demo

check: ## formatting, lints, unit tests, the house's arrows: neither root nor the eBPF tool chain
	scripts/check

test: ## everything; what CI runs
	scripts/setup test
	scripts/test

bench-http: ## CPU and time per request beside Envoy, HAProxy and nginx, in one run; half an hour
	scripts/setup bench
	cargo build --locked --release --workspace
	target/release/weir-bench http

bench-body: ## CPU per GiB of a long response, beside a plain copy, HAProxy and Envoy
	scripts/setup bench
	cargo build --locked --release --workspace
	target/release/weir-bench body

bench-policy: ## from an event to the kernel's entries: time and memory of the control plane
	cargo build --locked --release -p weir-bench
	target/release/weir-bench policy

bench-idle: setup ## memory of 5,000 idle keep-alive pairs
	cargo build --locked --release --workspace
	target/release/weir-bench idle

integrity: setup ## a million requests with hashed bodies
	cargo build --locked --release --workspace
	target/release/weir-bench integrity

fuzz: setup ## every fuzz target for 30 seconds; scripts/fuzz takes others
	scripts/fuzz

deny: ## licences and sources of all dependencies; builds cargo-deny the first time, which takes minutes
	scripts/deny

soak: setup ## 30 minutes of mixed traffic, the policy edited twice a second
	cargo build --locked --release --workspace
	target/release/weir-bench soak

fmt: ## format all code
	cargo fmt --all
	cargo fmt --manifest-path ebpf/Cargo.toml
	cargo fmt --manifest-path filters/fuzz/Cargo.toml

clean: ## remove what was built
	cargo clean
	rm -rf ebpf/target filters/fuzz/target

.PHONY: help setup demo check test bench-http bench-body bench-idle bench-policy integrity soak fuzz deny fmt clean
