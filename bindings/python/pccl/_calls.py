"""Calls that block. ctypes releases the GIL in all of them; but the main thread, which alone runs Python's signal
handlers, has to come back from C to do so. For the end of an operation it waits in slices; other calls, which are rare,
it lets a helper make and waits in Python, where Ctrl-C reaches it."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import math
import os
import queue
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from threading import get_ident
from typing import Any

from . import _declarations as d
from ._library import last_error, lib
from .errors import AbortedError, InvalidArgumentError, InvalidUsageError, PCCLError, Result

class _Reply:
    """To come: what a function returned or raised."""

    def __init__(self) -> None:
        self.ended = threading.Event()
        self.value: Any = None
        self.error: BaseException | None = None


class _Helper:
    """A thread that makes one call at a time."""

    def __init__(self) -> None:
        self._inbox: queue.SimpleQueue[tuple[Callable[[], Any], _Reply] | None] = queue.SimpleQueue()
        threading.Thread(target=self._serve, name="pccl-call", daemon=True).start()

    def _serve(self) -> None:
        while (asked := self._inbox.get()) is not None:
            function, reply = asked
            try:
                reply.value = function()
            except BaseException as error:
                reply.error = error
            reply.ended.set()
            del asked, function, reply

    def ask(self, function: Callable[[], Any]) -> _Reply:
        reply = _Reply()
        self._inbox.put((function, reply))
        return reply

    def rest(self) -> None:
        """Until somebody takes it; with many at rest it ends."""
        if len(_idle) < _IDLE_MOST:
            _idle.append(self)
        else:
            self._inbox.put(None)

    @staticmethod
    def take() -> _Helper:
        try:
            return _idle.pop()
        except IndexError:
            return _Helper()


SLICE_MS = 100


_IDLE_MOST = 16
_idle: list[_Helper] = []
os.register_at_fork(after_in_child=_idle.clear)


def run(function: Callable[[], Any], on_interrupt: Callable[[], Any] | None = None) -> Any:
    """What function() returns or raises. If a signal handler raises meanwhile (Ctrl-C): with `on_interrupt`, that is
    called, function() is waited for and the handler's exception goes on; without, function() runs on by itself."""
    if threading.current_thread() is not threading.main_thread():
        return function()
    helper = _Helper.take()
    try:
        reply = helper.ask(function)
        wait_for(reply.ended)
    except BaseException:
        if on_interrupt is not None:
            _outlast(helper, on_interrupt)
            helper.rest()
        raise
    helper.rest()
    if reply.error is not None:
        raise reply.error
    return reply.value


def start(function: Callable[[], object]) -> None:
    """function() runs in a thread that runs nothing else meanwhile: it may wait for others."""
    helper = _Helper.take()

    def work() -> None:
        try:
            function()
        finally:
            helper.rest()

    helper.ask(work)


def _outlast(helper: _Helper, on_interrupt: Callable[[], Any]) -> None:
    """Whatever else a signal handler raises: what the helper was asked for uses memory that the caller lets go of."""
    while True:
        try:
            with contextlib.suppress(PCCLError):  # as that there is nothing any more: no signal handler's
                on_interrupt()
            wait_for(helper.ask(lambda: None).ended)  # it makes one call after the other
            return
        except BaseException:
            pass


def status_of(name: str, *arguments: Any) -> tuple[int, str]:
    """A function's result and, if it failed, the cause, which the library keeps for each thread."""
    status = getattr(lib, name)(*arguments)
    return status, last_error() if status != d.pcclSuccess else ""


def wait_for(event: threading.Event, limit_s: float = math.inf) -> bool:
    """event.wait(limit_s), in slices: a signal that comes right before one of them, or in another thread, is heard when
    that ends."""
    deadline = time.monotonic() + limit_s
    while not event.wait(min(max(deadline - time.monotonic(), 0), SLICE_MS / 1000)):
        if time.monotonic() >= deadline:
            return False
    return True


def join(threads: Iterable[threading.Thread], limit_s: float = math.inf) -> bool:
    """Until they have ended, this thread excepted, or for so long. In slices as well."""
    deadline = time.monotonic() + limit_s
    for thread in threads:
        while thread.is_alive() and thread is not threading.current_thread():
            if time.monotonic() >= deadline:
                return False
            thread.join(SLICE_MS / 1000)
    return True


