/*
 * pccl: shared state, and checkpoints of it.
 *
 * pcclStateSync() is pcclSynchronizeSharedState() (pccl.h says what that does) for those who want more of it.
 *
 * A checkpoint is one file in the safetensors format (8 bytes of header length, a JSON header with names, types, shapes
 * and offsets, then the bytes), so that Python, Rust and the model hubs read it. Its metadata hold the state's
 * revision, its lineage, and a hash of every tensor, and one of all that: a file that was torn, cut or changed is
 * refused in words. It is written beside the old one and takes its name when every byte is on the disk: whatever
 * happens on the way, the old one stays.
 *
 * All functions may be called from any thread, and return pcclInvalidArgument for NULL pointers; those for checkpoints
 * need no pcclInit() and no communicator. pcclSystemError: the file system or a driver refused something, and the last
 * error says what. The tensors must not be changed or used meanwhile.
 *
 * Tensors on a CUDA device (pcclDeviceCuda) are copied through small pinned buffers of the host, after everything that
 * the program has given the device to do is done. The driver is looked for when such a tensor is first met; without it
 * (libcuda.so.1) the call is pcclInvalidArgument, and nothing was touched.
 */
#ifndef PCCL_STATE_H
#define PCCL_STATE_H

#include "pccl.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- states between peers ---------------------------------------------------------------------------------------- */

/* How to synchronize. Initialize with PCCL_STATE_SYNC_OPTIONS_INITIALIZER; NULL in its place means the same. */
typedef struct pcclStateSyncOptions_t {
	size_t size;
	pcclSharedStateSyncStrategy_t strategy;
	uint32_t threads; /* that hash; default 0: as many as cores are allowed */
	/* One for each tensor: may it have changed since the last call for this communicator that succeeded? Of the
	 * others the hashes of that call are used again, so a change that is not told is not seen. NULL: all may have
	 * changed. All are hashed as well if the state has other tensors now, or in other places, or if a call failed
	 * or a member was lost meanwhile. */
	const bool *dirty;
	uint64_t reserved; /* must be 0 */
} pcclStateSyncOptions_t;

#define PCCL_STATE_SYNC_OPTIONS_INITIALIZER                                                                 \
	{                                                                                                   \
		sizeof(pcclStateSyncOptions_t), PCCL_SHARED_STATE_SYNC_STRATEGY_ENFORCE_POPULAR, 0, NULL, 0 \
	}

/* What it took. Set `size` (PCCL_STATE_SYNC_INFO_INITIALIZER) before the call. */
typedef struct pcclStateSyncInfo_t {
	size_t size;
	uint64_t tx_bytes; /* of tensors, given to others */
	uint64_t rx_bytes;
	uint64_t hashed_bytes;	/* before anything was compared */
	uint64_t tx_wire_bytes; /* what travelled of tensors: less where it was compressed, more where it came twice */
	uint64_t rx_wire_bytes;
	uint64_t reserved;
} pcclStateSyncInfo_t;

#define PCCL_STATE_SYNC_INFO_INITIALIZER                      \
	{                                                     \
		sizeof(pcclStateSyncInfo_t), 0, 0, 0, 0, 0, 0 \
	}

/*
 * What is moved is compressed where the network is slow enough for it to pay, unless the communicator's `zstd` says
 * otherwise (pcclZstdOff, pcclZstdOn; PCCL_ZSTD): each peer decides for what it sends.
 *
 * As pcclSynchronizeSharedState(); some members may call that and others this. pcclSystemError: a device's driver
 * refused something; the others go on, and what this peer's tensors on devices hold then is not known: until it has
 * received a state again, it counts as one that was not there.
 */
PCCL_EXPORT pcclResult_t pcclStateSync(const pcclComm_t *communicator, pcclSharedState_t *state,
				       const pcclStateSyncOptions_t *options PCCL_NULLABLE,
				       pcclStateSyncInfo_t *info_out PCCL_NULLABLE);

/* What pcclStateCheck() found. Set `size` (PCCL_STATE_DRIFT_INITIALIZER) before the call. */
typedef struct pcclStateDrift_t {
	size_t size;
	uint64_t
		tensor; /* index in this peer's state, or PCCL_STATE_NOWHERE: the lists of tensors differ, or nothing */
	uint64_t chunk; /* of 1 MiB: the first one that differs */
	uint64_t element;    /* the first one that differs */
	uint32_t peers;	     /* how many have something else there than most have; of two as many the higher ranks */
	uint32_t first_rank; /* the lowest of those */
	pcclRankUuid_t first_peer;
	uint64_t hashed_bytes;
	uint64_t reserved;
} pcclStateDrift_t;

