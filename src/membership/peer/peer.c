/* A peer's machine: events in, actions out. */
#include "membership/peer/peer.h"

#include <assert.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"
#include "base/uuid.h"
#include "membership/peer/peer_internal.h"

/* Of what travels. */
static void copy_text(char *out, const char *text)
{
	pccl_text_copy(out, PCCL_CAUSE_TEXT_BYTES, text != NULL ? text : "");
}

void pccl_peer_end(struct pccl_peer *peer, pcclResult_t result, const char *text)
{
	if (peer->standing == PCCL_PEER_GONE)
		return;
	peer->standing = PCCL_PEER_GONE;
	peer->ending = true;
	peer->hang_up = peer->link >= PCCL_PEER_LINK_DIALLING;
	peer->farewell = peer->link >= PCCL_PEER_LINK_REGISTERING && result != pcclSuccess;
	peer->link = PCCL_PEER_LINK_NONE;
	peer->end_result = result;
	pccl_text_copy(peer->end_text, sizeof(peer->end_text), text);
}

void pccl_peer_push(struct pccl_peer *peer, const struct pccl_peer_action *action)
{
	struct pccl_peer_queued *queued = pccl_alloc(sizeof(*queued));

	if (queued == NULL) {
		pccl_message_destroy(action->message);
		pccl_peer_end(peer, pcclOutOfMemory, "out of memory in membership");
		return;
	}
	assert((peer->first == NULL) == (peer->last == NULL));
	queued->action = *action;
	queued->next = NULL;
	if (peer->last != NULL)
		peer->last->next = queued;
	else
		peer->first = queued;
	peer->last = queued;
}

void pccl_peer_send(struct pccl_peer *peer, struct pccl_message *message)
{
	struct pccl_peer_action action = {.type = PCCL_PEER_SEND, .message = message};

	if (message == NULL) {
		pccl_peer_end(peer, pcclOutOfMemory, "out of memory in membership");
		return;
	}
	assert(peer->link >= PCCL_PEER_LINK_REGISTERING || peer->standing == PCCL_PEER_GONE);
	peer->beat_ns = peer->now_ns + peer->config.heartbeat_interval_ns;
	pccl_peer_push(peer, &action);
}

uint32_t pccl_peer_epoch(const struct pccl_peer *peer)
{
	return peer->install != NULL ? peer->install->view.epoch : 0;
}

void pccl_peer_answer(struct pccl_peer *peer, const struct pccl_answer *answer)
{
	struct pccl_peer_action action = {.type = PCCL_PEER_VOTED};

	assert(peer->vote != 0);
	action.result = answer->result;
	action.value = answer->value;
	action.joint = peer->answered.sequence;
	action.world = peer->world;
	copy_text(action.text, answer->text);
	peer->vote = 0;
	pccl_peer_push(peer, &action);
}

/* What this peer waits for, NONE if for nothing; and how many calls have ended before. */
static void tell_vote(struct pccl_peer *peer)
{
	struct pccl_message *message;

	if (peer->link < PCCL_PEER_LINK_REGISTERING || peer->standing != PCCL_PEER_MEMBER)
		return;
	assert(peer->install != NULL);
	message = pccl_message_create(PCCL_MESSAGE_VOTE);
	if (message != NULL) {
		message->body.vote.kind = peer->vote;
		message->body.vote.late = peer->config.late;
		message->body.vote.timeout_ms = peer->config.joint_timeout_ms;
		message->body.vote.origin = peer->answered.origin;
		message->body.vote.sequence = peer->answered.sequence + 1;
		message->body.vote.round = peer->round;
	}
	pccl_peer_send(peer, message);
}

void pccl_peer_send_vote(struct pccl_peer *peer)
{
	if (peer->vote != 0)
		tell_vote(peer);
}

/* The master has the vote: it is taken back. If an answer is on its way, it comes again when the call is made again. */
static void take_back(struct pccl_peer *peer, pcclResult_t result, const char *text)
{
	struct pccl_answer answer = {.kind = peer->vote, .result = result};

	copy_text(answer.text, text);
	peer->given_up = peer->vote;
	pccl_peer_answer(peer, &answer);
	tell_vote(peer);
}

