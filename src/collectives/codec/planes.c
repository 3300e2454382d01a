/* Byte planes: picks the loop for the size of an element. */
#include "collectives/codec/planes.h"

#include "collectives/codec/planes_kernels.h"
#include "collectives/element/dtype.h"

#include <string.h>

void pccl_planes_split(void *out, const void *in, size_t count, pcclDataType_t type)
{
	const unsigned rotation = pccl_dtype_is_float(type) ? 1 : 0;

	switch (pccl_dtype_bytes(type)) {
	case 1:
		if (count > 0)
			memcpy(out, in, count);
		break;
	case 2:
		pccl_planes_split_2(out, in, count, rotation);
		break;
	case 4:
		pccl_planes_split_4(out, in, count, rotation);
		break;
	default:
		pccl_planes_split_8(out, in, count, rotation);
	}
}

void pccl_planes_merge(void *out, const void *in, size_t count, pcclDataType_t type)
{
	const unsigned rotation = pccl_dtype_is_float(type) ? 1 : 0;

	switch (pccl_dtype_bytes(type)) {
	case 1:
		if (count > 0)
			memcpy(out, in, count);
		break;
	case 2:
		pccl_planes_merge_2(out, in, count, rotation);
		break;
	case 4:
		pccl_planes_merge_4(out, in, count, rotation);
		break;
	default:
		pccl_planes_merge_8(out, in, count, rotation);
	}
}
