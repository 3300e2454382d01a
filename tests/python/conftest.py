"""A master of its own for each test, and peers as processes."""

import contextlib
import multiprocessing
import os
import random
import socket

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
    which must end well but those that kill themselves. The list of what they returned."""
    context = multiprocessing.get_context("spawn")

    def run(body, count, *arguments):
        answers = context.Queue()
        peers = [context.Process(target=_peer, args=(body, number, count, arguments, answers))
                 for number in range(count)]
        for peer in peers:
            peer.start()
        found = {}
        for peer in peers:
            peer.join(LIMIT_S)
        hanging = [peer for peer in peers if peer.exitcode is None]
        for peer in hanging:
            peer.kill()  # or the end of the tests waits for it
        assert not hanging, "a peer hangs"
        while not answers.empty():
            number, answer = answers.get()
            found[number] = answer
        for number, peer in enumerate(peers):
            assert peer.exitcode in (0, -9), f"peer {number} ended with {peer.exitcode}: {found.get(number)}"
        return found

    return run


def _peer(body, number, count, arguments, answers):
    try:
        answers.put((number, body(number, count, *arguments)))
    except BaseException as error:
        answers.put((number, repr(error)))
        answers.close()
        answers.join_thread()
        os._exit(1)
