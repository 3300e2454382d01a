/*
 * Links to the other members, as far as the master needs to know: whether all have come up, and members to which none
 * is up any more, for who has lost its connection to the master as well is dead. Told is what holds now, on every
 * connection and in every view anew, and not too often: links may flap.
 *
 * While there is no master, nobody says what becomes of what waits for a missed member. That ends with this peer after
 * a while, for it can't end here alone: others may have been told something else. One thing that waits counts, and not
 * that somebody is missed: who computes loses nothing by waiting for a master.
 */
#include "membership/peer/peer_internal.h"

#include <assert.h>
#include <string.h>

#include "base/bitmap.h"
#include "base/text.h"
#include "base/time.h"

#define STRANDED_TIMEOUTS 20	 /* heartbeat time-outs */
#define TELL_NS (5 * PCCL_MS_NS) /* at most one report in this time, of all that has changed */

/* Bits; those of a former view may have links still. */
static uint32_t lanes_in_use(const struct pccl_peer *peer)
{
	assert(peer->lanes > 0 && peer->lanes <= PCCL_LANES_MAX);
	return (UINT32_C(1) << peer->lanes) - 1;
}

static bool is_broken(const struct pccl_peer *peer, uint32_t rank)
{
	uint32_t all = lanes_in_use(peer);

	return (peer->broken_lanes[rank] & all) == all;
}

static bool may_tell(const struct pccl_peer *peer)
{
	return peer->broken_untold && peer->link >= PCCL_PEER_LINK_REGISTERING && peer->standing == PCCL_PEER_MEMBER;
}

static void tell(struct pccl_peer *peer, uint32_t rank)
{
	struct pccl_message *message = pccl_message_create(PCCL_MESSAGE_BROKEN);

	peer->broken_told[rank] = is_broken(peer, rank);
	if (message != NULL) {
		message->body.broken.epoch = pccl_peer_epoch(peer);
		message->body.broken.uuid = peer->install->view.members[rank].uuid;
		message->body.broken.broken = peer->broken_told[rank];
	}
	pccl_peer_send(peer, message);
}

void pccl_peer_tell_broken(struct pccl_peer *peer)
{
	uint32_t rank;

	if (!may_tell(peer) || peer->now_ns < peer->broken_ns)
		return;
	peer->broken_untold = false;
	peer->broken_ns = peer->now_ns + TELL_NS;
	for (rank = 0; rank < peer->install->view.member_count; rank++)
		if (is_broken(peer, rank) != peer->broken_told[rank])
			tell(peer, rank);
}

static void tell_linked(struct pccl_peer *peer)
{
	struct pccl_message *message;

	if (!peer->linked || peer->link < PCCL_PEER_LINK_REGISTERING || peer->standing != PCCL_PEER_MEMBER)
		return;
	message = pccl_message_create(PCCL_MESSAGE_LINKED);
	if (message != NULL)
		message->body.linked.epoch = pccl_peer_epoch(peer);
	pccl_peer_send(peer, message);
}

void pccl_peer_on_linked(struct pccl_peer *peer, uint32_t epoch)
{
	if (epoch != pccl_peer_epoch(peer) || peer->linked)
		return;
	peer->linked = true;
	tell_linked(peer);
}

void pccl_peer_tell_broken_anew(struct pccl_peer *peer)
{
	tell_linked(peer);
	memset(peer->broken_told, 0, sizeof(peer->broken_told));
	peer->broken_untold = true;
	peer->broken_ns = peer->now_ns;
	pccl_peer_tell_broken(peer);
}

void pccl_peer_on_broken(struct pccl_peer *peer, const pcclRankUuid_t *uuid, uint32_t lane, bool broken)
{
	uint32_t rank;

	assert(lane < PCCL_LANES_MAX);
	if (peer->standing != PCCL_PEER_MEMBER || !pccl_view_rank(&peer->install->view, uuid, &rank))
		return;
	if (broken)
		peer->broken_lanes[rank] |= UINT32_C(1) << lane;
	else
		peer->broken_lanes[rank] &= ~(UINT32_C(1) << lane);
	if (is_broken(peer, rank) == peer->broken_told[rank])
		return;
	peer->broken_untold = true;
	pccl_peer_tell_broken(peer);
}

void pccl_peer_forget_broken(struct pccl_peer *peer)
{
	memset(peer->broken_lanes, 0, sizeof(peer->broken_lanes));
	memset(peer->broken_told, 0, sizeof(peer->broken_told));
	peer->broken_untold = false;
	peer->linked = false;
	/* As the session has it, which keeps them while operations may be open. */
	if (peer->lanes == 0 || peer->install->newcomers)
		peer->lanes = peer->install->view.lanes;
}

uint64_t pccl_peer_broken_deadline(const struct pccl_peer *peer)
{
	return may_tell(peer) ? peer->broken_ns : PCCL_NEVER;
}

/* Nobody but a master lets it go on. */
static bool stands_still(const struct pccl_peer *peer)
{
	return peer->freezing || peer->frozen;
}

bool pccl_peer_misses(const struct pccl_peer *peer, uint64_t missed_out[PCCL_MEMBERS_MAX / 64])
{
	bool any = false;
	uint32_t rank;

	if (peer->standing != PCCL_PEER_MEMBER || peer->link == PCCL_PEER_LINK_UP)
		return false;
	memset(missed_out, 0, PCCL_MEMBERS_MAX / 8);
	for (rank = 0; rank < peer->install->view.member_count; rank++) {
		if (!stands_still(peer) && peer->complained[rank] == 0 &&
		    (peer->broken_lanes[rank] & lanes_in_use(peer)) == 0)
			continue;
		pccl_bitmap_set(missed_out, rank);
		any = true;
	}
	return any;
}

static void end_blocked(struct pccl_peer *peer)
{
	bool still = stands_still(peer);
	char text[PCCL_DETAIL_BYTES];

	pccl_text_format(text, sizeof(text), "%s, and no master could be reached in time to %s%s%s",
			 still ? "members were lost or came" : "a member can't be reached",
			 still ? "finish the view change" : "go on without it", peer->trouble[0] != '\0' ? ": " : "",
			 peer->trouble);
	pccl_peer_end(peer, pcclEvicted, text);
}

uint64_t pccl_peer_stranded_for(const struct pccl_peer *peer)
{
	return STRANDED_TIMEOUTS * peer->config.heartbeat_timeout_ns;
}

/* Whoever waits longer for a connection wants to wait longer for a master that is started again. */
static uint64_t patience_ns(const struct pccl_peer *peer)
{
	uint64_t stranded_ns = pccl_peer_stranded_for(peer);

	if (peer->config.master_timeout_ns != 0)
		return peer->config.master_timeout_ns;
	return peer->config.connect_timeout_ns > stranded_ns ? peer->config.connect_timeout_ns : stranded_ns;
}

void pccl_peer_watch_blocked(struct pccl_peer *peer, uint64_t blocked)
{
	uint64_t missed[PCCL_MEMBERS_MAX / 64];

	if (!pccl_peer_misses(peer, missed) || blocked == 0) {
		peer->blocked = 0;
		peer->blocked_ns = PCCL_NEVER;
	} else if (blocked != peer->blocked) {
		peer->blocked = blocked;
		peer->blocked_ns = peer->now_ns + patience_ns(peer);
	} else if (peer->now_ns >= peer->blocked_ns) {
		end_blocked(peer);
	}
}
