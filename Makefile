# The front door: every target calls a script, and each script says at its top what it does.
# `make` alone lists the targets.

PREFIX ?= /usr/local
DESTDIR ?=
ENTER = tools/buildroot/enter

.DEFAULT_GOAL := help
.PHONY: help build demo test check-asan lint fmt install bench clean distclean

help: ## this list
	@echo "BlindBox: attested transcription in an enclave. Targets:"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 19

build: ## compile into build/ (makes the build root first where the system lacks the libraries)
	@tools/buildroot/build

demo: ## start an enclave, check its attestation, transcribe a recording, stop it
	@tools/demo.sh

test: ## every test; ends with "N passed, N failed"
	@tests/run.sh

check-asan: ## unit and end-to-end tests under the address and undefined-behaviour sanitizers
	@tests/run.sh asan e2e-asan

lint: ## formatting, static analysis and the rules of docs/ARCHITECTURE.md
	@tools/lint/run

fmt: ## format every C file
	@tools/lint/run fmt

install: ## install below DESTDIR and PREFIX (for systems that have the libraries)
	@tools/buildroot/install-to "$(DESTDIR)" "$(PREFIX)"

bench: ## measure requests per second beside whisper-server
	@tools/buildroot/make-root bench
	@tools/buildroot/build
	@$(ENTER) bench/run

clean: ## remove what was compiled
	rm -rf build build-*/ build*.log build*.lock

distclean: clean ## remove the build root as well
	tools/buildroot/make-root --remove
