"""A master in this process."""

from __future__ import annotations

import ctypes
import os
import sys
import threading

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
        self._process = os.getpid()
        self._waiting = threading.Lock()  # one thread for its end, and others for that
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
        """Waits for its end, which is when somebody interrupts or closes it; Ctrl-C does the former."""
        def wait() -> tuple[int, str]:
            with self._waiting:
                return status_of("pcclMasterAwaitTermination", self._handle)

        status, cause = run(wait, self.interrupt)
        PCCLError.check(status, "pcclMasterAwaitTermination", cause)

    def close(self) -> None:
        """Stops it, if it runs, and frees it. Repeatable."""
        if not self._handle:
            return
        is_alone = os.getpid() != self._process  # the threads are the parent's
        if not is_alone:
            lib.pcclInterruptMaster(self._handle)
            # When the interpreter ends, threads that wait never come back.
            if not self._waiting.acquire(blocking=not sys.is_finalizing()):
                return
        handle, self._handle = self._handle, ctypes.c_void_p()
        lib.pcclDestroyMaster(handle)
        if not is_alone:
            self._waiting.release()

    def __enter__(self) -> MasterNode:
        self.run()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_handle", None):
            self.close()
