/* Settings of security: which of them count, and which are refused instead of being plain without a word. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <pccl/diagnostics.h>

#include "base/fail.h"
#include "comm/protection.h"
#include "lib/check.h"

static const char *const variables[] = {
	"PCCL_SECURITY", "PCCL_SECRET",	      "PCCL_SECRET_FILE",   "PCCL_AUTHORITY_FILE", "PCCL_CERTIFICATE_FILE",
	"PCCL_KEY_FILE", "PCCL_REVOKED_FILE", "PCCL_IDENTITY_FILE", "PCCL_MASTER_KEYS",	   "PCCL_RDMA_TRUSTED"};

static const char bad_secret[] = "pccl-secret-cut";

static char secret[PCCL_SECRET_TEXT_BYTES];
static char path[64];
static pcclSecurity_t security;

static int set_up(void **state)
{
	const pcclSecurity_t fresh = PCCL_SECURITY_INITIALIZER;
	size_t i;
	int fd;

	(void)state;
	for (i = 0; i < sizeof(variables) / sizeof(variables[0]); i++)
		unsetenv(variables[i]);
	security = fresh;
	strcpy(path, "/tmp/pccl-test-protection.XXXXXX");
	fd = mkstemp(path);
	if (fd < 0 || pcclGenerateSecret(secret) != pcclSuccess || write(fd, secret, strlen(secret)) < 0)
		return -1;
	return close(fd);
}

static int tear_down(void **state)
{
	(void)state;
	return unlink(path);
}

static void check_mode(pcclSecurityMode_t mode)
{
	struct pccl_wires *wires;

	if (pccl_protection_open(&security, &wires) != pcclSuccess)
		fail_msg("%s", pccl_fail_text());
	assert_int_equal(pccl_wires_are_protected(wires), mode == pcclSecurityPsk || mode == pcclSecurityTls);
	pccl_wires_destroy(wires);
}

static void check_refused(const char *words)
{
	struct pccl_wires *wires;

	assert_int_equal(pccl_protection_open(&security, &wires), pcclInvalidArgument);
	assert_null(wires);
	if (strstr(pccl_fail_text(), words) == NULL)
		fail_msg("it says: %s", pccl_fail_text());
}

static void some_files_of_certificates_are_not_none(void **state)
{
	const char **fields[] = {&security.authority_file, &security.certificate_file, &security.key_file,
				 &security.revoked_file};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		*fields[i] = "/tmp/one.pem";
		check_refused(i == 1 ? "PCCL_AUTHORITY_FILE (missing)" : "PCCL_CERTIFICATE_FILE (missing)");
		*fields[i] = NULL;
	}
	setenv("PCCL_KEY_FILE", "/tmp/one.pem", 1);
	check_refused("PCCL_KEY_FILE (given)");
	unsetenv("PCCL_KEY_FILE");
	check_mode(pcclSecurityNone);
}

static void empty_texts_are_refused(void **state)
{
	const char **fields[] = {&security.secret,	     &security.secret_file, &security.authority_file,
				 &security.certificate_file, &security.key_file,    &security.revoked_file,
				 &security.identity_file,    &security.master_keys};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		*fields[i] = "";
		check_refused("is empty");
		*fields[i] = NULL;
		setenv(variables[i + 1], "", 1);
		check_refused(variables[i + 1]);
		unsetenv(variables[i + 1]);
	}
}

static void a_structure_that_was_cut_is_refused(void **state)
{
	size_t size;

	(void)state;
	security.secret = secret;
	for (size = 0; size < offsetof(pcclSecurity_t, reserved); size += 4) {
		security.size = size;
		check_refused("PCCL_SECURITY_INITIALIZER");
	}
	security.size = size;
	check_mode(pcclSecurityPsk);
}

static void none_beside_credentials_is_refused(void **state)
{
	(void)state;
	security.mode = pcclSecurityNone;
	check_mode(pcclSecurityNone);
	security.secret = secret;
	check_refused("PCCL_SECRET ");
	security.secret = NULL;
	setenv("PCCL_SECRET_FILE", path, 1);
	check_refused("PCCL_SECRET_FILE");
	security.mode = pcclSecurityDefault;
	setenv("PCCL_SECURITY", "none", 1);
	check_refused("PCCL_SECRET_FILE");
	unsetenv("PCCL_SECRET_FILE");
	check_mode(pcclSecurityNone);
	security.certificate_file = path;
	check_refused("PCCL_CERTIFICATE_FILE");
}

static void both_kinds_want_a_mode(void **state)
{
	(void)state;
	security.secret = secret;
	security.certificate_file = path;
	check_refused("which of them counts");
	security.mode = pcclSecurityPsk;
	check_mode(pcclSecurityPsk);
	security.mode = pcclSecurityDefault;
	security.secret = security.certificate_file = NULL;
	setenv("PCCL_SECRET", secret, 1);
	setenv("PCCL_CERTIFICATE_FILE", path, 1);
	check_refused("which of them counts");
	security.secret_file = path; /* the structure's kind */
	check_mode(pcclSecurityPsk);
}

