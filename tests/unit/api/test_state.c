/* pcclStateSave(), pcclStateLoad() and pcclStateInspect() as a program sees them. */
#include <pccl/state.h>

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/check.h"

static char folder[64];
static char path[96];

static float weights[6] = {1, 2, 3, 4, 5, 6};
static uint16_t halves[3] = {7, 8, 9};
static uint8_t bytes[5] = {1, 2, 3, 4, 5};

static pcclSharedState_t state_of(pcclTensorInfo_t *infos, size_t count)
{
	const pcclSharedState_t made = {.revision = 12, .count = count, .infos = infos};

	return made;
}

static void save_sample(void)
{
	pcclTensorInfo_t infos[] = {{"bytes", bytes, 5, pcclUint8, pcclDeviceCpu, false},
				    {"layer.weight", weights, 6, pcclFloat, pcclDeviceCpu, false},
				    {"layer.scale", halves, 3, pcclBFloat16, pcclDeviceCpu, false}};
	const uint64_t matrix[] = {2, 3}, vector[] = {3}, five[] = {5, 1};
	const pcclTensorShape_t shapes[] = {{2, five}, {2, matrix}, {1, vector}};
	pcclCheckpointOptions_t options = PCCL_CHECKPOINT_OPTIONS_INITIALIZER;
	pcclSharedState_t saved = state_of(infos, 3);

	options.shapes = shapes;
	options.lineage.data[15] = 9;
	assert_int_equal(pcclStateSave(&saved, path, &options), pcclSuccess);
}

static void tensors_are_there(void)
{
	float found[6] = {0};
	uint8_t other[5] = {0};
	pcclTensorInfo_t infos[] = {{"layer.weight", found, 6, pcclFloat, pcclDeviceCpu, false},
				    {"bytes", other, 5, pcclUint8, pcclDeviceCpu, false}};
	pcclSharedState_t loaded = state_of(infos, 2);

	loaded.revision = 0;
	assert_int_equal(pcclStateLoad(&loaded, path, NULL), pcclSuccess);
	assert_int_equal(loaded.revision, 12);
	assert_memory_equal(found, weights, sizeof(weights));
	assert_memory_equal(other, bytes, sizeof(bytes));
}

static void tensors_come_back_by_name_in_any_order(void **state)
{
	(void)state;
	save_sample();
	tensors_are_there();
}

static void a_checkpoint_can_be_looked_at(void **state)
{
	pcclCheckpointInfo_t info = PCCL_CHECKPOINT_INFO_INITIALIZER;

	(void)state;
	save_sample();
	assert_int_equal(pcclStateInspect(path, &info), pcclSuccess);
	assert_int_equal(info.revision, 12);
	assert_int_equal(info.lineage.data[15], 9);
	assert_int_equal(info.tensor_count, 3);
	assert_int_equal(info.tensor_bytes, 6 * 4 + 3 * 2 + 5);
}

/* Bytes as other readers of the format expect them: largest elements first, each tensor where the header says. */
static void the_file_is_one_that_others_read(void **state)
{
	char header[8192];
	float first;
	FILE *file;

	(void)state;
	save_sample();
	file = fopen(path, "rb");
	assert_non_null(file);
	assert_int_equal(fread(header, 1, 4096, file), 4096);
	header[4096] = '\0';
	assert_non_null(
		strstr(header + 8, "\"layer.weight\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]}"));
	assert_non_null(
		strstr(header + 8, "\"layer.scale\":{\"dtype\":\"BF16\",\"shape\":[3],\"data_offsets\":[24,30]}"));
	assert_non_null(strstr(header + 8, "\"bytes\":{\"dtype\":\"U8\",\"shape\":[5,1],\"data_offsets\":[30,35]}"));
	assert_int_equal(fread(&first, 1, sizeof(first), file), sizeof(first));
	assert_true(first == 1.0f);
	assert_int_equal(fclose(file), 0);
}

