/* The binary interface of PCCL 1.0, number by number: a program built against it must run on this library. */
#include <pccl.h>

#include <ccoip.h>

#include "lib/check.h"

#define ASSERT_FIELD(type, field, offset) assert_int_equal(offsetof(type, field), (offset))

struct alignment_of_params {
	char c;
	pcclCommCreateParams_t params;
};

struct alignment_of_descriptor {
	char c;
	pcclReduceOpDescriptor_t descriptor;
};

static void address_layouts_are_those_of_1_0(void **state)
{
	(void)state;
	assert_int_equal(sizeof(ccoip_ipv4_address_t), 4);
	ASSERT_FIELD(ccoip_ipv4_address_t, data, 0);
	assert_int_equal(sizeof(ccoip_ipv6_address_t), 16);
	ASSERT_FIELD(ccoip_ipv6_address_t, data, 0);
	assert_int_equal(sizeof(ccoip_inet_address_t), 24);
	ASSERT_FIELD(ccoip_inet_address_t, protocol, 0);
	ASSERT_FIELD(ccoip_inet_address_t, ipv4, 4);
	ASSERT_FIELD(ccoip_inet_address_t, ipv6, 8);
	assert_int_equal(sizeof(ccoip_socket_address_t), 28);
	ASSERT_FIELD(ccoip_socket_address_t, inet, 0);
	ASSERT_FIELD(ccoip_socket_address_t, port, 24);
	assert_int_equal(sizeof(((ccoip_socket_address_t *)0)->port), 2);
	assert_int_equal(sizeof(pcclCommCreateParams_t), 36);
	assert_int_equal(offsetof(struct alignment_of_params, params), 4);
	ASSERT_FIELD(pcclCommCreateParams_t, master_address, 0);
	ASSERT_FIELD(pcclCommCreateParams_t, peer_group, 28);
	ASSERT_FIELD(pcclCommCreateParams_t, p2p_connection_pool_size, 32);
}

static void reduce_layouts_are_those_of_1_0(void **state)
{
	(void)state;
	assert_int_equal(sizeof(pcclReduceInfo_t), 24);
	ASSERT_FIELD(pcclReduceInfo_t, local_world_size, 0);
	ASSERT_FIELD(pcclReduceInfo_t, tx_bytes, 8);
	ASSERT_FIELD(pcclReduceInfo_t, rx_bytes, 16);
	assert_int_equal(sizeof(pcclReduceOperandDescriptor_t), 8);
	ASSERT_FIELD(pcclReduceOperandDescriptor_t, datatype, 0);
	ASSERT_FIELD(pcclReduceOperandDescriptor_t, distribution_hint, 4);
	assert_int_equal(sizeof(pcclQuantizationOptions_t), 8);
	ASSERT_FIELD(pcclQuantizationOptions_t, quantized_datatype, 0);
	ASSERT_FIELD(pcclQuantizationOptions_t, algorithm, 4);
	assert_int_equal(sizeof(pcclReduceDescriptor_t), 40);
	ASSERT_FIELD(pcclReduceDescriptor_t, count, 0);
	ASSERT_FIELD(pcclReduceDescriptor_t, op, 8);
	ASSERT_FIELD(pcclReduceDescriptor_t, tag, 16);
	ASSERT_FIELD(pcclReduceDescriptor_t, src_descriptor, 24);
	ASSERT_FIELD(pcclReduceDescriptor_t, quantization_options, 32);
	assert_int_equal(sizeof(pcclReduceOpDescriptor_t), 56);
	assert_int_equal(sizeof(struct pcclReduceSingleDescriptor_t), 56);
	assert_int_equal(offsetof(struct alignment_of_descriptor, descriptor), 8);
	ASSERT_FIELD(pcclReduceOpDescriptor_t, sendbuf, 0);
	ASSERT_FIELD(pcclReduceOpDescriptor_t, recvbuf, 8);
	ASSERT_FIELD(pcclReduceOpDescriptor_t, descriptor, 16);
	assert_int_equal(sizeof(pcclAsyncReduceOp_t), 16);
	ASSERT_FIELD(pcclAsyncReduceOp_t, comm, 0);
	ASSERT_FIELD(pcclAsyncReduceOp_t, tag, 8);
}

