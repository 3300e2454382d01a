#!/usr/bin/env python3
"""PyTorch's gloo all-reduce over TCP on loopback, one process per peer, measured with the same ruler (libcompare.so).

    compare_torch.py --library build/release/compare/libcompare.so --peers 2 --sizes 4K,64M --iters 20
"""
import argparse
import ctypes
import os
import subprocess
import sys
import tempfile


def size_of(text):
    shift = {"K": 10, "M": 20, "G": 30}.get(text[-1:], 0)
    return int(text[:-1] if shift else text) << shift


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--library", required=True, help="path of libcompare.so")
    parser.add_argument("--peers", type=int, default=2)
    parser.add_argument("--sizes", default="1M")
    parser.add_argument("--iters", type=int, default=20)
    parser.add_argument("--warmup", type=int, default=5)
    parser.add_argument("--directory", help=argparse.SUPPRESS)
    parser.add_argument("--rank", type=int, default=-1, help=argparse.SUPPRESS)
    return parser.parse_args()


def load(path):
    library = ctypes.CDLL(os.path.abspath(path))
    for name in ("compare_board_create_file", "compare_board_attach_file"):
        getattr(library, name).restype = ctypes.c_void_p
    library.compare_board_create_file.argtypes = [ctypes.c_char_p, ctypes.c_int, ctypes.c_int]
    library.compare_board_attach_file.argtypes = [ctypes.c_char_p]
    library.compare_meet.argtypes = [ctypes.c_void_p]
    library.compare_now.restype = ctypes.c_double
    library.compare_cpu.restype = ctypes.c_double
    library.compare_note.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int, ctypes.c_double]
    library.compare_note_cpu.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_double]
    library.compare_print.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int]
    return library


def measure(options, library, board, distributed, torch, size):
    buffer = torch.zeros(size // 4, dtype=torch.float32)
    for _ in range(options.warmup):
        distributed.all_reduce(buffer)
    library.compare_meet(board)
    cpu = library.compare_cpu()
    for iteration in range(options.iters):
        library.compare_meet(board)
        start = library.compare_now()
        distributed.all_reduce(buffer)
        library.compare_note(board, options.rank, iteration, library.compare_now() - start)
    library.compare_note_cpu(board, options.rank, library.compare_cpu() - cpu)
    library.compare_meet(board)
    if options.rank == 0:
        library.compare_print(board, b"torch-gloo", size, options.iters)
    library.compare_meet(board)


def peer(options):
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    import torch
    import torch.distributed as distributed

    torch.set_num_threads(1)
    library = load(options.library)
    board = library.compare_board_attach_file(os.path.join(options.directory, "board").encode())
    store = "file://" + os.path.join(options.directory, "store")
    distributed.init_process_group("gloo", init_method=store, rank=options.rank, world_size=options.peers)
    for size in options.sizes.split(","):
        measure(options, library, board, distributed, torch, size_of(size) & ~3)
    distributed.barrier()
    sys.stdout.flush()
    os._exit(0)


def parent(options):
    library = load(options.library)
    with tempfile.TemporaryDirectory(prefix="compare-torch-") as directory:
        path = os.path.join(directory, "board").encode()
        if not library.compare_board_create_file(path, options.peers, options.iters):
            raise SystemExit("cannot make the board")
        common = [sys.executable, os.path.abspath(__file__), *sys.argv[1:], "--directory", directory]
        peers = [subprocess.Popen(common + ["--rank", str(rank)]) for rank in range(options.peers)]
        return max(abs(peer.wait()) for peer in peers)


if __name__ == "__main__":
    settings = arguments()
    sys.exit(peer(settings) if settings.rank >= 0 else parent(settings))
