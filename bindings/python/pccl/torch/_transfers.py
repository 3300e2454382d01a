"""Send and receive, also from any source.

With every send goes a signal of no bytes, of the same number. A receive from any source awaits signals of all others,
in threads that await what asyncio does as well, and whoever's comes first is received from. Receives of a tag behind
one that waits for any source are in line with it: what comes goes to the first in line that may have it, whether
anybody waits or not."""

from __future__ import annotations

import collections
import functools
import math
import threading
import time
from collections.abc import Callable
from datetime import timedelta

from .. import _declarations as d
from .._awaiting import watch
from .._calls import wait_for
from ..errors import PCCLError, Result
from ._collectives import Collectives, bytes_of, options_of, run_all
from .._devices import from_host, to_host
from ._errors import error_of, lost
from ._facade import Tensor, Tensors, c10d, torch, untraced
from ._launcher import collective, dense, milliseconds, one_of
from ._work import Launch, Work

_BETWEEN_TWO = 1 << 63  # tags of sends; those of collectives count from 0
_SIGNAL = 1 << 62
_RING = 16384  # so many numbers are in use between two ranks: the library remembers each
_LARGEST_TAG = 0x3fffffff  # of PyTorch's
_FOR_EVER = timedelta(days=40)
_Ends = tuple[str, int, int]  # the function, the other rank, PyTorch's tag


class Transfers(Collectives):
    """A send ends when the receiver has everything, as with gloo."""

    def _set_up_transfers(self) -> None:
        self._numbers: dict[_Ends, int] = {}  # of sends and receives so far
        self._latest: dict[_Ends, collections.deque[tuple[int, Launch]]] = {}
        self._awaited: dict[tuple[int, int], int] = {}  # numbers of signals, by source and tag
        self._here: dict[tuple[int, int], int] = {}  # signals that nobody has received from, as they came
        self._lines: dict[int, list[_InLine]] = {}
        self._posting = threading.RLock()

    def _take_number(self, ends: _Ends) -> int:
        number = self._numbers.get(ends, 0)
        self._numbers[ends] = number + 1
        latest = self._latest.setdefault(ends, collections.deque())
        while latest and latest[0][0] + _RING <= number:  # its place in the ring is this one's now
            latest.popleft()[1].finish()
        return number

    def _transfer(self, ends: _Ends, number: int, tensor: Tensor | None, timeout: timedelta | None = None) -> Launch:
        """None: the signal."""
        name, other, tag = ends
        of_world = tag + (self._first_tag >> 32) * 0x9e3779b1 & _LARGEST_TAG
        name_of_all = _BETWEEN_TWO | of_world << 32 | number % _RING
        called = f"transfer {number} with tag {tag}"
        if tensor is None:
            launch = self._launch(name, (None, other), 0, d.pcclUint8, None, tag=name_of_all | _SIGNAL, called=called,
                                  timeout_ms=0 if timeout is None else milliseconds(timeout))
        else:
            launch = self._launch(name, (tensor.data_ptr(), other), bytes_of(tensor), d.pcclUint8, tensor,
                                  tag=name_of_all, called=called)
        self._latest[ends].append((number, launch))
        return launch

    def _wait_for_pending_works(self) -> None:
        """Until the collectives in flight have ended, well or not: who waits for them is told. Who is at the other end
        of a transfer may never come."""
        self._stager.wait()
        with self._launching:
            pending = [launch for launch in self._pending if not launch.tag & _BETWEEN_TWO]
        for launch in pending:
            launch.finish()

    def _check_other(self, other: int, tag: int) -> None:
        _check_tag(tag)
        if not 0 <= other < self._size or other == self._rank:
            raise ValueError(f"{other} is no other rank of a group of {self._size}")

    def send(self, tensors: Tensors, dstRank: int, tag: int = 0) -> Work:
        self._check_other(dstRank, tag)
        buffer = to_host(dense(one_of(tensors, "send")))
        ends = "pcclSend", dstRank, tag
        with self._posting:
            number = self._take_number(ends)
            return self._work([self._transfer(ends, number, None), self._transfer(ends, number, buffer)], tensors)

    def recv(self, tensors: Tensors, srcRank: int, tag: int = 0) -> Work:
        tensor = one_of(tensors, "receive")
        self._check_other(srcRank, tag)
        buffer, then = _room_for(tensor)
        ends, key = ("pcclRecv", srcRank, tag), (srcRank, tag)
        with self._posting:
            if self._lines.get(tag) or key in self._awaited or key in self._here:
                return self._stand_in_line(tensor, buffer, then, srcRank, tag)
            number = self._take_number(ends)
            launches = [self._transfer(ends, number, None), self._transfer(ends, number, buffer)]
        return self._work(launches, tensors, then)

    # ---- from any source

    def recv_anysource(self, tensors: Tensors, tag: int = 0) -> Work:
        tensor = one_of(tensors, "receive")
        _check_tag(tag)
        buffer, then = _room_for(tensor)
        with self._posting:
            return self._stand_in_line(tensor, buffer, then, -1, tag)

    def _stand_in_line(self, tensor: Tensor, buffer: Tensor, then: Callable[[], None] | None, source: int, tag: int
                       ) -> Work:
        work = _InLine(self, tensor, buffer, then, source, tag)
        self._lines.setdefault(tag, []).append(work)
        self._serve(tag)
        return work

    def _serve(self, tag: int) -> None:
        """While posting. What is here goes to the first in line that may have it; the rest is awaited."""
        line = self._lines.get(tag, [])
        for work in list(line):
            source = next((each for each, at in self._here if at == tag and work.source in (-1, each)), -1)
            if source == -1:
                continue
            line.remove(work)
            work.receive(source, self._here.pop((source, tag)))
        try:
            for work in line:
                for source in range(self._size) if work.source == -1 else [work.source]:
                    if source != self._rank and (source, tag) not in self._awaited and (source, tag) not in self._here:
                        self._await(source, tag)
        except (PCCLError, RuntimeError) as error:
            self._fail_line(tag, error)

    def _await(self, source: int, tag: int) -> None:
        ends = "pcclRecv", source, tag
        number = self._take_number(ends)
        signal = self._transfer(ends, number, None, _FOR_EVER)
        self._awaited[source, tag] = number

        def take() -> None:
            error = signal.finish()
            with self._posting:
                del self._awaited[source, tag]
                if error is None:
                    self._here[source, tag] = number
                elif error.result is not Result.TIMEOUT:  # else the sender has given up this one
                    self._fail_line(tag, error)
                self._serve(tag)

        watch(signal, take)

    def _fail_line(self, tag: int, error: Exception) -> None:
        for work in self._lines.pop(tag, []):
            work.fail(error)

    def _give_up(self, work: _InLine, error: Exception) -> None:
        """Unless it has left the line already."""
        with self._posting:
            line = self._lines.get(work.tag, [])
            if work in line:
                line.remove(work)
                work.fail(error)

    @collective
    def _answer_signals(self, timeout: timedelta | None) -> None:
        """The group ends with nobody lost: signals that are awaited still are given by their sources, or they would
        never end. All ranks call this; when one does not come in time, it raises that, and may be called again."""
        communicator = self._communicator
        if communicator is None or self._size == 1:
            return
        try:
            with self._posting:
                for tag in list(self._lines):
                    self._fail_line(tag, lost("the group has ended"))
                mine = torch.tensor([[source, tag] for source, tag in self._awaited], dtype=torch.int64).view(-1, 2)
            opts = options_of(c10d.AllgatherOptions, None, timeout)
            counts = torch.empty(self._size, dtype=torch.int64)
            self._work(self._gather_bytes(counts, torch.tensor([len(mine)]), opts), ()).wait()
            most = int(counts.max())
            if most == 0:
                return
            everybodys = torch.empty((self._size, most, 2), dtype=torch.int64)
            padded = torch.full((most, 2), -1, dtype=torch.int64)
            padded[:len(mine)] = mine
            self._work(self._gather_bytes(everybodys, padded, opts), ()).wait()
            for rank, pairs in enumerate(everybodys.tolist()):
                for source, tag in pairs:
                    if source == self._rank:
                        ends = "pcclSend", rank, tag
                        self._transfer(ends, self._take_number(ends), None, timeout)
        except PCCLError as error:
            if error.result is Result.TIMEOUT and communicator.world_size == self._size:
                raise


