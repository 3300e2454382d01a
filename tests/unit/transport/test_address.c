/* Addresses: text to sockaddr and back. */
#include "lib/check.h"

#include "transport/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "base/fail.h"

static void check_split(const char *text, const char *host, uint16_t port)
{
	char got[64];
	uint16_t got_port = 0;

	assert_int_equal(pccl_address_split(text, 48148, got, sizeof(got), &got_port), pcclSuccess);
	assert_string_equal(got, host);
	assert_int_equal(got_port, port);
}

static void check_refused(const char *text)
{
	char host[64];
	uint16_t port;

	pccl_fail_clear();
	assert_int_equal(pccl_address_split(text, 1, host, sizeof(host), &port), pcclInvalidArgument);
	assert_non_null(strstr(pccl_fail_text(), text));
}

static void host_and_port_are_split(void **state)
{
	(void)state;
	check_split("localhost:80", "localhost", 80);
	check_split("localhost", "localhost", 48148);
	check_split("10.0.0.1:65535", "10.0.0.1", 65535);
	check_split("host:0", "host", 0);
	check_split("[::1]:80", "::1", 80);
	check_split("[2001:db8::1]", "2001:db8::1", 48148);
	check_split("2001:db8::1", "2001:db8::1", 48148);
	check_split("::", "::", 48148);
	check_split("[fe80::1%eth0]:5", "fe80::1%eth0", 5);
}

static void what_is_not_an_address_is_refused_in_words(void **state)
{
	static const char *const wrong[] = {"",	       ":80",	  "host:",   "host:65536", "host:99999999999999999999",
					    "host:-1", "host: 1", "host:1a", "[::1",	   "[::1]80",
					    "[]:80",   "[::1]:",  "host:+1"};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		check_refused(wrong[i]);
}

static void a_scheme_before_an_address_is_named_as_that(void **state)
{
	static const char *const wrong[] = {"http://127.0.0.1:1", "tcp://host", "https://[::1]:80", "http://"};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		check_refused(wrong[i]);
		assert_non_null(strstr(pccl_fail_text(), "HOST:PORT, without a scheme"));
	}
}

static void too_long_a_host_is_refused(void **state)
{
	char host[8];
	uint16_t port;

	(void)state;
	assert_int_equal(pccl_address_split("1234567:1", 0, host, sizeof(host), &port), pcclSuccess);
	assert_int_equal(pccl_address_split("12345678:1", 0, host, sizeof(host), &port), pcclInvalidArgument);
	assert_int_equal(pccl_address_split("[12345678]:1", 0, host, sizeof(host), &port), pcclInvalidArgument);
}

static void check_numeric(const char *text, uint16_t port, const char *plain, const char *with_port)
{
	struct pccl_address address;
	char out[PCCL_ADDRESS_PORT_BYTES];

	assert_int_equal(pccl_address_numeric(text, port, &address), pcclSuccess);
	pccl_address_text(&address, out);
	assert_string_equal(out, plain);
	pccl_address_text_port(&address, out);
	assert_string_equal(out, with_port);
	assert_int_equal(pccl_address_port(&address), port);
}

static void numeric_addresses_come_back_as_text(void **state)
{
	(void)state;
	check_numeric("127.0.0.1", 80, "127.0.0.1", "127.0.0.1:80");
	check_numeric("::1", 65535, "::1", "[::1]:65535");
	check_numeric("2001:db8:0:0::5", 1, "2001:db8::5", "[2001:db8::5]:1");
	check_numeric("::ffff:192.0.2.9", 7, "192.0.2.9", "192.0.2.9:7");
	check_numeric("fe80::1%lo", 7, "fe80::1%lo", "[fe80::1%lo]:7");
}

static void names_are_not_numeric(void **state)
{
	struct pccl_address address;

	(void)state;
	assert_int_equal(pccl_address_numeric("localhost", 1, &address), pcclInvalidArgument);
	assert_non_null(strstr(pccl_fail_text(), "localhost"));
	assert_int_equal(pccl_address_numeric("256.0.0.1", 1, &address), pcclInvalidArgument);
}

static void old_addresses_are_read(void **state)
{
	ccoip_socket_address_t from = {.port = 4242};
	struct pccl_address address;
	char out[PCCL_ADDRESS_PORT_BYTES];

	(void)state;
	from.inet.protocol = inetIPv4;
	memcpy(from.inet.ipv4.data, (uint8_t[]){10, 1, 2, 3}, 4);
	assert_int_equal(pccl_address_from_ccoip(&from, &address), pcclSuccess);
	pccl_address_text_port(&address, out);
	assert_string_equal(out, "10.1.2.3:4242");
	from.inet.protocol = inetIPv6;
	from.inet.ipv6.data[15] = 1;
	assert_int_equal(pccl_address_from_ccoip(&from, &address), pcclSuccess);
	pccl_address_text_port(&address, out);
	assert_string_equal(out, "[::1]:4242");
	from.inet.protocol = (ccoip_inet_protocol_t)9;
	assert_int_equal(pccl_address_from_ccoip(&from, &address), pcclInvalidArgument);
}

