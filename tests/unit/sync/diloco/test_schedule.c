/* Fragments and their steps. */
#include "sync/diloco/schedule.h"

#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "base/rng.h"
#include "lib/check.h"

#define TENSORS_MAX 40

struct list {
	char names[TENSORS_MAX][16];
	pcclTensorInfo_t tensors[TENSORS_MAX];
	size_t count;
};

static float somewhere;

static void make_list(struct list *list, struct pccl_rng *rng)
{
	size_t i;

	list->count = 1 + pccl_rng_u64(rng) % TENSORS_MAX;
	for (i = 0; i < list->count; i++) {
		const pcclTensorInfo_t tensor = {list->names[i], &somewhere,	1 + pccl_rng_u64(rng) % 1000,
						 pcclFloat,	 pcclDeviceCpu, false};

		(void)snprintf(list->names[i], sizeof(list->names[i]), "t%zu", i);
		list->tensors[i] = tensor;
	}
}

static void shuffle(struct list *list, struct pccl_rng *rng)
{
	size_t i;

	for (i = list->count; i > 1; i--) {
		const size_t other = pccl_rng_u64(rng) % i;
		const pcclTensorInfo_t swapped = list->tensors[i - 1];

		list->tensors[i - 1] = list->tensors[other];
		list->tensors[other] = swapped;
	}
}

static pcclDilocoSettings_t some_settings(const struct list *list, struct pccl_rng *rng)
{
	pcclDilocoSettings_t settings = PCCL_DILOCO_SETTINGS_INITIALIZER;
	static const pcclDilocoMode_t modes[] = {pcclDilocoSynchronous, pcclDilocoDelayed, pcclDilocoEager,
						 pcclDilocoStreaming};

	settings.mode = modes[pccl_rng_u64(rng) % 4];
	settings.interval = 1 + (uint32_t)(pccl_rng_u64(rng) % 60);
	settings.fragments = 1 + (uint32_t)(pccl_rng_u64(rng) % list->count);
	if (settings.fragments > settings.interval)
		settings.fragments = settings.interval;
	if (settings.mode == pcclDilocoStreaming)
		settings.overlap = (uint32_t)(pccl_rng_u64(rng) % settings.interval);
	return settings;
}

static void check_rounds(const struct pccl_schedule *schedule, uint64_t from)
{
	unsigned begun[TENSORS_MAX] = {0};
	uint64_t step, next = pccl_schedule_next(schedule, from);
	uint32_t fragment;
	size_t i;

	for (step = from + 1; step <= from + schedule->interval; step++) {
		bool any = false;

		for (fragment = 0; fragment < schedule->fragment_count; fragment++) {
			if (!pccl_schedule_begins(schedule, fragment, step))
				continue;
			any = true;
			for (i = 0; i < schedule->fragments[fragment].count; i++)
				begun[schedule->order[schedule->fragments[fragment].first + i]]++;
		}
		assert_int_equal(any, step == next);
		if (any)
			next = pccl_schedule_next(schedule, step);
	}
	for (i = 0; i < schedule->tensor_count; i++)
		assert_int_equal(begun[i], 1);
}

static void every_tensor_has_one_round_in_an_interval(void **state)
{
	struct pccl_rng rng;
	unsigned run;

	(void)state;
	pccl_rng_seed(&rng, 1);
	for (run = 0; run < 500; run++) {
		struct pccl_schedule schedule;
		struct list list;
		pcclDilocoSettings_t settings;

		make_list(&list, &rng);
		settings = some_settings(&list, &rng);
		assert_int_equal(pccl_schedule_init(&schedule, list.tensors, list.count, &settings), pcclSuccess);
		check_rounds(&schedule, 0);
		check_rounds(&schedule, pccl_rng_u64(&rng) % 1000);
		pccl_schedule_fini(&schedule);
	}
}

/* Each element is in one piece; pieces begin in order, evenly, the first and the last a sixteenth of the time, or more,
 * after the round's beginning and before its end. */
