"""Ranks stay in step when a collective fails on one of them alone, and strangers stay out."""

import threading
import time
import weakref
from datetime import timedelta
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")

import torch._C._distributed_c10d as c10d  # noqa: E402
import torch.distributed as dist  # noqa: E402

import pccl.state  # noqa: E402
from pccl.torch import CodecState, CollectiveError, CollectiveTimeoutError, PeersLostError  # noqa: E402
from pccl.torch import _collectives, _launcher, _reduction, codec_hook  # noqa: E402
from pccl.torch._meeting import dial, peer_group  # noqa: E402

ONE, TRUTH = torch.ones(1), torch.tensor([True])


def mean_of(tensors):
    options = c10d.AllreduceCoalescedOptions()
    options.reduceOp = dist.ReduceOp.AVG
    dist.group.WORLD.allreduce_coalesced(tensors, options).wait()


def by_codec(**choices):
    bucket = SimpleNamespace(buffer=lambda: torch.ones(64), parameters=lambda: [], index=lambda: 0)
    codec_hook(CodecState(codec="int8", **choices), bucket).wait()


def gather_two(second):
    outputs = [[torch.empty(1), second.clone()] for _ in range(3)]
    dist.group.WORLD.allgather_coalesced(outputs, [ONE, torch.ones(2)]).wait()


def scatter_uneven(last):
    """Rank r gets r + 1 elements."""
    dist.reduce_scatter(torch.empty(dist.get_rank() + 1), [torch.ones(1), torch.ones(2), last])


def gather_uneven(last):
    own = torch.ones(dist.get_rank() + 1)
    dist.all_gather([torch.empty(1), torch.empty(2), last], own)


def refused(call):
    """By the library."""
    real, _collectives.reduction_of = _collectives.reduction_of, lambda *_: _reduction.Reduction(99, 0)
    try:
        call()
    finally:
        _collectives.reduction_of = real


# Wrong on one rank, which makes it right.
AGAIN = [
    (lambda: dist.all_reduce(TRUTH, dist.ReduceOp.AVG), lambda: dist.all_reduce(ONE, dist.ReduceOp.AVG)),
    (lambda: mean_of([ONE, TRUTH]), lambda: mean_of([ONE, ONE.clone()])),
    (lambda: by_codec(codec_block=7), by_codec),
    (lambda: refused(lambda: dist.all_reduce(ONE)), lambda: dist.all_reduce(ONE, dist.ReduceOp.MAX)),
    (lambda: refused(lambda: dist.all_reduce(ONE, async_op=True)), lambda: dist.all_reduce(ONE, dist.ReduceOp.MAX)),
    (lambda: dist.group.WORLD.gather([], [ONE, ONE], 1), lambda: dist.gather(
        ONE, [torch.empty(1) for _ in range(3)] if dist.get_rank() == 1 else None, 1)),
    (lambda: scatter_uneven(torch.ones(3, device="meta")), lambda: scatter_uneven(torch.ones(3))),
    (lambda: gather_uneven(torch.empty(3, device="meta")), lambda: gather_uneven(torch.empty(3))),
]


def fail_alone(rank, count):
    dist.init_process_group("pccl")

    def check(step):
        tensor = torch.full((3,), float(rank + step))
        dist.all_reduce(tensor)
        assert tensor.tolist() == [sum(range(count)) + count * step] * 3

    for step, (wrong, right) in enumerate(AGAIN):
        if rank == 1:
            with pytest.raises((ValueError, CollectiveError)):
                wrong()
        right()
        check(step)
    dist.group.WORLD.set_timeout(timedelta(seconds=5))  # the first one of the two has to end within it
    dist.barrier()
    if rank == 1:
        with pytest.raises(ValueError):
            gather_two(torch.empty(7))  # the first one of the two is launched
    else:
        with pytest.raises(CollectiveTimeoutError, match="operation 1 of collective.*rank 1"):
            gather_two(torch.empty(2))
    dist.group.WORLD.set_timeout(timedelta(seconds=60))
    check(7)
    return True


def test_ranks_are_in_step_after_a_collective_has_failed_on_one_of_them(run_ranks):
    assert run_ranks(fail_alone, 3) == {0: True, 1: True, 2: True}


def meet_strangers(rank, count):
    """Somebody lets others in by the group's communicator, and as many leave."""
    dist.init_process_group("pccl", timeout=timedelta(seconds=20))
    communicator = dist.group.WORLD.communicator
    if rank == 0:
        stranger = dial(peer_group(), 30_000)
        threading.Thread(target=stranger.connect, daemon=True).start()
    while communicator.world_size == count:
        communicator.update_topology()
    with pytest.raises(PeersLostError, match="others are members now"):
        dist.all_reduce(torch.ones(1))
    if rank == 1:
        return True
    while communicator.world_size > count:
        time.sleep(0.01)
    for _ in range(2):
        with pytest.raises(PeersLostError):
            dist.all_reduce(torch.ones(1))
    stranger.close()
    return True


def test_a_group_has_no_other_members_than_it_was_made_with(run_ranks):
    assert run_ranks(meet_strangers, 2) == {0: True, 1: True}


def launch_many(rank, count):
    dist.init_process_group("pccl")
    tensors = [torch.ones(1) for _ in range(5000)]
    if rank == 1:
        time.sleep(0.5)  # so that those of the others are in flight at once
    dist.group.WORLD.allreduce_coalesced(tensors).wait()
    assert all(tensor.item() == count for tensor in tensors)
    # A work that nobody waits for, and numbers that come round.
    _launcher._NUMBERS, _launcher._SWEPT = 64, 16
    dist.barrier(async_op=True)
    for _ in range(130):
        dist.all_reduce(ONE.clone())
    return True


def test_no_number_of_operations_takes_a_tag_twice(run_ranks):
    assert run_ranks(launch_many, 2) == {0: True, 1: True}


def drop_works(rank, count):
    dist.init_process_group("pccl")
    group = dist.group.WORLD
    for values in (torch.ones(3), torch.ones(4)):
        dist.all_reduce(values, async_op=True)  # and lets go of the work
        dist.barrier()
    alive = weakref.ref(values)
    del values
    deadline = time.monotonic() + 30
    while not all(launch.is_done() for launch in group._pending) and time.monotonic() < deadline:
        time.sleep(0.01)
    dist.barrier()  # on all ranks
    dist.barrier()  # one of them each time
    assert alive() is None
    values = torch.full((3,), float(rank))
    pccl.state.sync(group.communicator, {"values": values}, revision=1)
    group.communicator.update_topology()
    return [launch.buffers for launch in group._pending if launch.buffers is not None]


def test_works_that_nobody_waits_for_forbid_no_joint_calls(run_ranks):
    assert run_ranks(drop_works, 2) == {0: [], 1: []}
