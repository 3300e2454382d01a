/* Whatever is to be chosen from a list, in every public structure: what is not in the list is refused before anything
 * happens, and the last error says what is. */
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <pccl/diloco.h>
#include <pccl/security.h>
#include <pccl/state.h>

#include "lib/check.h"
#include "lib/peers.h"

enum taker { CONFIG, SECURITY, PARAMS, MASTER, OPERATION, DESCRIPTOR, TENSOR, SYNC, DILOCO };

/* One field, and a word that the error has to name. */
struct choice {
	const char *name;
	enum taker taker;
	size_t offset;
	const char *valid;
};

#define CHOICE(taker, type, field, valid)                             \
	{                                                             \
#type "." #field, taker, offsetof(type, field), valid \
	}

static const struct choice choices[] = {
	CHOICE(CONFIG, pcclConfig_t, failure_policy, "repair"),
	CHOICE(CONFIG, pcclConfig_t, plan, "oneshot"),
	CHOICE(CONFIG, pcclConfig_t, zstd, "auto"),
	CHOICE(CONFIG, pcclConfig_t, checksums, "off"),
	CHOICE(CONFIG, pcclConfig_t, late_members, "evict"),
	CHOICE(CONFIG, pcclConfig_t, transport, "tcp"),
	CHOICE(CONFIG, pcclConfig_t, verify, "digest"),
	CHOICE(CONFIG, pcclConfig_t, binding, "off"),
	CHOICE(SECURITY, pcclSecurity_t, mode, "psk"),
	CHOICE(PARAMS, pcclCommCreateParams_t, master_address.inet.protocol, "inetIPv6"),
	CHOICE(MASTER, ccoip_socket_address_t, inet.protocol, "inetIPv6"),
	CHOICE(OPERATION, pcclOperation_t, datatype, "bfloat16"),
	CHOICE(OPERATION, pcclOperation_t, op, "prod"),
	CHOICE(OPERATION, pcclOperation_t, plan, "oneshot"),
	CHOICE(OPERATION, pcclOperation_t, failure_policy, "repair"),
	CHOICE(OPERATION, pcclOperation_t, codec, "int8-minmax"),
	CHOICE(OPERATION, pcclOperation_t, codec_down, "int8-minmax"),
	CHOICE(OPERATION, pcclOperation_t, codec_datatype, "uint8"),
	CHOICE(OPERATION, pcclOperation_t, rounding, "stochastic"),
	CHOICE(OPERATION, pcclOperation_t, zstd, "auto"),
	CHOICE(OPERATION, pcclOperation_t, input, "give-up"),
	CHOICE(OPERATION, pcclOperation_t, codec_overflow, "saturate"),
	CHOICE(DESCRIPTOR, pcclReduceDescriptor_t, op, "prod"),
	CHOICE(DESCRIPTOR, pcclReduceDescriptor_t, src_descriptor.datatype, "bfloat16"),
	CHOICE(DESCRIPTOR, pcclReduceDescriptor_t, src_descriptor.distribution_hint, "normal"),
	CHOICE(DESCRIPTOR, pcclReduceDescriptor_t, quantization_options.quantized_datatype, "uint8"),
	CHOICE(DESCRIPTOR, pcclReduceDescriptor_t, quantization_options.algorithm, "minmax"),
	CHOICE(TENSOR, pcclTensorInfo_t, datatype, "bfloat16"),
	CHOICE(TENSOR, pcclTensorInfo_t, device_type, "cuda"),
	CHOICE(SYNC, pcclStateSyncOptions_t, strategy, "send-only"),
	CHOICE(DILOCO, pcclDilocoSettings_t, mode, "eager"),
	CHOICE(DILOCO, pcclDilocoSettings_t, rule, "nesterov"),
	CHOICE(DILOCO, pcclDilocoSettings_t, division, "strided"),
	CHOICE(DILOCO, pcclDilocoSettings_t, codec, "int8-minmax"),
	CHOICE(DILOCO, pcclDilocoSettings_t, codec_down, "int8-minmax"),
	CHOICE(DILOCO, pcclDilocoSettings_t, rounding, "stochastic"),
	CHOICE(DILOCO, pcclDilocoSettings_t, zstd, "auto"),
};

/* Of a structure at `base`. */
static void set(void *base, const struct choice *choice, int value)
{
	memcpy((char *)base + choice->offset, &value, sizeof(value));
}

