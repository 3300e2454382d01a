/*
 * Bytes through two rings, once both sides have the memory; over the connection if not. Each side has a pipe that wakes
 * it. The connection stays, and its end is the stream's. What a side has written before it ended is read all the same.
 */
#include "transport/shm/shm.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fail.h"
#include "base/log.h"
#include "base/memory.h"
#include "transport/engine/engine.h"
#include "transport/engine/socket.h"
#include "transport/loop/fork.h"
#include "transport/shm/offer.h"
#include "transport/tcp/tcp.h"

/* Of a process, so that a hundred peers of one host don't fill its memory: those beyond go over TCP. */
#define SHARED_MAX 32u
#define TIMES_MAX 8u

enum stage {
	AWAITS_BEGINNING, /* accepted; does an offer come first, or a frame? */
	AWAITS_OFFER,	  /* a whole one */
	OFFERS,		  /* dialled; nothing is said yet */
	AWAITS_ANSWER,
	PLAIN, /* over the connection, for good */
	SHARED /* through memory, for good */
};

struct shm_stream {
	enum stage stage;
	bool declines;
	bool counts;		   /* among the streams that share memory, or are about to */
	int descriptor;		   /* AWAITS_ANSWER: of the memory, which the other side may open; else -1 */
	struct pccl_shared shared; /* from AWAITS_ANSWER on */
	bool ended;		   /* the connection has, for all that the loop tells */
	struct pccl_ring out;
	struct pccl_ring in;
	int failure;	   /* errno that write() returns; 0: none */
	uint64_t acked;	   /* of what was written, as last seen by count(), */
	uint64_t acked_ns; /* which saw it grow then */
	size_t said_bytes;
	uint8_t said[PCCL_OFFER_BYTES]; /* of the other side's next message */
};

/* ---- the handshake ------------------------------------------------------------------------------------------- */

/* Why there is no memory is worth a line, once: many streams have the same reason. */
static void note_decline(void)
{
	static bool noted;

	if (!__atomic_exchange_n(&noted, true, __ATOMIC_RELAXED))
		pccl_log_info("no shared memory with a peer on this host, TCP goes on: %s", pccl_fail_text());
}

static uint32_t shared_count;
static uint32_t shared_most = SHARED_MAX; /* atomic */

