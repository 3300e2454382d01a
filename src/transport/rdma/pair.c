#include "transport/rdma/pair.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "base/fail.h"
#include "base/memory.h"
#include "transport/loop/fork.h"
#include "transport/loop/loop.h"
#include "transport/rdma/device.h"
#include "transport/rdma/flow.h"

#define SENDS PCCL_FLOW_RECEIVES
#define BATCH 16 /* completions looked at in one call */
#define HOPS 64
/* 4.096 us times two to this power is waited for an acknowledgement, eight times: two seconds. A path of a quarter of a
 * second is in no need of repeats then. */
#define TIMEOUT 16
#define RETRIES 7
/* Nobody honest sends what no receive is there for: who isn't ready is asked again, a few times. */
#define NOT_READY_RETRIES 6
#define NOT_READY_TIMER 12 /* 0.64 ms */

struct pccl_pair {
	struct pccl_device device;
	struct ibv_pd *domain;
	struct ibv_comp_channel *channel;
	struct ibv_cq *sent;  /* what was sent has been acknowledged */
	struct ibv_cq *heard; /* what has come */
	struct ibv_qp *queues;
	uint8_t *memory; /* this side's ring to write from, then the other side's to write to */
	struct ibv_mr *from;
	struct ibv_mr *to;
	uint32_t first_packet;
	uint64_t far_ring; /* of the other side, once joined */
	uint32_t far_key;
	uint32_t unacked;    /* sends */
	uint64_t unacked_ns; /* when the first one after none was queued */
	uint64_t acked_ns;   /* when the last acknowledgement was seen */
	uint64_t acked_bytes;
	bool sent_armed;
	bool heard_armed;
	char failure[128]; /* "": none */
};

/* ---- making -------------------------------------------------------------------------------------------------- */

static pcclResult_t fail_with(const char *what)
{
	return pccl_fail(pcclSystemError, "RDMA: can't %s: %s%s", what, strerror(errno),
			 errno == ENOMEM ? " (is \"ulimit -l\", memory that may be locked, too low?)" : "");
}

