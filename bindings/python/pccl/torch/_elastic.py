"""Groups that go on when ranks are lost, and take others in: reconfigure(), and init_method "pccl://".

What has to outlast a rank is no rank's: the communicator, which has agreed already on who is left, and a master that
lives elsewhere (PCCL_MASTERS). PyTorch's store is made anew by whoever has rank 0 then."""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlparse

from .. import _addresses
from .. import _declarations as d
from ..buffers import buffer_of
from ..communicator import Communicator
from ..errors import PCCLError, RankConnectionLostError, TooFewPeersError
from .._devices import are_any
from ._errors import error_of
from ._facade import dist, untraced
from ._group import ProcessGroup, take_back
from ._launcher import milliseconds
from ._meeting import World, connect, dial, job, peer_group

_TAG = 2**63 - 1  # of what is agreed between two worlds
_ADDRESS_BYTES = 227
_ENTRY = struct.Struct(f"<16sQ????{_ADDRESS_BYTES}s")
_POLL_S = 0.01
_TRY_S = 1
_REACH_S = 10  # so long a store that is served already may take to answer


def _own_address() -> str:
    """Where others reach this process: as the master does."""
    host, port = _addresses.split(job.masters.split(",")[0].strip())
    for family, _, _, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM):
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect(address)  # sends nothing
            except OSError:
                continue
            return str(probe.getsockname()[0])
    return "127.0.0.1"


class _Entry(NamedTuple):
    """What a member says at a step of the agreement: who it is, how many it wants to be, whether nobody has asked for
    newcomers yet that it knows of, whether it serves a store, or can't reach the one of this address. Both: it can't
    serve one, and the address says why. has_accelerator: it has to cut what is large."""

    identity: bytes
    at_least: int
    asks: bool
    serves: bool
    is_cut_off: bool
    has_accelerator: bool
    address: str

    def pack(self) -> bytes:
        return _ENTRY.pack(*self[:6], self.address.encode())

    @classmethod
    def unpack(cls, values: tuple[Any, ...]) -> _Entry:
        identity, at_least, asks, serves, is_cut_off, has_accelerator, address = values
        return cls(identity, at_least, asks, serves, is_cut_off, has_accelerator, address.rstrip(b"\0").decode())


def _exchange(communicator: Communicator, mine: _Entry, timeout: timedelta) -> tuple[list[_Entry], int]:
    """The entries of all members by rank, and the epoch. It ends alike at all of them, as every operation does; so
    what comes next follows from the entries alone."""
    size = communicator.world_size
    if size == 1:
        return [mine], communicator.epoch
    part, whole = buffer_of(mine.pack(), writable=False), buffer_of(bytearray(size * _ENTRY.size), writable=True)
    operation = d.pcclOperation_t(ctypes.sizeof(d.pcclOperation_t), _ENTRY.size, d.pcclUint8, 0, _TAG, 0,
                                  milliseconds(timeout))
    operation.failure_policy = d.pcclPolicyAbort
    info = communicator._launch("pcclAllGather", (part.pointer, whole.pointer), operation, (part, whole),
                                size)._wait_or_abort()
    entries = map(_Entry.unpack, _ENTRY.iter_unpack(ctypes.string_at(whole.pointer, size * _ENTRY.size)))
    return list(entries)[:info.participants_max], info.epoch


def _serve(timeout: timedelta, size: int) -> tuple[Any, str]:
    host = _own_address()
    store = dist.TCPStore(host, 0, size, True, timeout, wait_for_workers=False)
    return store, f"{store.port} {host}"


def _reach(communicator: Communicator, address: str, timeout: timedelta, size: int) -> Any:
    """None: it does not answer, or who serves it is lost."""
    port, host = address.split()
    deadline = time.monotonic() + _REACH_S
    while communicator.world_size == size and time.monotonic() < deadline:
        try:
            socket.create_connection((host, int(port)), _TRY_S).close()  # PyTorch repeats what is refused
            store = dist.TCPStore(host, int(port), size, False, timedelta(seconds=_TRY_S), wait_for_workers=False)
        except (OSError, dist.DistError):
            time.sleep(_POLL_S)
            continue
        store.set_timeout(timeout)
        return store
    return None


