/* Many all-reduces with a window of operations in flight, repeated until each has been reduced. */
#include <stdbool.h>
#include <string.h>

#include <pccl.h>

#include "api/library.h"
#include "base/fail.h"
#include "base/memory.h"

enum stage { TO_LAUNCH, IN_FLIGHT, REDUCED };

struct batch {
	const pcclReduceOpDescriptor_t *descriptors;
	size_t count;
	const pcclComm_t *comm;
	size_t window;
	enum stage *stages;
	pcclAsyncReduceOp_t *handles;
	size_t in_flight;
	size_t reduced;
	pcclReduceInfo_t info;
};

static pcclResult_t await_one(struct batch *batch, size_t index)
{
	pcclReduceInfo_t info = {0, 0, 0};
	pcclResult_t result = pcclAwaitAsyncReduce(&batch->handles[index], &info);

	batch->in_flight--;
	batch->stages[index] = TO_LAUNCH;
	batch->info.tx_bytes += info.tx_bytes;
	batch->info.rx_bytes += info.rx_bytes;
	if (result != pcclSuccess)
		return result;
	batch->stages[index] = REDUCED;
	batch->info.local_world_size = info.local_world_size;
	batch->reduced++;
	return pcclSuccess;
}

static pcclResult_t launch_one(struct batch *batch, size_t index)
{
	const pcclReduceOpDescriptor_t *descriptor = &batch->descriptors[index];
	pcclResult_t result = pcclAllReduceAsync(descriptor->sendbuf, descriptor->recvbuf, &descriptor->descriptor,
						 batch->comm, &batch->handles[index]);

	if (result != pcclSuccess)
		return result;
	batch->stages[index] = IN_FLIGHT;
	batch->in_flight++;
	return pcclSuccess;
}

/* Takes the results of all that is in flight; what failed is to be launched again. */
static void drain(struct batch *batch)
{
	size_t i;

	for (i = 0; i < batch->count; i++)
		if (batch->stages[i] == IN_FLIGHT)
			(void)await_one(batch, i);
}

/* One walk over the list in index order, so that all peers launch and repeat alike. Ends early with a failure. */
static pcclResult_t walk(struct batch *batch)
{
	size_t next_await = 0, i;
	pcclResult_t result;

	for (i = 0; i < batch->count; i++) {
		if (batch->stages[i] == REDUCED)
			continue;
		for (; batch->in_flight >= batch->window; next_await++) {
			if (batch->stages[next_await] != IN_FLIGHT)
				continue;
			result = await_one(batch, next_await);
			if (result != pcclSuccess)
				return result;
		}
		result = launch_one(batch, i);
		if (result != pcclSuccess)
			return result;
	}
	for (i = 0; i < batch->count; i++) {
		if (batch->stages[i] != IN_FLIGHT)
			continue;
		result = await_one(batch, i);
		if (result != pcclSuccess)
			return result;
	}
	return pcclSuccess;
}

static pcclResult_t run(struct batch *batch)
{
	char cause[PCCL_FAIL_TEXT_BYTES];

	while (batch->reduced < batch->count) {
		pcclResult_t result = walk(batch);

		if (result == pcclSuccess)
			continue;
		strncpy(cause, pccl_fail_text(), sizeof(cause) - 1);
		cause[sizeof(cause) - 1] = '\0';
		drain(batch);
		if (result != pcclRankConnectionLost)
			return pccl_fail(result, "%s", cause);
	}
	return pcclSuccess;
}

pcclResult_t pcclAllReduceMultipleWithRetry(const pcclReduceOpDescriptor_t *descriptors, size_t count,
					    const pcclComm_t *communicator, pcclReduceInfo_t *reduce_info_out,
					    int max_in_flight)
{
	struct batch batch = {.descriptors = descriptors, .count = count, .comm = communicator};
	pcclResult_t result = pcclOutOfMemory;
	int world;

	if (descriptors == NULL || count == 0 || communicator == NULL || max_in_flight <= 0)
		return pccl_fail(pcclInvalidArgument,
				 "descriptors or communicator is NULL, or count or max_in_flight is not "
				 "positive");
	result = pcclGetAttribute(communicator, PCCL_ATTRIBUTE_PEER_GROUP_WORLD_SIZE, &world);
	if (result != pcclSuccess)
		return result;
	batch.window = max_in_flight < PCCL_MAX_OPERATIONS ? (size_t)max_in_flight : PCCL_MAX_OPERATIONS;
	batch.stages = pccl_calloc(count, sizeof(*batch.stages));
	batch.handles = pccl_calloc(count, sizeof(*batch.handles));
	result = pcclOutOfMemory;
	if (batch.stages != NULL && batch.handles != NULL)
		result = run(&batch);
	if (reduce_info_out != NULL)
		*reduce_info_out = batch.info;
	pccl_free(batch.handles);
	pccl_free(batch.stages);
	return pccl_library_result(communicator, result, pcclRankConnectionLost);
}
