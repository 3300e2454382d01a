/* See window.h. */
#include "device/window.h"

#include <assert.h>
#include <string.h>

#include "base/fail.h"
#include "sync/state/digest.h"

#define HOST_ALLOC_PORTABLE 1 /* pinned for all contexts */
#define EVENT_PLAIN 2	      /* without times */

void pccl_window_init(struct pccl_window *window)
{
	memset(window, 0, sizeof(*window));
	window->device = -1;
}

static pcclResult_t check(const struct pccl_window *window, const char *what, int error)
{
	return error == 0 ? pcclSuccess : pccl_cuda_failure(window->cuda, what, error);
}

/* ---- contexts ------------------------------ */

/* Waits for what was begun and ends what belongs to the context. Pinned buffers stay, with what was copied there.
 * Returns the driver's error if something was not. */
static int strip(struct pccl_window *window)
{
	const struct pccl_cuda *cuda = window->cuda;
	size_t index;
	int error = 0;

	if (window->stream != NULL) {
		error = cuda->stream_synchronize(window->stream);
		(void)cuda->stream_destroy(window->stream);
	}
	window->stream = NULL;
	for (index = 0; index < PCCL_WINDOW_SLOTS; index++) {
		struct pccl_window_slot *slot = &window->slots[index];

		if (slot->copied != NULL)
			(void)cuda->event_destroy(slot->copied);
		slot->copied = NULL;
		slot->copies = false;
	}
	return error;
}

/* A context that was retained stays so for as long as it is the thread's. */
static void let_go(const struct pccl_cuda *cuda, int device)
{
	if (device >= 0)
		(void)cuda->primary_release(device);
}

static pcclResult_t equip(struct pccl_window *window)
{
	const struct pccl_cuda *cuda = window->cuda;
	pcclResult_t result = check(window, "wait for a device", cuda->context_synchronize());
	size_t index;

	if (result == pcclSuccess)
		result = check(window, "make a stream", cuda->stream_create(&window->stream, 0));
	for (index = 0; result == pcclSuccess && index < PCCL_WINDOW_SLOTS; index++) {
		struct pccl_window_slot *slot = &window->slots[index];

		result = check(window, "make an event", cuda->event_create(&slot->copied, EVENT_PLAIN));
		if (result == pcclSuccess && slot->pinned == NULL) {
			void *pinned = NULL;

			result = check(window, "pin memory of the host",
				       cuda->host_alloc(&pinned, PCCL_CHUNK_BYTES, HOST_ALLOC_PORTABLE));
			slot->pinned = pinned;
		}
	}
	return result;
}

/* The context of the piece becomes the thread's. */
static pcclResult_t enter_context(struct pccl_window *window, const struct pccl_window_piece *piece)
{
	pccl_cuda_context context;
	pcclResult_t result = pcclSuccess;
	int device, error;

	if (window->cuda == NULL)
		result = pccl_cuda_load(&window->cuda);
	if (result != pcclSuccess) {
		window->cuda = NULL;
		return pccl_fail(result, "tensor '%.100s': %s", piece->name, pccl_fail_text());
	}
	result = pccl_cuda_owner(window->cuda, piece->at, &context, &device);
	if (result != pcclSuccess)
		return pccl_fail(result, "tensor '%.100s': %s", piece->name, pccl_fail_text());
	if (context == window->context) {
		let_go(window->cuda, device);
		return pcclSuccess;
	}
	error = strip(window);
	if (error == 0 && window->context == NULL)
		error = window->cuda->context_get(&window->before);
	if (error == 0)
		error = window->cuda->context_set(context);
	if (error != 0) {
		let_go(window->cuda, device);
		return check(window, "go to the context of a tensor", error);
	}
	let_go(window->cuda, window->device);
	window->context = context;
	window->device = device;
	return equip(window);
}

void pccl_window_fini(struct pccl_window *window)
{
	size_t index;

	if (window->context != NULL) {
		(void)strip(window);
		for (index = 0; index < PCCL_WINDOW_SLOTS; index++)
			if (window->slots[index].pinned != NULL)
				(void)window->cuda->host_free(window->slots[index].pinned);
		(void)window->cuda->context_set(window->before);
		let_go(window->cuda, window->device);
	}
	pccl_window_init(window);
}

