/*
 * The tormentor: starts peers that march in step (chaos_peer.c), hurts one at a time, waits until the others go on, and
 * keeps the group at its size. The parent has one thread; it learns everything from the shared table.
 */
#include "chaos.h"

#include "chaos_net.h"
#include "chaos_run.h"
#include "stats.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- measuring ---------------------------------------------------------------------------------- */

/* Waits until every survivor has a view that is newer than the fault and has finished an operation in it, and notes how
 * long both took. */
static void await_recovery(struct chaos_run *run, uint64_t survivors, uint64_t held, const uint64_t *epochs,
			   uint64_t fault_ns)
{
	uint64_t seen_ns = fault_ns, done_ns = fault_ns, left = survivors;

	while (left != 0) {
		chaos_tick(run, held);
		left &= chaos_running(run);
		for (uint32_t i = 0; i < CHAOS_SLOTS; i++) {
			struct chaos_slot *slot = chaos_slot_of(run, i);
			uint64_t epoch_ns = CHAOS_GET(slot->epoch_ns);
			uint64_t success_ns = CHAOS_GET(slot->success_epoch_ns);

			if ((left >> i & 1) == 0 || CHAOS_GET(slot->success_epoch) <= epochs[i])
				continue;
			left &= ~(UINT64_C(1) << i);
			seen_ns = epoch_ns > seen_ns ? epoch_ns : seen_ns;
			done_ns = success_ns > done_ns ? success_ns : done_ns;
		}
		if (bench_now_ns() > fault_ns + HANG_NS + 5 * SECOND)
			return;
	}
	if (run->detections < FAULTS_MAX)
		run->detection_ms[run->detections++] = (double)(seen_ns - fault_ns) / MS;
	if (run->recoveries < FAULTS_MAX)
		run->recovery_ms[run->recoveries++] = (double)(done_ns - fault_ns) / MS;
}

static void note_epochs(struct chaos_run *run, uint64_t *epochs)
{
	for (uint32_t i = 0; i < CHAOS_SLOTS; i++)
		epochs[i] = CHAOS_GET(chaos_slot_of(run, i)->epoch);
}

/* ---- faults ------------------------------------------------------------------------------------- */

/* A peer that was held and let go again must learn that the group went on without it, and end. */
static void await_farewell(struct chaos_run *run, uint32_t index, uint64_t identity)
{
	uint64_t begin = bench_now_ns();

	CHAOS_SET(chaos_slot_of(run, index)->progress_ns, begin);
	while (chaos_slot_of(run, index)->pid != 0 && chaos_slot_of(run, index)->identity == identity)
		chaos_tick(run, 0);
}

static void kill_one(struct chaos_run *run)
{
	uint64_t set = chaos_members(run), epochs[CHAOS_SLOTS], fault_ns;
	uint32_t victim = chaos_pick(run, set);

	note_epochs(run, epochs);
	fault_ns = bench_now_ns();
	chaos_end_peer(run, victim);
	run->faults[CHAOS_KILLED]++;
	await_recovery(run, set & ~(UINT64_C(1) << victim), 0, epochs, fault_ns);
}

static void stop_one(struct chaos_run *run)
{
	uint64_t set = chaos_members(run), epochs[CHAOS_SLOTS], fault_ns;
	uint32_t victim = chaos_pick(run, set);
	uint64_t bit = UINT64_C(1) << victim;

	note_epochs(run, epochs);
	fault_ns = bench_now_ns();
	chaos_slot_of(run, victim)->hurt = true;
	kill(chaos_slot_of(run, victim)->pid, SIGSTOP);
	run->faults[CHAOS_STOPPED]++;
	await_recovery(run, set & ~bit, bit, epochs, fault_ns);
	if (chaos_draw(run, 2) == 0) {
		chaos_end_peer(run, victim);
		return;
	}
	CHAOS_SET(chaos_slot_of(run, victim)->progress_ns, bench_now_ns());
	kill(chaos_slot_of(run, victim)->pid, SIGCONT);
	await_farewell(run, victim, chaos_slot_of(run, victim)->identity);
}

