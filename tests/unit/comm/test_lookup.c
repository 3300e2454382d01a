/* Names are looked up beside the loop. */
#include <stdio.h>
#include <string.h>

#include "comm/lookup.h"
#include "lib/check.h"

static struct {
	struct pccl_loop *loop;
	uint32_t calls;
	pcclResult_t result;
	size_t count;
	struct pccl_address first;
	char reason[200];
} asked;

static void on_found(void *context, pcclResult_t result, const struct pccl_address *addresses, size_t count,
		     const char *reason)
{
	assert_ptr_equal(context, &asked);
	asked.calls++;
	asked.result = result;
	asked.count = count;
	if (count > 0)
		asked.first = addresses[0];
	strcpy(asked.reason, reason);
}

static struct pccl_lookup *start(const char *host)
{
	struct pccl_lookup *lookup;

	memset(&asked, 0, sizeof(asked));
	assert_int_equal(pccl_loop_create(&asked.loop), pcclSuccess);
	assert_int_equal(pccl_lookup_start(asked.loop, host, 4242, on_found, &asked, &lookup), pcclSuccess);
	assert_int_equal(asked.calls, 0);
	return lookup;
}

static void turn_until_told(void)
{
	uint64_t end_ns = pccl_clock_ns() + UINT64_C(30000000000);

	while (asked.calls == 0 && pccl_clock_ns() < end_ns)
		pccl_loop_turn(asked.loop, end_ns);
	assert_int_equal(asked.calls, 1);
	pccl_loop_destroy(asked.loop);
}

static void host_is_found(void **state)
{
	(void)state;
	start("127.0.0.1");
	turn_until_told();
	assert_int_equal(asked.result, pcclSuccess);
	assert_int_equal(asked.count, 1);
	assert_int_equal(pccl_address_port(&asked.first), 4242);
}

static void host_that_is_none_is_told_in_words(void **state)
{
	(void)state;
	start("no such host");
	turn_until_told();
	assert_int_not_equal(asked.result, pcclSuccess);
	assert_int_equal(asked.count, 0);
	assert_non_null(strstr(asked.reason, "no such host"));
}

static void cancelled_lookup_says_nothing(void **state)
{
	int i;

	(void)state;
	for (i = 0; i < 50; i++) { /* before its thread is done, and after */
		struct pccl_lookup *lookup = start("127.0.0.1");
		uint64_t until_ns = pccl_clock_ns() + (uint64_t)i * 10000;

		while (pccl_clock_ns() < until_ns)
			;
		pccl_lookup_cancel(lookup);
		pccl_loop_turn(asked.loop, 0);
		assert_int_equal(asked.calls, 0);
		pccl_loop_destroy(asked.loop);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(host_is_found),
		cmocka_unit_test(host_that_is_none_is_told_in_words),
		cmocka_unit_test(cancelled_lookup_says_nothing),
	};

	return cmocka_run_group_tests_name("lookup", tests, NULL, NULL);
}
