/*
 * Who is at the other end of a control connection, as the master's shell knows it: on a protected one, who registers
 * has to prove by a key that the secret which it shows is its own, so that a master of somebody else's that was told
 * the secret can't take the seat.
 */
#ifndef PCCL_VISITOR_H
#define PCCL_VISITOR_H

#include "comm/allowed.h"
#include "membership/message/message.h"
#include "transport/link/channel.h"

struct pccl_visitor {
	bool is_protected;
	bool has_proven;
	struct pccl_bond bond;	   /* of a protected one, as the rest */
	struct pccl_key key;	   /* that it has proven to have, */
	struct pccl_secret secret; /* and the secret that this makes its own */
};

/* An open connection. pcclSystemError: it should be protected, and can't be told from others. */
pcclResult_t pccl_visitor_arrive(struct pccl_visitor *visitor, const struct pccl_channel *channel, bool is_protected);

/* What the master proves to a protected visitor by its own key. pcclSystemError. */
pcclResult_t pccl_visitor_greet(const struct pccl_visitor *visitor, const struct pccl_key_pair *identity,
				struct pccl_proof *proof_out);

/* PROOF has come. pcclMasterConnectionFailed, in words for the visitor: it proves nothing. */
pcclResult_t pccl_visitor_prove(struct pccl_visitor *visitor, const struct pccl_proof *proof);

/* May it join the group? `allowed` is the master's list, NULL: it has none. pcclMasterConnectionFailed, in words. */
pcclResult_t pccl_visitor_may_join(const struct pccl_visitor *visitor, const struct pccl_allowed *allowed,
				   uint32_t group);

/* REGISTER has come. pcclMasterConnectionFailed, in words for the visitor: the secret may not be its own. */
pcclResult_t pccl_visitor_check(const struct pccl_visitor *visitor, const struct pccl_message_register *registration);

/* Unless the message is a REGISTER that names places which nobody can dial: pccl_fail_text() says which. */
bool pccl_visitor_is_within_reach(const struct pccl_message *message);

#endif