/* A cable that is cut, or that carries nothing towards the peer. */
static void harm_one(struct chaos_run *run, enum chaos_net_harm harm)
{
	uint64_t set = chaos_members(run), epochs[CHAOS_SLOTS], fault_ns;
	uint32_t victim = chaos_pick(run, set);
	uint64_t bit = UINT64_C(1) << victim;
	uint64_t identity = chaos_slot_of(run, victim)->identity;

	note_epochs(run, epochs);
	fault_ns = bench_now_ns();
	chaos_slot_of(run, victim)->hurt = true;
	if (!chaos_net_harm(victim, harm, true))
		return;
	run->faults[harm == CHAOS_NET_CUT ? CHAOS_CUT_OFF : CHAOS_DEAF]++;
	await_recovery(run, set & ~bit, bit, epochs, fault_ns);
	if (chaos_slot_of(run, victim)->identity != identity)
		return; /* it has found out already that it is alone, and ended */
	chaos_net_harm(victim, harm, false);
	await_farewell(run, victim, identity);
}

/* Two that can't reach each other, while the master and the others reach both: one of them has to go. */
static void set_two_apart(struct chaos_run *run)
{
	uint64_t set = chaos_members(run), epochs[CHAOS_SLOTS], fault_ns, identities[2], begin_ns;
	uint32_t pair[2] = {chaos_pick(run, set), 0};

	pair[1] = chaos_pick(run, set & ~(UINT64_C(1) << pair[0]));
	note_epochs(run, epochs);
	for (int i = 0; i < 2; i++) {
		identities[i] = chaos_slot_of(run, pair[i])->identity;
		chaos_slot_of(run, pair[i])->hurt = true;
	}
	fault_ns = bench_now_ns();
	if (!chaos_net_harm(pair[0], CHAOS_NET_APART, true) || !chaos_net_harm(pair[1], CHAOS_NET_APART, true))
		return;
	run->faults[CHAOS_APART]++;
	await_recovery(run, set & ~(UINT64_C(1) << pair[0]) & ~(UINT64_C(1) << pair[1]), 0, epochs, fault_ns);
	begin_ns = bench_now_ns();
	while (chaos_slot_of(run, pair[0])->identity == identities[0] &&
	       chaos_slot_of(run, pair[1])->identity == identities[1] && bench_now_ns() < begin_ns + HANG_NS)
		chaos_tick(run, 0);
	for (int i = 0; i < 2; i++) {
		if (chaos_slot_of(run, pair[i])->identity != identities[i])
			continue;
		chaos_slot_of(run, pair[i])->hurt = false;
		chaos_net_harm(pair[i], CHAOS_NET_APART, false);
	}
}

static void part_some(struct chaos_run *run)
{
	switch (chaos_draw(run, 3)) {
	case 0:
		harm_one(run, CHAOS_NET_CUT);
		break;
	case 1:
		harm_one(run, CHAOS_NET_DEAF);
		break;
	default:
		set_two_apart(run);
		break;
	}
}

/* Waits until every member of `set` has made a joint call since the master came back. */
static void await_joint_call(struct chaos_run *run, uint64_t set, uint64_t back_ns)
{
	CHAOS_SET(run->table->joint_wanted, true);
	while (set != 0 && bench_now_ns() < back_ns + HANG_NS + 5 * SECOND) {
		chaos_tick(run, 0);
		set &= chaos_running(run);
		for (uint32_t i = 0; i < CHAOS_SLOTS; i++)
			if ((set >> i & 1) && CHAOS_GET(chaos_slot_of(run, i)->joint_ns) > back_ns)
				set &= ~(UINT64_C(1) << i);
	}
	CHAOS_SET(run->table->joint_wanted, false);
	if (set == 0 && run->recoveries < FAULTS_MAX)
		run->recovery_ms[run->recoveries++] = (double)(bench_now_ns() - back_ns) / MS;
}

/* Operations must go on while there is no master, and joint calls must work again when it is back. Now and then a peer
 * is lost meanwhile: nobody can decide about that before the master is back, and then it must. */