void pccl_shm_make_room(uint32_t times)
{
	const uint32_t most = SHARED_MAX * (times < TIMES_MAX ? times : TIMES_MAX);
	uint32_t seen = __atomic_load_n(&shared_most, __ATOMIC_RELAXED);

	while (seen < most &&
	       !__atomic_compare_exchange_n(&shared_most, &seen, most, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
}

static bool may_share(struct shm_stream *stream)
{
	static unsigned counted_in; /* a child of a process that shares has none of its parent's */
	unsigned generation = pccl_fork_generation();
	uint32_t most = __atomic_load_n(&shared_most, __ATOMIC_RELAXED);

	if (__atomic_exchange_n(&counted_in, generation, __ATOMIC_RELAXED) != generation)
		__atomic_store_n(&shared_count, 0, __ATOMIC_RELAXED);
	if (__atomic_add_fetch(&shared_count, 1, __ATOMIC_RELAXED) <= most) {
		stream->counts = true;
		return true;
	}
	(void)__atomic_sub_fetch(&shared_count, 1, __ATOMIC_RELAXED);
	(void)pccl_fail(pcclSystemError, "%u connections of this process share memory already", most);
	return false;
}

static void close_descriptor(struct shm_stream *stream)
{
	if (stream->descriptor >= 0)
		pccl_fork_close(stream->descriptor);
	stream->descriptor = -1;
}

static void drop_memory(struct shm_stream *stream)
{
	close_descriptor(stream);
	pccl_offer_drop(&stream->shared);
	if (stream->counts)
		(void)__atomic_sub_fetch(&shared_count, 1, __ATOMIC_RELAXED);
	stream->counts = false;
}

static enum pccl_shake go_plain(struct shm_stream *stream)
{
	drop_memory(stream);
	stream->stage = PLAIN;
	return PCCL_SHAKE_DONE;
}

static enum pccl_shake go_shared(struct shm_stream *stream, bool dialled)
{
	uint8_t *there = (uint8_t *)stream->shared.memory + PCCL_RING_HEAD_BYTES + PCCL_RING_BYTES;

	close_descriptor(stream);
	pccl_ring_open(&stream->out, dialled ? stream->shared.memory : there);
	pccl_ring_open(&stream->in, dialled ? there : stream->shared.memory);
	stream->stage = SHARED;
	return PCCL_SHAKE_DONE;
}

/* A connection that is new has room for it, or is broken: then the engine finds out what is wrong. */
static bool say(int fd, const struct pccl_offer *offer)
{
	uint8_t bytes[PCCL_OFFER_BYTES];

	pccl_offer_encode(offer, bytes);
	return send(fd, bytes, sizeof(bytes), MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)sizeof(bytes);
}

static bool is_on_this_host(int fd, uint16_t *local_port_out, uint16_t *remote_port_out)
{
	struct pccl_address local = {.bytes = sizeof(local.storage)};
	struct pccl_address remote = {.bytes = sizeof(remote.storage)};

	if (getsockname(fd, (struct sockaddr *)&local.storage, &local.bytes) != 0 ||
	    getpeername(fd, (struct sockaddr *)&remote.storage, &remote.bytes) != 0)
		return false;
	*local_port_out = pccl_address_port(&local);
	*remote_port_out = pccl_address_port(&remote);
	return pccl_address_same_host(&local, &remote);
}

static enum pccl_shake offer_memory(struct shm_stream *stream, int fd)
{
	struct pccl_offer offer = {.kind = PCCL_OFFER_OFFER};
	uint16_t remote_port;

	if (stream->declines || !is_on_this_host(fd, &offer.port, &remote_port))
		return go_plain(stream);
	if (!may_share(stream) || !pccl_offer_make(&offer, &stream->shared)) {
		note_decline();
		return go_plain(stream);
	}
	stream->descriptor = (int)offer.descriptor;
	stream->stage = AWAITS_ANSWER;
	return say(fd, &offer) ? PCCL_SHAKE_GOES_ON : go_plain(stream);
}

/* Something in between has a port of its own. What strangers offer counts only once it is there. */
static bool take(struct shm_stream *stream, int fd, const struct pccl_offer *offer)
{
	uint16_t local_port, remote_port;

	if (stream->declines || !is_on_this_host(fd, &local_port, &remote_port) || remote_port != offer->port)
		return false;
	if (pccl_offer_take(offer, &stream->shared) && may_share(stream))
		return true;
	note_decline();
	return false;
}

static enum pccl_shake answer(struct shm_stream *stream, int fd)
{
	struct pccl_offer reply = {.kind = PCCL_OFFER_DECLINED};
	struct pccl_offer offer;

	if (pccl_offer_decode(stream->said, &offer) && offer.kind == PCCL_OFFER_OFFER && take(stream, fd, &offer))
		reply.kind = PCCL_OFFER_TAKEN;
	if (reply.kind == PCCL_OFFER_TAKEN)
		(void)go_shared(stream, false);
	else
		(void)go_plain(stream);
	return say(fd, &reply) ? PCCL_SHAKE_DONE : go_plain(stream);
}

static enum pccl_shake obey(struct shm_stream *stream)
{
	struct pccl_offer answer;
	bool good = pccl_offer_decode(stream->said, &answer);

	if (good && answer.kind == PCCL_OFFER_TAKEN)
		return go_shared(stream, true);
	if (good && answer.kind == PCCL_OFFER_DECLINED)
		return go_plain(stream);
	(void)pccl_fail(pcclSystemError, "it is no peer of this version: it doesn't answer an offer of shared memory");
	return PCCL_SHAKE_FAILED;
}

/* An end, or an error, is for the engine to find: it has the words. */
static enum pccl_shake hear(struct shm_stream *stream, int fd)
{
	ssize_t got;

	while (stream->said_bytes < sizeof(stream->said)) {
		got = recv(fd, stream->said + stream->said_bytes, sizeof(stream->said) - stream->said_bytes,
			   MSG_DONTWAIT);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return PCCL_SHAKE_GOES_ON;
		if (got <= 0)
			return go_plain(stream);
		stream->said_bytes += (size_t)got;
		if (pccl_frame_is_tls(stream->said, stream->said_bytes)) {
			(void)pccl_fail(pcclSystemError, PCCL_FRAME_TLS_WORDS);
			return PCCL_SHAKE_UNFIT;
		}
	}
	stream->said_bytes = 0;
	return stream->stage == AWAITS_OFFER ? answer(stream, fd) : obey(stream);
}

/* True: an offer. */
static bool look_at_beginning(struct shm_stream *stream, int fd)
{
	uint8_t first;
	const ssize_t got = pccl_socket_peek(fd, &first);

	if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return false;
	if (got > 0 && pccl_offer_begins(first))
		stream->stage = AWAITS_OFFER;
	else
		(void)go_plain(stream);
	return stream->stage == AWAITS_OFFER;
}

static enum pccl_shake shake(void *state, int fd)
{
	struct shm_stream *stream = state;

	if (stream->stage == OFFERS)
		return offer_memory(stream, fd);
	if (stream->stage == AWAITS_BEGINNING && !look_at_beginning(stream, fd))
		return stream->stage == PLAIN ? PCCL_SHAKE_DONE : PCCL_SHAKE_GOES_ON;
	return hear(stream, fd);
}

static pcclResult_t begin(const struct pccl_transport *self, int fd, bool dialled, void **state_out)
{
	struct shm_stream *stream = pccl_zalloc(sizeof(*stream));

	(void)fd;
	*state_out = stream;
	if (stream == NULL)
		return pcclOutOfMemory;
	stream->stage = dialled ? OFFERS : AWAITS_BEGINNING;
	stream->declines = self == &pccl_shm_declining;
	stream->descriptor = stream->shared.hears = stream->shared.rings = -1;
	return pcclSuccess;
}

static void end(void *state)
{
	struct shm_stream *stream = state;

	drop_memory(stream);
	pccl_free(stream);
}

/* ---- waking -------------------------------------------------------------------------------------------------- */

/* Who can't be told has been told already: as many bells as fit are in its pipe. */
static void ring_bell(const struct shm_stream *stream)
{
	const char bell = 0;
	ssize_t rung;

	do
		rung = write(stream->shared.rings, &bell, 1);
	while (rung < 0 && errno == EINTR);
}

static int bell(const void *state)
{
	const struct shm_stream *stream = state;

	return stream->stage == SHARED ? stream->shared.hears : -1;
}

static void note_end(void *state)
{
	struct shm_stream *stream = state;

	stream->ended = true;
}

#define BYTES_PER_CALL 64
#define CALLS_MAX 64 /* of bytes that nobody honest sends */

/* Of the connection, over which nothing is said any more. 0: the other side has shut down; -1 and errno, EAGAIN if it
 * has not. */
static ssize_t hear_end(const struct shm_stream *stream, int fd)
{
	char bytes[BYTES_PER_CALL];
	uint32_t calls = 0;
	ssize_t got;

	errno = EAGAIN;
	if (!stream->ended)
		return -1;
	do
		got = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
	while ((got > 0 && ++calls < CALLS_MAX) || (got < 0 && errno == EINTR));
	if (got > 0)
		errno = EBADMSG;
	return got > 0 ? -1 : got;
}

/* ---- reading ------------------------------------------------------------------------------------------------- */

/* Until all is read, or nothing is there. How many bytes; -1: nonsense. */
static ssize_t take_all(struct shm_stream *stream, uint8_t *to, size_t bytes)
{
	size_t done = 0;

	while (done < bytes) {
		bool wake;
		ssize_t got = pccl_ring_take(&stream->in, to != NULL ? to + done : NULL, bytes - done, &wake);

		if (got <= 0)
			return got < 0 ? -1 : (ssize_t)done;
		if (wake)
			ring_bell(stream);
		done += (size_t)got;
	}
	return (ssize_t)done;
}

static ssize_t fail_nonsense(void)
{
	(void)pccl_fail(pcclSystemError, "what it says of the bytes in shared memory makes no sense");
	errno = EPROTO;
	return -1;
}

/* All parts, in turn. */
static ssize_t take_parts(struct shm_stream *stream, const struct iovec *parts, size_t part_count)
{
	ssize_t total = 0;
	size_t i;

	for (i = 0; i < part_count; i++) {
		ssize_t got = take_all(stream, parts[i].iov_base, parts[i].iov_len);

		if (got < 0)
			return fail_nonsense();
		total += got;
		if (got < (ssize_t)parts[i].iov_len)
			break;
	}
	return total;
}

/* Nothing is in memory: is that for now, or the end? What was written before the end is in memory by the time that the
 * end is seen. */
static ssize_t read_nothing(struct shm_stream *stream, int fd, const struct iovec *parts, size_t part_count,
			    bool *more_out)
{
	ssize_t heard = hear_end(stream, fd);
	int error = heard < 0 ? errno : 0;
	bool over = heard == 0 || (heard < 0 && error != EAGAIN && error != EWOULDBLOCK);
	ssize_t got;

	if (!over && pccl_ring_await_bytes(&stream->in)) {
		*more_out = false;
		errno = EAGAIN;
		return -1;
	}
	got = take_parts(stream, parts, part_count);
	*more_out = true;
	if (got == 0 && over && heard < 0)
		errno = error;
	else if (got == 0 && !over)
		errno = EAGAIN;
	return got == 0 && (heard < 0 || !over) ? -1 : got;
}

static ssize_t read_parts(struct shm_stream *stream, int fd, const struct iovec *parts, size_t part_count, size_t bytes,
			  bool *more_out)
{
	ssize_t got = take_parts(stream, parts, part_count);

	if (got == 0)
		return read_nothing(stream, fd, parts, part_count, more_out);
	*more_out = got < 0 || got == (ssize_t)bytes || !pccl_ring_await_bytes(&stream->in);
	return got;
}

static ssize_t read_bytes(void *state, int fd, struct iovec *parts, size_t part_count, bool *more_out)
{
	struct shm_stream *stream = state;

	if (stream->stage != SHARED)
		return pccl_tcp.bytes->read(NULL, fd, parts, part_count, more_out);
	return read_parts(stream, fd, parts, part_count, pccl_engine_parts_bytes(parts, part_count), more_out);
}

static ssize_t discard_bytes(void *state, int fd, size_t bytes, bool *more_out)
{
	struct shm_stream *stream = state;
	const struct iovec nowhere = {NULL, bytes};

	if (stream->stage != SHARED)
		return pccl_tcp.bytes->discard(NULL, fd, bytes, more_out);
	return read_parts(stream, fd, &nowhere, 1, bytes, more_out);
}

/* ---- writing ------------------------------------------------------------------------------------------------- */

/* Until all is written, or there is no room. */
static ssize_t put_all(struct shm_stream *stream, const uint8_t *from, size_t bytes)
{
	bool has_waited = false;
	size_t done = 0;

	while (done < bytes) {
		bool wake;
		ssize_t put = pccl_ring_put(&stream->out, from + done, bytes - done, &wake);

		if (put < 0)
			return -1;
		/* Room that comes and goes is a lie. */
		if (put == 0 && has_waited)
			return -1;
		has_waited = put == 0;
		if (put == 0 && pccl_ring_await_room(&stream->out))
			break;
		if (wake)
			ring_bell(stream);
		done += (size_t)put;
	}
	return (ssize_t)done;
}

static ssize_t put_parts(struct shm_stream *stream, const struct iovec *parts, size_t part_count)
{
	ssize_t total = 0;
	size_t i;

	for (i = 0; i < part_count; i++) {
		ssize_t put = put_all(stream, parts[i].iov_base, parts[i].iov_len);

		if (put < 0)
			return -1;
		total += put;
		if (put < (ssize_t)parts[i].iov_len)
			break;
	}
	return total;
}

static ssize_t write_bytes(void *state, int fd, struct iovec *parts, size_t part_count, bool *more_out)
{
	struct shm_stream *stream = state;
	ssize_t put = 0;

	if (stream->stage != SHARED)
		return pccl_tcp.bytes->write(NULL, fd, parts, part_count, more_out);
	if (stream->failure == 0)
		put = put_parts(stream, parts, part_count);
	if (put < 0)
		stream->failure = EBADMSG;
	else if (put == 0 && stream->failure == 0 && hear_end(stream, fd) == 0)
		stream->failure = EPIPE;
	if (put <= 0) {
		errno = stream->failure != 0 ? stream->failure : EAGAIN;
		return -1;
	}
	*more_out = put == (ssize_t)pccl_engine_parts_bytes(parts, part_count);
	return put;
}

static bool shut_down(void *state, int fd)
{
	return pccl_tcp.bytes->shut_down(state, fd);
}

/* The kernel knows nothing of what is in memory: the other side's reading is its acknowledgement. */
static bool count(void *state, uint64_t now_ns, struct pccl_stream_counters *counters)
{
	struct shm_stream *stream = state;
	uint64_t acked;

	if (stream->stage != SHARED)
		return false;
	acked = pccl_ring_read_by_other(&stream->out);
	if (acked != stream->acked) {
		stream->acked = acked;
		stream->acked_ns = now_ns;
	}
	counters->acked_bytes = acked;
	counters->acked_ns = stream->acked_ns;
	return true;
}

static const char *name(const void *state)
{
	const struct shm_stream *stream = state;

	return stream->stage == SHARED ? "shm" : "tcp";
}

static const struct pccl_byte_calls calls = {
	.begin = begin,
	.end = end,
	.shake = shake,
	.read = read_bytes,
	.write = write_bytes,
	.discard = discard_bytes,
	.shut_down = shut_down,
	.count = count,
	.name = name,
	.bell = bell,
	.note_end = note_end,
};

const struct pccl_transport pccl_shm = {.name = "shm", .bytes = &calls, PCCL_ENGINE_SLOTS};
const struct pccl_transport pccl_shm_declining = {.name = "tcp", .bytes = &calls, PCCL_ENGINE_SLOTS};
