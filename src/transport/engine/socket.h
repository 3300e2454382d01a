/* TCP sockets: made, bound, connected, set up, and asked what the kernel knows of them. */
#ifndef PCCL_TRANSPORT_SOCKET_H
#define PCCL_TRANSPORT_SOCKET_H

#include "transport/transport.h"

/* Adds to the counters what the kernel knows of the way. False: it tells nothing. */
bool pccl_socket_measure(int fd, struct pccl_stream_counters *counters);

/* Options of a connected or connecting socket; what fails is not vital and only logged. */
void pccl_socket_set_options(int fd);
/* Once connected: the congestion control that suits the way to the other side. Not vital either. */
void pccl_socket_choose_congestion_control(int fd);
/* Both ends of a connected socket. False with errno: it is not connected. */
bool pccl_socket_get_ends(int fd, struct pccl_address *local_out, struct pccl_address *remote_out);
/* The next byte that has come, which stays there. As recv(): 1; 0: the other side has ended; -1 and errno, EAGAIN or
 * EWOULDBLOCK if nothing has come. */
ssize_t pccl_socket_peek(int fd, uint8_t *byte_out);
/* A socket that listens; -1 and the cause in words on failure. */
int pccl_socket_listening(const struct pccl_address *address, uint16_t *port_out);
/* A socket that connects, from that address of this host; NULL: from any. *error_out: errno of a bind() or connect()
 * that failed at once, else 0. -1: no socket at all. */
int pccl_socket_connecting(const struct pccl_address *address, const struct pccl_address *from, int *error_out);
/* The error that waits on a connecting socket, also if it reached itself; 0: it is connected. */
int pccl_socket_connect_error(int fd);

#endif
