/* The thread's last cause, and the texts of the results. */
#include "base/fail.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "base/log.h"
#include "base/names.h"
#include "base/text.h"

struct result_text {
	pcclResult_t result;
	const char *sentence;
};

static const struct result_text texts[] = {
	{pcclSuccess, "Success."},
	{pcclNotInitialized, "pcclInit() has not been called."},
	{pcclInternalError, "The library found a defect in itself; please report it."},
	{pcclInvalidArgument, "An argument is not valid."},
	{pcclInvalidUsage, "The call is not allowed in this state."},
	{pcclTooFewPeers, "The peer group has one member: there is nobody to work with."},
	{pcclMasterConnectionFailed, "The connection to the master failed."},
	{pcclRankConnectionFailed, "A connection to another peer failed."},
	{pcclRankConnectionLost, "A member was lost and the survivors gave this operation up."},
	{pcclNoSharedStateAvailable, "No peer has a shared state to offer."},
	{pcclPendingAsyncOps, "Operations are still to be awaited."},
	{pcclUpdateTopologyFailed, "The update of the topology failed."},
	{pcclTopologyOptimizationFailed, "The optimization of the topology failed."},
	{pcclOutOfMemory, "There is not enough memory."},
	{pcclSystemError, "A system call failed."},
	{pcclTimeout, "A deadline passed."},
	{pcclAborted, "The communicator was aborted."},
	{pcclMismatch, "The peers called different things under one name."},
	{pcclEvicted, "The peer group went on without this peer."},
	{pcclTooManyOperations, "Too many operations are in flight."},
	{pcclResultsDiffer, "The members hold different results."},
};

static __thread char cause[PCCL_FAIL_TEXT_BYTES];

pcclResult_t(pccl_fail)(pcclResult_t result, const char *format, ...)
{
	int saved_errno = errno;
	char text[sizeof(cause)]; /* apart from `cause`, which the arguments may point into */
	va_list arguments;

	va_start(arguments, format);
	pccl_text_vformat(text, sizeof(text), format, arguments);
	va_end(arguments);
	memcpy(cause, text, sizeof(cause));
	pccl_log_debug("%s: %s", pccl_result_name(result), cause);
	errno = saved_errno;
	return result;
}

const char *pccl_fail_text(void)
{
	return cause;
}

void pccl_fail_clear(void)
{
	cause[0] = '\0';
}

static const struct result_text *find_text(pcclResult_t result)
{
	size_t index;

	for (index = 0; index < sizeof(texts) / sizeof(texts[0]); index++)
		if (texts[index].result == result)
			return &texts[index];
	return NULL;
}

const char *pccl_result_name(pcclResult_t result)
{
	const char *name = pccl_name_of(pcclEnumResult, (int)result);

	return name != NULL ? name : "pcclResult_t(?)";
}

const char *pccl_result_string(pcclResult_t result)
{
	const struct result_text *text = find_text(result);

	return text != NULL ? text->sentence : "This is not a result of the library.";
}
