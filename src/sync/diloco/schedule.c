/* Fragments and their steps. */
#include "sync/diloco/schedule.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/fail.h"
#include "base/log.h"
#include "base/memory.h"
#include "sync/diloco/schedule_internal.h"

struct entry { /* for sorting: qsort() has no context */
	const char *name;
	size_t count;
	size_t tensor;
	uint32_t fragment;
};

static int compare_names(const void *left, const void *right)
{
	return strcmp(((const struct entry *)left)->name, ((const struct entry *)right)->name);
}

static int compare_sizes(const void *left, const void *right)
{
	const struct entry *a = (const struct entry *)left, *b = (const struct entry *)right;

	if (a->count != b->count)
		return a->count > b->count ? -1 : 1;
	return strcmp(a->name, b->name);
}

static int compare_fragments(const void *left, const void *right)
{
	const struct entry *a = (const struct entry *)left, *b = (const struct entry *)right;

	if (a->fragment != b->fragment)
		return a->fragment < b->fragment ? -1 : 1;
	return strcmp(a->name, b->name);
}

/* The largest first, each to the fragment that has the least: of equal ones to the first. */
static void balance(struct entry *entries, size_t count, struct pccl_schedule *schedule)
{
	size_t index;
	uint32_t fragment;

	qsort(entries, count, sizeof(*entries), compare_sizes);
	for (index = 0; index < count; index++) {
		uint32_t least = 0;

		for (fragment = 1; fragment < schedule->fragment_count; fragment++)
			if (schedule->fragments[fragment].elements < schedule->fragments[least].elements)
				least = fragment;
		entries[index].fragment = least;
		schedule->fragments[least].elements += entries[index].count;
	}
	for (fragment = 0; fragment < schedule->fragment_count; fragment++)
		schedule->fragments[fragment].elements = 0;
}

static pcclResult_t divide(struct entry *entries, size_t count, const pcclDilocoSettings_t *settings,
			   struct pccl_schedule *schedule)
{
	size_t index;

	if (settings->division == pcclDilocoBalanced) {
		balance(entries, count, schedule);
		return pcclSuccess;
	}
	for (index = 0; index < count; index++) {
		const size_t tensor = entries[index].tensor;
		const bool is_given = settings->division == pcclDilocoGiven;
		const uint32_t fragment =
			is_given ? settings->fragment_of[tensor] : (uint32_t)(tensor % settings->fragments);

		if (fragment >= settings->fragments)
			return pccl_fail(pcclInvalidArgument, "tensor '%s' is to be in fragment %u of %u",
					 entries[index].name, fragment, settings->fragments);
		entries[index].fragment = fragment;
	}
	return pcclSuccess;
}

/* Within a fragment tensors stand by name. */
static pcclResult_t lay_out(struct entry *entries, size_t count, struct pccl_schedule *schedule)
{
	size_t index;
	uint32_t fragment;

	qsort(entries, count, sizeof(*entries), compare_fragments);
	for (index = 0; index < count; index++) {
		struct pccl_fragment *at = &schedule->fragments[entries[index].fragment];
		const size_t tensor = entries[index].tensor;

		if (at->count == 0)
			at->first = index;
		schedule->order[index] = tensor;
		schedule->fragment_of[tensor] = entries[index].fragment;
		schedule->place[tensor] = at->elements;
		at->elements += entries[index].count;
		at->count++;
	}
	for (fragment = 0; fragment < schedule->fragment_count; fragment++)
		if (schedule->fragments[fragment].count == 0)
			return pccl_fail(pcclInvalidArgument, "fragment %u has no tensor", fragment);
	return pcclSuccess;
}

/* Streaming spreads the fragments over the interval; in all other modes they go together at its end. */
static void set_steps(struct pccl_schedule *schedule, const pcclDilocoSettings_t *settings)
{
	const uint32_t count = schedule->fragment_count;
	uint32_t fragment, before = 0;

	schedule->interval = settings->interval;
	schedule->delay = 0;
	if (settings->mode == pcclDilocoDelayed || settings->mode == pcclDilocoEager)
		schedule->delay = settings->interval;
	else if (settings->mode == pcclDilocoStreaming)
		schedule->delay = settings->overlap;
	schedule->distance_least = settings->interval;
	schedule->distance_most = settings->mode == pcclDilocoStreaming ? 0 : settings->interval;
	for (fragment = 0; fragment < count; fragment++) {
		struct pccl_fragment *at = &schedule->fragments[fragment];

		at->offset = settings->interval;
		if (settings->mode != pcclDilocoStreaming)
			continue;
		at->offset = (uint32_t)((uint64_t)(fragment + 1) * settings->interval / count);
		if (at->offset - before < schedule->distance_least)
			schedule->distance_least = at->offset - before;
		if (at->offset - before > schedule->distance_most)
			schedule->distance_most = at->offset - before;
		before = at->offset;
	}
	if (schedule->distance_least != schedule->distance_most)
		pccl_log_warn("an interval of %u steps is not a multiple of %u fragments: rounds begin %u to %u steps "
			      "apart, so the peak rate is above the average",
			      settings->interval, count, schedule->distance_least, schedule->distance_most);
}