static void on_give_up(struct pccl_peer *peer, uint32_t sequence, const char *text)
{
	if (peer->vote == PCCL_VOTE_UPDATE && sequence == peer->answered.sequence + 1)
		take_back(peer, pcclPendingAsyncOps, text);
}

static bool is_outstanding(const struct pccl_peer *peer, const struct pccl_answer *answer)
{
	return peer->vote != 0 && answer->origin == peer->answered.origin &&
	       answer->sequence == peer->answered.sequence + 1;
}

static void on_late(struct pccl_peer *peer, const struct pccl_answer *late)
{
	if (is_outstanding(peer, late))
		take_back(peer, late->result, late->text);
}

static void on_vote(struct pccl_peer *peer, enum pccl_vote vote)
{
	assert(vote >= PCCL_VOTE_UPDATE && vote <= PCCL_VOTE_OPTIMIZE);
	assert(peer->standing == PCCL_PEER_MEMBER && peer->vote == 0);
	peer->vote = (uint8_t)vote;
	peer->vote_end_ns = PCCL_NEVER;
	if (peer->given_up == peer->vote && peer->given_up_done) {
		const struct pccl_answer answer = {.kind = peer->vote, .result = pcclSuccess};

		pccl_peer_answer(peer, &answer);
	}
	peer->given_up = 0;
	peer->given_up_done = false;
	pccl_peer_send_vote(peer);
}

/* Others have changed masters more often: only votes of one round count together. Who has given its call up votes in
 * that round when it makes it again: the master asks once. */
static void on_revote(struct pccl_peer *peer, const struct pccl_message_vote *vote)
{
	if (vote->round <= peer->round)
		return;
	peer->round = vote->round;
	pccl_peer_send_vote(peer);
}

/* The members voted, or somebody else did what cannot be: an answer to another call than ours is old. */
static void on_voted(struct pccl_peer *peer, const struct pccl_answer *answer)
{
	if (!is_outstanding(peer, answer))
		return;
	peer->answered = *answer;
	peer->world = answer->world;
	pccl_peer_answer(peer, answer);
	tell_vote(peer); /* so that the master knows that this peer has it */
}

static void on_link_lost(struct pccl_peer *peer, const pcclRankUuid_t *uuid, uint32_t lane, const char *text)
{
	struct pccl_message *message;
	uint32_t rank;

	assert(lane < PCCL_LANES_MAX);
	if (peer->standing != PCCL_PEER_MEMBER || !pccl_view_rank(&peer->install->view, uuid, &rank))
		return;
	peer->complained[rank] |= UINT32_C(1) << lane;
	if (peer->link < PCCL_PEER_LINK_REGISTERING)
		return;
	message = pccl_message_create(PCCL_MESSAGE_COMPLAINT);
	if (message != NULL) {
		message->body.complaint.epoch = pccl_peer_epoch(peer);
		message->body.complaint.uuid = *uuid;
		copy_text(message->body.complaint.text, text);
	}
	pccl_peer_send(peer, message);
}

/* On a new connection only what holds is said again: it does not matter if this is not heard. */
static void on_link_heard(struct pccl_peer *peer, const pcclRankUuid_t *uuid, uint32_t lane)
{
	struct pccl_message *message;
	uint32_t rank;

	assert(lane < PCCL_LANES_MAX);
	if (peer->standing != PCCL_PEER_MEMBER || !pccl_view_rank(&peer->install->view, uuid, &rank) ||
	    peer->complained[rank] == 0)
		return;
	peer->complained[rank] &= ~(UINT32_C(1) << lane);
	if (peer->complained[rank] != 0 || peer->link < PCCL_PEER_LINK_REGISTERING)
		return;
	message = pccl_message_create(PCCL_MESSAGE_RETRACT);
	if (message != NULL) {
		message->body.retract.epoch = pccl_peer_epoch(peer);
		message->body.retract.uuid = *uuid;
	}
	pccl_peer_send(peer, message);
}

static void on_expired(struct pccl_peer *peer, const struct pccl_peer_event *event)
{
	struct pccl_message *message = NULL;
	struct pccl_message_expired expired = {.epoch = pccl_peer_epoch(peer)};

	if (peer->standing != PCCL_PEER_MEMBER || peer->expired_count == PCCL_EXPIRED_MAX)
		return;
	assert(peer->install != NULL && peer->expired_count < PCCL_EXPIRED_MAX);
	expired.tag = event->tag;
	expired.sequence = event->sequence;
	copy_text(expired.text, event->text);
	peer->expired[peer->expired_count++] = expired;
	if (peer->link < PCCL_PEER_LINK_REGISTERING)
		return;
	message = pccl_message_create(PCCL_MESSAGE_EXPIRED);
	if (message != NULL)
		message->body.expired = expired;
	pccl_peer_send(peer, message);
}

