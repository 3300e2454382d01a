"""`pccl-run` and `python -m pccl.run`: peers on this machine, a master for them, and those that die again."""

from __future__ import annotations

import argparse
import ctypes
import os
import pathlib
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FrameType
from typing import IO

from . import _local
from .errors import PCCLError
from ._master import MasterNode

_MANUAL = """
Each peer gets in its environment
  PCCL_MASTERS                    where the master is: pccl.Communicator() takes it from there
  LOCAL_RANK, LOCAL_WORLD_SIZE    which of how many on this machine it is; a peer that was started again has the same
  PCCL_RESTARTS                   how often it was started before
  OMP_NUM_THREADS                 1, unless it is set or there is one peer only: peers share the processors
and what pccl-run itself has: PCCL_SECRET_FILE and the like protect the embedded master, too. Ranks are not among these:
Communicator.rank says them, and they change when members come and go.

The end. A peer that ends with another status than 0, or is killed, has failed; after --restarts further tries it stays
so. The run has failed as soon as fewer than --least peers are left that have not; the others are ended then, with
SIGTERM and after --grace seconds with SIGKILL. SIGINT and SIGTERM are passed on to all peers.

Exit status: 0 if the run has not failed, 1 if it has, 2 bad flags, 128 + N after signal N.

  pccl-run -n 4 train.py --steps 1000
  pccl-run -n 4 --restarts 3 --label train.py             peers that die come back
  pccl-run -n 4 --least 2 -m package.module               two of them may die
  pccl-run -n 8 --listen 10.0.0.1:48148 train.py          on the first of several machines; it has the master
  pccl-run -n 8 --masters 10.0.0.1:48148 train.py         on the others
"""


@dataclass
class _Peer:
    """One place of the run, and the process that has it now."""

    number: int
    process: subprocess.Popen[bytes] | None = None
    restarts: int = 0
    failed: bool = False
    rest: bytes = b""  # of its output: a line that has not ended


