"""What all collectives of a group have in common: the communicator, tags, and what is in flight."""

from __future__ import annotations

import collections
import ctypes
import functools
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ParamSpec, TypeVar

from .. import _declarations as d
from .._calls import SLICE_MS
from .._library import last_error, lib
from ..communicator import Communicator
from .._devices import HOST, Device, device_of
from ._errors import destroyed, error_of, in_words, lost
from ._facade import Tensor, Tensors, torch
from ._meeting import Meeting
from ._staging import PIECE_TAGS, Move, Staged, Stager
from ._work import Launch, Watcher, Work

_P = ParamSpec("_P")
_R = TypeVar("_R")
Launches = list[Any]  # of Launch and Staged, which are alike to who waits for them
_OPERATION_BYTES = ctypes.sizeof(d.pcclOperation_t)
_LONGEST_MS = 2**32 - 1
_PARTS = 4096  # operations that a number is enough for: a collective of more takes several
_NUMBERS = 2**32 // _PARTS // PIECE_TAGS  # of collectives: then they begin anew
_SWEPT = 1024  # numbers, after which works that nobody has waited for are looked for, however few
_PATIENCE_S = 2  # with the group's own threads, at its end
_MANY = 64  # works that nobody has waited for: from here on those that have ended are looked for


def milliseconds(span: Any) -> int:
    """Of a timedelta; 0: it says nothing."""
    return min(max(int(span.total_seconds() * 1000), 0), _LONGEST_MS)


def is_plain(tensor: Tensor) -> bool:
    """Without gaps and lazy signs?"""
    return tensor.is_contiguous() and not tensor.is_conj() and not tensor.is_neg()


def dense(tensor: Tensor) -> Tensor:
    """The tensor, or a copy of it without gaps and lazy signs."""
    device_of(tensor)
    if tensor.layout is not torch.strided:
        raise ValueError(f"this collective takes dense tensors, not {tensor.layout}")
    if tensor.is_conj() or tensor.is_neg():
        tensor = tensor.resolve_conj().resolve_neg()
    return tensor if tensor.is_contiguous() else tensor.contiguous()


def one_of(tensors: Tensors, what: str) -> Tensor:
    if len(tensors) != 1:
        raise ValueError(f"pccl's {what} takes one tensor of each rank, not {len(tensors)}")
    return tensors[0]


class _Call:
    """A collective that a thread has called: its number, when it has one, and how many operations it has launched."""

    __slots__ = ("number", "launched")

    def __init__(self) -> None:
        self.number = -1
        self.launched = 0


class _Calling(threading.local):
    """What a thread has called."""

    now: _Call | None = None


def collective(method: Callable[_P, _R]) -> Callable[_P, _R]:
    """A collective of a group, the first argument. A call has one number, however many operations it is, and pieces. If
    it fails before it has launched any it was none: whoever makes it again, and rightly, meets the others. If it fails
    in the midst, what comes after it meets."""
    @functools.wraps(method)
    def call(*arguments: _P.args, **choices: _P.kwargs) -> _R:
        group: Any = arguments[0]
        calling: _Calling = group._calling
        outer, now = calling.now, _Call()  # a signal handler may have interrupted who is in one
        try:
            calling.now = now
            return method(*arguments, **choices)
        finally:
            calling.now = outer
            if now.launched == 0:
                group._take_back(now)

    return call


def _device_of(move: Move) -> Device:
    tensors = [each for each in (move.source, move.target) if each is not None]
    device = device_of(tensors[0])
    if device_of(tensors[-1]) is not device:
        raise ValueError(f"the tensors of a collective are on one device, not {tensors[0].device} and "
                         f"{tensors[-1].device}")
    return device


