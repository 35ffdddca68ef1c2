# make venv | demo | lint | test. Variables: PYTHON (the interpreter that makes the environment), VENV (its folder).
PYTHON ?= python3
VENV ?= .venv
RUN := $(VENV)/bin/python
# Written last, so that an interrupted installation is continued.
STAMP := $(VENV)/.installed

.PHONY: venv demo lint test

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
	$(RUN) -m mypy ptseg_d2 tools datasets benchmarks tests
	$(VENV)/bin/lint-imports

test: lint
	$(RUN) -m pytest -q
