"""The collectives with every choice there is: all-reduce, broadcast, reduce-scatter, all-gather, barrier, reduce,
gather, scatter, all-to-all, and send and receive.
include/pccl/pccl.h is the manual of what lies below; docs/CODECS.md that of codecs."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import functools
from collections.abc import Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

from . import _declarations as d
from ._awaiting import watch
from ._calls import SLICE_MS, Call, InFlight, Life
from ._library import lib
from .buffers import Buffer, buffer_of, check_host, pair_of
from .errors import InvalidUsageError, PCCLError, Result
from .settings import FailurePolicy, Input, Overflow, Plan, Rounding, Zstd, number
from .types import Attribute, DataType, QuantizationAlgorithm, ReduceOp, whole_number

if TYPE_CHECKING:
    from typing_extensions import Unpack


class CodecChoices(TypedDict, total=False):
    """How elements of an all-reduce travel; default plain. zstd: default the communicator's."""

    codec: QuantizationAlgorithm | str
    codec_down: QuantizationAlgorithm | str
    codec_datatype: DataType | str
    codec_block: int
    rounding: Rounding | str
    codec_overflow: Overflow | str
    zstd: Zstd | str


class Choices(CodecChoices, total=False):
    """Keyword arguments that all operations take; those of CodecChoices, too.

    tag: names the operation; at most one in flight per tag; default 0. timeout_ms: default the communicator's.
    plan, failure_policy: default the communicator's. residual: error feedback, floats (doubles for float64) as many as
    there are elements, at first 0; it belongs to the operation until that has been awaited. input: what becomes of the
    input if the operation fails. epoch: of the view that it is of; default any. stay_ms: the call returns when the
    operation has ended, or so much later; functions without _async stay anyway."""

    tag: int
    timeout_ms: int
    plan: Plan | str
    failure_policy: FailurePolicy | str
    input: Input | str
    epoch: int
    stay_ms: int
    residual: Any


_WORDS = {"plan": d.pcclEnumPlan, "failure_policy": d.pcclEnumFailurePolicy, "codec": d.pcclEnumCodec,
          "codec_down": d.pcclEnumCodec, "codec_datatype": d.pcclEnumDataType, "rounding": d.pcclEnumRounding,
          "codec_overflow": d.pcclEnumOverflow, "zstd": d.pcclEnumZstd, "input": d.pcclEnumInput}
_NUMBERS = {"tag": 2**64, "timeout_ms": 2**32, "codec_block": 2**32, "root": 2**32, "epoch": 2**32,
            "stay_ms": 2**32}
_OPERATION_BYTES = ctypes.sizeof(d.pcclOperation_t)
_INFO_BYTES = ctypes.sizeof(d.pcclOperationInfo_t)
_SUCCESS = d.pcclSuccess
_PLANS = {plan.value: plan for plan in Plan}


class OperationInfo(NamedTuple):
    """What became of an operation: the view it ended in; fewest and most peers that any element has contributions of
    (they differ only after a repair); payload bytes of this peer; the plan it was done by."""

    epoch: int
    participants_min: int
    participants_max: int
    tx_bytes: int
    rx_bytes: int
    plan: Plan


