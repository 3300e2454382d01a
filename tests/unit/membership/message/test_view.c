/* Addresses of a member. */
#include "lib/check.h"

#include <stdio.h>
#include <string.h>

#include "membership/message/view.h"

static void address_is_put_before_the_others_but_once(void **state)
{
	struct pccl_member member = {.address_count = 0};
	char host[16];
	uint16_t port;

	(void)state;
	for (port = 1; port <= PCCL_MEMBER_ADDRESSES_MAX + 1u; port++) {
		(void)snprintf(host, sizeof(host), "192.0.2.%u", port);
		assert_false(pccl_member_has_address(&member, host, port));
		pccl_member_prepend_address(&member, host, port);
		assert_true(pccl_member_has_address(&member, host, port));
		assert_int_equal(member.address_count,
				 port < PCCL_MEMBER_ADDRESSES_MAX ? port : PCCL_MEMBER_ADDRESSES_MAX);
		assert_string_equal(member.addresses[0].host, host);
	}
	assert_false(pccl_member_has_address(&member, "192.0.2.1", 1)); /* the last one went */
	assert_string_equal(member.addresses[PCCL_MEMBER_ADDRESSES_MAX - 1].host, "192.0.2.2");
	pccl_member_prepend_address(&member, "192.0.2.5", 5);
	assert_string_equal(member.addresses[0].host, host);
	assert_false(pccl_member_has_address(&member, "192.0.2.5", 6));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(address_is_put_before_the_others_but_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
