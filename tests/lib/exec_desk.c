#include "exec_desk.h"

#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "check.h"

static bool checks(void *context, uint32_t rank)
{
	const struct desk *desk = context;

	return (desk->unchecked_ranks >> rank & 1) == 0;
}

void open_desk(struct desk *desk, pcclPlan_t algorithm, uint64_t count)
{
	struct pccl_exec_config config = {.lanes = 1, .checks = checks, .checks_context = desk};
	uint64_t index;

	memset(desk, 0, sizeof(*desk));
	assert_int_equal(pccl_exec_create(&config, &desk->exec), pcclSuccess);
	assert_int_equal(pccl_exec_install(desk->exec, EPOCH, RANKS, 0), pcclSuccess);
	pccl_geometry_cut(PCCL_ALL_REDUCE, RANKS, count, 4, 64, &desk->geometry);
	assert_int_equal(pccl_plan_create(PCCL_ALL_REDUCE, algorithm, RANKS, 0, 0, &desk->geometry, &desk->plan),
			 pcclSuccess);
	desk->input = malloc(count * 4 + 4);
	desk->output = malloc(count * 4 + 4);
	assert_true(desk->input != NULL && desk->output != NULL);
	for (index = 0; index < count; index++)
		desk->input[index] = 1;
	desk->launch.key.tag = TAG;
	desk->launch.signature.kind = PCCL_ALL_REDUCE;
	desk->launch.signature.datatype = pcclFloat;
	desk->launch.signature.algorithm = (uint8_t)algorithm;
	desk->launch.signature.count = count;
	desk->launch.geometry = desk->geometry;
	desk->launch.plan = desk->plan;
	desk->launch.input = desk->input;
	desk->launch.output = desk->output;
	desk->launch.cookie = desk;
}

void launch(struct desk *desk)
{
	assert_int_equal(pccl_exec_launch(desk->exec, &desk->launch), pcclSuccess);
}

void learn_start(struct desk *desk)
{
	struct pccl_frame_send send;
	struct pccl_exec_outcome outcome;
	struct desk other;

	open_desk(&other, (pcclPlan_t)desk->launch.signature.algorithm, desk->launch.signature.count);
	launch(&other);
	assert_true(pccl_exec_next(other.exec, 1, &send));
	assert_int_equal(send.frame.type, PCCL_FRAME_START);
	assert_int_equal(send.frame.payload_bytes, START_BYTES);
	assert_null(send.token);
	assert_null(send.cookie);
	memcpy(desk->start, send.payload, START_BYTES);
	pccl_exec_cancel(other.exec, &other, pcclAborted, "", true);
	assert_true(pccl_exec_poll(other.exec, &outcome));
	pccl_exec_destroy(other.exec);
	pccl_plan_destroy(other.plan);
	free(other.input);
	free(other.output);
}

void close_desk(struct desk *desk)
{
	struct pccl_exec_outcome outcome;

	pccl_exec_cancel(desk->exec, desk, pcclAborted, "", true);
	while (pccl_exec_poll(desk->exec, &outcome))
		;
	pccl_exec_destroy(desk->exec);
	pccl_plan_destroy(desk->plan);
	free(desk->input);
	free(desk->output);
}

struct pccl_frame make_frame(enum pccl_frame_type type, uint32_t payload_bytes)
{
	struct pccl_frame frame = {.type = (uint8_t)type, .payload_bytes = payload_bytes, .epoch = EPOCH, .tag = TAG};

	return frame;
}

enum pccl_frame_verdict offer(struct desk *desk, uint32_t rank, const struct pccl_frame *frame)
{
	void *destination;

	return pccl_exec_accept(desk->exec, rank, frame, &destination);
}

enum pccl_frame_verdict deliver(struct desk *desk, uint32_t rank, const struct pccl_frame *frame, const void *payload)
{
	void *destination;
	enum pccl_frame_verdict verdict = pccl_exec_accept(desk->exec, rank, frame, &destination);

	if (verdict != PCCL_FRAME_TAKE)
		return verdict;
	if (frame->payload_bytes > 0)
		memcpy(destination, payload, frame->payload_bytes);
	pccl_exec_received(desk->exec, rank, frame);
	return verdict;
}

void deliver_start(struct desk *desk, uint32_t rank, uint32_t credit)
{
	struct pccl_frame frame = make_frame(PCCL_FRAME_START, START_BYTES);

	frame.aux = credit;
	assert_int_equal(deliver(desk, rank, &frame, desk->start), PCCL_FRAME_TAKE);
}

struct pccl_frame partial(const struct desk *desk, uint32_t segment)
{
	struct pccl_frame frame = make_frame(PCCL_FRAME_PARTIAL, 0);

	frame.segment = segment;
	if (segment < desk->geometry.segment_count)
		frame.payload_bytes = pccl_geometry_elements(&desk->geometry, segment) * 4;
	return frame;
}

void take_all(struct desk *desk, uint32_t rank, uint32_t *partials_out, uint32_t *results_out, uint32_t *dones_out)
{
	struct pccl_frame_send send;

	*partials_out = *results_out = *dones_out = 0;
	while (pccl_exec_next(desk->exec, rank, &send)) {
		*partials_out += send.frame.type == PCCL_FRAME_PARTIAL;
		*results_out += send.frame.type == PCCL_FRAME_RESULT;
		*dones_out += send.frame.type == PCCL_FRAME_DONE;
	}
	assert_false(pccl_exec_wants(desk->exec, rank));
}

void assert_rejected(struct desk *desk, uint32_t rank, const struct pccl_frame *frame, const char *why)
{
	pccl_fail_clear();
	assert_int_equal(offer(desk, rank, frame), PCCL_FRAME_REJECT);
	assert_non_null(strstr(pccl_fail_text(), why));
}
