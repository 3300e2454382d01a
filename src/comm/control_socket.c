#include "comm/control_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fail.h"
#include "base/memory.h"
#include "base/time.h"
#include "transport/loop/fork.h"
#include "transport/loop/loop.h"

#define LINE_BYTES 1024
#define HEAR_NS (PCCL_SECOND_NS / 2) /* others are in line behind who says nothing */
#define TELL_NS (2 * PCCL_SECOND_NS)
#define ANSWER_S 5
#define BACKLOG 4
#define REST_MS 100
#define LOCK_PATIENCE_NS (PCCL_SECOND_NS / 2)
#define LOCK_MS 1

static const char error_word[] = "error: ";
static const char good_word[] = "ok";

static pcclResult_t name_socket(const char *path, struct sockaddr_un *address)
{
	memset(address, 0, sizeof(*address));
	address->sun_family = AF_UNIX;
	if (*path == '\0' || strlen(path) >= sizeof(address->sun_path))
		return pccl_fail(pcclInvalidArgument, "%.40s%s: the path of a socket has 1 to %zu characters", path,
				 *path == '\0' ? "\"\"" : "...", sizeof(address->sun_path) - 1);
	memcpy(address->sun_path, path, strlen(path) + 1);
	return pcclSuccess;
}

/* Negative: none can be had, as pccl_fail_text() says. */
static int open_socket(int flags)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);

	if (fd < 0)
		(void)pccl_fail(pcclSystemError, "no socket can be had: %s", strerror(errno));
	else
		pccl_fork_own(fd);
	return fd;
}

static bool dial(int fd, const struct sockaddr_un *address)
{
	return connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0;
}

/* Until the file is closed nobody else looks at what is in the folder, or makes a socket there. Negative: it goes
 * without that. Another user might hold the lock for ever, some folders may be entered and not be read, and some file
 * systems have no locks: of two masters that start at once there, where one was killed, the second may remove the first
 * one's socket. */
static int lock_folder(const char *path)
{
	uint64_t end_ns = pccl_clock_ns() + LOCK_PATIENCE_NS;
	struct sockaddr_un folder;
	char *end;
	int fd;

	memcpy(folder.sun_path, path, strlen(path) + 1);
	end = strrchr(folder.sun_path, '/');
	if (end != NULL)
		end[end == folder.sun_path] = '\0';
	fd = open(end != NULL ? folder.sun_path : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	pccl_fork_own(fd);
	while (flock(fd, LOCK_EX | LOCK_NB) != 0 && (errno == EWOULDBLOCK || errno == EINTR) &&
	       pccl_clock_ns() < end_ns)
		(void)poll(NULL, 0, LOCK_MS);
	return fd;
}

/* A socket that nobody listens on any more goes. */
static pcclResult_t clear_path(const struct sockaddr_un *address)
{
	int fd, error;
	struct stat at;

	if (lstat(address->sun_path, &at) != 0)
		return pcclSuccess; /* or bind() says what is wrong */
	if (!S_ISSOCK(at.st_mode))
		return pccl_fail(pcclInvalidArgument, "%s is there, and is no socket", address->sun_path);
	fd = open_socket(SOCK_NONBLOCK);
	if (fd < 0)
		return pcclSystemError;
	error = dial(fd, address) ? 0 : errno;
	pccl_fork_close(fd);
	if (error != ECONNREFUSED)
		return pccl_fail(pcclInvalidArgument, "%s: %s", address->sun_path,
				 error == 0 || error == EAGAIN ? "another master listens there" : strerror(error));
	if (unlink(address->sun_path) != 0)
		return pccl_fail(pcclInvalidArgument, "%s can't be removed: %s", address->sun_path, strerror(errno));
	return pcclSuccess;
}

static pcclResult_t make_socket(const struct sockaddr_un *address, int *fd_out)
{
	pcclResult_t result = clear_path(address);
	int fd;

	if (result != pcclSuccess)
		return result;
	fd = open_socket(SOCK_NONBLOCK);
	if (fd < 0)
		return pcclSystemError;
	/* A socket has its mode before it has its name, so it is nobody else's for no moment. */
	if (fchmod(fd, S_IRUSR | S_IWUSR) != 0 || bind(fd, (const struct sockaddr *)address, sizeof(*address)) != 0 ||
	    listen(fd, BACKLOG) != 0) {
		result = pccl_fail(pcclInvalidArgument, "%s can't be a socket: %s", address->sun_path, strerror(errno));
		pccl_fork_close(fd);
		return result;
	}
	*fd_out = fd;
	return pcclSuccess;
}

pcclResult_t pccl_control_listen(const char *path, int *fd_out)
{
	struct sockaddr_un address;
	pcclResult_t result = name_socket(path, &address);
	int lock;

	*fd_out = -1;
	if (result != pcclSuccess)
		return result;
	lock = lock_folder(path);
	result = make_socket(&address, fd_out);
	if (lock >= 0)
		pccl_fork_close(lock);
	return result;
}

/* Who calls learns which process listens. */
static bool listens_here(int fd, const struct sockaddr_un *address)
{
	struct ucred who;
	socklen_t bytes = sizeof(who);

	return dial(fd, address) && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &bytes) == 0 && who.pid == getpid();
}

