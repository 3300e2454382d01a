/* What a peer tells the others to dial, and what it makes of what they tell. */
#include <ifaddrs.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "comm/reach.h"
#include "lib/check.h"

static struct pccl_settings settings_with(const char *listen_address, const char *advertised)
{
	struct pccl_settings settings;

	memset(&settings, 0, sizeof(settings));
	strcpy(settings.listen_address, listen_address);
	strcpy(settings.advertised_address, advertised);
	return settings;
}

static struct pccl_member member_at(const char *first, const char *second)
{
	struct pccl_member member;

	memset(&member, 0, sizeof(member));
	member.uuid.data[0] = 7;
	strcpy(member.addresses[0].host, first);
	strcpy(member.addresses[1].host, second);
	member.addresses[0].port = 4000;
	member.addresses[1].port = 4001;
	member.address_count = 2;
	return member;
}

static void by_default_it_is_what_the_master_sees_and_the_interfaces(void **state)
{
	struct pccl_settings settings = settings_with("", "");
	struct pccl_member self = {.address_count = 0};
	uint8_t i;

	(void)state;
	assert_int_equal(pccl_reach_advertise(&settings, 4242, &self), pcclSuccess);
	assert_in_range(self.address_count, 1, PCCL_MEMBER_ADDRESSES_MAX);
	assert_string_equal(self.addresses[0].host, "");
	for (i = 0; i < self.address_count; i++) {
		struct pccl_address address;

		assert_int_equal(self.addresses[i].port, 4242);
		if (i == 0)
			continue;
		assert_int_equal(pccl_address_numeric(self.addresses[i].host, 4242, &address), pcclSuccess);
		assert_true(pccl_address_may_be_dialled(&address));
		assert_false(pccl_address_is_loopback(&address) || pccl_address_is_link_local(&address));
	}
}

static char warned[64];

static void warn(const char *name, const char *why)
{
	assert_non_null(strstr(why, "eight addresses"));
	strncat(warned, name, sizeof(warned) - strlen(warned) - 1);
}

/* What the master sees takes a place, for those who reach none of them. */
static void a_card_that_there_is_no_room_for_is_warned_of(void **state)
{
	struct pccl_address listening;
	struct pccl_cards cards;
	uint32_t count, i;

	(void)state;
	assert_int_equal(pccl_address_numeric("::", 4242, &listening), pcclSuccess);
	for (count = PCCL_CARDS_MAX - 1; count <= PCCL_CARDS_MAX; count++) {
		struct pccl_member self = {.address_count = 0};

		memset(&cards, 0, sizeof(cards));
		warned[0] = '\0';
		cards.count = count;
		for (i = 0; i < count; i++) {
			char host[32];

			(void)snprintf(cards.cards[i].name, sizeof(cards.cards[i].name), "rail%u", i);
			(void)snprintf(host, sizeof(host), "10.0.%u.1", i);
			cards.cards[i].address_count = 1;
			assert_int_equal(pccl_address_numeric(host, 0, &cards.cards[i].addresses[0].address),
					 pcclSuccess);
		}
		pccl_reach_add_cards(&self, &cards, &listening, 4242, warn);
		assert_int_equal(self.address_count, PCCL_MEMBER_ADDRESSES_MAX);
		assert_string_equal(self.addresses[1].host, "");
		assert_string_equal(warned, count == PCCL_CARDS_MAX ? "rail7" : "");
	}
}

static void who_listens_on_one_address_does_not_tell_of_others(void **state)
{
	struct pccl_settings settings = settings_with("127.0.0.1", "");
	struct pccl_member self = {.address_count = 0};

	(void)state;
	assert_int_equal(pccl_reach_advertise(&settings, 4242, &self), pcclSuccess);
	assert_int_equal(self.address_count, 1);
	assert_string_equal(self.addresses[0].host, "");
}

static void configured_addresses_are_the_only_ones(void **state)
{
	struct pccl_settings settings = settings_with("", "192.0.2.7:99,[2001:db8::7],192.0.2.7:99,192.0.2.8");
	struct pccl_member self = {.address_count = 0};

	(void)state;
	assert_int_equal(pccl_reach_advertise(&settings, 4242, &self), pcclSuccess);
	assert_int_equal(self.address_count, 3);
	assert_string_equal(self.addresses[0].host, "192.0.2.7");
	assert_int_equal(self.addresses[0].port, 99);
	assert_string_equal(self.addresses[1].host, "2001:db8::7");
	assert_int_equal(self.addresses[1].port, 4242);
	assert_string_equal(self.addresses[2].host, "192.0.2.8");
}

static void advertised_address_that_is_none_is_refused_in_words(void **state)
{
	static const char *const wrong[] = {"224.0.0.1", "0.0.0.0",	"192.0.2.1:0",
					    ",",	 "192.0.2.1:x", "192.0.2.1,no-such-host.invalid"};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct pccl_settings settings = settings_with("", wrong[i]);
		struct pccl_member self = {.address_count = 0};

		pccl_fail_clear();
		assert_int_equal(pccl_reach_advertise(&settings, 4242, &self), pcclInvalidArgument);
		assert_true(pccl_fail_text()[0] != '\0');
	}
}

