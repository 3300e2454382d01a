/*
 * Bytes through two rings, each written by the other side's device, once both sides have joined; over the connection if
 * not. What comes is told by a message's 32 bits, and room is given back in the same way (flow.h). Who has nothing to
 * do is woken by the completion channel. The connection stays, and carries nothing: its end is the stream's.
 */
#include "transport/rdma/rdma.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fail.h"
#include "base/log.h"
#include "base/memory.h"
#include "transport/loop/loop.h"
#include "transport/rdma/avoid.h"
#include "transport/rdma/rdma_internal.h"
#include "transport/tcp/tcp.h"

#define BATCH 16
/* For notes there is always a send left: so many may be owed at a time. */
#define SENDS_KEPT PCCL_FLOW_NOTES

static void lay_over(struct pccl_rdma_stream *stream, const struct pccl_transport *under)
{
	stream->under = under->bytes;
	stream->under_name = under->name;
}

static pcclResult_t begin_connection(struct pccl_rdma_stream *stream, const struct pccl_transport *self, int fd)
{
	const struct pccl_rdma_wire *wire = (const struct pccl_rdma_wire *)self;

	if (self == &pccl_rdma) {
		lay_over(stream, &pccl_tcp);
		return pcclSuccess;
	}
	lay_over(stream, wire->under);
	stream->trusted = &wire->trusted;
	stream->stage = PCCL_RDMA_IS_SECURED;
	return stream->under->begin(wire->under, fd, stream->dialled, &stream->under_state);
}

static pcclResult_t begin(const struct pccl_transport *self, int fd, bool dialled, void **state_out)
{
	struct pccl_rdma_stream *stream = pccl_zalloc(sizeof(*stream));
	pcclResult_t result;

	*state_out = NULL;
	if (stream == NULL)
		return pcclOutOfMemory;
	stream->turn_fd = -1;
	stream->dialled = dialled;
	stream->stage = dialled ? PCCL_RDMA_OFFERS : PCCL_RDMA_AWAITS_BEGINNING;
	result = begin_connection(stream, self, fd);
	if (result != pcclSuccess)
		pccl_free(stream);
	else
		*state_out = stream;
	return result;
}

static void end(void *state)
{
	struct pccl_rdma_stream *stream = state;

	pccl_rdma_give_up(stream);
	if (stream->under->end != NULL)
		stream->under->end(stream->under_state);
	pccl_free(stream);
}

/* ---- what comes and goes ------------------------------------------------------------------------------------- */

static void fail_stream(struct pccl_rdma_stream *stream, int error, const char *cause)
{
	if (stream->failure == 0)
		pccl_log_info("a connection is given up: %s", cause);
	stream->failure = stream->failure != 0 ? stream->failure : error;
}

/* It may be the way: the next connection is to try another. Who has said that it ends is expected to be gone. */
static void fail_pair(struct pccl_rdma_stream *stream)
{
	if (stream->failure == 0 && !stream->flow.ended)
		pccl_avoid_add(&stream->remote, pccl_clock_ns());
	fail_stream(stream, EIO, pccl_pair_failure(stream->pair));
}

/* Gives room back. */
static void pay(struct pccl_rdma_stream *stream)
{
	uint32_t note;

	if (stream->failure != 0 || !pccl_flow_owes(&stream->flow, &note))
		return;
	if (pccl_pair_sends_left(stream->pair) == 0)
		stream->waits_for_sends = true;
	else if (pccl_pair_send(stream->pair, 0, 0, note))
		pccl_flow_settle(&stream->flow);
	else
		fail_pair(stream);
}

/* Takes in all that has come. A failure shows when all that came before it has been read: what was sent is looked at
 * first, for nothing comes after that has failed. Returns whether anything had come. */
