"""Operations that have a part for each member, while another thread lets others in."""

import threading
import time

import pytest
from test_operations import join, pair

import pccl
from pccl.errors import InvalidUsageError, PendingAsyncOpsError

np = pytest.importorskip("numpy")

PART, CANARY = 1000, 77


def wait_until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def in_thread(function, has_begun=lambda: True):
    """It has begun, and does not end."""
    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    wait_until(has_begun)
    thread.join(0.2)
    assert thread.is_alive()
    return thread


def ended(*threads):
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()


@pytest.mark.parametrize("is_async", [False, True])
def test_what_is_launched_for_fewer_members_than_there_are_is_refused_and_writes_nothing(master, monkeypatch, is_async):
    members = []
    joining = [threading.Thread(target=lambda: members.append(join(master, 3))) for _ in range(3)]
    for thread in joining:
        thread.start()
    ended(*joining)
    one, others = members[0], members[1:]
    memory = np.full(4 * PART, CANARY, np.int64)

    def use(name, send, recv, **choices):
        if is_async:
            return getattr(one, f"{name}_async")(send, recv, **choices).wait()
        return getattr(one, name)(send, recv, **choices)

    part = np.ones(PART, np.int64)
    with monkeypatch.context() as patch:  # another thread lets somebody in right after this was read
        patch.setattr(pccl.Communicator, "world_size", 2)
        for name, send, recv, choices in (
                ("all_gather", part, memory[:2 * PART], {}), ("reduce_scatter", memory[:2 * PART], part.copy(), {}),
                ("gather", part, memory[:2 * PART], {"root": one.rank}),
                ("all_to_all", memory[2 * PART:].copy(), memory[:2 * PART], {"recv_counts": [PART, PART]})):
            with pytest.raises(InvalidUsageError, match="3 members now, the buffers are for 2"):
                use(name, send, recv, timeout_ms=500, **choices)
    assert (memory == CANARY).all()
    rest = [threading.Thread(target=each.all_gather, args=(part, np.zeros(3 * PART, np.int64))) for each in others]
    for thread in rest:
        thread.start()
    use("all_gather", part, memory[:3 * PART])  # in step
    assert (memory == np.repeat([1, 1, 1, CANARY], PART)).all()
    ended(*rest)
    for each in members:
        each.close()


def test_who_lets_others_in_and_who_launches_take_turns(master):
    one, other = pair(master)
    part, whole = np.ones(PART), np.zeros(2 * PART)
    with one, other:
        def is_letting_in():
            return bool(one._life._inside and one._life.doors._admitting)

        updating = in_thread(one.update_topology, is_letting_in)
        gathering = in_thread(lambda: one.all_gather(part, whole))
        wait_until(lambda: not one._life.doors._launching)  # but for a moment, each time it looks
        other.update_topology()
        ended(updating)
        other.all_gather(part, np.zeros(2 * PART))
        ended(gathering)
        assert (whole == 1).all()

        seen = []  # a member that waits in an operation ends the call, so nobody waits in a circle

        def update():
            with pytest.raises(PendingAsyncOpsError):
                one.update_topology()
            seen.append(True)

        updating = in_thread(update, is_letting_in)
        gathering = in_thread(lambda: one.all_gather(part, whole))
        other.all_gather(part, np.zeros(2 * PART))
        ended(updating, gathering)
        assert seen
        with pytest.raises(InvalidUsageError, match="signal handler"):
            one._life.doors.keep(one.update_topology)


def test_a_handler_may_close_while_others_wait_for_whom_it_has_interrupted(master):
    one, other = pair(master)
    threads = []

    def gather():
        with pytest.raises(InvalidUsageError, match="has been closed"):
            one.all_gather_async(np.ones(PART), np.zeros(2 * PART))

    def update():
        with pytest.raises(InvalidUsageError, match="has been closed"):
            one.update_topology()

    def interrupted():
        threads.append(in_thread(update))  # waits for this launch
        threads.append(in_thread(gather))  # waits for that
        one.close()  # as its handler

    launching = threading.Thread(target=one._life.doors.keep, args=(interrupted,), daemon=True)
    launching.start()
    ended(launching)
    ended(*threads)
    other.close()