/* An interface of this host that peers may dial, and how many addresses it has. */
static unsigned find_interface(char name_out[IF_NAMESIZE])
{
	struct ifaddrs *list = NULL;
	const struct ifaddrs *at;
	struct pccl_address address;
	unsigned count = 0;

	name_out[0] = '\0';
	assert_int_equal(getifaddrs(&list), 0);
	for (at = list; at != NULL; at = at->ifa_next) {
		if ((at->ifa_flags & IFF_UP) == 0 || !pccl_address_from_system(at->ifa_addr, &address) ||
		    pccl_address_is_loopback(&address) || pccl_address_is_link_local(&address))
			continue;
		if (name_out[0] == '\0')
			(void)snprintf(name_out, IF_NAMESIZE, "%s", at->ifa_name);
		count += strcmp(at->ifa_name, name_out) == 0;
	}
	freeifaddrs(list);
	return count;
}

static void interfaces_that_carry_payload_are_told_first_and_the_master_sees_the_rest(void **state)
{
	struct pccl_settings settings = settings_with("", "");
	struct pccl_member self = {.address_count = 0};
	struct pccl_address address;
	char name[IF_NAMESIZE];
	const unsigned addresses = find_interface(name);

	(void)state;
	if (addresses == 0)
		skip();
	(void)snprintf(settings.interfaces, sizeof(settings.interfaces), "nowhere0,%s", name);
	assert_int_equal(pccl_reach_advertise(&settings, 4242, &self), pcclSuccess);
	assert_in_range(self.address_count, 2, 3); /* one of each family */
	assert_int_equal(pccl_address_numeric(self.addresses[0].host, 4242, &address), pcclSuccess);
	assert_int_equal(self.addresses[0].port, 4242);
	assert_string_equal(self.addresses[1].host, "");
	strcpy(settings.advertised_address, "192.0.2.7");
	assert_int_equal(pccl_reach_advertise(&settings, 4242, &self), pcclSuccess);
	assert_int_equal(self.address_count, 1);
}

/* Members are reached as without interfaces. */
static void who_listens_on_none_of_the_interfaces_is_told_where_it_listens(void **state)
{
	struct pccl_settings settings = settings_with("127.0.0.1", "");
	struct pccl_member self = {.address_count = 0};
	char name[IF_NAMESIZE];

	(void)state;
	if (find_interface(name) == 0)
		skip();
	(void)snprintf(settings.interfaces, sizeof(settings.interfaces), "%s", name);
	assert_int_equal(pccl_reach_advertise(&settings, 4242, &self), pcclSuccess);
	assert_int_equal(self.address_count, 1);
	assert_string_equal(self.addresses[0].host, "");
}

static void interfaces_of_which_none_can_be_dialled_are_refused_in_words(void **state)
{
	static const char *const wrong[] = {"nowhere0", "nowhere0,lo"};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct pccl_settings settings = settings_with("", "");
		struct pccl_member self = {.address_count = 0};

		strcpy(settings.interfaces, wrong[i]);
		pccl_fail_clear();
		assert_int_equal(pccl_reach_advertise(&settings, 4242, &self), pcclInvalidArgument);
		assert_non_null(strstr(pccl_fail_text(), "PCCL_INTERFACES"));
		assert_non_null(strstr(pccl_fail_text(), wrong[i]));
	}
}

/* As recipes of other libraries have it, for runs on one host. */
static void loopback_by_name_is_for_members_and_masters_of_this_host(void **state)
{
	static const char *const here[] = {"127.0.0.1:4", "[::1]:4", "localhost:4",
					   "127.0.0.1:4,no-such-host.invalid:4", "0.0.0.0:4"};
	struct pccl_settings settings = settings_with("", "");
	const ccoip_socket_address_t none = {.port = 0};
	struct pccl_member self = {.address_count = 0};
	size_t i;

	(void)state;
	strcpy(settings.interfaces, "lo");
	assert_int_equal(pccl_reach_advertise(&settings, 4242, &self), pcclSuccess);
	assert_int_equal(self.address_count, 1);
	assert_string_equal(self.addresses[0].host, "");
	for (i = 0; i < sizeof(here) / sizeof(here[0]); i++) {
		strcpy(settings.masters, here[i]);
		assert_int_equal(pccl_reach_check_masters(&settings, &none), pcclSuccess);
	}
	strcpy(settings.masters, "127.0.0.1:4,203.0.113.7:4");
	assert_int_equal(pccl_reach_check_masters(&settings, &none), pcclInvalidArgument);
	assert_non_null(strstr(pccl_fail_text(), "\"lo\" (PCCL_INTERFACES)"));
	assert_non_null(strstr(pccl_fail_text(), "203.0.113.7 is elsewhere"));
	strcpy(settings.listen_address, "192.0.2.9");
	assert_int_equal(pccl_reach_advertise(&settings, 4242, &self), pcclInvalidArgument);
	assert_non_null(strstr(pccl_fail_text(), "192.0.2.9 (PCCL_LISTEN_ADDRESS)"));
	strcpy(settings.interfaces, "");
	assert_int_equal(pccl_reach_check_masters(&settings, &none), pcclSuccess);
}

