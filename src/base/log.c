/* Lines of diagnostics: "pccl 12:34:56.789 [4711] ERR text", time in UTC, then the process. */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/names.h"

#define LINE_BYTES 1024

/* 0 until the environment has been read. Threads that race to read it store the same value. */
static int current_level;
static pccl_log_taker current_taker;

void pccl_log_set_level(pcclLogLevel_t level)
{
	__atomic_store_n(&current_level, (int)level, __ATOMIC_RELAXED);
}

static int read_environment(void)
{
	const char *name = getenv("PCCL_LOG_LEVEL");
	int level = pcclLogErr, unread = 0;

	if (name != NULL)
		(void)pccl_name_find(pcclEnumLogLevel, name, &level);
	/* A level that was set meanwhile wins. */
	if (__atomic_compare_exchange_n(&current_level, &unread, level, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		return level;
	return unread;
}

bool pccl_log_enabled(pcclLogLevel_t level)
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

void pccl_log_set_taker(pccl_log_taker taker)
{
	__atomic_store_n(&current_taker, taker, __ATOMIC_RELEASE);
}

/* Time, process and level of a line. Returns its length. */
static size_t print_head(pcclLogLevel_t level, char *text, size_t text_bytes)
{
	struct timespec now = {0, 0};

	(void)clock_gettime(CLOCK_REALTIME, &now);
	return (size_t)snprintf(text, text_bytes, "pccl %02d:%02d:%02d.%03d [%d] %s ", (int)(now.tv_sec / 3600 % 24),
				(int)(now.tv_sec / 60 % 60), (int)(now.tv_sec % 60), (int)(now.tv_nsec / 1000000),
				(int)getpid(), pccl_name_or_mark(pcclEnumLogLevel, (int)level));
}

void pccl_log_write(pcclLogLevel_t level, const char *format, ...)
{
	const pccl_log_taker taker = __atomic_load_n(&current_taker, __ATOMIC_ACQUIRE);
	int saved_errno = errno;
	char line[LINE_BYTES];
	size_t head = print_head(level, line, sizeof(line));
	size_t used;
	int printed;
	va_list arguments;

	va_start(arguments, format);
	printed = vsnprintf(line + head, sizeof(line) - head, format, arguments);
	va_end(arguments);
	used = head + (printed > 0 ? (size_t)printed : 0);
	if (used > sizeof(line) - 1)
		used = sizeof(line) - 1;
	replace_control_characters(line + head, used - head);
	if (taker == NULL || !taker(level, line + head)) {
		line[used] = '\n';
		/* A line that stderr does not take is lost: there is nobody left to tell. */
		if (write(STDERR_FILENO, line, used + 1) < 0)
			errno = 0;
	}
	errno = saved_errno;
}