static void refuse_save(pcclTensorInfo_t *infos, size_t count, const char *word)
{
	pcclSharedState_t saved = state_of(infos, count);

	assert_int_equal(pcclStateSave(&saved, path, NULL), pcclInvalidArgument);
	assert_non_null(strstr(pcclGetLastError(NULL), word));
}

static void a_state_that_cannot_be_saved_is_refused_in_words(void **state)
{
	pcclTensorInfo_t twice[] = {{"a", bytes, 5, pcclUint8, pcclDeviceCpu, false},
				    {"a", weights, 6, pcclFloat, pcclDeviceCpu, false}};
	pcclTensorInfo_t unnamed[] = {{NULL, bytes, 5, pcclUint8, pcclDeviceCpu, false}};
	pcclTensorInfo_t unknown[] = {{"a", bytes, 5, (pcclDataType_t)77, pcclDeviceCpu, false}};
	pcclTensorInfo_t device[] = {{"a", bytes, 5, pcclUint8, pcclDeviceCuda, false}};
	pcclTensorInfo_t elsewhere[] = {{"a", bytes, 5, pcclUint8, (pcclDeviceType_t)2, false}};
	pcclTensorInfo_t nowhere[] = {{"a", NULL, 5, pcclUint8, pcclDeviceCpu, false}};
	pcclTensorInfo_t reserved[] = {{"__metadata__", bytes, 5, pcclUint8, pcclDeviceCpu, false}};
	pcclTensorInfo_t endless[] = {{"a", bytes, SIZE_MAX / 2, pcclDouble, pcclDeviceCpu, false}};

	(void)state;
	refuse_save(twice, 2, "'a'");
	refuse_save(unnamed, 1, "tensor 0 has no name");
	refuse_save(unknown, 1, "datatype is 77, which");
	refuse_save(device, 1, "tensor 'a'");
	refuse_save(elsewhere, 1, "device_type is 2, which");
	refuse_save(nowhere, 1, "no data");
	refuse_save(reserved, 1, "__metadata__");
	refuse_save(endless, 1, "can't have");
	assert_int_equal(pcclStateSave(NULL, path, NULL), pcclInvalidArgument);
	assert_int_equal(pcclStateLoad(NULL, path, NULL), pcclInvalidArgument);
	assert_int_equal(pcclStateInspect(NULL, NULL), pcclInvalidArgument);
}

/* The words say what is missing, where it is. */
static void a_tensor_on_a_device_needs_its_driver(void **state)
{
	pcclTensorInfo_t infos[] = {{"bytes", bytes, 5, pcclUint8, pcclDeviceCpu, false},
				    {"layer.scale", halves, 3, pcclBFloat16, pcclDeviceCuda, false}};
	pcclSharedState_t loaded = state_of(infos, 2);
	void *driver = dlopen("libcuda.so.1", RTLD_NOW);

	(void)state;
	if (driver != NULL) {
		(void)dlclose(driver);
		skip();
	}
	save_sample();
	bytes[0] = 77;
	assert_int_equal(pcclStateLoad(&loaded, path, NULL), pcclInvalidArgument);
	assert_non_null(strstr(pcclGetLastError(NULL), "tensor 'layer.scale'"));
	assert_non_null(strstr(pcclGetLastError(NULL), "NVIDIA's driver"));
	assert_non_null(strstr(pcclGetLastError(NULL), "libcuda.so.1"));
	assert_int_equal(bytes[0], 77); /* nothing was touched */
	bytes[0] = 1;
}

static void a_shape_of_another_count_is_refused(void **state)
{
	pcclTensorInfo_t infos[] = {{"a", weights, 6, pcclFloat, pcclDeviceCpu, false}};
	const uint64_t wrong[] = {UINT64_C(1) << 63, 2, 3};
	const pcclTensorShape_t shape = {3, wrong};
	pcclCheckpointOptions_t options = PCCL_CHECKPOINT_OPTIONS_INITIALIZER;
	pcclSharedState_t saved = state_of(infos, 1);

	(void)state;
	options.shapes = &shape;
	assert_int_equal(pcclStateSave(&saved, path, &options), pcclInvalidArgument);
	assert_non_null(strstr(pcclGetLastError(NULL), "shape"));
	options.shapes = NULL;
	options.reserved[2] = 1;
	assert_int_equal(pcclStateSave(&saved, path, &options), pcclInvalidArgument);
}

