# make demo    run the main job (no key: on the embedded FakeOpenAI)
# make test    run the tests on the built wheel
# make check   lint and type checks
# make record  record the cassettes (aimock from npm, or the real API when OPENAI_API_KEY is set)
# make compat  run llmkit inside the libraries that take an OpenAI client
# make sdks    compare llmkit with the raw SDK under each supported release of openai
# make bench   measure llmkit beside the raw SDK; more in docs/performance.md
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q
SOURCES := $(shell find llmkit -type f -not -name '*.pyc') pyproject.toml README.md

.PHONY: demo test check record compat sdks bench clean

demo: $(VENV)/.installed
	@$(BIN)/python examples/quickstart.py

test: $(VENV)/.installed $(VENV)/.dev
	$(BIN)/pytest --cov --cov-report=term --cov-fail-under=100

check: $(VENV)/.installed $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pyright

record: $(VENV)/.installed $(VENV)/.dev
	tests/record $(BIN)

compat: $(VENV)/.installed
	tests/compat/run $(PYTHON)

sdks: $(VENV)/.installed
	tests/sdks/run $(PYTHON)

bench: $(VENV)/.installed $(VENV)/.dev
	@$(BIN)/python benchmarks/run.py $(ARGS)

clean:
	rm -rf $(VENV) build dist

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "llmkit needs Python 3.11 or newer, and $(PYTHON) is " + sys.version.split()[0] + ": make clean, then make PYTHON=python3.11 ...")'
	@echo "Installing into $(VENV), which takes a few seconds ..."
	$(PYTHON) -m venv $(VENV)

# What is tested and demonstrated is the built wheel, not the checkout.
$(VENV)/.installed: $(BIN)/python $(SOURCES)
	rm -rf build/wheel
	$(PIP) wheel --no-deps -w build/wheel .
	$(PIP) install build/wheel/*.whl
	$(PIP) install --force-reinstall --no-deps build/wheel/*.whl
	touch $@

$(VENV)/.dev: $(VENV)/.installed pyproject.toml
	$(PIP) install "$$(ls build/wheel/*.whl)[dev]"
	touch $@