static void on_meet(struct pccl_peer *peer, struct pccl_message *message)
{
	struct pccl_peer_action action = {.type = PCCL_PEER_MEET};

	action.message = pccl_message_share(message);
	pccl_peer_push(peer, &action);
}

/* The master asks again over another connection. */
static void on_met(struct pccl_peer *peer, const struct pccl_peer_event *event)
{
	struct pccl_message *message;

	if (peer->link != PCCL_PEER_LINK_UP)
		return;
	message = pccl_message_create(PCCL_MESSAGE_MET);
	if (message != NULL) {
		message->body.met.number = event->sequence;
		message->body.met.uuid = event->uuid;
		message->body.met.reached = event->text == NULL;
		copy_text(message->body.met.text, event->text);
	}
	pccl_peer_send(peer, message);
}

static void on_unmet(struct pccl_peer *peer, const char *text)
{
	copy_text(peer->unmet, text);
	pccl_log_warn("group %u: waiting: %s", peer->config.group, text);
}

static void on_leave(struct pccl_peer *peer)
{
	if (peer->standing == PCCL_PEER_GONE)
		return;
	if (peer->link >= PCCL_PEER_LINK_REGISTERING)
		pccl_peer_send(peer, pccl_message_create(PCCL_MESSAGE_LEAVE));
	pccl_peer_end(peer, pcclSuccess, "left");
}

static void on_message(struct pccl_peer *peer, struct pccl_message *message)
{
	if (peer->link < PCCL_PEER_LINK_REGISTERING)
		return;
	assert(peer->standing == PCCL_PEER_NEWCOMER || peer->standing == PCCL_PEER_MEMBER);
	assert((peer->standing == PCCL_PEER_MEMBER) == (peer->install != NULL));
	peer->heard_ns = peer->now_ns;
	if (peer->link == PCCL_PEER_LINK_REGISTERING && message->type != PCCL_MESSAGE_WELCOME &&
	    message->type != PCCL_MESSAGE_REFUSED && message->type != PCCL_MESSAGE_EVICTED &&
	    message->type != PCCL_MESSAGE_BEAT) {
		pccl_peer_abandon(peer, "the master answered a registration with something else");
		return;
	}
	switch (message->type) {
	case PCCL_MESSAGE_BEAT:
		break;
	case PCCL_MESSAGE_WELCOME:
		pccl_peer_on_welcome(peer, &message->body.welcome);
		break;
	case PCCL_MESSAGE_REFUSED:
		pccl_peer_on_refused(peer, &message->body.notice);
		break;
	case PCCL_MESSAGE_PREPARE:
		pccl_peer_on_prepare(peer, &message->body.prepare);
		break;
	case PCCL_MESSAGE_PASSES:
		pccl_peer_on_passes(peer, &message->body.passes);
		break;
	case PCCL_MESSAGE_INSTALL:
		pccl_peer_on_install(peer, message);
		break;
	case PCCL_MESSAGE_VOTE:
		on_revote(peer, &message->body.vote);
		break;
	case PCCL_MESSAGE_VOTED:
		on_voted(peer, &message->body.voted);
		break;
	case PCCL_MESSAGE_LATE:
		on_late(peer, &message->body.voted);
		break;
	case PCCL_MESSAGE_EVICTED:
		pccl_peer_end(peer, pcclEvicted, message->body.notice.text);
		break;
	case PCCL_MESSAGE_MEET:
		on_meet(peer, message);
		break;
	case PCCL_MESSAGE_UNMET:
		on_unmet(peer, message->body.notice.text);
		break;
	case PCCL_MESSAGE_STALLED:
		pccl_peer_on_stalled(peer, &message->body.notice);
		break;
	default:
		pccl_peer_abandon(peer, "the master sent what only peers send");
		break;
	}
}

