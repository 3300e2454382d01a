"""DiLoCo on real text: pccl-run -n 4 diloco.py [--mode streaming]

Each peer trains on a part of the text of its own, and every --interval steps they average what they have learned. Peers
may be killed at any time, and newcomers come in every --admit steps: pccl-run --restarts 9."""

import argparse
import os
import time

import numpy as np
import pccl
import text


def admit(communicator, trainer):
    """All members at the same step: lets in who waits, and gives them the state."""
    if communicator.are_peers_pending():
        trainer.flush()
        communicator.update_topology()
        trainer.sync()


def train(communicator, options):
    data, held_out = text.load()
    own = np.array_split(data, options.parts)[int(os.environ.get("LOCAL_RANK", "0")) % options.parts]
    model = text.make()
    optimizer = text.Adam(model)
    chance = np.random.default_rng(int.from_bytes(os.urandom(8), "little"))
    streaming = {"fragments": 4, "overlap": options.interval // 5} if options.mode == "streaming" else {}
    with pccl.diloco.Trainer(communicator, model, interval=options.interval, mode=options.mode, codec=options.codec,
                             error_feedback=options.codec != "none",
                             momentum=0.5 if options.mode in ("delayed", "eager") else 0.9, **streaming) as trainer:
        trainer.sync(is_newcomer=True)
        for step in range(trainer.statistics.steps, options.steps):
            pieces, wanted = text.draw(own, chance)
            _, grads = text.gradients(model, pieces, wanted)
            optimizer.step(model, grads)
            trainer.step(weight=len(wanted))
            if (step + 1) % options.admit == 0:
                admit(communicator, trainer)
                if communicator.rank == 0:
                    print(f"step {step + 1}: loss {text.test(model, held_out):.3f}, {communicator.world_size} peers, "
                          f"{trainer.statistics.tx_bytes / 1e6:.2f} MB sent", flush=True)
        trainer.flush()
        while communicator.world_size < options.parts:  # who was killed is waited for: it would find nobody
            admit(communicator, trainer)
            time.sleep(0.05)
        if options.parts > 1:
            communicator.barrier()  # nobody leaves before all have seen that all are there
        print(f"ended with loss {text.test(model, held_out):.3f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description="Trains a character model by DiLoCo.")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--interval", type=int, default=50, help="steps between two exchanges")
    parser.add_argument("--mode", default="synchronous", choices=["synchronous", "delayed", "eager", "streaming"])
    parser.add_argument("--codec", default="none", help="how pseudo-gradients travel: bf16, int8, int4, e3m0, ...")
    parser.add_argument("--admit", type=int, default=100, help="steps between looks at who waits to join")
    parser.add_argument("--parts", type=int, default=int(os.environ.get("LOCAL_WORLD_SIZE", "2")),
                        help="how many peers there are to be: the text is cut so")
    options = parser.parse_args()
    with pccl.Communicator(settings=pccl.Settings()) as communicator:
        while communicator.world_size < options.parts and os.environ.get("PCCL_RESTARTS", "0") == "0":
            communicator.update_topology()
        train(communicator, options)


if __name__ == "__main__":
    main()
