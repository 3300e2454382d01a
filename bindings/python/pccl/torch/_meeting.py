"""How the processes of a group find each other.

Ranks. PyTorch gives them, the library counts members in the order in which they joined. They are made the same: rank r
dials the master only when ranks 0 to r - 1 are members, which it learns from PyTorch's store. So no collective ever has
to translate a rank or to put parts into another order. Members that leave later close the gap on both sides alike, and
newcomers come last: reconfigure() takes the library's order.

Groups. The default group has the number that PCCL_PEER_GROUP says, 0 without; others have a random one, which their
first rank tells in the store. Groups of one have no communicator, but for the default group, which may grow."""

from __future__ import annotations

import contextlib
import math
import os
import random
import time
from dataclasses import replace
from datetime import timedelta
from typing import Any, NamedTuple

from .. import _addresses
from .. import _declarations as d
from .._local import start_master
from .._master import MasterNode
from ..communicator import Communicator
from ..errors import MasterConnectionFailedError
from ..settings import Settings
from .._devices import are_any
from ._errors import advise, error_of, lost
from ._facade import dist

_HAS = "an accelerator"  # what a member says in the store
_OWN = "rank 0 has it: "  # what it says before the address of a master of its own
_MASTER_TIMEOUT_MS = 3000  # of what waits for rank 0, once that is known to be lost, and the only master with it
_TROUBLE = "trouble: "  # before what went wrong, in place of what is said else
_ATTEMPTS = 5  # to reach a master
_SHARE = 0.8  # of the time that is left: for connecting
_PAUSE_MS = 1000  # between them
_CONNECT_MS = 10000  # the library's own choice for each
_NOT_ADMITTED = "did not admit"  # the library's words: there are members, which wait for nobody
_NAMED = 16  # ranks, of those that are missing
_LONGEST_S = 40 * 86400
_LEAST_S, _MOST_S = 0.3, 1  # so long rank 0 lets the others hear of trouble
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


