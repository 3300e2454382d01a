/* The driver, with the stand-in for it. */
#include "device/cuda.h"

#include "lib/check.h"
#include "lib/device.h"
#include "lib/forks.h"

static void use(void)
{
	const struct pccl_cuda *cuda;

	(void)pccl_cuda_load(&cuda);
}

static void a_child_is_not_kept_from_it_by_a_thread_that_is_not_there(void **state)
{
	(void)state;
	use(); /* loads it */
	forks_while_used(use);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_child_is_not_kept_from_it_by_a_thread_that_is_not_there),
	};

	(void)check_standin();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
