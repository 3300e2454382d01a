/* Words for people: the names of all values, and who gets the lines of the log. None of this needs pcclInit(). */
#ifndef PCCL_DIAGNOSTICS_H
#define PCCL_DIAGNOSTICS_H

#include "pccl.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- names ------------------------------------------------------------------------------------------------------- */

/* The enumerations that have words; see pcclGetName(). */
typedef enum pcclEnum_t {
	pcclEnumResult = 0,
	pcclEnumDataType = 1,
	pcclEnumDeviceType = 2,
	pcclEnumRedOp = 3,
	pcclEnumAttribute = 4,
	pcclEnumDistributionHint = 5,
	pcclEnumCodec = 6, /* pcclQuantizationAlgorithm_t */
	pcclEnumRounding = 7,
	pcclEnumZstd = 8,
	pcclEnumChecksums = 9,
	pcclEnumSyncStrategy = 10,
	pcclEnumPlan = 11,
	pcclEnumFailurePolicy = 12,
	pcclEnumLogLevel = 13,
	pcclEnumOverflow = 14,
	pcclEnumInput = 15,
	pcclEnumLate = 16,
	pcclEnumDilocoMode = 17,
	pcclEnumDilocoRule = 18,
	pcclEnumDilocoDivision = 19,
	pcclEnumSecurity = 20, /* pcclSecurityMode_t */
	pcclEnumTransport = 21,
	pcclEnumVerify = 22,
	pcclEnumBinding = 23
} pcclEnum_t;

/* The word of an enumeration's value, "ring", "bfloat16", "pcclTimeout"; "?" if there is no such value. Never NULL;
 * static. Settings, logs and programs use the same words. */
PCCL_EXPORT const char *pcclGetName(pcclEnum_t which, int value);

/* The value of a word, in capitals or not; of data types also synonyms ("fp32", "half"). pcclInvalidArgument: it is
 * none, and the last error lists those there are; a NULL pointer. */
PCCL_EXPORT pcclResult_t pcclParseName(pcclEnum_t which, const char *name, int *value_out);

/* The values of an enumeration one after the other: index 0, 1, ... until pcclInvalidArgument says that it was the
 * last. */
PCCL_EXPORT pcclResult_t pcclGetValueAt(pcclEnum_t which, size_t index, int *value_out);

/* ---- the log ----------------------------------------------------------------------------------------------------- */

typedef enum pcclLogLevel_t {
	pcclLogTrace = 1,
	pcclLogDebug = 2,
	pcclLogInfo = 3,
	pcclLogWarn = 4,
	pcclLogErr = 5,
	pcclLogFatal = 6, /* for the name's sake: the library never ends its process */
	pcclLogNone = 7	  /* as a threshold: nothing is logged */
} pcclLogLevel_t;

/*
 * Who takes the lines of diagnostics instead of stderr, for the whole process. `text` is one line without time and end,
 * at most 1 KiB, without control characters; it may quote what peers sent; it is gone when the callback returns. It
 * runs in any thread, the library's own ones too, one call at a time, and often while the library holds its locks: it
 * must return soon, must not call the library (what it logs nevertheless goes to stderr) and must not wait for a thread
 * that does. Which lines there are PCCL_LOG_LEVEL or pcclSetLogLevel() says, as without it.
 */
typedef void (*pcclLogCallback_t)(pcclLogLevel_t level, const char *text, void *context);

/* Sets it; NULL: stderr again. When it returns, the callback before is not running and will not be called any more, so
 * its context may go. pcclInvalidUsage: called by the callback. */
PCCL_EXPORT pcclResult_t pcclSetLogCallback(pcclLogCallback_t callback PCCL_NULLABLE, void *context PCCL_NULLABLE);

/* Lines of this level and above are written; it overrides PCCL_LOG_LEVEL, for the whole process.
 * pcclInvalidArgument: no level. */
PCCL_EXPORT pcclResult_t pcclSetLogLevel(pcclLogLevel_t level);

#ifdef __cplusplus
}
#endif

#endif
