/* The parent's processes and the watch over them; see chaos_run.h. */
#include "chaos_run.h"

#include "chaos_net.h"
#include "check.h"

#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define TICK_NS (2 * 1000 * 1000)
#define JOIN_NS (30 * SECOND)

uint64_t chaos_draw(struct chaos_run *run, uint64_t below)
{
	return bench_mix(run->table->options.seed, run->draws++) % below;
}

struct chaos_slot *chaos_slot_of(struct chaos_run *run, uint32_t index)
{
	return &run->table->slots[index];
}

bool chaos_is_partition(const struct chaos_run *run)
{
	return run->table->options.chaos == BENCH_CHAOS_PARTITION;
}

const char *chaos_call_name(uint32_t call)
{
	static const char *const names[] = {"no call",
					    "pcclConnect",
					    "pcclAllGather",
					    "pcclArePeersPending",
					    "pcclUpdateTopology",
					    "pcclAllReduceWith",
					    "pcclDestroyCommunicator"};

	return call < sizeof(names) / sizeof(names[0]) ? names[call] : "?";
}

uint64_t chaos_faults(const struct chaos_run *run)
{
	uint64_t count = 0;

	for (int i = 0; i < CHAOS_FAULTS; i++)
		count += run->faults[i];
	return count;
}

static int peer_body(uint32_t index, void *context)
{
	struct chaos_table *table = (struct chaos_table *)context;
	struct chaos_slot *slot = &table->slots[index];
	const struct timespec pause = {0, TICK_NS};

	if (table->options.chaos == BENCH_CHAOS_PARTITION) {
		if (!chaos_net_detach())
			return 1;
		/* The parent lays the cable when it sees this, and says so by the process id. */
		CHAOS_SET(slot->call, CHAOS_CALL_CONNECT);
		while (CHAOS_GET(slot->pid) == 0)
			nanosleep(&pause, NULL);
		if (!chaos_net_configure(index))
			return 1;
	}
	return chaos_peer(table, index);
}

bool chaos_start_peer(struct chaos_run *run, uint32_t index)
{
	const struct timespec pause = {0, TICK_NS};
	struct chaos_slot *slot = chaos_slot_of(run, index);
	pid_t pid;

	memset(slot, 0, sizeof(*slot));
	slot->identity = ++run->identities;
	slot->state = CHAOS_STARTING;
	slot->progress_ns = bench_now_ns();
	pid = bench_spawn(peer_body, index, run->table);
	if (pid < 0)
		return false;
	while (chaos_is_partition(run) && CHAOS_GET(slot->call) == CHAOS_CALL_NONE && waitpid(pid, NULL, WNOHANG) == 0)
		nanosleep(&pause, NULL);
	if (chaos_is_partition(run) && !chaos_net_plug(index, pid))
		return false;
	CHAOS_SET(slot->pid, pid);
	return true;
}

/* The process of a slot has ended: its figures are added up and the slot is free. */
static void bury(struct chaos_run *run, uint32_t index)
{
	struct chaos_slot *slot = chaos_slot_of(run, index);

	run->divergences += slot->divergences;
	run->evictions += slot->evicted;
	if (chaos_is_partition(run))
		chaos_net_unplug(index);
	memset(slot, 0, sizeof(*slot));
}

void chaos_end_peer(struct chaos_run *run, uint32_t index)
{
	pid_t pid = chaos_slot_of(run, index)->pid;

	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	bury(run, index);
}

