/*
 * Error feedback: what a codec took from this peer's contribution is added to its next one, so that over many ops
 * nothing is lost.
 *
 * What is left over belongs to an op only once that op has succeeded: begin(), then for each run of elements that
 * leaves encode(), and for each that this peer adds itself take(), in any order, any number of times, by several
 * threads if their runs are apart; at last commit() if the op succeeded, and nothing at all if it failed: the next
 * begin() forgets it. So an op that is repeated, or repaired, sends the same bytes as before, and nothing is lost
 * or applied twice.
 */
#ifndef PCCL_COLLECTIVES_CODEC_FEEDBACK_H
#define PCCL_COLLECTIVES_CODEC_FEEDBACK_H

#include "collectives/codec.h"

/* What is left over of one tensor. */
struct pccl_feedback;

/* For `count` elements of a floating point type; nothing is left over yet. The caller ends it with
 * pccl_feedback_destroy(). Returns pcclOutOfMemory; *feedback_out is NULL then. */
pcclResult_t pccl_feedback_create(size_t count, pcclDataType_t type, struct pccl_feedback **feedback_out);

/* NULL is fine. */
void pccl_feedback_destroy(struct pccl_feedback *feedback);

/* An op begins, or is begun anew; what was not committed is forgotten. */
void pccl_feedback_begin(struct pccl_feedback *feedback);

/* As pccl_codec_encode(), of the elements `first` ... first + count - 1 at `in` plus what is left over of them.
 * `params` are those of the elements: their type is that of the feedback. `first` is a multiple of
 * pccl_codec_align_elements(). */
size_t pccl_feedback_encode(struct pccl_feedback *feedback, const struct pccl_codec_params *params, size_t first,
			    const void *in, size_t count, void *out);

/* sums_out[i] = in[i] plus what is left over, in the partial type: for elements that are not encoded but added
 * here. */
void pccl_feedback_take(struct pccl_feedback *feedback, size_t first, const void *in, size_t count, void *sums_out);

/* The op has succeeded: what is left over now is what its encoding took. */
void pccl_feedback_commit(struct pccl_feedback *feedback);

#endif