@dataclass
class Run:
    """What to run: `command` in `count` processes, each again up to `restarts` times. `least`: see --help."""

    command: list[str]
    count: int
    masters: str
    restarts: int = 0
    least: int = 0
    grace_s: float = 10
    label: bool = False
    logs: pathlib.Path | None = None
    _peers: list[_Peer] = field(default_factory=list[_Peer], repr=False)
    _outputs: selectors.DefaultSelector = field(default_factory=selectors.DefaultSelector, repr=False)
    _signal: int = 0

    def run(self) -> int:
        """Starts the peers and waits for their end; the exit status. To be called by the main thread."""
        before = {each: signal.signal(each, self._note) for each in (signal.SIGINT, signal.SIGTERM)}
        try:
            return self._run()
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)
            for peer in self._running():
                _send(peer, signal.SIGKILL)
            self._outputs.close()

    def _run(self) -> int:
        self._peers = [_Peer(number) for number in range(self.count)]
        for peer in self._peers:
            self._start(peer)
        while self._running() and not self._signal and not self._is_lost():
            self._pump(0.05)
            self._look()
        if self._running():
            self._end(self._signal or signal.SIGTERM)
        return 128 + self._signal if self._signal else int(self._is_lost())

    def _note(self, number: int, _: FrameType | None) -> None:
        self._signal = number

    def _running(self) -> list[_Peer]:
        return [peer for peer in self._peers if peer.process is not None]

    def _is_lost(self) -> bool:
        return sum(not peer.failed for peer in self._peers) < (self.least or self.count)

    def _start(self, peer: _Peer) -> None:
        environment = ({"OMP_NUM_THREADS": "1"} if self.count > 1 else {}) | os.environ | {
            "PCCL_MASTERS": self.masters, "LOCAL_RANK": str(peer.number), "LOCAL_WORLD_SIZE": str(self.count),
            "PCCL_RESTARTS": str(peer.restarts)}
        output: int | IO[bytes] | None = None
        if self.logs is not None:
            output = open(self.logs / f"peer-{peer.number}.log", "ab")
        elif self.label:
            output = subprocess.PIPE
        # A session of its own: the terminal's Ctrl-C comes once, through us.
        peer.process = subprocess.Popen(
            self.command, env=environment, stdout=output, stderr=None if output is None else subprocess.STDOUT,
            start_new_session=True, preexec_fn=_die_with(os.getpid()))
        if self.label and peer.process.stdout is not None:
            os.set_blocking(peer.process.stdout.fileno(), False)
            self._outputs.register(peer.process.stdout, selectors.EVENT_READ, peer)
        elif output is not None and not isinstance(output, int):
            output.close()

    def _look(self, asked: int = 0) -> None:
        """Notes who has ended. asked: the signal that all have been sent; who ends by that says nothing new."""
        for peer in self._running():
            assert peer.process is not None
            status = peer.process.poll()
            if status is None:
                continue
            self._drain(peer)
            self._write(peer, [peer.rest] if peer.rest else [])
            peer.rest = b""
            peer.process = None
            if status == 0:
                continue
            again = not asked and peer.restarts < self.restarts
            if not asked or status not in (-asked, 128 + asked):
                _say(f"peer {peer.number} {_how(status)}" + (f", and is started again ({peer.restarts + 1} of "
                                                             f"{self.restarts})" if again else ""))
            peer.failed = not again
            if again:
                peer.restarts += 1
                self._start(peer)

    def _end(self, number: int) -> None:
        """Asks those that are left to end, and ends those that do not."""
        for peer in self._running():
            _send(peer, number)
        deadline = time.monotonic() + self.grace_s
        while self._running() and time.monotonic() < deadline:
            self._pump(0.02)
            self._look(number)
        for peer in self._running():
            _say(f"peer {peer.number} has not ended in {self.grace_s:g} s and is killed")
            _send(peer, signal.SIGKILL)
        while self._running():
            self._pump(0.02)
            self._look(number)

    # ---- labelled output

    def _pump(self, timeout_s: float) -> None:
        """Passes on what peers write, for as long as nothing else is to be done."""
        if not self._outputs.get_map():
            time.sleep(timeout_s)
            return
        for key, _ in self._outputs.select(timeout_s):
            self._read(key.data, key.fileobj)

    def _read(self, peer: _Peer, output: object) -> bool:
        """Is there more to come at once?"""
        try:
            data = os.read(output.fileno(), 65536)  # type: ignore[attr-defined]
        except BlockingIOError:
            return False
        if not data:
            self._outputs.unregister(output)  # type: ignore[arg-type]
            output.close()  # type: ignore[attr-defined]
            return False
        *lines, peer.rest = (peer.rest + data).split(b"\n")
        if len(peer.rest) >= _LINE_BYTES:
            lines.append(peer.rest)
            peer.rest = b""
        self._write(peer, lines)
        return True

    def _write(self, peer: _Peer, lines: list[bytes]) -> None:
        for line in lines:
            sys.stdout.buffer.write(b"%d: %s\n" % (peer.number, line))
        sys.stdout.buffer.flush()

    def _drain(self, peer: _Peer) -> None:
        """What a peer that has ended has written; a child of its own may hold the pipe open for longer."""
        output = peer.process.stdout if peer.process is not None else None
        if output is None or output.closed:
            return
        while self._read(peer, output):
            pass
        if not output.closed:
            self._outputs.unregister(output)
            output.close()


_LINE_BYTES = 65536  # of a labelled one: a progress bar may never end its own
_PR_SET_PDEATHSIG = 1


def _die_with(parent: int) -> Callable[[], None]:
    """For a child, between fork and exec: it is killed when this process ends in whatever way."""
    prctl = ctypes.CDLL(None).prctl

    def prepare() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return prepare