class _Board:
    """What the ranks of a group tell each other in their store until they have met. Who can't join says why in place
    of what others wait for."""

    def __init__(self, store: Any, rank: int, size: int, timeout_ms: int) -> None:
        self.store = store
        self.rank = rank
        self.size = size
        self.deadline = time.monotonic() + (timeout_ms / 1000 if timeout_ms > 0 else math.inf)
        self._told: set[str] = set()
        self._is_trouble_known = False

    def tell(self, name: str, value: str) -> None:
        self.store.set(f"pccl/{name}", value)
        self._told.add(name)

    def hear(self, name: str) -> str:
        """Waits for it until the deadline, whatever time-out the store has."""
        key = f"pccl/{name}"
        left_s = self.deadline - time.monotonic()
        try:
            self.store.wait([key], timedelta(seconds=min(max(left_s, 0.001), _LONGEST_S)))
        except RuntimeError as error:
            if time.monotonic() < self.deadline or not (missing := self._missing()):
                raise  # that is not why
            raise error_of(d.pcclTimeout, "torch.distributed", f"{missing} not come to make the group") from error
        said = str(self.store.get(key).decode())
        if said.startswith(_TROUBLE):
            self._is_trouble_known = True
            raise error_of(d.pcclRankConnectionFailed, "torch.distributed", said.removeprefix(_TROUBLE))
        return said

    def _missing(self) -> str:
        ranks = [rank for rank in range(self.size) if not self.store.check([f"pccl/coming/{rank}"])]
        named = ", ".join(map(str, ranks[:_NAMED]))
        named += f" and {len(ranks) - _NAMED} more" if len(ranks) > _NAMED else ""
        return "" if not ranks else f"rank {named} has" if len(ranks) == 1 else f"ranks {named} have"

    def look(self, name: str) -> None:
        """Has somebody told trouble there?"""
        if self.store.check([f"pccl/{name}"]):
            self.hear(name)

    def tell_trouble(self, error: BaseException) -> None:
        """Unless one of them has told all. Those before this rank look whether it has joined, those behind it wait
        until the one before them has."""
        if self._is_trouble_known:
            return
        self._is_trouble_known = True
        names = [f"member/{rank}" for rank in range(self.rank, self.size)]
        names += {f"coming/{self.rank}", *({"masters", "number"} if self.rank == 0 else ())} - self._told
        with contextlib.suppress(Exception):  # the store may be what is wrong
            for name in names:
                self.tell(name, f"{_TROUBLE}rank {self.rank} could not join: {str(error) or type(error).__name__}")

    def part(self) -> None:
        """After trouble. The store may be served by rank 0, and end with it: that one lets the others hear of it. A
        later group of the same name, if the store stays, hears nothing of it any more."""
        with contextlib.suppress(Exception):
            if self.rank > 0:
                self.tell(f"gone/{self.rank}", "")
                return
            others = [f"pccl/gone/{rank}" for rank in range(1, self.size)]
            limit = time.monotonic() + min(max(self.deadline - time.monotonic(), _LEAST_S), _MOST_S)
            while others and not self.store.check(others):
                if time.monotonic() >= limit:
                    return
                time.sleep(0.01)
            _clear(self.store, self.size)


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

    def find_masters(self, board: _Board) -> None:
        store, rank = board.store, board.rank
        masters = os.environ.get("PCCL_MASTERS", "")
        if not masters and rank == 0:
            host = _host_of(store)
            if self.master is not None:
                self.master.close()
            self.master, port = _start_master(host)
            masters = _OWN + (f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
        if rank == 0:
            board.tell("masters", masters)
        self.take_masters(masters or board.hear("masters"))

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


def _usual_connect_ms() -> int:
    said = os.environ.get("PCCL_CONNECT_TIMEOUT_MS", "")
    return int(said) if said.isdecimal() and int(said) > 0 else _CONNECT_MS


def connect(communicator: Communicator, limit_ms: int) -> None:
    """0: no limit. dial() was told the same."""
    attempts = limit_ms // (_usual_connect_ms() + _PAUSE_MS) if limit_ms > 0 else _ATTEMPTS
    communicator.connect(min(max(attempts, 1), _ATTEMPTS))


def dial(number: int, timeout_ms: int, limit_ms: int = 0) -> Communicator:
    """A communicator that is not connected yet. limit_ms: for that, if it is less than the time-out."""
    masters = job.masters
    settings = Settings(admission_timeout_ms=limit_ms or timeout_ms, joint_timeout_ms=timeout_ms)
    if 0 < limit_ms < _usual_connect_ms():
        settings = replace(settings, connect_timeout_ms=limit_ms)
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
    elif size == 1:
        return Meeting(None, 0, False)
    board = _Board(store, rank, size, timeout_ms)
    try:
        cuts = are_any()
        board.tell(f"coming/{rank}", _HAS if cuts else "")
        communicator, cuts = _join(board, _agree_on_number(board, is_default), timeout_ms, cuts)
    except BaseException as error:
        board.tell_trouble(error)
        if isinstance(error, Exception):
            board.part()
        raise
    return Meeting(communicator, 0, cuts)


def _agree_on_number(board: _Board, is_default: bool) -> int:
    """And on where masters are, if it is the first group."""
    if is_default:
        job.find_masters(board)
        return peer_group()
    if board.rank == 0:
        board.tell("number", str(_RANDOM.randrange(1, 2**32)))
    return int(board.hear("number"))


def _advice(number: int) -> str:
    """Others have random numbers."""
    return (f": if another job has the number {number} at {job.masters}, give each one of its own in PCCL_PEER_GROUP"
            if number == peer_group() else "")


def _join(board: _Board, number: int, timeout_ms: int, cuts: bool) -> tuple[Communicator, bool]:
    """Has any member an accelerator, as this one? Ranks learn that of those before them by the last one of these."""
    if board.rank > 0:
        cuts = board.hear(f"member/{board.rank - 1}") == _HAS or cuts
    # A part of the time is for telling the others.
    limit_ms = max(int((board.deadline - time.monotonic()) * 1000 * _SHARE), 1) if timeout_ms > 0 else 0
    communicator = dial(number, timeout_ms, limit_ms)
    try:
        try:
            connect(communicator, limit_ms)
        except MasterConnectionFailedError as error:
            if _NOT_ADMITTED in error.cause:
                error = MasterConnectionFailedError(error.result, error.func_name, error.cause + _advice(number))
            raise error from None
        board.tell(f"member/{board.rank}", _HAS if cuts else "")
        return communicator, _admit_others(communicator, board, number) or cuts
    except BaseException as error:
        board.tell_trouble(error)  # before anybody sees this one leave
        communicator.close()
        raise


def _admit_others(communicator: Communicator, board: _Board, number: int) -> bool:
    """Has any of them an accelerator?"""
    rank, cuts = board.rank, False
    if (communicator.rank, communicator.world_size) != (rank, rank + 1):
        raise RuntimeError(f"rank {rank} has become {communicator.rank} of {communicator.world_size}" + _advice(number))
    for newcomer in range(rank + 1, board.size):
        # Joint calls before that would be in vain.
        cuts = board.hear(f"coming/{newcomer}") == _HAS or cuts
        while communicator.world_size <= newcomer:
            if communicator.rank != rank or time.monotonic() > board.deadline:
                raise lost(f"rank {newcomer} has not joined in time, or another one was lost meanwhile" +
                           _advice(number))
            board.look(f"member/{newcomer}")
            communicator.update_topology()
            time.sleep(0.001)
    if rank == 0:
        _clear(board.store, board.size)
    return cuts


def _clear(store: Any, size: int) -> None:
    """All have read what was there for them to meet by. A group of the same name may have the same store."""
    names = [f"pccl/{what}/{rank}" for what in ("member", "coming", "gone") for rank in range(size)]
    for name in ["pccl/masters", "pccl/number", *names]:
        try:
            store.delete_key(name)
        except (NotImplementedError, RuntimeError):
            return  # a store that forgets nothing
