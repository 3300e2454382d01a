"""DiLoCo: peers train by themselves for many steps, then average what they have learned. Around any training loop:

    trainer = pccl.diloco.Trainer(communicator, model, interval=100)   # a torch.nn.Module, or a dict of arrays
    for batch in data:
        ...                                                            # an inner step: backward(), optimizer.step()
        trainer.step(weight=tokens)
    trainer.flush()

include/pccl/diloco.h is the manual of what lies below: modes, rules, losses, stragglers, newcomers."""

from __future__ import annotations

import ctypes
import importlib
import logging
import time
import uuid
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from . import _declarations as d
from ._calls import SLICE_MS, Life, Shared, blocking, run
from ._library import lib
from .buffers import buffer_of
from .communicator import Communicator
from .errors import PCCLError
from .settings import Rounding, Zstd, number
from .shared_state import TensorInfo
from .types import DataType, QuantizationAlgorithm, SharedStateSyncInfo, SharedStateSyncStrategy, whole_number


class Mode(Enum):
    """When fragments are exchanged, and when what comes of it is taken over."""

    SYNCHRONOUS = d.pcclDilocoSynchronous
    DELAYED = d.pcclDilocoDelayed
    EAGER = d.pcclDilocoEager
    STREAMING = d.pcclDilocoStreaming


class Rule(Enum):
    """How the mean makes new outer parameters."""

    NESTEROV = d.pcclDilocoNesterov
    CO2 = d.pcclDilocoCo2


class Division(Enum):
    """How tensors become fragments; GIVEN is chosen by fragment_of."""

    BALANCED = d.pcclDilocoBalanced
    STRIDED = d.pcclDilocoStrided
    GIVEN = d.pcclDilocoGiven


@dataclass(frozen=True)
class Statistics:
    """Of an engine since it was created; pcclDilocoStatistics_t says what each number is."""

    steps: int
    rounds: int
    repeated: int
    alone: int
    tx_bytes: int
    rx_bytes: int
    wait_ns: int
    busy_ns: int
    last_weight: float
    last_share: float
    last_participants: int
    in_flight: int
    distance_least: int
    distance_most: int
    largest_bytes: int
    missed: int


def _parameters_of(model: Any) -> dict[str, Any]:
    if isinstance(model, Mapping):
        mapping: Mapping[str, Any] = model  # pyright: ignore[reportUnknownVariableType]
        return dict(mapping)
    if hasattr(model, "named_parameters"):
        return {name: parameter.detach() for name, parameter in model.named_parameters() if parameter.requires_grad}
    raise TypeError(f"a model is a torch.nn.Module or a mapping of names to tensors, not {type(model).__name__}")


def _place_of(parameter: Any) -> int:
    return int(parameter.data_ptr()) if hasattr(parameter, "data_ptr") else buffer_of(parameter, writable=True).pointer


def _lies_elsewhere(parameter: Any) -> bool:
    """Is it torch's, of floats that are not float32 in the memory of the host?"""
    return hasattr(parameter, "is_floating_point") and bool(parameter.is_floating_point()) and (
        parameter.device.type != "cpu" or parameter.element_size() != 4)


class _Copies:
    """Reads and writes parameters of torch, wherever they are, for the library, which knows them as float32."""

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        for name, parameter in parameters.items():
            if hasattr(parameter, "full_tensor"):
                raise ValueError(f"'{name}' is a DTensor, which is spread over ranks: pass a mapping of to_local()s")
            if not hasattr(parameter, "is_floating_point") or not parameter.is_floating_point():
                raise ValueError(f"'{name}' is no tensor of torch's with floats, as others of the parameters are")
            if not parameter.is_contiguous():
                raise ValueError(f"'{name}' is not contiguous")
        self.infos = [TensorInfo(name, each.data_ptr(), numel=each.numel(), dtype=DataType.FLOAT)
                      for name, each in parameters.items()]
        self._flat = [each.detach().view(-1) for each in parameters.values()]
        self.read = d.pcclDilocoRead_t(self._read)
        self.write = d.pcclDilocoWrite_t(self._write)

    def _read(self, _: object, tensor: int, first: int, count: int, to: Any) -> int:
        return self._copy(tensor, first, count, to, lambda ours, theirs: theirs.copy_(ours))

    def _write(self, _: object, tensor: int, first: int, count: int, origin: Any) -> int:
        return self._copy(tensor, first, count, origin, lambda ours, theirs: ours.copy_(theirs))

    def _copy(self, tensor: int, first: int, count: int, place: Any, copy: Callable[[Any, Any], object]) -> int:
        try:
            torch: Any = importlib.import_module("torch")
            ours = self._flat[tensor][first:first + count]
            memory = (ctypes.c_float * count).from_address(ctypes.addressof(place.contents))
            if ours.device.type != "cpu":
                torch.accelerator.synchronize(ours.device)  # whatever stream they are trained on
            copy(ours, torch.frombuffer(memory, dtype=torch.float32))
        except Exception:
            logging.getLogger("pccl").exception("parameter '%s' can't be copied", self.infos[tensor].name)
            return d.pcclInternalError
        return d.pcclSuccess


