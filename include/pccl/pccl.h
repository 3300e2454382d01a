/*
 * pccl: fault-tolerant collective communication over TCP.
 *
 * The life of a program:
 *
 *	pcclInit();
 *	pcclCreateCommunicator(&params, &comm);
 *	pcclConnect(comm);                       // blocks until the master admits this peer
 *	for (step = 0;; step++) {
 *		if (step > 0)                    // a newcomer's pcclConnect() was its part in this call
 *			pcclUpdateTopology(comm); // a joint step: admits the peers that wait
 *		...
 *		pcclAllReduce(send, recv, &descriptor, comm, &info);
 *	}
 *	pcclDestroyCommunicator(comm);
 *
 * Words. A *peer* is one communicator; a *peer group* is a set of peers that reduce with each other; a *view* is the
 * agreed list of a group's members in rank order, numbered by an *epoch*. Every collective belongs to one view. When
 * a member is lost, the survivors agree on the outcome of every running operation and go on in the next view.
 *
 * Threads. Every function may be called from any thread unless it says otherwise, none from a signal handler; a thread
 * inside a call must not be cancelled, and a communicator not be used while or after pcclDestroyCommunicator() runs on
 * it. The library starts threads of its own, blocks all signals in them, and never exits the process, writes to stdout,
 * or installs signal handlers. Diagnostics go to stderr (PCCL_LOG_LEVEL=TRACE|DEBUG|INFO|WARN|ERR|FATAL|NONE, default
 * ERR) or to pcclSetLogCallback(), pccl/diagnostics.h. After fork() the child has none of the communicators, masters
 * and sockets of its parent: every call on one, destroying it too, returns pcclInvalidUsage at once and does nothing.
 * It may create its own. Descriptors close at fork() and exec(). The library and its threads stay after dlclose().
 *
 * Errors. Every fallible function returns a pcclResult_t; pcclSuccess is 0. pcclGetLastError() has the cause of the
 * thread's last failure in words. After a failed collective the caller's *input* is as it was, in place or not (but see
 * pcclInput_t), and the next call may be made in the view in force; a receive buffer out of place holds anything.
 *
 * Compatibility. Names, layouts and values of PCCL 1.0 are kept; what pccl adds to its enumerations has values from
 * 100 up. Larger things have headers beside this: codecs.h, transport.h, master.h, parts.h, slices.h (included here),
 * diagnostics.h, state.h, diloco.h, security.h; stats.h, as it comes.
 * #include <pccl/pccl.h> with -I PREFIX/include, or <pccl.h>, as PCCL 1.0 programs do, with -I PREFIX/include/pccl.
 */
#ifndef PCCL_H
#define PCCL_H

#include "ccoip_inet.h"
#include "codecs.h"
#include "transport.h"
#include <stdbool.h>
#include <stddef.h>

#define PCCL_VERSION_MAJOR 2
#define PCCL_VERSION_MINOR 0
#define PCCL_VERSION_PATCH 0

#if defined(_MSC_VER)
#define PCCL_EXPORT __declspec(dllexport)
#else
#define PCCL_EXPORT __attribute__((visibility("default")))
#endif
#define PCCL_NULLABLE

