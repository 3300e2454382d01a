/* Secrets, the uuids that come from them, and passes. The digests were taken with another program. */
#include "base/identity.h"

#include <string.h>

#include "base/uuid.h"

#include "lib/check.h"

static struct pccl_secret secret_of(uint8_t number)
{
	struct pccl_secret secret;

	memset(secret.data, number, sizeof(secret.data));
	return secret;
}

/* Peers of all builds must agree: the first halves of SHA-256 of 32 bytes of 7, and of these and 16 bytes of 9. */
static void uuids_and_passes_are_digests_of_the_standard(void **state)
{
	static const uint8_t own[] = {0x4b, 0xb0, 0x6f, 0x8e, 0x4e, 0x3a, 0x77, 0x15,
				      0xd2, 0x01, 0xd5, 0x73, 0xd0, 0xaa, 0x42, 0x37};
	static const uint8_t shown[] = {0x33, 0xa4, 0xdb, 0xd2, 0x22, 0x47, 0x18, 0xce,
					0xde, 0x58, 0xa8, 0xeb, 0x44, 0x3d, 0x22, 0x5a};
	struct pccl_secret secret = secret_of(7);
	pcclRankUuid_t uuid = pccl_identity_uuid(&secret), caller;
	struct pccl_pass pass;

	(void)state;
	memset(caller.data, 9, sizeof(caller.data));
	pass = pccl_identity_pass(&secret, &caller);
	assert_memory_equal(uuid.data, own, sizeof(own));
	assert_memory_equal(pass.data, shown, sizeof(shown));
}

static void who_has_the_secret_owns_the_uuid(void **state)
{
	struct pccl_secret secret = secret_of(1);
	pcclRankUuid_t uuid = pccl_identity_uuid(&secret);
	size_t i;

	(void)state;
	assert_true(pccl_identity_owns(&secret, &uuid));
	for (i = 0; i < sizeof(secret.data); i++) {
		secret.data[i] ^= 0x10;
		assert_false(pccl_identity_owns(&secret, &uuid));
		secret.data[i] ^= 0x10;
	}
	for (i = 0; i < sizeof(uuid.data); i++) {
		uuid.data[i] ^= 1;
		assert_false(pccl_identity_owns(&secret, &uuid));
		uuid.data[i] ^= 1;
	}
}

/* Not even the one who is called can use it in the other direction. */
static void a_pass_is_for_one_caller_and_one_door(void **state)
{
	struct pccl_secret one = secret_of(1), other = secret_of(2);
	pcclRankUuid_t caller = pccl_identity_uuid(&one), called = pccl_identity_uuid(&other);
	struct pccl_pass pass = pccl_identity_pass(&other, &caller);

	(void)state;
	assert_true(pccl_identity_admits(&other, &caller, &pass));
	assert_false(pccl_identity_admits(&other, &called, &pass));
	assert_false(pccl_identity_admits(&one, &called, &pass));
	assert_false(pccl_identity_admits(&one, &caller, &pass));
	pass.data[PCCL_PASS_BYTES - 1] ^= 0x80;
	assert_false(pccl_identity_admits(&other, &caller, &pass));
}

/* The first example of RFC 8032, 7.1. */
static void keys_are_those_of_the_standard(void **state)
{
	struct pccl_key_pair pair = {{0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a,
				      0xf4, 0x92, 0xec, 0x2c, 0xc4, 0x44, 0x49, 0xc5, 0x69, 0x7b, 0x32,
				      0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60},
				     {{0}}};
	static const uint8_t shown[PCCL_KEY_BYTES] = {0xd7, 0x5a, 0x98, 0x01, 0x82, 0xb1, 0x0a, 0xb7, 0xd5, 0x4b, 0xfe,
						      0xd3, 0xc9, 0x64, 0x07, 0x3a, 0x0e, 0xe1, 0x72, 0xf3, 0xda, 0xa6,
						      0x23, 0x25, 0xaf, 0x02, 0x1a, 0x68, 0xf7, 0x07, 0x51, 0x1a};
	static const struct pccl_key_pair wiped;

	(void)state;
	assert_int_equal(pccl_key_make(&pair), pcclSuccess);
	assert_memory_equal(pair.key.data, shown, sizeof(shown));
	pccl_key_wipe(&pair);
	assert_memory_equal(&pair, &wiped, sizeof(pair));
}

