"""Named tensors that are to be the same on all peers, and checkpoints of them."""

from __future__ import annotations

import ctypes
import importlib
import os
from collections.abc import Sequence
from typing import Any

from . import _declarations as d
from ._library import lib
from .buffers import buffer_of
from .errors import PCCLError
from .settings import text_of
from .types import DataType, DeviceType, whole_number


def _as_known(tensor: Any) -> Any:
    kind = str(getattr(tensor, "dtype", ""))
    if kind == "torch.bool":
        return tensor.view(importlib.import_module("torch").uint8)
    return tensor.view("uint8") if kind == "bool" else tensor


class TensorInfo:
    """One tensor of a shared state. Keeps its memory alive when made by from_torch() or from_numpy()."""

    def __init__(self, name: str, data_ptr: int, *, numel: int, dtype: DataType,
                 device_type: DeviceType = DeviceType.CPU, allow_content_inequality: bool = False) -> None:
        if not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"the name of a tensor is text, not {name!r}")
        if data_ptr == 0 and numel > 0:
            raise ValueError(f"tensor '{name}' has no data")
        self.name = name
        self._c_name = text_of(name.encode(), "the name of a tensor")
        self.data_ptr = data_ptr
        self.numel = numel
        self.dtype = dtype
        self.device_type = device_type
        self.allow_content_inequality = allow_content_inequality
        self.shape: tuple[int, ...] = (numel,)
        self._owner: Any = None

    @classmethod
    def of(cls, tensor: Any, name: str, *, allow_content_inequality: bool = False) -> TensorInfo:
        """Of a torch tensor, a NumPy array or a buffer. Truth values are bytes here: nothing is reckoned with them.
        ValueError: not contiguous, read-only, a DTensor."""
        try:
            buffer = buffer_of(_as_known(tensor), writable=True)
        except ValueError as error:
            raise ValueError(f"tensor '{name}': {error}") from error
        made = cls(name, buffer.pointer, numel=buffer.count, dtype=buffer.datatype, device_type=buffer.device,
                   allow_content_inequality=allow_content_inequality)
        made.shape = tuple(getattr(tensor, "shape", (buffer.count,)))
        made._owner = buffer.owner
        return made

    @classmethod
    def from_torch(cls, tensor: Any, name: str, *, allow_content_inequality: bool = False) -> TensorInfo:
        """of(), under the name of PCCL 1.0."""
        return cls.of(tensor, name, allow_content_inequality=allow_content_inequality)

    @classmethod
    def from_numpy(cls, tensor: Any, name: str, *, allow_content_inequality: bool = False) -> TensorInfo:
        """of(), under the name of PCCL 1.0."""
        return cls.of(tensor, name, allow_content_inequality=allow_content_inequality)


class SharedState:
    """Tensors with a revision. Keeps them alive."""

    def __init__(self, tensor_infos: Sequence[TensorInfo]) -> None:
        if not tensor_infos:
            raise ValueError("a shared state has at least one tensor")
        self._infos = list(tensor_infos)
        self._tensors = (d.pcclTensorInfo_t * len(self._infos))()
        for made, info in zip(self._tensors, self._infos, strict=True):
            made.name = info._c_name
            made.data = info.data_ptr or None
            made.count = info.numel
            made.datatype = info.dtype.value
            made.device_type = info.device_type.value
            made.allow_content_inequality = info.allow_content_inequality
        self._c = d.pcclSharedState_t(0, len(self._infos), self._tensors)

    @property
    def revision(self) -> int:
        """Of the content; a synchronization may raise it."""
        return int(self._c.revision)

    @revision.setter
    def revision(self, value: int) -> None:
        if not 0 <= value < 2**64:
            raise ValueError(f"a revision is a number from 0 to {2**64 - 1}, not {value}")
        self._c.revision = value

    def push_revision(self) -> None:
        """The content has changed: one more."""
        self._c.revision += 1

    def _options(self, threads: int) -> d.pcclCheckpointOptions_t:
        dimensions = [(ctypes.c_uint64 * max(len(info.shape), 1))(*info.shape) for info in self._infos]
        shapes = (d.pcclTensorShape_t * len(self._infos))(
            *[d.pcclTensorShape_t(len(info.shape), each) for info, each in zip(self._infos, dimensions, strict=True)])
        return d.pcclCheckpointOptions_t(size=ctypes.sizeof(d.pcclCheckpointOptions_t), shapes=shapes,
                                         threads=whole_number("threads", threads, 2**32))

    def save(self, path: str | os.PathLike[str], *, lineage: bytes = bytes(16), threads: int = 0) -> None:
        """Writes a checkpoint, a safetensors file, in place of the one that is there. See pccl/state.h."""
        if len(lineage) != 16:
            raise ValueError("a lineage has 16 bytes")
        options = self._options(threads)
        options.lineage.data[:] = lineage
        PCCLError.check(lib.pcclStateSave(self._c, text_of(os.fsencode(path), "the path"), options), "pcclStateSave")

    def load(self, path: str | os.PathLike[str], *, accept_foreign: bool = False, threads: int = 0) -> None:
        """Reads these tensors, by name, and the revision from a checkpoint, and verifies them. With accept_foreign also
        from a safetensors file of another program, of which nothing can be verified. InvalidArgumentError: one is
        missing, or of another type, number of elements, or shape (if neither has one dimension)."""
        options = self._options(threads)
        options.accept_foreign = accept_foreign
        PCCLError.check(lib.pcclStateLoad(self._c, text_of(os.fsencode(path), "the path"), options), "pcclStateLoad")
