"""Where tensors lie, and how their elements come to memory of the host and back: the one place that knows of streams
and events. A device's own order of work is kept: what a thread's current stream has been given before a collective is
done before its copies, and what it is given after a wait is done after them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    torch: Any
else:
    import torch

Tensor = Any
Stream = Any
Mark = Any  # a place in a stream; None: what is there already
Pairs = Sequence[tuple[Tensor, Tensor]]  # of bytes without gaps, as many on both sides: in the host's memory, and there


class Device(Protocol):
    """Any thread may use it."""

    devices: list[Any]  # of PyTorch's, for futures

    def memory(self, size: int) -> Tensor:
        """Bytes of the host that it copies from and to while the host does something else."""
        ...

    def record(self) -> Mark:
        """What the thread's current stream has been given so far."""
        ...

    def stream(self) -> Stream:
        """The thread's current one."""
        ...

    def follow(self, mark: Mark, stream: Stream = None) -> None:
        """What the stream (None: the thread's current one) is given from now on is done after that."""
        ...

    def reach(self, mark: Mark) -> None:
        """Blocks until it has been done."""
        ...

    def copy_in(self, pairs: Pairs, after: Mark) -> Mark:
        """To the host. The mark: all of it is there."""
        ...

    def copy_out(self, pairs: Pairs) -> Mark:
        """From the host."""
        ...


class Host:
    """Copies are done when a call returns."""

    devices: list[Any] = []

    def memory(self, size: int) -> Tensor:
        return torch.empty(size, dtype=torch.uint8)

    def record(self) -> Mark:
        return None

    def stream(self) -> Stream:
        return None

    def follow(self, mark: Mark, stream: Stream = None) -> None:
        pass

    def reach(self, mark: Mark) -> None:
        pass

    def copy_in(self, pairs: Pairs, after: Mark) -> Mark:
        for ours, theirs in pairs:
            ours.copy_(theirs)

    def copy_out(self, pairs: Pairs) -> Mark:
        for ours, theirs in pairs:
            theirs.copy_(ours)


class Accelerator:
    """Any that torch.accelerator knows. One stream for each direction, beside those of the program."""

    def __init__(self, device: Any) -> None:
        self.devices = [device]
        self._device = device
        self._in = torch.Stream(device=device)
        self._out = torch.Stream(device=device)
        self._entering = threading.Lock()  # a stream keeps what was current before it in itself

    def memory(self, size: int) -> Tensor:
        return torch.empty(size, dtype=torch.uint8, pin_memory=True)

    def record(self) -> Mark:
        return self.stream().record_event()

    def stream(self) -> Stream:
        return torch.accelerator.current_stream(self._device)

    def follow(self, mark: Mark, stream: Stream = None) -> None:
        if mark is not None:
            (self.stream() if stream is None else stream).wait_event(mark)

    def reach(self, mark: Mark) -> None:
        if mark is not None:
            mark.synchronize()

    def copy_in(self, pairs: Pairs, after: Mark) -> Mark:
        if after is not None:
            self._in.wait_event(after)
        with self._entering, self._in:
            for ours, theirs in pairs:
                ours.copy_(theirs, non_blocking=True)
        return self._in.record_event()

    def copy_out(self, pairs: Pairs) -> Mark:
        with self._entering, self._out:
            for ours, theirs in pairs:
                theirs.copy_(ours, non_blocking=True)
        return self._out.record_event()


HOST = Host()
of_classes: dict[type[Any], Device] = {}  # of tensors that say they are on the host, and are not: for tests
_accelerators: dict[Any, Device] = {}


def are_any() -> bool:
    """May this process have tensors elsewhere than in the host's memory?"""
    return bool(of_classes) or bool(torch.accelerator.is_available())


def device_of(tensor: Tensor) -> Device:
    """ValueError: pccl can't take it from there."""
    device = tensor.device
    if device.type == "cpu":
        kind: type[Any] = type(tensor)  # pyright: ignore[reportUnknownVariableType]
        return of_classes.get(kind, HOST) if of_classes else HOST
    found = _accelerators.get(device)
    if found is None:
        here = torch.accelerator.current_accelerator()
        if here is None or here.type != device.type:
            raise ValueError(f"pccl takes tensors in the memory of the host or on an accelerator, not on {device}")
        found = _accelerators.setdefault(device, Accelerator(device))
    return found


def bytes_in(tensor: Tensor) -> Tensor:
    """Of a dense one, one after the other."""
    return tensor.detach().view(-1).view(torch.uint8)


def to_host(tensor: Tensor) -> Tensor:
    """A dense one, as it is now: itself, if it is there already."""
    device = device_of(tensor)
    if device is HOST:
        return tensor
    theirs = bytes_in(tensor)
    ours = device.memory(theirs.numel())
    device.reach(device.copy_in([(ours, theirs)], device.record()))
    return ours


def from_host(tensor: Tensor) -> tuple[Tensor, Callable[[], None] | None]:
    """For what is to come into a dense one: where to put it, and what is to be done then."""
    device = device_of(tensor)
    if device is HOST:
        return tensor, None
    theirs, begin = bytes_in(tensor), device.record()
    ours = device.memory(theirs.numel())

    def bring() -> None:
        device.reach(begin)
        device.reach(device.copy_out([(ours, theirs)]))

    return ours, bring
