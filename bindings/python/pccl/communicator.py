"""A communicator: joins a peer group, reduces with it."""

from __future__ import annotations

import ctypes
import time
import uuid
import weakref
from collections.abc import Iterator, Sequence
from typing import Any

from . import _addresses
from . import _declarations as d
from ._calls import SLICE_MS, Call, InFlight, Life, blocking
from ._library import lib
from .buffers import Buffer, pair_of
from .errors import InvalidUsageError, MasterConnectionFailedError, PCCLError, Result
from .operations import Operations
from .settings import Settings, number
from .shared_state import SharedState
from .types import (Attribute, DataType, QuantizationOptions, ReduceDescriptor, ReduceInfo, ReduceOp,
                    ReduceOperandDescriptor, SharedStateSyncInfo, SharedStateSyncStrategy, no_quantization,
                    whole_number)


class ReduceOpDescriptor:
    """One all-reduce of Communicator.all_reduce_multiple_with_retry()."""

    def __init__(self, sendbuf_ptr: int, recvbuf_ptr: int, reduce_descriptor: ReduceDescriptor) -> None:
        self.sendbuf_ptr = sendbuf_ptr
        self.recvbuf_ptr = recvbuf_ptr
        self.reduce_descriptor = reduce_descriptor
        self._owners: tuple[Any, ...] = ()

    @classmethod
    def of(cls, send: Any, recv: Any, reduce_descriptor: ReduceDescriptor) -> ReduceOpDescriptor:
        """Of two torch tensors, NumPy arrays or buffers, which it keeps alive."""
        left, right = pair_of(send, recv)
        if left.count != reduce_descriptor.count:
            raise ValueError(f"the tensors have {left.count} elements, the descriptor says {reduce_descriptor.count}")
        made = cls(left.pointer, right.pointer, reduce_descriptor)
        made._owners = (left.owner, right.owner)
        return made

    from_torch = of
    from_numpy = of

    def to_c(self) -> d.pcclReduceOpDescriptor_t:
        return d.pcclReduceOpDescriptor_t(self.sendbuf_ptr, self.recvbuf_ptr, self.reduce_descriptor.to_c())


def _info_of(info: d.pcclReduceInfo_t) -> ReduceInfo:
    return ReduceInfo(info.local_world_size, info.tx_bytes, info.rx_bytes)


class _Call(Call):
    __slots__ = ("handle_of_1_0", "descriptor")

    def __init__(self) -> None:
        super().__init__(d.pcclReduceInfo_t)
        self.handle_of_1_0 = d.pcclAsyncReduceOp_t.from_buffer(self.handle)  # it begins as that
        self.end = (lib.pcclAwaitAsyncReduce, self.handle_of_1_0, self.info)
        self.descriptor = d.pcclReduceDescriptor_t(quantization_options=no_quantization().to_c())

    def describe(self, count: int, datatype: DataType, op: ReduceOp | str, tag: int) -> None:
        self.descriptor.tag = whole_number("tag", tag, 2**64)
        self.descriptor.count = count
        self.descriptor.src_descriptor.datatype = datatype.value
        self.descriptor.op = number(d.pcclEnumRedOp, op)
        self.what = count, datatype, op, tag

    def look(self) -> None:
        super().look()
        self.told = _info_of(self.info)


_spare: list[_Call] = []


class AsyncReduceHandle(InFlight):
    """An all-reduce in flight. Its tensors are kept alive until it was awaited, or its communicator is closed; if
    nobody has the handle any more, until it has ended and a joint call is made, or another operation of its tag."""

    _outcome: tuple[bool, int, ReduceInfo]  # when it has ended

    def __init__(self, communicator: Communicator, handle: d.pcclAsyncReduceOp_t, buffers: tuple[Buffer, ...]) -> None:
        super().__init__(communicator._life, d.pcclHandle_t(handle.comm, handle.tag, 0))  # 0: any launch
        self._communicator = communicator  # as long as somebody has the handle
        self._handle_of_1_0 = handle
        self._buffers = buffers
        self._info = d.pcclReduceInfo_t()
        self._cause = ""

    def __del__(self) -> None:
        if hasattr(self, "_buffers"):
            self._let_go()

    def _awaiting(self) -> Iterator[int]:
        return map(lib.pcclAwaitAsyncReduce, (self._handle_of_1_0,), (self._info,))

    def _held(self) -> Any:
        return self._buffers

    def _note(self, status: int, cause: str) -> None:
        self._outcome = status == d.pcclSuccess, status, _info_of(self._info)
        self._cause = cause
        self._buffers = ()

    def wait(self) -> tuple[bool, int, ReduceInfo]:
        """Blocks until it has ended: success, the result's number, what became of it. The same when asked again."""
        self._finish()
        return self._outcome

    def result(self) -> ReduceInfo:
        """wait(), but a failure is raised."""
        _, status, info = self.wait()
        PCCLError.check(status, "pcclAllReduce", self._cause)
        return info


