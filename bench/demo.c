/* The demonstration; see demo.h. */
#include "demo.h"

#include "buffers.h"
#include "local.h"
#include "measure.h"

#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define FOUNDERS 4
#define REDUCE_BYTES (UINT64_C(16) << 20)

/* What the processes of the demonstration share. Each phase ends with a meeting of those who are still here. */
struct stage {
	struct bench_options options;
	ccoip_socket_address_t master;
	struct bench_meeting *all;	/* the founders */
	struct bench_meeting *rest;	/* those who stay when one has left, and the parent */
	struct bench_meeting *complete; /* those who stay and the newcomer */
	struct timespec start;
};

static double seconds_since(const struct timespec *start)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - start->tv_sec) + (double)(now.tv_nsec - start->tv_nsec) * 1e-9;
}

/* One line of plain words from the peer with rank 0. */
static void say(const struct bench_peer *peer, const struct stage *stage, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void say(const struct bench_peer *peer, const struct stage *stage, const char *format, ...)
{
	va_list arguments;

	if (peer->rank != 0)
		return;
	printf("%6.2f s  ", seconds_since(&stage->start));
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	putchar('\n');
	fflush(stdout);
}

/* One checked all-reduce among whoever is here. */
static bool reduce(struct bench_peer *peer, const struct stage *stage)
{
	struct bench_row row;
	char bytes[32];

	if (!bench_measure(peer, REDUCE_BYTES, &row))
		return false;
	if (row.errors > 0 || row.wrong > 0 || !row.parity) {
		say(peer, stage, "The result is WRONG: %llu elements differ from what they should be.",
		    (unsigned long long)row.wrong);
		return false;
	}
	say(peer, stage,
	    "%u peers all-reduced %s of float32 in %.1f ms: every element is right, the same bytes on all.", row.peers,
	    bench_bytes_text(row.bytes, bytes), row.seconds.median * 1e3);
	return true;
}

static bool show_table(struct bench_peer *peer, const struct stage *stage)
{
	struct bench_options options = stage->options;
	static const uint64_t sizes[] = {4 << 10, 64 << 10, 1 << 20, 16 << 20, 64 << 20};

	options.iterations = 5;
	options.warmup = 1;
	options.check = false; /* it took longer than the reducing, and parity is looked at in any case */
	options.size_count = sizeof(sizes) / sizeof(sizes[0]);
	memcpy(options.sizes, sizes, sizeof(sizes));
	peer->options = &options;
	say(peer, stage, "How fast is it here? Times of the slowest peer, and bandwidths:");
	return bench_measure_all(peer) == 0;
}

/* From the moment that the group is complete again. */
static int last_act(struct bench_peer *peer, struct stage *stage)
{
	bool good;

	peer->meeting = stage->complete;
	say(peer, stage, "A new peer came: the group has %u again.", peer->world);
	good = reduce(peer, stage) && show_table(peer, stage);
	if (good)
		say(peer, stage, "Everybody leaves. That was all.");
	bench_peer_meet(peer);
	bench_peer_leave(peer);
	return good ? 0 : 1;
}

/* Waits for the view without the peer that left: a joint step, in which the others learn of it. */
static bool settle(struct bench_peer *peer, uint32_t world)
{
	const struct timespec pause = {0, 10 * 1000 * 1000};

	do {
		nanosleep(&pause, NULL);
		if (!bench_peer_refresh(peer))
			return false;
	} while (peer->world > world);
	return true;
}

static int founder(uint32_t index, void *context)
{
	struct stage *stage = (struct stage *)context;
	struct bench_peer peer;

	(void)index;
	if (!bench_peer_join(&peer, &stage->options, &stage->master, stage->all))
		return 1;
	say(&peer, stage, "%u peers have found each other through the master.", peer.world);
	if (!reduce(&peer, stage))
		return 1;
	bench_peer_meet(&peer);
	if (peer.rank == FOUNDERS - 1) {
		bench_peer_leave(&peer);
		return 0;
	}
	peer.meeting = stage->rest;
	if (!settle(&peer, FOUNDERS - 1))
		return 1;
	say(&peer, stage, "One peer left: the group has %u and goes on.", peer.world);
	bench_peer_meet(&peer);
	peer.meeting = NULL;
	if (!reduce(&peer, stage) || !bench_peer_grow(&peer, FOUNDERS))
		return 1;
	return last_act(&peer, stage);
}

static int newcomer(uint32_t index, void *context)
{
	struct stage *stage = (struct stage *)context;
	struct bench_peer peer;

	(void)index;
	/* Everybody else is there already, so joining is being complete. */
	pthread_barrier_wait(&stage->rest->barrier);
	if (!bench_peer_join(&peer, &stage->options, &stage->master, stage->complete))
		return 1;
	return last_act(&peer, stage);
}

int bench_demo(void)
{
	struct stage stage;
	struct bench_master master = {0, {bench_loopback(), 0}};
	pid_t pids[FOUNDERS + 1];
	int status;

	memset(&stage, 0, sizeof(stage));
	clock_gettime(CLOCK_MONOTONIC, &stage.start);
	stage.options.mode = BENCH_MODE_DEMO;
	stage.options.peers = FOUNDERS;
	stage.options.collective = BENCH_ALLREDUCE;
	stage.options.iterations = 1;
	stage.options.warmup = 1;
	stage.options.inflight = 1;
	stage.options.datatype = pcclFloat;
	stage.options.op = pcclSum;
	stage.options.check = true;
	stage.all = bench_meeting_create(FOUNDERS);
	stage.rest = bench_meeting_create(FOUNDERS);
	stage.complete = bench_meeting_create(FOUNDERS);
	if (stage.all == NULL || stage.rest == NULL || stage.complete == NULL || !bench_master_start(&master))
		return 1;
	stage.master = master.address;
	printf("%6.2f s  A master listens on 127.0.0.1, port %u; four peers start, each a process of its own.\n",
	       seconds_since(&stage.start), master.address.port);
	for (uint32_t i = 0; i < FOUNDERS; i++)
		pids[i] = bench_spawn(founder, i, &stage);
	pids[FOUNDERS] = bench_spawn(newcomer, FOUNDERS, &stage);
	status = bench_reap(pids, FOUNDERS + 1);
	bench_master_stop(&master, SIGTERM);
	return status;
}
