/*
 * A peer's connection to a master: dialling the masters in turn, registering, heartbeats, giving up.
 *
 * To found a group takes the first master of the list, after all the others have been asked in vain: so that a
 * newcomer does not found a second group beside the one that has moved to another master. Should that happen all
 * the same, while the members are on their way there, the founder finds them as long as it is alone.
 */
#include "membership/peer/peer_internal.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "base/time.h"

#define BACKOFF_FIRST_NS (50 * PCCL_MS_NS)
#define BACKOFF_DOUBLINGS 5
#define BACKOFF_MAX_NS PCCL_SECOND_NS
#define UNFIT_DIALS 2		 /* of each master: one may be of bytes that were damaged on the way */
#define DIALS_AT_LAST_MASTER 2	 /* that are made again at once where it worked before */
#define STALLS_AT_FIRST_MASTER 3 /* the first master is where members should meet: be patient there */
#define STALL_MEMORY_TIMEOUTS 2	 /* heartbeat time-outs without STALLED: the master can act again */
#define FIRST_MASTER_SHARE 4	 /* of the connect time-out, until a newcomer joins who is alone elsewhere */

static void note_trouble(struct pccl_peer *peer, const char *text)
{
	pccl_text_copy(peer->trouble, sizeof(peer->trouble), text != NULL ? text : "no cause known");
}

void pccl_peer_dial(struct pccl_peer *peer)
{
	struct pccl_peer_action action = {.type = PCCL_PEER_DIAL};

	assert(peer->link == PCCL_PEER_LINK_NONE || peer->link == PCCL_PEER_LINK_BACKOFF);
	action.master = peer->master;
	peer->link = PCCL_PEER_LINK_DIALLING;
	peer->attempt_ns = peer->now_ns + peer->patience_ns;
	peer->stalls = 0;
	pccl_peer_push(peer, &action);
}

/* Between half and the whole of a wait that doubles with every failure in a row. */
static void back_off(struct pccl_peer *peer)
{
	uint32_t doublings = peer->failures < BACKOFF_DOUBLINGS ? peer->failures : BACKOFF_DOUBLINGS;
	uint64_t wait = BACKOFF_FIRST_NS << doublings;

	if (wait > BACKOFF_MAX_NS)
		wait = BACKOFF_MAX_NS;
	peer->link = PCCL_PEER_LINK_BACKOFF;
	peer->redial_ns = peer->now_ns + wait / 2 + pccl_rng_below(&peer->rng, wait / 2);
}

/* This master was of no use: the next one. A newcomer's first round goes without waiting. */
static void try_next(struct pccl_peer *peer)
{
	bool first_round = peer->standing == PCCL_PEER_NEWCOMER && peer->asked < peer->config.master_count;

	assert(peer->standing != PCCL_PEER_GONE && peer->asked <= peer->config.master_count);
	peer->tries++;
	if (peer->asked < peer->config.master_count)
		peer->asked++;
	peer->master = (peer->master + 1) % peer->config.master_count;
	peer->prepare_epoch = 0;
	back_off(peer);
	if (first_round && peer->config.master_count > 1)
		peer->redial_ns = peer->now_ns;
	else if (peer->master == 0)
		peer->failures++;
}

static void hang_up(struct pccl_peer *peer)
{
	struct pccl_peer_action action = {.type = PCCL_PEER_HANG_UP};

	if (peer->link >= PCCL_PEER_LINK_DIALLING)
		pccl_peer_push(peer, &action);
	peer->link = PCCL_PEER_LINK_NONE;
}

static void note_away(struct pccl_peer *peer)
{
	if (peer->link == PCCL_PEER_LINK_UP && peer->away_ns == PCCL_NEVER)
		peer->away_ns = peer->now_ns;
}

/* A newcomer whose master is of no use any more looks for one no longer than in the beginning. */
static void limit_search(struct pccl_peer *peer)
{
	if (peer->standing == PCCL_PEER_NEWCOMER && peer->connect_ns == PCCL_NEVER)
		peer->connect_ns = peer->now_ns + peer->config.connect_timeout_ns;
}

