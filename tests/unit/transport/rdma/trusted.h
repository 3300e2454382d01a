/* Sides of a wire over RDMA that lies over TLS. */
#ifndef PCCL_TESTS_TRANSPORT_RDMA_TRUSTED_H
#define PCCL_TESTS_TRANSPORT_RDMA_TRUSTED_H

#include "lib/check.h"

#include <string.h>

#include "transport/rdma/rdma.h"
#include "transport/tls/tls.h"

/* One side: who it is, and which networks it trusts. */
struct side {
	struct pccl_tls *tls;
	struct pccl_rdma_wire wire;
	const struct pccl_transport *plain; /* the same, without RDMA */
};

static inline void trust(struct side *side, struct pccl_tls *tls, const char *text)
{
	assert_int_equal(pccl_networks_parse(text, "list", &side->wire.trusted), pcclSuccess);
	side->tls = tls;
	side->plain = pccl_tls_wire_between_peers(tls);
	pccl_rdma_lay_over(pccl_tls_wire_with_offers(tls), &side->wire);
}

/* So few records that almost each has a key of its own. */
static inline struct pccl_tls *share(uint8_t byte)
{
	struct pccl_tls_config config = {.secret_count = 1, .records_per_key = 2};
	struct pccl_tls *tls;

	memset(config.secrets[0].data, byte, sizeof(config.secrets[0].data));
	assert_int_equal(pccl_tls_create(&config, &tls), pcclSuccess);
	return tls;
}

#endif
