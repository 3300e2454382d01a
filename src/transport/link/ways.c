#include "transport/link/ways.h"

#include <string.h>

#include "transport/networks.h"

/* What the pairing has come to. */
struct pairing {
	const struct pccl_card *cards;
	uint32_t card_count;
	const struct pccl_place *places; /* those of one family are looked at: */
	const struct pccl_departure *routes;
	uint32_t family_places[PCCL_DIALLER_PLACES_MAX]; /* indices */
	uint32_t family_count;
	bool has_card[PCCL_CARDS_MAX];
	bool has_place[PCCL_DIALLER_PLACES_MAX]; /* by index among all */
	struct pccl_way *ways;
	uint32_t way_count;
};

static const struct pccl_address anywhere;

bool pccl_ways_on_one_network(const struct pccl_card_address *card, const struct pccl_address *place)
{
	size_t bytes;
	const uint8_t *here = pccl_address_host(&card->address, &bytes), *there = pccl_address_host(place, &bytes);

	return card->address.storage.ss_family == place->storage.ss_family && card->network_bits <= bytes * 8 &&
	       pccl_networks_begin_alike(here, there, card->network_bits);
}

/* The address that the card would call the place from, without bytes if that is the system's affair, if it reaches it;
 * NULL: it doesn't. */
static const struct pccl_address *reach(const struct pairing *pairing, uint32_t card, uint32_t place, bool *near_out)
{
	const struct pccl_card *from = &pairing->cards[card];
	const struct pccl_departure *route = &pairing->routes[place];
	uint32_t i;

	*near_out = false;
	if (route->is_here)
		return NULL;
	for (i = 0; i < from->address_count; i++)
		if (pccl_ways_on_one_network(&from->addresses[i], &pairing->places[place].address)) {
			*near_out = true;
			return &from->addresses[i].address;
		}
	if (route->card != card)
		return NULL;
	/* What IPv6 sends from may be gone tomorrow: by this card it leaves in any case. */
	return route->from.storage.ss_family == AF_INET ? &route->from : &anywhere;
}

static void consider(struct pairing *pairing, uint32_t card, uint32_t place, bool for_both)
{
	const bool new_card = !pairing->has_card[card], new_place = !pairing->has_place[place];
	const struct pccl_address *from;
	bool near;

	if (pairing->way_count == PCCL_DIALLER_PLACES_MAX ||
	    (for_both ? !new_card || !new_place : new_card == new_place))
		return;
	from = reach(pairing, card, place, &near);
	if (from == NULL || (!for_both && !near))
		return;
	pairing->ways[pairing->way_count++] = (struct pccl_way){.card = card, .place = place, .from = *from};
	pairing->has_card[card] = pairing->has_place[place] = true;
}

static uint32_t find_family(struct pairing *pairing, sa_family_t family, uint32_t place_count)
{
	uint32_t shift, card, i, pass;

	for (i = 0; i < place_count; i++)
		if (pairing->places[i].address.storage.ss_family == family)
			pairing->family_places[pairing->family_count++] = i;
	for (pass = 0; pass < 2; pass++)
		for (shift = 0; shift < pairing->family_count; shift++)
			for (card = 0; card < pairing->card_count; card++)
				consider(pairing, card, pairing->family_places[(card + shift) % pairing->family_count],
					 pass == 0);
	return pairing->way_count;
}

uint32_t pccl_ways_find(const struct pccl_card *cards, uint32_t card_count, const struct pccl_place *places,
			const struct pccl_departure *routes, uint32_t place_count,
			struct pccl_way ways_out[PCCL_DIALLER_PLACES_MAX])
{
	struct pccl_way others[PCCL_DIALLER_PLACES_MAX];
	struct pairing v4 = {
		.cards = cards, .card_count = card_count, .places = places, .routes = routes, .ways = ways_out};
	struct pairing v6 = v4;
	uint32_t count, other_count, i;

	/* Behind a translator a member of this host may also be told at the translator's address. */
	for (i = 0; i < place_count; i++)
		if (routes[i].is_here && !pccl_address_is_loopback(&places[i].address))
			return 0;
	v6.ways = others;
	count = find_family(&v4, AF_INET, place_count);
	other_count = find_family(&v6, AF_INET6, place_count);
	if (other_count <= count)
		return count;
	memcpy(ways_out, others, other_count * sizeof(others[0]));
	return other_count;
}

uint32_t pccl_ways_put(const struct pccl_way *ways, uint32_t way_count,
		       struct pccl_place places[PCCL_DIALLER_PLACES_MAX], uint32_t *count)
{
	struct pccl_place all[PCCL_DIALLER_PLACES_MAX];
	uint32_t i;

	for (i = 0; i < way_count; i++) {
		all[i] = places[ways[i].place];
		all[i].from = ways[i].from;
	}
	for (i = 0; i < *count && way_count + i < PCCL_DIALLER_PLACES_MAX; i++)
		all[way_count + i] = places[i];
	*count = way_count + i;
	memcpy(places, all, *count * sizeof(all[0]));
	return way_count > 1 ? way_count : 0;
}
