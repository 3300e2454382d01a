/*
 * The roof: two plain TCP sockets per pair of peers, one for each direction, and nothing else: no framing, no checks,
 * no commit, no faults.
 *
 *	--mode exchange	moves the bytes of an all-reduce both ways at once, drops them and adds nothing
 *	--mode deliver	moves them to where they belong in a second buffer: what the memory costs
 *	--mode reduce	is a whole all-reduce: everybody sends shard i to peer i, which adds and sends the sum to all
 *
 * One thread per peer, poll(2), non-blocking sockets.
 */
#include "common.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* One neighbour: what goes out is my part of its shard, then the sums of mine; what comes in is the reverse. */
struct link {
	int out_fd;
	int in_fd;
	size_t out_bytes;  /* sent so far, of both phases together */
	size_t in_bytes;   /* received so far */
	size_t held_bytes; /* received into scratch and not added yet: less than one element */
	uint8_t *scratch;
};

struct peer {
	int rank;
	int peers;
	bool reduce;
	size_t chunk_bytes;
	uint8_t *buffer;
	uint8_t *landing; /* of --mode deliver, else NULL */
	size_t bytes;
	struct link links[COMPARE_PEERS_MAX];
};

static size_t shard_begin(const struct peer *peer, int owner)
{
	return peer->bytes / sizeof(float) * (size_t)owner / (size_t)peer->peers * sizeof(float);
}

static size_t shard_bytes(const struct peer *peer, int owner)
{
	return shard_begin(peer, owner + 1) - shard_begin(peer, owner);
}

/* Plain enough for the compiler to vectorise. */
static void add(float *restrict sum, const float *restrict part, size_t count)
{
	for (size_t i = 0; i < count; i++)
		sum[i] += part[i];
}

/* How much of my shard has every contribution, and may be sent on. */
static size_t ready_bytes(const struct peer *peer)
{
	size_t ready = shard_bytes(peer, peer->rank);

	for (int other = 0; other < peer->peers; other++) {
		const struct link *link = &peer->links[other];
		size_t added = link->in_bytes - link->held_bytes;

		if (other != peer->rank && added < ready)
			ready = added;
	}
	return ready;
}

static bool may_continue(ssize_t moved)
{
	if (moved < 0 && errno != EAGAIN && errno != EINTR) {
		perror("raw sockets");
		exit(1);
	}
	return moved > 0;
}

/* Sends at most one chunk; true if bytes moved. */
static bool send_some(const struct peer *peer, int other, struct link *link)
{
	size_t theirs = shard_bytes(peer, other);
	size_t limit, offset, bytes;
	ssize_t moved;

	if (link->out_bytes < theirs) {
		offset = shard_begin(peer, other) + link->out_bytes;
		limit = theirs - link->out_bytes;
	} else {
		size_t sent = link->out_bytes - theirs;

		offset = shard_begin(peer, peer->rank) + sent;
		limit = (peer->reduce ? ready_bytes(peer) : shard_bytes(peer, peer->rank)) - sent;
	}
	bytes = limit < peer->chunk_bytes ? limit : peer->chunk_bytes;
	if (bytes == 0)
		return false;
	moved = send(link->out_fd, peer->buffer + offset, bytes, MSG_NOSIGNAL);
	if (!may_continue(moved))
		return false;
	link->out_bytes += (size_t)moved;
	return true;
}

/* Receives a contribution to my shard into scratch and adds the whole elements of it. */
static bool receive_part(const struct peer *peer, struct link *link)
{
	size_t left = shard_bytes(peer, peer->rank) - link->in_bytes;
	size_t room = peer->chunk_bytes - link->held_bytes;
	size_t done = link->in_bytes - link->held_bytes;
	size_t whole;
	uint8_t *to = link->scratch + link->held_bytes;
	ssize_t moved;

	if (peer->landing != NULL)
		to = peer->landing + shard_begin(peer, peer->rank) + link->in_bytes;
	moved = recv(link->in_fd, to, left < room ? left : room, 0);
	if (!may_continue(moved))
		return false;
	link->in_bytes += (size_t)moved;
	link->held_bytes += (size_t)moved;
	whole = link->held_bytes / sizeof(float) * sizeof(float);
	if (peer->reduce)
		add((float *)(void *)(peer->buffer + shard_begin(peer, peer->rank) + done),
		    (const float *)(const void *)link->scratch, whole / sizeof(float));
	if (peer->landing == NULL)
		memmove(link->scratch, link->scratch + whole, link->held_bytes - whole);
	link->held_bytes -= whole;
	return true;
}