def _send(peer: _Peer, number: int) -> None:
    """To the peer and to whatever it has started."""
    assert peer.process is not None
    try:
        os.killpg(peer.process.pid, number)
    except ProcessLookupError:
        pass


def _how(status: int) -> str:
    if status > 0:
        return f"ended with status {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"


def _say(text: str) -> None:
    print(f"pccl-run: {text}", file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pccl-run", formatter_class=argparse.RawDescriptionHelpFormatter, epilog=_MANUAL, allow_abbrev=False,
        description="Runs a program as several pccl peers on this machine, with a master for them.")
    add = parser.add_argument
    add("-n", "--peers", type=int, default=2, metavar="N", help="how many (default %(default)s)")
    add("--restarts", type=int, default=0, metavar="R", help="start a peer that fails again, so often (default 0)")
    add("--least", type=int, default=0, metavar="M",
        help="go on as long as M peers have not failed for good (default: all)")
    add("--grace", type=float, default=10, metavar="S", help="seconds to end in when asked to (default %(default)s)")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--listen", metavar="HOST:PORT", help="where the embedded master listens (default: 127.0.0.1, "
                       "a free port). For other hosts protect it: PCCL_SECRET_FILE")
    where.add_argument("--masters", metavar="LIST", help="HOST:PORT,...: masters that run elsewhere; none is embedded")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--label", action="store_true", help="put the peer's number before each line that it writes")
    what.add_argument("--logs", type=pathlib.Path, metavar="FOLDER",
                      help="what peers write goes to FOLDER/peer-NUMBER.log, after what is there")
    add("-m", "--module", action="store_true", help="PROGRAM is a Python module, as in python -m")
    add("--no-python", action="store_true", help="PROGRAM is no Python script: run it as it is")
    add("program", metavar="PROGRAM", help="a Python script")
    add("arguments", nargs=argparse.REMAINDER, metavar="...", help="its arguments")
    return parser


def _command(options: argparse.Namespace) -> list[str]:
    if options.no_python:
        return [options.program, *options.arguments]
    return [sys.executable, "-u", *(["-m"] if options.module else []), options.program, *options.arguments]


def _check(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    if options.peers < 1:
        parser.error("--peers: at least 1")
    if options.restarts < 0 or options.grace < 0:
        parser.error("--restarts and --grace can't be negative")
    if not 0 <= options.least <= options.peers:
        parser.error("--least: at most as many as --peers")
    if options.module and options.no_python:
        parser.error("-m and --no-python exclude each other")
    if not options.module and not options.no_python and not os.path.exists(options.program):
        parser.error(f"there is no {options.program}")


def _reachable(listen: str) -> str:
    """Where peers of this machine find a master that listens at all addresses."""
    host, _, port = listen.rpartition(":")
    return {"0.0.0.0": "127.0.0.1", "[::]": "127.0.0.1", "": "127.0.0.1"}.get(host, host) + ":" + port


def _master(options: argparse.Namespace) -> tuple[MasterNode | None, str]:
    if options.masters is not None:
        return None, options.masters
    if options.listen is None:
        master, port = _local.start_master()
        return master, f"127.0.0.1:{port}"
    master = MasterNode(options.listen)
    master.run()
    return master, _reachable(options.listen)


def main(arguments: list[str] | None = None) -> int:
    parser = _parser()
    options = parser.parse_args(arguments)
    _check(parser, options)
    try:
        master, masters = _master(options)
    except (PCCLError, ValueError) as error:
        _say(f"no master: {error}")
        return 1
    try:
        if options.logs is not None:
            options.logs.mkdir(parents=True, exist_ok=True)
        return Run(_command(options), options.peers, masters, options.restarts, options.least, options.grace,
                   options.label, options.logs).run()
    except OSError as error:
        _say(str(error))
        return 1
    finally:
        if master is not None:
            master.close()


if __name__ == "__main__":
    sys.exit(main())
