/* See device.h. */
#include "lib/device.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A library that is loaded already serves all who ask for its name. */
static const void *load(const char *name, const char *symbol)
{
	const void *found = NULL;
	char path[4096];
	ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 64);
	char *folder;
	void *library = NULL;

	if (length > 0) {
		path[length] = '\0';
		folder = strstr(path, "/test/");
		if (folder != NULL)
			(void)snprintf(folder, 64, "/test/standin/%s", name);
		library = dlopen(path, RTLD_NOW);
	}
	if (library != NULL)
		found = dlsym(library, symbol);
	if (found == NULL) {
		fprintf(stderr, "no stand-in %s: %s\n", name, dlerror());
		exit(1);
	}
	return found;
}

const struct standin *check_standin(void)
{
	return load("libcuda.so.1", "pccl_standin");
}

const struct standin_verbs *check_standin_verbs(void)
{
	return load("libibverbs.so.1", "pccl_standin_verbs");
}
