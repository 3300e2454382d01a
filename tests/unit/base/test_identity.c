/* Secrets, the uuids that come from them, and passes. The digests were taken with another program. */
#include "base/identity.h"

#include <stdio.h>
#include <string.h>

#include "base/sha256.h"
#include "base/uuid.h"

#include "lib/check.h"

static struct pccl_secret secret_of(uint8_t number)
{
	struct pccl_secret secret;

	memset(secret.data, number, sizeof(secret.data));
	return secret;
}

static void digest_is(const char *message, size_t times, const char *expected)
{
	static char whole[400];
	uint8_t digest[PCCL_SHA256_BYTES];
	char text[2 * PCCL_SHA256_BYTES + 1];
	size_t i;

	whole[0] = '\0';
	for (i = 0; i < times; i++)
		strcat(whole, message);
	pccl_sha256(whole, strlen(whole), digest);
	for (i = 0; i < sizeof(digest); i++)
		(void)snprintf(text + 2 * i, 3, "%02x", digest[i]);
	assert_string_equal(text, expected);
}

/* The padding takes another block from 56 bytes on. */
static void digests_are_those_of_the_standard(void **state)
{
	(void)state;
	digest_is("", 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	digest_is("abc", 1, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	digest_is("a", 55, "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318");
	digest_is("a", 56, "b35439a4ac6f0948b6d6f9e3c6af0f5f590ce20f1bde7090ef7970686ec6738a");
	digest_is("a", 63, "7d3e74a05d7db15bce4ad9ec0658ea98e3f06eeecf16b4c6fff2da457ddc2f34");
	digest_is("a", 64, "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb");
	digest_is("abc", 100, "d9f5aeb06abebb3be3f38adec9a2e3b94228d52193be923eb4e24c9b56ee0930");
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
		cmocka_unit_test(digests_are_those_of_the_standard),
		cmocka_unit_test(who_has_the_secret_owns_the_uuid),
		cmocka_unit_test(a_pass_is_for_one_caller_and_one_door),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
