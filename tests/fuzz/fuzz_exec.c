/* The executor among hostile peers and under a hostile master: the bytes are events, most of them frames with fields
 * that nearly fit, or don't. Payloads are written where accept() says, in pieces, finished in any order, or dropped.
 * Views change, and decisions about open ops come with them that have nothing to do with what is here. Nothing may be
 * written outside the buffers, no assertion may fail, and what ends with success holds everything. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/bitmap.h"
#include "collectives/codec/codec.h"
#include "collectives/codec/codec_lossless.h"
#include "collectives/element/dtype.h"
#include "collectives/exec/exec.h"

#define RANKS 3 /* at most */
#define HELD_WORDS (PCCL_SEGMENTS_MAX / 64)
#define LANES 2
#define OPS 6
#define COMING_MAX 12
#define TOKENS_MAX 16
#define START_BYTES 26
#define EVENTS_MAX 4000

const unsigned long fuzz_mutations = 250; /* a run takes 1 ms, and 20 under a sanitizer */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* What this peer may launch. Tags follow the number. */
static const struct {
	enum pccl_collective kind;
	pcclPlan_t algorithm;
	pcclDataType_t datatype;
	pcclRedOp_t op;
	uint64_t count;
	bool in_place;
	uint8_t codec;
} calls[OPS] = {
	{PCCL_ALL_REDUCE, pcclPlanOneshot, pcclFloat, pcclSum, 100, false, 0},
	{PCCL_ALL_REDUCE, pcclPlanDirect, pcclBFloat16, pcclAvg, 30000, true, 0},
	{PCCL_ALL_REDUCE, pcclPlanRing, pcclFloat16, pcclSum, 40000, true, 0},
	{PCCL_BROADCAST, pcclPlanDirect, pcclUint8, pcclSum, 20000, false, 0},
	{PCCL_REDUCE_SCATTER, pcclPlanDirect, pcclInt32, pcclMax, 5000, true, 0},
	{PCCL_ALL_REDUCE, pcclPlanDirect, pcclFloat, pcclSum, 12000, false, PCCL_CODEC_INT8},
};

struct call {
	struct pccl_exec_launch launch;
	struct pccl_plan *plan;
	uint8_t *input, *output, *undo;
	uint64_t held[RANKS][HELD_WORDS]; /* of a repair: what the master says */
	bool open;
};

/* A frame whose payload has not come completely. */
struct coming {
	bool used;
	uint32_t rank;
	struct pccl_frame frame;
	void *destination;
};

struct state {
	const uint8_t *at, *end;
	struct pccl_exec *exec;
	uint32_t epoch;
	uint32_t ranks;
	bool frozen;
	uint32_t sequences[OPS];
	struct call calls[OPS];
	struct coming coming[COMING_MAX];
	void *tokens[TOKENS_MAX];
	uint8_t starts[OPS][START_BYTES]; /* as others would send them */
};

static uint8_t take(struct state *s)
{
	return s->at < s->end ? *s->at++ : 0;
}

/* ---- this peer's ops --------------------------------------------------------------------------------------------- */

static void fill_launch(const struct state *s, uint32_t index, struct call *call)
{
	struct pccl_exec_launch *launch = &call->launch;

	memset(launch, 0, sizeof(*launch));
	launch->key.tag = index;
	launch->key.sequence = s->sequences[index];
	launch->signature.kind = (uint8_t)calls[index].kind;
	launch->signature.datatype = (uint8_t)calls[index].datatype;
	launch->signature.op = (uint8_t)calls[index].op;
	launch->signature.algorithm = (uint8_t)calls[index].algorithm;
	launch->signature.count = calls[index].count;
	launch->signature.root = calls[index].kind == PCCL_BROADCAST ? 1 : 0;
	if (calls[index].codec != 0) {
		launch->signature.up.id = launch->signature.down.id = calls[index].codec;
		launch->signature.up.block = launch->signature.down.block = 256;
	}
	launch->packing = (enum pccl_packing)(index % 3);
	launch->divisor = calls[index].op == pcclAvg ? s->ranks : 0;
	launch->cookie = call;
}

