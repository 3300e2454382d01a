"""Collectives in pieces, through memory of the host: of tensors on accelerators, and of all that are large in a group
that has a member with an accelerator, for members have to cut alike.

Each piece is an operation of the library. One thread of the group's brings pieces to the host and launches them,
another one awaits them and brings them back, so some are copied while others travel. Both keep to the order of calls,
which is the same on all ranks: so the first piece that has not ended is in flight on every rank sooner or later.
Whatever becomes of a piece, those after it are launched as well, or ranks would not be in step any more; what a rank
can't launch as it should be it launches as something else, so that no rank waits for it."""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from .. import _declarations as d
from .._calls import join, wait_for
from .._devices import HOST, Device, Mark, Pairs, bytes_in
from ._errors import destroyed
from ._facade import Tensor, torch
from ._work import Launch

PIECE_BYTES = 8 << 20  # these three: the same on all members
_ROW_BYTES = 256 << 10  # of a piece, at least
_GRAIN_BYTES = 4096
_SLOTS = 4  # pieces on their way
PIECE_TAGS = 16  # of one call: as many as there are pieces on their way, and more
_KEPT_BYTES = 2 * PIECE_BYTES  # of a slot's memory: what has to be larger is not kept


class Move(NamedTuple):
    """An operation of the library, and its tensors: dense, on one device. Rows are the parts of several members, one
    after the other. row_count: elements of the library's in a row, row_bytes: their size. None as a tensor: there is
    none, or what it has needs not be brought there, or back. in_place: the library gets one memory for both."""

    name: str
    source: Tensor | None
    target: Tensor | None
    row_count: int
    row_bytes: int
    datatype: int
    source_rows: int = 1
    target_rows: int = 1
    in_place: bool = False
    more: tuple[Any, ...] = ()  # what the function takes after its two pointers
    op: int = 0
    root: int = 0
    residual: Tensor | None = None
    fields: Mapping[str, int] = {}

    def pointers(self, source: Tensor | None, target: Tensor | None) -> tuple[Any, ...]:
        """The function's first arguments, when its memory is there."""
        left, right = (None if each is None else each.data_ptr() for each in (source, target))
        if self.in_place:
            left = right = left or right
        return left, right, *self.more

    def piece_bytes(self, size: int) -> int:
        """Of a row, in a group of so many that cuts. It follows from what all members know."""
        if self.name == "pcclAllToAll":  # what others give each other is known to them alone
            return max(self.row_bytes, 1)
        rows = size if self.name in _OF_ROWS else 1
        return max(PIECE_BYTES // rows // _GRAIN_BYTES * _GRAIN_BYTES, _ROW_BYTES)


_OF_ROWS = {"pcclAllGather", "pcclReduceScatter", "pcclGather", "pcclScatter"}


def _rows(tensor: Tensor | None, count: int) -> Any:
    """Each as bytes."""
    if tensor is None:
        return ()
    flat = bytes_in(tensor)
    return flat.view(count, flat.numel() // count).unbind(0)


class Staged:
    """A move in pieces. To who waits for it, what a Launch is."""

    def __init__(self, move: Move, device: Device, piece_bytes: int, timeout_ms: int) -> None:
        self.move = move
        self.device = device
        self.pieces = max(-(-move.row_bytes // piece_bytes), 1)
        self.first_tag, self.called = 0, ""  # what launches it gives it its name
        self.launches: list[Launch] = []
        self.begin = device.record()
        self._piece_bytes = piece_bytes
        self._source, self._target = _rows(move.source, move.source_rows), _rows(move.target, move.target_rows)
        self._deadline = time.monotonic() + timeout_ms / 1000 if timeout_ms > 0 else None
        self._end: Mark = None
        self._error: Exception | None = None
        self.ended = threading.Event()

    # ---- who waits

    def is_done(self) -> bool:
        return self.ended.is_set()

    def infos(self) -> list[d.pcclOperationInfo_t]:
        """What has become of its operations."""
        return [each.info for each in self.launches]

    def wait_until(self, deadline: float) -> bool:
        return wait_for(self.ended, deadline - time.monotonic())

    def finish(self) -> Exception | None:
        """Blocks until it has ended, and its last piece has been brought back."""
        wait_for(self.ended)
        return self._error

    # ---- who moves it

    def cut(self, index: int) -> tuple[list[Tensor], list[Tensor], int]:
        """What a piece has of the source's rows, and of the target's; its elements of a row."""
        first = index * self._piece_bytes
        last = self.move.row_bytes if index == self.pieces - 1 else first + self._piece_bytes
        source, target = [row[first:last] for row in self._source], [row[first:last] for row in self._target]
        if self.pieces == 1:
            return list(self._source), list(self._target), self.move.row_count
        return source, target, (last - first) * self.move.row_count // self.move.row_bytes

    def residual_at(self, index: int) -> dict[str, int]:
        residual = self.move.residual
        if residual is None:
            return {}
        first = index * self._piece_bytes * self.move.row_count // max(self.move.row_bytes, 1)
        return {"residual": residual.data_ptr() + first * residual.element_size()}

    def name_of(self, index: int) -> str:
        return self.called if self.pieces == 1 else f"piece {index} of {self.called}"

    def left_ms(self) -> int:
        """Until it is too late, at least 1; 0: it never is."""
        return 0 if self._deadline is None else max(int((self._deadline - time.monotonic()) * 1000), 1)

    def fail(self, error: Exception | None) -> None:
        self._error = self._error or error

    @property
    def has_failed(self) -> bool:
        return self._error is not None

    def came(self, mark: Mark) -> None:
        self._end = mark

    def end(self) -> None:
        try:
            self.device.reach(self._end)  # until then its tensors stay
        except Exception as error:
            self.fail(error)
        self._source = self._target = ()
        self.ended.set()


class _Slot:
    """The memory of a piece on its way."""

    def __init__(self) -> None:
        self._device: Device = HOST
        self._memory: Tensor | None = None
        self._busy: Mark = None

    def take(self, device: Device, size: int) -> Tensor:
        """Memory of that device's, when what is copied from it has been."""
        self._device.reach(self._busy)
        memory, self._busy = self._memory, None
        if memory is None or self._device is not device or memory.numel() < size:
            memory = device.memory(size)
            self._device, self._memory = device, memory if size <= _KEPT_BYTES else None
        return memory[:size]

    def keep(self, mark: Mark) -> None:
        self._busy = mark


class _Piece(NamedTuple):
    staged: Staged
    slot: _Slot
    launch: Launch | None
    back: Pairs
    is_last: bool


class Stager:
    """The two threads of a group, from its first piece on, and what memory they have."""

    def __init__(self, launch: Callable[..., Launch]) -> None:
        self._launch = launch
        self._lock = threading.RLock()  # a signal handler may interrupt who has it, and stop them
        self._threads: list[threading.Thread] = []
        self._is_stopped = False
        self._latest: threading.Event | None = None  # that the last one has ended
        self._inbox: queue.SimpleQueue[Staged | None] = queue.SimpleQueue()
        self._outbox: queue.SimpleQueue[_Piece | None] = queue.SimpleQueue()
        self._free: queue.SimpleQueue[_Slot] = queue.SimpleQueue()

    def add(self, staged: Staged) -> None:
        """In the order of tags. CollectiveError: it was stopped."""
        with self._lock:
            if not self._threads and not self._is_stopped:
                for _ in range(_SLOTS):
                    self._free.put(_Slot())
                self._threads = [threading.Thread(target=run, name=f"pccl-{name}", daemon=True)
                                 for run, name in ((self._bring_in, "in"), (self._bring_back, "out"))]
                for thread in self._threads:
                    thread.start()
            if self._is_stopped:  # last of all: by a signal handler, maybe
                raise destroyed()
            self._latest = staged.ended
            self._inbox.put(staged)

    @property
    def is_busy(self) -> bool:
        latest = self._latest
        return latest is not None and not latest.is_set()

    def wait(self) -> None:
        """Until all has ended that it has now."""
        latest = self._latest
        if latest is not None:
            wait_for(latest)

    def stop(self, limit_s: float = math.inf) -> None:
        """For ever, when all has ended that it has; waits for no longer than that. Repeatable, if it was
        interrupted."""
        with self._lock:  # not while it waits: who adds something holds what the threads need
            if not self._is_stopped:
                self._is_stopped = True
                self._inbox.put(None)
        if join(self._threads, limit_s):
            self._free = queue.SimpleQueue()

    def _bring_in(self) -> None:
        with torch.inference_mode():  # tensors of that mode may be written to in it alone
            while (staged := self._inbox.get()) is not None:
                for index in range(staged.pieces):
                    slot, launch = self._free.get(), None
                    back: Pairs = ()
                    try:
                        launch, back = self._start(staged, index, slot)
                        staged.launches.append(launch)
                    except Exception as error:
                        staged.fail(error)
                        launch = self._refuse(staged, index)
                    self._outbox.put(_Piece(staged, slot, launch, back, index == staged.pieces - 1))
                del staged
        self._outbox.put(None)

    def _start(self, staged: Staged, index: int, slot: _Slot) -> tuple[Launch, Pairs]:
        move, device = staged.move, staged.device
        source, target, count = staged.cut(index)
        if device is HOST and len(source) < 2 and len(target) < 2:  # it needs no memory of its own
            ours, theirs = source, target
        else:
            sizes = [each.numel() for each in (source or target if move.in_place else [*source, *target])]
            memory = slot.take(device, sum(sizes)).split(sizes)
            ours, theirs = memory[:len(source)], memory[len(memory) - len(target):]
        device.reach(device.copy_in(list(zip(ours, source, strict=True)), staged.begin))
        pointers = move.pointers(ours[0] if ours else None, theirs[0] if theirs else None)
        launch = self._launch(move.name, pointers, count, move.datatype, (ours, theirs), op=move.op, root=move.root,
                              timeout_ms=staged.left_ms(), tag=staged.first_tag + index % PIECE_TAGS,
                              called=staged.name_of(index), fields={**move.fields, **staged.residual_at(index)})
        return launch, list(zip(theirs, target, strict=True))

    def _refuse(self, staged: Staged, index: int) -> Launch | None:
        """A piece that can't be launched here is a barrier instead: no match for those of the others, which fail at
        once in place of waiting for it."""
        try:
            return self._launch("pcclBarrier", (), 0, d.pcclUint8, None, timeout_ms=staged.left_ms(),
                                tag=staged.first_tag + index % PIECE_TAGS, called=staged.name_of(index))
        except Exception:  # what has been told already is the cause
            return None

    def _bring_back(self) -> None:
        with torch.inference_mode():
            while (piece := self._outbox.get()) is not None:
                staged, slot, launch, back, is_last = piece
                mark: Mark = None
                try:
                    if launch is not None:
                        staged.fail(launch.finish())
                    if not staged.has_failed:
                        mark = staged.device.copy_out(back)
                        staged.came(mark)
                except Exception as error:
                    staged.fail(error)
                slot.keep(mark)
                self._free.put(slot)
                if is_last:
                    staged.end()
                del piece, staged, slot, launch, back
