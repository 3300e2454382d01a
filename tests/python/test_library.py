"""Where the package finds its library, and what it says if that is not the right one."""

import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

import pccl
from pccl import _declarations as d

PACKAGE = pathlib.Path(pccl.__file__).parent
LIBRARY = pathlib.Path(os.environ.get("PCCL_LIBRARY", "none"))
SHOW = "import pccl; print(pccl._library.lib._name)"


@pytest.fixture
def bare(tmp_path):
    """A copy of the package without a library; bare(**environment) imports it in a process of its own."""
    shutil.copytree(PACKAGE, tmp_path / "pccl", ignore=shutil.ignore_patterns("*.so", "__pycache__"))

    def start(**environment):
        kept = {name: value for name, value in os.environ.items() if name not in ("PCCL_LIBRARY", "LD_LIBRARY_PATH")}
        return subprocess.run([sys.executable, "-c", SHOW], env=kept | {"PYTHONPATH": str(tmp_path)} | environment,
                              cwd=tmp_path, capture_output=True, text=True, timeout=60)

    return start


def make_library(path, version):
    path.with_suffix(".c").write_text(f"int pcclGetVersion(void) {{ return {version}; }}\n" if version else "")
    subprocess.run(["cc", "-shared", "-fPIC", path.with_suffix(".c"), "-o", path], check=True)


def test_without_a_library_it_says_what_to_do(bare):
    if "libpccl" in subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True).stdout:
        pytest.skip("this system has a libpccl.so of its own, which is found")
    found = bare()
    assert found.returncode == 1
    for words in ("libpccl.so.2", "make install", "pip install ./bindings/python", "PCCL_LIBRARY"):
        assert words in found.stderr


def test_the_system_s_library_is_found(bare):
    found = bare(LD_LIBRARY_PATH=str(LIBRARY.parent))
    assert found.stdout.strip() == f"libpccl.so.{d.PCCL_VERSION_MAJOR}", found.stderr


def test_the_package_s_own_library_comes_first(bare, tmp_path):
    shutil.copyfile(LIBRARY, tmp_path / "pccl" / "libpccl.so")
    found = bare(LD_LIBRARY_PATH=str(LIBRARY.parent))
    assert found.stdout.strip() == str(tmp_path / "pccl" / "libpccl.so"), found.stderr


@pytest.mark.parametrize("version, words", [
    (30000, "is version 3.0.0, this package needs 2."), (19900, "is version 1.99.0"), (None, "has no pcclGetVersion")])
def test_a_library_of_another_version_is_refused(bare, tmp_path, version, words):
    make_library(tmp_path / "libother.so", version)
    found = bare(PCCL_LIBRARY=str(tmp_path / "libother.so"))
    assert found.returncode == 1 and words in found.stderr


def test_package_and_library_have_one_version():
    project = PACKAGE.parent / "pyproject.toml"
    version = re.search(r'^version = "(.*)"$', project.read_text(), re.MULTILINE).group(1)
    assert version == f"{d.PCCL_VERSION_MAJOR}.{d.PCCL_VERSION_MINOR}.{d.PCCL_VERSION_PATCH}"


CLOSE = """
import _ctypes, sys, time, pccl
with pccl.MasterNode(sys.argv[1]), pccl.Communicator(sys.argv[1]) as communicator:
    for _ in range(2):
        _ctypes.dlclose(pccl._library.lib._handle)
    time.sleep(0.2)
    print(communicator.world_size, "in", communicator.uuid)
"""


def test_a_library_that_was_closed_stays_for_its_threads(free_address):
    ended = subprocess.run([sys.executable, "-c", CLOSE, free_address], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0 and ended.stdout.startswith("1 in"), (ended.returncode, ended.stderr)


def test_all_variables_that_are_read_are_in_the_table():
    """Of src/comm/variables.c: who sets another one is warned."""
    root = pathlib.Path(__file__).parents[2]
    sources = [path for folder in ("src", "bench", "bindings") for path in (root / folder).rglob("*.*")
               if path.suffix in (".c", ".py", ".sh") and path.name != "variables.c"]
    table = set(re.findall(r'"(PCCL_[A-Z_]+)"', (root / "src/comm/variables.c").read_text()))
    read = {name for path in sources for name in re.findall(r'["{](PCCL_[A-Z_]+)[":}]', path.read_text())
            if not name.endswith("_INITIALIZER")}
    assert len(read) > 40 and read <= table, read - table