/* What is not to be looked at is one that can't be read. */
static void the_structures_secret_goes_first_and_the_text_before_the_file(void **state)
{
	(void)state;
	setenv("PCCL_SECRET", bad_secret, 1);
	setenv("PCCL_SECRET_FILE", "/nowhere/secret", 1);
	check_refused("was it cut?");
	security.secret_file = path;
	check_mode(pcclSecurityPsk);
	security.secret_file = "/nowhere/ours";
	check_refused("/nowhere/ours");
	security.secret = secret;
	check_mode(pcclSecurityPsk);
	security.secret = security.secret_file = NULL;
	setenv("PCCL_SECRET", secret, 1);
	check_mode(pcclSecurityPsk);
	unsetenv("PCCL_SECRET");
	check_refused("/nowhere/secret");
	setenv("PCCL_SECRET_FILE", path, 1);
	check_mode(pcclSecurityPsk);
}

static void what_is_no_plain_file_is_refused_without_waiting(void **state)
{
	char fifo[sizeof(path) + 8];

	(void)state;
	(void)snprintf(fifo, sizeof(fifo), "%s.fifo", path);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	security.secret_file = fifo;
	check_refused("is no regular file");
	security.secret_file = "/tmp";
	check_refused("is no regular file");
	security.secret_file = "/dev/null";
	check_refused("is no regular file");
	security.secret_file = NULL;
	security.authority_file = security.certificate_file = security.key_file = fifo;
	check_refused("is no regular file");
	assert_int_equal(unlink(fifo), 0);
}

static void keys_without_protection_are_refused(void **state)
{
	(void)state;
	security.identity_file = path;
	check_refused("PCCL_IDENTITY_FILE");
	security.identity_file = NULL;
	setenv("PCCL_MASTER_KEYS", "pccl-key-0", 1);
	check_refused("PCCL_MASTER_KEYS");
	security.secret = secret;
	check_refused("\"pccl-key-0\" is no key");
}

/* Whatever protects, and whether RDMA is chosen or not: somebody has meant something by it. */
static void networks_to_trust_are_networks(void **state)
{
	(void)state;
	setenv("PCCL_RDMA_TRUSTED", "10.1.0.0/16,fd00::/8", 1);
	check_mode(pcclSecurityDefault);
	security.secret = secret;
	check_mode(pcclSecurityPsk);
	setenv("PCCL_RDMA_TRUSTED", "1", 1);
	check_refused("PCCL_RDMA_TRUSTED: \"1\" is no network");
	security.rdma_trusted = "10.1.0.0/16";
	check_mode(pcclSecurityPsk);
	security.rdma_trusted = "10.1.0.0/16,0.0.0.0/0";
	check_refused("\"0.0.0.0/0\" is every network");
	security.secret = NULL;
	check_refused("\"0.0.0.0/0\" is every network");
	security.rdma_trusted = "";
	check_refused("rdma_trusted of the security settings (PCCL_RDMA_TRUSTED) is empty");
	security.rdma_trusted = NULL;
	setenv("PCCL_RDMA_TRUSTED", "", 1);
	check_refused("PCCL_RDMA_TRUSTED is set and empty");
}

/* RDMA lies over TLS only where a network is said to be trusted; nothing else does over what. */
static void rdma_is_used_beside_tls_on_trust_only(void **state)
{
	struct wires_of {
		const char *trusted;
		bool is_secret, chooses;
		const char *between_peers, *to_masters;
		bool seals;
	} const cases[] = {{NULL, true, true, "tls", "tls", true},
			   {"10.0.0.0/8", true, true, "rdma", "tls", false},
			   {"10.0.0.0/8", true, false, "tls", "tls", true},
			   {NULL, false, true, "rdma", "tcp", false},
			   {"10.0.0.0/8", false, false, "tcp", "tcp", false}};
	struct pccl_address address;
	size_t i;

	(void)state;
	assert_int_equal(pccl_address_numeric("10.0.0.1", 1, &address), pcclSuccess);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct pccl_transport *between_peers;
		struct pccl_wires *wires;

		security.rdma_trusted = cases[i].trusted;
		security.secret = cases[i].is_secret ? secret : NULL;
		assert_int_equal(pccl_protection_open(&security, &wires), pcclSuccess);
		if (cases[i].chooses)
			pccl_wires_use_rdma(wires);
		between_peers = pccl_wire_between_peers(wires, &address);
		assert_string_equal(between_peers->name, cases[i].between_peers);
		assert_int_equal(between_peers->seals, cases[i].seals);
		assert_string_equal(pccl_wire_for(wires, &address)->name, cases[i].to_masters);
		assert_int_equal(pccl_wires_are_protected(wires), cases[i].is_secret);
		pccl_wires_destroy(wires);
	}
}

