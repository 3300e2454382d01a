/* Creation that fails leaves nothing behind, and 1.0 functions return what 1.0 knows. */
#include <stdlib.h>
#include <string.h>

#include <pccl.h>
#include <pccl/security.h>

#include "api/library.h"
#include "base/fail.h"
#include "base/names.h"
#include "lib/allocations.h"
#include "lib/check.h"

static const pcclCommCreateParams_t params = {.master_address = {.port = 1}};

/* What a caller's variable had in it before. */
static pcclComm_t *const rubbish = (pcclComm_t *)(uintptr_t)0xdead;

static void creation_fails(const pcclCommCreateParams_t *with, const pcclConfig_t *config, pcclResult_t expected)
{
	pcclComm_t *comm = rubbish;

	assert_int_equal(pcclCreateCommunicatorWithConfig(with, config, &comm), expected);
	assert_null(comm);
	assert_true(strlen(pcclGetLastError(NULL)) > 0);
	if (config != NULL)
		return;
	comm = rubbish;
	assert_int_equal(pcclCreateCommunicator(with, &comm), expected);
	assert_null(comm);
}

/* Before anything else in this program. */
static void without_init_there_is_no_communicator(void **state)
{
	(void)state;
	creation_fails(&params, NULL, pcclNotInitialized);
	assert_int_equal(pcclInit(), pcclSuccess);
}

static void bad_arguments_and_settings_leave_null(void **state)
{
	pcclCommCreateParams_t nowhere = params;
	pcclSecurity_t security = PCCL_SECURITY_INITIALIZER;
	pcclConfig_t config = PCCL_CONFIG_INITIALIZER;

	(void)state;
	creation_fails(NULL, NULL, pcclInvalidArgument);
	nowhere.master_address.inet.protocol = (ccoip_inet_protocol_t)2;
	creation_fails(&nowhere, NULL, pcclInvalidArgument);
	config.lanes = 99;
	creation_fails(&params, &config, pcclInvalidArgument);
	config.lanes = 0;
	config.size = 3;
	creation_fails(&params, &config, pcclInvalidArgument);
	config.size = sizeof(config);
	config.security = &security;
	security.secret = "no secret";
	creation_fails(&params, &config, pcclInvalidArgument);
	security.secret = NULL;
	security.secret_file = "/no/such/file";
	creation_fails(&params, &config, pcclInvalidArgument);
	setenv("PCCL_LANES", "many", 1);
	creation_fails(&params, NULL, pcclInvalidArgument);
	unsetenv("PCCL_LANES");
}

/* Until one has all the memory it asks for. */
static void fails_for_want_of_memory(bool classic)
{
	size_t nth = 0;
	bool failed = true;

	while (failed) {
		pcclComm_t *comm = rubbish;
		pcclResult_t result;

		check_fail_allocation(++nth);
		result = classic ? pcclCreateCommunicator(&params, &comm)
				 : pcclCreateCommunicatorWithConfig(&params, NULL, &comm);
		failed = check_allocation_failed();
		check_fail_allocation(0);
		if (failed && result != pcclSuccess) {
			assert_int_equal(result, classic ? pcclInternalError : pcclOutOfMemory);
			assert_null(comm);
		} else {
			assert_int_equal(result, pcclSuccess);
			assert_int_equal(pcclDestroyCommunicator(comm), pcclSuccess);
		}
	}
	assert_true(nth > 2);
}

static void no_memory_leaves_null(void **state)
{
	(void)state;
	fails_for_want_of_memory(false);
	fails_for_want_of_memory(true);
}

/* Whatever a call came to inside, and whatever loss it stands for. */
static void no_result_that_1_0_does_not_know_leaves_a_1_0_function(void **state)
{
	static const pcclResult_t losses[] = {pcclInvalidUsage, pcclRankConnectionLost, pcclMasterConnectionFailed};
	pcclComm_t *classic, *free_of_it;
	size_t index, loss;
	int value = 0;

	(void)state;
	assert_int_equal(pcclCreateCommunicator(&params, &classic), pcclSuccess);
	assert_int_equal(pcclCreateCommunicatorWithConfig(&params, NULL, &free_of_it), pcclSuccess);
	for (index = 0; pccl_name_value(pcclEnumResult, index, &value); index++) {
		for (loss = 0; loss < sizeof(losses) / sizeof(losses[0]); loss++) {
			pcclResult_t result = pccl_library_result(classic, (pcclResult_t)value, losses[loss]);

			assert_true((int)result < 100);
			assert_int_equal(result == pcclSuccess, value == pcclSuccess);
			if (value < 100)
				assert_int_equal(result, value);
			assert_int_equal(pccl_library_result(free_of_it, (pcclResult_t)value, losses[loss]), value);
		}
	}
	assert_true(index > 15);
	assert_int_equal(pcclDestroyCommunicator(classic), pcclSuccess);
	assert_int_equal(pcclDestroyCommunicator(free_of_it), pcclSuccess);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_init_there_is_no_communicator),
		cmocka_unit_test(bad_arguments_and_settings_leave_null),
		cmocka_unit_test(no_memory_leaves_null),
		cmocka_unit_test(no_result_that_1_0_does_not_know_leaves_a_1_0_function),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
