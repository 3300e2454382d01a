"""Receives from any source, and operations beside one whose time-out passes."""

import threading
import time
from datetime import timedelta
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")

import torch.distributed as dist  # noqa: E402

import pccl.torch  # noqa: E402
from pccl.torch import CollectiveError, CollectiveTimeoutError  # noqa: E402


def tell(rank, value, tag=0):
    dist.send(torch.tensor([float(value)]), rank, tag=tag)


def wait_until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def check_line(rank):
    """What comes goes to the first in line, in the order in which a rank has sent it, and nobody has to wait for it."""
    if rank != 0:
        dist.barrier()
        for value in range(3):
            tell(0, 10 * rank + value)
        dist.barrier()
        return
    for alien in (torch.zeros(1, device="meta"), torch.zeros(1).to_sparse()):
        for source in (None, 1):
            with pytest.raises(ValueError, match="takes"):
                dist.irecv(alien, source)
        with pytest.raises(ValueError, match="takes"):
            pccl.torch.codec_hook(pccl.torch.CodecState(), SimpleNamespace(buffer=lambda alien=alien: alien))
    tensors = [torch.zeros(1) for _ in range(6)]
    works = [dist.irecv(tensors[0]), dist.irecv(tensors[1]), dist.irecv(tensors[2], 1),
             dist.irecv(tensors[3]), dist.irecv(tensors[4]), dist.irecv(tensors[5])]
    dist.barrier()
    wait_until(lambda: works[5]._matched.is_set())  # nobody waits
    dist.barrier()
    for work in works:
        work.wait()
    got = [int(tensor.item()) for tensor in tensors]
    assert [value for value in got if value < 20] == [10, 11, 12]
    assert [value for value in got if value >= 20] == [20, 21, 22]
    assert got[2] < 20 and [work._source_rank() for work in works] == [value // 10 for value in got]


def check_time_outs(rank, count):
    """One passes, and ends nothing else: neither what is in flight, nor what comes after."""
    short = dist.new_group()  # which takes what time it takes
    store = dist.group.WORLD.get_group_store()
    if rank == 0:
        short.set_timeout(timedelta(seconds=1))
        future = dist.irecv(torch.zeros(1), group=short, tag=7).get_future()
        with pytest.raises(CollectiveTimeoutError, match="no rank has sent"):
            dist.recv(torch.zeros(1), group=short, tag=7)
        with pytest.raises(RuntimeError, match="no rank has sent"):
            future.wait()
        short.set_timeout(timedelta(seconds=100))
        dist.barrier()
        value = torch.zeros(1)
        assert dist.recv(value, group=short, tag=7) == 1 and value.item() == 5
    else:
        dist.barrier()
        if rank == 1:
            dist.send(torch.tensor([5.0]), 0, group=short, tag=7)
    tensors = [torch.full((100000,), rank + 1.0) for _ in range(3)]
    works = []
    if rank != count - 1:
        works = [dist.all_reduce(tensor, async_op=True) for tensor in tensors]
        with pytest.raises(CollectiveTimeoutError):
            pccl.torch.monitored_barrier(timeout=timedelta(seconds=1))
        store.set(f"late for {rank}", "")
    else:
        store.wait([f"late for {other}" for other in range(rank)])
        works = [dist.all_reduce(tensor, async_op=True) for tensor in tensors]
        with pytest.raises(CollectiveTimeoutError):
            pccl.torch.monitored_barrier(timeout=timedelta(seconds=1))
    for work, tensor in zip(works, tensors, strict=True):
        work.wait()
        assert torch.equal(tensor, torch.full((100000,), count * (count + 1) / 2))
    dist.barrier()


def check_words(rank, count):
    """Numbers that nobody has given are not spoken of."""
    group = dist.new_group()
    with pytest.raises(CollectiveError, match=r"launched collective 0 as .*all-reduce"):
        dist.all_reduce(torch.ones(1 + rank), group=group)
    if rank < 2:
        work = dist.isend(torch.ones(1), 1, group, tag=9) if rank == 0 else dist.irecv(torch.ones(2), 0, group, tag=9)
        with pytest.raises(CollectiveError, match="transfer 0 with tag 9:"):
            work.wait()


def check_tags(rank, count):
    """The library's tags have 30 bits for PyTorch's: what is beyond them is none of another tag's."""
    other = (rank + 1) % count
    for tag in (1 << 30, 5 + (1 << 30), -1):
        for call in (lambda tag: dist.isend(torch.ones(1), other, tag=tag),
                     lambda tag: dist.irecv(torch.ones(1), other, tag=tag),
                     lambda tag: dist.irecv(torch.ones(1), tag=tag)):
            with pytest.raises(ValueError, match=f"from 0 to 1073741823, not {tag}"):
                call(tag)
    work = dist.isend(torch.full((1,), rank + 1.0), other, tag=(1 << 30) - 1)
    tensor = torch.empty(1)
    assert dist.recv(tensor, (rank - 1) % count, tag=(1 << 30) - 1) == tensor.item() - 1 == (rank - 1) % count
    work.wait()


def transfers(rank, count):
    dist.init_process_group("pccl")
    check_words(rank, count)
    check_tags(rank, count)
    check_line(rank)
    check_time_outs(rank, count)
    store = dist.group.WORLD.get_group_store()
    if rank == 2:
        store.wait(["late"])
    with pytest.raises(CollectiveTimeoutError, match="reconfigure"):
        pccl.torch.reconfigure(timeout=timedelta(seconds=0.3))
    if rank == 0:
        store.set("late", "")
    return pccl.torch.reconfigure()[1]  # rank 0 awaits signals still


def test_receives_stand_in_line_and_a_time_out_ends_nothing_else(run_ranks):
    assert set(run_ranks(transfers, 3).values()) == {3}


def await_many(rank, count):
    """Of each tag a signal is awaited from every other rank."""
    dist.init_process_group("pccl")
    tags = range(40)
    if rank == 0:
        before = threading.active_count()
        tensors = [torch.zeros(1) for _ in tags]
        works = [dist.irecv(tensor, tag=tag) for tag, tensor in zip(tags, tensors, strict=True)]
        assert threading.active_count() - before < 20
        dist.barrier()
        for work in reversed(works):
            work.wait()
        assert [int(tensor.item()) for tensor in tensors] == list(tags)
    else:
        dist.barrier()
        for tag in tags:
            tell(0, tag, tag)
    return True


def test_many_receives_from_any_source_have_few_threads(run_ranks):
    assert run_ranks(await_many, 2) == {0: True, 1: True}
