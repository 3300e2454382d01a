#!/usr/bin/env python3
"""Measures allreduce-bench and the alternatives in turn, several rounds, and prints medians and ratios.

Everything runs on this machine over loopback TCP, one process per peer, float32 sum. The figures of one machine move by
tens of per cent from minute to minute, therefore each round runs every program once, in another order, and what is to
be quoted is the ratio.
"""
import argparse
import collections
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
LATENCY_BYTES = 1 << 20  # up to here times are shown, above it bandwidths
TIMEOUT_SECONDS = 180
OURS = ("pccl", "pccl-inplace", "pccl-giveup")
ROOF = "raw-exchange"
BARE = "raw-reduce"


def size_of(text):
    shift = {"K": 10, "M": 20, "G": 30}.get(text[-1:], 0)
    return int(text[:-1] if shift else text) << shift


def text_of(size):
    for unit, shift in (("GiB", 30), ("MiB", 20), ("KiB", 10)):
        if size >= 1 << shift and size % (1 << shift) == 0:
            return f"{size >> shift} {unit}"
    return f"{size} B"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build/release", help="where the programs are (build/release)")
    parser.add_argument("--peers", default="2,4", help="numbers of peers (2,4)")
    parser.add_argument("--sizes", default="4K,64K,1M,16M,64M,256M", help="bytes of the buffer")
    parser.add_argument("--rounds", type=int, default=3, help="times that every program runs (3)")
    parser.add_argument("--small-iters", type=int, default=100, help="iterations of sizes up to 1 MiB (100)")
    parser.add_argument("--large-iters", type=int, default=8, help="iterations of larger ones (8)")
    parser.add_argument("--only", default="", help="names to run, separated by commas; default all that are there")
    parser.add_argument("--quiet", type=float, metavar="SHARE",
                        help="on a machine that others use: repeat what ran while they took more than this share of it "
                        "(0.05), for at most --patience seconds a program")
    parser.add_argument("--patience", type=float, default=120, help="see --quiet (120)")
    parser.add_argument("--ours", default="", help="further flags for allreduce-bench, in one string")
    parser.add_argument("--torch", default=os.environ.get("PCCL_TORCH_PYTHON", ""),
                        help="a Python that can import torch (also PCCL_TORCH_PYTHON)")
    parser.add_argument("--json", help="write every single result there")
    parser.add_argument("--markdown", help="write the tables there too")
    return parser.parse_args()


def mpirun(peers):
    command = ["mpirun", "--oversubscribe", "--bind-to", "none", "-np", str(peers), "--mca", "pml", "ob1",
               "--mca", "btl", "tcp,self", "--mca", "btl_tcp_if_include", "lo"]
    return command + (["--allow-run-as-root"] if os.geteuid() == 0 else [])


def has_torch(python):
    if not python:
        return False
    probe = "import torch.distributed as d, sys; sys.exit(not d.is_gloo_available())"
    return subprocess.run([python, "-c", probe], capture_output=True).returncode == 0