/* Ops are cut for the largest view, as survivors do. */
static void cut(uint32_t index, struct pccl_geometry *geometry_out)
{
	pccl_geometry_cut(calls[index].kind, RANKS, calls[index].count, pccl_dtype_bytes(calls[index].datatype), 256,
			  geometry_out);
}

static void make_buffers(uint32_t index, struct call *call)
{
	size_t part = (size_t)calls[index].count * pccl_dtype_bytes(calls[index].datatype);
	size_t all = calls[index].kind == PCCL_REDUCE_SCATTER ? part * RANKS : part;

	call->input = calloc(1, all);
	call->output = calls[index].in_place ? call->input : calloc(1, part);
	call->undo = calls[index].in_place ? calloc(1, part) : NULL;
	if (call->input == NULL || call->output == NULL)
		abort();
	call->launch.input = call->input;
	call->launch.output = call->output;
	call->launch.undo = call->undo;
}

static void close_call(struct call *call)
{
	pccl_plan_destroy(call->plan);
	call->plan = NULL;
	call->open = false;
	if (call->output != call->input)
		free(call->output);
	free(call->input);
	free(call->undo);
}

static void start_call(struct state *s, struct call *call)
{
	call->launch.plan = call->plan;
	call->open = true;
	if (pccl_exec_launch(s->exec, &call->launch) != pcclSuccess)
		abort();
}

/* Parts of ops by rank are cut for the view: those are not launched in a smaller one. */
static bool may_launch(const struct state *s, uint32_t index)
{
	return !s->calls[index].open && !s->frozen && (s->ranks == RANKS || calls[index].kind != PCCL_REDUCE_SCATTER);
}

static void launch(struct state *s, uint32_t index)
{
	struct call *call = &s->calls[index];

	if (!may_launch(s, index))
		return;
	fill_launch(s, index, call);
	make_buffers(index, call);
	cut(index, &call->launch.geometry);
	if (pccl_plan_create(calls[index].kind, calls[index].algorithm, s->ranks, 0, 1, &call->launch.geometry,
			     &call->plan) != pcclSuccess)
		abort();
	start_call(s, call);
}

/* As the master says, of an op like this one or of another. */
static void launch_repair(struct state *s, uint32_t index)
{
	struct call *call = &s->calls[index];
	const uint64_t *held[RANKS];
	struct pccl_plan_holders holders = {.rank_count = s->ranks, .held = held};
	uint32_t rank, word;
	pcclResult_t result;

	if (!may_launch(s, index))
		return;
	fill_launch(s, index, call);
	cut(index, &call->launch.geometry);
	holders.segment_count = call->launch.geometry.segment_count + (take(s) % 8 == 0 ? take(s) : 0);
	for (rank = 0; rank < s->ranks; rank++) {
		for (word = 0; word < 2; word++)
			call->held[rank][word] = take(s) * UINT64_C(0x0101010101010101) & take(s) * UINT64_C(0x1111);
		held[rank] = take(s) % 4 == 0 ? NULL : call->held[rank];
	}
	result = pccl_plan_create_repair(calls[index].kind, s->ranks, 0, &call->launch.geometry, &holders, &call->plan);
	if ((result == pcclSuccess) !=
	    (calls[index].kind == PCCL_ALL_REDUCE && holders.segment_count == call->launch.geometry.segment_count))
		abort();
	if (result != pcclSuccess)
		return;
	make_buffers(index, call);
	call->launch.signature.algorithm = 0;
	if (held[0] == NULL)
		memset(call->held[0], 0, sizeof(call->held[0]));
	call->launch.held = call->held[0];
	start_call(s, call);
}

static void forget(struct state *s, const struct call *call)
{
	uint32_t index;

	for (index = 0; index < COMING_MAX; index++)
		if (call == NULL || (s->coming[index].frame.tag == call->launch.key.tag &&
				     s->coming[index].frame.sequence == call->launch.key.sequence))
			s->coming[index].used = false;
}

static void close_outcome(struct state *s, const struct pccl_exec_outcome *outcome)
{
	struct call *call = outcome->cookie;

	if (!call->open)
		abort();
	if ((outcome->result == pcclSuccess) != (outcome->detail[0] == '\0'))
		abort();
	s->sequences[call - s->calls]++;
	close_call(call);
}