class Handle(InFlight):
    """An operation in flight. Any thread may wait(), any number of them, any number of times; in asyncio, `await
    handle` does. Ctrl-C in wait() leaves the operation in flight. Who lets go of a handle leaves it so, too: its tag
    is taken and its buffers are kept alive until it has ended and a joint call is made (update_topology(),
    pccl.state.sync()) or another operation of the tag, or until the communicator is closed."""

    __slots__ = ("_communicator", "_name", "_buffers", "_info", "_outcome", "__weakref__")
    _outcome: tuple[int, str, OperationInfo]  # when it has ended

    def __init__(self, communicator: Any, handle: d.pcclHandle_t, name: str, buffers: tuple[Buffer, ...]) -> None:
        super().__init__(communicator._life, handle)
        self._communicator = communicator  # as long as somebody has the handle
        self._name = name
        self._buffers = buffers
        self._info = d.pcclOperationInfo_t(size=_INFO_BYTES)

    def __del__(self) -> None:
        if hasattr(self, "_info"):
            self._let_go()

    def _awaiting(self) -> Iterator[int]:
        return map(lib.pcclAwait, (self._handle,), (self._info,))

    def _held(self) -> Any:
        return self._buffers

    def _note(self, status: int, cause: str) -> None:
        self._outcome = status, cause, _told(self._info)
        self._buffers = ()

    def wait(self) -> OperationInfo:
        """Blocks until the operation has ended, with the GIL released. A failure is raised, each time anew."""
        return self._wait(False)

    def _wait_or_abort(self) -> OperationInfo:
        return self._wait(True)

    def _wait(self, aborts: bool) -> OperationInfo:
        self._finish(aborts)
        status, cause, info = self._outcome
        PCCLError.check(status, self._name, cause)
        return info

    def __await__(self) -> Generator[Any, None, OperationInfo]:
        return self._await().__await__()

    async def _await(self) -> OperationInfo:
        loop = asyncio.get_running_loop()
        ended = loop.create_future()

        def tell() -> None:
            if not ended.done():
                ended.set_result(None)

        def wake() -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(tell)

        if not self._has_ended:
            watch(self, wake)
            await ended
        return self.wait()


def _operation(count: int, datatype: DataType, op: ReduceOp | str, choices: Choices, root: int = 0
               ) -> tuple[d.pcclOperation_t, tuple[Buffer, ...]]:
    kind = op._value_ if type(op) is ReduceOp else number(d.pcclEnumRedOp, op)
    made = d.pcclOperation_t(_OPERATION_BYTES, count, datatype._value_, kind)
    buffers: tuple[Buffer, ...] = ()
    if root != 0:
        choices = {**choices, "root": root}  # type: ignore[typeddict-unknown-key]
    for name, value in choices.items():
        if name == "residual":
            if value is None:
                continue
            residual = buffer_of(value, writable=True)
            check_host(residual)
            wanted = DataType.DOUBLE if datatype is DataType.DOUBLE else DataType.FLOAT
            if residual.datatype is not wanted or residual.count != count:
                raise ValueError(f"the residual has {residual.count} elements of {residual.datatype.name}, the "
                                 f"operation needs {count} of {wanted.name}")
            made.residual = residual.pointer
            buffers = (residual,)
        else:
            setattr(made, name, choice_number(name, value))
    return made, buffers


def choice_number(name: str, value: Any) -> int:
    """What pcclOperation_t has for a choice."""
    limit = _NUMBERS.get(name)
    if limit is None:
        if name in _WORDS:
            return number(_WORDS[name], value)
        raise TypeError(f"an operation has no '{name}'; it has {', '.join([*_WORDS, *_NUMBERS, 'residual'])}")
    return whole_number(name, value, limit)


class _Call(Call):
    __slots__ = ("operation",)

    def __init__(self) -> None:
        super().__init__(d.pcclOperationInfo_t)
        self.info.size = _INFO_BYTES
        self.operation = self.staying(d.pcclOperation_t(_OPERATION_BYTES))

    def staying(self, operation: d.pcclOperation_t) -> d.pcclOperation_t:
        """The thread that launches moves the data itself, as in a call of C that blocks; a signal may wait so long."""
        operation.stay_ms = operation.stay_ms or SLICE_MS
        operation.info = ctypes.addressof(self.info)
        return operation

    def describe(self, count: int, datatype: DataType, op: ReduceOp | str) -> None:
        self.operation.count = count
        self.operation.datatype = datatype._value_
        self.operation.op = number(d.pcclEnumRedOp, op)
        self.what = count, datatype, op

    def look(self) -> None:
        super().look()
        self.told = _told(self.info)


def _told(info: d.pcclOperationInfo_t) -> OperationInfo:
    return OperationInfo(info.epoch, info.participants_min, info.participants_max, info.tx_bytes, info.rx_bytes,
                         _PLANS[info.plan])


_spare: list[_Call] = []
_LAUNCHES: dict[str, Any] = {f"pccl{name}": getattr(lib, f"pccl{name}Async") for name in (
    "AllReduceWith", "Broadcast", "ReduceScatter", "AllGather", "Reduce", "Gather", "Scatter", "AllToAll", "Send",
    "Recv", "Barrier")}