/* Receives the sums of the neighbour's shard where they belong. */
static bool receive_sum(const struct peer *peer, int other, struct link *link)
{
	size_t got = link->in_bytes - shard_bytes(peer, peer->rank);
	size_t left = shard_bytes(peer, other) - got;
	uint8_t *to = link->scratch;
	ssize_t moved;

	if (peer->reduce || peer->landing != NULL)
		to = (peer->reduce ? peer->buffer : peer->landing) + shard_begin(peer, other) + got;
	moved = recv(link->in_fd, to, left < peer->chunk_bytes ? left : peer->chunk_bytes, 0);

	if (!may_continue(moved))
		return false;
	link->in_bytes += (size_t)moved;
	return true;
}

static bool receive_some(const struct peer *peer, int other, struct link *link)
{
	size_t mine = shard_bytes(peer, peer->rank);

	if (link->in_bytes < mine)
		return receive_part(peer, link);
	if (link->in_bytes < mine + shard_bytes(peer, other))
		return receive_sum(peer, other, link);
	return false;
}

/* Sleeps until a socket can take or give what is still to be moved; false when nothing is left. */
static bool wait_for_work(const struct peer *peer)
{
	struct pollfd polls[2 * COMPARE_PEERS_MAX];
	nfds_t count = 0;
	size_t mine = shard_bytes(peer, peer->rank);
	size_t ready = peer->reduce ? ready_bytes(peer) : mine;
	bool unfinished = false;

	for (int other = 0; other < peer->peers; other++) {
		const struct link *link = &peer->links[other];
		size_t theirs = shard_bytes(peer, other);

		if (other == peer->rank)
			continue;
		unfinished = unfinished || link->out_bytes < theirs + mine || link->in_bytes < theirs + mine;
		if (link->out_bytes < theirs + ready)
			polls[count++] = (struct pollfd){link->out_fd, POLLOUT, 0};
		if (link->in_bytes < theirs + mine)
			polls[count++] = (struct pollfd){link->in_fd, POLLIN, 0};
	}
	if (!unfinished)
		return false;
	if (poll(polls, count, -1) < 0 && errno != EINTR) {
		perror("poll");
		exit(1);
	}
	return true;
}

static void all_reduce(struct peer *peer)
{
	for (int other = 0; other < peer->peers; other++) {
		struct link *link = &peer->links[other];

		link->out_bytes = link->in_bytes = link->held_bytes = 0;
	}
	for (;;) {
		bool moved = false;

		for (int step = 1; step < peer->peers; step++) {
			int to = (peer->rank + step) % peer->peers;
			int from = (peer->rank + peer->peers - step) % peer->peers;

			moved = send_some(peer, to, &peer->links[to]) || moved;
			moved = receive_some(peer, from, &peer->links[from]) || moved;
		}
		if (!moved && !wait_for_work(peer))
			return;
	}
}

static int fds[COMPARE_PEERS_MAX][COMPARE_PEERS_MAX][2]; /* [from][to]: sending end, receiving end */

