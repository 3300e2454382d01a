"""Reduce, gather, scatter, all-to-all, send and receive."""

from __future__ import annotations

import ctypes
import functools
import threading
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from .. import _declarations as d
from ._collectives import Collectives, bytes_of, joined, listed, options_of, run_all, whole_of
from ._facade import Tensor, Tensors, c10d, torch
from ._launcher import dense, is_plain, one_of
from ._reduction import reduction_of
from ._work import Launch, Work

_BETWEEN_TWO = 1 << 63  # tags of sends; those of collectives count from 0
_SIGNAL = 1 << 62
_LOOK_S = 0.001


def _counts(values: Sequence[int]) -> Any:
    return (ctypes.c_size_t * len(values))(*values)


class Exchange(Collectives):
    """Parts may have any size. A send ends when the receiver has everything, as with gloo."""

    def _set_up_exchange(self) -> None:
        self._numbers: dict[tuple[str, int, int, bool], int] = {}  # of sends and receives so far
        self._posted: dict[tuple[int, int], Launch] = {}  # receives of signals, by source and tag
        self._posting = threading.RLock()

    # ---- reduce, gather, scatter

    def reduce(self, tensors: Any, opts: Any = None, op: Any = None, timeout: Any = None) -> Work:
        tensors = listed(tensors)
        tensor = one_of(tensors, "reduce")
        opts = _rooted(c10d.ReduceOptions, opts, timeout)
        if op is not None:
            opts.reduceOp = op
        self._check_root(opts.rootRank)
        reduction = reduction_of(opts.reduceOp, tensor)
        is_root = self._rank == opts.rootRank
        buffer = dense(tensor)
        if reduction.gather is not None:
            parts = torch.empty((self._size, *tensor.shape), dtype=tensor.dtype)
            return self._work(self._gather_parts(parts if is_root else None, buffer, opts), tensors, (
                lambda: tensor.copy_(functools.reduce(reduction.gather, parts.unbind(0)))) if is_root else None)
        if reduction.factor is not None:
            buffer = buffer.detach() * reduction.factor
        launches = [] if self._size == 1 else [self._launch(
            "pcclReduce", (buffer.data_ptr(), buffer.data_ptr() if is_root else None),
            buffer.numel() * reduction.parts, reduction.datatype, buffer, op=reduction.op, root=opts.rootRank,
            timeout=opts.timeout)]
        is_copied = is_root and buffer is not tensor
        return self._work(launches, tensors, functools.partial(tensor.copy_, buffer) if is_copied else None)

    def _gather_parts(self, whole: Tensor | None, part: Tensor, opts: Any) -> list[Launch]:
        """Both dense; `whole` on the root only."""
        if self._size == 1:
            assert whole is not None
            whole.detach().view(-1).copy_(part.detach().reshape(-1))
            return []
        return [self._launch("pcclGather", (part.data_ptr(), None if whole is None else whole.data_ptr(), None),
                             bytes_of(part), d.pcclUint8, (part, whole), root=opts.rootRank, timeout=opts.timeout)]

    def gather(self, output_tensors: Any, input_tensors: Any, opts: Any = None, timeout: Any = None) -> Work:
        if isinstance(input_tensors, torch.Tensor):
            output_tensors, input_tensors = [output_tensors] if output_tensors else [], [input_tensors]
        source = one_of(input_tensors, "gather")
        opts = _rooted(c10d.GatherOptions, opts, timeout)
        self._check_root(opts.rootRank)
        if self._rank != opts.rootRank:
            if output_tensors:
                raise ValueError("only the root of a gather has outputs")
            return self._work(self._gather_parts(None, dense(source), opts), ())
        outputs = one_of(output_tensors, "gather")
        self._check_list(outputs, source, "gather")
        whole, ends = whole_of(outputs), []
        if whole is None:
            whole = torch.empty((self._size, *source.shape), dtype=source.dtype)
            ends = _copies(outputs, whole)
        return self._work(self._gather_parts(whole, dense(source), opts), outputs, run_all(ends))

    def scatter(self, output_tensors: Any, input_tensors: Any, opts: Any = None, timeout: Any = None) -> Work:
        if isinstance(output_tensors, torch.Tensor):
            output_tensors, input_tensors = [output_tensors], [input_tensors] if input_tensors else []
        output = one_of(output_tensors, "scatter")
        opts = _rooted(c10d.ScatterOptions, opts, timeout)
        self._check_root(opts.rootRank)
        whole: Tensor | None = None
        if self._rank == opts.rootRank:
            parts = one_of(input_tensors, "scatter")
            self._check_list(parts, output, "scatter")
            whole = joined(parts)
        elif input_tensors:
            raise ValueError("only the root of a scatter has inputs")
        part = output if is_plain(output) else torch.empty_like(output, memory_format=torch.contiguous_format)
        launches: list[Launch] = []
        if self._size == 1:
            assert whole is not None
            part.detach().view(-1).copy_(whole.view(-1))
        else:
            launches.append(self._launch(
                "pcclScatter", (None if whole is None else whole.data_ptr(), part.data_ptr(), None), bytes_of(part),
                d.pcclUint8, (whole, part), root=opts.rootRank, timeout=opts.timeout))
        return self._work(launches, [output], functools.partial(output.copy_, part) if part is not output else None)

    # ---- all-to-all

    def all_to_all_single(self, output: Tensor, input: Tensor, output_split_sizes: Sequence[int],
                          input_split_sizes: Sequence[int], opts: Any = None, timeout: Any = None) -> Work:
        opts = options_of(c10d.AllToAllOptions, opts, timeout)
        if output.dtype != input.dtype:
            raise ValueError(f"an all-to-all's output is of {output.dtype}, its input of {input.dtype}")
        target, source = dense(output), dense(input)
        launches = self._all_to_all(target, source, self._split(output, output_split_sizes),
                                    self._split(input, input_split_sizes), opts)
        return self._work(launches, [output], functools.partial(output.copy_, target)
                          if target is not output else None)

    alltoall_base = all_to_all_single

    def _split(self, tensor: Tensor, sizes: Sequence[int]) -> list[int]:
        """Bytes of the parts. Sizes are along the first dimension; without any, parts are equal."""
        rows = tensor.shape[0] if tensor.dim() > 0 else 1
        if not sizes:
            if rows % self._size != 0:
                raise ValueError(f"{rows} rows do not divide equally across a group of {self._size}")
            sizes = [rows // self._size] * self._size
        if len(sizes) != self._size or sum(sizes) != rows or min(sizes) < 0:
            raise ValueError(f"split sizes {list(sizes)} do not match {rows} rows of {self._size} ranks")
        row_bytes = bytes_of(tensor) // rows if rows > 0 else 0
        return [size * row_bytes for size in sizes]

    def _all_to_all(self, target: Tensor, source: Tensor, receive: list[int], send: list[int], opts: Any
                    ) -> list[Launch]:
        if self._size == 1:
            target.detach().view(-1).copy_(source.detach().reshape(-1))
            return []
        return [self._launch("pcclAllToAll", (source.data_ptr(), target.data_ptr(), _counts(send), _counts(receive)),
                             0, d.pcclUint8, (source, target), timeout=opts.timeout)]

    def alltoall(self, output_tensors: Tensors, input_tensors: Tensors, opts: Any = None, timeout: Any = None) -> Work:
        if len(output_tensors) != self._size or len(input_tensors) != self._size:
            raise ValueError(f"an all-to-all in a group of {self._size} has as many outputs and inputs")
        opts = options_of(c10d.AllToAllOptions, opts, timeout)
        source = joined(input_tensors)
        sizes = [output.numel() for output in output_tensors]
        target = torch.empty(sum(sizes), dtype=output_tensors[0].dtype)
        launches = self._all_to_all(target, source, [bytes_of(each) for each in output_tensors],
                                    [bytes_of(each) for each in input_tensors], opts)
        return self._work(launches, output_tensors, run_all(_copies(output_tensors, target.split(sizes))))

    # ---- between two

    def _between(self, name: str, tensor: Tensor | None, other: int, tag: int) -> Launch:
        """Tags tell sends between the same two apart: PyTorch's, and a number that both ends count alike. Without a
        tensor: the signal that comes with each, for receives from any source."""
        if not 0 <= other < self._size or other == self._rank:
            raise ValueError(f"{other} is no other rank of a group of {self._size}")
        key = name, other, tag, tensor is None
        with self._posting:
            number = self._numbers.get(key, 0)
            self._numbers[key] = number + 1
            name_of_all = _BETWEEN_TWO | (tag & 0x3fffffff) << 32 | number & 0xffffffff
            if tensor is None:
                return self._launch(name, (None, other), 0, d.pcclUint8, None, tag=name_of_all | _SIGNAL)
            return self._launch(name, (tensor.data_ptr(), other), bytes_of(tensor), d.pcclUint8, tensor,
                                tag=name_of_all)

    def send(self, tensors: Tensors, dstRank: int, tag: int = 0) -> Work:
        buffer = dense(one_of(tensors, "send"))
        with self._posting:
            return self._work([self._between("pcclSend", None, dstRank, tag),
                               self._between("pcclSend", buffer, dstRank, tag)], tensors)

    def recv(self, tensors: Tensors, srcRank: int, tag: int = 0) -> Work:
        tensor = one_of(tensors, "receive")
        buffer = dense(tensor)
        with self._posting:
            signal = self._posted.pop((srcRank, tag), None) or self._between("pcclRecv", None, srcRank, tag)
            launches = [signal, self._between("pcclRecv", buffer, srcRank, tag)]
        return self._work(launches, tensors, functools.partial(tensor.copy_, buffer) if buffer is not tensor else None)

    def recv_anysource(self, tensors: Tensors, tag: int = 0) -> Work:
        """Signals are awaited from all others. Who gives one first is received from; signals still awaited are so for
        later receives of that source and tag."""
        work = _AnySource(self, one_of(tensors, "receive"), tag)
        work.post()
        return work

    def _check_list(self, tensors: Tensors, like: Tensor, what: str) -> None:
        if len(tensors) != self._size:
            raise ValueError(f"a {what} in a group of {self._size} takes as many tensors, not {len(tensors)}")
        for tensor in tensors:
            if tensor.dtype != like.dtype or tensor.numel() != like.numel():
                raise ValueError(f"tensors of a {what} are all alike, {like.numel()} elements of {like.dtype}, not "
                                 f"{tensor.numel()} of {tensor.dtype}")


class _AnySource(Work):
    """A receive whose source is known only at its end."""

    def __init__(self, group: Exchange, tensor: Tensor, tag: int) -> None:
        super().__init__((), [tensor], None, group._watcher, group._note_in_backward)
        self._group = group
        self._tensor = tensor
        self._tag = tag
        self._source = -1
        self._inner: Work | None = None

    def post(self) -> list[tuple[int, Launch]]:
        """The signals that are awaited, in the order of sources."""
        group = self._group
        found: list[tuple[int, Launch]] = []
        with group._posting:
            for source in range(group._size):
                if source != group._rank:
                    if (source, self._tag) not in group._posted:
                        group._posted[source, self._tag] = group._between("pcclRecv", None, source, self._tag)
                    found.append((source, group._posted[source, self._tag]))
        return found

    def _take(self) -> bool:
        """Receives, if there is a signal."""
        group = self._group
        with group._posting:
            source = next((source for source, launch in self.post() if launch.is_done()), -1)
            if source == -1:
                return False
            self._inner = group.recv([self._tensor], source, self._tag)
        self._source = source
        return True

    def is_completed(self) -> bool:
        with self._lock:
            if self._inner is None and not self._take():
                return False
        return self._inner is not None and self._inner.is_completed()

    def _take_by(self, deadline: float | None) -> bool:
        with self._lock:
            while self._inner is None and not self._take():
                if deadline is not None and time.monotonic() > deadline:
                    return False
                self.post()[0][1].wait_until(time.monotonic() + _LOOK_S)
        return True

    def finish(self) -> Exception | None:
        self._take_by(None)
        assert self._inner is not None
        self._error = self._inner.finish()
        return self._error

    def wait(self, timeout: timedelta = timedelta()) -> bool:
        if timeout > timedelta() and not self._take_by(time.monotonic() + timeout.total_seconds()):
            raise self.late(timeout)
        return super().wait()

    def source_rank(self) -> int:
        return self._source

    _source_rank = source_rank


def _rooted(kind: Any, given: Any, timeout: Any) -> Any:
    """Options, or the root alone."""
    if not isinstance(given, int):
        return options_of(kind, given, timeout)
    made = options_of(kind, None, timeout)
    made.rootRank = given
    return made


def _copies(outputs: Tensors, parts: Any) -> list[Any]:
    return [functools.partial(output.copy_, part.view(output.shape))
            for output, part in zip(outputs, parts, strict=True)]