static void names_are_resolved(void **state)
{
	struct pccl_address addresses[4];
	size_t count = 4;

	(void)state;
	assert_int_equal(pccl_address_resolve("localhost", 99, addresses, &count), pcclSuccess);
	assert_in_range(count, 1, 4);
	assert_int_equal(pccl_address_port(&addresses[0]), 99);
	count = 4;
	assert_int_equal(pccl_address_resolve("no such host", 99, addresses, &count), pcclInvalidArgument);
	assert_int_equal(count, 0);
	assert_non_null(strstr(pccl_fail_text(), "no such host"));
}

static void ports_are_set_and_addresses_compared(void **state)
{
	struct pccl_address left;
	struct pccl_address right;

	(void)state;
	assert_int_equal(pccl_address_numeric("192.0.2.9", 7, &left), pcclSuccess);
	assert_int_equal(pccl_address_numeric("::ffff:192.0.2.9", 8, &right), pcclSuccess);
	assert_false(pccl_address_equal(&left, &right));
	pccl_address_set_port(&right, 7);
	assert_true(pccl_address_equal(&left, &right));
	pccl_address_set_port(&left, 9);
	assert_int_equal(pccl_address_port(&left), 9);
	assert_false(pccl_address_equal(&left, &right));
	assert_true(pccl_address_same_host(&left, &right));
	assert_int_equal(pccl_address_numeric("192.0.2.8", 9, &right), pcclSuccess);
	assert_false(pccl_address_same_host(&left, &right));
}

static uint64_t origin_of(const char *text)
{
	struct pccl_address address;

	assert_int_equal(pccl_address_numeric(text, 1, &address), pcclSuccess);
	return pccl_address_origin(&address);
}

static void origin_is_an_address_or_a_network_of_them(void **state)
{
	(void)state;
	assert_int_equal(origin_of("192.0.2.1"), origin_of("::ffff:192.0.2.1"));
	assert_int_not_equal(origin_of("192.0.2.1"), origin_of("192.0.2.2"));
	assert_int_equal(origin_of("2001:db8:1:2::1"), origin_of("2001:db8:1:2:a:b:c:d"));
	assert_int_not_equal(origin_of("2001:db8:1:2::1"), origin_of("2001:db8:1:3::1"));
}

static void kinds_of_addresses_are_told(void **state)
{
	static const struct {
		const char *host;
		bool loopback, link_local, any, may_be_dialled;
	} cases[] = {
		{"127.0.0.1", true, false, false, true},
		{"127.9.9.9", true, false, false, true},
		{"::1", true, false, false, true},
		{"::ffff:127.0.0.1", true, false, false, true},
		{"128.0.0.1", false, false, false, true},
		{"169.254.7.7", false, true, false, true},
		{"169.253.0.1", false, false, false, true},
		{"fe80::1", false, true, false, true},
		{"fd00::1", false, false, false, true},
		{"0.0.0.0", false, false, true, false},
		{"::", false, false, true, false},
		{"224.0.0.1", false, false, false, false},
		{"239.255.255.255", false, false, false, false},
		{"255.255.255.255", false, false, false, false},
		{"ff02::1", false, false, false, false},
		{"240.0.0.1", false, false, false, true},
	};
	struct pccl_address address;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(pccl_address_numeric(cases[i].host, 4242, &address), pcclSuccess);
		assert_int_equal(pccl_address_is_loopback(&address), cases[i].loopback);
		assert_int_equal(pccl_address_is_link_local(&address), cases[i].link_local);
		assert_int_equal(pccl_address_is_any(&address), cases[i].any);
		assert_int_equal(pccl_address_may_be_dialled(&address), cases[i].may_be_dialled);
		pccl_address_set_port(&address, 0);
		assert_false(pccl_address_may_be_dialled(&address));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(host_and_port_are_split),
		cmocka_unit_test(what_is_not_an_address_is_refused_in_words),
		cmocka_unit_test(a_scheme_before_an_address_is_named_as_that),
		cmocka_unit_test(too_long_a_host_is_refused),
		cmocka_unit_test(numeric_addresses_come_back_as_text),
		cmocka_unit_test(names_are_not_numeric),
		cmocka_unit_test(old_addresses_are_read),
		cmocka_unit_test(names_are_resolved),
		cmocka_unit_test(ports_are_set_and_addresses_compared),
		cmocka_unit_test(origin_is_an_address_or_a_network_of_them),
		cmocka_unit_test(kinds_of_addresses_are_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
