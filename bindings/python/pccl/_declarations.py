"""The C interface for ctypes. Made by generate.py from include/pccl; do not edit."""

# ruff: noqa
# mypy: ignore-errors

import ctypes as c

PCCL_VERSION_MAJOR = 2
PCCL_VERSION_MINOR = 0
PCCL_VERSION_PATCH = 0
PCCL_MAX_OPERATIONS = 65536

# pcclQuantizationAlgorithm_t
pcclQuantNone = 0
pcclQuantMinMax = 1
pcclQuantZeroPointScale = 2
pcclQuantBF16 = 100
pcclQuantFP16 = 101
pcclQuantE4M3 = 102
pcclQuantE5M2 = 103
pcclQuantInt8 = 104
pcclQuantInt4 = 105
pcclQuantInt8MinMax = 106
pcclQuantInt4MinMax = 107
pcclQuantE3M0 = 108
pcclQuantNF4 = 109
pcclQuantPlain = 199

# pcclRounding_t
pcclRoundNearest = 0
pcclRoundStochastic = 100

# pcclOverflow_t
pcclOverflowRefuse = 0
pcclOverflowSaturate = 100

# pcclZstd_t
pcclZstdDefault = 0
pcclZstdOff = 100
pcclZstdAuto = 101
pcclZstdOn = 102

# pcclChecksums_t
pcclChecksumsDefault = 0
pcclChecksumsOn = 100
pcclChecksumsOff = 101
pcclChecksumsAuto = 102

# pcclVerify_t
pcclVerifyDefault = 0
pcclVerifyOff = 100
pcclVerifyDigest = 101

# ccoip_inet_protocol_t
inetIPv4 = 0
inetIPv6 = 1


class ccoip_ipv4_address_t(c.Structure):
    _fields_ = [
        ("data", c.c_uint8 * 4),
    ]


class ccoip_ipv6_address_t(c.Structure):
    _fields_ = [
        ("data", c.c_uint8 * 16),
    ]


class ccoip_inet_address_t(c.Structure):
    _fields_ = [
        ("protocol", c.c_int),
        ("ipv4", ccoip_ipv4_address_t),
        ("ipv6", ccoip_ipv6_address_t),
    ]


class ccoip_socket_address_t(c.Structure):
    _fields_ = [
        ("inet", ccoip_inet_address_t),
        ("port", c.c_uint16),
    ]

# pcclTransport_t
pcclTransportDefault = 0
pcclTransportAuto = 100
pcclTransportTcp = 101
pcclTransportRdma = 102

# pcclBinding_t
pcclBindingDefault = 0
pcclBindingAuto = 100
pcclBindingOff = 101

# pcclResult_t
pcclSuccess = 0
pcclNotInitialized = 1
pcclInternalError = 2
pcclInvalidArgument = 3
pcclInvalidUsage = 4
pcclTooFewPeers = 5
pcclMasterConnectionFailed = 6
pcclRankConnectionFailed = 7
pcclRankConnectionLost = 8
pcclNoSharedStateAvailable = 9
pcclPendingAsyncOps = 10
pcclUpdateTopologyFailed = 11
pcclTopologyOptimizationFailed = 12
pcclOutOfMemory = 100
pcclSystemError = 101
pcclTimeout = 102
pcclAborted = 103
pcclMismatch = 104
pcclEvicted = 105
pcclTooManyOperations = 106
pcclResultsDiffer = 107

# pcclDataType_t
pcclUint8 = 0
pcclInt8 = 1
pcclInt16 = 2
pcclUint16 = 3
pcclUint32 = 4
pcclInt32 = 5
pcclUint64 = 6
pcclInt64 = 7
pcclFloat16 = 8
pcclBFloat16 = 9
pcclFloat = 10
pcclDouble = 11

# pcclDeviceType_t
pcclDeviceCpu = 0
pcclDeviceCuda = 1

# pcclRedOp_t
pcclSum = 0
pcclAvg = 1
pcclProd = 2
pcclMax = 3
pcclMin = 4

# pcclAttribute_t
PCCL_ATTRIBUTE_GLOBAL_WORLD_SIZE = 1
PCCL_ATTRIBUTE_PEER_GROUP_WORLD_SIZE = 2
PCCL_ATTRIBUTE_NUM_DISTINCT_PEER_GROUPS = 3
PCCL_ATTRIBUTE_LARGEST_PEER_GROUP_WORLD_SIZE = 4

