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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(uuids_and_passes_are_digests_of_the_standard),
		cmocka_unit_test(who_has_the_secret_owns_the_uuid),
		cmocka_unit_test(a_pass_is_for_one_caller_and_one_door),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
