#include "comm/visitor.h"

#include <string.h>

#include "base/fail.h"
#include "transport/address.h"

pcclResult_t pccl_visitor_arrive(struct pccl_visitor *visitor, const struct pccl_channel *channel, bool is_protected)
{
	memset(visitor, 0, sizeof(*visitor));
	visitor->is_protected = is_protected;
	if (is_protected && !pccl_channel_bond(channel, &visitor->bond))
		return pccl_fail(pcclSystemError, "a protected connection has nothing that tells it from others");
	return pcclSuccess;
}

pcclResult_t pccl_visitor_greet(const struct pccl_visitor *visitor, const struct pccl_key_pair *identity,
				struct pccl_proof *proof_out)
{
	memset(proof_out, 0, sizeof(*proof_out));
	proof_out->key = identity->key;
	return pccl_proof_sign(identity, PCCL_ROLE_MASTER, &visitor->bond.binding, proof_out);
}

pcclResult_t pccl_visitor_prove(struct pccl_visitor *visitor, const struct pccl_proof *proof)
{
	if (!visitor->is_protected)
		return pcclSuccess; /* nothing comes of it */
	if (visitor->has_proven)
		return pccl_fail(pcclMasterConnectionFailed, "this peer proves twice who it is");
	if (!pccl_proof_holds(proof, PCCL_ROLE_PEER, &visitor->bond.binding))
		return pccl_fail(pcclMasterConnectionFailed,
				 "this peer has signed with another key than it shows, or for another connection");
	visitor->has_proven = true;
	visitor->key = proof->key;
	visitor->secret = pccl_identity_secret(&proof->key, proof->salt);
	return pcclSuccess;
}

pcclResult_t pccl_visitor_check(const struct pccl_visitor *visitor, const struct pccl_message_register *registration)
{
	if (!visitor->is_protected)
		return pcclSuccess;
	if (!visitor->has_proven)
		return pccl_fail(pcclMasterConnectionFailed, "this peer does not prove by a key who it is");
	/* The secret is no secret to who has it: no need to take the same time whatever differs. */
	if (memcmp(visitor->secret.data, registration->secret.data, sizeof(visitor->secret.data)) != 0)
		return pccl_fail(pcclMasterConnectionFailed,
				 "this peer shows the secret of another one: its key does not belong to it");
	return pcclSuccess;
}

pcclResult_t pccl_visitor_may_join(const struct pccl_visitor *visitor, const struct pccl_allowed *allowed,
				   uint32_t group)
{
	char key[PCCL_KEY_TEXT_BYTES];

	if (allowed == NULL ||
	    (visitor->has_proven && pccl_allowed_admits(allowed, &visitor->key, visitor->bond.name, group)))
		return pcclSuccess;
	pccl_key_text(&visitor->key, key);
	return pccl_fail(pcclMasterConnectionFailed,
			 "neither %s nor its certificate (%s) is on the master's list for group %u", key,
			 visitor->bond.name[0] != '\0' ? visitor->bond.name : "none", group);
}

/* Members dial what is in the view as it is: they do not resolve names. "": as the master sees it. */
static bool may_be_dialled(const struct pccl_member *member)
{
	struct pccl_address address;
	uint8_t i;

	for (i = 0; i < member->address_count; i++) {
		const struct pccl_member_address *at = &member->addresses[i];

		if (at->host[0] != '\0' && (pccl_address_numeric(at->host, at->port, &address) != pcclSuccess ||
					    !pccl_address_may_be_dialled(&address)))
			return false;
	}
	return member->address_count > 0;
}

bool pccl_visitor_is_within_reach(const struct pccl_message *message)
{
	const struct pccl_message_register *registration = &message->body.registration;
	uint32_t rank;

	if (message->type != PCCL_MESSAGE_REGISTER)
		return true;
	for (rank = 0; registration->last != NULL && rank < registration->last->view.member_count; rank++)
		if (!may_be_dialled(&registration->last->view.members[rank]))
			return false;
	return may_be_dialled(&registration->self);
}
