/* Lists of networks: which addresses are in them, and which lists are refused, in which words. */
#include "transport/networks.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "lib/check.h"

static struct pccl_networks parse(const char *list)
{
	struct pccl_networks networks;

	if (pccl_networks_parse(list, "LIST", &networks) != pcclSuccess)
		fail_msg("%s", pccl_fail_text());
	return networks;
}

static void read_address(const char *text, uint8_t *out)
{
	char mapped[64];

	(void)snprintf(mapped, sizeof(mapped), "%s%s", strchr(text, ':') == NULL ? "::ffff:" : "", text);
	assert_int_equal(inet_pton(AF_INET6, mapped, out), 1);
}

static bool has(const char *list, const char *address)
{
	const struct pccl_networks networks = parse(list);
	uint8_t bytes[PCCL_NETWORKS_ADDRESS_BYTES];

	read_address(address, bytes);
	return pccl_networks_have(&networks, bytes);
}

static bool has_both(const char *list, const char *one, const char *other)
{
	const struct pccl_networks networks = parse(list);
	uint8_t bytes[2][PCCL_NETWORKS_ADDRESS_BYTES];
	bool has_them;

	read_address(one, bytes[0]);
	read_address(other, bytes[1]);
	has_them = pccl_networks_have_both(&networks, bytes[0], bytes[1]);
	assert_int_equal(pccl_networks_have_both(&networks, bytes[1], bytes[0]), has_them);
	return has_them;
}

static void addresses_are_in_their_network_and_no_other(void **state)
{
	(void)state;
	assert_true(has("10.1.0.0/16", "10.1.0.0"));
	assert_true(has("10.1.0.0/16", "10.1.255.255"));
	assert_false(has("10.1.0.0/16", "10.2.0.0"));
	assert_false(has("10.1.0.0/16", "10.0.255.255"));
	assert_true(has("10.1.0.7/32", "10.1.0.7"));
	assert_false(has("10.1.0.7/32", "10.1.0.6"));
	assert_true(has("128.0.0.0/1", "255.255.255.255"));
	assert_false(has("128.0.0.0/1", "127.255.255.255"));
	assert_true(has("192.168.4.0/23", "192.168.5.9"));
	assert_false(has("192.168.4.0/23", "192.168.6.0"));
	assert_true(has("fd00::/8", "fdff::1"));
	assert_false(has("fd00::/8", "fc00::1"));
	assert_true(has("2001:db8::1/128", "2001:db8::1"));
	assert_false(has("2001:db8::1/128", "2001:db8::"));
}

static void any_network_of_a_list_counts(void **state)
{
	const char *list = "10.1.0.0/16,fd00::/8,10.3.0.0/16";

	(void)state;
	assert_true(has(list, "10.1.2.3"));
	assert_true(has(list, "fd12::3"));
	assert_true(has(list, "10.3.2.3"));
	assert_false(has(list, "10.2.2.3"));
	assert_false(has(list, "fe80::1"));
}

static void two_are_together_in_one_network_of_a_list(void **state)
{
	(void)state;
	assert_true(has_both("10.1.0.0/16", "10.1.2.3", "10.1.9.9"));
	assert_false(has_both("10.1.0.0/16,10.2.0.0/16", "10.1.2.3", "10.2.2.3"));
	assert_true(has_both("10.1.0.0/16,10.2.0.0/16,10.0.0.0/8", "10.1.2.3", "10.2.2.3"));
	assert_true(has_both("10.2.0.0/16,10.1.0.0/16", "10.1.2.3", "10.1.2.4"));
	assert_false(has_both("10.1.0.0/16,fd00::/8", "10.1.2.3", "fd00::1"));
	assert_false(has_both("10.1.0.0/16", "10.1.2.3", "10.2.2.3"));
}

