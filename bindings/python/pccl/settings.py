"""What may be chosen for a communicator, for one operation, and for the protection of connections. Words, as in "ring",
may stand for values everywhere; they are those of the library's logs and programs. include/pccl/pccl.h and security.h
are the manual."""

from __future__ import annotations

import ctypes
import os
from dataclasses import dataclass
from enum import Enum

from . import _declarations as d
from ._library import lib
from .errors import PCCLError


class Plan(Enum):
    """Who sends what to whom."""

    AUTO = d.pcclPlanAuto
    ONESHOT = d.pcclPlanOneshot
    DIRECT = d.pcclPlanDirect
    RING = d.pcclPlanRing


class FailurePolicy(Enum):
    """What becomes of operations when a member is lost."""

    DEFAULT = d.pcclPolicyDefault
    ABORT = d.pcclPolicyAbort
    RETRY = d.pcclPolicyRetry
    REPAIR = d.pcclPolicyRepair


class Input(Enum):
    """What becomes of the input of an operation in place that fails."""

    KEEP = d.pcclInputKeep
    GIVE_UP = d.pcclInputGiveUp


class Rounding(Enum):
    """Of what a codec can't represent."""

    NEAREST = d.pcclRoundNearest
    STOCHASTIC = d.pcclRoundStochastic


class Overflow(Enum):
    """Of what is too large for a codec of 16 bits."""

    REFUSE = d.pcclOverflowRefuse
    SATURATE = d.pcclOverflowSaturate


class Zstd(Enum):
    """Is what travels compressed?"""

    DEFAULT = d.pcclZstdDefault
    OFF = d.pcclZstdOff
    AUTO = d.pcclZstdAuto
    ON = d.pcclZstdOn


class Checksums(Enum):
    """Which elements travel with checksums."""

    DEFAULT = d.pcclChecksumsDefault
    ON = d.pcclChecksumsOn
    OFF = d.pcclChecksumsOff
    AUTO = d.pcclChecksumsAuto


class Transport(Enum):
    """How data travels between peers."""

    DEFAULT = d.pcclTransportDefault
    AUTO = d.pcclTransportAuto
    TCP = d.pcclTransportTcp
    RDMA = d.pcclTransportRdma


class Verify(Enum):
    """Do members compare what they take for the result of an operation?"""

    DEFAULT = d.pcclVerifyDefault
    OFF = d.pcclVerifyOff
    DIGEST = d.pcclVerifyDigest


class Binding(Enum):
    """Do I/O threads run near the network card that carries their links?"""

    DEFAULT = d.pcclBindingDefault
    AUTO = d.pcclBindingAuto
    OFF = d.pcclBindingOff


class LateMembers(Enum):
    """What becomes of a joint call that members have not made in time."""

    DEFAULT = d.pcclLateDefault
    WAIT = d.pcclLateWait
    FAIL = d.pcclLateFail
    EVICT = d.pcclLateEvict


class SecurityMode(Enum):
    """How connections are protected; docs/SECURITY.md."""

    DEFAULT = d.pcclSecurityDefault
    NONE = d.pcclSecurityNone
    PSK = d.pcclSecurityPsk
    TLS = d.pcclSecurityTls


_ENUMS = {d.pcclEnumDataType: "DataType", d.pcclEnumRedOp: "ReduceOp", d.pcclEnumCodec: "QuantizationAlgorithm",
          d.pcclEnumRounding: "Rounding", d.pcclEnumZstd: "Zstd", d.pcclEnumChecksums: "Checksums",
          d.pcclEnumSyncStrategy: "SharedStateSyncStrategy", d.pcclEnumPlan: "Plan",
          d.pcclEnumFailurePolicy: "FailurePolicy", d.pcclEnumLogLevel: "Level", d.pcclEnumOverflow: "Overflow",
          d.pcclEnumInput: "Input", d.pcclEnumLate: "LateMembers", d.pcclEnumDilocoMode: "Mode",
          d.pcclEnumDilocoRule: "Rule", d.pcclEnumDilocoDivision: "Division", d.pcclEnumSecurity: "SecurityMode",
          d.pcclEnumTransport: "Transport", d.pcclEnumVerify: "Verify", d.pcclEnumBinding: "Binding"}


def number(which: int, value: Enum | str) -> int:
    """The library's number of a value of ours or of a word. InvalidArgumentError lists the words there are."""
    if isinstance(value, str):
        found = ctypes.c_int()
        PCCLError.check(lib.pcclParseName(which, text_of(value.encode(), "a word"), found), "pcclParseName")
        return found.value
    if type(value).__name__ != _ENUMS[which]:
        raise TypeError(f"{value!r} is neither a {_ENUMS[which]} nor a word for one")
    return int(value.value)


def text_of(text: bytes, what: str) -> bytes:
    """For the library, which would take it for shorter if it had a zero byte in it: ValueError."""
    if b"\0" in text:
        raise ValueError(f"{what} has a zero byte in it")
    return text


