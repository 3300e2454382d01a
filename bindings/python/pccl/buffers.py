"""Where the elements of a tensor lie: NumPy arrays, torch tensors, and whatever has the buffer protocol. Nothing is
copied; what can't be used as it is raises ValueError."""

from __future__ import annotations

import ctypes
import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

from .types import DataType, DeviceType

# struct module's formats, by kind and size; "l" and "q" differ with the platform, their sizes do not.
_KINDS = {"b": "int", "h": "int", "i": "int", "l": "int", "q": "int", "n": "int", "B": "uint", "c": "uint", "H": "uint",
          "I": "uint", "L": "uint", "Q": "uint", "N": "uint", "e": "float", "f": "float", "d": "float"}


class Buffer(NamedTuple):
    """Contiguous elements. `owner` keeps them alive."""

    pointer: int
    count: int  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleMethodOverride]
    datatype: DataType
    device: DeviceType
    owner: Any


_new: Any = getattr(tuple, "__new__")  # noqa: B009  # without a type
_buffer: Callable[[tuple[Any, ...]], Buffer] = functools.partial(_new, Buffer)  # without a call of Python
_CPU = DeviceType.CPU


def _of_dtensor(tensor: Any, _: bool) -> Buffer:
    raise ValueError("a DTensor is spread over ranks: pass its to_local()")


_dense: set[Any] = set()  # torch.strided, when it was seen


def _check_layout(layout: Any) -> None:
    name = str(layout)
    if name != "torch.strided":
        what = "sparse" if "sparse" in name else "not dense"
        raise ValueError(f"the tensor is {what} ({name}): pass its to_dense(), or its parts")
    _dense.add(layout)


def _of_torch(tensor: Any, _: bool) -> Buffer:
    if tensor.requires_grad and not tensor.is_leaf:
        raise ValueError("the tensor is part of a graph: pass its detach()")
    if tensor.layout not in _dense:
        _check_layout(tensor.layout)
    if not tensor.is_contiguous():
        raise ValueError("the tensor is not contiguous: pass its contiguous()")
    return Buffer(tensor.data_ptr(), tensor.numel(), DataType.from_torch_dtype(tensor.dtype),
                  _CPU if tensor.is_cpu else DeviceType.from_torch_device_type(tensor.device.type), tensor)


_natives: dict[Any, DataType] = {}  # NumPy's types in the byte order of this machine
_from_buffer = ctypes.c_char.from_buffer
_address_of = ctypes.addressof


def _of_numpy(array: Any, writable: bool) -> Buffer:
    datatype = _natives.get(array.dtype)
    if datatype is not None:
        try:  # what can be had so is contiguous and writable
            return _buffer((_address_of(_from_buffer(array)), array.size, datatype, _CPU, array))
        except (TypeError, ValueError):
            pass
    return _of_any_numpy(array, writable)


def _of_any_numpy(array: Any, writable: bool) -> Buffer:
    if not array.dtype.isnative:
        raise ValueError("the array has another byte order than this machine: pass array.astype() of its "
                         "dtype.newbyteorder('=')")
    flags = array.flags
    if not flags.c_contiguous:
        raise ValueError("the array is not contiguous: pass numpy.ascontiguousarray() of it")
    if writable and not flags.writeable:
        raise ValueError("the array is read-only: pass one that may be written to")
    datatype = _natives[array.dtype] = DataType.from_numpy_dtype(array.dtype)
    return Buffer(array.ctypes.data, array.size, datatype, _CPU, array)


def _of_masked(array: Any, _: bool) -> Buffer:
    raise ValueError("the array is masked: pass its filled()")


