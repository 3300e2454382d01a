"""The socket by which a master's operator reaches it, as pccl-master makes it and talks over it: of the file system,
for processes of the same user only. Who connects writes one line and reads the answer: lines, the last of which is
"ok", or "error: " and why."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import stat
import struct
import time
from collections.abc import Callable, Generator

from .errors import PCCLError

_LINE_BYTES = 1024
_HEAR_S = 0.5  # others are in line behind who says nothing
_TELL_S = 2.0
_ANSWER_S = 5
_LOCK_PATIENCE_S = 0.5


@contextlib.contextmanager
def _locked(folder: str) -> Generator[None, None, None]:
    """Nobody else makes a socket there meanwhile, unless it can't be locked or another user keeps the lock."""
    fd = -1
    with contextlib.suppress(OSError):
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    end = time.monotonic() + _LOCK_PATIENCE_S
    try:
        while fd >= 0:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if error.errno != errno.EWOULDBLOCK or time.monotonic() > end:
                    break
                time.sleep(0.005)
        yield
    finally:
        if fd >= 0:
            os.close(fd)


def _clear(path: str) -> None:
    """A socket that nobody listens on any more goes."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise FileExistsError("it is there, and is no socket")
    with socket.socket(socket.AF_UNIX) as caller:
        caller.setblocking(False)
        status = caller.connect_ex(path)
    if status in (0, errno.EAGAIN):
        raise FileExistsError("another master listens there")
    if status != errno.ECONNREFUSED:
        raise OSError(status, os.strerror(status))
    os.unlink(path)


def listen(path: str) -> socket.socket:
    """Makes it. ValueError: it can't be there."""
    listener = socket.socket(socket.AF_UNIX)
    try:
        with _locked(os.path.dirname(path) or "."):
            _clear(path)
            os.fchmod(listener.fileno(), 0o600)  # before it has its name, so it is nobody else's for no moment
            listener.bind(path)
            listener.listen(4)
    except OSError as error:
        listener.close()
        raise ValueError(f"{path} can't be a socket: {error.strerror or error}") from error
    return listener


def remove(path: str) -> None:
    """Before its end: takes its name away, unless another master listens there by now."""
    with _locked(os.path.dirname(path) or "."), socket.socket(socket.AF_UNIX) as caller:
        caller.setblocking(False)
        if caller.connect_ex(path) == 0 and _other_end(caller)[0] == os.getpid():
            os.unlink(path)


def _other_end(caller: socket.socket) -> tuple[int, int]:
    """Its process and user."""
    process, user, _ = struct.unpack("3i", caller.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED,
                                                              struct.calcsize("3i")))
    return process, user


def _is_own(caller: socket.socket) -> bool:
    return _other_end(caller)[1] == os.geteuid()


def _answer(caller: socket.socket, obey: Callable[[str], list[str]]) -> None:
    caller.settimeout(_HEAR_S)
    with caller.makefile("rb") as words:
        line = words.readline(_LINE_BYTES)
    if not line.endswith(b"\n") or b"\0" in line:
        return
    try:
        lines = [*obey(line[:-1].decode(errors="replace")), "ok"]
    except PCCLError as error:
        lines = [f"error: {error.cause}"]
    except ValueError as error:
        lines = [f"error: {error}"]
    except Exception as error:  # whatever it is, the next caller is heard
        lines = [f"error: {error!r}"]
    caller.settimeout(_TELL_S)
    caller.sendall("".join(f"{line}\n" for line in lines).encode(errors="replace"))


def serve(listener: socket.socket, obey: Callable[[str], list[str]]) -> None:
    """Hears and answers who calls, one after the other, until the socket is shut down."""
    while True:
        try:
            caller, _ = listener.accept()
        except OSError as error:
            if error.errno == errno.EINVAL:
                return
            time.sleep(0.1)  # there are no descriptors left, say: who calls stays in line
            continue
        with caller, contextlib.suppress(OSError):
            if _is_own(caller):
                _answer(caller, obey)


def ask(path: str, line: str) -> list[str]:
    """Tells the master at that socket; the lines of its answer. ValueError: nobody listens, or why it does not obey."""
    if "\n" in line or len(line.encode()) + 2 > _LINE_BYTES:
        raise ValueError(f"a command is one line of less than {_LINE_BYTES - 1} characters")
    patience = struct.pack("ll", _ANSWER_S, 0)
    with socket.socket(socket.AF_UNIX) as caller:
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, patience)  # settimeout() would not stand in line
        try:
            caller.connect(path)
            caller.settimeout(_ANSWER_S)  # whatever signals come: the option's time begins anew with each
            caller.sendall(f"{line}\n".encode())
            data = b"".join(iter(lambda: caller.recv(65536), b""))
        except (BlockingIOError, TimeoutError) as error:
            raise ValueError(f"the master does not answer within {_ANSWER_S} seconds: is it stopped? "
                             "It may still do so later") from error
        except OSError as error:
            raise ValueError(f"{path}: no master listens there: {error.strerror or error}") from error
    answer = data.decode(errors="replace").splitlines()
    if not answer or (answer[-1] != "ok" and not answer[-1].startswith("error: ")):
        raise ValueError("the master has hung up, or its answer is cut off")
    if answer[-1] != "ok":
        raise ValueError(answer[-1].removeprefix("error: "))
    return answer[:-1]
