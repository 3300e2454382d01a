/* The CUDA driver, loaded at run time when a tensor on such a device is first met: building needs no header and no
 * toolkit of it. Only what the library needs: pinned memory, copies, and who a pointer belongs to. */
#ifndef PCCL_DEVICE_CUDA_H
#define PCCL_DEVICE_CUDA_H

#include <pccl.h>
#include <stddef.h>
#include <stdint.h>

/* The driver's handles. */
typedef struct pccl_cuda_context *pccl_cuda_context;
typedef struct pccl_cuda_stream *pccl_cuda_stream;
typedef struct pccl_cuda_event *pccl_cuda_event;

/* The driver's functions; 0 is success. */
struct pccl_cuda {
	int (*init)(unsigned int flags);
	int (*error_string)(int error, const char **text_out);
	int (*device_get)(int *device_out, int ordinal);
	int (*primary_retain)(pccl_cuda_context *context_out, int device);
	int (*primary_release)(int device);
	int (*context_get)(pccl_cuda_context *context_out);
	int (*context_set)(pccl_cuda_context context);
	int (*context_synchronize)(void);
	int (*pointer_attribute)(void *value_out, int attribute, uint64_t pointer);
	int (*host_alloc)(void **memory_out, size_t bytes, unsigned int flags);
	int (*host_free)(void *memory);
	int (*stream_create)(pccl_cuda_stream *stream_out, unsigned int flags);
	int (*stream_destroy)(pccl_cuda_stream stream);
	int (*stream_synchronize)(pccl_cuda_stream stream);
	int (*event_create)(pccl_cuda_event *event_out, unsigned int flags);
	int (*event_destroy)(pccl_cuda_event event);
	int (*event_record)(pccl_cuda_event event, pccl_cuda_stream stream);
	int (*event_synchronize)(pccl_cuda_event event);
	int (*copy_to_host)(void *to, uint64_t from, size_t bytes, pccl_cuda_stream stream);
	int (*copy_to_device)(uint64_t to, const void *from, size_t bytes, pccl_cuda_stream stream);
};

/* The driver, ready to use; it stays loaded. From any thread. pcclInvalidArgument: it is not there, or has no device,
 * and the words say what is missing. */
pcclResult_t pccl_cuda_load(const struct pccl_cuda **cuda_out);

/* pcclSystemError, with the driver's words for `error`. */
pcclResult_t pccl_cuda_failure(const struct pccl_cuda *cuda, const char *what, int error);

/* Whose memory is this? Retains a primary context: *device_out is to be released, unless it is negative.
 * pcclInvalidArgument: no CUDA device's, as far as the driver knows. */
pcclResult_t pccl_cuda_owner(const struct pccl_cuda *cuda, const void *pointer, pccl_cuda_context *context_out,
			     int *device_out);

#endif