class Call:
    """What a call that waits lends the library; used again and again, but never by two at a time. What is as it was the
    last time is not written anew: `what` it is, and, as long as `memory` is as it was `seen`, what that has `told`."""

    __slots__ = ("handle", "info", "end", "what", "memory", "seen", "told")

    def __init__(self, info: type[ctypes.Structure]) -> None:
        self.handle = d.pcclHandle_t()
        self.memory = bytearray(ctypes.sizeof(info))  # of the info
        self.info: Any = info.from_buffer(self.memory)
        self.end: tuple[Any, ...] = (lib.pcclAwait, self.handle, self.info)  # a function, and its arguments
        self.what: object = None
        self.seen: Any = b""
        self.told: Any = None

    def look(self) -> None:
        """At the info."""
        self.seen = bytes(self.memory)


_TOO_LATE = "the communicator was closed before the operation was awaited"


class InFlight:
    """An operation. The library says once what has become of it; whoever waits, in whatever threads, and in a signal
    handler that has interrupted one of those, gets that."""

    __slots__ = ("_life", "_handle", "_has_ended", "_results", "_lock")

    def __init__(self, life: Life, handle: d.pcclHandle_t) -> None:
        self._life = life
        self._handle = handle
        self._has_ended = False
        self._results: list[int | None] = []  # the first one counts; None: the communicator was closed before
        self._lock = threading.RLock()

    def _awaiting(self) -> Iterator[int]:
        """The result, by a call of the library's alone when it is asked for."""
        raise NotImplementedError

    def _held(self) -> Any:
        """By its life until it has been awaited."""
        raise NotImplementedError

    def _note(self, status: int, cause: str) -> None:
        """What has become of it."""
        raise NotImplementedError

    def done(self) -> bool:
        """Would wait() return at once? Never blocks."""
        done = ctypes.c_bool(True)
        if not self._has_ended and not self._life.is_over:
            try:
                PCCLError.check(self._life.call(lib.pcclTest, self._handle, done), "pcclTest")
            except InvalidArgumentError:
                return True  # another thread has just awaited it
            except InvalidUsageError:
                if not self._life.is_over:
                    raise
        return done.value

    def _finish(self, aborts: bool = False) -> None:
        """Blocks until it has ended. If a signal handler raises meanwhile: with `aborts` nothing is written into its
        buffers any more, else it goes on."""
        if not self._has_ended:
            self._life.finish(self, aborts)

    def _tidy(self) -> None:
        """It has ended: frees what it has, unless somebody is at that. Waits for nobody."""
        is_mine = False
        try:
            is_mine = self._lock.acquire(blocking=False)
            if is_mine:
                self._end()
        finally:
            if is_mine:
                self._lock.release()

    def _end(self) -> None:
        """It has ended, or the communicator was closed. Nobody waits for long under the lock. Nor does anybody for the
        lock while in a call: a signal handler that has interrupted who has it may close the communicator, and waits for
        those in calls then."""
        awaiting = self._awaiting()
        with self._lock:
            if not self._results:
                self._life.take(self._results, awaiting)
            if self._has_ended:
                return
            status = self._results[0]
            if status is None:
                self._note(d.pcclAborted, _TOO_LATE)
            else:
                cause = last_error() if status != d.pcclSuccess else ""
                self._life.forget(self._held())
                self._note(status, cause)
            self._has_ended = True

    def _let_go(self) -> None:
        """Nobody has it any more: Life.tidy() finishes it. Runs wherever the interpreter drops it."""
        life = self._life
        if self._has_ended or life.is_over:
            return
        buffers = self._held()
        if not self._results:  # else it has been awaited, and its tag may be another one's
            life.hold(_Dropped(life, self._handle, buffers))
        life.forget(buffers)


class _Dropped(InFlight):
    """An operation whose handle was dropped before anybody had awaited it."""

    __slots__ = ("_buffers",)

    def __init__(self, life: Life, handle: d.pcclHandle_t, buffers: Any) -> None:
        super().__init__(life, handle)
        self._buffers = buffers

    def _awaiting(self) -> Iterator[int]:
        return map(lib.pcclAwait, (self._handle,), (None,))

    def _held(self) -> Any:
        return self

    def _note(self, status: int, cause: str) -> None:
        """Nobody asks."""


