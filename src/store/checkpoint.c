/* See checkpoint.h. */
#include "store/checkpoint.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "base/memory.h"

/* "" or why, from errno. */
static pcclResult_t system_failure(const char *what, const char *path)
{
	char reason[128];

	return pccl_fail(pcclSystemError, "%s %s: %s", what, path, strerror_r(errno, reason, sizeof(reason)));
}

/* It may be a device, which a save must not replace, or a FIFO, in which a load would wait. */
static pcclResult_t not_regular(const char *path)
{
	return pccl_fail(pcclInvalidArgument, "%s is not a regular file", path);
}

static pcclResult_t too_long(void)
{
	return pccl_fail(pcclInvalidArgument, "the path of the checkpoint is too long");
}

/* ---- writing ------------------------------ */

/* Where the chunks of an open file go to or come from. */
struct chunk_file {
	const struct pccl_disk *disk;
	int file;
	const char *path;
	uint64_t data_offset;
	const struct pccl_manifest_tensor *const *tensors;
};

static pcclResult_t write_chunk(void *context, const struct pccl_chunk *chunk, const void *bytes)
{
	const struct chunk_file *to = context;
	uint64_t offset = to->data_offset + to->tensors[chunk->tensor]->offset + chunk->offset;

	if (to->disk->write(to->disk->context, to->file, bytes, chunk->bytes, offset) != 0)
		return system_failure("can't write", to->path);
	return pcclSuccess;
}

static pcclResult_t write_tensors(struct chunk_file *to, struct pccl_manifest *manifest,
				  const struct pccl_chunk_tensor *places, uint32_t threads)
{
	const struct pccl_manifest_tensor **tensors = pccl_calloc(manifest->tensor_count, sizeof(void *));
	struct pccl_chunk_work work = {
		.tensors = places, .count = manifest->tensor_count, .take = write_chunk, .context = to};
	pcclResult_t result;
	size_t index;

	if (tensors == NULL)
		return pcclOutOfMemory;
	for (index = 0; index < manifest->tensor_count; index++)
		tensors[index] = &manifest->tensors[index];
	to->tensors = tensors;
	result = pccl_chunk_work_run(&work, threads);
	for (index = 0; result == pcclSuccess && index < manifest->tensor_count; index++)
		manifest->tensors[index].digest = pccl_chunk_work_root(&work, index);
	pccl_chunk_work_fini(&work);
	pccl_free(tensors);
	return result;
}

/* The header is written last: a file without one is none. */
static pcclResult_t fill(const struct pccl_disk *disk, int file, const char *path, struct pccl_manifest *manifest,
			 const struct pccl_chunk_tensor *places, uint32_t threads)
{
	struct chunk_file to = {.disk = disk, .file = file, .path = path};
	uint8_t *header;
	size_t bytes;
	pcclResult_t result = pccl_manifest_encode(manifest, &header, &bytes);

	if (result != pcclSuccess)
		return result;
	pccl_free(header);
	to.data_offset = bytes;
	result = write_tensors(&to, manifest, places, threads);
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

/* The file that is replaced (*mode_out: or that will be new), and the one on its way beside it. */
static pcclResult_t find_places(const struct pccl_disk *disk, const char *path, char place[PCCL_DISK_PATH_BYTES],
				char beside[PCCL_DISK_PATH_BYTES], uint32_t *mode_out)
{
	if (path[0] == '\0')
		return pccl_fail(pcclInvalidArgument, "the path is empty");
	if (disk->find(disk->context, path, place, mode_out) != 0) {
		if (errno == ENXIO)
			return not_regular(path);
		if (errno == ENOENT)
			return pccl_fail(pcclInvalidArgument, "%s is a link that leads nowhere", path);
		return errno == ENAMETOOLONG ? too_long() : system_failure("can't look for", path);
	}
	return snprintf(beside, PCCL_DISK_PATH_BYTES, "%s.tmp", place) < PCCL_DISK_PATH_BYTES ? pcclSuccess
											      : too_long();
}

static pcclResult_t create_failure(const char *path, const char *beside)
{
	if (errno == EBUSY)
		return pccl_fail(pcclInvalidUsage, "another save to %s is running", path);
	return errno == ENXIO ? not_regular(beside) : system_failure("can't create", beside);
}

pcclResult_t pccl_checkpoint_write(const struct pccl_disk *disk, const char *path, struct pccl_manifest *manifest,
				   const struct pccl_chunk_tensor *places, uint32_t threads)
{
	char place[PCCL_DISK_PATH_BYTES], beside[PCCL_DISK_PATH_BYTES];
	uint32_t mode;
	pcclResult_t result = find_places(disk, path, place, beside, &mode);
	int file;

	if (result != pcclSuccess)
		return result;
	file = disk->create(disk->context, beside, mode);
	if (file < 0)
		return create_failure(path, beside);
	result = fill(disk, file, beside, manifest, places, threads);
	if (result == pcclSuccess && disk->permit(disk->context, file, mode) != 0)
		result = system_failure("can't give the mode of the old file to", beside);
	if (result == pcclSuccess && disk->rename(disk->context, beside, place) != 0)
		result = system_failure("can't give the checkpoint its name", path);
	if (result != pcclSuccess)
		(void)disk->remove(disk->context, beside);
	else if (disk->sync_folder(disk->context, place) != 0)
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
	if (*file_out < 0 && errno == ENXIO)
		return not_regular(path);
	if (*file_out < 0)
		return system_failure("can't open", path);
	return read_manifest(disk, path, *file_out, manifest_out, data_offset_out);
}

static pcclResult_t read_chunk(void *context, const struct pccl_chunk *chunk, void *bytes)
{
	const struct chunk_file *from = context;
	uint64_t offset = from->data_offset + from->tensors[chunk->tensor]->offset + chunk->offset;

	if (from->disk->read(from->disk->context, from->file, bytes, chunk->bytes, offset) != 0)
		return read_failure(from->path);
	return pcclSuccess;
}

pcclResult_t pccl_checkpoint_read(const struct pccl_disk *disk, int file, const char *path, uint64_t data_offset,
				  const struct pccl_manifest_tensor *const *tensors,
				  const struct pccl_chunk_tensor *places, size_t count, bool digests, uint32_t threads)
{
	struct chunk_file from = {
		.disk = disk, .file = file, .path = path, .data_offset = data_offset, .tensors = tensors};
	struct pccl_chunk_work work = {.tensors = places, .count = count, .fill = read_chunk, .context = &from};
	pcclResult_t result = pccl_chunk_work_run(&work, threads);
	size_t index;

	for (index = 0; digests && result == pcclSuccess && index < count; index++) {
		struct pccl_digest found = pccl_chunk_work_root(&work, index);

		if (!pccl_digest_equal(&found, &tensors[index]->digest))
			result = pccl_fail(pcclNoSharedStateAvailable,
					   "%s is damaged: tensor '%.100s' has not the hash it was written with", path,
					   tensors[index]->name);
	}
	pccl_chunk_work_fini(&work);
	return result;
}
