/* See cuda.h. */
#include "device/cuda.h"

#include <dlfcn.h>
#include <pthread.h>

#include "base/fail.h"
#include "base/symbols.h"

#define LIBRARY "libcuda.so.1"

/* The driver's numbers. */
#define ATTRIBUTE_CONTEXT 1
#define ATTRIBUTE_ORDINAL 9
#define ERROR_INVALID_VALUE 1

static const struct pccl_symbol entries[] = {
	{"cuInit", offsetof(struct pccl_cuda, init)},
	{"cuGetErrorString", offsetof(struct pccl_cuda, error_string)},
	{"cuDeviceGet", offsetof(struct pccl_cuda, device_get)},
	{"cuDevicePrimaryCtxRetain", offsetof(struct pccl_cuda, primary_retain)},
	{"cuDevicePrimaryCtxRelease_v2", offsetof(struct pccl_cuda, primary_release)},
	{"cuCtxGetCurrent", offsetof(struct pccl_cuda, context_get)},
	{"cuCtxSetCurrent", offsetof(struct pccl_cuda, context_set)},
	{"cuCtxSynchronize", offsetof(struct pccl_cuda, context_synchronize)},
	{"cuPointerGetAttribute", offsetof(struct pccl_cuda, pointer_attribute)},
	{"cuMemHostAlloc", offsetof(struct pccl_cuda, host_alloc)},
	{"cuMemFreeHost", offsetof(struct pccl_cuda, host_free)},
	{"cuStreamCreate", offsetof(struct pccl_cuda, stream_create)},
	{"cuStreamDestroy_v2", offsetof(struct pccl_cuda, stream_destroy)},
	{"cuStreamSynchronize", offsetof(struct pccl_cuda, stream_synchronize)},
	{"cuEventCreate", offsetof(struct pccl_cuda, event_create)},
	{"cuEventDestroy_v2", offsetof(struct pccl_cuda, event_destroy)},
	{"cuEventRecord", offsetof(struct pccl_cuda, event_record)},
	{"cuEventSynchronize", offsetof(struct pccl_cuda, event_synchronize)},
	{"cuMemcpyDtoHAsync_v2", offsetof(struct pccl_cuda, copy_to_host)},
	{"cuMemcpyHtoDAsync_v2", offsetof(struct pccl_cuda, copy_to_device)},
};

/* One for the process, as the driver is; under the lock until it is loaded, and never changed afterwards. */
static struct pccl_cuda driver;
static bool loaded;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* Whoever may be loading it is not in the child. */
static void in_child(void)
{
	const pthread_mutex_t unlocked = PTHREAD_MUTEX_INITIALIZER;

	lock = unlocked;
}

static __attribute__((constructor)) void watch_forks(void)
{
	(void)pthread_atfork(NULL, NULL, in_child);
}

static pcclResult_t look_up(void *library)
{
	const char *missing = pccl_symbols_find(library, entries, sizeof(entries) / sizeof(*entries), &driver);

	if (missing != NULL)
		return pccl_fail(pcclInvalidArgument, "the CUDA driver (" LIBRARY ") is too old: it has no %s",
				 missing);
	return pcclSuccess;
}

static pcclResult_t load(void)
{
	void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
	const char *text = NULL;
	pcclResult_t result;
	int error;

	if (library == NULL)
		return pccl_fail(pcclInvalidArgument,
				 "tensors on a CUDA device need NVIDIA's driver here, and " LIBRARY
				 " can't be loaded: %s",
				 dlerror());
	result = look_up(library);
	if (result == pcclSuccess) {
		error = driver.init(0);
		if (error != 0 && driver.error_string(error, &text) != 0)
			text = NULL;
		if (error != 0)
			result = pccl_fail(pcclInvalidArgument, "the CUDA driver can't be used here: %s (%d)",
					   text != NULL ? text : "it does not say why", error);
	}
	if (result != pcclSuccess)
		(void)dlclose(library);
	return result;
}

pcclResult_t pccl_cuda_load(const struct pccl_cuda **cuda_out)
{
	pcclResult_t result = pcclSuccess;

	pthread_mutex_lock(&lock);
	if (!loaded)
		result = load();
	loaded = result == pcclSuccess;
	pthread_mutex_unlock(&lock);
	*cuda_out = &driver;
	return result;
}

pcclResult_t pccl_cuda_failure(const struct pccl_cuda *cuda, const char *what, int error)
{
	const char *text = NULL;

	if (cuda->error_string(error, &text) != 0 || text == NULL)
		text = "unknown error";
	return pccl_fail(pcclSystemError, "the CUDA driver can't %s: %s (%d)", what, text, error);
}

pcclResult_t pccl_cuda_owner(const struct pccl_cuda *cuda, const void *pointer, pccl_cuda_context *context_out,
			     int *device_out)
{
	uint64_t address = (uint64_t)(uintptr_t)pointer;
	int ordinal, error;

	*device_out = -1;
	if (cuda->pointer_attribute(context_out, ATTRIBUTE_CONTEXT, address) == 0 && *context_out != NULL)
		return pcclSuccess;
	/* What comes from a pool of the driver, or was mapped piece by piece, is of a device and of no context. */
	error = cuda->pointer_attribute(&ordinal, ATTRIBUTE_ORDINAL, address);
	if (error == ERROR_INVALID_VALUE)
		return pccl_fail(pcclInvalidArgument, "the CUDA driver does not know the address %p", pointer);
	if (error == 0)
		error = cuda->device_get(device_out, ordinal);
	if (error == 0)
		error = cuda->primary_retain(context_out, *device_out);
	if (error != 0) {
		*device_out = -1;
		return pccl_cuda_failure(cuda, "open the device of a tensor", error);
	}
	return pcclSuccess;
}
