/*
 * A TCP relay that cuts its connections at random byte positions: what passes through it arrives whole, or not at all
 * from some byte on. Runs on the loop of the test. Cuts are resets or orderly closes, by chance.
 */
#ifndef PCCL_TESTS_TRANSPORT_CUTTER_H
#define PCCL_TESTS_TRANSPORT_CUTTER_H

#include "lib/check.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/rng.h"
#include "transport/address.h"
#include "transport/loop/loop.h"

#define CUTTER_PAIRS 16
#define CUTTER_BUFFER_BYTES 16384

struct cutter_pair;

struct cutter_side {
	struct cutter_pair *pair;
	struct pccl_watch watch;
	struct cutter_side *other;
	size_t held;	/* bytes read from here, not yet written to the other side */
	size_t written; /* of those */
	uint8_t buffer[CUTTER_BUFFER_BYTES];
};

struct cutter_pair {
	struct cutter *cutter;
	bool used;
	uint64_t budget_bytes; /* both ways; then it is cut */
	struct cutter_side sides[2];
};

struct cutter {
	struct pccl_loop *loop;
	struct pccl_rng rng;
	struct pccl_watch door;
	struct pccl_address target;
	struct pccl_address address; /* what to dial */
	/* A connection is cut after 1 to this many bytes; 0: never. Both ways share them, and a link gives up when nine
	 * connections in a row move no frame: it must be several times the largest frames of both sides together. */
	uint64_t most_bytes;
	uint32_t cuts;
	struct cutter_pair pairs[CUTTER_PAIRS];
};

static inline void cutter_cut(struct cutter_pair *pair)
{
	struct linger reset = {1, 0};
	bool hard = pccl_rng_chance(&pair->cutter->rng, 1, 2);
	int i;

	for (i = 0; i < 2; i++) {
		pccl_loop_unwatch(pair->cutter->loop, &pair->sides[i].watch);
		if (hard)
			setsockopt(pair->sides[i].watch.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		close(pair->sides[i].watch.fd);
	}
	pair->used = false;
	pair->cutter->cuts++;
}

/* False: the pair is cut. */
static inline bool cutter_write(struct cutter_side *side)
{
	while (side->written < side->held) {
		ssize_t count = send(side->other->watch.fd, side->buffer + side->written, side->held - side->written,
				     MSG_NOSIGNAL | MSG_DONTWAIT);

		if (count < 0 && errno == EAGAIN)
			return true;
		if (count <= 0) {
			cutter_cut(side->pair);
			return false;
		}
		side->written += (size_t)count;
	}
	side->held = side->written = 0;
	return true;
}

static inline void cutter_listen_to(struct cutter_side *side)
{
	uint32_t events = (side->held == 0 ? EPOLLIN : 0u) | (side->other->held > 0 ? EPOLLOUT : 0u);

	assert_int_equal(pccl_loop_watch(side->pair->cutter->loop, &side->watch, events), pcclSuccess);
}

static inline void cutter_ready(struct pccl_watch *watch, uint32_t events)
{
	struct cutter_side *side = watch->context;
	struct cutter_pair *pair = side->pair;
	size_t most = CUTTER_BUFFER_BYTES;

	if ((events & EPOLLOUT) != 0 && !cutter_write(side->other))
		return;
	if (side->held == 0 && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) {
		ssize_t count;

		if (pair->cutter->most_bytes != 0 && pair->budget_bytes < most)
			most = (size_t)pair->budget_bytes;
		count = most > 0 ? recv(watch->fd, side->buffer, most, MSG_DONTWAIT) : 0;
		if (count == 0 || (count < 0 && errno != EAGAIN)) {
			cutter_cut(pair);
			return;
		}
		side->held = count > 0 ? (size_t)count : 0;
		pair->budget_bytes -= side->held;
		if (!cutter_write(side))
			return;
	}
	cutter_listen_to(side);
	cutter_listen_to(side->other);
}

static inline void cutter_start(struct cutter *cutter, struct cutter_pair *pair, int fds[2])
{
	int i;

	memset(pair, 0, sizeof(*pair));
	pair->cutter = cutter;
	pair->used = true;
	pair->budget_bytes =
		cutter->most_bytes == 0 ? UINT64_MAX : 1 + pccl_rng_below(&cutter->rng, cutter->most_bytes);
	for (i = 0; i < 2; i++) {
		int one = 1;

		setsockopt(fds[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		pair->sides[i].pair = pair;
		pair->sides[i].other = &pair->sides[1 - i];
		pair->sides[i].watch.fd = fds[i];
		pair->sides[i].watch.ready = cutter_ready;
		pair->sides[i].watch.context = &pair->sides[i];
	}
	cutter_listen_to(&pair->sides[0]);
	cutter_listen_to(&pair->sides[1]);
}

static inline void cutter_accept(struct pccl_watch *watch, uint32_t events)
{
	struct cutter *cutter = watch->context;
	int fds[2];
	int i;

	(void)events;
	fds[0] = accept(watch->fd, NULL, NULL);
	fds[1] = socket(cutter->target.storage.ss_family, SOCK_STREAM, 0);
	assert_true(fds[0] >= 0 && fds[1] >= 0);
	if (connect(fds[1], (struct sockaddr *)&cutter->target.storage, cutter->target.bytes) != 0) {
		close(fds[0]);
		close(fds[1]);
		return;
	}
	for (i = 0; i < CUTTER_PAIRS; i++)
		if (!cutter->pairs[i].used)
			break;
	assert_true(i < CUTTER_PAIRS);
	cutter_start(cutter, &cutter->pairs[i], fds);
}

static inline void cutter_open(struct cutter *cutter, struct pccl_loop *loop, const struct pccl_address *target,
			       uint64_t seed)
{
	memset(cutter, 0, sizeof(*cutter));
	cutter->loop = loop;
	cutter->target = *target;
	pccl_rng_seed(&cutter->rng, seed);
	assert_int_equal(pccl_address_numeric("127.0.0.1", 0, &cutter->address), pcclSuccess);
	cutter->door.fd = socket(AF_INET, SOCK_STREAM, 0);
	cutter->door.ready = cutter_accept;
	cutter->door.context = cutter;
	assert_int_equal(bind(cutter->door.fd, (struct sockaddr *)&cutter->address.storage, cutter->address.bytes), 0);
	assert_int_equal(listen(cutter->door.fd, 64), 0);
	assert_int_equal(
		getsockname(cutter->door.fd, (struct sockaddr *)&cutter->address.storage, &cutter->address.bytes), 0);
	assert_int_equal(pccl_loop_watch(loop, &cutter->door, EPOLLIN), pcclSuccess);
}

/* Cuts every connection now. */
static inline void cutter_cut_all(struct cutter *cutter)
{
	int i;

	for (i = 0; i < CUTTER_PAIRS; i++)
		if (cutter->pairs[i].used)
			cutter_cut(&cutter->pairs[i]);
}

/* Forgets every connection without a word: nothing passes any more, and neither side hears of it. */
static inline void cutter_forget_all(struct cutter *cutter)
{
	int i, j;

	for (i = 0; i < CUTTER_PAIRS; i++)
		for (j = 0; cutter->pairs[i].used && j < 2; j++)
			pccl_loop_unwatch(cutter->loop, &cutter->pairs[i].sides[j].watch);
}

static inline void cutter_close(struct cutter *cutter)
{
	cutter_cut_all(cutter);
	pccl_loop_unwatch(cutter->loop, &cutter->door);
	close(cutter->door.fd);
}

#endif