/* One connection over loopback TCP: ends[0] sends, ends[1] receives. */
static bool connect_pair(int listener, int ends[2])
{
	struct sockaddr_in address;
	socklen_t length = sizeof(address);
	int one = 1;

	if (getsockname(listener, (struct sockaddr *)&address, &length) != 0)
		return false;
	ends[0] = socket(AF_INET, SOCK_STREAM, 0);
	if (ends[0] < 0 || connect(ends[0], (struct sockaddr *)&address, length) != 0)
		return false;
	ends[1] = accept(listener, NULL, NULL);
	if (ends[1] < 0)
		return false;
	for (int i = 0; i < 2; i++) {
		setsockopt(ends[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		/* As pccl's own within a host: a roof must not be lowered by a congestion control that paces. */
		setsockopt(ends[i], IPPROTO_TCP, TCP_CONGESTION, "reno", strlen("reno"));
		fcntl(ends[i], F_SETFL, O_NONBLOCK);
	}
	return true;
}

static bool connect_all(int peers)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	bool connected = listener >= 0 && bind(listener, (struct sockaddr *)&address, sizeof(address)) == 0 &&
			 listen(listener, 16) == 0;

	for (int from = 0; connected && from < peers; from++)
		for (int to = 0; connected && to < peers; to++)
			connected = from == to || connect_pair(listener, fds[from][to]);
	if (!connected)
		perror("connect");
	close(listener);
	return connected;
}

static const char *plan_name(const struct peer *peer)
{
	if (peer->reduce)
		return "raw-reduce";
	return peer->landing != NULL ? "raw-deliver" : "raw-exchange";
}

static void measure(struct peer *peer, const struct compare_options *options, struct compare_board *board)
{
	double cpu;

	for (int i = 0; i < options->warmup; i++)
		all_reduce(peer);
	compare_meet(board);
	cpu = compare_cpu();
	for (int i = 0; i < options->iterations; i++) {
		double start;

		compare_meet(board);
		start = compare_now();
		all_reduce(peer);
		compare_note(board, peer->rank, i, compare_now() - start);
	}
	compare_note_cpu(board, peer->rank, compare_cpu() - cpu);
	compare_meet(board);
	if (peer->rank == 0)
		compare_print(board, plan_name(peer), peer->bytes, options->iterations);
	compare_meet(board);
}

/* The sum of ones is the number of peers: a wrong roof would flatter nobody. */
static bool adds_right(struct peer *peer)
{
	float *elements = (float *)(void *)peer->buffer;
	size_t count = peer->bytes / sizeof(float);

	for (size_t i = 0; i < count; i++)
		elements[i] = 1.0f;
	all_reduce(peer);
	for (size_t i = 0; i < count; i++)
		if (elements[i] != (float)peer->peers)
			return false;
	memset(peer->buffer, 0, peer->bytes);
	return true;
}

static int body(int rank, const struct compare_options *options, struct compare_board *board)
{
	struct peer peer = {.rank = rank, .peers = options->peers, .chunk_bytes = options->chunk_bytes};

	peer.reduce = strcmp(options->mode, "reduce") == 0;
	for (int other = 0; other < options->peers; other++) {
		peer.links[other].out_fd = fds[rank][other][0];
		peer.links[other].in_fd = fds[other][rank][1];
		peer.links[other].scratch = malloc(options->chunk_bytes);
		if (peer.links[other].scratch == NULL)
			return 1;
	}
	for (int i = 0; i < options->size_count; i++) {
		peer.bytes = options->sizes[i];
		peer.buffer = calloc(1, peer.bytes);
		if (peer.buffer == NULL)
			return 1;
		memset(peer.buffer, 0, peer.bytes);
		if (strcmp(options->mode, "deliver") == 0) {
			peer.landing = malloc(peer.bytes);
			if (peer.landing == NULL)
				return 1;
			memset(peer.landing, 0, peer.bytes);
		}
		if (peer.reduce && !adds_right(&peer)) {
			fprintf(stderr, "raw sockets: the sum is wrong\n");
			return 1;
		}
		measure(&peer, options, board);
		free(peer.buffer);
		free(peer.landing);
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct compare_options options;

	if (!compare_parse(argc, argv, &options))
		return 2;
	if (options.mode[0] == '\0')
		snprintf(options.mode, sizeof(options.mode), "exchange");
	if (strcmp(options.mode, "exchange") != 0 && strcmp(options.mode, "deliver") != 0 &&
	    strcmp(options.mode, "reduce") != 0) {
		fprintf(stderr, "--mode is exchange, deliver or reduce, not '%s'\n", options.mode);
		return 2;
	}
	if (!connect_all(options.peers))
		return 1;
	return compare_fork(&options, body);
}
