"""Every operation with its choices, settings, protection of connections, the log, and interrupting what blocks."""

import asyncio
import gc
import os
import resource
import signal
import subprocess
import sys
import threading
import time
import weakref

import pytest

import pccl
from pccl import _calls

np = pytest.importorskip("numpy")


def join(address, count, **choices):
    communicator = pccl.Communicator(address, settings=pccl.Settings(**choices))
    communicator.connect()
    while communicator.world_size < count:
        communicator.update_topology()
    return communicator


async def gather(handles):
    async def one(handle):
        return await handle

    return await asyncio.gather(*[one(handle) for handle in handles])


def move_parts(communicator, rank, count):
    values = np.full(30, rank + 1, np.float32)
    total = np.zeros_like(values) if rank == 1 else None
    communicator.reduce(values, total, root=1)
    assert rank != 1 or (total == 6).all()
    parts = [np.full(5 * each, each, np.int32) for each in range(count)]
    everything, sizes = np.concatenate(parts), [5 * each for each in range(count)]
    received = np.zeros_like(everything)
    at_root = {"counts": sizes} if rank == 2 else {}
    communicator.gather(parts[rank], received if rank == 2 else None, root=2, **at_root)
    assert rank != 2 or (received == everything).all()
    mine = np.zeros_like(parts[rank])
    communicator.scatter(mine, everything if rank == 2 else None, root=2, **at_root)
    assert (mine == rank).all()
    even = np.arange(2 * count, dtype=np.int64) + 100 * rank
    swapped = np.zeros_like(even)
    communicator.all_to_all(even, swapped)
    assert (swapped.reshape(count, 2)[:, 0] == 2 * rank + 100 * np.arange(count)).all()
    sends = np.concatenate([np.full(each + 1, rank, np.uint8) for each in range(count)])
    receives = np.zeros(count * (rank + 1), np.uint8)
    communicator.all_to_all(sends, receives, send_counts=[each + 1 for each in range(count)],
                            recv_counts=[rank + 1] * count)
    assert (receives.reshape(count, rank + 1) == np.arange(count)[:, None]).all()
    above, below = (rank + 1) % count, (rank - 1) % count
    got = np.zeros_like(values)
    handles = [communicator.recv_async(got, below, tag=3), communicator.send_async(values, above, tag=3)]
    infos = [handle.wait() for handle in handles]
    assert (got == below + 1).all() and all(info.participants_max == 2 for info in infos)
    with pytest.raises(ValueError, match="add up to 15"):
        communicator.all_to_all(everything, received, send_counts=[1, 2, 3], recv_counts=sizes)
    with pytest.raises(ValueError, match="say counts"):
        communicator.gather(mine[:1], np.zeros(4, np.int32), root=rank)
    with pytest.raises(pccl.errors.InvalidArgumentError):
        communicator.send(values, rank)


