#include "comm/reach.h"

#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>

#include "base/fail.h"
#include "base/log.h"
#include "base/uuid.h"
#include "comm/cards.h"

/* ---- where masters are, for who says that all are here ---------------------------------------------------------- */

/* What can't be looked up now can't be dialled, either, and that has its own words. */
static bool is_elsewhere(const struct pccl_master_place *place)
{
	struct pccl_address addresses[PCCL_MEMBER_ADDRESSES_MAX];
	size_t count = PCCL_MEMBER_ADDRESSES_MAX, i;

	if (pccl_address_resolve(place->host, place->port, addresses, &count) != pcclSuccess)
		return false;
	for (i = 0; i < count && !pccl_cards_lead_home(&addresses[i]); i++)
		;
	return i == count;
}

pcclResult_t pccl_reach_check_masters(const struct pccl_settings *settings, const ccoip_socket_address_t *first)
{
	struct pccl_master_place places[PCCL_MASTERS_MAX];
	uint32_t count, i;
	pcclResult_t result;

	if (!pccl_cards_are_loopback(settings->interfaces))
		return pcclSuccess;
	result = pccl_settings_masters(settings, first, places, &count);
	for (i = 0; result == pcclSuccess && i < count; i++)
		if (is_elsewhere(&places[i]))
			result = pccl_fail(pcclInvalidArgument,
					   "\"%s\" (PCCL_INTERFACES) leads nowhere but to this host, and the master at "
					   "%s is elsewhere",
					   settings->interfaces, places[i].host);
	return result;
}

/* ---- what is advertised -------------------------------------------------------------------------------------- */

static void add_address(struct pccl_member *self, const char *host, uint16_t port)
{
	struct pccl_member_address *address = &self->addresses[self->address_count];

	if (self->address_count == PCCL_MEMBER_ADDRESSES_MAX || pccl_member_has_address(self, host, port))
		return;
	memset(address, 0, sizeof(*address));
	strncpy(address->host, host, sizeof(address->host) - 1);
	address->port = port;
	self->address_count++;
}

/* One of the list in advertised_address: all that it resolves to. */
static pcclResult_t add_configured(struct pccl_member *self, const char *text, uint16_t port)
{
	struct pccl_address addresses[PCCL_MEMBER_ADDRESSES_MAX];
	size_t count = PCCL_MEMBER_ADDRESSES_MAX;
	char numeric[PCCL_ADDRESS_BYTES];
	char host[256];
	pcclResult_t result = pccl_address_split(text, port, host, sizeof(host), &port);
	size_t i;

	if (result == pcclSuccess)
		result = pccl_address_resolve(host, port, addresses, &count);
	for (i = 0; result == pcclSuccess && i < count; i++) {
		if (!pccl_address_may_be_dialled(&addresses[i]))
			return pccl_fail(pcclInvalidArgument, "advertised address \"%s\" can't be dialled", text);
		pccl_address_text(&addresses[i], numeric);
		add_address(self, numeric, port);
	}
	return result;
}

static pcclResult_t add_list(struct pccl_member *self, const struct pccl_settings *settings, uint16_t port)
{
	char list[sizeof(settings->advertised_address)];
	char *rest = list, *text;
	pcclResult_t result = pcclSuccess;

	memcpy(list, settings->advertised_address, sizeof(list));
	while (result == pcclSuccess && (text = strsep(&rest, ",")) != NULL)
		if (*text != '\0')
			result = add_configured(self, text, port);
	if (result == pcclSuccess && self->address_count == 0)
		return pccl_fail(pcclInvalidArgument, "advertised address \"%s\": none is given",
				 settings->advertised_address);
	return result;
}

/* Does who listens on `listening` hear callers of an interface's address? */
static bool is_served(const struct pccl_address *listening, const struct pccl_address *address)
{
	if (pccl_address_is_any(listening))
		return listening->storage.ss_family == AF_INET6 || address->storage.ss_family == AF_INET;
	return pccl_address_same_host(listening, address);
}