static pcclResult_t make_memory(struct pccl_pair *pair)
{
	const struct pccl_verbs *verbs = pair->device.verbs;
	void *memory = mmap(NULL, 2 * (size_t)PCCL_FLOW_RING_BYTES, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (memory == MAP_FAILED)
		return fail_with("map memory");
	pair->memory = memory;
	(void)madvise(memory, 2 * (size_t)PCCL_FLOW_RING_BYTES, MADV_DONTFORK);
	pair->from = verbs->reg_mr(pair->domain, pair->memory, PCCL_FLOW_RING_BYTES, 0);
	if (pair->from == NULL)
		return fail_with("register memory");
	pair->to = verbs->reg_mr(pair->domain, pair->memory + PCCL_FLOW_RING_BYTES, PCCL_FLOW_RING_BYTES,
				 IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE);
	return pair->to == NULL ? fail_with("register memory") : pcclSuccess;
}

static pcclResult_t make_completions(struct pccl_pair *pair)
{
	const struct pccl_verbs *verbs = pair->device.verbs;

	pair->channel = verbs->create_comp_channel(pair->device.context);
	if (pair->channel == NULL)
		return fail_with("make a channel for completions");
	(void)pccl_fork_own(pair->channel->fd);
	if (fcntl(pair->channel->fd, F_SETFL, O_NONBLOCK) != 0)
		return fail_with("make a channel for completions");
	pair->sent = verbs->create_cq(pair->device.context, (int)SENDS + 1, NULL, pair->channel, 0);
	if (pair->sent == NULL)
		return fail_with("make a queue of completions");
	pair->heard = verbs->create_cq(pair->device.context, (int)PCCL_FLOW_RECEIVES + 1, NULL, pair->channel, 0);
	return pair->heard == NULL ? fail_with("make a queue of completions") : pcclSuccess;
}

static bool post_receive(struct pccl_pair *pair)
{
	struct ibv_recv_wr request = {0};
	struct ibv_recv_wr *bad;

	return ibv_post_recv(pair->queues, &request, &bad) == 0;
}

/* From here on it hears, once it is joined. */
static pcclResult_t make_queues(struct pccl_pair *pair)
{
	struct ibv_qp_init_attr attributes = {
		.send_cq = pair->sent,
		.recv_cq = pair->heard,
		.cap = {.max_send_wr = SENDS, .max_recv_wr = PCCL_FLOW_RECEIVES, .max_send_sge = 1, .max_recv_sge = 1},
		.qp_type = IBV_QPT_RC,
		.sq_sig_all = 1,
	};
	struct ibv_qp_attr begin = {
		.qp_state = IBV_QPS_INIT, .port_num = pair->device.port, .qp_access_flags = IBV_ACCESS_REMOTE_WRITE};
	uint32_t i;

	pair->queues = pair->device.verbs->create_qp(pair->domain, &attributes);
	if (pair->queues == NULL)
		return fail_with("make a pair of queues");
	errno = pair->device.verbs->modify_qp(pair->queues, &begin,
					      IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS);
	if (errno != 0)
		return fail_with("begin with a pair of queues");
	for (i = 0; i < PCCL_FLOW_RECEIVES; i++)
		if (!post_receive(pair))
			return fail_with("post receives");
	return pcclSuccess;
}

static pcclResult_t make_domain(struct pccl_pair *pair)
{
	pair->domain = pair->device.verbs->alloc_pd(pair->device.context);
	if (pair->domain == NULL)
		return fail_with("make a protection domain");
	if (getrandom(&pair->first_packet, sizeof(pair->first_packet), 0) != (ssize_t)sizeof(pair->first_packet))
		return fail_with("get random bytes");
	pair->first_packet &= PCCL_TERMS_NUMBER_MAX;
	return pcclSuccess;
}

uint32_t pccl_pair_rails(void)
{
	return pccl_device_rails();
}

/* Where packets go counts, and not where the connection does: PCCL_RDMA_DEVICE may name another network. */
static pcclResult_t check_trust(const struct pccl_pair *pair, const struct pccl_networks *trusted)
{
	char text[PCCL_NETWORKS_TEXT_BYTES];

	if (trusted == NULL || pccl_networks_have(trusted, pair->device.gid))
		return pcclSuccess;
	pccl_networks_text(pair->device.gid, text);
	return pccl_fail(pcclInvalidUsage, "%s, which is this side's device, is in no network of " PCCL_RDMA_TRUSTED,
			 text);
}

pcclResult_t pccl_pair_create(const struct pccl_address *local, uint32_t rail, const struct pccl_networks *trusted,
			      struct pccl_pair **pair_out)
{
	struct pccl_pair *pair = pccl_zalloc(sizeof(*pair));
	pcclResult_t result;

	*pair_out = NULL;
	if (pair == NULL)
		return pcclOutOfMemory;
	result = pccl_device_open(local, rail, &pair->device);
	if (result == pcclSuccess)
		result = check_trust(pair, trusted);
	if (result == pcclSuccess)
		result = make_domain(pair);
	if (result == pcclSuccess)
		result = make_memory(pair);
	if (result == pcclSuccess)
		result = make_completions(pair);
	if (result == pcclSuccess)
		result = make_queues(pair);
	if (result == pcclSuccess)
		*pair_out = pair;
	else
		pccl_pair_destroy(pair);
	return result;
}

/* The descriptor is the library's to close. */
static void drop_channel(struct pccl_pair *pair)
{
	if (pair->channel == NULL)
		return;
	pccl_fork_disown(pair->channel->fd);
	(void)pair->device.verbs->destroy_comp_channel(pair->channel);
}

void pccl_pair_destroy(struct pccl_pair *pair)
{
	if (pair == NULL)
		return;
	if (pair->queues != NULL)
		(void)pair->device.verbs->destroy_qp(pair->queues);
	if (pair->heard != NULL)
		(void)pair->device.verbs->destroy_cq(pair->heard);
	if (pair->sent != NULL)
		(void)pair->device.verbs->destroy_cq(pair->sent);
	drop_channel(pair);
	if (pair->to != NULL)
		(void)pair->device.verbs->dereg_mr(pair->to);
	if (pair->from != NULL)
		(void)pair->device.verbs->dereg_mr(pair->from);
	if (pair->memory != NULL)
		(void)munmap(pair->memory, 2 * (size_t)PCCL_FLOW_RING_BYTES);
	if (pair->domain != NULL)
		(void)pair->device.verbs->dealloc_pd(pair->domain);
	pccl_device_close(&pair->device);
	pccl_free(pair);
}

/* ---- joining ------------------------------------------------------------------------------------------------- */

const char *pccl_pair_device(const struct pccl_pair *pair)
{
	return pair->device.verbs->get_device_name(pair->device.context->device);
}

void pccl_pair_describe(const struct pccl_pair *pair, char out[PCCL_PAIR_DESCRIBE_BYTES])
{
	const struct pccl_device *device = &pair->device;

	(void)snprintf(out, PCCL_PAIR_DESCRIBE_BYTES, "%s port %u, GID %u, packets of %u bytes", pccl_pair_device(pair),
		       device->port, device->gid_index, 128u << device->mtu);
}

void pccl_pair_tell(const struct pccl_pair *pair, struct pccl_terms_end *end_out)
{
	memset(end_out, 0, sizeof(*end_out));
	memcpy(end_out->gid, pair->device.gid, sizeof(end_out->gid));
	end_out->ring = (uintptr_t)pair->memory + PCCL_FLOW_RING_BYTES;
	end_out->key = pair->to->rkey;
	end_out->ring_bytes = PCCL_FLOW_RING_BYTES;
	end_out->slots = PCCL_FLOW_SLOTS;
	end_out->number = pair->queues->qp_num;
	end_out->first_packet = pair->first_packet;
	end_out->lid = pair->device.lid;
	end_out->mtu = pair->device.mtu;
	end_out->link = pair->device.link;
}

/* Who may name any address could have packets sent there. */
static pcclResult_t check_place(const struct pccl_pair *pair, const struct pccl_terms_end *other,
				const struct pccl_address *remote)
{
	uint8_t gid[PCCL_TERMS_GID_BYTES];

	if (pair->device.chosen || other->link != PCCL_TERMS_ETHERNET)
		return pcclSuccess;
	if (!pccl_device_gid_of(remote, gid) || memcmp(gid, other->gid, sizeof(gid)) != 0)
		return pccl_fail(pcclSystemError, "its device has another address than its connection");
	return pcclSuccess;
}

static int hear_from(struct pccl_pair *pair, const struct pccl_terms_end *other)
{
	uint8_t mtu = other->mtu < pair->device.mtu ? other->mtu : pair->device.mtu;
	struct ibv_qp_attr attributes = {
		.qp_state = IBV_QPS_RTR,
		.path_mtu = (enum ibv_mtu)mtu,
		.dest_qp_num = other->number,
		.rq_psn = other->first_packet,
		.max_dest_rd_atomic = 1,
		.min_rnr_timer = NOT_READY_TIMER,
		.ah_attr = {.dlid = other->lid,
			    .port_num = pair->device.port,
			    .is_global = other->link == PCCL_TERMS_ETHERNET,
			    .grh = {.sgid_index = pair->device.gid_index, .hop_limit = HOPS}},
	};

	memcpy(attributes.ah_attr.grh.dgid.raw, other->gid, sizeof(other->gid));
	return pair->device.verbs->modify_qp(pair->queues, &attributes,
					     IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN |
						     IBV_QP_RQ_PSN | IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER);
}

static int talk(struct pccl_pair *pair)
{
	struct ibv_qp_attr attributes = {.qp_state = IBV_QPS_RTS,
					 .timeout = TIMEOUT,
					 .retry_cnt = RETRIES,
					 .rnr_retry = NOT_READY_RETRIES,
					 .sq_psn = pair->first_packet,
					 .max_rd_atomic = 1};

	return pair->device.verbs->modify_qp(pair->queues, &attributes,
					     IBV_QP_STATE | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY |
						     IBV_QP_SQ_PSN | IBV_QP_MAX_QP_RD_ATOMIC);
}

pcclResult_t pccl_pair_join(struct pccl_pair *pair, const struct pccl_terms_end *other,
			    const struct pccl_address *remote)
{
	struct pccl_terms_end own;
	pcclResult_t result;

	pccl_pair_tell(pair, &own);
	result = pccl_terms_match(&own, other);
	if (result == pcclSuccess)
		result = check_place(pair, other, remote);
	if (result != pcclSuccess)
		return result;
	pair->far_ring = other->ring;
	pair->far_key = other->key;
	errno = hear_from(pair, other);
	if (errno == 0)
		errno = talk(pair);
	return errno == 0 ? pcclSuccess : fail_with("join a pair of queues with the other side's");
}

/* ---- messages ------------------------------------------------------------------------------------------------ */

int pccl_pair_bell(const struct pccl_pair *pair)
{
	return pair->channel->fd;
}

uint8_t *pccl_pair_out(const struct pccl_pair *pair)
{
	return pair->memory;
}

const uint8_t *pccl_pair_in(const struct pccl_pair *pair)
{
	return pair->memory + PCCL_FLOW_RING_BYTES;
}

uint32_t pccl_pair_sends_left(const struct pccl_pair *pair)
{
	return SENDS - pair->unacked;
}

/* The first reason counts: what follows from it is that everything else is flushed. */
static bool fail_pair(struct pccl_pair *pair, const char *what, const char *why)
{
	if (pair->failure[0] == '\0')
		(void)snprintf(pair->failure, sizeof(pair->failure), "RDMA %s: %s", what, why);
	return false;
}

bool pccl_pair_send(struct pccl_pair *pair, size_t at, size_t bytes, uint32_t said)
{
	struct ibv_sge place = {(uintptr_t)pair->memory + at, (uint32_t)bytes, pair->from->lkey};
	struct ibv_send_wr request = {.wr_id = bytes,
				      .sg_list = bytes > 0 ? &place : NULL,
				      .num_sge = bytes > 0 ? 1 : 0,
				      .opcode = bytes > 0 ? IBV_WR_RDMA_WRITE_WITH_IMM : IBV_WR_SEND_WITH_IMM,
				      .imm_data = htonl(said)};
	struct ibv_send_wr *bad;
	int error;

	request.wr.rdma.remote_addr = bytes > 0 ? pair->far_ring + at : 0;
	request.wr.rdma.rkey = pair->far_key;
	error = ibv_post_send(pair->queues, &request, &bad);
	if (error != 0)
		return fail_pair(pair, "sending", strerror(error));
	if (pair->unacked++ == 0)
		pair->unacked_ns = pccl_clock_ns();
	return true;
}

/* Up to BATCH of them. -1: one has failed. */
static int poll(struct pccl_pair *pair, struct ibv_cq *queue, struct ibv_wc *done, int most, const char *what)
{
	int count = ibv_poll_cq(queue, most < BATCH ? most : BATCH, done);
	int i;

	if (count < 0)
		(void)fail_pair(pair, what, "no completions can be had");
	for (i = 0; i < count; i++)
		if (done[i].status != IBV_WC_SUCCESS) {
			(void)fail_pair(pair, what, pair->device.verbs->wc_status_str(done[i].status));
			return i > 0 ? i : -1;
		}
	return count;
}

/* What was not meant so, or tells of bytes that it has not written, is nothing that anybody says. */
static uint32_t said_by(const struct ibv_wc *done)
{
	const uint32_t said = ntohl(done->imm_data);

	if ((done->wc_flags & IBV_WC_WITH_IMM) == 0)
		return 0;
	if (pccl_flow_tells_bytes(said) && (done->opcode != IBV_WC_RECV_RDMA_WITH_IMM || done->byte_len != said))
		return 0;
	return said;
}

int pccl_pair_hear(struct pccl_pair *pair, uint32_t *said_out, int most)
{
	struct ibv_wc done[BATCH];
	int count = poll(pair, pair->heard, done, most, "receiving");
	int i;

	for (i = 0; i < count; i++) {
		said_out[i] = said_by(&done[i]);
		if (!post_receive(pair))
			(void)fail_pair(pair, "receiving", "no more receives can be posted");
	}
	return count;
}

bool pccl_pair_note_sent(struct pccl_pair *pair)
{
	struct ibv_wc done[BATCH];
	int count, i;

	do {
		count = poll(pair, pair->sent, done, BATCH, "sending");
		for (i = 0; i < count; i++) {
			pair->unacked--;
			pair->acked_bytes += done[i].wr_id;
		}
		if (count > 0)
			pair->acked_ns = pccl_clock_ns();
	} while (count == BATCH);
	return pair->failure[0] == '\0';
}

uint64_t pccl_pair_acked(const struct pccl_pair *pair)
{
	return pair->acked_bytes;
}

bool pccl_pair_all_acked(const struct pccl_pair *pair)
{
	return pair->unacked == 0;
}

uint64_t pccl_pair_acked_ns(const struct pccl_pair *pair)
{
	return pair->acked_ns;
}

uint64_t pccl_pair_waits_since_ns(const struct pccl_pair *pair)
{
	if (pair->unacked == 0)
		return 0;
	return pair->acked_ns > pair->unacked_ns ? pair->acked_ns : pair->unacked_ns;
}

void pccl_pair_hear_bell(struct pccl_pair *pair)
{
	struct ibv_cq *queue;
	void *user;

	while (pair->device.verbs->get_cq_event(pair->channel, &queue, &user) == 0) {
		if (queue == pair->heard)
			pair->heard_armed = false;
		else
			pair->sent_armed = false;
		pair->device.verbs->ack_cq_events(queue, 1);
	}
}

bool pccl_pair_arm(struct pccl_pair *pair, bool sends)
{
	if (!pair->heard_armed && ibv_req_notify_cq(pair->heard, 0) != 0)
		return fail_pair(pair, "receiving", "no events can be had");
	pair->heard_armed = true;
	if (!sends)
		return true;
	if (!pair->sent_armed && ibv_req_notify_cq(pair->sent, 0) != 0)
		return fail_pair(pair, "sending", "no events can be had");
	pair->sent_armed = true;
	return true;
}

const char *pccl_pair_failure(const struct pccl_pair *pair)
{
	return pair->failure;
}
