/* The roll call of a round. */
#include "sync/diloco/roll.h"

#include <math.h>
#include <string.h>

#include "base/fail.h"
#include "lib/check.h"

#define PEERS 3

static struct pccl_roll_entry entry_of(uint8_t peer, double weight)
{
	struct pccl_roll_entry entry;

	memset(&entry, 0, sizeof(entry));
	entry.uuid.data[0] = peer;
	entry.fragment = 2;
	entry.round = 5;
	entry.step = 100;
	entry.weight = weight;
	entry.signature.bytes[3] = 7;
	entry.outer.bytes[0] = 9;
	return entry;
}

static pcclResult_t call(const struct pccl_roll_entry entries[PEERS], unsigned own, struct pccl_roll_result *result_out)
{
	uint8_t bytes[PEERS * PCCL_ROLL_BYTES];
	unsigned i;

	for (i = 0; i < PEERS; i++)
		pccl_roll_encode(&entries[i], bytes + i * PCCL_ROLL_BYTES);
	return pccl_roll_read(bytes, PEERS, &entries[own], result_out);
}

static void shares_are_by_weight(void **state)
{
	const struct pccl_roll_entry entries[PEERS] = {entry_of(1, 10), entry_of(2, 0), entry_of(3, 30)};
	struct pccl_roll_result result;

	(void)state;
	assert_int_equal(call(entries, 2, &result), pcclSuccess);
	assert_true(result.total == 40 && result.share == 0.75f);
	assert_int_equal(call(entries, 1, &result), pcclSuccess);
	assert_true(result.total == 40 && result.share == 0);
}

static void nobody_has_a_share_if_nobody_did_anything(void **state)
{
	const struct pccl_roll_entry entries[PEERS] = {entry_of(1, 0), entry_of(2, 0), entry_of(3, 0)};
	struct pccl_roll_result result;

	(void)state;
	assert_int_equal(call(entries, 0, &result), pcclSuccess);
	assert_true(result.total == 0 && result.share == 0);
}

static void differs(const struct pccl_roll_entry entries[PEERS], const char *why)
{
	struct pccl_roll_result result;
	unsigned own;

	for (own = 0; own < PEERS; own++) {
		assert_int_equal(call(entries, own, &result), pcclMismatch);
		assert_non_null(strstr(pccl_fail_text(), why));
	}
}

static void all_peers_see_who_differs(void **state)
{
	const struct pccl_roll_entry good[PEERS] = {entry_of(1, 1), entry_of(2, 1), entry_of(3, 1)};
	struct pccl_roll_entry entries[PEERS];

	(void)state;
	memcpy(entries, good, sizeof(good));
	entries[2].outer.bytes[15] ^= 1;
	differs(entries, "the outer parameters of fragment 2 differ between rank 2 and rank 0");
	memcpy(entries, good, sizeof(good));
	entries[1].signature.bytes[0] = 1;
	differs(entries, "rank 1 has other tensors or other settings");
	memcpy(entries, good, sizeof(good));
	entries[1].round++;
	differs(entries, "round 6 of fragment 2, and rank 0");
	memcpy(entries, good, sizeof(good));
	entries[0].weight = NAN;
	differs(entries, "what rank 0 sent");
	memcpy(entries, good, sizeof(good));
	entries[1].weight = entries[2].weight = 1.7e308;
	differs(entries, "no finite sum");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shares_are_by_weight),
		cmocka_unit_test(nobody_has_a_share_if_nobody_did_anything),
		cmocka_unit_test(all_peers_see_who_differs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
