/*
 * A stand-in for libibverbs: a library of that name with the functions that pccl calls, and two devices that have the
 * addresses 127.0.0.1 and 127.0.0.2, of which each reaches itself. Queue pairs are of this process; what is sent is
 * carried by a thread, in order, and checked as a device would: keys, ranges, receives that are there. The program ends
 * if it breaks the rules of verbs.
 */
#ifndef PCCL_TESTS_STANDIN_VERBS_H
#define PCCL_TESTS_STANDIN_VERBS_H

#include <stdbool.h>
#include <stdint.h>

enum standin_rule {
	STANDIN_CUT,	     /* nothing gets through, and senders are told so */
	STANDIN_HELD,	     /* likewise, and they are told nothing */
	STANDIN_NARROW,	     /* to messages of more than a packet of Ethernet, which does not get through */
	STANDIN_NO_ADDRESS,  /* the devices have not those that they have, but are on InfiniBand */
	STANDIN_NO_RECEIVES, /* can be posted */
	STANDIN_RULES
};

struct standin_verbs {
	/* From now on it is so; or not any more. */
	void (*rule)(enum standin_rule rule, bool holds);
	/* The nth call from now on that makes something fails, counted from 1; 0: none. */
	void (*fail_at)(long nth);
	/* Did it? */
	const bool *failed;
	/* What was made and was not ended. */
	long (*left)(void);
	/* Who is told of each poll that finds nothing, by the thread that polls; NULL: nobody. */
	void (*watch)(void (*empty)(void *context), void *context);
	/* Messages that have been carried. */
	long (*carried)(void);
};

extern const struct standin_verbs pccl_standin_verbs;

#endif