def use_all(number, count, address):
    with join(address, count, plan="ring", failure_policy="repair", lanes=1) as communicator:
        rank = communicator.rank
        values = np.full((10, 20), rank + 1, np.float32)
        info = communicator.all_reduce_with(values, plan="direct", timeout_ms=30_000)
        assert (values == 6).all() and info.participants_min == info.participants_max == count
        assert info.epoch == communicator.epoch and info.plan is pccl.Plan.DIRECT and info.tx_bytes > 0
        residual = np.zeros(values.size, np.float32)
        communicator.all_reduce_with(values, values.copy(), op=pccl.ReduceOp.AVG, residual=residual, plan="direct",
                                     codec=pccl.QuantizationAlgorithm.INT8, failure_policy=pccl.FailurePolicy.ABORT)
        text = bytearray(b"hello" if rank == 1 else b"-----")
        communicator.broadcast(text, root=1)
        assert text == b"hello"
        whole = np.arange(4 * count, dtype=np.int64)
        part = np.zeros(4, np.int64)
        communicator.reduce_scatter(whole, part)
        assert (part == count * whole.reshape(count, 4)[rank]).all()
        gathered = np.zeros(4 * count, np.int64)
        communicator.all_gather(part, gathered)
        assert (gathered == count * whole).all()
        with pytest.raises(ValueError, match="a world of 3"):
            communicator.all_gather(part, part)
        move_parts(communicator, rank, count)
        communicator.barrier(tag=9)
        inputs = [np.full(100, tag, np.float64) for tag in range(20)]
        handles = [communicator.all_reduce_with_async(each, tag=tag) for tag, each in enumerate(inputs)]
        infos = asyncio.run(gather(handles))
        assert all(info.participants_max == count for info in infos) and all(handle.done() for handle in handles)
        assert all((each == tag * count).all() for tag, each in enumerate(inputs))
        handle = communicator.barrier_async()
        seen = []
        threads = [threading.Thread(target=lambda: seen.append(handle.wait())) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(seen) == 4 and len(set(seen)) == 1
        return communicator.uuid.hex


def test_every_operation_gives_what_numpy_does(master, run_peers):
    answers = run_peers(use_all, 3, master)
    assert len(set(answers.values())) == 3


def kill_self(*numbers):
    """No Python runs between these signals."""
    list(map(os.kill, [os.getpid()] * len(numbers), numbers))


def when_inside(communicator, function, after_s=0.2):
    """function() runs in another thread when one has been in a call of the communicator for a while."""
    def run():
        while not communicator._life._inside:
            time.sleep(0.001)
        time.sleep(after_s)
        function()

    threading.Thread(target=run, daemon=True).start()


def be_interrupted(number, count, address):
    signal.signal(signal.SIGINT, signal.default_int_handler)  # who runs in the background is born deaf to it
    with join(address, count) as communicator:
        if number == 1:
            with pytest.raises(pccl.errors.RankConnectionLostError):
                communicator.barrier(tag=2)
            return True
        handle = communicator.barrier_async(tag=1)
        with pytest.raises(KeyboardInterrupt):
            when_inside(communicator, lambda: kill_self(signal.SIGINT))
            handle.wait()
        assert not handle.done()
        with pytest.raises(KeyboardInterrupt):
            when_inside(communicator, lambda: kill_self(signal.SIGINT))
            communicator.all_reduce_with(np.zeros(9), tag=3, stay_ms=2000)  # in the launch itself
        with pytest.raises(pccl.errors.AbortedError):
            communicator.barrier()
        return True


def test_ctrl_c_interrupts_what_blocks(master, run_peers):
    assert run_peers(be_interrupted, 2, master) == {0: True, 1: True}


def test_what_is_awaited_in_turn_shares_threads():
    seen = []

    def work(ended):
        seen.append(threading.current_thread())
        ended.set()

    for _ in range(40):
        ended = threading.Event()
        _calls.start(lambda ended=ended: work(ended))
        assert ended.wait(30)
    assert len(set(seen)) < 20  # one, but for those that were not at rest yet


def test_a_thousand_operations_are_awaited_by_few_threads_and_none_stands_in_line(master):
    """The last ones end first, and those before are launched by the other member when it knows that."""
    one, other = pair(master)
    count, told = 1000, []

    async def await_all(handles):
        async def one_of_them(tag):
            await handles[tag]
            told.append(tag)

        tasks = [asyncio.create_task(one_of_them(tag)) for tag in range(count)]
        while len(told) < count:
            before = len(told)
            handle = other.barrier_async(tag=count - 1 - before)
            limit = time.monotonic() + 30
            while len(told) == before:
                assert time.monotonic() < limit
                await asyncio.sleep(0.0005)
            handle.wait()
        await asyncio.gather(*tasks)

    with one, other:
        handles = [one.barrier_async(tag=tag) for tag in range(count)]
        before, most = threading.active_count(), []
        looking = threading.Event()

        def look():
            while not looking.wait(0.01):
                most.append(threading.active_count())

        thread = threading.Thread(target=look)
        thread.start()
        asyncio.run(await_all(handles))
        looking.set()
        thread.join()
        assert told == list(range(count))[::-1] and max(most) <= before + 1 + 17


def test_no_number_of_ctrl_cs_leaves_a_call_behind():
    """It writes into memory that whoever is interrupted lets go of. A signal wakes nobody who waits if another thread
    is the one that gets it, or if it comes a moment before."""
    ended, times = threading.Event(), []

    def take_time():
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)
        ended.wait(30)
        times.append("end")

    def abort():
        times.append("abort")
        if len(times) == 3:
            ended.set()
        else:
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # who runs in the background is born deaf to it
    try:
        with pytest.raises(KeyboardInterrupt):
            _calls.run(take_time, abort)
    finally:
        signal.signal(signal.SIGINT, before)
    assert times == ["abort"] * 3 + ["end"]


