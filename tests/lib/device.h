/* The stand-in for a CUDA driver, in the place of a real one: see standin/standin.h. */
#ifndef PCCL_TESTS_DEVICE_H
#define PCCL_TESTS_DEVICE_H

#include "standin/standin.h"

/* Loads it, so that whoever loads the driver from now on gets it. Ends the program if it is not built. */
const struct standin *check_standin(void);

#endif
