/* Streams that came before the view that has their callers. How many there are, and for how long, is bounded whatever
 * callers do and however often views change: each holds a descriptor. */
#include <assert.h>

#include "base/uuid.h"
#include "session/lane_internal.h"

#define ONCE_MORE "it has called once more"

static void unlist(struct pccl_lane *lane, struct pccl_lane_guest **place)
{
	assert(lane->guest_count > 0);
	*place = (*place)->next;
	lane->guest_count--;
}

static void turn_away(struct pccl_lane *lane, struct pccl_lane_guest **place, const char *why)
{
	struct pccl_lane_guest *guest = *place;

	unlist(lane, place);
	lane->calls->turn_away(lane->config.context, guest, why);
}

/* Of two calls about one stream, which may come in another order than they were made. */
static bool is_later(const struct pccl_lane_guest *guest, const struct pccl_lane_guest *other)
{
	if (guest->instance != other->instance)
		return guest->instance > other->instance;
	return (int32_t)(guest->resumption - other->resumption) > 0;
}

/* Who calls again about a stream has given up the call before. False: that again was this one. */
static bool turn_away_older(struct pccl_lane *lane, const struct pccl_lane_guest *guest)
{
	struct pccl_lane_guest **place = &lane->guests;

	while (*place != NULL) {
		if (!pccl_uuid_equal(&(*place)->from, &guest->from) || (*place)->stream != guest->stream)
			place = &(*place)->next;
		else if (is_later(*place, guest))
			return false;
		else
			turn_away(lane, place, ONCE_MORE);
	}
	return true;
}

static uint32_t count_of(const struct pccl_lane *lane, const pcclRankUuid_t *caller)
{
	const struct pccl_lane_guest *guest;
	uint32_t count = 0;

	for (guest = lane->guests; guest != NULL; guest = guest->next)
		count += pccl_uuid_equal(&guest->from, caller);
	return count;
}

static void park(struct pccl_lane *lane, struct pccl_lane_guest *guest, uint64_t now_ns)
{
	if (!turn_away_older(lane, guest)) {
		lane->calls->turn_away(lane->config.context, guest, ONCE_MORE);
		return;
	}
	if (lane->guest_count >= PCCL_LANE_GUESTS_MAX || count_of(lane, &guest->from) >= PCCL_LANE_GUESTS_OF_CALLER) {
		lane->calls->turn_away(lane->config.context, guest, NULL); /* who is told stays for a moment */
		return;
	}
	assert((lane->guests == NULL) == (lane->guest_count == 0));
	guest->until_ns = now_ns + lane->config.guest_ns;
	guest->next = lane->guests;
	lane->guests = guest;
	lane->guest_count++;
}

static struct pccl_lane_link *link_for(const struct pccl_lane *lane, const struct pccl_lane_guest *guest)
{
	const struct pccl_neighbour *neighbour = pccl_lane_find_neighbour(lane, &guest->from);

	if (neighbour != NULL)
		return neighbour->link;
	/* Who is met anew may call before this lane has heard of that. */
	neighbour = pccl_lane_find_stranger(lane, &guest->from);
	return neighbour != NULL && !neighbour->lost ? neighbour->link : NULL;
}

void pccl_lane_adopt(struct pccl_lane *lane, struct pccl_lane_guest *guest, uint64_t now_ns)
{
	struct pccl_lane_link *link = link_for(lane, guest);

	if (link != NULL)
		lane->calls->adopt(link, guest);
	else
		park(lane, guest, now_ns);
}

void pccl_lane_seat_guests(struct pccl_lane *lane)
{
	struct pccl_lane_guest **place = &lane->guests;

	while (*place != NULL) {
		struct pccl_lane_guest *guest = *place;
		struct pccl_lane_link *link = link_for(lane, guest);

		if (link == NULL) {
			place = &guest->next;
			continue;
		}
		unlist(lane, place);
		lane->calls->adopt(link, guest);
	}
}

void pccl_lane_expire_guests(struct pccl_lane *lane, uint64_t now_ns)
{
	struct pccl_lane_guest **place = &lane->guests;

	while (*place != NULL) {
		if ((*place)->until_ns <= now_ns)
			turn_away(lane, place, "it is in no view here");
		else
			place = &(*place)->next;
	}
}

uint64_t pccl_lane_guests_end_ns(const struct pccl_lane *lane)
{
	const struct pccl_lane_guest *guest;
	uint64_t end_ns = UINT64_MAX;

	for (guest = lane->guests; guest != NULL; guest = guest->next)
		if (guest->until_ns < end_ns)
			end_ns = guest->until_ns;
	return end_ns;
}

void pccl_lane_close_guests(struct pccl_lane *lane)
{
	while (lane->guests != NULL)
		turn_away(lane, &lane->guests, "the lane ends");
}
