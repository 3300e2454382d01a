/* What the operator of a master does while a run goes on: lists, evicts, bans, has files read again. Real processes. */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <pccl/security.h>

#include "base/fail.h"
#include "base/hex.h"
#include "comm/control_socket.h"
#include "lib/check.h"
#include "lib/peers.h"
#include "unit/transport/tls/authority.h"

enum { TEXT_BYTES = 4096 };

/* Files of a test, in a folder of its own. */
struct files {
	char folder[32];
	char control[128];
	char secret[64];
	char master_key[64];
	char key[64];			/* of one peer, */
	char text[PCCL_KEY_TEXT_BYTES]; /* and what it is known by */
};

static struct files files;
static char secret[PCCL_SECRET_TEXT_BYTES];
static char other_secret[PCCL_SECRET_TEXT_BYTES];

static void write_secret(const char *text)
{
	FILE *file = fopen(files.secret, "w");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(chmod(files.secret, 0600), 0);
}

static int open_world(void **state)
{
	strcpy(files.folder, "/tmp/pccl-test-operator.XXXXXX");
	if (mkdtemp(files.folder) == NULL || pcclGenerateSecret(secret) != pcclSuccess ||
	    pcclGenerateSecret(other_secret) != pcclSuccess)
		return -1;
	(void)snprintf(files.control, sizeof(files.control), "%s/control", files.folder);
	(void)snprintf(files.secret, sizeof(files.secret), "%s/secret", files.folder);
	(void)snprintf(files.master_key, sizeof(files.master_key), "%s/master", files.folder);
	(void)snprintf(files.key, sizeof(files.key), "%s/key", files.folder);
	assert_int_equal(pcclDescribeKey(files.key, files.text), pcclSuccess);
	write_secret(secret);
	setenv("PCCL_SECRET_FILE", files.secret, 1);
	setenv("PCCL_IDENTITY_FILE", files.master_key, 1);
	setenv("PCCL_CONTROL_SOCKET", files.control, 1);
	if (peers_open(state) != 0)
		return -1;
	peers_start_master(*state, WORLD_PROGRAM);
	unsetenv("PCCL_SECRET_FILE");
	unsetenv("PCCL_IDENTITY_FILE");
	unsetenv("PCCL_CONTROL_SOCKET");
	return 0;
}

static int close_world(void **state)
{
	int status = peers_close(state);

	unlink(files.control);
	unlink(files.secret);
	unlink(files.master_key);
	unlink(files.key);
	return rmdir(files.folder) != 0 ? -1 : status;
}

static void add_line(const char *line, void *context)
{
	char *text = context;
	size_t bytes = strlen(text);

	(void)snprintf(text + bytes, TEXT_BYTES - bytes, "%s\n", line);
}