#define PCCL_STATE_NOWHERE UINT64_MAX
#define PCCL_STATE_DRIFT_INITIALIZER                                                  \
	{                                                                             \
		sizeof(pcclStateDrift_t), PCCL_STATE_NOWHERE, 0, 0, 0, 0, {{0}}, 0, 0 \
	}

/*
 * Are the tensors the same on all members, but for those with allow_content_inequality? All members make the call,
 * which moves nothing: each hashes its tensors, and one small message per pair of peers tells that all is well. With
 * `dirty` in the options (as for pcclStateSync(), of whose kept hashes it makes use) a program can afford it every few
 * steps; a drift in a tensor that was not told as changed is seen only when all are hashed. The strategy does not
 * matter.
 *
 * pcclMismatch: they are not; the last error names tensor, chunk, element, its values and the ranks, and *drift_out has
 * them: the same for all members. The tensors are as they were. pcclInvalidUsage: members made different calls, and
 * nothing was compared. pcclPendingAsyncOps: operations of the program are still to be awaited; those of engines
 * (diloco.h) do not count. pcclSystemError, pcclOutOfMemory: only this peer knows; the joint time-out is for the others
 * then.
 */
PCCL_EXPORT pcclResult_t pcclStateCheck(const pcclComm_t *communicator, const pcclSharedState_t *state,
					const pcclStateSyncOptions_t *options PCCL_NULLABLE,
					pcclStateDrift_t *drift_out PCCL_NULLABLE);

/*
 * A newcomer may get most of the state while it waits for admission, so that the members need not wait for it then:
 * what has come is not trusted, and the first synchronization, which all make, moves what differs.
 *
 * A member lends tensors: newcomers that wait may read them until they are taken back, until others are lent, or until
 * the communicator is destroyed, also after it has ended. They must stay where they are; they may change meanwhile, for
 * what a newcomer reads of a tensor that is being written is found to differ later. So it pays for what seldom changes:
 * outer parameters (diloco.h), between rounds. Of tensors on a device a copy is lent. Lending hashes nothing and asks
 * nobody; operations go first: until none has run for a heartbeat interval newcomers get one byte for 64 of theirs, and
 * none of them gets more than twice the state over one link to a lane of a member, until it lends anew.
 *
 * Any member may lend, at any time; newcomers read from all that lend tensors of the same names, types, counts and
 * flags as theirs. pcclStateTakeBack() returns when nothing reads the tensors any more, also without a loan, or on a
 * communicator that has ended.
 *
 * pcclInvalidUsage: not connected. pcclSystemError: a device's driver refused something. pcclOutOfMemory.
 */
PCCL_EXPORT pcclResult_t pcclStateLend(const pcclComm_t *communicator, const pcclSharedState_t *state);
PCCL_EXPORT pcclResult_t pcclStateTakeBack(const pcclComm_t *communicator);

/*
 * Before pcclConnect(): while that waits for admission, the tensors are filled with what members lend. It wants to be
 * admitted when it has all, when nobody has lent anything for three seconds, or when next to nothing comes any more; a
 * limit of the configuration for admission counts meanwhile.
 * `state`'s tensors and *info_out have to stay until it has returned, and must not be used meanwhile. Then rx_bytes of
 * *info_out says how much has come. What the tensors hold is of several moments, and nothing to go on with before
 * pcclStateSync() or pcclSynchronizeSharedState() has succeeded. Who founds the group finds in them what they held.
 *
 * A pcclConnect() that fails leaves what has come, and the next one goes on. NULL for the state: nothing is prefetched.
 *
 * pcclInvalidUsage: connected already. pcclSystemError, pcclOutOfMemory.
 */
PCCL_EXPORT pcclResult_t pcclStatePrefetch(const pcclComm_t *communicator, const pcclSharedState_t *state PCCL_NULLABLE,
					   pcclStateSyncInfo_t *info_out PCCL_NULLABLE);

/* ---- checkpoints ------------------------------------------------------------------------------------------------- */

