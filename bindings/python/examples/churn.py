"""All-reduces that go on while peers are killed and come back: pccl-run -n 4 --restarts 9 churn.py --die 0.02

Each step adds the mean of what the members of the moment contribute. Who is lost is done without, in the same step; who
comes gets the total and the step from the others. At the end all have the same bytes."""

import argparse
import hashlib
import os
import random
import signal
import time

import numpy as np
import pccl


def begin():
    """What the peers have in common, before the first step."""
    return {"total": np.zeros(100_000), "step": np.zeros(1, np.int64)}


def share(communicator, state, revision):
    """All members and those that have just come: afterwards they have the same. The next revision."""
    return pccl.state.sync(communicator, state, revision=revision).revision + 1


def go_on(communicator, state, steps, count, before_step):
    """Takes part until so many steps are done, and `count` peers have them. before_step(step) may kill this one."""
    revision = share(communicator, state, 0)
    # At the end those that were killed are waited for: who comes late would find nobody.
    while state["step"][0] < steps or communicator.world_size < count:
        if communicator.are_peers_pending():  # a joint call: all get the same answer
            communicator.update_topology()
            revision = share(communicator, state, revision)
            print(f"step {state['step'][0]}: {communicator.world_size} peers", flush=True)
            continue  # where newcomers begin: with the next joint call
        if communicator.world_size == 1 or state["step"][0] >= steps:
            time.sleep(0.01)  # nobody to reduce with, or nothing to do: wait for others
            continue
        before_step(int(state["step"][0]))
        mean = np.full(state["total"].shape, float(communicator.rank))
        try:
            communicator.all_reduce_with(mean, op=pccl.ReduceOp.AVG)
        except (pccl.errors.TooFewPeersError, pccl.errors.RankConnectionLostError):
            continue  # everybody else was lost meanwhile: this step again
        state["total"] += mean
        state["step"] += 1
    communicator.barrier()
    return hashlib.sha256(state["total"]).hexdigest()[:16]


def main():
    parser = argparse.ArgumentParser(description="All-reduces that survive the death and the arrival of peers.")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--die", type=float, default=0, metavar="P", help="die in each step with probability P")
    parser.add_argument("--peers", type=int, default=int(os.environ.get("LOCAL_WORLD_SIZE", "2")),
        help="so many have to be there at the end; on several machines: of all of them (default: those of this one)")
    options = parser.parse_args()
    number = int(os.environ.get("LOCAL_RANK", "0"))
    chance = random.Random(f"{number} {os.environ.get('PCCL_RESTARTS')}")

    def perhaps_die(_):
        if chance.random() < options.die:
            os.kill(os.getpid(), signal.SIGKILL)

    with pccl.Communicator(settings=pccl.Settings(failure_policy="retry")) as communicator:
        print(f"the total is {go_on(communicator, begin(), options.steps, options.peers, perhaps_die)}", flush=True)


if __name__ == "__main__":
    main()
