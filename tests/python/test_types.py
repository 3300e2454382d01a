"""Buffers, addresses and enumerations, without a network."""

import array
import ctypes
import gc
import ipaddress
import pickle
import re
import socket
import weakref

import pytest

import pccl
from pccl import _addresses
from pccl import _declarations as declarations
from pccl.buffers import buffer_of, pair_of

np = pytest.importorskip("numpy")


def test_every_type_goes_to_numpy_and_back():
    for kind in pccl.DataType:
        if kind is pccl.DataType.BFLOAT16:
            continue
        dtype = kind.to_numpy_dtype()
        assert dtype.itemsize == kind.itemsize
        assert pccl.DataType.from_numpy_dtype(dtype) is kind
    with pytest.raises(ValueError, match="complex64"):
        pccl.DataType.from_numpy_dtype(np.dtype("complex64"))


def test_every_type_goes_to_torch_and_back():
    torch = pytest.importorskip("torch")
    for kind in pccl.DataType:
        assert pccl.DataType.from_torch_dtype(kind.to_torch_dtype()) is kind
    with pytest.raises(ValueError):
        pccl.DataType.from_torch_dtype(torch.complex64)


@pytest.mark.parametrize("code", "bBhHiIqQfd")
def test_buffers_are_taken_where_they_lie(code):
    values = array.array(code, [1, 2, 3])
    found = buffer_of(values, writable=True)
    assert (found.pointer, found.count) == (values.buffer_info()[0], 3)
    assert found.datatype.itemsize == values.itemsize


def test_bytes_may_be_read_but_not_written():
    assert buffer_of(b"abc", writable=False).count == 3
    with pytest.raises(ValueError, match="read-only"):
        buffer_of(b"abc", writable=True)


def test_what_can_not_be_used_as_it_is_is_refused():
    values = np.zeros((4, 4), np.float32)
    with pytest.raises(ValueError, match="not contiguous"):
        buffer_of(values[:, ::2], writable=False)
    values.flags.writeable = False
    buffer_of(values, writable=False)
    with pytest.raises(ValueError, match="read-only"):
        buffer_of(values, writable=True)
    with pytest.raises(ValueError, match="takes NumPy arrays"):
        buffer_of([1, 2], writable=False)
    for truths in (np.zeros(3, bool), (ctypes.c_bool * 3)()):  # sums of them would be none
        with pytest.raises(ValueError, match="no type"):
            buffer_of(truths, writable=True)
    with pytest.raises(ValueError, match="masked"):
        buffer_of(np.ma.masked_array([1.0, 2.0], [False, True]), writable=False)
    with pytest.raises(ValueError, match="elements"):
        pair_of(np.zeros(3, np.int16), np.zeros(4, np.int16))
    with pytest.raises(ValueError, match="INT16"):
        pair_of(np.zeros(3, np.int16), np.zeros(3, np.uint16))


class Derived(np.ndarray):
    """As programs derive them."""


def test_arrays_of_derived_classes_are_arrays():
    values = np.zeros(3).view(Derived)
    values.flags.writeable = False
    assert buffer_of(values, writable=False).pointer == values.ctypes.data
    with pytest.raises(ValueError, match="read-only"):
        buffer_of(values, writable=True)


class OnlyDlpack:
    """Shows nothing but DLPack of an array."""

    def __init__(self, values):
        self.values = values

    def __dlpack__(self, **choices):
        return self.values.__dlpack__(**choices)

    def __dlpack_device__(self):
        return self.values.__dlpack_device__()


class OldDlpack(OnlyDlpack):
    """As it was before it had versions."""

    def __dlpack__(self, stream=None):
        return self.values.__dlpack__()


def test_sparse_tensors_are_refused_as_what_they_are():
    torch = pytest.importorskip("torch")
    square = torch.eye(4)
    for sparse in (square.to_sparse(), square.to_sparse_csr(), square.to_sparse_bsr((2, 2))):
        with pytest.raises(ValueError, match=r"is sparse \(torch.sparse_.*to_dense\(\)"):
            buffer_of(sparse, writable=True)
    with pytest.raises(ValueError, match="is not dense"):
        buffer_of(square.to_mkldnn(), writable=True)
    with pytest.raises(ValueError, match="not contiguous"):
        buffer_of(square[:, ::2], writable=True)
    assert buffer_of(square, writable=True).count == 16


def test_dlpack_is_taken_where_it_lies_and_kept_alive():
    values = np.zeros((3, 4), np.int16)  # owns its memory, which is what its views refer to
    found = buffer_of(OnlyDlpack(values[1:]), writable=True)
    assert (found.pointer, found.count, found.datatype) == (values[1:].ctypes.data, 8, pccl.DataType.INT16)
    with pytest.raises(ValueError, match="not contiguous"):
        buffer_of(OnlyDlpack(values.T), writable=True)
    with pytest.raises(ValueError, match="no type"):
        buffer_of(OnlyDlpack(np.zeros(2, np.complex64)), writable=True)
    constant = values[1:]
    constant.flags.writeable = False
    assert buffer_of(OnlyDlpack(constant), writable=False).pointer == constant.ctypes.data
    with pytest.raises(ValueError, match="read-only"):
        buffer_of(OnlyDlpack(constant), writable=True)
    assert buffer_of(OldDlpack(values), writable=True).pointer == values.ctypes.data
    del constant
    alive = weakref.ref(values)
    del values
    gc.collect()
    assert alive() is not None
    del found
    gc.collect()
    assert alive() is None


