/* Diagnostics on stderr: one write(2) per line, so that lines of threads and processes don't mix. The level is read
 * once from PCCL_LOG_LEVEL (TRACE, DEBUG, INFO, WARN, ERR, FATAL, NONE; default ERR) unless a program sets it. A line
 * that is switched off costs one load and one branch; its arguments are not evaluated. */
#ifndef PCCL_BASE_LOG_H
#define PCCL_BASE_LOG_H

#include <stdbool.h>

/* From chatty to silent. PCCL_LOG_FATAL exists for the name's sake: the library never ends its process. */
enum pccl_log_level {
	PCCL_LOG_TRACE = 1,
	PCCL_LOG_DEBUG,
	PCCL_LOG_INFO,
	PCCL_LOG_WARN,
	PCCL_LOG_ERR,
	PCCL_LOG_FATAL,
	PCCL_LOG_NONE
};

/* Reads a level's name in any case. False, and *level_out untouched, if it is none. */
bool pccl_log_parse_level(const char *name, enum pccl_log_level *level_out);

/* Overrides the environment, for the whole process. */
void pccl_log_set_level(enum pccl_log_level level);

/* Would a line of this level be written? */
bool pccl_log_enabled(enum pccl_log_level level);

/* Writes one line, cut at 1 KiB; control characters become '?', for texts may come from a peer. Keeps errno. Call it
 * through the macros below. */
void pccl_log_write(enum pccl_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define PCCL_LOG(level, ...)                                  \
	do {                                                  \
		if (pccl_log_enabled(level))                  \
			pccl_log_write((level), __VA_ARGS__); \
	} while (0)

#define pccl_log_error(...) PCCL_LOG(PCCL_LOG_ERR, __VA_ARGS__)
#define pccl_log_warn(...) PCCL_LOG(PCCL_LOG_WARN, __VA_ARGS__)
#define pccl_log_info(...) PCCL_LOG(PCCL_LOG_INFO, __VA_ARGS__)
#define pccl_log_debug(...) PCCL_LOG(PCCL_LOG_DEBUG, __VA_ARGS__)
#define pccl_log_trace(...) PCCL_LOG(PCCL_LOG_TRACE, __VA_ARGS__)

#endif