void pccl_peer_abandon(struct pccl_peer *peer, const char *text)
{
	note_trouble(peer, text);
	note_away(peer);
	limit_search(peer);
	if (peer->link >= PCCL_PEER_LINK_REGISTERING)
		pccl_peer_send(peer, pccl_message_create(PCCL_MESSAGE_ABANDON));
	hang_up(peer);
	if (peer->standing != PCCL_PEER_GONE)
		try_next(peer);
}

/* What a master needs to rebuild the group's last view. */
static pcclResult_t fill_return(const struct pccl_peer *peer, struct pccl_message_register *registration)
{
	uint32_t index;

	registration->answered = peer->answered;
	registration->promises = pccl_calloc(peer->promise_count, sizeof(*registration->promises));
	if (registration->promises == NULL)
		return pcclOutOfMemory;
	for (index = 0; index < peer->promise_count; index++) {
		if (pccl_promise_copy(&peer->promises[index], &registration->promises[index]) != pcclSuccess)
			return pcclOutOfMemory;
		registration->promise_count = index + 1;
	}
	if (peer->install == NULL)
		return pcclSuccess;
	registration->last = pccl_zalloc(sizeof(*registration->last));
	if (registration->last == NULL)
		return pcclOutOfMemory;
	return pccl_install_copy(peer->install, registration->last);
}

/* While the first master can't be reached, which may be for ever, somebody who founded the group there or has another
 * list may be alone at another one. */
static bool may_join(const struct pccl_peer *peer)
{
	uint64_t patience_ns = peer->config.connect_timeout_ns / FIRST_MASTER_SHARE;

	return peer->standing == PCCL_PEER_NEWCOMER && peer->master != 0 && peer->asked >= peer->config.master_count &&
	       peer->connect_ns != PCCL_NEVER &&
	       peer->now_ns + peer->config.connect_timeout_ns >= peer->connect_ns + patience_ns;
}

static void send_register(struct pccl_peer *peer)
{
	struct pccl_message *message = pccl_message_create(PCCL_MESSAGE_REGISTER);
	struct pccl_message_register *registration;

	assert(peer->link == PCCL_PEER_LINK_REGISTERING);
	peer->round++;
	peer->calls++;
	if (message != NULL) {
		registration = &message->body.registration;
		registration->group = peer->config.group;
		registration->self = peer->config.self;
		registration->secret = peer->config.secret;
		registration->heartbeat_interval_ns = peer->config.heartbeat_interval_ns;
		registration->heartbeat_timeout_ns = peer->patience_ns;
		registration->may_found = peer->master == 0 &&
					  (peer->config.master_count == 1 || peer->asked >= peer->config.master_count);
		registration->may_join = may_join(peer);
		if (fill_return(peer, registration) != pcclSuccess) {
			pccl_message_destroy(message);
			message = NULL;
		}
	}
	pccl_peer_send(peer, message);
}

/* What a master may not have acted on, because it could not act for the group yet. It knows what it has heard
 * before. */
static void repeat_complaints(struct pccl_peer *peer)
{
	struct pccl_message *message;
	uint32_t index;

	assert(peer->install != NULL && peer->expired_count <= PCCL_EXPIRED_MAX);
	for (index = 0; index < peer->install->view.member_count; index++) {
		if (peer->complained[index] == 0)
			continue;
		message = pccl_message_create(PCCL_MESSAGE_COMPLAINT);
		if (message != NULL) {
			message->body.complaint.epoch = pccl_peer_epoch(peer);
			message->body.complaint.uuid = peer->install->view.members[index].uuid;
			(void)snprintf(message->body.complaint.text, PCCL_CAUSE_TEXT_BYTES, "the link is lost");
		}
		pccl_peer_send(peer, message);
	}
	for (index = 0; index < peer->expired_count; index++) {
		message = pccl_message_create(PCCL_MESSAGE_EXPIRED);
		if (message != NULL)
			message->body.expired = peer->expired[index];
		pccl_peer_send(peer, message);
	}
}

