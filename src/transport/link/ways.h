/*
 * Ways to a neighbour where this host has several network cards that carry payload: pairs of a card here and a place
 * there. Pure.
 */
#ifndef PCCL_TRANSPORT_WAYS_H
#define PCCL_TRANSPORT_WAYS_H

#include <net/if.h>

#include "transport/link/dialler.h"

#define PCCL_CARDS_MAX 8u
#define PCCL_CARD_ADDRESSES_MAX 8u

struct pccl_card_address {
	struct pccl_address address; /* without port */
	uint8_t network_bits;	     /* of it name the network */
};

/* An interface that carries payload. */
struct pccl_card {
	char name[IF_NAMESIZE];
	struct pccl_card_address addresses[PCCL_CARD_ADDRESSES_MAX];
	uint32_t address_count;
};

/* How this host sends to a place, as it is set up. */
struct pccl_departure {
	uint32_t card;		  /* index of the one it leaves by; PCCL_CARDS_MAX: by none of them */
	struct pccl_address from; /* then, without port */
	bool is_here;		  /* the place is this host itself */
};

struct pccl_way {
	uint32_t card;
	uint32_t place;
	struct pccl_address from; /* no bytes: whichever the system wants */
};

/* A card reaches a place if the place is in a network of the card's, or the route to it leaves by the card. Of what is
 * possible as many pairs as it takes for each card, and each place in a card's network, to have one; first those in
 * which both had none, for each card the place of the same number in turn, so that lists in the same order pair alike.
 * What is behind a router gets one such pair and no more: whether it is another card of the neighbour's nobody knows.
 * All are of one family, the one with more pairs, or else IPv4. To who is on this host there are none. Returns how
 * many. */
uint32_t pccl_ways_find(const struct pccl_card *cards, uint32_t card_count, const struct pccl_place *places,
			const struct pccl_departure *routes, uint32_t place_count,
			struct pccl_way ways_out[PCCL_DIALLER_PLACES_MAX]);

/* Puts the ways before the places, which follow as far as there is room; `count`: of all. Returns how many ways a link
 * has: 0 where there is but one, which needs no choice. */
uint32_t pccl_ways_put(const struct pccl_way *ways, uint32_t way_count,
		       struct pccl_place places[PCCL_DIALLER_PLACES_MAX], uint32_t *count);

/* Is the place in a network that the address is in? */
bool pccl_ways_on_one_network(const struct pccl_card_address *card, const struct pccl_address *place);

#endif
