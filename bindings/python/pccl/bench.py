"""`python -m pccl.bench`: what all-reduces of Python's buffers take, measured as allreduce-bench does it: the same
sizes, the same figures under the same names, so that the two can be compared."""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import os
import resource
import statistics
import sys
import time
from dataclasses import dataclass
from typing import Any

from . import run
from .communicator import Communicator
from .errors import PCCLError
from .settings import Plan, Settings
from .types import DataType, QuantizationAlgorithm, ReduceOp

_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
_MEET, _TIMES, _SUMS, _MEASURED, _FLAGS = 1, 2, 3, 4, 5  # tags
_ALIKE = ("peers", "sizes", "dtype", "op", "inplace", "torch", "plan", "codec", "iters", "warmup")
_MANUAL = """
Time is that of one iteration on the slowest peer; algbw is bytes over its median, busbw that times 2(n-1)/n, what a
link has to carry; wire are payload bytes that a peer has sent; cpu is of all peers, in seconds per GiB of buffer;
parity: all peers hold the same bytes; right: they are the sum. The last line is all of it as one JSON object:
{"peers": N, "rows": [...]}, whose rows have the keys of allreduce-bench --json.

  python -m pccl.bench --local 4
  python -m pccl.bench --local 2 --sizes 64M --torch
  python -m pccl.bench --master HOST:PORT --peers 3       one of three peers; the others run elsewhere

Exit status: 0 fine, 1 something failed or was wrong, 2 bad flags.
"""


def _bytes_of(text: str) -> int:
    unit = _UNITS.get(text[-1:].upper(), 1)
    digits = text[:-1] if unit > 1 else text
    if not digits.isdigit() or int(digits) == 0:
        raise argparse.ArgumentTypeError(f"'{text}' is no size, such as 4K or 64M")
    return int(digits) * unit


def _sizes(text: str) -> list[int]:
    return [_bytes_of(each) for each in text.split(",")]


