/* A run that is protected by a join secret, real processes: who has it takes part, who has not is told why. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <pccl/diagnostics.h>
#include <pccl/security.h>
#include <pccl/state.h>

#include "lib/check.h"
#include "lib/peers.h"

static char secret[PCCL_SECRET_TEXT_BYTES];
static char other_secret[PCCL_SECRET_TEXT_BYTES];

static int open_world(void **state)
{
	if (pcclGenerateSecret(secret) != pcclSuccess || pcclGenerateSecret(other_secret) != pcclSuccess)
		return -1;
	setenv("PCCL_SECRET", secret, 1); /* the masters' */
	return peers_open(state);
}

static int close_world(void **state)
{
	unsetenv("PCCL_SECRET");
	unsetenv("PCCL_SECURITY");
	return peers_close(state);
}

/* The last one lacks it. */
static void share_a_state(struct world_peer *me)
{
	bool lacks = peer_rank(me) == 2;
	static int32_t numbers[50000];
	pcclTensorInfo_t info = {"numbers", numbers, 50000, pcclInt32, pcclDeviceCpu, false};
	pcclSharedState_t state = {lacks ? 0 : 4, 1, &info};
	pcclStateSyncInfo_t moved = PCCL_STATE_SYNC_INFO_INITIALIZER;
	int32_t index;

	for (index = 0; index < 50000; index++)
		numbers[index] = lacks ? -1 : index;
	CHECK_RESULT(pcclSuccess, pcclStateSync(me->comm, &state, NULL, &moved));
	CHECK(state.revision == 4 && moved.rx_bytes == (lacks ? sizeof(numbers) : 0));
	for (index = 0; index < 50000; index++)
		CHECK(numbers[index] == index);
	CHECK_RESULT(pcclSuccess, pcclStateCheck(me->comm, &state, NULL, NULL));
}

static void sum_in_secret(struct world_peer *me)
{
	int64_t sum = 0;

	peer_join(me);
	peer_grow(me, 3);
	CHECK_RESULT(pcclSuccess, peer_sum(me, 1, 2, &sum));
	CHECK(sum == 6);
	share_a_state(me);
	peer_meet(me, 3);
	peer_leave(me);
}

static void members_with_the_secret_reduce(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_PROGRAM);
	peers_start(world, 3, sum_in_secret, NULL);
	peers_finish(world);
}

static void embedded_master_takes_the_environment_too(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_EMBEDDED);
	peers_start(world, 3, sum_in_secret, NULL);
	peers_finish(world);
}

/* Connects with settings that do not fit; the words have to say so. */
struct misfit {
	pcclSecurityMode_t mode;
	const char *secret;
	const char *words;
};

static void try_to_join(struct world_peer *me)
{
	const struct misfit *misfit = me->argument;
	pcclSecurity_t security = PCCL_SECURITY_INITIALIZER;

	unsetenv("PCCL_SECRET");
	security.mode = misfit->mode;
	security.secret = misfit->secret;
	me->config.security = &security;
	me->config.connect_timeout_ms = 300000; /* that is not what it waits for */
	CHECK_RESULT(pcclSuccess, pcclInit());
	CHECK_RESULT(pcclSuccess, pcclCreateCommunicatorWithConfig(&me->params, &me->config, &me->comm));
	CHECK_RESULT(pcclMasterConnectionFailed, pcclConnect(me->comm));
	if (strstr(pcclGetLastError(me->comm), misfit->words) == NULL)
		peer_fail(__FILE__, __LINE__, pcclGetLastError(me->comm));
	CHECK_RESULT(pcclSuccess, pcclDestroyCommunicator(me->comm));
}

static void strangers_are_told_why_they_are_turned_away(void **state)
{
	const struct misfit misfits[] = {{pcclSecurityPsk, other_secret, "it has another join secret"},
					 {pcclSecurityNone, NULL, "it asks for a join secret"},
					 {pcclSecurityDefault, NULL, "it asks for a join secret"}};
	struct world *world = *state;
	size_t i;

	peers_start_master(world, WORLD_PROGRAM);
	for (i = 0; i < sizeof(misfits) / sizeof(misfits[0]); i++)
		peers_start(world, 1, try_to_join, &misfits[i]);
	peers_start(world, 3, sum_in_secret, NULL);
	peers_finish(world);
}

