"""Named tensors in one line: dicts of NumPy arrays, torch tensors (on the host or a CUDA device) and buffers, saved,
loaded, made the same on all peers, and watched. include/pccl/state.h is the manual of what lies below.

    pccl.state.save("step.safetensors", {"weight": weight, "bias": bias}, revision=step)
    step = pccl.state.load("step.safetensors", {"weight": weight})
    step = pccl.state.sync(communicator, model.state_dict(), revision=step).revision
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from . import _declarations as d
from ._calls import blocking
from ._library import lib
from .communicator import Communicator
from .errors import PCCLError
from .shared_state import SharedState, TensorInfo
from .types import SharedStateSyncStrategy


@dataclass
class CheckpointInfo:
    """What a checkpoint holds."""

    revision: int
    lineage: bytes
    tensor_count: int
    tensor_bytes: int


@dataclass
class SyncInfo:
    """What became of a synchronization."""

    revision: int
    tx_bytes: int
    rx_bytes: int
    hashed_bytes: int
    tx_wire_bytes: int
    rx_wire_bytes: int


def _state_of(tensors: Mapping[str, Any], revision: int = 0, unequal: Collection[str] = ()) -> SharedState:
    state = SharedState([TensorInfo.of(tensor, name, allow_content_inequality=name in unequal)
                         for name, tensor in tensors.items()])
    state.revision = revision
    return state


def save(path: str | os.PathLike[str], tensors: Mapping[str, Any], *, revision: int = 0, lineage: bytes = bytes(16),
         threads: int = 0) -> None:
    """Writes a safetensors file in place of the one that is there, which survives a failure."""
    _state_of(tensors, revision).save(path, lineage=lineage, threads=threads)


def load(path: str | os.PathLike[str], tensors: Mapping[str, Any], *, accept_foreign: bool = False,
         threads: int = 0) -> int:
    """Reads these tensors, of all that the file has, into their memory, and verifies them. Returns the revision. With
    accept_foreign also from a safetensors file of another program, of which nothing can be verified."""
    state = _state_of(tensors)
    state.load(path, accept_foreign=accept_foreign, threads=threads)
    return state.revision


def inspect(path: str | os.PathLike[str]) -> CheckpointInfo:
    """What a checkpoint's header says."""
    info = d.pcclCheckpointInfo_t(size=ctypes.sizeof(d.pcclCheckpointInfo_t))
    PCCLError.check(lib.pcclStateInspect(os.fsencode(path), info), "pcclStateInspect")
    return CheckpointInfo(info.revision, bytes(info.lineage.data), info.tensor_count, info.tensor_bytes)


def _options_of(tensors: Mapping[str, Any], strategy: SharedStateSyncStrategy, changed: Collection[str] | None,
                threads: int) -> d.pcclStateSyncOptions_t:
    options = d.pcclStateSyncOptions_t(size=ctypes.sizeof(d.pcclStateSyncOptions_t), strategy=strategy.value,
                                       threads=threads)
    if changed is not None:
        unknown = set(changed) - set(tensors)
        if unknown:
            raise ValueError(f"changed: no tensor has the name {sorted(unknown)[0]!r}")
        options.dirty = (ctypes.c_bool * len(tensors))(*[name in changed for name in tensors])
    return options


def sync(communicator: Communicator, tensors: Mapping[str, Any], *, revision: int,
         strategy: SharedStateSyncStrategy = SharedStateSyncStrategy.ENFORCE_POPULAR,
         changed: Collection[str] | None = None, unequal: Collection[str] = (), threads: int = 0) -> SyncInfo:
    """Makes the tensors the same on all members, which all make this call. `changed`: the names of those that may have
    changed since the last call; the others need not be hashed again. `unequal`: those whose content may differ."""
    state = _state_of(tensors, revision, unequal)
    options = _options_of(tensors, strategy, changed, threads)
    info = d.pcclStateSyncInfo_t(size=ctypes.sizeof(d.pcclStateSyncInfo_t))
    blocking(communicator._comm, "pcclStateSync", communicator._comm, state._c, options, info)
    return SyncInfo(state.revision, info.tx_bytes, info.rx_bytes, info.hashed_bytes,
                    info.tx_wire_bytes, info.rx_wire_bytes)


def check(communicator: Communicator, tensors: Mapping[str, Any], *, changed: Collection[str] | None = None,
          unequal: Collection[str] = (), threads: int = 0) -> None:
    """Are the tensors the same on all members, which all make this call? If not, MismatchError names the tensor, the
    first element that differs, and the ranks."""
    state = _state_of(tensors, 0, unequal)
    options = _options_of(tensors, SharedStateSyncStrategy.ENFORCE_POPULAR, changed, threads)
    blocking(communicator._comm, "pcclStateCheck", communicator._comm, state._c, options, None)