static void keys_survive_being_written_down(void **state)
{
	struct pccl_key key, again;
	char text[PCCL_KEY_TEXT_BYTES];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(key.data); i++)
		key.data[i] = (uint8_t)(i * 9);
	pccl_key_text(&key, text);
	assert_int_equal(strlen(text), 9 + 64);
	assert_true(pccl_key_parse(text, strlen(text), &again));
	assert_memory_equal(&key, &again, sizeof(key));
	for (i = 0; i < strlen(text); i++) {
		char kept = text[i];

		assert_false(pccl_key_parse(text, i, &again));
		text[i] = 'G';
		assert_false(pccl_key_parse(text, strlen(text), &again));
		text[i] = kept;
	}
}

static struct pccl_key_pair key_of(uint8_t number)
{
	struct pccl_key_pair pair;

	memset(pair.seed, number, sizeof(pair.seed));
	assert_int_equal(pccl_key_make(&pair), pcclSuccess);
	return pair;
}

static void a_member_proves_which_one_it_is(void **state)
{
	static const uint8_t salt[PCCL_SALT_BYTES] = {9}, other_salt[PCCL_SALT_BYTES] = {8};
	struct pccl_key_pair mine = key_of(1), yours = key_of(2);
	const struct pccl_signer me = {&mine, salt}, me_again = {&mine, other_salt}, you = {&yours, salt};
	const struct pccl_binding here = {{3}}, elsewhere = {{4}};
	struct pccl_secret secret = pccl_identity_secret(&mine.key, salt);
	pcclRankUuid_t uuid = pccl_identity_uuid(&secret);
	struct pccl_proof proof;

	(void)state;
	assert_int_equal(pccl_proof_make(&me, PCCL_ROLE_CALLER, &here, &proof), pcclSuccess);
	assert_true(pccl_proof_is_of(&proof, PCCL_ROLE_CALLER, &here, &uuid));
	assert_false(pccl_proof_is_of(&proof, PCCL_ROLE_CALLED, &here, &uuid)); /* it can't be thrown back */
	assert_false(pccl_proof_is_of(&proof, PCCL_ROLE_PEER, &here, &uuid));
	assert_false(pccl_proof_is_of(&proof, PCCL_ROLE_CALLER, &elsewhere, &uuid));
	proof.salt[0] = 8;
	assert_false(pccl_proof_is_of(&proof, PCCL_ROLE_CALLER, &here, &uuid));
	assert_int_equal(pccl_proof_make(&me_again, PCCL_ROLE_CALLER, &here, &proof), pcclSuccess);
	assert_false(pccl_proof_is_of(&proof, PCCL_ROLE_CALLER, &here, &uuid));
	assert_int_equal(pccl_proof_make(&you, PCCL_ROLE_CALLER, &here, &proof), pcclSuccess);
	assert_false(pccl_proof_is_of(&proof, PCCL_ROLE_CALLER, &here, &uuid));
	proof.key = mine.key;
	assert_false(pccl_proof_is_of(&proof, PCCL_ROLE_CALLER, &here, &uuid));
}

static void a_proof_is_of_one_key_and_one_connection(void **state)
{
	struct pccl_key_pair mine = key_of(1), yours = key_of(2);
	struct pccl_binding binding = {{3}};
	struct pccl_proof proof = {.key = mine.key};
	size_t i;

	(void)state;
	assert_int_equal(pccl_proof_sign(&mine, PCCL_ROLE_PEER, &binding, &proof), pcclSuccess);
	assert_true(pccl_proof_holds(&proof, PCCL_ROLE_PEER, &binding));
	assert_false(pccl_proof_holds(&proof, PCCL_ROLE_MASTER, &binding));
	for (i = 0; i < sizeof(binding.data); i++) {
		binding.data[i] ^= 4;
		assert_false(pccl_proof_holds(&proof, PCCL_ROLE_PEER, &binding));
		binding.data[i] ^= 4;
	}
	for (i = 0; i < sizeof(proof.signature); i++) {
		proof.signature[i] ^= 1;
		assert_false(pccl_proof_holds(&proof, PCCL_ROLE_PEER, &binding));
		proof.signature[i] ^= 1;
	}
	proof.key = yours.key;
	assert_false(pccl_proof_holds(&proof, PCCL_ROLE_PEER, &binding));
	proof.key = mine.key;
	memset(proof.signature, 0, sizeof(proof.signature));
	assert_false(pccl_proof_holds(&proof, PCCL_ROLE_PEER, &binding));
}

