#include "comm/sealing.h"

#include <string.h>

static const struct pccl_wires *wires_of(const struct pccl_sealer *sealer)
{
	return ((const struct pccl_sealing *)(const void *)sealer)->wires;
}

static pcclResult_t make(const struct pccl_sealer *sealer, const struct pccl_imprint *imprint,
			 struct pccl_seal *seal_out)
{
	return pccl_seal_make(pccl_wires_identity(wires_of(sealer)), imprint, seal_out);
}

/* Its own, from before it was restarted, or another master's. */
static bool trusts(const struct pccl_sealer *sealer, const struct pccl_key *key)
{
	const struct pccl_key_pair *own = pccl_wires_identity(wires_of(sealer));

	return memcmp(&own->key, key, sizeof(*key)) == 0 || pccl_wires_list(wires_of(sealer), key);
}

const struct pccl_sealer *pccl_sealing_open(struct pccl_sealing *sealing, const struct pccl_wires *wires)
{
	sealing->sealer.make = make;
	sealing->sealer.trusts = trusts;
	sealing->sealer.holds = pccl_seal_holds;
	sealing->wires = wires;
	return pccl_wires_identity(wires) != NULL ? &sealing->sealer : NULL;
}