static bool take_outcome(struct state *s, struct pccl_exec_outcome *outcome_out)
{
	pcclResult_t result;
	struct call *ending = pccl_exec_ending(s->exec, &result);

	if (ending != NULL)
		forget(s, ending);
	return pccl_exec_poll(s->exec, outcome_out);
}

static void poll(struct state *s)
{
	struct pccl_exec_outcome outcome;

	while (take_outcome(s, &outcome))
		close_outcome(s, &outcome);
}

static void cancel(struct state *s, uint32_t index, pcclResult_t result)
{
	if (!s->calls[index].open)
		return;
	forget(s, &s->calls[index]);
	pccl_exec_cancel(s->exec, &s->calls[index], result, "cancelled", take(s) % 2 == 0);
	poll(s);
}

/* The master says that the op is complete: so it is, or it ends in words. */
static void commit(struct state *s, uint32_t index)
{
	struct call *call = &s->calls[index];
	struct pccl_exec_outcome outcome;
	uint64_t held[HELD_WORDS] = {0};
	bool complete;

	if (!call->open)
		return;
	forget(s, call);
	pccl_exec_report(s->exec, call, held, &complete);
	pccl_exec_cancel(s->exec, call, pcclSuccess, "", false);
	while (call->open) {
		if (!take_outcome(s, &outcome))
			abort();
		if (outcome.cookie == call && outcome.result != pcclSuccess && complete)
			abort();
		close_outcome(s, &outcome);
	}
}

static void next_view(struct state *s, uint32_t ranks)
{
	pccl_exec_freeze(s->exec);
	if (pccl_exec_install(s->exec, ++s->epoch, ranks, 0) != pcclSuccess)
		abort();
	s->frozen = false;
	s->ranks = ranks;
}

/* What becomes of the open ops, and of one that this peer has not launched. */
static void decide(struct state *s, uint32_t index, bool redo)
{
	uint8_t verdict = take(s) % 4;

	if (!redo && verdict == 0)
		commit(s, index);
	if (!redo)
		cancel(s, index, pcclRankConnectionLost);
	else if (verdict == 2)
		launch(s, index);
	else if (verdict == 3)
		launch_repair(s, index);
}

static void change_view(struct state *s)
{
	uint32_t index;

	pccl_exec_freeze(s->exec);
	s->frozen = true;
	if (take(s) % 4 == 0)
		return; /* frames may still come in between */
	forget(s, NULL);
	for (index = 0; index < OPS; index++)
		decide(s, index, false);
	poll(s);
	next_view(s, RANKS - take(s) % 2);
	for (index = 0; index < OPS; index++)
		decide(s, index, true);
}

/* ---- frames from outside ----------------------------------------------------------------------------------------- */

static void fill_segment(struct state *s, uint32_t index, struct pccl_frame *frame)
{
	struct pccl_geometry geometry;
	uint32_t elements, bytes = take(s);

	cut(index, &geometry);
	frame->segment = take(s);
	if (frame->segment >= geometry.segment_count) {
		frame->payload_bytes = bytes * 300;
		return;
	}
	/* Most often the right size of a plain input, a partial sum, or something else. */
	elements = pccl_geometry_elements(&geometry, frame->segment);
	frame->payload_bytes = elements * (uint32_t)pccl_dtype_bytes(calls[index].datatype);
	if (bytes >= 200)
		frame->payload_bytes = elements * 4;
	if (bytes >= 220)
		frame->payload_bytes = elements + (elements + 255) / 256 * 4;
	if (bytes >= 240)
		frame->payload_bytes = bytes;
}

/* The same byte many times, as the stage makes it of so many elements, in `out`; or only how long that is. */
static uint32_t packed_bytes(uint32_t whole_bytes, pcclDataType_t type, uint8_t filler, uint8_t *out)
{
	static struct pccl_lossless *lossless;
	static uint8_t whole[PCCL_SEGMENT_BYTES_MAX], scrap[PCCL_SEGMENT_BYTES_MAX];

	if (lossless == NULL && pccl_lossless_create(sizeof(whole), &lossless) != pcclSuccess)
		abort();
	if (whole_bytes > sizeof(whole))
		return 0;
	memset(whole, filler, whole_bytes);
	return (uint32_t)pccl_lossless_encode(lossless, whole, whole_bytes / pccl_dtype_bytes(type), type,
					      out != NULL ? out : scrap, whole_bytes);
}