static void an_identity_is_made_once_and_stays(void **state)
{
	char file[sizeof(path) + 8], text[PCCL_KEY_TEXT_BYTES], again[PCCL_KEY_TEXT_BYTES];
	struct pccl_wires *wires;
	struct pccl_key key;
	struct stat status;

	(void)state;
	(void)snprintf(file, sizeof(file), "%s.key", path);
	assert_int_equal(pcclDescribeKey(file, text), pcclSuccess);
	assert_int_equal(stat(file, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);
	assert_int_equal(pcclDescribeKey(file, again), pcclSuccess);
	assert_string_equal(text, again);
	assert_true(pccl_key_parse(text, strlen(text), &key));
	security.secret = secret;
	security.identity_file = file;
	security.master_keys = text;
	assert_int_equal(pccl_protection_open(&security, &wires), pcclSuccess);
	assert_memory_equal(&pccl_wires_identity(wires)->key, &key, sizeof(key));
	assert_true(pccl_wires_trust(wires, &key));
	assert_false(pccl_wires_trust(wires, NULL));
	key.data[0] ^= 1;
	assert_false(pccl_wires_trust(wires, &key));
	pccl_wires_destroy(wires);
	assert_int_equal(unlink(file), 0);
	assert_int_equal(pcclDescribeKey(path, text), pcclInvalidArgument);
	assert_int_equal(pcclDescribeKey("/nowhere/key", text), pcclInvalidArgument);
	assert_int_equal(pcclDescribeKey("/tmp", text), pcclInvalidArgument);
	assert_int_equal(pcclDescribeKey(NULL, text), pcclInvalidArgument);
}

static void count_warning(pcclLogLevel_t level, const char *text, void *context)
{
	uint32_t *count = context;

	*count += level == pcclLogWarn && strstr(text, path) != NULL && strstr(text, "chmod") != NULL;
}

static void files_that_others_may_open_are_warned_of(void **state)
{
	uint32_t count = 0;

	(void)state;
	assert_int_equal(pcclSetLogLevel(pcclLogWarn), pcclSuccess);
	assert_int_equal(pcclSetLogCallback(count_warning, &count), pcclSuccess);
	security.secret_file = path;
	check_mode(pcclSecurityPsk);
	assert_int_equal(count, 0);
	assert_int_equal(chmod(path, 0640), 0);
	check_mode(pcclSecurityPsk);
	assert_int_equal(count, 1);
	security.secret_file = NULL;
	security.authority_file = security.certificate_file = security.key_file = path;
	assert_int_equal(chmod(path, 0604), 0);
	check_refused(path);	    /* it is no certificate */
	assert_int_equal(count, 2); /* and should not be a key that others may read */
	assert_int_equal(chmod(path, 0622), 0);
	check_refused(path);
	assert_int_equal(count, 5);
	assert_int_equal(pcclSetLogCallback(NULL, NULL), pcclSuccess);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(some_files_of_certificates_are_not_none, set_up, tear_down),
		cmocka_unit_test_setup_teardown(empty_texts_are_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_structure_that_was_cut_is_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(none_beside_credentials_is_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(both_kinds_want_a_mode, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_structures_secret_goes_first_and_the_text_before_the_file, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(what_is_no_plain_file_is_refused_without_waiting, set_up, tear_down),
		cmocka_unit_test_setup_teardown(keys_without_protection_are_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(networks_to_trust_are_networks, set_up, tear_down),
		cmocka_unit_test_setup_teardown(rdma_is_used_beside_tls_on_trust_only, set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_identity_is_made_once_and_stays, set_up, tear_down),
		cmocka_unit_test_setup_teardown(files_that_others_may_open_are_warned_of, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("protection", tests, NULL, NULL);
}
