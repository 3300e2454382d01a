/* See election.h. */
#include "sync/state/election.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static bool may_send(const struct pccl_state_record *record)
{
	return record->strategy != PCCL_SHARED_STATE_SYNC_STRATEGY_RECEIVE_ONLY;
}

static bool may_receive(const struct pccl_state_record *record)
{
	return record->strategy != PCCL_SHARED_STATE_SYNC_STRATEGY_SEND_ONLY;
}

static bool votes(const struct pccl_state_record *record)
{
	return may_send(record) && !record->torn && !record->broken;
}

/* The standing of a rank is kept in its part: FAILS until it stands. */
static bool stands(const struct pccl_state_part *part)
{
	return part->role == PCCL_STATE_HOLDS;
}

static uint32_t count_standing(const struct pccl_state_part *parts, uint32_t count)
{
	uint32_t rank, standing = 0;

	for (rank = 0; rank < count; rank++)
		standing += stands(&parts[rank]);
	return standing;
}

/* ---- lineage and revision ------------------------------ */

/* Those who were there, if one of them votes. The last commit is that of all, whether they vote or not. */
static void take_lineage(const struct pccl_state_record *records, uint32_t count, struct pccl_election *election,
			 struct pccl_state_part *parts)
{
	uint64_t last = 0, committed = 0;
	bool one_votes = false;
	uint32_t rank;

	for (rank = 0; rank < count; rank++) {
		if (records[rank].commit <= last)
			continue;
		last = records[rank].commit;
		committed = records[rank].committed;
	}
	election->commit = last + 1;
	election->committed = committed;
	for (rank = 0; rank < count; rank++)
		one_votes |= votes(&records[rank]) && records[rank].commit == last;
	for (rank = 0; rank < count; rank++)
		if (votes(&records[rank]) && (!one_votes || records[rank].commit == last))
			parts[rank].role = PCCL_STATE_HOLDS;
	election->has_expected = last > 0 && one_votes;
	election->expected = committed < UINT64_MAX ? committed + 1 : committed;
}

static void take_revision(const struct pccl_state_record *records, uint32_t count, struct pccl_election *election,
			  struct pccl_state_part *parts)
{
	uint64_t lowest = UINT64_MAX, highest = 0;
	uint32_t rank;

	for (rank = 0; rank < count; rank++)
		if (stands(&parts[rank]) && records[rank].revision < lowest)
			lowest = records[rank].revision;
	if (election->has_expected && lowest > election->expected)
		election->expected = lowest;
	for (rank = 0; rank < count; rank++)
		if (stands(&parts[rank]) && records[rank].revision > highest &&
		    (!election->has_expected || records[rank].revision <= election->expected))
			highest = records[rank].revision;
	for (rank = 0; rank < count; rank++)
		if (stands(&parts[rank]) && records[rank].revision != highest)
			parts[rank].role = PCCL_STATE_FAILS;
	election->revision = highest;
}

/* ---- popularity ------------------------------ */

static uint32_t count_keys(const struct pccl_state_record *records, const struct pccl_state_part *parts, uint32_t count,
			   uint32_t of)
{
	uint32_t rank, same = 0;

	for (rank = 0; rank < count; rank++)
		same += stands(&parts[rank]) && pccl_digest_equal(&records[rank].keys, &records[of].keys);
	return same;
}

static void take_keys(const struct pccl_state_record *records, uint32_t count, struct pccl_election *election,
		      struct pccl_state_part *parts)
{
	uint32_t rank, same, most = 0, best = 0;

	for (rank = 0; rank < count; rank++) {
		same = stands(&parts[rank]) ? count_keys(records, parts, count, rank) : 0;
		if (same > most) {
			most = same;
			best = rank;
		}
	}
	assert(most > 0);
	election->keys = records[best].keys;
	for (rank = 0; rank < count; rank++)
		if (!pccl_digest_equal(&records[rank].keys, &election->keys))
			parts[rank].role = PCCL_STATE_FAILS;
}

struct support {
	uint32_t votes;
	bool fixed; /* one of them must not receive */
};

static struct support support_of(const struct pccl_state_record *records, const struct pccl_state_part *parts,
				 uint32_t count, uint32_t of)
{
	struct support support = {0, false};
	uint32_t rank;

	for (rank = 0; rank < count; rank++) {
		if (!stands(&parts[rank]) || !pccl_digest_equal(&records[rank].content, &records[of].content))
			continue;
		support.votes++;
		support.fixed |= !may_receive(&records[rank]);
	}
	return support;
}

static void take_content(const struct pccl_state_record *records, uint32_t count, struct pccl_election *election,
			 const struct pccl_state_part *parts)
{
	struct support most = {0, false};
	uint32_t rank;

	for (rank = 0; rank < count; rank++) {
		struct support support;

		if (!stands(&parts[rank]) ||
		    (most.votes > 0 && pccl_digest_equal(&records[rank].content, &election->content)))
			continue;
		support = support_of(records, parts, count, rank);
		if (support.votes == most.votes && support.fixed && most.fixed)
			election->reason = PCCL_STATE_DISAGREE;
		if (support.votes < most.votes || (support.votes == most.votes && (most.fixed || !support.fixed)))
			continue;
		if (support.votes > most.votes)
			election->reason = PCCL_STATE_FINE;
		most = support;
		election->truth = rank;
		election->content = records[rank].content;
	}
	assert(most.votes > 0);
}