def programs(options):
    """Name -> function of (peers, flags) that gives the command; only what this machine can run."""
    compare = os.path.join(options.build, "compare")
    ours = os.path.join(options.build, "bin", "allreduce-bench")
    extra = options.ours.split()
    found = collections.OrderedDict()
    if os.path.exists(ours):
        found["pccl"] = lambda peers, flags: [ours, "--local", str(peers), "--json", *flags, *extra]
        found["pccl-inplace"] = lambda peers, flags: [ours, "--local", str(peers), "--json", "--inplace", *flags, *extra]
        found["pccl-giveup"] = lambda peers, flags: [ours, "--local", str(peers), "--json", "--give-up", *flags, *extra]
    raw = os.path.join(compare, "raw-sockets")
    if os.path.exists(raw):
        for mode in ("exchange", "deliver", "reduce"):
            found["raw-" + mode] = lambda peers, flags, mode=mode: [raw, "--mode", mode, "--peers", str(peers), *flags]
    gloo = os.path.join(compare, "compare-gloo")
    if os.path.exists(gloo):
        for mode in ("ring", "chunked"):
            found["gloo-" + mode] = lambda peers, flags, mode=mode: [gloo, "--mode", mode, "--peers", str(peers), *flags]
    if has_torch(options.torch):
        found["torch-gloo"] = lambda peers, flags: [options.torch, os.path.join(HERE, "compare_torch.py"), "--library",
                                                    os.path.join(compare, "libcompare.so"), "--peers", str(peers), *flags]
    mpi = os.path.join(compare, "compare-mpi")
    if os.path.exists(mpi) and shutil.which("mpirun"):
        found["openmpi-tcp"] = lambda peers, flags: [*mpirun(peers), mpi, *flags]
    if options.only:
        wanted = options.only.split(",")
        unknown = [name for name in wanted if name not in found]
        if unknown:
            raise SystemExit(f"not here: {', '.join(unknown)}; there are: {', '.join(found)}")
        found = collections.OrderedDict((name, found[name]) for name in wanted)
    return found