# pcclDistributionHint_t
pcclDistributionNone = 0
pcclDistributionNormal = 1
pcclDistributionUniform = 2

# pcclSharedStateSyncStrategy_t
PCCL_SHARED_STATE_SYNC_STRATEGY_ENFORCE_POPULAR = 0
PCCL_SHARED_STATE_SYNC_STRATEGY_RECEIVE_ONLY = 1
PCCL_SHARED_STATE_SYNC_STRATEGY_SEND_ONLY = 2

# pcclPlan_t
pcclPlanAuto = 0
pcclPlanOneshot = 100
pcclPlanDirect = 101
pcclPlanRing = 102

# pcclFailurePolicy_t
pcclPolicyDefault = 0
pcclPolicyAbort = 100
pcclPolicyRetry = 101
pcclPolicyRepair = 102

# pcclInput_t
pcclInputKeep = 0
pcclInputGiveUp = 100

# pcclLate_t
pcclLateDefault = 0
pcclLateWait = 100
pcclLateFail = 101
pcclLateEvict = 102


class pcclCommCreateParams_t(c.Structure):
    _fields_ = [
        ("master_address", ccoip_socket_address_t),
        ("peer_group", c.c_uint32),
        ("p2p_connection_pool_size", c.c_uint32),
    ]


class pcclReduceInfo_t(c.Structure):
    _fields_ = [
        ("local_world_size", c.c_uint32),
        ("tx_bytes", c.c_uint64),
        ("rx_bytes", c.c_uint64),
    ]


class pcclReduceOperandDescriptor_t(c.Structure):
    _fields_ = [
        ("datatype", c.c_int),
        ("distribution_hint", c.c_int),
    ]


class pcclQuantizationOptions_t(c.Structure):
    _fields_ = [
        ("quantized_datatype", c.c_int),
        ("algorithm", c.c_int),
    ]


class pcclReduceDescriptor_t(c.Structure):
    _fields_ = [
        ("count", c.c_size_t),
        ("op", c.c_int),
        ("tag", c.c_uint64),
        ("src_descriptor", pcclReduceOperandDescriptor_t),
        ("quantization_options", pcclQuantizationOptions_t),
    ]


class pcclReduceOpDescriptor_t(c.Structure):
    _fields_ = [
        ("sendbuf", c.c_void_p),
        ("recvbuf", c.c_void_p),
        ("descriptor", pcclReduceDescriptor_t),
    ]


pcclReduceSingleDescriptor_t = pcclReduceOpDescriptor_t


class pcclAsyncReduceOp_t(c.Structure):
    _fields_ = [
        ("comm", c.c_void_p),
        ("tag", c.c_uint64),
    ]


class pcclRankUuid_t(c.Structure):
    _fields_ = [
        ("data", c.c_uint8 * 16),
    ]


class pcclTensorInfo_t(c.Structure):
    _fields_ = [
        ("name", c.c_char_p),
        ("data", c.c_void_p),
        ("count", c.c_size_t),
        ("datatype", c.c_int),
        ("device_type", c.c_int),
        ("allow_content_inequality", c.c_bool),
    ]


class pcclSharedState_t(c.Structure):
    _fields_ = [
        ("revision", c.c_uint64),
        ("count", c.c_size_t),
        ("infos", c.POINTER(pcclTensorInfo_t)),
    ]


class pcclSharedStateSyncInfo_t(c.Structure):
    _fields_ = [
        ("tx_bytes", c.c_uint64),
        ("rx_bytes", c.c_uint64),
    ]


class pcclBuildInfo_t(c.Structure):
    _fields_ = [
        ("has_cuda_support", c.c_bool),
    ]


class pcclHandle_t(c.Structure):
    _fields_ = [
        ("comm", c.c_void_p),
        ("tag", c.c_uint64),
        ("launch", c.c_uint64),
    ]


