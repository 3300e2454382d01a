"""Masters of this process on ports that are free."""

from __future__ import annotations

import socket

from .errors import InvalidUsageError
from ._master import MasterNode

_ATTEMPTS = 10  # somebody else may take a port between the look and the master's own


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start_master() -> tuple[MasterNode, str]:
    """A master that runs, for peers of this host, and its address. Protected as the environment says."""
    for attempt in range(_ATTEMPTS):
        address = f"127.0.0.1:{_free_port()}"
        master = MasterNode(address)
        try:
            master.run()
            return master, address
        except InvalidUsageError:
            master.close()
            if attempt + 1 == _ATTEMPTS:
                raise
    raise AssertionError
