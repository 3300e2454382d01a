/* One number for all processes of this host. */
#include <sys/wait.h>
#include <unistd.h>

#include "lib/check.h"
#include "transport/link/locality.h"

static void every_process_of_a_host_finds_the_same_number(void **state)
{
	uint64_t host = pccl_locality_host();
	int status;
	pid_t child;

	(void)state;
	assert_true(host != 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0)
		_exit(pccl_locality_host() != host);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_process_of_a_host_finds_the_same_number),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
