"""Builds the library and puts it into the package; everything else is in pyproject.toml."""

import os
import pathlib
import shutil
import subprocess

from setuptools import Distribution, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
LIBRARY = ROOT / "build" / "release" / "lib" / "libpccl.so"


class BuildWithLibrary(build_py):
    """Makes libpccl.so where this is a checkout of the project; a source package has it already."""

    def run(self):
        bundled = HERE / "pccl" / "libpccl.so"
        if (ROOT / "Makefile").exists():
            jobs = [] if "MAKEFLAGS" in os.environ else [f"-j{os.cpu_count()}"]
            subprocess.run(["make", *jobs, "-C", str(ROOT), "FLAVOUR=release", "library"], check=True)
            shutil.copyfile(LIBRARY.resolve(), bundled)
        super().run()


class Binary(Distribution):
    """Holds a library for one platform."""

    def has_ext_modules(self):
        return True


class ForAnyPython(bdist_wheel):
    """ctypes needs no compiler: one wheel does for all versions of Python."""

    def get_tag(self):
        return "py3", "none", super().get_tag()[2]


setup(cmdclass={"build_py": BuildWithLibrary, "bdist_wheel": ForAnyPython}, distclass=Binary)
