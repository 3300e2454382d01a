/*
 * One round: peers that are started afresh run an all-reduce undisturbed; in the next one a peer is killed when about
 * half of that time has passed; the survivors then run undisturbed ones to compare with. See loss.h.
 */
#include "loss.h"

#include "buffers.h"
#include "check.h"
#include "local.h"
#include "report.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MS 1e6
#define WATCH_NS (200 * 1000)
#define FEWER_OPS 3 /* undisturbed ones by the survivors */
#define ROUND_NS (120 * UINT64_C(1000000000))

enum moment { WARM, WHOLE, LOSS, FEWER, MOMENTS = FEWER + FEWER_OPS };

/* What a peer tells the parent. Each field is written once in a round. */
struct told {
	uint64_t begin_ns[MOMENTS];
	uint64_t end_ns[MOMENTS];
	uint64_t known_ns; /* when the view without the victim was in force */
	uint32_t rank;	   /* in the view with everybody */
	pcclResult_t result;
	uint32_t participants_min;
	uint32_t participants_max;
	uint64_t hash[BENCH_HASH_WORDS];
	uint64_t wrong;
};

struct round {
	struct bench_options options;
	ccoip_socket_address_t master;
	struct bench_meeting *all;
	struct bench_meeting *survivors;
	uint64_t bytes;
	uint32_t victim;
	struct told told[BENCH_PEERS_MAX];
};

/* The figures of all rounds of one size, in milliseconds. */
struct figures {
	double *gone; /* until the system had ended the process: it frees memory first, then closes connections */
	double *detection;
	double *whole;
	double *loss;
	double *fewer;
	double *excess; /* per cent */
	size_t count;
	uint64_t bad; /* rounds whose survivors had other results than each other, or wrong ones */
};

#define GET(field) __atomic_load_n(&(field), __ATOMIC_ACQUIRE)
#define SET(field, value) __atomic_store_n(&(field), (value), __ATOMIC_RELEASE)

static void sleep_until(uint64_t when_ns)
{
	const struct timespec when = {(time_t)(when_ns / UINT64_C(1000000000)), (long)(when_ns % UINT64_C(1000000000))};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &when, NULL) != 0)
		;
}

/* ---- a peer --------------------------------------------------------------------------------------------------- */

struct member {
	struct round *round;
	struct told *told;
	struct bench_peer peer;
	struct bench_buffers buffers;
	uint64_t epoch; /* of the view with everybody */
};

/* Sees the new view as it comes, while the main thread is blocked in an operation. */
static void *watch(void *argument)
{
	const struct timespec pause = {0, WATCH_NS};
	struct member *member = (struct member *)argument;
	uint64_t epoch = member->epoch;

	while (pcclGetEpoch(member->peer.comm, &epoch) == pcclSuccess && epoch == member->epoch)
		nanosleep(&pause, NULL);
	SET(member->told->known_ns, bench_now_ns());
	return NULL;
}

static pcclResult_t reduce(struct member *member, enum moment moment, pcclOperationInfo_t *info)
{
	const struct bench_options *options = &member->round->options;
	pcclOperation_t operation = PCCL_OPERATION_INITIALIZER;
	pcclResult_t result;

	operation.count = member->buffers.count;
	operation.datatype = options->datatype;
	operation.op = options->op;
	operation.plan = options->plan;
	operation.failure_policy = options->policy;
	bench_buffers_restore(&member->buffers, &member->peer);
	pthread_barrier_wait(moment < FEWER ? &member->round->all->barrier : &member->round->survivors->barrier);
	SET(member->told->begin_ns[moment], bench_now_ns());
	result = pcclAllReduceWith(member->buffers.each[0].input, member->buffers.each[0].output, &operation,
				   member->peer.comm, info);
	SET(member->told->end_ns[moment], bench_now_ns());
	return result;
}