class Communicator(Operations):
    """A peer of a group. `with` connects it, if it is not connected yet, and closes it; `del` closes it, too.

    address: "host:port" of a master; None: settings.masters or PCCL_MASTERS say where masters are. peer_group: only
    peers of the same number reduce with each other. settings: all further choices; without them the communicator
    behaves as those of PCCL 1.0 do (docs/PCCL-1.0.md)."""

    def __init__(self, address: str | None = None, peer_group: int = 0, p2p_connection_pool_size: int = 0, *,
                 settings: Settings | None = None) -> None:
        for name, value in (("peer_group", peer_group), ("p2p_connection_pool_size", p2p_connection_pool_size)):
            if not 0 <= value < 2**32:
                raise ValueError(f"{name} is a number from 0 to {2**32 - 1}, not {value}")
        self._life = Life()
        params = d.pcclCommCreateParams_t(peer_group=peer_group, p2p_connection_pool_size=p2p_connection_pool_size)
        if address is not None:
            params.master_address = _addresses.to_c(*_addresses.split(address))
        if settings is None:
            PCCLError.check(lib.pcclCreateCommunicator(params, self._comm), "pcclCreateCommunicator")
        else:
            PCCLError.check(lib.pcclCreateCommunicatorWithConfig(params, settings.to_c(), self._comm),
                            "pcclCreateCommunicatorWithConfig")
        self._connected = False
        self._lent: object = None  # what the library reads, and fills: kept alive here
        self._prefetched: object = None
        weakref.finalize(self, self._life.end)

    # ---- life

    def connect(self, n_attempts: int = 5) -> None:
        """Joins: blocks until the group admits this peer. Tries so many times, a second apart, to reach a master."""
        if n_attempts < 1:
            raise ValueError(f"n_attempts is {n_attempts}: at least one")
        for attempt in range(n_attempts):
            try:
                blocking(self._life, "pcclConnect", self._comm)
                self._connected = True
                return
            except MasterConnectionFailedError:
                if attempt + 1 >= n_attempts:
                    raise
            time.sleep(1)

    def abort(self) -> None:
        """Frees every call that is blocked on this communicator, in any thread; only close() is left then."""
        self._ask("pcclCommAbort")

    def close(self) -> None:
        """Leaves the group and frees everything. Trainers end, and so does what is in flight, with AbortedError, also
        where other threads wait for it. Repeatable; what else is called then raises InvalidUsageError."""
        self._life.end()

    def __enter__(self) -> Communicator:
        if not self._connected:
            self.connect()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- the world

    def _ask(self, name: str, *arguments: Any) -> None:
        """A function of the library that does not wait."""
        PCCLError.check(self._life.call(getattr(lib, name), self._comm, *arguments), name)

    def get_attribute(self, attribute: Attribute) -> int:
        value = ctypes.c_int()
        self._ask("pcclGetAttribute", attribute.value, value)
        return value.value

    @property
    def rank(self) -> int:
        """This peer's place in the group; changes when members leave."""
        value = ctypes.c_uint32()
        self._ask("pcclGetRank", value)
        return value.value

    @property
    def epoch(self) -> int:
        """The number of the view in force; it only grows."""
        value = ctypes.c_uint64()
        self._ask("pcclGetEpoch", value)
        return value.value

    @property
    def uuid(self) -> uuid.UUID:
        """This peer's identity, new with every communicator."""
        value = d.pcclRankUuid_t()
        self._ask("pcclGetUuid", value)
        return uuid.UUID(bytes=bytes(value.data))

    @property
    def world_size(self) -> int:
        """Members of the group."""
        return self.get_attribute(Attribute.LOCAL_WORLD_SIZE)

    def update_topology(self) -> None:
        """A joint call of all members: lets in whoever waits. What has a part for each member, and is launched by other
        threads meanwhile, is launched after it."""
        doors = self._life.doors
        if doors.are_kept_here():
            raise InvalidUsageError(Result.INVALID_USAGE, "pcclUpdateTopology", "a signal handler has interrupted the "
                                    "launch of an operation that has a part for each member")
        blocking(self._life, "pcclUpdateTopology", self._comm, by=doors.open)

    def are_peers_pending(self) -> bool:
        """A joint call: does anybody wait to join?"""
        pending = ctypes.c_bool()
        blocking(self._life, "pcclArePeersPending", self._comm, pending)
        return pending.value

    def optimize_topology(self) -> None:
        """A joint call: let the master reconsider the order of the members."""
        blocking(self._life, "pcclOptimizeTopology", self._comm)

    def sync_shared_state(self, shared_state: SharedState, strategy: SharedStateSyncStrategy =
                          SharedStateSyncStrategy.ENFORCE_POPULAR) -> SharedStateSyncInfo:
        """A joint call: makes the tensors the same on all members."""
        info = d.pcclSharedStateSyncInfo_t()
        blocking(self._life, "pcclSynchronizeSharedState", self._comm, shared_state._c, strategy.value, info)
        return SharedStateSyncInfo(info.tx_bytes, info.rx_bytes)

    # ---- all-reduce

    @staticmethod
    def _describe(left: Buffer, op: ReduceOp | str, tag: int, operand: ReduceOperandDescriptor | None,
                  quantization: QuantizationOptions | None) -> d.pcclReduceDescriptor_t:
        operand = operand or ReduceOperandDescriptor(left.datatype)
        if operand.datatype is not left.datatype:
            raise ValueError(f"the tensors are of {left.datatype.name}, the descriptor says {operand.datatype.name}")
        kind = ReduceOp(number(d.pcclEnumRedOp, op))
        return ReduceDescriptor(left.count, kind, tag, operand, quantization or no_quantization()).to_c()

    def all_reduce(self, send: Any, recv: Any, *, op: ReduceOp | str, tag: int = 0,
                   operand_descriptor: ReduceOperandDescriptor | None = None,
                   quantization_options: QuantizationOptions | None = None) -> ReduceInfo:
        """recv = the reduction of all members' send: torch tensors, NumPy arrays or buffers, alike in type and size;
        the same object twice works in place. A failure raises, and send is as it was."""
        left, right = pair_of(send, recv)
        try:
            call = _spare.pop()
        except IndexError:
            call = _Call()
        descriptor, what = call.descriptor, (left.count, left.datatype, op, tag)
        if operand_descriptor or quantization_options:
            descriptor = self._describe(left, op, tag, operand_descriptor, quantization_options)
        elif call.what != what:
            call.describe(*what)
        life = self._life
        status = life.stay(call, lib.pcclAllReduceFor, (left.pointer, right.pointer, descriptor, life._comm, SLICE_MS,
                                                        call.handle_of_1_0, call.info), (left, right))
        if status != d.pcclSuccess:
            PCCLError.check(status, "pcclAllReduce")
        if call.memory != call.seen:
            call.look()
        info: ReduceInfo = call.told
        _spare.append(call)
        return info

    def all_reduce_async(self, send: Any, recv: Any, *, op: ReduceOp | str, tag: int = 0,
                         operand_descriptor: ReduceOperandDescriptor | None = None,
                         quantization_options: QuantizationOptions | None = None) -> AsyncReduceHandle:
        """Starts all_reduce(); tags tell those in flight apart."""
        left, right = pair_of(send, recv)
        descriptor = self._describe(left, op, tag, operand_descriptor, quantization_options)
        handle = d.pcclAsyncReduceOp_t()
        buffers = (left, right)
        self._hold_and_check(buffers, "pcclAllReduce", lib.pcclAllReduceAsync, left.pointer, right.pointer, descriptor,
                             self._comm, handle)
        return AsyncReduceHandle(self, handle, buffers)

    def all_reduce_multiple_with_retry(self, descriptors: Sequence[ReduceOpDescriptor], *,
                                       max_in_flight: int = 4) -> ReduceInfo:
        """All of them, so many at a time; those that fail for lost members are repeated while there are two."""
        max_in_flight = whole_number("max_in_flight", max_in_flight, 2**31)
        made = (d.pcclReduceOpDescriptor_t * len(descriptors))(*[each.to_c() for each in descriptors])
        info = d.pcclReduceInfo_t()
        blocking(self._life, "pcclAllReduceMultipleWithRetry", made, len(descriptors), self._comm, info, max_in_flight)
        return _info_of(info)
