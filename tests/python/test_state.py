"""Checkpoints of dicts, and what the safetensors package makes of them."""

import pytest

import pccl

np = pytest.importorskip("numpy")
safetensors = pytest.importorskip("safetensors.numpy")

DTYPES = [kind for kind in pccl.DataType if kind is not pccl.DataType.BFLOAT16]


def tensors_of_all_types():
    rng = np.random.default_rng(1)
    return {f"layer.{kind.name}": rng.integers(0, 100, (3, 5, 7)).astype(kind.to_numpy_dtype()) for kind in DTYPES}


def test_what_is_saved_is_read_by_others_and_loaded(tmp_path):
    tensors = tensors_of_all_types() | {"empty": np.zeros((0, 4), np.float32), "scalar": np.array(2.5),
                                        "große Umlaute": np.arange(3)}
    pccl.state.save(tmp_path / "a", tensors, revision=9, lineage=bytes(range(16)))
    info = pccl.state.inspect(tmp_path / "a")
    assert (info.revision, info.lineage, info.tensor_count) == (9, bytes(range(16)), len(tensors))
    assert info.tensor_bytes == sum(tensor.nbytes for tensor in tensors.values())
    theirs = safetensors.load_file(tmp_path / "a")
    ours = {name: np.zeros_like(tensor) for name, tensor in tensors.items()}
    assert pccl.state.load(tmp_path / "a", ours) == 9
    for name, tensor in tensors.items():
        assert theirs[name].dtype == tensor.dtype and theirs[name].shape == tensor.shape
        assert np.array_equal(theirs[name], tensor) and np.array_equal(ours[name], tensor)


def test_some_tensors_are_loaded_by_name(tmp_path):
    tensors = tensors_of_all_types()
    pccl.state.save(tmp_path / "a", tensors)
    one = np.zeros_like(tensors["layer.INT16"])
    pccl.state.load(tmp_path / "a", {"layer.INT16": one})
    assert np.array_equal(one, tensors["layer.INT16"])
    with pytest.raises(pccl.errors.InvalidArgumentError, match="no tensor 'other'"):
        pccl.state.load(tmp_path / "a", {"other": one})
    with pytest.raises(pccl.errors.InvalidArgumentError, match="int32"):
        pccl.state.load(tmp_path / "a", {"layer.INT32": one})


def test_torch_tensors_of_every_shape_are_saved_and_loaded(tmp_path):
    torch = pytest.importorskip("torch")
    weight = torch.arange(12, dtype=torch.bfloat16).reshape(3, 4)
    pccl.state.save(tmp_path / "a", {"weight": weight})
    found = torch.zeros_like(weight)
    pccl.state.load(tmp_path / "a", {"weight": found})
    assert torch.equal(found, weight)
    turned = torch.zeros_like(weight.T.contiguous())
    with pytest.raises(pccl.errors.InvalidArgumentError, match=r"'weight' is \[3, 4\] in .*, and \[4, 3\] here"):
        pccl.state.load(tmp_path / "a", {"weight": turned})
    row = torch.zeros(12, dtype=weight.dtype)
    pccl.state.load(tmp_path / "a", {"weight": row})
    assert torch.equal(row, weight.flatten()) and not turned.any()


def test_files_of_others_are_read_if_the_caller_says_so(tmp_path):
    tensors = tensors_of_all_types()
    safetensors.save_file(tensors, tmp_path / "a", metadata={"format": "np"})
    found = {name: np.zeros_like(tensor) for name, tensor in tensors.items()}
    assert pccl.state.load(tmp_path / "a", found, accept_foreign=True) == 0
    assert all(np.array_equal(found[name], tensors[name]) for name in tensors)
    safetensors.save_file({"weight": np.arange(4)}, tmp_path / "a")
    with pytest.raises(pccl.errors.NoSharedStateAvailableError) as caught:
        pccl.state.load(tmp_path / "a", {"weight": np.zeros(4, np.int64)})
    assert str(tmp_path) in str(caught.value) and "accept_foreign" in str(caught.value)
    mask = np.array([True, False, True])  # of a type that pccl has not: bytes
    safetensors.save_file({"weight": np.arange(4), "mask": mask}, tmp_path / "a")
    for kind in (np.uint8, bool):
        found = {"weight": np.zeros(4, np.int64), "mask": np.zeros(3, kind)}
        pccl.state.load(tmp_path / "a", found, accept_foreign=True)
        assert (found["weight"] == np.arange(4)).all() and (found["mask"] == mask).all()


def test_truth_values_are_saved_as_bytes(tmp_path):
    mask = np.array([[True, False], [False, True]])
    pccl.state.save(tmp_path / "a", {"mask": mask})
    again = np.zeros_like(mask)
    pccl.state.load(tmp_path / "a", {"mask": again})
    assert (again == mask).all()


