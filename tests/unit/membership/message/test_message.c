/* Messages to bytes and back. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/frame.h"
#include "base/memory.h"
#include "membership/message/message.h"

#include "lib/check.h"
#include "lib/sample_messages.h"

static void every_message_survives_the_wire(void **state)
{
	uint32_t index;

	(void)state;
	for (index = 0; index < SAMPLE_COUNT; index++) {
		struct pccl_message *message = sample_message(index);
		struct pccl_message *copy;
		uint8_t *data;
		size_t bytes;

		assert_int_equal(pccl_message_encode(message, &data, &bytes), pcclSuccess);
		assert_int_equal(pccl_message_decode(data, bytes, &copy), pcclSuccess);
		assert_int_equal(copy->type, message->type);
		assert_true(same_message(message, copy));
		pccl_free(data);
		pccl_message_destroy(copy);
		pccl_message_destroy(message);
	}
}

static void fields_arrive_where_they_belong(void **state)
{
	struct pccl_message *message = sample_message(1);
	struct pccl_message *copy;
	uint8_t *data;
	size_t bytes;

	(void)state;
	assert_int_equal(pccl_message_encode(message, &data, &bytes), pcclSuccess);
	assert_int_equal(pccl_message_decode(data, bytes, &copy), pcclSuccess);
	assert_int_equal(copy->body.registration.last->view.members[2].address_count, 2);
	assert_int_equal(copy->body.registration.last->view.members[2].addresses[0].port, 40003);
	assert_int_equal(copy->body.registration.last->view.members[2].addresses[1].port, 50003);
	assert_string_equal(copy->body.registration.last->view.members[2].addresses[1].host, "192.0.2.3");
	assert_string_equal(copy->body.registration.last->view.members[2].addresses[0].host, "2001:db8::3");
	assert_int_equal(copy->body.registration.last->previous_epoch, 7);
	assert_null(copy->body.registration.last->decisions[0].holders[1]);
	assert_int_equal(copy->body.registration.last->decisions[0].holders[2][1], 63);
	assert_int_equal(copy->body.registration.answered.origin, 3);
	assert_int_equal(copy->body.registration.promises[0].members[1].data[0], 2);
	pccl_free(data);
	pccl_message_destroy(copy);
	pccl_message_destroy(message);
}

static void every_shorter_or_longer_message_is_refused(void **state)
{
	uint32_t index;
	size_t shorter;

	(void)state;
	for (index = 0; index < SAMPLE_COUNT; index++) {
		struct pccl_message *message = sample_message(index);
		struct pccl_message *copy;
		uint8_t *data;
		size_t bytes;

		assert_int_equal(pccl_message_encode(message, &data, &bytes), pcclSuccess);
		for (shorter = 0; shorter < bytes; shorter++) {
			uint8_t *exact = malloc(shorter > 0 ? shorter : 1);

			memcpy(exact, data, shorter);
			assert_int_equal(pccl_message_decode(exact, shorter, &copy), pcclInvalidArgument);
			assert_null(copy);
			free(exact);
		}
		data = pccl_realloc(data, bytes + 1);
		data[bytes] = 0;
		assert_int_equal(pccl_message_decode(data, bytes + 1, &copy), pcclInvalidArgument);
		pccl_free(data);
		pccl_message_destroy(message);
	}
}

static void unknown_types_are_refused(void **state)
{
	struct pccl_message *copy;
	unsigned int type;

	(void)state;
	for (type = 0; type < 256; type++) {
		uint8_t data = (uint8_t)type;
		pcclResult_t result = pccl_message_decode(&data, 1, &copy);

		if (type == PCCL_MESSAGE_LEAVE || type == PCCL_MESSAGE_ABANDON || type == PCCL_MESSAGE_BEAT)
			assert_int_equal(result, pcclSuccess);
		else
			assert_int_equal(result, pcclInvalidArgument);
		pccl_message_destroy(copy);
	}
}

static void view_with_a_member_twice_is_refused(void **state)
{
	struct pccl_message *message = sample_message(11);
	struct pccl_message *copy;
	uint8_t *data;
	size_t bytes;

	(void)state;
	message->body.install.view.members[2].uuid = message->body.install.view.members[0].uuid;
	assert_int_equal(pccl_message_encode(message, &data, &bytes), pcclSuccess);
	assert_int_equal(pccl_message_decode(data, bytes, &copy), pcclInvalidArgument);
	pccl_free(data);
	pccl_message_destroy(message);
}

/* Encodes, decodes and ends a message; true: it was taken. */
static bool is_taken(struct pccl_message *message)
{
	struct pccl_message *copy;
	uint8_t *data;
	size_t bytes;
	pcclResult_t result;

	assert_int_equal(pccl_message_encode(message, &data, &bytes), pcclSuccess);
	result = pccl_message_decode(data, bytes, &copy);
	assert_true(result == pcclSuccess || result == pcclInvalidArgument);
	pccl_free(data);
	pccl_message_destroy(copy);
	pccl_message_destroy(message);
	return result == pcclSuccess;
}

