/* Chunks and their digests. */
#include <string.h>

#include "lib/check.h"
#include "sync/state/digest.h"

static void chunks_cover_a_tensor(void **state)
{
	(void)state;
	assert_int_equal(pccl_chunk_count(0), 0);
	assert_int_equal(pccl_chunk_count(1), 1);
	assert_int_equal(pccl_chunk_count(PCCL_CHUNK_BYTES), 1);
	assert_int_equal(pccl_chunk_count(PCCL_CHUNK_BYTES + 1), 2);
	assert_int_equal(pccl_chunk_length(PCCL_CHUNK_BYTES + 1, 0), PCCL_CHUNK_BYTES);
	assert_int_equal(pccl_chunk_length(PCCL_CHUNK_BYTES + 1, 1), 1);
	assert_int_equal(pccl_chunk_length(2 * PCCL_CHUNK_BYTES, 1), PCCL_CHUNK_BYTES);
	/* Beyond 4 GiB. */
	assert_int_equal(pccl_chunk_count(UINT64_C(5) << 30), 5 << 10);
}

/* The published value for no bytes, seed 0: digests are those of XXH3-128, on every machine. */
static void digests_are_those_of_xxh3(void **state)
{
	struct pccl_digest digest = pccl_digest_of("", 0);
	char text[PCCL_DIGEST_TEXT_BYTES];

	(void)state;
	pccl_digest_print(&digest, text);
	assert_string_equal(text, "99aa06d3014798d86001c324468d497f");
}

/* The examples of FIPS 180: the first half of them. */
static void strong_digests_are_those_of_sha_256(void **state)
{
	struct pccl_digest nothing = pccl_digest_by(PCCL_DIGEST_STRONG, NULL, 0);
	struct pccl_digest digest = pccl_digest_by(PCCL_DIGEST_STRONG, "abc", 3);
	char text[PCCL_DIGEST_TEXT_BYTES];

	(void)state;
	pccl_digest_print(&nothing, text);
	assert_string_equal(text, "e3b0c44298fc1c149afbf4c8996fb924");
	pccl_digest_print(&digest, text);
	assert_string_equal(text, "ba7816bf8f01cfea414140de5dae2223");
	digest = pccl_digest_by(PCCL_DIGEST_FAST, "", 0);
	pccl_digest_print(&digest, text);
	assert_string_equal(text, "99aa06d3014798d86001c324468d497f");
}

static void a_root_depends_on_every_chunk_and_their_order(void **state)
{
	struct pccl_digest chunks[3] = {pccl_digest_of("a", 1), pccl_digest_of("b", 1), pccl_digest_of("c", 1)};
	struct pccl_digest swapped[3] = {chunks[1], chunks[0], chunks[2]};
	struct pccl_digest root = pccl_digest_root(PCCL_DIGEST_FAST, chunks, 3);
	struct pccl_digest other = pccl_digest_root(PCCL_DIGEST_FAST, swapped, 3);

	(void)state;
	assert_false(pccl_digest_equal(&root, &other));
	other = pccl_digest_root(PCCL_DIGEST_FAST, chunks, 2);
	assert_false(pccl_digest_equal(&root, &other));
	other = pccl_digest_root(PCCL_DIGEST_FAST, chunks, 3);
	assert_true(pccl_digest_equal(&root, &other));
}

static void texts_are_read_back_and_others_refused(void **state)
{
	struct pccl_digest digest = pccl_digest_of("text", 4);
	char text[PCCL_DIGEST_TEXT_BYTES];
	struct pccl_digest back;

	(void)state;
	pccl_digest_print(&digest, text);
	assert_int_equal(strlen(text), 32);
	assert_true(pccl_digest_parse(text, &back));
	assert_true(pccl_digest_equal(&digest, &back));
	text[31] = 'g';
	assert_false(pccl_digest_parse(text, &back));
	text[31] = 'A';
	assert_false(pccl_digest_parse(text, &back));
	text[5] = '\0';
	assert_false(pccl_digest_parse(text, &back));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chunks_cover_a_tensor),
		cmocka_unit_test(digests_are_those_of_xxh3),
		cmocka_unit_test(strong_digests_are_those_of_sha_256),
		cmocka_unit_test(a_root_depends_on_every_chunk_and_their_order),
		cmocka_unit_test(texts_are_read_back_and_others_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
