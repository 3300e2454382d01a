"""torch.compile over the backend "pccl"."""

import subprocess
import sys

from test_torch import dist, torch


def in_two_halves(call):
    """call(tensor) between two additions, compiled: what comes of a tensor of 1."""
    def add(tensor):
        made = tensor + 1
        call(made)
        return made * 3

    torch._dynamo.reset()
    return torch.compile(add, backend="eager")(torch.ones(2)).tolist()


def wait_async(tensor):
    dist.all_reduce(tensor, async_op=True).wait()


def await_future(tensor):
    dist.all_reduce(tensor, async_op=True).get_future().wait()


def gather_and_scatter(tensor):
    parts = [torch.empty(2) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, tensor)
    dist.reduce_scatter(tensor, parts)


def send_around(tensor):
    rank, count = dist.get_rank(), dist.get_world_size()
    work = dist.isend(tensor.clone(), (rank + 1) % count)
    dist.recv(tensor, (rank - 1) % count)
    work.wait()


def compile_all(rank, count):
    dist.init_process_group("pccl")
    assert in_two_halves(dist.all_reduce) == in_two_halves(wait_async) == in_two_halves(await_future) == [6 * count] * 2
    assert in_two_halves(gather_and_scatter) == [6 * count] * 2
    assert in_two_halves(lambda _: dist.barrier()) == in_two_halves(send_around) == [6] * 2
    assert in_two_halves(lambda tensor: dist.broadcast(tensor, 0)) == [6] * 2
    assert in_two_halves(lambda tensor: dist.reduce(tensor, 0)) == [6 * (1 if rank else count)] * 2
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.BatchNorm1d(4))  # its buffers are broadcast
    compiled = torch.compile(torch.nn.parallel.DistributedDataParallel(model), backend="eager")
    for _ in range(2):
        compiled(torch.randn(2, 4) + rank).sum().backward()
    gradient = model[0].bias.grad.clone()
    dist.broadcast(gradient, 0)
    assert torch.equal(gradient, model[0].bias.grad)
    dist.barrier()


def test_a_graph_breaks_at_what_is_not_in_it(run_ranks):
    run_ranks(compile_all, 2)


def test_the_compiler_is_not_imported_with_the_backend():
    program = """
import sys
import torch.distributed
before = "torch._dynamo" in sys.modules
import pccl.torch
sys.exit(not before and "torch._dynamo" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
