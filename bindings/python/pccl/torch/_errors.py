"""The errors of collectives: they are the library's and PyTorch's alike."""

from __future__ import annotations

import re

from .. import _declarations as d
from .. import errors
from .._library import lib
from ..errors import PCCLError, Result
from ._facade import DistBackendError


class CollectiveError(PCCLError, DistBackendError):
    """A collective failed; `result` says how, `cause` why."""


class PeersLostError(errors.RankConnectionLostError, DistBackendError):
    """A member of the group was lost. All that are left get this, for every operation of the group, until they call
    pccl.torch.reconfigure(). Where no master is left, which the cause says, they can't go on."""


class CollectiveTimeoutError(errors.OperationTimeoutError, DistBackendError):
    """A deadline passed; the cause names who had not arrived."""


_CLASSES: dict[Result, type[PCCLError]] = {Result.RANK_CONNECTION_LOST: PeersLostError,
                                           Result.TIMEOUT: CollectiveTimeoutError}


_FORSAKEN = "no master could be reached"  # the library's words
_advice = ""


def advise(words: str) -> None:
    """What to say where a member was lost and no master is left."""
    global _advice
    _advice = words


def in_words(cause: str, tag: int, called: str) -> str:
    """Tags of the library's are none that anybody has given."""
    return re.sub(rf"\btag {tag}\b", called, cause)


def error_of(status: int, name: str, cause: str) -> PCCLError:
    result = Result(status)
    if result is Result.TIMEOUT:
        cause = f"its timeout has passed: {cause}"
    elif result is Result.EVICTED and _FORSAKEN in cause:  # by nobody
        result = Result.RANK_CONNECTION_LOST
        cause = f"{cause}: {_advice}" if _advice else cause
    return _CLASSES.get(result, CollectiveError)(result, name, cause)


def destroyed() -> PCCLError:
    """By a signal handler, maybe, in the midst of a call."""
    return error_of(d.pcclAborted, "torch.distributed", "the process group was destroyed")


def lost(cause: str) -> PCCLError:
    return error_of(d.pcclRankConnectionLost, "torch.distributed", cause or lib.pcclGetErrorString(
        d.pcclRankConnectionLost).decode())
