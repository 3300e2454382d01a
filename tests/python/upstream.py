#!/usr/bin/env python3
"""PyTorch's own tests of torch.distributed, on 3 processes of this machine and the backend pccl.

    upstream.py                     those that gloo passes without GPUs: upstream.txt has them, with a reason where ours
                                    does not pass; what does not end as that says is an error
    upstream.py test_barrier ...    these, and their output
    upstream.py --backend gloo --list
                                    the names of all tests that a backend passes

Ranks are forked from this process, which has imported everything already."""

import argparse
import contextlib
import io
import multiprocessing
import os
import pathlib
import sys
import tempfile
import time
import unittest

ASK_IN_BODY = "test_accumulate_gradients_no_sync"  # these know what to do for gloo, mpi and nccl only
HURRIED = {"test_barrier_timeout_full_group"}  # whose group has a second to be made: what fails is tried again
TABLE = pathlib.Path(__file__).with_suffix(".txt")


def load_tests(backend, folder):
    """The class of all tests. What they ask of the backend's name when they are defined they hear gloo's, or most would
    be skipped; what they run on is ours."""
    os.environ.update(BACKEND="gloo", WORLD_SIZE="3", TEMP_DIR=folder, OMP_NUM_THREADS="1", MASTER_ADDR="127.0.0.1",
                      PCCL_LOG_LEVEL="NONE", TORCH_CPP_LOG_LEVEL="ERROR")
    os.environ.pop("PCCL_MASTERS", None)
    os.environ.setdefault("PCCL_HEARTBEAT_TIMEOUT_MS", "20000")  # who gets no processor for some seconds is not lost
    import pccl.torch  # noqa: F401
    import torch._dynamo  # noqa: F401
    from torch.testing._internal.distributed import distributed_test

    distributed_test.BACKEND = backend

    class Upstream(distributed_test.TestDistBackend, distributed_test.DistributedTest._DistTestBase):
        def setUp(self):
            super().setUp()
            self._start_processes(multiprocessing.get_context("fork").Process)

        def run_test(self, test_name, parent_pipe):
            if test_name.startswith(ASK_IN_BODY):
                distributed_test.BACKEND = "gloo"
            super().run_test(test_name, parent_pipe)

    return Upstream


def run(kind, name):
    """"pass", "skip", "fail", and why; the output of the test."""
    for _ in range(3 if name in HURRIED else 1):
        outcome, why = run_once(kind, name)
        if outcome != "fail":
            break
    return outcome, why


def run_once(kind, name):
    case, result, output = kind(name), unittest.TestResult(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        case.run(result)
    for outcome, found in (("fail", result.errors + result.failures), ("skip", result.skipped)):
        if found:
            return outcome, found[0][1]
    return "pass", ""


def read_table():
    """Reasons by name; "" for a test that passes."""
    lines = [line.strip() for line in TABLE.read_text().splitlines()]
    return {line.split()[0]: line.partition(" ")[2].strip() for line in lines if line and not line.startswith("#")}


def names_of(kind, options):
    if options.names:
        return options.names
    every = unittest.TestLoader().getTestCaseNames(kind)
    return every if options.list else sorted(read_table())


def main():
    parser = argparse.ArgumentParser(description="PyTorch's own tests of torch.distributed on a backend.")
    parser.add_argument("names", nargs="*")
    parser.add_argument("--backend", default="pccl")
    parser.add_argument("--list", action="store_true", help="print the names of those that pass")
    parser.add_argument("--limit", type=float, help="begin no further test after so many seconds")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        kind = load_tests(options.backend, folder)
        reasons = {} if options.list or options.names else read_table()
        begin, wrong, counts = time.monotonic(), [], {"pass": 0, "skip": 0, "fail": 0}
        for name in names_of(kind, options):
            if options.limit and time.monotonic() - begin > options.limit:
                break
            outcome, why = run(kind, name)
            counts[outcome] += 1
            if options.list and outcome == "pass" or options.names:
                print(name, outcome, why if options.names else "", flush=True)
            if reasons.get(name, "") != "" and outcome == "pass":
                wrong.append(f"{name} passes, though the table says: {reasons[name]}")
            elif reasons.get(name, "") == "" and outcome != "pass" and not options.list:
                wrong.append(f"{name}: {outcome}: {why}")
    print(f"{counts['pass']} of PyTorch's tests pass on {options.backend}, {counts['skip']} are skipped, "
          f"{counts['fail']} fail; {time.monotonic() - begin:.0f} s", file=sys.stderr)
    for line in wrong:
        print(line, file=sys.stderr)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
