"""Calls that block. ctypes releases the GIL in all of them; but the main thread, which alone runs Python's signal
handlers, has to come back from C to do so. For the end of an operation it waits in slices; other calls, which are rare,
it lets a helper make and waits in Python, where Ctrl-C reaches it."""

from __future__ import annotations

import ctypes
import os
import queue
import threading
from collections.abc import Callable
from typing import Any

from . import _declarations as d
from ._library import last_error, lib
from .errors import PCCLError

_Reply = queue.SimpleQueue[tuple[Any, BaseException | None]]


class _Helper:
    """A thread that makes one call at a time."""

    def __init__(self) -> None:
        self._inbox: queue.SimpleQueue[tuple[Callable[[], Any], _Reply]] = queue.SimpleQueue()
        threading.Thread(target=self._serve, name="pccl-call", daemon=True).start()

    def _serve(self) -> None:
        while True:
            function, reply = self._inbox.get()
            try:
                reply.put((function(), None))
            except BaseException as error:
                reply.put((None, error))
            del function, reply

    def ask(self, function: Callable[[], Any]) -> _Reply:
        reply: _Reply = queue.SimpleQueue()
        self._inbox.put((function, reply))
        return reply


_SLICE_MS = 100


def wait_for(handle: d.pcclHandle_t, on_interrupt: Callable[[], Any] | None = None) -> None:
    """Blocks until the operation can be awaited at once, or something is wrong that awaiting it will tell. If a signal
    handler raises meanwhile: with `on_interrupt`, that is called, and the operation awaited."""
    done = ctypes.c_bool()
    try:
        while not done.value and lib.pcclTestFor(handle, _SLICE_MS, done) == d.pcclSuccess:
            pass
    except BaseException:
        if on_interrupt is not None:
            on_interrupt()
            lib.pcclAwait(handle, None)
        raise


_idle: list[_Helper] = []
os.register_at_fork(after_in_child=_idle.clear)


def run(function: Callable[[], Any], on_interrupt: Callable[[], Any] | None = None) -> Any:
    """What function() returns or raises. If a signal handler raises meanwhile (Ctrl-C): with `on_interrupt`, that is
    called, function() is waited for and the handler's exception goes on; without, function() runs on by itself."""
    if threading.current_thread() is not threading.main_thread():
        return function()
    helper = _idle.pop() if _idle else _Helper()
    reply = helper.ask(function)
    try:
        value, error = reply.get()
    except BaseException:
        if on_interrupt is not None:
            on_interrupt()
            reply.get()
            _idle.append(helper)
        raise
    _idle.append(helper)
    if error is not None:
        raise error
    return value


def status_of(name: str, *arguments: Any) -> tuple[int, str]:
    """A function's result and, if it failed, the cause, which the library keeps for each thread."""
    status = getattr(lib, name)(*arguments)
    return status, last_error() if status != d.pcclSuccess else ""


def blocking(communicator: ctypes.c_void_p, name: str, *arguments: Any) -> None:
    """Calls a function that waits for others; raises what its result says. Interrupted, it aborts the communicator:
    the others see this peer leave, and none of the call's memory is touched any more."""
    status, cause = run(lambda: status_of(name, *arguments), lambda: lib.pcclCommAbort(communicator))
    PCCLError.check(status, name, cause)
