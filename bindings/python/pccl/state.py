"""Named tensors in one line: dicts of NumPy arrays, torch tensors (on the host or a CUDA device) and buffers, saved,
loaded, made the same on all peers, and watched. include/pccl/state.h is the manual of what lies below.

    pccl.state.save("step.safetensors", {"weight": weight, "bias": bias}, revision=step)
    step = pccl.state.load("step.safetensors", {"weight": weight})
    step = pccl.state.sync(communicator, model.state_dict(), revision=step).revision

tensors() makes such a dict of a torch.nn.Module and its optimizer, so that all that a run needs to go on is one line:

    pccl.state.save("step.safetensors", pccl.state.tensors(model, optimizer), revision=step)
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from . import _declarations as d
from ._calls import blocking
from ._library import lib
from .communicator import Communicator
from .errors import PCCLError
from .settings import number, text_of
from .shared_state import SharedState, TensorInfo
from .types import SharedStateSyncStrategy, whole_number


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


def _check_names(what: str, names: Collection[str], tensors: Mapping[str, Any]) -> None:
    unknown = set(names) - set(tensors)
    if unknown:
        raise ValueError(f"{what}: no tensor has the name {sorted(unknown)[0]!r}")


def _state_of(tensors: Mapping[str, Any], revision: int = 0, unequal: Collection[str] = ()) -> SharedState:
    _check_names("unequal", unequal, tensors)
    state = SharedState([TensorInfo.of(tensor, name, allow_content_inequality=name in unequal)
                         for name, tensor in tensors.items()])
    state.revision = revision
    return state


def tensors(model: Any, optimizer: Any = None) -> dict[str, Any]:
    """What a model and its optimizer consist of, by name and where it lies: parameters and buffers of a torch.nn.Module
    as "model/NAME", what a torch optimizer keeps of them as "optimizer/NAME/KIND". An optimizer that has not made a
    step yet is given its state first, as if the gradients so far had been zero; parameters stay as they are. Numbers of
    the optimizer's groups (learning rates) are not tensors, and the program's own to set.

    A mapping in place of a model: its tensors by their names, of mappings in mappings as "OUTER/INNER". ValueError:
    something in them is no tensor."""
    if isinstance(model, Mapping):
        mapping: Mapping[str, Any] = model  # pyright: ignore[reportUnknownVariableType]
        if optimizer is not None:
            raise ValueError("the optimizer's arrays go into the mapping as well")
        found: dict[str, Any] = {}
        for name, tensor in _flat("", mapping):
            if name in found:
                raise ValueError(f"two tensors of the mapping have the name '{name}'")
            found[name] = tensor
        return found
    found = {f"model/{name}": tensor for name, tensor in model.state_dict().items()}
    if optimizer is not None:
        found |= _of_optimizer(optimizer, {id(each): name for name, each in model.named_parameters()})
    for name, tensor in found.items():
        if not hasattr(tensor, "data_ptr"):
            raise ValueError(f"'{name}' is no tensor but a {type(tensor).__name__}")
    return _without_twins(found)


def _flat(prefix: str, mapping: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in mapping.items():
        if isinstance(value, Mapping):
            inner: Mapping[str, Any] = value  # pyright: ignore[reportUnknownVariableType]
            yield from _flat(f"{prefix}{name}/", inner)
        else:
            yield f"{prefix}{name}", value


def _without_twins(found: dict[str, Any]) -> dict[str, Any]:
    """Of tensors that share their memory (tied weights) the first."""
    places: dict[tuple[int, int], str] = {}
    return {name: tensor for name, tensor in found.items() if tensor.numel() == 0 or
            places.setdefault((tensor.data_ptr(), tensor.numel()), name) == name}


def _of_optimizer(optimizer: Any, names: Mapping[int, str]) -> dict[str, Any]:
    _begin(optimizer)
    found: dict[str, Any] = {}
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if id(parameter) not in names:
                raise ValueError("the optimizer has a parameter that the model has not")
            for kind, value in optimizer.state.get(parameter, {}).items():
                if value is not None:
                    found[f"optimizer/{names[id(parameter)]}/{kind}"] = value
    return found


def _begin(optimizer: Any) -> None:
    """Lets the optimizer make the state of parameters that have none: by a step with gradients of zero, after which
    they are put back."""
    groups = optimizer.param_groups
    fresh = [each for group in groups for each in group["params"] if each.requires_grad and not optimizer.state[each]]
    if not fresh:
        return
    everything = [each for group in groups for each in group["params"]]
    gradients = [each.grad for each in everything]
    values = [each.detach().clone() for each in fresh]
    decays = [group.get("weight_decay") for group in groups]
    for each in everything:
        each.grad = None
    for each in fresh:
        each.grad = each.detach().new_zeros(each.shape)
    for group in groups:
        group.update({"weight_decay": 0} if "weight_decay" in group else {})
    try:
        optimizer.step()
    finally:
        for each, gradient in zip(everything, gradients, strict=True):
            each.grad = gradient
        for each, value in zip(fresh, values, strict=True):
            each.detach().copy_(value)
        for group, decay in zip(groups, decays, strict=True):
            group.update({} if decay is None else {"weight_decay": decay})
    for each in fresh:
        if hasattr(optimizer.state[each].get("step"), "zero_"):
            optimizer.state[each]["step"].zero_()


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
    PCCLError.check(lib.pcclStateInspect(text_of(os.fsencode(path), "the path"), info), "pcclStateInspect")
    return CheckpointInfo(info.revision, bytes(info.lineage.data), info.tensor_count, info.tensor_bytes)


def _options_of(tensors: Mapping[str, Any], strategy: SharedStateSyncStrategy | str, changed: Collection[str] | None,
                threads: int) -> d.pcclStateSyncOptions_t:
    options = d.pcclStateSyncOptions_t(size=ctypes.sizeof(d.pcclStateSyncOptions_t),
                                       threads=whole_number("threads", threads, 2**32),
                                       strategy=number(d.pcclEnumSyncStrategy, strategy))
    if changed is not None:
        _check_names("changed", changed, tensors)
        options.dirty = (ctypes.c_bool * len(tensors))(*[name in changed for name in tensors])
    return options


def sync(communicator: Communicator, tensors: Mapping[str, Any], *, revision: int,
         strategy: SharedStateSyncStrategy | str = SharedStateSyncStrategy.ENFORCE_POPULAR,
         changed: Collection[str] | None = None, unequal: Collection[str] = (), threads: int = 0) -> SyncInfo:
    """Makes the tensors the same on all members, which all make this call. `changed`: the names of those that may have
    changed since the last call; the others need not be hashed again. `unequal`: those whose content may differ."""
    state = _state_of(tensors, revision, unequal)
    options = _options_of(tensors, strategy, changed, threads)
    info = d.pcclStateSyncInfo_t(size=ctypes.sizeof(d.pcclStateSyncInfo_t))
    blocking(communicator._life, "pcclStateSync", communicator._comm, state._c, options, info)
    return SyncInfo(state.revision, info.tx_bytes, info.rx_bytes, info.hashed_bytes,
                    info.tx_wire_bytes, info.rx_wire_bytes)


def check(communicator: Communicator, tensors: Mapping[str, Any], *, changed: Collection[str] | None = None,
          unequal: Collection[str] = (), threads: int = 0) -> None:
    """Are the tensors the same on all members, which all make this call? If not, MismatchError names the tensor, the
    first element that differs, and the ranks."""
    state = _state_of(tensors, 0, unequal)
    options = _options_of(tensors, SharedStateSyncStrategy.ENFORCE_POPULAR, changed, threads)
    blocking(communicator._life, "pcclStateCheck", communicator._comm, state._c, options, None)


def lend(communicator: Communicator, tensors: Mapping[str, Any], *, unequal: Collection[str] = ()) -> None:
    """Lets newcomers read the tensors while they wait for admission, until take_back(), or until others are lent. They
    may change meanwhile, and must stay where they are."""
    state = _state_of(tensors, 0, unequal)
    blocking(communicator._life, "pcclStateLend", communicator._comm, state._c)
    communicator._lent = state


def take_back(communicator: Communicator) -> None:
    """Nothing reads the tensors any more when it returns."""
    blocking(communicator._life, "pcclStateTakeBack", communicator._comm)
    communicator._lent = None


class Prefetch:
    """What has come of a prefetch, when the communicator has connected."""

    def __init__(self, state: SharedState) -> None:
        self._state = state
        self._info = d.pcclStateSyncInfo_t(size=ctypes.sizeof(d.pcclStateSyncInfo_t))

    @property
    def rx_bytes(self) -> int:
        return int(self._info.rx_bytes)


def prefetch(communicator: Communicator, tensors: Mapping[str, Any], *, unequal: Collection[str] = ()) -> Prefetch:
    """Before the communicator connects: while connect() waits for admission, the tensors are filled with what members
    lend, and sync() moves the rest. They must not be used meanwhile."""
    made = Prefetch(_state_of(tensors, 0, unequal))
    blocking(communicator._life, "pcclStatePrefetch", communicator._comm, made._state._c, made._info)
    communicator._prefetched = made
    return made