void pccl_peer_send_deferred(struct pccl_peer *peer)
{
	struct pccl_message *message = pccl_message_create(PCCL_MESSAGE_DEFER);

	if (message != NULL)
		message->body.deferred = peer->deferred;
	pccl_peer_send(peer, message);
}

void pccl_peer_ready(struct pccl_peer *peer)
{
	if (!peer->deferred)
		return;
	peer->deferred = false;
	if (peer->standing == PCCL_PEER_NEWCOMER && peer->link >= PCCL_PEER_LINK_REGISTERING)
		pccl_peer_send_deferred(peer);
}

static void on_join(struct pccl_peer *peer, bool defers)
{
	assert(peer->standing == PCCL_PEER_IDLE);
	peer->deferred = defers;
	peer->standing = PCCL_PEER_NEWCOMER;
	peer->connect_ns = peer->now_ns + peer->config.connect_timeout_ns;
	pccl_peer_dial(peer);
}

/* Who slept past its deadline heard nobody, and that says nothing about them: what has come meanwhile is read now. */
static void forgive_own_sleep(struct pccl_peer *peer)
{
	uint64_t late_ns = peer->now_ns > peer->promised_ns ? peer->now_ns - peer->promised_ns : 0;

	if (late_ns < peer->config.heartbeat_timeout_ns / PCCL_FORGIVEN_SHARE || late_ns == 0)
		return;
	peer->heard_ns = peer->heard_ns + late_ns < peer->now_ns ? peer->heard_ns + late_ns : peer->now_ns;
	if (peer->link == PCCL_PEER_LINK_DIALLING || peer->link == PCCL_PEER_LINK_REGISTERING)
		peer->attempt_ns += late_ns;
	if (peer->blocked != 0)
		peer->blocked_ns += late_ns;
}

void pccl_peer_step(struct pccl_peer *peer, const struct pccl_peer_event *event)
{
	assert(event->now_ns >= peer->now_ns);
	peer->now_ns = event->now_ns;
	forgive_own_sleep(peer);
	switch (event->type) {
	case PCCL_PEER_TICK:
		break;
	case PCCL_PEER_JOIN:
		on_join(peer, event->defers);
		break;
	case PCCL_PEER_READY:
		pccl_peer_ready(peer);
		break;
	case PCCL_PEER_DIALLED:
		pccl_peer_on_dialled(peer, event->trip_ns);
		break;
	case PCCL_PEER_CLOSED:
		pccl_peer_on_closed(peer, event->text, event->unfit);
		break;
	case PCCL_PEER_MESSAGE:
		on_message(peer, event->message);
		pccl_message_destroy(event->message);
		break;
	case PCCL_PEER_VOTE:
		if (peer->standing != PCCL_PEER_GONE)
			on_vote(peer, event->vote);
		break;
	case PCCL_PEER_GIVE_UP:
		on_give_up(peer, event->sequence, event->text);
		break;
	case PCCL_PEER_FROZEN:
		pccl_peer_on_frozen(peer, event->reports, event->report_count);
		break;
	case PCCL_PEER_LINK_LOST:
		on_link_lost(peer, &event->uuid, event->lane, event->text);
		break;
	case PCCL_PEER_LINK_HEARD:
		on_link_heard(peer, &event->uuid, event->lane);
		break;
	case PCCL_PEER_MET:
		on_met(peer, event);
		break;
	case PCCL_PEER_LINK_BROKEN:
	case PCCL_PEER_LINK_MENDED:
		pccl_peer_on_broken(peer, &event->uuid, event->lane, event->type == PCCL_PEER_LINK_BROKEN);
		break;
	case PCCL_PEER_LINKED:
		pccl_peer_on_linked(peer, event->epoch);
		break;
	case PCCL_PEER_EXPIRED:
		on_expired(peer, event);
		break;
	case PCCL_PEER_LEAVE:
		on_leave(peer);
		break;
	}
	pccl_peer_watch_blocked(peer, event->blocked);
	pccl_peer_link_tick(peer);
	peer->promised_ns = pccl_peer_deadline(peer);
}