def _check_tag(tag: int) -> None:
    """So many bits of the library's tags has it: _transfer()."""
    if not 0 <= tag <= _LARGEST_TAG:
        raise ValueError(f"a tag of a send or receive is a number from 0 to {_LARGEST_TAG}, not {tag}")


def _room_for(tensor: Tensor) -> tuple[Tensor, Callable[[], None] | None]:
    """Where to receive it, and what is to be done when it has come."""
    whole = dense(tensor)
    buffer, bring = from_host(whole)
    if whole is tensor:
        return buffer, bring
    return buffer, run_all([*([] if bring is None else [bring]), functools.partial(tensor.copy_, whole)])


@untraced
class _InLine(Work):
    """A receive that waits for a signal."""

    def __init__(self, group: Transfers, tensor: Tensor, buffer: Tensor, then: Callable[[], None] | None, source: int,
                 tag: int) -> None:
        super().__init__((), [tensor], then, group._watcher, group._note_in_backward)
        self.source, self.tag = source, tag
        self._group = group
        self._buffer = buffer
        self._matched = threading.Event()
        self._deadline = time.monotonic() + group._timeout_ms / 1000 if group._timeout_ms > 0 else None

    def receive(self, source: int, number: int) -> None:
        """While posting."""
        self.source = source
        try:
            self._launches = [self._group._transfer(("pcclRecv", source, self.tag), number, self._buffer)]
        except Exception as error:
            self._error = error
        self._matched.set()

    def fail(self, error: Exception) -> None:
        self._error = error
        self._matched.set()

    def _come(self, is_waited: bool) -> bool:
        """Has it a source, or come to its end?"""
        while True:
            left_s = math.inf if self._deadline is None else max(self._deadline - time.monotonic(), 0)
            if wait_for(self._matched, left_s if is_waited else 0):
                return True
            if left_s == 0:
                late = error_of(d.pcclTimeout, "torch.distributed.recv", "no rank has sent anything")
                self._group._give_up(self, late)
            elif not is_waited:
                return False

    def finish(self) -> Exception | None:
        self._come(True)
        return super().finish()

    def is_completed(self) -> bool:
        return self._come(False) and super().is_completed()

    def wait(self, timeout: timedelta = timedelta()) -> bool:
        if timeout > timedelta() and not wait_for(self._matched, timeout.total_seconds()):
            raise self.late(timeout)
        self._come(True)
        return super().wait(timeout)

    def source_rank(self) -> int:
        return self.source

    _source_rank = source_rank
