"""Groups of torch.distributed that a signal handler destroys while the main thread waits in one of their calls."""

import pathlib
import signal
import threading
import time
from datetime import timedelta
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")

import torch.distributed as dist  # noqa: E402

import pccl  # noqa: E402
from pccl.errors import PCCLError  # noqa: E402
from pccl.torch import _launcher, _staging, _work  # noqa: E402

PACKAGE = str(pathlib.Path(pccl.__file__).parent)


def wait_for_future():
    """While a thread of the group's waits for the same work."""
    work = dist.all_reduce(torch.ones(3), async_op=True)
    work.get_future()
    work.wait()


def wait_for_pieces():
    _staging.PIECE_BYTES = 1 << 16
    dist.group.WORLD._cuts = True
    dist.all_reduce(torch.ones(1 << 20))


WAYS = {
    "call": lambda: dist.all_reduce(torch.ones(3)),
    "work": lambda: dist.all_reduce(torch.ones(3), async_op=True).wait(),
    "limited": lambda: dist.all_reduce(torch.ones(3), async_op=True).wait(timedelta(seconds=100)),
    "future": wait_for_future,
    "pieces": wait_for_pieces,
    "transfer": lambda: dist.recv(torch.ones(1), 1),
    "any source": lambda: dist.recv(torch.ones(1)),
}


def destroy_the_group(_, frame):
    """If what was interrupted is a call of it, else in a moment: PyTorch itself refuses what comes after its end."""
    while frame is not None and not frame.f_code.co_filename.startswith(PACKAGE):
        frame = frame.f_back
    if frame is None:
        signal.setitimer(signal.ITIMER_REAL, 0.01)
    else:
        dist.destroy_process_group()


def end_by_signal(rank, count, way, after_s, ended):
    dist.init_process_group("pccl")
    dist.barrier()
    group = dist.group.WORLD
    if rank == 1:
        while not ended.exists():
            time.sleep(0.01)
        return True
    signal.signal(signal.SIGALRM, destroy_the_group)
    signal.setitimer(signal.ITIMER_REAL, after_s)
    with pytest.raises(PCCLError):
        WAYS[way]()
    ended.touch()
    assert not dist.is_initialized()
    with pytest.raises(PCCLError, match="was destroyed"):  # as in the midst of a call
        group.allreduce([torch.ones(1 << 20)])
    return True


@pytest.mark.parametrize(("way", "after_s"), [*((way, 0.3) for way in WAYS), ("call", 0.03), ("pieces", 0.03)])
def test_a_handler_may_end_the_group_that_the_main_thread_waits_in(run_ranks, way, after_s, tmp_path):
    assert run_ranks(end_by_signal, 2, way, after_s, tmp_path / "ended") == {0: True, 1: True}


def launch_beside(rank, count):
    dist.init_process_group("pccl")
    _launcher._MANY = 1  # each launch looks after what has ended
    dist.all_reduce(torch.ones(1), async_op=True)
    (launch,) = dist.group.WORLD._pending
    while not launch.is_done():
        time.sleep(0.01)
    thread = threading.Thread(target=lambda: dist.all_reduce(torch.ones(1), async_op=True), daemon=True)
    with launch._lock:  # as whom a handler has interrupted that ends the group, and needs what launches need
        thread.start()
        thread.join(30)
    return thread.is_alive()


def test_who_launches_waits_for_nobody_whom_a_handler_may_have_interrupted(run_ranks):
    assert run_ranks(launch_beside, 2) == {0: False, 1: False}


def test_futures_that_are_asked_for_after_the_end_of_their_group_end():
    watcher, may_end = _work.Watcher(), threading.Event()
    futures = [torch.futures.Future() for _ in range(2)]
    watcher.watch(SimpleNamespace(finish=lambda: may_end.wait(30)), futures[0])
    (thread,) = watcher._threads
    watcher.stop(0)  # it waits no longer for who ends the first one
    may_end.set()
    thread.join(30)
    watcher.watch(SimpleNamespace(finish=lambda: None), futures[1])
    assert futures[0].done() and futures[1].done()