/* Whoever reads the file multiplies all its dimensions. */
/* As a weight that was transposed since. */
static void tensors_of_another_shape_are_not_loaded(void **state)
{
	float found[6] = {0}, nothing[6] = {0};
	pcclTensorInfo_t info = {"layer.weight", found, 6, pcclFloat, pcclDeviceCpu, false};
	const uint64_t same[] = {2, 3}, turned[] = {3, 2}, deeper[] = {2, 3, 1}, row[] = {6}, other[] = {2, 2};
	const pcclTensorShape_t fitting[] = {{2, same}, {1, row}}, wrong[] = {{2, turned}, {3, deeper}, {2, other}};
	pcclCheckpointOptions_t options = PCCL_CHECKPOINT_OPTIONS_INITIALIZER;
	pcclSharedState_t loaded = state_of(&info, 1);
	size_t index;

	(void)state;
	save_sample();
	for (index = 0; index < 3; index++) {
		options.shapes = &wrong[index];
		assert_int_equal(pcclStateLoad(&loaded, path, &options), pcclInvalidArgument);
		assert_non_null(strstr(pcclGetLastError(NULL), index < 2 ? "'layer.weight' is [2, 3] in " : "shape"));
		assert_memory_equal(found, nothing, sizeof(found));
	}
	assert_non_null(strstr(pcclGetLastError(NULL), "of 6 elements"));
	for (index = 0; index < 2; index++) {
		memset(found, 0, sizeof(found));
		options.shapes = &fitting[index];
		assert_int_equal(pcclStateLoad(&loaded, path, &options), pcclSuccess);
		assert_memory_equal(found, weights, sizeof(weights));
	}
}

static void a_shape_with_a_0_is_saved_if_it_can_be_loaded(void **state)
{
	pcclTensorInfo_t infos[] = {{"a", NULL, 0, pcclFloat, pcclDeviceCpu, false}};
	const uint64_t large[] = {0, UINT64_C(1) << 60}, huge[] = {0, UINT64_C(1) << 62},
		       most[] = {UINT64_C(1) << 40, UINT64_C(1) << 40, 0};
	const pcclTensorShape_t shapes[] = {{2, large}, {2, huge}, {3, most}};
	pcclCheckpointOptions_t options = PCCL_CHECKPOINT_OPTIONS_INITIALIZER;
	pcclSharedState_t saved = state_of(infos, 1);

	(void)state;
	options.shapes = &shapes[0];
	assert_int_equal(pcclStateSave(&saved, path, &options), pcclSuccess);
	assert_int_equal(pcclStateLoad(&saved, path, NULL), pcclSuccess);
	options.shapes = &shapes[1];
	assert_int_equal(pcclStateSave(&saved, path, &options), pcclInvalidArgument);
	assert_non_null(strstr(pcclGetLastError(NULL), "more elements than a file can have"));
	options.shapes = &shapes[2];
	assert_int_equal(pcclStateSave(&saved, path, &options), pcclInvalidArgument);
	assert_int_equal(pcclStateLoad(&saved, path, NULL), pcclSuccess);
}

static void refuse_load(pcclTensorInfo_t info, const char *word)
{
	pcclSharedState_t loaded = state_of(&info, 1);

	assert_int_equal(pcclStateLoad(&loaded, path, NULL), pcclInvalidArgument);
	assert_non_null(strstr(pcclGetLastError(NULL), word));
	assert_int_equal(loaded.revision, 12);
}

