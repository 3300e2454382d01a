/*
 * Two links to each other on one loop, through a cutter, with a doorman before the one that waits: for tests of links.
 * Each end has a list of frames to send and notes, per frame, how often it was delivered, dropped and acknowledged.
 */
#ifndef PCCL_TESTS_TRANSPORT_ROPE_H
#define PCCL_TESTS_TRANSPORT_ROPE_H

#include "unit/transport/cutter.h"
#include "unit/transport/wire.h"

#include "base/fail.h"
#include "transport/link/link.h"
#include "transport/tcp/tcp.h"

#ifndef ROPE_WIRE
#define ROPE_WIRE pccl_tcp
#endif
#define ROPE_FRAMES 3000u
#define ROPE_CONNECT_NS UINT64_C(8000000000)
#define ROPE_BYTES_MOST (256u << 10)
#define ROPE_SLOTS 8u /* payloads on their way to one end */

enum rope_call { ROPE_NONE, ROPE_UP, ROPE_RECEIVED, ROPE_ACKED, ROPE_LOST };

struct rope;

struct rope_end {
	struct rope *rope;
	struct pccl_link *link; /* NULL: destroyed */
	struct pccl_link_config config;

	/* What it sends: frame i carries bytes[i] bytes; all payloads start at the same pattern. */
	uint32_t frame_count;
	uint32_t next;
	uint32_t bytes[ROPE_FRAMES];
	uint8_t acked[ROPE_FRAMES];
	uint32_t acked_count;
	const void *cookie; /* of frames pulled from now on */
	uint64_t packs_ns;  /* what each takes before it can go */

	/* What it gets. */
	bool hold;
	bool hold_even; /* only frames with an even number */
	bool reject;
	bool in_order;
	uint8_t received[ROPE_FRAMES];
	uint32_t received_count;
	uint32_t unchecked_count; /* of frames that were offered */
	uint32_t discard_from;	  /* frames from this number on are discarded */
	uint32_t dropped_count;
	uint32_t reserved_count;	 /* accepted, neither received nor dropped */
	uint32_t slot_frame[ROPE_SLOTS]; /* number plus one of the frame whose payload goes there; 0: free */

	uint32_t pulled_count;
	uint32_t up_count;
	uint32_t broken_count;
	bool is_broken;
	uint32_t lost_count;
	char reason[600];
	enum rope_call destroy_at;
};

struct rope {
	struct pccl_loop *loop;
	struct pccl_doorman *doorman;
	struct pccl_doorman *back_door; /* of the end that dials; NULL: nobody can call it */
	struct cutter cutter;
	struct cutter back_cutter;
	uint32_t refuse_later; /* callers to be put off */
	uint32_t arrived_count;
	uint64_t instance; /* of the last caller */
	uint64_t instead;  /* that the next callers have, as it were; 0: their own */
	struct rope_end dialer;
	struct rope_end waiter;
	uint8_t *pattern;      /* the payload of every frame, shifted by its number */
	uint8_t *destinations; /* slots of both ends */
};

/* Byte i of frame n is byte n + i of the pattern. */
#define ROPE_PATTERN_BYTES (ROPE_BYTES_MOST + ROPE_FRAMES)

/* ---- callbacks ----------------------------------------------------------------------------------------------- */

static inline void rope_destroy_link(struct rope_end *end)
{
	pccl_link_destroy(end->link);
	end->link = NULL;
}

static inline void rope_called(struct rope_end *end, enum rope_call call)
{
	assert_non_null(end->link);
	if (end->destroy_at == call)
		rope_destroy_link(end);
}