/* Pieces begin over as many steps as the next round is away, but an eighth of what the round has at least is for what
 * comes before and after them: half for the roll call, as pieces that wait for it would go out together. */
static void cut(struct pccl_schedule *schedule, const pcclDilocoSettings_t *settings)
{
	const uint32_t apart =
		settings->mode == pcclDilocoStreaming ? settings->interval / settings->fragments : settings->interval;
	uint32_t most = settings->pieces == 0 ? PCCL_PIECES_MAX : settings->pieces, fragment;

	schedule->spread = schedule->delay - schedule->delay / 8;
	if (schedule->spread > apart)
		schedule->spread = apart;
	schedule->lead = (schedule->delay - schedule->spread) / 2;
	if (most > schedule->spread)
		most = schedule->spread;
	for (fragment = 0; fragment < schedule->fragment_count; fragment++) {
		struct pccl_fragment *at = &schedule->fragments[fragment];
		size_t pieces = at->elements / PCCL_PIECE_LEAST;

		at->pieces = 1;
		at->piece = at->elements;
		if (pieces > most)
			pieces = most;
		if (pieces < 2)
			continue;
		at->piece = ((at->elements + pieces - 1) / pieces + 63) / 64 * 64;
		at->pieces = (uint32_t)((at->elements + at->piece - 1) / at->piece);
	}
}

static void put_float(struct pccl_writer *writer, float value)
{
	uint32_t bits;

	memcpy(&bits, &value, sizeof(bits));
	pccl_put_u32(writer, bits);
}

/* Everything on which peers have to agree, as bytes. */
static pcclResult_t sign(const struct entry *entries, size_t count, const pcclDilocoSettings_t *settings,
			 struct pccl_schedule *schedule)
{
	size_t bytes = 128, index;
	struct pccl_writer writer;
	uint8_t *text;

	for (index = 0; index < count; index++)
		bytes += strlen(entries[index].name) + 16;
	text = pccl_alloc(bytes);
	if (text == NULL)
		return pcclOutOfMemory;
	writer = pccl_writer_over(text, bytes);
	pccl_put_u32(&writer, (uint32_t)settings->mode);
	pccl_put_u32(&writer, (uint32_t)settings->rule);
	pccl_put_u32(&writer, settings->interval);
	pccl_put_u32(&writer, schedule->delay);
	pccl_put_u32(&writer, settings->pieces);
	pccl_put_u32(&writer, settings->quorum);
	pccl_put_u32(&writer, settings->quorum > 0 ? settings->grace_ms : 0);
	put_float(&writer, settings->mode == pcclDilocoStreaming ? settings->alpha : 0);
	put_float(&writer, settings->learning_rate);
	put_float(&writer, settings->momentum);
	put_float(&writer, settings->rule == pcclDilocoCo2 ? settings->clip : 0);
	pccl_put_u8(&writer, settings->rule == pcclDilocoCo2 && settings->penalize);
	pccl_put_u8(&writer, settings->check_parity);
	pccl_put_u32(&writer, (uint32_t)settings->codec);
	pccl_put_u32(&writer, (uint32_t)settings->codec_down);
	for (index = 0; index < count; index++) {
		pccl_put_string(&writer, entries[index].name);
		pccl_put_u64(&writer, entries[index].count);
		pccl_put_u32(&writer, entries[index].fragment);
	}
	schedule->signature = pccl_digest_of(text, bytes - pccl_writer_left(&writer));
	pccl_free(text);
	return pcclSuccess;
}

static pcclResult_t build(struct pccl_schedule *schedule, struct entry *entries, size_t count,
			  const pcclDilocoSettings_t *settings)
{
	pcclResult_t result;
	size_t index;

	qsort(entries, count, sizeof(*entries), compare_names);
	for (index = 1; index < count; index++)
		if (strcmp(entries[index - 1].name, entries[index].name) == 0)
			return pccl_fail(pcclInvalidArgument, "two tensors have the name '%s'", entries[index].name);
	result = divide(entries, count, settings, schedule);
	if (result == pcclSuccess)
		result = lay_out(entries, count, schedule);
	if (result == pcclSuccess) {
		set_steps(schedule, settings);
		cut(schedule, settings);
		result = sign(entries, count, settings, schedule);
	}
	return result;
}

