/* Results and their causes: a function that fails returns a result and records in words what it saw. The words belong
 * to the calling thread, and pcclGetLastError() hands them to the user. */
#ifndef PCCL_BASE_FAIL_H
#define PCCL_BASE_FAIL_H

#include <pccl.h>

#define PCCL_FAIL_TEXT_BYTES 512 /* longest cause with its end; see base/text.h for what becomes of others */
#define PCCL_DETAIL_BYTES 400	 /* likewise, of what is kept for an operation or communicator until somebody asks */

/* Records the formatted cause for this thread and returns `result`, so that it can be the operand of a return. The
 * arguments may point into pccl_fail_text(), to put context in front of an earlier cause. Keeps errno. With the log
 * level DEBUG every cause is logged too. */
pcclResult_t pccl_fail(pcclResult_t result, const char *format, ...) __attribute__((format(printf, 2, 3)));
#ifdef __clang_analyzer__ /* which sees one file at a time, and takes it for one that may return pcclSuccess */
#define pccl_fail(result, ...) ((void)pccl_fail(result, __VA_ARGS__), (result))
#endif

/* This thread's last recorded cause, "" if there is none. Valid until the thread's next pccl_fail() or
 * pccl_fail_clear(). */
const char *pccl_fail_text(void);

/* Forgets this thread's cause. */
void pccl_fail_clear(void);

/* The enumerator's name, "pcclSuccess", and "pcclResult_t(?)" for a value that is none. Static. */
const char *pccl_result_name(pcclResult_t result);

/* One sentence for people. Never NULL; static. */
const char *pccl_result_string(pcclResult_t result);

#endif