static inline bool rope_next(void *context, struct pccl_link *link, struct pccl_frame_send *send_out)
{
	struct rope_end *end = context;
	uint64_t packed_ns = end->packs_ns > 0 ? pccl_clock_ns() + end->packs_ns : 0;
	uint32_t number = end->next;

	(void)link;
	if (number == end->frame_count)
		return false;
	end->next++;
	while (packed_ns > 0 && pccl_clock_ns() < packed_ns)
		;
	memset(send_out, 0, sizeof(*send_out));
	send_out->frame.type = PCCL_FRAME_PARTIAL;
	send_out->frame.segment = number;
	send_out->frame.payload_bytes = end->bytes[number];
	send_out->payload = end->rope->pattern + number;
	send_out->token = &end->acked[number];
	send_out->cookie = (void *)(uintptr_t)end->cookie;
	return true;
}

/* The slot that holds `mark`; marks it with `next_mark`. */
static inline uint8_t *rope_slot(struct rope_end *end, uint32_t mark, uint32_t next_mark)
{
	size_t first = end == &end->rope->dialer ? ROPE_SLOTS : 0;
	size_t i;

	for (i = 0; i < ROPE_SLOTS; i++) {
		if (end->slot_frame[i] != mark)
			continue;
		end->slot_frame[i] = next_mark;
		return end->rope->destinations + (first + i) * ROPE_BYTES_MOST;
	}
	fail_msg("no slot");
	return NULL;
}

static inline enum pccl_frame_verdict rope_accept(void *context, struct pccl_link *link, const struct pccl_frame *frame,
						  void **destination_out)
{
	struct rope_end *end = context;

	(void)link;
	assert_true(frame->segment < ROPE_FRAMES);
	end->unchecked_count += !pccl_frame_is_checked(frame);
	if (end->reject) {
		pccl_fail(pcclRankConnectionLost, "frame %u is unwanted", frame->segment);
		return PCCL_FRAME_REJECT;
	}
	if (end->hold || (end->hold_even && frame->segment % 2 == 0))
		return PCCL_FRAME_HOLD;
	if (frame->segment >= end->discard_from) {
		end->received[frame->segment]++;
		end->received_count++;
		return PCCL_FRAME_DISCARD;
	}
	if (frame->payload_bytes > 0) {
		end->reserved_count++;
		*destination_out = rope_slot(end, 0, frame->segment + 1);
	}
	return PCCL_FRAME_TAKE;
}

static inline void rope_received(void *context, struct pccl_link *link, const struct pccl_frame *frame)
{
	struct rope_end *end = context;

	(void)link;
	if (end->in_order)
		assert_int_equal(frame->segment, end->received_count);
	if (frame->payload_bytes > 0) {
		const uint8_t *expected = end->rope->pattern + frame->segment;

		assert_memory_equal(rope_slot(end, frame->segment + 1, 0), expected, frame->payload_bytes);
		end->reserved_count--;
	}
	end->received[frame->segment]++;
	end->received_count++;
	rope_called(end, ROPE_RECEIVED);
}

static inline void rope_dropped(void *context, struct pccl_link *link, const struct pccl_frame *frame)
{
	struct rope_end *end = context;

	(void)link;
	assert_true(frame->payload_bytes > 0);
	rope_slot(end, frame->segment + 1, 0);
	end->reserved_count--;
	end->dropped_count++;
}

static inline void rope_acked(void *context, struct pccl_link *link, void *token)
{
	struct rope_end *end = context;

	(void)link;
	++*(uint8_t *)token;
	end->acked_count++;
	rope_called(end, ROPE_ACKED);
}

static inline void rope_pulled(void *context, struct pccl_link *link)
{
	struct rope_end *end = context;

	(void)link;
	end->pulled_count++;
}

static inline void rope_up(void *context, struct pccl_link *link)
{
	struct rope_end *end = context;

	assert_true(pccl_link_is_up(link));
	end->up_count++;
	rope_called(end, ROPE_UP);
}

static inline void rope_broken(void *context, struct pccl_link *link, bool broken)
{
	struct rope_end *end = context;

	(void)link;
	assert_int_equal(broken, !end->is_broken);
	end->is_broken = broken;
	end->broken_count += broken;
}

