"""Arrays of any type, shape and strides: taken where they lie, or refused with what to do."""

import pytest

from pccl.buffers import buffer_of

np = pytest.importorskip("numpy")
hypothesis = pytest.importorskip("hypothesis")
numpy_strategies = pytest.importorskip("hypothesis.extra.numpy")
st = hypothesis.strategies

TYPES = st.sampled_from([np.dtype(f"{kind}{size}") for kind, sizes in (("i", "1248"), ("u", "1248"), ("f", "248"))
                         for size in sizes])
# Machines that run other things as well are slow at times: that is no fault.
PATIENT = hypothesis.settings(deadline=None, suppress_health_check=list(hypothesis.HealthCheck))
SLICES = st.builds(slice, st.none(), st.none(), st.sampled_from([1, 2, -1]))


@PATIENT
@hypothesis.given(dtype=TYPES, shape=numpy_strategies.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5))
def test_whole_arrays_are_taken_where_they_lie(dtype, shape):
    whole = np.zeros(shape, dtype)
    found = buffer_of(whole, writable=True)
    assert (found.pointer, found.count) == (whole.ctypes.data, whole.size)
    assert found.datatype.to_numpy_dtype() == dtype


@PATIENT
@hypothesis.given(shape=numpy_strategies.array_shapes(min_dims=1, max_dims=3, max_side=6), data=st.data())
def test_parts_are_taken_or_refused_by_how_they_lie(shape, data):
    part = np.zeros(shape, np.float32)[tuple(data.draw(SLICES) for _ in shape)]
    if data.draw(st.booleans()):
        part = part.T
    if part.flags.c_contiguous:
        assert buffer_of(part, writable=True).pointer == part.ctypes.data
    else:
        with pytest.raises(ValueError, match="ascontiguousarray"):
            buffer_of(part, writable=True)
