"""Which operation of the library a reduction of PyTorch's is, and what has to be done before and after it."""

from __future__ import annotations

from typing import Any, NamedTuple

from .. import _declarations as d
from ._facade import Tensor, dist, torch

_TYPES: dict[Any, int] = {
    torch.uint8: d.pcclUint8, torch.int8: d.pcclInt8, torch.int16: d.pcclInt16, torch.uint16: d.pcclUint16,
    torch.uint32: d.pcclUint32, torch.int32: d.pcclInt32, torch.uint64: d.pcclUint64, torch.int64: d.pcclInt64,
    torch.float16: d.pcclFloat16, torch.bfloat16: d.pcclBFloat16, torch.float32: d.pcclFloat,
    torch.float64: d.pcclDouble,
}
_KIND = dist.ReduceOp.RedOpType
_OPS: dict[Any, int] = {_KIND.SUM: d.pcclSum, _KIND.AVG: d.pcclAvg, _KIND.PRODUCT: d.pcclProd, _KIND.MIN: d.pcclMin,
                        _KIND.MAX: d.pcclMax, _KIND.PREMUL_SUM: d.pcclSum}
# Of truth values, one byte each, 0 or 1.
_LOGICAL: dict[Any, int] = {_KIND.SUM: d.pcclMax, _KIND.MAX: d.pcclMax, _KIND.BOR: d.pcclMax, _KIND.PRODUCT: d.pcclMin,
                            _KIND.MIN: d.pcclMin, _KIND.BAND: d.pcclMin}
_BITWISE: dict[Any, Any] = {_KIND.BAND: torch.bitwise_and, _KIND.BOR: torch.bitwise_or, _KIND.BXOR: torch.bitwise_xor}


class Reduction(NamedTuple):
    """datatype, op: the library's. parts: elements of the library's in one of PyTorch's. factor: that contributions are
    to be multiplied by first; None: none. gather: the library has no such operation: contributions are gathered, and
    combined two at a time by this function."""

    datatype: int
    op: int
    parts: int = 1
    factor: Any = None
    gather: Any = None


def reduction_of(operation: Any, tensor: Tensor) -> Reduction:
    """ValueError: there is none."""
    kind, dtype = operation.op, tensor.dtype
    if dtype is torch.bool:
        if kind in _LOGICAL:
            return Reduction(d.pcclUint8, _LOGICAL[kind])
        if kind == _KIND.BXOR:
            return Reduction(d.pcclUint8, d.pcclSum, gather=_BITWISE[kind])
        raise ValueError(f"pccl has no {kind.name} of truth values")
    if kind in _BITWISE:
        if dtype not in _TYPES or dtype.is_floating_point:
            raise ValueError(f"{kind.name} is for integers, not for {dtype}")
        return Reduction(_TYPES[dtype], d.pcclSum, gather=_BITWISE[kind])
    factor = operation.factor if kind == _KIND.PREMUL_SUM else None
    if dtype.is_complex and kind in (_KIND.SUM, _KIND.AVG, _KIND.PREMUL_SUM):
        part = torch.float64 if dtype is torch.complex128 else torch.float32 if dtype is torch.complex64 else None
        if part is not None:
            return Reduction(_TYPES[part], _OPS[kind], 2, factor)
    if dtype not in _TYPES or kind not in _OPS:
        raise ValueError(f"pccl has no {kind.name} of {dtype}")
    return Reduction(_TYPES[dtype], _OPS[kind], 1, factor)
