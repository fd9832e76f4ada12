# make run        opens the studio                    make test       runs every test
# make lint       checks form, imports and types      make test-fast  runs the tests without browser and training
# make bench      prints the benchmarks               make test-newest  runs those once more, on the newest other Python
# make clean      removes the virtual environments
PY ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST_ARGS ?= -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder
STAMP := $(VENV)/installed
DEV_STAMP := $(VENV)/installed-for-development

.PHONY: run lint format test-fast test test-newest bench clean

run: $(STAMP)
	@$(BIN)/studio $(STUDIO_ARGS)

lint: $(DEV_STAMP)
	@$(BIN)/ruff format --check --quiet . || { echo "Some files are not formatted: run 'make format'"; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/lint-imports > /dev/null || $(BIN)/lint-imports
	@find studio -name "*.pyi" -delete  # Gradio writes stubs beside components of our own; they would stand for the code
	@$(BIN)/basedpyright

format: $(DEV_STAMP)
	@$(BIN)/ruff check --quiet --fix --select I . && $(BIN)/ruff format --quiet .

test-fast: $(DEV_STAMP)
	@$(BIN)/python -m pytest $(PYTEST_ARGS) -m "not slow and not browser and not training" tests/unit

test: $(DEV_STAMP)
	@$(BIN)/python tests/get_chromium.py
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

# The other Python has packages of its own: a second environment, made like the first.
test-newest:
	@newest=$$($(PY) tests/newest_python.py); \
	if [ -n "$$newest" ]; then \
	  echo "The unit tests once more, on $$newest:"; \
	  $(MAKE) --no-print-directory test-fast VENV=.venv-newest PY="$$newest"; \
	else \
	  echo "No other Python from 3.10 on was found here: the unit tests are not run a second time."; \
	fi

bench: $(DEV_STAMP)
	@$(BIN)/python -m tests.benchmarks

# Read by Spaces.
requirements.txt: pyproject.toml | $(DEV_STAMP)
	@$(BIN)/python -m tests.requirements

# Made anew when pyproject.toml changes. The stamp comes last, so an interrupted installation goes on next time.
$(STAMP): pyproject.toml
	@$(PY) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "Python 3.10 or newer is needed: make PY=/path/to/python"; exit 1; }
	@test -x $(BIN)/python && $(BIN)/python -m pip --version >/dev/null 2>&1 || $(MAKE) --no-print-directory venv
	@echo "Installing torch and torchvision (some GB the first time, a few minutes) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "torch>=2.11,<3" "torchvision>=0.26,<1"
	@$(BIN)/python -c "import torchvision" || { echo "torch and torchvision do not belong together; remove .venv and try again"; exit 1; }
	@echo "Installing the studio ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $(STAMP)
	@echo "Installed."

$(DEV_STAMP): $(STAMP)
	@echo "Installing what tests and checks need ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[test,lint]"
	@# Of these only the weights are read: what they depend on is not needed, nor is the version of Python.
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --ignore-requires-python \
	  "gan-face-generate>=1.1,<2" "vintagify>=0.1,<0.2"
	@touch $(DEV_STAMP)

.PHONY: venv
venv:
	@echo "Making a virtual environment in $(VENV) ..."
	@rm -rf $(VENV)
	@$(PY) -m venv $(VENV) 2>/dev/null || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -qq >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3-venv >/dev/null && \
	    rm -rf $(VENV) && $(PY) -m venv $(VENV); \
	  else \
	    rm -rf $(VENV); echo "This Python cannot make virtual environments. On Debian and Ubuntu: sudo apt install python3-venv"; exit 1; \
	  fi; }

clean:
	rm -rf $(VENV) .venv-newest
