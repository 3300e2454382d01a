"""Finds libpccl.so, loads it, and says so in words when that fails."""

from __future__ import annotations

import ctypes
import os
import pathlib
from typing import Any

from . import _declarations as d

_NAME = "libpccl.so"


def _candidates() -> list[str]:
    """PCCL_LIBRARY alone if it is set; else the copy in this package, then the system's."""
    wish = os.environ.get("PCCL_LIBRARY")
    if wish:
        return [wish]
    bundled = pathlib.Path(__file__).resolve().parent / _NAME
    return ([str(bundled)] if bundled.exists() else []) + [f"{_NAME}.{d.PCCL_VERSION_MAJOR}", _NAME]


def _load() -> ctypes.CDLL:
    reasons: list[str] = []
    for name in _candidates():
        try:
            return ctypes.CDLL(name)
        except OSError as error:
            reasons.append(str(error))
    raise ImportError(
        "pccl: the library can't be loaded: " + "; ".join(reasons) + ". Install it (make install; where that is no "
        "folder that the system searches, name it in LD_LIBRARY_PATH), put it into this package (pip install "
        "./bindings/python does), or name the file in the environment variable PCCL_LIBRARY")


def _words(version: int) -> str:
    return f"{version // 10000}.{version // 100 % 100}.{version % 100}"


def _check_version(library: ctypes.CDLL) -> None:
    """One interface for a major number; what is newer has all that is older."""
    wanted = d.PCCL_VERSION_MAJOR * 10000 + d.PCCL_VERSION_MINOR * 100 + d.PCCL_VERSION_PATCH
    try:
        found = int(library.pcclGetVersion())
    except AttributeError:
        raise ImportError(f"pccl: {library._name} is PCCL 1.x or no pccl library: it has no pcclGetVersion; this "
                          f"package needs {_words(wanted)}") from None
    if found // 10000 != d.PCCL_VERSION_MAJOR or found < wanted:
        raise ImportError(f"pccl: {library._name} is version {_words(found)}, this package needs {_words(wanted)} or a "
                          f"later {d.PCCL_VERSION_MAJOR}.x: install both from one source")


def _declare(library: ctypes.CDLL) -> None:
    functions: dict[str, tuple[Any, list[Any]]] = d.FUNCTIONS  # type: ignore[assignment]
    for name, (result, arguments) in functions.items():
        try:
            function = getattr(library, name)
        except AttributeError as error:
            raise ImportError(f"pccl: {library._name} is older than this package: it has no {name}") from error
        function.restype = result
        function.argtypes = arguments


lib: Any = _load()
_check_version(lib)
_declare(lib)


def last_error() -> str:
    """The cause of this thread's last failed call, in the library's words; "" if there is none."""
    return str(lib.pcclGetLastError(None), "utf-8", "replace")