def _agree(communicator: Communicator, at_least: int, timeout: timedelta, is_newcomer: bool) -> World:
    """The members agree on a world, step by step. Those that are lost meanwhile are done without. A newcomer has asked
    for newcomers by connecting."""
    mine = _Entry(communicator.uuid.bytes, at_least, not is_newcomer, False, False, are_any(), "")
    store: Any = None
    while True:
        try:
            entries, epoch = _exchange(communicator, mine, timeout)
            asks, size = any(each.asks for each in entries), len(entries)
            if asks or size < max(each.at_least for each in entries):
                if not asks:
                    time.sleep(_POLL_S)
                communicator.update_topology()
                mine = mine._replace(asks=False)
                continue
        except (RankConnectionLostError, TooFewPeersError):
            continue
        first = entries[0]
        if first.serves and first.is_cut_off:
            raise error_of(d.pcclRankConnectionFailed, "torch.distributed",
                           f"rank 0 can't serve a store: {first.address}")
        if first.serves and all(each.address == first.address for each in entries):
            cut_off = [rank for rank, each in enumerate(entries) if each.is_cut_off]
            if cut_off:
                raise error_of(d.pcclRankConnectionFailed, "torch.distributed",
                               f"ranks {cut_off} can't reach the store of rank 0 at {first.address}")
            return World(communicator, store, epoch, entries.index(mine), size,
                         any(each.has_accelerator for each in entries))
        if first.identity == mine.identity and not first.serves:
            try:
                store, address = _serve(timeout, size)
                mine = mine._replace(serves=True, is_cut_off=False, address=address)
            except (OSError, dist.DistError) as error:
                mine = mine._replace(serves=True, is_cut_off=True, address=ascii(error)[:_ADDRESS_BYTES])
        elif first.serves and first.address != mine.address:
            store = _reach(communicator, first.address, timeout, size)
            if store is not None or communicator.world_size == size:  # else it may be tried again
                mine = mine._replace(address=first.address, is_cut_off=store is None)


@untraced
def reconfigure(*, at_least: int = 1, timeout: timedelta | None = None) -> tuple[int, int]:
    """Goes on with those that are left, and lets in who waits to join. All members call it, after a PeersLostError or
    when they want to grow; it returns this process's rank in the new world, and that world's size, as soon as it has
    `at_least` members.

    All groups are destroyed, and the default group is made anew: what was made on them (sub-groups, DDP, FSDP, meshes)
    is to be made anew as well. Members that stay keep their order and come first, so rank 0 has what newcomers lack:
    DDP gives it to them when it is made. timeout: of each step, and of the new group; None: PyTorch's default.

    Members that are lost meanwhile are done without. If it fails it does so on all members with the same class of
    error, and they may call it again."""
    span: timedelta = timeout or dist.constants.default_pg_timeout
    try:
        if job.kept is None:
            group = dist.group.WORLD
            if not isinstance(group, ProcessGroup):
                raise RuntimeError("pccl.torch.reconfigure() is for a default group of the backend pccl")
            job.kept = group.give_back(span)
        if dist.is_initialized():
            dist.destroy_process_group()
        return _adopt(_agree(job.kept, at_least, span, False), span)
    except PCCLError as error:
        raise error_of(error.result.value, "pccl.torch.reconfigure", error.cause) from error


def _adopt(world: World, timeout: timedelta) -> tuple[int, int]:
    job.kept, job.adopted = None, world
    try:
        dist.init_process_group("pccl", store=world.store, rank=world.rank, world_size=world.size, timeout=timeout)
    except BaseException:
        take_back(world)
        raise
    return world.rank, world.size


def _rendezvous(url: str, timeout: timedelta = dist.constants.default_pg_timeout, **_: Any
                ) -> Iterator[tuple[Any, int, int]]:
    """init_method="pccl://?least=4": joins the group that masters of PCCL_MASTERS have under the number
    PCCL_PEER_GROUP, or founds it, and waits until it has 4 members. There are no ranks before that."""
    job.take_masters(os.environ.get("PCCL_MASTERS", ""))
    if not job.masters:
        raise ValueError("init_method pccl:// needs masters in PCCL_MASTERS; pccl-run sets it")
    at_least = int(parse_qs(urlparse(url).query).get("least", ["1"])[0])
    job.drop_adopted()
    limit_ms = milliseconds(timeout)
    communicator = dial(peer_group(), limit_ms, limit_ms)
    try:
        connect(communicator, limit_ms)
        world = _agree(communicator, at_least, timeout, True)
    except BaseException:
        communicator.close()
        raise
    job.adopted = world
    yield world.store, world.rank, world.size


dist.register_rendezvous_handler("pccl", _rendezvous)