static bool newcomer_is_taken(uint16_t lanes, uint16_t streams)
{
	struct pccl_message *message = sample_message(0);

	message->body.registration.self.lanes = lanes;
	message->body.registration.self.streams = streams;
	return is_taken(message);
}

static bool view_is_taken(uint16_t lanes, uint16_t streams)
{
	struct pccl_message *message = sample_message(11);

	message->body.install.view.lanes = lanes;
	message->body.install.view.streams = streams;
	return is_taken(message);
}

/* Every member makes links of what one asked for. */
static void lanes_and_streams_are_bounded(void **state)
{
	(void)state;
	assert_true(newcomer_is_taken(1, 1) && newcomer_is_taken(PCCL_LANES_MAX, PCCL_STREAMS_MAX));
	assert_false(newcomer_is_taken(0, 1) || newcomer_is_taken(1, 0));
	assert_false(newcomer_is_taken(PCCL_LANES_MAX + 1, 1) || newcomer_is_taken(1, PCCL_STREAMS_MAX + 1));
	assert_true(view_is_taken(1, 1));
	assert_false(view_is_taken(0, 1) || view_is_taken(1, 0) || view_is_taken(UINT16_MAX, 1));
}

static bool report_is_taken(uint32_t least, uint32_t most, uint8_t policy)
{
	struct pccl_message *message = sample_message(3);

	message->body.prepared.reports[0].participants_min = least;
	message->body.prepared.reports[0].participants_max = most;
	message->body.prepared.reports[0].participants[1] = (uint16_t)most;
	message->body.prepared.reports[0].policy = policy;
	return is_taken(message);
}

static bool decision_is_taken(uint32_t least, uint32_t most, uint32_t in_segment)
{
	struct pccl_message *message = sample_message(11);

	message->body.install.decisions[0].participants_min = least;
	message->body.install.decisions[0].participants_max = most;
	message->body.install.decisions[0].participants[69] = (uint16_t)in_segment;
	return is_taken(message);
}

static void impossible_participants_and_policies_are_refused(void **state)
{
	const uint8_t abort_policy = (uint8_t)pcclPolicyAbort;

	(void)state;
	assert_true(report_is_taken(0, PCCL_MEMBERS_MAX, abort_policy));
	assert_true(report_is_taken(1, 1, PCCL_POLICY_FAILED));
	assert_true(report_is_taken(1, 1, PCCL_POLICY_SPENT));
	assert_false(report_is_taken(1, 1, PCCL_POLICY_SPENT + 1));
	assert_false(report_is_taken(2, 1, abort_policy));
	assert_false(report_is_taken(1, UINT32_MAX, abort_policy));
	assert_false(report_is_taken(1, 1, (uint8_t)(pcclPolicyAbort - 1)));
	assert_false(report_is_taken(1, 1, (uint8_t)(pcclPolicyRepair + 1)));
	assert_true(decision_is_taken(2, 3, 3));
	assert_false(decision_is_taken(3, 2, 2) || decision_is_taken(1, PCCL_MEMBERS_MAX + 1, 1));
	assert_false(decision_is_taken(2, 3, 4));
}

/* Who holds the segment behind the last one? */
static void bits_behind_the_last_segment_are_refused(void **state)
{
	struct pccl_message *message = sample_message(3);

	(void)state;
	assert_int_equal(message->body.prepared.reports[0].segment_count, 65);
	message->body.prepared.reports[0].held[1] = 2;
	assert_false(is_taken(message));
	message = sample_message(11);
	assert_int_equal(message->body.install.decisions[0].segment_count, 70);
	message->body.install.decisions[0].holders[2][1] = 64;
	assert_false(is_taken(message));
}