static bool take_in(struct pccl_rdma_stream *stream)
{
	uint32_t said[BATCH];
	bool any = false;
	int count, i;

	if (stream->failure != 0)
		return false;
	(void)pccl_pair_note_sent(stream->pair);
	do {
		count = pccl_pair_hear(stream->pair, said, BATCH);
		for (i = 0; i < count && stream->failure == 0; i++)
			if (!pccl_flow_hear(&stream->flow, said[i]))
				fail_stream(stream, EBADMSG, "what the other side says of its bytes makes no sense");
		any = any || count > 0;
	} while (count == BATCH && stream->failure == 0);
	if (*pccl_pair_failure(stream->pair) != '\0')
		fail_pair(stream);
	if (stream->waits_for_sends && pccl_pair_sends_left(stream->pair) > SENDS_KEPT) {
		stream->waits_for_sends = false;
		any = true;
	}
	pay(stream);
	return any;
}

/* True: nothing has come, and the bell will ring when something does. */
static bool awaits(struct pccl_rdma_stream *stream)
{
	if (stream->failure == 0 && !pccl_pair_arm(stream->pair, stream->waits_for_sends))
		fail_pair(stream);
	return stream->failure == 0 && !take_in(stream) && stream->failure == 0;
}

/* ---- reading ------------------------------------------------------------------------------------------------- */

static size_t take_part(struct pccl_rdma_stream *stream, uint8_t *to, size_t bytes)
{
	size_t done = 0;

	while (done < bytes) {
		size_t at;
		size_t there = pccl_flow_there(&stream->flow, &at);

		there = there < bytes - done ? there : bytes - done;
		if (there == 0)
			break;
		if (to != NULL)
			memcpy(to + done, pccl_pair_in(stream->pair) + at, there);
		pccl_flow_take(&stream->flow, there);
		pay(stream);
		done += there;
	}
	return done;
}

static size_t take_parts(struct pccl_rdma_stream *stream, const struct iovec *parts, size_t part_count)
{
	size_t total = 0;
	size_t i;

	for (i = 0; i < part_count; i++) {
		size_t got = take_part(stream, parts[i].iov_base, parts[i].iov_len);

		total += got;
		if (got < parts[i].iov_len)
			break;
	}
	return total;
}

/* Of the connection: 0: it has ended, so nothing more will come but what is here; -1 and errno, EAGAIN if it lives. */
static ssize_t hear_end(struct pccl_rdma_stream *stream, int fd)
{
	uint8_t byte;
	const ssize_t got = stream->under->peek(stream->under_state, fd, &byte);

	if (got > 0)
		errno = EBADMSG; /* nobody says anything there */
	return got > 0 ? -1 : got;
}

/* Nothing is in the ring: is that for now, or the end? */
static ssize_t read_nothing(struct pccl_rdma_stream *stream, int fd, const struct iovec *parts, size_t part_count,
			    bool *more_out)
{
	bool said = stream->flow.ended;
	ssize_t heard = said ? 0 : hear_end(stream, fd);
	int error = heard < 0 ? errno : 0;
	bool over = heard == 0 || (error != EAGAIN && error != EWOULDBLOCK);
	size_t got;

	if (!over && awaits(stream)) {
		*more_out = false;
		errno = EAGAIN;
		return -1;
	}
	if (over)
		(void)take_in(stream);
	got = take_parts(stream, parts, part_count);
	*more_out = true;
	if (got > 0)
		return (ssize_t)got;
	if (said || stream->flow.ended || (heard == 0 && stream->failure == 0))
		return 0;
	errno = stream->failure != 0 ? stream->failure : error;
	return -1;
}

static ssize_t read_parts(struct pccl_rdma_stream *stream, int fd, const struct iovec *parts, size_t part_count,
			  size_t bytes, bool *more_out)
{
	size_t got;

	(void)take_in(stream);
	got = take_parts(stream, parts, part_count);
	if (got == 0)
		return read_nothing(stream, fd, parts, part_count, more_out);
	*more_out = got == bytes || !awaits(stream);
	return (ssize_t)got;
}