static void lose_master(struct chaos_run *run)
{
	uint64_t set = chaos_members(run), epochs[CHAOS_SLOTS], back_ns;
	bool peer_too = __builtin_popcountll(set) >= 4 && chaos_draw(run, 3) == 0;

	bench_master_stop(&run->master, SIGKILL);
	run->faults[CHAOS_MASTER_KILLED]++;
	chaos_linger(run, 100 * MS + chaos_draw(run, 700) * MS);
	note_epochs(run, epochs);
	if (peer_too) {
		uint32_t victim = chaos_pick(run, set);

		chaos_end_peer(run, victim);
		set &= ~(UINT64_C(1) << victim);
		run->faults[CHAOS_KILLED]++;
	}
	chaos_linger(run, chaos_draw(run, 700) * MS);
	if (!bench_master_start(&run->master)) {
		run->unexpected++;
		return;
	}
	back_ns = bench_now_ns();
	if (peer_too)
		await_recovery(run, set, 0, epochs, back_ns);
	await_joint_call(run, set, back_ns);
}

static void leave_one(struct chaos_run *run)
{
	uint64_t set = chaos_members(run), epochs[CHAOS_SLOTS], begin_ns;
	uint32_t victim = chaos_pick(run, set);

	note_epochs(run, epochs);
	begin_ns = bench_now_ns();
	CHAOS_SET(chaos_slot_of(run, victim)->leave, true);
	run->faults[CHAOS_LEFT]++;
	await_recovery(run, set & ~(UINT64_C(1) << victim), 0, epochs, begin_ns);
	await_farewell(run, victim, chaos_slot_of(run, victim)->identity);
}

/* A peer that dies on its way in. The others may or may not have noticed it. */
static void lose_joiner(struct chaos_run *run)
{
	uint64_t free_slots = ~chaos_running(run);
	uint32_t victim = (uint32_t)__builtin_ctzll(free_slots);

	CHAOS_SET(run->table->joint_wanted, true);
	if (chaos_start_peer(run, victim)) {
		chaos_linger(run, chaos_draw(run, 60) * MS);
		if (chaos_slot_of(run, victim)->pid != 0)
			chaos_end_peer(run, victim);
		run->faults[CHAOS_JOINER_KILLED]++;
	}
	CHAOS_SET(run->table->joint_wanted, false);
}

static void churn_once(struct chaos_run *run)
{
	uint64_t many = (uint64_t)__builtin_popcountll(chaos_members(run));

	switch (chaos_draw(run, 4)) {
	case 0:
		lose_joiner(run);
		break;
	case 1:
		leave_one(run);
		break;
	case 2:
		/* Two at once, if two are left to go on. */
		if (many >= 4) {
			run->faults[CHAOS_KILLED]++;
			chaos_end_peer(run, chaos_pick(run, chaos_members(run)));
		}
		kill_one(run);
		break;
	default:
		kill_one(run);
		break;
	}
}

static void torment_once(struct chaos_run *run)
{
	switch (run->table->options.chaos) {
	case BENCH_CHAOS_KILL:
		kill_one(run);
		break;
	case BENCH_CHAOS_STOP:
		stop_one(run);
		break;
	case BENCH_CHAOS_PARTITION:
		part_some(run);
		break;
	case BENCH_CHAOS_MASTER:
		lose_master(run);
		break;
	case BENCH_CHAOS_CHURN:
		churn_once(run);
		break;
	}
}

/* ---- the run ------------------------------------------------------------------------------------ */

/* All leave together; who does not is a hang. */
static void wind_up(struct chaos_run *run)
{
	uint64_t until = bench_now_ns() + HANG_NS;

	CHAOS_SET(run->table->stop, true);
	while (chaos_running(run) != 0 && bench_now_ns() < until)
		chaos_tick(run, 0);
	for (uint32_t i = 0; i < CHAOS_SLOTS; i++) {
		if (chaos_slot_of(run, i)->pid == 0)
			continue;
		run->hangs++;
		fprintf(stderr, "chaos: HANG, peer %" PRIu64 " did not leave: it is in %s\n",
			chaos_slot_of(run, i)->identity, chaos_call_name(chaos_slot_of(run, i)->call));
		chaos_end_peer(run, i);
	}
	bench_master_stop(&run->master, SIGTERM);
}

