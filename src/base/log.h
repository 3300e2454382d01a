/* Diagnostics, on stderr unless somebody takes them: one write(2) per line, so that lines of threads and processes
 * don't mix. What stderr does not take, for nobody reads it, is left out and counted: no thread waits for that. The
 * level is read once from PCCL_LOG_LEVEL (TRACE, DEBUG, INFO, WARN, ERR, FATAL, NONE; default ERR) unless a program
 * sets it. A line that is switched off costs one load and one branch; its arguments are not evaluated. */
#ifndef PCCL_BASE_LOG_H
#define PCCL_BASE_LOG_H

#include <pccl/diagnostics.h>
#include <stdbool.h>

/* Takes lines instead of stderr. False: this one goes to stderr all the same. */
typedef bool (*pccl_log_taker)(pcclLogLevel_t level, const char *text);

/* NULL: nobody. A thread that is just writing may still call the one before. */
void pccl_log_set_taker(pccl_log_taker taker);

/* Overrides the environment, for the whole process. */
void pccl_log_set_level(pcclLogLevel_t level);

/* Would a line of this level be written? */
bool pccl_log_enabled(pcclLogLevel_t level);

/* Writes one line, cut at 1 KiB; control characters become '?', for texts may come from a peer. Keeps errno. Call it
 * through the macros below. */
void pccl_log_write(pcclLogLevel_t level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same for what a program itself has to say, whatever the level, and without time and level. */
void pccl_log_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

#define PCCL_LOG(level, ...)                                  \
	do {                                                  \
		if (pccl_log_enabled(level))                  \
			pccl_log_write((level), __VA_ARGS__); \
	} while (0)

#define pccl_log_error(...) PCCL_LOG(pcclLogErr, __VA_ARGS__)
#define pccl_log_warn(...) PCCL_LOG(pcclLogWarn, __VA_ARGS__)
#define pccl_log_info(...) PCCL_LOG(pcclLogInfo, __VA_ARGS__)
#define pccl_log_debug(...) PCCL_LOG(pcclLogDebug, __VA_ARGS__)
#define pccl_log_trace(...) PCCL_LOG(pcclLogTrace, __VA_ARGS__)

#endif
