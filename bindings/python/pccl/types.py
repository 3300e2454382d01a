"""The enumerations and descriptors of PCCL 1.0."""

from __future__ import annotations

import contextlib
import operator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from . import _declarations as d


def whole_number(name: str, value: Any, limit: int) -> int:
    """From 0 to limit - 1; ValueError: it is none. ctypes takes the low bits of whatever is too large."""
    found = -1
    with contextlib.suppress(TypeError):
        found = operator.index(value)  # NumPy has integers of its own
    if not 0 <= found < limit:
        raise ValueError(f"{name} is a number from 0 to {limit - 1}, not {value!r}")
    return found


class ReduceOp(Enum):
    """How contributions are combined."""

    SUM = d.pcclSum
    AVG = d.pcclAvg
    PROD = d.pcclProd
    MAX = d.pcclMax
    MIN = d.pcclMin


class Attribute(Enum):
    """Numbers about the world: Communicator.get_attribute()."""

    GLOBAL_WORLD_SIZE = d.PCCL_ATTRIBUTE_GLOBAL_WORLD_SIZE
    LOCAL_WORLD_SIZE = d.PCCL_ATTRIBUTE_PEER_GROUP_WORLD_SIZE
    NUM_DISTINCT_PEER_GROUPS = d.PCCL_ATTRIBUTE_NUM_DISTINCT_PEER_GROUPS
    LARGEST_PEER_GROUP_WORLD_SIZE = d.PCCL_ATTRIBUTE_LARGEST_PEER_GROUP_WORLD_SIZE


class SharedStateSyncStrategy(Enum):
    """Who may be heard in a synchronization of shared state."""

    ENFORCE_POPULAR = d.PCCL_SHARED_STATE_SYNC_STRATEGY_ENFORCE_POPULAR
    RECEIVE_ONLY = d.PCCL_SHARED_STATE_SYNC_STRATEGY_RECEIVE_ONLY
    SEND_ONLY = d.PCCL_SHARED_STATE_SYNC_STRATEGY_SEND_ONLY


class DataType(Enum):
    """Types of elements."""

    UINT8 = d.pcclUint8
    INT8 = d.pcclInt8
    INT16 = d.pcclInt16
    UINT16 = d.pcclUint16
    UINT32 = d.pcclUint32
    INT32 = d.pcclInt32
    UINT64 = d.pcclUint64
    INT64 = d.pcclInt64
    FLOAT16 = d.pcclFloat16
    BFLOAT16 = d.pcclBFloat16
    FLOAT = d.pcclFloat
    DOUBLE = d.pcclDouble

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return _ITEM_BYTES[self]

    def to_torch_dtype(self) -> Any:
        """The torch.dtype of this type."""
        import torch

        return getattr(torch, _NAMES[self])

    @classmethod
    def from_torch_dtype(cls, dtype: Any) -> DataType:
        """The type of a torch.dtype; ValueError if there is none."""
        found = _SEEN.get(dtype)
        return found or _remember(dtype, cls._by_name(str(dtype).rpartition(".")[2], dtype))

    def to_numpy_dtype(self) -> Any:
        """The numpy.dtype of this type; bfloat16 by ml_dtypes, if that is installed."""
        import numpy

        if self is DataType.BFLOAT16:
            import ml_dtypes

            return numpy.dtype(ml_dtypes.bfloat16)
        return numpy.dtype(_NAMES[self])

    @classmethod
    def from_numpy_dtype(cls, dtype: Any) -> DataType:
        """The type of a numpy.dtype (or what makes one); ValueError if there is none."""
        found = _SEEN.get(dtype)
        return found or _remember(dtype, cls._by_name(str(getattr(dtype, "name", getattr(dtype, "__name__", dtype))),
                                                      dtype))

    @classmethod
    def _by_name(cls, name: str, dtype: Any) -> DataType:
        for kind, known in _NAMES.items():
            if known == name:
                return kind
        raise ValueError(f"pccl has no type for {dtype}: it has {', '.join(_NAMES.values())}")


_SEEN: dict[Any, DataType] = {}  # by dtypes, of which there are few; asking one for its name takes long


def _remember(dtype: Any, kind: DataType) -> DataType:
    _SEEN[dtype] = kind
    return kind


