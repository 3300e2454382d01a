/* Tells a function that calls out whether the object was ended, or handed to another thread, by who was called. The
 * function puts a guard on its own stack and looks at that, for the object itself may be gone. Guards nest. */
#ifndef PCCL_TRANSPORT_GUARD_H
#define PCCL_TRANSPORT_GUARD_H

#include <stdbool.h>
#include <stddef.h>

struct pccl_guard {
	bool gone;
	struct pccl_guard *outer;
};

/* `top` is a field of the guarded object. */
static inline void pccl_guard_enter(struct pccl_guard **top, struct pccl_guard *guard)
{
	guard->gone = false;
	guard->outer = *top;
	*top = guard;
}

/* Before returning, if guard->gone is false; if it is true the object must not be touched. */
static inline void pccl_guard_leave(struct pccl_guard **top, struct pccl_guard *guard)
{
	*top = guard->outer;
}

/* The object ends: tells all who are calling out. */
static inline void pccl_guard_tell(struct pccl_guard **top)
{
	struct pccl_guard *guard;

	for (guard = *top; guard != NULL; guard = guard->outer)
		guard->gone = true;
	*top = NULL;
}

#endif