static inline void rope_lost(void *context, struct pccl_link *link, const char *reason)
{
	struct rope_end *end = context;

	assert_false(pccl_link_is_up(link));
	end->lost_count++;
	strncpy(end->reason, reason, sizeof(end->reason) - 1);
	rope_called(end, ROPE_LOST);
}

static const struct pccl_link_events rope_events = {.next = rope_next,
						    .accept = rope_accept,
						    .received = rope_received,
						    .dropped = rope_dropped,
						    .acked = rope_acked,
						    .pulled = rope_pulled,
						    .up = rope_up,
						    .broken = rope_broken,
						    .lost = rope_lost};

static inline void rope_arrived(void *context, struct pccl_stream *stream, const struct pccl_hello *hello)
{
	struct rope *rope = context;
	struct pccl_hello said = *hello;

	rope->arrived_count++;
	rope->instance = hello->instance;
	if (rope->instead != 0)
		said.instance = rope->instead;
	if (rope->refuse_later > 0) {
		rope->refuse_later--;
		pccl_hello_refuse(rope->loop, stream, PCCL_WELCOME_LATER, "the rope is not ready");
	} else if (rope->waiter.link == NULL) {
		ROPE_WIRE.close(stream, false);
	} else {
		pccl_link_adopt(rope->waiter.link, stream, &said);
	}
}

/* ---- life ---------------------------------------------------------------------------------------------------- */

static inline void rope_configure(struct rope_end *end, bool dials, uint16_t streams)
{
	struct pccl_link_config *config = &end->config;

	memset(config, 0, sizeof(*config));
	config->loop = end->rope->loop;
	config->group = 5;
	config->self.data[0] = dials ? 1 : 2;
	config->neighbour.data[0] = dials ? 2 : 1;
	strcpy(config->name, dials ? "rank 0 (waiter)" : "rank 1 (dialer)");
	config->places[0].transport = &ROPE_WIRE;
	config->places[0].address = end->rope->cutter.address;
	config->place_count = dials ? 1 : 0;
	config->dials = dials;
	config->lane = 3;
	config->streams = streams;
	config->connect_timeout_ns = ROPE_CONNECT_NS;
	config->redial_timeout_ns = ROPE_CONNECT_NS;
	end->discard_from = UINT32_MAX;
	end->in_order = streams == 1;
}

static inline void rope_tie(struct rope_end *end)
{
	assert_int_equal(pccl_link_create(&end->config, &rope_events, end, &end->link), pcclSuccess);
}

/* Everything but the links. */
static inline void rope_open(struct rope *rope, uint16_t streams)
{
	struct pccl_address address;
	size_t i;

	memset(rope, 0, sizeof(*rope));
	rope->dialer.rope = rope->waiter.rope = rope;
	assert_int_equal(pccl_loop_create(&rope->loop), pcclSuccess);
	assert_int_equal(pccl_address_numeric("127.0.0.1", 0, &address), pcclSuccess);
	assert_int_equal(pccl_doorman_create(rope->loop, &ROPE_WIRE, &address, 0, 2000000000u, rope_arrived, rope,
					     &rope->doorman),
			 pcclSuccess);
	pccl_address_set_port(&address, pccl_doorman_port(rope->doorman));
	cutter_open(&rope->cutter, rope->loop, &address, streams);
	rope_configure(&rope->dialer, true, streams);
	rope_configure(&rope->waiter, false, streams);
	rope->pattern = malloc(ROPE_PATTERN_BYTES);
	rope->destinations = malloc(2 * ROPE_SLOTS * (size_t)ROPE_BYTES_MOST);
	for (i = 0; i < ROPE_PATTERN_BYTES; i++)
		rope->pattern[i] = (uint8_t)pccl_rng_hash(3, i);
}

static inline void rope_arrived_at_back(void *context, struct pccl_stream *stream, const struct pccl_hello *hello)
{
	struct rope *rope = context;

	rope->arrived_count++;
	if (rope->dialer.link == NULL)
		ROPE_WIRE.close(stream, false);
	else
		pccl_link_adopt(rope->dialer.link, stream, hello);
}

