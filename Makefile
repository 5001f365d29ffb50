# Each target is a short name for plain commands, which the README shows too.
PYTHON ?= python3
VENV := .venv
# For example https://download.pytorch.org/whl/cpu: torch without CUDA, a tenth of the download.
TORCH_INDEX ?=
# What `make report` compares the workspace with.
BASE ?= origin/main
# A variable's text as one word of the shell. Neither make nor the shell may expand it: a branch can be called $(...),
# and to hand a variable to a command's environment would expand it too.
# Line ends become spaces, since make would take what follows one for the next command.
unexport BASE ARTIFACT_URL BUMP STAGE VERSION REASON PUSH REPO URL IMAGE WATCH PORT DISPATCH EVERY SINCE SIMULATED ALONE \
  SHIFT MIX RATE CLEAN COUNT LABELS DELAY SEED SPAN OUT SPACE TRIALS NAME RESUME KEEP REPOSITORY WORKERS THREADS \
  EXPERIMENT AGAINST SEEDS SPLIT SWEEP BEST FRONTIER
define newline


endef
quoted = '$(subst $(newline), ,$(subst ','\'',$(value $(1))))'
# An option, if the variable was given to make itself: what happens to be in the environment must not deploy anything.
option = $(if $(filter command,$(origin $(2))),--$(1)=$(call quoted,$(2)))
flag = $(if $(filter command,$(origin $(2))),$(if $(filter-out 0 no,$(value $(2))),--$(1)))
push = $(call flag,push,PUSH)
# A file's tests stay in one process, since they share what was costly to prepare. Three, for many of them wait. The order
# is that of tests/conftest.py, where the longest come first.
PARALLEL := --numprocesses 3 --dist loadfile --no-loadscope-reorder
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check --quiet

export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.DEFAULT_GOAL := help
.PHONY: help setup repro pull test test-quick lint verify report release promote rollback versions deploy serve \
  simulate monitor-report export-feedback retrain seeds sweep keep image check-image plots lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / {printf "  make %-15s %s\n", $$1, $$2}' Makefile

setup: $(VENV)/installed ## create .venv and install what the pipeline needs

repro: $(VENV)/installed | data/raw data/production ## rebuild what changed, down to the checked model
	@mkdir -p timings && touch timings/started
	@dvc repro || { status=$$?; test ! results/check/verdict.json -nt timings/started || python -m reporting.summary; \
	  exit $$status; }
	@python -m reporting.summary

pull: $(VENV)/installed ## restore data, model and results from the DVC remote, without training
	dvc pull

test: lint $(VENV)/installed-tools ## set up, then lint, types and all tests
	python -m pytest $(PARALLEL) --cov
	python -m coverage report --include='digits/*,stages/*' --fail-under=95

test-quick: $(VENV)/installed-prometheus ## unit tests alone
	python -m pytest $(PARALLEL) -m 'not e2e'

lint: $(VENV)/installed-dev ## style, types, workflows, Dockerfile
	ruff check .
	ruff format --check .
	mypy
	zizmor --offline --persona pedantic --quiet .github
	actionlint
	check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml
	check-jsonschema --quiet --builtin-schema vendor.dependabot .github/dependabot.yml
	hadolint --failure-threshold style Dockerfile

verify: $(VENV)/installed ## is dvc.lock current, and everything it names pushed and committed?
	python -m reporting.verify

report: $(VENV)/installed ## what differs from BASE (origin/main), for a reviewer: report.md
	@python -m reporting.report --base $(call quoted,BASE) $(if $(value ARTIFACT_URL),--artifact-url $(call quoted,ARTIFACT_URL))

release: $(VENV)/installed ## make what is committed a version: [BUMP=minor] [PUSH=1]
	@python -m delivery.release $(call option,bump,BUMP) $(push)

promote: $(VENV)/installed ## put a version into a stage: STAGE=staging [VERSION=v0.1.0] [REASON='...'] [PUSH=1]
	@python -m delivery.promote $(call option,stage,STAGE) $(call option,version,VERSION) $(call option,reason,REASON) $(push)

rollback: $(VENV)/installed ## put back what a stage had before: STAGE=production [REASON='...'] [PUSH=1]
	@python -m delivery.rollback $(call option,stage,STAGE) $(call option,reason,REASON) $(push)

versions: $(VENV)/installed ## what is in which stage, since when, and how good
	@python -m delivery.versions

deploy: $(VENV)/installed ## put in place what the tags assign to STAGE=staging [WATCH=1] [REPO=https://...] [URL=]
	@python -m delivery.deploy $(call option,stage,STAGE) $(call option,repo,REPO) $(call option,url,URL) $(call flag,watch,WATCH)

serve: $(VENV)/installed-serve ## answer requests with what STAGE=production has, or the workspace's model: [PORT=8000]
	@exec python -m monitoring.serve $(call option,stage,STAGE) $(call option,port,PORT)

simulate: $(VENV)/installed-serve | data/traffic.npz ## send test images to STAGE=staging as traffic, to see a drift: [SHIFT=rotate30] [LABELS=0.3] ...
	@exec python -m monitoring.simulate $(call option,shift,SHIFT) $(call option,mix,MIX) $(call option,rate,RATE) \
	  $(call option,clean,CLEAN) $(call option,count,COUNT) $(call option,labels,LABELS) $(call option,delay,DELAY) \
	  $(call option,seed,SEED) $(call option,stage,STAGE) $(call option,url,URL)

monitor-report: $(VENV)/installed-serve ## STAGE=production's dashboard as one file: [SPAN=15m|1h|6h|24h|7d] [OUT=monitor.html]
	@python -m monitoring.report $(call option,stage,STAGE) $(call option,span,SPAN) $(call option,out,OUT)

