"""What is awaited in asyncio. A thread waits for each operation, so that its end is told at once; but there are no more
than some of these. One more looks after all that is beyond in turns: they may be what others wait for, so none may have
to stand in line."""

from __future__ import annotations

import collections
import os
import threading
import time
from collections.abc import Callable

from ._calls import InFlight, start

_MOST = 16
_POLL_S = 0.001
_POLL_MOST_S = 0.016  # where nothing ends for long: some await signals that may never come

_Awaited = tuple[InFlight, Callable[[], object]]


class _Threads:
    """Those of a process."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a signal handler may watch as well
        self._waiting = 0
        self._is_polling = False
        self._others: collections.deque[_Awaited] = collections.deque()

    def watch(self, operation: InFlight, tell: Callable[[], object]) -> None:
        with self._lock:  # a signal handler that raises after a start has a thread more, never one less
            if self._waiting < _MOST:
                start(lambda: self._wait((operation, tell)))
                self._waiting += 1
                return
            self._others.append((operation, tell))
            if not self._is_polling:
                start(self._poll)
                self._is_polling = True

    def _wait(self, awaited: _Awaited | None) -> None:
        while awaited is not None:
            _end(awaited)
            with self._lock:
                awaited = self._others.popleft() if self._others else None
                self._waiting -= awaited is None

    def _poll(self) -> None:
        pause_s = _POLL_S
        while True:
            begin = time.monotonic()
            pause_s = min(2 * pause_s, _POLL_MOST_S)
            for _ in range(len(self._others)):
                with self._lock:
                    awaited = self._others.popleft() if self._others else None
                if awaited is None:
                    break
                if _is_done(awaited[0]):
                    _end(awaited)
                    pause_s = _POLL_S
                else:
                    self._others.append(awaited)
            with self._lock:
                if not self._others:
                    self._is_polling = False
                    return
            time.sleep(max(time.monotonic() - begin, pause_s))  # half of a processor at most


def _is_done(operation: InFlight) -> bool:
    try:
        return operation.done()
    except Exception:  # who waits for it is told
        return True


def _end(awaited: _Awaited) -> None:
    operation, tell = awaited
    try:
        operation._finish()
    finally:
        tell()


_threads = _Threads()


def watch(operation: InFlight, tell: Callable[[], object]) -> None:
    """tell() is called in another thread when it has ended."""
    _threads.watch(operation, tell)


def _begin_anew() -> None:
    global _threads
    _threads = _Threads()


os.register_at_fork(after_in_child=_begin_anew)