/* The answer, or what is wrong with the command. */
static void tell(pcclResult_t expected, char text_out[TEXT_BYTES], const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void tell(pcclResult_t expected, char text_out[TEXT_BYTES], const char *format, ...)
{
	char command[512];
	va_list arguments;
	pcclResult_t result;

	va_start(arguments, format);
	(void)vsnprintf(command, sizeof(command), format, arguments);
	va_end(arguments);
	text_out[0] = '\0';
	result = pccl_control_ask(files.control, command, add_line, text_out);
	if (result != pcclSuccess)
		(void)snprintf(text_out, TEXT_BYTES, "%s", pccl_fail_text());
	if (result != expected)
		fail_msg("%s: %s", command, text_out);
}

static unsigned count_lines(const char *text, const char *begin)
{
	unsigned count = 0;

	for (; text != NULL && *text != '\0'; text = strchr(text, '\n') + 1)
		count += strncmp(text, begin, strlen(begin)) == 0;
	return count;
}

/* ---- evict and ban ------------------------------------------------------------------------------------------- */

static void tell_uuid(struct world_peer *me)
{
	pcclRankUuid_t uuid;

	CHECK_RESULT(pcclSuccess, pcclGetUuid(me->comm, &uuid));
	pccl_hex_write(uuid.data, sizeof(uuid.data), me->world->shared->slots[me->index].text);
}

/* Updates until the group is as large, or this one is out. */
static void stay_until(struct world_peer *me, unsigned size, const char *words)
{
	pcclResult_t result = pcclSuccess;

	while (result == pcclSuccess && peer_world_size(me) != size)
		result = pcclUpdateTopology(me->comm);
	CHECK_RESULT(words == NULL ? pcclSuccess : pcclEvicted, result);
	if (words != NULL && strstr(pcclGetLastError(me->comm), words) == NULL)
		peer_fail(__FILE__, __LINE__, pcclGetLastError(me->comm));
}

/* The second one is evicted, the third one banned; that one comes back when it may again. */
static void obey(struct world_peer *me)
{
	static const char *const words[] = {NULL, "the operator of its master has evicted this peer: it is slow",
					    "the operator of its master has banned this peer"};
	uint64_t end_ns = peers_now_ns() + 60 * WORLD_SECOND_NS;
	pcclSecurity_t security = PCCL_SECURITY_INITIALIZER;

	security.secret = secret;
	security.identity_file = me->index == 2 ? files.key : NULL;
	me->config.security = &security;
	peer_join(me);
	peer_grow(me, 3);
	tell_uuid(me);
	peer_reach(me, 1);
	stay_until(me, me->index == 0 ? 1 : 0, words[me->index]);
	peer_reach(me, 2);
	while (me->index == 2) {
		CHECK(peers_now_ns() < end_ns);
		CHECK_RESULT(pcclSuccess, pcclDestroyCommunicator(me->comm));
		CHECK_RESULT(pcclSuccess, pcclCreateCommunicatorWithConfig(&me->params, &me->config, &me->comm));
		if (pcclConnect(me->comm) == pcclSuccess)
			break;
		CHECK(strstr(pcclGetLastError(me->comm), words[2]) != NULL);
		peer_reach(me, 3);
		peers_sleep_ms(20);
	}
	if (me->index != 1) {
		stay_until(me, 2, NULL);
		peer_meet(me, 2); /* who left at once would not be seen */
	}
	peer_leave(me);
}

static void operators_evict_and_ban_whom_they_see(void **state)
{
	struct world *world = *state;
	char text[TEXT_BYTES];

	peers_start(world, 3, obey, NULL);
	peers_await_all(world, 0, 3, 1);
	tell(pcclSuccess, text, "list");
	assert_int_equal(count_lines(text, "member group 0 epoch "), 3);
	assert_non_null(strstr(text, files.text));
	assert_non_null(strstr(text, world->shared->slots[0].text));
	assert_non_null(strstr(text, " at 127.0.0.1 "));
	tell(pcclInvalidArgument, text, "evict uuid 00000000000000000000000000000000");
	assert_non_null(strstr(text, "nobody here is"));
	tell(pcclInvalidArgument, text, "unban key %s", files.text);
	tell(pcclSuccess, text, "evict uuid %s because it is slow", world->shared->slots[1].text);
	assert_int_equal(count_lines(text, "member group 0 epoch "), 1);
	tell(pcclSuccess, text, "ban key %s", files.text);
	assert_int_equal(count_lines(text, "member group 0 epoch "), 1);
	tell(pcclSuccess, text, "bans");
	assert_int_equal(count_lines(text, "key pccl-key-"), 1);
	peers_await(world, 0, 2); /* it is alone */
	peers_await(world, 2, 3);
	tell(pcclSuccess, text, "unban key %s", files.text);
	peers_finish(world);
}

/* ---- files ----------------------------------------------------------------------------------------------------- */

/* Sums while secrets change; the third one comes with the new secret, to another group. */
static void work_while_secrets_change(struct world_peer *me)
{
	pcclSecurity_t security = PCCL_SECURITY_INITIALIZER;
	int64_t sum = 0;

	security.secret = me->index < 2 ? secret : other_secret;
	me->config.security = &security;
	me->params.peer_group = me->index / 2;
	peer_join(me);
	if (me->index < 2)
		peer_grow(me, 2);
	peer_reach(me, 1);
	if (me->index == 2)
		peer_wait_gate(me, 1);
	while (me->index < 2 && sum < 1000) {
		CHECK_RESULT(pcclSuccess, peer_sum(me, 1, peer_gate_is_open(me, 1) ? 1000 : 1, &sum));
		CHECK(sum % 999 == 2);
	}
	peer_leave(me);
}

/* Its key is needed no more: the master has it. */
static void secrets_change_under_a_run_though_the_keys_file_is_gone(void **state)
{
	struct world *world = *state;
	char text[TEXT_BYTES];

	peers_start(world, 2, work_while_secrets_change, NULL);
	peers_await_all(world, 0, 2, 1);
	assert_int_equal(unlink(files.master_key), 0);
	write_secret("pccl-secret-nonsense\n");
	tell(pcclInvalidArgument, text, "reload");
	assert_non_null(strstr(text, files.secret));
	write_secret(other_secret);
	tell(pcclSuccess, text, "reload");
	peers_start(world, 1, work_while_secrets_change, NULL);
	peers_await(world, 2, 1);
	assert_int_not_equal(access(files.master_key, F_OK), 0);
	peers_open_gate(world, 1);
	peers_finish(world);
}

/* ---- certificates ---------------------------------------------------------------------------------------------- */

static struct authority authority;

static void show_certificate(const char *name, bool revokes)
{
	char path[128];

	authority_show(&authority, name);
	authority_path(&authority, "revoked.pem", path);
	if (revokes)
		setenv("PCCL_REVOKED_FILE", path, 1);
	else
		unsetenv("PCCL_REVOKED_FILE");
}

static long masters_serial;

static int open_certified_world(void **state)
{
	authority_create(&authority);
	masters_serial = authority_issue_for(&authority, "master", 10, "serverAuth");
	authority_revoke(&authority, authority_issue_for(&authority, "nobody", 10, NULL));
	authority_issue_for(&authority, "worker", 10, "clientAuth");
	authority_issue_for(&authority, "worker-2", 10, "clientAuth");
	authority_path(&authority, "control", files.control);
	if (peers_open(state) != 0)
		return -1;
	show_certificate("master", true);
	setenv("PCCL_CONTROL_SOCKET", files.control, 1);
	peers_start_master(*state, WORLD_PROGRAM);
	unsetenv("PCCL_CONTROL_SOCKET");
	show_certificate("worker", false);
	peers_start_master(*state, WORLD_PROGRAM); /* that has no business being one */
	return 0;
}

static int close_certified_world(void **state)
{
	static const char *const names[] = {"authority.pem", "revoked.pem", "master.pem",   "master.key",
					    "worker.pem",    "worker.key",  "nobody.pem",   "nobody.key",
					    "late.pem",	     "late.key",    "worker-2.pem", "worker-2.key"};
	int status = peers_close(state);

	authority_hide();
	unsetenv("PCCL_REVOKED_FILE");
	unlink(files.control);
	authority_destroy(&authority, names, sizeof(names) / sizeof(names[0]));
	return status;
}

static void check_turned_away(struct world_peer *me, const char *words)
{
	me->config.connect_timeout_ms = 300000; /* that is not what it waits for */
	CHECK_RESULT(pcclSuccess, pcclInit());
	CHECK_RESULT(pcclSuccess, pcclCreateCommunicatorWithConfig(&me->params, &me->config, &me->comm));
	CHECK_RESULT(pcclMasterConnectionFailed, pcclConnect(me->comm));
	if (strstr(pcclGetLastError(me->comm), words) == NULL)
		peer_fail(__FILE__, __LINE__, pcclGetLastError(me->comm));
	CHECK_RESULT(pcclSuccess, pcclDestroyCommunicator(me->comm));
}

static void call_a_worker_that_plays_master(struct world_peer *me)
{
	me->params.master_address.port = me->world->masters[1].port;
	check_turned_away(me, "its certificate is for another role");
}

static void call_with_a_revoked_certificate(struct world_peer *me)
{
	check_turned_away(me, "it says that this side's certificate was revoked");
}

/* The operator means it, by the name in its certificate, and no other. */
static void join_two_at_work_and_be_banned(struct world_peer *me)
{
	peer_join(me);
	peer_grow(me, 3);
	peer_reach(me, 1);
	stay_until(me, 0, "the operator of its master has banned this peer: by name");
	CHECK_RESULT(pcclSuccess, pcclDestroyCommunicator(me->comm));
	check_turned_away(me, "the operator of its master has banned this peer");
}

static void work_while_certificates_change(struct world_peer *me)
{
	int64_t sum = 0;

	peer_join(me);
	peer_grow(me, 2);
	peer_reach(me, 1);
	while (sum < 1000) {
		CHECK_RESULT(pcclSuccess, peer_sum(me, 1, peer_gate_is_open(me, 1) ? 1000 : 1, &sum));
		CHECK(sum % 999 == 2);
	}
	peer_grow(me, 3);
	stay_until(me, 2, NULL);
	peer_meet(me, 2);
	peer_leave(me);
}

/* The master's certificate is revoked, and so is another; the newcomer, which asks for the list, meets the new one. */
static void certificates_have_roles_and_change_under_a_run(void **state)
{
	struct world *world = *state;
	char text[TEXT_BYTES];
	unsigned newcomer;

	peers_start(world, 2, work_while_certificates_change, NULL);
	peers_start(world, 1, call_a_worker_that_plays_master, NULL);
	peers_await_all(world, 0, 2, 1);
	authority_revoke(&authority, masters_serial);
	authority_issue_for(&authority, "master", 10, "serverAuth");
	authority_revoke(&authority, authority_issue_for(&authority, "late", 10, "clientAuth"));
	tell(pcclSuccess, text, "reload");
	tell(pcclSuccess, text, "list"); /* what was read counts by now */
	assert_non_null(strstr(text, " name worker\n"));
	show_certificate("late", false);
	peers_start(world, 1, call_with_a_revoked_certificate, NULL);
	show_certificate("worker-2", true);
	newcomer = peers_start(world, 1, join_two_at_work_and_be_banned, NULL);
	peers_open_gate(world, 1);
	peers_await(world, newcomer, 1);
	tell(pcclInvalidArgument, text, "evict name worke");
	assert_non_null(strstr(text, "nobody here is name worke"));
	tell(pcclSuccess, text, "ban name worker-2 because by name");
	assert_int_equal(count_lines(text, "member group 0 epoch "), 1);
	assert_non_null(strstr(text, " name worker-2\n"));
	peers_finish(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(operators_evict_and_ban_whom_they_see, open_world, close_world),
		cmocka_unit_test_setup_teardown(secrets_change_under_a_run_though_the_keys_file_is_gone, open_world,
						close_world),
		cmocka_unit_test_setup_teardown(certificates_have_roles_and_change_under_a_run, open_certified_world,
						close_certified_world),
	};

	return cmocka_run_group_tests_name("operator", tests, NULL, NULL);
}
