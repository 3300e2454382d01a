/*
 * The whole stack against one member that lies: a simulated run (tests/sim/rogue.h) of masters, peers, sessions,
 * lanes and executors. The first byte is the seed of the run, the others say what becomes of what the rogue sends. No
 * assertion may fail; honest peers keep their guards, inputs, views and epochs, and go on when the rogue is gone; all
 * memory returns.
 */
#include <stdlib.h>

#include "sim/rogue.h"

const unsigned long fuzz_mutations = 10; /* a run takes 70 ms, and seven times that under a sanitizer */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	if (!sim_run_rogue(data, bytes, getenv("PCCL_FUZZ_LOUD") != NULL))
		abort();
	return 0;
}
