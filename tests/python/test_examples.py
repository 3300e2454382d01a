"""The examples do what they say, as short as they can be."""

import importlib.util
import pathlib
import re
import subprocess
import sys

import pytest

pytest.importorskip("numpy")

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "bindings/python/examples"


def run(*flags):
    found = subprocess.run([sys.executable, "-m", "pccl.run", *map(str, flags)], cwd=EXAMPLES, capture_output=True,
                           text=True, timeout=300)
    assert found.returncode == 0, found.stdout + found.stderr
    return found.stdout, found.stderr


def losses(text, words):
    return [float(each) for each in re.findall(words + r"([0-9.]+)", text)]


def test_hello():
    output, _ = run("-n", 3, "hello.py")
    assert output.count("[6. 6. 6. 6.]") == 3


def test_all_reduces_go_on_while_peers_die_and_come_back():
    output, errors = run("-n", 3, "--restarts", 20, "churn.py", "--steps", 60, "--die", 0.03)
    totals = re.findall("the total is ([0-9a-f]+)", output)
    assert len(totals) == 3 and len(set(totals)) == 1, output + errors
    assert "was killed by SIGKILL" in errors


@pytest.mark.parametrize("flags", [[], ["--mode", "streaming", "--codec", "e3m0"]])
def test_diloco_learns_a_text(flags):
    output, _ = run("-n", 2, "diloco.py", "--steps", 160, "--interval", 20, "--admit", 80, *flags)
    ends = losses(output, "ended with loss ")
    assert len(ends) == 2 and max(ends) < 3.2, output


def test_diloco_goes_on_with_a_peer_that_was_killed(tmp_path):
    (tmp_path / "die.py").write_text("""
import os, runpy, signal, sys
import pccl
if os.environ["LOCAL_RANK"] == "1" and os.environ["PCCL_RESTARTS"] == "0":
    step = pccl.diloco.Trainer.step
    def die(trainer, weight):
        step(trainer, weight)
        if trainer.statistics.steps == 50:
            os.kill(os.getpid(), signal.SIGKILL)
    pccl.diloco.Trainer.step = die
sys.path.insert(0, os.getcwd())
runpy.run_path("diloco.py", run_name="__main__")
""")
    output, _ = run("-n", 2, "--restarts", 1, tmp_path / "die.py", "--steps", 150, "--interval", 20, "--admit", 30)
    assert "1 peers" in output and len(losses(output, "ended with loss ")) == 2, output


def test_a_run_goes_on_from_its_checkpoints(tmp_path):
    first, _ = run("-n", 2, "resume.py", "--steps", 40, "--checkpoints", tmp_path)
    (tmp_path / "peer-1.safetensors").unlink()
    second, _ = run("-n", 2, "resume.py", "--steps", 40, "--checkpoints", tmp_path)
    assert "begins at step 0" in first and "begins at step 40" in second and "ends at step 80" in second
    assert losses(first, "ends at step 40, loss ") == losses(second, "begins at step 40, loss ")
    assert losses(second, "ends at step 80, loss ")[0] < losses(first, "ends at step 40, loss ")[0]


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="there is no torch")
def test_torch_diloco():
    output, _ = run("-n", 2, "torch_diloco.py", "--steps", 100, "--interval", 20)
    ends = losses(output, "ended with loss ")
    assert len(ends) == 2 and ends[0] == ends[1] < 3.5, output


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="there is no torch")
def test_ddp_takes_a_rank_in_again_that_was_killed_and_its_agent_of_torchrun_has_started_again():
    output, errors = run("-n", 2, "-m", "torch.distributed.run", "--standalone", "--max-restarts", 1, "ddp.py",
                         "--steps", 60, "--die", 20, "--wait")
    assert "exitcode: -9" in errors and output.count("of 2 goes on at step 20") == 2, output + errors
    ends = losses(output, "ended with loss ")
    assert len(ends) == 2 and ends[0] == ends[1] < 3.9, output
