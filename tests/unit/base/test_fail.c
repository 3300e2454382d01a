#include "base/fail.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "lib/check.h"

static void a_failure_returns_its_result_and_keeps_its_words(void **state)
{
	(void)state;
	assert_int_equal(pccl_fail(pcclTimeout, "peer %d of %s", 7, "group 1"), pcclTimeout);
	assert_string_equal(pccl_fail_text(), "peer 7 of group 1");
	pccl_fail_clear();
	assert_string_equal(pccl_fail_text(), "");
}

static void context_can_be_put_in_front_of_an_earlier_cause(void **state)
{
	(void)state;
	(void)pccl_fail(pcclSystemError, "connection refused");
	(void)pccl_fail(pcclMasterConnectionFailed, "master unreachable: %s", pccl_fail_text());
	assert_string_equal(pccl_fail_text(), "master unreachable: connection refused");
}

static void a_long_cause_is_cut(void **state)
{
	char text[2 * PCCL_FAIL_TEXT_BYTES];

	(void)state;
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	(void)pccl_fail(pcclInternalError, "%s", text);
	assert_int_equal(strlen(pccl_fail_text()), PCCL_FAIL_TEXT_BYTES - 1);
}

static void errno_stays(void **state)
{
	(void)state;
	errno = ECONNREFUSED;
	(void)pccl_fail(pcclSystemError, "connect: %s", strerror(errno));
	assert_int_equal(errno, ECONNREFUSED);
	assert_string_equal(pccl_fail_text(), "connect: Connection refused");
}

static void *fail_elsewhere(void *unused)
{
	(void)pccl_fail(pcclAborted, "of another thread");
	return unused;
}

static void causes_belong_to_threads(void **state)
{
	pthread_t thread;

	(void)state;
	(void)pccl_fail(pcclAborted, "mine");
	assert_int_equal(pthread_create(&thread, NULL, fail_elsewhere, NULL), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_string_equal(pccl_fail_text(), "mine");
}

static void every_result_has_a_name_and_a_sentence_of_its_own(void **state)
{
	int result;
	int known = 0;

	(void)state;
	for (result = -1; result <= 200; result++) {
		const char *sentence = pccl_result_string((pcclResult_t)result);

		assert_non_null(sentence);
		if (strcmp(pccl_result_name((pcclResult_t)result), "pcclResult_t(?)") == 0)
			continue;
		known++;
		assert_int_equal(sentence[strlen(sentence) - 1], '.');
		assert_string_not_equal(sentence, pccl_result_string((pcclResult_t)-1));
	}
	assert_int_equal(known, 21);
	assert_string_equal(pccl_result_name(pcclSuccess), "pcclSuccess");
	assert_string_equal(pccl_result_name(pcclTooManyOperations), "pcclTooManyOperations");
	assert_string_equal(pccl_result_name(pcclTopologyOptimizationFailed), "pcclTopologyOptimizationFailed");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_failure_returns_its_result_and_keeps_its_words),
		cmocka_unit_test(context_can_be_put_in_front_of_an_earlier_cause),
		cmocka_unit_test(a_long_cause_is_cut),
		cmocka_unit_test(errno_stays),
		cmocka_unit_test(causes_belong_to_threads),
		cmocka_unit_test(every_result_has_a_name_and_a_sentence_of_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
