#include "base/cpu.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/check.h"

/* What a fresh process finds with PCCL_CPU set to `wish` (NULL: not set): the level, + 10 with the CRC32C
 * instruction, + 20 with wide carry-less multiplication. */
static int abilities_with(const char *wish)
{
	int status = -1;
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		if (wish != NULL)
			setenv("PCCL_CPU", wish, 1);
		else
			unsetenv("PCCL_CPU");
		_exit((int)pccl_cpu_level() + 10 * pccl_cpu_has_sse42() + 20 * pccl_cpu_has_vpclmul());
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void scalar_turns_everything_off(void **state)
{
	(void)state;
	assert_int_equal(abilities_with("scalar"), PCCL_CPU_SCALAR);
}

static void avx2_turns_only_avx512_off(void **state)
{
	int best = abilities_with(NULL);
	int lowered = abilities_with("avx2");

	(void)state;
	assert_true(lowered % 10 <= PCCL_CPU_AVX2);
	if (best % 10 >= PCCL_CPU_AVX2)
		assert_int_equal(lowered % 10, PCCL_CPU_AVX2);
	assert_int_equal(lowered / 10, best / 10);
}

static void a_wish_cannot_raise_the_level(void **state)
{
	(void)state;
	assert_int_equal(abilities_with("avx512"), abilities_with(NULL));
	assert_int_equal(abilities_with("quantum"), abilities_with(NULL));
}

static void wide_multiplication_implies_vectors_and_the_instruction(void **state)
{
	int best = abilities_with(NULL);

	(void)state;
	if (best >= 20)
		assert_true(best >= 30 + PCCL_CPU_AVX2);
}

static void levels_have_names(void **state)
{
	(void)state;
	assert_string_equal(pccl_cpu_level_name(PCCL_CPU_SCALAR), "scalar");
	assert_string_equal(pccl_cpu_level_name(PCCL_CPU_AVX2), "avx2");
	assert_string_equal(pccl_cpu_level_name(PCCL_CPU_AVX512), "avx512");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(scalar_turns_everything_off),
		cmocka_unit_test(avx2_turns_only_avx512_off),
		cmocka_unit_test(a_wish_cannot_raise_the_level),
		cmocka_unit_test(wide_multiplication_implies_vectors_and_the_instruction),
		cmocka_unit_test(levels_have_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
