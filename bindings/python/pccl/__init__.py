"""pccl: fault-tolerant collective communication. `import pccl` works as PCCL 1.0's package does, and without NumPy and
torch; include/pccl/pccl.h is the manual of what lies below."""

from . import cuda, diloco, errors, log, state
from ._library import lib as _lib
from .communicator import AsyncReduceHandle, Communicator, ReduceOpDescriptor
from .errors import PCCLError, Result
from ._master import MasterNode
from .operations import Handle, OperationInfo
from .settings import (Binding, Checksums, FailurePolicy, Input, LateMembers, Overflow, Plan, Rounding, Security,
                       SecurityMode, Settings, Transport, Verify, Zstd, describe_key, generate_secret)
from .shared_state import SharedState, TensorInfo
from .types import (Attribute, DataType, DeviceType, DistributionHint, QuantizationAlgorithm, QuantizationOptions,
                    ReduceDescriptor, ReduceInfo, ReduceOp, ReduceOperandDescriptor, SharedStateSyncInfo,
                    SharedStateSyncStrategy)

__all__ = [
    "AsyncReduceHandle", "Attribute", "Binding", "Checksums", "Communicator", "DataType", "DeviceType",
    "DistributionHint", "FailurePolicy", "Handle", "Input", "LateMembers", "MasterNode", "OperationInfo", "Overflow",
    "PCCLError", "Plan", "QuantizationAlgorithm", "QuantizationOptions", "ReduceDescriptor", "ReduceInfo", "ReduceOp",
    "ReduceOpDescriptor", "ReduceOperandDescriptor", "Result", "Rounding", "Security", "SecurityMode", "Settings",
    "SharedState", "SharedStateSyncInfo", "SharedStateSyncStrategy", "TensorInfo", "Transport", "Verify", "Zstd",
    "cuda", "diloco", "describe_key", "errors", "generate_secret", "log", "state",
]

PCCLError.check(_lib.pcclInit(), "pcclInit")
