"""What a collective in flight is to PyTorch: a Work, and on demand a future."""

from __future__ import annotations

import contextlib
import ctypes
import math
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any

from .. import _declarations as d
from .._calls import SLICE_MS, InFlight, Life, join
from .._library import lib
from ..errors import InvalidUsageError, PCCLError
from .._devices import HOST, Mark, device_of
from ._errors import error_of, in_words
from ._facade import Tensors, WorkBase, torch, untraced

_NO_TIMEOUT = timedelta()
_INFO_BYTES = ctypes.sizeof(d.pcclOperationInfo_t)


class Launch(InFlight):
    """One operation of the library in flight, by its name for people; what they call its tag. Keeps its buffers alive.
    Any thread may finish() it, any number of times. info: what has become of it then."""

    __slots__ = ("name", "tag", "called", "buffers", "info", "_error")

    def __init__(self, life: Life, name: str, tag: int, called: str, buffers: Any) -> None:
        super().__init__(life, d.pcclHandle_t())
        self.name = name
        self.tag = tag  # as the library was given it: handles of sends and receives have another one
        self.called = called
        self.buffers = buffers
        self.info = d.pcclOperationInfo_t(size=_INFO_BYTES)
        self._error: PCCLError | None = None

    def infos(self) -> list[d.pcclOperationInfo_t]:
        return [self.info]

    def is_done(self) -> bool:
        """Would finish() return at once?"""
        return self.wait_until(0)

    def finish(self) -> PCCLError | None:
        """Blocks until it has ended, and frees its tag. What went wrong; None: nothing."""
        self._finish()
        return self._error

    def _awaiting(self) -> Iterator[int]:
        return map(lib.pcclAwait, (self._handle,), (self.info,))

    def _held(self) -> Any:
        return self

    def _note(self, status: int, cause: str) -> None:
        if status != d.pcclSuccess:
            self._error = error_of(status, self.name, in_words(cause, self.tag, self.called))
        if not self._life.is_over:  # else it goes on until the communicator has ended, which lets go of it
            self.buffers = None

    def wait_until(self, deadline: float) -> bool:
        """Has it ended by then?"""
        done = ctypes.c_bool(self._has_ended)
        left_ms = 0
        try:
            while not done.value and self._life.call(lib.pcclTestFor, self._handle, left_ms, done) == d.pcclSuccess:
                if not done.value and (left_ms := math.ceil((deadline - time.monotonic()) * 1000)) <= 0:
                    return False
                left_ms = min(left_ms, SLICE_MS)
        except InvalidUsageError:
            pass
        return True  # also if it was awaited just now, or the communicator closed