void pccl_peer_on_dialled(struct pccl_peer *peer, uint64_t trip_ns)
{
	if (peer->link != PCCL_PEER_LINK_DIALLING)
		return;
	peer->link = PCCL_PEER_LINK_REGISTERING;
	peer->patience_ns = pccl_patience_ns(peer->config.heartbeat_timeout_ns, trip_ns, 1);
	peer->attempt_ns = peer->now_ns + peer->patience_ns;
	peer->heard_ns = peer->now_ns;
	send_register(peer);
	if (peer->standing == PCCL_PEER_NEWCOMER && peer->deferred)
		pccl_peer_send_deferred(peer);
	if (peer->standing != PCCL_PEER_MEMBER)
		return;
	pccl_peer_send_vote(peer);
	repeat_complaints(peer);
	pccl_peer_tell_broken_anew(peer);
}

static void beat(struct pccl_peer *peer)
{
	pccl_peer_send(peer, pccl_message_create(PCCL_MESSAGE_BEAT));
	if (peer->standing == PCCL_PEER_MEMBER)
		repeat_complaints(peer);
}

/* What stands between breaks connections to a master that is there, and has the group: others need it as well. One that
 * can't be connected to a few times may be gone. */
static bool is_on_its_way_back(const struct pccl_peer *peer)
{
	bool may_be_there = peer->link == PCCL_PEER_LINK_REGISTERING ||
			    (peer->link == PCCL_PEER_LINK_DIALLING && peer->failures < DIALS_AT_LAST_MASTER);

	return may_be_there && peer->standing == PCCL_PEER_MEMBER && peer->away_ns != PCCL_NEVER &&
	       peer->now_ns - peer->away_ns < peer->config.heartbeat_timeout_ns;
}

void pccl_peer_on_closed(struct pccl_peer *peer, const char *text, bool unfit)
{
	if (peer->link < PCCL_PEER_LINK_DIALLING)
		return;
	note_trouble(peer, text);
	peer->unfit_tries = unfit ? peer->unfit_tries + 1 : 0;
	if (is_on_its_way_back(peer)) {
		peer->tries++;
		back_off(peer);
		peer->failures++;
		return;
	}
	if (peer->link < PCCL_PEER_LINK_UP) {
		try_next(peer);
		return;
	}
	/* It worked before: this one first, and at once if it had worked for a while. */
	note_away(peer);
	peer->prepare_epoch = 0;
	peer->failures = 0;
	limit_search(peer);
	back_off(peer);
	if (peer->now_ns - peer->up_ns >= BACKOFF_FIRST_NS)
		peer->redial_ns = peer->now_ns;
}

void pccl_peer_link_good(struct pccl_peer *peer)
{
	peer->stalls = 0;
	peer->failures = 0;
	peer->asked = 0;
	peer->connect_ns = PCCL_NEVER;
	peer->stranded_ns = PCCL_NEVER;
	peer->quiet_ns = PCCL_NEVER;
}

void pccl_peer_on_welcome(struct pccl_peer *peer, const struct pccl_message_welcome *welcome)
{
	if (peer->link != PCCL_PEER_LINK_REGISTERING)
		return;
	if (!welcome->registered) {
		pccl_peer_abandon(peer, "the master knows no members of the group");
		peer->heard_tries = peer->tries;
		return;
	}
	peer->link = PCCL_PEER_LINK_UP;
	peer->refused_by = 0;
	peer->up_ns = peer->now_ns;
	peer->heard_tries = peer->tries;
	peer->away_ns = PCCL_NEVER;
	peer->roam_ns = peer->now_ns + peer->config.heartbeat_timeout_ns +
			pccl_rng_below(&peer->rng, peer->config.heartbeat_timeout_ns);
	peer->master_uuid = welcome->master;
	if (peer->quiet_ns == PCCL_NEVER)
		pccl_peer_link_good(peer);
	if (peer->standing == PCCL_PEER_NEWCOMER && peer->admission_ns == PCCL_NEVER &&
	    peer->config.admission_timeout_ns > 0)
		peer->admission_ns = peer->now_ns + peer->config.admission_timeout_ns;
}

/* A master whose list of who may join is old does not end a member: it has a group, perhaps at another master. Unless
 * none takes it. */
void pccl_peer_on_refused(struct pccl_peer *peer, const struct pccl_message_notice *notice)
{
	peer->refused_by |= 1u << peer->master;
	if (peer->standing != PCCL_PEER_MEMBER || peer->refused_by == (1u << peer->config.master_count) - 1)
		pccl_peer_end(peer, notice->result, notice->text);
	else
		pccl_peer_abandon(peer, notice->text);
}