def test_a_flipped_bit_is_seen(tmp_path):
    weight = np.arange(100_000)
    pccl.state.save(tmp_path / "a", {"weight": weight}, revision=1)
    data = bytearray((tmp_path / "a").read_bytes())
    data[-5] ^= 1
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(pccl.errors.NoSharedStateAvailableError, match="'weight' has not the hash"):
        pccl.state.load(tmp_path / "a", {"weight": weight})


def test_what_is_no_state_is_refused(tmp_path):
    with pytest.raises(ValueError, match="at least one"):
        pccl.state.save(tmp_path / "a", {})
    with pytest.raises(ValueError, match="16 bytes"):
        pccl.state.save(tmp_path / "a", {"a": np.zeros(1)}, lineage=b"short")
    with pytest.raises(ValueError, match="tensor 'a'.*not contiguous"):
        pccl.state.save(tmp_path / "a", {"a": np.zeros((4, 4))[:, ::2]})
    for revision in (-1, 2**64):
        with pytest.raises(ValueError, match="a revision is"):
            pccl.state.save(tmp_path / "a", {"a": np.zeros(1)}, revision=revision)


def test_a_zero_byte_ends_no_name(tmp_path):
    """C would take what is before it for the whole."""
    pccl.state.save(tmp_path / "a", {"a": np.zeros(1)})
    for function in (pccl.state.save, pccl.state.load):
        with pytest.raises(ValueError, match="the path has a zero byte"):
            function(f"{tmp_path}/a\0b", {"a": np.zeros(1)})
        with pytest.raises(ValueError, match="name of a tensor has a zero byte"):
            function(tmp_path / "a", {"a\0b": np.zeros(1)})
    with pytest.raises(ValueError, match="the path has a zero byte"):
        pccl.state.inspect(f"{tmp_path}/a\0b")



def test_a_mapping_of_mappings_is_one_state(tmp_path):
    state = pccl.state.tensors({"model": {"weight": np.arange(3.0)}, "optimizer": {"mean": {"weight": np.zeros(3)}}})
    assert list(state) == ["model/weight", "optimizer/mean/weight"]
    pccl.state.save(tmp_path / "a", state, revision=4)
    assert sorted(safetensors.load_file(tmp_path / "a")) == sorted(state)

    with pytest.raises(ValueError, match="two tensors of the mapping have the name 'a/b'"):
        pccl.state.tensors({"a": {"b": np.zeros(3)}, "a/b": np.ones(3)})
    with pytest.raises(TypeError, match="the name of a tensor is text, not 1"):
        pccl.state.save(tmp_path / "b", {1: np.zeros(3)})


def train(torch, model, optimizer, steps):
    draw = torch.Generator().manual_seed(7)
    for _ in range(steps):
        inputs = torch.randn(16, 6, generator=draw)
        optimizer.zero_grad()
        model(inputs).square().mean().backward()
        optimizer.step()


@pytest.mark.parametrize("kind, choices", [
    ("SGD", {"momentum": 0.9}), ("AdamW", {}), ("Adam", {"amsgrad": True, "weight_decay": 0.1}), ("Adagrad", {}),
    ("RMSprop", {"centered": True}), ("Rprop", {})])
def test_a_model_and_its_optimizer_are_one_state(tmp_path, kind, choices):
    torch = pytest.importorskip("torch")

    def make(seed):
        torch.manual_seed(seed)
        model = torch.nn.Sequential(torch.nn.Linear(6, 6), torch.nn.BatchNorm1d(6), torch.nn.Linear(6, 2))
        model.register_buffer("mask", torch.tensor([seed == 1, True]))
        return model, getattr(torch.optim, kind)(model.parameters(), lr=0.01, **choices)

    model, optimizer = make(1)
    train(torch, model, optimizer, 3)
    pccl.state.save(tmp_path / "a", pccl.state.tensors(model, optimizer), revision=3)
    other, fresh = make(2)
    before = [each.clone() for each in other.parameters()]
    state = pccl.state.tensors(other, fresh)
    for mine, old in zip(other.parameters(), before, strict=True):
        assert torch.equal(mine, old) and mine.grad is None
    assert fresh.param_groups[0].get("weight_decay") == optimizer.param_groups[0].get("weight_decay")
    assert pccl.state.load(tmp_path / "a", state) == 3
    train(torch, model, optimizer, 3)
    train(torch, other, fresh, 3)
    for (name, mine), theirs in zip(model.state_dict().items(), other.state_dict().values(), strict=True):
        assert torch.equal(mine, theirs), name


def test_tied_weights_are_saved_once_and_what_is_no_tensor_is_named():
    torch = pytest.importorskip("torch")
    model = torch.nn.ModuleDict({"a": torch.nn.Linear(3, 3), "b": torch.nn.Linear(3, 3)})
    model["b"].weight = model["a"].weight
    assert list(pccl.state.tensors(model)) == ["model/a.weight", "model/a.bias", "model/b.bias"]
    stranger = torch.optim.SGD(torch.nn.Linear(2, 2).parameters(), lr=1)
    with pytest.raises(ValueError, match="the model has not"):
        pccl.state.tensors(model, stranger)
