"""`python -m pccl.master`: a master, as pccl-master is. Not imported by the package, which would load it twice."""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import select
import signal
import socket
import sys
import threading

from . import _control
from ._master import MasterNode
from .errors import PCCLError
from .settings import Security, SecurityMode, describe_key, generate_secret

_MANUAL = """
Secrets are never arguments, which everybody on this machine can read: they come in a file or in the environment, as
for peers. What a flag does not say one of these variables does: PCCL_SECURITY, PCCL_SECRET_FILE, PCCL_SECRET,
PCCL_AUTHORITY_FILE, PCCL_CERTIFICATE_FILE, PCCL_KEY_FILE, PCCL_REVOKED_FILE, PCCL_IDENTITY_FILE, PCCL_ALLOW_FILE,
PCCL_CONTROL_SOCKET. Without any of them peers of this host only may join. A master with a key signs views, and
believes what it is told of them if it has signed that, or a master of its own PCCL_MASTER_KEYS: several masters of a
run need keys, or none.

SIGHUP: secret, certificates and list, where files were given, are read again.
SIGINT and SIGTERM end it; running operations of the peers go on without a master.
Exit status: 0 ended by a signal, 1 it could not start, 2 bad flags.
"""

_NO_FILES = "it has no files to read again"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pccl.master", formatter_class=argparse.RawDescriptionHelpFormatter, epilog=_MANUAL,
        description="A master: admits peers, detects failures, decides outcomes. It never touches the data.")
    add = parser.add_argument
    add("--listen", "--listen-address", default="[::]:48148", metavar="HOST:PORT",
        help="default %(default)s: IPv4 and IPv6, every interface")
    add("--security", metavar="MODE", default=SecurityMode.DEFAULT,
        help="none, psk (a join secret), tls (certificates); default: what is given says")
    add("--secret-file", metavar="FILE", help="holds the join secret; up to 4 lines, the first is shown, all are taken")
    add("--authority-file", metavar="FILE", help="PEM: whose certificates count")
    add("--certificate-file", metavar="FILE", help="PEM: this master's")
    add("--key-file", metavar="FILE", help="PEM: its private key")
    add("--revoked-file", metavar="FILE", help="PEM: a list of certificates that do not count any more")
    add("--key", metavar="FILE", help="the master's own key, for PCCL_MASTER_KEYS of its peers; made on first use")
    add("--allow", metavar="FILE", default=os.environ.get("PCCL_ALLOW_FILE"),
        help="who may join: lines of key KEY or name NAME, perhaps with groups 0,3-5")
    add("--control", metavar="SOCKET", default=os.environ.get("PCCL_CONTROL_SOCKET"),
        help="make a socket there, for this user only, by which the master is told what to do")
    add("--do", metavar="COMMAND", help="tell the master at that socket (list, evict, ban, unban, bans, as pccl-master "
        "says them, or reload), print its answer, and end")
    add("--show-key", metavar="FILE", help="print what others know such a key by, make it if need be, and end")
    add("--generate-secret", action="store_true", help="print a new join secret for all peers and masters, and end")
    add("--log-level", metavar="LEVEL", help="TRACE DEBUG INFO WARN ERR FATAL NONE (default INFO, or PCCL_LOG_LEVEL)")
    return parser


def _set_log_level(level: str | None) -> None:
    from . import log

    log.set_level(level or os.environ.get("PCCL_LOG_LEVEL") or log.Level.INFO)


def _raise_descriptors() -> None:
    """One for each peer; the usual 1,024 are few."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _start(options: argparse.Namespace) -> MasterNode:
    security = Security(options.security, secret_file=options.secret_file, authority_file=options.authority_file,
                        certificate_file=options.certificate_file, key_file=options.key_file,
                        revoked_file=options.revoked_file, identity_file=options.key)
    _set_log_level(options.log_level)
    master = MasterNode(options.listen, security=security, allow=options.allow)
    master.run()
    return master


def _has_files(options: argparse.Namespace) -> bool:
    names = ("PCCL_SECRET_FILE", "PCCL_CERTIFICATE_FILE")
    return bool(options.secret_file or options.certificate_file or options.allow or any(map(os.environ.get, names)))


def _obey(master: MasterNode, options: argparse.Namespace, line: str) -> list[str]:
    if line.strip() != "reload":
        return master.command(line)
    if not _has_files(options):
        raise ValueError(_NO_FILES)
    master.read_again()
    return ["files were read again"]


def _listen(master: MasterNode, options: argparse.Namespace) -> socket.socket | None:
    """To its operator, on a thread."""
    if options.control is None:
        return None
    listener = _control.listen(options.control)

    def obey(line: str) -> list[str]:
        try:
            lines = _obey(master, options, line)
        except (PCCLError, ValueError) as error:
            _say(f"not done: {line}: {error}")
            raise
        _say(f"done: {line}")
        return lines

    threading.Thread(target=_control.serve, args=(listener, obey), daemon=True).start()
    return listener


def _say(words: str) -> None:
    """Unless nobody reads it: a master waits for no reader of its log."""
    with contextlib.suppress(OSError):
        if select.select([], [2], [], 0.1)[1]:
            os.write(2, f"pccl.master: {words}\n".encode(errors="replace"))


def _serve(master: MasterNode, options: argparse.Namespace, signals: set[signal.Signals]) -> None:
    """Until one that ends it."""
    while signal.sigwait(signals) == signal.SIGHUP:
        words = "files were read again"
        try:
            if _has_files(options):
                master.read_again()
            else:
                words = _NO_FILES
        except PCCLError as error:
            words = f"what was before stays: {error}"
        _say(words)


def _show_key(path: str) -> int:
    try:
        print(describe_key(path))
    except PCCLError as error:
        print(f"pccl.master: {error}", file=sys.stderr)
        return 1
    return 0


def _tell(options: argparse.Namespace) -> int:
    if options.control is None:
        print("pccl.master: --do needs --control SOCKET, that of a master which runs", file=sys.stderr)
        return 2
    try:
        for line in _control.ask(options.control, options.do):
            print(line)
    except ValueError as error:
        print(f"pccl.master: --do: {error}", file=sys.stderr)
        return 1
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Runs a master until SIGINT or SIGTERM."""
    options = _parser().parse_args(arguments)
    if options.generate_secret:
        print(generate_secret())
        return 0
    if options.show_key is not None:
        return _show_key(options.show_key)
    if options.do is not None:
        return _tell(options)
    _raise_descriptors()
    signals = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        master = _start(options)
        listener = _listen(master, options)
    except (PCCLError, ValueError) as error:
        print(f"pccl.master: {error}", file=sys.stderr)
        return 1
    _say(f"listening on {options.listen}")
    _serve(master, options, signals)
    if listener is not None:
        with contextlib.suppress(OSError):
            _control.remove(options.control)
        listener.shutdown(socket.SHUT_RDWR)
    master.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
