"""Peers meet and add up what they have: pccl-run -n 4 hello.py"""

import os

import numpy as np
import pccl

with pccl.Communicator(settings=pccl.Settings()) as communicator:
    while communicator.world_size < int(os.environ.get("LOCAL_WORLD_SIZE", "2")):
        communicator.update_topology()  # all that are here call it; it lets in who waits
    values = np.full(4, communicator.rank + 1, np.float32)
    communicator.all_reduce_with(values)
    print(f"rank {communicator.rank} of {communicator.world_size}: {values}")
    communicator.barrier()
