/* How a stream comes to a pair of queues, or goes on over its connection: see terms.h. */
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

#include "base/fail.h"
#include "base/log.h"
#include "transport/loop/fork.h"
#include "transport/loop/loop.h"
#include "transport/rdma/avoid.h"
#include "transport/rdma/rdma.h"
#include "transport/rdma/rdma_internal.h"

#define PROBE_BYTES 4096 /* as the largest packets have: a way may let small ones through only */
#define TURN_NS \
	(PCCL_SECOND_NS / 4 * 3) /* who offers waits so long for others' trials to end: a greeting has a second */
#define TURN_LOOK_NS (PCCL_SECOND_NS / 100)
#define LONG_NS (PCCL_SECOND_NS / 2) /* nothing is unacknowledged for so long where anything gets through */

/* Why there is no pair is worth a line, once: many streams have the same reason. */
static void note_decline(const char *cause)
{
	static bool noted;

	if (!__atomic_exchange_n(&noted, true, __ATOMIC_RELAXED))
		pccl_log_info("no RDMA with a peer, the connection goes on without: %s", cause);
}

/* Likewise, of a device that PCCL_RDMA_DEVICE lists. */
static void note_passed_over(const char *cause)
{
	static bool noted;

	if (!__atomic_exchange_n(&noted, true, __ATOMIC_RELAXED))
		pccl_log_info("a device of the list is passed over: %s", cause);
}

/* An accepted stream has a pair, and nothing has gone through it yet. */
static bool is_on_trial(const struct pccl_rdma_stream *stream)
{
	return stream->stage == PCCL_RDMA_AWAITS_END || stream->stage == PCCL_RDMA_AWAITS_PASSAGE;
}

static void end_wait(struct pccl_rdma_stream *stream)
{
	if (stream->turn_fd >= 0)
		pccl_fork_close(stream->turn_fd);
	stream->turn_fd = -1;
}

bool pccl_rdma_is_stuck(const struct pccl_rdma_stream *stream, uint64_t now_ns)
{
	(void)pccl_pair_note_sent(stream->pair);
	return !pccl_pair_all_acked(stream->pair) && now_ns > pccl_pair_waits_since_ns(stream->pair) + LONG_NS;
}

/* But for its place among those that go over its device. */
static void let_go(struct pccl_rdma_stream *stream)
{
	const uint64_t now_ns = pccl_clock_ns();

	if (stream->stage == PCCL_RDMA_AWAITS_PASSAGE && pccl_rdma_is_stuck(stream, now_ns))
		pccl_avoid_add(&stream->remote, now_ns);
	else if (is_on_trial(stream))
		pccl_avoid_doubt(&stream->remote, now_ns);
	end_wait(stream);
	pccl_trial_end(&stream->trial);
	pccl_pair_destroy(stream->pair);
	stream->pair = NULL;
}

void pccl_rdma_give_up(struct pccl_rdma_stream *stream)
{
	let_go(stream);
	pccl_rail_give_back(&stream->rail);
}

/* Its place it keeps while it lasts: the other side may lack just this device, which would have the fewest connections
 * ever after, and so all that follow. */
static enum pccl_shake go_plain(struct pccl_rdma_stream *stream)
{
	let_go(stream);
	stream->stage = PCCL_RDMA_PLAIN;
	return PCCL_SHAKE_DONE;
}

static enum pccl_shake go_joined(struct pccl_rdma_stream *stream)
{
	if (is_on_trial(stream))
		pccl_avoid_trust(&stream->remote);
	pccl_trial_end(&stream->trial);
	stream->probed = pccl_pair_acked(stream->pair);
	(void)snprintf(stream->way, sizeof(stream->way), "rdma over %s%s%s", pccl_pair_device(stream->pair),
		       stream->trusted != NULL ? ", after " : "", stream->trusted != NULL ? stream->under_name : "");
	stream->stage = PCCL_RDMA_JOINED;
	return PCCL_SHAKE_DONE;
}

