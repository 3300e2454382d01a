/* What the caller gave, then the environment, then the defaults; and which masters that makes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "base/time.h"
#include "comm/settings.h"
#include "lib/check.h"

#define MS PCCL_MS_NS

static const char *const variables[] = {"PCCL_MASTERS",
					"PCCL_LISTEN_ADDRESS",
					"PCCL_ADVERTISED_ADDRESS",
					"PCCL_PORT",
					"PCCL_LANES",
					"PCCL_STREAMS",
					"PCCL_CONNECT_TIMEOUT_MS",
					"PCCL_CONNECT_ATTEMPTS",
					"PCCL_ADMISSION_TIMEOUT_MS",
					"PCCL_OPERATION_TIMEOUT_MS",
					"PCCL_HEARTBEAT_INTERVAL_MS",
					"PCCL_HEARTBEAT_TIMEOUT_MS",
					"PCCL_FAILURE_POLICY",
					"PCCL_PLAN",
					"PCCL_BUNDLE",
					"PCCL_LOG_LEVEL",
					"PCCL_ZSTD",
					"PCCL_CHECKSUMS",
					"PCCL_BINDING",
					"PCCL_INTERFACES",
					"PCCL_MASTER_TIMEOUT_MS"};

static int clear_environment(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(variables) / sizeof(variables[0]); i++)
		unsetenv(variables[i]);
	return 0;
}

static pcclResult_t merge(const pcclConfig_t *config, struct pccl_settings *settings)
{
	const pcclCommCreateParams_t params = {.peer_group = 0};

	pccl_fail_clear();
	return pccl_settings_merge(&params, config, settings);
}

static void refuse(const char *variable, const char *value)
{
	struct pccl_settings settings;

	setenv(variable, value, 1);
	assert_int_equal(merge(NULL, &settings), pcclInvalidArgument);
	assert_non_null(strstr(pccl_fail_text(), variable));
	unsetenv(variable);
	assert_int_equal(merge(NULL, &settings), pcclSuccess);
}

static void without_anything_the_defaults_count(void **state)
{
	struct pccl_settings settings;

	(void)state;
	assert_int_equal(merge(NULL, &settings), pcclSuccess);
	assert_string_equal(settings.masters, "");
	assert_string_equal(settings.listen_address, "");
	assert_string_equal(settings.advertised_address, "");
	assert_int_equal(settings.port_first, 0);
	assert_int_equal(settings.port_last, 0);
	assert_in_range(settings.lanes, 1, 4);
	assert_int_equal(settings.streams, 1);
	assert_int_equal(settings.connect_timeout_ns, 10000 * MS);
	assert_int_equal(settings.admission_timeout_ns, 0);
	assert_int_equal(settings.operation_timeout_ns, 0);
	assert_int_equal(settings.heartbeat_interval_ns, 500 * MS);
	assert_int_equal(settings.heartbeat_timeout_ns, 3000 * MS);
	assert_int_equal(settings.failure_policy, pcclPolicyAbort);
	assert_int_equal(settings.plan, pcclPlanAuto);
	assert_int_equal(settings.zstd, pcclZstdOff);
	assert_int_equal(settings.checksums, pcclChecksumsAuto);
	assert_int_equal(settings.bundle_id, 0);
	assert_int_equal(settings.bundle_size, 0);
	assert_string_equal(settings.interfaces, "");
}

static void the_environment_counts_where_the_caller_gave_nothing(void **state)
{
	const pcclConfig_t config = PCCL_CONFIG_INITIALIZER;
	struct pccl_settings settings;

	(void)state;
	setenv("PCCL_MASTERS", "a:1,b:2", 1);
	setenv("PCCL_LISTEN_ADDRESS", "127.0.0.1", 1);
	setenv("PCCL_ADVERTISED_ADDRESS", "example.org:7", 1);
	setenv("PCCL_PORT", "5000-5010", 1);
	setenv("PCCL_LANES", "3", 1);
	setenv("PCCL_STREAMS", "5", 1);
	setenv("PCCL_CONNECT_TIMEOUT_MS", "11", 1);
	setenv("PCCL_CONNECT_ATTEMPTS", "4", 1);
	setenv("PCCL_ADMISSION_TIMEOUT_MS", "12", 1);
	setenv("PCCL_OPERATION_TIMEOUT_MS", "13", 1);
	setenv("PCCL_HEARTBEAT_INTERVAL_MS", "14", 1);
	setenv("PCCL_HEARTBEAT_TIMEOUT_MS", "28", 1);
	setenv("PCCL_FAILURE_POLICY", "repair", 1);
	setenv("PCCL_PLAN", "ring", 1);
	setenv("PCCL_BUNDLE", "18446744073709551615/8", 1);
	setenv("PCCL_ZSTD", "auto", 1);
	setenv("PCCL_CHECKSUMS", "off", 1);
	setenv("PCCL_BINDING", "off", 1);
	setenv("PCCL_INTERFACES", "eth0,eth1", 1);
	setenv("PCCL_JOINT_TIMEOUT_MS", "15", 1);
	setenv("PCCL_MASTER_TIMEOUT_MS", "16", 1);
	setenv("PCCL_LATE_MEMBERS", "evict", 1);
	assert_int_equal(merge(&config, &settings), pcclSuccess);
	assert_string_equal(settings.masters, "a:1,b:2");
	assert_string_equal(settings.listen_address, "127.0.0.1");
	assert_string_equal(settings.advertised_address, "example.org:7");
	assert_int_equal(settings.port_first, 5000);
	assert_int_equal(settings.port_last, 5010);
	assert_int_equal(settings.lanes, 3);
	assert_int_equal(settings.streams, 5);
	assert_int_equal(settings.connect_attempts, 4);
	assert_int_equal(settings.connect_timeout_ns, 11 * MS);
	assert_int_equal(settings.admission_timeout_ns, 12 * MS);
	assert_int_equal(settings.operation_timeout_ns, 13 * MS);
	assert_int_equal(settings.heartbeat_interval_ns, 14 * MS);
	assert_int_equal(settings.heartbeat_timeout_ns, 28 * MS);
	assert_int_equal(settings.master_timeout_ns, 16 * MS);
	assert_int_equal(settings.failure_policy, pcclPolicyRepair);
	assert_int_equal(settings.plan, pcclPlanRing);
	assert_true(settings.bundle_id == UINT64_MAX);
	assert_int_equal(settings.bundle_size, 8);
	assert_int_equal(settings.zstd, pcclZstdAuto);
	assert_int_equal(settings.checksums, pcclChecksumsOff);
	assert_int_equal(settings.binding, pcclBindingOff);
	assert_string_equal(settings.interfaces, "eth0,eth1");
	assert_int_equal(settings.joint_timeout_ns, 15 * MS);
	assert_int_equal(settings.late_members, pcclLateEvict);
}

static void several_addresses_may_be_advertised(void **state)
{
	pcclConfig_t config = PCCL_CONFIG_INITIALIZER;
	struct pccl_settings settings;

	(void)state;
	setenv("PCCL_ADVERTISED_ADDRESS", "127.0.0.1,127.0.0.2:7,[::1]:8,example.org", 1);
	assert_int_equal(merge(NULL, &settings), pcclSuccess);
	assert_string_equal(settings.advertised_address, "127.0.0.1,127.0.0.2:7,[::1]:8,example.org");
	config.advertised_address = "10.0.0.1,fd00::1";
	assert_int_equal(merge(&config, &settings), pcclSuccess);
	assert_string_equal(settings.advertised_address, "10.0.0.1,fd00::1");
}

static void the_caller_is_stronger_than_the_environment(void **state)
{
	pcclConfig_t config = PCCL_CONFIG_INITIALIZER;
	struct pccl_settings settings;

	(void)state;
	setenv("PCCL_MASTERS", "a:1", 1);
	setenv("PCCL_PORT", "rubbish", 1);
	setenv("PCCL_LANES", "3", 1);
	setenv("PCCL_STREAMS", "5", 1);
	setenv("PCCL_FAILURE_POLICY", "repair", 1);
	setenv("PCCL_PLAN", "ring", 1);
	config.masters = "b:2";
	config.port_first = 9;
	config.lanes = 2;
	config.streams = 1;
	config.failure_policy = pcclPolicyRetry;
	config.plan = pcclPlanDirect;
	setenv("PCCL_ZSTD", "auto", 1);
	config.zstd = pcclZstdOn;
	setenv("PCCL_CHECKSUMS", "off", 1);
	config.checksums = pcclChecksumsOn;
	assert_int_equal(merge(&config, &settings), pcclSuccess);
	assert_int_equal(settings.zstd, pcclZstdOn);
	assert_int_equal(settings.checksums, pcclChecksumsOn);
	assert_string_equal(settings.masters, "b:2");
	assert_int_equal(settings.port_first, 9);
	assert_int_equal(settings.port_last, 9);
	assert_int_equal(settings.lanes, 2);
	assert_int_equal(settings.streams, 1);
	assert_int_equal(settings.failure_policy, pcclPolicyRetry);
	assert_int_equal(settings.plan, pcclPlanDirect);
}

static void an_empty_variable_is_none(void **state)
{
	struct pccl_settings settings;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(variables) / sizeof(variables[0]); i++)
		setenv(variables[i], "", 1);
	assert_int_equal(merge(NULL, &settings), pcclSuccess);
	assert_int_equal(settings.connect_timeout_ns, 10000 * MS);
}

static void what_is_wrong_is_named(void **state)
{
	(void)state;
	refuse("PCCL_LANES", "17");
	refuse("PCCL_LANES", "two");
	refuse("PCCL_LANES", "2x");
	refuse("PCCL_LANES", "-1");
	refuse("PCCL_LANES", "99999999999999999999999");
	refuse("PCCL_STREAMS", "17");
	refuse("PCCL_CONNECT_TIMEOUT_MS", "4294967296");
	refuse("PCCL_FAILURE_POLICY", "hope");
	refuse("PCCL_PLAN", "rings");
	refuse("PCCL_PORT", "65536");
	refuse("PCCL_PORT", "10-");
	refuse("PCCL_PORT", "-10");
	refuse("PCCL_PORT", "10-20-30");
	refuse("PCCL_PORT", "10-65536");
	refuse("PCCL_PORT", "ten");
	refuse("PCCL_LANES", " 2");
	refuse("PCCL_LANES", "+2");
	refuse("PCCL_PORT", " 10");
	refuse("PCCL_PORT", "10- 20");
	refuse("PCCL_PORT", "0-20");
	refuse("PCCL_BUNDLE", "7");
	refuse("PCCL_BUNDLE", "7/");
	refuse("PCCL_BUNDLE", "/7");
	refuse("PCCL_BUNDLE", "0/7");
	refuse("PCCL_BUNDLE", "7/0");
	refuse("PCCL_BUNDLE", "7/1025");
	refuse("PCCL_BUNDLE", "7/8/9");
	refuse("PCCL_LOG_LEVEL", "LOUD");
	refuse("PCCL_LISTEN_ADDRESS", "300.1.2.3");
	refuse("PCCL_LISTEN_ADDRESS", "127.0.0.1:80");
	refuse("PCCL_LISTEN_ADDRESS", "two words");
	refuse("PCCL_ADVERTISED_ADDRESS", "1.2.3.4:99999");
	refuse("PCCL_ADVERTISED_ADDRESS", "1.2.3.999");
	refuse("PCCL_ADVERTISED_ADDRESS", "1.2.3.4,1.2.3.999");
	refuse("PCCL_ADVERTISED_ADDRESS", "1.2.3.4:99999,1.2.3.4");
	refuse("PCCL_ZSTD", "yes");
}

static void what_does_not_fit_together_is_refused(void **state)
{
	pcclConfig_t config = PCCL_CONFIG_INITIALIZER;
	struct pccl_settings settings;

	(void)state;
	config.port_first = 20;
	config.port_last = 10;
	assert_int_equal(merge(&config, &settings), pcclInvalidArgument);
	config.port_last = 20;
	assert_int_equal(merge(&config, &settings), pcclSuccess);
	config.port_first = 0;
	assert_int_equal(merge(&config, &settings), pcclInvalidArgument);
	assert_non_null(strstr(pccl_fail_text(), "port_last"));
	config.port_last = 0;
	config.heartbeat_interval_ms = 2000;
	assert_int_equal(merge(&config, &settings), pcclInvalidArgument);
	config.heartbeat_timeout_ms = 4000;
	assert_int_equal(merge(&config, &settings), pcclSuccess);
	config.bundle_id = 1;
	assert_int_equal(merge(&config, &settings), pcclInvalidArgument);
	config.bundle_size = 1;
	assert_int_equal(merge(&config, &settings), pcclSuccess);
	config.bundle_id = 0;
	assert_int_equal(merge(&config, &settings), pcclInvalidArgument);
	config.bundle_size = 0;
	config.lanes = PCCL_LANES_MAX + 1;
	assert_int_equal(merge(&config, &settings), pcclInvalidArgument);
	config.lanes = PCCL_LANES_MAX;
	config.streams = PCCL_STREAMS_MAX + 1;
	assert_int_equal(merge(&config, &settings), pcclInvalidArgument);
	config.streams = 0;
	config.failure_policy = (pcclFailurePolicy_t)7;
	assert_int_equal(merge(&config, &settings), pcclInvalidArgument);
	config.failure_policy = pcclPolicyDefault;
	config.plan = (pcclPlan_t)7;
	assert_int_equal(merge(&config, &settings), pcclInvalidArgument);
	config.plan = pcclPlanAuto;
	config.zstd = (pcclZstd_t)1;
	assert_int_equal(merge(&config, &settings), pcclInvalidArgument);
	config.zstd = pcclZstdDefault;
	config.checksums = (pcclChecksums_t)1;
	assert_int_equal(merge(&config, &settings), pcclInvalidArgument);
}

static void an_overlong_text_is_refused(void **state)
{
	pcclConfig_t config = PCCL_CONFIG_INITIALIZER;
	struct pccl_settings settings;
	char text[sizeof(settings.masters) + 1];

	(void)state;
	memset(text, ',', sizeof(text));
	text[sizeof(text) - 2] = '\0';
	config.masters = text;
	assert_int_equal(merge(&config, &settings), pcclSuccess);
	text[sizeof(text) - 2] = ',';
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(merge(&config, &settings), pcclInvalidArgument);
	assert_non_null(strstr(pccl_fail_text(), "PCCL_MASTERS"));
}

/* A program that was compiled with a shorter struct gives nothing beyond it. */
static void a_config_of_another_size_is_read_as_far_as_it_goes(void **state)
{
	pcclConfig_t config = PCCL_CONFIG_INITIALIZER;
	struct pccl_settings settings;

	(void)state;
	config.lanes = 2;
	config.plan = pcclPlanRing;
	config.size = offsetof(pcclConfig_t, streams);
	assert_int_equal(merge(&config, &settings), pcclSuccess);
	assert_int_equal(settings.lanes, 2);
	assert_int_equal(settings.plan, pcclPlanAuto);
	config.size = 0;
	assert_int_equal(merge(&config, &settings), pcclInvalidArgument);
	config.size = 1 << 20;
	assert_int_equal(merge(&config, &settings), pcclInvalidArgument);
	assert_non_null(strstr(pccl_fail_text(), "PCCL_CONFIG_INITIALIZER"));
}

