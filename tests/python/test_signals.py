"""Handlers of signals that come while the main thread is in a call: they raise, wait themselves, or close what is waited
for."""

import random
import signal

import pytest
from test_operations import pair

import pccl

np = pytest.importorskip("numpy")


class Interrupted(BaseException):
    pass


@pytest.fixture
def on_alarm():
    """on_alarm(function): what SIGALRM does from now on."""
    before = signal.getsignal(signal.SIGALRM)
    yield lambda function: signal.signal(signal.SIGALRM, lambda *_: function())
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def interrupt():
    raise Interrupted


def test_a_signal_at_whatever_moment_leaves_nobody_in_a_call(master, on_alarm):
    on_alarm(interrupt)
    one, other = pair(master)
    chance = random.Random(1)
    with one, other:
        handles = [one.barrier_async(tag=1),
                   one.all_reduce_async(np.zeros(3), np.zeros(3), op=pccl.ReduceOp.SUM, tag=2)]
        for use in (lambda: one.rank, handles[0].done, handles[1].done):
            for _ in range(700):
                try:
                    signal.setitimer(signal.ITIMER_REAL, chance.uniform(1e-6, 1e-4))
                    while True:
                        use()
                except Interrupted:
                    pass
                assert not one._life._inside
