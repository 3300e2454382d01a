/* See verbs.h. */
#include "standin/verbs.h"

#include <arpa/inet.h>
#include <errno.h>
#include <infiniband/verbs.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define PAIRS 4096
#define REGIONS 8192
#define EVENTS 64
#define GIDS 3

#undef ibv_reg_mr
#undef ibv_query_port

struct queue {
	struct ibv_cq base;
	struct ibv_wc *done;
	int capacity;
	int first;
	int count;
	bool armed;
};

struct channel {
	struct ibv_comp_channel base;
	struct queue *rung[EVENTS];
	int count;
};

struct send {
	struct send *next;
	struct ibv_send_wr request;
	struct ibv_sge place;
};

struct pair {
	struct ibv_qp base;
	struct queue *sent;
	struct queue *heard;
	uint32_t far;
	uint32_t receives;
	uint32_t receives_max;
	uint32_t sends; /* posted and not completed */
	uint32_t sends_max;
	struct send *first; /* not carried yet */
	struct send **last;
};

struct region {
	struct ibv_mr base;
	int access;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t work = PTHREAD_COND_INITIALIZER;
static struct pair *pairs[PAIRS];
static struct region *regions[REGIONS];
static bool rules[STANDIN_RULES], has_failed;
static void (*watcher)(void *context);
static void *watcher_context;
static long to_fail, left, carried;
static struct ibv_device devices[] = {{.name = "standin0"}, {.name = "standin1"}};

static void die(const char *what)
{
	fprintf(stderr, "stand-in for verbs: %s\n", what);
	abort();
}

/* Under the lock: something is to be made. */
static bool may_make(void)
{
	if (to_fail > 0 && --to_fail == 0) {
		has_failed = true;
		errno = ENOMEM;
		return false;
	}
	left++;
	return true;
}

static void *make(size_t bytes)
{
	void *made = NULL;

	pthread_mutex_lock(&lock);
	if (may_make())
		made = calloc(1, bytes);
	pthread_mutex_unlock(&lock);
	return made;
}

static int end(void *made)
{
	pthread_mutex_lock(&lock);
	left--;
	pthread_mutex_unlock(&lock);
	free(made);
	return 0;
}

/* ---- completions --------------------------------------------------------------------------------------------- */

static void complete(struct queue *queue, const struct ibv_wc *done)
{
	struct channel *channel = (struct channel *)queue->base.channel;
	uint64_t one = 1;

	if (queue->count == queue->capacity)
		die("a completion queue overflows");
	queue->done[(queue->first + queue->count++) % queue->capacity] = *done;
	if (!queue->armed)
		return;
	queue->armed = false;
	channel->rung[channel->count++] = queue;
	if (write(channel->base.fd, &one, sizeof(one)) != sizeof(one))
		die("no event can be told");
}

/* A sender knows of room by its completions only. */
static int poll_cq(struct ibv_cq *base, int most, struct ibv_wc *done)
{
	struct queue *queue = (struct queue *)base;
	int count = 0, i;

	pthread_mutex_lock(&lock);
	for (; count < most && queue->count > 0; count++, queue->count--) {
		done[count] = queue->done[queue->first];
		queue->first = (queue->first + 1) % queue->capacity;
	}
	for (i = 0; i < PAIRS; i++)
		if (pairs[i] != NULL && pairs[i]->sent == queue)
			pairs[i]->sends -= (uint32_t)count;
	pthread_mutex_unlock(&lock);
	if (count == 0 && watcher != NULL)
		watcher(watcher_context);
	return count;
}

static int req_notify_cq(struct ibv_cq *base, int solicited_only)
{
	(void)solicited_only;
	pthread_mutex_lock(&lock);
	((struct queue *)base)->armed = true;
	pthread_mutex_unlock(&lock);
	return 0;
}

EXPORT int ibv_get_cq_event(struct ibv_comp_channel *base, struct ibv_cq **queue_out, void **user_out)
{
	struct channel *channel = (struct channel *)base;
	uint64_t one;

	if (read(base->fd, &one, sizeof(one)) != sizeof(one))
		return -1;
	pthread_mutex_lock(&lock);
	*queue_out = &channel->rung[0]->base;
	*user_out = channel->rung[0]->base.cq_context;
	memmove(channel->rung, channel->rung + 1, (size_t)--channel->count * sizeof(*channel->rung));
	pthread_mutex_unlock(&lock);
	return 0;
}

EXPORT void ibv_ack_cq_events(struct ibv_cq *queue, unsigned int count)
{
	(void)queue;
	(void)count;
}

/* ---- the carrier --------------------------------------------------------------------------------------------- */

static void flush(struct pair *pair)
{
	struct ibv_wc done = {.status = IBV_WC_WR_FLUSH_ERR, .qp_num = pair->base.qp_num};

	pair->base.state = IBV_QPS_ERR;
	for (; pair->receives > 0; pair->receives--)
		complete(pair->heard, &done);
	while (pair->first != NULL) {
		struct send *send = pair->first;

		done.wr_id = send->request.wr_id;
		pair->first = send->next;
		complete(pair->sent, &done);
		free(send);
	}
	pair->last = &pair->first;
}

/* Where another side may write, or NULL. */
static void *find(uint32_t key, uint64_t address, size_t bytes)
{
	struct region *region = key < REGIONS ? regions[key] : NULL;
	uint64_t begin = region != NULL ? (uintptr_t)region->base.addr : 0;

	if (region == NULL || (region->access & IBV_ACCESS_REMOTE_WRITE) == 0 || address < begin ||
	    address - begin > region->base.length || bytes > region->base.length - (address - begin))
		return NULL;
	return (uint8_t *)region->base.addr + (address - begin);
}

static enum ibv_wc_status carry(struct pair *pair, const struct send *send)
{
	struct pair *far = pair->far < PAIRS ? pairs[pair->far] : NULL;
	struct ibv_wc heard = {.opcode = IBV_WC_RECV,
			       .wc_flags = IBV_WC_WITH_IMM,
			       .imm_data = send->request.imm_data,
			       .byte_len = send->place.length};
	void *to;