/* A newer program's field that this library does not know: harmless as long as it asks for nothing. */
static void a_newer_config_is_refused_if_it_asks_for_what_is_unknown(void **state)
{
	struct {
		pcclConfig_t config;
		uint32_t tls;
		uint32_t reserved;
	} newer = {PCCL_CONFIG_INITIALIZER, 0, 0};
	struct pccl_settings settings;

	(void)state;
	newer.config.size = sizeof(newer);
	newer.config.lanes = 2;
	assert_int_equal(merge(&newer.config, &settings), pcclSuccess);
	assert_int_equal(settings.lanes, 2);
	newer.tls = 1;
	assert_int_equal(merge(&newer.config, &settings), pcclInvalidArgument);
	assert_non_null(strstr(pccl_fail_text(), "newer"));
	newer.tls = 0;
	newer.config.reserved[0] = 1;
	assert_int_equal(merge(&newer.config, &settings), pcclInvalidArgument);
}

/* p2p_connection_pool_size is what PCCL 1.0 programs say; they may say much. */
static void the_pool_size_is_the_number_of_streams(void **state)
{
	pcclCommCreateParams_t params = {.p2p_connection_pool_size = 4};
	pcclConfig_t config = PCCL_CONFIG_INITIALIZER;
	struct pccl_settings settings;

	(void)state;
	assert_int_equal(pccl_settings_merge(&params, NULL, &settings), pcclSuccess);
	assert_int_equal(settings.streams, 4);
	params.p2p_connection_pool_size = 100000;
	assert_int_equal(pccl_settings_merge(&params, NULL, &settings), pcclSuccess);
	assert_int_equal(settings.streams, PCCL_STREAMS_MAX);
	config.streams = 3;
	assert_int_equal(pccl_settings_merge(&params, &config, &settings), pcclSuccess);
	assert_int_equal(settings.streams, 3);
}