void pccl_peer_on_stalled(struct pccl_peer *peer, const struct pccl_message_notice *notice)
{
	uint32_t patience = peer->master == 0 ? STALLS_AT_FIRST_MASTER : 1;

	limit_search(peer);
	if (peer->standing == PCCL_PEER_MEMBER && peer->stranded_ns == PCCL_NEVER)
		peer->stranded_ns = peer->now_ns + pccl_peer_stranded_for(peer);
	note_trouble(peer, notice->text);
	peer->quiet_ns = peer->now_ns + STALL_MEMORY_TIMEOUTS * peer->config.heartbeat_timeout_ns;
	peer->stalls++;
	if (peer->config.master_count > 1 && peer->stalls >= patience) {
		peer->failures = 0;
		pccl_peer_abandon(peer, notice->text);
	}
}

static void end_with_trouble(struct pccl_peer *peer, pcclResult_t result, const char *text)
{
	char whole[PCCL_DETAIL_BYTES];

	pccl_text_format(whole, sizeof(whole), "%s%s%s", text, peer->trouble[0] != '\0' ? ": " : "", peer->trouble);
	pccl_peer_end(peer, result, whole);
}

static void end_unadmitted(struct pccl_peer *peer)
{
	char whole[PCCL_DETAIL_BYTES];

	pccl_text_format(whole, sizeof(whole), "members did not admit this peer in time%s%s",
			 peer->unmet[0] != '\0' ? ": " : "", peer->unmet);
	pccl_peer_end(peer, pcclTimeout, whole);
}

static bool has_tried_enough(const struct pccl_peer *peer)
{
	assert(peer->tries >= peer->heard_tries);
	return peer->standing == PCCL_PEER_NEWCOMER && peer->config.connect_attempts > 0 &&
	       (peer->tries - peer->heard_tries) / peer->config.master_count >= peer->config.connect_attempts;
}

/* It has put its admission off, and those from whom it wanted to fetch something have not come back: its master says
 * that there is no group. */
static bool waits_for_nobody(const struct pccl_peer *peer)
{
	return peer->standing == PCCL_PEER_NEWCOMER && peer->deferred && peer->link == PCCL_PEER_LINK_UP;
}

static void found_after_all(struct pccl_peer *peer)
{
	peer->connect_ns = peer->now_ns + peer->config.connect_timeout_ns;
	pccl_peer_ready(peer);
}

static void watch_deadlines(struct pccl_peer *peer)
{
	if (peer->standing == PCCL_PEER_NEWCOMER && peer->unfit_tries >= UNFIT_DIALS * peer->config.master_count)
		end_with_trouble(peer, pcclMasterConnectionFailed, "no master lets this peer in");
	else if (has_tried_enough(peer))
		end_with_trouble(peer, pcclMasterConnectionFailed,
				 "no master could be reached with as many attempts as were asked for");
	else if (peer->now_ns >= peer->connect_ns && waits_for_nobody(peer))
		found_after_all(peer);
	else if (peer->now_ns >= peer->connect_ns)
		end_with_trouble(peer, pcclMasterConnectionFailed, "no master took this peer in time");
	else if (peer->now_ns >= peer->stranded_ns)
		end_with_trouble(peer, pcclEvicted, "the group can't go on");
	else if (peer->now_ns >= peer->admission_ns)
		end_unadmitted(peer);
}

/* There has been no master for as long as joining may take, and every one was tried again since the call was made. */
static bool has_been_away(const struct pccl_peer *peer)
{
	assert(peer->tries >= peer->vote_tries);
	return peer->away_ns != PCCL_NEVER && peer->now_ns - peer->away_ns >= peer->config.connect_timeout_ns &&
	       peer->tries - peer->vote_tries >= peer->config.master_count;
}

