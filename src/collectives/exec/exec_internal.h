/* What the files of the executor share, and who does what; the state is in exec_state.h.
 *
 *	exec.c		life, views, what the carrier asks about ops
 *	exec_table.c	the ops by key, by cookie and by age, and which have something for which rank
 *	exec_launch.c	an op comes in: its memory, its lists, what can be done at once
 *	exec_send.c	what goes out, and in which order
 *	exec_receive.c	what comes in
 *	exec_early.c	frames that come before their op is launched, or before there is room for them
 *	exec_reduce.c	contributions become sums and results
 *	exec_codec.c	the same with codecs, and where what is encoded waits
 *	exec_pack.c	payloads that travel compressed
 *	exec_credit.c	the arena, the windows of the ops, credit
 *	exec_verify.c	results that are compared before the op ends
 *	exec_end.c	how ops end
 *	exec_signature.c the payload of START
 *
 * Trust. What a rank says is checked by accept(), and by received() where it can have lost its meaning meanwhile; what
 * the master decides by op_cancel() and, before a repair is launched, by pccl_plan_create_repair(). Behind those
 * everything is our own: numbers that were counted here, lists that a plan has made, tokens that come back once because
 * the carrier says so once. Only that is asserted.
 *
 * Words. A segment of this lane's share has a number among them, its *local* number. The segments to which this rank
 * adds something have an *index*: their place in the order in which contributions are awaited (and sent, by every
 * sender).
 */
#ifndef PCCL_COLLECTIVES_EXEC_INTERNAL_H
#define PCCL_COLLECTIVES_EXEC_INTERNAL_H

#include "collectives/exec/exec_state.h"

/* ---- exec_table.c ------------------------------------------------------------------------------------------------ */

/* A view is in force: nobody has anything for anybody, no op has ended in it. pcclOutOfMemory. */
pcclResult_t table_install(struct pccl_exec *exec);
void table_destroy(struct pccl_exec *exec);
/* Makes room for one more op: pcclOutOfMemory. */
pcclResult_t table_reserve(struct pccl_exec *exec);
/* An op comes in: by its cookie, and if it takes a place by its key and age as well; there is room. */
void table_add(struct pccl_exec *exec, struct op *op);
void table_forget_key(struct pccl_exec *exec, const struct op *op);
void table_forget_cookie(struct pccl_exec *exec, const struct op *op);
/* It gives its place back. */
void table_remove(struct pccl_exec *exec, const struct op *op);
/* Open ops only. */
struct op *op_find(const struct pccl_exec *exec, uint64_t tag, uint32_t sequence);
/* Open ones, and those whose outcome has not been polled. */
struct op *op_find_cookie(const struct pccl_exec *exec, const void *cookie);
/* DONE for an op that is about to go. */
void parting_add(struct pccl_exec *exec, uint32_t rank, const struct pccl_op_key *key);
struct pccl_op_key parting_take(struct pccl_exec *exec, uint32_t rank);
void lot_set(struct pccl_exec *exec, uint32_t rank, enum lot lot, const struct op *op, bool value);
/* Has any op something to send there? */
bool lots_any(const struct pccl_exec *exec, uint32_t rank);
/* NULL: none. */
struct op *lot_oldest(const struct pccl_exec *exec, uint32_t rank, enum lot lot);

/* ---- exec.c: shares and places ----------------------------------------------------------------------------------- */

uint32_t op_segment(const struct pccl_exec *exec, const struct op *op, uint32_t local);
/* False: the segment is none of this lane's share. */
bool op_local(const struct pccl_exec *exec, const struct op *op, uint32_t segment, uint32_t *local_out);
/* The number that a segment has on its way to or from another rank, and back: what moves parts knows it by the part. */
uint32_t op_frame_segment(const struct pccl_exec *exec, const struct op *op, uint32_t local);
bool op_local_from(const struct pccl_exec *exec, const struct op *op, uint32_t rank, uint32_t segment,
		   uint32_t *local_out);
/* The share's segments before a segment: the local number that a run of segments begins or ends with. */
uint32_t op_local_before(const struct pccl_exec *exec, const struct op *op, uint32_t segment);
const struct pccl_route *op_route(const struct op *op, uint32_t local);
uint32_t op_elements(const struct pccl_exec *exec, const struct op *op, uint32_t local);
/* Where this rank's own input of a segment is now. */
const void *op_own(const struct pccl_exec *exec, const struct op *op, uint32_t local);
void *op_output(const struct pccl_exec *exec, const struct op *op, uint32_t local);
void *op_undo(const struct pccl_exec *exec, const struct op *op, uint32_t local);
/* Bytes of a segment in memory; of its result as it travels; and of a contribution or partial sum as it travels. */
uint32_t op_segment_bytes(const struct pccl_exec *exec, const struct op *op, uint32_t local);
uint32_t op_result_bytes(const struct pccl_exec *exec, const struct op *op, uint32_t local);
uint32_t op_partial_bytes(const struct pccl_exec *exec, const struct op *op, uint32_t local, bool is_sum);