/* ---- masters ------------------------------------------------------------------------------------------------- */

static pcclResult_t find_masters(const char *list, uint16_t port, struct pccl_master_place *places, uint32_t *count)
{
	pcclCommCreateParams_t params = {.peer_group = 0};
	pcclConfig_t config = PCCL_CONFIG_INITIALIZER;
	struct pccl_settings settings;
	pcclResult_t result;

	config.masters = list;
	params.master_address.inet.protocol = inetIPv4;
	params.master_address.inet.ipv4.data[0] = 127;
	params.master_address.inet.ipv4.data[3] = 9;
	params.master_address.port = port;
	result = pccl_settings_merge(&params, &config, &settings);
	if (result != pcclSuccess)
		return result; /* when the communicator is created */
	return pccl_settings_masters(&settings, &params.master_address, places, count);
}

static void check_place(const struct pccl_master_place *place, const char *expected)
{
	char text[sizeof(place->host) + 8];

	(void)snprintf(text, sizeof(text), "%s %u", place->host, place->port);
	assert_string_equal(text, expected);
}

static void the_parameters_master_comes_first(void **state)
{
	struct pccl_master_place places[PCCL_MASTERS_MAX];
	uint32_t count;

	(void)state;
	assert_int_equal(find_masters("127.0.0.1:5,[::1]:6,,127.0.0.2", 4, places, &count), pcclSuccess);
	assert_int_equal(count, 4);
	check_place(&places[0], "127.0.0.9 4");
	check_place(&places[1], "127.0.0.1 5");
	check_place(&places[2], "::1 6");
	check_place(&places[3], "127.0.0.2 48148");
}

