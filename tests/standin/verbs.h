/*
 * A stand-in for libibverbs: a library of that name with the functions that pccl calls, and one device that has the
 * address 127.0.0.1 and reaches itself. Queue pairs are of this process; what is sent is carried by a thread, in order,
 * and checked as a device would: keys, ranges, receives that are there. The program ends if it breaks the rules of
 * verbs.
 */
#ifndef PCCL_TESTS_STANDIN_VERBS_H
#define PCCL_TESTS_STANDIN_VERBS_H

#include <stdbool.h>
#include <stdint.h>

struct standin_verbs {
	/* Nothing gets through from now on, and senders are told so; or everything does. */
	void (*cut)(bool cut);
	/* The nth call from now on that makes something fails, counted from 1; 0: none. */
	void (*fail_at)(long nth);
	/* Did it? */
	bool (*failed)(void);
	/* What was made and was not ended. */
	long (*left)(void);
	/* The device has no address from now on; or the one it had. */
	void (*hide)(bool hide);
	/* Messages that have been carried. */
	long (*carried)(void);
};

extern const struct standin_verbs pccl_standin_verbs;

#endif
