"""Groups that go on when ranks are lost, and take others in: reconfigure(), and init_method "pccl://".

What has to outlast a rank is no rank's: the communicator, which has agreed already on who is left, and a master that
lives elsewhere (PCCL_MASTERS). PyTorch's store is made anew by whoever has rank 0 then."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlparse

from .. import _addresses
from ..communicator import Communicator
from ..errors import RankConnectionLostError
from ..types import ReduceOp
from ._facade import dist
from ._group import ProcessGroup
from ._launcher import milliseconds
from ._meeting import dial, job, peer_group

_TAG = 2**63 - 1  # of what is agreed between two worlds
_TEXT_BYTES = 256
_POLL_S = 0.01
_SETTLE_S = 10.0  # so long the loss of who has rank 0 may take to be known


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


def _gather_members(communicator: Communicator, at_least: int, is_newcomer: bool) -> None:
    """Joint calls until the group has as many members as any of them wants. A newcomer's first one was to connect."""
    while True:
        if not is_newcomer:
            communicator.update_topology()
        is_newcomer = False
        wanted = memoryview(bytearray(at_least.to_bytes(8, "little"))).cast("q")
        if communicator.world_size > 1:
            communicator.all_reduce_with(wanted, op=ReduceOp.MAX, tag=_TAG, epoch=communicator.epoch)
        if communicator.world_size >= wanted[0]:
            return
        time.sleep(_POLL_S)


def _make_store(communicator: Communicator, timeout: timedelta) -> Any:
    """A store that rank 0 serves. None: rank 0 was lost meanwhile."""
    epoch, size = communicator.epoch, communicator.world_size
    text = bytearray(_TEXT_BYTES)
    store: Any = None
    if communicator.rank == 0:
        host = _own_address()
        store = dist.TCPStore(host, 0, size, True, timeout, wait_for_workers=False)
        address = f"{store.port} {host}".encode()
        text[:len(address)] = address
    if size > 1:
        communicator.broadcast(text, root=0, tag=_TAG, epoch=epoch)
    if store is None:
        port, host = bytes(text).rstrip(b"\0").decode().split()
        try:
            store = dist.TCPStore(host, int(port), size, False, timeout, wait_for_workers=False)
        except dist.DistError:
            deadline = time.monotonic() + _SETTLE_S
            while communicator.epoch == epoch:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_POLL_S)
            return None
    if size > 1:
        communicator.barrier(tag=_TAG, epoch=epoch)
    return store


def _agree(communicator: Communicator, at_least: int, timeout: timedelta, is_newcomer: bool) -> Any:
    """The members agree on a world; its store. Those that are lost meanwhile are done without."""
    while True:
        try:
            _gather_members(communicator, at_least, is_newcomer)
            store = _make_store(communicator, timeout)
            if store is not None:
                return store
        except RankConnectionLostError:
            pass
        is_newcomer = False


def reconfigure(*, at_least: int = 1, timeout: timedelta | None = None) -> tuple[int, int]:
    """Goes on with those that are left, and lets in who waits to join. All members call it, after a PeersLostError or
    when they want to grow; it returns this process's rank in the new world, and that world's size, as soon as it has
    `at_least` members.

    All groups are destroyed, and the default group is made anew: what was made on them (sub-groups, DDP, FSDP, meshes)
    is to be made anew as well. Members that stay keep their order and come first, so rank 0 has what newcomers lack:
    DDP gives it to them when it is made. timeout: of the new group; None: PyTorch's default."""
    if job.kept is None:
        group = dist.group.WORLD
        if not isinstance(group, ProcessGroup):
            raise RuntimeError("pccl.torch.reconfigure() is for a default group of the backend pccl")
        job.kept = group.give_back()
    if dist.is_initialized():
        dist.destroy_process_group()
    span: timedelta = timeout or dist.constants.default_pg_timeout
    store = _agree(job.kept, at_least, span, False)
    return _adopt(store, span)


def _adopt(store: Any, timeout: timedelta) -> tuple[int, int]:
    communicator, job.kept = job.kept, None
    assert communicator is not None
    job.adopted = communicator
    rank, size = communicator.rank, communicator.world_size
    dist.init_process_group("pccl", store=store, rank=rank, world_size=size, timeout=timeout)
    return rank, size


def _rendezvous(url: str, timeout: timedelta = dist.constants.default_pg_timeout, **_: Any
                ) -> Iterator[tuple[Any, int, int]]:
    """init_method="pccl://?least=4": joins the group that masters of PCCL_MASTERS have under the number
    PCCL_PEER_GROUP, or founds it, and waits until it has 4 members. There are no ranks before that."""
    job.masters = os.environ.get("PCCL_MASTERS", "")
    if not job.masters:
        raise ValueError("init_method pccl:// needs masters in PCCL_MASTERS; pccl-run sets it")
    at_least = int(parse_qs(urlparse(url).query).get("least", ["1"])[0])
    communicator = dial(peer_group(), milliseconds(timeout))
    try:
        communicator.connect()
        store = _agree(communicator, at_least, timeout, True)
    except BaseException:
        communicator.close()
        raise
    job.adopted = communicator
    yield store, communicator.rank, communicator.world_size


dist.register_rendezvous_handler("pccl", _rendezvous)
