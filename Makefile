# make venv | demo | lint | docs | test. Variables: PYTHON (the interpreter that makes the environment), VENV (its folder),
# TEST_PROCESSES (between which the tests are divided; each has one thread and needs 2 GB).
PYTHON ?= python3
VENV ?= .venv
TEST_PROCESSES ?= 2
RUN := $(VENV)/bin/python
# Written last, so that an interrupted installation is continued.
STAMP := $(VENV)/.installed

.PHONY: venv demo lint docs test

venv: $(STAMP)

$(STAMP): setup.py constraints.txt tools/install_detectron2.py
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --disable-pip-version-check -q -c constraints.txt setuptools wheel
	$(RUN) -m pip install --disable-pip-version-check -c constraints.txt --no-build-isolation -e '.[dev]'
	$(RUN) tools/install_detectron2.py
	$(RUN) -m pip check
	touch $@

demo: venv
	$(RUN) tools/train_net.py --config-file configs/selftrain_icm.yaml

lint: venv
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy ptseg_d2 tools datasets benchmarks docs tests
	$(VENV)/bin/lint-imports

# From this checkout alone: nothing is fetched. The variable leaves out an announcement that is no message of the build.
docs: venv
	NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build --quiet --strict

test: lint docs
	OMP_NUM_THREADS=1 $(RUN) -m pytest -q --numprocesses $(TEST_PROCESSES)