_WORDS: dict[str, int] = {"mode": d.pcclEnumDilocoMode, "rule": d.pcclEnumDilocoRule,
                          "division": d.pcclEnumDilocoDivision, "codec": d.pcclEnumCodec,
                          "codec_down": d.pcclEnumCodec, "rounding": d.pcclEnumRounding, "zstd": d.pcclEnumZstd}


def _settings(choices: dict[str, Any], fragment_of: Sequence[int] | None) -> d.pcclDilocoSettings_t:
    made = d.pcclDilocoSettings_t(size=ctypes.sizeof(d.pcclDilocoSettings_t))
    for name, value in choices.items():
        value = number(_WORDS[name], value) if name in _WORDS else value
        setattr(made, name, value)
        if hasattr(value, "__index__") and getattr(made, name) != value:
            raise ValueError(f"{name} can't be {value}")
    if fragment_of is not None:
        made.division = d.pcclDilocoGiven
        made.fragment_of = (ctypes.c_uint32 * len(fragment_of))(
            *[whole_number("a fragment", each, 2**32) for each in fragment_of])
    return made


class _Engine(Shared):
    """That of a trainer. What calls it is in a call of its communicator, too."""

    closed = ("pccl.diloco.Trainer", "the trainer has been closed, or its communicator, which closes it")

    def __init__(self, life: Life) -> None:
        super().__init__()
        self.life = life
        self.handle = ctypes.c_void_p()
        self._patience_end = 0.0

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        if self.is_over:
            raise self.refusal()
        return self.life.call(super().call, function, *arguments)

    def call_by(self, _: object, function: Callable[..., Any], *arguments: Any) -> Any:
        """For blocking()."""
        return self.call(function, *arguments)

    def end(self) -> None:
        self._patience_end = time.monotonic() + SLICE_MS / 1000
        super().end()

    def _push(self) -> None:
        if time.monotonic() > self._patience_end:  # it waits for others
            self.life.abort()

    def _free(self) -> None:
        if not self._ended:  # no signal handler comes between the library's call and the note of it
            self._ended.extend(map(lib.pcclDilocoDestroy, (self.handle,)))