_What = tuple[int, DataType, "ReduceOp | str"]  # number of elements, their type, what becomes of them
# The library's function, its first arguments, buffers to keep alive, what it is, root, members that buffers have parts
# for; 0: they have none.
_Request = tuple[str, tuple[Any, ...], tuple[Buffer, ...], _What, int, int]
_BARRIER: _Request = ("pcclBarrier", (), (), (0, DataType.UINT8, ReduceOp.SUM), 0, 0)


def _broadcast(recv: Any, send: Any | None, root: int) -> _Request:
    left, right = pair_of(recv if send is None else send, recv)
    return ("pcclBroadcast", (left.pointer, right.pointer), (left, right), (right.count, right.datatype, ReduceOp.SUM),
            root, 0)


def _transfer(name: str, value: Any, rank: int) -> _Request:
    buffer = buffer_of(value, writable=name == "pcclRecv")
    check_host(buffer)
    if not 0 <= rank < 2**32:
        raise ValueError(f"{rank} is no rank")
    return name, (buffer.pointer, rank), (buffer,), (buffer.count, buffer.datatype, ReduceOp.SUM), 0, 0


class Operations:
    """The part of a Communicator that launches operations.

    Buffers are NumPy arrays, torch tensors on the host, or whatever has DLPack or the buffer protocol; nothing is
    copied, so they must be contiguous, and outputs writable: ValueError says what is wrong. They belong to the library
    until the operation has been awaited. All members make the same calls, in any order, told apart by `tag`. Failures
    raise a class of pccl.errors: RankConnectionLostError if a member was lost (the input is as it was),
    MismatchError if members disagree, OperationTimeoutError, AbortedError, EvictedError, TooFewPeersError alone.

    Ctrl-C in a call that waits aborts the communicator, so that nothing is written into the buffers any more."""

    _life: Life

    @property
    def _comm(self) -> ctypes.c_void_p:
        return self._life.comm

    @property
    def world_size(self) -> int:
        raise NotImplementedError

    @property
    def rank(self) -> int:
        raise NotImplementedError

    def get_attribute(self, attribute: Attribute) -> int:
        raise NotImplementedError

    def _launch_for(self, world: int, name: str) -> Any:
        """The library's function. world: how many members the buffers have parts for; if more have been let in since
        that was looked at, it launches nothing, and InvalidUsageError says so. 0: they have none."""
        launch = _LAUNCHES[name]
        if world == 0:
            return launch

        def look(*arguments: Any) -> int:
            now = self.get_attribute(Attribute.LOCAL_WORLD_SIZE)
            if now > world:
                raise InvalidUsageError(Result.INVALID_USAGE, name, f"the group has {now} members now, the buffers are "
                                        f"for {world}: another thread has let others in")
            return int(self._life.call(launch, *arguments))

        return functools.partial(self._life.doors.keep, look)

    def _launch(self, name: str, pointers: tuple[Any, ...], operation: d.pcclOperation_t, buffers: tuple[Buffer, ...],
                world: int = 0) -> Handle:
        handle = d.pcclHandle_t()
        try:
            self._hold_and_check(buffers, name, self._launch_for(world, name), *pointers, operation, self._comm, handle)
        except PCCLError:
            raise
        except BaseException:  # of a signal handler: nobody will have the handle
            is_lent = operation.stay_ms and handle.comm
            while is_lent:
                try:
                    self._life.abandon(handle, buffers)
                    is_lent = False
                except BaseException:
                    pass
            raise
        return Handle(self, handle, name, buffers)

    def _hold_and_check(self, buffers: tuple[Buffer, ...], name: str, launch: Any, *arguments: Any) -> None:
        self._life.hold(buffers)
        try:
            status = self._life.call(launch, *arguments)
            if status != _SUCCESS and self._life.repeats(status):
                status = self._life.call(launch, *arguments)
            PCCLError.check(status, name)
        except PCCLError:  # nothing else: the operation may have been launched
            self._life.forget(buffers)
            raise

    def _start(self, choices: Choices, name: str, pointers: tuple[Any, ...], buffers: tuple[Buffer, ...], what: _What,
               root: int = 0, world: int = 0) -> Handle:
        operation, more = _operation(*what, choices, root)
        return self._launch(name, pointers, operation, buffers + more, world)

    def _run(self, choices: Choices, name: str, pointers: tuple[Any, ...], buffers: tuple[Buffer, ...], what: _What,
             root: int = 0, world: int = 0) -> OperationInfo:
        """_start(), and waits for it: by one call of the library, if that takes no longer than a slice."""
        try:
            call = _spare.pop()
        except IndexError:
            call = _Call()
        operation = call.operation
        if choices or root:
            operation, more = _operation(*what, choices, root)
            call.staying(operation)
            buffers += more
        elif call.what != what:
            call.describe(*what)
        life = self._life
        launch = _LAUNCHES[name] if world == 0 else self._launch_for(world, name)
        status = life.stay(call, launch, (*pointers, operation, life._comm, call.handle), buffers)
        if status != _SUCCESS:
            PCCLError.check(status, name)
        if call.memory != call.seen:
            call.look()
        info: OperationInfo = call.told
        _spare.append(call)
        return info

    def all_reduce_with_async(self, send: Any, recv: Any | None = None, *, op: ReduceOp | str = ReduceOp.SUM,
                              **choices: Unpack[Choices]) -> Handle:
        """recv = the reduction of all members' send, alike in type and size. Without recv: in place."""
        left, right = pair_of(send, send if recv is None else recv)
        return self._start(choices, "pcclAllReduceWith", (left.pointer, right.pointer), (left, right),
                           (right.count, right.datatype, op))

    def all_reduce_with(self, send: Any, recv: Any | None = None, *, op: ReduceOp | str = ReduceOp.SUM,
                        **choices: Unpack[Choices]) -> OperationInfo:
        """all_reduce_with_async(), and waits for it."""
        left, right = pair_of(send, send if recv is None else recv)
        return self._run(choices, "pcclAllReduceWith", (left.pointer, right.pointer), (left, right),
                         (right.count, right.datatype, op))

    def broadcast_async(self, recv: Any, send: Any | None = None, *, root: int = 0,
                        **choices: Unpack[Choices]) -> Handle:
        """Every member's recv = the send of the member that has rank `root` now. Without send: the root's recv."""
        return self._start(choices, *_broadcast(recv, send, root))

    def broadcast(self, recv: Any, send: Any | None = None, *, root: int = 0,
                  **choices: Unpack[Choices]) -> OperationInfo:
        """broadcast_async(), and waits for it."""
        return self._run(choices, *_broadcast(recv, send, root))

    def _ranked(self, part: Buffer, whole: Buffer) -> int:
        """How many members the whole has parts of."""
        check_host(part, whole)
        if part.datatype is not whole.datatype:
            raise ValueError(f"send and recv are of {part.datatype.name} and {whole.datatype.name}")
        world = self.world_size  # once: it may change meanwhile
        wanted = part.count * world
        if whole.count != wanted:
            raise ValueError(f"a world of {world} with {part.count} elements each has {wanted}, "
                             f"not {whole.count}")
        return world

    def _reduce_scatter(self, send: Any, recv: Any, op: ReduceOp | str) -> _Request:
        left, right = buffer_of(send, writable=False), buffer_of(recv, writable=True)
        world = self._ranked(right, left)
        return ("pcclReduceScatter", (left.pointer, right.pointer), (left, right), (right.count, right.datatype, op), 0,
                world)

    def reduce_scatter_async(self, send: Any, recv: Any, *, op: ReduceOp | str = ReduceOp.SUM,
                             **choices: Unpack[Choices]) -> Handle:
        """Rank r's recv = the reduction of part r of all members' send, which has world_size parts as large as recv."""
        return self._start(choices, *self._reduce_scatter(send, recv, op))

    def reduce_scatter(self, send: Any, recv: Any, *, op: ReduceOp | str = ReduceOp.SUM,
                       **choices: Unpack[Choices]) -> OperationInfo:
        """reduce_scatter_async(), and waits for it."""
        return self._run(choices, *self._reduce_scatter(send, recv, op))

    def _all_gather(self, send: Any, recv: Any) -> _Request:
        left, right = buffer_of(send, writable=False), buffer_of(recv, writable=True)
        world = self._ranked(left, right)
        return ("pcclAllGather", (left.pointer, right.pointer), (left, right),
                (left.count, left.datatype, ReduceOp.SUM), 0, world)

    def all_gather_async(self, send: Any, recv: Any, **choices: Unpack[Choices]) -> Handle:
        """recv, world_size times as large as send = the members' send one after the other in rank order."""
        return self._start(choices, *self._all_gather(send, recv))

    def all_gather(self, send: Any, recv: Any, **choices: Unpack[Choices]) -> OperationInfo:
        """all_gather_async(), and waits for it."""
        return self._run(choices, *self._all_gather(send, recv))

    def _reduce(self, send: Any, recv: Any | None, root: int, op: ReduceOp | str) -> _Request:
        if self.rank == root:
            left, right = pair_of(send, send if recv is None else recv)
            pointers, buffers = (left.pointer, right.pointer), (left, right)
        else:
            left = buffer_of(send, writable=False)
            check_host(left)
            pointers, buffers = (left.pointer, 0), (left, left)
        return "pcclReduce", pointers, buffers, (left.count, left.datatype, op), root, 0

    def reduce_async(self, send: Any, recv: Any | None = None, *, root: int = 0, op: ReduceOp | str = ReduceOp.SUM,
                     **choices: Unpack[Choices]) -> Handle:
        """The recv of the member that has rank `root` now = the reduction of all members' send. Only the root needs a
        recv; without one there: in place."""
        return self._start(choices, *self._reduce(send, recv, root, op))

    def reduce(self, send: Any, recv: Any | None = None, *, root: int = 0, op: ReduceOp | str = ReduceOp.SUM,
               **choices: Unpack[Choices]) -> OperationInfo:
        """reduce_async(), and waits for it."""
        return self._run(choices, *self._reduce(send, recv, root, op))

    @staticmethod
    def _counts(world: int, counts: Sequence[int] | None, whole: Buffer, what: str) -> Any:
        """For each member, of a buffer that holds all their parts."""
        if counts is None:
            if whole.count % world != 0:
                raise ValueError(f"{whole.count} elements are not the same for each of {world} members: say {what}")
            return None
        if len(counts) != world or sum(counts) != whole.count or min(counts) < 0:
            raise ValueError(f"{what} are {world} numbers of elements that add up to {whole.count}, not {counts}")
        return (ctypes.c_size_t * world)(*counts)

    def _rooted(self, name: str, part: Any, whole: Any | None, counts: Sequence[int] | None, root: int) -> _Request:
        """A gather or scatter: of the parts of all, which the root has or gets, and this member's own."""
        gathers = name == "pcclGather"
        own = buffer_of(part, writable=not gathers)
        check_host(own)
        pointers: tuple[Any, ...] = (own.pointer, 0) if gathers else (0, own.pointer)
        sizes, world = None, 0
        buffers: tuple[Buffer, ...] = (own,)
        if self.rank == root:
            if whole is None:
                raise ValueError(f"the root needs a {'recv' if gathers else 'send'} for the parts of all members")
            everything = buffer_of(whole, writable=gathers)
            check_host(everything)
            world = self.world_size
            sizes = self._counts(world, counts, everything, "counts")
            mine = everything.count // world if sizes is None else sizes[root]
            if everything.datatype is not own.datatype or mine != own.count:
                raise ValueError(f"the root's part has {own.count} elements of {own.datatype.name}, not {mine} of "
                                 f"{everything.datatype.name}")
            pointers = (own.pointer, everything.pointer) if gathers else (everything.pointer, own.pointer)
            buffers = (own, everything)
        return name, (*pointers, sizes), buffers, (own.count, own.datatype, ReduceOp.SUM), root, world

    def gather_async(self, send: Any, recv: Any | None = None, *, counts: Sequence[int] | None = None, root: int = 0,
                     **choices: Unpack[Choices]) -> Handle:
        """The root's recv = the members' send one after the other in rank order. Sends may differ in size: then the
        root says `counts`, one of each member. Only the root needs recv."""
        return self._start(choices, *self._rooted("pcclGather", send, recv, counts, root))

    def gather(self, send: Any, recv: Any | None = None, *, counts: Sequence[int] | None = None, root: int = 0,
               **choices: Unpack[Choices]) -> OperationInfo:
        """gather_async(), and waits for it."""
        return self._run(choices, *self._rooted("pcclGather", send, recv, counts, root))

    def scatter_async(self, recv: Any, send: Any | None = None, *, counts: Sequence[int] | None = None, root: int = 0,
                      **choices: Unpack[Choices]) -> Handle:
        """Every member's recv = its part of the root's send. Parts may differ in size: then the root says `counts`, one
        of each member. Only the root needs send."""
        return self._start(choices, *self._rooted("pcclScatter", recv, send, counts, root))

    def scatter(self, recv: Any, send: Any | None = None, *, counts: Sequence[int] | None = None, root: int = 0,
                **choices: Unpack[Choices]) -> OperationInfo:
        """scatter_async(), and waits for it."""
        return self._run(choices, *self._rooted("pcclScatter", recv, send, counts, root))

    def _all_to_all(self, send: Any, recv: Any, send_counts: Sequence[int] | None, recv_counts: Sequence[int] | None
                    ) -> _Request:
        left, right = buffer_of(send, writable=False), buffer_of(recv, writable=True)
        check_host(left, right)
        if left.datatype is not right.datatype:
            raise ValueError(f"send and recv are of {left.datatype.name} and {right.datatype.name}")
        world = self.world_size
        sends = self._counts(world, send_counts, left, "send_counts")
        receives = self._counts(world, recv_counts, right, "recv_counts")
        if sends is None and receives is None and left.count != right.count:
            raise ValueError(f"send has {left.count} elements, recv {right.count}: say send_counts and recv_counts")
        if sends is None and receives is not None:
            sends = (ctypes.c_size_t * world)(*[left.count // world] * world)
        return ("pcclAllToAll", (left.pointer, right.pointer, sends, receives), (left, right),
                (right.count // world, right.datatype, ReduceOp.SUM), 0, world)

    def all_to_all_async(self, send: Any, recv: Any, *, send_counts: Sequence[int] | None = None,
                         recv_counts: Sequence[int] | None = None, **choices: Unpack[Choices]) -> Handle:
        """Part r of send goes to rank r, part r of recv comes from there. Parts that differ in size have counts, one of
        each member: what one sends to another, that one must expect, or all get MismatchError."""
        return self._start(choices, *self._all_to_all(send, recv, send_counts, recv_counts))

    def all_to_all(self, send: Any, recv: Any, *, send_counts: Sequence[int] | None = None,
                   recv_counts: Sequence[int] | None = None, **choices: Unpack[Choices]) -> OperationInfo:
        """all_to_all_async(), and waits for it."""
        return self._run(choices, *self._all_to_all(send, recv, send_counts, recv_counts))

    def send_async(self, buffer: Any, rank: int, **choices: Unpack[Choices]) -> Handle:
        """To the member that has this rank now, which receives as much of the same type under the same tag. No other
        member has to do with it; a tag is each sender's and receiver's own."""
        return self._start(choices, *_transfer("pcclSend", buffer, rank))

    def send(self, buffer: Any, rank: int, **choices: Unpack[Choices]) -> OperationInfo:
        """send_async(), and waits until the other one has everything."""
        return self._run(choices, *_transfer("pcclSend", buffer, rank))

    def recv_async(self, buffer: Any, rank: int, **choices: Unpack[Choices]) -> Handle:
        """From the member that has this rank now: see send_async()."""
        return self._start(choices, *_transfer("pcclRecv", buffer, rank))

    def recv(self, buffer: Any, rank: int, **choices: Unpack[Choices]) -> OperationInfo:
        """recv_async(), and waits for it."""
        return self._run(choices, *_transfer("pcclRecv", buffer, rank))

    def barrier_async(self, **choices: Unpack[Choices]) -> Handle:
        """Ends when every member has called it. Only tag, timeout_ms and failure_policy count."""
        return self._start(choices, *_BARRIER)

    def barrier(self, **choices: Unpack[Choices]) -> None:
        """barrier_async(), and waits for it."""
        self._run(choices, *_BARRIER)
