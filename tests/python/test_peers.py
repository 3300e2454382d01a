"""Programs in the manner of PCCL 1.0's, on real processes."""

import os
import signal
import subprocess
import sys
import threading

import pytest
from conftest import free_port

import pccl

np = pytest.importorskip("numpy")


def join(address, count):
    communicator = pccl.Communicator(address, 0)
    communicator.connect(n_attempts=5)
    while communicator.get_attribute(pccl.Attribute.LOCAL_WORLD_SIZE) < count:
        communicator.update_topology()
    return communicator


def reduce_sums(number, count, address):
    communicator = join(address, count)
    send = np.full(100_000, number + 1, np.float32)
    recv = np.zeros_like(send)
    descriptor = pccl.ReduceOperandDescriptor(datatype=pccl.DataType.FLOAT,
                                              distribution_hint=pccl.DistributionHint.NORMAL)
    info = communicator.all_reduce(send, recv, op=pccl.ReduceOp.SUM, operand_descriptor=descriptor)
    assert info.local_world_size == count
    handles = [communicator.all_reduce_async(np.full(10, tag, np.int32), np.zeros(10, np.int32), op=pccl.ReduceOp.MAX,
                                             tag=tag) for tag in range(1, 9)]
    for handle in handles:
        success, status, info = handle.wait()
        assert success and status == 0 and handle.wait() == (success, status, info)
    return float(recv[0])


def test_all_reduces_add_up(master, run_peers):
    assert run_peers(reduce_sums, 3, master) == {0: 6.0, 1: 6.0, 2: 6.0}


def reduce_quantized(number, count, address):
    communicator = join(address, count)
    send = np.linspace(-1, 1, 10_000, dtype=np.float32) * (number + 1)
    recv = np.zeros_like(send)
    options = pccl.QuantizationOptions(pccl.DataType.UINT8, pccl.QuantizationAlgorithm.MIN_MAX)
    communicator.all_reduce(send, recv, op=pccl.ReduceOp.AVG, quantization_options=options)
    return float(np.abs(recv - np.linspace(-1.5, 1.5, 10_000)).max())


def test_quantized_all_reduces_are_close(master, run_peers):
    assert max(run_peers(reduce_quantized, 2, master).values()) < 0.03


def reduce_many(number, count, address):
    communicator = join(address, count)
    tensors = [np.full(1000 + index, number + 1.0) for index in range(20)]
    descriptors = [pccl.ReduceOpDescriptor.from_numpy(
        tensor, tensor, pccl.ReduceDescriptor(tensor.size, pccl.ReduceOp.SUM, tag,
                                              pccl.ReduceOperandDescriptor(pccl.DataType.DOUBLE)))
        for tag, tensor in enumerate(tensors)]
    communicator.all_reduce_multiple_with_retry(descriptors, max_in_flight=8)
    return [float(tensor[-1]) for tensor in tensors]


def test_many_are_reduced_at_once(master, run_peers):
    assert run_peers(reduce_many, 2, master) == {0: [3.0] * 20, 1: [3.0] * 20}


def lose_one(number, count, address):
    communicator = join(address, count)
    values = np.full(4_000_000, number + 1.0, np.float32)
    if number == 2:
        communicator.all_reduce_async(values, values.copy(), op=pccl.ReduceOp.SUM)
        os.kill(os.getpid(), signal.SIGKILL)
    result = np.zeros_like(values)
    while communicator.get_attribute(pccl.Attribute.LOCAL_WORLD_SIZE) > 1:
        try:
            communicator.all_reduce(values, result, op=pccl.ReduceOp.SUM)
            break
        except pccl.errors.RankConnectionLostError:
            continue
    assert values[0] == number + 1.0  # the input survives
    return float(result[0])


def test_survivors_go_on_without_who_was_killed(master, run_peers):
    answers = run_peers(lose_one, 3, master)
    assert set(answers) == {0, 1} and answers[0] == answers[1] and answers[0] in (3.0, 6.0)


def share_state(number, count, address):
    communicator = join(address, count)
    tensors = {"weight": np.full((500, 400), 7 if number < 2 else 0, np.float32), "step": np.array([3 + number])}
    info = pccl.state.sync(communicator, tensors, revision=5 if number < 2 else 0, unequal=["step"])
    assert info.revision == 5 and info.hashed_bytes == 800_008 and tensors["weight"][499, 399] == 7
    info = pccl.state.sync(communicator, tensors, revision=6, changed=["step"], unequal=["step"])
    assert info.revision == 6 and info.hashed_bytes == 8 and info.rx_bytes == 0
    pccl.state.check(communicator, tensors, changed=[], unequal=["step"])
    if number == 1:
        tensors["weight"][2, 1] = 8
    with pytest.raises(pccl.errors.MismatchError, match="'weight' has drifted at rank .* element 801"):
        pccl.state.check(communicator, tensors, unequal=["step"])
    with pytest.raises(ValueError, match="'bias'"):
        pccl.state.check(communicator, tensors, changed=["bias"])
    return number


