"""pccl: fault-tolerant collective communication. `import pccl` works as PCCL 1.0's package does, and without NumPy and
torch; include/pccl/pccl.h is the manual of what lies below."""

from . import cuda, errors, state
from ._library import lib as _lib
from .communicator import AsyncReduceHandle, Communicator, ReduceOpDescriptor
from .errors import PCCLError, Result
from .master import MasterNode
from .shared_state import SharedState, TensorInfo
from .types import (Attribute, DataType, DeviceType, DistributionHint, QuantizationAlgorithm, QuantizationOptions,
                    ReduceDescriptor, ReduceInfo, ReduceOp, ReduceOperandDescriptor, SharedStateSyncInfo,
                    SharedStateSyncStrategy)

__all__ = [
    "AsyncReduceHandle", "Attribute", "Communicator", "DataType", "DeviceType", "DistributionHint", "MasterNode",
    "PCCLError", "QuantizationAlgorithm", "QuantizationOptions", "ReduceDescriptor", "ReduceInfo", "ReduceOp",
    "ReduceOpDescriptor", "ReduceOperandDescriptor", "Result", "SharedState", "SharedStateSyncInfo",
    "SharedStateSyncStrategy", "TensorInfo", "cuda", "errors", "state",
]

PCCLError.check(_lib.pcclInit(), "pcclInit")