static void what_the_file_does_not_hold_is_named(void **state)
{
	uint8_t untouched[24] = {55};
	const pcclTensorInfo_t missing = {"other", untouched, 5, pcclUint8, pcclDeviceCpu, false};
	const pcclTensorInfo_t type = {"layer.weight", untouched, 6, pcclInt32, pcclDeviceCpu, false};
	const pcclTensorInfo_t count = {"bytes", untouched, 4, pcclUint8, pcclDeviceCpu, false};

	(void)state;
	save_sample();
	refuse_load(missing, "no tensor 'other'");
	refuse_load(type, "float32");
	refuse_load(count, "5 elements");
	assert_int_equal(untouched[0], 55);
}

static void write_file(const char *json)
{
	const uint64_t length = strlen(json); /* little-endian here */
	FILE *file = fopen(path, "wb");

	assert_non_null(file);
	assert_int_equal(fwrite(&length, 1, 8, file), 8);
	assert_int_equal(fwrite(json, 1, length, file), length);
	assert_int_equal(fwrite("abcde", 1, 5, file), 5);
	assert_int_equal(fclose(file), 0);
}

/* What was ours and lost its version is damaged, and no other program's. */
static void files_of_other_programs_are_read_if_the_caller_says_so(void **state)
{
	uint8_t found[5] = {0};
	pcclTensorInfo_t infos[] = {{"t", found, 5, pcclUint8, pcclDeviceCpu, false}};
	pcclSharedState_t loaded = state_of(infos, 1);
	pcclCheckpointOptions_t options = PCCL_CHECKPOINT_OPTIONS_INITIALIZER;
	pcclCheckpointInfo_t info = PCCL_CHECKPOINT_INFO_INITIALIZER;

	(void)state;
	write_file(
		"{\"__metadata__\":{\"format\":\"pt\"},\"t\":{\"dtype\":\"U8\",\"shape\":[5],\"data_offsets\":[0,5]},"
		"\"none\":{\"dtype\":\"F64\",\"shape\":[4611686018427387904,4,0],\"data_offsets\":[5,5]}}");
	assert_int_equal(pcclStateLoad(&loaded, path, NULL), pcclNoSharedStateAvailable);
	assert_non_null(strstr(pcclGetLastError(NULL), "no hashes"));
	assert_int_equal(pcclStateInspect(path, &info), pcclNoSharedStateAvailable);
	options.accept_foreign = true;
	assert_int_equal(pcclStateLoad(&loaded, path, &options), pcclSuccess);
	assert_memory_equal(found, "abcde", 5);
	assert_int_equal(loaded.revision, 0);
	write_file("{\"__metadata__\":{\"pccl.digest\":\"00\"},\"t\":{\"dtype\":\"U8\",\"shape\":[5],\"data_offsets\":["
		   "0,5]}}");
	assert_int_equal(pcclStateLoad(&loaded, path, &options), pcclNoSharedStateAvailable);
	assert_non_null(strstr(pcclGetLastError(NULL), "damaged"));
	write_file("{\"t\":{\"dtype\":\"U8\",\"shape\":[6],\"data_offsets\":[0,6]}}");
	assert_int_equal(pcclStateLoad(&loaded, path, &options), pcclNoSharedStateAvailable);
}

static void a_place_that_is_none_is_told(void **state)
{
	pcclSharedState_t empty = state_of(NULL, 0);

	(void)state;
	assert_int_equal(pcclStateSave(&empty, "/nowhere/at/all", NULL), pcclSystemError);
	assert_non_null(strstr(pcclGetLastError(NULL), "/nowhere/at/all"));
	assert_int_equal(pcclStateLoad(&empty, "/nowhere/at/all", NULL), pcclNoSharedStateAvailable);
	assert_int_equal(pcclStateLoad(&empty, folder, NULL), pcclInvalidArgument);
	assert_int_equal(pcclStateSave(&empty, path, NULL), pcclSuccess);
	assert_int_equal(pcclStateLoad(&empty, path, NULL), pcclSuccess);
}

static mode_t mode_of(const char *name)
{
	struct stat status;

	assert_int_equal(lstat(name, &status), 0);
	return status.st_mode;
}

