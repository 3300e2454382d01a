"""What of PyTorch the backend is made on. Type checkers see the few shapes below instead of PyTorch's own, which need
not be there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    torch: Any
    dist: Any
    c10d: Any

    class ProcessGroupBase:
        """torch.distributed.ProcessGroup"""

        def __init__(self, rank: int, size: int) -> None: ...

    class WorkBase:
        """torch.distributed.Work"""

    class DistBackendError(RuntimeError):
        """torch.distributed.DistBackendError"""

    GradBucket = Any
    TensorFuture = Any
else:
    import torch
    import torch._C._distributed_c10d as c10d
    import torch.distributed as dist
    from torch.distributed import DistBackendError, GradBucket
    from torch.distributed import ProcessGroup as ProcessGroupBase
    from torch.distributed import Work as WorkBase

    TensorFuture = torch.futures.Future[torch.Tensor]

Tensor = Any
Tensors = Sequence[Tensor]

__all__ = ["DistBackendError", "GradBucket", "ProcessGroupBase", "Tensor", "TensorFuture", "Tensors", "WorkBase",
           "c10d", "dist", "torch"]
