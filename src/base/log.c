/* Lines of diagnostics: "pccl 12:34:56.789 [4711] ERR text", time in UTC, then the process. */
#include "base/log.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/names.h"

#define LINE_BYTES 1024
#define PATIENCE_MS 100 /* with a stderr that is slow; one that has lost lines is not waited for */

/* 0 until the environment has been read. Threads that race to read it store the same value. */
static int current_level;
static pccl_log_taker current_taker;
static unsigned lost_count; /* lines that stderr did not take */

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

/* Would a line be written without waiting for whoever reads it? Where nobody does any more, no: it might be SIGPIPE. */
static bool is_taken(int patience_ms)
{
	struct pollfd watched = {.fd = STDERR_FILENO, .events = POLLOUT};
	int ready = poll(&watched, 1, patience_ms);

	if (ready < 0) /* a signal came */
		ready = poll(&watched, 1, 0);
	return ready > 0 && (watched.revents & (POLLOUT | POLLERR | POLLHUP)) == POLLOUT;
}

/* A line with its end, and before it what is missing. Whoever holds stderr up loses lines, and holds up nobody. */
static void put(const char *line, size_t bytes)
{
	unsigned lost = __atomic_exchange_n(&lost_count, 0, __ATOMIC_RELAXED);
	char text[LINE_BYTES + 80];
	size_t head = 0;

	if (lost > 0)
		head = (size_t)snprintf(text, sizeof(text), "pccl: %u lines are missing here: stderr took no more\n",
					lost);
	memcpy(text + head, line, bytes);
	if (!is_taken(lost == 0 ? PATIENCE_MS : 0) || write(STDERR_FILENO, text, head + bytes) < 0)
		__atomic_fetch_add(&lost_count, lost + 1, __ATOMIC_RELAXED);
}

/* Ends it and puts it. */
static void put_text(char line[LINE_BYTES], size_t head, int printed)
{
	size_t used = head + (printed > 0 ? (size_t)printed : 0);

	if (used > LINE_BYTES - 1)
		used = LINE_BYTES - 1;
	line[used] = '\n';
	put(line, used + 1);
}

void pccl_log_say(const char *format, ...)
{
	int saved_errno = errno, printed;
	char line[LINE_BYTES];
	va_list arguments;

	va_start(arguments, format);
	printed = vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	replace_control_characters(line, strlen(line));
	put_text(line, 0, printed);
	errno = saved_errno;
}

void pccl_log_write(pcclLogLevel_t level, const char *format, ...)
{
	const pccl_log_taker taker = __atomic_load_n(&current_taker, __ATOMIC_ACQUIRE);
	int saved_errno = errno;
	char line[LINE_BYTES];
	size_t head = print_head(level, line, sizeof(line));
	int printed;
	va_list arguments;

	va_start(arguments, format);
	printed = vsnprintf(line + head, sizeof(line) - head, format, arguments);
	va_end(arguments);
	replace_control_characters(line + head, strlen(line + head));
	if (taker == NULL || !taker(level, line + head))
		put_text(line, head, printed);
	errno = saved_errno;
}