class Launcher:
    """Ranks of the group are those of its communicator: _meeting.py sees to it. A group belongs to the view that it was
    made in: once a member is lost, nothing is launched any more. World of one: there is no communicator, everything
    happens at once."""

    def _set_up(self, meeting: Meeting, rank: int, size: int, timeout_ms: int) -> None:
        """What was decided about operations of the communicator's world before must not meet those of this one."""
        self._communicator = communicator = meeting.communicator
        self._cuts = meeting.cuts
        self._epoch = 0 if communicator is None else communicator.epoch
        if communicator is not None and (communicator.rank, communicator.world_size) != (rank, size):
            self._epoch = 0  # somebody was lost since: _check() says so
        self._seen_epoch = self._epoch
        self._rank = rank
        self._size = size
        self._timeout_ms = timeout_ms
        self._launching = threading.RLock()  # a signal handler may interrupt who has it, and end the group
        self._first_tag = (meeting.began & 0x3fffffff) << 32
        self._calls = 0  # so many collectives
        self._calling = _Calling()
        self._pending: collections.deque[Launch] = collections.deque()
        if communicator is not None:
            communicator._life.sweepers.add(self)  # before joint calls
        self._watcher = Watcher()
        self._stager = Stager(self._launch)
        self._backward: tuple[int, list[Work]] = (-1, [])

    # ---- launching

    def _check(self, communicator: Communicator) -> None:
        epoch = ctypes.c_uint64()
        status = communicator._life.call(lib.pcclGetEpoch, communicator._comm, epoch)
        if status != d.pcclSuccess:
            raise error_of(status, "torch.distributed", last_error())
        if epoch.value != self._seen_epoch:
            size = communicator.world_size
            if size != self._size or self._epoch == 0:
                raise lost((f"{size} of the {self._size} members of this group are left" if size < self._size else
                            "others are members now than when this group was made") +
                           ": pccl.torch.reconfigure() goes on with those that are")
            self._seen_epoch = epoch.value  # an operation was given up, but nobody was lost; the library knows better

    def _present(self) -> Communicator:
        """While launching."""
        if self._communicator is None:
            raise destroyed()
        return self._communicator

    def _name_next(self) -> tuple[int, str]:
        """Of the collective that this thread is in the next operation: its tag, the first of its pieces', and what
        people call it. While launching."""
        now = self._calling.now
        assert now is not None
        if now.number < 0 or (now.launched and now.launched % _PARTS == 0):  # a tag is not had twice in one call
            now.number = self._calls
            self._calls += 1
            if now.number % _SWEPT == 0:
                self._sweep()
        tag = (now.number % _NUMBERS * _PARTS + now.launched % _PARTS) * PIECE_TAGS
        called = f"collective {now.number}"
        return self._first_tag | tag, called if now.launched == 0 else f"operation {now.launched} of {called}"

    def _sweep(self) -> None:
        """Whoever has let go of a work has its tag still, and tags come round; joint calls are refused while anything
        is in flight. Maybe while launching: so nobody is waited for whom a signal handler may have interrupted that
        ends the group."""
        for launch in list(self._pending):
            if launch.is_done():
                launch._tidy()

    def _count_launched(self) -> None:
        if self._calling.now is not None:
            self._calling.now.launched += 1

    def _take_back(self, call: _Call) -> None:
        """It has launched nothing. Threads that call at the same time are in no order anyway."""
        with self._launching:
            if 0 <= call.number == self._calls - 1:
                self._calls = call.number

    def _launch(self, name: str, pointers: tuple[Any, ...], count: int, datatype: int, buffers: Any, *, op: int = 0,
                root: int = 0, timeout_ms: int = 0, tag: int | None = None, called: str = "",
                stays: bool = False, fields: Mapping[str, int] = {}) -> Launch:
        """`name`: the library's function; `fields`: further ones of pcclOperation_t. An all-reduce gives its input up:
        PyTorch promises nothing about it after a failure. stays: the caller is going to wait for it anyway, so its
        thread moves the data for a while. called: what to say instead of the tag."""
        with self._launching:
            communicator = self._present()
            if stays:
                self._look_after(1)  # there is time
            if tag is None:
                tag, called = self._name_next()
        life = communicator._life
        self._check(communicator)
        operation = d.pcclOperation_t(_OPERATION_BYTES, count, datatype, op, tag, root, timeout_ms or self._timeout_ms)
        operation.failure_policy = d.pcclPolicyAbort
        if name == "pcclAllReduceWith":
            operation.input = d.pcclInputGiveUp
        operation.epoch = self._epoch
        for field, value in fields.items():
            setattr(operation, field, value)
        launch = Launch(life, name, tag, called, buffers)
        if stays:
            operation.stay_ms, operation.info = SLICE_MS, ctypes.addressof(launch.info)
        life.hold(launch)
        status = d.pcclSuccess
        try:
            status = life.call(getattr(lib, name + "Async"), *pointers, operation, communicator._comm, launch._handle)
        finally:  # a signal handler may have raised, and the operation be in flight; another may raise now
            if launch._handle.comm or launch.info.epoch:  # in flight, or it has ended
                self._count_launched()
            if status == d.pcclSuccess and launch._handle.comm:
                self._remember(launch)
            else:
                life.forget(launch)
        if status != d.pcclSuccess:
            raise error_of(status, name, in_words(last_error(), tag, launch.called))
        if launch._handle.comm is None:  # it was awaited as well; else others may have awaited it by now
            launch._has_ended = True
        return launch

    def _move_all(self, moves: Sequence[Move], opts: Any) -> Launches:
        """One after the other; what can be refused is before the first one is launched."""
        for move in moves:
            _device_of(move)
        return [self._move(move, opts, False) for move in moves]

    def _move(self, move: Move, opts: Any = None, is_alone: bool = True) -> Launch | Staged:
        """Launches it where its tensors are, or in pieces. Members that have them elsewhere do the same. opts:
        PyTorch's; is_alone: it is all of the call that they are of."""
        device = _device_of(move)
        timeout_ms = 0 if opts is None else milliseconds(opts.timeout)
        piece_bytes = move.piece_bytes(self._size) if self._cuts else max(move.row_bytes, 1)
        if device is HOST and move.row_bytes <= piece_bytes:
            stays = is_alone and opts is not None and not opts.asyncOp
            fields = move.fields if move.residual is None else {**move.fields, "residual": move.residual.data_ptr()}
            return self._launch(move.name, move.pointers(move.source, move.target), move.row_count, move.datatype, move,
                                op=move.op, root=move.root, timeout_ms=timeout_ms, stays=stays, fields=fields)
        staged = Staged(move, device, piece_bytes, timeout_ms or self._timeout_ms)
        with self._launching:
            self._present()
            staged.first_tag, staged.called = self._name_next()
            self._stager.add(staged)
            self._count_launched()
        return staged

    def _remember(self, launch: Launch) -> None:
        with self._launching:
            self._look_after(_MANY)
            self._pending.append(launch)

    def _look_after(self, many: int) -> None:
        """One of those that nobody has waited for, if they are so many. While launching."""
        pending = self._pending
        while pending and pending[0]._has_ended:
            pending.popleft()
        if len(pending) >= many and pending:  # still: a signal handler may have ended the group
            first = pending[0]
            if first.is_done():
                first._tidy()  # as in _sweep()
            if not first._has_ended and pending:
                pending.rotate(-1)  # it may be in flight for long: then look at others

    def _work(self, launches: Sequence[Launch | Staged], outputs: Tensors, then: Callable[[], None] | None = None
              ) -> Work:
        work = Work(launches, outputs, then, self._watcher, self._note_in_backward)
        if not launches:
            work.finish()
        return work

    def _note_in_backward(self, work: Work) -> None:
        """Somebody asks for a future. DDP does in backward passes, and waits for it in C++, where every error becomes a
        RuntimeError. So the end of the backward pass waits for the work first, and raises what it is."""
        task = torch._C._current_graph_task_id()
        if task == -1:
            return
        number, works = self._backward
        if number != task:
            works = []
            self._backward = task, works
            torch.autograd.Variable._execution_engine.queue_callback(functools.partial(_raise_first, works))
        works.append(work)

    # ---- the end

    def _drain(self, hurry: Callable[[], object] | None = None) -> None:
        """Waits for all that is in flight. It is known to end, or else hurry() makes it; threads of the group may wait
        for one that is interrupted by a signal handler which has called this, and end later then."""
        limit_s = math.inf if hurry is None else _PATIENCE_S
        if hurry is not None and self._stager.is_busy:
            hurry()
        self._stager.stop(limit_s)
        while (launch := self._take_pending()) is not None:
            if hurry is not None and not launch.is_done():
                hurry()
            launch.finish()
        self._watcher.stop(limit_s)

    def _take_pending(self) -> Launch | None:
        with self._launching:  # who remembers one may be at it
            return self._pending.popleft() if self._pending else None

    def _end(self) -> None:
        """Leaves the group. What is in flight ends with an error."""
        with self._launching:  # others may be at it; from here on they find no communicator
            communicator, self._communicator = self._communicator, None
        if communicator is None:
            return
        try:
            self._drain(communicator._life.abort)
        finally:
            communicator.close()


def _raise_first(works: list[Work]) -> None:
    first: Exception | None = None
    for work in works:
        error = work.finish()
        first = first or error
    works.clear()
    if first is not None:
        raise first