/* ---- groups ------------------------------ */

static pcclResult_t wait_for(struct pccl_window *window, struct pccl_window_slot *slot)
{
	if (!slot->copies)
		return pcclSuccess;
	slot->copies = false;
	return check(window, "copy a tensor", window->cuda->event_synchronize(slot->copied));
}

/* After the copies of one group were begun in this slot. */
static pcclResult_t mark(struct pccl_window *window, struct pccl_window_slot *slot)
{
	slot->copies = true;
	return check(window, "follow a copy", window->cuda->event_record(slot->copied, window->stream));
}

static size_t rounded(size_t bytes)
{
	return (bytes + PCCL_WINDOW_ALIGNMENT - 1) / PCCL_WINDOW_ALIGNMENT * PCCL_WINDOW_ALIGNMENT;
}

pcclResult_t pccl_window_begin(struct pccl_window *window, struct pccl_window_piece *pieces, size_t count)
{
	struct pccl_window_slot *slot = &window->slots[window->begun++ % PCCL_WINDOW_SLOTS];
	pcclResult_t result = pcclSuccess;
	size_t index, used = 0;

	assert(window->begun - window->looked <= PCCL_WINDOW_SLOTS);
	for (index = 0; result == pcclSuccess && index < count; index++) {
		struct pccl_window_piece *piece = &pieces[index];

		piece->seen = piece->at;
		if (piece->device != pcclDeviceCuda || piece->bytes == 0)
			continue;
		result = enter_context(window, piece);
		assert(piece->bytes <= PCCL_CHUNK_BYTES - used);
		if (result != pcclSuccess)
			break;
		piece->seen = slot->pinned + used;
		used += rounded(piece->bytes);
		result = check(window, "copy a tensor",
			       window->cuda->copy_to_host(piece->seen, (uint64_t)(uintptr_t)piece->at, piece->bytes,
							  window->stream));
	}
	return result == pcclSuccess && used > 0 ? mark(window, slot) : result;
}

pcclResult_t pccl_window_look(struct pccl_window *window)
{
	assert(window->looked != window->begun);
	return wait_for(window, &window->slots[window->looked++ % PCCL_WINDOW_SLOTS]);
}

pcclResult_t pccl_window_room(struct pccl_window *window, struct pccl_window_piece *pieces, size_t count)
{
	struct pccl_window_slot *slot = &window->slots[window->begun++ % PCCL_WINDOW_SLOTS];
	pcclResult_t result = wait_for(window, slot);
	size_t index, used = 0;

	for (index = 0; result == pcclSuccess && index < count; index++) {
		struct pccl_window_piece *piece = &pieces[index];

		piece->seen = piece->at;
		if (piece->device != pcclDeviceCuda || piece->bytes == 0)
			continue;
		result = enter_context(window, piece);
		assert(piece->bytes <= PCCL_CHUNK_BYTES - used);
		piece->seen = slot->pinned + used;
		used += rounded(piece->bytes);
	}
	return result;
}

pcclResult_t pccl_window_store(struct pccl_window *window, const struct pccl_window_piece *pieces, size_t count)
{
	struct pccl_window_slot *slot = &window->slots[window->looked++ % PCCL_WINDOW_SLOTS];
	pcclResult_t result = pcclSuccess;
	size_t index;
	bool any = false;

	assert(window->looked == window->begun);
	for (index = 0; result == pcclSuccess && index < count; index++) {
		const struct pccl_window_piece *piece = &pieces[index];

		if (piece->device != pcclDeviceCuda || piece->bytes == 0)
			continue;
		result = enter_context(window, piece);
		if (result != pcclSuccess)
			break;
		any = true;
		result = check(window, "copy a tensor",
			       window->cuda->copy_to_device((uint64_t)(uintptr_t)piece->at, piece->seen, piece->bytes,
							    window->stream));
	}
	return result == pcclSuccess && any ? mark(window, slot) : result;
}

pcclResult_t pccl_window_flush(struct pccl_window *window)
{
	pcclResult_t result = pcclSuccess;
	size_t index;

	for (index = 0; result == pcclSuccess && index < PCCL_WINDOW_SLOTS; index++)
		result = wait_for(window, &window->slots[index]);
	return result;
}
