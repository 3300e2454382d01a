/* Where a peer can be reached: what it tells the others to dial, and what it makes of what they tell. */
#ifndef PCCL_REACH_H
#define PCCL_REACH_H

#include <pccl.h>

#include "comm/cards.h"
#include "comm/settings.h"
#include "membership/message/view.h"
#include "transport/link/dialler.h"
#include "transport/wires/wires.h"

/* Who names nothing but loopback as the interfaces that carry payload says that everybody is on this host: a master
 * that isn't is refused, pcclInvalidArgument. `first` as in pccl_settings_masters(). May block in the resolver. */
pcclResult_t pccl_reach_check_masters(const struct pccl_settings *settings, const ccoip_socket_address_t *first);

/* Fills in the member's addresses: as configured; else those of the interfaces that carry payload, if they are named,
 * of each family one for each, and as the master sees this peer, second; else, also if it listens on none of these, as
 * that, and those of the interfaces that it listens on. Loopback and link-local ones not, for they mean something else
 * elsewhere; only what the master sees, where the interfaces named are loopback. May block in the resolver. Returns
 * pcclInvalidArgument for an advertised address that is none, and for other interfaces of which none has any. */
pcclResult_t pccl_reach_advertise(const struct pccl_settings *settings, uint16_t port, struct pccl_member *self_out);

/* What it says of cards: one family after the other, each in the order of the cards, so who dials pairs the n-th with
 * his n-th. What the master sees may be another card's: it is for those who reach none of these. None is added if none
 * is listened on. `warn` hears of the cards of which no address is told, and why. */
void pccl_reach_add_cards(struct pccl_member *self, const struct pccl_cards *cards,
			  const struct pccl_address *listening, uint16_t port,
			  void (*warn)(const char *name, const char *why));

/* A loopback address is that of a member beside the master, as this saw it. If `master_host`, numeric, by which this
 * peer reaches the master, is none, the member is there, too: it goes before the others. */
void pccl_reach_translate(struct pccl_view *view, const pcclRankUuid_t *self, const char *master_host);

/* The member's addresses as places to dial. None: pcclInvalidArgument, the cause says which. */
pcclResult_t pccl_reach_places(const struct pccl_wires *wires, const struct pccl_member *member,
			       struct pccl_place places_out[PCCL_DIALLER_PLACES_MAX], uint32_t *count_out);

#endif
