/* Fragments and their steps. */
#include "sync/diloco/schedule.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "base/rng.h"
#include "lib/check.h"

#define TENSORS_MAX 40

struct list {
	char names[TENSORS_MAX][24];
	pcclTensorInfo_t tensors[TENSORS_MAX];
	size_t count;
};

static float somewhere;

static pcclTensorInfo_t tensor(const char *name, size_t count)
{
	const pcclTensorInfo_t made = {name, &somewhere, count, pcclFloat, pcclDeviceCpu, false};

	return made;
}

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

/* What the pieces of all fragments have begun by a step, in elements. */
static uint64_t sent_by(const struct pccl_schedule *schedule, uint64_t step)
{
	uint64_t elements = 0, at;
	uint32_t fragment;

	for (at = 1; at <= step; at++) {
		for (fragment = 0; fragment < schedule->fragment_count; fragment++) {
			const struct pccl_fragment *of = &schedule->fragments[fragment];
			const uint64_t due = pccl_schedule_pieces_due(schedule, fragment, step - at) * of->piece;

			if (pccl_schedule_begins(schedule, fragment, at))
				elements += due < of->elements ? due : of->elements;
		}
	}
	return elements;
}

static void check_pace(uint32_t fragments, uint32_t overlap)
{
	enum { INTERVAL = 100, TENTH = INTERVAL / 10, ELEMENTS = 64 * 1000 };
	pcclTensorInfo_t tensors[] = {tensor("a", ELEMENTS), tensor("b", ELEMENTS), tensor("c", ELEMENTS),
				      tensor("d", ELEMENTS)};
	pcclDilocoSettings_t settings = PCCL_DILOCO_SETTINGS_INITIALIZER;
	struct pccl_schedule schedule;
	uint64_t average, most = 0, step;

	settings.mode = pcclDilocoStreaming;
	settings.interval = INTERVAL;
	settings.fragments = fragments;
	settings.overlap = overlap;
	assert_int_equal(pccl_schedule_init(&schedule, tensors, 4, &settings), pcclSuccess);
	average = sent_by(&schedule, 4 * INTERVAL) - sent_by(&schedule, 3 * INTERVAL);
	assert_int_equal(average, 4 * ELEMENTS);
	for (step = 3 * INTERVAL; step < 4 * INTERVAL; step++) {
		const uint64_t sent = sent_by(&schedule, step + TENTH) - sent_by(&schedule, step);

		most = sent > most ? sent : most;
	}
	assert_true((double)most * INTERVAL / TENTH <= 1.1 * (double)average);
	pccl_schedule_fini(&schedule);
}

/* A tenth of an interval, wherever it begins, carries hardly more than its share. */
static void the_rate_is_even_where_the_overlap_is_long_enough(void **state)
{
	(void)state;
	check_pace(4, 30);
	check_pace(4, 40);
	check_pace(2, 60);
	check_pace(2, 99);
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

struct mistake {
	const char *says; /* a part of the text */
	void (*make)(pcclDilocoSettings_t *settings, pcclTensorInfo_t *tensors);
};

#define MISTAKES(list) list, sizeof(list) / sizeof((list)[0])

/* Each on two good tensors and the defaults. */
static void refuse_all(const struct mistake *mistakes, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++) {
		pcclDilocoSettings_t settings = PCCL_DILOCO_SETTINGS_INITIALIZER;
		pcclTensorInfo_t tensors[] = {tensor("a", 10), tensor("b", 60)};

		mistakes[i].make(&settings, tensors);
		refused(tensors, 2, &settings, mistakes[i].says);
	}
}

#define CHANGE(name, ...)                                                           \
	static void name(pcclDilocoSettings_t *settings, pcclTensorInfo_t *tensors) \
	{                                                                           \
		(void)settings;                                                     \
		(void)tensors;                                                      \
		__VA_ARGS__;                                                        \
	}

