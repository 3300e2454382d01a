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
else:
    import torch
    import torch._C._distributed_c10d as c10d
    import torch.distributed as dist
    from torch.distributed import DistBackendError
    from torch.distributed import ProcessGroup as ProcessGroupBase
    from torch.distributed import Work as WorkBase

Tensor = Any
Tensors = Sequence[Tensor]

__all__ = ["DistBackendError", "ProcessGroupBase", "Tensor", "Tensors", "WorkBase", "c10d", "dist", "torch"]