/* A connection that is new has room for it, or is broken: then the engine finds out what is wrong. */
static bool say(struct pccl_rdma_stream *stream, int fd, enum pccl_terms_word word)
{
	uint8_t bytes[PCCL_TERMS_WORD_BYTES + PCCL_TERMS_END_BYTES];
	struct iovec part = {bytes, PCCL_TERMS_WORD_BYTES};
	struct pccl_terms_end end;
	bool more;

	pccl_terms_encode_word(word, bytes);
	if (word == PCCL_TERMS_OFFER)
		pccl_terms_encode_offer((uint8_t)stream->rail.index, bytes);
	if (word == PCCL_TERMS_TAKEN || word == PCCL_TERMS_JOINED) {
		pccl_pair_tell(stream->pair, &end);
		pccl_terms_encode_end(&end, bytes + PCCL_TERMS_WORD_BYTES);
		part.iov_len += PCCL_TERMS_END_BYTES;
	}
	return stream->under->write(stream->under_state, fd, &part, 1, &more) == (ssize_t)part.iov_len;
}

/* Says why not, once, and goes on over the connection. */
static enum pccl_shake decline(struct pccl_rdma_stream *stream, int fd, const char *cause)
{
	note_decline(cause);
	(void)say(stream, fd, PCCL_TERMS_DECLINED);
	return go_plain(stream);
}

static bool get_ends(int fd, struct pccl_address *local, struct pccl_address *remote)
{
	local->bytes = remote->bytes = sizeof(local->storage);
	if (getsockname(fd, (struct sockaddr *)&local->storage, &local->bytes) == 0 &&
	    getpeername(fd, (struct sockaddr *)&remote->storage, &remote->bytes) == 0)
		return true;
	(void)pccl_fail(pcclSystemError, "the connection has gone again");
	return false;
}

/* Both in one network: nothing is said of what is between two, and packets may be routed. */
static bool are_trusted(const struct pccl_rdma_stream *stream, const struct pccl_terms_end *other)
{
	char texts[2][PCCL_NETWORKS_TEXT_BYTES];
	struct pccl_terms_end own;

	pccl_pair_tell(stream->pair, &own);
	if (stream->trusted == NULL || pccl_networks_have_both(stream->trusted, own.gid, other->gid))
		return true;
	pccl_networks_text(own.gid, texts[0]);
	pccl_networks_text(other->gid, texts[1]);
	(void)pccl_fail(pcclSystemError,
			"no network of " PCCL_RDMA_TRUSTED " has both %s, which is this side's device, and %s, the "
			"other side's",
			texts[0], texts[1]);
	return false;
}

/* Of several devices the next one where the first one is missing, down, or in a network that is not trusted. */
static bool choose_rail(struct pccl_rdma_stream *stream, const struct pccl_address *local)
{
	const uint32_t count = pccl_pair_rails(), all = (1u << count) - 1;
	uint32_t rail, tried = 0;
	pcclResult_t result;

	do {
		pccl_rail_give_back(&stream->rail);
		rail = pccl_rail_take(&stream->rail, &stream->remote, count, tried);
		tried |= 1u << rail;
		result = pccl_pair_create(local, rail, stream->trusted, &stream->pair);
		if (result != pcclSuccess && tried != all)
			note_passed_over(pccl_fail_text());
	} while (result != pcclSuccess && result != pcclOutOfMemory && tried != all);
	if (result != pcclSuccess)
		pccl_rail_give_back(&stream->rail);
	return result == pcclSuccess;
}

/* The rail is for the dialler to choose: then both sides have the same one. */
static bool make_pair(struct pccl_rdma_stream *stream, int fd)
{
	struct pccl_address local;

	if (!get_ends(fd, &local, &stream->remote))
		return false;
	if (stream->stage == PCCL_RDMA_OFFERS)
		return choose_rail(stream, &local);
	return pccl_pair_create(&local, pccl_terms_offer_rail(stream->said), stream->trusted, &stream->pair) ==
	       pcclSuccess;
}