CHANGE(unknown_mode, settings->mode = (pcclDilocoMode_t)7)
CHANGE(unknown_rule, settings->rule = (pcclDilocoRule_t)1)
CHANGE(unknown_division, settings->division = (pcclDilocoDivision_t)-1)
CHANGE(unknown_codec, settings->codec = (pcclQuantizationAlgorithm_t)77)
CHANGE(unknown_codec_down, settings->codec_down = (pcclQuantizationAlgorithm_t)99)
CHANGE(unknown_rounding, settings->rounding = (pcclRounding_t)3)
CHANGE(unknown_zstd, settings->zstd = (pcclZstd_t)3)
CHANGE(plain_up, settings->codec = pcclQuantPlain)
CHANGE(plain_both_ways, settings->codec_down = pcclQuantPlain)
CHANGE(no_interval, settings->interval = 0)
CHANGE(no_fragments, settings->fragments = 0)
CHANGE(many_fragments, settings->fragments = 3)
CHANGE(overlap_elsewhere, settings->overlap = 1)
CHANGE(overlap_too_long, settings->mode = pcclDilocoStreaming; settings->overlap = 100)
CHANGE(crowded_interval, settings->mode = pcclDilocoStreaming; settings->fragments = 2; settings->interval = 1)
CHANGE(crowded_elsewhere, settings->fragments = 2; settings->interval = 1)
CHANGE(alpha_elsewhere, settings->alpha = 0.9f)
CHANGE(gap_elsewhere, settings->penalize = false)
CHANGE(alpha_of_one, settings->alpha = 1)
CHANGE(alpha_of_none, settings->alpha = NAN)
CHANGE(no_rate, settings->learning_rate = 0)
CHANGE(no_finite_rate, settings->learning_rate = INFINITY)
CHANGE(momentum_of_one, settings->momentum = 1)
CHANGE(negative_clip, settings->rule = pcclDilocoCo2; settings->clip = -1)
CHANGE(clip_elsewhere, settings->clip = 1)
CHANGE(eager_co2, settings->mode = pcclDilocoEager; settings->rule = pcclDilocoCo2)
CHANGE(many_pieces, settings->pieces = 65)
CHANGE(quorum_elsewhere, settings->quorum = 2; settings->mode = pcclDilocoDelayed)
CHANGE(huge_quorum, settings->quorum = 4097)
CHANGE(grace_alone, settings->grace_ms = 10)
CHANGE(tag_at_the_end, settings->tag = UINT64_MAX - 65)
CHANGE(tag_of_forgetting, settings->tag = UINT64_C(0xfffffffffffffe11))
CHANGE(tag_before_forgetting, settings->tag = UINT64_C(0xfffffffffffffe11) - 65)
CHANGE(tag_before_states, settings->fragments = 2; settings->tag = UINT64_C(0x7063636c73746174) - 130)
CHANGE(division_without_a_list, settings->division = pcclDilocoGiven)
CHANGE(list_without_a_division, static const uint32_t list[] = {0, 0}; settings->fragment_of = list)
CHANGE(fragment_outside, static const uint32_t list[] = {0, 2}; settings->fragments = 2;
       settings->division = pcclDilocoGiven; settings->fragment_of = list)
CHANGE(fragment_without_tensors, static const uint32_t list[] = {1, 1}; settings->fragments = 2;
       settings->division = pcclDilocoGiven; settings->fragment_of = list)

static void settings_that_cannot_be_are_refused_in_words(void **state)
{
	static const struct mistake mistakes[] = {
		{"mode is 7, which is unknown: there are synchronous, delayed, eager, streaming", unknown_mode},
		{"rule is 1, which is unknown: there are nesterov, co2", unknown_rule},
		{"division is -1, which is unknown: there are balanced, strided, given", unknown_division},
		{"codec is 77, which is unknown: there are none, minmax", unknown_codec},
		{"codec_down is 99, which is unknown: there are none, minmax", unknown_codec_down},
		{"rounding is 3, which is unknown: there are nearest, stochastic", unknown_rounding},
		{"zstd is 3, which is unknown: there are off, auto, on", unknown_zstd},
		{"for codec use pcclQuantNone", plain_up},
		{"choose pcclQuantNone for both", plain_both_ways},
		{"interval is 0", no_interval},
		{"0 fragments can't be made of 2 tensors", no_fragments},
		{"3 fragments can't be made of 2 tensors", many_fragments},
		{"only `streaming` has one", overlap_elsewhere},
		{"below the interval", overlap_too_long},
		{"2 fragments are too many for an interval of 1", crowded_interval},
		{"2 fragments are too many for an interval of 1", crowded_elsewhere},
		{"alpha is 0.9, but only `streaming` has one", alpha_elsewhere},
		{"only the rule pcclDilocoCo2 divides by a gap", gap_elsewhere},
		{"alpha is 1", alpha_of_one},
		{"from 0 to below 1", alpha_of_none},
		{"has to be positive", no_rate},
		{"has to be positive", no_finite_rate},
		{"momentum is 1", momentum_of_one},
		{"clip is -1", negative_clip},
		{"only the rule pcclDilocoCo2 clips", clip_elsewhere},
		{"not linear", eager_co2},
		{"pieces is 65", many_pieces},
		{"only `synchronous` has one", quorum_elsewhere},
		{"4096 peers at most", huge_quorum},
		{"quorum is 0", grace_alone},
		{"no room for the 66", tag_at_the_end},
		{"0xfffffffffffffe11 is the library's own", tag_of_forgetting},
		{"0xfffffffffffffe11 is the library's own", tag_before_forgetting},
		{"0x7063636c73746174 is the library's own", tag_before_states},
		{"fragment_of", division_without_a_list},
		{"fragment_of", list_without_a_division},
		{"'b' is to be in fragment 2 of 2", fragment_outside},
		{"fragment 0 has no tensor", fragment_without_tensors},
	};

	(void)state;
	refuse_all(MISTAKES(mistakes));
}

