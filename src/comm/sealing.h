/* How a master with a key of its own signs what it says of views, and which masters' signatures it takes. */
#ifndef PCCL_SEALING_H
#define PCCL_SEALING_H

#include "base/identity.h"
#include "transport/wires/wires.h"

struct pccl_sealing {
	struct pccl_sealer sealer;
	const struct pccl_wires *wires;
};

/* The wires outlive it. NULL: they have no key. One that is drawn at each start is none: nobody could know its
 * seals. */
const struct pccl_sealer *pccl_sealing_open(struct pccl_sealing *sealing, const struct pccl_wires *wires);

#endif
