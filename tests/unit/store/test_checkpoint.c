/* Saving through a file system that fails, or stops, at any of its calls: the old checkpoint stays. And damage of any
 * kind is found when it is read. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fail.h"
#include "base/memory.h"
#include "lib/check.h"
#include "store/checkpoint.h"
#include "unit/store/folder.h"

#define TENSORS 3

/* Fails at the nth call; `dies`: and at all that follow, as if the program had been killed there. */
struct faulty {
	int calls_left;
	bool dies;
	bool failed;
};

static bool fails(void *context)
{
	struct faulty *faulty = context;

	if (faulty->failed ? faulty->dies : __atomic_sub_fetch(&faulty->calls_left, 1, __ATOMIC_RELAXED) < 0) {
		faulty->failed = true;
		errno = EIO;
		return true;
	}
	return false;
}

static int faulty_create(void *context, const char *name, uint32_t mode)
{
	return fails(context) ? -1 : pccl_disk_real.create(NULL, name, mode);
}

/* Half of it gets there. */
static int faulty_write(void *context, int file, const void *data, size_t bytes, uint64_t offset)
{
	if (!fails(context))
		return pccl_disk_real.write(NULL, file, data, bytes, offset);
	(void)pccl_disk_real.write(NULL, file, data, bytes / 2, offset);
	errno = ENOSPC;
	return -1;
}

static int faulty_sync(void *context, int file)
{
	return fails(context) ? -1 : pccl_disk_real.sync(NULL, file);
}

static int faulty_permit(void *context, int file, uint32_t mode)
{
	return fails(context) ? -1 : pccl_disk_real.permit(NULL, file, mode);
}

static int faulty_rename(void *context, const char *from, const char *to)
{
	return fails(context) ? -1 : pccl_disk_real.rename(NULL, from, to);
}

static int faulty_remove(void *context, const char *name)
{
	return fails(context) ? -1 : pccl_disk_real.remove(NULL, name);
}

static int faulty_sync_folder(void *context, const char *name)
{
	return fails(context) ? -1 : pccl_disk_real.sync_folder(NULL, name);
}

static struct pccl_disk faulty_disk(struct faulty *faulty)
{
	struct pccl_disk disk = pccl_disk_real;

	disk.create = faulty_create;
	disk.write = faulty_write;
	disk.sync = faulty_sync;
	disk.permit = faulty_permit;
	disk.rename = faulty_rename;
	disk.remove = faulty_remove;
	disk.sync_folder = faulty_sync_folder;
	disk.context = faulty;
	return disk;
}

/* Tensors of 3 MiB and a bit, of 10 bytes, of none, whose bytes follow from the revision. */
struct content {
	struct pccl_manifest manifest;
	uint8_t *data[TENSORS];
	struct pccl_chunk_tensor places[TENSORS];
};

static struct content make(uint64_t revision)
{
	static const size_t bytes[TENSORS] = {3 * PCCL_CHUNK_BYTES + 17, 10, 0};
	static const char *const names[TENSORS] = {"large", "small", "none"};
	struct content content = {{.revision = revision}, {NULL}, {{0}}};
	size_t index, at;

	assert_int_equal(pccl_manifest_reserve(&content.manifest, TENSORS), pcclSuccess);
	for (index = 0; index < TENSORS; index++) {
		struct pccl_manifest_tensor *tensor = &content.manifest.tensors[index];

		tensor->name = pccl_strdup(names[index]);
		tensor->dimension_count = 1;
		tensor->dimensions[0] = tensor->bytes = bytes[index];
		content.data[index] = pccl_alloc(bytes[index]);
		for (at = 0; at < bytes[index]; at++)
			content.data[index][at] = (uint8_t)(at * 31 + index + revision);
		content.places[index].name = names[index];
		content.places[index].data = content.data[index];
		content.places[index].bytes = bytes[index];
	}
	assert_int_equal(pccl_manifest_index(&content.manifest), pcclSuccess);
	assert_int_equal(pccl_manifest_place(&content.manifest), pcclSuccess);
	return content;
}

static void drop(struct content *content)
{
	size_t index;

	for (index = 0; index < TENSORS; index++)
		pccl_free(content->data[index]);
	pccl_manifest_fini(&content->manifest);
}

static pcclResult_t save(const struct pccl_disk *disk, uint64_t revision)
{
	struct content content = make(revision);
	pcclResult_t result = pccl_checkpoint_write(disk, path, &content.manifest, content.places, 2);

	drop(&content);
	return result;
}

