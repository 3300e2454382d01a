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


def train_module(number, count, address):
    import torch

    torch.set_num_threads(1)  # peers share the processors
    torch.manual_seed(1)
    model = torch.nn.Linear(10, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    inputs = torch.randn(400, 10, generator=torch.Generator().manual_seed(number))
    wanted = inputs[:, :2]
    with join(address, count) as communicator, pccl.diloco.Trainer(communicator, model, interval=5,
                                                                   momentum=0.5) as trainer:
        losses = []
        for _ in range(100):
            optimizer.zero_grad()
            loss = torch.nn.functional.mse_loss(model(inputs), wanted)
            loss.backward()
            optimizer.step()
            trainer.step(weight=len(inputs))
            losses.append(loss.item())
        assert losses[-1] < losses[0] / 10
        return model.weight.flatten().tolist()


def test_a_module_of_torch_learns_on_all_peers(master, run_peers):
    pytest.importorskip("torch")
    answers = run_peers(train_module, 2, master)
    assert answers[0] == answers[1]