export-feedback: $(VENV)/installed-serve ## labelled predictions of STAGE=production to data/production: [PUSH=1] [SINCE=2026-11-01]
	@python -m monitoring.feedback $(call option,stage,STAGE) $(call option,since,SINCE) $(call flag,simulated,SIMULATED) $(call flag,alone,ALONE) $(push)

retrain: $(VENV)/installed-serve ## is a retraining due for STAGE=production? [DISPATCH=1] starts it [REASON='...' anyway] [EVERY=60]
	@python -m monitoring.retrain $(call option,stage,STAGE) $(call flag,dispatch,DISPATCH) $(call option,force,REASON) $(call option,every,EVERY)

seeds: $(VENV)/installed | data/prepared/train.npz $(if $(filter test,$(value SPLIT)),data/prepared/test.npz) ## how good with SEEDS=20 seeds: [EXPERIMENT=name-or-revision] [AGAINST=another] [SPLIT=test]
	@exec python -m scaling.seeds $(call option,experiment,EXPERIMENT) $(call option,against,AGAINST) $(call option,seeds,SEEDS) \
	  $(call option,split,SPLIT)

sweep: $(VENV)/installed-scale | data/prepared/train.npz ## try TRIALS=200 settings from [SPACE=scaling/sweep.yaml] [NAME=] [KEEP=3], or go on with RESUME=NAME
	@exec python -m scaling.sweep $(call option,space,SPACE) $(call option,trials,TRIALS) $(call option,name,NAME) \
	  $(call option,resume,RESUME) $(call option,keep,KEEP) $(call option,seed,SEED) $(call option,repository,REPOSITORY) $(call option,workers,WORKERS) \
	  $(call option,threads,THREADS)

keep: $(VENV)/installed-scale ## make DVC experiments of SWEEP=name's best trials, and draw: [BEST=5] [FRONTIER=1: best of each size] [SEEDS=1]
	@python -m scaling.keep $(call option,sweep,SWEEP) $(call option,best,BEST) $(call flag,frontier,FRONTIER) \
	  $(call option,seeds,SEEDS)

image: ## build the service's image: [IMAGE=mnist]
	docker build --tag $(if $(value IMAGE),$(call quoted,IMAGE),mnist) .

check-image: $(VENV)/installed ## start the image with what is deployed for STAGE=staging, and smoke-test it: [VERSION=v0.1.0]
	@python -m delivery.container $(call option,stage,STAGE) $(call option,image,IMAGE) $(call option,version,VERSION)

plots: $(VENV)/installed-dev ## render DVC's plots as pictures into dvc_plots/
	python -m reporting.plots

lock: $(VENV)/installed-dev ## pin the newest versions that pyproject.toml allows
	uv pip compile --quiet --universal --all-extras --upgrade --no-emit-index-url --no-emit-find-links \
	  --no-header --no-annotate --python-version 3.11 --output-file requirements.lock pyproject.toml
	uv pip compile --quiet --universal --upgrade --no-emit-index-url --no-emit-find-links \
	  --no-header --no-annotate --python-version 3.11 --output-file tests/s3_server.lock tests/s3_server.in
	python -m tests.browser.install --lock

clean: ## remove the environment, caches and rendered plots; data and models stay
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache dvc_plots .coverage

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "error: Python 3.11 or newer is needed, \
	this is " + sys.version.split()[0] + "; name another with: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; } # a half-made one would pass for whole

# The lock is a constraint: it pins what the chosen extras ask for and installs nothing else, so a torch without CUDA
# brings no CUDA packages along.
$(VENV)/installed: pyproject.toml requirements.lock | $(VENV)/bin/python
	@echo 'Installing into $(VENV) (torch and what belongs to it are large; once)'
	$(if $(TORCH_INDEX),$(PIP) install --no-deps --constraint requirements.lock --index-url $(TORCH_INDEX) torch torchvision)
	$(PIP) install --constraint requirements.lock --editable .
	@touch $@

$(VENV)/installed-serve: $(VENV)/installed
	$(PIP) install --constraint requirements.lock --editable '.[serve,monitor]'
	@touch $@

$(VENV)/installed-scale: $(VENV)/installed
	$(PIP) install --constraint requirements.lock --editable '.[scale]'
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(PIP) install --constraint requirements.lock --editable '.[dev,monitor,s3,scale,serve,browser]'
	@touch $@ $(VENV)/installed-serve $(VENV)/installed-scale

# What unit tests start beside Python, for the rules and metrics that are Prometheus's to judge.
$(VENV)/installed-prometheus: $(VENV)/installed-dev tests/prometheus/install.py
	python -m tests.prometheus.install
	@touch $@

# What the other tests start besides: a browser, an S3 server.
$(VENV)/installed-tools: $(VENV)/installed-prometheus tests/s3_server.lock tests/browser/package-lock.json
	python -m tests.browser.install
	$(PYTHON) -m venv $(VENV)/s3-server
	$(VENV)/s3-server/bin/python -m pip --disable-pip-version-check --quiet install --requirement tests/s3_server.lock
	@touch $@

data/raw: | $(VENV)/installed
	dvc pull data/raw || echo 'Not to be had from the DVC remote: fetch will download it.'

data/traffic.npz data/prepared/test.npz: | $(VENV)/installed
	dvc pull $@

data/prepared/train.npz: | $(VENV)/installed
	dvc pull data/prepared/train.npz data/prepared/validation.npz data/prepared/statistics.json

# Also where another version has come by Git: `dvc repro` would take what lies here for the newer one.
data/production: data/production.dvc | $(VENV)/installed
	dvc pull data/production
	@touch $@