/* Of elements of the op's own type; all bytes alike take equally many. */
static void pack(struct pccl_frame *frame)
{
	uint32_t bytes = packed_bytes(frame->payload_bytes, calls[frame->tag].datatype, 0, NULL);

	if (bytes == 0)
		return;
	frame->aux = 0;
	frame->flags = PCCL_FRAME_PACKED;
	frame->payload_bytes = bytes;
}

static void fill_frame(struct state *s, struct pccl_frame *frame)
{
	static const uint8_t types[] = {PCCL_FRAME_START,  PCCL_FRAME_PARTIAL, PCCL_FRAME_PARTIAL, PCCL_FRAME_RESULT,
					PCCL_FRAME_CREDIT, PCCL_FRAME_DONE,    PCCL_FRAME_REFUSE,  PCCL_FRAME_ACK};
	uint8_t choice = take(s), odd = take(s);
	uint32_t index = choice / 8 % OPS;

	memset(frame, 0, sizeof(*frame));
	frame->type = types[choice % 8];
	frame->epoch = s->epoch;
	frame->tag = index;
	frame->sequence = s->sequences[index];
	if (frame->type == PCCL_FRAME_PARTIAL || frame->type == PCCL_FRAME_RESULT)
		fill_segment(s, index, frame);
	else if (frame->type == PCCL_FRAME_START)
		frame->payload_bytes = START_BYTES;
	if (frame->type == PCCL_FRAME_START || frame->type == PCCL_FRAME_CREDIT)
		frame->aux = odd % 16;
	if ((frame->type == PCCL_FRAME_PARTIAL || frame->type == PCCL_FRAME_RESULT) && odd % 4 == 0)
		pack(frame);
	if (odd < 200)
		return;
	switch (odd % 8) {
	case 0:
		frame->sequence += take(s) % 4;
		break;
	case 1:
		frame->sequence -= take(s) % 4;
		break;
	case 2:
		frame->epoch += take(s) % 3 - 1u;
		break;
	case 3:
		frame->tag = take(s);
		break;
	case 4:
		frame->payload_bytes = take(s) * 70000u;
		break;
	case 5:
		frame->segment = take(s) * 0x01010101u;
		break;
	case 6:
		frame->aux = take(s) * 0x01010101u;
		break;
	default:
		frame->flags = take(s);
		frame->lane = take(s) % 2;
		break;
	}
}

/* What can be unpacked, if the frame has the size of that. */
static void unpackable(const struct coming *coming, uint8_t filler)
{
	uint8_t packed[PCCL_SEGMENT_BYTES_MAX];
	uint32_t index = (uint32_t)(coming->frame.tag % OPS), bytes;
	struct pccl_geometry geometry;

	cut(index, &geometry);
	if (coming->frame.segment >= geometry.segment_count)
		return;
	bytes = packed_bytes(pccl_geometry_elements(&geometry, coming->frame.segment) *
				     (uint32_t)pccl_dtype_bytes(calls[index].datatype),
			     calls[index].datatype, filler, packed);
	if (bytes == coming->frame.payload_bytes)
		memcpy(coming->destination, packed, bytes);
}

/* As the payload comes: right or wrong signatures, any elements. */
static void write_payload(struct state *s, const struct coming *coming)
{
	uint8_t filler = take(s);

	if (coming->destination == NULL)
		return;
	memset(coming->destination, filler, coming->frame.payload_bytes);
	if (coming->frame.type != PCCL_FRAME_REFUSE && coming->frame.flags == PCCL_FRAME_PACKED && filler < 230)
		unpackable(coming, filler);
	if (coming->frame.type == PCCL_FRAME_START && filler < 230)
		memcpy(coming->destination, s->starts[coming->frame.tag % OPS], START_BYTES);
}

