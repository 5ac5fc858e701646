# Everything is installed into .venv, from a bare clone, with only python3 and a network for packages.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL = $(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt
# A plain path: with setuptools' import hook a clone named chatter_nb hides the package from its parent folder.
EDITABLE = --config-settings editable_mode=compat -e
# Its own pins would take torch and numpy back by years; the extra [chatterbox] has what it needs.
INSTALL_CHATTERBOX = $(INSTALL) --no-deps chatterbox-tts

QUICK := tests/base tests/params tests/text tests/audio tests/batch/test_grid.py tests/runs/test_chunkstore.py

# Modules are compiled once, not in each of the hundreds of processes that tests start.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo chatterbox verify app quick test test-slow browser java makers lint format lab clean

help:
	@echo "make demo        install, speak a chapter of a book through a notebook, and open its page"
	@echo "make chatterbox  add Chatterbox to that (with torch about 5 GB), and say what is here"
	@echo "make verify      add what checks that the audio says the text"
	@echo "make lab         JupyterLab on the notebooks"
	@echo "make app         the HTTP service, and its web page in the browser"
	@echo "make quick       what one runs at every save: under a minute, no browser, kernel, Ray, torch or server"
	@echo "make test        install what the tests need, then run all but the slow ones"
	@echo "make test-slow   run the slow ones: whole texts, long recordings, notebooks on Chatterbox"
	@echo "make lint        ruff on code and notebooks, mypy and the borders of rooms on the package"
	@echo "make clean       remove .venv and caches; outputs stay"

demo: $(VENV)/base.done
	$(BIN)/chatter-nb batch notebooks/01_speak.ipynb params/demo.yaml
	@$(BIN)/chatter-nb page outputs/demo --open

chatterbox: $(VENV)/chatterbox.done
	$(BIN)/chatter-nb doctor --load

verify: $(VENV)/verify.done
	$(BIN)/chatter-nb doctor

lab: $(VENV)/base.done
	$(BIN)/jupyter lab --ServerApp.root_dir=. --LabApp.default_url=/lab/tree/notebooks/01_speak.ipynb

app: $(VENV)/serve.done
	$(BIN)/chatter-nb app

quick: $(VENV)/test.done
	$(BIN)/pytest $(QUICK) -m "not slow" -n 2

test: $(VENV)/test.done browser java
	$(BIN)/pytest -m "not slow" -n 2 --dist loadfile --no-loadscope-reorder

test-slow: $(VENV)/test.done browser java makers
	$(BIN)/pytest -m "slow and not alone" -n 2 --dist loadfile --no-loadscope-reorder --durations=25
	$(BIN)/pytest -m "slow and alone"

# Pages are tested in a real browser. Without one, and without the right to install it, those tests are skipped.
browser:
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null \
	  || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
	       && apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null; } \
	  || echo "no browser here: tests of pages will be skipped; as root: apt-get install chromium"

# epubcheck runs on Java. Without it, and without the right to install it, those tests are skipped.
java:
	@command -v java >/dev/null \
	  || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
	       && apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq default-jre-headless >/dev/null; } \
	  || echo "no Java here: tests with epubcheck will be skipped; as root: apt-get install default-jre-headless"

# Books that they make are read. Without them, and without the right to install them, those tests are skipped.
makers:
	@command -v pandoc >/dev/null && command -v dbtoepub >/dev/null && command -v sphinx-build >/dev/null \
	  || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq \
	       && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends pandoc dbtoepub python3-sphinx >/dev/null; } \
	  || echo "no pandoc, dbtoepub or Sphinx here: tests of their books will be skipped; as root: apt-get install pandoc dbtoepub python3-sphinx"

lint: $(VENV)/test.done
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/test.done
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info

$(VENV)/uv.done:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "chatter_nb needs Python 3.11 or newer; run: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -m venv $(VENV) \
	  || { echo "python3 cannot make a virtual environment; on Debian: apt install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt uv
	@touch $@

$(VENV)/base.done: $(VENV)/uv.done pyproject.toml constraints.txt
	@echo "installing into $(VENV): about a minute"
	$(INSTALL) $(EDITABLE) .
	@touch $@

$(VENV)/chatterbox.done: $(VENV)/uv.done pyproject.toml constraints.txt
	$(INSTALL) $(EDITABLE) '.[chatterbox]'
	$(INSTALL_CHATTERBOX)
	@touch $@ $(VENV)/base.done

$(VENV)/serve.done: $(VENV)/base.done
	$(INSTALL) $(EDITABLE) '.[serve]'
	@touch $@

$(VENV)/verify.done: $(VENV)/base.done
	$(INSTALL) $(EDITABLE) '.[verify]'
	@touch $@

$(VENV)/test.done: $(VENV)/uv.done pyproject.toml constraints.txt
	$(INSTALL) $(EDITABLE) '.[test,chatterbox,serve]'
	$(INSTALL_CHATTERBOX)
	@touch $@ $(VENV)/base.done $(VENV)/chatterbox.done $(VENV)/serve.done $(VENV)/verify.done
