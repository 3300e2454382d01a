/* Processes on this machine: a master, peers, and the end of both. The parent that uses these has one thread only, so
 * that it may fork at any time. */
#ifndef PCCL_BENCH_LOCAL_H
#define PCCL_BENCH_LOCAL_H

#include "peer.h"

#include <sys/types.h>

struct bench_master {
	pid_t pid; /* 0: none runs */
	ccoip_socket_address_t address;
};

/* 127.0.0.1 */
ccoip_inet_address_t bench_loopback(void);

/* Starts a master in a process of its own on master->address; port 0 becomes a free one, and stays so when the master
 * is started again. Returns when it listens. Complains and returns false on failure. */
bool bench_master_start(struct bench_master *master);

/* Ends it: politely with SIGTERM, or as a fault with SIGKILL. Waits for it. */
void bench_master_stop(struct bench_master *master, int signal_number);

/* Forks a process that runs body(index, context) and exits with what it returns; it dies with its parent. Returns its
 * id, -1 on failure. */
pid_t bench_spawn(int (*body)(uint32_t index, void *context), uint32_t index, void *context);

/* What a process of these programs ends with: `status`; 1 and a complaint if what it printed could not be written. */
int bench_end(int status);

/* Waits for `count` processes. When one of them fails the others are ended. Returns 0, or 1 if one failed. */
int bench_reap(pid_t *pids, uint32_t count);

/* Nanoseconds on the monotonic clock, the same in all processes. */
uint64_t bench_now_ns(void);

/* Memory that this process and those it forks later share; zeroed; NULL when short. */
void *bench_share(size_t bytes);

/* A meeting place in shared memory for `peers` processes; NULL when memory is short. */
struct bench_meeting *bench_meeting_create(uint32_t peers);

/* A whole run of --local: master, peers, measuring. Returns the exit status. */
int bench_local(const struct bench_options *options);

#endif
