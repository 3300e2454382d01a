/* A peer that a test plays: it calls a real master, as PCCL_SECRET and the rest of the environment say, and sends what
 * it likes. In a process of a world (peers.h). */
#ifndef PCCL_TESTS_CALLER_H
#define PCCL_TESTS_CALLER_H

#include "lib/peers.h"
#include "membership/message/message.h"
#include "transport/link/channel.h"
#include "transport/wires/wires.h"

/* One that calls the master, and what it was answered. */
struct caller {
	struct pccl_loop *loop;
	struct pccl_wires *wires;
	struct pccl_channel *channel;
	struct pccl_bond bond;
	bool is_open;
	enum pccl_message_type answer; /* 0: none yet */
	struct pccl_member met;	       /* whom it was introduced to */
	bool has_met;
	char text[PCCL_CAUSE_TEXT_BYTES];
};

/* Until the connection is up. */
void caller_dial(struct caller *caller, const struct world_peer *me, unsigned master);
void caller_hang_up(const struct caller *caller);
void caller_turn_until(const struct caller *caller, const bool *done);

void caller_say(const struct caller *caller, const struct pccl_message *message);
void caller_say_proof(const struct caller *caller, const struct pccl_proof *proof);
/* `last`: the view that it brings, or NULL. Until there is an answer. */
void caller_register(struct caller *caller, const struct pccl_secret *secret, struct pccl_install *last);

struct pccl_member caller_describe(const struct pccl_secret *secret);
struct pccl_proof caller_sign(const struct pccl_key_pair *pair, const struct pccl_binding *binding);

#endif
