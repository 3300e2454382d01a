/* The element types and reduction operations of the public interface. */
#include "collectives/element/dtype.h"

#include <assert.h>
#include <stdint.h>

#include "base/names.h"

static const uint8_t element_bytes[PCCL_DTYPE_COUNT] = {
	[pcclUint8] = 1,  [pcclInt8] = 1,  [pcclInt16] = 2,   [pcclUint16] = 2,	  [pcclUint32] = 4, [pcclInt32] = 4,
	[pcclUint64] = 8, [pcclInt64] = 8, [pcclFloat16] = 2, [pcclBFloat16] = 2, [pcclFloat] = 4,  [pcclDouble] = 8,
};

bool pccl_dtype_valid(int type)
{
	return type >= 0 && type < PCCL_DTYPE_COUNT;
}

size_t pccl_dtype_bytes(pcclDataType_t type)
{
	assert(pccl_dtype_valid((int)type));
	return element_bytes[type];
}

const char *pccl_dtype_name(pcclDataType_t type)
{
	return pccl_name_or_mark(pcclEnumDataType, (int)type);
}

pcclDataType_t pccl_dtype_partial(pcclDataType_t type)
{
	assert(pccl_dtype_valid((int)type));
	return type == pcclFloat16 || type == pcclBFloat16 ? pcclFloat : type;
}

bool pccl_dtype_is_float(pcclDataType_t type)
{
	return type == pcclFloat || type == pcclDouble || type == pcclFloat16 || type == pcclBFloat16;
}

bool pccl_op_valid(int op)
{
	return op >= 0 && op < PCCL_OP_COUNT;
}

const char *pccl_op_name(pcclRedOp_t op)
{
	return pccl_name_or_mark(pcclEnumRedOp, (int)op);
}
