/* Packets wait in one line per receiver: what a link is given first it delivers first, so no line needs sorting. */
#include "middle.h"

#include "../local.h"
#include "lab.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PACKET_BYTES 2048
#define SECOND_NS UINT64_C(1000000000)
#define PATIENCE_NS (SECOND_NS / 10)

struct packet {
	struct packet *next;
	uint64_t due_ns;
	size_t bytes;
	uint8_t data[PACKET_BYTES];
};

struct node {
	int device;		 /* -1: none yet */
	uint64_t up_ns, down_ns; /* when either way of its link is free */
	struct packet *first, **last;
};

struct middle {
	double ns_per_byte;
	uint64_t delay_ns, patience_ns;
	double loss;
	struct node nodes[LAB_NODES_MAX];
	struct packet *spare;
};

bool middle_tell(int control, unsigned node, int device)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} space;
	struct iovec part = {&node, sizeof(node)};
	struct msghdr message;
	struct cmsghdr *header;

	memset(&space, 0, sizeof(space));
	memset(&message, 0, sizeof(message));
	message.msg_iov = &part;
	message.msg_iovlen = 1;
	message.msg_control = space.room;
	message.msg_controllen = sizeof(space.room);
	header = CMSG_FIRSTHDR(&message);
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &device, sizeof(device));
	return sendmsg(control, &message, 0) == (ssize_t)sizeof(node);
}

static void take_device(struct middle *middle, int control)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} space;
	unsigned node = LAB_NODES_MAX;
	struct iovec part = {&node, sizeof(node)};
	struct msghdr message;
	struct cmsghdr *header;
	int device;

	memset(&message, 0, sizeof(message));
	message.msg_iov = &part;
	message.msg_iovlen = 1;
	message.msg_control = space.room;
	message.msg_controllen = sizeof(space.room);
	if (recvmsg(control, &message, MSG_CMSG_CLOEXEC) != (ssize_t)sizeof(node))
		return;
	header = CMSG_FIRSTHDR(&message);
	if (header == NULL || header->cmsg_type != SCM_RIGHTS)
		return;
	memcpy(&device, CMSG_DATA(header), sizeof(device));
	if (node >= LAB_NODES_MAX) {
		close(device);
		return;
	}
	if (middle->nodes[node].device >= 0)
		close(middle->nodes[node].device);
	middle->nodes[node].device = device;
}

static uint64_t later(uint64_t left, uint64_t right)
{
	return left > right ? left : right;
}

/* Up the sender's link, the way, down the receiver's. False: it is lost. */
static bool line_up(struct middle *middle, struct node *from, struct packet *packet)
{
	const uint8_t *to = packet->data + 16;
	const uint64_t now = bench_now_ns(), takes_ns = (uint64_t)(middle->ns_per_byte * (double)packet->bytes);
	struct node *node;
	uint64_t there_ns;

	if (packet->bytes < 20 || packet->data[0] >> 4 != 4 || to[0] != 10 || to[1] != 77 || to[3] == 0 ||
	    to[3] > LAB_NODES_MAX)
		return false;
	node = &middle->nodes[to[3] - 1];
	if (node->device < 0 || from->up_ns > now + middle->patience_ns)
		return false;
	from->up_ns = later(from->up_ns, now) + takes_ns;
	if (drand48() < middle->loss)
		return false;
	there_ns = from->up_ns + middle->delay_ns;
	if (node->down_ns > there_ns + middle->patience_ns)
		return false;
	/* A link that is free has carried the packet's beginning while its end was still under way. */
	node->down_ns = later(node->down_ns + takes_ns, there_ns);
	packet->due_ns = node->down_ns;
	packet->next = NULL;
	*node->last = packet;
	node->last = &packet->next;
	return true;
}

static void collect(struct middle *middle, struct node *from)
{
	for (;;) {
		struct packet *packet = middle->spare != NULL ? middle->spare : malloc(sizeof(*packet));
		ssize_t got;

		if (packet == NULL)
			return;
		if (packet == middle->spare)
			middle->spare = packet->next;
		got = read(from->device, packet->data, sizeof(packet->data));
		packet->bytes = got > 0 ? (size_t)got : 0;
		if (got > 0 && line_up(middle, from, packet))
			continue;
		packet->next = middle->spare;
		middle->spare = packet;
		if (got <= 0)
			return;
	}
}

/* Delivers what is due; returns when the next one is. */
static uint64_t deliver(struct middle *middle)
{
	const uint64_t now = bench_now_ns();
	uint64_t next_ns = UINT64_MAX;
	unsigned i;

	for (i = 0; i < LAB_NODES_MAX; i++) {
		struct node *node = &middle->nodes[i];

		while (node->first != NULL && node->first->due_ns <= now) {
			struct packet *packet = node->first;
			/* A device that is full, or gone, loses it, as a network would. */
			ssize_t sent = write(node->device, packet->data, packet->bytes);

			(void)sent;
			node->first = packet->next;
			if (node->first == NULL)
				node->last = &node->first;
			packet->next = middle->spare;
			middle->spare = packet;
		}
		if (node->first != NULL && node->first->due_ns < next_ns)
			next_ns = node->first->due_ns;
	}
	return next_ns;
}

int middle_run(int control, double rate, uint64_t delay_ns, double loss)
{
	static struct middle middle;
	struct pollfd waits[LAB_NODES_MAX + 1];
	unsigned i;

	(void)prctl(PR_SET_TIMERSLACK, 1000);
	middle.ns_per_byte = 8e9 / rate;
	middle.delay_ns = delay_ns;
	middle.loss = loss;
	middle.patience_ns = later(PATIENCE_NS, 2 * delay_ns);
	for (i = 0; i < LAB_NODES_MAX; i++) {
		middle.nodes[i].device = -1;
		middle.nodes[i].last = &middle.nodes[i].first;
	}
	for (;;) {
		const uint64_t next_ns = deliver(&middle), now = bench_now_ns();
		const uint64_t wait_ns = next_ns > now ? next_ns - now : 0;
		const struct timespec wait = {(time_t)(wait_ns / SECOND_NS), (long)(wait_ns % SECOND_NS)};

		for (i = 0; i < LAB_NODES_MAX; i++) {
			const struct pollfd item = {middle.nodes[i].device, POLLIN, 0};

			waits[i] = item;
		}
		waits[LAB_NODES_MAX].fd = control;
		waits[LAB_NODES_MAX].events = POLLIN;
		if (ppoll(waits, LAB_NODES_MAX + 1, next_ns == UINT64_MAX ? NULL : &wait, NULL) <= 0)
			continue;
		for (i = 0; i < LAB_NODES_MAX; i++)
			if ((waits[i].revents & POLLIN) != 0)
				collect(&middle, &middle.nodes[i]);
		if ((waits[LAB_NODES_MAX].revents & POLLIN) != 0)
			take_device(&middle, control);
	}
}
