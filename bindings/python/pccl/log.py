"""The library's diagnostics: how much of them, and where to.

    pccl.log.set_level("debug")
    pccl.log.to_logging()
"""

from __future__ import annotations

import atexit
import logging
import os
import queue
import threading
from collections.abc import Callable
from enum import Enum

from . import _declarations as d
from ._library import lib
from .errors import PCCLError
from .settings import number


class Level(Enum):
    """How grave a line is; NONE, as a threshold, keeps all quiet."""

    TRACE = d.pcclLogTrace
    DEBUG = d.pcclLogDebug
    INFO = d.pcclLogInfo
    WARN = d.pcclLogWarn
    ERR = d.pcclLogErr
    FATAL = d.pcclLogFatal
    NONE = d.pcclLogNone


class _Sink:
    """The library's threads, which hold its locks, only put lines into a queue; a thread of ours takes them out, so
    that what gets them may do whatever it likes."""

    def __init__(self, function: Callable[[Level, str], object]) -> None:
        self._lines: queue.SimpleQueue[tuple[int, bytes] | None] = queue.SimpleQueue()
        self.function = function
        def take(level: int, text: bytes, _: object) -> None:
            self._lines.put((level, text))

        self.callback = d.pcclLogCallback_t(take)
        self._thread = threading.Thread(target=self._serve, name="pccl-log", daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while (line := self._lines.get()) is not None:
            try:
                self.function(Level(line[0]), line[1].decode("utf-8", "replace"))
            except Exception:
                logging.getLogger("pccl").exception("the function that takes the log has failed")

    def close(self) -> None:
        self._lines.put(None)
        if self._thread is not threading.current_thread():
            self._thread.join(5)


_sinks: list[_Sink | None] = [None]  # the last one is in force, others are on their way out; None: stderr
_lock = threading.RLock()  # a signal handler may come in between


def set_callback(function: Callable[[Level, str], object] | None) -> None:
    """Lines go to function(level, text), one call at a time, in a thread of this module; None: to stderr again. All
    lines from before have been handed over when it returns."""
    fresh = None if function is None else _Sink(function)
    gone: list[_Sink | None] = []
    with _lock:
        _sinks.append(fresh)
        callback = d.pcclLogCallback_t() if fresh is None else fresh.callback
        status = lib.pcclSetLogCallback(callback, None) if _sinks[-1] is fresh else d.pcclSuccess
        if status == d.pcclSuccess:
            while len(_sinks) > 1:
                gone.append(_sinks.pop(0))
        elif fresh in _sinks:
            gone.append(fresh)
            _sinks.remove(fresh)
    for sink in gone:
        if sink is not None:
            sink.close()
    PCCLError.check(status, "pcclSetLogCallback")


def set_level(level: Level | str) -> None:
    """Lines of this level and above are written, in the whole process."""
    PCCLError.check(lib.pcclSetLogLevel(number(d.pcclEnumLogLevel, level)), "pcclSetLogLevel")


_LEVELS = {Level.TRACE: 5, Level.DEBUG: logging.DEBUG, Level.INFO: logging.INFO, Level.WARN: logging.WARNING,
           Level.ERR: logging.ERROR, Level.FATAL: logging.CRITICAL}


def to_logging(logger: logging.Logger | None = None) -> None:
    """Lines go to a logger of Python's, by default the one named "pccl"."""
    target = logger or logging.getLogger("pccl")
    set_callback(lambda level, text: target.log(_LEVELS[level], "%s", text))


def _quiet() -> None:
    if _sinks[-1] is not None:
        set_callback(None)


def _begin_anew() -> None:
    """A child of fork() has no thread that would take its lines out."""
    global _lock
    _lock = threading.RLock()
    if (sink := _sinks[-1]) is not None:
        set_callback(sink.function)


atexit.register(_quiet)
os.register_at_fork(after_in_child=_begin_anew)
