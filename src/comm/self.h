/* What a communicator is before it is anywhere: constant while its threads run, so that they all may read it. */
#ifndef PCCL_SELF_H
#define PCCL_SELF_H

#include <pccl.h>

#include "comm/settings.h"

struct pccl_self {
	ccoip_socket_address_t master_address;
	uint32_t group;
	struct pccl_settings settings;
	pcclRankUuid_t uuid;
	uint64_t host; /* see pccl_locality_host() */
};

#endif
