/* See disk.h. */
#include "store/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
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

static int close_with(int file, int error)
{
	close(file);
	errno = error;
	return -1;
}

/* Nobody waits in it: of a FIFO for the other end, of a terminal for a line. */
static int open_regular(const char *path, int flags, mode_t mode)
{
	int file = open(path, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, mode);
	struct stat status;

	if (file < 0)
		return -1;
	if (fstat(file, &status) != 0)
		return close_with(file, errno);
	return S_ISREG(status.st_mode) ? file : close_with(file, ENXIO);
}

static int find_file(void *context, const char *path, char place_out[PCCL_DISK_PATH_BYTES], uint32_t *mode_out)
{
	struct stat status;
	char place[PATH_MAX];

	(void)context;
	*mode_out = PCCL_DISK_NEW;
	if (snprintf(place_out, PCCL_DISK_PATH_BYTES, "%s", path) >= PCCL_DISK_PATH_BYTES) {
		errno = ENAMETOOLONG;
		return -1;
	}
	if (lstat(path, &status) != 0)
		return errno == ENOENT ? 0 : -1;
	if (S_ISLNK(status.st_mode)) {
		if (realpath(path, place) == NULL || stat(place, &status) != 0)
			return -1;
		(void)snprintf(place_out, PCCL_DISK_PATH_BYTES, "%s", place);
	}
	if (!S_ISREG(status.st_mode)) {
		errno = ENXIO;
		return -1;
	}
	*mode_out = status.st_mode & 0777;
	return 0;
}

/* File systems without locks (Lustre's default) will do: nobody there tells two saves at a time apart. */
static bool is_taken(int file)
{
	return flock(file, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
}

/* A lock tells a file that is being written from one that a killed program left. */
static int create_file(void *context, const char *path, uint32_t mode)
{
	const bool new = mode == PCCL_DISK_NEW;
	int file = open_regular(path, O_WRONLY | O_CREAT | O_NOFOLLOW, new ? 0666 : 0600), error;

	(void)context;
	if (file < 0)
		return -1;
	if (is_taken(file) || !is_named(file, path))
		return close_with(file, EBUSY);
	if (ftruncate(file, 0) == 0 && (new || fchmod(file, 0600) == 0))
		return file;
	error = errno;
	(void)unlink(path); /* nobody else's, where there are locks */
	return close_with(file, error);
}

/* Several threads read turn by turn what lies in a row, which the kernel takes for reading at random and reads little
 * ahead. */
static int open_file(void *context, const char *path)
{
	int file = open_regular(path, O_RDONLY, 0);

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

static int permit(void *context, int file, uint32_t mode)
{
	(void)context;
	return mode == PCCL_DISK_NEW ? 0 : fchmod(file, mode);
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
	char folder[PCCL_DISK_PATH_BYTES] = ".";
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

const struct pccl_disk pccl_disk_real = {.find = find_file,
					 .create = create_file,
					 .open = open_file,
					 .size = size_of,
					 .write = write_all,
					 .read = read_all,
					 .sync = sync_file,
					 .permit = permit,
					 .close = close_file,
					 .rename = rename_file,
					 .remove = remove_file,
					 .sync_folder = sync_folder};
