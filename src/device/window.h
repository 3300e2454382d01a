/*
 * One thread's view of the bytes of tensors, wherever they lie. Memory of the host is seen where it is. That of a CUDA
 * device passes through two pinned buffers of PCCL_CHUNK_BYTES: while one is worked on, the other is copied.
 *
 * Bytes come and go in groups, in order:
 *
 *	out of tensors	begin(a)  begin(b)  look(a) work on a  begin(c)  look(b) work on b ...
 *	into tensors	room(a) fill a  store(a)  room(b) fill b  store(b) ...  flush()
 *
 * A group's bytes are at the pieces' `seen` from look() until the next but one begin(), or from room() to store().
 */
#ifndef PCCL_DEVICE_WINDOW_H
#define PCCL_DEVICE_WINDOW_H

#include <pccl.h>
#include <stddef.h>
#include <stdint.h>

#include "device/cuda.h"

#define PCCL_WINDOW_SLOTS 2

struct pccl_window_piece {
	const char *name; /* of its tensor, for words */
	uint8_t *at;
	pcclDeviceType_t device;
	size_t bytes;
	uint8_t *seen; /* set by begin() and room() */
};

struct pccl_window {
	const struct pccl_cuda *cuda; /* NULL: nothing on such a device has been met */
	pccl_cuda_context before;     /* the thread's own */
	pccl_cuda_context context;    /* of what was met last, and the thread's for as long */
	int device;		      /* whose primary context that is and was retained; negative: it was not */
	pccl_cuda_stream stream;
	struct pccl_window_slot {
		uint8_t *pinned;
		pccl_cuda_event copied;
		bool copies; /* something was begun that has not been waited for */
	} slots[PCCL_WINDOW_SLOTS];
	uint32_t begun; /* groups; each takes the next slot */
	uint32_t looked;
};

void pccl_window_init(struct pccl_window *window);
/* Waits for what was begun. */
void pccl_window_fini(struct pccl_window *window);

/* What one group may hold in bytes of a device, those of each piece rounded up to this. */
#define PCCL_WINDOW_ALIGNMENT 64

/* All: errors of the driver, in words. After one of them only fini() is of use. Before a context's memory is first
 * touched, whatever the program has given its device to do is waited for. */
pcclResult_t pccl_window_begin(struct pccl_window *window, struct pccl_window_piece *pieces, size_t count);
pcclResult_t pccl_window_look(struct pccl_window *window);
pcclResult_t pccl_window_room(struct pccl_window *window, struct pccl_window_piece *pieces, size_t count);
pcclResult_t pccl_window_store(struct pccl_window *window, const struct pccl_window_piece *pieces, size_t count);
pcclResult_t pccl_window_flush(struct pccl_window *window);

#endif
