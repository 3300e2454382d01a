/* See checkpoint.h. */
#include "store/checkpoint.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "base/memory.h"
#include "store/checkpoint_work.h"

#define PATH_BYTES_MAX 4096

/* "" or why, from errno. */
static pcclResult_t system_failure(const char *what, const char *path)
{
	char reason[128];

	return pccl_fail(pcclSystemError, "%s %s: %s", what, path, strerror_r(errno, reason, sizeof(reason)));
}

/* ---- writing ------------------------------ */

static pcclResult_t write_tensors(const struct pccl_disk *disk, int file, const char *path,
				  struct pccl_manifest *manifest, void *const *data, uint64_t data_offset,
				  uint32_t threads)
{
	const struct pccl_manifest_tensor **tensors = pccl_calloc(manifest->tensor_count, sizeof(void *));
	struct pccl_chunk_work work = {.disk = disk,
				       .file = file,
				       .data_offset = data_offset,
				       .writes = true,
				       .count = manifest->tensor_count,
				       .tensors = tensors,
				       .data = data};
	pcclResult_t result = pcclSuccess;
	size_t index;

	if (tensors == NULL)
		return pcclOutOfMemory;
	for (index = 0; index < manifest->tensor_count; index++)
		tensors[index] = &manifest->tensors[index];
	if (!pccl_chunk_work_run(&work, threads)) {
		errno = work.failure;
		result = errno == 0 ? pcclOutOfMemory : system_failure("can't write", path);
	}
	for (index = 0; result == pcclSuccess && index < manifest->tensor_count; index++)
		manifest->tensors[index].digest = pccl_chunk_work_root(&work, index);
	pccl_chunk_work_fini(&work);
	pccl_free(tensors);
	return result;
}

/* The header is written last: a file without one is none. */
static pcclResult_t fill(const struct pccl_disk *disk, int file, const char *path, struct pccl_manifest *manifest,
			 void *const *data, uint32_t threads)
{
	uint8_t *header;
	size_t bytes;
	pcclResult_t result = pccl_manifest_encode(manifest, &header, &bytes);

	if (result != pcclSuccess)
		return result;
	pccl_free(header);
	result = write_tensors(disk, file, path, manifest, data, bytes, threads);
	if (result == pcclSuccess)
		result = pccl_manifest_encode(manifest, &header, &bytes);
	if (result != pcclSuccess)
		return result;
	if (disk->write(disk->context, file, header, bytes, 0) != 0)
		result = system_failure("can't write", path);
	pccl_free(header);
	if (result == pcclSuccess && disk->sync(disk->context, file) != 0)
		result = system_failure("can't force to the disk", path);
	return result;
}

pcclResult_t pccl_checkpoint_write(const struct pccl_disk *disk, const char *path, struct pccl_manifest *manifest,
				   void *const *data, uint32_t threads)
{
	char beside[PATH_BYTES_MAX];
	pcclResult_t result;
	int file;

	if ((size_t)snprintf(beside, sizeof(beside), "%s.tmp", path) >= sizeof(beside))
		return pccl_fail(pcclInvalidArgument, "the path of the checkpoint is too long");
	file = disk->create(disk->context, beside);
	if (file < 0)
		return errno == EBUSY ? pccl_fail(pcclInvalidUsage, "another save to %s is running", path)
				      : system_failure("can't create", beside);
	result = fill(disk, file, beside, manifest, data, threads);
	if (result == pcclSuccess && disk->rename(disk->context, beside, path) != 0)
		result = system_failure("can't give the checkpoint its name", path);
	if (result != pcclSuccess)
		(void)disk->remove(disk->context, beside);
	else if (disk->sync_folder(disk->context, path) != 0)
		result = system_failure("the checkpoint is there, but its name can't be forced to the disk:", path);
	(void)disk->close(disk->context, file);
	return result;
}

/* ---- reading ------------------------------ */

static pcclResult_t too_short(const char *path)
{
	return pccl_fail(pcclNoSharedStateAvailable, "%s is not a whole checkpoint: it ends too early", path);
}

static pcclResult_t read_failure(const char *path)
{
	return errno == 0 ? too_short(path) : system_failure("can't read", path);
}

static pcclResult_t read_manifest(const struct pccl_disk *disk, const char *path, int file,
				  struct pccl_manifest *manifest, uint64_t *data_offset_out)
{
	uint8_t first[8];
	uint64_t file_bytes;
	size_t json_bytes;
	pcclResult_t result;
	char *json;

	if (disk->size(disk->context, file, &file_bytes) != 0)
		return system_failure("can't read", path);
	if (file_bytes < sizeof(first))
		return too_short(path);
	if (disk->read(disk->context, file, first, sizeof(first), 0) != 0)
		return read_failure(path);
	result = pccl_manifest_length(first, file_bytes, &json_bytes);
	if (result != pcclSuccess)
		return pccl_fail(result, "%s: %s", path, pccl_fail_text());
	json = pccl_alloc(json_bytes);
	if (json == NULL)
		return pcclOutOfMemory;
	*data_offset_out = sizeof(first) + json_bytes;
	if (disk->read(disk->context, file, json, json_bytes, sizeof(first)) != 0)
		result = read_failure(path);
	else
		result = pccl_manifest_decode(json, json_bytes, file_bytes - *data_offset_out, manifest);
	pccl_free(json);
	return result == pcclNoSharedStateAvailable ? pccl_fail(result, "%s: %s", path, pccl_fail_text()) : result;
}

pcclResult_t pccl_checkpoint_open(const struct pccl_disk *disk, const char *path, int *file_out,
				  struct pccl_manifest *manifest_out, uint64_t *data_offset_out)
{
	memset(manifest_out, 0, sizeof(*manifest_out));
	*file_out = disk->open(disk->context, path);
	if (*file_out < 0 && errno == ENOENT)
		return pccl_fail(pcclNoSharedStateAvailable, "there is no checkpoint %s", path);
	if (*file_out < 0)
		return system_failure("can't open", path);
	return read_manifest(disk, path, *file_out, manifest_out, data_offset_out);
}

pcclResult_t pccl_checkpoint_read(const struct pccl_disk *disk, int file, uint64_t data_offset,
				  const struct pccl_manifest_tensor *const *tensors, void *const *data, size_t count,
				  uint32_t threads)
{
	struct pccl_chunk_work work = {.disk = disk,
				       .file = file,
				       .data_offset = data_offset,
				       .count = count,
				       .tensors = tensors,
				       .data = data};
	pcclResult_t result = pcclSuccess;
	size_t index;

	if (!pccl_chunk_work_run(&work, threads)) {
		errno = work.failure == PCCL_CHUNK_WORK_ENDED ? 0 : work.failure;
		result = work.failure == 0 ? pcclOutOfMemory : read_failure("the checkpoint");
	}
	for (index = 0; result == pcclSuccess && index < count; index++) {
		struct pccl_digest found = pccl_chunk_work_root(&work, index);

		if (!pccl_digest_equal(&found, &tensors[index]->digest))
			result = pccl_fail(pcclNoSharedStateAvailable,
					   "the checkpoint is damaged: tensor '%.100s' has not the hash it was "
					   "written with",
					   tensors[index]->name);
	}
	pccl_chunk_work_fini(&work);
	return result;
}
