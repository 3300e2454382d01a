# The Python package: its tests run in an environment of their own, over the library that was just built.

PYTHON ?= python3
PYENV := build/python
PYTHON_SRC := bindings/python/pccl bindings/python/generate.py

$(PYENV)/ready: tests/python/requirements.txt
	@scripts/install-packages.sh $(DEPS_PYTHON)
	@$(PYTHON) -m venv $(PYENV)
	@$(PYENV)/bin/pip install -q --disable-pip-version-check -r $<
	@touch $@

check-python: $(LIB_SO) $(PYENV)/ready ## the Python package: its tests, its types, its declarations against the headers
	@$(PYENV)/bin/ruff check -q --config bindings/python/pyproject.toml bindings/python tests/python
	@$(PYENV)/bin/mypy --config-file bindings/python/pyproject.toml --no-error-summary bindings/python/pccl
	@PCCL_LIBRARY=$(abspath $(LIB_SO)) PYTHONPATH=bindings/python $(PYENV)/bin/python -m pytest -q -p no:cacheprovider tests/python

python-declarations: $(PYENV)/ready ## write bindings/python/pccl/_declarations.py anew, after a change of the headers
	@$(PYENV)/bin/python bindings/python/generate.py

.PHONY: check-python python-declarations
