/*
 * The socket by which a master's operator reaches it: of the file system, for processes of the same user only. Who
 * connects writes one line and reads the answer: lines, of which the last is "ok" or "error: " and why.
 */
#ifndef PCCL_CONTROL_SOCKET_H
#define PCCL_CONTROL_SOCKET_H

#include <pccl/security.h>

/* Makes it. What a master that has ended has left there is replaced; of several that start at once one has it.
 * pcclInvalidArgument: it can't be there, for another master listens, the path is too long, something else is there,
 * somebody keeps its folder locked for two seconds, ... */
pcclResult_t pccl_control_listen(const char *path, int *fd_out);

/* Before its end: takes its name away, unless another master listens there by now. */
void pccl_control_remove(const char *path);

/* Does what the line says and hands the lines of the answer to `take`. A failure is told by pccl_fail_text(). */
typedef pcclResult_t (*pccl_control_handler)(void *context, const char *line, pcclLineCallback_t take, void *answer);

/* Somebody calls: hears and answers that one; a stranger is hung up, and so is who says nothing for half a second or
 * does not take the answer for two. */
void pccl_control_serve(int fd, pccl_control_handler handle, void *context);

/* The other side: sends the line, and hands the lines of the answer to `take`. pcclMasterConnectionFailed: nobody
 * listens, or answers within five seconds, or the answer is not whole; pcclInvalidArgument: the answer is "error", and
 * why; pcclOutOfMemory. */
pcclResult_t pccl_control_ask(const char *path, const char *line, pcclLineCallback_t take, void *context);

#endif