static bool is_avoided(struct pccl_rdma_stream *stream, int fd)
{
	struct pccl_address local;

	return get_ends(fd, &local, &stream->remote) && pccl_avoid_has(&stream->remote, pccl_clock_ns());
}

static enum pccl_shake go_on(struct pccl_rdma_stream *stream, enum pccl_rdma_stage stage)
{
	stream->stage = stage;
	return PCCL_SHAKE_GOES_ON;
}

/* Without a device of its own it has nothing to offer. */
static enum pccl_shake offer(struct pccl_rdma_stream *stream, int fd)
{
	if (is_avoided(stream, fd))
		return go_plain(stream);
	if (!make_pair(stream, fd)) {
		note_decline(pccl_fail_text());
		return go_plain(stream);
	}
	return say(stream, fd, PCCL_TERMS_OFFER) ? go_on(stream, PCCL_RDMA_AWAITS_ANSWER) : go_plain(stream);
}

/* Others' trials end soon, unless they are strangers who want nothing else. */
static enum pccl_shake await_turn(struct pccl_rdma_stream *stream, int fd)
{
	const struct itimerspec once = {.it_value = {.tv_nsec = TURN_LOOK_NS}};
	const uint64_t now_ns = pccl_clock_ns();

	if (stream->stage != PCCL_RDMA_AWAITS_TURN) {
		stream->trial_ns = now_ns;
		stream->turn_fd = pccl_fork_own(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
	}
	if (now_ns - stream->trial_ns > TURN_NS || timerfd_settime(stream->turn_fd, 0, &once, NULL) != 0)
		return decline(stream, fd, "too many others are at it");
	return go_on(stream, PCCL_RDMA_AWAITS_TURN);
}

/* For the engine to find; but why a connection that is protected has broken is in words now, and gone later. Who has
 * dialled and hears such words first is not let in, as a rule, and would not be let in again; damage is taken for the
 * same, as it is without RDMA. */
static enum pccl_shake end_shake(struct pccl_rdma_stream *stream, int error)
{
	if (error != EPROTO)
		return go_plain(stream);
	return stream->stage == PCCL_RDMA_AWAITS_ANSWER ? PCCL_SHAKE_UNFIT : PCCL_SHAKE_FAILED;
}

/* True with errno, 0 or as end_shake() takes it: the dialler's attempt is over. */
static bool has_ended(struct pccl_rdma_stream *stream, int fd)
{
	uint8_t byte;
	const ssize_t got = stream->under->peek(stream->under_state, fd, &byte);

	if (got == 0)
		errno = 0;
	return got == 0 || (got < 0 && errno != EAGAIN && errno != EWOULDBLOCK);
}

/* A pair costs more than an offer, and anybody may offer. */
static enum pccl_shake take(struct pccl_rdma_stream *stream, int fd)
{
	if (stream->stage == PCCL_RDMA_AWAITS_TURN && has_ended(stream, fd))
		return end_shake(stream, errno); /* it has gone elsewhere meanwhile, as a rule */
	if (is_avoided(stream, fd))
		return decline(stream, fd, "the other side has come to no pair lately");
	if (!pccl_trial_begin(&stream->trial, &stream->remote))
		return await_turn(stream, fd);
	end_wait(stream);
	if (!make_pair(stream, fd))
		return decline(stream, fd, pccl_fail_text());
	stream->stage = PCCL_RDMA_AWAITS_END;
	return say(stream, fd, PCCL_TERMS_TAKEN) ? PCCL_SHAKE_GOES_ON : go_plain(stream);
}

static bool join(struct pccl_rdma_stream *stream)
{
	struct pccl_terms_end end;

	if (!pccl_terms_decode_end(stream->said + PCCL_TERMS_WORD_BYTES, &end)) {
		(void)pccl_fail(pcclSystemError, "what it says of its end makes no sense");
		return false;
	}
	return are_trusted(stream, &end) && pccl_pair_join(stream->pair, &end, &stream->remote) == pcclSuccess;
}

/* The dialler's turn: it hears from now on, and may write when it is told that the other side does, too. */
static enum pccl_shake join_first(struct pccl_rdma_stream *stream, int fd)
{
	if (!join(stream))
		return decline(stream, fd, pccl_fail_text());
	stream->trial_ns = pccl_clock_ns();
	return say(stream, fd, PCCL_TERMS_JOINED) ? go_on(stream, PCCL_RDMA_AWAITS_READY) : go_plain(stream);
}

/* Is what was sent there? A path that lets nothing through shows now, and not when frames are lost. */
static enum pccl_shake look_for_passage(struct pccl_rdma_stream *stream, int fd)
{
	int round;