static void port_0_means_that_the_parameters_name_no_master(void **state)
{
	struct pccl_master_place places[PCCL_MASTERS_MAX];
	uint32_t count;

	(void)state;
	assert_int_equal(find_masters("127.0.0.1:5", 0, places, &count), pcclSuccess);
	assert_int_equal(count, 1);
	check_place(&places[0], "127.0.0.1 5");
	assert_int_equal(find_masters("", 0, places, &count), pcclInvalidArgument);
	assert_non_null(strstr(pccl_fail_text(), "PCCL_MASTERS"));
}

static void blanks_around_a_master_are_not_meant(void **state)
{
	struct pccl_master_place places[PCCL_MASTERS_MAX];
	uint32_t count;

	(void)state;
	assert_int_equal(find_masters(" 127.0.0.1:5 , [::1]:6,\tname ", 0, places, &count), pcclSuccess);
	assert_int_equal(count, 3);
	check_place(&places[0], "127.0.0.1 5");
	check_place(&places[1], "::1 6");
	check_place(&places[2], "name 48148");
}

/* Nobody looks at a standby before it is needed. */
static void a_list_is_read_when_the_communicator_is_created(void **state)
{
	static const char *const bad[] = {"a:b", "127.0.0.1:1,127.0.0.1:99999", "127.0.0.1:1,:5"};
	pcclCommCreateParams_t params = {.peer_group = 0};
	pcclConfig_t config = PCCL_CONFIG_INITIALIZER;
	struct pccl_settings settings;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		config.masters = bad[i];
		assert_int_equal(pccl_settings_merge(&params, &config, &settings), pcclInvalidArgument);
	}
}