/* Though IPv4 has its place among the addresses of IPv6. */
static void networks_of_one_family_have_no_addresses_of_the_other(void **state)
{
	(void)state;
	assert_false(has("::/1", "10.0.0.1"));
	assert_false(has("::/80", "10.0.0.1"));
	assert_true(has("::/80", "::10.0.0.1"));
	assert_false(has("0.0.0.0/1", "::1"));
	assert_false(has("0.0.0.0/1", "::10.0.0.1"));
}

static void check_refused(const char *list, const char *words)
{
	struct pccl_networks networks;

	assert_int_equal(pccl_networks_parse(list, "LIST", &networks), pcclInvalidArgument);
	if (strstr(pccl_fail_text(), words) == NULL || strstr(pccl_fail_text(), "LIST: ") == NULL)
		fail_msg("\"%s\" is refused with: %s", list, pccl_fail_text());
}

static void what_is_no_network_is_refused(void **state)
{
	static const char *const wrong[] = {"",
					    ",",
					    "10.1.0.0/16,",
					    ",10.1.0.0/16",
					    "10.1.0.0",
					    "/16",
					    "10.1.0.0/",
					    "10.1.0.0/33",
					    "10.1.0.0/-1",
					    "10.1.0.0/1x",
					    "10.1.0/16",
					    "10.1.0.0 /16",
					    " 10.1.0.0/16",
					    "10.1.0.0/ 16",
					    "10.1.0.0/16 ",
					    "10.1.0.0/16;",
					    "mlx5_0",
					    "localhost/8",
					    "fd00::/129",
					    "fd00::",
					    "fe80::%1/64",
					    "::ffff:10.1.0.0/112",
					    "10.1.0.0/4294967312",
					    "10.1.0.0/16/16",
					    "yes"};
	char longer[200] = "0.0.0.0/";
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		check_refused(wrong[i], "is no network: 10.1.0.0/16 is one");
	memset(longer + 8, '0', 100);
	for (i = 8; i < 100; i++) { /* wherever it is cut */
		memcpy(longer + i, "116", 4);
		check_refused(longer, "is no network");
		longer[i + 3] = '0';
	}
}

static void bits_that_do_not_count_are_refused(void **state)
{
	(void)state;
	check_refused("10.1.2.3/16", "\"10.1.2.3/16\" has bits behind its first 16: its network is 10.1.0.0/16, its "
				     "address alone is /32");
	check_refused("10.1.0.0/15", "its network is 10.0.0.0/15");
	check_refused("192.168.5.0/23", "its network is 192.168.4.0/23");
	check_refused("10.0.0.0/8,fd00::1/8", "its network is fd00::/8, its address alone is /128");
}

static void every_network_is_none(void **state)
{
	(void)state;
	check_refused("0.0.0.0/0", "\"0.0.0.0/0\" is every network");
	check_refused("10.0.0.0/8,::/0", "\"::/0\" is every network");
}

static void too_many_networks_are_refused(void **state)
{
	char list[PCCL_NETWORKS_MAX * 16 + 16] = "";
	struct pccl_networks networks;
	uint32_t i;

	(void)state;
	for (i = 0; i < PCCL_NETWORKS_MAX; i++)
		(void)snprintf(list + strlen(list), 16, "%s10.%u.0.0/16", i > 0 ? "," : "", i);
	assert_int_equal(pccl_networks_parse(list, "LIST", &networks), pcclSuccess);
	assert_int_equal(networks.count, PCCL_NETWORKS_MAX);
	assert_true(has(list, "10.15.0.1"));
	strcat(list, ",10.99.0.0/16");
	check_refused(list, "more than 16 networks");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_are_in_their_network_and_no_other),
		cmocka_unit_test(any_network_of_a_list_counts),
		cmocka_unit_test(two_are_together_in_one_network_of_a_list),
		cmocka_unit_test(networks_of_one_family_have_no_addresses_of_the_other),
		cmocka_unit_test(what_is_no_network_is_refused),
		cmocka_unit_test(bits_that_do_not_count_are_refused),
		cmocka_unit_test(every_network_is_none),
		cmocka_unit_test(too_many_networks_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
