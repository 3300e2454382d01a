/* When rounds with a quorum begin. */
#include "sync/diloco/gathering.h"

#include <string.h>

#include "base/fail.h"
#include "lib/check.h"

#define PEERS 4
#define AWAY PCCL_GATHERING_AWAY
#define HERE PCCL_GATHERING_ARRIVED
#define FLUSH PCCL_GATHERING_FLUSHES

static void encode(uint8_t *entries, const enum pccl_gathering_presence *presences, const uint64_t *waited_ns)
{
	struct pccl_gathering_entry entry;
	unsigned rank;

	memset(&entry, 0, sizeof(entry));
	entry.number = 7;
	for (rank = 0; rank < PEERS; rank++) {
		entry.presence = presences[rank];
		entry.waited_ns = waited_ns[rank];
		pccl_gathering_encode(&entry, entries + (size_t)rank * PCCL_GATHERING_BYTES);
	}
}

static void expect(enum pccl_gathering_next expected, enum pccl_gathering_presence a, enum pccl_gathering_presence b,
		   enum pccl_gathering_presence c, enum pccl_gathering_presence d, uint64_t b_waited_ns)
{
	const enum pccl_gathering_presence presences[PEERS] = {a, b, c, d};
	const uint64_t waited_ns[PEERS] = {900, b_waited_ns, 500, 0};
	uint8_t entries[PEERS * PCCL_GATHERING_BYTES];
	enum pccl_gathering_next next;

	encode(entries, presences, waited_ns);
	assert_int_equal(pccl_gathering_read(entries, PEERS, 3, 400, &next), pcclSuccess);
	assert_int_equal(next, expected);
}

static void a_round_begins_when_all_are_there_or_a_quorum_has_waited(void **state)
{
	(void)state;
	expect(PCCL_GATHERING_WAITS, AWAY, AWAY, AWAY, AWAY, 0);
	expect(PCCL_GATHERING_WAITS, HERE, AWAY, HERE, AWAY, 0);
	expect(PCCL_GATHERING_CALLS, HERE, HERE, HERE, AWAY, 399);
	expect(PCCL_GATHERING_GOES, HERE, HERE, HERE, AWAY, 400);
	expect(PCCL_GATHERING_GOES, HERE, HERE, HERE, HERE, 0);
	expect(PCCL_GATHERING_WAITS, FLUSH, FLUSH, AWAY, FLUSH, 0);
	expect(PCCL_GATHERING_ENDS, FLUSH, FLUSH, FLUSH, FLUSH, 0);
}

static void fewer_than_the_quorum_need_all(void **state)
{
	const enum pccl_gathering_presence presences[PEERS] = {HERE, HERE, HERE, AWAY};
	const uint64_t waited_ns[PEERS] = {900, 900, 900, 0};
	uint8_t entries[PEERS * PCCL_GATHERING_BYTES];
	enum pccl_gathering_next next;

	(void)state;
	encode(entries, presences, waited_ns);
	assert_int_equal(pccl_gathering_read(entries, PEERS, 9, 400, &next), pcclSuccess);
	assert_int_equal(next, PCCL_GATHERING_WAITS);
	assert_int_equal(pccl_gathering_read(entries, 2, 9, 1000, &next), pcclSuccess);
	assert_int_equal(next, PCCL_GATHERING_GOES);
}

static void refused(const uint8_t *entries, const char *why)
{
	enum pccl_gathering_next next;

	assert_int_equal(pccl_gathering_read(entries, PEERS, 3, 400, &next), pcclMismatch);
	assert_non_null(strstr(pccl_fail_text(), why));
}

static void what_is_not_of_one_training_is_refused(void **state)
{
	const enum pccl_gathering_presence away[PEERS] = {AWAY, AWAY, AWAY, AWAY},
					   mixed[PEERS] = {HERE, FLUSH, HERE, HERE};
	const uint64_t waited_ns[PEERS] = {0};
	uint8_t entries[PEERS * PCCL_GATHERING_BYTES];

	(void)state;
	encode(entries, mixed, waited_ns);
	refused(entries, "1 peers flush, and 3 wait");
	encode(entries, away, waited_ns);
	entries[PCCL_GATHERING_BYTES]++;
	refused(entries, "rank 1 sent");
	encode(entries, away, waited_ns);
	entries[2 * PCCL_GATHERING_BYTES + 4] = 9;
	refused(entries, "rank 2 sent");
	encode(entries, away, waited_ns);
	entries[3 * PCCL_GATHERING_BYTES + 8]++;
	refused(entries, "rank 3 has come to");
	encode(entries, away, waited_ns);
	entries[3 * PCCL_GATHERING_BYTES + 30]++;
	refused(entries, "other settings");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_round_begins_when_all_are_there_or_a_quorum_has_waited),
		cmocka_unit_test(fewer_than_the_quorum_need_all),
		cmocka_unit_test(what_is_not_of_one_training_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
