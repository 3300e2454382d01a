/* Whose silence is complained about, and when. */
#include "lib/check.h"
#include "session/silence.h"

enum { TIMEOUT = 3000 };

/* Returns when the neighbour will have been silent for too long. */
static uint64_t look(struct pccl_silence *silence, uint64_t now_ns, uint64_t received_ns, uint64_t unacked_frames)
{
	const struct pccl_heard heard = {.received_ns = received_ns, .unacked_frames = unacked_frames};

	return pccl_silence_ends(silence, now_ns, &heard, TIMEOUT);
}

static void nobody_is_silent_while_nothing_is_under_way(void **state)
{
	struct pccl_silence silence = {0};

	(void)state;
	assert_true(look(&silence, 10000, 100, 0) == PCCL_SILENCE_NEVER);
}

static void silence_counts_from_what_was_received_last(void **state)
{
	struct pccl_silence silence = {0};

	(void)state;
	assert_int_equal(look(&silence, 1000, 1000, 1), 1000 + TIMEOUT);
	assert_int_equal(look(&silence, 1500, 1400, 1), 1400 + TIMEOUT);
	assert_int_equal(look(&silence, 2000, 1400, 1), 1400 + TIMEOUT);
}

/* Nothing was to be said for long; then a frame goes out. The neighbour is not silent because nobody spoke to it. */
static void an_idle_time_before_is_no_silence(void **state)
{
	struct pccl_silence silence = {0};

	(void)state;
	assert_int_equal(look(&silence, 1000, 1000, 1), 1000 + TIMEOUT);
	assert_true(look(&silence, 1500, 1400, 0) == PCCL_SILENCE_NEVER);
	assert_true(look(&silence, 60000, 1400, 0) == PCCL_SILENCE_NEVER);
	assert_int_equal(look(&silence, 60500, 1400, 1), 60500 + TIMEOUT);
	assert_int_equal(look(&silence, 61000, 1400, 1), 60500 + TIMEOUT);
	assert_int_equal(look(&silence, 61500, 61200, 1), 61200 + TIMEOUT);
}

static void what_is_acknowledged_anew_is_a_sign_of_life(void **state)
{
	struct pccl_silence silence = {0};
	struct pccl_heard heard = {1000, 1000, 500, 1, 0};

	(void)state;
	assert_int_equal(pccl_silence_ends(&silence, 1000, &heard, TIMEOUT), 1000 + TIMEOUT);
	heard.acked_bytes = 600;
	heard.acked_ns = 1900;
	assert_int_equal(pccl_silence_ends(&silence, 2000, &heard, TIMEOUT), 1900 + TIMEOUT);
}

/* Who hears nothing sends again what it has sent, with acknowledgements that say nothing new. */
static void old_acknowledgements_are_none(void **state)
{
	struct pccl_silence silence = {0};
	struct pccl_heard heard = {1000, 1000, 500, 1, 0};

	(void)state;
	assert_int_equal(pccl_silence_ends(&silence, 1000, &heard, TIMEOUT), 1000 + TIMEOUT);
	heard.acked_ns = 1900;
	assert_int_equal(pccl_silence_ends(&silence, 2000, &heard, TIMEOUT), 1000 + TIMEOUT);
	heard.acked_ns = 3800;
	assert_int_equal(pccl_silence_ends(&silence, 4000, &heard, TIMEOUT), 1000 + TIMEOUT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nobody_is_silent_while_nothing_is_under_way),
		cmocka_unit_test(silence_counts_from_what_was_received_last),
		cmocka_unit_test(an_idle_time_before_is_no_silence),
		cmocka_unit_test(what_is_acknowledged_anew_is_a_sign_of_life),
		cmocka_unit_test(old_acknowledgements_are_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
