/* The network cards that are to carry payload, by the names of their interfaces, and what ways there are from them. */
#ifndef PCCL_CARDS_H
#define PCCL_CARDS_H

#include "transport/link/ways.h"

struct pccl_cards {
	struct pccl_card cards[PCCL_CARDS_MAX];
	uint32_t count;
};

/* Those of the list ("eth0,eth1") that are up and have an address that others may dial, in its order, as it is now. */
void pccl_cards_find(const char *names, struct pccl_cards *cards_out);

/* Tells which of the list are not among them, and why. */
void pccl_cards_tell_missing(const char *names, const struct pccl_cards *cards,
			     void (*tell)(const char *name, const char *why));

/* Are all of the list up, and loopback? None of them is among the cards: all members are on this host, says who names
 * them. */
bool pccl_cards_are_loopback(const char *names);

/* Is it loopback, or an address of this host's? */
bool pccl_cards_lead_home(const struct pccl_address *address);

/* Which of this host's addresses the system sends from to there, without port. false and errno: there is no way. */
bool pccl_cards_source(const struct pccl_address *to, struct pccl_address *from_out);

/* Puts the ways from these cards before the places of a neighbour, which it is dialled at otherwise; returns how many.
 * One is none: it is the first place, as any other. */
uint32_t pccl_cards_put_ways(const char *names, struct pccl_place places[PCCL_DIALLER_PLACES_MAX], uint32_t *count);

#endif
