"""A master of its own for each test, and peers as processes."""

import contextlib
import multiprocessing
import os
import random
import socket
import time

import pytest

import pccl

LIMIT_S = 240  # of what must end, however busy the machine is
# A process that gets no processor for some seconds is none that was lost: who dies is noticed by broken connections.
os.environ.setdefault("PCCL_HEARTBEAT_TIMEOUT_MS", "20000")


def free_port():
    """That nobody listens on, at whatever address. Below those that Linux gives to outgoing connections, which are
    taken at any moment, and those that the tests in C try."""
    while True:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("", random.randrange(10_000, 18_000)))
            return probe.getsockname()[1]


@pytest.fixture
def free_address():
    """An address that nobody listens on."""
    return f"127.0.0.1:{free_port()}"


@pytest.fixture
def master(free_address):
    """The address of a master that runs in this process."""
    with pccl.MasterNode(free_address):
        yield free_address


@pytest.fixture
def run_peers():
    """run_peers(body, count, *arguments): body(rank of the process, count, *arguments) in so many processes, all of
    which must end well but those that kill themselves. What they returned, by number."""
    context = multiprocessing.get_context("spawn")
    return lambda body, count, *arguments: _run(context, _peer, body, count, arguments)


@pytest.fixture
def run_ranks():
    """run_ranks(body, count, *arguments): as run_peers(), in processes whose environment has what init_process_group()
    of torch.distributed needs. They are forked by a server that has imported torch already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "torch.distributed", "torch.nn.parallel", "torch._dynamo"])
    return lambda body, count, *arguments: _run(context, _rank, body, count, arguments, free_port(), dict(os.environ))


def _run(context, target, body, count, arguments, *more):
    answers = context.Queue()
    processes = [context.Process(target=target, args=(body, number, count, arguments, answers, *more))
                 for number in range(count)]
    for each in processes:
        each.start()
    deadline = time.monotonic() + LIMIT_S
    for each in processes:
        each.join(max(deadline - time.monotonic(), 0))
    hanging = [each for each in processes if each.exitcode is None]
    for each in hanging:
        each.kill()  # or the end of the tests waits for it
    found = {}
    while not answers.empty():
        number, answer = answers.get()
        found[number] = answer
    assert not hanging, f"{len(hanging)} hang; the others: {found}"
    for number, each in enumerate(processes):
        assert each.exitcode in (0, -9), f"process {number} ended with {each.exitcode}: {found.get(number)}"
    return found


def _peer(body, number, count, arguments, answers):
    try:
        answers.put((number, body(number, count, *arguments)))
    except BaseException as error:
        _answer_last(answers, number, error)
        os._exit(1)


def _rank(body, rank, count, arguments, answers, port, environment):
    import torch
    import torch.distributed as dist

    os.environ.update(environment)  # as it is now: the server has another one
    os.environ.update(RANK=str(rank), WORLD_SIZE=str(count), LOCAL_RANK=str(rank), MASTER_ADDR="127.0.0.1",
                      MASTER_PORT=str(port))
    torch.set_num_threads(1)
    try:
        answers.put((rank, body(rank, count, *arguments)))
        if dist.is_initialized():
            dist.destroy_process_group()
    except BaseException as error:
        _answer_last(answers, rank, error)
        raise


def _answer_last(answers, number, error):
    answers.put((number, repr(error)))
    answers.close()
    answers.join_thread()