@untraced
class Work(WorkBase):
    """A collective of a group: operations of the library, and what is to be done in this process when all of them have
    ended well. Whoever asks first, in whatever thread, does that."""

    def __init__(self, launches: Sequence[Any], outputs: Tensors, then: Callable[[], None] | None,
                 watcher: Watcher, on_future: Callable[[Work], None]) -> None:
        super().__init__()
        self._launches = launches
        self._outputs = outputs
        self._then = then
        self._watcher = watcher
        self._on_future = on_future
        self._device = device_of(outputs[0]) if outputs else HOST
        self._stream = self._device.stream()  # that temporary tensors are of
        self._mark: Mark = None
        self._infers = torch.is_inference_mode_enabled()  # a mode of each thread
        self._lock = threading.RLock()  # a signal handler may interrupt who has it, and wait as well
        self._ended = False
        self._error: Exception | None = None
        self._future: Any = None

    # ---- the end

    def finish(self) -> Exception | None:
        """Blocks until it has ended. What went wrong; None: nothing."""
        with contextlib.suppress(Exception):  # it comes again
            for launch in self._launches:  # without the lock: who waits for that can't end before a signal handler that
                launch.finish()            # has interrupted this, and ends the group
        with self._lock:
            if not self._ended:
                try:
                    for launch in self._launches:
                        error = launch.finish()
                        self._error = self._error or error
                    if self._error is None and self._then is not None:
                        with torch.inference_mode(self._infers), torch.no_grad():
                            self._then()
                    self._mark = self._device.record()
                    self._device.follow(self._mark, self._stream)  # it gets the memory of temporary tensors again
                except Exception as error:
                    self._error = self._error or error
                self._then = None
                self._launches = ()
                self._ended = True
            return self._error

    def is_completed(self) -> bool:
        """Has it ended? Never blocks for others."""
        if not self._ended:
            if not all(launch.is_done() for launch in self._launches):
                return False
            self.finish()
        self.follow()
        return True

    def follow(self) -> None:
        """When it has ended: what the thread's stream is given from now on is done after it."""
        self._device.follow(self._mark)

    def is_success(self) -> bool:
        return self.is_completed() and self._error is None

    def exception(self) -> Exception | None:
        return self._error

    def wait(self, timeout: timedelta = _NO_TIMEOUT) -> bool:
        """Blocks until it has ended; raises what went wrong. With a time-out: CollectiveTimeoutError when that has
        passed; the operation goes on."""
        if timeout > _NO_TIMEOUT and not self._ended:
            deadline = time.monotonic() + timeout.total_seconds()
            for launch in self._launches:
                if not launch.wait_until(deadline):
                    raise self.late(timeout)
        error = self.finish()
        self.follow()
        if error is not None:
            raise error
        return True

    @staticmethod
    def late(timeout: timedelta) -> PCCLError:
        return error_of(d.pcclTimeout, "Work.wait", f"it has not ended after {timeout}")

    def synchronize(self) -> None:
        self.wait()

    def result(self) -> Tensors:
        return self._outputs

    def source_rank(self) -> int:
        raise RuntimeError("pccl: only a receive from any source has a source rank")

    _source_rank = source_rank

    def get_future(self) -> Any:
        """A future of the list of outputs. A thread of the group's waits for the end."""
        if self._future is None:
            raw = torch.futures.Future(devices=self._device.devices)
            outputs, work = list(self._outputs), self

            def value(_: Any) -> Any:
                work.follow()
                if work._error is not None:
                    raise work._error
                return outputs

            self._future = raw.then(value)
            if self._ended:
                raw.set_result(None)
            else:
                self._on_future(self)
                self._watcher.watch(self, raw)
        return self._future

    get_future_result = get_future


class Watcher:
    """Threads that end the futures of one group: one for each that is awaited, for what is chained to a future runs in
    its thread, and may wait for another one."""

    def __init__(self) -> None:
        self._inbox: queue.SimpleQueue[tuple[Work, Any] | None] = queue.SimpleQueue()
        self._lock = threading.RLock()  # a signal handler may interrupt who has it, and stop them
        self._free = 0
        self._threads: list[threading.Thread] = []
        self._is_stopped = False

    def watch(self, work: Work, future: Any) -> None:
        thread: threading.Thread | None = None
        with self._lock:
            if not self._is_stopped:
                self._inbox.put((work, future))
                if self._free > 0:
                    self._free -= 1
                    return
                thread = threading.Thread(target=self._serve, name="pccl-futures", daemon=True)
                self._threads.append(thread)
        if thread is not None:
            thread.start()
        else:  # nothing is in flight any more
            work.finish()
            future.set_result(None)

    def _serve(self) -> None:
        while (item := self._inbox.get()) is not None:
            work, future = item
            work.finish()
            future.set_result(None)
            del item, work, future
            with self._lock:
                self._free += 1

    def stop(self, limit_s: float = math.inf) -> None:
        """For ever. No work may be in flight. Waits for no longer than that for who ends one still."""
        with self._lock:
            self._is_stopped = True
            threads, self._threads, self._free = self._threads, [], 0
        for _ in threads:
            self._inbox.put(None)
        join(threads, limit_s)