/* Buries those who ended by themselves. */
static void reap(struct chaos_run *run)
{
	for (uint32_t i = 0; i < CHAOS_SLOTS; i++) {
		struct chaos_slot *slot = chaos_slot_of(run, i);
		int status = 0;

		if (slot->pid == 0 || waitpid(slot->pid, &status, WNOHANG) != slot->pid)
			continue;
		if (status != 0 && !slot->hurt) {
			run->unexpected++;
			fprintf(stderr, "chaos: peer %" PRIu64 " ended with %s %d\n", slot->identity,
				WIFSIGNALED(status) ? "signal" : "status",
				WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
		}
		bury(run, i);
	}
}

/* A call that lasts too long in a peer that nobody holds is a hang: counted, named and ended; the run goes on. */
static void find_hangs(struct chaos_run *run, uint64_t held)
{
	uint64_t now = bench_now_ns();

	for (uint32_t i = 0; i < CHAOS_SLOTS; i++) {
		struct chaos_slot *slot = chaos_slot_of(run, i);
		uint64_t since = CHAOS_GET(slot->progress_ns);

		/* A joiner waits for the group as long as it takes; whether it gets in is looked at elsewhere. */
		if (slot->pid == 0 || (held >> i & 1) || CHAOS_GET(slot->state) == CHAOS_STARTING ||
		    now < since + HANG_NS)
			continue;
		run->hangs++;
		fprintf(stderr, "chaos: HANG, peer %" PRIu64 " has been in %s for %.1f s\n", slot->identity,
			chaos_call_name(CHAOS_GET(slot->call)), (double)(now - since) / SECOND);
		chaos_end_peer(run, i);
	}
}

static void show_progress(struct chaos_run *run)
{
	uint64_t now = bench_now_ns();

	if (run->table->options.json || !isatty(STDERR_FILENO) || now < run->told_ns + SECOND / 4)
		return;
	run->told_ns = now;
	fprintf(stderr, "\r%.0f s left, %" PRIu64 " faults, %" PRIu64 " hangs   ",
		now < run->end_ns ? (double)(run->end_ns - now) / SECOND : 0, chaos_faults(run), run->hangs);
}

void chaos_tick(struct chaos_run *run, uint64_t held)
{
	const struct timespec pause = {0, TICK_NS};

	nanosleep(&pause, NULL);
	reap(run);
	find_hangs(run, held);
	show_progress(run);
}

void chaos_linger(struct chaos_run *run, uint64_t duration_ns)
{
	uint64_t until = bench_now_ns() + duration_ns;

	while (bench_now_ns() < until)
		chaos_tick(run, 0);
}

uint64_t chaos_members(struct chaos_run *run)
{
	uint64_t set = 0;

	for (uint32_t i = 0; i < CHAOS_SLOTS; i++)
		if (chaos_slot_of(run, i)->pid != 0 && CHAOS_GET(chaos_slot_of(run, i)->state) == CHAOS_MEMBER)
			set |= UINT64_C(1) << i;
	return set;
}

uint64_t chaos_running(struct chaos_run *run)
{
	uint64_t set = 0;

	for (uint32_t i = 0; i < CHAOS_SLOTS; i++)
		if (chaos_slot_of(run, i)->pid != 0)
			set |= UINT64_C(1) << i;
	return set;
}

uint32_t chaos_pick(struct chaos_run *run, uint64_t set)
{
	uint64_t skip = chaos_draw(run, (uint64_t)__builtin_popcountll(set));
	uint32_t index = 0;

	for (;; index++)
		if ((set >> index & 1) && skip-- == 0)
			return index;
}

void chaos_fill_up(struct chaos_run *run)
{
	uint32_t wanted = run->table->options.peers;
	uint64_t begin = bench_now_ns();

	/* If all were lost, the next ones begin at the first round again. */
	if (chaos_running(run) == 0)
		memset(run->table->verdicts, 0, sizeof(run->table->verdicts));
	CHAOS_SET(run->table->joint_wanted, true);
	for (uint32_t i = 0; i < CHAOS_SLOTS && (uint32_t)__builtin_popcountll(chaos_running(run)) < wanted; i++)
		if (chaos_slot_of(run, i)->pid == 0 && !chaos_start_peer(run, i))
			break;
	while ((uint32_t)__builtin_popcountll(chaos_members(run)) < wanted &&
	       chaos_running(run) != chaos_members(run)) {
		chaos_tick(run, 0);
		if (bench_now_ns() < begin + JOIN_NS)
			continue;
		run->hangs++;
		for (uint32_t i = 0; i < CHAOS_SLOTS; i++)
			if (chaos_slot_of(run, i)->pid != 0 &&
			    CHAOS_GET(chaos_slot_of(run, i)->state) == CHAOS_STARTING) {
				fprintf(stderr, "chaos: HANG, peer %" PRIu64 " was not admitted in %.0f s\n",
					chaos_slot_of(run, i)->identity, (double)JOIN_NS / SECOND);
				chaos_end_peer(run, i);
			}
	}
	CHAOS_SET(run->table->joint_wanted, false);
}