/* The result has contributions of everybody, or of everybody but the victim. Identities are ranks of the first view. */
static uint64_t count_wrong(const struct member *member)
{
	const struct round *round = member->round;
	uint32_t victim_rank = round->told[round->victim].rank;
	const struct bench_options *options = &round->options;
	uint64_t all[BENCH_PEERS_MAX], survivors[BENCH_PEERS_MAX];
	struct bench_order orders[2] = {{all, options->peers}, {survivors, options->peers - 1}};
	struct bench_expectation expectation = {options->datatype, options->op, 0, orders, 2};
	size_t where = 0;

	for (uint32_t rank = 0; rank < options->peers; rank++) {
		all[rank] = rank;
		survivors[rank - (rank > victim_rank)] = rank;
	}
	return bench_check_reduction(&expectation, 0, member->buffers.count, member->buffers.each[0].output, &where);
}

/* The operation that one peer does not survive; should it end too early, the victim waits for its own end here. */
static bool lose_one(struct member *member, bool is_victim)
{
	pcclOperationInfo_t info = PCCL_OPERATION_INFO_INITIALIZER;
	struct told *told = member->told;
	pthread_t watcher;

	if (pcclGetEpoch(member->peer.comm, &member->epoch) != pcclSuccess ||
	    pthread_create(&watcher, NULL, watch, member) != 0)
		return false;
	told->result = reduce(member, LOSS, &info);
	if (is_victim)
		for (;;)
			pause();
	pthread_join(watcher, NULL);
	told->participants_min = info.participants_min;
	told->participants_max = info.participants_max;
	if (told->result != pcclSuccess)
		return true;
	if (member->round->options.check)
		told->wrong = count_wrong(member);
	return bench_buffers_hash(&member->buffers, told->hash);
}

static bool take_part(struct member *member, bool is_victim)
{
	pcclOperationInfo_t info = PCCL_OPERATION_INFO_INITIALIZER;

	for (int moment = WARM; moment < MOMENTS; moment++) {
		pcclResult_t result = pcclSuccess;

		if (moment == LOSS && !lose_one(member, is_victim))
			return false;
		if (moment != LOSS)
			result = reduce(member, (enum moment)moment, &info);
		if (result != pcclSuccess) {
			bench_complain("an undisturbed operation", result);
			return false;
		}
	}
	return true;
}

static int member_body(uint32_t index, void *context)
{
	struct round *round = (struct round *)context;
	struct member member = {.round = round, .told = &round->told[index]};
	bool good;

	if (!bench_peer_join(&member.peer, &round->options, &round->master, NULL))
		return 1;
	member.told->rank = member.peer.rank;
	good = bench_buffers_init(&member.buffers, &member.peer, round->bytes) &&
	       take_part(&member, index == round->victim);
	bench_buffers_fini(&member.buffers);
	if (good)
		pthread_barrier_wait(&round->survivors->barrier);
	bench_peer_leave(&member.peer);
	return good ? 0 : 1;
}

/* ---- a round, seen by the parent ------------------------------------------------------------------------------ */

/* From the last to begin to the last to end, without the victim where there is none any more. */
static double milliseconds(const struct round *round, int moment)
{
	uint64_t begin_ns = 0, end_ns = 0;

	for (uint32_t i = 0; i < round->options.peers; i++) {
		const struct told *told = &round->told[i];

		if (moment >= LOSS && i == round->victim)
			continue;
		begin_ns = told->begin_ns[moment] > begin_ns ? told->begin_ns[moment] : begin_ns;
		end_ns = told->end_ns[moment] > end_ns ? told->end_ns[moment] : end_ns;
	}
	return (double)(end_ns - begin_ns) / MS;
}

static double detection_milliseconds(const struct round *round, uint64_t kill_ns)
{
	uint64_t known_ns = kill_ns;

	for (uint32_t i = 0; i < round->options.peers; i++)
		if (i != round->victim && round->told[i].known_ns > known_ns)
			known_ns = round->told[i].known_ns;
	return (double)(known_ns - kill_ns) / MS;
}

