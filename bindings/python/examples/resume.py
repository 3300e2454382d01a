"""A run that ended goes on from its checkpoints: pccl-run -n 2 resume.py --steps 300 --checkpoints FOLDER, twice.

Data-parallel: the mean gradient in every step. Each peer saves the same state, so the run goes on from whatever files
there are: who finds none, or an older one, gets the newest from the others."""

import argparse
import os
import pathlib

import numpy as np
import pccl
import text


def main():
    parser = argparse.ArgumentParser(description="Trains a character model, saves it, and goes on from there.")
    parser.add_argument("--steps", type=int, default=300, help="more steps to make")
    parser.add_argument("--checkpoints", type=pathlib.Path, required=True, metavar="FOLDER")
    options = parser.parse_args()
    number, count = int(os.environ.get("LOCAL_RANK", "0")), int(os.environ.get("LOCAL_WORLD_SIZE", "2"))
    options.checkpoints.mkdir(parents=True, exist_ok=True)
    path = options.checkpoints / f"peer-{number}.safetensors"
    data, held_out = text.load()
    model = text.make()
    optimizer = text.Adam(model)
    state = pccl.state.tensors({"model": model, "optimizer": optimizer.state})
    step = pccl.state.load(path, state) if path.exists() else 0
    with pccl.Communicator(settings=pccl.Settings(failure_policy="retry")) as communicator:
        while communicator.world_size < count:
            communicator.update_topology()
        step = pccl.state.sync(communicator, state, revision=step).revision
        if communicator.rank == 0:
            print(f"begins at step {step}, loss {text.test(model, held_out):.3f}", flush=True)
        chance = np.random.default_rng([step, communicator.rank])
        for _ in range(options.steps):
            _, grads = text.gradients(model, *text.draw(data, chance))
            for tag, gradient in enumerate(grads.values()):
                communicator.all_reduce_with(gradient, op=pccl.ReduceOp.AVG, tag=tag)
            optimizer.step(model, grads)
            step += 1
        pccl.state.save(path, state, revision=step)
        if communicator.rank == 0:
            print(f"ends at step {step}, loss {text.test(model, held_out):.3f}", flush=True)
        communicator.barrier()


if __name__ == "__main__":
    main()
