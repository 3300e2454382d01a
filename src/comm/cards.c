#include "comm/cards.h"

#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"
#include "transport/loop/fork.h"

#define LIST_BYTES 256

/* The next name of a list; NULL: that was all. */
static const char *next_name(char **rest)
{
	const char *name;

	while ((name = strsep(rest, ",")) != NULL && *name == '\0')
		;
	return name;
}

static uint8_t count_bits(const struct sockaddr *mask)
{
	struct pccl_address address;
	const uint8_t *bytes;
	uint8_t bits = 0;
	size_t count, i;

	if (!pccl_address_from_system(mask, &address))
		return UINT8_MAX; /* of no network that anybody else is in */
	bytes = pccl_address_host(&address, &count);
	for (i = 0; i < count; i++)
		bits = (uint8_t)(bits + __builtin_popcount(bytes[i]));
	return bits;
}

static void find_addresses(const struct ifaddrs *at, struct pccl_card *card)
{
	for (; at != NULL && card->address_count < PCCL_CARD_ADDRESSES_MAX; at = at->ifa_next) {
		struct pccl_card_address *here = &card->addresses[card->address_count];

		if (strcmp(at->ifa_name, card->name) != 0 || (at->ifa_flags & IFF_UP) == 0 ||
		    !pccl_address_from_system(at->ifa_addr, &here->address) ||
		    !pccl_address_may_be_told(&here->address))
			continue;
		here->network_bits = count_bits(at->ifa_netmask);
		card->address_count++;
	}
}

void pccl_cards_find(const char *names, struct pccl_cards *cards_out)
{
	char list[LIST_BYTES];
	char *rest = list;
	struct ifaddrs *all = NULL;
	const char *name;

	memset(cards_out, 0, sizeof(*cards_out));
	(void)snprintf(list, sizeof(list), "%s", names);
	if (getifaddrs(&all) != 0) {
		pccl_log_warn("the interfaces can't be listed: %s", strerror(errno));
		return;
	}
	while (cards_out->count < PCCL_CARDS_MAX && (name = next_name(&rest)) != NULL) {
		struct pccl_card *card = &cards_out->cards[cards_out->count];

		memset(card, 0, sizeof(*card));
		(void)snprintf(card->name, sizeof(card->name), "%s", name);
		find_addresses(all, card);
		cards_out->count += card->address_count > 0;
	}
	freeifaddrs(all);
}

void pccl_cards_tell_missing(const char *names, const struct pccl_cards *cards,
			     void (*tell)(const char *name, const char *why))
{
	char list[LIST_BYTES];
	char *rest = list;
	const char *name;
	uint32_t i;

	(void)snprintf(list, sizeof(list), "%s", names);
	while ((name = next_name(&rest)) != NULL) {
		for (i = 0; i < cards->count && strcmp(cards->cards[i].name, name) != 0; i++)
			;
		if (i == cards->count)
			tell(name, if_nametoindex(name) == 0 ? "there is none of that name here"
							     : "it is down, or has no address that peers can dial");
	}
}

static bool is_loopback(const struct ifaddrs *at, const char *name)
{
	for (; at != NULL; at = at->ifa_next)
		if (strcmp(at->ifa_name, name) == 0)
			return (at->ifa_flags & IFF_UP) != 0 && (at->ifa_flags & IFF_LOOPBACK) != 0;
	return false;
}

bool pccl_cards_are_loopback(const char *names)
{
	char list[LIST_BYTES];
	char *rest = list;
	struct ifaddrs *all = NULL;
	const char *name;
	uint32_t count = 0;
	bool are = true;

	(void)snprintf(list, sizeof(list), "%s", names);
	if (names[0] == '\0' || getifaddrs(&all) != 0)
		return false;
	for (; are && (name = next_name(&rest)) != NULL; count++)
		are = is_loopback(all, name);
	freeifaddrs(all);
	return are && count > 0;
}

/* ---- ways ------------------------------------------------------------------------------------------------------ */

/* A datagram socket that connects sends nothing. */
bool pccl_cards_source(const struct pccl_address *to, struct pccl_address *from_out)
{
	const int fd = pccl_fork_own(socket(to->storage.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
	bool found;

	if (fd < 0)
		return false;
	memset(from_out, 0, sizeof(*from_out));
	from_out->bytes = sizeof(from_out->storage);
	found = connect(fd, (const struct sockaddr *)&to->storage, to->bytes) == 0 &&
		getsockname(fd, (struct sockaddr *)&from_out->storage, &from_out->bytes) == 0;
	pccl_fork_close(fd);
	if (found)
		pccl_address_set_port(from_out, 0);
	return found;
}

bool pccl_cards_lead_home(const struct pccl_address *address)
{
	struct pccl_address from;

	/* To itself a host sends from the address that it sends to. */
	return pccl_address_is_loopback(address) || pccl_address_is_any(address) ||
	       (pccl_cards_source(address, &from) && pccl_address_same_host(address, &from));
}

static uint32_t card_with(const struct pccl_cards *cards, const struct pccl_address *address)
{
	uint32_t card, i;

	for (card = 0; card < cards->count; card++)
		for (i = 0; i < cards->cards[card].address_count; i++)
			if (pccl_address_same_host(&cards->cards[card].addresses[i].address, address))
				return card;
	return PCCL_CARDS_MAX;
}

static void find_route(const struct pccl_cards *cards, const struct pccl_address *to, struct pccl_departure *route_out)
{
	route_out->card = PCCL_CARDS_MAX;
	route_out->is_here = pccl_address_is_loopback(to);
	if (!pccl_cards_source(to, &route_out->from))
		return;
	/* To itself a host sends from the address that it sends to. */
	route_out->is_here |= pccl_address_same_host(to, &route_out->from);
	route_out->card = card_with(cards, &route_out->from);
}

uint32_t pccl_cards_put_ways(const char *names, struct pccl_place places[PCCL_DIALLER_PLACES_MAX], uint32_t *count)
{
	struct pccl_departure routes[PCCL_DIALLER_PLACES_MAX];
	struct pccl_way ways[PCCL_DIALLER_PLACES_MAX];
	struct pccl_cards cards;
	uint32_t way_count, i;

	pccl_cards_find(names, &cards);
	for (i = 0; i < *count; i++)
		find_route(&cards, &places[i].address, &routes[i]);
	way_count = pccl_ways_find(cards.cards, cards.count, places, routes, *count, ways);
	return pccl_ways_put(ways, way_count, places, count);
}
