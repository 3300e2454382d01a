"""DiLoCo around a module and an optimizer of torch: pccl-run -n 2 torch_diloco.py"""

import argparse
import os

import numpy as np
import pccl
import text
import torch


def main():
    parser = argparse.ArgumentParser(description="Trains a character model of torch by DiLoCo.")
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--interval", type=int, default=50, help="steps between two exchanges")
    options = parser.parse_args()
    number, count = int(os.environ.get("LOCAL_RANK", "0")), int(os.environ.get("LOCAL_WORLD_SIZE", "2"))
    torch.set_num_threads(1)  # peers share the processors
    torch.manual_seed(1)  # the same parameters on all peers
    model = torch.nn.Sequential(torch.nn.Embedding(text.SYMBOLS, text.WIDTH), torch.nn.Flatten(),
                                torch.nn.Linear(text.CONTEXT * text.WIDTH, text.HIDDEN), torch.nn.Tanh(),
                                torch.nn.Linear(text.HIDDEN, text.SYMBOLS))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    data, held_out = text.load()
    chance = np.random.default_rng(number)
    own = np.array_split(data, count)[number % count]

    def loss_of(pieces, wanted):
        return torch.nn.functional.cross_entropy(model(torch.from_numpy(pieces)), torch.from_numpy(wanted))

    with pccl.Communicator(settings=pccl.Settings()) as communicator:
        while communicator.world_size < count:
            communicator.update_topology()
        trainer = pccl.diloco.Trainer(communicator, model, interval=options.interval)
        for _ in range(options.steps):
            optimizer.zero_grad()
            loss_of(*text.draw(own, chance)).backward()
            optimizer.step()
            trainer.step()
        trainer.flush()
        with torch.no_grad():
            loss = loss_of(*text.draw(held_out, np.random.default_rng(0), 2000)).item()
        print(f"ended with loss {loss:.3f}", flush=True)
        trainer.close()
        communicator.barrier()


if __name__ == "__main__":
    main()