	for (round = 0; round < 2; round++) {
		if (!pccl_pair_note_sent(stream->pair))
			return decline(stream, fd, pccl_pair_failure(stream->pair));
		if (pccl_pair_all_acked(stream->pair))
			return say(stream, fd, PCCL_TERMS_READY) ? go_joined(stream) : go_plain(stream);
		if (round == 0 && !pccl_pair_arm(stream->pair, true))
			return decline(stream, fd, pccl_pair_failure(stream->pair));
	}
	(void)go_on(stream, PCCL_RDMA_AWAITS_PASSAGE);
	return has_ended(stream, fd) ? end_shake(stream, errno) : PCCL_SHAKE_GOES_ON;
}

static enum pccl_shake join_second(struct pccl_rdma_stream *stream, int fd)
{
	if (!join(stream))
		return decline(stream, fd, pccl_fail_text());
	if (!pccl_pair_send(stream->pair, 0, PROBE_BYTES, PCCL_FLOW_PROBE))
		return decline(stream, fd, pccl_pair_failure(stream->pair));
	return look_for_passage(stream, fd);
}

/* Who doesn't answer may just not come to run; who says so that late has waited for passage in vain. */
static enum pccl_shake hear_no(struct pccl_rdma_stream *stream)
{
	const uint64_t now_ns = pccl_clock_ns();

	if (stream->stage == PCCL_RDMA_AWAITS_READY && now_ns - stream->trial_ns > LONG_NS)
		pccl_avoid_add(&stream->remote, now_ns);
	note_decline("the other side declines");
	return go_plain(stream);
}

/* Does this word come now? Another one than DECLINED ends the handshake: nothing that follows would be understood. */
static enum pccl_shake obey(struct pccl_rdma_stream *stream, int fd, enum pccl_terms_word word)
{
	if (word == PCCL_TERMS_OFFER && stream->stage == PCCL_RDMA_AWAITS_OFFER)
		return take(stream, fd);
	if (word == PCCL_TERMS_TAKEN && stream->stage == PCCL_RDMA_AWAITS_ANSWER)
		return join_first(stream, fd);
	if (word == PCCL_TERMS_JOINED && stream->stage == PCCL_RDMA_AWAITS_END)
		return join_second(stream, fd);
	if (word == PCCL_TERMS_READY && stream->stage == PCCL_RDMA_AWAITS_READY)
		return go_joined(stream);
	if (word == PCCL_TERMS_DECLINED && stream->stage != PCCL_RDMA_AWAITS_OFFER)
		return hear_no(stream);
	(void)pccl_fail(pcclSystemError, "it is no peer of this version: it doesn't answer an offer of RDMA");
	return PCCL_SHAKE_FAILED;
}

/* All of its next message. 0: not yet; -1 and errno: it has ended. */
static int gather(struct pccl_rdma_stream *stream, int fd, size_t bytes)
{
	while (stream->said_bytes < bytes) {
		struct iovec part = {stream->said + stream->said_bytes, bytes - stream->said_bytes};
		bool more;
		ssize_t got = stream->under->read(stream->under_state, fd, &part, 1, &more);

		if (got == 0)
			errno = 0;
		if (got <= 0)
			return got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) ? 0 : -1;
		stream->said_bytes += (size_t)got;
		if (pccl_frame_is_tls(stream->said, stream->said_bytes))
			return 1;
	}
	return 1;
}