/* A joint call waits for a master no longer than joining does. Nothing of it is lost: the caller may make it again. */
static void watch_vote(struct pccl_peer *peer)
{
	struct pccl_answer answer = {.kind = peer->vote, .result = pcclMasterConnectionFailed};

	if (peer->vote == 0 || peer->link == PCCL_PEER_LINK_UP) {
		peer->vote_end_ns = PCCL_NEVER;
	} else if (peer->vote_end_ns == PCCL_NEVER) {
		peer->vote_end_ns = peer->now_ns + peer->config.connect_timeout_ns;
		peer->vote_tries = peer->tries;
	} else if (peer->now_ns >= peer->vote_end_ns || has_been_away(peer)) {
		pccl_text_format(answer.text, sizeof(answer.text), "no master could be reached in time%s%s",
				 peer->trouble[0] != '\0' ? ": " : "", peer->trouble);
		peer->vote_end_ns = PCCL_NEVER;
		peer->given_up = peer->vote;
		pccl_peer_answer(peer, &answer);
	}
}

/* A founder that is alone looks in at the other masters from time to time: its group may have lived on there. */
static bool should_roam(const struct pccl_peer *peer)
{
	return peer->config.master_count > 1 && peer->link == PCCL_PEER_LINK_UP && peer->standing == PCCL_PEER_MEMBER &&
	       peer->install->lone && peer->vote == 0 && !peer->frozen && !peer->freezing;
}

static void roam(struct pccl_peer *peer)
{
	peer->failures = 0;
	pccl_peer_abandon(peer, "looking for the group at another master");
	peer->redial_ns = peer->now_ns;
}

void pccl_peer_link_tick(struct pccl_peer *peer)
{
	if (peer->standing == PCCL_PEER_GONE || peer->standing == PCCL_PEER_IDLE)
		return;
	watch_deadlines(peer);
	if (peer->standing == PCCL_PEER_GONE)
		return;
	assert((peer->standing == PCCL_PEER_MEMBER) == (peer->install != NULL));
	watch_vote(peer);
	switch (peer->link) {
	case PCCL_PEER_LINK_NONE:
		break;
	case PCCL_PEER_LINK_BACKOFF:
		if (peer->now_ns >= peer->redial_ns)
			pccl_peer_dial(peer);
		break;
	case PCCL_PEER_LINK_DIALLING:
		if (peer->now_ns >= peer->attempt_ns)
			pccl_peer_abandon(peer, "the master can't be reached");
		break;
	case PCCL_PEER_LINK_REGISTERING:
	case PCCL_PEER_LINK_UP:
		if (peer->link == PCCL_PEER_LINK_UP && peer->now_ns >= peer->quiet_ns)
			pccl_peer_link_good(peer);
		if (peer->now_ns >= peer->heard_ns + peer->patience_ns ||
		    (peer->link == PCCL_PEER_LINK_REGISTERING && peer->now_ns >= peer->attempt_ns))
			pccl_peer_abandon(peer, "the master is silent");
		else if (should_roam(peer) && peer->now_ns >= peer->roam_ns)
			roam(peer);
		else if (peer->now_ns >= peer->beat_ns)
			beat(peer);
		pccl_peer_tell_broken(peer);
		break;
	}
}

static uint64_t earlier(uint64_t left, uint64_t right)
{
	return left < right ? left : right;
}

uint64_t pccl_peer_link_deadline(const struct pccl_peer *peer)
{
	uint64_t deadline =
		earlier(earlier(peer->connect_ns, peer->vote_end_ns), earlier(peer->stranded_ns, peer->admission_ns));

	deadline = earlier(deadline, peer->blocked_ns);
	switch (peer->link) {
	case PCCL_PEER_LINK_NONE:
		break;
	case PCCL_PEER_LINK_BACKOFF:
		deadline = earlier(deadline, peer->redial_ns);
		break;
	case PCCL_PEER_LINK_DIALLING:
		deadline = earlier(deadline, peer->attempt_ns);
		break;
	case PCCL_PEER_LINK_REGISTERING:
		deadline = earlier(deadline, peer->attempt_ns);
		/* fall through */
	case PCCL_PEER_LINK_UP:
		if (peer->link == PCCL_PEER_LINK_UP)
			deadline = earlier(deadline, peer->quiet_ns);
		deadline = earlier(deadline, peer->heard_ns + peer->patience_ns);
		deadline = earlier(deadline, peer->beat_ns);
		deadline = earlier(deadline, pccl_peer_broken_deadline(peer));
		if (should_roam(peer))
			deadline = earlier(deadline, peer->roam_ns);
		break;
	}
	return deadline;
}
