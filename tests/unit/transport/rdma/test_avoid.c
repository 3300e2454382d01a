/* Hosts that are spoken to over TCP for a while. */
#include "transport/rdma/avoid.h"

#include <stdio.h>

#include "lib/check.h"

#define SECOND UINT64_C(1000000000)

static struct pccl_address host(uint32_t number, uint16_t port)
{
	struct pccl_address address;
	char text[32];

	snprintf(text, sizeof(text), "10.0.%u.%u", number / 256, number % 256);
	assert_int_equal(pccl_address_numeric(text, port, &address), pcclSuccess);
	return address;
}

static void a_host_is_avoided_for_a_minute_whatever_its_port(void **state)
{
	struct pccl_address one = host(1, 1000), again = host(1, 2000), other = host(2, 1000);

	(void)state;
	pccl_avoid_nobody(false);
	assert_false(pccl_avoid_has(&one, SECOND));
	pccl_avoid_add(&one, SECOND);
	assert_true(pccl_avoid_has(&again, 2 * SECOND));
	assert_false(pccl_avoid_has(&other, 2 * SECOND));
	assert_true(pccl_avoid_has(&again, 61 * SECOND - 1));
	assert_false(pccl_avoid_has(&again, 61 * SECOND));
}

static void of_many_the_last_are_remembered(void **state)
{
	struct pccl_address address;
	uint32_t i;

	(void)state;
	pccl_avoid_nobody(false);
	for (i = 0; i < 1000; i++) {
		address = host(i, 1);
		pccl_avoid_add(&address, SECOND + i);
	}
	for (i = 0; i < 1000; i++) {
		address = host(i, 1);
		assert_int_equal(pccl_avoid_has(&address, 2 * SECOND), i >= 1000 - 64);
	}
	pccl_avoid_nobody(true);
	assert_false(pccl_avoid_has(&address, SECOND));
	pccl_avoid_add(&address, SECOND);
	assert_false(pccl_avoid_has(&address, SECOND));
	pccl_avoid_nobody(false);
	pccl_avoid_add(&address, SECOND);
	assert_true(pccl_avoid_has(&address, SECOND));
}

static void who_is_only_doubted_makes_nobody_forgotten(void **state)
{
	struct pccl_address address;
	uint32_t i, k;

	(void)state;
	pccl_avoid_nobody(false);
	for (i = 0; i < 63; i++) {
		address = host(i, 1);
		pccl_avoid_add(&address, SECOND);
	}
	for (i = 100; i < 200; i++) { /* one place is left for them */
		address = host(i, 1);
		pccl_avoid_doubt(&address, 2 * SECOND + i);
	}
	for (k = 0; k < 2; k++) {
		for (i = 0; i < 63; i++) {
			address = host(i, 1);
			assert_true(pccl_avoid_has(&address, 3 * SECOND));
		}
		address = host(63, 1); /* takes it */
		pccl_avoid_add(&address, 2 * SECOND);
		assert_true(pccl_avoid_has(&address, 3 * SECOND));
		for (i = 0; i < 16; i++) {
			address = host(100, 1);
			pccl_avoid_doubt(&address, 3 * SECOND);
		}
		assert_false(pccl_avoid_has(&address, 3 * SECOND));
	}
}

static void one_network_has_half_of_the_places(void **state)
{
	struct pccl_address address;
	char text[64];
	uint32_t i;

	(void)state;
	pccl_avoid_nobody(false);
	for (i = 0; i < 32; i++) {
		address = host(i, 1);
		pccl_avoid_add(&address, SECOND);
	}
	for (i = 0; i < 1000; i++) {
		snprintf(text, sizeof(text), "2001:db8::%x", i);
		assert_int_equal(pccl_address_numeric(text, 1, &address), pcclSuccess);
		pccl_avoid_add(&address, 2 * SECOND);
	}
	assert_true(pccl_avoid_has(&address, 3 * SECOND));
	for (i = 0; i < 32; i++) {
		address = host(i, 1);
		assert_true(pccl_avoid_has(&address, 3 * SECOND));
	}
}

static void who_is_doubted_often_is_avoided(void **state)
{
	struct pccl_address one = host(1, 1000), other = host(2, 1000);
	uint32_t i;

	(void)state;
	pccl_avoid_nobody(false);
	for (i = 0; i < 15; i++)
		pccl_avoid_doubt(&one, SECOND);
	pccl_avoid_doubt(&other, SECOND);
	assert_false(pccl_avoid_has(&one, SECOND));
	pccl_avoid_trust(&one);
	for (i = 0; i < 16; i++) {
		assert_false(pccl_avoid_has(&one, SECOND));
		pccl_avoid_doubt(&one, SECOND);
	}
	assert_true(pccl_avoid_has(&one, SECOND));
	assert_false(pccl_avoid_has(&other, SECOND));
	pccl_avoid_doubt(&one, 61 * SECOND); /* long after */
	assert_false(pccl_avoid_has(&one, 61 * SECOND));
}

/* A trial may have been on when another stream got stuck, and ask for less of the way. */
static void trust_ends_doubts_only(void **state)
{
	struct pccl_address one = host(1, 1000);

	(void)state;
	pccl_avoid_nobody(false);
	pccl_avoid_add(&one, SECOND);
	pccl_avoid_trust(&one);
	assert_true(pccl_avoid_has(&one, SECOND));
	assert_false(pccl_avoid_has(&one, 61 * SECOND));
}

static void who_comes_twice_takes_one_place(void **state)
{
	struct pccl_address first = host(1, 1000), address;
	uint32_t i;

	(void)state;
	pccl_avoid_nobody(false);
	pccl_avoid_add(&first, SECOND);
	for (i = 0; i < 1000; i++) {
		address = host(2 + i % 63, 1);
		pccl_avoid_add(&address, SECOND);
	}
	assert_true(pccl_avoid_has(&first, SECOND));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_host_is_avoided_for_a_minute_whatever_its_port),
		cmocka_unit_test(of_many_the_last_are_remembered),
		cmocka_unit_test(who_is_only_doubted_makes_nobody_forgotten),
		cmocka_unit_test(one_network_has_half_of_the_places),
		cmocka_unit_test(who_is_doubted_often_is_avoided),
		cmocka_unit_test(trust_ends_doubts_only),
		cmocka_unit_test(who_comes_twice_takes_one_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