static bool has_begun(const struct round *round)
{
	for (uint32_t i = 0; i < round->options.peers; i++)
		if (GET(round->told[i].begin_ns[LOSS]) == 0)
			return false;
	return true;
}

/* Kills the victim when a random 40 to 60 per cent of an undisturbed operation's time have passed. */
static uint64_t kill_in_the_middle(const struct round *round, pid_t victim, uint64_t draw)
{
	double share = 0.4 + 0.2 * (double)(draw % 1000) / 1000;
	uint64_t begin_ns = 0;

	for (uint32_t i = 0; i < round->options.peers; i++)
		if (round->told[i].begin_ns[LOSS] > begin_ns)
			begin_ns = round->told[i].begin_ns[LOSS];
	sleep_until(begin_ns + (uint64_t)(share * milliseconds(round, WHOLE) * MS));
	begin_ns = bench_now_ns();
	kill(victim, SIGKILL);
	return begin_ns;
}

/* False: a peer failed, and has complained. */
static bool run_round(struct round *round, uint64_t draw, uint64_t *kill_ns_out, uint64_t *gone_ns_out)
{
	const struct timespec pause = {0, WATCH_NS};
	uint64_t until_ns = bench_now_ns() + ROUND_NS;
	pid_t pids[BENCH_PEERS_MAX], victim;

	memset(round->told, 0, sizeof(round->told));
	round->victim = (uint32_t)(draw / 1000 % round->options.peers);
	for (uint32_t i = 0; i < round->options.peers; i++)
		pids[i] = bench_spawn(member_body, i, round);
	victim = pids[round->victim];
	while (!has_begun(round) && bench_now_ns() < until_ns)
		nanosleep(&pause, NULL);
	pids[round->victim] = has_begun(round) ? 0 : -1;
	*kill_ns_out = kill_in_the_middle(round, victim, draw);
	waitpid(victim, NULL, 0);
	*gone_ns_out = bench_now_ns();
	return bench_reap(pids, round->options.peers) == 0;
}

/* ---- figures -------------------------------------------------------------------------------------------------- */

static bool survivors_agree(const struct round *round)
{
	const struct told *first = NULL;

	for (uint32_t i = 0; i < round->options.peers; i++) {
		const struct told *told = &round->told[i];

		if (i == round->victim)
			continue;
		first = first == NULL ? told : first;
		if (told->wrong > 0 || told->result != first->result ||
		    told->participants_min != first->participants_min ||
		    told->participants_max != first->participants_max ||
		    memcmp(told->hash, first->hash, sizeof(told->hash)) != 0)
			return false;
	}
	return true;
}

/* A kill that came after the end says nothing. */
static void note_round(struct figures *figures, const struct round *round, uint64_t kill_ns, uint64_t gone_ns)
{
	double fewer[FEWER_OPS], detection = detection_milliseconds(round, kill_ns);
	size_t at = figures->count;

	figures->bad += !survivors_agree(round);
	if (round->told[round->victim].end_ns[LOSS] != 0)
		return;
	for (int i = 0; i < FEWER_OPS; i++)
		fewer[i] = milliseconds(round, FEWER + i);
	figures->gone[at] = (double)(gone_ns - kill_ns) / MS;
	figures->detection[at] = detection;
	figures->whole[at] = milliseconds(round, WHOLE);
	figures->loss[at] = milliseconds(round, LOSS);
	figures->fewer[at] = bench_summarize(fewer, FEWER_OPS).median;
	figures->excess[at] = 100 * ((figures->loss[at] - detection) / figures->fewer[at] - 1);
	figures->count++;
}

static void print_row(const char *what, const struct bench_summary *summary, const char *unit)
{
	printf("%-42s %9.1f %9.1f %9.1f %s\n", what, summary->least, summary->median, summary->most, unit);
}

