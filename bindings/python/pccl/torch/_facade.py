"""What of PyTorch the backend is made on. Type checkers see the few shapes below instead of PyTorch's own, which need
not be there."""

from __future__ import annotations

import types
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

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
_What = TypeVar("_What", bound=Any)


def untraced(given: _What) -> _What:
    """A function; of a class all that it has, and has from others of this package. torch.compile breaks its graph where
    it is called, as at what is in C++, and looks at nothing that it calls. It costs a call nothing, and does not import
    the compiler."""
    what: Any = given
    if not isinstance(what, type):
        what._torchdynamo_disable = True  # for who would trace into it
        what._torchdynamo_disable_msg = "it is the backend pccl's"
        frames = torch._C._dynamo.eval_frame  # for who calls it between two graphs
        if hasattr(frames, "set_code_exec_strategy"):  # since PyTorch 2.7
            skip = frames._FrameAction.SKIP
            frames.set_code_exec_strategy(what.__code__, frames._FrameExecStrategy(skip, skip))
    else:
        for each in what.__mro__:
            if each.__module__.startswith(f"{__package__}."):
                for member in vars(each).values():
                    if isinstance(member, types.FunctionType):
                        untraced(member)
    return given


__all__ = ["DistBackendError", "GradBucket", "ProcessGroupBase", "Tensor", "TensorFuture", "Tensors", "WorkBase",
           "c10d", "dist", "torch", "untraced"]
