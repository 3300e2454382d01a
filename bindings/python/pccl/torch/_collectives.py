"""All-reduce, broadcast, all-gather, reduce-scatter, barrier."""

from __future__ import annotations

import functools
from typing import Any

from .. import _declarations as d
from ._facade import Tensor, Tensors, c10d, dist, torch
from ._launcher import Launcher, Launches, collective, dense, is_plain, milliseconds, one_of
from ._reduction import Reduction, reduction_of
from ._staging import Move
from ._work import Work


def options_of(kind: Any, given: Any, timeout: Any = None) -> Any:
    """The options of a call: they may be given, left out, or be an operation of a reduction alone."""
    if isinstance(given, kind):
        return given
    made = kind()
    if given is not None:
        made.reduceOp = given
    if timeout is not None:
        made.timeout = timeout
    return made


def listed(tensors: Any) -> Tensors:
    return [tensors] if isinstance(tensors, torch.Tensor) else tensors


def bytes_of(tensor: Tensor) -> int:
    return int(tensor.numel() * tensor.element_size())


def whole_of(tensors: Tensors) -> Tensor | None:
    """Tensors that lie one after the other without gaps, as chunks of one: a tensor of all of them. None: they do not,
    or their memory is not of one tensor."""
    first = tensors[0]
    bytes_each = bytes_of(first)
    storage = first.untyped_storage().data_ptr()
    for index, tensor in enumerate(tensors):
        if not is_plain(tensor) or tensor.data_ptr() != first.data_ptr() + index * bytes_each or \
                tensor.untyped_storage().data_ptr() != storage:
            return None
    return torch.as_strided(first.detach(), (len(tensors), first.numel()), (first.numel(), 1))


def have_one_size(tensors: Tensors) -> bool:
    return all(tensor.numel() == tensors[0].numel() for tensor in tensors)


def dense_output(output: Tensor, ends: list[Any]) -> Tensor:
    """The output, or dense memory that is copied to it at the end."""
    if is_plain(output):
        return output
    part = torch.empty_like(output, memory_format=torch.contiguous_format)
    ends.append(functools.partial(output.copy_, part))
    return part


def joined(parts: Tensors) -> Tensor:
    """All of them one after the other."""
    whole = whole_of(parts) if have_one_size(parts) else None
    return torch.cat([dense(part).detach().reshape(-1) for part in parts]) if whole is None else whole


