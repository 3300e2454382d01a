"""A communication hook of DDP: gradients travel by a codec, and the next step makes good what that took from them."""

import functools
from typing import TYPE_CHECKING, Any, NamedTuple

from ..operations import CodecChoices, choice_number
from ._collectives import bytes_of
from ._facade import GradBucket, Tensor, Tensors, TensorFuture, dist, torch, untraced
from ._group import ProcessGroup
from ._launcher import Launches, collective, dense
from ._reduction import reduction_of
from ._staging import Move

if TYPE_CHECKING:
    from typing_extensions import Unpack


class _Kept(NamedTuple):
    """Of one bucket."""

    parameters: Tensors
    residual: Tensor


class CodecState:
    """What codec_hook() needs: which codec, and for each bucket what the codec has taken from gradients so far.

        model.register_comm_hook(pccl.torch.CodecState(codec="int4"), pccl.torch.codec_hook)

    process_group: of the backend pccl; None: the default one, as it is in each step, so a state outlasts
    reconfigure(). codec and the other choices: docs/CODECS.md; "int8", the default, makes a quarter of float32's bytes,
    "int4" and "e3m0" an eighth. Where its table says that a codec refuses infinities or NaN, a step that has some
    raises CollectiveError on all ranks. error_feedback: what encoding takes from a gradient is added to the next one of
    its parameter. It needs as much memory as the gradients have as float32, and begins anew when DDP deals parameters
    out to buckets anew, as it does once after its first step. A step that fails leaves it as it was, but where a group
    cuts buckets above 8 MiB (docs/parts/torch.md): there pieces that have ended well keep what was taken from them.

    tx_bytes, rx_bytes: what this rank has sent and received for gradients so far, as they travel."""

    def __init__(self, process_group: Any = None, *, error_feedback: bool = True,
                 **choices: "Unpack[CodecChoices]") -> None:
        self.process_group = process_group
        self.error_feedback = error_feedback
        self.tx_bytes = self.rx_bytes = 0
        self._fields = {name: choice_number(name, value) for name, value in {"codec": "int8", **choices}.items()}
        self._kept: dict[int, _Kept] = {}

    def _residual(self, bucket: Any) -> Tensor:
        parameters, buffer = bucket.parameters(), bucket.buffer()
        kept = self._kept.get(bucket.index())
        if kept is None or len(kept.parameters) != len(parameters) or \
                any(old is not new for old, new in zip(kept.parameters, parameters, strict=True)):
            kind = torch.float64 if buffer.dtype is torch.float64 else torch.float32
            kept = self._kept[bucket.index()] = _Kept(parameters, torch.zeros(buffer.numel(), dtype=kind))
        return kept.residual

    def _count(self, launches: Launches) -> None:
        for launch in launches:
            for info in launch.infos():
                self.tx_bytes += info.tx_bytes
                self.rx_bytes += info.rx_bytes


@untraced
def codec_hook(state: CodecState, bucket: GradBucket) -> TensorFuture:
    """Makes a bucket of gradients the average of all ranks' by CodecState's codec: for
    DistributedDataParallel.register_comm_hook()."""
    group = dist.group.WORLD if state.process_group is None else state.process_group
    if not isinstance(group, ProcessGroup):
        raise TypeError("pccl.torch.codec_hook() is for groups of the backend pccl")
    return _average(group, state, bucket)


@collective
def _average(group: ProcessGroup, state: CodecState, bucket: Any) -> Any:
    buffer = dense(bucket.buffer())
    if not buffer.is_floating_point():
        raise ValueError(f"codecs are for floating point gradients, not for {buffer.dtype}")
    launches: Launches = []
    if group._size > 1:
        launches.append(_launch(state, group, bucket, buffer))
    work = group._work(launches, [buffer], functools.partial(state._count, launches))
    return work.get_future().then(_tensor_of)


def _launch(state: CodecState, group: ProcessGroup, bucket: Any, buffer: Tensor) -> Any:
    reduction = reduction_of(dist.ReduceOp(dist.ReduceOp.AVG), buffer)
    return group._move(Move(
        "pcclAllReduceWith", buffer, buffer, buffer.numel(), bytes_of(buffer), reduction.datatype, in_place=True,
        op=reduction.op, residual=state._residual(bucket) if state.error_feedback else None, fields=state._fields))


def _tensor_of(future: Any) -> Any:
    return future.value()[0]