static void finish(struct state *s, uint32_t index)
{
	struct coming *coming = &s->coming[index % COMING_MAX];

	if (!coming->used)
		return;
	coming->used = false;
	write_payload(s, coming);
	if (take(s) % 8 == 0)
		pccl_exec_dropped(s->exec, coming->rank, &coming->frame);
	else
		pccl_exec_received(s->exec, coming->rank, &coming->frame);
	poll(s);
}

static void come(struct state *s)
{
	uint32_t index = 0;
	struct coming *coming;

	while (index < COMING_MAX && s->coming[index].used)
		index++;
	if (index == COMING_MAX) {
		finish(s, take(s));
		return;
	}
	coming = &s->coming[index];
	fill_frame(s, &coming->frame);
	coming->rank = 1 + take(s) % (s->ranks - 1);
	coming->destination = NULL;
	if (pccl_exec_accept(s->exec, coming->rank, &coming->frame, &coming->destination) != PCCL_FRAME_TAKE)
		return;
	if ((coming->destination != NULL) != (coming->frame.payload_bytes > 0))
		abort();
	coming->used = true;
	/* Some of it is here at once; most often all of it. */
	if (coming->destination != NULL)
		memset(coming->destination, 0, (coming->frame.payload_bytes + 1) / 2);
	if (take(s) % 4 != 0 || coming->frame.payload_bytes == 0)
		finish(s, index);
}

/* ---- the other way ----------------------------------------------------------------------------------------------- */

static void send_some(struct state *s)
{
	uint32_t rank = 1 + take(s) % (s->ranks - 1), count = take(s) % 32;
	struct pccl_frame_send send;

	while (count-- > 0 && pccl_exec_next(s->exec, rank, &send)) {
		volatile uint8_t last;

		if (send.frame.payload_bytes > 0)
			last = ((const uint8_t *)send.payload)[send.frame.payload_bytes - 1];
		(void)last;
		if (send.token != NULL)
			s->tokens[count % TOKENS_MAX] = send.token;
		poll(s);
	}
}

static void acknowledge(struct state *s)
{
	uint32_t index = take(s) % TOKENS_MAX;

	pccl_exec_sent(s->exec, s->tokens[index]);
	s->tokens[index] = NULL;
	poll(s);
}

static void one_event(struct state *s)
{
	uint8_t event = take(s);

	if (event < 20)
		launch(s, event % OPS);
	else if (event < 60)
		send_some(s);
	else if (event < 80)
		acknowledge(s);
	else if (event < 110)
		finish(s, take(s));
	else if (event < 112)
		cancel(s, take(s) % OPS, event == 110 ? pcclAborted : pcclMismatch);
	else if (event < 115)
		change_view(s);
	else
		come(s);
}

/* START as the others send it has the signature of this peer's own. */
static void learn_starts(struct state *s)
{
	uint32_t index;

	for (index = 0; index < OPS; index++) {
		struct pccl_frame_send send;

		launch(s, index);
		/* Only lane 0 of two: an op whose home it is not may have nothing here. */
		while (pccl_exec_next(s->exec, 1, &send))
			if (send.frame.type == PCCL_FRAME_START)
				memcpy(s->starts[index], send.payload, START_BYTES);
		poll(s);
	}
	for (index = 0; index < OPS; index++)
		cancel(s, index, pcclAborted);
}

/* One executor serves all inputs, each in views of its own: making one takes longer than an input. */
static struct state *fresh_state(const uint8_t *data, size_t bytes)
{
	static struct state s;
	struct pccl_exec_config config = {.lanes = LANES};

	if (s.exec == NULL) {
		if (pccl_exec_create(&config, &s.exec) != pcclSuccess)
			abort();
		next_view(&s, RANKS);
		learn_starts(&s);
	}
	next_view(&s, RANKS);
	s.at = data;
	s.end = data + bytes;
	memset(s.sequences, 0, sizeof(s.sequences));
	memset(s.tokens, 0, sizeof(s.tokens));
	return &s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct state *s = fresh_state(data, bytes);
	uint32_t index, events;

	for (events = 0; events < EVENTS_MAX && s->at < s->end; events++)
		one_event(s);
	forget(s, NULL);
	s->at = s->end;
	for (index = 0; index < OPS; index++)
		cancel(s, index, pcclAborted);
	poll(s);
	return 0;
}
