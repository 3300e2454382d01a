/* A join secret as people copy it. */
#include "transport/tls/tls.h"

#include <string.h>

#include "base/fail.h"
#include "lib/check.h"

static void secrets_survive_being_written_down(void **state)
{
	char text[PCCL_SECRET_TEXT_BYTES], again[PCCL_SECRET_TEXT_BYTES];
	struct pccl_join_secret secret, damaged;
	size_t bytes, i;

	(void)state;
	assert_int_equal(pccl_join_secret_generate(text), pcclSuccess);
	assert_int_equal(pccl_join_secret_generate(again), pcclSuccess);
	assert_string_not_equal(text, again);
	bytes = strlen(text);
	assert_int_equal(pccl_join_secret_parse(text, bytes, &secret), pcclSuccess);
	for (i = 0; i < bytes; i++) {
		char kept = text[i];

		text[i] = kept == 'A' ? 'B' : 'A';
		assert_int_equal(pccl_join_secret_parse(text, bytes, &damaged), pcclInvalidArgument);
		assert_null(strstr(pccl_fail_text(), text + 12));
		text[i] = kept;
		assert_int_equal(pccl_join_secret_parse(text, i, &damaged), pcclInvalidArgument);
	}
	assert_int_equal(pccl_join_secret_parse(text, bytes, &damaged), pcclSuccess);
	assert_memory_equal(&secret, &damaged, sizeof(secret));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(secrets_survive_being_written_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
