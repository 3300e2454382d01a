#include "transport/files.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fail.h"
#include "base/log.h"

static void warn_of_others(const char *path, const char *what, bool is_secret, mode_t mode)
{
	if (is_secret && (mode & (S_IRWXG | S_IRWXO)) != 0)
		pccl_log_warn("%s holds %s, and others than its owner may open it: chmod 600", path, what);
	else if ((mode & (S_IWGRP | S_IWOTH)) != 0)
		pccl_log_warn("%s holds %s, and others than its owner may change it: chmod 644", path, what);
}

pcclResult_t pccl_files_open(const char *path, const char *what, bool is_secret, FILE **file_out)
{
	struct stat status;

	*file_out = NULL;
	if (stat(path, &status) != 0)
		return pccl_fail(pcclInvalidArgument, "%s: %s", path, strerror(errno));
	/* Who opens a FIFO waits for somebody at its other end. */
	if (!S_ISREG(status.st_mode))
		return pccl_fail(pcclInvalidArgument, "%s is no regular file: %s has to be in one", path, what);
	warn_of_others(path, what, is_secret, status.st_mode);
	*file_out = fopen(path, "re");
	if (*file_out == NULL)
		return pccl_fail(pcclInvalidArgument, "%s: %s", path, strerror(errno));
	return pcclSuccess;
}

pcclResult_t pccl_files_check(const char *path, const char *what, bool is_secret)
{
	FILE *file;
	pcclResult_t result = pccl_files_open(path, what, is_secret, &file);

	if (result == pcclSuccess)
		(void)fclose(file);
	return result;
}