pcclResult_t pccl_schedule_init(struct pccl_schedule *schedule, const pcclTensorInfo_t *tensors, size_t count,
				const pcclDilocoSettings_t *settings)
{
	pcclResult_t result = pccl_schedule_check(tensors, count, settings);
	struct entry *entries;
	size_t index;

	memset(schedule, 0, sizeof(*schedule));
	if (result != pcclSuccess)
		return result;
	schedule->tensor_count = count;
	schedule->fragment_count = settings->fragments;
	schedule->tag = settings->tag;
	schedule->last_tag = pccl_schedule_last_tag(settings);
	schedule->fragments = pccl_calloc(settings->fragments, sizeof(*schedule->fragments));
	schedule->fragment_of = pccl_calloc(count, sizeof(*schedule->fragment_of));
	schedule->place = pccl_calloc(count, sizeof(*schedule->place));
	schedule->order = pccl_calloc(count, sizeof(*schedule->order));
	entries = pccl_calloc(count, sizeof(*entries));
	result = pcclOutOfMemory;
	if (schedule->fragments != NULL && schedule->fragment_of != NULL && schedule->place != NULL &&
	    schedule->order != NULL && entries != NULL) {
		for (index = 0; index < count; index++) {
			entries[index].name = tensors[index].name;
			entries[index].count = tensors[index].count;
			entries[index].tensor = index;
		}
		result = build(schedule, entries, count, settings);
	}
	pccl_free(entries);
	return result;
}

void pccl_schedule_fini(struct pccl_schedule *schedule)
{
	pccl_free(schedule->fragments);
	pccl_free(schedule->fragment_of);
	pccl_free(schedule->place);
	pccl_free(schedule->order);
	memset(schedule, 0, sizeof(*schedule));
}

bool pccl_schedule_begins(const struct pccl_schedule *schedule, uint32_t fragment, uint64_t step)
{
	return step > 0 && step % schedule->interval == schedule->fragments[fragment].offset % schedule->interval;
}

uint64_t pccl_schedule_next(const struct pccl_schedule *schedule, uint64_t step)
{
	const uint64_t base = step - step % schedule->interval;
	uint64_t next = UINT64_MAX;
	uint32_t fragment;

	for (fragment = 0; fragment < schedule->fragment_count; fragment++) {
		uint64_t begins = base + schedule->fragments[fragment].offset;

		if (begins <= step)
			begins += schedule->interval;
		if (begins < next)
			next = begins;
	}
	return next;
}

uint32_t pccl_schedule_pieces_due(const struct pccl_schedule *schedule, uint32_t fragment, uint64_t elapsed)
{
	const uint64_t pieces = schedule->fragments[fragment].pieces;
	uint64_t due;

	if (elapsed < schedule->lead)
		return 0;
	elapsed -= schedule->lead;
	if (elapsed >= schedule->spread)
		return (uint32_t)pieces;
	due = ((elapsed + 1) * pieces + schedule->spread - 1) / schedule->spread;
	return (uint32_t)(due < pieces ? due : pieces);
}

uint64_t pccl_schedule_piece_begins(const struct pccl_schedule *schedule, uint32_t fragment, uint32_t index)
{
	return schedule->lead + (uint64_t)index * schedule->spread / schedule->fragments[fragment].pieces;
}

#define FRAGMENT_TAGS (PCCL_PIECES_MAX + 1)

uint64_t pccl_schedule_roll_tag(const struct pccl_schedule *schedule, uint32_t fragment)
{
	return schedule->tag + (uint64_t)fragment * FRAGMENT_TAGS;
}

uint64_t pccl_schedule_piece_tag(const struct pccl_schedule *schedule, uint32_t fragment, uint32_t piece)
{
	return pccl_schedule_roll_tag(schedule, fragment) + 1 + piece;
}

uint64_t pccl_schedule_tag_count(const pcclDilocoSettings_t *settings)
{
	return (uint64_t)settings->fragments * FRAGMENT_TAGS + 1;
}

uint64_t pccl_schedule_last_tag(const pcclDilocoSettings_t *settings)
{
	const uint64_t count = pccl_schedule_tag_count(settings);

	return settings->tag > UINT64_MAX - (count - 1) ? UINT64_MAX : settings->tag + (count - 1);
}