def _dtype(text: str) -> str:
    try:
        DataType.from_numpy_dtype(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def _text_of(count: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.{0 if count == int(count) else 1}f} {unit}"
        count /= 1024
    return f"{count:.{0 if count == int(count) else 1}f} GiB"


def _numpy() -> Any:
    try:
        import numpy
    except ImportError:
        sys.exit("pccl.bench: it measures NumPy's arrays: pip install numpy")
    return numpy


@dataclass
class _Buffers:
    """What is sent and received, and NumPy's view of it. In place both are one, and `source` fills it anew."""

    source: Any
    send: Any
    recv: Any
    result: Any


def _make_buffers(options: argparse.Namespace, size: int, rank: int) -> _Buffers:
    np = _numpy()
    dtype = DataType.from_numpy_dtype(options.dtype).to_numpy_dtype()
    count = max(size // dtype.itemsize, 1)
    source = (np.arange(count) % 7 + rank).astype(dtype)
    recv = np.zeros_like(source)
    send = recv if options.inplace else source
    if not options.torch:
        return _Buffers(source, send, recv, recv)
    torch: Any = importlib.import_module("torch")
    there = torch.from_numpy(recv)
    return _Buffers(source, there if options.inplace else torch.from_numpy(source), there, recv)


class _Measurement:
    """One size, on one peer."""

    def __init__(self, communicator: Communicator, options: argparse.Namespace, size: int) -> None:
        self.communicator = communicator
        self.options = options
        self.world = communicator.world_size
        self.buffers = _make_buffers(options, size, communicator.rank)
        self.info: Any = None
        self.wire_bytes = 0

    def iterate(self) -> float:
        """Seconds of one all-reduce that all begin together."""
        if self.options.inplace:
            self.buffers.result[:] = self.buffers.source
        self.communicator.barrier(tag=_MEET)
        begin = time.perf_counter()
        self.info = self.communicator.all_reduce_with(
            self.buffers.send, self.buffers.recv, op=ReduceOp[self.options.op.upper()], tag=_MEASURED,
            plan=self.options.plan, codec=self.options.codec)
        self.wire_bytes += self.info.tx_bytes
        return time.perf_counter() - begin

    def run(self) -> dict[str, Any]:
        np = _numpy()
        for _ in range(self.options.warmup):
            self.iterate()
        self.wire_bytes = 0
        begin = resource.getrusage(resource.RUSAGE_SELF)
        seconds = np.array([self.iterate() for _ in range(self.options.iters)])
        end = resource.getrusage(resource.RUSAGE_SELF)
        sums = np.array([end.ru_utime + end.ru_stime - begin.ru_utime - begin.ru_stime, self.wire_bytes,
                         self.count_wrong()])
        self.communicator.all_reduce_with(seconds, op=ReduceOp.MAX, tag=_TIMES)
        self.communicator.all_reduce_with(sums, tag=_SUMS)
        return self.describe(sorted(seconds.tolist()), *sums.tolist())

    def count_wrong(self) -> int:
        """Elements that are not the sum (or mean) of what all have put in. Of other operations, and where a codec
        rounds, parity has to do."""
        np = _numpy()
        if self.options.codec != "none" or self.options.op not in ("sum", "avg"):
            return 0
        exact = (np.arange(self.buffers.result.size) % 7) * float(self.world) + self.world * (self.world - 1) / 2
        if self.options.op == "avg":
            exact /= self.world
            if DataType.from_numpy_dtype(self.options.dtype).to_numpy_dtype().kind in "iu":
                exact = np.floor(exact)
        return int((self.buffers.result != exact.astype(self.buffers.result.dtype)).sum())

    def has_parity(self) -> bool:
        np = _numpy()
        mine = np.frombuffer(hashlib.blake2b(self.buffers.result.tobytes(), digest_size=32).digest(), np.uint8)
        all_of_them = np.zeros((self.world, mine.size), np.uint8)
        self.communicator.all_gather(mine, all_of_them, tag=_SUMS)
        return bool((all_of_them == all_of_them[0]).all())

    def describe(self, seconds: list[float], cpu: float, wire: float, wrong: float) -> dict[str, Any]:
        count = len(seconds)
        size = self.buffers.result.nbytes
        median = statistics.median(seconds)
        algbw = size / median * 1e-9
        return {
            "collective": "allreduce", "plan": self.info.plan.name.lower(), "dtype": self.options.dtype,
            "op": self.options.op, "peers": self.world, "bytes": size, "iters": count,
            "time_us": round(median * 1e6, 2), "time_us_min": round(seconds[0] * 1e6, 2),
            "time_us_p99": round(seconds[-(-count * 99 // 100) - 1] * 1e6, 2), "algbw_GBps": round(algbw, 4),
            "busbw_GBps": round(algbw * 2 * (self.world - 1) / self.world, 4),
            "wire_bytes_per_peer": round(wire / self.world / count),
            "cpu_s_per_GiB": round(cpu / (size * count / 2**30), 3), "parity": self.has_parity(), "errors": int(wrong)}


def _show(row: dict[str, Any]) -> None:
    verdict = f"{row['errors']} WRONG" if row["errors"] else "right"
    print(f"{_text_of(row['bytes']):>10} {row['plan']:>8} {row['time_us']:>11.1f} {row['time_us_min']:>11.1f} "
          f"{row['time_us_p99']:>11.1f} {row['algbw_GBps']:>8.3f} {row['busbw_GBps']:>8.3f} "
          f"{_text_of(row['wire_bytes_per_peer']):>10} {row['cpu_s_per_GiB']:>8.2f} "
          f"{'same' if row['parity'] else 'DIFFER':>7} {verdict}", flush=True)


def _compare_flags(communicator: Communicator, options: argparse.Namespace) -> None:
    """Peers that differ in what they do would wait for each other for ever."""
    np = _numpy()
    if communicator.world_size < 2:
        return
    mine = np.frombuffer(b"".join(hashlib.blake2b(repr(getattr(options, name)).encode(), digest_size=8).digest()
                                  for name in _ALIKE), np.uint64)
    every = np.zeros((communicator.world_size, mine.size), np.uint64)
    communicator.all_gather(mine, every, tag=_FLAGS, timeout_ms=30000)
    for rank, theirs in enumerate(every):
        if (theirs != mine).any():
            differing = ", ".join(f"--{name}" for name, same in zip(_ALIKE, theirs == mine, strict=True) if not same)
            communicator.barrier(tag=_FLAGS)  # who leaves at once may be gone before others have its last message
            raise ValueError(f"rank {rank} and this one, {communicator.rank}, were started with different {differing}")


def _be_peer(options: argparse.Namespace) -> int:
    settings = Settings(lanes=options.lanes, streams=options.streams, plan=options.plan)
    rows: list[dict[str, Any]] = []
    with Communicator(options.master, settings=settings) as communicator:
        _compare_flags(communicator, options)
        while (before := communicator.world_size) < options.peers:
            communicator.update_topology()
            if communicator.world_size > before:
                _compare_flags(communicator, options)
        is_first = communicator.rank == 0
        if is_first:
            print(f"all-reduce, {options.dtype}, {options.op}, {options.peers} peers, "
                  f"{'torch' if options.torch else 'NumPy'}{', in place' if options.inplace else ''}\n"
                  f"{'bytes':>10} {'plan':>8} {'time us':>11} {'least us':>11} {'p99 us':>11} {'alg GB/s':>8} "
                  f"{'bus GB/s':>8} {'wire/peer':>10} {'cpu s/G':>8} {'parity':>7}", flush=True)
        for size in options.sizes:
            rows.append(_Measurement(communicator, options, size).run())
            if is_first:
                _show(rows[-1])
        communicator.barrier(tag=_MEET)
    if is_first:
        print(json.dumps({"peers": options.peers, "rows": rows}), flush=True)
    return int(any(row["errors"] or not row["parity"] for row in rows))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pccl.bench", formatter_class=argparse.RawDescriptionHelpFormatter, epilog=_MANUAL,
        description="Measures and checks all-reduces from Python.", allow_abbrev=False)  # peers get all but --local
    add = parser.add_argument
    add("--local", type=int, metavar="N", help="start a master and N peers on this machine (default 2)")
    add("--master", metavar="HOST:PORT", help="of a run across machines (default: PCCL_MASTERS)")
    add("--peers", type=int, metavar="N", help="be one of N peers")
    add("--sizes", type=_sizes, default="4K,64K,1M,16M,64M", metavar="LIST",
        help="bytes (default %(default)s; K, M and G count in 1024)")
    add("--dtype", type=_dtype, default="float32", metavar="NAME", help="float32 (default), bfloat16, int8, ...")
    add("--op", default="sum", choices=[op.name.lower() for op in ReduceOp], help="default %(default)s")
    add("--inplace", action="store_true", help="one buffer for input and output")
    add("--torch", action="store_true", help="torch tensors in place of NumPy's arrays")
    add("--plan", default="auto", choices=[plan.name.lower() for plan in Plan], help="default %(default)s")
    add("--codec", default="none", choices=[codec.name.lower() for codec in QuantizationAlgorithm],
        help="how elements travel (default %(default)s)")
    add("--lanes", type=int, default=0, metavar="N", help="I/O threads of a peer")
    add("--streams", type=int, default=0, metavar="N", help="connections per lane and neighbour")
    add("--iters", type=int, default=20, metavar="N", help="timed iterations per size (default %(default)s)")
    add("--warmup", type=int, default=5, metavar="N", help="iterations before those (default %(default)s)")
    return parser


def main(arguments: list[str] | None = None) -> int:
    given = sys.argv[1:] if arguments is None else arguments
    parser = _parser()
    options = parser.parse_args(given)
    if options.local is not None and (options.peers is not None or options.master is not None):
        parser.error("--local has a master and all peers of its own")
    if options.iters < 1 or options.warmup < 0 or min(options.local or 2, options.peers or 2) < 2:
        parser.error("at least one iteration and two peers")
    if options.peers is None:
        peers = options.local or 2
        return run.main(["-n", str(peers), "-m", "pccl.bench", "--peers", str(peers), *_without_local(given)])
    if options.master is None and "PCCL_MASTERS" not in os.environ:
        parser.error("--master HOST:PORT, or PCCL_MASTERS")
    try:
        return _be_peer(options)
    except (PCCLError, ValueError) as error:
        print(f"pccl.bench: {error}", file=sys.stderr)
        return 1


def _without_local(given: list[str]) -> list[str]:
    kept: list[str] = []
    skip = False
    for each in given:
        if not skip and not each.startswith("--local"):
            kept.append(each)
        skip = each == "--local"
    return kept


if __name__ == "__main__":
    sys.exit(main())