/* ---- exec_signature.c -------------------------------------------------------------------------------------------- */

void signature_encode(const struct pccl_op_signature *signature, uint8_t out[SIGNATURE_BYTES]);
/* What another rank is told, and what it has to say: not the same where each has its own view of what goes between
 * them. */
void signature_to(const struct op *op, uint32_t rank, uint8_t out[SIGNATURE_BYTES]);
void signature_from(const struct op *op, uint32_t rank, uint8_t out[SIGNATURE_BYTES]);
/* Of an op whose root is gone? */
bool signature_lost_root(const uint8_t encoded[SIGNATURE_BYTES]);
/* "all-reduce of 20 float32 (sum, direct)". */
void signature_describe(const uint8_t encoded[SIGNATURE_BYTES], char *text, size_t text_bytes);

/* ---- exec_send.c ------------------------------------------------------------------------------------------------- */

/* What others may be told of an op without having launched it is counted per rank. It has come to that, or the op is
 * over: gives back what it has taken there. */
void unasked_end(struct pccl_exec *exec, struct op *op, uint32_t rank);
/* To be called for an op and a rank after anything that may give it something to send, or take it away. */
void refresh_control(struct pccl_exec *exec, struct op *op, uint32_t rank);
void refresh_results(struct pccl_exec *exec, struct op *op, uint32_t rank);
void refresh_partials(struct pccl_exec *exec, struct op *op, uint32_t rank);
/* The op has nothing for anybody any more. */
void refresh_nothing(struct pccl_exec *exec, struct op *op);
void refresh_all(struct pccl_exec *exec, struct op *op);
/* What travels of a segment's result. */
const void *result_payload(const struct pccl_exec *exec, const struct op *op, uint32_t local);

/* ---- exec_early.c ------------------------------------------------------------------------------------------------ */

pcclResult_t early_install(struct pccl_exec *exec, uint32_t ranks);
void early_destroy(struct pccl_exec *exec);
void early_release(struct pccl_exec *exec, struct early *early);
/* NULL: none. */
struct early *early_find(const struct pccl_exec *exec, uint32_t rank, const struct pccl_op_key *key);
enum pccl_frame_verdict early_accept(struct pccl_exec *exec, uint32_t rank, const struct pccl_frame *frame,
				     void **destination_out);
void early_received(struct pccl_exec *exec, uint32_t rank, const struct pccl_frame *frame);
void early_dropped(struct pccl_exec *exec, uint32_t rank, const struct pccl_frame *frame);
/* Ops of this tag before the sequence will never be launched here. */
void early_purge(struct pccl_exec *exec, uint64_t tag, uint32_t sequence);

/* What is kept of the op, or on its way, becomes the op's. */
void early_adopt(struct pccl_exec *exec, struct op *op, uint32_t rank);

/* What a frame uses up of what may be sent without being asked. */
uint32_t eager_cost(uint32_t payload_bytes);
/* Takes room for a frame's payload; NULL: there is none, the sender has sent more than it may. */
void *region_store(struct pccl_exec *exec, uint32_t rank, struct region **region, const struct pccl_frame *frame,
		   struct stored **stored_out);
/* The stored frame of this type and segment that is in this state; NULL: none, or no region. */
struct stored *region_find(const struct region *region, const struct pccl_frame *frame, enum arrival arrival);
/* Is the frame here or on its way already? */
bool region_has(const struct region *region, const struct pccl_frame *frame);
/* All frames of a region: starts with NULL, ends with NULL. */
struct stored *region_next(const struct region *region, const struct stored *after);
void *stored_payload(struct stored *stored);
void region_free(struct pccl_exec *exec, uint32_t rank, struct region **region);

uint32_t ended_sets(uint32_t room);
void ended_copy(const struct table *from, struct table *to);
bool ended_before(const struct pccl_exec *exec, uint64_t tag, uint32_t sequence);
void ended_note(struct pccl_exec *exec, uint64_t tag, uint32_t sequence);

enum pccl_frame_verdict reject(uint32_t rank, const struct pccl_frame *frame, const char *what);

/* Is it a segment whose payload is packed? (A refusal's flags are something else.) */
static inline bool is_packed(const struct pccl_frame *frame)
{
	return pccl_frame_is_segment(frame) && (frame->flags & PCCL_FRAME_PACKED) != 0;
}

