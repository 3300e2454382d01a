#include "transport/link/dialler.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/fail.h"

/* All of them are told of, as far as there is room. */
static void note_reason(struct pccl_dialler *dialler, const char *reason)
{
	size_t used = strlen(dialler->reason);
	size_t left = sizeof(dialler->reason) - used;

	if (used == 0 || strlen(reason) + 2 < left)
		snprintf(dialler->reason + used, left, "%s%s", used > 0 ? "; " : "", reason);
}

/* The timer's work, soon. */
static void wake(struct pccl_dialler *dialler)
{
	pccl_loop_timer_set(dialler->loop, &dialler->timer, pccl_loop_now(dialler->loop));
}

static void close_try(struct pccl_dialler_try *one)
{
	struct pccl_stream *stream = one->stream;

	one->stream = NULL;
	one->connected = false;
	if (stream != NULL)
		stream->transport->close(stream, false);
}

/* ---- what is heard of streams that are being dialled --------------------------------------------------------- */

static void on_opened(void *context, struct pccl_stream *stream)
{
	struct pccl_dialler_try *one = context;
	struct pccl_dialler *dialler = one->dialler;

	one->connected = true;
	if (dialler->busy)
		return;
	dialler->busy = true;
	dialler->busy_try = (uint32_t)(one - dialler->tries);
	one->stream = NULL;
	one->connected = false;
	stream->transport->detach(stream);
	dialler->connected(dialler->context, stream, dialler->busy_try);
}

/* Who is called speaks after HELLO only. */
static enum pccl_frame_verdict on_header(void *context, struct pccl_stream *stream, const struct pccl_frame *frame,
					 void **destination_out)
{
	(void)context;
	(void)stream;
	(void)destination_out;
	pccl_fail(pcclRankConnectionFailed, "a frame of type %u came before HELLO", frame->type);
	return PCCL_FRAME_REJECT;
}

static void on_broken(void *context, struct pccl_stream *stream, const char *reason)
{
	struct pccl_dialler_try *one = context;

	one->unfit = stream->unfit;
	note_reason(one->dialler, reason);
	close_try(one);
	wake(one->dialler);
}

static const struct pccl_stream_events try_events = {.opened = on_opened, .header = on_header, .broken = on_broken};

/* ---- trying -------------------------------------------------------------------------------------------------- */

/* So many go round among themselves; the order of the others is that of the places. */
static uint32_t round_of(const struct pccl_dialler *dialler)
{
	return dialler->way_count > 0 ? dialler->way_count : dialler->place_count;
}

static uint32_t place_at(const struct pccl_dialler *dialler, uint32_t turn)
{
	const uint32_t round = round_of(dialler);

	return turn < round ? (dialler->first + turn) % round : turn;
}

uint32_t pccl_dialler_turn_of(const struct pccl_dialler *dialler, uint32_t place)
{
	const uint32_t round = round_of(dialler);

	return place < round ? (place + round - dialler->first) % round : place;
}

uint32_t pccl_dialler_goes_on_at(const struct pccl_dialler *dialler)
{
	uint32_t i;

	if (dialler->busy)
		return (pccl_dialler_turn_of(dialler, dialler->busy_try) + 1) % dialler->place_count;
	for (i = 0; i < dialler->place_count; i++) {
		const uint32_t turn = (dialler->begin + i) % dialler->place_count;

		if (!dialler->tries[place_at(dialler, turn)].dialled)
			return turn;
	}
	return dialler->begin;
}

/* False: all have been. */
static bool dial_next(struct pccl_dialler *dialler)
{
	uint32_t i;

	for (i = 0; i < dialler->place_count; i++) {
		uint32_t index = place_at(dialler, (dialler->begin + i) % dialler->place_count);
		const struct pccl_place *place = &dialler->places[index];
		struct pccl_dialler_try *one = &dialler->tries[index];

		if (one->dialled)
			continue;
		one->dialled = true;
		if (place->transport->dial(place->transport, dialler->loop, &place->address,
					   place->from.bytes > 0 ? &place->from : NULL, &try_events, one,
					   &one->stream) == pcclSuccess)
			return true;
		note_reason(dialler, pccl_fail_text());
	}
	return false;
}

bool pccl_dialler_has_more(const struct pccl_dialler *dialler)
{
	uint32_t i;

	for (i = 0; i < dialler->place_count; i++)
		if (!dialler->tries[i].dialled || dialler->tries[i].stream != NULL)
			return true;
	return false;
}

bool pccl_dialler_is_unfit(const struct pccl_dialler *dialler)
{
	uint32_t i;

	for (i = 0; i < dialler->place_count; i++)
		if (!dialler->tries[i].unfit)
			return false;
	return dialler->place_count > 0;
}

static void on_timer(struct pccl_timer *timer)
{
	struct pccl_dialler *dialler = timer->context;
	uint32_t i;

	for (i = 0; i < dialler->place_count && !dialler->busy; i++)
		if (dialler->tries[i].connected) {
			wake(dialler); /* the others go on */
			on_opened(&dialler->tries[i], dialler->tries[i].stream);
			return;
		}
	if (dial_next(dialler))
		pccl_loop_timer_set(dialler->loop, timer, pccl_loop_now(dialler->loop) + PCCL_DIALLER_APART_NS);
	else if (!dialler->busy && !pccl_dialler_has_more(dialler))
		dialler->failed(dialler->context, dialler->reason);
}

void pccl_dialler_start(struct pccl_dialler *dialler)
{
	uint32_t i;

	assert(dialler->place_count > 0 && dialler->place_count <= PCCL_DIALLER_PLACES_MAX);
	assert(dialler->way_count <= dialler->place_count);
	assert(dialler->first < round_of(dialler) && dialler->begin < dialler->place_count);
	memset(dialler->tries, 0, sizeof(dialler->tries));
	for (i = 0; i < dialler->place_count; i++)
		dialler->tries[i].dialler = dialler;
	dialler->busy = false;
	dialler->reason[0] = '\0';
	dialler->timer.fire = on_timer;
	dialler->timer.context = dialler;
	wake(dialler);
}

void pccl_dialler_next(struct pccl_dialler *dialler, const char *reason, bool unfit)
{
	assert(dialler->busy);
	dialler->busy = false;
	dialler->tries[dialler->busy_try].unfit = unfit;
	note_reason(dialler, reason);
	wake(dialler);
}

void pccl_dialler_stop(struct pccl_dialler *dialler)
{
	uint32_t i;

	if (dialler->loop == NULL)
		return;
	for (i = 0; i < dialler->place_count; i++)
		close_try(&dialler->tries[i]);
	pccl_loop_timer_clear(dialler->loop, &dialler->timer);
}