static void a_list_of_masters_has_an_end(void **state)
{
	struct pccl_master_place places[PCCL_MASTERS_MAX];
	uint32_t count;

	(void)state;
	assert_int_equal(find_masters("::1,::1,::1,::1,::1,::1,::1", 4, places, &count), pcclSuccess);
	assert_int_equal(count, PCCL_MASTERS_MAX);
	assert_int_equal(find_masters("::1,::1,::1,::1,::1,::1,::1,::1", 4, places, &count), pcclInvalidArgument);
}

static void a_bad_master_is_named(void **state)
{
	struct pccl_master_place places[PCCL_MASTERS_MAX];
	uint32_t count;

	(void)state;
	assert_int_equal(find_masters("127.0.0.1:5,127.0.0.1:port", 0, places, &count), pcclInvalidArgument);
	assert_non_null(strstr(pccl_fail_text(), "127.0.0.1:port"));
	assert_int_equal(find_masters("[::1:5", 0, places, &count), pcclInvalidArgument);
	assert_non_null(strstr(pccl_fail_text(), "[::1:5"));
	/* The resolver's answer may be another one tomorrow. */
	assert_int_equal(find_masters("no-such-host.invalid:1", 0, places, &count), pcclSuccess);
	check_place(&places[0], "no-such-host.invalid 1");
}