static pcclResult_t create(struct world_peer *me, const struct choice *choice, int value)
{
	pcclCommCreateParams_t params = me->params;
	pcclSecurity_t security = PCCL_SECURITY_INITIALIZER;
	pcclConfig_t config = me->config;
	pcclComm_t *comm = me->comm;
	pcclResult_t result;

	config.security = &security;
	set(choice->taker == CONFIG	? (void *)&config
	    : choice->taker == SECURITY ? (void *)&security
					: (void *)&params,
	    choice, value);
	result = pcclCreateCommunicatorWithConfig(&params, &config, &comm);
	CHECK(comm == NULL);
	return result;
}

static pcclResult_t create_master(const struct world_peer *me, const struct choice *choice, int value)
{
	ccoip_socket_address_t address = peers_address(me->world, 4242);
	pcclMasterInstance_t *master = (pcclMasterInstance_t *)(void *)me->comm;
	pcclResult_t result;

	set(&address, choice, value);
	result = pcclCreateMaster(address, &master);
	CHECK(master == NULL);
	return result;
}

static pcclResult_t reduce(const struct world_peer *me, const struct choice *choice, int value)
{
	pcclOperation_t operation = PCCL_OPERATION_INITIALIZER;
	pcclReduceDescriptor_t descriptor = {
		1, pcclSum, 6, {pcclFloat, pcclDistributionNone}, {pcclUint8, pcclQuantNone}};
	float input = 1, sum;

	operation.count = 1;
	if (choice->taker == OPERATION) {
		set(&operation, choice, value);
		CHECK_RESULT(pcclInvalidArgument, pcclBarrier(&operation, me->comm)); /* reads next to none of it */
		/* Nobody reads codec_datatype with this one. */
		operation.codec = pcclQuantInt8;
		set(&operation, choice, value);
		return pcclAllReduceWith(&input, &sum, &operation, me->comm, NULL);
	}
	set(&descriptor, choice, value);
	return pcclAllReduce(&input, &sum, &descriptor, me->comm, NULL);
}

static pcclResult_t synchronize(const struct world_peer *me, const struct choice *choice, int value)
{
	float element = 1;
	pcclTensorInfo_t tensor = {"x", &element, 1, pcclFloat, pcclDeviceCpu, false};
	pcclSharedState_t state = {0, 1, &tensor};
	pcclStateSyncOptions_t options = PCCL_STATE_SYNC_OPTIONS_INITIALIZER;

	set(choice->taker == TENSOR ? (void *)&tensor : (void *)&options, choice, value);
	return pcclStateSync(me->comm, &state, &options, NULL);
}

static pcclResult_t train(const struct world_peer *me, const struct choice *choice, int value)
{
	float element = 1;
	const pcclTensorInfo_t tensor = {"x", &element, 1, pcclFloat, pcclDeviceCpu, false};
	pcclDilocoSettings_t settings = PCCL_DILOCO_SETTINGS_INITIALIZER;
	pcclDiloco_t *engine = (pcclDiloco_t *)(void *)me->comm;
	pcclResult_t result;

	set(&settings, choice, value);
	result = pcclDilocoCreate(me->comm, &tensor, 1, &settings, &engine);
	CHECK(engine == NULL);
	return result;
}

static pcclResult_t offer(struct world_peer *me, const struct choice *choice, int value)
{
	switch (choice->taker) {
	case CONFIG:
	case SECURITY:
	case PARAMS:
		return create(me, choice, value);
	case MASTER:
		return create_master(me, choice, value);
	case OPERATION:
	case DESCRIPTOR:
		return reduce(me, choice, value);
	case TENSOR:
	case SYNC:
		return synchronize(me, choice, value);
	case DILOCO:
		return train(me, choice, value);
	}
	return pcclSuccess;
}

static void chooses_what_is_not_offered(struct world_peer *me)
{
	static const int values[] = {77, -1, INT_MAX, INT_MIN};
	int64_t sum;
	size_t i, k;

	peer_join(me);
	peer_grow(me, 2);
	for (i = 0; i < sizeof(choices) / sizeof(choices[0]); i++) {
		for (k = 0; k < sizeof(values) / sizeof(values[0]); k++) {
			pcclResult_t result = offer(me, &choices[i], values[k]);
			const char *words = pcclGetLastError(NULL);

			if (result != pcclInvalidArgument || strstr(words, choices[i].valid) == NULL)
				peer_fail(choices[i].name, values[k], words);
		}
	}
	/* Nothing has begun. */
	CHECK_RESULT(pcclSuccess, peer_sum(me, 6, 4, &sum));
	CHECK(sum == 8);
	peer_leave(me);
}

static void what_is_not_offered_is_refused_and_what_is_is_said(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_PROGRAM);
	peers_start(world, 2, chooses_what_is_not_offered, NULL);
	peers_finish(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_not_offered_is_refused_and_what_is_is_said, peers_open,
						peers_close),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
