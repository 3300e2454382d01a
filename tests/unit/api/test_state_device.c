/* Checkpoints of tensors on CUDA devices, by a stand-in for the driver: the same file, and back again. */
#include <pccl/state.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/check.h"
#include "lib/device.h"

#define COUNT (3u * (1u << 20) / 4 * 2 + 5) /* several chunks */

static const struct standin *standin;
static char folder[64];
static char path[2][96];

/* A large tensor on one device, a small one on another, one here. */
struct sample {
	pcclTensorInfo_t infos[3];
	uint8_t *seen[3];
	pcclSharedState_t state;
};

static float host[2][64];

static void make(struct sample *sample, int which, bool devices)
{
	static float large[2][COUNT], small[2][33];
	static const size_t counts[3] = {COUNT, 33, 64};
	static const char *const names[3] = {"large", "small", "here"};
	float *places[3];
	size_t index;

	places[0] = large[which];
	places[1] = small[which];
	places[2] = host[which];
	for (index = 0; index < 3; index++) {
		bool on_device = devices && index < 2;
		size_t bytes = counts[index] * sizeof(float);
		void *data = on_device ? standin->alloc((int)index, bytes, index == 1) : places[index];
		const pcclTensorInfo_t info = {
			names[index], data, counts[index], pcclFloat, on_device ? pcclDeviceCuda : pcclDeviceCpu,
			false};

		sample->infos[index] = info;
		sample->seen[index] = on_device ? standin->peek(data) : data;
		memset(sample->seen[index], 0, bytes);
	}
	sample->state.revision = 0;
	sample->state.count = 3;
	sample->state.infos = sample->infos;
}

static void fill(struct sample *sample)
{
	size_t index, at;

	sample->state.revision = 5;
	for (index = 0; index < 3; index++)
		for (at = 0; at < sample->infos[index].count * sizeof(float); at++)
			sample->seen[index][at] = (uint8_t)(at * 13 + index + at / 5000);
}

static void check_same(const struct sample *left, const struct sample *right)
{
	size_t index;

	assert_int_equal(left->state.revision, right->state.revision);
	for (index = 0; index < 3; index++)
		assert_memory_equal(left->seen[index], right->seen[index], left->infos[index].count * sizeof(float));
	assert_int_equal(standin->left(), 0);
}

static void where_a_tensor_lies_is_not_seen_in_the_file(void **state)
{
	struct sample saved, loaded;
	int from, to;

	(void)state;
	for (from = 0; from < 2; from++) {
		for (to = 0; to < 2; to++) {
			make(&saved, 0, from != 0);
			fill(&saved);
			make(&loaded, 1, to != 0);
			assert_int_equal(pcclStateSave(&saved.state, path[from], NULL), pcclSuccess);
			assert_int_equal(pcclStateLoad(&loaded.state, path[from], NULL), pcclSuccess);
			check_same(&saved, &loaded);
		}
	}
}

static void a_driver_that_fails_leaves_the_old_checkpoint(void **state)
{
	struct sample saved, loaded;
	char beside[112];
	long call;

	(void)state;
	make(&saved, 0, true);
	make(&loaded, 1, false);
	fill(&saved);
	assert_int_equal(pcclStateSave(&saved.state, path[0], NULL), pcclSuccess);
	(void)snprintf(beside, sizeof(beside), "%s.tmp", path[0]);
	for (call = 1; call < 60; call++) {
		pcclResult_t result;

		saved.state.revision = 6;
		standin->fail_at(call);
		result = pcclStateSave(&saved.state, path[0], NULL);
		standin->fail_at(0);
		saved.state.revision = 5;
		if (result == pcclSuccess) {
			assert_int_equal(pcclStateSave(&saved.state, path[0], NULL), pcclSuccess);
			continue;
		}
		assert_true(result == pcclSystemError || result == pcclInvalidArgument);
		assert_non_null(strstr(pcclGetLastError(NULL), "CUDA"));
		assert_int_not_equal(access(beside, F_OK), 0);
		assert_int_equal(pcclStateLoad(&loaded.state, path[0], NULL), pcclSuccess);
		assert_int_equal(loaded.state.revision, 5);
		assert_int_equal(standin->left(), 0);
	}
}

static int make_folder(void **state)
{
	(void)state;
	standin = check_standin();
	(void)snprintf(folder, sizeof(folder), "/tmp/pccl-device-XXXXXX");
	if (mkdtemp(folder) == NULL)
		return -1;
	(void)snprintf(path[0], sizeof(path[0]), "%s/host.safetensors", folder);
	(void)snprintf(path[1], sizeof(path[1]), "%s/device.safetensors", folder);
	return 0;
}

static int remove_folder(void **state)
{
	(void)state;
	(void)remove(path[0]);
	(void)remove(path[1]);
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(where_a_tensor_lies_is_not_seen_in_the_file),
		cmocka_unit_test(a_driver_that_fails_leaves_the_old_checkpoint),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
