"""How the ranks of a group find each other, and what they are told when they do not."""

import os
import time
from datetime import timedelta

import pytest

torch = pytest.importorskip("torch")

import torch.distributed as dist  # noqa: E402

import pccl.torch  # noqa: E402, F401

NOBODY = "127.0.0.1:1"  # listens there
SLACK_S = 20  # on a busy machine


def what_fails(call):
    """Words, and after how many seconds."""
    began = time.monotonic()
    with pytest.raises(Exception) as caught:
        call()
    return str(caught.value), time.monotonic() - began


def fail_to_begin(rank, count, limit_s):
    """When all are here."""
    store = dist.TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), count, rank == 0)
    return what_fails(lambda: dist.init_process_group("pccl", store=store, rank=rank, world_size=count,
                                                      timeout=timedelta(seconds=limit_s)))


def begin_without_masters(rank, count, who, masters):
    os.environ["PCCL_MASTERS"] = NOBODY if rank in who else masters
    return fail_to_begin(rank, count, 5)


@pytest.mark.parametrize("who", [(0, 1, 2), (0,), (1,)])
def test_all_ranks_are_told_in_time_why_one_cannot_join(run_ranks, master, who):
    masters = master if who == (1,) else ""
    for rank, (words, after_s) in run_ranks(begin_without_masters, 3, who, masters).items():
        assert after_s < 5 + SLACK_S
        assert NOBODY in words and (rank == who[0] or f"rank {who[0]} could not join" in words), words


def begin_with_a_bad_number(rank, count):
    if rank == 1:
        os.environ["PCCL_PEER_GROUP"] = "seven"
    return fail_to_begin(rank, count, 40)


def test_who_fails_before_it_has_come_tells_the_others_as_well(run_ranks):
    for words, after_s in run_ranks(begin_with_a_bad_number, 3).values():
        assert after_s < SLACK_S and "seven" in words


def begin_again(rank, count):
    """In a store that has seen trouble, by the same name."""
    store = dist.TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), count, rank == 0)
    os.environ["PCCL_PEER_GROUP"] = "seven" if rank == 1 else "0"
    words, _ = what_fails(lambda: dist.init_process_group("pccl", store=store, rank=rank, world_size=count))
    store.set(f"failed/{rank}", "")
    store.wait([f"failed/{other}" for other in range(count)], timedelta(seconds=60))
    dist.distributed_c10d._world.group_count = 0  # as destroy_process_group() sets it
    os.environ["PCCL_PEER_GROUP"] = "0"
    dist.init_process_group("pccl", store=store, rank=rank, world_size=count)
    tensor = torch.ones(1)
    dist.all_reduce(tensor)
    return "seven" in words, tensor.item()


def test_a_later_group_of_the_same_name_hears_nothing_of_old_trouble(run_ranks):
    assert run_ranks(begin_again, 3) == {rank: (True, 3.0) for rank in range(3)}


def interrupted(rank, count):
    store = dist.TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), count, rank == 0)
    if rank == 1:
        def interrupt(*_):
            raise KeyboardInterrupt

        pccl.torch._meeting.dial = interrupt
    began = time.monotonic()
    with pytest.raises(BaseException) as caught:
        dist.init_process_group("pccl", store=store, rank=rank, world_size=count)
    return repr(caught.value), time.monotonic() - began


def test_who_is_interrupted_while_it_joins_tells_the_others(run_ranks):
    found = run_ranks(interrupted, 2)
    assert found[1][0] == "KeyboardInterrupt()" and found[0][1] < SLACK_S
    assert "rank 1 could not join: KeyboardInterrupt" in found[0][0]


def make_a_group_without_one(rank, count):
    dist.init_process_group("pccl")  # whose store waits for half an hour
    failed = None if rank == 2 else what_fails(lambda: dist.new_group([0, 1, 2], timeout=timedelta(seconds=3)))
    dist.barrier()
    return failed


def test_a_group_keeps_its_time_out_while_it_is_made(run_ranks):
    found = run_ranks(make_a_group_without_one, 3)
    assert found[2] is None
    for rank in (0, 1):
        assert found[rank][1] < 3 + SLACK_S and "rank 2 has not come" in found[rank][0]


def begin_beside_another_job(rank, count, masters):
    os.environ.update(PCCL_MASTERS=masters, PCCL_PEER_GROUP="7")
    return fail_to_begin(rank, count, 5)


def test_a_second_job_of_the_same_number_is_told_so(run_ranks, master):
    with pccl.Communicator(master, 7):
        found = run_ranks(begin_beside_another_job, 2, master)
    for words, after_s in found.values():
        assert f"another job has the number 7 at {master}" in words and "PCCL_PEER_GROUP" in words
        assert after_s < 5 + SLACK_S


def begin_without(rank, count, missing):
    if rank in missing:
        store = dist.TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), count, rank == 0)
        store.wait([f"seen/{other}" for other in range(count) if other not in missing], timedelta(seconds=60))
        return None
    words, _ = fail_to_begin(rank, count, 4)
    store = dist.TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), count, False,
                          wait_for_workers=False)
    store.set(f"seen/{rank}", "")
    return words


@pytest.mark.parametrize("missing, words", [((0,), "rank 0 has not come"), ((0, 2), "ranks 0, 2 have not come")])
def test_ranks_that_do_not_come_are_named(run_ranks, missing, words):
    found = run_ranks(begin_without, 4, missing)
    assert all(found[rank] is None if rank in missing else words in found[rank] for rank in range(4)), found