class Collectives(Launcher):
    """Tensors with gaps are copied. All others are sent and received where they are if that is in the memory of the
    host; else, and large ones of a group that has a member with an accelerator, in pieces: _staging.py."""

    # ---- all-reduce

    @collective
    def allreduce(self, tensors: Any, opts: Any = None, timeout: Any = None) -> Work:
        tensors = listed(tensors)
        tensor = one_of(tensors, "all-reduce")
        opts = options_of(c10d.AllreduceOptions, opts, timeout)
        return self._all_reduce([tensor], opts)

    @collective
    def allreduce_coalesced(self, tensors: Tensors, opts: Any = None) -> Work:
        return self._all_reduce(tensors, options_of(c10d.AllreduceCoalescedOptions, opts))

    def _all_reduce(self, tensors: Tensors, opts: Any) -> Work:
        launches: Launches = []
        ends: list[Any] = []
        if any(tensor.layout is torch.sparse_coo for tensor in tensors):
            return self._all_reduce_sparse(one_of(tensors, "all-reduce of sparse tensors"), opts)
        reductions = [reduction_of(opts.reduceOp, tensor) for tensor in tensors]  # all, before one is launched
        for tensor, reduction in zip(tensors, reductions, strict=True):
            if reduction.gather is not None:
                self._all_reduce_gathered(tensor, reduction, opts, launches, ends)
                continue
            buffer = dense(tensor)
            if reduction.factor is not None:
                with torch.no_grad():
                    buffer.mul_(reduction.factor)
            if self._size > 1:
                launches.append(self._move(Move(
                    "pcclAllReduceWith", buffer, buffer, buffer.numel() * reduction.parts, bytes_of(buffer),
                    reduction.datatype, in_place=True, op=reduction.op), opts, len(tensors) == 1))
            if buffer is not tensor:
                ends.append(functools.partial(tensor.copy_, buffer))
        return self._work(launches, tensors, run_all(ends))

    def _all_reduce_gathered(self, tensor: Tensor, reduction: Reduction, opts: Any, launches: Launches,
                             ends: list[Any]) -> None:
        buffer = dense(tensor)
        parts = tensor.new_empty((self._size, *tensor.shape))
        launches += self._gather_bytes(parts, buffer, opts, False)
        ends.append(lambda: tensor.copy_(functools.reduce(reduction.gather, parts.unbind(0))))

    def _all_reduce_sparse(self, tensor: Tensor, opts: Any) -> Work:
        """The sum of tensors that have different elements: all members' elements are gathered, and added here."""
        if opts.reduceOp != dist.ReduceOp.SUM:
            raise ValueError("sparse tensors can be summed only")
        mine = tensor.coalesce()
        counts = torch.empty(self._size, dtype=torch.int64)
        self._work(self._gather_bytes(counts, torch.tensor([mine._nnz()]), opts), ()).wait()
        most = int(counts.max())
        indices = mine.indices().new_zeros((mine.sparse_dim(), most))
        values = mine.values().detach().new_zeros((most, *mine.values().shape[1:]))
        indices[:, :mine._nnz()], values[:mine._nnz()] = mine.indices(), mine.values().detach()
        all_indices, all_values = (each.new_empty((self._size, *each.shape)) for each in (indices, values))

        def add() -> None:
            parts = [torch.sparse_coo_tensor(all_indices[rank, :, :count], all_values[rank, :count], tensor.shape)
                     for rank, count in enumerate(counts.tolist())]
            tensor.copy_(functools.reduce(torch.add, parts).coalesce())

        launches = [*self._gather_bytes(all_indices, indices, opts, False),
                    *self._gather_bytes(all_values, values, opts, False)]
        return self._work(launches, [tensor], add)

    # ---- broadcast

    @collective
    def broadcast(self, tensors: Any, opts: Any = None, timeout: Any = None) -> Work:
        tensors = listed(tensors)
        tensor = one_of(tensors, "broadcast")
        if isinstance(opts, int):
            root, opts = opts, options_of(c10d.BroadcastOptions, None, timeout)
            opts.rootRank = root
        opts = options_of(c10d.BroadcastOptions, opts)
        self._check_root(opts.rootRank)
        buffer = dense(tensor)
        is_root = self._rank == opts.rootRank
        launches: Launches = []
        if self._size > 1:
            size = bytes_of(buffer)
            launches.append(self._move(Move(
                "pcclBroadcast", buffer if is_root else None, None if is_root else buffer, size, size, d.pcclUint8,
                in_place=True, root=opts.rootRank), opts))
        is_copied = buffer is not tensor and not is_root
        return self._work(launches, tensors, functools.partial(tensor.copy_, buffer) if is_copied else None)

    def _check_root(self, root: int) -> None:
        if not 0 <= root < self._size:
            raise ValueError(f"{root} is no rank of a group of {self._size}")

    # ---- all-gather

    def _gather_bytes(self, whole: Tensor, part: Tensor, opts: Any, is_alone: bool = True) -> Launches:
        """Both dense. The parts of all ranks come to `whole`."""
        if bytes_of(whole) != bytes_of(part) * self._size:
            raise ValueError(f"an all-gather of {self._size} parts of {bytes_of(part)} bytes needs "
                             f"{bytes_of(part) * self._size}, the output has {bytes_of(whole)}")
        if self._size == 1:
            whole.detach().view(-1).view(torch.uint8).copy_(part.detach().reshape(-1).view(torch.uint8))
            return []
        return [self._move(Move("pcclAllGather", part, whole, bytes_of(part), bytes_of(part), d.pcclUint8,
                                target_rows=self._size), opts, is_alone)]

    def _gather_into(self, outputs: Tensors, source: Tensor, opts: Any, ends: list[Any], is_alone: bool = True
                     ) -> Launches:
        if len(outputs) != self._size:
            raise ValueError(f"an all-gather in a group of {self._size} has as many outputs, not {len(outputs)}")
        are_alike = have_one_size(outputs)
        for output in outputs if are_alike else [outputs[self._rank]]:
            if output.numel() != source.numel():
                raise ValueError(f"an all-gather's outputs are as its input, {source.numel()} elements of "
                                 f"{source.dtype}, not {output.numel()} of {output.dtype}")
        if any(output.dtype != source.dtype for output in outputs):
            raise ValueError(f"an all-gather's outputs are of {source.dtype}, as its input")
        if not are_alike:
            return self._gather_uneven(outputs, source, opts, ends)
        whole = whole_of(outputs)
        if whole is None:
            whole = source.new_empty((self._size, *source.shape))
            for output, part in zip(outputs, whole, strict=True):
                ends.append(functools.partial(output.copy_, part.view(output.shape)))
        return self._gather_bytes(whole, dense(source), opts, is_alone)

    def _gather_uneven(self, outputs: Tensors, source: Tensor, opts: Any, ends: list[Any]) -> Launches:
        """Each part is a broadcast."""
        moves: list[Move] = []
        for root, output in enumerate(outputs):
            is_root = root == self._rank
            part = dense(source) if is_root else dense_output(output, ends)
            if is_root:
                ends.append(functools.partial(output.copy_, part.view(output.shape)))
            moves.append(Move("pcclBroadcast", part if is_root else None, None if is_root else part, bytes_of(part),
                              bytes_of(part), d.pcclUint8, in_place=True, root=root))
        return self._move_all(moves, opts)

    @collective
    def allgather(self, output_tensors: Any, input_tensors: Any, opts: Any = None, timeout: Any = None) -> Work:
        if isinstance(input_tensors, torch.Tensor):
            output_tensors, input_tensors = [output_tensors], [input_tensors]
        source, outputs = one_of(input_tensors, "all-gather"), one_of(output_tensors, "all-gather")
        ends: list[Any] = []
        launches = self._gather_into(outputs, source, options_of(c10d.AllgatherOptions, opts, timeout), ends)
        return self._work(launches, outputs, run_all(ends))

    @collective
    def allgather_coalesced(self, output_lists: Any, input_list: Tensors, opts: Any = None) -> Work:
        """output_lists[rank][index]: where what input_list[index] of that rank has comes to."""
        opts = options_of(c10d.AllgatherOptions, opts)
        launches: Launches = []
        ends: list[Any] = []
        if len(output_lists) != self._size or any(len(each) != len(input_list) for each in output_lists):
            raise ValueError(f"an all-gather of {len(input_list)} tensors in a group of {self._size} has as many "
                             "outputs for each rank")
        for index, source in enumerate(input_list):
            launches += self._gather_into([each[index] for each in output_lists], source, opts, ends, False)
        return self._work(launches, [tensor for each in output_lists for tensor in each], run_all(ends))

    def all_gather_single(self, output: Tensor, input: Tensor, opts: Any = None) -> Work:
        return self.all_gather_single_coalesced([output], [input], opts)

    @collective
    def all_gather_single_coalesced(self, outputs: Tensors, inputs: Tensors, opts: Any = None) -> Work:
        opts = options_of(c10d.AllgatherOptions, opts)
        launches: Launches = []
        ends: list[Any] = []
        for output, source in zip(outputs, inputs, strict=True):
            if output.dtype != source.dtype:
                raise ValueError(f"an all-gather's output is of {output.dtype}, its input of {source.dtype}")
            whole = dense(output)
            launches += self._gather_bytes(whole, dense(source), opts, len(outputs) == 1)
            if whole is not output:
                ends.append(functools.partial(output.copy_, whole))
        return self._work(launches, outputs, run_all(ends))

    _allgather_base = all_gather_single
    allgather_into_tensor_coalesced = all_gather_single_coalesced

    # ---- reduce-scatter

    def _scatter_sum(self, output: Tensor, whole: Tensor, opts: Any, ends: list[Any], is_alone: bool = True
                     ) -> Launches:
        """`whole` is dense."""
        if output.dtype != whole.dtype or whole.numel() != output.numel() * self._size:
            raise ValueError(f"a reduce-scatter to {output.numel()} elements of {output.dtype} of {self._size} ranks "
                             f"has {output.numel() * self._size} inputs, not {whole.numel()} of {whole.dtype}")
        reduction = reduction_of(opts.reduceOp, whole)
        if reduction.gather is not None:
            parts = whole.new_empty((self._size, self._size, output.numel()))
            ends.append(lambda: output.copy_(functools.reduce(reduction.gather, parts[:, self._rank].unbind(0)).view(
                output.shape)))
            return self._gather_bytes(parts, whole, opts, is_alone)
        if reduction.factor is not None:
            whole = whole.detach() * reduction.factor
        part = dense_output(output, ends)
        if self._size == 1:
            part.detach().view(-1).copy_(whole.detach().reshape(-1))
        return [] if self._size == 1 else [self._move(Move(
            "pcclReduceScatter", whole, part, part.numel() * reduction.parts, bytes_of(part), reduction.datatype,
            source_rows=self._size, op=reduction.op), opts, is_alone)]

    def _scatter_uneven_sum(self, output: Tensor, parts: Tensors, opts: Any, ends: list[Any]) -> Launches:
        """Each part is a reduce to who gets it."""
        reduction = reduction_of(opts.reduceOp, output)
        if reduction.gather is not None:
            whole, first = joined(parts), sum(part.numel() for part in parts[:self._rank])
            everybodys = whole.new_empty((self._size, whole.numel()))
            mine = everybodys[:, first:first + output.numel()]
            ends.append(lambda: output.copy_(functools.reduce(reduction.gather, mine.unbind(0)).view(output.shape)))
            return self._gather_bytes(everybodys, whole, opts)
        result = dense_output(output, ends)
        moves: list[Move] = []
        for root, part in enumerate(parts):
            source = dense(part) if reduction.factor is None else dense(part).detach() * reduction.factor
            moves.append(Move("pcclReduce", source, result if root == self._rank else None,
                              source.numel() * reduction.parts, bytes_of(source), reduction.datatype, op=reduction.op,
                              root=root))
        return self._move_all(moves, opts)

    @collective
    def reduce_scatter(self, output_tensors: Any, input_tensors: Any, opts: Any = None, timeout: Any = None) -> Work:
        if isinstance(output_tensors, torch.Tensor):
            output_tensors, input_tensors = [output_tensors], [input_tensors]
        output, parts = one_of(output_tensors, "reduce-scatter"), one_of(input_tensors, "reduce-scatter")
        if len(parts) != self._size or parts[self._rank].numel() != output.numel():
            raise ValueError(f"a reduce-scatter in a group of {self._size} has as many inputs, each as the output of "
                             "its rank")
        if any(part.dtype != output.dtype for part in parts):
            raise ValueError(f"a reduce-scatter's inputs are of {output.dtype}, as its output")
        opts = options_of(c10d.ReduceScatterOptions, opts, timeout)
        ends: list[Any] = []
        launches = (self._scatter_sum(output, joined(parts), opts, ends) if have_one_size(parts) else
                    self._scatter_uneven_sum(output, parts, opts, ends))
        return self._work(launches, [output], run_all(ends))

    def reduce_scatter_single(self, output: Tensor, input: Tensor, opts: Any = None) -> Work:
        return self.reduce_scatter_single_coalesced([output], [input], opts)

    @collective
    def reduce_scatter_single_coalesced(self, outputs: Tensors, inputs: Tensors, opts: Any = None) -> Work:
        opts = options_of(c10d.ReduceScatterOptions, opts)
        launches: Launches = []
        ends: list[Any] = []
        for output, source in zip(outputs, inputs, strict=True):
            launches += self._scatter_sum(output, dense(source), opts, ends, len(outputs) == 1)
        return self._work(launches, outputs, run_all(ends))

    _reduce_scatter_base = reduce_scatter_single
    reduce_scatter_tensor_coalesced = reduce_scatter_single_coalesced

    # ---- barriers

    def _barrier(self, opts: Any) -> Work:
        return self._work([] if self._size == 1 else [self._launch(
            "pcclBarrier", (), 0, d.pcclUint8, None, timeout_ms=milliseconds(opts.timeout), stays=not opts.asyncOp)],
            ())

    @collective
    def barrier(self, opts: Any = None, timeout: Any = None) -> Work:
        return self._barrier(options_of(c10d.BarrierOptions, opts, timeout))

    @collective
    def monitored_barrier(self, timeout: Any = None, wait_all_ranks: bool = False) -> None:
        """A barrier whose CollectiveTimeoutError names all ranks that had not come, on every rank that had."""
        opts = options_of(c10d.BarrierOptions, None, timeout)
        opts.asyncOp = False
        self._barrier(opts).wait()


def run_all(ends: list[Any]) -> Any:
    if len(ends) < 2:
        return ends[0] if ends else None

    def run() -> None:
        for end in ends:
            end()

    return run
