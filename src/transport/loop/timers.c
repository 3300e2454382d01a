#include "transport/loop/timers.h"

#include <stdbool.h>
#include <stddef.h>

#include <assert.h>
#include <stddef.h>

static bool comes_before(const struct pccl_timer *left, const struct pccl_timer *right)
{
	if (left->when_ns != right->when_ns)
		return left->when_ns < right->when_ns;
	return left->serial < right->serial;
}

/* Two heaps to one: the later root becomes the first child of the earlier. Either may be NULL. */
static struct pccl_timer *meld(struct pccl_timer *left, struct pccl_timer *right)
{
	struct pccl_timer *top = left;
	struct pccl_timer *below = right;

	if (left == NULL)
		return right;
	if (right == NULL)
		return left;
	if (comes_before(right, left)) {
		top = right;
		below = left;
	}
	below->sibling = top->child;
	if (top->child != NULL)
		top->child->previous = below;
	below->previous = top;
	top->child = below;
	return top;
}

/* The heaps of a list of siblings to one: first in pairs from left to right, then the pairs from right to left. */
static struct pccl_timer *meld_siblings(struct pccl_timer *first)
{
	struct pccl_timer *pairs = NULL; /* last pair first, through `sibling` */
	struct pccl_timer *top = NULL;

	while (first != NULL) {
		struct pccl_timer *second = first->sibling;
		struct pccl_timer *rest = second != NULL ? second->sibling : NULL;
		struct pccl_timer *pair;

		first->sibling = first->previous = NULL;
		if (second != NULL)
			second->sibling = second->previous = NULL;
		pair = meld(first, second);
		pair->sibling = pairs;
		pairs = pair;
		first = rest;
	}
	while (pairs != NULL) {
		struct pccl_timer *rest = pairs->sibling;

		pairs->sibling = NULL;
		top = meld(top, pairs);
		pairs = rest;
	}
	return top;
}

void pccl_timers_insert(struct pccl_timers *timers, struct pccl_timer *timer)
{
	timer->serial = ++timers->serial;
	timer->child = timer->sibling = timer->previous = NULL;
	timers->first = meld(timers->first, timer);
}

void pccl_timers_remove(struct pccl_timers *timers, struct pccl_timer *timer)
{
	struct pccl_timer *below = meld_siblings(timer->child);

	timer->child = NULL;
	if (timer == timers->first) {
		timers->first = below;
		return;
	}
	assert(timer->previous != NULL);
	if (timer->previous->child == timer)
		timer->previous->child = timer->sibling;
	else
		timer->previous->sibling = timer->sibling;
	if (timer->sibling != NULL)
		timer->sibling->previous = timer->previous;
	timer->sibling = timer->previous = NULL;
	timers->first = meld(timers->first, below);
}