static void report_faults(const struct chaos_run *run)
{
	static const char *const kinds[CHAOS_FAULTS] = {"peers killed",	   "peers stopped",   "peers cut off",
							"peers made deaf", "pairs set apart", "masters killed",
							"peers that left", "joiners killed"};

	printf("faults       %" PRIu64 ":", chaos_faults(run));
	for (int i = 0; i < CHAOS_FAULTS; i++)
		if (run->faults[i] > 0)
			printf(" %" PRIu64 " %s,", run->faults[i], kinds[i]);
	printf(" %" PRIu64 " of them told that the group went on without them\n", run->evictions);
}

static void report(struct chaos_run *run)
{
	const struct bench_options *options = &run->table->options;
	struct bench_summary detection = bench_summarize(run->detection_ms, run->detections);
	struct bench_summary recovery = bench_summarize(run->recovery_ms, run->recoveries);

	if (options->json) {
		printf("{\"chaos\": \"%s\", \"peers\": %u, \"seconds\": %g, \"operations\": %" PRIu64
		       ", \"faults\": %" PRIu64 ", \"hangs\": %" PRIu64 ", \"divergences\": %" PRIu64 ", ",
		       bench_chaos_name(options->chaos), options->peers, options->seconds, run->table->operations,
		       chaos_faults(run), run->hangs, run->divergences);
		printf("\"detection_ms_p50\": %.2f, \"detection_ms_p99\": %.2f, \"recovery_ms_p50\": %.2f, "
		       "\"recovery_ms_p99\": %.2f, \"recovery_ms_max\": %.2f}\n",
		       detection.median, detection.p99, recovery.median, recovery.p99, recovery.most);
		return;
	}
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r%60s\r", "");
	printf("chaos %s, %u peers, %g s, seed %" PRIu64 "\n", bench_chaos_name(options->chaos), options->peers,
	       options->seconds, options->seed);
	printf("operations   %" PRIu64 " right, %" PRIu64 " given up jointly\n", run->table->operations,
	       run->table->given_up);
	report_faults(run);
	printf("detection    %.1f ms median, %.1f p99, %.1f max\n", detection.median, detection.p99, detection.most);
	printf("recovery     %.1f ms median, %.1f p99, %.1f max\n", recovery.median, recovery.p99, recovery.most);
	printf("hangs        %" PRIu64 "\ndivergences  %" PRIu64 "\nunexpected   %" PRIu64 " exits\n", run->hangs,
	       run->divergences, run->unexpected);
}

static bool prepare(struct chaos_run *run, const struct bench_options *options)
{
	memset(run, 0, sizeof(*run));
	run->table = (struct chaos_table *)bench_share(sizeof(*run->table));
	run->detection_ms = calloc(FAULTS_MAX, sizeof(run->detection_ms[0]));
	run->recovery_ms = calloc(FAULTS_MAX, sizeof(run->recovery_ms[0]));
	if (run->table == NULL || run->detection_ms == NULL || run->recovery_ms == NULL)
		return false;
	run->table->options = *options;
	if (options->seed == 0)
		run->table->options.seed = bench_now_ns() | 1;
	if (chaos_is_partition(run)) {
		if (!chaos_net_create())
			return false;
		run->master.address.inet = chaos_net_address();
	} else {
		run->master.address.inet = bench_loopback();
	}
	if (!bench_master_start(&run->master))
		return false;
	run->table->master = run->master.address;
	return true;
}

int bench_chaos(const struct bench_options *options)
{
	struct chaos_run run;
	bool good = prepare(&run, options);

	if (good) {
		chaos_fill_up(&run);
		run.end_ns = bench_now_ns() + (uint64_t)(options->seconds * 1e9);
		while (bench_now_ns() < run.end_ns) {
			chaos_linger(&run, 50 * MS + chaos_draw(&run, 300) * MS);
			if ((uint32_t)__builtin_popcountll(chaos_members(&run)) >= 3)
				torment_once(&run);
			chaos_fill_up(&run);
		}
		wind_up(&run);
		report(&run);
		good = run.hangs == 0 && run.divergences == 0 && run.unexpected == 0;
	}
	free(run.detection_ms);
	free(run.recovery_ms);
	return good ? 0 : 1;
}
