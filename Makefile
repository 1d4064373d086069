PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SELFPROMPT_EXTRAS ?= hf,parquet,elpv,clip,text,track,peft,search,cluster,export,serve

.PHONY: install quickstart test lint clean

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

clean:
	rm -rf $(VENV) runs dist build .pytest_cache .ruff_cache
