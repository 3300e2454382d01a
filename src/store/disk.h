/* What a checkpoint asks of the file system, as a table: tests put one in its place that fails, or stops, at the nth
 * call. The real one repeats what was interrupted or done in part. */
#ifndef PCCL_STORE_DISK_H
#define PCCL_STORE_DISK_H

#include <pccl.h>
#include <stdbool.h>
#include <stdint.h>

#define PCCL_DISK_PATH_BYTES 4096

/* All return 0, or a descriptor, or -1 with errno. ENXIO: what has this name is no regular file. */
struct pccl_disk {
	/* Where a file of this name lies: a link is followed. *mode_out: what it lets whom do; PCCL_DISK_NEW: there is
	 * none. ENOENT: the link leads nowhere. */
	int (*find)(void *context, const char *path, char place_out[PCCL_DISK_PATH_BYTES], uint32_t *mode_out);
	/* To write, alone and emptied; unless `mode` is PCCL_DISK_NEW, nobody else can read it before permit() says so.
	 * EBUSY: somebody else writes. */
	int (*create)(void *context, const char *path, uint32_t mode);
	int (*open)(void *context, const char *path); /* to read */
	int (*size)(void *context, int file, uint64_t *bytes_out);
	int (*write)(void *context, int file, const void *data, size_t bytes, uint64_t offset); /* all of it */
	int (*read)(void *context, int file, void *data, size_t bytes, uint64_t offset); /* all; errno 0: it ends */
	int (*sync)(void *context, int file);
	int (*permit)(void *context, int file, uint32_t mode);
	int (*close)(void *context, int file);
	int (*rename)(void *context, const char *from, const char *to);
	int (*remove)(void *context, const char *path);
	int (*sync_folder)(void *context, const char *path); /* of this file */
	void *context;
};

#define PCCL_DISK_NEW UINT32_MAX /* as the process makes files */

extern const struct pccl_disk pccl_disk_real;

#endif
