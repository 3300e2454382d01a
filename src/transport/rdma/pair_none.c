/* In place of pair.c and survey.c in a library that is built without verbs: there are no pairs, and no devices. */
#include "transport/rdma/pair.h"

#include "base/fail.h"
#include "transport/rdma/survey.h"

#define CAUSE "this library is built without RDMA"

pcclResult_t pccl_survey(void (*tell)(void *context, const struct pccl_survey_port *port), void *context)
{
	(void)tell;
	(void)context;
	return pccl_fail(pcclSystemError, CAUSE);
}

uint32_t pccl_pair_rails(void)
{
	return 1;
}

pcclResult_t pccl_pair_create(const struct pccl_address *local, uint32_t rail, const struct pccl_networks *trusted,
			      struct pccl_pair **pair_out)
{
	(void)local;
	(void)rail;
	(void)trusted;
	*pair_out = NULL;
	return pccl_fail(pcclSystemError, CAUSE);
}

void pccl_pair_destroy(struct pccl_pair *pair)
{
	(void)pair;
}

const char *pccl_pair_device(const struct pccl_pair *pair)
{
	(void)pair;
	return "";
}

void pccl_pair_describe(const struct pccl_pair *pair, char out[PCCL_PAIR_DESCRIBE_BYTES])
{
	(void)pair;
	out[0] = '\0';
}

void pccl_pair_tell(const struct pccl_pair *pair, struct pccl_terms_end *end_out)
{
	(void)pair;
	(void)end_out;
}

pcclResult_t pccl_pair_join(struct pccl_pair *pair, const struct pccl_terms_end *other,
			    const struct pccl_address *remote)
{
	(void)pair;
	(void)other;
	(void)remote;
	return pcclSystemError;
}

int pccl_pair_bell(const struct pccl_pair *pair)
{
	(void)pair;
	return -1;
}

void pccl_pair_hear_bell(struct pccl_pair *pair)
{
	(void)pair;
}

uint8_t *pccl_pair_out(const struct pccl_pair *pair)
{
	(void)pair;
	return NULL;
}

const uint8_t *pccl_pair_in(const struct pccl_pair *pair)
{
	(void)pair;
	return NULL;
}

uint32_t pccl_pair_sends_left(const struct pccl_pair *pair)
{
	(void)pair;
	return 0;
}

bool pccl_pair_send(struct pccl_pair *pair, size_t at, size_t bytes, uint32_t said)
{
	(void)pair;
	(void)at;
	(void)bytes;
	(void)said;
	return false;
}

int pccl_pair_hear(struct pccl_pair *pair, uint32_t *said_out, int most)
{
	(void)pair;
	(void)said_out;
	(void)most;
	return -1;
}

bool pccl_pair_note_sent(struct pccl_pair *pair)
{
	(void)pair;
	return false;
}

uint64_t pccl_pair_acked(const struct pccl_pair *pair)
{
	(void)pair;
	return 0;
}

bool pccl_pair_all_acked(const struct pccl_pair *pair)
{
	(void)pair;
	return true;
}

uint64_t pccl_pair_acked_ns(const struct pccl_pair *pair)
{
	(void)pair;
	return 0;
}

uint64_t pccl_pair_waits_since_ns(const struct pccl_pair *pair)
{
	(void)pair;
	return 0;
}

bool pccl_pair_arm(struct pccl_pair *pair, bool sends)
{
	(void)pair;
	(void)sends;
	return false;
}

const char *pccl_pair_failure(const struct pccl_pair *pair)
{
	(void)pair;
	return "";
}
