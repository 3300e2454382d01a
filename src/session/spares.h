/* Memory that ops in place have used, kept for the next: touching fresh memory costs more than the copy into it. Pure;
 * no lock. */
#ifndef PCCL_SESSION_SPARES_H
#define PCCL_SESSION_SPARES_H

#include <stddef.h>
#include <stdint.h>

#define PCCL_SPARES_MAX 32
#define PCCL_SPARES_BYTES ((size_t)32 << 20)	/* of all that are kept */
#define PCCL_SPARE_BYTES_MIN ((size_t)64 << 10) /* less comes from the heap, which has it at hand */

struct pccl_spares {
	struct pccl_spare {
		void *memory;
		size_t bytes;
	} spares[PCCL_SPARES_MAX]; /* the oldest first */
	uint32_t count;
	size_t bytes;
};

/* At least so many bytes (not 0), and not much more than four times as many: a kept buffer or a new one. The caller
 * owns it and gives it back with its size, *bytes_out. NULL: out of memory. */
void *pccl_spares_take(struct pccl_spares *spares, size_t bytes, size_t *bytes_out);

/* Keeps what pccl_spares_take() gave, in place of the oldest ones if need be, or frees it. NULL is allowed. */
void pccl_spares_give(struct pccl_spares *spares, void *memory, size_t bytes);

/* Frees all that is kept. */
void pccl_spares_clear(struct pccl_spares *spares);

#endif
