/* Files that hold secrets, keys and certificates: what is no plain file is refused, who may open it is looked at. */
#ifndef PCCL_TRANSPORT_FILES_H
#define PCCL_TRANSPORT_FILES_H

#include <stdbool.h>
#include <stdio.h>

#include <pccl.h>

/* Opens for reading. `what` it holds, in words. Warns if others than its owner may read it (`is_secret`), or write it.
 * Never waits: a FIFO, or a device, is pcclInvalidArgument, as what can't be opened. */
pcclResult_t pccl_files_open(const char *path, const char *what, bool is_secret, FILE **file_out);

/* The same for a file that OpenSSL opens by itself. */
pcclResult_t pccl_files_check(const char *path, const char *what, bool is_secret);

#endif