/* ---- what becomes of each ------------------------------ */

static enum pccl_state_reason reason_of(const struct pccl_election *election, const struct pccl_state_record *record)
{
	if (record->broken)
		return PCCL_STATE_BROKEN;
	if (!pccl_digest_equal(&record->keys, &election->keys))
		return PCCL_STATE_OTHER_KEYS;
	if (election->has_expected && may_send(record) && record->revision > election->expected)
		return PCCL_STATE_SKIPPED;
	if (!pccl_digest_equal(&record->content, &election->content) && !may_receive(record))
		return PCCL_STATE_SEND_ONLY;
	return PCCL_STATE_FINE;
}

static bool was_there(const struct pccl_election *election, const struct pccl_state_record *record)
{
	return record->commit + 1 == election->commit && record->commit > 0;
}

static void find_donor(const struct pccl_state_record *records, uint32_t count, struct pccl_election *election,
		       const struct pccl_state_part *parts)
{
	uint32_t rank;

	election->donor = election->truth;
	for (rank = count; rank-- > 0;)
		if (parts[rank].serves && was_there(election, &records[rank]))
			election->donor = rank;
}

static void give_roles(const struct pccl_state_record *records, uint32_t count, struct pccl_election *election,
		       struct pccl_state_part *parts)
{
	uint32_t rank;

	for (rank = 0; rank < count; rank++) {
		struct pccl_state_part *part = &parts[rank];
		const struct pccl_state_record *record = &records[rank];

		memset(part, 0, sizeof(*part));
		part->reason = reason_of(election, record);
		part->role = PCCL_STATE_FAILS;
		if (part->reason != PCCL_STATE_FINE)
			continue;
		part->role = pccl_digest_equal(&record->content, &election->content) ? PCCL_STATE_HOLDS
										     : PCCL_STATE_RECEIVES;
		part->serves = part->role == PCCL_STATE_HOLDS && may_send(record);
	}
	find_donor(records, count, election, parts);
	for (rank = 0; rank < count; rank++) {
		struct pccl_state_part *part = &parts[rank];

		part->inherits = part->role != PCCL_STATE_FAILS && may_receive(&records[rank]) &&
				 !was_there(election, &records[rank]) &&
				 was_there(election, &records[election->donor]) &&
				 !pccl_digest_equal(&records[rank].loose, &records[election->donor].loose);
		if (part->inherits)
			part->role = PCCL_STATE_RECEIVES;
		election->receivers += part->role == PCCL_STATE_RECEIVES;
	}
}

static void fail_all(const struct pccl_state_record *records, uint32_t count, enum pccl_state_reason reason,
		     struct pccl_election *election, struct pccl_state_part *parts)
{
	uint32_t rank;

	election->reason = reason;
	for (rank = 0; rank < count; rank++) {
		memset(&parts[rank], 0, sizeof(parts[rank]));
		parts[rank].role = PCCL_STATE_FAILS;
		parts[rank].reason = records[rank].broken ? PCCL_STATE_BROKEN : reason;
	}
}

void pccl_elect(const struct pccl_state_record *records, uint32_t count, struct pccl_election *election_out,
		struct pccl_state_part *parts_out)
{
	uint32_t rank;

	assert(count > 0);
	memset(election_out, 0, sizeof(*election_out));
	memset(parts_out, 0, count * sizeof(*parts_out));
	for (rank = 0; rank < count; rank++)
		parts_out[rank].role = PCCL_STATE_FAILS;
	take_lineage(records, count, election_out, parts_out);
	if (count_standing(parts_out, count) == 0) {
		fail_all(records, count, PCCL_STATE_NO_VOTER, election_out, parts_out);
		return;
	}
	take_revision(records, count, election_out, parts_out);
	take_keys(records, count, election_out, parts_out);
	take_content(records, count, election_out, parts_out);
	if (election_out->reason != PCCL_STATE_FINE)
		fail_all(records, count, election_out->reason, election_out, parts_out);
	else
		give_roles(records, count, election_out, parts_out);
}

/* ---- words ------------------------------ */

void pccl_election_explain(const struct pccl_election *election, const struct pccl_state_record *record,
			   enum pccl_state_reason reason, char *text, size_t text_bytes)
{
	switch (reason) {
	case PCCL_STATE_FINE:
	case PCCL_STATE_BROKEN:
		(void)snprintf(text, text_bytes, "this peer could not take part");
		break;
	case PCCL_STATE_SKIPPED:
		(void)snprintf(text, text_bytes,
			       "this peer's revision is %" PRIu64 ", and the group's can be %" PRIu64
			       " at most: revisions grow by 1",
			       record->revision, election->expected);
		break;
	case PCCL_STATE_OTHER_KEYS:
		(void)snprintf(text, text_bytes,
			       "this peer's tensors have other names, types or counts than those of "
			       "the group's state");
		break;
	case PCCL_STATE_SEND_ONLY:
		(void)snprintf(text, text_bytes,
			       "this peer may only send, and its content is not the one that was elected (revision "
			       "%" PRIu64 ")",
			       election->revision);
		break;
	case PCCL_STATE_NO_VOTER:
		(void)snprintf(text, text_bytes,
			       "nobody has a state to send: all may only receive, or an earlier "
			       "call has left theirs torn");
		break;
	case PCCL_STATE_DISAGREE:
		(void)snprintf(text, text_bytes,
			       "peers that may only send have different contents, with as many votes");
		break;
	}
}