static void check_pieces(const struct pccl_schedule *schedule, uint32_t index)
{
	const struct pccl_fragment *fragment = &schedule->fragments[index];
	const uint32_t pieces = fragment->pieces;
	uint32_t piece;
	uint64_t step;

	assert_true(pieces >= 1 && pieces <= PCCL_PIECES_MAX);
	assert_true((pieces - 1) * fragment->piece < fragment->elements);
	assert_true(pieces * fragment->piece >= fragment->elements);
	assert_true(pieces == 1 || fragment->piece % 64 == 0);
	for (piece = 0; piece < pieces; piece++) {
		const uint64_t begins = pccl_schedule_piece_begins(schedule, index, piece);

		assert_true(begins + schedule->delay / 16 <= schedule->delay && begins >= schedule->delay / 16);
		assert_true(pccl_schedule_pieces_due(schedule, index, begins) > piece);
		assert_true(begins == 0 || pccl_schedule_pieces_due(schedule, index, begins - 1) <= piece);
	}
	for (step = 0; step < schedule->spread; step++) {
		const uint32_t due = pccl_schedule_pieces_due(schedule, index, schedule->lead + step);

		assert_true((uint64_t)due * schedule->spread >= (step + 1) * pieces);
		assert_true((uint64_t)(due - 1) * schedule->spread < (step + 1) * pieces);
	}
	assert_int_equal(pccl_schedule_pieces_due(schedule, index, schedule->delay), pieces);
	assert_int_equal(pccl_schedule_pieces_due(schedule, index, UINT64_MAX), pieces);
}

static void pieces_are_evenly_spread(void **state)
{
	struct pccl_rng rng;
	unsigned run;

	(void)state;
	pccl_rng_seed(&rng, 3);
	for (run = 0; run < 500; run++) {
		struct pccl_schedule schedule;
		struct list list;
		pcclDilocoSettings_t settings;
		uint32_t fragment;

		make_list(&list, &rng);
		settings = some_settings(&list, &rng);
		settings.pieces = (uint32_t)(pccl_rng_u64(&rng) % (PCCL_PIECES_MAX + 1));
		assert_int_equal(pccl_schedule_init(&schedule, list.tensors, list.count, &settings), pcclSuccess);
		for (fragment = 0; fragment < schedule.fragment_count; fragment++) {
			check_pieces(&schedule, fragment);
			if (settings.mode == pcclDilocoSynchronous || settings.pieces == 1)
				assert_int_equal(schedule.fragments[fragment].pieces, 1);
		}
		pccl_schedule_fini(&schedule);
	}
}

static void assert_same_place(const struct pccl_schedule *left, const struct list *left_list,
			      const struct pccl_schedule *right, const struct list *right_list)
{
	size_t i, j;

	for (i = 0; i < left->tensor_count; i++) {
		for (j = 0; strcmp(left_list->tensors[i].name, right_list->tensors[j].name) != 0; j++)
			;
		assert_int_equal(left->fragment_of[i], right->fragment_of[j]);
		assert_int_equal(left->place[i], right->place[j]);
	}
}

static void the_order_of_the_list_changes_nothing(void **state)
{
	struct pccl_rng rng;
	unsigned run;

	(void)state;
	pccl_rng_seed(&rng, 2);
	for (run = 0; run < 300; run++) {
		struct pccl_schedule here, there;
		struct list list, other;
		pcclDilocoSettings_t settings;

		make_list(&list, &rng);
		settings = some_settings(&list, &rng);
		other = list;
		shuffle(&other, &rng);
		assert_int_equal(pccl_schedule_init(&here, list.tensors, list.count, &settings), pcclSuccess);
		assert_int_equal(pccl_schedule_init(&there, other.tensors, other.count, &settings), pcclSuccess);
		assert_true(pccl_digest_equal(&here.signature, &there.signature));
		/* `other` holds pointers to the names of `list`, which live as long. */
		assert_same_place(&here, &list, &there, &other);
		pccl_schedule_fini(&here);
		pccl_schedule_fini(&there);
	}
}

static pcclTensorInfo_t tensor(const char *name, size_t count)
{
	const pcclTensorInfo_t made = {name, &somewhere, count, pcclFloat, pcclDeviceCpu, false};

	return made;
}

static void balanced_fragments_are_about_equal(void **state)
{
	const pcclTensorInfo_t tensors[] = {tensor("a", 10), tensor("b", 60), tensor("c", 30), tensor("d", 20)};
	pcclDilocoSettings_t settings = PCCL_DILOCO_SETTINGS_INITIALIZER;
	struct pccl_schedule schedule;

	(void)state;
	settings.fragments = 2;
	assert_int_equal(pccl_schedule_init(&schedule, tensors, 4, &settings), pcclSuccess);
	assert_int_equal(schedule.fragments[0].elements, 60);
	assert_int_equal(schedule.fragments[1].elements, 60);
	assert_int_equal(schedule.place[3], 40); /* behind a and c */
	pccl_schedule_fini(&schedule);
}

