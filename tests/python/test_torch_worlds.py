"""Worlds of torch.distributed that change while something else goes wrong."""

import os
import signal
import time
import uuid
from datetime import timedelta
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")

import torch.distributed as dist  # noqa: E402

import pccl.torch  # noqa: E402
from pccl.torch import CollectiveError, PeersLostError, _elastic  # noqa: E402


def die_at(name, step):
    """This process is killed when it has made that call `step` times and would make it again."""
    real = getattr(_elastic, name)
    calls = iter(range(step + 1))

    def dying(*arguments):
        if next(calls) == step:
            time.sleep(0.2)  # others are at the next step
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments)

    setattr(_elastic, name, dying)


def sum_of_all():
    tensor = torch.ones(1)
    dist.all_reduce(tensor)
    return tensor.item()


DEATHS = (("_exchange", 1), ("_serve", 0), ("_exchange", 3))


def lose_more_and_more(number, count, masters):
    """In every reconfigure() the member with rank 0 is lost as well, each time at another step."""
    os.environ["PCCL_MASTERS"] = masters
    dist.init_process_group("pccl", init_method=f"pccl://?least={count}")
    for world, (name, step) in enumerate(DEATHS):
        rank, size = dist.get_rank(), dist.get_world_size()
        assert size == count - world and sum_of_all() == size
        if rank == 0:
            die_at(name, step)
        assert pccl.torch.reconfigure() == (rank - 1, size - 1)
    return sum_of_all()


def test_a_member_that_is_lost_in_reconfigure_is_done_without_at_every_step(run_ranks, master):
    found = run_ranks(lose_more_and_more, len(DEATHS) + 2, master)
    assert set(found.values()) == {2.0} and len(found) == 2


def launch_unlike_amounts(rank, count):
    """When rank 2 dies, rank 0 has launched more than rank 1, and the group has given that up."""
    dist.init_process_group("pccl")
    assert sum_of_all() == 3
    tensors = [torch.ones(1) for _ in range(3)]
    works = [dist.all_reduce(tensor, async_op=True) for tensor in tensors[:3 if rank == 0 else 1]]
    works[0].wait()
    if rank == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    for work in works[1:]:
        with pytest.raises(PeersLostError):
            work.wait()
    while dist.group.WORLD.communicator.world_size == 3:
        time.sleep(0.01)
    return pccl.torch.reconfigure(timeout=timedelta(seconds=30)), [sum_of_all() for _ in range(5)]


def test_what_was_given_up_before_does_not_end_operations_of_the_next_world(run_ranks, monkeypatch,
                                                                           master):
    monkeypatch.setenv("PCCL_MASTERS", master)
    found = run_ranks(launch_unlike_amounts, 3)
    assert found == {rank: ((rank, 2), [2.0] * 5) for rank in (0, 1)}


def fail_once_to_begin(rank, count):
    dist.init_process_group("pccl")
    real = dist.init_process_group
    failures = iter([RuntimeError("before"), RuntimeError("after")])

    def failing(*arguments, **named):
        error = next(failures, None)
        if str(error) == "before":
            raise error
        real(*arguments, **named)
        if error is not None:
            raise error

    def deaf(*arguments):
        _elastic._serve = serve
        raise OSError("no such host")

    serve, _elastic._serve = _elastic._serve, deaf
    with pytest.raises(CollectiveError, match="rank 0 can't serve.*no such host"):
        pccl.torch.reconfigure()
    dist.init_process_group = failing
    for words in ("before", "after"):
        with pytest.raises(RuntimeError, match=words):
            pccl.torch.reconfigure()
    return pccl.torch.reconfigure(), sum_of_all()


def test_reconfigure_can_be_called_again_when_the_group_could_not_be_made(run_ranks):
    assert run_ranks(fail_once_to_begin, 2) == {0: ((0, 2), 2.0), 1: ((1, 2), 2.0)}


def found_anew(rank, count, path):
    dist.init_process_group("pccl")
    before = dist.group.WORLD.communicator
    real, _elastic._agree = _elastic._agree, None
    with pytest.raises(TypeError):
        pccl.torch.reconfigure()
    _elastic._agree = real
    dist.init_process_group("pccl", store=dist.FileStore(path, count), rank=rank, world_size=count)
    with pytest.raises(pccl.errors.InvalidUsageError, match="has been closed"):
        before.barrier()
    found = sum_of_all(), pccl.torch.reconfigure(), sum_of_all()
    dist.destroy_process_group()
    return found, pccl.torch._meeting.job.master is None


def test_a_world_that_is_founded_in_place_of_a_lost_one_has_nothing_of_it(run_ranks, tmp_path):
    assert run_ranks(found_anew, 2, str(tmp_path / "store")) == {
        rank: ((2.0, (rank, 2), 2.0), True) for rank in range(2)}


def test_who_is_lost_while_a_store_is_dialled_cuts_nobody_off(monkeypatch):
    communicator = SimpleNamespace(uuid=uuid.uuid4(), world_size=3)
    stores = iter([None, "a store"])

    def exchange(_, mine, timeout):
        first = mine._replace(identity=b"first", serves=True, is_cut_off=False, address="1 host")
        third = first._replace(identity=b"third", serves=False)
        return [first, mine, third][:communicator.world_size], 7

    def reach(*_):
        communicator.world_size = 2
        return next(stores)

    monkeypatch.setattr(_elastic, "_exchange", exchange)
    monkeypatch.setattr(_elastic, "_reach", reach)
    world = _elastic._agree(communicator, 1, timedelta(seconds=1), True)
    assert (world.store, world.rank, world.size) == ("a store", 1, 2)
