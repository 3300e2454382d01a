/* What runs the suite over RDMA: with a stand-in for libibverbs, or, where PCCL_TEST_RDMA is "device", with a device
 * that has the address PCCL_TEST_RDMA_HOST (127.0.0.1). */
#ifndef PCCL_TESTS_TRANSPORT_RDMA_SUITE_H
#define PCCL_TESTS_TRANSPORT_RDMA_SUITE_H

#include "unit/transport/transport_suite.h"

#include <stdio.h>

#include "lib/device.h"
#include "transport/rdma/flow.h"

static const struct standin_verbs *standin; /* NULL: there is a device */

/* In main(), before the tests. The address that they are to use. */
static inline const char *rdma_suite_begin(void)
{
	const char *mode = getenv("PCCL_TEST_RDMA"), *host = getenv("PCCL_TEST_RDMA_HOST");

	cmocka_set_test_filter(getenv("PCCL_TEST_ONLY"));
	if (mode == NULL || strcmp(mode, "device") != 0) {
		standin = check_standin_verbs();
		return "127.0.0.1";
	}
	wire_patience_ns *= 5; /* perhaps a soft device in an emulated machine on a busy host */
	/* More than a ring, and well within what a close waits for. */
	suite_large_bytes = PCCL_FLOW_RING_BYTES + PCCL_FLOW_PIECE_BYTES;
	return host != NULL ? host : "127.0.0.1";
}

/* After a group of tests. */
static int nothing_is_left(void **state)
{
	(void)state;
	if (standin != NULL && standin->left() != 0)
		fprintf(stderr, "%ld are left\n", standin->left());
	return standin != NULL && standin->left() != 0;
}

#endif