/* What came out of the bytes of a sample. */
static struct pccl_message *travelled(unsigned index)
{
	struct pccl_message *message = sample_message(index);
	struct pccl_message *copy;
	uint8_t *data;
	size_t bytes;

	assert_int_equal(pccl_message_encode(message, &data, &bytes), pcclSuccess);
	assert_int_equal(pccl_message_decode(data, bytes, &copy), pcclSuccess);
	pccl_free(data);
	pccl_message_destroy(message);
	return copy;
}

static void roots_and_links_travel(void **state)
{
	struct pccl_message *prepared = travelled(3), *install = travelled(11);
	const struct pccl_links *links = &install->body.install.links;

	(void)state;
	assert_int_equal(prepared->body.prepared.reports[0].root.data[15], 0);
	assert_int_equal(prepared->body.prepared.reports[1].root.data[15], 7);
	assert_int_equal(links->count, 2);
	assert_int_equal(links->measures[0].to, 2);
	assert_int_equal(links->measures[0].kib_per_s, 125000);
	assert_int_equal(links->measures[1].from, 2);
	assert_int_equal(links->measures[1].round_trip_us, 250);
	pccl_message_destroy(prepared);
	pccl_message_destroy(install);
}

static bool links_are_taken(uint16_t from, uint16_t to)
{
	struct pccl_message *message = sample_message(11);

	message->body.install.links.measures[1].from = from;
	message->body.install.links.measures[1].to = to;
	return is_taken(message);
}

static void links_of_nobody_are_refused(void **state)
{
	(void)state;
	assert_true(links_are_taken(2, 1));
	assert_false(links_are_taken(2, 3));
	assert_false(links_are_taken(2, 2));
	assert_false(links_are_taken(0, 2));
}

/* They go to logs and terminals. */
static void words_lose_their_control_characters(void **state)
{
	struct pccl_message *message = sample_message(4);
	struct pccl_message *copy;
	uint8_t *data;
	size_t bytes;

	(void)state;
	(void)snprintf(message->body.complaint.text, PCCL_CAUSE_TEXT_BYTES, "fine\n\x1b[31mFAKE\x7f Zürich");
	assert_int_equal(pccl_message_encode(message, &data, &bytes), pcclSuccess);
	assert_int_equal(pccl_message_decode(data, bytes, &copy), pcclSuccess);
	assert_string_equal(copy->body.complaint.text, "fine??[31mFAKE? Zürich");
	pccl_free(data);
	pccl_message_destroy(copy);
	pccl_message_destroy(message);
}

static void message_beyond_a_frame_is_not_encoded(void **state)
{
	struct pccl_message *message = pccl_message_create(PCCL_MESSAGE_PREPARED);
	uint32_t index;
	uint8_t *data;
	size_t bytes;

	(void)state;
	/* More than any peer may report; the limit of a frame is the last line. */
	message->body.prepared.report_count = 2049;
	message->body.prepared.reports = pccl_calloc(2049, sizeof(*message->body.prepared.reports));
	for (index = 0; index < 2049; index++) {
		message->body.prepared.reports[index].segment_count = PCCL_REPORT_SEGMENTS_MAX;
		message->body.prepared.reports[index].held = pccl_calloc(PCCL_REPORT_SEGMENTS_MAX / 64, 8);
	}
	assert_int_equal(pccl_message_encode(message, &data, &bytes), pcclInvalidArgument);
	assert_null(data);
	pccl_message_destroy(message);
}

static void shared_message_lives_until_its_last_holder(void **state)
{
	struct pccl_message *message = sample_message(11);
	struct pccl_message *same = pccl_message_share(message);

	(void)state;
	pccl_message_destroy(message);
	assert_int_equal(same->body.install.view.epoch, 9);
	pccl_message_destroy(same);
	pccl_message_destroy(NULL);
}