bool pccl_peer_poll(struct pccl_peer *peer, struct pccl_peer_action *action_out)
{
	struct pccl_peer_queued *queued = peer->first;

	if (queued != NULL) {
		*action_out = queued->action;
		peer->first = queued->next;
		if (peer->first == NULL)
			peer->last = NULL;
		assert((peer->first == NULL) == (peer->last == NULL));
		pccl_free(queued);
		return true;
	}
	if (!peer->ending)
		return false;
	memset(action_out, 0, sizeof(*action_out));
	if (peer->farewell) {
		peer->farewell = false;
		action_out->type = PCCL_PEER_SEND;
		action_out->message = pccl_message_create(PCCL_MESSAGE_LEAVE);
		if (action_out->message != NULL)
			return true;
	}
	if (peer->hang_up) {
		peer->hang_up = false;
		action_out->type = PCCL_PEER_HANG_UP;
		return true;
	}
	peer->ending = false;
	action_out->type = PCCL_PEER_ENDED;
	action_out->result = peer->end_result;
	pccl_text_copy(action_out->text, sizeof(action_out->text), peer->end_text);
	return true;
}

uint64_t pccl_peer_deadline(const struct pccl_peer *peer)
{
	return peer->standing == PCCL_PEER_GONE ? PCCL_NEVER : pccl_peer_link_deadline(peer);
}

static const char *state_words(const struct pccl_peer *peer)
{
	if (peer->standing == PCCL_PEER_IDLE)
		return "not connected";
	if (peer->standing == PCCL_PEER_GONE)
		return peer->end_text;
	if (peer->frozen || peer->freezing)
		return peer->link == PCCL_PEER_LINK_UP ? "waiting for the outcome of a view change"
						       : "waiting for a master to finish a view change";
	if (peer->link == PCCL_PEER_LINK_UP && peer->stalls > 0)
		return "waiting at a master that too few members have come back to";
	if (peer->link == PCCL_PEER_LINK_UP)
		return peer->standing == PCCL_PEER_NEWCOMER ? "waiting for admission" : "member";
	if (peer->link == PCCL_PEER_LINK_REGISTERING)
		return "registering with a master";
	return peer->standing == PCCL_PEER_NEWCOMER ? "looking for a master" : "member, looking for a master";
}

const char *pccl_peer_state(const struct pccl_peer *peer)
{
	/* The text lives in the machine: the caller may keep it until the next call. */
	char *text = ((struct pccl_peer *)(uintptr_t)peer)->state_text;

	pccl_text_format(text, sizeof(peer->state_text), "%s (group %u, epoch %u, master %u%s%s)", state_words(peer),
			 peer->config.group, pccl_peer_epoch(peer), peer->master,
			 peer->link < PCCL_PEER_LINK_UP && peer->trouble[0] != '\0' ? ": " : "",
			 peer->link < PCCL_PEER_LINK_UP ? peer->trouble : "");
	return text;
}

pcclResult_t pccl_peer_create(const struct pccl_peer_config *config, struct pccl_peer **peer_out)
{
	struct pccl_peer *peer = pccl_zalloc(sizeof(*peer));

	assert(config->master_count > 0 && !pccl_uuid_is_zero(&config->self.uuid));
	assert(config->heartbeat_interval_ns > 0 && config->heartbeat_timeout_ns > 0);
	*peer_out = peer;
	if (peer == NULL)
		return pcclOutOfMemory;
	peer->config = *config;
	peer->config.self.masters = config->master_count;
	peer->patience_ns = config->heartbeat_timeout_ns;
	pccl_rng_seed(&peer->rng, config->seed);
	peer->promised_ns = PCCL_NEVER;
	peer->connect_ns = PCCL_NEVER;
	peer->admission_ns = PCCL_NEVER;
	peer->stranded_ns = PCCL_NEVER;
	peer->away_ns = PCCL_NEVER;
	peer->vote_end_ns = PCCL_NEVER;
	peer->blocked_ns = PCCL_NEVER;
	peer->quiet_ns = PCCL_NEVER;
	return pcclSuccess;
}

void pccl_peer_destroy(struct pccl_peer *peer)
{
	struct pccl_peer_action action;
	uint32_t index;

	if (peer == NULL)
		return;
	while (pccl_peer_poll(peer, &action))
		pccl_message_destroy(action.message);
	pccl_peer_drop_install(peer);
	for (index = 0; index < peer->promise_count; index++)
		pccl_free(peer->promises[index].members);
	pccl_op_reports_destroy(peer->reports, peer->report_count);
	pccl_free(peer->passes.passes);
	pccl_free(peer);
}