/* Loads it all. The revision, if the content is that revision's. */
static pcclResult_t load(uint64_t *revision_out)
{
	const struct pccl_manifest_tensor *tensors[TENSORS];
	struct pccl_manifest manifest;
	uint64_t offset;
	int file;
	pcclResult_t result;

	pccl_fail_clear();
	result = pccl_checkpoint_open(&pccl_disk_real, path, &file, &manifest, &offset);
	if (result == pcclSuccess) {
		struct content wanted = make(manifest.revision), found = make(manifest.revision + 1);
		size_t index;

		for (index = 0; index < TENSORS; index++)
			tensors[index] = pccl_manifest_find(&manifest, wanted.manifest.tensors[index].name);
		result = pccl_checkpoint_read(&pccl_disk_real, file, path, offset, tensors, found.places, TENSORS, true,
					      3);
		for (index = 0; result == pcclSuccess && index < TENSORS; index++)
			assert_memory_equal(found.data[index], wanted.data[index],
					    wanted.manifest.tensors[index].bytes);
		*revision_out = manifest.revision;
		drop(&wanted);
		drop(&found);
	}
	if (file >= 0)
		close(file);
	pccl_manifest_fini(&manifest);
	return result;
}

static bool is_beside(void)
{
	char beside[112];

	(void)snprintf(beside, sizeof(beside), "%s.tmp", path);
	return access(beside, F_OK) == 0;
}

static void what_was_saved_is_loaded(void **state)
{
	uint64_t revision;

	(void)state;
	assert_int_equal(save(&pccl_disk_real, 41), pcclSuccess);
	assert_int_equal(load(&revision), pcclSuccess);
	assert_int_equal(revision, 41);
	assert_false(is_beside());
}

/* Returns false when a save needs fewer calls than that. */
static bool fail_at(int call, bool dies)
{
	struct faulty faulty = {.calls_left = call, .dies = dies};
	struct pccl_disk disk = faulty_disk(&faulty);
	pcclResult_t result = save(&disk, 2);
	uint64_t revision;
	bool last;

	if (!faulty.failed) {
		assert_int_equal(result, pcclSuccess);
		return false;
	}
	assert_int_equal(result, pcclSystemError);
	assert_true(pccl_fail_text()[0] != '\0');
	/* The new one is there only if nothing was left to do but to force its name to the disk. */
	last = strstr(pccl_fail_text(), "its name can't be forced") != NULL;
	assert_int_equal(load(&revision), pcclSuccess);
	assert_int_equal(revision, last ? 2 : 1);
	if (!dies)
		assert_false(is_beside());
	return true;
}

static void the_old_one_survives_a_failure_of_every_call(void **state)
{
	uint64_t revision;
	int call, dies;

	(void)state;
	for (dies = 0; dies < 2; dies++) {
		for (call = 0;; call++) {
			assert_int_equal(save(&pccl_disk_real, 1), pcclSuccess);
			if (!fail_at(call, dies != 0))
				break;
		}
		assert_true(call >= 11); /* create, six writes, sync, mode, rename, sync of the folder */
		assert_int_equal(load(&revision), pcclSuccess);
		assert_int_equal(revision, 2);
	}
}

/* Only the name could not be forced: the new one is there, and the caller knows that it may not last. */
static void a_name_that_is_not_on_the_disk_is_told(void **state)
{
	struct faulty faulty = {.calls_left = 10};
	struct pccl_disk disk = faulty_disk(&faulty);
	uint64_t revision;

	(void)state;
	assert_int_equal(save(&disk, 3), pcclSystemError);
	assert_non_null(strstr(pccl_fail_text(), "name"));
	assert_int_equal(load(&revision), pcclSuccess);
	assert_int_equal(revision, 3);
}

static void two_saves_at_a_time_are_refused(void **state)
{
	char beside[112];
	int file;

	(void)state;
	(void)snprintf(beside, sizeof(beside), "%s.tmp", path);
	file = pccl_disk_real.create(NULL, beside, PCCL_DISK_NEW);
	assert_true(file >= 0);
	assert_int_equal(save(&pccl_disk_real, 5), pcclInvalidUsage);
	close(file);
	/* What a killed program has left is no hindrance. */
	assert_true(is_beside());
	assert_int_equal(save(&pccl_disk_real, 5), pcclSuccess);
	assert_false(is_beside());
}

