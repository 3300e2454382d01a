/*
 * A peer's part in a view change: PREPARE stops the transfers and makes a promise, PREPARED tells what is open,
 * INSTALL puts the next view in force.
 *
 * Once frozen, a peer stays frozen until an INSTALL, whatever becomes of the master that asked: its reports are
 * facts that any later master may build upon.
 */
#include "membership/peer/peer_internal.h"

#include <assert.h>
#include <string.h>

#include "base/bitmap.h"
#include "base/memory.h"
#include "base/uuid.h"

/* Where to keep a promise. A newer one to the same master on the same connection takes the place of the older: the
 * master knows itself that it never put that view in force. Over another connection it may have forgotten the group
 * meanwhile, and with it that it did; such an older one goes only for want of room. */
static uint32_t place_for_promise(const struct pccl_peer *peer)
{
	uint32_t oldest = PCCL_PROMISES_MAX;
	uint32_t index;

	assert(peer->promise_count <= PCCL_PROMISES_MAX);
	for (index = 0; index < peer->promise_count; index++) {
		if (!pccl_uuid_equal(&peer->promises[index].master, &peer->master_uuid))
			continue;
		if (peer->promise_calls[index] == peer->calls)
			return index;
		if (oldest == PCCL_PROMISES_MAX)
			oldest = index;
	}
	return index < PCCL_PROMISES_MAX ? index : oldest;
}

/* Keeps what this master was promised. */
static pcclResult_t remember_promise(struct pccl_peer *peer, const struct pccl_message_prepare *prepare)
{
	struct pccl_promise from = {.master = peer->master_uuid,
				    .run = prepare->run,
				    .epoch = prepare->epoch,
				    .member_count = prepare->member_count,
				    .members = prepare->members,
				    .seal = prepare->seal};
	struct pccl_promise promise;
	uint32_t index = place_for_promise(peer);

	if (index == PCCL_PROMISES_MAX || pccl_promise_copy(&from, &promise) != pcclSuccess)
		return pcclOutOfMemory;
	if (index == peer->promise_count)
		peer->promise_count++;
	else
		pccl_free(peer->promises[index].members);
	peer->promises[index] = promise;
	peer->promise_calls[index] = peer->calls;
	return pcclSuccess;
}

static void forget_promises(struct pccl_peer *peer, uint32_t epoch)
{
	uint32_t kept = 0;
	uint32_t index;

	for (index = 0; index < peer->promise_count; index++) {
		if (peer->promises[index].epoch <= epoch) {
			pccl_free(peer->promises[index].members);
			continue;
		}
		peer->promises[kept] = peer->promises[index];
		peer->promise_calls[kept++] = peer->promise_calls[index];
	}
	peer->promise_count = kept;
}

static pcclResult_t copy_reports(const struct pccl_peer *peer, struct pccl_message_prepared *prepared)
{
	uint32_t index;

	prepared->reports = pccl_calloc(peer->report_count, sizeof(*prepared->reports));
	if (prepared->reports == NULL)
		return pcclOutOfMemory;
	for (index = 0; index < peer->report_count; index++) {
		prepared->report_count = index + 1;
		if (pccl_op_report_copy(&peer->reports[index], &prepared->reports[index]) != pcclSuccess)
			return pcclOutOfMemory;
	}
	return pcclSuccess;
}

static void answer_prepare(struct pccl_peer *peer)
{
	struct pccl_message *message = pccl_message_create(PCCL_MESSAGE_PREPARED);

	assert(peer->prepare_epoch > pccl_peer_epoch(peer));
	assert(peer->frozen || peer->standing == PCCL_PEER_NEWCOMER);
	if (message != NULL) {
		message->body.prepared.epoch = peer->prepare_epoch;
		if (copy_reports(peer, &message->body.prepared) != pcclSuccess) {
			pccl_message_destroy(message);
			message = NULL;
		}
	}
	peer->prepare_epoch = 0;
	pccl_peer_send(peer, message);
}

void pccl_peer_on_prepare(struct pccl_peer *peer, const struct pccl_message_prepare *prepare)
{
	struct pccl_peer_action action = {.type = PCCL_PEER_FREEZE, .epoch = prepare->epoch};

	if (prepare->epoch <= pccl_peer_epoch(peer))
		return;
	if (remember_promise(peer, prepare) != pcclSuccess) {
		pccl_peer_abandon(peer, "no room for another promise");
		return;
	}
	assert(!peer->freezing || !peer->frozen);
	pccl_peer_link_good(peer);
	peer->prepare_epoch = prepare->epoch;
	if (peer->frozen || peer->standing == PCCL_PEER_NEWCOMER) {
		answer_prepare(peer);
		return;
	}
	if (peer->freezing)
		return;
	peer->freezing = true;
	pccl_peer_push(peer, &action);
}

static void drop_reports(struct pccl_peer *peer)
{
	pccl_op_reports_destroy(peer->reports, peer->report_count);
	peer->reports = NULL;
	peer->report_count = 0;
}

