/* The RDMA devices of this host, port by port: for people. survey.c; pair_none.c in a library without verbs. */
#ifndef PCCL_TRANSPORT_RDMA_SURVEY_H
#define PCCL_TRANSPORT_RDMA_SURVEY_H

#include <stdbool.h>
#include <stdint.h>

#include <pccl.h>

#define PCCL_SURVEY_GIDS 8u
#define PCCL_SURVEY_GID_BYTES 64u

struct pccl_survey_port {
	const char *device;
	uint8_t port; /* 0: the device can't be opened */
	bool up;
	const char *link;				    /* "Ethernet", "InfiniBand" */
	uint32_t packet_bytes;				    /* that it carries now, */
	uint32_t packet_most;				    /* and could */
	uint32_t gid_count;				    /* of the first ones, what is known: */
	char gids[PCCL_SURVEY_GIDS][PCCL_SURVEY_GID_BYTES]; /* "3 10.0.0.1 (RoCE v1)" */
};

/* tell() hears of each. pcclSystemError says why there is none. */
pcclResult_t pccl_survey(void (*tell)(void *context, const struct pccl_survey_port *port), void *context);

#endif