static void master_without_a_secret_is_told_apart(void **state)
{
	const struct misfit misfit = {pcclSecurityPsk, secret, "it has no join secret"};
	struct world *world = *state;

	unsetenv("PCCL_SECRET");
	peers_start_master(world, WORLD_PROGRAM);
	peers_start(world, 1, try_to_join, &misfit);
	peers_finish(world);
}

/* ---- secrets that are changed -------------------------------------------------------------------------------- */

static void write_file(const char *path, const char *text, mode_t mode)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
	assert_int_equal(chmod(path, mode), 0);
}

/* The second one has the new secret alone, the first one, which is in, the old one. */
static void join_with_one_of_two_secrets(struct world_peer *me)
{
	bool first = me->index == 0;
	pcclSecurity_t security = PCCL_SECURITY_INITIALIZER;

	unsetenv("PCCL_SECRET_FILE");
	security.secret = first ? secret : other_secret;
	me->config.security = &security;
	me->config.connect_timeout_ms = 300000; /* that is not what it waits for */
	me->config.admission_timeout_ms = 6000 * peers_patience();
	CHECK_RESULT(pcclSuccess, pcclInit());
	CHECK_RESULT(pcclSuccess, pcclCreateCommunicatorWithConfig(&me->params, &me->config, &me->comm));
	if (!first)
		peer_wait_peer(me, 0, 1);
	CHECK_RESULT(first ? pcclSuccess : pcclMasterConnectionFailed, pcclConnect(me->comm));
	if (!first && strstr(pcclGetLastError(me->comm), "another join secret") == NULL)
		peer_fail(__FILE__, __LINE__, pcclGetLastError(me->comm));
	peer_reach(me, 1);
	peer_wait_peer(me, 1, 1);
	peer_leave(me);
}

static void peers_without_a_common_secret_are_told_so(void **state)
{
	char path[] = "/tmp/pccl-test-secret.XXXXXX";
	char text[3 * PCCL_SECRET_TEXT_BYTES];
	struct world *world = *state;
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	close(fd);
	(void)snprintf(text, sizeof(text), "%s\n%s\n", secret, other_secret);
	write_file(path, text, 0600);
	unsetenv("PCCL_SECRET");
	setenv("PCCL_SECRET_FILE", path, 1);
	peers_start_master(world, WORLD_PROGRAM);
	peers_start(world, 2, join_with_one_of_two_secrets, NULL);
	peers_finish(world);
	unsetenv("PCCL_SECRET_FILE");
	unlink(path);
}

/* The first one is in with the old secret and stays in; the second one has the new one; the third one the old one. */
static void join_while_secrets_change(struct world_peer *me)
{
	pcclSecurity_t security = PCCL_SECURITY_INITIALIZER;
	const bool ends_inside = me->index != 2;
	pcclResult_t result;

	security.secret = me->index == 1 ? other_secret : secret;
	me->config.security = &security;
	me->params.peer_group = me->index; /* they could not reach each other */
	CHECK_RESULT(pcclSuccess, pcclInit());
	for (;;) {
		CHECK_RESULT(pcclSuccess, pcclCreateCommunicatorWithConfig(&me->params, &me->config, &me->comm));
		result = pcclConnect(me->comm);
		CHECK(result == pcclSuccess || strstr(pcclGetLastError(me->comm), "another join secret") != NULL);
		if ((result == pcclSuccess) == ends_inside)
			break;
		CHECK_RESULT(pcclSuccess, pcclDestroyCommunicator(me->comm));
		peer_reach(me, 1);
		peers_sleep_ms(20);
	}
	peer_reach(me, 2);
	peer_wait_gate(me, 1);
	CHECK_RESULT(ends_inside ? pcclSuccess : pcclInvalidUsage, pcclUpdateTopology(me->comm));
	peer_leave(me);
}