static void report(const struct round *round, struct figures *figures)
{
	struct bench_summary gone = bench_summarize(figures->gone, figures->count);
	struct bench_summary detection = bench_summarize(figures->detection, figures->count);
	struct bench_summary whole = bench_summarize(figures->whole, figures->count);
	struct bench_summary loss = bench_summarize(figures->loss, figures->count);
	struct bench_summary fewer = bench_summarize(figures->fewer, figures->count);
	struct bench_summary excess = bench_summarize(figures->excess, figures->count);
	char text[32];

	if (round->options.json) {
		printf("{\"loss\": \"kill\", \"peers\": %u, \"bytes\": %" PRIu64
		       ", \"rounds\": %zu, \"divergences\": %" PRIu64
		       ", \"gone_ms_p50\": %.2f, \"detection_ms_p50\": %.2f, \"detection_ms_max\": %.2f, "
		       "\"whole_ms_p50\": %.2f, "
		       "\"fewer_ms_p50\": %.2f, \"loss_ms_p50\": %.2f, \"excess_percent_p50\": %.1f, "
		       "\"excess_percent_max\": %.1f}\n",
		       round->options.peers, round->bytes, figures->count, figures->bad, gone.median, detection.median,
		       detection.most, whole.median, fewer.median, loss.median, excess.median, excess.most);
		return;
	}
	printf("one of %u peers killed in the middle of an all-reduce of %s, %zu times, %" PRIu64 " divergences\n",
	       round->options.peers, bench_bytes_text(round->bytes, text), figures->count, figures->bad);
	printf("%-42s %9s %9s %9s\n", "", "least", "median", "most");
	print_row("undisturbed, all peers", &whole, "ms");
	print_row("undisturbed, without the one", &fewer, "ms");
	print_row("with the loss", &loss, "ms");
	print_row("the system had ended the process after", &gone, "ms");
	print_row("all survivors knew after", &detection, "ms");
	print_row("longer than without the one and detection", &excess, "%");
}

static bool prepare(struct figures *figures, uint32_t rounds)
{
	double **lists[] = {&figures->gone, &figures->detection, &figures->whole,
			    &figures->loss, &figures->fewer,	 &figures->excess};
	bool good = true;

	memset(figures, 0, sizeof(*figures));
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		*lists[i] = calloc(rounds, sizeof(double));
		good = good && *lists[i] != NULL;
	}
	return good;
}

static void finish(struct figures *figures)
{
	free(figures->gone);
	free(figures->detection);
	free(figures->whole);
	free(figures->loss);
	free(figures->fewer);
	free(figures->excess);
}

static bool measure(struct round *round, uint64_t bytes)
{
	struct figures figures;
	bool good = prepare(&figures, round->options.iterations);

	round->bytes = bytes;
	for (uint32_t i = 0; good && i < round->options.iterations; i++) {
		struct bench_master master = {0, {bench_loopback(), 0}};
		uint64_t kill_ns = 0, gone_ns = 0;

		good = bench_master_start(&master);
		round->master = master.address;
		good = good && run_round(round, bench_mix(bench_now_ns(), i), &kill_ns, &gone_ns);
		bench_master_stop(&master, SIGTERM);
		if (good)
			note_round(&figures, round, kill_ns, gone_ns);
	}
	if (good)
		report(round, &figures);
	good = good && figures.bad == 0;
	finish(&figures);
	return good;
}

int bench_loss(const struct bench_options *options)
{
	struct round *round = (struct round *)bench_share(sizeof(*round));
	bool good = true;

	if (round == NULL)
		return 1;
	round->options = *options;
	round->all = bench_meeting_create(options->peers);
	round->survivors = bench_meeting_create(options->peers - 1);
	if (round->all == NULL || round->survivors == NULL)
		return 1;
	for (size_t i = 0; i < options->size_count; i++)
		good = measure(round, options->sizes[i]) && good;
	return good ? 0 : 1;
}
