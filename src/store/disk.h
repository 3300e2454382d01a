/* What a checkpoint asks of the file system, as a table: tests put one in its place that fails, or stops, at the nth
 * call. The real one repeats what was interrupted or done in part. */
#ifndef PCCL_STORE_DISK_H
#define PCCL_STORE_DISK_H

#include <pccl.h>
#include <stdbool.h>
#include <stdint.h>

/* All return 0, or a descriptor, or -1 with errno. */
struct pccl_disk {
	int (*create)(void *context, const char *path); /* to write, alone and emptied; EBUSY: somebody else does */
	int (*open)(void *context, const char *path);	/* to read */
	int (*size)(void *context, int file, uint64_t *bytes_out);
	int (*write)(void *context, int file, const void *data, size_t bytes, uint64_t offset); /* all of it */
	int (*read)(void *context, int file, void *data, size_t bytes, uint64_t offset); /* all; errno 0: it ends */
	int (*sync)(void *context, int file);
	int (*close)(void *context, int file);
	int (*rename)(void *context, const char *from, const char *to);
	int (*remove)(void *context, const char *path);
	int (*sync_folder)(void *context, const char *path); /* of this file */
	void *context;
};

extern const struct pccl_disk pccl_disk_real;

#endif
