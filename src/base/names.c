/* Words for values and back. The first word of a value is its name, later ones are synonyms. */
#include "base/names.h"

#include <pccl/diloco.h>
#include <stdio.h>
#include <strings.h>

#include <pccl/security.h>

struct word {
	const char *text;
	int value;
};

#define ITSELF(value)         \
	{                     \
#value, value \
	}

static const struct word results[] = {
	ITSELF(pcclSuccess),
	ITSELF(pcclNotInitialized),
	ITSELF(pcclInternalError),
	ITSELF(pcclInvalidArgument),
	ITSELF(pcclInvalidUsage),
	ITSELF(pcclTooFewPeers),
	ITSELF(pcclMasterConnectionFailed),
	ITSELF(pcclRankConnectionFailed),
	ITSELF(pcclRankConnectionLost),
	ITSELF(pcclNoSharedStateAvailable),
	ITSELF(pcclPendingAsyncOps),
	ITSELF(pcclUpdateTopologyFailed),
	ITSELF(pcclTopologyOptimizationFailed),
	ITSELF(pcclOutOfMemory),
	ITSELF(pcclSystemError),
	ITSELF(pcclTimeout),
	ITSELF(pcclAborted),
	ITSELF(pcclMismatch),
	ITSELF(pcclEvicted),
	ITSELF(pcclTooManyOperations),
	ITSELF(pcclResultsDiffer),
	{NULL, 0},
};

static const struct word datatypes[] = {
	{"uint8", pcclUint8},	  {"int8", pcclInt8},	      {"int16", pcclInt16},   {"uint16", pcclUint16},
	{"uint32", pcclUint32},	  {"int32", pcclInt32},	      {"uint64", pcclUint64}, {"int64", pcclInt64},
	{"float16", pcclFloat16}, {"bfloat16", pcclBFloat16}, {"float32", pcclFloat}, {"float64", pcclDouble},
	{"fp16", pcclFloat16},	  {"half", pcclFloat16},      {"bf16", pcclBFloat16}, {"fp32", pcclFloat},
	{"float", pcclFloat},	  {"fp64", pcclDouble},	      {"double", pcclDouble}, {NULL, 0},
};

static const struct word devices[] = {{"cpu", pcclDeviceCpu}, {"cuda", pcclDeviceCuda}, {NULL, 0}};

static const struct word red_ops[] = {
	{"sum", pcclSum}, {"avg", pcclAvg}, {"prod", pcclProd}, {"max", pcclMax}, {"min", pcclMin}, {NULL, 0},
};

static const struct word attributes[] = {
	{"global-world-size", PCCL_ATTRIBUTE_GLOBAL_WORLD_SIZE},
	{"peer-group-world-size", PCCL_ATTRIBUTE_PEER_GROUP_WORLD_SIZE},
	{"distinct-peer-groups", PCCL_ATTRIBUTE_NUM_DISTINCT_PEER_GROUPS},
	{"largest-peer-group-world-size", PCCL_ATTRIBUTE_LARGEST_PEER_GROUP_WORLD_SIZE},
	{NULL, 0},
};

static const struct word hints[] = {
	{"none", pcclDistributionNone},
	{"normal", pcclDistributionNormal},
	{"uniform", pcclDistributionUniform},
	{NULL, 0},
};

static const struct word codecs[] = {
	{"none", pcclQuantNone},
	{"minmax", pcclQuantMinMax},
	{"zero-point", pcclQuantZeroPointScale},
	{"bf16", pcclQuantBF16},
	{"fp16", pcclQuantFP16},
	{"e4m3", pcclQuantE4M3},
	{"e5m2", pcclQuantE5M2},
	{"int8", pcclQuantInt8},
	{"int4", pcclQuantInt4},
	{"int8-minmax", pcclQuantInt8MinMax},
	{"int4-minmax", pcclQuantInt4MinMax},
	{"e3m0", pcclQuantE3M0},
	{"nf4", pcclQuantNF4},
	{"plain", pcclQuantPlain},
	{NULL, 0},
};

static const struct word roundings[] = {{"nearest", pcclRoundNearest}, {"stochastic", pcclRoundStochastic}, {NULL, 0}};

static const struct word overflows[] = {{"refuse", pcclOverflowRefuse}, {"saturate", pcclOverflowSaturate}, {NULL, 0}};

static const struct word inputs[] = {{"keep", pcclInputKeep}, {"give-up", pcclInputGiveUp}, {NULL, 0}};

static const struct word zstds[] = {
	{"default", pcclZstdDefault}, {"off", pcclZstdOff}, {"auto", pcclZstdAuto}, {"on", pcclZstdOn}, {NULL, 0},
};

static const struct word checksums[] = {
	{"default", pcclChecksumsDefault},
	{"on", pcclChecksumsOn},
	{"off", pcclChecksumsOff},
	{"auto", pcclChecksumsAuto},
	{NULL, 0},
};

static const struct word transports[] = {
	{"default", pcclTransportDefault},
	{"auto", pcclTransportAuto},
	{"tcp", pcclTransportTcp},
	{"rdma", pcclTransportRdma},
	{NULL, 0},
};

static const struct word verifies[] = {
	{"default", pcclVerifyDefault},
	{"off", pcclVerifyOff},
	{"digest", pcclVerifyDigest},
	{NULL, 0},
};

static const struct word bindings[] = {
	{"default", pcclBindingDefault},
	{"auto", pcclBindingAuto},
	{"off", pcclBindingOff},
	{NULL, 0},
};

