/* See device.h. */
#include "lib/device.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A library that is loaded already serves all who ask for its name. */
const struct standin *check_standin(void)
{
	const struct standin *found = NULL;
	char path[4096];
	ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 64);
	char *folder;
	void *library = NULL;

	if (length > 0) {
		path[length] = '\0';
		folder = strstr(path, "/test/");
		if (folder != NULL)
			(void)strcpy(folder, "/test/standin/libcuda.so.1");
		library = dlopen(path, RTLD_NOW);
	}
	if (library != NULL)
		found = dlsym(library, "pccl_standin");
	if (found == NULL) {
		fprintf(stderr, "no stand-in for the CUDA driver: %s\n", dlerror());
		exit(1);
	}
	return found;
}
