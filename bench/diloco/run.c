/* One run: a master, peers that are processes, and what becomes of them. */
#include "train.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../local.h"

#define CHAOS_INTERVALS 3 /* between one kill and the next */

struct run {
	struct peer_start start;
	struct outcome *outcome;
	unsigned peers;
	pid_t pids[TRAIN_PEERS_MAX]; /* 0: none runs */
	uint64_t next_kill;	     /* step */
	uint64_t random;
	bool has_failed;
};

static bool has_ended(const struct run *run)
{
	unsigned i, done = 0, members = 0;

	for (i = 0; i < run->peers; i++) {
		members += run->outcome->has_joined[i];
		done += run->outcome->is_done[i];
	}
	return done > 0 && done == members;
}

static void begin(struct run *run, unsigned index, bool is_newcomer)
{
	run->outcome->has_joined[index] = run->outcome->is_done[index] = false;
	run->start.is_newcomer = is_newcomer;
	run->pids[index] = bench_spawn(peer_body, index, &run->start);
	run->has_failed |= run->pids[index] < 0;
}

static void end(struct run *run, unsigned index)
{
	if (run->pids[index] <= 0)
		return;
	(void)kill(run->pids[index], SIGKILL);
	(void)waitpid(run->pids[index], NULL, 0);
	run->pids[index] = 0;
	run->outcome->has_joined[index] = false;
}

/* Any but the first, which tells how the run goes, dies, and somebody new takes its place: if all are there, and a
 * tenth of the run is left. */
static void disturb(struct run *run)
{
	const struct options *options = run->start.options;
	const uint64_t progress = __atomic_load_n(&run->outcome->progress, __ATOMIC_SEQ_CST);
	unsigned i, victim;

	for (i = 0; i < run->peers; i++)
		if (!run->outcome->has_joined[i])
			return;
	if (run->peers < 2 || progress < run->next_kill || progress > options->steps - options->steps / 10)
		return;
	run->random = run->random * UINT64_C(6364136223846793005) + 1;
	victim = 1 + (unsigned)(run->random >> 33) % (run->peers - 1);
	end(run, victim);
	begin(run, victim, true);
	run->outcome->killed++;
	run->next_kill = progress + (uint64_t)CHAOS_INTERVALS * options->settings.interval;
}

/* Somebody who ended of itself before all did has failed. */
static void look_after(struct run *run)
{
	unsigned i;
	int status;

	for (i = 0; i < run->peers; i++) {
		if (run->pids[i] <= 0 || waitpid(run->pids[i], &status, WNOHANG) == 0)
			continue;
		run->pids[i] = 0;
		run->has_failed = true;
	}
}

static void watch(struct run *run)
{
	const bool is_chaos = run->start.options->chaos && run->outcome->mode != TRAIN_DDP;
	const struct timespec pause_ns = {0, 1000000};
	unsigned i;

	run->next_kill = (uint64_t)CHAOS_INTERVALS * run->start.options->settings.interval;
	run->random = run->start.options->seed;
	while (!run->has_failed && !has_ended(run)) {
		nanosleep(&pause_ns, NULL);
		look_after(run);
		if (is_chaos)
			disturb(run);
	}
	for (i = 0; i < run->peers; i++) {
		run->outcome->joined += run->outcome->has_joined[i];
		if (run->has_failed || !run->outcome->has_joined[i])
			end(run, i);
	}
	__atomic_store_n(&run->outcome->may_leave, true, __ATOMIC_SEQ_CST);
	run->has_failed |= bench_reap(run->pids, run->peers) != 0;
}

/* Of all who are there at the end. */
static void sum_up(struct outcome *outcome, unsigned peers)
{
	uint64_t first = 0;
	unsigned i, count = 0;

	for (i = 0; i < peers; i++) {
		if (outcome->hashes[i] == 0 || !outcome->has_joined[i])
			continue;
		if (count++ == 0)
			first = outcome->hashes[i];
		outcome->divergences += outcome->hashes[i] != first;
		outcome->bytes += outcome->peer_bytes[i];
		if (outcome->peer_peak[i] > outcome->peak)
			outcome->peak = outcome->peer_peak[i];
	}
	if (count > 0)
		outcome->bytes /= count;
}

bool run_training(const struct options *options, const struct text *text, int mode, struct outcome *outcome)
{
	struct run run = {.start = {.options = options, .text = text, .outcome = outcome},
			  .outcome = outcome,
			  .peers = options->peers};
	struct bench_master master = {0, {bench_loopback(), 0}};
	unsigned i;

	memset(outcome, 0, sizeof(*outcome));
	outcome->mode = mode;
	if (options->has_link)
		master.address.inet = lab_address(0);
	if (!bench_master_start(&master))
		return false;
	run.start.master = master.address;
	for (i = 0; i < options->peers; i++)
		begin(&run, i, false);
	watch(&run);
	bench_master_stop(&master, SIGTERM);
	if (isatty(STDERR_FILENO))
		(void)fputc('\n', stderr);
	sum_up(outcome, options->peers);
	return !run.has_failed;
}
