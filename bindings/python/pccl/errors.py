"""One exception class for each result of the library, all of them PCCLError."""

from __future__ import annotations

from enum import Enum

from . import _declarations as d
from ._library import last_error, lib


class Result(Enum):
    """What a call of the library returned. Those from OUT_OF_MEMORY on are not of PCCL 1.0."""

    SUCCESS = d.pcclSuccess
    NOT_INITIALIZED = d.pcclNotInitialized
    INTERNAL_ERROR = d.pcclInternalError
    INVALID_ARGUMENT = d.pcclInvalidArgument
    INVALID_USAGE = d.pcclInvalidUsage
    TOO_FEW_PEERS = d.pcclTooFewPeers
    MASTER_CONNECTION_FAILED = d.pcclMasterConnectionFailed
    RANK_CONNECTION_FAILED = d.pcclRankConnectionFailed
    RANK_CONNECTION_LOST = d.pcclRankConnectionLost
    NO_SHARED_STATE_AVAILABLE = d.pcclNoSharedStateAvailable
    PENDING_ASYNC_OPS = d.pcclPendingAsyncOps
    UPDATE_TOPOLOGY_FAILED = d.pcclUpdateTopologyFailed
    TOPOLOGY_OPTIMIZATION_FAILED = d.pcclTopologyOptimizationFailed
    OUT_OF_MEMORY = d.pcclOutOfMemory
    SYSTEM_ERROR = d.pcclSystemError
    TIMEOUT = d.pcclTimeout
    ABORTED = d.pcclAborted
    MISMATCH = d.pcclMismatch
    EVICTED = d.pcclEvicted
    TOO_MANY_OPERATIONS = d.pcclTooManyOperations
    RESULTS_DIFFER = d.pcclResultsDiffer


class PCCLError(Exception):
    """A call of the library failed. `result` says how, `cause` why, in the library's words."""

    def __init__(self, result: Result, func_name: str, cause: str = "") -> None:
        self.result = result
        self.func_name = func_name
        self.cause = cause or lib.pcclGetErrorString(result.value).decode()
        super().__init__(f"{func_name} failed with error: {result.name}: {self.cause}")

    def __reduce__(self) -> tuple[type[PCCLError], tuple[Result, str, str]]:
        """For who sends it to another process, as pools of workers do."""
        return type(self), (self.result, self.func_name, self.cause)

    @staticmethod
    def check(result: int, func_name: str = "[unknown function]", cause: str | None = None) -> None:
        """Raises the class of the result unless it is success. `cause`: of a call that another thread has made."""
        if result != d.pcclSuccess:
            kind = Result(result)
            raise _CLASSES[kind](kind, func_name, last_error() if cause is None else cause)


class NotInitializedError(PCCLError):
    """pcclInit() was not called; importing the package does."""


class InternalError(PCCLError):
    """A defect of the library: please report it."""


class InvalidArgumentError(PCCLError, ValueError):
    """An argument is wrong by itself."""


class InvalidUsageError(PCCLError):
    """The call is not allowed in this state."""


class TooFewPeersError(PCCLError):
    """The group has one member: there is nobody to reduce with."""


class MasterConnectionFailedError(PCCLError, ConnectionError):
    """No master could be reached, or it refused."""


class RankConnectionFailedError(PCCLError, ConnectionError):
    """A member could not be reached."""


class RankConnectionLostError(PCCLError, ConnectionError):
    """A member was lost; the survivors agreed to give the operation up."""


class NoSharedStateAvailableError(PCCLError):
    """Nobody has the state, or the file is no whole checkpoint."""


class PendingAsyncOpsError(PCCLError):
    """Operations are still to be awaited."""


class UpdateTopologyFailedError(PCCLError):
    """The joint call failed."""


class TopologyOptimizationFailedError(PCCLError):
    """The joint call failed."""


class OutOfMemoryError(PCCLError, MemoryError):
    """The library could not allocate."""


class SystemCallError(PCCLError, OSError):
    """A system call failed; the cause names it."""


class OperationTimeoutError(PCCLError, TimeoutError):
    """A deadline passed; the cause names who had not arrived."""


class AbortedError(PCCLError):
    """Communicator.abort() was called."""


class MismatchError(PCCLError):
    """Peers called different things under one tag."""


class EvictedError(PCCLError, ConnectionError):
    """The group went on without this peer."""


class TooManyOperationsError(PCCLError):
    """Too many operations are in flight."""


class ResultsDifferError(PCCLError):
    """The members hold different results."""


_CLASSES: dict[Result, type[PCCLError]] = {
    Result.NOT_INITIALIZED: NotInitializedError,
    Result.INTERNAL_ERROR: InternalError,
    Result.INVALID_ARGUMENT: InvalidArgumentError,
    Result.INVALID_USAGE: InvalidUsageError,
    Result.TOO_FEW_PEERS: TooFewPeersError,
    Result.MASTER_CONNECTION_FAILED: MasterConnectionFailedError,
    Result.RANK_CONNECTION_FAILED: RankConnectionFailedError,
    Result.RANK_CONNECTION_LOST: RankConnectionLostError,
    Result.NO_SHARED_STATE_AVAILABLE: NoSharedStateAvailableError,
    Result.PENDING_ASYNC_OPS: PendingAsyncOpsError,
    Result.UPDATE_TOPOLOGY_FAILED: UpdateTopologyFailedError,
    Result.TOPOLOGY_OPTIMIZATION_FAILED: TopologyOptimizationFailedError,
    Result.OUT_OF_MEMORY: OutOfMemoryError,
    Result.SYSTEM_ERROR: SystemCallError,
    Result.TIMEOUT: OperationTimeoutError,
    Result.ABORTED: AbortedError,
    Result.MISMATCH: MismatchError,
    Result.EVICTED: EvictedError,
    Result.TOO_MANY_OPERATIONS: TooManyOperationsError,
    Result.RESULTS_DIFFER: ResultsDifferError,
}