/* ---- exec_receive.c ---------------------------------------------------------------------------------------------- */

/* START of a rank is here: compares, and takes in what was kept because of its lack. */
void start_arrived(struct pccl_exec *exec, struct op *op, uint32_t rank);

/* ---- exec_reduce.c ----------------------------------------------------------------------------------------------- */

struct work *work_at(const struct op *op, uint32_t index);
const void **work_inputs(const struct op *op, uint32_t index);
uint32_t *work_slots(const struct op *op, uint32_t index);
void work_reset(struct op *op, uint32_t index);
/* The place of this rank's own input among the inputs of a sum. */
uint32_t own_position(const struct pccl_exec *exec, const struct pccl_route *route);
/* All contributions of this index are here, and there was no slot for its result so far. */
void result_retry(struct pccl_exec *exec, struct op *op, uint32_t index);
/* Another contribution of this index is here: adds up if it was the last one. */
void contribution_arrived(struct pccl_exec *exec, struct op *op, uint32_t index);
/* Nobody else contributes. */
void sum_alone(struct pccl_exec *exec, struct op *op, uint32_t index);
/* The sum of this segment has been sent and is not needed any more. */
void sum_sent(struct pccl_exec *exec, struct op *op, uint32_t local);
/* Keeps the input that is about to be overwritten. */
void undo_save(struct pccl_exec *exec, struct op *op, uint32_t local);
/* Gives input back: all that was saved, or that of segments which are not held. */
void undo_restore(struct pccl_exec *exec, struct op *op, bool all);
/* The result of a segment is complete in `output`. */
void result_hold(const struct pccl_exec *exec, struct op *op, uint32_t local);
/* Do several of the ranks get segments with a checksum? Then it is taken once. */
bool several_check(const struct pccl_exec *exec, const uint32_t *ranks, uint32_t count);
/* It is ready to be passed on. */
void result_log(struct pccl_exec *exec, struct op *op, uint32_t local, bool in_cache);
/* This rank's own input is the result: copies it to the output. */
void result_copy_own(struct pccl_exec *exec, struct op *op, uint32_t local);

/* ---- exec_codec.c ------------------------------------------------------------------------------------------------ */

/* Reads the codecs of the launch: pcclInvalidArgument, with a text, if there are no such codecs. */
pcclResult_t coder_init(const struct pccl_exec *exec, struct op *op);
/* How many slots the op needs; their memory; pcclOutOfMemory. */
void coder_plan(const struct pccl_exec *exec, struct op *op);
pcclResult_t coder_open(struct op *op);
void coder_close(struct op *op);
/* Room that encoding and adding need besides. */
size_t coder_bounce_bytes(const struct op *op);
/* Does this rank's contribution, or the result, of a segment travel encoded? What would not get smaller doesn't. */
bool contribution_is_coded(const struct pccl_exec *exec, const struct op *op, uint32_t local);
bool result_is_coded(const struct pccl_exec *exec, const struct op *op, uint32_t local);
uint32_t coded_contribution_bytes(const struct op *op, uint32_t elements);
uint32_t coded_result_bytes(const struct op *op, uint32_t elements);
/* What is encoded of a segment now; NULL: nothing. */
const void *encoded_memory(const struct op *op, uint32_t local);
/* Is there a slot to encode a segment into? */
bool coder_has_room(const struct op *op);
/* Encodes this rank's contribution for those it goes to. False: the codec can't carry it, and the op is failing. */
bool contribution_encode(struct pccl_exec *exec, struct op *op, uint32_t local);
/* A frame of what is encoded of a segment was acknowledged. */
void encoded_sent(struct pccl_exec *exec, struct op *op, uint32_t local);
/* All contributions of this index are here: the result of it, into `output`. False: there is no slot for it now, or the
 * op is failing. */
bool coded_reduce(struct pccl_exec *exec, struct op *op, uint32_t index);
/* Decodes a result that came into `output`, or was kept elsewhere, into `output`. */
void result_decode(struct pccl_exec *exec, struct op *op, uint32_t local, const void *encoded);

/* ---- exec_pack.c ------------------------------------------------------------------------------------------------- */

/* What may be packed of an op, here and elsewhere, and memory for that: pcclOutOfMemory. */
pcclResult_t pack_prepare(struct pccl_exec *exec, struct op *op);
void pack_open(struct op *op);
/* Gives the op's slots back. */
void pack_close(struct pccl_exec *exec, const struct op *op);
/* Ends the memory of all slots: no op has one. */
void pack_forget(struct pccl_exec *exec);
/* Puts the packed payload in place of the whole one, if that is worth while; `may`: the rank that it goes to has room
 * to unpack it. To be called once for each rank that the payload goes to. */