class pcclConfig_t(c.Structure):
    _fields_ = [
        ("size", c.c_size_t),
        ("masters", c.c_char_p),
        ("listen_address", c.c_char_p),
        ("advertised_address", c.c_char_p),
        ("port_first", c.c_uint16),
        ("port_last", c.c_uint16),
        ("lanes", c.c_uint32),
        ("streams", c.c_uint32),
        ("connect_timeout_ms", c.c_uint32),
        ("admission_timeout_ms", c.c_uint32),
        ("operation_timeout_ms", c.c_uint32),
        ("heartbeat_interval_ms", c.c_uint32),
        ("heartbeat_timeout_ms", c.c_uint32),
        ("failure_policy", c.c_int),
        ("plan", c.c_int),
        ("bundle_id", c.c_uint64),
        ("bundle_size", c.c_uint32),
        ("zstd", c.c_int),
        ("checksums", c.c_int),
        ("connect_attempts", c.c_uint32),
        ("joint_timeout_ms", c.c_uint32),
        ("late_members", c.c_int),
        ("security", c.c_void_p),
        ("transport", c.c_int),
        ("verify", c.c_int),
        ("binding", c.c_int),
        ("master_timeout_ms", c.c_uint32),
        ("interfaces", c.c_char_p),
        ("reserved", c.c_uint32 * 2),
    ]


class pcclOperation_t(c.Structure):
    _fields_ = [
        ("size", c.c_size_t),
        ("count", c.c_size_t),
        ("datatype", c.c_int),
        ("op", c.c_int),
        ("tag", c.c_uint64),
        ("root", c.c_uint32),
        ("timeout_ms", c.c_uint32),
        ("plan", c.c_int),
        ("failure_policy", c.c_int),
        ("codec", c.c_int),
        ("codec_down", c.c_int),
        ("codec_datatype", c.c_int),
        ("codec_block", c.c_uint32),
        ("rounding", c.c_int),
        ("residual", c.c_void_p),
        ("zstd", c.c_int),
        ("input", c.c_int),
        ("codec_overflow", c.c_int),
        ("epoch", c.c_uint32),
        ("info", c.c_void_p),
        ("stay_ms", c.c_uint32),
        ("reserved", c.c_uint32 * 1),
    ]


class pcclParticipants_t(c.Structure):
    _fields_ = [
        ("first", c.c_size_t),
        ("count", c.c_size_t),
        ("participants", c.c_uint32),
        ("reserved", c.c_uint32),
    ]


class pcclOperationInfo_t(c.Structure):
    _fields_ = [
        ("size", c.c_size_t),
        ("epoch", c.c_uint64),
        ("participants_min", c.c_uint32),
        ("participants_max", c.c_uint32),
        ("tx_bytes", c.c_uint64),
        ("rx_bytes", c.c_uint64),
        ("plan", c.c_int),
        ("range_capacity", c.c_uint32),
        ("ranges", c.POINTER(pcclParticipants_t)),
        ("range_count", c.c_size_t),
        ("reserved", c.c_uint32 * 2),
    ]

# pcclEnum_t
pcclEnumResult = 0
pcclEnumDataType = 1
pcclEnumDeviceType = 2
pcclEnumRedOp = 3
pcclEnumAttribute = 4
pcclEnumDistributionHint = 5
pcclEnumCodec = 6
pcclEnumRounding = 7
pcclEnumZstd = 8
pcclEnumChecksums = 9
pcclEnumSyncStrategy = 10
pcclEnumPlan = 11
pcclEnumFailurePolicy = 12
pcclEnumLogLevel = 13
pcclEnumOverflow = 14
pcclEnumInput = 15
pcclEnumLate = 16
pcclEnumDilocoMode = 17
pcclEnumDilocoRule = 18
pcclEnumDilocoDivision = 19
pcclEnumSecurity = 20
pcclEnumTransport = 21
pcclEnumVerify = 22
pcclEnumBinding = 23

# pcclLogLevel_t
pcclLogTrace = 1
pcclLogDebug = 2
pcclLogInfo = 3
pcclLogWarn = 4
pcclLogErr = 5
pcclLogFatal = 6
pcclLogNone = 7


pcclLogCallback_t = c.CFUNCTYPE(None, c.c_int, c.c_char_p, c.c_void_p)

# pcclDilocoMode_t
pcclDilocoSynchronous = 0
pcclDilocoDelayed = 100
pcclDilocoEager = 101
pcclDilocoStreaming = 102

# pcclDilocoRule_t
pcclDilocoNesterov = 0
pcclDilocoCo2 = 100

# pcclDilocoDivision_t
pcclDilocoBalanced = 0
pcclDilocoStrided = 100
pcclDilocoGiven = 101


pcclDilocoRead_t = c.CFUNCTYPE(c.c_int, c.c_void_p, c.c_size_t, c.c_size_t, c.c_size_t, c.POINTER(c.c_float))


