"""A master in this process."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Callable

from . import _addresses
from . import _declarations as d
from ._calls import run, status_of
from ._library import lib
from .errors import PCCLError
from .settings import Security


class MasterNode:
    """Admits peers and decides outcomes. Runs on a thread of the library's own. security: how its connections are
    protected; None: as the environment says. allow: a file of who may join; None: everybody who can prove that."""

    def __init__(self, listen_address: str, *, security: Security | None = None,
                 allow: str | os.PathLike[str] | None = None) -> None:
        self._handle = ctypes.c_void_p()
        self._process = os.getpid()
        self._waiting = threading.RLock()  # one thread for its end, and others for that; a signal's may come in between
        self._using = threading.RLock()  # it is not freed under another thread's call; a signal's may be in between
        self._security = security or Security()
        self._allow = None if allow is None else os.fsencode(allow)
        address = _addresses.to_c(*_addresses.split(listen_address))
        PCCLError.check(lib.pcclCreateMaster(address, self._handle), "pcclCreateMaster")
        if security is not None:
            self._set_security()
        if allow is not None:
            self._set_admission()

    def _set_security(self) -> None:
        PCCLError.check(lib.pcclSetMasterSecurity(self._handle, self._security.to_c()), "pcclSetMasterSecurity")

    def _set_admission(self) -> None:
        PCCLError.check(lib.pcclSetMasterAdmission(self._handle, self._allow), "pcclSetMasterAdmission")

    def run(self) -> None:
        """Listens and serves; returns at once."""
        with self._using:
            PCCLError.check(lib.pcclRunMaster(self._handle), "pcclRunMaster")

    def read_again(self) -> None:
        """Its secret or certificates and its list of who may join, while it runs; what is wrong with one does not keep
        the other, and what was before stays in its place."""
        def read() -> None:
            with self._using:
                try:
                    self._set_security()
                finally:
                    self._set_admission()

        self._do(read)

    def command(self, line: str) -> list[str]:
        """What its operator says, as `pccl-master --do`: "list", "evict WHOM because TEXT", "ban WHOM", "unban WHOM",
        "bans". The lines of the answer."""
        lines: list[str] = []

        def add(text: bytes, _: object) -> None:
            lines.append(text.decode(errors="replace"))

        take = d.pcclLineCallback_t(add)

        def command() -> None:
            with self._using:
                PCCLError.check(lib.pcclCommandMaster(self._handle, line.encode(), take, None), "pcclCommandMaster")

        self._do(command)
        return lines

    @staticmethod
    def _do(function: Callable[[], object]) -> None:
        """What it does with the handle is more than one call of C: no signal handler closes this in the midst of it."""
        run(function, lambda: None)

    def interrupt(self) -> None:
        """Asks it to stop; does not wait."""
        with self._using:
            PCCLError.check(lib.pcclInterruptMaster(self._handle), "pcclInterruptMaster")

    def await_termination(self) -> None:
        """Waits for its end, which is when somebody interrupts or closes it; Ctrl-C does the former."""
        def wait() -> tuple[int, str]:
            with self._waiting:
                if not self._handle:  # closed before it was this one's turn
                    return d.pcclSuccess, ""
                return status_of("pcclMasterAwaitTermination", self._handle)

        status, cause = run(wait, self.interrupt)
        PCCLError.check(status, "pcclMasterAwaitTermination", cause)

    def close(self) -> None:
        """Stops it, if it runs, and frees it. Repeatable."""
        if not self._handle:
            return
        if os.getpid() != self._process:  # the threads are the parent's
            self._free()
            return
        lib.pcclInterruptMaster(self._handle)
        # When the interpreter ends, threads that wait never come back.
        waits = not sys.is_finalizing()
        if not self._waiting.acquire(blocking=waits):
            return
        try:
            if self._using.acquire(blocking=waits):
                self._free()
                self._using.release()
        finally:
            self._waiting.release()

    def _free(self) -> None:
        handle, self._handle = self._handle, ctypes.c_void_p()
        lib.pcclDestroyMaster(handle)

    def __enter__(self) -> MasterNode:
        self.run()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_handle", None):
            self.close()
