"""Masters of this process on ports that are free."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from ._master import MasterNode
from .errors import InvalidUsageError

_ATTEMPTS = 10  # somebody else may take a port between the look and the master's own


def _free_port(host: str) -> int:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _start_at(host: str) -> tuple[MasterNode, int]:
    for attempt in range(_ATTEMPTS):
        port = _free_port(host)
        master = MasterNode(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
        try:
            master.run()
            return master, port
        except InvalidUsageError:
            master.close()
            if attempt + 1 == _ATTEMPTS:
                raise
    raise AssertionError


def start_master(hosts: Sequence[str] = ("127.0.0.1",)) -> tuple[MasterNode, int]:
    """A master that runs, and its port, at the first of these addresses that this machine has; by default for peers of
    this host. Protected as the environment says."""
    for host in hosts[:-1]:
        try:
            return _start_at(host)
        except OSError:
            continue  # there is no IPv6, say
    return _start_at(hosts[-1])