pcclDilocoWrite_t = c.CFUNCTYPE(c.c_int, c.c_void_p, c.c_size_t, c.c_size_t, c.c_size_t, c.POINTER(c.c_float))


class pcclDilocoSettings_t(c.Structure):
    _fields_ = [
        ("size", c.c_size_t),
        ("mode", c.c_int),
        ("rule", c.c_int),
        ("interval", c.c_uint32),
        ("fragments", c.c_uint32),
        ("overlap", c.c_uint32),
        ("alpha", c.c_float),
        ("learning_rate", c.c_float),
        ("momentum", c.c_float),
        ("clip", c.c_float),
        ("penalize", c.c_bool),
        ("error_feedback", c.c_bool),
        ("check_parity", c.c_bool),
        ("division", c.c_int),
        ("fragment_of", c.POINTER(c.c_uint32)),
        ("tag", c.c_uint64),
        ("codec", c.c_int),
        ("codec_down", c.c_int),
        ("rounding", c.c_int),
        ("zstd", c.c_int),
        ("read", pcclDilocoRead_t),
        ("write", pcclDilocoWrite_t),
        ("context", c.c_void_p),
        ("pieces", c.c_uint32),
        ("quorum", c.c_uint32),
        ("grace_ms", c.c_uint32),
        ("reserved", c.c_uint32 * 1),
    ]


class pcclDilocoStatistics_t(c.Structure):
    _fields_ = [
        ("size", c.c_size_t),
        ("steps", c.c_uint64),
        ("rounds", c.c_uint64),
        ("repeated", c.c_uint64),
        ("alone", c.c_uint64),
        ("tx_bytes", c.c_uint64),
        ("rx_bytes", c.c_uint64),
        ("wait_ns", c.c_uint64),
        ("busy_ns", c.c_uint64),
        ("last_weight", c.c_double),
        ("last_share", c.c_double),
        ("last_participants", c.c_uint32),
        ("in_flight", c.c_uint32),
        ("distance_least", c.c_uint32),
        ("distance_most", c.c_uint32),
        ("largest_bytes", c.c_uint64),
        ("missed", c.c_uint64),
        ("reserved", c.c_uint32 * 2),
    ]


class pcclDilocoParticipant_t(c.Structure):
    _fields_ = [
        ("uuid", pcclRankUuid_t),
        ("weight", c.c_double),
    ]

# pcclSecurityMode_t
pcclSecurityDefault = 0
pcclSecurityNone = 100
pcclSecurityPsk = 101
pcclSecurityTls = 102


class pcclSecurity_t(c.Structure):
    _fields_ = [
        ("size", c.c_size_t),
        ("mode", c.c_int),
        ("reserved_mode", c.c_uint32),
        ("secret", c.c_char_p),
        ("secret_file", c.c_char_p),
        ("authority_file", c.c_char_p),
        ("certificate_file", c.c_char_p),
        ("key_file", c.c_char_p),
        ("revoked_file", c.c_char_p),
        ("identity_file", c.c_char_p),
        ("master_keys", c.c_char_p),
        ("rdma_trusted", c.c_char_p),
        ("reserved", c.c_uint64 * 1),
    ]


pcclLineCallback_t = c.CFUNCTYPE(None, c.c_char_p, c.c_void_p)


class pcclStateSyncOptions_t(c.Structure):
    _fields_ = [
        ("size", c.c_size_t),
        ("strategy", c.c_int),
        ("threads", c.c_uint32),
        ("dirty", c.POINTER(c.c_bool)),
        ("reserved", c.c_uint64),
    ]


class pcclStateSyncInfo_t(c.Structure):
    _fields_ = [
        ("size", c.c_size_t),
        ("tx_bytes", c.c_uint64),
        ("rx_bytes", c.c_uint64),
        ("hashed_bytes", c.c_uint64),
        ("tx_wire_bytes", c.c_uint64),
        ("rx_wire_bytes", c.c_uint64),
        ("reserved", c.c_uint64),
    ]


class pcclStateDrift_t(c.Structure):
    _fields_ = [
        ("size", c.c_size_t),
        ("tensor", c.c_uint64),
        ("chunk", c.c_uint64),
        ("element", c.c_uint64),
        ("peers", c.c_uint32),
        ("first_rank", c.c_uint32),
        ("first_peer", pcclRankUuid_t),
        ("hashed_bytes", c.c_uint64),
        ("reserved", c.c_uint64),
    ]