def busy_seconds():
    """Processor seconds that anybody has used since the machine started."""
    with open("/proc/stat", encoding="ascii") as file:
        user, nice, system, _, _, irq, softirq, steal = map(int, file.readline().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def own_seconds():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def execute(command):
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        output, problems = process.communicate(timeout=TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        process.terminate()
        output, problems = process.communicate()
        problems += f"\nended after {TIMEOUT_SECONDS} s"
    return process.returncode, output, problems


def await_quiet(share, end):
    """Sleeps until others leave the machine alone, or patience ends."""
    while time.monotonic() < end:
        busy = busy_seconds()
        time.sleep(0.5)
        if busy_seconds() - busy <= share * 0.5 * os.cpu_count() + 0.02:
            return
        time.sleep(0.5)


def execute_quietly(command, options):
    """Runs the command, again and again until nobody disturbed it or patience ends; the last run counts."""
    end = time.monotonic() + options.patience
    while True:
        if options.quiet is not None:
            await_quiet(options.quiet, end)
        busy, own, begin = busy_seconds(), own_seconds(), time.monotonic()
        outcome = execute(command)
        others = (busy_seconds() - busy) - (own_seconds() - own)
        share = others / ((time.monotonic() - begin) * os.cpu_count())
        if options.quiet is None or share <= options.quiet or outcome[0] != 0 or time.monotonic() > end:
            return outcome, share


def run_one(name, command, options, results, raw_lines):
    (status, output, problems), share = execute_quietly(command, options)
    if status != 0:
        print(f"{name} failed with {status}: {' '.join(command)}\n{problems}", file=sys.stderr)
    for line in output.splitlines():
        if not line.startswith("{"):
            continue
        row = json.loads(line)
        row["program"] = name
        row["disturbed"] = round(share, 3)
        raw_lines.append(row)
        if row.get("errors", 0) == 0:
            results[row["peers"], row["bytes"], name].append(row)
    return status == 0


def measure(options, found):
    results = collections.defaultdict(list)
    raw_lines = []
    good = True
    sizes = options.sizes.split(",")
    groups = [([s for s in sizes if size_of(s) <= LATENCY_BYTES], options.small_iters, 10),
              ([s for s in sizes if size_of(s) > LATENCY_BYTES], options.large_iters, 2)]
    names = list(found)
    for turn in range(options.rounds):
        for peers in map(int, options.peers.split(",")):
            for group, iterations, warmup in groups:
                flags = ["--sizes", ",".join(group), "--iters", str(iterations), "--warmup", str(warmup)]
                order = names[turn % len(names):] + names[:turn % len(names)]
                for name in order if group else []:
                    if sys.stderr.isatty():
                        print(f"\rround {turn + 1} of {options.rounds}, {peers} peers: {name:16}", end="", file=sys.stderr)
                    good = run_one(name, found[name](peers, flags), options, results, raw_lines) and good
    if sys.stderr.isatty():
        print("\r" + " " * 60 + "\r", end="", file=sys.stderr)
    return results, raw_lines, good


def median(results, peers, size, name, field):
    rows = results.get((peers, size, name))
    return statistics.median(row[field] for row in rows) if rows else None


def cell(value, digits):
    return "-" if value is None else f"{value:,.{digits}f}"


def figure_rows(results, peers, sizes, names, field_of):
    for size in sizes:
        field, digits, label = field_of(size)
        values = [median(results, peers, size, name, field) for name in names]
        yield [f"{text_of(size)}, {label}"] + [cell(value, digits) for value in values]


def speed_field(size):
    return ("time_us", 0, "us") if size <= LATENCY_BYTES else ("busbw_GBps", 2, "bus GB/s")


def ratio_rows(results, peers, sizes, names):
    """Ours over the others: times and CPU below 1 are good, bandwidths above 1 are."""
    rivals = [name for name in names if name not in OURS and not name.startswith("raw-")]
    for size in sizes:
        field, _, label = speed_field(size)
        best = min if field == "time_us" else max
        there = [median(results, peers, size, name, field) for name in rivals]
        cpu_there = [median(results, peers, size, name, "cpu_s_per_GiB") for name in rivals]
        reference = best((value for value in there if value is not None), default=None)
        cpu_reference = min((value for value in cpu_there if value is not None), default=None)
        for ours in (name for name in OURS if name in names):
            mine = median(results, peers, size, ours, field)
            if mine is None:
                continue
            against = [reference, median(results, peers, size, ROOF, field), median(results, peers, size, BARE, field),
                       median(results, peers, size, "gloo-ring", field)]
            cpu = median(results, peers, size, ours, "cpu_s_per_GiB")
            yield ([f"{text_of(size)}, {label}", ours] + [cell(mine / other if other else None, 2) for other in against] +
                   [cell(cpu / cpu_reference if cpu_reference else None, 2)])


def table(head, rows):
    rows = [head] + list(rows)
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = []
    for index, row in enumerate(rows):
        cells = [text.ljust(width) if column == 0 else text.rjust(width)
                 for column, (text, width) in enumerate(zip(row, widths))]
        lines.append("| " + " | ".join(cells) + " |")
        if index == 0:
            lines.append("|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def processor():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as info:
            return next(line.split(":", 1)[1].strip() for line in info if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.machine()


def report(options, results, names):
    sizes = [size_of(text) for text in options.sizes.split(",")]
    parts = [f"{processor()}, {os.cpu_count()} cores, Linux {platform.release()}; float32 sum, loopback, one process per "
             f"peer; medians of {options.rounds} alternating rounds."]
    for peers in map(int, options.peers.split(",")):
        parts.append(f"**{peers} peers**: time of one all-reduce up to 1 MiB, bus bandwidth above")
        parts.append(table(["bytes"] + names, figure_rows(results, peers, sizes, names, speed_field)))
        parts.append(f"**{peers} peers**: CPU seconds of all processes per GiB reduced")
        large = [size for size in sizes if size > LATENCY_BYTES]
        parts.append(table(["bytes"] + names, figure_rows(results, peers, large, names,
                                                          lambda size: ("cpu_s_per_GiB", 2, "s/GiB"))))
        head = ["bytes", "ours", "over best rival", "over raw exchange", "over raw reduce", "over gloo ring",
                "CPU over best rival"]
        rows = list(ratio_rows(results, peers, sizes, names))
        if rows:
            parts.append(f"**{peers} peers**: ours divided by the others (times and CPU: less is better; bandwidth: more)")
            parts.append(table(head, rows))
    return "\n\n".join(parts) + "\n"


def main():
    options = arguments()
    found = programs(options)
    results, raw_lines, good = measure(options, found)
    text = report(options, results, list(found))
    print(text)
    if options.markdown:
        with open(options.markdown, "w", encoding="utf-8") as file:
            file.write(text)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in raw_lines)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