	if (rules[STANDIN_CUT] || (rules[STANDIN_NARROW] && send->place.length > 1500) || far == NULL ||
	    far->base.context->device != pair->base.context->device || far->far != pair->base.qp_num ||
	    (far->base.state != IBV_QPS_RTR && far->base.state != IBV_QPS_RTS))
		return IBV_WC_RETRY_EXC_ERR;
	if (far->receives == 0)
		return IBV_WC_RNR_RETRY_EXC_ERR;
	if (send->request.opcode == IBV_WR_RDMA_WRITE_WITH_IMM) {
		heard.opcode = IBV_WC_RECV_RDMA_WITH_IMM;
		to = find(send->request.wr.rdma.rkey, send->request.wr.rdma.remote_addr, send->place.length);
		if (to == NULL)
			return IBV_WC_REM_ACCESS_ERR;
		memcpy(to, (const void *)(uintptr_t)send->place.addr, send->place.length);
	}
	far->receives--;
	complete(far->heard, &heard);
	carried++;
	return IBV_WC_SUCCESS;
}

static void carry_first(struct pair *pair)
{
	struct send *send = pair->first;
	struct ibv_wc done = {.wr_id = send->request.wr_id, .status = carry(pair, send)};

	pair->first = send->next;
	if (pair->first == NULL)
		pair->last = &pair->first;
	complete(pair->sent, &done);
	free(send);
	if (done.status != IBV_WC_SUCCESS)
		flush(pair);
}

/* One message of each pair in turn. */
static void *carrier(void *nothing)
{
	(void)nothing;
	pthread_mutex_lock(&lock);
	for (;;) {
		bool any = false;
		int i;

		for (i = 0; i < PAIRS; i++)
			if (pairs[i] != NULL && pairs[i]->first != NULL && !rules[STANDIN_HELD]) {
				carry_first(pairs[i]);
				any = true;
			}
		if (!any)
			pthread_cond_wait(&work, &lock);
	}
	return NULL;
}

static int post_send(struct ibv_qp *base, struct ibv_send_wr *request, struct ibv_send_wr **bad)
{
	struct pair *pair = (struct pair *)base;
	struct send *send = calloc(1, sizeof(*send));

	*bad = request;
	if (send == NULL)
		return ENOMEM;
	send->request = *request;
	if (request->num_sge > 0)
		send->place = request->sg_list[0];
	pthread_mutex_lock(&lock);
	if ((pair->base.state != IBV_QPS_ERR && pair->base.state != IBV_QPS_RTS) || pair->sends == pair->sends_max)
		die("a send to a pair that takes none");
	pair->sends++;
	*pair->last = send;
	pair->last = &send->next;
	if (pair->base.state == IBV_QPS_ERR)
		flush(pair);
	pthread_cond_signal(&work);
	pthread_mutex_unlock(&lock);
	return 0;
}

static int post_recv(struct ibv_qp *base, struct ibv_recv_wr *request, struct ibv_recv_wr **bad)
{
	struct pair *pair = (struct pair *)base;
	bool posts = !rules[STANDIN_NO_RECEIVES];

	*bad = request;
	pthread_mutex_lock(&lock);
	if (posts && pair->receives == pair->receives_max)
		die("more receives than there is room for");
	pair->receives += posts;
	if (pair->base.state == IBV_QPS_ERR)
		flush(pair);
	pthread_mutex_unlock(&lock);
	return posts ? 0 : ENOMEM;
}

/* ---- things that are made ------------------------------------------------------------------------------------ */

EXPORT int ibv_fork_init(void)
{
	return 0;
}

EXPORT struct ibv_device **ibv_get_device_list(int *count)
{
	struct ibv_device **list = calloc(3, sizeof(*list));

	list[0] = &devices[0];
	list[1] = &devices[1];
	*count = 2;
	return list;
}

EXPORT void ibv_free_device_list(struct ibv_device **list)
{
	free(list);
}

EXPORT const char *ibv_get_device_name(struct ibv_device *named)
{
	return named->name;
}

EXPORT struct ibv_context *ibv_open_device(struct ibv_device *opened)
{
	static pthread_t thread;
	static bool started;
	struct ibv_context *context = make(sizeof(*context));

	pthread_mutex_lock(&lock);
	if (!started && pthread_create(&thread, NULL, carrier, NULL) != 0)
		die("no thread");
	started = true;
	pthread_mutex_unlock(&lock);
	if (context == NULL)
		return NULL;
	context->device = opened;
	context->cmd_fd = eventfd(0, EFD_CLOEXEC);
	context->async_fd = eventfd(0, EFD_CLOEXEC);
	context->ops.poll_cq = poll_cq;
	context->ops.req_notify_cq = req_notify_cq;
	context->ops.post_send = post_send;
	context->ops.post_recv = post_recv;
	return context;
}

EXPORT int ibv_close_device(struct ibv_context *context)
{
	close(context->cmd_fd);
	close(context->async_fd);
	return end(context);
}

EXPORT int ibv_query_device(struct ibv_context *context, struct ibv_device_attr *attributes)
{
	(void)context;
	memset(attributes, 0, sizeof(*attributes));
	attributes->phys_port_cnt = 1;
	return 0;
}

EXPORT int ibv_query_port(struct ibv_context *context, uint8_t number, struct _compat_ibv_port_attr *attributes)
{
	struct ibv_port_attr *port = (struct ibv_port_attr *)attributes;

	(void)context;
	if (number != 1)
		return EINVAL;
	port->state = IBV_PORT_ACTIVE;
	port->active_mtu = IBV_MTU_4096;
	port->gid_tbl_len = GIDS;
	port->link_layer = rules[STANDIN_NO_ADDRESS] ? IBV_LINK_LAYER_INFINIBAND : IBV_LINK_LAYER_ETHERNET;
	return 0;
}

EXPORT int _ibv_query_gid_ex(struct ibv_context *context, uint32_t port, uint32_t index, struct ibv_gid_entry *entry,
			     uint32_t flags, size_t entry_bytes)
{
	static const uint8_t gids[GIDS][16] = {
		{0xfe, 0x80, [15] = 1}, {[10] = 0xff, 0xff, 127, 0, 0, 1}, {[10] = 0xff, 0xff, 127, 0, 0, 1}};

	if (port != 1 || index >= GIDS || flags != 0 || entry_bytes != sizeof(*entry) ||
	    (rules[STANDIN_NO_ADDRESS] && index > 0))
		return ENODATA;
	memcpy(entry->gid.raw, gids[index], 16);
	entry->gid.raw[15] += context->device == &devices[1];
	entry->gid_index = index;
	entry->port_num = 1;
	entry->gid_type = index == 1 ? IBV_GID_TYPE_ROCE_V1 : IBV_GID_TYPE_ROCE_V2;
	return 0;
}

EXPORT struct ibv_pd *ibv_alloc_pd(struct ibv_context *context)
{
	struct ibv_pd *domain = make(sizeof(*domain));

	if (domain != NULL)
		domain->context = context;
	return domain;
}

EXPORT int ibv_dealloc_pd(struct ibv_pd *domain)
{
	return end(domain);
}

EXPORT struct ibv_mr *ibv_reg_mr(struct ibv_pd *domain, void *memory, size_t bytes, int access)
{
	struct region *region = make(sizeof(*region));
	uint32_t key;

	if (region == NULL)
		return NULL;
	region->base = (struct ibv_mr){.context = domain->context, .pd = domain, .addr = memory, .length = bytes};
	region->access = access;
	pthread_mutex_lock(&lock);
	for (key = 1; key < REGIONS && regions[key] != NULL; key++)
		;
	if (key == REGIONS)
		die("too many regions");
	region->base.lkey = region->base.rkey = key;
	regions[key] = region;
	pthread_mutex_unlock(&lock);
	return &region->base;
}

EXPORT int ibv_dereg_mr(struct ibv_mr *region)
{
	pthread_mutex_lock(&lock);
	regions[region->rkey] = NULL;
	pthread_mutex_unlock(&lock);
	return end(region);
}

EXPORT struct ibv_comp_channel *ibv_create_comp_channel(struct ibv_context *context)
{
	struct channel *channel = make(sizeof(*channel));

	if (channel == NULL)
		return NULL;
	channel->base.context = context;
	channel->base.fd = eventfd(0, EFD_CLOEXEC | EFD_SEMAPHORE);
	return &channel->base;
}

EXPORT int ibv_destroy_comp_channel(struct ibv_comp_channel *channel)
{
	close(channel->fd);
	return end(channel);
}

EXPORT struct ibv_cq *ibv_create_cq(struct ibv_context *context, int entries, void *user,
				    struct ibv_comp_channel *channel, int vector)
{
	struct queue *queue = make(sizeof(*queue));

