"""Training around the C engine, with NumPy arrays and, where it is, torch."""

import pytest

import pccl
from test_operations import join

np = pytest.importorskip("numpy")


def train_arrays(number, count, address, choices):
    with join(address, count) as communicator:
        model = {"a": np.zeros((4, 100), np.float32), "b": np.zeros(50, np.float32), "c": np.zeros(300, np.float32)}
        with pccl.diloco.Trainer(communicator, model, interval=6, learning_rate=1.0, momentum=0.0,
                                 **choices) as trainer:
            for _ in range(24):
                for values in model.values():
                    values += 1 + number
                trainer.step(weight=1 + 2 * number)
            trainer.flush()
            found = trainer.statistics
            assert found.steps == 24 and found.rounds and found.last_participants == count
            assert sum(trainer.participants.values()) == found.last_weight
            state = trainer.state_dict()
            outer = np.frombuffer(state["diloco.outer/a"], np.float32)
            trainer.load_state_dict(state)
            with pytest.raises(KeyError):
                trainer.load_state_dict({})
            trainer.sync()
            return float(outer[0])


@pytest.mark.parametrize("choices", [
    {}, {"mode": "delayed"}, {"mode": pccl.diloco.Mode.STREAMING, "fragments": 3, "overlap": 2}])
def test_outer_parameters_are_the_weighted_mean_on_all_peers(master, run_peers, choices):
    answers = run_peers(train_arrays, 2, master, choices)
    assert answers[0] == answers[1] > 0
    if not choices:
        assert answers[0] == pytest.approx(24 * (1 * 1 + 3 * 2) / 4)


def test_what_can_not_be_trained_is_refused(master):
    with join(master, 1) as communicator:
        for model, words in (({"a": np.zeros(3)}, "float32"), ({"a": np.zeros((4, 4), np.float32)[:, ::2]}, "contig")):
            with pytest.raises(ValueError, match=words):
                pccl.diloco.Trainer(communicator, model)
        with pytest.raises(TypeError, match="torch.nn.Module"):
            pccl.diloco.Trainer(communicator, 3)
        with pytest.raises(pccl.errors.InvalidArgumentError):
            pccl.diloco.Trainer(communicator, {"a": np.zeros(3, np.float32)}, interval=0)


def test_arrays_that_were_replaced_are_told(master):
    """A trainer would go on with those that it was made with, and nobody would learn anything."""
    with join(master, 1) as communicator:
        model = {"a": np.zeros(3, np.float32)}
        with pccl.diloco.Trainer(communicator, model, interval=1) as trainer:
            trainer.step(weight=np.float32(3))
            model["a"] = model["a"] + 1
            with pytest.raises(ValueError, match="'a' lies elsewhere"):
                trainer.step()


def test_a_trainer_ends_before_its_communicator(master):
    with join(master, 1) as communicator:
        trainer = pccl.diloco.Trainer(communicator, {"a": np.zeros(3, np.float32)}, mode="delayed", interval=1)
        trainer.step()
    for use in (trainer.step, trainer.flush, trainer.state_dict, lambda: trainer.statistics):
        with pytest.raises(pccl.errors.InvalidUsageError, match="the trainer has been closed"):
            use()
    trainer.close()


def train_module(number, communicator, dtype):
    import torch

    torch.manual_seed(1)
    model = torch.nn.Linear(10, 2).to(dtype)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
    inputs = torch.randn(100, 10, generator=torch.Generator().manual_seed(number)).to(dtype)
    wanted = inputs[:, :2]
    with pccl.diloco.Trainer(communicator, model, interval=5, momentum=0.5) as trainer:
        losses = []
        for _ in range(30):
            optimizer.zero_grad()
            loss = torch.nn.functional.mse_loss(model(inputs), wanted)
            loss.backward()
            optimizer.step()
            trainer.step(weight=len(inputs))
            losses.append(loss.item())
        assert losses[-1] < losses[0] / 10
        outer = torch.frombuffer(bytearray(trainer.state_dict()["diloco.outer/weight"]), dtype=torch.float32)
        assert torch.equal(model.weight.flatten(), outer.to(dtype))
        return model.weight.flatten().tolist()


def train_modules(number, count, address):
    import torch

    torch.set_num_threads(1)  # peers share the processors
    with join(address, count) as communicator:
        return [train_module(number, communicator, dtype) for dtype in (torch.float32, torch.bfloat16)]


def test_a_module_of_torch_learns_on_all_peers(master, run_peers):
    pytest.importorskip("torch")
    answers = run_peers(train_modules, 2, master)
    assert answers[0] == answers[1]


def test_parameters_of_torch_that_can_not_be_copied_are_named(master, monkeypatch):
    torch = pytest.importorskip("torch")
    half = torch.zeros(4, 4, dtype=torch.float16)
    with join(master, 1) as communicator:
        for model, words in (({"a": half, "b": np.zeros(3, np.float32)}, "'b' is no tensor of torch"),
                             ({"a": half.T[:2]}, "'a' is not contiguous"), ({"a": half.long()}, "'a' is of INT64"),
                             ({"a": half.to("meta")}, "'a' has no data")):
            with pytest.raises(ValueError, match=words):
                pccl.diloco.Trainer(communicator, model)
        monkeypatch.setattr(torch, "frombuffer", None)
        with pytest.raises(pccl.errors.InternalError, match="the callback `read` failed"):
            pccl.diloco.Trainer(communicator, {"a": half})
