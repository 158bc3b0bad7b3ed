SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test newer bench check fuzz

# Passed to the program behind a target: make demo ARGS=--serve, make test ARGS=policy
ARGS ?=

help: ## this list
	@echo "Tollgate"
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 16
	@echo "ARGS are passed on: make demo ARGS=--serve"

demo: ## play a short agent session on real data; ARGS=--serve leaves it running
	@scripts/setup demo
	@cargo build --locked
	@cargo run --quiet --locked -- demo $(ARGS)

test: ## every test, with everything they need; ARGS selects by name
	@scripts/setup test
	@scripts/test $(ARGS)

newer: ## tests against a newer server than this machine has; ARGS=mysql, mariadb, postgresql-17 or postgresql-18
	@scripts/setup test
	@scripts/newer $(ARGS)

bench: ## each governed call beside the same work done directly
	@scripts/setup test
	@cargo bench --locked --all-features --benches -- $(ARGS)

check: ## format and lints, as continuous integration checks them
	@scripts/setup build
	cargo fmt --check
	cargo clippy --all-targets --all-features --locked -- -D warnings

fuzz: ## every reader of outside input, a minute each; ARGS=name takes one for five (fuzz/README.md)
	@scripts/fuzz $(ARGS)
