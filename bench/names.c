/* Words for values and back; see names.h. */
#include "names.h"

#include <string.h>

struct word {
	const char *text;
	int value;
};

static const struct word collectives[] = {
	{"allreduce", BENCH_ALLREDUCE},		 {"all-reduce", BENCH_ALLREDUCE},
	{"broadcast", BENCH_BROADCAST},		 {"reducescatter", BENCH_REDUCESCATTER},
	{"reduce-scatter", BENCH_REDUCESCATTER}, {"allgather", BENCH_ALLGATHER},
	{"all-gather", BENCH_ALLGATHER},	 {NULL, 0},
};

static const struct word datatypes[] = {
	{"uint8", pcclUint8},	  {"int8", pcclInt8},	      {"int16", pcclInt16},   {"uint16", pcclUint16},
	{"uint32", pcclUint32},	  {"int32", pcclInt32},	      {"uint64", pcclUint64}, {"int64", pcclInt64},
	{"float16", pcclFloat16}, {"bfloat16", pcclBFloat16}, {"float32", pcclFloat}, {"float64", pcclDouble},
	{"fp16", pcclFloat16},	  {"half", pcclFloat16},      {"bf16", pcclBFloat16}, {"fp32", pcclFloat},
	{"float", pcclFloat},	  {"fp64", pcclDouble},	      {"double", pcclDouble}, {NULL, 0},
};

static const struct word ops[] = {
	{"sum", pcclSum}, {"avg", pcclAvg}, {"prod", pcclProd}, {"max", pcclMax}, {"min", pcclMin}, {NULL, 0},
};

static const struct word plans[] = {
	{"auto", pcclPlanAuto},
	{"oneshot", pcclPlanOneshot},
	{"direct", pcclPlanDirect},
	{"ring", pcclPlanRing},
	{NULL, 0},
};

static const struct word policies[] = {
	{"abort", pcclPolicyAbort},
	{"retry", pcclPolicyRetry},
	{"repair", pcclPolicyRepair},
	{NULL, 0},
};

static const struct word checksums[] = {
	{"auto", pcclChecksumsAuto},
	{"on", pcclChecksumsOn},
	{"off", pcclChecksumsOff},
	{NULL, 0},
};

static const struct word zstds[] = {
	{"off", pcclZstdOff},
	{"auto", pcclZstdAuto},
	{"on", pcclZstdOn},
	{NULL, 0},
};

static bool find_value(const struct word *words, const char *text, int *value_out)
{
	for (; words->text != NULL; words++)
		if (strcmp(words->text, text) == 0) {
			*value_out = words->value;
			return true;
		}
	return false;
}

static const char *find_text(const struct word *words, int value)
{
	for (; words->text != NULL; words++)
		if (words->value == value)
			return words->text;
	return "?";
}

bool bench_collective_of(const char *word, enum bench_collective *out)
{
	int value = 0;
	bool found = find_value(collectives, word, &value);

	*out = (enum bench_collective)value;
	return found;
}

bool bench_datatype_of(const char *word, pcclDataType_t *out)
{
	int value = 0;
	bool found = find_value(datatypes, word, &value);

	*out = (pcclDataType_t)value;
	return found;
}

bool bench_op_of(const char *word, pcclRedOp_t *out)
{
	int value = 0;
	bool found = find_value(ops, word, &value);

	*out = (pcclRedOp_t)value;
	return found;
}

bool bench_plan_of(const char *word, pcclPlan_t *out)
{
	int value = 0;
	bool found = find_value(plans, word, &value);

	*out = (pcclPlan_t)value;
	return found;
}

bool bench_policy_of(const char *word, pcclFailurePolicy_t *out)
{
	int value = 0;
	bool found = find_value(policies, word, &value);

	*out = (pcclFailurePolicy_t)value;
	return found;
}

bool bench_checksums_of(const char *word, pcclChecksums_t *out)
{
	int value = 0;
	bool found = find_value(checksums, word, &value);

	*out = (pcclChecksums_t)value;
	return found;
}

const char *bench_checksums_name(pcclChecksums_t which)
{
	return find_text(checksums, (int)which);
}

bool bench_zstd_of(const char *word, pcclZstd_t *out)
{
	int value = 0;
	bool found = find_value(zstds, word, &value);

	*out = (pcclZstd_t)value;
	return found;
}

const char *bench_zstd_name(pcclZstd_t zstd)
{
	return find_text(zstds, (int)zstd);
}

const char *bench_collective_name(enum bench_collective collective)
{
	return find_text(collectives, (int)collective);
}

const char *bench_datatype_name(pcclDataType_t datatype)
{
	return find_text(datatypes, (int)datatype);
}

const char *bench_op_name(pcclRedOp_t op)
{
	return find_text(ops, (int)op);
}

const char *bench_plan_name(pcclPlan_t plan)
{
	return find_text(plans, (int)plan);
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