CHANGE(same_names, tensors[1].name = "a")
CHANGE(no_name, tensors[1].name = NULL)
CHANGE(empty_name, tensors[1].name = "")
CHANGE(name_of_bytes, tensors[1].name = "layer.\xff")
CHANGE(cut_name, tensors[1].name = "caf\xc3")
CHANGE(half_floats, tensors[1].datatype = pcclFloat16)
CHANGE(no_elements, tensors[1].count = 0)
CHANGE(huge_tensor, tensors[1].count = SIZE_MAX)
CHANGE(huge_sum, tensors[1].count = (size_t)1 << 48)
CHANGE(no_data, tensors[1].data = NULL)
CHANGE(elsewhere, tensors[1].device_type = pcclDeviceCuda)

static void tensors_that_cannot_be_are_refused_in_words(void **state)
{
	static const struct mistake mistakes[] = {
		{"two tensors have the name 'a'", same_names},
		{"tensor 1 has no name", no_name},
		{"tensor 1 has no name", empty_name},
		{"the name of tensor 1 is not UTF-8", name_of_bytes},
		{"the name of tensor 1 is not UTF-8", cut_name},
		{"tensor 'b' is not pcclFloat", half_floats},
		{"tensor 'b' has no elements", no_elements},
		{"tensor 'b' can't have", huge_tensor},
		{"tensor 'b' can't have", huge_sum},
		{"tensor 'b' has no data", no_data},
		{"tensor 'b' is not in the memory of the host", elsewhere},
	};
	const pcclDilocoSettings_t defaults = PCCL_DILOCO_SETTINGS_INITIALIZER;
	static char long_name[40000];
	pcclTensorInfo_t named_long = tensor(long_name, 1);

	(void)state;
	refuse_all(MISTAKES(mistakes));
	refused(&named_long, 0, &defaults, "no tensors");
	refused(NULL, 1, &defaults, "no tensors");
	memset(long_name, 'x', sizeof(long_name) - 1);
	refused(&named_long, 1, &defaults, "has 39999 bytes");
}

/* Beside what is refused. */
static void settings_that_are_strange_and_fine_are_taken(void **state)
{
	static const pcclQuantizationAlgorithm_t codecs[] = {pcclQuantNone, pcclQuantMinMax, pcclQuantZeroPointScale,
							     pcclQuantBF16, pcclQuantInt8,   pcclQuantInt4MinMax,
							     pcclQuantE3M0, pcclQuantNF4};
	const pcclTensorInfo_t good = tensor("\xc3\xa9t\xc3\xa9", 10);
	pcclDilocoSettings_t settings = PCCL_DILOCO_SETTINGS_INITIALIZER;
	struct pccl_schedule schedule;
	size_t i;

	(void)state;
	settings.quorum = 4096;
	settings.tag = UINT64_C(0xfffffffffffffe11) - 66;
	settings.rounding = pcclRoundStochastic;
	for (i = 0; i < sizeof(codecs) / sizeof(codecs[0]); i++) {
		settings.codec = codecs[i];
		settings.codec_down = i == 0 ? pcclQuantNone : pcclQuantPlain;
		assert_int_equal(pccl_schedule_init(&schedule, &good, 1, &settings), pcclSuccess);
		pccl_schedule_fini(&schedule);
	}
	settings.tag = UINT64_C(0xfffffffffffffe12);
	assert_int_equal(pccl_schedule_init(&schedule, &good, 1, &settings), pcclSuccess);
	pccl_schedule_fini(&schedule);
}

static void every_exchange_has_a_tag_of_its_own(void **state)
{
	const pcclTensorInfo_t tensors[] = {tensor("a", 1), tensor("b", 1), tensor("c", 1)};
	pcclDilocoSettings_t settings = PCCL_DILOCO_SETTINGS_INITIALIZER;
	struct pccl_schedule schedule;
	uint64_t next = 1000;
	uint32_t fragment, piece;

	(void)state;
	settings.fragments = 3;
	settings.tag = next;
	assert_int_equal(pccl_schedule_init(&schedule, tensors, 3, &settings), pcclSuccess);
	for (fragment = 0; fragment < 3; fragment++) {
		assert_int_equal(pccl_schedule_roll_tag(&schedule, fragment), next++);
		for (piece = 0; piece < PCCL_PIECES_MAX; piece++)
			assert_int_equal(pccl_schedule_piece_tag(&schedule, fragment, piece), next++);
	}
	assert_int_equal(schedule.last_tag, next);
	pccl_schedule_fini(&schedule);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_tensor_has_one_round_in_an_interval),
		cmocka_unit_test(pieces_are_evenly_spread),
		cmocka_unit_test(the_rate_is_even_where_the_overlap_is_long_enough),
		cmocka_unit_test(the_order_of_the_list_changes_nothing),
		cmocka_unit_test(balanced_fragments_are_about_equal),
		cmocka_unit_test(strided_fragments_take_turns),
		cmocka_unit_test(settings_that_cannot_be_are_refused_in_words),
		cmocka_unit_test(tensors_that_cannot_be_are_refused_in_words),
		cmocka_unit_test(settings_that_are_strange_and_fine_are_taken),
		cmocka_unit_test(every_exchange_has_a_tag_of_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
