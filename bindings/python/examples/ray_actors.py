"""Ray actors that all-reduce; one that is killed is started again by Ray, and rejoins: python ray_actors.py --kill

The master runs beside the driver. Who comes back gets the total and the step from the others, as in churn.py."""

import argparse
import os
import pathlib
import signal

import churn
import pccl
import ray


@ray.remote(max_restarts=-1, max_task_retries=-1)
class Peer:
    """A member for as long as train() runs. Ray starts it again where it died, and calls train() again."""

    def __init__(self, dies_at):
        again = ray.get_runtime_context().was_current_actor_reconstructed
        self.dies_at = None if again else dies_at

    def _before_step(self, step):
        if step == self.dies_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def train(self, steps, count):
        """The digest of what came out, and where."""
        with pccl.Communicator(settings=pccl.Settings(failure_policy="retry")) as communicator:
            digest = churn.go_on(communicator, churn.begin(), steps, count, self._before_step)
        return digest, ray.get_runtime_context().get_node_id()


def main():
    parser = argparse.ArgumentParser(description="All-reduces of Ray actors that survive their deaths.")
    parser.add_argument("--address", help="of the Ray cluster; default: a local one")
    parser.add_argument("--peers", type=int, default=3)
    parser.add_argument("--cpus", type=float, help="that Ray keeps for each peer; default: none")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--kill", action="store_true", help="kill one peer half-way")
    parser.add_argument("--port", type=int, default=48148, help="of the master")
    options = parser.parse_args()
    here = str(pathlib.Path(__file__).resolve().parent)
    ray.init(address=options.address, runtime_env={"working_dir": here}, log_to_driver=True)
    # A secret of this run. Whoever may look at the cluster's runtime environments can read it.
    os.environ["PCCL_SECRET"] = secret = pccl.generate_secret()
    masters = f"{ray.util.get_node_ip_address()}:{options.port}"
    environment = {"PCCL_MASTERS": masters, "PCCL_SECRET": secret}
    with pccl.MasterNode(masters):
        peers = [Peer.options(runtime_env={"env_vars": environment}, num_cpus=options.cpus,
                              scheduling_strategy="SPREAD").remote(
            options.steps // 2 if options.kill and number == 0 else None) for number in range(options.peers)]
        results = ray.get([peer.train.remote(options.steps, options.peers) for peer in peers])
    for digest, node in results:
        print(f"the total is {digest} on node {node}")


if __name__ == "__main__":
    main()
