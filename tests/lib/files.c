/* Wrappers around the calls that change files. */
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

/* ld --wrap=NAME sends calls of NAME to __wrap_NAME and calls of __real_NAME to NAME. */
ssize_t __real_pwrite(int file, const void *data, size_t bytes, off_t offset);
int __real_fsync(int file);
int __real_rename(const char *from, const char *to);
int __real_ftruncate(int file, off_t bytes);
int __real_open(const char *path, int flags, ...);
ssize_t __wrap_pwrite(int file, const void *data, size_t bytes, off_t offset);
int __wrap_fsync(int file);
int __wrap_rename(const char *from, const char *to);
int __wrap_ftruncate(int file, off_t bytes);
int __wrap_open(const char *path, int flags, ...);

static long countdown;
static enum check_file_fault kind;
static int reason;
static const char *hit;

void check_fail_file(size_t nth, enum check_file_fault fault, int error)
{
	kind = fault;
	reason = error;
	__atomic_store_n(&hit, (const char *)NULL, __ATOMIC_RELAXED);
	__atomic_store_n(&countdown, (long)nth, __ATOMIC_SEQ_CST);
}

const char *check_file_failed(void)
{
	return __atomic_load_n(&hit, __ATOMIC_RELAXED);
}

static bool is_hit(const char *name)
{
	if (__atomic_load_n(&countdown, __ATOMIC_SEQ_CST) < 1 ||
	    __atomic_sub_fetch(&countdown, 1, __ATOMIC_SEQ_CST) != 0)
		return false;
	__atomic_store_n(&hit, name, __ATOMIC_RELAXED);
	return true;
}

/* True: the call fails, with errno. */
static bool fails(const char *name)
{
	if (!is_hit(name) || kind == CHECK_FILE_SHORT)
		return false;
	if (kind == CHECK_FILE_KILLS)
		(void)kill(getpid(), SIGKILL);
	errno = reason;
	return true;
}

ssize_t __wrap_pwrite(int file, const void *data, size_t bytes, off_t offset)
{
	if (!is_hit("pwrite"))
		return __real_pwrite(file, data, bytes, offset);
	if (kind == CHECK_FILE_SHORT && bytes < 2) {
		errno = EINTR;
		return -1;
	}
	if (kind == CHECK_FILE_SHORT)
		return __real_pwrite(file, data, bytes / 2, offset);
	(void)__real_pwrite(file, data, bytes / 2, offset);
	if (kind == CHECK_FILE_KILLS)
		(void)kill(getpid(), SIGKILL);
	errno = reason;
	return -1;
}

int __wrap_fsync(int file)
{
	return fails("fsync") ? -1 : __real_fsync(file);
}

int __wrap_rename(const char *from, const char *to)
{
	return fails("rename") ? -1 : __real_rename(from, to);
}

int __wrap_ftruncate(int file, off_t bytes)
{
	return fails("ftruncate") ? -1 : __real_ftruncate(file, bytes);
}

int __wrap_open(const char *path, int flags, ...)
{
	mode_t mode = 0;

	if ((flags & O_CREAT) != 0) {
		va_list arguments;

		va_start(arguments, flags);
		mode = va_arg(arguments, mode_t);
		va_end(arguments);
	}
	return fails("open") ? -1 : __real_open(path, flags, mode);
}
