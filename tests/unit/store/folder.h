/* A folder of a test's own for one checkpoint: set-up and teardown of the group. */
#ifndef PCCL_TESTS_STORE_FOLDER_H
#define PCCL_TESTS_STORE_FOLDER_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char folder[64];
static char path[96]; /* of the checkpoint */

static inline int make_folder(void **state)
{
	(void)state;
	(void)snprintf(folder, sizeof(folder), "/tmp/pccl-checkpoint-XXXXXX");
	if (mkdtemp(folder) == NULL)
		return -1;
	(void)snprintf(path, sizeof(path), "%s/state.safetensors", folder);
	return 0;
}

static inline int remove_folder(void **state)
{
	char beside[112];

	(void)state;
	(void)snprintf(beside, sizeof(beside), "%s.tmp", path);
	(void)remove(beside);
	(void)remove(path);
	return rmdir(folder);
}

#endif