static bool is_of_use(const struct ifaddrs *at, const struct pccl_address *listening, struct pccl_address *address_out)
{
	if ((at->ifa_flags & IFF_UP) == 0 || !pccl_address_from_system(at->ifa_addr, address_out))
		return false;
	return pccl_address_may_be_told(address_out) && is_served(listening, address_out);
}

static void add_interfaces(struct pccl_member *self, const struct pccl_address *listening, uint16_t port)
{
	struct ifaddrs *list = NULL;
	const struct ifaddrs *at;

	if (getifaddrs(&list) != 0) {
		pccl_log_info("the interfaces can't be listed: %s", strerror(errno));
		return;
	}
	for (at = list; at != NULL; at = at->ifa_next) {
		struct pccl_address address;
		char host[PCCL_ADDRESS_BYTES];

		if (!is_of_use(at, listening, &address))
			continue;
		pccl_address_text(&address, host);
		add_address(self, host, port);
	}
	freeifaddrs(list);
}

/* The first address of a family (0: any) that the card has and that who listens there hears; NULL: none. */
static const struct pccl_address *find_served(const struct pccl_card *card, sa_family_t family,
					      const struct pccl_address *listening)
{
	uint32_t i;

	for (i = 0; i < card->address_count; i++) {
		const struct pccl_address *address = &card->addresses[i].address;

		if ((family == 0 || address->storage.ss_family == family) && is_served(listening, address))
			return address;
	}
	return NULL;
}

static void add_family(struct pccl_member *self, const struct pccl_cards *cards, sa_family_t family,
		       const struct pccl_address *listening, uint16_t port)
{
	char host[PCCL_ADDRESS_BYTES];
	uint32_t card;

	for (card = 0; card < cards->count; card++) {
		const struct pccl_address *address = find_served(&cards->cards[card], family, listening);

		if (address == NULL)
			continue;
		pccl_address_text(address, host);
		add_address(self, host, port);
		/* Right behind the first: who reaches none of the rest, as before there were cards, has it soon. */
		add_address(self, "", port);
	}
}

static void warn_of(const char *name, const char *why)
{
	pccl_log_warn("the interface %s (PCCL_INTERFACES) carries nothing: %s", name, why);
}

static bool is_told(const struct pccl_member *self, const struct pccl_card *card, uint16_t port)
{
	char host[PCCL_ADDRESS_BYTES];
	uint32_t i;

	for (i = 0; i < card->address_count; i++) {
		pccl_address_text(&card->addresses[i].address, host);
		if (pccl_member_has_address(self, host, port))
			return true;
	}
	return false;
}

void pccl_reach_add_cards(struct pccl_member *self, const struct pccl_cards *cards,
			  const struct pccl_address *listening, uint16_t port,
			  void (*warn)(const char *name, const char *why))
{
	uint32_t i;

	add_family(self, cards, AF_INET, listening, port);
	add_family(self, cards, AF_INET6, listening, port);
	for (i = 0; i < cards->count; i++) {
		if (find_served(&cards->cards[i], 0, listening) == NULL)
			warn(cards->cards[i].name, "PCCL_LISTEN_ADDRESS is none of its addresses");
		else if (!is_told(self, &cards->cards[i], port))
			warn(cards->cards[i].name,
			     "a member tells eight addresses, and one is that which the master sees; "
			     "PCCL_ADVERTISED_ADDRESS may be those of all cards instead");
	}
}

static pcclResult_t add_cards(struct pccl_member *self, const char *interfaces, const struct pccl_cards *cards,
			      const struct pccl_address *listening, uint16_t port)
{
	pccl_reach_add_cards(self, cards, listening, port, warn_of);
	if (cards->count == 0)
		return pccl_fail(pcclInvalidArgument,
				 "none of the interfaces \"%s\" (PCCL_INTERFACES) is up and has an address that peers "
				 "can dial",
				 interfaces);
	return pcclSuccess;
}