class pcclTensorShape_t(c.Structure):
    _fields_ = [
        ("dimension_count", c.c_size_t),
        ("dimensions", c.POINTER(c.c_uint64)),
    ]


class pcclCheckpointOptions_t(c.Structure):
    _fields_ = [
        ("size", c.c_size_t),
        ("shapes", c.POINTER(pcclTensorShape_t)),
        ("lineage", pcclRankUuid_t),
        ("threads", c.c_uint32),
        ("accept_foreign", c.c_bool),
        ("reserved", c.c_uint8 * 3),
    ]


class pcclCheckpointInfo_t(c.Structure):
    _fields_ = [
        ("size", c.c_size_t),
        ("revision", c.c_uint64),
        ("lineage", pcclRankUuid_t),
        ("tensor_count", c.c_uint64),
        ("tensor_bytes", c.c_uint64),
        ("reserved", c.c_uint64),
    ]


FUNCTIONS = {
    "pcclInit": (c.c_int, []),
    "pcclGetBuildInfo": (c.c_int, [c.POINTER(pcclBuildInfo_t)]),
    "pcclGetVersion": (c.c_int, []),
    "pcclGetErrorString": (c.c_char_p, [c.c_int]),
    "pcclGetLastError": (c.c_char_p, [c.c_void_p]),
    "pcclCreateCommunicator": (c.c_int, [c.POINTER(pcclCommCreateParams_t), c.POINTER(c.c_void_p)]),
    "pcclCreateCommunicatorWithConfig": (c.c_int, [c.POINTER(pcclCommCreateParams_t), c.POINTER(pcclConfig_t), c.POINTER(c.c_void_p)]),
    "pcclConnect": (c.c_int, [c.c_void_p]),
    "pcclDestroyCommunicator": (c.c_int, [c.c_void_p]),
    "pcclCommAbort": (c.c_int, [c.c_void_p]),
    "pcclGetAttribute": (c.c_int, [c.c_void_p, c.c_int, c.POINTER(c.c_int)]),
    "pcclGetRank": (c.c_int, [c.c_void_p, c.POINTER(c.c_uint32)]),
    "pcclGetEpoch": (c.c_int, [c.c_void_p, c.POINTER(c.c_uint64)]),
    "pcclGetUuid": (c.c_int, [c.c_void_p, c.POINTER(pcclRankUuid_t)]),
    "pcclUpdateTopology": (c.c_int, [c.c_void_p]),
    "pcclArePeersPending": (c.c_int, [c.c_void_p, c.POINTER(c.c_bool)]),
    "pcclOptimizeTopology": (c.c_int, [c.c_void_p]),
    "pcclAllReduce": (c.c_int, [c.c_void_p, c.c_void_p, c.POINTER(pcclReduceDescriptor_t), c.c_void_p, c.POINTER(pcclReduceInfo_t)]),
    "pcclAllReduceAsync": (c.c_int, [c.c_void_p, c.c_void_p, c.POINTER(pcclReduceDescriptor_t), c.c_void_p, c.POINTER(pcclAsyncReduceOp_t)]),
    "pcclAwaitAsyncReduce": (c.c_int, [c.POINTER(pcclAsyncReduceOp_t), c.POINTER(pcclReduceInfo_t)]),
    "pcclAllReduceMultipleWithRetry": (c.c_int, [c.POINTER(pcclReduceOpDescriptor_t), c.c_size_t, c.c_void_p, c.POINTER(pcclReduceInfo_t), c.c_int]),
    "pcclAllReduceWith": (c.c_int, [c.c_void_p, c.c_void_p, c.POINTER(pcclOperation_t), c.c_void_p, c.POINTER(pcclOperationInfo_t)]),
    "pcclAllReduceWithAsync": (c.c_int, [c.c_void_p, c.c_void_p, c.POINTER(pcclOperation_t), c.c_void_p, c.POINTER(pcclHandle_t)]),
    "pcclBroadcast": (c.c_int, [c.c_void_p, c.c_void_p, c.POINTER(pcclOperation_t), c.c_void_p, c.POINTER(pcclOperationInfo_t)]),
    "pcclBroadcastAsync": (c.c_int, [c.c_void_p, c.c_void_p, c.POINTER(pcclOperation_t), c.c_void_p, c.POINTER(pcclHandle_t)]),
    "pcclReduceScatter": (c.c_int, [c.c_void_p, c.c_void_p, c.POINTER(pcclOperation_t), c.c_void_p, c.POINTER(pcclOperationInfo_t)]),
    "pcclReduceScatterAsync": (c.c_int, [c.c_void_p, c.c_void_p, c.POINTER(pcclOperation_t), c.c_void_p, c.POINTER(pcclHandle_t)]),
    "pcclAllGather": (c.c_int, [c.c_void_p, c.c_void_p, c.POINTER(pcclOperation_t), c.c_void_p, c.POINTER(pcclOperationInfo_t)]),
    "pcclAllGatherAsync": (c.c_int, [c.c_void_p, c.c_void_p, c.POINTER(pcclOperation_t), c.c_void_p, c.POINTER(pcclHandle_t)]),
    "pcclReduce": (c.c_int, [c.c_void_p, c.c_void_p, c.POINTER(pcclOperation_t), c.c_void_p, c.POINTER(pcclOperationInfo_t)]),
    "pcclReduceAsync": (c.c_int, [c.c_void_p, c.c_void_p, c.POINTER(pcclOperation_t), c.c_void_p, c.POINTER(pcclHandle_t)]),
    "pcclBarrier": (c.c_int, [c.POINTER(pcclOperation_t), c.c_void_p]),
    "pcclBarrierAsync": (c.c_int, [c.POINTER(pcclOperation_t), c.c_void_p, c.POINTER(pcclHandle_t)]),
    "pcclAwait": (c.c_int, [c.POINTER(pcclHandle_t), c.POINTER(pcclOperationInfo_t)]),
    "pcclTest": (c.c_int, [c.POINTER(pcclHandle_t), c.POINTER(c.c_bool)]),
    "pcclSynchronizeSharedState": (c.c_int, [c.c_void_p, c.POINTER(pcclSharedState_t), c.c_int, c.POINTER(pcclSharedStateSyncInfo_t)]),
    "pcclCreateMaster": (c.c_int, [ccoip_socket_address_t, c.POINTER(c.c_void_p)]),
    "pcclRunMaster": (c.c_int, [c.c_void_p]),
    "pcclInterruptMaster": (c.c_int, [c.c_void_p]),
    "pcclMasterAwaitTermination": (c.c_int, [c.c_void_p]),
    "pcclDestroyMaster": (c.c_int, [c.c_void_p]),
    "pcclGather": (c.c_int, [c.c_void_p, c.c_void_p, c.POINTER(c.c_size_t), c.POINTER(pcclOperation_t), c.c_void_p, c.POINTER(pcclOperationInfo_t)]),
    "pcclGatherAsync": (c.c_int, [c.c_void_p, c.c_void_p, c.POINTER(c.c_size_t), c.POINTER(pcclOperation_t), c.c_void_p, c.POINTER(pcclHandle_t)]),
    "pcclScatter": (c.c_int, [c.c_void_p, c.c_void_p, c.POINTER(c.c_size_t), c.POINTER(pcclOperation_t), c.c_void_p, c.POINTER(pcclOperationInfo_t)]),
    "pcclScatterAsync": (c.c_int, [c.c_void_p, c.c_void_p, c.POINTER(c.c_size_t), c.POINTER(pcclOperation_t), c.c_void_p, c.POINTER(pcclHandle_t)]),
    "pcclAllToAll": (c.c_int, [c.c_void_p, c.c_void_p, c.POINTER(c.c_size_t), c.POINTER(c.c_size_t), c.POINTER(pcclOperation_t), c.c_void_p, c.POINTER(pcclOperationInfo_t)]),
    "pcclAllToAllAsync": (c.c_int, [c.c_void_p, c.c_void_p, c.POINTER(c.c_size_t), c.POINTER(c.c_size_t), c.POINTER(pcclOperation_t), c.c_void_p, c.POINTER(pcclHandle_t)]),
    "pcclSend": (c.c_int, [c.c_void_p, c.c_uint32, c.POINTER(pcclOperation_t), c.c_void_p, c.POINTER(pcclOperationInfo_t)]),
    "pcclSendAsync": (c.c_int, [c.c_void_p, c.c_uint32, c.POINTER(pcclOperation_t), c.c_void_p, c.POINTER(pcclHandle_t)]),
    "pcclRecv": (c.c_int, [c.c_void_p, c.c_uint32, c.POINTER(pcclOperation_t), c.c_void_p, c.POINTER(pcclOperationInfo_t)]),
    "pcclRecvAsync": (c.c_int, [c.c_void_p, c.c_uint32, c.POINTER(pcclOperation_t), c.c_void_p, c.POINTER(pcclHandle_t)]),
    "pcclAllReduceFor": (c.c_int, [c.c_void_p, c.c_void_p, c.POINTER(pcclReduceDescriptor_t), c.c_void_p, c.c_uint32, c.POINTER(pcclAsyncReduceOp_t), c.POINTER(pcclReduceInfo_t)]),
    "pcclTestFor": (c.c_int, [c.POINTER(pcclHandle_t), c.c_uint32, c.POINTER(c.c_bool)]),
    "pcclGetName": (c.c_char_p, [c.c_int, c.c_int]),
    "pcclParseName": (c.c_int, [c.c_int, c.c_char_p, c.POINTER(c.c_int)]),
    "pcclGetValueAt": (c.c_int, [c.c_int, c.c_size_t, c.POINTER(c.c_int)]),
    "pcclSetLogCallback": (c.c_int, [pcclLogCallback_t, c.c_void_p]),
    "pcclSetLogLevel": (c.c_int, [c.c_int]),
    "pcclDilocoCreate": (c.c_int, [c.c_void_p, c.POINTER(pcclTensorInfo_t), c.c_size_t, c.POINTER(pcclDilocoSettings_t), c.POINTER(c.c_void_p)]),
    "pcclDilocoStep": (c.c_int, [c.c_void_p, c.c_double]),
    "pcclDilocoIsDue": (c.c_int, [c.c_void_p, c.POINTER(c.c_bool)]),
    "pcclDilocoFlush": (c.c_int, [c.c_void_p]),
    "pcclDilocoState": (c.c_int, [c.c_void_p, c.POINTER(c.POINTER(pcclSharedState_t))]),
    "pcclDilocoResume": (c.c_int, [c.c_void_p, c.c_bool]),
    "pcclDilocoGetStatistics": (c.c_int, [c.c_void_p, c.POINTER(pcclDilocoStatistics_t)]),
    "pcclDilocoGetParticipants": (c.c_int, [c.c_void_p, c.POINTER(pcclDilocoParticipant_t), c.c_size_t, c.POINTER(c.c_size_t)]),
    "pcclDilocoDestroy": (c.c_int, [c.c_void_p]),
    "pcclGenerateSecret": (c.c_int, [c.c_char * 64]),
    "pcclDescribeKey": (c.c_int, [c.c_char_p, c.c_char * 80]),
    "pcclSetMasterSecurity": (c.c_int, [c.c_void_p, c.POINTER(pcclSecurity_t)]),
    "pcclSetMasterAdmission": (c.c_int, [c.c_void_p, c.c_char_p]),
    "pcclCommandMaster": (c.c_int, [c.c_void_p, c.c_char_p, pcclLineCallback_t, c.c_void_p]),
    "pcclStateSync": (c.c_int, [c.c_void_p, c.POINTER(pcclSharedState_t), c.POINTER(pcclStateSyncOptions_t), c.POINTER(pcclStateSyncInfo_t)]),
    "pcclStateCheck": (c.c_int, [c.c_void_p, c.POINTER(pcclSharedState_t), c.POINTER(pcclStateSyncOptions_t), c.POINTER(pcclStateDrift_t)]),
    "pcclStateLend": (c.c_int, [c.c_void_p, c.POINTER(pcclSharedState_t)]),
    "pcclStateTakeBack": (c.c_int, [c.c_void_p]),
    "pcclStatePrefetch": (c.c_int, [c.c_void_p, c.POINTER(pcclSharedState_t), c.POINTER(pcclStateSyncInfo_t)]),
    "pcclStateSave": (c.c_int, [c.POINTER(pcclSharedState_t), c.c_char_p, c.POINTER(pcclCheckpointOptions_t)]),
    "pcclStateLoad": (c.c_int, [c.POINTER(pcclSharedState_t), c.c_char_p, c.POINTER(pcclCheckpointOptions_t)]),
    "pcclStateInspect": (c.c_int, [c.c_char_p, c.POINTER(pcclCheckpointInfo_t)]),
}