/* SHA-256 of 32 bytes of 7 and 32 bytes of 9, taken with another program. */
static void a_secret_belongs_to_a_key_and_a_salt(void **state)
{
	static const uint8_t own[PCCL_SECRET_BYTES] = {0x49, 0x44, 0x0f, 0xa4, 0x64, 0xb1, 0x71, 0xc0, 0x74, 0x62, 0xbb,
						       0x22, 0x42, 0x2a, 0xac, 0x0a, 0xd0, 0x08, 0x6d, 0x5f, 0x23, 0x1a,
						       0xd3, 0xe0, 0x50, 0x71, 0xff, 0x5e, 0x88, 0x26, 0xd7, 0x54};
	struct pccl_key key;
	uint8_t salt[PCCL_SALT_BYTES];
	struct pccl_secret secret;

	(void)state;
	memset(key.data, 7, sizeof(key.data));
	memset(salt, 9, sizeof(salt));
	secret = pccl_identity_secret(&key, salt);
	assert_memory_equal(secret.data, own, sizeof(own));
}

static void seal_is_of_one_key_and_about_one_thing(void **state)
{
	struct pccl_key_pair master = {.seed = {1}}, member = {.seed = {2}};
	struct pccl_imprint imprint = pccl_imprint_of((const uint8_t *)"view", 4);
	struct pccl_imprint other = pccl_imprint_of((const uint8_t *)"vieW", 4);
	struct pccl_seal seal = {{{0}}, {0}}, forged;

	(void)state;
	assert_false(pccl_seal_is_set(&seal));
	assert_int_equal(pccl_key_make(&master), pcclSuccess);
	assert_int_equal(pccl_key_make(&member), pcclSuccess);
	assert_int_equal(pccl_seal_make(&master, &imprint, &seal), pcclSuccess);
	assert_true(pccl_seal_is_set(&seal) && pccl_seal_holds(&seal, &imprint));
	assert_memory_equal(&seal.key, &master.key, sizeof(seal.key));
	assert_false(pccl_seal_holds(&seal, &other));
	assert_int_equal(pccl_seal_make(&member, &imprint, &forged), pcclSuccess);
	forged.key = master.key;
	assert_false(pccl_seal_holds(&forged, &imprint));
	seal.signature[PCCL_SIGNATURE_BYTES - 1] ^= 1;
	assert_false(pccl_seal_holds(&seal, &imprint));
}

/* A master signs connections with the same key, and who calls it has a say in what those are told from others by. */
static void proof_is_no_seal(void **state)
{
	struct pccl_key_pair master = {.seed = {1}};
	struct pccl_binding binding = {{7}};
	struct pccl_imprint imprint = {{7}};
	struct pccl_proof proof = {.salt = {0}};
	struct pccl_seal seal;
	int role;

	(void)state;
	assert_int_equal(pccl_key_make(&master), pcclSuccess);
	for (role = PCCL_ROLE_PEER; role <= PCCL_ROLE_CALLED; role++) {
		assert_int_equal(pccl_proof_sign(&master, (enum pccl_role)role, &binding, &proof), pcclSuccess);
		seal.key = master.key;
		memcpy(seal.signature, proof.signature, sizeof(seal.signature));
		assert_false(pccl_seal_holds(&seal, &imprint));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(uuids_and_passes_are_digests_of_the_standard),
		cmocka_unit_test(who_has_the_secret_owns_the_uuid),
		cmocka_unit_test(a_pass_is_for_one_caller_and_one_door),
		cmocka_unit_test(keys_survive_being_written_down),
		cmocka_unit_test(keys_are_those_of_the_standard),
		cmocka_unit_test(a_member_proves_which_one_it_is),
		cmocka_unit_test(a_proof_is_of_one_key_and_one_connection),
		cmocka_unit_test(a_secret_belongs_to_a_key_and_a_salt),
		cmocka_unit_test(seal_is_of_one_key_and_about_one_thing),
		cmocka_unit_test(proof_is_no_seal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