def test_bfloat16_is_that_of_ml_dtypes():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    assert buffer_of(np.zeros(3, ml_dtypes.bfloat16), writable=True).datatype is pccl.DataType.BFLOAT16
    assert pccl.DataType.BFLOAT16.to_numpy_dtype() == ml_dtypes.bfloat16


def test_another_byte_order_is_refused():
    with pytest.raises(ValueError, match="byte order"):
        buffer_of(np.zeros(3, np.dtype("f4").newbyteorder()), writable=False)


def test_states_keep_their_tensors_alive():
    values = np.arange(5, dtype=np.int64)
    alive = weakref.ref(values)
    state = pccl.SharedState([pccl.TensorInfo.from_numpy(values, "values")])
    del values
    gc.collect()
    assert alive() is not None
    state.push_revision()
    assert state.revision == 1
    del state
    gc.collect()
    assert alive() is None


def test_checkpoints_are_saved_and_loaded(tmp_path):
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    state = pccl.SharedState([pccl.TensorInfo.of(values, "layer.weight")])
    state.revision = 7
    state.save(tmp_path / "state.safetensors")
    values[:] = 0
    state.revision = 0
    state.load(tmp_path / "state.safetensors")
    assert state.revision == 7 and values[1, 2] == 5
    safetensors = pytest.importorskip("safetensors.numpy")
    assert safetensors.load_file(tmp_path / "state.safetensors")["layer.weight"].shape == (2, 3)
    with pytest.raises(pccl.errors.NoSharedStateAvailableError, match="there is no checkpoint"):
        state.load(tmp_path / "other")


def test_addresses_are_read_as_people_write_them():
    assert _addresses.split("10.0.0.1:80") == ("10.0.0.1", 80)
    assert _addresses.split("[::1]:80") == ("::1", 80)
    assert _addresses.to_c("localhost", 9).port == 9
    assert list(_addresses.to_c("::1", 9).inet.ipv6.data)[-1] == 1
    for wrong in ("10.0.0.1", "::1:80", "host:port", "host:70000"):
        with pytest.raises(ValueError):
            _addresses.split(wrong)
    with pytest.raises(ValueError, match="not known"):
        _addresses.to_c("no.such.host.invalid", 1)
    for wrong in ("http://127.0.0.1:1", "tcp://host:1", "http://[::1]:1"):
        with pytest.raises(ValueError, match=f"{re.escape(wrong)}'.*HOST:PORT, without a scheme"):
            _addresses.split(wrong)
    with pytest.raises(ValueError, match=r"^\[fe80::1%lo\]:9 has a zone, %lo.*PCCL_MASTERS"):
        _addresses.to_c("fe80::1%lo", 9)
    assert list(_addresses.to_c("::1%lo", 9).inet.ipv6.data)[-1] == 1


@pytest.mark.parametrize("hosts, taken", [(["::1", "127.0.0.1"], "127.0.0.1"), (["::1"], "::1"),
                                          (["2001:db8::1", "192.0.2.1"], "2001:db8::1"),
                                          (["fe80::1%lo", "192.0.2.1"], "192.0.2.1")])
def test_localhost_is_what_most_listen_at(monkeypatch, hosts, taken):
    found = [(0, 0, 0, "", (host, 9)) for host in hosts]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    made = _addresses.to_c("somewhere", 9).inet
    kind = made.ipv4 if made.protocol == declarations.inetIPv4 else made.ipv6
    assert bytes(kind.data) == ipaddress.ip_address(taken).packed


def test_errors_say_each_thing_once():
    with pytest.raises(pccl.PCCLError) as caught:
        pccl.Communicator("127.0.0.1:1").update_topology()
    assert caught.value.result is pccl.Result.INVALID_USAGE
    assert isinstance(caught.value, pccl.errors.InvalidUsageError)
    assert str(caught.value).count("INVALID_USAGE") == 1 and caught.value.cause in str(caught.value)


def test_every_result_has_a_class():
    for result in pccl.Result:
        if result is pccl.Result.SUCCESS:
            pccl.PCCLError.check(result.value)
            continue
        with pytest.raises(pccl.PCCLError) as caught:
            pccl.PCCLError.check(result.value, "f")
        assert type(caught.value) is not pccl.PCCLError and type(caught.value).__doc__
        copy = pickle.loads(pickle.dumps(caught.value))  # as pools of processes send them
        assert (type(copy), str(copy), copy.result) == (type(caught.value), str(caught.value), result)