class Doors:
    """Of a group. Who lets others in, and who launches what has a part for each member, having looked how many there
    are, take turns."""

    def __init__(self, life: Life) -> None:
        self._life = life
        self._admitting: list[int] = []  # threads
        self._launching: list[int] = []

    def open(self, admit: Callable[..., Any], *arguments: Any) -> Any:
        """What admit(*arguments) returns, which may let others in."""
        admitting, thread = self._admitting, get_ident()
        try:  # a signal handler may raise right after the next line
            admitting.append(thread)  # before it looks: keep() looks the other way round
            while self._launching:
                time.sleep(0.001)
            return admit(*arguments)
        finally:
            if thread in admitting:
                admitting.remove(thread)

    def keep(self, launch: Callable[..., Any], *arguments: Any) -> Any:
        """What launch(*arguments) returns, while which nobody is let in. It may have to wait for as long as somebody
        is, but not for a signal handler which has interrupted who launches, and closes the communicator."""
        launching, thread = self._launching, get_ident()
        while True:
            try:
                launching.append(thread)
                if not self._admitting:
                    return launch(*arguments)
            finally:
                if thread in launching:
                    launching.remove(thread)
            if self._life.is_over:
                raise self._life.refusal()
            time.sleep(0.001)

    def are_kept_here(self) -> bool:
        """Has this call, a signal handler's, interrupted one that keeps them?"""
        return get_ident() in self._launching


class Shared:
    """What the library has made and threads share: it is not freed while another one is in a call on it."""

    closed = ("", "")  # what it is, and what is said when it is used after its end

    def __init__(self) -> None:
        self._process = os.getpid()
        self._inside: list[int] = []  # threads in calls
        self._freeing = threading.RLock()  # nobody waits for it
        self._is_freed = False  # or is about to be
        self._ended: list[object] = []  # what the library has said to its end
        self.is_over = False

    def refusal(self) -> InvalidUsageError:
        return InvalidUsageError(Result.INVALID_USAGE, *self.closed)

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """What function(*arguments) returns. No context: a signal handler that raises as that is entered or left would
        leave the thread listed."""
        inside, thread = self._inside, get_ident()
        try:  # a signal handler may raise right after the next line
            inside.append(thread)  # before it looks: end() looks the other way round
            if self.is_over:
                raise self.refusal()
            return function(*arguments)
        finally:
            if thread in inside:
                inside.remove(thread)

    def end(self) -> None:
        """Ends and frees it. Several threads may be at it, and a signal handler that has interrupted one of these, or
        one in a call: whoever finds the others gone frees it. Repeatable, also when a handler has raised in its
        midst."""
        self.is_over = True
        if os.getpid() != self._process:  # a child of fork() has none of those threads
            self._free()
        while not self._ended:
            self._await_others()
            self._end_parts()
            is_mine = False
            try:
                is_mine = self._freeing.acquire(blocking=False)
                if is_mine:
                    self._is_freed = True  # before it looks: _push() looks the other way round
                    if not self._has_others():
                        self._free()
            finally:
                if is_mine:
                    self._is_freed = bool(self._ended)
                    self._freeing.release()
            if not self._ended:
                time.sleep(0.001)

    def _has_others(self) -> bool:
        own = get_ident()  # inside as well, if this is called by a signal handler
        return any(each != own for each in list(self._inside))

    def _await_others(self) -> None:
        while not self._ended and self._has_others():
            self._push()
            time.sleep(0.001)

    def _push(self) -> None:
        """Those that are in calls come out of them."""
        raise NotImplementedError

    def _end_parts(self) -> None:
        """What has to end before."""

    def _free(self) -> None:
        """Unless that was done."""
        raise NotImplementedError