	(void)vector;
	if (queue == NULL)
		return NULL;
	queue->base = (struct ibv_cq){.context = context, .channel = channel, .cq_context = user, .cqe = entries};
	queue->capacity = entries;
	queue->done = calloc((size_t)entries, sizeof(*queue->done));
	return &queue->base;
}

EXPORT int ibv_destroy_cq(struct ibv_cq *queue)
{
	free(((struct queue *)queue)->done);
	return end(queue);
}

EXPORT struct ibv_qp *ibv_create_qp(struct ibv_pd *domain, struct ibv_qp_init_attr *attributes)
{
	struct pair *pair = make(sizeof(*pair));
	uint32_t number;

	if (pair == NULL)
		return NULL;
	pair->base = (struct ibv_qp){.context = domain->context, .pd = domain, .state = IBV_QPS_RESET};
	pair->sent = (struct queue *)attributes->send_cq;
	pair->heard = (struct queue *)attributes->recv_cq;
	pair->sends_max = attributes->cap.max_send_wr;
	pair->receives_max = attributes->cap.max_recv_wr;
	pair->last = &pair->first;
	pthread_mutex_lock(&lock);
	for (number = 2; number < PAIRS && pairs[number] != NULL; number++)
		;
	if (number == PAIRS)
		die("too many pairs");
	pair->base.qp_num = number;
	pairs[number] = pair;
	pthread_mutex_unlock(&lock);
	return &pair->base;
}

EXPORT int ibv_modify_qp(struct ibv_qp *base, struct ibv_qp_attr *attributes, int mask)
{
	struct pair *pair = (struct pair *)base;
	int result = (mask & IBV_QP_STATE) == 0 ? EINVAL : 0;

	pthread_mutex_lock(&lock);
	if (attributes->qp_state == IBV_QPS_RTR) {
		pair->far = attributes->dest_qp_num;
		/* The first version of RoCE, where there is the second, or another host. */
		if (attributes->ah_attr.grh.sgid_index != 2 || attributes->ah_attr.grh.dgid.raw[12] != 127)
			result = EINVAL;
	}
	if (result == 0)
		pair->base.state = attributes->qp_state;
	pthread_mutex_unlock(&lock);
	return result;
}

EXPORT int ibv_destroy_qp(struct ibv_qp *base)
{
	struct pair *pair = (struct pair *)base;

	pthread_mutex_lock(&lock);
	pairs[base->qp_num] = NULL;
	while (pair->first != NULL) {
		struct send *send = pair->first;

		pair->first = send->next;
		free(send);
	}
	pthread_mutex_unlock(&lock);
	return end(pair);
}

EXPORT const char *ibv_wc_status_str(enum ibv_wc_status status)
{
	return status == IBV_WC_RETRY_EXC_ERR ? "transport retry counter exceeded" : "failed";
}

/* ---- the test's side ----------------------------------------------------------------------------------------- */

static void set_rule(enum standin_rule rule, bool holds)
{
	pthread_mutex_lock(&lock);
	rules[rule] = holds;
	pthread_cond_signal(&work);
	pthread_mutex_unlock(&lock);
}

static void watch(void (*empty)(void *context), void *context)
{
	watcher = empty;
	watcher_context = context;
}

static void fail_at(long nth)
{
	pthread_mutex_lock(&lock);
	to_fail = nth;
	has_failed = false;
	pthread_mutex_unlock(&lock);
}

static long look_at(const long *number)
{
	long value;

	pthread_mutex_lock(&lock);
	value = *number;
	pthread_mutex_unlock(&lock);
	return value;
}

static long count_left(void)
{
	return look_at(&left);
}

static long count_carried(void)
{
	return look_at(&carried);
}

EXPORT extern const struct standin_verbs pccl_standin_verbs;
const struct standin_verbs pccl_standin_verbs = {.rule = set_rule,
						 .fail_at = fail_at,
						 .failed = &has_failed,
						 .left = count_left,
						 .watch = watch,
						 .carried = count_carried};