static enum pccl_shake hear(struct pccl_rdma_stream *stream, int fd)
{
	enum pccl_terms_word word;
	int come = gather(stream, fd, PCCL_TERMS_WORD_BYTES);

	if (come > 0 && pccl_frame_is_tls(stream->said, stream->said_bytes)) {
		(void)pccl_fail(pcclSystemError, PCCL_FRAME_TLS_WORDS);
		return PCCL_SHAKE_UNFIT;
	}
	if (come > 0 && pccl_terms_is_foreign_offer(stream->said) && stream->stage == PCCL_RDMA_AWAITS_OFFER)
		return decline(stream, fd, "the other side offers shared memory");
	if (come > 0 && !pccl_terms_decode_word(stream->said, &word)) {
		(void)pccl_fail(pcclSystemError, "it is no peer of this version: it doesn't answer an offer of RDMA");
		return PCCL_SHAKE_FAILED;
	}
	if (come > 0 && (word == PCCL_TERMS_TAKEN || word == PCCL_TERMS_JOINED))
		come = gather(stream, fd, sizeof(stream->said));
	if (come <= 0)
		return come == 0 ? PCCL_SHAKE_GOES_ON : end_shake(stream, errno);
	stream->said_bytes = 0;
	return obey(stream, fd, word);
}

/* An offer, of whatever? */
static enum pccl_shake look_at_beginning(struct pccl_rdma_stream *stream, int fd)
{
	uint8_t first;
	const ssize_t got = stream->under->peek(stream->under_state, fd, &first);

	if (got < 0)
		return errno == EAGAIN || errno == EWOULDBLOCK ? PCCL_SHAKE_GOES_ON : end_shake(stream, errno);
	if (got == 0 || !pccl_terms_may_begin(&first, 1))
		return go_plain(stream);
	stream->stage = PCCL_RDMA_AWAITS_OFFER;
	return hear(stream, fd);
}

/* Nothing is said about pairs before both sides have shown who they are, and that they want to hear of it. */
static enum pccl_shake secure(struct pccl_rdma_stream *stream, int fd)
{
	enum pccl_shake shake = stream->under->shake(stream->under_state, fd);

	if (shake != PCCL_SHAKE_DONE)
		return shake;
	if (!stream->under->hears_offers(stream->under_state)) {
		note_decline("the other side says of no network that it is trusted (" PCCL_RDMA_TRUSTED
			     "), has not chosen RDMA, or is of an older version");
		return go_plain(stream);
	}
	stream->stage = stream->dialled ? PCCL_RDMA_OFFERS : PCCL_RDMA_AWAITS_BEGINNING;
	return PCCL_SHAKE_GOES_ON;
}

static enum pccl_shake shake_hands(struct pccl_rdma_stream *stream, int fd)
{
	if (stream->stage == PCCL_RDMA_OFFERS)
		return offer(stream, fd);
	if (stream->stage == PCCL_RDMA_AWAITS_TURN)
		return take(stream, fd);
	if (stream->stage == PCCL_RDMA_AWAITS_PASSAGE)
		return look_for_passage(stream, fd);
	if (stream->stage == PCCL_RDMA_AWAITS_BEGINNING)
		return look_at_beginning(stream, fd);
	return hear(stream, fd);
}

enum pccl_shake pccl_rdma_shake(void *state, int fd)
{
	struct pccl_rdma_stream *stream = state;
	enum pccl_shake shake = PCCL_SHAKE_GOES_ON;

	if (stream->stage == PCCL_RDMA_IS_SECURED)
		shake = secure(stream, fd);
	else if (stream->under->flush != NULL)
		(void)stream->under->flush(stream->under_state, fd);
	if (shake != PCCL_SHAKE_GOES_ON || stream->stage == PCCL_RDMA_IS_SECURED)
		return shake;
	return shake_hands(stream, fd);
}
