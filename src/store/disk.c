/* See disk.h. */
#include "store/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE_BYTES ((size_t)1 << 30) /* Linux moves 2 GiB at a time at most */

/* Is it still the file of this name? Else the one who had locked it has renamed it meanwhile. */
static bool is_named(int file, const char *path)
{
	struct stat opened, named;

	return fstat(file, &opened) == 0 && stat(path, &named) == 0 && opened.st_ino == named.st_ino &&
	       opened.st_dev == named.st_dev;
}

/* A lock tells a file that is being written from one that a killed program left. */
static int create_file(void *context, const char *path)
{
	int file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666), error;

	(void)context;
	if (file < 0)
		return -1;
	if (flock(file, LOCK_EX | LOCK_NB) != 0 || !is_named(file, path)) {
		close(file);
		errno = EBUSY;
		return -1;
	}
	if (ftruncate(file, 0) == 0)
		return file;
	error = errno;
	(void)unlink(path); /* nobody else's, for it is locked */
	close(file);
	errno = error;
	return -1;
}

/* Several threads read turn by turn what lies in a row, which the kernel takes for reading at random and reads little
 * ahead. */
static int open_file(void *context, const char *path)
{
	int file = open(path, O_RDONLY | O_CLOEXEC);

	(void)context;
	if (file >= 0)
		(void)posix_fadvise(file, 0, 0, POSIX_FADV_SEQUENTIAL);
	return file;
}

static int size_of(void *context, int file, uint64_t *bytes_out)
{
	struct stat status;

	(void)context;
	if (fstat(file, &status) != 0)
		return -1;
	if (!S_ISREG(status.st_mode)) {
		errno = S_ISDIR(status.st_mode) ? EISDIR : EINVAL;
		return -1;
	}
	*bytes_out = (uint64_t)status.st_size;
	return 0;
}

static int write_all(void *context, int file, const void *data, size_t bytes, uint64_t offset)
{
	const uint8_t *at = data;

	(void)context;
	while (bytes > 0) {
		ssize_t done = pwrite(file, at, bytes < PIECE_BYTES ? bytes : PIECE_BYTES, (off_t)offset);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return -1;
		at += done;
		bytes -= (size_t)done;
		offset += (uint64_t)done;
	}
	return 0;
}

static int read_all(void *context, int file, void *data, size_t bytes, uint64_t offset)
{
	uint8_t *at = data;

	(void)context;
	while (bytes > 0) {
		ssize_t done = pread(file, at, bytes < PIECE_BYTES ? bytes : PIECE_BYTES, (off_t)offset);

		if (done < 0 && errno == EINTR)
			continue;
		if (done == 0)
			errno = 0;
		if (done <= 0)
			return -1;
		at += done;
		bytes -= (size_t)done;
		offset += (uint64_t)done;
	}
	return 0;
}

static int sync_file(void *context, int file)
{
	(void)context;
	return fsync(file);
}

static int close_file(void *context, int file)
{
	(void)context;
	return close(file);
}

static int rename_file(void *context, const char *from, const char *to)
{
	(void)context;
	return rename(from, to);
}

static int remove_file(void *context, const char *path)
{
	(void)context;
	return unlink(path);
}

static int sync_folder(void *context, const char *path)
{
	const char *slash = strrchr(path, '/');
	char folder[4096] = ".";
	int file, result;

	(void)context;
	if (slash != NULL)
		(void)snprintf(folder, sizeof(folder), "%.*s", (int)(slash == path ? 1 : slash - path), path);
	file = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (file < 0)
		return -1;
	result = fsync(file);
	close(file);
	return result;
}

const struct pccl_disk pccl_disk_real = {.create = create_file,
					 .open = open_file,
					 .size = size_of,
					 .write = write_all,
					 .read = read_all,
					 .sync = sync_file,
					 .close = close_file,
					 .rename = rename_file,
					 .remove = remove_file,
					 .sync_folder = sync_folder};
