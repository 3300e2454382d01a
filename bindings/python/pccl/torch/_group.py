"""The process group, and its registration as a backend."""

from __future__ import annotations

import atexit
import contextlib
import weakref
from datetime import timedelta
from typing import Any

from ..communicator import Communicator
from ..errors import PCCLError
from ._errors import destroyed
from ._exchange import Exchange
from ._facade import ProcessGroupBase, dist, torch, untraced
from ._launcher import milliseconds
from ._meeting import Meeting, World, job, meet

_alive: weakref.WeakSet[ProcessGroup] = weakref.WeakSet()


@untraced
class ProcessGroup(Exchange, ProcessGroupBase):
    """A group of torch.distributed; init_process_group() and new_group() make it."""

    def __init__(self, store: Any, rank: int, size: int, *, meeting: Meeting, timeout_ms: int, is_default: bool
                 ) -> None:
        super().__init__(rank, size)
        self._set_up(meeting, rank, size, timeout_ms)
        self._set_up_transfers()
        self._store = store
        self._is_default = is_default
        self._name = self._description = ""
        _alive.add(self)

    @property
    def communicator(self) -> Communicator | None:
        """What carries it. None: a group of one."""
        return self._communicator

    # ---- what PyTorch asks of any group; with a backend in C++ it would keep these names itself

    @property
    def _device_types(self) -> list[Any]:
        here = torch.accelerator.current_accelerator()
        return [torch.device("cpu"), *([] if here is None else [torch.device(here.type)])]

    def getBackendName(self) -> str:
        return "pccl"

    def _set_group_name(self, name: str) -> None:
        self._name = name

    def _set_group_desc(self, description: str) -> None:
        self._description = description

    def getGroupName(self) -> str:
        return self._name

    def getGroupDesc(self) -> str:
        return self._description

    group_name = property(getGroupName)
    group_desc = property(getGroupDesc)

    def get_group_store(self) -> Any:
        return self._store

    def set_timeout(self, timeout: Any) -> None:
        """Of operations that come without one. PyTorch's _set_pg_timeout() knows of gloo and NCCL only, and warns."""
        self._timeout_ms = milliseconds(timeout)

    # ---- what PyTorch asks of the backend of a group: it is the group itself

    supports_coalescing = supports_shrinking = supports_splitting = False
    supports_tensor_alloc = supports_time_estimate = False
    _set_default_timeout = set_timeout

    def _get_backend(self, device: Any) -> ProcessGroup:
        kind = torch.device(device).type
        if all(each.type != kind for each in self._device_types):
            raise RuntimeError(f"No backend type associated with device type {kind}")  # as PyTorch's
        return self

    def name(self) -> str:
        return self.getBackendName()

    def _get_sequence_number_for_group(self) -> int:
        """So many collectives were launched."""
        return self._calls

    def _set_sequence_number_for_group(self) -> None:
        """All count from 0 as it is."""

    def give_back(self, timeout: timedelta | None = None) -> Communicator:
        """Waits for what is in flight, and takes the communicator from the group, which is over. If it fails, the group
        has it still."""
        communicator = self._communicator
        if communicator is None:
            raise destroyed()
        self._answer_signals(timeout)
        self._release()
        return communicator

    def _release(self) -> None:
        self._drain()
        self._communicator = None

    def shutdown(self) -> None:
        """Leaves the group."""
        self._end()
        _alive.discard(self)
        if self._is_default:
            job.close()

    abort = shutdown


def _create(options: Any, _: Any) -> ProcessGroup:
    ranks, rank, size = options.global_ranks_in_group, options.group_rank, options.group_size
    timeout_ms = milliseconds(options.timeout)
    meeting = meet(options.store, rank, size, is_default=not ranks, timeout_ms=timeout_ms)
    return ProcessGroup(options.store, rank, size, meeting=meeting, timeout_ms=timeout_ms, is_default=not ranks)


def take_back(world: World) -> None:
    """The default group could not be made of it: it is as before."""
    job.adopted, job.kept = None, world.communicator
    for group in list(_alive):
        if group.communicator is world.communicator:
            with contextlib.suppress(PCCLError):
                group._answer_signals(None)
            group._release()  # nobody has awaited anything in it yet
            _alive.discard(group)


def _leave_all() -> None:
    for group in list(_alive):
        with contextlib.suppress(Exception):  # the others leave anyway
            group.shutdown()
    job.drop_adopted()
    job.drop_kept()


@untraced
def monitored_barrier(group: Any = None, timeout: Any = None, wait_all_ranks: bool = False) -> None:
    """torch.distributed.monitored_barrier(), which PyTorch has for gloo only: a barrier whose CollectiveTimeoutError
    names those who had not come."""
    chosen = dist.group.WORLD if group is None else group
    if not isinstance(chosen, ProcessGroup):
        raise TypeError("pccl.torch.monitored_barrier() is for groups of the backend pccl")
    chosen.monitored_barrier(timeout, wait_all_ranks)


def register() -> None:
    here = torch.accelerator.current_accelerator()
    dist.Backend.register_backend("pccl", _create, extended_api=True, devices=[
        "cpu", *({"cuda"} if here is None else {"cuda", here.type})])
    atexit.register(_leave_all)


register()