class Life(Shared):
    """Of a communicator. What its operations use stays for as long as they may use it, whoever lets go of their
    handles."""

    closed = ("pccl.Communicator", "the communicator has been closed")

    def __init__(self) -> None:
        super().__init__()
        self._comm = ctypes.c_void_p()
        self._held: dict[Any, Any] = {}  # of operations that were not awaited, by identity
        self._engines: list[Shared] = []
        self.doors = Doors(self)
        self.sweepers: weakref.WeakSet[Any] = weakref.WeakSet()  # have _sweep(), which tidies what they have launched

    @property
    def comm(self) -> ctypes.c_void_p:
        """For the library. InvalidUsageError: it has been closed."""
        if self.is_over:
            raise self.refusal()
        return self._comm

    def abort(self) -> None:
        with contextlib.suppress(InvalidUsageError):  # it has been closed
            self.call(lib.pcclCommAbort, self._comm)

    def hold(self, buffers: Any) -> None:
        """Until forget(), or the end."""
        self._held[id(buffers)] = buffers

    def forget(self, buffers: Any) -> None:
        self._held.pop(id(buffers), None)

    def tidy(self) -> None:
        """Finishes operations that have ended and that nobody is going to await."""
        for sweeper in list(self.sweepers):
            sweeper._sweep()
        self._finish_dropped()

    def _finish_dropped(self) -> bool:
        """Those that have ended and whose handles were dropped. Were there any? Their tags are free now."""
        has_freed = False
        for each in list(self._held.values()):
            if isinstance(each, _Dropped) and each.done():
                each._tidy()
                has_freed = True
        return has_freed

    def repeats(self, status: int) -> bool:
        """Of a launch. Was it refused, for a tag that was in use maybe, and has one become free?"""
        return status == d.pcclInvalidArgument and self._finish_dropped()

    def end_before(self, engine: Shared) -> None:
        """It is ended before the end, if not before."""
        self._engines = [each for each in self._engines if not each._ended] + [engine]

    def stay(self, call: Call, launch: Callable[..., int], arguments: tuple[Any, ...], buffers: Any) -> int:
        """The result of launch(*arguments), which stays for a slice, and of what it has launched. If a signal handler
        raises meanwhile, nothing is written into the buffers any more."""
        inside, thread = self._inside, get_ident()
        try:  # a signal handler may raise right after the next line
            inside.append(thread)  # before it looks: end() looks the other way round
            if self.is_over:
                raise self.refusal()
            status = launch(*arguments)
            if status != d.pcclSuccess and self.repeats(status):
                status = launch(*arguments)
            return status if call.handle.comm is None else self._await_in_slices(call)
        except BaseException:
            is_lent = call.handle.comm is not None
            if is_lent:
                self._held[call] = buffers  # without a call: a second signal's handler would raise as that begins
            while is_lent:
                try:
                    self.abandon(call.handle, buffers)
                    is_lent = False
                except BaseException:
                    pass
            raise
        finally:
            if thread in inside:
                inside.remove(thread)

    def _wait(self, handle: d.pcclHandle_t) -> None:
        """Until the operation has ended, is unknown, or the communicator was closed; signals are heard meanwhile, and
        their handlers may close it. None runs between a look and the call of C after it."""
        done = ctypes.c_bool()
        while not (done.value or self.is_over) and lib.pcclTestFor(handle, SLICE_MS, done) == d.pcclSuccess:
            pass

    def _await_in_slices(self, call: Call) -> int:
        end, *arguments = call.end
        self._wait(call.handle)
        if self.is_over:
            raise AbortedError(Result.ABORTED, "pccl.Communicator", _TOO_LATE)
        status = int(end(*arguments))
        call.handle.comm = None
        return status

    def finish(self, operation: InFlight, aborts: bool) -> None:
        """When it has ended, it is told so. If a signal handler raises meanwhile: with `aborts` nothing is written into
        its buffers any more, else it goes on."""
        inside, thread = self._inside, get_ident()
        try:
            try:
                inside.append(thread)
                self._wait(operation._handle)
            finally:
                if thread in inside:
                    inside.remove(thread)
            operation._end()
        except BaseException:
            while aborts:
                try:
                    self.abandon(operation._handle, operation._held())
                    aborts = False
                except BaseException:
                    pass
            raise

    def take(self, results: list[int | None], awaiting: Iterator[int]) -> None:
        """What the library says of an operation, listed in the call that says it: no signal handler comes in between,
        to ask for it in vain. None: the communicator was closed before."""
        inside, thread = self._inside, get_ident()
        try:
            inside.append(thread)
            if not self.is_over:  # no handler comes between this and the call
                results.extend(awaiting)
            else:
                results.append(None)
        finally:
            if thread in inside:
                inside.remove(thread)

    def abandon(self, handle: d.pcclHandle_t, buffers: Any) -> None:
        """Nothing is written into the buffers any more. To be called again if anything is raised."""
        if not self.is_over:
            self.abort()
            self.call(lib.pcclAwait, handle, None)  # and what is written is written
            self.forget(buffers)

    def end(self) -> None:
        """Leaves the group. What waits in other threads gets AbortedError."""
        super().end()
        self._held.clear()

    def _push(self) -> None:
        inside, thread = self._inside, get_ident()
        try:
            inside.append(thread)
            if not self._is_freed:  # no handler comes between this and the call
                lib.pcclCommAbort(self._comm)
        finally:
            if thread in inside:
                inside.remove(thread)

    def _end_parts(self) -> None:
        for engine in self._engines:
            engine.end()

    def _free(self) -> None:
        if not self._ended:  # no signal handler comes between the library's call and the note of it
            self._ended.extend(map(lib.pcclDestroyCommunicator, (self._comm,)))


def blocking(life: Life, name: str, *arguments: Any, by: Callable[..., Any] | None = None) -> None:
    """Calls a function that waits for others, through `by` if that is given; raises what its result says. Interrupted,
    it aborts the communicator: the others see this peer leave, and none of the call's memory is touched any more. Many
    are refused while operations are in flight, so those that nobody is going to await are finished first."""
    life.tidy()
    call = life.call if by is None else functools.partial(by, life.call)
    status, cause = run(lambda: call(status_of, name, *arguments), life.abort)
    PCCLError.check(status, name, cause)