def _text_or_none(value: str | os.PathLike[str] | None, what: str) -> bytes | None:
    return None if value is None else text_of(os.fsencode(value), what)


@dataclass
class Security:
    """Join secret or certificates of one side. What is None the environment says (PCCL_SECRET_FILE and others)."""

    mode: SecurityMode | str = SecurityMode.DEFAULT
    secret: str | None = None
    secret_file: str | os.PathLike[str] | None = None
    authority_file: str | os.PathLike[str] | None = None
    certificate_file: str | os.PathLike[str] | None = None
    key_file: str | os.PathLike[str] | None = None
    revoked_file: str | os.PathLike[str] | None = None
    identity_file: str | os.PathLike[str] | None = None
    master_keys: str | None = None
    rdma_trusted: str | None = None

    def __repr__(self) -> str:
        shown = "given" if self.secret is not None else None
        return f"Security(mode={self.mode}, secret={shown}, secret_file={self.secret_file!r})"

    def to_c(self) -> d.pcclSecurity_t:
        """The structure, which keeps its texts alive."""
        made = d.pcclSecurity_t(size=ctypes.sizeof(d.pcclSecurity_t), mode=number(d.pcclEnumSecurity, self.mode))
        for name in ("secret", "secret_file", "authority_file", "certificate_file", "key_file", "revoked_file",
                     "identity_file", "master_keys", "rdma_trusted"):
            setattr(made, name, _text_or_none(getattr(self, name), name))
        return made


def generate_secret() -> str:
    """A new join secret, one line of text. Share it with who may join, and with nobody else."""
    text = (ctypes.c_char * 64)()
    PCCLError.check(lib.pcclGenerateSecret(text), "pcclGenerateSecret")
    return text.value.decode()


def describe_key(path: str | os.PathLike[str]) -> str:
    """What others know the key in a file by, for lists of who may join and for master_keys; made if need be."""
    text = (ctypes.c_char * 80)()
    PCCLError.check(lib.pcclDescribeKey(os.fsencode(path), text), "pcclDescribeKey")
    return text.value.decode()


@dataclass
class Settings:
    """All choices of a communicator. None and 0 mean: as the environment says (PCCL_MASTERS and so on), or the default.
    Times are in milliseconds."""

    masters: str | None = None
    listen_address: str | None = None
    advertised_address: str | None = None
    port_first: int = 0
    port_last: int = 0
    lanes: int = 0
    streams: int = 0
    connect_timeout_ms: int = 0
    admission_timeout_ms: int = 0
    operation_timeout_ms: int = 0
    heartbeat_interval_ms: int = 0
    heartbeat_timeout_ms: int = 0
    failure_policy: FailurePolicy | str = FailurePolicy.DEFAULT
    plan: Plan | str = Plan.AUTO
    bundle_id: int = 0
    bundle_size: int = 0
    zstd: Zstd | str = Zstd.DEFAULT
    checksums: Checksums | str = Checksums.DEFAULT
    connect_attempts: int = 0
    joint_timeout_ms: int = 0
    master_timeout_ms: int = 0
    late_members: LateMembers | str = LateMembers.DEFAULT
    security: Security | None = None
    transport: Transport | str = Transport.DEFAULT
    verify: Verify | str = Verify.DEFAULT
    binding: Binding | str = Binding.DEFAULT
    interfaces: str | None = None

    def to_c(self) -> d.pcclConfig_t:
        """The structure, which keeps its texts alive."""
        made = d.pcclConfig_t(size=ctypes.sizeof(d.pcclConfig_t))
        for name in ("masters", "listen_address", "advertised_address", "interfaces"):
            setattr(made, name, _text_or_none(getattr(self, name), name))
        for name in ("port_first", "port_last", "lanes", "streams", "connect_timeout_ms", "admission_timeout_ms",
                     "operation_timeout_ms", "heartbeat_interval_ms", "heartbeat_timeout_ms", "bundle_id",
                     "bundle_size", "connect_attempts", "joint_timeout_ms", "master_timeout_ms"):
            value = getattr(self, name)
            setattr(made, name, value)
            if getattr(made, name) != value:
                raise ValueError(f"{name} can't be {value}")
        for which, name in ((d.pcclEnumFailurePolicy, "failure_policy"), (d.pcclEnumPlan, "plan"),
                            (d.pcclEnumZstd, "zstd"), (d.pcclEnumChecksums, "checksums"),
                            (d.pcclEnumLate, "late_members"), (d.pcclEnumTransport, "transport"),
                            (d.pcclEnumVerify, "verify"), (d.pcclEnumBinding, "binding")):
            setattr(made, name, number(which, getattr(self, name)))
        if self.security is not None:
            security = self.security.to_c()
            made.security = ctypes.addressof(security)
            made._security = security
        return made