static void member_beside_the_master_is_reached_as_the_master_is(void **state)
{
	struct pccl_member members[3] = {member_at("127.0.0.1", "192.0.2.7"), member_at("192.0.2.1", "::1"),
					 member_at("192.0.2.2", "192.0.2.3")};
	struct pccl_view view = {.member_count = 3, .members = members};
	const pcclRankUuid_t nobody = {{1}};

	(void)state;
	pccl_reach_translate(&view, &nobody, "127.0.0.1"); /* everybody is on one host */
	pccl_reach_translate(&view, &nobody, "::1");
	assert_int_equal(members[0].address_count, 2);
	pccl_reach_translate(&view, &members[0].uuid, "198.51.100.1"); /* itself */
	assert_int_equal(members[0].address_count, 2);
	pccl_reach_translate(&view, &nobody, "198.51.100.1");
	assert_int_equal(members[0].address_count, 3);
	assert_string_equal(members[0].addresses[0].host, "198.51.100.1");
	assert_int_equal(members[0].addresses[0].port, 4000);
	assert_string_equal(members[0].addresses[1].host, "127.0.0.1");
	assert_int_equal(members[1].address_count, 3);
	assert_int_equal(members[1].addresses[0].port, 4001);
	assert_int_equal(members[2].address_count, 2);
}

/* Plain wires of a mode, as the environment would have it. */
static struct pccl_wires *plain(pcclSecurityMode_t mode)
{
	pcclSecurity_t security = PCCL_SECURITY_INITIALIZER;
	struct pccl_wires *wires;

	security.mode = mode;
	assert_int_equal(pccl_wires_create(&security, &wires), pcclSuccess);
	return wires;
}

static void without_security_only_this_host_is_dialled(void **state)
{
	struct pccl_wires *wires = plain(pcclSecurityDefault);
	struct pccl_member member = member_at("203.0.113.7", "127.0.0.1");
	struct pccl_place places[PCCL_DIALLER_PLACES_MAX];
	uint32_t count;

	(void)state;
	assert_int_equal(pccl_reach_places(wires, &member, places, &count), pcclSuccess);
	assert_int_equal(count, 1);
	assert_true(pccl_address_is_loopback(&places[0].address));
	member = member_at("203.0.113.7", "2001:db8::7");
	assert_int_equal(pccl_reach_places(wires, &member, places, &count), pcclInvalidUsage);
	assert_non_null(strstr(pccl_fail_text(), "is not a loopback address, and no security is set"));
	assert_non_null(strstr(pccl_fail_text(), "PCCL_SECRET_FILE"));
	assert_non_null(strstr(pccl_fail_text(), "PCCL_SECURITY=none"));
	pccl_wires_destroy(wires);
}

static void places_are_those_that_can_be_dialled(void **state)
{
	struct pccl_wires *wires = plain(pcclSecurityNone);
	struct pccl_member member = member_at("fe80::1%nowhere0", "2001:db8::7");
	struct pccl_place places[PCCL_DIALLER_PLACES_MAX];
	char text[PCCL_ADDRESS_PORT_BYTES];
	uint32_t count;

	(void)state;
	assert_int_equal(pccl_reach_places(wires, &member, places, &count), pcclSuccess);
	assert_int_equal(count, 1);
	assert_non_null(places[0].transport);
	pccl_address_text_port(&places[0].address, text);
	assert_string_equal(text, "[2001:db8::7]:4001");
	member = member_at("0.0.0.0", "name");
	assert_int_equal(pccl_reach_places(wires, &member, places, &count), pcclInvalidArgument);
	assert_non_null(strstr(pccl_fail_text(), "0.0.0.0"));
	member.address_count = 0;
	assert_int_equal(pccl_reach_places(wires, &member, places, &count), pcclInvalidArgument);
	pccl_wires_destroy(wires);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(by_default_it_is_what_the_master_sees_and_the_interfaces),
		cmocka_unit_test(a_card_that_there_is_no_room_for_is_warned_of),
		cmocka_unit_test(who_listens_on_one_address_does_not_tell_of_others),
		cmocka_unit_test(configured_addresses_are_the_only_ones),
		cmocka_unit_test(advertised_address_that_is_none_is_refused_in_words),
		cmocka_unit_test(interfaces_that_carry_payload_are_told_first_and_the_master_sees_the_rest),
		cmocka_unit_test(who_listens_on_none_of_the_interfaces_is_told_where_it_listens),
		cmocka_unit_test(interfaces_of_which_none_can_be_dialled_are_refused_in_words),
		cmocka_unit_test(loopback_by_name_is_for_members_and_masters_of_this_host),
		cmocka_unit_test(member_beside_the_master_is_reached_as_the_master_is),
		cmocka_unit_test(places_are_those_that_can_be_dialled),
		cmocka_unit_test(without_security_only_this_host_is_dialled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