/* The shape of one tensor. The product of `dimensions` is its count; 0 dimensions: a scalar, count 1. */
typedef struct pcclTensorShape_t {
	size_t dimension_count; /* at most 8 */
	const uint64_t *dimensions;
} pcclTensorShape_t;

/* How to save or load. Initialize with PCCL_CHECKPOINT_OPTIONS_INITIALIZER; NULL in its place means the same. */
typedef struct pcclCheckpointOptions_t {
	size_t size;
	const pcclTensorShape_t *shapes; /* one for each tensor; NULL: saving: each has one dimension, its count;
					  * loading: only counts are compared */
	pcclRankUuid_t lineage;		 /* saving: which run the state is of; zeros: none */
	uint32_t threads;		 /* default 0: as many as cores are allowed, at most 8 */
	bool accept_foreign;		 /* loading: also a file of another program, of which nothing can be verified */
	uint8_t reserved[3];		 /* must be 0 */
} pcclCheckpointOptions_t;

#define PCCL_CHECKPOINT_OPTIONS_INITIALIZER                             \
	{                                                               \
		sizeof(pcclCheckpointOptions_t), NULL, {{0}}, 0, false, \
		{                                                       \
			0                                               \
		}                                                       \
	}

/* What a checkpoint holds. Set `size` (PCCL_CHECKPOINT_INFO_INITIALIZER) before the call. */
typedef struct pcclCheckpointInfo_t {
	size_t size;
	uint64_t revision;
	pcclRankUuid_t lineage;
	uint64_t tensor_count;
	uint64_t tensor_bytes; /* of all tensors */
	uint64_t reserved;
} pcclCheckpointInfo_t;

#define PCCL_CHECKPOINT_INFO_INITIALIZER                        \
	{                                                       \
		sizeof(pcclCheckpointInfo_t), 0, {{0}}, 0, 0, 0 \
	}

/*
 * Writes all tensors and the revision of `state` to the file `path`, which is replaced if it exists; the new one has
 * the old one's mode. Of a link the file that it leads to is replaced, and the link stays. The bytes are written by
 * several threads while they are hashed, then the file and its name are forced to the disk. Needs as much room again as
 * the old file. On failure the old file is as it was and nothing else is left behind, unless the last error says that
 * the new one is there, but its name can't be forced to the disk; a program that is killed may leave a file `path`.tmp
 * (beside what a link leads to), which the next save overwrites. A file beyond RLIMIT_FSIZE is pcclSystemError only
 * where SIGXFSZ is ignored; else the kernel ends the program by it. pcclInvalidUsage: another save to `path` is
 * running, where the file system has locks.
 *
 * pcclInvalidArgument: a tensor without name or with a name twice, "__metadata__" for a name, an unknown type, a shape
 * of another count or, beside a 0, of more elements than a file can have, an address that is no device's; or `path` is
 * empty, something else than a regular file (a device, a FIFO, a folder), or a link that leads to nothing, which stays
 * as it is. pcclOutOfMemory.
 */
PCCL_EXPORT pcclResult_t pcclStateSave(const pcclSharedState_t *state, const char *path,
				       const pcclCheckpointOptions_t *options PCCL_NULLABLE);

/*
 * Reads the tensors of `state`, found by name in any order, from `path` into their buffers, and sets
 * state->revision. The file may hold more than are asked for. Everything is checked against its hash. A safetensors
 * file that another program has written has none, and no revision: it is read if `accept_foreign` says so, and the
 * revision is 0. What is of a type there that pccl has not (BOOL, F8_E4M3) is pcclUint8, as many as it has bytes.
 *
 * pcclInvalidArgument: no such tensor in the file, or one of another type or count, or of another shape, where `shapes`
 * says one and both have more than one dimension; or no regular file: nothing was touched.
 * pcclNoSharedStateAvailable: there is no such file, or it is no whole checkpoint (the last error says what is wrong
 * with it); if that is found only by the hash of a tensor, the buffers hold anything, and the revision is as it was.
 */
PCCL_EXPORT pcclResult_t pcclStateLoad(pcclSharedState_t *state, const char *path,
				       const pcclCheckpointOptions_t *options PCCL_NULLABLE);

/* Reads and checks the header only. Errors as pcclStateLoad(). */
PCCL_EXPORT pcclResult_t pcclStateInspect(const char *path, pcclCheckpointInfo_t *info_out);

#ifdef __cplusplus
}
#endif

#endif
