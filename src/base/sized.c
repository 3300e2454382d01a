/* Structures of callers that were compiled with another version of the header. */
#include "base/sized.h"

#include <assert.h>
#include <string.h>

#include "base/fail.h"

static size_t size_of(const void *given)
{
	size_t size;

	memcpy(&size, given, sizeof(size));
	return size;
}

pcclResult_t pccl_sized_check(const struct pccl_sized *kind, const void *given)
{
	const unsigned char *bytes = given;
	size_t size = size_of(given), index;

	assert(kind->least >= sizeof(size) && kind->known >= kind->least);
	if (size < kind->least || size > PCCL_SIZED_MOST)
		return pccl_fail(pcclInvalidArgument, "%s->size is %zu: use %s", kind->name, size, kind->initializer);
	for (index = kind->known; index < size; index++)
		if (bytes[index] != 0)
			return pccl_fail(pcclInvalidArgument,
					 "byte %zu of %s is not zero and this version of the library knows %zu: the "
					 "program asks for what a newer one can do, or has not used %s",
					 index, kind->name, kind->known, kind->initializer);
	return pcclSuccess;
}

static size_t shared_bytes(const struct pccl_sized *kind, const void *given)
{
	size_t size = size_of(given);

	return size < kind->known ? size : kind->known;
}

pcclResult_t pccl_sized_read(const struct pccl_sized *kind, const void *given, void *full)
{
	pcclResult_t result = pccl_sized_check(kind, given);

	if (result == pcclSuccess)
		memcpy((char *)full + sizeof(size_t), (const char *)given + sizeof(size_t),
		       shared_bytes(kind, given) - sizeof(size_t));
	return result;
}

void pccl_sized_write(const struct pccl_sized *kind, const void *full, void *given)
{
	memcpy((char *)given + sizeof(size_t), (const char *)full + sizeof(size_t),
	       shared_bytes(kind, given) - sizeof(size_t));
}