void pccl_control_remove(const char *path)
{
	struct sockaddr_un address;
	int lock, fd;

	if (name_socket(path, &address) != pcclSuccess)
		return;
	lock = lock_folder(path);
	fd = open_socket(SOCK_NONBLOCK);
	if (fd >= 0) {
		if (listens_here(fd, &address))
			(void)unlink(path);
		pccl_fork_close(fd);
	}
	if (lock >= 0)
		pccl_fork_close(lock);
}

/* ---- texts that grow ----------------------------------------------------------------------------------------- */

struct text {
	char *data; /* owned */
	size_t bytes;
	size_t room;
	bool is_short; /* memory was */
};

/* Room for so many bytes more and NUL. */
static bool make_room(struct text *text, size_t bytes)
{
	size_t room = 2 * text->room + bytes + 1;
	char *data;

	if (text->is_short || text->room - text->bytes > bytes)
		return !text->is_short;
	data = pccl_realloc(text->data, room);
	text->is_short = data == NULL;
	if (data == NULL)
		return false;
	text->data = data;
	text->room = room;
	return true;
}

static void add(struct text *text, const char *data)
{
	size_t bytes = strlen(data);

	if (!make_room(text, bytes))
		return;
	memcpy(text->data + text->bytes, data, bytes);
	text->bytes += bytes;
}

static void add_line(const char *line, void *context)
{
	add(context, line);
	add(context, "\n");
}

/* ---- one caller ---------------------------------------------------------------------------------------------- */

static bool is_own(int fd)
{
	struct ucred who;
	socklen_t bytes = sizeof(who);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &bytes) == 0 && who.uid == geteuid();
}

/* Waits until the socket is ready. False: the time is over. */
static bool await(int fd, short events, uint64_t end_ns)
{
	struct pollfd watched = {.fd = fd, .events = events};
	uint64_t now_ns;
	int count;

	do {
		now_ns = pccl_clock_ns();
		if (now_ns >= end_ns)
			return false;
		count = poll(&watched, 1, (int)((end_ns - now_ns) / PCCL_MS_NS) + 1);
	} while (count < 0 && errno == EINTR);
	return count > 0;
}

/* The line, without its end. False: none has come, or it is too long. */
static bool read_line(int fd, char line[LINE_BYTES], uint64_t end_ns)
{
	size_t bytes = 0;
	char *end;

	for (;;) {
		ssize_t got = recv(fd, line + bytes, LINE_BYTES - 1 - bytes, 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0 && errno == EAGAIN) {
			if (!await(fd, POLLIN, end_ns))
				return false;
			continue;
		}
		if (got <= 0)
			return false; /* nobody is there, or no line's end is */
		bytes += (size_t)got;
		line[bytes] = '\0';
		end = memchr(line, '\n', bytes);
		if (end != NULL) {
			*end = '\0';
			return strlen(line) == (size_t)(end - line);
		}
	}
}

static bool write_all(int fd, const char *data, size_t bytes, uint64_t end_ns)
{
	while (bytes > 0) {
		ssize_t sent = send(fd, data, bytes, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0 && (errno != EAGAIN || !await(fd, POLLOUT, end_ns)))
			return false;
		if (sent < 0)
			continue;
		data += sent;
		bytes -= (size_t)sent;
	}
	return true;
}

static void answer(int fd, pccl_control_handler handle, void *context)
{
	uint64_t end_ns = pccl_clock_ns() + HEAR_NS;
	struct text text = {NULL, 0, 0, false};
	char line[LINE_BYTES];

	if (!is_own(fd) || !read_line(fd, line, end_ns))
		return;
	if (handle(context, line, add_line, &text) == pcclSuccess) {
		add_line(good_word, &text);
	} else {
		add(&text, error_word);
		add_line(pccl_fail_text(), &text);
	}
	if (!text.is_short)
		(void)write_all(fd, text.data, text.bytes, pccl_clock_ns() + TELL_NS);
	pccl_free(text.data);
}