static ssize_t read_bytes(void *state, int fd, struct iovec *parts, size_t part_count, bool *more_out)
{
	struct pccl_rdma_stream *stream = state;

	if (stream->stage != PCCL_RDMA_JOINED)
		return stream->under->read(stream->under_state, fd, parts, part_count, more_out);
	return read_parts(stream, fd, parts, part_count, pccl_engine_parts_bytes(parts, part_count), more_out);
}

static ssize_t discard_bytes(void *state, int fd, size_t bytes, bool *more_out)
{
	struct pccl_rdma_stream *stream = state;
	const struct iovec nowhere = {NULL, bytes};

	if (stream->stage != PCCL_RDMA_JOINED)
		return stream->under->discard(stream->under_state, fd, bytes, more_out);
	return read_parts(stream, fd, &nowhere, 1, bytes, more_out);
}

/* Whatever is not just silence ends it: an error of a protected connection stays, and is never EAGAIN again. */
static bool has_gone(struct pccl_rdma_stream *stream, int fd)
{
	const ssize_t heard = hear_end(stream, fd);

	return heard == 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
}

/* ---- writing ------------------------------------------------------------------------------------------------- */

/* Bytes of the parts, from so many on, to the ring. */
static void copy_parts(uint8_t *to, const struct iovec *parts, size_t skip, size_t bytes)
{
	size_t i;

	for (i = 0; bytes > 0; i++) {
		size_t from = skip < parts[i].iov_len ? skip : parts[i].iov_len;
		size_t here = parts[i].iov_len - from < bytes ? parts[i].iov_len - from : bytes;

		memcpy(to, (const uint8_t *)parts[i].iov_base + from, here);
		skip -= from;
		to += here;
		bytes -= here;
	}
}

static size_t put_parts(struct pccl_rdma_stream *stream, const struct iovec *parts, size_t bytes)
{
	size_t done = 0;

	while (done < bytes && stream->failure == 0) {
		size_t at;
		size_t room = pccl_flow_room(&stream->flow, &at);

		if (room > 0 && pccl_pair_sends_left(stream->pair) <= SENDS_KEPT)
			stream->waits_for_sends = true;
		if (room == 0 || stream->waits_for_sends)
			break;
		room = room < bytes - done ? room : bytes - done;
		copy_parts(pccl_pair_out(stream->pair) + at, parts, done, room);
		if (!pccl_pair_send(stream->pair, at, room, pccl_flow_put(&stream->flow, room))) {
			fail_pair(stream);
			break;
		}
		done += room;
	}
	return done;
}

static ssize_t write_bytes(void *state, int fd, struct iovec *parts, size_t part_count, bool *more_out)
{
	struct pccl_rdma_stream *stream = state;
	size_t bytes = pccl_engine_parts_bytes(parts, part_count);
	size_t put;

	if (stream->stage != PCCL_RDMA_JOINED)
		return stream->under->write(stream->under_state, fd, parts, part_count, more_out);
	(void)take_in(stream);
	do
		put = put_parts(stream, parts, bytes);
	while (put == 0 && stream->failure == 0 && !awaits(stream));
	if (put > 0) {
		*more_out = put == bytes || !awaits(stream);
		return (ssize_t)put;
	}
	if (stream->failure == 0 && has_gone(stream, fd)) {
		(void)take_in(stream); /* last words that came in between, for reading */
		stream->failure = stream->failure != 0 ? stream->failure : EPIPE;
	}
	errno = stream->failure != 0 ? stream->failure : EAGAIN;
	return -1;
}