static const struct word strategies[] = {
	{"enforce-popular", PCCL_SHARED_STATE_SYNC_STRATEGY_ENFORCE_POPULAR},
	{"receive-only", PCCL_SHARED_STATE_SYNC_STRATEGY_RECEIVE_ONLY},
	{"send-only", PCCL_SHARED_STATE_SYNC_STRATEGY_SEND_ONLY},
	{NULL, 0},
};

static const struct word plans[] = {
	{"auto", pcclPlanAuto},
	{"oneshot", pcclPlanOneshot},
	{"direct", pcclPlanDirect},
	{"ring", pcclPlanRing},
	{NULL, 0},
};

static const struct word policies[] = {
	{"default", pcclPolicyDefault},
	{"abort", pcclPolicyAbort},
	{"retry", pcclPolicyRetry},
	{"repair", pcclPolicyRepair},
	{NULL, 0},
};

static const struct word lates[] = {
	{"default", pcclLateDefault},
	{"wait", pcclLateWait},
	{"fail", pcclLateFail},
	{"evict", pcclLateEvict},
	{NULL, 0},
};

static const struct word securities[] = {
	{"default", pcclSecurityDefault},
	{"none", pcclSecurityNone},
	{"psk", pcclSecurityPsk},
	{"tls", pcclSecurityTls},
	{NULL, 0},
};

static const struct word diloco_modes[] = {
	{"synchronous", pcclDilocoSynchronous},
	{"delayed", pcclDilocoDelayed},
	{"eager", pcclDilocoEager},
	{"streaming", pcclDilocoStreaming},
	{NULL, 0},
};

static const struct word diloco_rules[] = {{"nesterov", pcclDilocoNesterov}, {"co2", pcclDilocoCo2}, {NULL, 0}};

static const struct word diloco_divisions[] = {
	{"balanced", pcclDilocoBalanced},
	{"strided", pcclDilocoStrided},
	{"given", pcclDilocoGiven},
	{NULL, 0},
};

static const struct word levels[] = {
	{"TRACE", pcclLogTrace}, {"DEBUG", pcclLogDebug}, {"INFO", pcclLogInfo}, {"WARN", pcclLogWarn},
	{"ERR", pcclLogErr},	 {"FATAL", pcclLogFatal}, {"NONE", pcclLogNone}, {NULL, 0},
};

static const struct word *const tables[] = {
	[pcclEnumResult] = results,
	[pcclEnumDataType] = datatypes,
	[pcclEnumDeviceType] = devices,
	[pcclEnumRedOp] = red_ops,
	[pcclEnumAttribute] = attributes,
	[pcclEnumDistributionHint] = hints,
	[pcclEnumCodec] = codecs,
	[pcclEnumRounding] = roundings,
	[pcclEnumZstd] = zstds,
	[pcclEnumChecksums] = checksums,
	[pcclEnumSyncStrategy] = strategies,
	[pcclEnumPlan] = plans,
	[pcclEnumFailurePolicy] = policies,
	[pcclEnumLogLevel] = levels,
	[pcclEnumOverflow] = overflows,
	[pcclEnumInput] = inputs,
	[pcclEnumLate] = lates,
	[pcclEnumDilocoMode] = diloco_modes,
	[pcclEnumDilocoRule] = diloco_rules,
	[pcclEnumDilocoDivision] = diloco_divisions,
	[pcclEnumSecurity] = securities,
	[pcclEnumTransport] = transports,
	[pcclEnumVerify] = verifies,
	[pcclEnumBinding] = bindings,
};

static const struct word *table_of(pcclEnum_t which)
{
	static const struct word empty[] = {{NULL, 0}};

	return (int)which >= 0 && (size_t)which < sizeof(tables) / sizeof(tables[0]) ? tables[which] : empty;
}

const char *pccl_name_of(pcclEnum_t which, int value)
{
	const struct word *word;

	for (word = table_of(which); word->text != NULL; word++)
		if (word->value == value)
			return word->text;
	return NULL;
}

const char *pccl_name_or_mark(pcclEnum_t which, int value)
{
	const char *name = pccl_name_of(which, value);

	return name != NULL ? name : "?";
}

bool pccl_name_find(pcclEnum_t which, const char *name, int *value_out)
{
	const struct word *word;

	for (word = table_of(which); word->text != NULL; word++) {
		if (strcasecmp(word->text, name) == 0) {
			*value_out = word->value;
			return true;
		}
	}
	return false;
}

static bool is_synonym(pcclEnum_t which, const struct word *word)
{
	return pccl_name_of(which, word->value) != word->text;
}

bool pccl_name_value(pcclEnum_t which, size_t index, int *value_out)
{
	const struct word *word;

	for (word = table_of(which); word->text != NULL; word++) {
		if (is_synonym(which, word) || index-- > 0)
			continue;
		*value_out = word->value;
		return true;
	}
	return false;
}

void pccl_name_list(pcclEnum_t which, char *text, size_t text_bytes)
{
	const struct word *word;
	size_t used = 0;

	text[0] = '\0';
	for (word = table_of(which); word->text != NULL && used < text_bytes; word++) {
		if (is_synonym(which, word) || strcasecmp(word->text, "default") == 0)
			continue;
		used += (size_t)snprintf(text + used, text_bytes - used, "%s%s", used > 0 ? ", " : "", word->text);
	}
}