void pccl_control_serve(int fd, pccl_control_handler handle, void *context)
{
	int caller = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (caller < 0) { /* there are no descriptors left, say: who calls stays in line */
		(void)poll(NULL, 0, REST_MS);
		return;
	}
	pccl_fork_own(caller);
	answer(caller, handle, context);
	pccl_fork_close(caller);
}

/* ---- the other side ------------------------------------------------------------------------------------------ */

static pcclResult_t fail_silent(void)
{
	return pccl_fail(pcclMasterConnectionFailed,
			 "the master does not answer within %d seconds: is it stopped? It may still do so later",
			 ANSWER_S);
}

static pcclResult_t read_all(int fd, struct text *text, uint64_t end_ns)
{
	ssize_t got = 0;

	do {
		if (got > 0)
			text->bytes += (size_t)got;
		if (!make_room(text, LINE_BYTES))
			return pcclOutOfMemory;
		if (!await(fd, POLLIN, end_ns))
			return fail_silent();
		got = recv(fd, text->data + text->bytes, LINE_BYTES, MSG_DONTWAIT);
	} while (got > 0 || (got < 0 && (errno == EINTR || errno == EAGAIN)));
	text->data[text->bytes] = '\0';
	if (got < 0 || strlen(text->data) != text->bytes || text->bytes == 0 || text->data[text->bytes - 1] != '\n')
		return pccl_fail(pcclMasterConnectionFailed, "the master has hung up");
	return pcclSuccess;
}

/* The last line says how it went. */
static pcclResult_t take_answer(char *line, pcclLineCallback_t take, void *context)
{
	char *end;

	for (;;) {
		end = strchr(line, '\n');
		*end = '\0';
		if (end[1] == '\0')
			break;
		take(line, context);
		line = end + 1;
	}
	if (strcmp(line, good_word) == 0)
		return pcclSuccess;
	if (strncmp(line, error_word, sizeof(error_word) - 1) == 0)
		return pccl_fail(pcclInvalidArgument, "%s", line + sizeof(error_word) - 1);
	return pccl_fail(pcclMasterConnectionFailed, "the master's answer is cut off");
}

static pcclResult_t ask(int fd, const char *line, pcclLineCallback_t take, void *context)
{
	uint64_t end_ns = pccl_clock_ns() + ANSWER_S * PCCL_SECOND_NS;
	struct text text = {NULL, 0, 0, false};
	pcclResult_t result;

	if (!write_all(fd, line, strlen(line), end_ns) || !write_all(fd, "\n", 1, end_ns))
		return pccl_fail(pcclMasterConnectionFailed, "the master has hung up");
	result = read_all(fd, &text, end_ns);
	if (result == pcclSuccess)
		result = take_answer(text.data, take, context);
	pccl_free(text.data);
	return result;
}

/* A master that is stopped neither takes callers out of its line nor answers. Signals may come all the time, and the
 * socket's own time-out begins anew with each. */
static pcclResult_t dial_and_ask(int fd, const struct sockaddr_un *address, const char *line, pcclLineCallback_t take,
				 void *context)
{
	uint64_t end_ns = pccl_clock_ns() + ANSWER_S * PCCL_SECOND_NS;
	const struct timeval patience = {.tv_sec = ANSWER_S};
	bool is_through;

	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	do
		is_through = dial(fd, address);
	while (!is_through && errno == EINTR && pccl_clock_ns() < end_ns);
	if (is_through)
		return ask(fd, line, take, context);
	if (errno == EAGAIN || errno == EINTR)
		return fail_silent();
	return pccl_fail(pcclMasterConnectionFailed, "%s: no master listens there: %s", address->sun_path,
			 strerror(errno));
}

pcclResult_t pccl_control_ask(const char *path, const char *line, pcclLineCallback_t take, void *context)
{
	struct sockaddr_un address;
	pcclResult_t result = name_socket(path, &address);
	int fd;

	if (result != pcclSuccess)
		return result;
	if (strchr(line, '\n') != NULL || strlen(line) + 2 > LINE_BYTES)
		return pccl_fail(pcclInvalidArgument, "a command is one line of less than %d characters",
				 LINE_BYTES - 1);
	fd = open_socket(0);
	if (fd < 0)
		return pcclSystemError;
	result = dial_and_ask(fd, &address, line, take, context);
	pccl_fork_close(fd);
	return result;
}