/* Through the pair, behind all that was written: over the connection it might come before it. */
static bool shut_down(void *state, int fd)
{
	struct pccl_rdma_stream *stream = state;

	if (stream->stage != PCCL_RDMA_JOINED)
		return stream->under->shut_down(stream->under_state, fd);
	(void)take_in(stream);
	if (stream->failure != 0 || stream->end_said)
		return true;
	if (pccl_pair_sends_left(stream->pair) == 0) {
		stream->waits_for_sends = true;
		return !awaits(stream) && stream->failure != 0;
	}
	stream->end_said = true;
	if (!pccl_pair_send(stream->pair, 0, 0, PCCL_FLOW_END))
		fail_pair(stream);
	return true;
}

/* A broken pair brings nothing more. */
static bool is_all_there(struct pccl_rdma_stream *stream)
{
	return stream->stage != PCCL_RDMA_JOINED || !pccl_pair_note_sent(stream->pair) ||
	       pccl_pair_all_acked(stream->pair) || !pccl_pair_arm(stream->pair, true) ||
	       !pccl_pair_note_sent(stream->pair) || pccl_pair_all_acked(stream->pair);
}

/* Asked at the close. What is stuck then is why, and the next connection is to try another way. */
static bool has_arrived(void *state)
{
	struct pccl_rdma_stream *stream = state;
	const uint64_t now_ns = pccl_clock_ns();
	bool closed_before = stream->closes;

	stream->closes = true;
	if (is_all_there(stream))
		return true;
	if (!closed_before && pccl_rdma_is_stuck(stream, now_ns))
		pccl_avoid_add(&stream->remote, now_ns);
	return false;
}

static bool count(void *state, uint64_t now_ns, struct pccl_stream_counters *counters)
{
	struct pccl_rdma_stream *stream = state;

	(void)now_ns;
	if (stream->stage != PCCL_RDMA_JOINED)
		return false;
	(void)pccl_pair_note_sent(stream->pair);
	counters->acked_bytes = pccl_pair_acked(stream->pair) - stream->probed;
	counters->acked_ns = pccl_pair_acked_ns(stream->pair);
	return true;
}

static int bell(const void *state)
{
	const struct pccl_rdma_stream *stream = state;

	return stream->pair != NULL ? pccl_pair_bell(stream->pair) : stream->turn_fd;
}

static void hear_bell(void *state)
{
	struct pccl_rdma_stream *stream = state;

	if (stream->pair != NULL)
		pccl_pair_hear_bell(stream->pair);
}

static const char *name(const void *state)
{
	const struct pccl_rdma_stream *stream = state;

	return stream->stage == PCCL_RDMA_JOINED ? stream->way : stream->under_name;
}

/* ---- beside a connection that is protected ------------------------------------------------------------------- */

/* Also of a stream that has joined: its last word was said over the connection. */
static bool flush(void *state, int fd)
{
	struct pccl_rdma_stream *stream = state;

	return stream->under->flush(stream->under_state, fd);
}

static bool bond(const void *state, struct pccl_bond *bond_out)
{
	const struct pccl_rdma_stream *stream = state;

	return stream->under->bond(stream->under_state, bond_out);
}

#define CALLS                                                                                                       \
	.begin = begin, .end = end, .shake = pccl_rdma_shake, .read = read_bytes, .write = write_bytes,             \
	.discard = discard_bytes, .shut_down = shut_down, .has_arrived = has_arrived, .count = count, .bell = bell, \
	.hear_bell = hear_bell, .name = name

static const struct pccl_byte_calls calls = {CALLS};
static const struct pccl_byte_calls calls_over = {CALLS, .flush = flush, .bond = bond};

const struct pccl_transport pccl_rdma = {.name = "rdma", .bytes = &calls, PCCL_ENGINE_SLOTS};

/* It seals nothing, for what goes through a pair can be changed on the way; so checksums are taken of what goes through
 * the connection, too, which does seal. */
static const struct pccl_transport slots_over = {.name = "rdma", .bytes = &calls_over, PCCL_ENGINE_SLOTS};

void pccl_rdma_lay_over(const struct pccl_transport *under, struct pccl_rdma_wire *wire)
{
	wire->slots = slots_over;
	wire->under = under;
}
