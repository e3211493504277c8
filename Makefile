# `make` alone lists the targets; README.md says what they are for.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

BASE_PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	if command -v $$p >/dev/null && $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; \
	then command -v $$p; break; fi; done)
PYTHON := .venv/bin/python
TORCH := $(shell sed -n 's/^\(torch==[^ ;]*\).*/\1/p' locks/cpu.txt)
TORCHVISION := $(shell sed -n 's/^\(torchvision==[^ ;]*\).*/\1/p' locks/cpu.txt)
GPU_PYTHON := $(or $(GPU_PYTHON),$(shell command -v python3))
# where pyenv keeps its interpreters, also when only its programs are on PATH
export PYENV_ROOT ?= $(patsubst %/bin/pyenv,%,$(shell command -v pyenv))
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export DVC_NO_ANALYTICS := 1
unexport PYTHONPATH

.PHONY: help setup mini test lint bench report clean locks locks-check dependencies legacy-test images gpu-check pull \
	reference faults audit growth

help:
	@echo "make mini    run every system end to end at mini size, verify the claims, write the report"
	@echo "make test    run the CPU test suite"
	@echo "make lint    check style, the pipeline's dependencies and the Dockerfiles"
	@echo "make bench   measure speed and memory into benchmarks/results.json"
	@echo "make growth  measure how time, memory and files grow with size into benchmarks/growth.json"
	@echo "make faults  kills, hostile files, lost machines: inject them, print what was survived (half an hour)"
	@echo "make audit   look the locks' versions up among the published vulnerabilities (needs a network)"
	@echo "make report  write mini/report/index.html again from the results that are there"
	@echo "make legacy-test  prove the worker code on Python 3.7 with torch 1.7.1, and on 3.10 with 2.0.1"
	@echo "make images  build both images and prove them"
	@echo "make gpu-check    check and measure the GPU of this machine into benchmarks/gpu-<name>.json"
	@echo "make locks   make the locks of all environments again; make locks-check checks them"
	@echo "make pull    fetch the stored artefacts of the mini run: \`encore verify mini --from-predictions\` judges them"
	@echo "make reference  for maintainers, after a clean \`make mini\`: store that run's artefacts and record"
	@echo "make clean   remove what runs have made (not the environment)"

.venv/ready: locks/cpu.txt locks/cpu-rest.txt locks/assets.txt pyproject.toml
	@test -n "$(BASE_PYTHON)" || { echo "encore: Python 3.11, 3.12 or 3.13 is needed and none is on PATH" >&2; exit 2; }
	@$(BASE_PYTHON) -c 'import venv, ensurepip' || { echo "encore: $(BASE_PYTHON) lacks venv: install python3-venv" >&2; exit 2; }
	rm -f $@
	test -x $(PYTHON) || $(BASE_PYTHON) -m venv .venv
	$(PYTHON) -m pip install --quiet --disable-pip-version-check $(TORCH)
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --no-deps $(TORCHVISION)
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r locks/cpu-rest.txt
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r locks/assets.txt
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	test -e .git || .venv/bin/dvc config --local core.no_scm true
	touch $@

setup: .venv/ready

mini: .venv/ready
	bin/mini
	@verified=0; .venv/bin/encore verify mini || verified=$$?; \
	.venv/bin/encore crate mini && .venv/bin/encore report mini && exit $$verified

# One process more than two cores have: many tests wait for programs that they start.
test: .venv/ready
	$(PYTHON) -m pytest -n 3

lint: .venv/ready
	.venv/bin/ruff check .
	.venv/bin/encore dependencies --check
	.venv/bin/encore dockerfiles

bench: .venv/ready
	$(PYTHON) -m benchmarks

growth: .venv/ready
	$(PYTHON) -m benchmarks.growth

# What the fault suites need beyond the environment itself, which stays without it: Ray, a fuzzer, an auditor.
.venv/faults: .venv/ready locks/faults.txt
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r locks/faults.txt
	touch $@

faults: .venv/faults
	$(PYTHON) -m faults

audit: .venv/faults
	.venv/bin/encore audit

report: .venv/ready
	.venv/bin/encore report mini

# The small outputs of the stored run, from mini/artefacts in this repository, whatever remote you have set.
pull: .venv/ready
	.venv/bin/dvc pull --remote mini mini/dvc.yaml

reference: .venv/ready
	@.venv/bin/dvc status --quiet mini/dvc.yaml || { echo "encore: mini has not run to its end: run 'make mini' first" >&2; exit 2; }
	rm -rf mini/artefacts
	.venv/bin/dvc push --remote mini mini/dvc.yaml
	chmod -R u+w mini/artefacts
	.venv/bin/encore reference mini

clean:
	rm -rf {,mini/}{.work,data,models,descriptors,predictions,submission,evidence,inputs,metrics,plots,fingerprints,report}

dependencies: .venv/ready
	.venv/bin/encore dependencies --write

# Every environment's lock, made again from locks/*.in, or checked, also against the package index.
locks: .venv/ready
	.venv/bin/encore locks --write

locks-check: .venv/ready
	.venv/bin/encore locks --check

legacy-test: .venv/ready
	bin/legacy-test

.venv/container-tools: .venv/ready locks/container-tools.txt
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r locks/container-tools.txt
	touch $@

images: .venv/container-tools
	containers/check-images

# For any machine with a GPU: only torch, torchvision, numpy, Pillow and scikit-image are needed there.
gpu-check:
	@test -n "$(GPU_PYTHON)" || { echo "encore: no python3 on PATH: name one with GPU_PYTHON=…" >&2; exit 2; }
	PYTHONPATH=src:. "$(GPU_PYTHON)" -m benchmarks.gpu_check