static void shared_state_layouts_are_those_of_1_0(void **state)
{
	(void)state;
	assert_int_equal(sizeof(pcclRankUuid_t), 16);
	ASSERT_FIELD(pcclRankUuid_t, data, 0);
	assert_int_equal(sizeof(pcclTensorInfo_t), 40);
	ASSERT_FIELD(pcclTensorInfo_t, name, 0);
	ASSERT_FIELD(pcclTensorInfo_t, data, 8);
	ASSERT_FIELD(pcclTensorInfo_t, count, 16);
	ASSERT_FIELD(pcclTensorInfo_t, datatype, 24);
	ASSERT_FIELD(pcclTensorInfo_t, device_type, 28);
	ASSERT_FIELD(pcclTensorInfo_t, allow_content_inequality, 32);
	assert_int_equal(sizeof(pcclSharedState_t), 24);
	ASSERT_FIELD(pcclSharedState_t, revision, 0);
	ASSERT_FIELD(pcclSharedState_t, count, 8);
	ASSERT_FIELD(pcclSharedState_t, infos, 16);
	assert_int_equal(sizeof(pcclSharedStateSyncInfo_t), 16);
	ASSERT_FIELD(pcclSharedStateSyncInfo_t, tx_bytes, 0);
	ASSERT_FIELD(pcclSharedStateSyncInfo_t, rx_bytes, 8);
	assert_int_equal(sizeof(pcclBuildInfo_t), 1);
	ASSERT_FIELD(pcclBuildInfo_t, has_cuda_support, 0);
}

static void results_have_the_values_of_1_0(void **state)
{
	(void)state;
	assert_int_equal(sizeof(pcclResult_t), 4);
	assert_int_equal(pcclSuccess, 0);
	assert_int_equal(pcclNotInitialized, 1);
	assert_int_equal(pcclInternalError, 2);
	assert_int_equal(pcclInvalidArgument, 3);
	assert_int_equal(pcclInvalidUsage, 4);
	assert_int_equal(pcclTooFewPeers, 5);
	assert_int_equal(pcclMasterConnectionFailed, 6);
	assert_int_equal(pcclRankConnectionFailed, 7);
	assert_int_equal(pcclRankConnectionLost, 8);
	assert_int_equal(pcclNoSharedStateAvailable, 9);
	assert_int_equal(pcclPendingAsyncOps, 10);
	assert_int_equal(pcclUpdateTopologyFailed, 11);
	assert_int_equal(pcclTopologyOptimizationFailed, 12);
}

static void element_types_and_operations_have_the_values_of_1_0(void **state)
{
	(void)state;
	assert_int_equal(pcclUint8, 0);
	assert_int_equal(pcclInt8, 1);
	assert_int_equal(pcclInt16, 2);
	assert_int_equal(pcclUint16, 3);
	assert_int_equal(pcclUint32, 4);
	assert_int_equal(pcclInt32, 5);
	assert_int_equal(pcclUint64, 6);
	assert_int_equal(pcclInt64, 7);
	assert_int_equal(pcclFloat16, 8);
	assert_int_equal(pcclBFloat16, 9);
	assert_int_equal(pcclFloat, 10);
	assert_int_equal(pcclDouble, 11);
	assert_int_equal(pcclSum, 0);
	assert_int_equal(pcclAvg, 1);
	assert_int_equal(pcclProd, 2);
	assert_int_equal(pcclMax, 3);
	assert_int_equal(pcclMin, 4);
}

static void other_enumerations_have_the_values_of_1_0(void **state)
{
	(void)state;
	assert_int_equal(inetIPv4, 0);
	assert_int_equal(inetIPv6, 1);
	assert_int_equal(pcclDeviceCpu, 0);
	assert_int_equal(pcclDeviceCuda, 1);
	assert_int_equal(PCCL_ATTRIBUTE_GLOBAL_WORLD_SIZE, 1);
	assert_int_equal(PCCL_ATTRIBUTE_PEER_GROUP_WORLD_SIZE, 2);
	assert_int_equal(PCCL_ATTRIBUTE_NUM_DISTINCT_PEER_GROUPS, 3);
	assert_int_equal(PCCL_ATTRIBUTE_LARGEST_PEER_GROUP_WORLD_SIZE, 4);
	assert_int_equal(PCCL_SHARED_STATE_SYNC_STRATEGY_ENFORCE_POPULAR, 0);
	assert_int_equal(PCCL_SHARED_STATE_SYNC_STRATEGY_RECEIVE_ONLY, 1);
	assert_int_equal(PCCL_SHARED_STATE_SYNC_STRATEGY_SEND_ONLY, 2);
	assert_int_equal(pcclDistributionNone, 0);
	assert_int_equal(pcclDistributionNormal, 1);
	assert_int_equal(pcclDistributionUniform, 2);
	assert_int_equal(pcclQuantNone, 0);
	assert_int_equal(pcclQuantMinMax, 1);
	assert_int_equal(pcclQuantZeroPointScale, 2);
	assert_int_equal(CCOIP_PROTOCOL_PORT_MASTER, 48148);
	assert_int_equal(CCOIP_PROTOCOL_PORT_SHARED_STATE, 48149);
	assert_int_equal(CCOIP_PROTOCOL_PORT_P2P, 48150);
	assert_int_equal(CCOIP_PROTOCOL_PORT_BANDWIDTH_BENCHMARK, 48151);
}

