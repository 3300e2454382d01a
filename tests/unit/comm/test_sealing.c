/* Whose signatures a master takes: its own and those of masters that it was told of. */
#include "comm/sealing.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "comm/protection.h"

#include "lib/check.h"

static char path[] = "/tmp/pccl-test-seal.XXXXXX"; /* a folder, */
static char file[sizeof(path) + 8];		   /* and a key in it */
static struct pccl_key_pair own, other = {.seed = {1}}, stranger = {.seed = {2}};
static pcclSecurity_t security = PCCL_SECURITY_INITIALIZER;
static char secret[PCCL_SECRET_TEXT_BYTES];

static int setup(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(path));
	strcat(strcpy(file, path), "/key");
	assert_int_equal(pcclGenerateSecret(secret), pcclSuccess);
	assert_int_equal(pccl_key_make(&other), pcclSuccess);
	assert_int_equal(pccl_key_make(&stranger), pcclSuccess);
	security.secret = secret;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	unlink(file);
	return rmdir(path);
}

static void master_trusts_itself_and_those_that_it_was_told_of(void **state)
{
	static const struct pccl_imprint imprint = {{9}};
	const struct pccl_sealer *sealer;
	char text[PCCL_KEY_TEXT_BYTES];
	struct pccl_sealing sealing;
	struct pccl_wires *wires;
	struct pccl_seal seal;

	(void)state;
	pccl_key_text(&other.key, text);
	security.identity_file = file;
	security.master_keys = text;
	assert_int_equal(pccl_protection_open(&security, &wires), pcclSuccess);
	own = *pccl_wires_identity(wires);
	sealer = pccl_sealing_open(&sealing, wires);
	assert_non_null(sealer);
	assert_int_equal(sealer->make(sealer, &imprint, &seal), pcclSuccess);
	assert_memory_equal(&seal.key, &own.key, sizeof(own.key));
	assert_true(sealer->holds(&seal, &imprint));
	assert_true(sealer->trusts(sealer, &own.key));
	assert_true(sealer->trusts(sealer, &other.key));
	assert_false(sealer->trusts(sealer, &stranger.key));
	pccl_wires_destroy(wires);
}

/* Peers trust anybody then; masters do not. */
static void master_that_was_told_of_no_other_trusts_itself_only(void **state)
{
	const struct pccl_sealer *sealer;
	struct pccl_sealing sealing;
	struct pccl_wires *wires;

	(void)state;
	security.identity_file = file;
	security.master_keys = NULL;
	assert_int_equal(pccl_protection_open(&security, &wires), pcclSuccess);
	assert_memory_equal(&pccl_wires_identity(wires)->key, &own.key, sizeof(own.key)); /* it is the same file */
	sealer = pccl_sealing_open(&sealing, wires);
	assert_true(sealer->trusts(sealer, &own.key));
	assert_false(sealer->trusts(sealer, &other.key));
	pccl_wires_destroy(wires);
}

static void master_without_a_key_of_its_own_has_no_seal(void **state)
{
	struct pccl_sealing sealing;
	struct pccl_wires *wires;
	char text[PCCL_KEY_TEXT_BYTES];

	(void)state;
	pccl_key_text(&other.key, text);
	security.identity_file = NULL;
	security.master_keys = text;
	assert_int_equal(pccl_protection_open(&security, &wires), pcclSuccess);
	assert_null(pccl_sealing_open(&sealing, wires));
	pccl_wires_destroy(wires);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(master_trusts_itself_and_those_that_it_was_told_of),
		cmocka_unit_test(master_that_was_told_of_no_other_trusts_itself_only),
		cmocka_unit_test(master_without_a_key_of_its_own_has_no_seal),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