static void masters_take_new_secrets_while_they_run(void **state)
{
	char path[] = "/tmp/pccl-test-secret.XXXXXX";
	struct world *world = *state;
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	close(fd);
	write_file(path, secret, 0600);
	unsetenv("PCCL_SECRET");
	setenv("PCCL_SECRET_FILE", path, 1);
	peers_start_master(world, WORLD_PROGRAM);
	unsetenv("PCCL_SECRET_FILE");
	peers_start(world, 2, join_while_secrets_change, NULL);
	peers_await(world, 0, 2);
	peers_await(world, 1, 1);
	write_file(path, other_secret, 0600);
	assert_int_equal(kill(world->masters[0].process.pid, SIGHUP), 0);
	peers_await(world, 1, 2);
	peers_start(world, 1, join_while_secrets_change, NULL);
	peers_await(world, 2, 2);
	peers_open_gate(world, 1);
	peers_finish(world);
	unlink(path);
}

/* ---- masters' keys ------------------------------------------------------------------------------------------- */

static void sum_at_the_masters_that_were_named(struct world_peer *me)
{
	pcclSecurity_t security = PCCL_SECURITY_INITIALIZER;

	unsetenv("PCCL_IDENTITY_FILE"); /* the master's */
	security.master_keys = me->argument;
	me->config.security = &security;
	sum_in_secret(me);
}

static void refuse_another_master(struct world_peer *me)
{
	pcclSecurity_t security = PCCL_SECURITY_INITIALIZER;

	unsetenv("PCCL_IDENTITY_FILE");
	security.master_keys = "pccl-key-0000000000000000000000000000000000000000000000000000000000000001";
	me->config.security = &security;
	me->config.connect_timeout_ms = 300000; /* that is not what it waits for */
	CHECK_RESULT(pcclSuccess, pcclInit());
	CHECK_RESULT(pcclSuccess, pcclCreateCommunicatorWithConfig(&me->params, &me->config, &me->comm));
	CHECK_RESULT(pcclMasterConnectionFailed, pcclConnect(me->comm));
	if (strstr(pcclGetLastError(me->comm), "PCCL_MASTER_KEYS") == NULL)
		peer_fail(__FILE__, __LINE__, pcclGetLastError(me->comm));
	CHECK_RESULT(pcclSuccess, pcclDestroyCommunicator(me->comm));
}

static void only_masters_with_the_right_key_are_registered_at(void **state)
{
	char path[] = "/tmp/pccl-test-key.XXXXXX", key[PCCL_KEY_TEXT_BYTES];
	struct world *world = *state;

	assert_true(mkdtemp(path) != NULL);
	assert_int_equal(rmdir(path), 0); /* a name that was free a moment ago */
	assert_int_equal(pcclDescribeKey(path, key), pcclSuccess);
	setenv("PCCL_IDENTITY_FILE", path, 1);
	peers_start_master(world, WORLD_PROGRAM);
	peers_start(world, 3, sum_at_the_masters_that_were_named, key);
	peers_start(world, 1, refuse_another_master, NULL);
	peers_finish(world);
	unsetenv("PCCL_IDENTITY_FILE");
	unlink(path);
}

/* ---- who may join -------------------------------------------------------------------------------------------- */

struct listed {
	char folder[32];
	char list[64];
	char keys[2][64];		    /* files, */
	char texts[2][PCCL_KEY_TEXT_BYTES]; /* and what they are known by */
};

/* The second one is not on the list at first, and the first one is not any more at the end. */
static void join_when_listed(struct world_peer *me)
{
	const struct listed *listed = me->argument;
	pcclSecurity_t security = PCCL_SECURITY_INITIALIZER;
	uint64_t end_ns = peers_now_ns() + 60 * WORLD_SECOND_NS;
	pcclResult_t result = pcclMasterConnectionFailed;

	security.identity_file = listed->keys[me->index];
	me->config.security = &security;
	CHECK_RESULT(pcclSuccess, pcclInit());
	while (result != pcclSuccess) {
		CHECK(peers_now_ns() < end_ns);
		CHECK_RESULT(pcclSuccess, pcclCreateCommunicatorWithConfig(&me->params, &me->config, &me->comm));
		result = pcclConnect(me->comm);
		CHECK(result == pcclSuccess || (me->index == 1 && result == pcclMasterConnectionFailed));
		if (result == pcclSuccess)
			break;
		CHECK(strstr(pcclGetLastError(me->comm), "on the master's list") != NULL);
		CHECK(strstr(pcclGetLastError(me->comm), listed->texts[1]) != NULL);
		CHECK_RESULT(pcclSuccess, pcclDestroyCommunicator(me->comm));
		peer_reach(me, 1);
		peers_sleep_ms(20);
	}
	peer_reach(me, 2);
	while (result == pcclSuccess && (me->index == 0 || !peer_gate_is_open(me, 1) || peer_world_size(me) > 1))
		result = pcclUpdateTopology(me->comm);
	CHECK(result == (me->index == 0 ? pcclEvicted : pcclSuccess));
	peer_leave(me);
}

