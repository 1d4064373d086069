PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SELFPROMPT_EXTRAS ?= hf,parquet,elpv,clip,text,track,peft,search,cluster,export,serve

.PHONY: install quickstart test lint docs clean

# A virtual environment of the project's own, made again when what it depends on changes.
install: $(VENV)/.installed
$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[$(SELFPROMPT_EXTRAS)]' --group dev
	touch $@

# The main job: prompt tuning of the packaged backbone on the embedded images, offline.
quickstart: install
	$(BIN)/selfprompt tune

test: install
	$(BIN)/python -m pytest -n 2 $(PYTEST_FLAGS)

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

# The site, its pages executed: docs/_build/html/index.html
docs: install
	$(BIN)/sphinx-build -W --keep-going -n docs docs/_build/html

clean:
	rm -rf $(VENV) runs dist build docs/_build docs/generated .pytest_cache .ruff_cache
