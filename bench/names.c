/* Words for values and back; see names.h. */
#include "names.h"

#include <string.h>

struct word {
	const char *text;
	int value;
};

static const struct word collectives[] = {
	{"allreduce", BENCH_ALLREDUCE},
	{"all-reduce", BENCH_ALLREDUCE},
	{"broadcast", BENCH_BROADCAST},
	{"reducescatter", BENCH_REDUCESCATTER},
	{"reduce-scatter", BENCH_REDUCESCATTER},
	{"allgather", BENCH_ALLGATHER},
	{"all-gather", BENCH_ALLGATHER},
	{"reduce", BENCH_REDUCE},
	{"gather", BENCH_GATHER},
	{"scatter", BENCH_SCATTER},
	{"alltoall", BENCH_ALLTOALL},
	{"all-to-all", BENCH_ALLTOALL},
	{NULL, 0},
};

bool bench_collective_of(const char *word, enum bench_collective *out)
{
	for (const struct word *known = collectives; known->text != NULL; known++)
		if (strcmp(known->text, word) == 0) {
			*out = (enum bench_collective)known->value;
			return true;
		}
	return false;
}

const char *bench_collective_name(enum bench_collective collective)
{
	for (const struct word *known = collectives; known->text != NULL; known++)
		if (known->value == (int)collective)
			return known->text;
	return "?";
}

size_t bench_datatype_bytes(pcclDataType_t datatype)
{
	switch (datatype) {
	case pcclUint8:
	case pcclInt8:
		return 1;
	case pcclInt16:
	case pcclUint16:
	case pcclFloat16:
	case pcclBFloat16:
		return 2;
	case pcclUint32:
	case pcclInt32:
	case pcclFloat:
		return 4;
	case pcclUint64:
	case pcclInt64:
	case pcclDouble:
		return 8;
	}
	return 1;
}

bool bench_datatype_is_float(pcclDataType_t datatype)
{
	return datatype == pcclFloat16 || datatype == pcclBFloat16 || datatype == pcclFloat || datatype == pcclDouble;
}

bool bench_datatype_is_signed(pcclDataType_t datatype)
{
	return datatype == pcclInt8 || datatype == pcclInt16 || datatype == pcclInt32 || datatype == pcclInt64;
}