static void each_interface_gets_a_stream_unless_their_number_is_given(void **state)
{
	pcclConfig_t config = PCCL_CONFIG_INITIALIZER;
	struct pccl_settings settings;

	(void)state;
	config.interfaces = "eth0,ib0,bond0.7";
	assert_int_equal(merge(&config, &settings), pcclSuccess);
	assert_string_equal(settings.interfaces, "eth0,ib0,bond0.7");
	assert_int_equal(settings.streams, 3);
	config.streams = 2;
	assert_int_equal(merge(&config, &settings), pcclSuccess);
	assert_int_equal(settings.streams, 2);
	config.streams = 0;
	config.interfaces = "eth0";
	assert_int_equal(merge(&config, &settings), pcclSuccess);
	assert_int_equal(settings.streams, 1);
}

static void interfaces_that_are_no_names_are_refused(void **state)
{
	(void)state;
	refuse("PCCL_INTERFACES", ",");
	refuse("PCCL_INTERFACES", "eth0,,eth1");
	refuse("PCCL_INTERFACES", "eth0, eth1");
	refuse("PCCL_INTERFACES", "eth0,eth1,eth0");
	refuse("PCCL_INTERFACES", "a-name-of-16-char");
	refuse("PCCL_INTERFACES", "10.0.0.1:7");
	refuse("PCCL_INTERFACES", "a,b,c,d,e,f,g,h,i");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(without_anything_the_defaults_count, clear_environment),
		cmocka_unit_test_setup(the_environment_counts_where_the_caller_gave_nothing, clear_environment),
		cmocka_unit_test_setup(several_addresses_may_be_advertised, clear_environment),
		cmocka_unit_test_setup(the_caller_is_stronger_than_the_environment, clear_environment),
		cmocka_unit_test_setup(an_empty_variable_is_none, clear_environment),
		cmocka_unit_test_setup(what_is_wrong_is_named, clear_environment),
		cmocka_unit_test_setup(what_does_not_fit_together_is_refused, clear_environment),
		cmocka_unit_test_setup(an_overlong_text_is_refused, clear_environment),
		cmocka_unit_test_setup(a_config_of_another_size_is_read_as_far_as_it_goes, clear_environment),
		cmocka_unit_test_setup(a_newer_config_is_refused_if_it_asks_for_what_is_unknown, clear_environment),
		cmocka_unit_test_setup(the_pool_size_is_the_number_of_streams, clear_environment),
		cmocka_unit_test_setup(the_parameters_master_comes_first, clear_environment),
		cmocka_unit_test_setup(port_0_means_that_the_parameters_name_no_master, clear_environment),
		cmocka_unit_test_setup(blanks_around_a_master_are_not_meant, clear_environment),
		cmocka_unit_test_setup(a_list_is_read_when_the_communicator_is_created, clear_environment),
		cmocka_unit_test_setup(a_list_of_masters_has_an_end, clear_environment),
		cmocka_unit_test_setup(a_bad_master_is_named, clear_environment),
		cmocka_unit_test_setup(each_interface_gets_a_stream_unless_their_number_is_given, clear_environment),
		cmocka_unit_test_setup(interfaces_that_are_no_names_are_refused, clear_environment),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