/* It wrote to what is called ".tmp" in the working directory, and removed it. */
static void a_path_that_is_empty_is_refused(void **state)
{
	struct content content = make(5);
	int before = open(".", O_RDONLY), file;

	(void)state;
	assert_true(before >= 0);
	assert_int_equal(chdir(folder), 0);
	file = open(".tmp", O_WRONLY | O_CREAT | O_EXCL, 0600);
	assert_int_equal(write(file, "mine", 4), 4);
	assert_int_equal(pccl_checkpoint_write(&pccl_disk_real, "", &content.manifest, content.places, 1),
			 pcclInvalidArgument);
	assert_int_equal(lseek(file, 0, SEEK_END), 4);
	assert_int_equal(unlink(".tmp"), 0);
	assert_int_equal(fchdir(before), 0);
	close(file);
	close(before);
	drop(&content);
}

static void flip(long at)
{
	FILE *file = fopen(path, "r+b");
	int byte;

	assert_non_null(file);
	assert_int_equal(fseek(file, at, SEEK_SET), 0);
	byte = fgetc(file);
	assert_int_equal(fseek(file, at, SEEK_SET), 0);
	assert_int_equal(fputc(byte ^ 4, file), byte ^ 4);
	assert_int_equal(fclose(file), 0);
}

static void damage_is_found(void **state)
{
	uint64_t revision;
	struct stat status;
	long at, step;

	(void)state;
	assert_int_equal(save(&pccl_disk_real, 6), pcclSuccess);
	assert_int_equal(stat(path, &status), 0);
	step = (long)status.st_size / 61;
	for (at = 0; at < (long)status.st_size; at += at < 300 ? 7 : step) {
		flip(at);
		assert_int_equal(load(&revision), pcclNoSharedStateAvailable);
		flip(at);
	}
	flip((long)status.st_size - 1);
	assert_int_equal(load(&revision), pcclNoSharedStateAvailable);
	assert_non_null(strstr(pccl_fail_text(), "'small'"));
	flip((long)status.st_size - 1);
	assert_int_equal(load(&revision), pcclSuccess);
}

static void a_file_that_was_cut_or_grew_is_refused(void **state)
{
	uint64_t revision;
	struct stat status;
	long at;

	(void)state;
	assert_int_equal(save(&pccl_disk_real, 7), pcclSuccess);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(truncate(path, status.st_size + 1), 0);
	assert_int_equal(load(&revision), pcclNoSharedStateAvailable);
	for (at = (long)status.st_size - 1; at >= 0; at = at < 5000 ? at - 13 : at / 2) {
		assert_int_equal(truncate(path, at), 0);
		assert_int_equal(load(&revision), pcclNoSharedStateAvailable);
		assert_true(strlen(pccl_fail_text()) > 20);
	}
	assert_int_equal(remove(path), 0);
	assert_int_equal(load(&revision), pcclNoSharedStateAvailable);
	assert_non_null(strstr(pccl_fail_text(), "there is no checkpoint"));
}

/* ---- a large one ------------------------------ */

#define HUGE_BYTES ((UINT64_C(1) << 32) + PCCL_CHUNK_BYTES + 5)

/* Keeps what was written up to a limit and at the very end; all between is zeros. */
struct sparse {
	uint8_t head[64 << 10];
	uint8_t tail[16];
	uint64_t bytes;
	uint64_t tail_offset;
};

static int sparse_find(void *context, const char *name, char place_out[PCCL_DISK_PATH_BYTES], uint32_t *mode_out)
{
	(void)context;
	(void)snprintf(place_out, PCCL_DISK_PATH_BYTES, "%s", name);
	*mode_out = PCCL_DISK_NEW;
	return 0;
}

static int sparse_create(void *context, const char *name, uint32_t mode)
{
	(void)context;
	(void)name;
	(void)mode;
	return 1000;
}

static int sparse_permit(void *context, int file, uint32_t mode)
{
	(void)context;
	(void)file;
	(void)mode;
	return 0;
}

static int sparse_open(void *context, const char *name)
{
	(void)context;
	(void)name;
	return 1000;
}

static int sparse_size(void *context, int file, uint64_t *bytes_out)
{
	(void)file;
	*bytes_out = ((struct sparse *)context)->bytes;
	return 0;
}