static void strided_fragments_take_turns(void **state)
{
	const pcclTensorInfo_t tensors[] = {tensor("z", 1), tensor("y", 1), tensor("x", 1), tensor("w", 1),
					    tensor("v", 1)};
	pcclDilocoSettings_t settings = PCCL_DILOCO_SETTINGS_INITIALIZER;
	struct pccl_schedule schedule;
	size_t i;

	(void)state;
	settings.mode = pcclDilocoStreaming;
	settings.fragments = 2;
	settings.interval = 5;
	settings.division = pcclDilocoStrided;
	assert_int_equal(pccl_schedule_init(&schedule, tensors, 5, &settings), pcclSuccess);
	for (i = 0; i < 5; i++)
		assert_int_equal(schedule.fragment_of[i], i % 2);
	assert_int_equal(schedule.fragments[0].offset, 2);
	assert_int_equal(schedule.fragments[1].offset, 5);
	assert_int_equal(schedule.distance_least, 2);
	assert_int_equal(schedule.distance_most, 3);
	pccl_schedule_fini(&schedule);
}

static void refused(const pcclTensorInfo_t *tensors, size_t count, const pcclDilocoSettings_t *settings,
		    const char *why)
{
	struct pccl_schedule schedule;

	assert_int_equal(pccl_schedule_init(&schedule, tensors, count, settings), pcclInvalidArgument);
	assert_non_null(strstr(pccl_fail_text(), why));
	pccl_schedule_fini(&schedule);
}

static void what_cannot_be_is_refused_in_words(void **state)
{
	const pcclTensorInfo_t good[] = {tensor("a", 10), tensor("b", 60)}, twice[] = {tensor("a", 1), tensor("a", 2)};
	const pcclDilocoSettings_t defaults = PCCL_DILOCO_SETTINGS_INITIALIZER;
	pcclTensorInfo_t half = tensor("h", 4), empty = tensor("e", 0);
	const pcclTensorInfo_t huge = tensor("h", SIZE_MAX), many[] = {tensor("a", 1), tensor("b", (size_t)1 << 48)};
	const uint32_t outside[] = {0, 2}, gap[] = {1, 1};
	pcclDilocoSettings_t settings = defaults;

	(void)state;
	half.datatype = pcclFloat16;
	refused(twice, 2, &defaults, "two tensors have the name 'a'");
	refused(&half, 1, &defaults, "not pcclFloat");
	refused(&empty, 1, &defaults, "no elements");
	refused(&huge, 1, &defaults, "tensor 'h' can't have");
	refused(many, 2, &defaults, "tensor 'b' can't have");
	refused(good, 0, &defaults, "no tensors");
	settings.fragments = 3;
	refused(good, 2, &settings, "3 fragments can't be made of 2 tensors");
	settings = defaults;
	settings.overlap = 1;
	refused(good, 2, &settings, "only `streaming` has one");
	settings.mode = pcclDilocoStreaming;
	settings.overlap = 100;
	refused(good, 2, &settings, "below the interval");
	settings = defaults;
	settings.pieces = 65;
	refused(good, 2, &settings, "pieces is 65");
	settings = defaults;
	settings.quorum = 2;
	settings.mode = pcclDilocoDelayed;
	refused(good, 2, &settings, "only `synchronous` has one");
	settings = defaults;
	settings.tag = UINT64_MAX - 65;
	refused(good, 2, &settings, "no room");
	settings = defaults;
	settings.alpha = 1;
	refused(good, 2, &settings, "alpha is 1");
	settings = defaults;
	settings.mode = pcclDilocoEager;
	settings.rule = pcclDilocoCo2;
	refused(good, 2, &settings, "not linear");
	settings = defaults;
	settings.fragments = 2;
	settings.division = pcclDilocoGiven;
	refused(good, 2, &settings, "fragment_of");
	settings.fragment_of = outside;
	refused(good, 2, &settings, "'b' is to be in fragment 2 of 2");
	settings.fragment_of = gap;
	refused(good, 2, &settings, "fragment 0 has no tensor");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_tensor_has_one_round_in_an_interval),
		cmocka_unit_test(pieces_are_evenly_spread),
		cmocka_unit_test(the_order_of_the_list_changes_nothing),
		cmocka_unit_test(balanced_fragments_are_about_equal),
		cmocka_unit_test(strided_fragments_take_turns),
		cmocka_unit_test(what_cannot_be_is_refused_in_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