def pair(address):
    """Two members in this process."""
    found = [None, None]

    def come(number):
        found[number] = join(address, 2)

    threads = [threading.Thread(target=come, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


@pytest.mark.parametrize("after_s", [0.02, 0.25])  # in the launch, and in a later slice
def test_signals_that_come_together_leave_nothing_in_flight(master, after_s):
    """The handler of the second one raises as soon as the first one's exception is dealt with."""
    numbers = (signal.SIGINT, signal.SIGALRM)
    before = [signal.signal(number, signal.default_int_handler) for number in numbers]
    one, other = pair(master)
    try:
        with one, other:
            with pytest.raises(KeyboardInterrupt):
                when_inside(one, lambda: kill_self(*numbers), after_s)
                one.all_reduce_with(np.zeros(9))
            with pytest.raises(pccl.errors.AbortedError):
                one.barrier(tag=1, timeout_ms=60_000)
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def test_buffers_outlive_their_handles(master):
    """A handle that is dropped, as by an exception, leaves the operation in flight: the library goes on writing."""
    one, other = pair(master)
    with one, other:
        for launch in (one.all_reduce_with_async, lambda values: one.all_reduce_async(values, values, tag=1,
                                                                                      op=pccl.ReduceOp.SUM)):
            values = np.ones(1000)
            alive = weakref.ref(values)
            launch(values)
            del values
            gc.collect()
            assert alive() is not None
        total = np.ones(1000)
        other.all_reduce_with(total)
        assert (total == 2).all()
        one.close()
        gc.collect()
        assert alive() is None


def wait_until_dropped_have_ended(communicator):
    deadline = time.monotonic() + 60
    while not all(each.done() for each in communicator._life._held.values()):
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("reduce", [lambda communicator, values: communicator.all_reduce_with_async(values, tag=1),
                                    lambda communicator, values: communicator.all_reduce_async(
                                        values, values, tag=1, op=pccl.ReduceOp.SUM)])
def test_who_drops_a_handle_gets_the_tag_and_the_buffers_back_and_may_make_joint_calls(master, reduce):
    one, other = pair(master)
    with one, other:
        def update(communicator):
            communicator.update_topology()

        alive = []
        for join_calls in (lambda communicator: reduce(communicator, np.ones(1000)).wait(),
                           lambda communicator: communicator.all_reduce_with(np.ones(10), tag=1), update):
            values = np.ones(1000)
            alive.append(weakref.ref(values))
            reduce(one, values)  # and lets go of it
            with pytest.raises(pccl.errors.PCCLError, match="in flight|in use"):
                join_calls(one)
            reduce(other, np.ones(1000)).wait()
            wait_until_dropped_have_ended(one)
            assert (values == 2).all()
            del values
            thread = threading.Thread(target=join_calls, args=(other,))
            thread.start()
            join_calls(one)
            thread.join()
            gc.collect()
            assert alive[-1]() is None and not one._life._held


def fewest_calls(function):
    """Of Python and of its built-in functions, by one call of function(): what takes longest where caches are cold."""
    counts = []
    for _ in range(20):
        events = []
        sys.setprofile(lambda frame, event, _, events=events: events.append(event))
        try:
            function()
        finally:
            sys.setprofile(None)
        counts.append(sum(event in ("call", "c_call") for event in events))
    return min(counts)  # some were waited for longer than a slice


def test_an_operation_takes_few_calls_of_python(master):
    one, other = pair(master)
    with one, other:
        mine, others = np.ones(100, np.float32), np.ones(100, np.float32)
        for most, reduce in ((18, lambda communicator, values: communicator.all_reduce_with(values)),
                             (18, lambda communicator, values: communicator.all_reduce(values, values,
                                                                                       op=pccl.ReduceOp.SUM))):
            thread = threading.Thread(target=lambda reduce=reduce: [reduce(other, others) for _ in range(21)])
            thread.start()
            reduce(one, mine)  # remembers types
            assert fewest_calls(lambda reduce=reduce: reduce(one, mine)) <= most
            thread.join()


class Interrupting(list):
    """As a signal handler that raises as soon as the thread is listed."""

    def append(self, thread):
        super().append(thread)
        raise KeyboardInterrupt


def test_who_is_interrupted_when_he_goes_into_a_call_does_not_stay_there():
    life, handle = _calls.Life(), _calls.d.pcclHandle_t()
    call = _calls.Call(_calls.d.pcclOperationInfo_t)
    life._inside = Interrupting()
    with pytest.raises(KeyboardInterrupt):
        life.stay(call, lambda: 0, (), None)
    with pytest.raises(KeyboardInterrupt):
        life.finish(_calls.InFlight(life, handle), False)
    assert not life._inside


def test_a_communicator_may_be_closed_while_others_use_it(master):
    one, other = pair(master)
    with other:
        handles = [one.barrier_async(tag=tag) for tag in range(3)]
        ended = []

        def wait():
            with pytest.raises(pccl.errors.AbortedError):
                handles[0].wait()
            ended.append(True)

        async def lose_patience():
            async def one_of_them():
                await handles[1]  # in a thread that stays when nobody waits any more

            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(one_of_them(), 0.1)

        thread = threading.Thread(target=wait)
        thread.start()
        asyncio.run(lose_patience())
        one.close()
        thread.join(30)
        assert ended and handles[2].done()
        with pytest.raises(pccl.errors.AbortedError, match="closed before"):
            handles[2].wait()
        for use in (one.barrier, one.update_topology, one.abort, lambda: one.rank):
            with pytest.raises(pccl.errors.InvalidUsageError, match="has been closed"):
                use()


def test_other_threads_run_while_one_is_blocked(master):
    with join(master, 1):
        waiting = pccl.Communicator(master, settings=pccl.Settings())
        ended = []

        def connect():
            try:
                waiting.connect()  # nobody admits it
            except pccl.PCCLError as error:
                ended.append(error)

        thread = threading.Thread(target=connect)
        thread.start()
        while not waiting._life._inside and thread.is_alive():
            time.sleep(0.001)
        time.sleep(0.1)
        waiting.abort()
        thread.join(30)
        assert isinstance(ended[0], pccl.errors.AbortedError)


def check_words(alone):
    """Of operations, as the other methods take them."""
    values = np.zeros(3, np.float32)
    operands = pccl.ReduceOperandDescriptor(pccl.DataType.FLOAT)
    for function in (alone.all_reduce, alone.all_reduce_async):
        for more in ({}, {"operand_descriptor": operands}):
            with pytest.raises(pccl.errors.InvalidArgumentError, match="summe.*sum"):
                function(values, values, op="summe", **more)
            for wrong in (pccl.Plan.RING, 0, None):
                with pytest.raises(TypeError, match="neither a ReduceOp nor a word"):
                    function(values, values, op=wrong, **more)
            with pytest.raises(pccl.errors.TooFewPeersError):  # it is alone: the word was one
                found = function(values, values, op="sum", **more)
                found.result()


def check_wraps(alone):
    """Of numbers that are too large ctypes takes the low bits."""
    values = np.zeros(3, np.float32)
    operands = pccl.ReduceOperandDescriptor(pccl.DataType.FLOAT)
    for tag in (2**64, 2**64 + 5, -1, 0.5):
        for function in (alone.all_reduce, alone.all_reduce_async):
            for more in ({}, {"operand_descriptor": operands}):
                with pytest.raises(ValueError, match=f"tag is a number from 0 to {2**64 - 1}, not {tag}"):
                    function(values, values, op=pccl.ReduceOp.SUM, tag=tag, **more)
    for count, tag, wrong in ((2**64 + 3, 0, "count"), (3, 2**64, "tag")):
        descriptor = pccl.ReduceDescriptor(count, pccl.ReduceOp.SUM, tag, operands)
        many = [pccl.ReduceOpDescriptor(values.ctypes.data, values.ctypes.data, descriptor)]
        with pytest.raises(ValueError, match=f"{wrong} is a number"):
            alone.all_reduce_multiple_with_retry(many)
    with pytest.raises(ValueError, match="max_in_flight is a number"):
        alone.all_reduce_multiple_with_retry([], max_in_flight=2**32 + 1)
    for function in (pccl.state.check, lambda _, tensors, threads: pccl.state.save("none", tensors, threads=threads)):
        with pytest.raises(ValueError, match="threads is a number"):
            function(alone, {"a": values}, threads=2**32)
    for choices, words in (({"fragment_of": [2**32]}, "a fragment is a number"),
                           ({"interval": np.int64(2**32 + 1)}, "interval can't be")):
        with pytest.raises(ValueError, match=words):
            pccl.diloco.Trainer(alone, {"a": values}, **choices)
    with pytest.raises(pccl.errors.TooFewPeersError):
        alone.all_reduce(values, values, op=pccl.ReduceOp.SUM, tag=2**64 - 1)


def test_bad_choices_are_refused_in_words(master):
    for wrong in ({"plan": "star"}, {"security": pccl.Security(secret="short")},
                  {"security": pccl.Security(rdma_trusted="10.1.0.0")}):
        with pytest.raises(pccl.errors.InvalidArgumentError) as caught:
            pccl.Communicator(master, settings=pccl.Settings(**wrong))
        assert caught.value.cause
    with pytest.raises(ValueError, match="secret_file has a zero byte"):
        pccl.Communicator(master, settings=pccl.Settings(security=pccl.Security(secret_file="secret\0s")))
    with pytest.raises(ValueError, match="peer_group is a number"):
        pccl.Communicator(master, 2**32)  # would be group 0
    with pytest.raises(ValueError, match="streams can't be -1"):
        pccl.Communicator(master, settings=pccl.Settings(streams=-1))
    with join(master, 1) as alone:
        with pytest.raises(TypeError, match="neither a Plan"):
            alone.all_reduce_with(np.zeros(3), plan=pccl.FailurePolicy.RETRY)
        with pytest.raises(pccl.errors.TooFewPeersError):
            alone.all_reduce_with(np.zeros(3), op="avg")
        with pytest.raises(pccl.errors.TooFewPeersError):
            alone.all_reduce_with(np.zeros(3), tag=np.int64(7))
        with pytest.raises(ValueError, match="at least one"):
            alone.connect(0)
        for function in (pccl.state.lend, pccl.state.check):
            with pytest.raises(ValueError, match="unequal: no tensor has the name 'b'"):
                function(alone, {"a": np.zeros(3)}, unequal=["b"])
        with pytest.raises(TypeError, match="no 'colour'"):
            alone.all_reduce_with(np.zeros(3), colour="red")
        with pytest.raises(ValueError, match="tag is a number"):
            alone.all_reduce_with(np.zeros(3), tag=-1)
        check_words(alone)
        check_wraps(alone)
        with pytest.raises(ValueError, match="3 elements of DOUBLE"):
            alone.all_reduce_with(np.zeros(3, np.float32), residual=np.zeros(3))
        with pytest.raises(pccl.errors.TooFewPeersError):
            alone.all_reduce_with(np.zeros(3))


def test_a_secret_lets_in_those_who_know_it(free_address):
    secret = pccl.generate_secret()
    assert secret not in repr(pccl.Security(secret=secret))
    with pccl.MasterNode(free_address, security=pccl.Security(secret=secret)):
        with join(free_address, 1, security=pccl.Security("psk", secret=secret)) as communicator:
            assert communicator.world_size == 1
        other = pccl.Security(secret=pccl.generate_secret())
        with pytest.raises(pccl.errors.MasterConnectionFailedError):
            pccl.Communicator(free_address, settings=pccl.Settings(security=other, connect_attempts=1)).connect(1)


def test_the_log_goes_where_it_is_told(free_address):
    lines = []
    pccl.log.set_level("debug")
    pccl.log.set_callback(lambda level, text: lines.append((level, text)))
    try:
        with pccl.MasterNode(free_address), join(free_address, 1):
            pass
    finally:
        pccl.log.set_callback(None)
        pccl.log.set_level(pccl.log.Level.WARN)
    assert lines and all(isinstance(level, pccl.log.Level) and text for level, text in lines)


LOG_OF_A_CHILD = """
import os, sys
import pccl
lines = []
pccl.log.set_level("debug")
pccl.log.set_callback(lambda level, text: lines.append(text))
child = os.fork()
if child != 0:
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
try:
    pccl.Communicator(sys.argv[1], settings=pccl.Settings(connect_attempts=1)).connect(1)  # nobody is there
except pccl.errors.MasterConnectionFailedError:
    pccl.log.set_callback(None)
os._exit(0 if lines else 1)
"""


def test_a_child_has_a_log_as_well(free_address):
    assert subprocess.run([sys.executable, "-c", LOG_OF_A_CHILD, free_address], timeout=60).returncode == 0


def count_what_is_kept():
    gc.collect()
    return len(gc.get_objects()), len(os.listdir("/proc/self/fd"))


def reduce_thousands(number, count, address):
    with join(address, count) as communicator:
        values = np.zeros(100, np.float32)

        def reduce(times):
            for _ in range(times):
                handles = [communicator.all_reduce_with_async(values.copy(), tag=tag) for tag in range(50)]
                for handle in handles:
                    handle.wait()

        reduce(4)  # fills what is kept for good
        before, bytes_before = count_what_is_kept(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        reduce(200)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - bytes_before
        assert grown < 2048, f"{grown} KiB"
        return [after - then for after, then in zip(count_what_is_kept(), before, strict=True)]


def test_ten_thousand_operations_leave_nothing_behind(master, run_peers):
    for grown in run_peers(reduce_thousands, 2, master).values():
        assert grown[0] < 50 and grown[1] <= 0
