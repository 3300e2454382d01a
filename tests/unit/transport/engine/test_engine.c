/*
 * The engine over bytes that do not go as they are, as with TLS: what is read and written comes in short pieces, or not
 * just now, at random, and every byte is changed on the way by a key that depends on its place. What passed the table
 * by, or counted a byte that did not pass, would garble all that follows.
 */
#include "unit/transport/transport_suite.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/fail.h"
#include "base/memory.h"
#include "transport/engine/engine_internal.h"

#define PIECE_BYTES 65536u

struct chopper {
	struct pccl_engine *engine;
	struct pccl_rng rng;
	uint64_t read_bytes;
	uint64_t written_bytes;
	uint8_t piece[PIECE_BYTES];
};

static uint32_t choppers_made;
static uint32_t choppers_ended;
static bool refuse_dialled;
static bool refuse_accepted;

static pcclResult_t begin(const struct pccl_transport *self, int fd, bool dialled, void **state_out)
{
	struct chopper *chopper;

	(void)self;
	(void)fd;
	if (dialled ? refuse_dialled : refuse_accepted)
		return pccl_fail(pcclSystemError, "the key does not fit");
	chopper = pccl_zalloc(sizeof(*chopper));
	assert_non_null(chopper);
	/* To have the loop told again; a wire would have no use for it. */
	chopper->engine = (struct pccl_engine *)((char *)state_out - offsetof(struct pccl_engine, bytes_state));
	pccl_rng_seed(&chopper->rng, ++choppers_made);
	*state_out = chopper;
	return pcclSuccess;
}

static void end(void *state)
{
	choppers_ended++;
	pccl_free(state);
}

/* Nothing just now: the socket is watched anew, so that the loop tells of it once more. Not at the end of a connection,
 * where would-block means that nothing more comes. */
static bool is_put_off(struct chopper *chopper, int fd)
{
	struct pccl_engine *engine = chopper->engine;
	struct pollfd ended = {.fd = fd, .events = POLLRDHUP};
	uint32_t events = engine->watch.events;

	if (!pccl_rng_chance(&chopper->rng, 1, 5) || poll(&ended, 1, 0) != 0)
		return false;
	pccl_loop_unwatch(engine->loop, &engine->watch);
	assert_int_equal(pccl_loop_watch(engine->loop, &engine->watch, events), pcclSuccess);
	errno = EAGAIN;
	return true;
}

static size_t chop(struct chopper *chopper, size_t bytes)
{
	uint64_t most = pccl_rng_chance(&chopper->rng, 1, 3)   ? 60
			: pccl_rng_chance(&chopper->rng, 1, 3) ? 3000
							       : PIECE_BYTES;

	if (bytes < most)
		most = bytes;
	return most == 0 ? 0 : 1 + (size_t)pccl_rng_below(&chopper->rng, most);
}

static uint8_t key(uint64_t place)
{
	return (uint8_t)(1 + place * 37 + (place >> 8));
}

static size_t copy_parts(struct chopper *chopper, struct iovec *parts, size_t part_count, size_t bytes, bool out)
{
	size_t done = 0;
	size_t i, j;

	for (i = 0; i < part_count; i++) {
		uint8_t *part = parts[i].iov_base;

		for (j = 0; j < parts[i].iov_len && done < bytes; j++, done++) {
			if (out)
				chopper->piece[done] = part[j] ^ key(chopper->written_bytes + done);
			else
				part[j] = chopper->piece[done] ^ key(chopper->read_bytes + done);
		}
	}
	return done;
}

static ssize_t read_piece(struct chopper *chopper, int fd, size_t bytes, bool *more_out)
{
	*more_out = true;
	if (is_put_off(chopper, fd))
		return -1;
	return recv(fd, chopper->piece, chop(chopper, bytes), MSG_DONTWAIT);
}

static ssize_t read_chopped(void *state, int fd, struct iovec *parts, size_t part_count, bool *more_out)
{
	struct chopper *chopper = state;
	ssize_t got = read_piece(chopper, fd, pccl_engine_parts_bytes(parts, part_count), more_out);

	if (got <= 0)
		return got;
	copy_parts(chopper, parts, part_count, (size_t)got, false);
	chopper->read_bytes += (uint64_t)got;
	return got;
}

static ssize_t discard_chopped(void *state, int fd, size_t bytes, bool *more_out)
{
	struct chopper *chopper = state;
	ssize_t got = read_piece(chopper, fd, bytes, more_out);

	if (got > 0)
		chopper->read_bytes += (uint64_t)got;
	return got;
}

static ssize_t write_chopped(void *state, int fd, struct iovec *parts, size_t part_count, bool *more_out)
{
	struct chopper *chopper = state;
	ssize_t written;
	size_t bytes;

	*more_out = true;
	if (is_put_off(chopper, fd))
		return -1;
	bytes = copy_parts(chopper, parts, part_count, chop(chopper, pccl_engine_parts_bytes(parts, part_count)), true);
	written = send(fd, chopper->piece, bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (written > 0)
		chopper->written_bytes += (uint64_t)written;
	return written;
}

static bool shut_down(void *state, int fd)
{
	(void)state;
	shutdown(fd, SHUT_WR);
	return true;
}

static const struct pccl_byte_calls chopped_bytes = {.begin = begin,
						     .end = end,
						     .read = read_chopped,
						     .write = write_chopped,
						     .discard = discard_chopped,
						     .shut_down = shut_down};

static const struct pccl_transport chopped = {.name = "chopped", .bytes = &chopped_bytes, PCCL_ENGINE_SLOTS};

static struct wire_kind kind = {&chopped, "127.0.0.1", NULL};

static int use_chopped(void **state)
{
	*state = &kind;
	return 0;
}

static int all_have_ended(void **state)
{
	(void)state;
	return choppers_made > 0 && choppers_made == choppers_ended ? 0 : -1;
}

/* ---- bytes that can't begin ---------------------------------------------------------------------------------- */

static void dialled_stream_whose_bytes_can_not_begin_breaks_with_the_cause(void **state)
{
	static struct wire wire;

	wire_listen(&wire, *state);
	refuse_dialled = true;
	wire_dial(&wire);
	WIRE_UNTIL(&wire, wire.dialer.calls[WIRE_BROKEN] == 1);
	refuse_dialled = false;
	assert_non_null(strstr(wire.dialer.reason, "the key does not fit"));
	assert_int_equal(wire.dialer.calls[WIRE_OPENED], 0);
	wire_destroy(&wire);
}

static void caller_whose_bytes_can_not_begin_is_hung_up(void **state)
{
	static struct wire wire;

	wire_listen(&wire, *state);
	refuse_accepted = true;
	wire_dial(&wire);
	WIRE_UNTIL(&wire, wire.dialer.calls[WIRE_BROKEN] == 1);
	refuse_accepted = false;
	assert_null(wire.acceptor.stream);
	wire_destroy(&wire);
}

int main(void)
{
	const struct CMUnitTest suite[] = {
		SUITE_TESTS,
		cmocka_unit_test(dialled_stream_whose_bytes_can_not_begin_breaks_with_the_cause),
		cmocka_unit_test(caller_whose_bytes_can_not_begin_is_hung_up),
	};

	suite_large_bytes = 1u << 20;
	return cmocka_run_group_tests_name("engine over chopped bytes", suite, use_chopped, all_have_ended);
}
