/* The element types and reduction operations of the public interface. */
#include "collectives/element/dtype.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

struct dtype {
	const char *name;
	uint8_t bytes;
};

static const struct dtype dtypes[PCCL_DTYPE_COUNT] = {
	[pcclUint8] = {"uint8", 1},	  [pcclInt8] = {"int8", 1},	[pcclInt16] = {"int16", 2},
	[pcclUint16] = {"uint16", 2},	  [pcclUint32] = {"uint32", 4}, [pcclInt32] = {"int32", 4},
	[pcclUint64] = {"uint64", 8},	  [pcclInt64] = {"int64", 8},	[pcclFloat16] = {"float16", 2},
	[pcclBFloat16] = {"bfloat16", 2}, [pcclFloat] = {"float32", 4}, [pcclDouble] = {"float64", 8},
};

static const char *const ops[PCCL_OP_COUNT] = {
	[pcclSum] = "sum", [pcclAvg] = "avg", [pcclProd] = "prod", [pcclMax] = "max", [pcclMin] = "min",
};

bool pccl_dtype_valid(int type)
{
	return type >= 0 && type < PCCL_DTYPE_COUNT;
}

size_t pccl_dtype_bytes(pcclDataType_t type)
{
	assert(pccl_dtype_valid((int)type));
	return dtypes[type].bytes;
}

const char *pccl_dtype_name(pcclDataType_t type)
{
	return pccl_dtype_valid((int)type) ? dtypes[type].name : "invalid";
}

bool pccl_dtype_find(const char *name, pcclDataType_t *type_out)
{
	int type;

	for (type = 0; type < PCCL_DTYPE_COUNT; type++) {
		if (strcmp(dtypes[type].name, name) == 0) {
			*type_out = (pcclDataType_t)type;
			return true;
		}
	}
	return false;
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
	return pccl_op_valid((int)op) ? ops[op] : "invalid";
}

bool pccl_op_find(const char *name, pcclRedOp_t *op_out)
{
	int op;

	for (op = 0; op < PCCL_OP_COUNT; op++) {
		if (strcmp(ops[op], name) == 0) {
			*op_out = (pcclRedOp_t)op;
			return true;
		}
	}
	return false;
}