class Trainer:
    """The engine around the parameters of a model: those of a torch.nn.Module that require gradients, or a mapping of
    names to NumPy arrays, torch tensors, or buffers. Those of float32 on the host are used where they lie; torch's on a
    device, or of other floats, are copied when a round begins or is taken over (what rounding takes away is part of the
    next pseudo-gradient). All have to stay where they are; at the beginning they are the same on all peers (broadcast
    them, or pccl.state.sync()). All peers choose alike. Not to be called by two threads at a time. ValueError,
    InvalidArgumentError: a tensor or a choice that can't be. MismatchError, from step() on: peers have different
    tensors or choices, or drifted apart.

    interval: inner steps between two rounds of a fragment. mode, fragments, overlap (steps), alpha: see the manual.
    learning_rate, momentum: of the outer optimizer. codec: how pseudo-gradients travel, with error_feedback what it
    takes away goes into the next one. quorum, grace_ms: do without stragglers. fragment_of: for each tensor its
    fragment."""

    def __init__(self, communicator: Communicator, model: Any, *, interval: int = 100,
                 mode: Mode | str = Mode.SYNCHRONOUS, rule: Rule | str = Rule.NESTEROV, fragments: int = 1,
                 overlap: int = 0, alpha: float = 0.5, learning_rate: float = 0.7, momentum: float = 0.9,
                 clip: float = 0.0, penalize: bool = True, error_feedback: bool = False, check_parity: bool = True,
                 division: Division | str = Division.BALANCED, fragment_of: Sequence[int] | None = None,
                 tag: int = 0xd110c000, codec: QuantizationAlgorithm | str = QuantizationAlgorithm.NONE,
                 codec_down: QuantizationAlgorithm | str = QuantizationAlgorithm.NONE,
                 rounding: Rounding | str = Rounding.NEAREST, zstd: Zstd | str = Zstd.DEFAULT, pieces: int = 0,
                 quorum: int = 0, grace_ms: int = 0) -> None:
        choices = {name: value for name, value in locals().items()
                   if name not in ("self", "communicator", "model", "fragment_of")}
        parameters = _parameters_of(model)
        copies = _Copies(parameters) if any(map(_lies_elsewhere, parameters.values())) else None
        infos = copies.infos if copies else [TensorInfo.of(tensor, name) for name, tensor in parameters.items()]
        for info in infos:
            if info.dtype is not DataType.FLOAT:
                raise ValueError(f"'{info.name}' is of {info.dtype.name}: parameters are of float32")
        if fragment_of is not None and len(fragment_of) != len(infos):
            raise ValueError(f"fragment_of has {len(fragment_of)} entries for {len(infos)} tensors")
        tensors = (d.pcclTensorInfo_t * len(infos))()
        for made, info in zip(tensors, infos, strict=True):
            made.name, made.data, made.count = info._c_name, info.data_ptr or None, info.numel
            made.datatype, made.device_type = info.dtype.value, info.device_type.value
        self._communicator = communicator
        self._infos = infos
        self._model = model
        settings = _settings(choices, fragment_of)
        if copies is not None:
            settings.read, settings.write = copies.read, copies.write
        self._engine = engine = _Engine(communicator._life)
        self._finalizer = weakref.finalize(self, _close, engine, infos, communicator, copies)
        communicator._life.end_before(engine)
        self._do(lambda: PCCLError.check(lib.pcclDilocoCreate(communicator._comm, tensors, len(infos), settings,
                                                              engine.handle), "pcclDilocoCreate"))

    def _do(self, function: Callable[[], Any]) -> Any:
        """What function() returns. It may call the library as it likes, which may copy parameters by functions of
        Python: no signal handler runs in the midst of that."""
        return run(lambda: self._engine.call(function), lambda: None)

    def _ask(self, name: str, *arguments: Any) -> None:
        """A function of the library that does not wait, and copies nothing."""
        PCCLError.check(self._engine.call(getattr(lib, name), self._engine.handle, *arguments), name)

    def step(self, weight: float = 1.0) -> None:
        """After every inner step. weight: how much it counts (tokens, or 1). Waits if a round is due that has not
        ended. Ctrl-C meanwhile aborts the communicator. InvalidArgumentError: parameters of this peer are no finite
        numbers (the text names one); it has given nothing to the round, and may go on."""
        due = ctypes.c_bool()
        self._ask("pcclDilocoIsDue", due)
        if due.value:
            self._call("pcclDilocoStep", float(weight))
        else:
            self._ask("pcclDilocoStep", float(weight))

    def flush(self) -> None:
        """Waits for all rounds that have begun, and takes them over. All members do after as many steps."""
        self._call("pcclDilocoFlush")

    def _call(self, name: str, *arguments: Any) -> None:
        parameters = _parameters_of(self._model)
        for info in self._infos:
            if info.name not in parameters or _place_of(parameters[info.name]) != info.data_ptr:
                raise ValueError(f"'{info.name}' lies elsewhere than when the trainer was made: parameters must be "
                                 "changed in place")
        blocking(self._communicator._life, name, self._engine.handle, *arguments, by=self._engine.call_by)

    def _state(self) -> Any:
        found = ctypes.POINTER(d.pcclSharedState_t)()
        PCCLError.check(lib.pcclDilocoState(self._engine.handle, found), "pcclDilocoState")
        return found

    def _copy_out(self) -> dict[str, bytes]:
        state = self._state().contents
        tensors = [state.infos[index] for index in range(state.count)]
        return {tensor.name.decode(): ctypes.string_at(tensor.data, _bytes_of(tensor)) for tensor in tensors}

    def _load(self, state: Mapping[str, bytes], is_newcomer: bool) -> None:
        before = self._copy_out()
        own = self._state().contents
        tensors = [own.infos[index] for index in range(own.count)]
        for tensor in tensors:
            if len(state[tensor.name.decode()]) != _bytes_of(tensor):
                raise ValueError(f"'{tensor.name.decode()}' has {len(state[tensor.name.decode()])} bytes, "
                                 f"not {_bytes_of(tensor)}")
        try:
            _copy_in(tensors, state)
            self._resume(is_newcomer)
        except PCCLError:
            _copy_in(tensors, before)
            raise

    def _resume(self, is_newcomer: bool) -> None:
        PCCLError.check(lib.pcclDilocoResume(self._engine.handle, is_newcomer), "pcclDilocoResume")

    def state_dict(self) -> dict[str, bytes]:
        """The engine's state, a copy: outer parameters, momentum, the place in the schedule and so on, as bytes. The
        local parameters are the model's. After a step that failed it is what the rounds before have made.
        PendingAsyncOpsError: rounds are in flight; flush() first."""
        found: dict[str, bytes] = self._do(self._copy_out)
        return found

    def load_state_dict(self, state: Mapping[str, bytes], *, is_newcomer: bool = False) -> None:
        """Goes on from a state_dict(). is_newcomer: with the outer parameters for local ones, and nothing of another
        peer's own. KeyError, ValueError, PCCLError: a state of other tensors or choices; nothing has changed then."""
        self._do(lambda: self._load(state, is_newcomer))

    def sync(self, *, is_newcomer: bool = False,
             strategy: SharedStateSyncStrategy | str = SharedStateSyncStrategy.ENFORCE_POPULAR) -> SharedStateSyncInfo:
        """A joint call of members that have just flushed and updated the topology, and of newcomers that have just
        connected: these get the state of the others and go on from it."""
        info = d.pcclSharedStateSyncInfo_t()
        comm = self._communicator._comm
        blocking(self._communicator._life, "pcclSynchronizeSharedState", comm, self._do(self._state),
                 number(d.pcclEnumSyncStrategy, strategy), info, by=self._engine.call_by)
        if is_newcomer:
            self._do(lambda: self._resume(True))
        return SharedStateSyncInfo(info.tx_bytes, info.rx_bytes)

    @property
    def statistics(self) -> Statistics:
        """What has happened since the beginning."""
        found = d.pcclDilocoStatistics_t(size=ctypes.sizeof(d.pcclDilocoStatistics_t))
        self._ask("pcclDilocoGetStatistics", found)
        return Statistics(**{name: getattr(found, name) for name in Statistics.__dataclass_fields__})

    @property
    def participants(self) -> dict[uuid.UUID, float]:
        """Who took part in the round that ended last, in rank order, and with which weight."""
        count = ctypes.c_size_t()
        self._ask("pcclDilocoGetParticipants", None, 0, count)
        found = (d.pcclDilocoParticipant_t * max(count.value, 1))()
        self._ask("pcclDilocoGetParticipants", found, len(found), count)
        return {uuid.UUID(bytes=bytes(each.uuid.data)): each.weight for each in found[:count.value]}

    def close(self) -> None:
        """Ends the engine; rounds that are in flight are not taken over. Repeatable; what else is called then raises
        InvalidUsageError. Closing the communicator closes its trainers. A step or flush that another thread waits in,
        or that a signal handler which calls this has interrupted, ends as by Ctrl-C: the communicator is aborted."""
        _close(self._engine)

    def __enter__(self) -> Trainer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _bytes_of(tensor: d.pcclTensorInfo_t) -> int:
    return int(tensor.count) * DataType(tensor.datatype).itemsize


def _copy_in(tensors: list[d.pcclTensorInfo_t], state: Mapping[str, bytes]) -> None:
    for tensor in tensors:
        ctypes.memmove(tensor.data, bytes(state[tensor.name.decode()]), _bytes_of(tensor))


def _close(engine: _Engine, *_: Any) -> None:
    """Keeps tensors, communicator and callbacks alive until the engine has ended. In no call of the communicator's: who
    closes that in another thread closes this as well."""
    engine.end()
