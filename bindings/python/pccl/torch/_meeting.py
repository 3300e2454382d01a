"""How the processes of a group find each other.

Ranks. PyTorch gives them, the library counts members in the order in which they joined. They are made the same: rank r
dials the master only when ranks 0 to r - 1 are members, which it learns from PyTorch's store. So no collective ever has
to translate a rank or to put parts into another order. Members that leave later close the gap on both sides alike, and
newcomers come last: reconfigure() takes the library's order.

Groups. The default group has the number that PCCL_PEER_GROUP says, 0 without; others have a random one, which their
first rank tells in the store. Groups of one have no communicator, but for the default group, which may grow."""

from __future__ import annotations

import os
import random
import time
from dataclasses import replace
from typing import Any, NamedTuple

from .. import _addresses
from .._local import start_master
from .._master import MasterNode
from ..communicator import Communicator
from ..settings import Settings
from .._devices import are_any
from ._errors import advise, lost
from ._facade import dist

_HAS = "an accelerator"  # what a member says in the store
_OWN = "rank 0 has it: "  # what it says before the address of a master of its own
_MASTER_TIMEOUT_MS = 3000  # of what waits for rank 0, once that is known to be lost, and the only master with it
_RANDOM = random.SystemRandom()


def _start_master(host: str) -> tuple[MasterNode, int]:
    """A master of this process, on every interface unless `host` is a loopback address."""
    # A host's own name may mean 127.0.1.1 in its hosts file, and another address to everybody else.
    loopback = {"localhost": "127.0.0.1", "127.0.0.1": "127.0.0.1", "::1": "::1"}.get(host)
    return start_master(("::", "0.0.0.0") if loopback is None else (loopback,))


def _host_of(store: Any) -> str:
    """Where this process, which has rank 0, can be reached by the others."""
    while isinstance(store, dist.PrefixStore):
        store = store.underlying_store
    host = getattr(store, "host", "") if isinstance(store, dist.TCPStore) else os.environ.get("MASTER_ADDR", "")
    return str(host) or "127.0.0.1"


class World(NamedTuple):
    """What members have agreed on: reconfigure()."""

    communicator: Communicator
    store: Any
    epoch: int
    rank: int
    size: int
    cuts: bool


class Job:
    """What this process has of the job: where masters are, one of its own maybe, and the communicator of the default
    group."""

    def __init__(self) -> None:
        self.masters = ""
        self.is_master_a_ranks = False  # the only one: rank 0's
        self.master: MasterNode | None = None
        self.adopted: World | None = None  # the default group that is made next is of it
        self.kept: Communicator | None = None  # between two worlds: of the default group that there was

    def find_masters(self, store: Any, rank: int) -> None:
        masters = os.environ.get("PCCL_MASTERS", "")
        if not masters and rank == 0:
            host = _host_of(store)
            if self.master is not None:
                self.master.close()
            self.master, port = _start_master(host)
            masters = _OWN + (f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
        if rank == 0:
            store.set("pccl/masters", masters)
        self.take_masters(masters or store.get("pccl/masters").decode())

    def take_masters(self, masters: str) -> None:
        self.is_master_a_ranks = masters.startswith(_OWN)
        self.masters = masters.removeprefix(_OWN)
        advise("rank 0 had the only master; with others in PCCL_MASTERS those that are left can go on"
               if self.is_master_a_ranks else "")

    def drop_adopted(self) -> None:
        """The default group was to be made of it, and was not."""
        world, self.adopted = self.adopted, None
        if world is not None:
            world.communicator.close()

    def drop_kept(self) -> None:
        """Its world is over: another one is founded in place of going on."""
        communicator, self.kept = self.kept, None
        if communicator is not None:
            communicator.close()

    def close(self) -> None:
        """The end of the default group."""
        if self.master is not None and self.kept is None:
            self.master.close()
            self.master = None


job = Job()


def peer_group() -> int:
    """The default group's number."""
    return int(os.environ.get("PCCL_PEER_GROUP", "0"))


def dial(number: int, timeout_ms: int) -> Communicator:
    """A communicator that is not connected yet."""
    masters = job.masters
    settings = Settings(admission_timeout_ms=timeout_ms, joint_timeout_ms=timeout_ms)
    if "," in masters:
        return Communicator(peer_group=number, settings=replace(settings, masters=masters))
    if job.is_master_a_ranks and not os.environ.get("PCCL_MASTER_TIMEOUT_MS"):
        settings = replace(settings, master_timeout_ms=_MASTER_TIMEOUT_MS)  # it won't be started again
    _addresses.split(masters)
    return Communicator(masters, number, settings=settings)


def _is_made_on(store: Any, made: Any) -> bool:
    while store is not made and isinstance(store, dist.PrefixStore):
        store = store.underlying_store
    return store is made


class Meeting(NamedTuple):
    """communicator: None: a group of one needs nobody. began: the epoch at which the world did, if the communicator had
    another one before; else 0. cuts: a member has an accelerator, so all cut what is large."""

    communicator: Communicator | None
    began: int
    cuts: bool


def meet(store: Any, rank: int, size: int, *, is_default: bool, timeout_ms: int) -> Meeting:
    """Joins the group with all other ranks."""
    world = job.adopted
    if is_default and world is not None and _is_made_on(store, world.store):
        job.adopted = None
        return Meeting(world.communicator, world.epoch, world.cuts)
    if is_default:
        job.drop_adopted()
        job.drop_kept()
        job.find_masters(store, rank)
        number = peer_group()
    elif size == 1:
        return Meeting(None, 0, False)
    else:
        number = _RANDOM.randrange(1, 2**32)
        if rank == 0:
            store.set("pccl/number", str(number))
        number = int(store.get("pccl/number"))
    communicator = dial(number, timeout_ms)
    try:
        cuts = _join(communicator, store, rank, size, time.monotonic() + timeout_ms / 1000)
    except BaseException:
        communicator.close()
        raise
    return Meeting(communicator, 0, cuts)


def _join(communicator: Communicator, store: Any, rank: int, size: int, deadline: float) -> bool:
    """Has any member an accelerator? Ranks learn that of those before them by the last one of these."""
    cuts = are_any()
    if rank > 0:
        store.set(f"pccl/coming/{rank}", _HAS if cuts else "")
        cuts = store.get(f"pccl/member/{rank - 1}").decode() == _HAS or cuts
    communicator.connect()
    store.set(f"pccl/member/{rank}", _HAS if cuts else "")
    if (communicator.rank, communicator.world_size) != (rank, rank + 1):
        raise RuntimeError(f"rank {rank} has become {communicator.rank} of {communicator.world_size}: others have the "
                           "number of this group; give it one of its own in PCCL_PEER_GROUP")
    for newcomer in range(rank + 1, size):
        # Joint calls before that would be in vain.
        cuts = store.get(f"pccl/coming/{newcomer}").decode() == _HAS or cuts
        while communicator.world_size <= newcomer:
            if communicator.rank != rank or time.monotonic() > deadline:
                raise lost(f"rank {newcomer} has not joined in time, or another one was lost meanwhile")
            communicator.update_topology()
            time.sleep(0.001)
    if rank == 0:
        _clear(store, size)
    return cuts


def _clear(store: Any, size: int) -> None:
    """All have read what was there for them to meet by. A group of the same name may have the same store."""
    names = [f"pccl/member/{rank}" for rank in range(size)] + [f"pccl/coming/{rank}" for rank in range(1, size)]
    for name in ["pccl/masters", "pccl/number", *names]:
        try:
            store.delete_key(name)
        except (NotImplementedError, RuntimeError):
            return  # a store that forgets nothing
