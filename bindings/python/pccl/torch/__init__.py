"""The backend "pccl" of torch.distributed, for tensors in the memory of the host and on accelerators.

    import pccl.torch
    torch.distributed.init_process_group("pccl")

With torchrun, or env:// by hand, rank 0 runs a master inside itself, unless PCCL_MASTERS says where masters are. All
PCCL_* variables count as they do for any communicator, those of security, too. Collectives are those of
torch.distributed; errors are CollectiveError, PeersLostError and CollectiveTimeoutError, which are the library's and
PyTorch's alike."""

from __future__ import annotations

from ._elastic import reconfigure
from ._errors import CollectiveError, CollectiveTimeoutError, PeersLostError
from ._group import ProcessGroup, monitored_barrier
from ._hook import CodecState, codec_hook

__all__ = ["CodecState", "CollectiveError", "CollectiveTimeoutError", "PeersLostError", "ProcessGroup", "codec_hook",
           "monitored_barrier", "reconfigure"]
