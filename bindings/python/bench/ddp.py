#!/usr/bin/env python3
"""Steps per second of DDP on pccl and on gloo in turn: torchrun --nproc-per-node 2 bindings/python/bench/ddp.py

A round has so many steps on one backend, then on the other; a figure is the median of the rounds, the ratio that of the
ratios of rounds. The last line is all of it as JSON. --all-reduce: megabytes of one torch.distributed.all_reduce()
instead of a model, and in the same rounds what allreduce-bench --give-up does: the library's own call."""

import argparse
import ctypes
import json
import os
import statistics
import time

import pccl.torch
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

WIDTH = 1024


def ddp_step(group, megabytes):
    """One step of a model whose gradients have so many megabytes; a small batch, so that they are what counts."""
    layers = max(1, round(megabytes * 1e6 / 4 / WIDTH / WIDTH))
    torch.manual_seed(0)
    model = torch.nn.Sequential(*[torch.nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(layers)])
    parallel = DistributedDataParallel(model, process_group=group, gradient_as_bucket_view=True)
    inputs = torch.randn(2, WIDTH)

    def step():
        parallel.zero_grad(set_to_none=False)
        parallel(inputs).sum().backward()

    return step


def all_reduce_step(group, megabytes):
    tensor = torch.zeros(int(megabytes * 2**20 / 4))
    return lambda: dist.all_reduce(tensor, group=group)


def c_step(communicator, megabytes):
    d, lib = pccl._declarations, pccl._library.lib
    tensor = torch.zeros(int(megabytes * 2**20 / 4))
    operation = d.pcclOperation_t(ctypes.sizeof(d.pcclOperation_t), tensor.numel(), d.pcclFloat, d.pcclSum)
    operation.tag, operation.input = 2**62, d.pcclInputGiveUp

    def step():
        pccl.PCCLError.check(lib.pcclAllReduceWith(tensor.data_ptr(), tensor.data_ptr(), operation,
                                                   communicator._comm, None), "pcclAllReduceWith")

    return step


def seconds(step, group, steps):
    dist.barrier(group)
    begin = time.perf_counter()
    for _ in range(steps):
        step()
    return (time.perf_counter() - begin) / steps


def main():
    parser = argparse.ArgumentParser(description="DDP on pccl and on gloo in turn.")
    parser.add_argument("--megabytes", type=float, default=100, help="of gradients (default %(default)s)")
    parser.add_argument("--all-reduce", action="store_true", help="one all-reduce of so many MiB instead of a model")
    parser.add_argument("--steps", type=int, default=5, help="in a round (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // int(os.environ["LOCAL_WORLD_SIZE"])))
    dist.init_process_group("pccl")
    groups = {"pccl": dist.group.WORLD, "gloo": dist.new_group(backend="gloo")}
    make = all_reduce_step if options.all_reduce else ddp_step
    steps = {name: make(group, options.megabytes) for name, group in groups.items()}
    if options.all_reduce:
        groups["c"], steps["c"] = groups["pccl"], c_step(groups["pccl"].communicator, options.megabytes)
    found = {name: [] for name in groups}
    for number in range(options.rounds + 1):  # the first warms up
        for name in sorted(groups, reverse=number % 2 == 1):
            found[name].append(seconds(steps[name], groups[name], options.steps))
    found = {name: each[1:] for name, each in found.items()}
    if dist.get_rank() == 0:
        answer = {f"{name}_per_second": round(1 / statistics.median(each), 2) for name, each in found.items()}
        def over(name):
            return round(statistics.median(theirs / mine for mine, theirs in zip(found["pccl"], found[name],
                                                                                strict=True)), 3)

        answer["ratio"] = over("gloo")
        if options.all_reduce:
            answer["c_ratio"] = over("c")
            bus = 2 * (dist.get_world_size() - 1) / dist.get_world_size() * options.megabytes * 2**20
            answer["pccl_bus_gb_per_second"] = round(bus / statistics.median(found["pccl"]) / 1e9, 2)
        print(json.dumps(answer))
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