def test_states_become_the_same_and_drifts_are_seen(master, run_peers):
    assert len(run_peers(share_state, 3, master)) == 3


def lend_or_prefetch(number, count, address):
    tensors = {"weight": np.full((500, 400), 7 if number == 0 else 0, np.float32)}
    communicator, gate = pccl.Communicator(address, 0), pccl.Communicator(address, 1)
    if number == 0:
        communicator.connect()
        pccl.state.lend(communicator, tensors)
    gate.connect()
    while gate.world_size < count:
        gate.update_topology()
    if number == 1:
        fetched = pccl.state.prefetch(communicator, tensors)
        communicator.connect()
        assert fetched.rx_bytes == 800_000 and tensors["weight"].min() == 7
    while communicator.world_size < count:
        communicator.update_topology()
    pccl.state.take_back(communicator)
    info = pccl.state.sync(communicator, tensors, revision=5 if number == 0 else 0)
    assert info.revision == 5 and info.rx_bytes == 0
    with pytest.raises(pccl.PCCLError):
        pccl.state.prefetch(communicator, tensors)
    return number


def test_a_newcomer_has_the_state_when_it_comes(master, run_peers):
    assert len(run_peers(lend_or_prefetch, 2, master)) == 2


def test_nobody_to_reduce_with(master):
    communicator = pccl.Communicator(master)
    communicator.connect()
    with pytest.raises(pccl.PCCLError) as caught:
        communicator.all_reduce(np.zeros(3, np.float32), np.zeros(3, np.float32), op=pccl.ReduceOp.SUM)
    assert caught.value.result is pccl.Result.TOO_FEW_PEERS
    state = pccl.SharedState([pccl.TensorInfo.from_numpy(np.zeros(3), "zeros")])
    info = communicator.sync_shared_state(state)
    assert (info.tx_bytes, info.rx_bytes) == (0, 0)
    communicator.close()
    communicator.close()


def test_a_master_that_is_not_there_is_told():
    with pytest.raises(ConnectionError, match="refused"):
        pccl.Communicator("127.0.0.1:9").connect(n_attempts=1)


def test_everybody_waits_for_the_end_of_a_master(free_address):
    with pccl.MasterNode(free_address) as node:
        ended = []

        def wait():
            node.await_termination()
            ended.append(True)

        threads = [threading.Thread(target=wait) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(0.1)
        assert not ended
        node.interrupt()
        for thread in threads:
            thread.join(30)
        assert len(ended) == 3


def test_a_closed_master_is_waited_for_by_nobody_and_takes_no_commands(free_address):
    node = pccl.MasterNode(free_address)
    node.run()
    assert node.command("list") == []
    node.close()
    node.await_termination()
    with pytest.raises(pccl.PCCLError):
        node.command("list")


def test_a_master_never_blocks_its_deletion():
    node = pccl.MasterNode(f"[::1]:{free_port()}")
    node.run()
    del node


FORKS = """
import os, sys
import numpy as np
import pccl

communicator = pccl.Communicator(sys.argv[1])
communicator.connect()
while communicator.world_size < 2:
    communicator.update_topology()
values = np.ones(4, np.float32)
communicator.all_reduce(values, values, op=pccl.ReduceOp.SUM)
child = os.fork()
if child == 0:
    try:
        communicator.update_topology()
    except pccl.PCCLError as error:
        assert error.result is pccl.Result.INVALID_USAGE and "fork" in str(error)
        if sys.argv[2] == "deletes":
            del communicator
        sys.exit(7)
    sys.exit(1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
communicator.all_reduce(values, values, op=pccl.ReduceOp.SUM)
assert values[0] == 4
"""


def test_a_child_ends_without_harm(master):
    """Its copy of the communicator is deleted, by itself or by the interpreter at the end; the parent's goes on."""
    peers = [subprocess.Popen([sys.executable, "-c", FORKS, master, ends]) for ends in ("deletes", "exits")]
    assert [peer.wait(240) for peer in peers] == [0, 0]
