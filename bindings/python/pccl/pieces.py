"""Collectives of large torch tensors on accelerators, or on the host, in pieces: one is copied to or from pinned memory
while others travel. All members call the same function with the same arguments, wherever their tensors are, for they
have to cut alike.

    import pccl.pieces
    pccl.pieces.all_reduce(communicator, tensor, op="avg")

A piece is an operation of its own, and four are in flight at a time, under `tag` and the three tags after it. When
one fails, no more are launched; those in flight end as they may, and recv has the results of those that end well, so
what was reduced in place is partly as it was. Whatever else is raised while some are in flight, by Ctrl-C or by a
piece that can't be launched here, aborts the communicator, or the others would wait for pieces that do not come.
Copies come after what the caller's current stream has been given, and what it is given afterwards comes after them.
Never tried on a real accelerator: docs/parts/torch.md."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from ._devices import HOST, Mark, Tensor, bytes_in, device_of
from .communicator import Communicator
from .errors import PCCLError, RankConnectionLostError, Result, TooFewPeersError
from .operations import Choices, Handle, OperationInfo
from .types import ReduceOp

if TYPE_CHECKING:
    from typing_extensions import Unpack

PIECE_BYTES = 8 << 20
_SLOTS = 4
_Launch = Callable[[Tensor, Choices], Handle]  # of a piece in the memory of the host


def all_reduce(communicator: Communicator, send: Tensor, recv: Tensor | None = None, *, op: ReduceOp | str =
               ReduceOp.SUM, piece_bytes: int = PIECE_BYTES, **choices: Unpack[Choices]) -> list[OperationInfo]:
    """recv = the reduction of all members' send, alike in type and size. Without recv: in place. Returns what has
    become of each piece. There is no residual."""
    if choices.get("residual") is not None:
        raise ValueError("pieces have no residual")
    return _in_pieces(communicator, send, send if recv is None else recv, piece_bytes, choices, lambda piece, its:
                      communicator.all_reduce_with_async(piece, op=op, **its))


def broadcast(communicator: Communicator, tensor: Tensor, *, root: int = 0, piece_bytes: int = PIECE_BYTES,
              **choices: Unpack[Choices]) -> list[OperationInfo]:
    """Every member's tensor = that of the member that has rank `root` now. RankConnectionLostError, on all alike: the
    members changed in the midst of it, and pieces may be of two."""
    infos = _in_pieces(communicator, tensor, tensor, piece_bytes, choices, lambda piece, its:
                       communicator.broadcast_async(piece, root=root, **its))
    if len({info.epoch for info in infos}) > 1:
        raise RankConnectionLostError(Result.RANK_CONNECTION_LOST, "pccl.pieces.broadcast",
                                      "the members changed between two pieces: call it again")
    return infos


class _Slot:
    """Memory of a piece, and what is in flight there."""

    def __init__(self) -> None:
        self.room: Tensor = None  # pinned
        self.memory: Tensor = None
        self.handle: Handle | None = None
        self.target: Tensor = None
        self.busy: Mark = None


def _in_pieces(communicator: Communicator, source: Tensor, target: Tensor, piece_bytes: int, choices: Choices,
               launch: _Launch) -> list[OperationInfo]:
    device = device_of(target)
    if device_of(source) is not device or source.dtype != target.dtype or source.numel() != target.numel():
        raise ValueError("send and recv are on one device, and alike in type and size")
    if not source.is_contiguous() or not target.is_contiguous():
        raise ValueError("the tensors are not contiguous: pass their contiguous()")
    size = max(piece_bytes // source.element_size(), 1) * source.element_size()
    begin, end = device.record(), None
    left, right = bytes_in(source), bytes_in(target)
    slots = [_Slot() for _ in range(_SLOTS)]
    infos: list[OperationInfo] = []
    is_known = False  # to all members: how an operation ends, and that a wait was interrupted, which aborts

    def take(slot: _Slot) -> None:
        nonlocal end, is_known
        handle, slot.handle = slot.handle, None
        if handle is not None:
            is_known = True
            infos.append(handle._wait_or_abort())
            is_known = False
            if slot.target is not slot.memory:
                slot.busy = end = device.copy_out([(slot.memory, slot.target)])

    count = max(-(-left.numel() // size), 1)
    try:
        for index in range(count + _SLOTS):
            slot = slots[index % _SLOTS]
            take(slot)
            if index >= count:
                continue
            device.reach(slot.busy)
            piece, slot.target = (each[index * size:(index + 1) * size] for each in (left, right))
            if device is not HOST and slot.room is None:
                slot.room = device.memory(min(size, left.numel()))
            slot.memory = slot.target if device is HOST else slot.room[:piece.numel()]
            device.reach(device.copy_in([(slot.memory, piece)], begin))
            its: Choices = {**choices, "tag": choices.get("tag", 0) + index % _SLOTS}
            slot.handle = launch(slot.memory.view(source.dtype), its)
    except (RankConnectionLostError, TooFewPeersError):
        raise  # so it is for all that are left
    except BaseException:  # the others can't know that they get no more pieces
        if not is_known and any(slot.handle is not None for slot in slots):
            communicator._life.abort()
        raise
    finally:
        for slot in slots:  # those after one that has failed
            if slot.handle is not None:
                with contextlib.suppress(PCCLError):
                    slot.handle._wait_or_abort()
        device.reach(end)
    return infos