static void refuse_place(void)
{
	pcclSharedState_t empty = state_of(NULL, 0);
	pcclCheckpointInfo_t info = PCCL_CHECKPOINT_INFO_INITIALIZER;
	const mode_t mode = mode_of(path);

	assert_int_equal(pcclStateSave(&empty, path, NULL), pcclInvalidArgument);
	assert_non_null(strstr(pcclGetLastError(NULL), "not a regular file"));
	assert_int_equal(mode_of(path), mode);
	assert_int_equal(pcclStateLoad(&empty, path, NULL), pcclInvalidArgument);
	assert_int_equal(pcclStateInspect(path, &info), pcclInvalidArgument);
	assert_non_null(strstr(pcclGetLastError(NULL), "not a regular file"));
	assert_int_equal(remove(path), 0);
}

/* Nor does anybody wait in it. */
static void what_is_no_regular_file_is_left_alone(void **state)
{
	pcclSharedState_t empty = state_of(NULL, 0);
	char beside[112];

	(void)state;
	(void)remove(path);
	assert_int_equal(mkfifo(path, 0600), 0);
	refuse_place();
	assert_int_equal(symlink("/dev/null", path), 0);
	refuse_place();
	assert_int_equal(mkdir(path, 0700), 0);
	refuse_place();
	assert_int_equal(symlink("nothing", path), 0);
	assert_int_equal(pcclStateSave(&empty, path, NULL), pcclInvalidArgument);
	assert_non_null(strstr(pcclGetLastError(NULL), "leads nowhere"));
	assert_int_equal(remove(path), 0);
	(void)snprintf(beside, sizeof(beside), "%s.tmp", path);
	assert_int_equal(mkfifo(beside, 0600), 0);
	assert_int_equal(pcclStateSave(&empty, path, NULL), pcclInvalidArgument);
	assert_true(S_ISFIFO(mode_of(beside)));
	assert_int_equal(remove(beside), 0);
}

static void a_link_and_a_mode_stay(void **state)
{
	pcclSharedState_t empty = state_of(NULL, 0);
	char target[112];

	(void)state;
	(void)snprintf(target, sizeof(target), "%s.1", path);
	assert_int_equal(pcclStateSave(&empty, target, NULL), pcclSuccess);
	assert_int_equal(chmod(target, 0600), 0);
	assert_int_equal(symlink("state.safetensors.1", path), 0);
	save_sample();
	assert_true(S_ISLNK(mode_of(path)));
	assert_int_equal(mode_of(target), S_IFREG | 0600);
	tensors_are_there();
	assert_int_equal(chmod(target, 0754), 0);
	save_sample();
	assert_int_equal(mode_of(target), S_IFREG | 0754);
	assert_int_equal(remove(path), 0);
	assert_int_equal(remove(target), 0);
}

static int make_folder(void **state)
{
	(void)state;
	(void)snprintf(folder, sizeof(folder), "/tmp/pccl-state-XXXXXX");
	if (mkdtemp(folder) == NULL)
		return -1;
	(void)snprintf(path, sizeof(path), "%s/state.safetensors", folder);
	return 0;
}

static int remove_folder(void **state)
{
	(void)state;
	(void)remove(path);
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tensors_come_back_by_name_in_any_order),
		cmocka_unit_test(a_checkpoint_can_be_looked_at),
		cmocka_unit_test(the_file_is_one_that_others_read),
		cmocka_unit_test(a_state_that_cannot_be_saved_is_refused_in_words),
		cmocka_unit_test(a_tensor_on_a_device_needs_its_driver),
		cmocka_unit_test(a_shape_of_another_count_is_refused),
		cmocka_unit_test(tensors_of_another_shape_are_not_loaded),
		cmocka_unit_test(a_shape_with_a_0_is_saved_if_it_can_be_loaded),
		cmocka_unit_test(what_the_file_does_not_hold_is_named),
		cmocka_unit_test(files_of_other_programs_are_read_if_the_caller_says_so),
		cmocka_unit_test(a_place_that_is_none_is_told),
		cmocka_unit_test(what_is_no_regular_file_is_left_alone),
		cmocka_unit_test(a_link_and_a_mode_stay),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