pcclResult_t pccl_reach_advertise(const struct pccl_settings *settings, uint16_t port, struct pccl_member *self_out)
{
	const char *host = settings->listen_address[0] != '\0' ? settings->listen_address : "::";
	const bool is_here = pccl_cards_are_loopback(settings->interfaces);
	const bool has_cards = settings->interfaces[0] != '\0' && !is_here;
	struct pccl_address listening;
	struct pccl_cards cards;
	size_t count = 1;
	pcclResult_t result;

	self_out->address_count = 0;
	if (has_cards) {
		pccl_cards_find(settings->interfaces, &cards);
		pccl_cards_tell_missing(settings->interfaces, &cards, warn_of);
	}
	if (settings->advertised_address[0] != '\0')
		return add_list(self_out, settings, port);
	result = pccl_address_resolve(host, port, &listening, &count);
	if (result != pcclSuccess)
		return result;
	if (is_here && !pccl_address_is_any(&listening) && !pccl_address_is_loopback(&listening))
		return pccl_fail(pcclInvalidArgument,
				 "who listens at %s (PCCL_LISTEN_ADDRESS) is not reached over \"%s\" (PCCL_INTERFACES)",
				 host, settings->interfaces);
	if (has_cards)
		result = add_cards(self_out, settings->interfaces, &cards, &listening, port);
	if (result != pcclSuccess || self_out->address_count > 0)
		return result;
	add_address(self_out, "", port);
	if (!is_here)
		add_interfaces(self_out, &listening, port);
	return pcclSuccess;
}

/* ---- what is dialled ----------------------------------------------------------------------------------------- */

static bool is_loopback(const char *host)
{
	struct pccl_address address;

	return pccl_address_numeric(host, 1, &address) == pcclSuccess && pccl_address_is_loopback(&address);
}

void pccl_reach_translate(struct pccl_view *view, const pcclRankUuid_t *self, const char *master_host)
{
	uint32_t rank;
	uint8_t i;

	if (is_loopback(master_host))
		return;
	for (rank = 0; rank < view->member_count; rank++) {
		struct pccl_member *member = &view->members[rank];

		if (pccl_uuid_equal(&member->uuid, self))
			continue;
		for (i = 0; i < member->address_count; i++) {
			if (!is_loopback(member->addresses[i].host))
				continue;
			pccl_member_prepend_address(member, master_host, member->addresses[i].port);
			break;
		}
	}
}

pcclResult_t pccl_reach_places(const struct pccl_wires *wires, const struct pccl_member *member,
			       struct pccl_place places_out[PCCL_DIALLER_PLACES_MAX], uint32_t *count_out)
{
	bool refused = false;
	uint8_t i;

	*count_out = 0;
	for (i = 0; i < member->address_count; i++) {
		const struct pccl_member_address *from = &member->addresses[i];
		struct pccl_place *place = &places_out[*count_out];

		place->from.bytes = 0;
		/* A zone that this host doesn't have, perhaps. */
		if (pccl_address_numeric(from->host, from->port, &place->address) != pcclSuccess ||
		    !pccl_address_may_be_dialled(&place->address))
			continue;
		if (pccl_wires_allow(wires, &place->address) != pcclSuccess) {
			refused = true;
			continue;
		}
		place->transport = pccl_wire_between_peers(wires, &place->address);
		++*count_out;
	}
	if (*count_out == 0 && refused)
		return pcclInvalidUsage;
	if (*count_out == 0)
		return pccl_fail(pcclInvalidArgument, "none of %u addresses can be dialled%s%.60s",
				 member->address_count, member->address_count > 0 ? ", the first is " : "",
				 member->address_count > 0 ? member->addresses[0].host : "");
	return pcclSuccess;
}
