# `make book` builds the website, `make test` passes the tests; both need only Python 3.11+ and make.
PYTHON ?= python3
LAB ?=
# Of pytest, for the whole suite: as many processes as cores, a file's tests in one of them, files in conftest.py's order
TOGETHER := -n logical --maxprocesses=4 --max-worker-restart=0 --dist=loadfile --no-loadscope-reorder
BENCH ?=
ifeq ($(OS),Windows_NT)
RUN := .venv/Scripts/python
else
RUN := .venv/bin/python
endif

.DEFAULT_GOAL := help
.PHONY: help ready book pdf course test test-all lab bench notebooks pins clean

help: ## list these commands
	@sed -n 's/^\([a-z-]*\):.*## /  make \1|/p' $(MAKEFILE_LIST) | while IFS='|' read -r name text; do printf '%-17s %s\n' "$$name" "$$text"; done

ready:
	@command -v "$(PYTHON)" >/dev/null || { echo "lexviz: no $(PYTHON) was found. Install Python 3.11 or newer, or name it: make PYTHON=/path/to/python ..."; exit 1; }
	@"$(PYTHON)" tools/ready.py

book: ready ## build the website, and say where to open it
	@$(RUN) tools/website.py

pdf: ready ## print the whole book into one PDF, with headless Chromium
	@$(RUN) tools/pdf.py

course: ready ## notebooks for students and teachers, slides, handouts and assignments, from the chapters: dist/course
	@$(RUN) tools/course.py

test: ready ## everything that must hold: style, properties, notebooks, the book without a warning
	@$(RUN) -m ruff check --quiet .
	@$(RUN) -m ruff format --check --quiet .
	@$(RUN) -m pytest $(TOGETHER)

test-all: ready ## the same with every combination that `make test` samples, and more random inputs
	@$(RUN) -m ruff check --quiet .
	@$(RUN) -m ruff format --check --quiet .
	@$(RUN) -m pytest $(TOGETHER) -m "" --hypothesis-profile=full

lab: ready ## JupyterLab on the chapters (LAB="--port 9999" passes options)
	@cd book && ../$(RUN) -m jupyterlab $(LAB)

bench: book ## measure: speed, as ratios of two things in one process; the pages' weight and the figures' latency
	@$(RUN) -m benchmarks $(BENCH)

notebooks: ready ## run every chapter and keep what it prints, ready to be committed
	@$(RUN) tools/notebooks.py

pins: ready ## write requirements.txt anew from requirements.in
	@$(RUN) -m uv pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest --upgrade \
		--annotation-style line --custom-compile-command "make pins" requirements.in -o requirements.txt

clean: ## remove .venv and everything that was built
	rm -rf .venv _build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
