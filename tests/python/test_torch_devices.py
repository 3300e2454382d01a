"""Collectives of tensors that are not in the memory of the host, on a stand-in for an accelerator: nothing that a
stream of its is given happens before somebody waits for it, so who forgets to wait sees wrong data."""

import collections
import os
import signal
import threading
import time
import types
from datetime import timedelta

import pytest

torch = pytest.importorskip("torch")

import torch.distributed as dist  # noqa: E402
from test_operations import pair  # noqa: E402

import pccl.pieces  # noqa: E402
import pccl.torch  # noqa: E402
from pccl import _devices  # noqa: E402
from pccl.errors import (  # noqa: E402
    MismatchError, OutOfMemoryError, PCCLError, RankConnectionLostError, Result, TooFewPeersError)
from pccl.torch import CodecState, CollectiveError, PeersLostError, _staging, codec_hook  # noqa: E402

PIECE = 1 << 16


class Stream:
    """Work in order, done when somebody waits for it."""

    def __init__(self):
        self.given = collections.deque()
        self.count = self.done = 0

    def give(self, work):
        self.given.append(work)
        self.count += 1
        return self, self.count

    def reach(self, count):
        while self.done < count:
            self.given.popleft()()
            self.done += 1


class Lazy:
    """The device. Each thread has a current stream of its own."""

    devices = []

    def __init__(self):
        self.lock = threading.RLock()
        self.streams = threading.local()
        self.coming, self.going = Stream(), Stream()
        self.copies = []  # sizes
        self.made = []

    def current(self):
        if not hasattr(self.streams, "current"):
            self.streams.current = Stream()
        return self.streams.current

    def memory(self, size):
        self.made.append(size)
        return torch.full((size,), 0xee, dtype=torch.uint8)

    def record(self):
        with self.lock:
            return self.current().give(lambda: None)

    def stream(self):
        return self.current()

    def follow(self, mark, stream=None):
        if stream is not None:
            return  # it is for the sake of memory, which nobody gives away here
        if threading.current_thread().name == "pccl-futures":
            self.reach(mark)  # PyTorch's futures make streams follow, but only those of its own devices
        elif mark is not None:
            with self.lock:
                self.current().give(lambda: mark[0].reach(mark[1]))

    def reach(self, mark):
        if threading.current_thread().name == "pccl-out":
            time.sleep(0.005)  # or it would do what who waits for a work has forgotten
        if mark is not None:
            with self.lock:
                mark[0].reach(mark[1])

    def _copy(self, pairs, outwards):
        with torch.inference_mode():
            for ours, theirs in pairs:
                left, right = (theirs, ours) if outwards else (ours, theirs)
                plain(left).copy_(plain(right))

    def copy_in(self, pairs, after):
        with self.lock:
            self.copies += [ours.numel() for ours, _ in pairs]
            self.coming.give(lambda: self.reach(after))
            return self.coming.give(lambda: self._copy(pairs, False))

    def copy_out(self, pairs):
        with self.lock:
            self.copies += [ours.numel() for ours, _ in pairs]
            return self.going.give(lambda: self._copy(pairs, True))

    def compute(self, work):
        with self.lock:
            self.current().give(work)

    def settle(self):
        """All that the thread's current stream was given is done."""
        self.reach(self.record())


DEVICE = Lazy()


class There(torch.Tensor):
    """A tensor on the device. What PyTorch does with it happens in the thread's current stream."""

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        if getattr(function, "__name__", "") not in LAYOUT:
            DEVICE.settle()
        return super().__torch_function__(function, types, args, kwargs)


LAYOUT = {"__get__", "numel", "detach", "view", "is_contiguous", "is_conj", "is_neg", "data_ptr", "element_size",
          "size", "unbind", "__getitem__", "untyped_storage", "dim", "as_strided", "is_floating_point", "new_empty",
          "reshape", "split"}


def plain(tensor):
    with torch._C.DisableTorchFunctionSubclass():
        return tensor.as_subclass(torch.Tensor)


def there(tensor):
    """On the device, after a while."""
    with torch._C.DisableTorchFunctionSubclass():
        made = torch.full_like(tensor, 77).as_subclass(There)
    DEVICE.compute(lambda: plain(made).copy_(tensor))
    return made


def here(tensor):
    """What it has when all that the current stream was given is done."""
    if isinstance(tensor, There):
        DEVICE.settle()
    return plain(tensor).clone()