def _of_memory(value: Any, writable: bool) -> Buffer:
    try:
        view = memoryview(value)
    except TypeError:
        raise ValueError(f"pccl takes NumPy arrays, torch tensors, DLPack and buffers, not "
                         f"{type(value).__name__}") from None
    if not view.c_contiguous:
        raise ValueError("the buffer is not contiguous")
    if writable and view.readonly:
        raise ValueError("the buffer is read-only: pass one that may be written to (a bytearray, say)")
    kind = _KINDS.get(view.format.lstrip("@=<"))
    if kind is None:
        raise ValueError(f"pccl has no type for a buffer of format '{view.format}'")
    datatype = DataType._by_name(f"{kind}{8 * view.itemsize}", view.format)
    return Buffer(_address(view), view.nbytes // view.itemsize, datatype, _CPU, view)


class _PyBuffer(ctypes.Structure):
    """The beginning of CPython's Py_buffer, and room for the rest of it."""

    _fields_ = [("buf", ctypes.c_void_p), ("rest", ctypes.c_byte * 200)]


def _address(view: memoryview) -> int:
    # Also of a read-only one, which ctypes' from_buffer() does not take.
    raw = _PyBuffer()
    ctypes.pythonapi.PyObject_GetBuffer(ctypes.py_object(view), ctypes.byref(raw), 0)
    address = raw.buf or 0
    ctypes.pythonapi.PyBuffer_Release(ctypes.byref(raw))
    return address


class _DLTensor(ctypes.Structure):
    """DLPack's description of a tensor."""

    _fields_ = [("data", ctypes.c_void_p), ("device_type", ctypes.c_int32), ("device_id", ctypes.c_int32),
                ("ndim", ctypes.c_int32), ("code", ctypes.c_uint8), ("bits", ctypes.c_uint8),
                ("lanes", ctypes.c_uint16), ("shape", ctypes.POINTER(ctypes.c_int64)),
                ("strides", ctypes.POINTER(ctypes.c_int64)), ("byte_offset", ctypes.c_uint64)]


_DLPACK_KINDS = {0: "int", 1: "uint", 2: "float", 4: "bfloat"}
_DLPACK_CPU, _DLPACK_CUDA = 1, 2
_capsule_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_capsule_pointer.restype = ctypes.c_void_p
_capsule_pointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
_capsule_is = ctypes.pythonapi.PyCapsule_IsValid
_capsule_is.argtypes = [ctypes.py_object, ctypes.c_char_p]


class _DLManagedTensorVersioned(ctypes.Structure):
    """What says more of it, since DLPack 1.0."""

    _fields_ = [("version", ctypes.c_uint32 * 2), ("manager", ctypes.c_void_p), ("deleter", ctypes.c_void_p),
                ("flags", ctypes.c_uint64), ("tensor", _DLTensor)]


_DLPACK_READ_ONLY = 1


def _capsule_of(value: Any) -> Any:
    try:
        return value.__dlpack__(max_version=(1, 0))
    except TypeError:  # it is of before that
        return value.__dlpack__()


def _tensor_of(capsule: Any, writable: bool) -> _DLTensor:
    if not _capsule_is(capsule, b"dltensor_versioned"):
        return _DLTensor.from_address(_capsule_pointer(capsule, b"dltensor"))
    managed = _DLManagedTensorVersioned.from_address(_capsule_pointer(capsule, b"dltensor_versioned"))
    if writable and managed.flags & _DLPACK_READ_ONLY:
        raise ValueError("the tensor is read-only: pass one that may be written to")
    tensor: _DLTensor = managed.tensor
    return tensor


def _of_dlpack(value: Any, writable: bool) -> Buffer:
    device, _ = value.__dlpack_device__()
    if device not in (_DLPACK_CPU, _DLPACK_CUDA):
        raise ValueError(f"pccl knows tensors on cpu and cuda, not on DLPack's device {device}")
    capsule = _capsule_of(value)  # never consumed: it frees what it holds when it goes, and is the owner until then
    tensor = _tensor_of(capsule, writable)
    shape = [tensor.shape[axis] for axis in range(tensor.ndim)]
    count = math.prod(shape)
    expected = 1
    for axis in reversed(range(tensor.ndim if tensor.strides and count else 0)):
        if shape[axis] != 1 and tensor.strides[axis] != expected:
            raise ValueError("the tensor is not contiguous")
        expected *= shape[axis]
    if tensor.code not in _DLPACK_KINDS or tensor.lanes != 1:
        raise ValueError(f"pccl has no type for DLPack's {tensor.code} of {tensor.bits} bits in {tensor.lanes} lanes")
    name = f"{_DLPACK_KINDS[tensor.code]}{tensor.bits}"
    return Buffer((tensor.data or 0) + tensor.byte_offset, count, DataType._by_name(name, name),
                  DeviceType.CPU if device == _DLPACK_CPU else DeviceType.CUDA, capsule)


_takers: dict[Any, Callable[[Any, bool], Buffer]] = {}  # for each type that was seen


def _taker_of(value: Any) -> Callable[[Any, bool], Buffer]:
    """Knows where values of this type have their elements."""
    kind: type[Any] = type(value)  # pyright: ignore[reportUnknownVariableType]
    return _takers.get(kind) or _takers.setdefault(kind, _find_taker(kind))


def _find_taker(kind: type[Any]) -> Callable[[Any, bool], Buffer]:
    if kind.__module__.partition(".")[0] == "torch" or any(
            base.__module__ == "torch" and base.__name__ == "Tensor" for base in kind.__mro__):
        return _of_dtensor if hasattr(kind, "full_tensor") else _of_torch
    if any(base.__module__ == "numpy" and base.__name__ == "ndarray" for base in kind.__mro__):
        return _of_masked if hasattr(kind, "mask") else _of_numpy
    return _of_dlpack if hasattr(kind, "__dlpack__") else _of_memory


def buffer_of(value: Any, *, writable: bool) -> Buffer:
    """The elements of a NumPy array, a torch tensor, or anything with DLPack or the buffer protocol."""
    return (_takers.get(type(value)) or _taker_of(value))(value, writable)


def pair_of(send: Any, recv: Any) -> tuple[Buffer, Buffer]:
    """Input and output of an all-reduce: alike in kind, type and size, in the memory of the host."""
    right = (_takers.get(type(recv)) or _taker_of(recv))(recv, True)
    if right.device is not _CPU:
        check_host(right)
    if send is recv:
        return right, right
    left = buffer_of(send, writable=False)
    if (_taker_of(send) is _of_torch) != (_taker_of(recv) is _of_torch):
        raise ValueError("send and recv must both be torch tensors, or neither")
    if left.datatype is not right.datatype:
        raise ValueError(f"send is of {left.datatype.name}, recv of {right.datatype.name}")
    if left.count != right.count:
        raise ValueError(f"send has {left.count} elements, recv {right.count}")
    check_host(left)
    return left, right


def check_host(*buffers: Buffer) -> None:
    """Collectives take what is in the memory of the host."""
    for buffer in buffers:
        if buffer.device is not _CPU:
            raise ValueError("the tensors must be in the memory of the host: pass their cpu(), or see pccl.pieces")
