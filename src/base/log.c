/* Lines of diagnostics: "pccl 12:34:56.789 [4711] ERR text", time in UTC, then the process. */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES 1024

static const char *const level_names[] = {NULL, "TRACE", "DEBUG", "INFO", "WARN", "ERR", "FATAL", "NONE"};

/* 0 until the environment has been read. Threads that race to read it store the same value. */
static int current_level;

bool pccl_log_parse_level(const char *name, enum pccl_log_level *level_out)
{
	int level;

	for (level = PCCL_LOG_TRACE; level <= PCCL_LOG_NONE; level++) {
		if (strcasecmp(name, level_names[level]) == 0) {
			*level_out = (enum pccl_log_level)level;
			return true;
		}
	}
	return false;
}

void pccl_log_set_level(enum pccl_log_level level)
{
	__atomic_store_n(&current_level, (int)level, __ATOMIC_RELAXED);
}

static int read_environment(void)
{
	const char *name = getenv("PCCL_LOG_LEVEL");
	enum pccl_log_level level = PCCL_LOG_ERR;
	int unread = 0;

	if (name != NULL)
		(void)pccl_log_parse_level(name, &level);
	/* A level that was set meanwhile wins. */
	if (__atomic_compare_exchange_n(&current_level, &unread, (int)level, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		return (int)level;
	return unread;
}

bool pccl_log_enabled(enum pccl_log_level level)
{
	int threshold = __atomic_load_n(&current_level, __ATOMIC_RELAXED);

	if (threshold == 0)
		threshold = read_environment();
	return (int)level >= threshold;
}

static void replace_control_characters(char *text, size_t bytes)
{
	size_t index;

	for (index = 0; index < bytes; index++)
		if ((unsigned char)text[index] < ' ' || text[index] == 0x7f)
			text[index] = '?';
}

void pccl_log_write(enum pccl_log_level level, const char *format, ...)
{
	int saved_errno = errno;
	char line[LINE_BYTES];
	struct timespec now = {0, 0};
	size_t head;
	size_t used;
	int printed;
	va_list arguments;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	head = (size_t)snprintf(line, sizeof(line), "pccl %02d:%02d:%02d.%03d [%d] %s ", (int)(now.tv_sec / 3600 % 24),
				(int)(now.tv_sec / 60 % 60), (int)(now.tv_sec % 60), (int)(now.tv_nsec / 1000000),
				(int)getpid(), level_names[level]);
	va_start(arguments, format);
	printed = vsnprintf(line + head, sizeof(line) - head, format, arguments);
	va_end(arguments);
	used = head + (printed > 0 ? (size_t)printed : 0);
	if (used > sizeof(line) - 1)
		used = sizeof(line) - 1;
	replace_control_characters(line + head, used - head);
	line[used] = '\n';
	/* A line that stderr does not take is lost: there is nobody left to tell. */
	if (write(STDERR_FILENO, line, used + 1) < 0)
		errno = 0;
	errno = saved_errno;
}