_NAMES = {
    DataType.UINT8: "uint8", DataType.INT8: "int8", DataType.INT16: "int16", DataType.UINT16: "uint16",
    DataType.UINT32: "uint32", DataType.INT32: "int32", DataType.UINT64: "uint64", DataType.INT64: "int64",
    DataType.FLOAT16: "float16", DataType.BFLOAT16: "bfloat16", DataType.FLOAT: "float32", DataType.DOUBLE: "float64",
}
_ITEM_BYTES = {
    kind: 1 if name.endswith("t8") else 2 if name.endswith("16") else 4 if name.endswith("32") else 8
    for kind, name in _NAMES.items()
}


class DeviceType(Enum):
    """Where a tensor lives."""

    CPU = d.pcclDeviceCpu
    CUDA = d.pcclDeviceCuda

    @classmethod
    def from_torch_device_type(cls, device_type: str) -> DeviceType:
        """Of a torch.device's type; ValueError for others than cpu and cuda."""
        try:
            return {"cpu": cls.CPU, "cuda": cls.CUDA}[device_type]
        except KeyError:
            raise ValueError(f"pccl knows tensors on cpu and cuda, not on {device_type}") from None


class DistributionHint(Enum):
    """Accepted, not used."""

    NONE = d.pcclDistributionNone
    NORMAL = d.pcclDistributionNormal
    UNIFORM = d.pcclDistributionUniform


class QuantizationAlgorithm(Enum):
    """How elements travel; the first three are of PCCL 1.0, include/pccl/pccl.h describes the others."""

    NONE = d.pcclQuantNone
    MIN_MAX = d.pcclQuantMinMax
    ZERO_POINT_SCALE = d.pcclQuantZeroPointScale
    BF16 = d.pcclQuantBF16
    FP16 = d.pcclQuantFP16
    E4M3 = d.pcclQuantE4M3
    E5M2 = d.pcclQuantE5M2
    INT8 = d.pcclQuantInt8
    INT4 = d.pcclQuantInt4
    INT8_MIN_MAX = d.pcclQuantInt8MinMax
    INT4_MIN_MAX = d.pcclQuantInt4MinMax
    E3M0 = d.pcclQuantE3M0
    NF4 = d.pcclQuantNF4


@dataclass
class ReduceOperandDescriptor:
    """The elements of an all-reduce."""

    datatype: DataType
    distribution_hint: DistributionHint = DistributionHint.NONE

    def to_c(self) -> d.pcclReduceOperandDescriptor_t:
        return d.pcclReduceOperandDescriptor_t(self.datatype.value, self.distribution_hint.value)


@dataclass
class QuantizationOptions:
    """How the elements of an all-reduce travel."""

    quantized_datatype: DataType = DataType.UINT8
    algorithm: QuantizationAlgorithm = QuantizationAlgorithm.MIN_MAX

    def to_c(self) -> d.pcclQuantizationOptions_t:
        return d.pcclQuantizationOptions_t(self.quantized_datatype.value, self.algorithm.value)


def no_quantization() -> QuantizationOptions:
    return QuantizationOptions(DataType.FLOAT, QuantizationAlgorithm.NONE)


@dataclass
class ReduceDescriptor:
    """One all-reduce: elements, operation, and the tag that names it."""

    count: int
    op: ReduceOp
    tag: int
    operand_descriptor: ReduceOperandDescriptor
    quantization_options: QuantizationOptions = field(default_factory=no_quantization)

    def to_c(self) -> d.pcclReduceDescriptor_t:
        return d.pcclReduceDescriptor_t(whole_number("count", self.count, 2**64), self.op.value,
                                        whole_number("tag", self.tag, 2**64), self.operand_descriptor.to_c(),
                                        self.quantization_options.to_c())


@dataclass(frozen=True)
class ReduceInfo:
    """What became of an all-reduce: participants, and payload bytes of this peer."""

    local_world_size: int
    tx_bytes: int
    rx_bytes: int


@dataclass(frozen=True)
class SharedStateSyncInfo:
    """Payload bytes that a synchronization moved for this peer."""

    tx_bytes: int
    rx_bytes: int
