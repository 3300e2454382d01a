"""A master in this process."""

from __future__ import annotations

import ctypes

from . import _addresses
from ._calls import run, status_of
from ._library import lib
from .errors import PCCLError
from .settings import Security


class MasterNode:
    """Admits peers and decides outcomes. Runs on a thread of the library's own. security: how its connections are
    protected; None: as the environment says."""

    def __init__(self, listen_address: str, *, security: Security | None = None) -> None:
        self._handle = ctypes.c_void_p()
        address = _addresses.to_c(*_addresses.split(listen_address))
        PCCLError.check(lib.pcclCreateMaster(address, self._handle), "pcclCreateMaster")
        if security is not None:
            PCCLError.check(lib.pcclSetMasterSecurity(self._handle, security.to_c()), "pcclSetMasterSecurity")

    def run(self) -> None:
        """Listens and serves; returns at once."""
        PCCLError.check(lib.pcclRunMaster(self._handle), "pcclRunMaster")

    def interrupt(self) -> None:
        """Asks it to stop; does not wait."""
        PCCLError.check(lib.pcclInterruptMaster(self._handle), "pcclInterruptMaster")

    def await_termination(self) -> None:
        """Waits for its end, which is when somebody interrupts it; Ctrl-C ends the waiting."""
        status, cause = run(lambda: status_of("pcclMasterAwaitTermination", self._handle), self.interrupt)
        PCCLError.check(status, "pcclMasterAwaitTermination", cause)

    def close(self) -> None:
        """Stops it, if it runs, and frees it. Repeatable."""
        if self._handle:
            lib.pcclDestroyMaster(self._handle)
            self._handle = ctypes.c_void_p()

    def __enter__(self) -> MasterNode:
        self.run()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_handle", None):
            self.close()