/* The end that waits can dial as well. */
static inline void rope_open_back(struct rope *rope)
{
	struct pccl_link_config *config = &rope->waiter.config;
	struct pccl_address address;

	assert_int_equal(pccl_address_numeric("127.0.0.1", 0, &address), pcclSuccess);
	assert_int_equal(pccl_doorman_create(rope->loop, &ROPE_WIRE, &address, 0, 2000000000u, rope_arrived_at_back,
					     rope, &rope->back_door),
			 pcclSuccess);
	pccl_address_set_port(&address, pccl_doorman_port(rope->back_door));
	cutter_open(&rope->back_cutter, rope->loop, &address, 7);
	config->places[0].address = rope->back_cutter.address;
	config->place_count = 1;
}

static inline void rope_tie_both(struct rope *rope)
{
	rope_tie(&rope->waiter);
	rope_tie(&rope->dialer);
}

static inline void rope_close(struct rope *rope)
{
	rope_destroy_link(&rope->dialer);
	rope_destroy_link(&rope->waiter);
	pccl_doorman_destroy(rope->doorman);
	cutter_close(&rope->cutter);
	pccl_doorman_destroy(rope->back_door);
	if (rope->back_door != NULL)
		cutter_close(&rope->back_cutter);
	pccl_loop_destroy(rope->loop);
	free(rope->pattern);
	free(rope->destinations);
}

/* Gives the end frames to send, of sizes up to `bytes_most` (some of them empty). */
static inline void rope_load(struct rope_end *end, uint32_t count, uint32_t bytes_most, uint64_t seed)
{
	struct pccl_rng rng;
	uint32_t i;

	pccl_rng_seed(&rng, seed);
	for (i = end->frame_count; i < end->frame_count + count; i++) {
		uint64_t limit = pccl_rng_chance(&rng, 1, 8) ? bytes_most : bytes_most / 50 + 1;

		end->bytes[i] = pccl_rng_chance(&rng, 1, 6) ? 0 : (uint32_t)pccl_rng_below(&rng, limit + 1);
	}
	end->frame_count += count;
	if (end->link != NULL)
		pccl_link_kick(end->link);
}

/* What the links say of themselves goes to the output if it does not come true. */
static inline void rope_tell(const struct rope_end *end)
{
	char text[2000];

	if (end->link == NULL)
		return;
	pccl_link_describe(end->link, text, sizeof(text));
	print_error("%s; %u of %u frames acknowledged\n", text, end->acked_count, end->frame_count);
}

#define ROPE_UNTIL(rope, condition)                                               \
	do {                                                                      \
		uint64_t rope_end_ns = pccl_clock_ns() + wire_patience_ns;        \
		while (!(condition) && pccl_clock_ns() < rope_end_ns)             \
			pccl_loop_turn((rope)->loop, pccl_clock_ns() + 50000000); \
		if (!(condition)) {                                               \
			rope_tell(&(rope)->dialer);                               \
			rope_tell(&(rope)->waiter);                               \
		}                                                                 \
		assert_true(condition);                                           \
	} while (0)

/* Frames first to last of `from` were delivered to `to` exactly once, and acknowledged exactly once. */
static inline void rope_check(const struct rope_end *from, const struct rope_end *to)
{
	uint32_t i;

	for (i = 0; i < from->frame_count; i++) {
		assert_int_equal(to->received[i], 1);
		assert_int_equal(from->acked[i], 1);
	}
	assert_int_equal(to->received_count, from->frame_count);
	assert_int_equal(to->reserved_count, 0);
}

static inline void rope_settle(struct rope *rope)
{
	int i;

	for (i = 0; i < 80; i++)
		pccl_loop_turn(rope->loop, i < 60 ? 0 : pccl_clock_ns() + 1000000);
}

static inline uint64_t rope_unacked(const struct rope_end *end)
{
	struct pccl_link_heard heard;

	pccl_link_heard(end->link, &heard);
	return heard.unacked_frames;
}

#endif
