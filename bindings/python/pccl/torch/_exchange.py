"""Reduce, gather, scatter, all-to-all."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence
from typing import Any

from .. import _declarations as d
from ._collectives import bytes_of, joined, listed, options_of, run_all, whole_of
from ._facade import Tensor, Tensors, c10d, torch
from ._launcher import Launches, collective, dense, is_plain, one_of
from ._reduction import reduction_of
from ._staging import Move
from ._transfers import Transfers
from ._work import Work


def _counts(values: Sequence[int]) -> Any:
    return (ctypes.c_size_t * len(values))(*values)


class Exchange(Transfers):
    """Parts may have any size."""

    # ---- reduce, gather, scatter

    @collective
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
            parts = tensor.new_empty((self._size, *tensor.shape))
            return self._work(self._gather_parts(parts if is_root else None, buffer, opts), tensors, (
                lambda: tensor.copy_(functools.reduce(reduction.gather, parts.unbind(0)))) if is_root else None)
        if reduction.factor is not None:
            buffer = buffer.detach() * reduction.factor
        launches = [] if self._size == 1 else [self._move(Move(
            "pcclReduce", buffer, buffer if is_root else None, buffer.numel() * reduction.parts, bytes_of(buffer),
            reduction.datatype, in_place=is_root, op=reduction.op, root=opts.rootRank), opts)]
        is_copied = is_root and buffer is not tensor
        return self._work(launches, tensors, functools.partial(tensor.copy_, buffer) if is_copied else None)

    def _gather_parts(self, whole: Tensor | None, part: Tensor, opts: Any) -> Launches:
        """Both dense; `whole` on the root only."""
        if self._size == 1:
            assert whole is not None
            whole.detach().view(-1).copy_(part.detach().reshape(-1))
            return []
        return [self._move(Move("pcclGather", part, whole, bytes_of(part), bytes_of(part), d.pcclUint8,
                                target_rows=self._size, more=(None,), root=opts.rootRank), opts)]

    @collective
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
            whole = source.new_empty((self._size, *source.shape))
            ends = _copies(outputs, whole)
        return self._work(self._gather_parts(whole, dense(source), opts), outputs, run_all(ends))

    @collective
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
        launches: Launches = []
        if self._size == 1:
            assert whole is not None
            part.detach().view(-1).copy_(whole.view(-1))
        else:
            launches.append(self._move(Move(
                "pcclScatter", whole, part, bytes_of(part), bytes_of(part), d.pcclUint8, source_rows=self._size,
                more=(None,), root=opts.rootRank), opts))
        return self._work(launches, [output], functools.partial(output.copy_, part) if part is not output else None)

    # ---- all-to-all

    @collective
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
                    ) -> Launches:
        if self._size == 1:
            target.detach().view(-1).copy_(source.detach().reshape(-1))
            return []
        return [self._move(Move("pcclAllToAll", source, target, 0, 0, d.pcclUint8,
                                more=(_counts(send), _counts(receive))), opts)]

    @collective
    def alltoall(self, output_tensors: Tensors, input_tensors: Tensors, opts: Any = None, timeout: Any = None) -> Work:
        if len(output_tensors) != self._size or len(input_tensors) != self._size:
            raise ValueError(f"an all-to-all in a group of {self._size} has as many outputs and inputs")
        types = {each.dtype for each in (*output_tensors, *input_tensors)}
        if len(types) > 1:
            raise ValueError(f"the tensors of an all-to-all are of one type, not of {', '.join(map(str, types))}")
        opts = options_of(c10d.AllToAllOptions, opts, timeout)
        source = joined(input_tensors)
        sizes = [output.numel() for output in output_tensors]
        target = output_tensors[0].new_empty(sum(sizes))
        launches = self._all_to_all(target, source, [bytes_of(each) for each in output_tensors],
                                    [bytes_of(each) for each in input_tensors], opts)
        return self._work(launches, output_tensors, run_all(_copies(output_tensors, target.split(sizes))))

    def _check_list(self, tensors: Tensors, like: Tensor, what: str) -> None:
        if len(tensors) != self._size:
            raise ValueError(f"a {what} in a group of {self._size} takes as many tensors, not {len(tensors)}")
        for tensor in tensors:
            if tensor.dtype != like.dtype or tensor.numel() != like.numel():
                raise ValueError(f"tensors of a {what} are all alike, {like.numel()} elements of {like.dtype}, not "
                                 f"{tensor.numel()} of {tensor.dtype}")


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
