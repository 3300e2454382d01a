"""DDP on pccl, through losses and joins: torchrun --nproc-per-node 2 ddp.py, or pccl-run -n 3 --restarts 1 ddp.py

Under torchrun the world is what it was started with: when a rank is lost its agent starts all of them again, and they
go on from the --checkpoint. With PCCL_MASTERS, which pccl-run sets, the master is in nobody's process, and the world is
whoever there is: --die lets one rank kill itself, the others go on without it (--wait: wait for it), and take it in
when it has come back. Agents of torchrun that have one rank each start just that one again; here are two of them:

    pccl-run -n 2 -m torch.distributed.run --standalone --max-restarts 3 ddp.py --die 100"""

import argparse
import os
import pathlib
import signal

import numpy as np
import pccl.state
import pccl.torch
import text
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel


CHANGES = "PCCL_MASTERS" in os.environ  # is the world whoever there is, or of the ranks it began with?
RESTARTS = int(os.environ.get("PCCL_RESTARTS", "0")) + int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))


def join(least):
    dist.init_process_group("pccl", init_method=f"pccl://?least={least}" if CHANGES else None)


class Training:
    """What outlasts a world, and what is made anew with each."""

    def __init__(self):
        torch.manual_seed(1)
        self.model = torch.nn.Sequential(torch.nn.Embedding(text.SYMBOLS, text.WIDTH), torch.nn.Flatten(),
                                         torch.nn.Linear(text.CONTEXT * text.WIDTH, text.HIDDEN), torch.nn.Tanh(),
                                         torch.nn.Linear(text.HIDDEN, text.SYMBOLS))
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=3e-3)
        self.data, self.held_out = text.load()
        self.done = 0  # steps

    def enter_world(self):
        """Rank 0 was there before, if anybody was: DDP takes the parameters from it, the rest is sent here."""
        kept = [(self.done, self.optimizer.state_dict())]
        dist.broadcast_object_list(kept)
        if dist.get_rank() != 0:
            self.done, state = kept[0]
            self.optimizer.load_state_dict(state)
        self.parallel = DistributedDataParallel(self.model)
        print(f"rank {dist.get_rank()} of {dist.get_world_size()} goes on at step {self.done}", flush=True)

    def state(self):
        return pccl.state.tensors(self.model, self.optimizer)

    def loss_of(self, model, pieces, wanted):
        return torch.nn.functional.cross_entropy(model(torch.from_numpy(pieces)), torch.from_numpy(wanted))

    def step(self):
        """A step that fails has changed nothing: it is done again in the next world."""
        chance = np.random.default_rng((dist.get_rank(), self.done))
        self.optimizer.zero_grad()
        self.loss_of(self.parallel, *text.draw(self.data, chance)).backward()
        self.optimizer.step()
        self.done += 1

    def loss(self):
        with torch.no_grad():
            return self.loss_of(self.model, *text.draw(self.held_out, np.random.default_rng(0), 2000)).item()


def main():
    parser = argparse.ArgumentParser(description="Trains a character model by DDP, through losses and joins.")
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--least", type=int, default=2, help="ranks to begin with (default %(default)s; pccl-run)")
    parser.add_argument("--die", type=int, metavar="STEP", help="the last rank kills itself once (pccl-run)")
    parser.add_argument("--wait", action="store_true", help="after a loss go on only when there are --least again")
    parser.add_argument("--checkpoint", type=pathlib.Path, metavar="FILE", help="go on from it; saved every 20 steps")
    parser.add_argument("--admit", type=int, default=50, help="steps between two looks for others who wait")
    options = parser.parse_args()
    torch.set_num_threads(1)  # ranks share the processors
    training = Training()
    if options.checkpoint is not None and options.checkpoint.exists():
        training.done = pccl.state.load(options.checkpoint, training.state())
    join(options.least)
    training.enter_world()
    is_last = dist.get_rank() == dist.get_world_size() - 1 and RESTARTS == 0
    while training.done < options.steps:
        if training.done == options.die and is_last:
            os.kill(os.getpid(), signal.SIGKILL)
        try:
            training.step()
            if options.checkpoint is not None and training.done % 20 == 0 and dist.get_rank() == 0:
                pccl.state.save(options.checkpoint, training.state(), revision=training.done)
            if CHANGES and training.done % options.admit == 0 and \
                    dist.group.WORLD.communicator.are_peers_pending():
                pccl.torch.reconfigure()
                training.enter_world()
        except pccl.torch.PeersLostError as error:
            print(f"rank {dist.get_rank()}: {error.cause}", flush=True)
            pccl.torch.reconfigure(at_least=options.least if options.wait else 1)
            training.enter_world()
    print(f"ended with loss {training.loss():.3f}", flush=True)
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
