"""Handlers of signals that come while the main thread is in a call: they raise, wait themselves, or close what is
waited for."""

import contextlib
import random
import signal
import threading
import time

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


def soon(on_alarm, function, after_s=0.2, is_time=lambda: True):
    """Interrupts the main thread by it, when it is time for that."""
    ran = []

    def run():
        if not is_time():
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            return
        ran.append(True)
        function()

    on_alarm(run)
    signal.setitimer(signal.ITIMER_REAL, after_s)
    return ran


@pytest.mark.parametrize("launch", [
    lambda one: one.barrier_async().wait,
    lambda one: one.barrier,
    lambda one: lambda: one.barrier(stay_ms=1000),
    lambda one: one.all_reduce_async(np.zeros(3), np.zeros(3), op=pccl.ReduceOp.SUM).result,
    lambda one: one.update_topology,
])
def test_a_handler_may_close_what_the_main_thread_waits_for(master, on_alarm, launch):
    one, other = pair(master)
    with other:
        wait = launch(one)
        looks = []

        def waits():
            """For a while already: what is called when it is closed has another error."""
            looks.append(bool(one._life._inside))
            return all(looks[-2:]) and len(looks) > 1

        ran = soon(on_alarm, one.close, is_time=waits)
        with pytest.raises(pccl.errors.AbortedError):
            wait()
        assert ran
        with pytest.raises(pccl.errors.InvalidUsageError, match="has been closed"):
            one.barrier()


def test_a_handler_may_wait_for_what_the_main_thread_waits_for(master, on_alarm):
    one, other = pair(master)
    with one, other:
        for handle, lacking in ((one.barrier_async(), other.barrier), (
                one.all_reduce_async(np.zeros(3), np.zeros(3), op=pccl.ReduceOp.SUM, tag=1),
                lambda: other.all_reduce_with(np.zeros(3), tag=1))):
            seen = []

            def wait(handle=handle, lacking=lacking, seen=seen):
                thread = threading.Thread(target=lacking)
                thread.start()
                seen.append(handle.wait())
                thread.join()

            ran = soon(on_alarm, wait)
            assert handle.wait() == seen[0] and ran


def test_whoever_awaits_first_whatever_comes_in_between_all_get_the_result(master, on_alarm):
    """A handler, or another thread, that asks between the end of the library's call and the note of what it said."""
    one, other = pair(master)
    chance = random.Random(2)
    with one, other:
        thread = threading.Thread(target=lambda: [other.barrier(tag=tag) for tag in range(300)])
        thread.start()
        for tag in range(300):
            handle = one.barrier_async(tag=tag)
            ran = soon(on_alarm, handle.wait, chance.uniform(1e-6, 2e-4))
            handle.wait()
            while not ran:
                handle.wait()
        thread.join()


def begin(function):
    """A thread that is at it, and waits for something."""
    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    time.sleep(0.3)
    assert thread.is_alive()
    return thread


def test_a_handler_may_close_while_who_it_has_interrupted_is_about_to_note_the_end(master):
    one, other = pair(master)
    found = []

    def wait():
        try:
            found.append(handle.wait().participants_min)
        except pccl.errors.AbortedError as error:
            found.append(error)

    with other:
        handle = one.barrier_async()
        thread = begin(wait)
        with handle._lock:  # as the interrupted one has it
            other.barrier()
            time.sleep(0.3)  # now the thread wants it
            closing = threading.Thread(target=one.close, daemon=True)
            closing.start()  # waits for nobody who waits for the lock
            closing.join(60)
            assert not closing.is_alive()
        thread.join(60)
        assert not thread.is_alive() and isinstance(found[0], pccl.errors.AbortedError)


@pytest.mark.parametrize("first", ["trainer", "communicator"])
@pytest.mark.parametrize("second", ["trainer", "communicator"])
def test_a_handler_may_close_a_trainer_or_its_communicator_while_another_thread_does(master, first, second):
    one, other = pair(master)
    trainer = pccl.diloco.Trainer(one, {"a": np.zeros(3, np.float32)})
    closes = {"trainer": trainer.close, "communicator": one.close}

    def interrupted():
        threads.append(begin(closes[first]))  # waits for this one to leave
        closes[second]()  # as its handler

    threads = []
    main = threading.Thread(target=lambda: trainer._engine.call(interrupted), daemon=True)
    main.start()
    main.join(60)
    assert not main.is_alive()
    threads[0].join(60)
    assert not threads[0].is_alive()
    assert trainer._engine._ended and not (one._life._inside or trainer._engine._inside)
    assert second == "trainer" or one._life._ended
    one.close()
    other.close()


def test_a_handler_may_close_a_master_that_is_being_closed(free_address):
    node = pccl.MasterNode(free_address)
    node.run()
    with node._waiting:  # as close() has it
        node.close()
    node.close()


def test_a_handler_may_close_a_master_that_is_told_something(free_address, on_alarm, monkeypatch):
    class Line(str):
        __slots__ = ()

        def encode(self):
            signal.raise_signal(signal.SIGALRM)
            return super().encode()

    node = pccl.MasterNode(free_address)
    node.run()
    on_alarm(node.close)
    used = []
    real = pccl._master.lib.pcclCommandMaster
    monkeypatch.setattr(pccl._master.lib, "pcclCommandMaster", lambda handle, *rest: (
        used.append((handle, node._handle)), real(handle, *rest))[1])
    with contextlib.suppress(pccl.errors.PCCLError):  # it may have been interrupted by then
        node.command(Line("bans"))
    assert used[0][0] is used[0][1] and not node._handle


def test_a_handler_may_change_where_the_log_goes_while_the_main_thread_does(on_alarm):
    chance = random.Random(3)
    ran = []

    def change():
        pccl.log.set_callback(ran.append)
        ran.append(True)

    on_alarm(change)
    try:
        while len(ran) < 50:
            signal.setitimer(signal.ITIMER_REAL, chance.uniform(1e-6, 1e-3))
            pccl.log.set_callback(print)
            pccl.log.set_callback(None)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        pccl.log.set_callback(None)
    assert len(pccl.log._sinks) == 1
