"""Trainers and communicators that other threads, or handlers of signals, close while they are in use."""

import threading
import time

import pytest
from test_operations import pair
from test_signals import Interrupted, interrupt, on_alarm, soon  # noqa: F401

import pccl
from pccl._library import lib

np = pytest.importorskip("numpy")


class Calls:
    """Of functions of the library: those under way, and which of these were so when another one began."""

    def __init__(self, monkeypatch):
        self._monkeypatch = monkeypatch
        self.now = []
        self.at_ends = []
        self.may_go_on = threading.Event()

    def watch(self, name, waits=False):
        real = getattr(lib, name)

        def call(*arguments):
            self.now.append(name)
            try:
                assert not waits or self.may_go_on.wait(60)
                return real(*arguments)
            finally:
                self.now.remove(name)

        self._monkeypatch.setattr(lib, name, call)

    def note_at(self, name):
        real = getattr(lib, name)

        def call(*arguments):
            self.at_ends.append(list(self.now))
            return real(*arguments)

        self._monkeypatch.setattr(lib, name, call)


@pytest.fixture
def calls(monkeypatch):
    return Calls(monkeypatch)


def weights():
    return {"a": np.zeros(3, np.float32)}


def test_a_handler_may_close_the_trainer_whose_step_the_main_thread_waits_in(master, calls, on_alarm):  # noqa: F811
    one, other = pair(master)
    with one, other:
        trainer = pccl.diloco.Trainer(one, weights(), interval=1)
        calls.watch("pcclDilocoStep")
        calls.note_at("pcclDilocoDestroy")
        ran = soon(on_alarm, trainer.close)
        with pytest.raises(pccl.PCCLError):
            trainer.step()
        assert ran and calls.at_ends == [[]]
        with pytest.raises(pccl.errors.InvalidUsageError, match="the trainer has been closed"):
            trainer.step()


@pytest.mark.parametrize("name", ["IsDue", "Step", "State", "GetStatistics", "GetParticipants", "Resume"])
def test_an_engine_is_not_freed_under_a_call_of_another_thread(master, calls, name):
    with pair(master)[0] as one:
        trainer = pccl.diloco.Trainer(one, weights(), interval=10)
        state = trainer.state_dict()
        uses = {"State": trainer.state_dict, "GetStatistics": lambda: trainer.statistics,
                "GetParticipants": lambda: trainer.participants, "Resume": lambda: trainer.load_state_dict(state)}
        calls.watch(f"pcclDiloco{name}", waits=True)
        calls.note_at("pcclDilocoDestroy")
        assert_nothing_is_freed_under(uses.get(name, trainer.step), trainer.close, calls)


@pytest.mark.parametrize(("name", "use"), [
    ("pcclDilocoStep", lambda one, trainer: trainer.step()),
    ("pcclStateLend", lambda one, trainer: pccl.state.lend(one, weights())),
    ("pcclStateTakeBack", lambda one, trainer: pccl.state.take_back(one)),
    ("pcclStatePrefetch", lambda one, trainer: pccl.state.prefetch(one, weights())),
])
def test_a_communicator_is_not_freed_under_a_call_of_another_thread(master, calls, name, use):
    one = pair(master)[0]
    trainer = pccl.diloco.Trainer(one, weights(), interval=10)
    calls.watch(name, waits=True)
    calls.note_at("pcclDestroyCommunicator")
    assert_nothing_is_freed_under(lambda: use(one, trainer), one.close, calls)


def assert_nothing_is_freed_under(use, close, calls):
    def run():
        try:
            use()
        except pccl.PCCLError:
            pass

    thread = threading.Thread(target=run)
    thread.start()
    while not calls.now:
        assert thread.is_alive()
        time.sleep(0.001)
    threading.Timer(0.3, calls.may_go_on.set).start()
    close()
    assert calls.at_ends == [[]]
    thread.join(60)
    assert not thread.is_alive()


def test_what_a_handler_has_interrupted_by_an_exception_is_closed_the_next_time(master, calls, on_alarm):  # noqa: F811
    one, other = pair(master)
    with other:
        calls.note_at("pcclDestroyCommunicator")
        one._life._inside.append(-1)  # a thread
        with pytest.raises(Interrupted):
            soon(on_alarm, interrupt, is_time=lambda: one._life.is_over)
            one.close()
        assert not calls.at_ends
        one._life._inside.remove(-1)
        for _ in range(2):
            one.close()
        assert calls.at_ends == [[]]
