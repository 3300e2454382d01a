#!/usr/bin/env python3
"""What Python adds to a call: pccl-run -n 2 bindings/python/bench/overhead.py

Rounds of all-reduces of 4 KiB take turns: made by a loop of C, compiled here and now, and by Python, over the same
communicator. A figure is the median of the rounds; the last line is all of it as JSON."""

import argparse
import ctypes
import gc
import json
import os
import pathlib
import statistics
import subprocess
import tempfile
import time

import numpy as np
import pccl

ROOT = pathlib.Path(__file__).resolve().parents[3]
LOOP = """
#include <pccl/pccl.h>
#include <time.h>

typedef pcclResult_t (*call_t)(const void *, void *, const pcclOperation_t *, const pcclComm_t *,
                           pcclOperationInfo_t *);

double loop(call_t call, pcclComm_t *comm, float *values, size_t count, int iterations)
{
        pcclOperation_t operation = PCCL_OPERATION_INITIALIZER;
        pcclOperationInfo_t info = PCCL_OPERATION_INFO_INITIALIZER;
        struct timespec begin, end;

        operation.count = count;
        clock_gettime(CLOCK_MONOTONIC, &begin);
        for (int i = 0; i < iterations; i++)
                if (call(values, values, &operation, comm, &info) != pcclSuccess)
                        return -1;
        clock_gettime(CLOCK_MONOTONIC, &end);
        return (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) * 1e-9;
}
"""


def compile_loop():
    with tempfile.TemporaryDirectory() as folder:
        source, made = pathlib.Path(folder) / "loop.c", pathlib.Path(folder) / "loop.so"
        source.write_text(LOOP)
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-I", ROOT / "include", "-I", ROOT / "include/pccl", source,
                        "-o", made], check=True)
        loop = ctypes.CDLL(str(made)).loop
    loop.restype = ctypes.c_double
    loop.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    call = ctypes.cast(pccl._library.lib.pcclAllReduceWith, ctypes.c_void_p)

    def seconds(communicator, values, iterations):
        return loop(call, communicator._comm, values.ctypes.data, values.size, iterations)

    return seconds


def python_seconds(communicator, values, iterations):
    begin = time.perf_counter()
    for _ in range(iterations):
        communicator.all_reduce_with(values)
    return time.perf_counter() - begin


def classic_seconds(communicator, values, iterations):
    begin = time.perf_counter()
    for _ in range(iterations):
        communicator.all_reduce(values, values, op=pccl.ReduceOp.SUM)
    return time.perf_counter() - begin


def measure_calls(communicator, options):
    """Microseconds of a call by who makes it, and of them the processor time of the calling thread."""
    values = np.zeros(1024, np.float32)
    kinds = {"c": compile_loop(), "python": python_seconds, "python_classic": classic_seconds}
    found = {f"{name}_{what}us": [] for name in kinds for what in ("", "cpu_")}
    for _ in range(options.rounds):
        for name, run in kinds.items():
            communicator.barrier(tag=1)
            begin = time.thread_time()
            found[f"{name}_us"].append(run(communicator, values, options.iterations) / options.iterations * 1e6)
            found[f"{name}_cpu_us"].append((time.thread_time() - begin) / options.iterations * 1e6)
    return {name: round(statistics.median(each), 2) for name, each in found.items()} | {
        name.replace("_us", "_us_beyond_c"): round(statistics.median(
            mine - base for mine, base in zip(each, found["c" + name[name.index("_"):].replace("_classic", "")],
                                              strict=True)), 2)
        for name, each in found.items() if not name.startswith("c_")}


def measure_steps(communicator):
    """Microseconds of a step of a trainer at which nothing is due: bare, and of a model of 300 tensors."""
    found = {}
    for tensors in (1, 300):
        model = {f"tensor {number}": np.zeros(100, np.float32) for number in range(tensors)}
        with pccl.diloco.Trainer(communicator, model, interval=10_000_000) as trainer:
            begin = time.thread_time()
            for _ in range(20_000):
                trainer.step()
            found[f"step_cpu_us_{tensors}_tensors"] = round((time.thread_time() - begin) / 20_000 * 1e6, 3)
    return found


def resident_bytes():
    return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def measure_leaks(communicator, count=10_000):
    """What grows by so many operations: bytes of the process, objects, descriptors."""
    values = np.zeros(100, np.float32)
    found = []
    for _ in range(2):  # the first fills caches
        gc.collect()
        found.append((resident_bytes(), len(gc.get_objects()), len(os.listdir("/proc/self/fd"))))
        for tag in range(count):
            communicator.all_reduce_with(values, tag=100 + tag % 50)
    gc.collect()
    now = resident_bytes(), len(gc.get_objects()), len(os.listdir("/proc/self/fd"))
    names = ("leaked_bytes", "leaked_objects", "leaked_descriptors")
    return {name: after - before for name, after, before in zip(names, now, found[-1], strict=True)}


def main():
    parser = argparse.ArgumentParser(description="What Python adds to a call of the library.")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--iterations", type=int, default=500, help="calls in a round (default %(default)s)")
    options = parser.parse_args()
    with pccl.Communicator(settings=pccl.Settings()) as communicator:
        while communicator.world_size < int(os.environ.get("LOCAL_WORLD_SIZE", "2")):
            communicator.update_topology()
        found = measure_calls(communicator, options) | measure_steps(communicator) | measure_leaks(communicator)
        if communicator.rank == 0:
            print(json.dumps(found))
        communicator.barrier()


if __name__ == "__main__":
    main()