void pack_outgoing(struct pccl_exec *exec, struct op *op, bool may, struct outgoing *out);
/* A frame out of a slot was acknowledged: tells what it was made from. False: the slot is not the op's. */
bool pack_sent(struct pccl_exec *exec, struct op *op, uint32_t slot, uint32_t *local_out, enum token_kind *kind_out);
/* Will the next segment be packed? A guess. */
bool pack_is_likely(const struct pccl_exec *exec, const struct op *op);
/* May a payload of `whole_bytes` come as so few? */
bool packed_fits(const struct op *op, uint32_t bytes, uint32_t whole_bytes);
/* A packed payload is here: makes it whole. False: it can't be, and the rank has violated the protocol. */
bool unpack_contribution(struct pccl_exec *exec, struct op *op, uint32_t rank, uint32_t local, uint32_t position,
			 uint32_t bytes);
bool unpack_result(struct pccl_exec *exec, struct op *op, uint32_t rank, uint32_t local, uint32_t bytes);

/* ---- exec_credit.c ----------------------------------------------------------------------------------------------- */

pcclResult_t arena_install(struct pccl_exec *exec, uint32_t ranks);
void arena_destroy(struct pccl_exec *exec);
/* How much room an op can use. */
void window_plan(const struct pccl_exec *exec, struct op *op);
/* The first window; memory of its own if the op can't go without and the arena has none: pcclOutOfMemory. */
pcclResult_t window_open(struct pccl_exec *exec, struct op *op);
uint32_t window_blocks(const struct op *op, uint32_t window);
/* All ranks have started. */
void window_sure(struct pccl_exec *exec, struct op *op);
void window_close(struct pccl_exec *exec, struct op *op);
void scratch_give(struct pccl_exec *exec, struct op *op);
void scratch_forget(struct pccl_exec *exec);
/* Gives as much credit as the window has room for. */
void credit_grow(struct pccl_exec *exec, struct op *op);
/* An index has been added up and is free. */
void credit_close(struct pccl_exec *exec, struct op *op, uint32_t index);
uint32_t slot_take(struct op *op);
void slot_give(struct op *op, uint32_t slot);
uint8_t *slot_memory(const struct pccl_exec *exec, const struct op *op, uint32_t slot);

/* ---- exec_verify.c ----------------------------------------------------------------------------------------------- */

/* Is there a result that all have alike, and was that to be compared? */
bool verify_applies(const struct pccl_exec *exec, const struct op *op);
uint32_t verify_parts(const struct pccl_exec *exec);
/* The result of a segment is complete in `output`. */
void verify_hold(const struct pccl_exec *exec, struct op *op, uint32_t local);
struct check *checks_of(const struct pccl_exec *exec, const struct op *op, uint32_t rank);
/* All of the share is held, and all have started. */
void verify_begin(struct pccl_exec *exec, struct op *op);
/* Is the digest of a part still to come from the rank? */
bool check_may_come(const struct pccl_exec *exec, const struct op *op, uint32_t rank, uint32_t part);
void check_arrived(struct pccl_exec *exec, struct op *op, uint32_t rank, uint32_t part);
/* Words for a refusal because results differ. */
void verify_describe(const struct pccl_exec *exec, struct op *op, uint32_t rank, const struct refusal *refusal);

/* ---- exec_end.c -------------------------------------------------------------------------------------------------- */

/* Ends the op if nothing is missing any more. To be called after every event that may have been the last. */
void op_settle(struct pccl_exec *exec, struct op *op);
/* Signatures differ: the op ends here, and tells the others. */
void op_mismatch(struct pccl_exec *exec, struct op *op, uint32_t rank);
/* `rank` has found that the root is gone. */
void op_lose_root(struct pccl_exec *exec, struct op *op, uint32_t rank);
/* Others refuse the op, or this rank does. */
void op_refused(struct pccl_exec *exec, struct op *op);
/* An element can't be carried: nothing is added or sent any more, and the op ends when all have started. */
void op_fail_element(struct pccl_exec *exec, struct op *op, enum pccl_frame_refusal reason, uint32_t local,
		     size_t element);
void op_cancel(struct pccl_exec *exec, struct op *op, pcclResult_t result, const char *detail, bool restore);
/* Puts an op that had nothing to do among the ended ones. */
void op_end_at_once(struct pccl_exec *exec, struct op *op);
/* Lets go of scratch and of what came early. The carrier has forgotten the op. */
void op_release(struct pccl_exec *exec, struct op *op);
/* Ends the memory of an op that nobody needs any more. */
void op_destroy(struct pccl_exec *exec, struct op *op);

#endif
