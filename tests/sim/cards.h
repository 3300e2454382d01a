/* Hosts with several network cards, and what becomes of these; see cards.c. */
#ifndef PCCL_SIM_CARDS_H
#define PCCL_SIM_CARDS_H

#include "sim.h"
#include "transport/address.h"

#define CARDS_MOST 3u
#define CARD_NAMES_BYTES 16
#define CARD_LARGE_BYTES 256u /* HELLO is smaller */

enum card_state {
	CARD_WELL,
	CARD_SLOW,
	CARD_NARROW, /* what is large vanishes, either way */
	CARD_OUT,    /* everything does: the cable is */
	CARD_DEAF,   /* what comes vanishes */
	CARD_MUTE,   /* what goes vanishes */
	CARD_GONE,   /* nothing can be dialled from it, either */
	CARD_TAKEN,  /* likewise, and its address is somebody else's */
	CARD_STATES
};

struct wire;

/* How many cards hosts have, and how often one fails. */
void cards_plan(struct sim *sim);
void cards_start(struct sim *sim);
/* One fails; one, or (`all`) that of all nodes, is well again. */
void cards_fault(struct sim *sim);
void cards_heal(struct sim *sim, uint32_t node, uint32_t card, bool all);
/* All are. */
void cards_calm(struct sim *sim);
/* Do all go on whom no card has cut off from anybody? */
void cards_watch(struct sim *sim);
/* Once nothing goes wrong any more: is each card in use again? */
bool cards_are_home(struct sim *sim);

/* How many that node has. */
uint32_t cards_of(const struct sim *sim, uint32_t node);
/* For pccl_lane_links: "" if it knows nothing of several. */
void cards_names(const struct sim *sim, uint32_t node, char out[CARD_NAMES_BYTES]);
void card_address(uint32_t node, uint32_t card, char text_out[PCCL_ADDRESS_BYTES]);
/* Without port. */
void card_find(uint32_t node, uint32_t card, struct pccl_address *out);
/* By which the address goes or is reached; 0 for any that is none of a card. */
uint32_t card_at(const struct pccl_address *address);

enum card_state card_state(const struct sim *sim, uint32_t node, uint32_t card);
bool card_sends(enum card_state state);
bool card_receives(enum card_state state);
/* Can it be dialled from? */
bool card_dials(enum card_state state);

#endif