void pccl_peer_on_frozen(struct pccl_peer *peer, struct pccl_op_report *reports, uint32_t count)
{
	assert(count <= PCCL_REPORTS_MAX);
	if (!peer->freezing || peer->standing == PCCL_PEER_GONE) {
		pccl_op_reports_destroy(reports, count);
		return;
	}
	assert(!peer->frozen && peer->standing == PCCL_PEER_MEMBER);
	drop_reports(peer);
	peer->reports = reports;
	peer->report_count = count;
	peer->freezing = false;
	peer->frozen = true;
	if (peer->prepare_epoch != 0)
		answer_prepare(peer);
}

/* May this install follow what is in force here? A lone founder may be taken over by the run that came back. */
static bool fits(const struct pccl_peer *peer, const struct pccl_install *install)
{
	uint32_t rank;

	if (install->view.group != peer->config.group || install->view.epoch <= pccl_peer_epoch(peer) ||
	    !pccl_view_rank(&install->view, &peer->config.self.uuid, &rank))
		return false;
	if (peer->standing == PCCL_PEER_NEWCOMER)
		return true;
	assert(peer->install != NULL);
	if (!peer->frozen)
		return false;
	if (!pccl_uuid_equal(&install->run, &peer->install->run))
		return install->newcomers && peer->install->lone;
	return install->previous_epoch == pccl_peer_epoch(peer);
}

void pccl_peer_drop_install(struct pccl_peer *peer)
{
	if (peer->install != NULL)
		pccl_install_fini(peer->install);
	pccl_free(peer->install);
	peer->install = NULL;
}

/* An install that adds members is the answer of everybody's update, and joint calls are counted from there. Only
 * a lone founder that is taken over may have made another call: its group of one has no peers waiting, and is no
 * more. */
static void count_votes_anew(struct pccl_peer *peer)
{
	struct pccl_answer answer = {.kind = peer->vote, .result = pcclSuccess};

	assert(peer->install != NULL && peer->install->newcomers);
	memset(&peer->answered, 0, sizeof(peer->answered));
	peer->answered.origin = pccl_peer_epoch(peer);
	if (peer->vote != 0)
		pccl_peer_answer(peer, &answer);
	else
		peer->given_up_done = peer->given_up != 0;
}

void pccl_peer_on_passes(struct pccl_peer *peer, struct pccl_message_passes *passes)
{
	pccl_free(peer->passes.passes);
	peer->passes = *passes;
	memset(passes, 0, sizeof(*passes));
}

/* Members that stay are in the same order in both views. */
static void give_passes(struct pccl_peer *peer, struct pccl_view *view)
{
	const struct pccl_view *before = peer->install != NULL ? &peer->install->view : NULL;
	const struct pccl_message_passes *passes = &peer->passes;
	uint32_t old = 0;
	uint32_t rank;

	for (rank = 0; before != NULL && rank < view->member_count; rank++) {
		uint32_t at = old;

		while (at < before->member_count &&
		       !pccl_uuid_equal(&before->members[at].uuid, &view->members[rank].uuid))
			at++;
		if (at == before->member_count)
			continue;
		view->members[rank].pass = before->members[at].pass;
		old = at + 1;
	}
	for (rank = passes->first_rank; passes->epoch == view->epoch && rank < view->member_count; rank++) {
		if (rank - passes->first_rank < passes->count)
			view->members[rank].pass = passes->passes[rank - passes->first_rank];
	}
}

void pccl_peer_on_install(struct pccl_peer *peer, struct pccl_message *message)
{
	struct pccl_peer_action action = {.type = PCCL_PEER_INSTALL};
	struct pccl_install *install;

	if (!fits(peer, &message->body.install)) {
		pccl_peer_abandon(peer, "the master sent a view that can't follow the one in force");
		return;
	}
	install = pccl_alloc(sizeof(*install));
	if (install == NULL) {
		pccl_peer_end(peer, pcclOutOfMemory, "out of memory at a view change");
		return;
	}
	assert(message->body.install.view.epoch > pccl_peer_epoch(peer));
	*install = message->body.install;
	memset(&message->body.install, 0, sizeof(message->body.install));
	give_passes(peer, &install->view);
	pccl_peer_drop_install(peer);
	peer->install = install;
	peer->world = install->world;
	peer->standing = PCCL_PEER_MEMBER;
	peer->admission_ns = PCCL_NEVER;
	peer->frozen = false;
	peer->freezing = false;
	peer->prepare_epoch = 0;
	peer->expired_count = 0;
	memset(peer->complained, 0, sizeof(peer->complained));
	pccl_peer_forget_broken(peer);
	drop_reports(peer);
	forget_promises(peer, install->view.epoch);
	pccl_peer_link_good(peer);
	action.install = install;
	pccl_peer_push(peer, &action);
	if (install->newcomers)
		count_votes_anew(peer);
}