static void what_is_new_starts_at_100_or_says_default(void **state)
{
	(void)state;
	assert_int_equal(pcclOutOfMemory, 100);
	assert_int_equal(pcclSystemError, 101);
	assert_int_equal(pcclTimeout, 102);
	assert_int_equal(pcclAborted, 103);
	assert_int_equal(pcclMismatch, 104);
	assert_int_equal(pcclEvicted, 105);
	assert_int_equal(pcclTooManyOperations, 106);
	assert_int_equal(pcclResultsDiffer, 107);
	assert_int_equal(pcclPlanAuto, 0);
	assert_int_equal(pcclPlanOneshot, 100);
	assert_int_equal(pcclPlanDirect, 101);
	assert_int_equal(pcclPlanRing, 102);
	assert_int_equal(pcclPolicyDefault, 0);
	assert_int_equal(pcclPolicyAbort, 100);
	assert_int_equal(pcclPolicyRetry, 101);
	assert_int_equal(pcclPolicyRepair, 102);
	assert_int_equal(pcclZstdDefault, 0);
	assert_int_equal(pcclZstdOff, 100);
	assert_int_equal(pcclZstdAuto, 101);
	assert_int_equal(pcclZstdOn, 102);
}

static void a_handle_names_its_launch(void **state)
{
	(void)state;
	assert_int_equal(sizeof(pcclHandle_t), 24);
	ASSERT_FIELD(pcclHandle_t, comm, 0);
	ASSERT_FIELD(pcclHandle_t, tag, 8);
	ASSERT_FIELD(pcclHandle_t, launch, 16);
}

static void growing_structures_begin_with_their_size(void **state)
{
	pcclConfig_t config = PCCL_CONFIG_INITIALIZER;
	pcclOperation_t operation = PCCL_OPERATION_INITIALIZER;
	pcclOperationInfo_t info = PCCL_OPERATION_INFO_INITIALIZER;

	(void)state;
	ASSERT_FIELD(pcclConfig_t, size, 0);
	ASSERT_FIELD(pcclOperation_t, size, 0);
	ASSERT_FIELD(pcclOperationInfo_t, size, 0);
	assert_int_equal(config.size, sizeof(config));
	assert_int_equal(operation.size, sizeof(operation));
	assert_int_equal(info.size, sizeof(info));
}

#define END_OF(type, field) (offsetof(type, field) + sizeof(((type *)0)->field))

/* Padding at the end would hold the garbage of older programs where the next field comes to lie. */
static void growing_structures_end_with_reserved_bytes_and_not_with_padding(void **state)
{
	pcclConfig_t config = PCCL_CONFIG_INITIALIZER;
	pcclOperation_t operation = PCCL_OPERATION_INITIALIZER;
	pcclOperationInfo_t info = PCCL_OPERATION_INFO_INITIALIZER;

	(void)state;
	assert_int_equal(END_OF(pcclConfig_t, reserved), sizeof(config));
	assert_int_equal(END_OF(pcclOperation_t, reserved), sizeof(operation));
	assert_int_equal(END_OF(pcclOperationInfo_t, reserved), sizeof(info));
	assert_int_equal(config.reserved[0], 0);
	assert_int_equal(operation.reserved[0], 0);
	assert_int_equal(info.reserved[0], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(address_layouts_are_those_of_1_0),
		cmocka_unit_test(reduce_layouts_are_those_of_1_0),
		cmocka_unit_test(shared_state_layouts_are_those_of_1_0),
		cmocka_unit_test(results_have_the_values_of_1_0),
		cmocka_unit_test(element_types_and_operations_have_the_values_of_1_0),
		cmocka_unit_test(other_enumerations_have_the_values_of_1_0),
		cmocka_unit_test(what_is_new_starts_at_100_or_says_default),
		cmocka_unit_test(a_handle_names_its_launch),
		cmocka_unit_test(growing_structures_begin_with_their_size),
		cmocka_unit_test(growing_structures_end_with_reserved_bytes_and_not_with_padding),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