def values(rank, count=3 * PIECE // 4 + 17, kind=torch.float32):
    return (torch.arange(count) * (rank + 3) % 5).to(kind)


def check_reductions(rank, count, make):
    for kind, op, expected in ((torch.float32, dist.ReduceOp.SUM, lambda parts: sum(parts)),
                               (torch.float64, dist.ReduceOp.AVG, lambda parts: sum(parts) / count),
                               (torch.int32, dist.ReduceOp.BOR, lambda parts: parts[0] | parts[1] | parts[2])):
        for size in (0, 1, 5000, 3 * PIECE // 4 + 17):
            parts = [values(each, size, kind) for each in range(count)]
            tensor, first = make(parts[rank]), make(parts[rank])
            dist.all_reduce(tensor, op)
            assert torch.equal(here(tensor), expected(parts).to(kind)), (kind, size)
            dist.reduce(first, 1, op)
            assert torch.equal(here(first), expected(parts).to(kind) if rank == 1 else parts[rank]), (kind, size)
            parts = [values(each, size * count, kind) for each in range(count)]
            output = make(torch.zeros(size, dtype=kind))
            dist.reduce_scatter_single(output, make(parts[rank]), op)
            assert torch.equal(here(output), expected(parts)[rank * size:(rank + 1) * size].to(kind)), (kind, size)
    factor = make(values(rank))
    dist.all_reduce(factor, dist._make_nccl_premul_sum(2.0))
    assert torch.equal(here(factor), 2 * sum(values(each) for each in range(count)))
    gaps = make(values(rank, 40000).view(200, 200))[:, ::2]
    dist.all_reduce(gaps)
    assert torch.equal(here(gaps), sum(values(each, 40000).view(200, 200) for each in range(count))[:, ::2])
    several = [make(values(rank)), make(values(rank, 5))]
    dist.all_reduce_coalesced(several)
    assert torch.equal(here(several[0]), here(factor) / 2) and here(several[1]).numel() == 5


def check_moves(rank, count, make):
    whole = torch.stack([values(each) for each in range(count)])
    tensor = make(values(rank))
    dist.broadcast(tensor, 2)
    assert torch.equal(here(tensor), values(2))
    apart = [make(torch.zeros_like(whole[0])) for _ in range(count)]
    dist.all_gather(apart, make(values(rank)))
    single = make(torch.zeros_like(whole).view(-1))
    dist.all_gather_single(single, make(values(rank)))
    assert torch.equal(torch.stack([here(each) for each in apart]), whole) and torch.equal(here(single), whole.view(-1))
    outputs = [make(torch.zeros_like(whole[0])) for _ in range(count)] if rank == 1 else None
    dist.gather(make(values(rank)), outputs, 1)
    assert rank != 1 or torch.equal(torch.stack([here(each) for each in outputs]), whole)
    output = make(torch.zeros_like(whole[0]))
    dist.scatter(output, [make(values(each)) for each in range(count)] if rank == 2 else None, 2)
    assert torch.equal(here(output), values(rank))
    part = make(torch.zeros_like(whole).view(-1))
    dist.all_to_all_single(part, make(torch.cat([values(rank + each) for each in range(count)])))
    assert torch.equal(here(part), torch.cat([values(each + rank) for each in range(count)]))
    sizes = [3, len(values(0)), 0]
    apart = [make(torch.zeros(size)) for size in sizes]
    dist.all_gather(apart, make(values(rank, sizes[rank])))
    assert all(torch.equal(here(each), values(other, sizes[other])) for other, each in enumerate(apart))
    part = make(torch.zeros(sizes[rank]))
    dist.reduce_scatter(part, [make(values(rank, size)) for size in sizes])
    assert torch.equal(here(part), sum(values(other, sizes[rank]) for other in range(count)))
    if rank == 0:
        dist.send(make(values(5)), 1)
        dist.send(make(values(6)), 1, tag=3)
    elif rank == 1:
        left, right = make(torch.zeros_like(whole[0])), make(torch.zeros_like(whole[0]))
        dist.recv(left, 0)
        assert dist.recv(right, tag=3) == 0
        assert torch.equal(here(left), values(5)) and torch.equal(here(right), values(6))


def check_works(rank, count, make):
    """Several on their way; what a thread does after it has waited comes after it, in each thread."""
    total = sum(values(each) for each in range(count))
    tensors = [make(values(rank) * step) for step in range(6)]
    works = [dist.all_reduce(each, async_op=True) for each in tensors]
    assert torch.equal(works[0].get_future().wait()[0].as_subclass(torch.Tensor), total * 0)
    thread = threading.Thread(target=works[3].wait)
    thread.start()
    thread.join()
    assert works[3].wait() and torch.equal(here(tensors[3]), total * 3)
    while not works[5].is_completed():
        time.sleep(0.001)
    assert torch.equal(here(tensors[5]), total * 5) and works[4].wait() and torch.equal(here(tensors[4]), total * 4)
    with torch.inference_mode():
        tensor = make(values(rank))
        dist.all_reduce(tensor)
    assert torch.equal(here(tensor), total)


class Bucket:
    def __init__(self, tensor):
        self.tensor = tensor

    def buffer(self):
        return self.tensor

    def parameters(self):
        return [self]

    def index(self):
        return 0


def check_hook(rank, count, make):
    for feedback in (False, True):
        state, bucket = CodecState(codec="int8", error_feedback=feedback), Bucket(make(values(rank)))
        mean = codec_hook(state, bucket).wait()
        exact = sum(values(each) for each in range(count)) / count
        assert (here(mean) - exact).norm() < 0.01 * exact.norm()
        if feedback:  # all ranks' residuals are what sums lack, but for what the result's own encoding took
            residual = state._kept[0].residual.clone()
            dist.all_reduce(residual)
            lacking = (exact - here(mean)) * count
            assert (lacking - residual).norm() < 0.9 * lacking.norm()
            assert all(part.any() for part in residual[:3 * PIECE // 4].split(PIECE // 4))
        assert state.tx_bytes < 0.6 * exact.nbytes * 4 / 3 and state.tx_bytes > 0.25 * exact.nbytes


def check_pieces(rank, count, make):
    """What has no group of torch.distributed does the same, and ends alike on all members when a piece fails."""
    communicator, choices = dist.group.WORLD.communicator, {"tag": 1 << 50, "piece_bytes": PIECE}
    total = sum(values(each) for each in range(count))
    for size in (0, 5, len(total)):
        send, recv = make(values(rank, size)), make(torch.zeros(size))
        infos = pccl.pieces.all_reduce(communicator, send, recv, **choices)
        assert torch.equal(here(recv), total[:size]) and torch.equal(here(send), values(rank, size))
        assert len(infos) == (4 if size > 5 else 1) and infos[0].participants_min == count
        pccl.pieces.all_reduce(communicator, send, op="avg", codec="int8", **choices)
        assert (here(send) - total[:size] / count).norm() <= 0.01 * total[:size].norm()
        pccl.pieces.broadcast(communicator, send, root=1, **choices)
        if rank == 1:
            recv = send
        dist.broadcast(recv, 1)
        assert torch.equal(here(send), here(recv))
    tensor = make(values(rank, 5 * PIECE // 4 - 1 - (rank == 0)))
    with pytest.raises(MismatchError):  # of the fifth piece
        pccl.pieces.all_reduce(communicator, tensor, **choices)
    with pytest.raises(ValueError, match="alike"):
        pccl.pieces.all_reduce(communicator, tensor, make(torch.zeros(1)), **choices)


def check_disagreement(rank, count, make):
    """About a size, and so about how many pieces there are: ranks are in step afterwards."""
    group = dist.group.WORLD
    group.set_timeout(timedelta(seconds=1))  # some pieces are of two ranks alone
    with pytest.raises(PCCLError):
        dist.all_reduce(make(values(rank, 3 * PIECE // (8 if rank == 0 else 4))))
    group.set_timeout(timedelta(seconds=60))
    for step in range(3):
        tensor = make(values(rank) * step)
        dist.all_reduce(tensor)
        assert torch.equal(here(tensor), sum(values(each) for each in range(count)) * step)
    dist.barrier()


def check_refused(rank, count, make):
    """A piece that a rank can't copy ends the collective on all ranks, at once and by its own cause there."""
    tensor, copies = make(values(rank)), iter(range(100))
    copy_in = DEVICE.copy_in

    def fail(pairs, after):
        if next(copies) == 2:
            raise ValueError("no way there")
        return copy_in(pairs, after)

    if rank == 0:
        DEVICE.copy_in = fail
    with pytest.raises(ValueError if rank == 0 else CollectiveError, match="no way there" if rank == 0 else "barrier"):
        dist.all_reduce(tensor)
    DEVICE.copy_in = copy_in
    tensor = make(values(rank))
    dist.all_reduce(tensor)
    assert torch.equal(here(tensor), sum(values(each) for each in range(count)))


def set_up(rank, is_there):
    _staging.PIECE_BYTES, _staging._ROW_BYTES, _staging._KEPT_BYTES = PIECE, PIECE // 4, 2 * PIECE
    if is_there:
        _devices.of_classes[There] = DEVICE
        dist.distributed_c10d.has_torch_function = lambda tensors: False  # collectives take them as they are
    dist.init_process_group("pccl")
    return there if is_there else torch.clone


def staged(rank, count, on_host):
    make = set_up(rank, rank not in on_host)
    assert dist.group.WORLD._cuts
    for check in (check_reductions, check_moves, check_works, check_hook, check_pieces, check_refused):
        check(rank, count, make)
    made, copied = len(DEVICE.made), len(DEVICE.copies)
    for _ in range(4):
        dist.all_reduce(make(values(rank)))
    if rank not in on_host:  # memory is kept
        assert len(DEVICE.copies) == copied + 4 * 2 * 4 and max(DEVICE.copies[copied:]) == PIECE
        assert len(DEVICE.made) == made
    halves = [dist.new_group(each) for each in ([0, 1], [2])]
    assert halves[rank // 2]._cuts == (rank < 2 and not {0, 1} <= set(on_host))
    tensor = make(values(rank))
    dist.all_reduce(tensor, group=halves[rank // 2])
    assert torch.equal(here(tensor), sum(values(each) for each in ([2] if rank == 2 else [0, 1])))
    check_disagreement(rank, count, make)
    if rank == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    for _ in range(2):
        with pytest.raises(PeersLostError):
            dist.all_reduce(make(values(rank)))
    pccl.torch.reconfigure()
    tensor = make(values(rank))
    dist.all_reduce(tensor)
    return torch.equal(here(tensor), values(0) + values(1)) and dist.group.WORLD._cuts


@pytest.mark.parametrize("on_host", [(), (2,)])
def test_what_is_on_a_device_is_waited_for_and_cut_alike_on_all_ranks(run_ranks, on_host):
    assert run_ranks(staged, 3, on_host) == {0: True, 1: True}


def test_a_stager_that_stops_lets_others_go_on():
    """Who adds something holds what the threads need to launch what they have."""
    launching, come = threading.Lock(), threading.Event()
    stager = _staging.Stager(lambda *_, **__: launch())

    def launch():
        come.wait(30)
        with launching:
            raise ValueError("launched")

    def move():
        tensor = torch.zeros(4)
        return _staging.Staged(_staging.Move("", tensor, tensor, 16, 16, 0), _devices.HOST, 16, 0)

    first = move()
    stager.add(first)
    assert stager.is_busy
    stopping = threading.Thread(target=stager.stop, daemon=True)
    stopping.start()
    while not stager._is_stopped:
        time.sleep(0.001)
    with launching:
        come.set()
        with pytest.raises(RuntimeError, match="destroyed"):
            stager.add(move())
    stopping.join(30)
    assert not stopping.is_alive() and not stager.is_busy and str(first.finish()) == "launched"


class Changing:
    """A communicator whose broadcasts are of these views. An error: it comes first."""

    def __init__(self, *epochs):
        self.epochs = iter(epochs)
        self.aborted = False
        self._life = self

    def abort(self):
        self.aborted = True

    def broadcast_async(self, piece, **_):
        epoch = next(self.epochs)
        if not isinstance(epoch, int):
            raise epoch
        return types.SimpleNamespace(_wait_or_abort=lambda: types.SimpleNamespace(epoch=epoch))


def test_pieces_of_two_roots_are_an_error_and_ctrl_c_aborts():
    def broadcast(*epochs):
        communicator = Changing(*epochs)
        try:
            return len(pccl.pieces.broadcast(communicator, torch.zeros(8), piece_bytes=8)), communicator.aborted
        except (PCCLError, KeyboardInterrupt) as error:
            return type(error), communicator.aborted

    assert broadcast(3, 3, 3, 3) == (4, False)
    assert broadcast(3, 3, 4, 4) == (RankConnectionLostError, False)
    for error, aborts in ((KeyboardInterrupt(), True), (OutOfMemoryError(Result.OUT_OF_MEMORY, ""), True),
                          (TooFewPeersError(Result.TOO_FEW_PEERS, ""), False)):  # all that are left know
        assert broadcast(3, error) == (type(error), aborts)
        assert broadcast(error) == (type(error), False)  # nobody waits for anything yet


def test_a_piece_that_one_member_cant_launch_is_known_to_all_at_once(master, monkeypatch):
    one, other = pair(master)
    launch, root, seen = one.broadcast_async, one.rank, []

    def fail(piece, **choices):
        if choices["tag"] == 2:
            raise OutOfMemoryError(Result.OUT_OF_MEMORY, "broadcast")
        return launch(piece, **choices)

    def receive():
        with pytest.raises((RankConnectionLostError, TooFewPeersError)):  # it is alone then
            pccl.pieces.broadcast(other, torch.zeros(1000), root=root, piece_bytes=400)
        seen.append(True)

    monkeypatch.setattr(one, "broadcast_async", fail)
    thread = threading.Thread(target=receive, daemon=True)
    thread.start()
    with one, other:
        with pytest.raises(OutOfMemoryError):
            pccl.pieces.broadcast(one, torch.ones(1000), root=root, piece_bytes=400)
        thread.join(60)
        assert seen
