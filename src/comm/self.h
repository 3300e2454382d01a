/* What a communicator is before it is anywhere: constant while its threads run, so that they all may read it. */
#ifndef PCCL_SELF_H
#define PCCL_SELF_H

#include <stdbool.h>

#include <pccl.h>

#include "comm/settings.h"
#include "transport/wires/wires.h"

struct pccl_self {
	ccoip_socket_address_t master_address;
	uint32_t group;
	bool classic; /* a PCCL 1.0 program made it: see docs/PCCL-1.0.md */
	struct pccl_settings settings;
	struct pccl_key_pair keys; /* told to nobody */
	uint8_t salt[PCCL_SALT_BYTES];
	struct pccl_secret secret; /* comes from the key and the salt; told to masters only */
	pcclRankUuid_t uuid;	   /* comes from the secret */
	struct pccl_wires *wires;
	uint64_t host; /* see pccl_locality_host() */
};

#endif
