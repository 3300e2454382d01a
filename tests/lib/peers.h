/*
 * Worlds of real processes on loopback, for integration tests: masters and peers, each a process of its own, that share
 * a page of memory with the test so that it can steer and watch them without getting in the way of what it tests.
 *
 * The test (the parent) has no threads, so that it may fork at any time; everything that calls the library runs in a
 * child. Children end with the parent, whatever becomes of it. Every wait has a deadline: passing it fails the test.
 *
 *	static void body(struct world_peer *me) {peer_join(me); peer_grow(me, 2); ... peer_leave(me);}
 *
 *	static void two_peers_do_something(void **state) {
 *		struct world *world = *state;
 *
 *		peers_start_master(world, WORLD_PROGRAM);
 *		peers_start(world, 2, body, NULL);
 *		peers_finish(world);
 *	}
 *	... cmocka_unit_test_setup_teardown(two_peers_do_something, peers_open, peers_close)
 */
#ifndef PCCL_TESTS_PEERS_H
#define PCCL_TESTS_PEERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <pccl.h>

#include "base/time.h"

#define WORLD_PEERS_MAX 104
#define WORLD_MASTERS_MAX 2
#define WORLD_NUMBERS_MAX 16
#define WORLD_SECOND_NS PCCL_SECOND_NS
#define WORLD_MS_NS PCCL_MS_NS

struct world_peer;
typedef void (*world_body)(struct world_peer *me);

enum world_master_kind {
	WORLD_EMBEDDED, /* a process that calls pcclRunMaster() */
	WORLD_PROGRAM	/* pccl-master */
};

/* What a peer's process tells the others; in shared memory, read and written with peers_get() and peers_set() */
struct world_slot {
	uint64_t milestone; /* only grows */
	uint64_t meetings;
	uint64_t numbers[WORLD_NUMBERS_MAX];
	char text[240]; /* written before a milestone, read after it */
};

struct world_shared {
	uint64_t gate; /* only grows */
	uint64_t masters_ready;
	uint64_t numbers[WORLD_NUMBERS_MAX];
	struct world_slot slots[WORLD_PEERS_MAX];
};

struct world_process {
	pid_t pid;   /* 0: none, or it has been waited for */
	bool killed; /* by the test: need not end well */
};

struct world_master {
	struct world_process process;
	uint16_t port;
};

struct world {
	struct world_shared *shared;
	struct world_process peers[WORLD_PEERS_MAX];
	unsigned peer_count;
	struct world_master masters[WORLD_MASTERS_MAX];
	unsigned slowness; /* deadlines of the test are this many times longer; 1 unless the test says so */
	bool ipv6; /* masters listen on ::1 and peers dial it; else 127.0.0.1. Set before anything is started. */
};

/* What a peer's process knows about itself. Change `params` and `config` before peer_join(). */
struct world_peer {
	struct world *world;
	unsigned index; /* counts the peers in the order of their start */
	const void *argument;
	pcclCommCreateParams_t params;
	pcclConfig_t config;
	pcclComm_t *comm;
};

/* ---- for both sides ------------------------------------------------------------------------------------------ */

/* How much longer than on a quiet machine without sanitizers things may take. */
unsigned peers_patience(void);
/* Is `then_ns` so soon after `since_ns` that no time-out has passed, however busy the machine is? Heartbeats have so
 * much time here, where a test does not set it, that only broken connections show a death. */
bool peers_is_soon(uint64_t then_ns, uint64_t since_ns);
uint64_t peers_now_ns(void); /* the same clock in all processes */
void peers_sleep_ms(unsigned ms);
void peers_set(uint64_t *shared, uint64_t value);
uint64_t peers_get(const uint64_t *shared);
uint64_t peers_increase(uint64_t *shared, uint64_t value); /* returns the new value */

/* A TCP port of loopback that nobody listens on, outside the range of outgoing connections; `count` in a row. */
uint16_t peers_free_port(unsigned count);
/* A stranger's connection to a port of loopback. */
int peers_dial(uint16_t port);
ccoip_socket_address_t peers_address(const struct world *world, uint16_t port);

/* ---- for the test -------------------------------------------------------------------------------------------- */

int peers_open(void **state);
int peers_close(void **state);

/* Starts the next master; returns its number. All masters must be there before the first peer starts. */
unsigned peers_start_master(struct world *world, enum world_master_kind kind);
void peers_kill_master(struct world *world, unsigned master);
/* On the same port. */
void peers_restart_master(struct world *world, unsigned master, enum world_master_kind kind);

/* Starts `count` peers; returns the index of the first. `argument` is copied by fork. */
unsigned peers_start(struct world *world, unsigned count, world_body body, const void *argument);

/* Waits until a peer has reached a milestone. */
void peers_await(struct world *world, unsigned peer, uint64_t milestone);
/* As much for `count` peers from `first` on. */
void peers_await_all(struct world *world, unsigned first, unsigned count, uint64_t milestone);
void peers_open_gate(struct world *world, uint64_t gate);

/* Sends a signal. After SIGKILL the peer has been waited for. */
void peers_signal(struct world *world, unsigned peer, int signal_number);

/* Waits until all peers that were not killed have ended well, then stops the masters. */
void peers_finish(struct world *world);

/* ---- for the peers; a failure ends the process, and with it the test ----------------------------------------- */

#define CHECK(condition) ((condition) ? (void)0 : peer_fail(__FILE__, __LINE__, #condition))
#define CHECK_RESULT(expected, call) peer_check(__FILE__, __LINE__, #call, expected, call)

void peer_fail(const char *file, int line, const char *what) __attribute__((noreturn));
void peer_check(const char *file, int line, const char *what, pcclResult_t expected, pcclResult_t result);

/* Creates the communicator and connects. */
void peer_join(struct world_peer *me);
void peer_create(struct world_peer *me);

/* Updates until the group has `size` members. Everybody in the group does the same. */
void peer_grow(struct world_peer *me, unsigned size);
void peer_leave(struct world_peer *me); /* destroys the communicator */

/* Waits, without the library, until `count` peers have come to as many meetings as this one. For the end of a body: who
 * has left is not in the view any more. */
void peer_meet(struct world_peer *me, unsigned count);

unsigned peer_world_size(const struct world_peer *me);
unsigned peer_rank(const struct world_peer *me);
uint64_t peer_epoch(const struct world_peer *me);

void peer_reach(struct world_peer *me, uint64_t milestone);
void peer_wait_gate(struct world_peer *me, uint64_t gate);
/* Waits until a peer has reached a milestone. */
void peer_wait_peer(struct world_peer *me, unsigned peer, uint64_t milestone);
bool peer_gate_is_open(const struct world_peer *me, uint64_t gate);
void peer_tell(struct world_peer *me, unsigned number, uint64_t value);
uint64_t peers_told(const struct world *world, unsigned peer, unsigned number);
/* Starts peers and kills the last one at its milestone; the survivors must tell the same numbers 0 to `numbers` - 1. */
void peers_lose_one_alike(struct world *world, unsigned count, world_body body, uint64_t milestone, unsigned numbers);

/* A small all-reduce: every member gives `value`; returns the result and puts the sum into *sum_out. */
pcclResult_t peer_sum(struct world_peer *me, uint64_t tag, int64_t value, int64_t *sum_out);
/* Right after each other: from some point on the caller drives the lane. The first failure ends it. */
pcclResult_t peer_sum_often(struct world_peer *me);

#endif
