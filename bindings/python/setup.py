"""Builds the library and puts it into the package; everything else is in pyproject.toml."""

import pathlib
import shutil
import subprocess

from setuptools import Distribution, setup
from setuptools.command.build_py import build_py

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
LIBRARY = ROOT / "build" / "release" / "lib" / "libpccl.so"


class BuildWithLibrary(build_py):
    """Makes libpccl.so where this is a checkout of the project; a source package has it already."""

    def run(self):
        bundled = HERE / "pccl" / "libpccl.so"
        if (ROOT / "Makefile").exists():
            subprocess.run(["make", "-C", str(ROOT), "all"], check=True)
            shutil.copyfile(LIBRARY.resolve(), bundled)
        super().run()


class Binary(Distribution):
    """Holds a library for one platform."""

    def has_ext_modules(self):
        return True


setup(cmdclass={"build_py": BuildWithLibrary}, distclass=Binary)