static void write_list(const struct listed *listed, unsigned first, unsigned count)
{
	char text[3 * PCCL_KEY_TEXT_BYTES] = "# who may join\n";
	unsigned i;

	for (i = first; i < first + count; i++) {
		strcat(text, "key ");
		strcat(text, listed->texts[i]);
		strcat(text, " groups 0-99\n");
	}
	write_file(listed->list, text, 0644);
}

static void make_list(struct listed *listed)
{
	unsigned i;

	strcpy(listed->folder, "/tmp/pccl-test-list.XXXXXX");
	assert_non_null(mkdtemp(listed->folder));
	(void)snprintf(listed->list, sizeof(listed->list), "%s/list", listed->folder);
	for (i = 0; i < 2; i++) {
		(void)snprintf(listed->keys[i], sizeof(listed->keys[i]), "%s/key%u", listed->folder, i);
		assert_int_equal(pcclDescribeKey(listed->keys[i], listed->texts[i]), pcclSuccess);
	}
	write_list(listed, 0, 1);
}

static void only_who_is_on_the_list_is_in(void **state)
{
	struct world *world = *state;
	struct listed listed;

	make_list(&listed);
	setenv("PCCL_ALLOW_FILE", listed.list, 1);
	peers_start_master(world, WORLD_PROGRAM);
	unsetenv("PCCL_ALLOW_FILE");
	peers_start(world, 2, join_when_listed, &listed);
	peers_await(world, 0, 2);
	peers_await(world, 1, 1);
	write_list(&listed, 0, 2);
	assert_int_equal(kill(world->masters[0].process.pid, SIGHUP), 0);
	peers_await(world, 1, 2);
	write_list(&listed, 1, 1);
	peers_open_gate(world, 1);
	assert_int_equal(kill(world->masters[0].process.pid, SIGHUP), 0);
	peers_finish(world);
	unlink(listed.keys[0]);
	unlink(listed.keys[1]);
	unlink(listed.list);
	assert_int_equal(rmdir(listed.folder), 0);
}

static void lists_want_protected_connections(void **state)
{
	const ccoip_socket_address_t address = {.inet = {.protocol = inetIPv4, .ipv4 = {{127, 0, 0, 1}}},
						.port = peers_free_port(1)};
	pcclSecurity_t security = PCCL_SECURITY_INITIALIZER;
	pcclMasterInstance_t *master;

	(void)state;
	unsetenv("PCCL_SECRET");
	assert_int_equal(pcclSetMasterAdmission(NULL, NULL), pcclInvalidArgument);
	assert_int_equal(pcclCreateMaster(address, &master), pcclSuccess);
	assert_int_equal(pcclSetMasterAdmission(master, "/nowhere/list"), pcclInvalidArgument);
	assert_int_equal(pcclSetMasterAdmission(master, "/dev/null"), pcclInvalidArgument);
	assert_int_equal(pcclSetMasterAdmission(master, NULL), pcclSuccess);
	assert_int_equal(pcclRunMaster(master), pcclSuccess);
	security.secret = secret;
	assert_int_equal(pcclSetMasterSecurity(master, &security), pcclInvalidUsage);
	assert_int_equal(pcclDestroyMaster(master), pcclSuccess);
}

/* ---- settings, without a world ------------------------------------------------------------------------------- */

