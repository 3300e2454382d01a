/* The stand-ins for a CUDA driver and for libibverbs, in the place of real ones: see standin/. */
#ifndef PCCL_TESTS_DEVICE_H
#define PCCL_TESTS_DEVICE_H

#include "standin/standin.h"
#include "standin/verbs.h"

/* Loads it, so that whoever loads the driver from now on gets it. Ends the program if it is not built. */
const struct standin *check_standin(void);
const struct standin_verbs *check_standin_verbs(void);

#endif