static int sparse_write(void *context, int file, const void *data, size_t bytes, uint64_t offset)
{
	struct sparse *sparse = context;

	(void)file;
	if (offset + bytes <= sizeof(sparse->head))
		memcpy(sparse->head + offset, data, bytes);
	if (bytes < sizeof(sparse->tail)) {
		memcpy(sparse->tail, data, bytes);
		sparse->tail_offset = offset;
		sparse->bytes = offset + bytes;
	}
	return 0;
}

static int sparse_read(void *context, int file, void *data, size_t bytes, uint64_t offset)
{
	const struct sparse *sparse = context;

	(void)file;
	if (offset + bytes <= sizeof(sparse->head))
		memcpy(data, sparse->head + offset, bytes);
	if (offset == sparse->tail_offset)
		memcpy(data, sparse->tail, bytes);
	return 0;
}

static int sparse_done(void *context, int file)
{
	(void)context;
	(void)file;
	return 0;
}

static int sparse_folder(void *context, const char *name)
{
	(void)context;
	(void)name;
	return 0;
}

static int sparse_rename(void *context, const char *from, const char *to)
{
	(void)context;
	(void)from;
	(void)to;
	return 0;
}

static uint8_t *map_zeros(void)
{
	uint8_t *zeros =
		mmap(NULL, HUGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	assert_true(zeros != MAP_FAILED);
	return zeros;
}

static void load_huge(const struct pccl_disk *disk, uint8_t *to)
{
	const struct pccl_chunk_tensor place = {.name = "huge", .data = to, .bytes = HUGE_BYTES};
	const struct pccl_manifest_tensor *tensor;
	struct pccl_manifest manifest;
	uint64_t offset;
	int file;

	assert_int_equal(pccl_checkpoint_open(disk, path, &file, &manifest, &offset), pcclSuccess);
	tensor = pccl_manifest_find(&manifest, "huge");
	assert_non_null(tensor);
	assert_true(tensor->bytes == HUGE_BYTES);
	assert_int_equal(pccl_checkpoint_read(disk, file, path, offset, &tensor, &place, 1, true, 2), pcclSuccess);
	pccl_manifest_fini(&manifest);
}

static void a_tensor_beyond_4_gib_goes_there_and_back(void **state)
{
	static struct sparse sparse;
	const struct pccl_disk disk = {.find = sparse_find,
				       .create = sparse_create,
				       .open = sparse_open,
				       .size = sparse_size,
				       .write = sparse_write,
				       .read = sparse_read,
				       .sync = sparse_done,
				       .permit = sparse_permit,
				       .close = sparse_done,
				       .rename = sparse_rename,
				       .sync_folder = sparse_folder,
				       .context = &sparse};
	struct pccl_manifest manifest = {.revision = 1};
	uint8_t *from = map_zeros(), *to = map_zeros();
	const struct pccl_chunk_tensor place = {.name = "huge", .data = from, .bytes = HUGE_BYTES};

	(void)state;
	memcpy(from + HUGE_BYTES - 5, "huge", 5);
	assert_int_equal(pccl_manifest_reserve(&manifest, 1), pcclSuccess);
	manifest.tensors[0].name = pccl_strdup("huge");
	manifest.tensors[0].dimension_count = 1;
	manifest.tensors[0].dimensions[0] = manifest.tensors[0].bytes = HUGE_BYTES;
	assert_int_equal(pccl_manifest_index(&manifest), pcclSuccess);
	assert_int_equal(pccl_manifest_place(&manifest), pcclSuccess);
	assert_int_equal(pccl_checkpoint_write(&disk, path, &manifest, &place, 2), pcclSuccess);
	load_huge(&disk, to);
	assert_string_equal((char *)to + HUGE_BYTES - 5, "huge");
	pccl_manifest_fini(&manifest);
	assert_int_equal(munmap(from, HUGE_BYTES), 0);
	assert_int_equal(munmap(to, HUGE_BYTES), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_saved_is_loaded),
		cmocka_unit_test(the_old_one_survives_a_failure_of_every_call),
		cmocka_unit_test(a_name_that_is_not_on_the_disk_is_told),
		cmocka_unit_test(two_saves_at_a_time_are_refused),
		cmocka_unit_test(a_path_that_is_empty_is_refused),
		cmocka_unit_test(damage_is_found),
		cmocka_unit_test(a_tensor_beyond_4_gib_goes_there_and_back),
		cmocka_unit_test(a_file_that_was_cut_or_grew_is_refused),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