#ifdef __cplusplus
extern "C" {
#endif

/* ---- results ------------------------------------------------------------------------------------------------- */

typedef enum pcclResult_t {
	pcclSuccess = 0,
	pcclNotInitialized = 1,	 /* pcclInit() has not been called */
	pcclInternalError = 2,	 /* a defect of the library: please report it */
	pcclInvalidArgument = 3, /* an argument is wrong by itself */
	pcclInvalidUsage = 4,	 /* a call that is not allowed in this state */
	pcclTooFewPeers = 5,	 /* the group has one member: there is nobody to reduce with */
	pcclMasterConnectionFailed = 6,
	pcclRankConnectionFailed = 7,
	pcclRankConnectionLost = 8, /* a member was lost; the survivors agreed to give this operation up */
	pcclNoSharedStateAvailable = 9,
	pcclPendingAsyncOps = 10, /* operations are still to be awaited */
	pcclUpdateTopologyFailed = 11,
	pcclTopologyOptimizationFailed = 12,

	pcclOutOfMemory = 100,
	pcclSystemError = 101, /* a system call failed; the last error names it */
	pcclTimeout = 102,     /* a deadline passed; the last error names who had not arrived */
	pcclAborted = 103,     /* pcclCommAbort() was called on the communicator */
	pcclMismatch = 104,    /* peers called different things under one tag; the last error names both sides */
	pcclEvicted = 105, /* the group goes on without this peer, or can't go on: the last error says why. Join anew */
	pcclTooManyOperations = 106, /* PCCL_MAX_OPERATIONS are in flight already */
	pcclResultsDiffer = 107	     /* members hold different results (pcclVerifyDigest); the last error says who */
} pcclResult_t;

/* Operations that one communicator may have in flight (launched and not yet awaited) at a time: more than there is use
 * for. Each begins when it is launched, whatever others launch, and in whatever order: none waits for a place. */
#define PCCL_MAX_OPERATIONS 65536

/* ---- elements and operations --------------------------------------------------------------------------------- */

typedef enum pcclDataType_t {
	pcclUint8 = 0,
	pcclInt8 = 1,
	pcclInt16 = 2,
	pcclUint16 = 3,
	pcclUint32 = 4,
	pcclInt32 = 5,
	pcclUint64 = 6,
	pcclInt64 = 7,
	pcclFloat16 = 8,  /* IEEE binary16; added in binary32, rounded once */
	pcclBFloat16 = 9, /* the upper half of a binary32; added in binary32, rounded once */
	pcclFloat = 10,
	pcclDouble = 11
} pcclDataType_t;

typedef enum pcclDeviceType_t { pcclDeviceCpu = 0, pcclDeviceCuda = 1 } pcclDeviceType_t;

/* Contributions are combined in rank order (the ring plan: in rank order starting after the shard's owner). Integers
 * wrap around; the average of integers is the wrapped sum divided by the number of peers, rounded towards zero. The
 * average of finite floats is finite even where their sum is not (not so in a ring or with a codec, which have no more
 * than the sum). A NaN in any contribution makes the sum, product, maximum or minimum a NaN. */
typedef enum pcclRedOp_t { pcclSum, pcclAvg, pcclProd, pcclMax, pcclMin } pcclRedOp_t;

typedef enum pcclAttribute_t {
	PCCL_ATTRIBUTE_GLOBAL_WORLD_SIZE = 1,	  /* peers of all groups that the master has admitted */
	PCCL_ATTRIBUTE_PEER_GROUP_WORLD_SIZE = 2, /* members of this communicator's view */
	PCCL_ATTRIBUTE_NUM_DISTINCT_PEER_GROUPS = 3,
	PCCL_ATTRIBUTE_LARGEST_PEER_GROUP_WORLD_SIZE = 4
} pcclAttribute_t;

typedef enum pcclDistributionHint_t {
	pcclDistributionNone = 0,
	pcclDistributionNormal = 1,
	pcclDistributionUniform = 2
} pcclDistributionHint_t;

typedef enum pcclSharedStateSyncStrategy_t {
	PCCL_SHARED_STATE_SYNC_STRATEGY_ENFORCE_POPULAR = 0,
	PCCL_SHARED_STATE_SYNC_STRATEGY_RECEIVE_ONLY = 1,
	PCCL_SHARED_STATE_SYNC_STRATEGY_SEND_ONLY = 2
} pcclSharedStateSyncStrategy_t;

/* How an operation travels. `pcclPlanAuto` picks by size and number of peers; every peer must pick the same. */
typedef enum pcclPlan_t {
	pcclPlanAuto = 0,
	pcclPlanOneshot = 100, /* everybody sends everything to everybody: one hop, for small operations */
	pcclPlanDirect = 101,  /* each peer reduces one shard and sends the result to all: two hops */
	pcclPlanRing = 102     /* shards travel round a ring: 2 (n - 1) hops, one neighbour at a time */
} pcclPlan_t;

/*
 * What becomes of an operation when a member is lost while it runs, the same on all survivors. Success, if it may have
 * returned that anywhere; else input stays (unless it was given up), and
 *
 *					abort	retry	repair
 *	all-reduce			lost	redone	repaired: finished segments stay, the rest is redone
 *	broadcast, reduce, barrier	lost	redone	redone
 *	send and receive		lost	redone	redone
 *	whose root or other end is lost	lost	lost	lost
 *	reduce-scatter, all-gather	lost	lost	lost: buffers no longer fit
 *	gather, scatter, all-to-all	lost	lost	lost, likewise
 *
 * lost: pcclRankConnectionLost, a send between two who live, too. redone: by the survivors, from the beginning.
 */
typedef enum pcclFailurePolicy_t {
	pcclPolicyDefault = 0, /* the communicator's policy, and there `pcclPolicyAbort` */
	pcclPolicyAbort = 100,
	pcclPolicyRetry = 101,
	pcclPolicyRepair = 102
} pcclFailurePolicy_t;

/* In place, keep saves what results overwrite, for a failure. Give up saves nothing (but in `oneshot`), is for `abort`
 * only, and a loss ends it (any view change, if it is verified or no all-reduce). Members need not choose alike. */
typedef enum pcclInput_t { pcclInputKeep = 0, pcclInputGiveUp = 100 } pcclInput_t;

/* Members late for a joint call: wait for them (the master logs who they are); fail (the default): who called gets
 * pcclTimeout, nothing has happened, calling again goes on where it was; evict (fail if fewer than half called). */
typedef enum pcclLate_t { pcclLateDefault = 0, pcclLateWait = 100, pcclLateFail = 101, pcclLateEvict = 102 } pcclLate_t;

/* ---- structures of PCCL 1.0 (layouts are part of the binary interface) ----------------------------------------- */

typedef struct pcclComm_t pcclComm_t;
typedef struct pcclRankInfo_t pcclRankInfo_t;
typedef struct pcclMasterInstanceState_t pcclMasterInstance_t;

typedef struct pcclCommCreateParams_t {
	ccoip_socket_address_t master_address;
	uint32_t peer_group;
	uint32_t p2p_connection_pool_size; /* streams per neighbour and lane; 0 means the default */
} pcclCommCreateParams_t;

typedef struct pcclReduceInfo_t {
	uint32_t local_world_size; /* participants of the operation */
	uint64_t tx_bytes;	   /* payload bytes this peer sent for it */
	uint64_t rx_bytes;	   /* payload bytes this peer received for it */
} pcclReduceInfo_t;

typedef struct pcclReduceOperandDescriptor_t {
	pcclDataType_t datatype;
	pcclDistributionHint_t distribution_hint; /* checked, not used */
} pcclReduceOperandDescriptor_t;

typedef struct pcclQuantizationOptions_t {
	pcclDataType_t quantized_datatype;
	pcclQuantizationAlgorithm_t algorithm;
} pcclQuantizationOptions_t;

typedef struct pcclReduceDescriptor_t {
	size_t count; /* elements; 0 is allowed */
	pcclRedOp_t op;
	uint64_t tag; /* names the operation; at most one in flight per tag */
	pcclReduceOperandDescriptor_t src_descriptor;
	pcclQuantizationOptions_t quantization_options;
} pcclReduceDescriptor_t;

typedef struct pcclReduceSingleDescriptor_t {
	void *sendbuf;
	void *recvbuf;
	pcclReduceDescriptor_t descriptor;
} pcclReduceOpDescriptor_t;

/* A value: copy it freely, it owns nothing. It names whatever operation is in flight under the tag. */
typedef struct pcclAsyncReduceOp_t {
	pcclComm_t *comm;
	uint64_t tag;
} pcclAsyncReduceOp_t;

typedef struct pcclRankUuid_t {
	uint8_t data[16];
} pcclRankUuid_t;

typedef struct pcclTensorInfo_t {
	const char *name; /* of states between members: up to 65,535 bytes */
	void *data;
	size_t count;
	pcclDataType_t datatype;
	pcclDeviceType_t device_type;
	bool allow_content_inequality;
} pcclTensorInfo_t;

typedef struct pcclSharedState_t {
	uint64_t revision;
	size_t count;
	pcclTensorInfo_t *infos;
} pcclSharedState_t;

typedef struct pcclSharedStateSyncInfo_t {
	uint64_t tx_bytes;
	uint64_t rx_bytes;
} pcclSharedStateSyncInfo_t;

typedef struct pcclBuildInfo_t {
	bool has_cuda_support;
} pcclBuildInfo_t;

/* ---- structures of pccl ------------------------------------------------------------------------------------------ */

/* One launch. A value: copy it freely. Once awaited, it never takes the tag's next operation for its own. */
typedef struct pcclHandle_t {
	pcclComm_t *comm;
	uint64_t tag;
	uint64_t launch; /* counts the communicator's launches, from 1; 0: any, as a pcclAsyncReduceOp_t has it */
} pcclHandle_t;

/* ---- structures of pccl that can grow: the first field is the size -------------------------------------------- */

/* Initialize them with their *_INITIALIZER. A program may be older than its library or newer: what its structure lacks
 * has the default, and what the library does not know yet has to be zero, as `reserved` has, or else the call is
 * pcclInvalidArgument: what a program asks for is done or refused. New fields come before `reserved`. */

/*
 * Settings of one communicator. Initialize with PCCL_CONFIG_INITIALIZER, then change what you need; a zero or NULL
 * field means "the PCCL_* environment variable named beside it, and without that the default". Strings are copied.
 */
typedef struct pcclConfig_t {
	size_t size;
	const char *masters;		/* PCCL_MASTERS: "host:port,host" (port 48148), tried after master_address; for
					 * all peers the same. The first founds groups: while it can't be reached,
					 * groups go on and are joined at the others (who is alone there only after a
					 * quarter of connect_timeout_ms), but none begins */
	const char *listen_address;	/* PCCL_LISTEN_ADDRESS: default "::" (IPv4 and IPv6) */
	const char *advertised_address; /* PCCL_ADVERTISED_ADDRESS: what peers dial, "host", "host:port", or several of
					 * these with commas between; default: as the master sees it, and the
					 * addresses of the interfaces, or of `interfaces` only */
	uint16_t port_first, port_last; /* PCCL_PORT=first[-last]: listening port range; default any free port */
	uint32_t lanes;			/* PCCL_LANES: I/O threads; the fewest of a member count; default half the
					 * cores that the caller may use (affinity, control group), 1 to 4 */
	uint32_t streams;		/* PCCL_STREAMS: connections per lane and neighbour, at most 16; default 1, or
					 * one for each of `interfaces` */
	uint32_t connect_timeout_ms;	/* PCCL_CONNECT_TIMEOUT_MS: to reach the master or a peer; default 10000 */
	uint32_t admission_timeout_ms;	/* PCCL_ADMISSION_TIMEOUT_MS: to be admitted; default 0: as long as it takes */
	uint32_t operation_timeout_ms;	/* PCCL_OPERATION_TIMEOUT_MS; default 0: none while members live */
	uint32_t heartbeat_interval_ms; /* PCCL_HEARTBEAT_INTERVAL_MS: default 500 */
	uint32_t heartbeat_timeout_ms;	/* PCCL_HEARTBEAT_TIMEOUT_MS: silence before a peer is given up; default 3000,
					 * and more for who is far away: 16 round trips, 32 for links */
	pcclFailurePolicy_t failure_policy; /* PCCL_FAILURE_POLICY=abort|retry|repair */
	pcclPlan_t plan;		    /* PCCL_PLAN=auto|oneshot|direct|ring */
	uint64_t bundle_id;   /* PCCL_BUNDLE=id/size: its ranks join their groups together or not at all; 0: none */
	uint32_t bundle_size; /* members of the bundle, the same number for each */
	pcclZstd_t zstd;      /* PCCL_ZSTD=off|auto|on */
	pcclChecksums_t checksums; /* PCCL_CHECKSUMS=auto|on|off */
	uint32_t connect_attempts; /* PCCL_CONNECT_ATTEMPTS: at each master; default 0: as connect_timeout_ms allows */
	uint32_t joint_timeout_ms; /* PCCL_JOINT_TIMEOUT_MS: of joint calls; the shortest counts; default 0: none */
	pcclLate_t late_members;   /* PCCL_LATE_MEMBERS=wait|fail|evict: of different choices the mildest counts */
	const struct pcclSecurity_t *security; /* of all connections: security.h; NULL: the environment says */
	pcclTransport_t transport;	       /* PCCL_TRANSPORT=auto|tcp|rdma */
	pcclVerify_t verify;		       /* PCCL_VERIFY=off|digest */
	pcclBinding_t binding;		       /* PCCL_BINDING=auto|off */
	uint32_t master_timeout_ms; /* PCCL_MASTER_TIMEOUT_MS: so long what waits for a lost member waits for a master;
				     * default 20 heartbeat timeouts, or connect_timeout_ms if that is longer */
	const char *interfaces; /* PCCL_INTERFACES: the network cards that carry payload, "eth0,eth1", at most 8: peers
				 * are told their addresses, and the streams of each link are spread over them.
				 * For all peers; networks in the same order. Default: wherever the system sends */
	uint32_t reserved[2];
} pcclConfig_t;

/* clang-format off */
#define PCCL_CONFIG_INITIALIZER \
	{sizeof(pcclConfig_t), NULL, NULL, NULL, 0, 0, 0, 0, 0, 0, 0, 0, 0, pcclPolicyDefault, pcclPlanAuto, 0, 0, \
	 pcclZstdDefault, pcclChecksumsDefault, 0, 0, pcclLateDefault, NULL, pcclTransportDefault, pcclVerifyDefault, \
	 pcclBindingDefault, 0, NULL, {0}}
/* clang-format on */

/*
 * One collective. `count` is in elements: of the whole buffer for all-reduce and broadcast; of one rank's part for
 * reduce-scatter (send world * count, receive count) and all-gather (send count, receive world * count). Of reduce it
 * is of the whole buffer; parts.h has the others.
 */
typedef struct pcclOperation_t {
	size_t size;
	size_t count;
	pcclDataType_t datatype;
	pcclRedOp_t op; /* all-reduce, reduce-scatter and reduce */
	uint64_t tag;	/* names the operation; at most one in flight per tag. 0xfffffffffffffe11 is the library's */
	uint32_t root;	/* broadcast, reduce, gather, scatter: a rank in the current view */
	uint32_t timeout_ms; /* 0: the communicator's */
	pcclPlan_t plan;     /* pcclPlanAuto: the communicator's */
	pcclFailurePolicy_t failure_policy;
	pcclQuantizationAlgorithm_t codec;	/* all-reduce: how contributions travel */
	pcclQuantizationAlgorithm_t codec_down; /* how results travel; pcclQuantNone: as `codec` */
	pcclDataType_t codec_datatype;		/* pcclQuantMinMax and pcclQuantZeroPointScale: the type sent */
	uint32_t codec_block; /* elements per scale, a multiple of 64 up to 4096; 0: the codec's default */
	pcclRounding_t rounding;
	/* Error feedback: `count` floats (doubles for pcclDouble), at first 0, in no other buffer. They are added to
	 * this peer's part, and become what encoding took from that when the operation is awaited and has succeeded,
	 * however often it was retried or repaired; if it failed they stay. Plain travel leaves them. NULL: none. */
	void *residual;
	pcclZstd_t zstd; /* what this peer sends; pcclZstdDefault: as the communicator has it */
	pcclInput_t input;
	pcclOverflow_t codec_overflow; /* pcclQuantBF16 and pcclQuantFP16 */
	/* Of a view with whose members it is to be done (pcclGetEpoch()), given by all alike: with others in force, at
	 * the launch too, it ends with pcclRankConnectionLost, whatever rank it names. 0: with those in force. */
	uint32_t epoch;
	struct pcclOperationInfo_t *info; /* slices.h */
	uint32_t stay_ms, reserved[1];	  /* Async functions return when it has ended, or so much later: slices.h */
} pcclOperation_t;

/* clang-format off */
#define PCCL_OPERATION_INITIALIZER \
	{sizeof(pcclOperation_t), 0, pcclFloat, pcclSum, 0, 0, 0, pcclPlanAuto, pcclPolicyDefault, pcclQuantNone, \
	 pcclQuantNone, pcclUint8, 0, pcclRoundNearest, NULL, pcclZstdDefault, pcclInputKeep, pcclOverflowRefuse, 0, \
	 NULL, 0, {0}}
/* clang-format on */

typedef struct pcclParticipants_t { /* a run of elements that have the contributions of as many peers */
	size_t first, count;
	uint32_t participants, reserved;
} pcclParticipants_t;

/* What became of an operation. Initialize it (PCCL_OPERATION_INFO_INITIALIZER) before the call. */
typedef struct pcclOperationInfo_t {
	size_t size;
	uint64_t epoch; /* of the view in which it was done, for the last time; after a failure: in which it ended */
	/* Fewest and most peers that any element of the result has contributions of, 0 after a failure; they differ
	 * only after a repair. 1.0's `local_world_size` is the larger. Epoch and participants are the same on all
	 * survivors of an operation that has succeeded. */
	uint32_t participants_min, participants_max;
	/* Elements that this peer has sent and received for it, in bytes as they travel (encoded, compressed), in all
	 * its attempts; headers, control frames, and what was sent again over a new connection do not count. */
	uint64_t tx_bytes, rx_bytes;
	pcclPlan_t plan; /* that it was done by, the last time: what pcclPlanAuto, or one that does not apply, became */
	/* Participants by range, in order. The caller lends room for `range_capacity`, the library says how many there
	 * are and writes what fits: none after a failure or of no elements, 1 without a repair, else 65,536 at most. */
	uint32_t range_capacity;
	pcclParticipants_t *ranges;
	size_t range_count;
	uint32_t reserved[2];
} pcclOperationInfo_t;

/* clang-format off */
#define PCCL_OPERATION_INFO_INITIALIZER \
	{sizeof(pcclOperationInfo_t), 0, 0, 0, 0, 0, pcclPlanAuto, 0, NULL, 0, {0}}
/* clang-format on */

/* ---- the library ----------------------------------------------------------------------------------------------- */

/* Makes the library ready. Idempotent, callable from any thread. Always pcclSuccess. */
PCCL_EXPORT pcclResult_t pcclInit(void);

/* Fills *info. Needs no pcclInit(). pcclInvalidArgument: info is NULL. has_cuda_support is always true: shared states
 * and checkpoints take tensors on such devices, where their driver is. */
PCCL_EXPORT pcclResult_t pcclGetBuildInfo(pcclBuildInfo_t *info);

/* The version of the library that runs, as major * 10000 + minor * 100 + patch. */
PCCL_EXPORT int pcclGetVersion(void);

/* One sentence for a result. Never NULL; static. */
PCCL_EXPORT const char *pcclGetErrorString(pcclResult_t result);

/* The cause of the calling thread's last failed call, in words: which peer, which link, what to do. Empty if there was
 * none. Valid until the thread's next call into the library. `comm` may be NULL: it only documents the question. */
PCCL_EXPORT const char *pcclGetLastError(const pcclComm_t *comm PCCL_NULLABLE);

/* ---- communicators --------------------------------------------------------------------------------------------- */

/* Creates a communicator; no network activity. The parameters are copied; master_address.port 0 means that the masters
 * are in PCCL_MASTERS or pcclConfig_t. The caller ends it with pcclDestroyCommunicator(). Returns pcclNotInitialized,
 * pcclInvalidArgument (NULL pointer, bad environment variable), pcclSystemError, pcclOutOfMemory; *comm_out is NULL
 * then. A process may have any number of them. This one is as PCCL 1.0 programs expect: docs/PCCL-1.0.md */
PCCL_EXPORT pcclResult_t pcclCreateCommunicator(const pcclCommCreateParams_t *params, pcclComm_t **comm_out);

/* The same with settings, which are copied. `config` may be NULL. pcclInvalidArgument also for a bad setting; the last
 * error names it. */
PCCL_EXPORT pcclResult_t pcclCreateCommunicatorWithConfig(const pcclCommCreateParams_t *params,
							  const pcclConfig_t *config PCCL_NULLABLE,
							  pcclComm_t **comm_out);

/* Joins: starts the threads, registers with the master and blocks until the group's members admit this peer (the
 * first peer of a group at once) and the links to all of them are up. Returns pcclMasterConnectionFailed if that
 * failed (no master, refused, timed out), pcclAborted, pcclInvalidArgument (no master is given), pcclOutOfMemory,
 * pcclSystemError: the threads have ended; all but pcclAborted may be repeated. pcclInvalidUsage: connected already. To
 * be admitted is a newcomer's part in the members' pcclUpdateTopology(): it must not make that call once more. */
PCCL_EXPORT pcclResult_t pcclConnect(pcclComm_t *communicator);

/* Leaves the group (the others see a graceful leave), ends all threads, frees everything; operations still in flight
 * end with pcclAborted and their handles become invalid. Returns promptly even if the master is gone.
 * pcclInvalidArgument: NULL. */
PCCL_EXPORT pcclResult_t pcclDestroyCommunicator(pcclComm_t *communicator);

/* Frees every call that is blocked on the communicator, in any thread, at once (one that waits for a name server, when
 * that has answered): they return pcclAborted, as do all later calls but pcclDestroyCommunicator(). The others see this
 * peer leave. Repeatable. pcclInvalidArgument: NULL. */
PCCL_EXPORT pcclResult_t pcclCommAbort(pcclComm_t *communicator);

/* These four return pcclInvalidUsage if the communicator is not connected, pcclInvalidArgument for a NULL pointer, and
 * if it has ended, why it has (pcclEvicted, pcclAborted). They never block. */

/* A number about the world. PCCL_ATTRIBUTE_PEER_GROUP_WORLD_SIZE is of the view in force. The others are as of the last
 * joint call that ended, the same for all members that made it, or of the view, if that came later: programs may branch
 * on them, but to see another group grow takes a joint call. pcclInvalidArgument also: unknown attribute. */
PCCL_EXPORT pcclResult_t pcclGetAttribute(const pcclComm_t *communicator, pcclAttribute_t attribute,
					  int *p_attribute_out);

/* This peer's place in the view's member list, from 0; it changes when members with a lower rank leave. */
PCCL_EXPORT pcclResult_t pcclGetRank(const pcclComm_t *communicator, uint32_t *rank_out);

/* The number of the view in force; it only grows. */
PCCL_EXPORT pcclResult_t pcclGetEpoch(const pcclComm_t *communicator, uint64_t *epoch_out);

/* This peer's identity, new at every pcclCreateCommunicator(). */
PCCL_EXPORT pcclResult_t pcclGetUuid(const pcclComm_t *communicator, pcclRankUuid_t *uuid_out);

/* ---- membership: joint calls, every member of the group makes them in the same order ----------------------------- */

/*
 * Common to all three. Each blocks until every member of the group has made the same call, so every member must make
 * the same ones in the same order. One thread at a time; others wait for their turn. If members made different calls,
 * all of them fail, and nothing has happened. pcclMasterConnectionFailed: no master could be reached for
 * connect_timeout_ms; once that has passed, later calls try every master once more and no longer. The communicator
 * stays what it is, and making the same call again goes on where it was. pcclTimeout: members had not made the call
 * when joint_timeout_ms had passed; the last error names them, late_members says what it means. pcclEvicted: the group
 * went on without this peer. pcclAborted: pcclCommAbort(). pcclInvalidUsage: not connected. Communicators of
 * pcclCreateCommunicator() give what PCCL 1.0 gave, pcclUpdateTopologyFailed, pcclInvalidUsage, and
 * pcclTopologyOptimizationFailed, in all these cases but the last two, which are pcclInvalidUsage: loops end there.
 */

/* Admits the peers that wait to join. In a group of one it returns at once. All members launch an operation before this
 * call, or all after it. pcclPendingAsyncOps: operations are still to be awaited, or another member waits for this one
 * in an operation that is to be launched here, or an engine has rounds in flight (diloco.h). pcclUpdateTopologyFailed:
 * members made different calls. */
PCCL_EXPORT pcclResult_t pcclUpdateTopology(pcclComm_t *communicator);

/* Asks jointly whether peers wait to join: every member gets the same answer. Allowed while operations are in flight.
 * pcclInvalidArgument: NULL. pcclInvalidUsage: members made different calls. */
PCCL_EXPORT pcclResult_t pcclArePeersPending(const pcclComm_t *communicator, bool *pending_out);

/* Lets the master reconsider the order of the ring. This version keeps the order: it costs one round trip. Returns
 * pcclInvalidUsage if this peer is the only one of the master, pcclTopologyOptimizationFailed if the vote failed. */
PCCL_EXPORT pcclResult_t pcclOptimizeTopology(const pcclComm_t *communicator);

/* ---- collectives ------------------------------------------------------------------------------------------------- */

/*
 * Common to all. Members of the view launch operations in any order, from any thread; a tag names which belong
 * together. Buffers stay valid, the input unmodified, until the operation is awaited. sendbuff == recvbuff works in
 * place (but for all-to-all); other overlaps are undefined. Any alignment; any count from 0 to 512 GiB of the whole
 * buffer. If members disagree about an operation, all of them get pcclMismatch, about its result pcclResultsDiffer
 * (pcclVerify_t). If a member is lost: see pcclFailurePolicy_t; if no master is reached either, for master_timeout_ms,
 * what waits for that member ends with pcclEvicted, as does the rest.
 * pcclInvalidArgument: NULL pointer, unknown value of any enumeration (also where it is not read; the last error says
 * which are known), tag in use, input given up with another policy than abort.
 * pcclTooFewPeers: a world of one. pcclTooManyOperations: PCCL_MAX_OPERATIONS in flight.
 */

/* recvbuff = the reduction of all members' sendbuff. `reduce_info_out` may be NULL. */
PCCL_EXPORT pcclResult_t pcclAllReduce(const void *sendbuff, void *recvbuff, const pcclReduceDescriptor_t *descriptor,
				       const pcclComm_t *communicator, pcclReduceInfo_t *reduce_info_out PCCL_NULLABLE);

/* If nothing was launched the handle's comm is NULL; other Async functions leave their handle as it was then. */
PCCL_EXPORT pcclResult_t pcclAllReduceAsync(const void *sendbuff, void *recvbuff,
					    const pcclReduceDescriptor_t *descriptor, const pcclComm_t *communicator,
					    pcclAsyncReduceOp_t *reduce_handle_out);

/* Blocks until the operation has ended and returns its result; releases the tag. On failure the next view is in force
 * when it returns. pcclRankConnectionLost also for a handle that was awaited before or never launched. */
PCCL_EXPORT pcclResult_t pcclAwaitAsyncReduce(const pcclAsyncReduceOp_t *reduce_handle,
					      pcclReduceInfo_t *reduce_info_out PCCL_NULLABLE);

/* Runs `count` all-reduces, at most `max_in_flight` at a time, and repeats those that fail for lost members while the
 * world has at least two. pcclSuccess only if every buffer was reduced. pcclTooFewPeers: the world shrank to one;
 * what was not reduced keeps its input. No operation is in flight when it returns. */
PCCL_EXPORT pcclResult_t pcclAllReduceMultipleWithRetry(const pcclReduceOpDescriptor_t *descriptors, size_t count,
							const pcclComm_t *communicator,
							pcclReduceInfo_t *reduce_info_out PCCL_NULLABLE,
							int max_in_flight);

/* All-reduce with every choice of pcclOperation_t. `info_out` may be NULL here and below. */
PCCL_EXPORT pcclResult_t pcclAllReduceWith(const void *sendbuff, void *recvbuff, const pcclOperation_t *operation,
					   const pcclComm_t *communicator, pcclOperationInfo_t *info_out PCCL_NULLABLE);
PCCL_EXPORT pcclResult_t pcclAllReduceWithAsync(const void *sendbuff, void *recvbuff, const pcclOperation_t *operation,
						const pcclComm_t *communicator, pcclHandle_t *handle_out);

/* Copies `count` elements of the root's sendbuff to every member's recvbuff. sendbuff is read on the root only. The
 * rank that names the root is one of the view in force at the call; whose it was remains the root. */
PCCL_EXPORT pcclResult_t pcclBroadcast(const void *sendbuff PCCL_NULLABLE, void *recvbuff,
				       const pcclOperation_t *operation, const pcclComm_t *communicator,
				       pcclOperationInfo_t *info_out PCCL_NULLABLE);
PCCL_EXPORT pcclResult_t pcclBroadcastAsync(const void *sendbuff PCCL_NULLABLE, void *recvbuff,
					    const pcclOperation_t *operation, const pcclComm_t *communicator,
					    pcclHandle_t *handle_out);

/* Rank r receives the reduction of everybody's elements r * count ... (r + 1) * count - 1. In place: recvbuff is
 * sendbuff + rank * count elements; the other elements of sendbuff keep their values. */
PCCL_EXPORT pcclResult_t pcclReduceScatter(const void *sendbuff, void *recvbuff, const pcclOperation_t *operation,
					   const pcclComm_t *communicator, pcclOperationInfo_t *info_out PCCL_NULLABLE);
PCCL_EXPORT pcclResult_t pcclReduceScatterAsync(const void *sendbuff, void *recvbuff, const pcclOperation_t *operation,
						const pcclComm_t *communicator, pcclHandle_t *handle_out);

/* recvbuff = the members' sendbuffs one after the other in rank order. In place: sendbuff is recvbuff + rank * count
 * elements. */
PCCL_EXPORT pcclResult_t pcclAllGather(const void *sendbuff, void *recvbuff, const pcclOperation_t *operation,
				       const pcclComm_t *communicator, pcclOperationInfo_t *info_out PCCL_NULLABLE);
PCCL_EXPORT pcclResult_t pcclAllGatherAsync(const void *sendbuff, void *recvbuff, const pcclOperation_t *operation,
					    const pcclComm_t *communicator, pcclHandle_t *handle_out);

/* The root's recvbuff = the reduction of all members' sendbuff; elsewhere recvbuff may be NULL. The root is who has the
 * rank at the call. Whoever is not the root may be told success though the root was lost at the end. */
PCCL_EXPORT pcclResult_t pcclReduce(const void *sendbuff, void *recvbuff PCCL_NULLABLE,
				    const pcclOperation_t *operation, const pcclComm_t *communicator,
				    pcclOperationInfo_t *info_out PCCL_NULLABLE);
PCCL_EXPORT pcclResult_t pcclReduceAsync(const void *sendbuff, void *recvbuff PCCL_NULLABLE,
					 const pcclOperation_t *operation, const pcclComm_t *communicator,
					 pcclHandle_t *handle_out);

/* Returns when every member has called it. Only tag, timeout and policy of the operation are read. */
PCCL_EXPORT pcclResult_t pcclBarrier(const pcclOperation_t *operation, const pcclComm_t *communicator);
PCCL_EXPORT pcclResult_t pcclBarrierAsync(const pcclOperation_t *operation, const pcclComm_t *communicator,
					  pcclHandle_t *handle_out);

/* Blocks until the operation has ended and returns its result; releases the tag. On failure the next view is in force
 * when it returns. pcclRankConnectionLost also for a handle that was awaited before. */
PCCL_EXPORT pcclResult_t pcclAwait(const pcclHandle_t *handle, pcclOperationInfo_t *info_out PCCL_NULLABLE);

/* Has the operation ended, so that awaiting it would not block? Never blocks; the tag stays in use until it is awaited.
 * pcclInvalidArgument: no such operation, or a NULL pointer. */
PCCL_EXPORT pcclResult_t pcclTest(const pcclHandle_t *handle, bool *done_out);

/* Makes the named tensors bit-identical on all members of the group, which all make this call. One state is elected:
 * that of members that took part in the last call that succeeded, then that of the highest revision (at most one beyond
 * the last), then the one that most have, then the lowest rank's. RECEIVE_ONLY has no vote, SEND_ONLY receives nothing.
 * Who has another content gets what differs, from all that have it, and the revision. Tensors with
 * allow_content_inequality keep theirs, but newcomers get one. The order of tensors does not matter. No tensor may be
 * touched until the call returns. Members that die meanwhile are done without; the joint time-out is for those that do
 * not make the call.
 *
 * pcclInvalidUsage: this peer has other tensors than the elected state (the last error names one), its revision is
 * too high, it may only send and has another content, or nobody may send; the others succeed all the same. Or
 * members made different calls. pcclNoSharedStateAvailable: nobody is left who has the elected state. After these
 * and any other failure but pcclInvalidUsage, pcclInvalidArgument and pcclPendingAsyncOps tensors may be partly
 * overwritten; such a state has no vote until a call succeeds, or it has changed. pcclPendingAsyncOps: operations
 * are still to be awaited; those of engines (diloco.h) do not count. */
PCCL_EXPORT pcclResult_t pcclSynchronizeSharedState(const pcclComm_t *communicator, pcclSharedState_t *shared_state,
						    pcclSharedStateSyncStrategy_t strategy,
						    pcclSharedStateSyncInfo_t *sync_info_out PCCL_NULLABLE);

#ifdef __cplusplus
}
#endif

#include "master.h"
#include "parts.h"
#include "slices.h"

#endif