static void every_type_and_vote_has_a_name(void **state)
{
	uint32_t index;

	(void)state;
	for (index = 0; index < SAMPLE_COUNT; index++) {
		struct pccl_message *message = sample_message(index);

		assert_string_not_equal(pccl_message_name(message->type), "UNKNOWN");
		pccl_message_destroy(message);
	}
	assert_string_equal(pccl_message_name((enum pccl_message_type)99), "UNKNOWN");
	assert_string_equal(pccl_vote_name(PCCL_VOTE_UPDATE), "pcclUpdateTopology");
	assert_string_equal(pccl_vote_name(PCCL_VOTE_PENDING), "pcclArePeersPending");
	assert_string_equal(pccl_vote_name(PCCL_VOTE_OPTIMIZE), "pcclOptimizeTopology");
}

static struct pccl_imprint imprint_of(const struct pccl_install *install)
{
	struct pccl_imprint imprint;

	assert_int_equal(pccl_install_imprint(install, &imprint), pcclSuccess);
	return imprint;
}

/* Changes one byte of the sample's INSTALL at a time: what decodes still, and is another view, has another imprint. */
static void seal_is_about_all_of_a_view_but_the_world(void **state)
{
	struct pccl_message *message = sample_message(11), *copy;
	struct pccl_imprint whole = imprint_of(&message->body.install), other;
	uint32_t same = 0;
	uint8_t *data;
	size_t bytes, at;

	(void)state;
	assert_int_equal(message->type, PCCL_MESSAGE_INSTALL);
	assert_int_equal(pccl_message_encode(message, &data, &bytes), pcclSuccess);
	for (at = 1; at < bytes; at++) {
		data[at] ^= 1;
		if (pccl_message_decode(data, bytes, &copy) == pcclSuccess) {
			other = imprint_of(&copy->body.install);
			same += memcmp(&whole, &other, sizeof(whole)) == 0;
			pccl_message_destroy(copy);
		}
		data[at] ^= 1;
	}
	assert_int_equal(same, sizeof(struct pccl_world) + PCCL_KEY_BYTES + PCCL_SIGNATURE_BYTES);
	pccl_free(data);
	pccl_message_destroy(message);
}

static struct pccl_imprint promise_imprint(uint32_t group, const struct pccl_promise *promise)
{
	struct pccl_imprint imprint;

	assert_int_equal(pccl_promise_imprint(group, promise, &imprint), pcclSuccess);
	return imprint;
}

static void seal_is_about_all_of_a_promise_and_its_group(void **state)
{
	struct pccl_message *message = sample_message(1);
	struct pccl_promise *promise = &message->body.registration.promises[0], changed = *promise;
	struct pccl_imprint imprints[7];
	size_t i, j;

	(void)state;
	imprints[0] = promise_imprint(5, promise);
	imprints[1] = promise_imprint(6, promise);
	changed.master.data[15] ^= 1;
	imprints[2] = promise_imprint(5, &changed);
	changed.run.data[15] ^= 1;
	imprints[3] = promise_imprint(5, &changed);
	changed.epoch++;
	imprints[4] = promise_imprint(5, &changed);
	changed.member_count--;
	imprints[5] = promise_imprint(5, &changed);
	changed.members[0].data[0] ^= 1;
	imprints[6] = promise_imprint(5, &changed);
	for (i = 0; i < 7; i++)
		for (j = 0; j < i; j++)
			assert_memory_not_equal(&imprints[i], &imprints[j], sizeof(imprints[i]));
	pccl_message_destroy(message);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_message_survives_the_wire),
		cmocka_unit_test(fields_arrive_where_they_belong),
		cmocka_unit_test(every_shorter_or_longer_message_is_refused),
		cmocka_unit_test(unknown_types_are_refused),
		cmocka_unit_test(view_with_a_member_twice_is_refused),
		cmocka_unit_test(lanes_and_streams_are_bounded),
		cmocka_unit_test(impossible_participants_and_policies_are_refused),
		cmocka_unit_test(bits_behind_the_last_segment_are_refused),
		cmocka_unit_test(roots_and_links_travel),
		cmocka_unit_test(links_of_nobody_are_refused),
		cmocka_unit_test(words_lose_their_control_characters),
		cmocka_unit_test(message_beyond_a_frame_is_not_encoded),
		cmocka_unit_test(shared_message_lives_until_its_last_holder),
		cmocka_unit_test(every_type_and_vote_has_a_name),
		cmocka_unit_test(seal_is_about_all_of_a_view_but_the_world),
		cmocka_unit_test(seal_is_about_all_of_a_promise_and_its_group),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