static void check_settings(const pcclSecurity_t *security, pcclResult_t expected, const char *words)
{
	pcclCommCreateParams_t params = {.peer_group = 0};
	pcclConfig_t config = PCCL_CONFIG_INITIALIZER;
	pcclComm_t *comm;
	pcclResult_t result;

	config.masters = "127.0.0.1:1";
	config.security = security;
	result = pcclCreateCommunicatorWithConfig(&params, &config, &comm);
	assert_int_equal(result, expected);
	if (expected != pcclSuccess && strstr(pcclGetLastError(NULL), words) == NULL)
		fail_msg("it says: %s", pcclGetLastError(NULL));
	if (result == pcclSuccess)
		pcclDestroyCommunicator(comm);
	else
		assert_null(comm);
}

static void bad_settings_are_refused_in_words(void **state)
{
	pcclSecurity_t security = PCCL_SECURITY_INITIALIZER;

	(void)state;
	unsetenv("PCCL_SECRET");
	assert_int_equal(pcclInit(), pcclSuccess);
	security.mode = pcclSecurityPsk;
	check_settings(&security, pcclInvalidArgument, "PCCL_SECRET_FILE");
	security.secret = "pccl-secret-short";
	check_settings(&security, pcclInvalidArgument, "was it cut?");
	security.secret = NULL;
	security.secret_file = "/nowhere/secret";
	check_settings(&security, pcclInvalidArgument, "/nowhere/secret");
	security.mode = pcclSecurityTls;
	check_settings(&security, pcclInvalidArgument, "PCCL_CERTIFICATE_FILE");
	security.mode = (pcclSecurityMode_t)7;
	check_settings(&security, pcclInvalidArgument, "PCCL_SECURITY");
	setenv("PCCL_SECURITY", "loud", 1);
	check_settings(NULL, pcclInvalidArgument, "none");
}

static void secrets_come_from_a_file(void **state)
{
	char path[] = "/tmp/pccl-test-secret.XXXXXX";
	pcclSecurity_t security = PCCL_SECURITY_INITIALIZER;
	char text[8 * PCCL_SECRET_TEXT_BYTES];
	int fd = mkstemp(path);

	(void)state;
	unsetenv("PCCL_SECRET");
	assert_true(fd >= 0);
	close(fd);
	security.secret_file = path;
	snprintf(text, sizeof(text), "# ours\n\n%s\r\n  \n%s", secret, other_secret);
	write_file(path, text, 0600);
	check_settings(&security, pcclSuccess, NULL);
	write_file(path, "# nothing\n", 0600);
	check_settings(&security, pcclInvalidArgument, "has no join secret");
	snprintf(text, sizeof(text), "%s\npccl-secret-wrong\n", secret);
	write_file(path, text, 0600);
	check_settings(&security, pcclInvalidArgument, "line 2");
	snprintf(text, sizeof(text), "%s\n%s\n%s\n%s\n%s\n", secret, secret, secret, secret, secret);
	write_file(path, text, 0600);
	check_settings(&security, pcclInvalidArgument, "more than 4");
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(members_with_the_secret_reduce, open_world, close_world),
		cmocka_unit_test_setup_teardown(embedded_master_takes_the_environment_too, open_world, close_world),
		cmocka_unit_test_setup_teardown(strangers_are_told_why_they_are_turned_away, open_world, close_world),
		cmocka_unit_test_setup_teardown(master_without_a_secret_is_told_apart, open_world, close_world),
		cmocka_unit_test_setup_teardown(peers_without_a_common_secret_are_told_so, open_world, close_world),
		cmocka_unit_test_setup_teardown(masters_take_new_secrets_while_they_run, open_world, close_world),
		cmocka_unit_test_setup_teardown(only_masters_with_the_right_key_are_registered_at, open_world,
						close_world),
		cmocka_unit_test_setup_teardown(only_who_is_on_the_list_is_in, open_world, close_world),
		cmocka_unit_test_setup_teardown(lists_want_protected_connections, open_world, close_world),
		cmocka_unit_test_setup_teardown(bad_settings_are_refused_in_words, open_world, close_world),
		cmocka_unit_test_setup_teardown(secrets_come_from_a_file, open_world, close_world),
	};

	return cmocka_run_group_tests_name("security", tests, NULL, NULL);
}
