/* Members that die in every phase of a round, in every mode: in the snapshot, in the exchange, in taking over, and
 * while the others flush; the lowest rank, the highest, and some in between; then the master. */
#include <pccl/diloco.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "lib/check.h"
#include "lib/peers.h"
#include "lib/training.h"

#define PEERS 6
#define VICTIMS 4
#define STEPS 60
#define APART 12 /* steps from one death to the next */

enum { MILESTONE_READY = 1, MILESTONE_KILL, MILESTONE_ENDED };
enum { TOLD_RANK = TOLD_ALONE + 1 };
enum phase { SNAPSHOT, EXCHANGE, TAKE_OVER, FLUSH, PHASES };

struct kill_run {
	struct training_run training;
	unsigned shift; /* which rank dies in which phase */
	bool is_master_killed;
};

struct body {
	struct world_peer *me;
	struct training_model model;
	enum phase phase; /* in which it dies; PHASES: it does not */
	unsigned from;	  /* the step from which on it does */
};

static void die_in(struct body *body, enum phase phase)
{
	if (body->phase != phase || body->model.step < body->from)
		return;
	peer_reach(body->me, MILESTONE_KILL);
	if (phase != EXCHANGE) /* what dies there goes on until it does */
		pause();
}

static pcclResult_t read_model(void *context, size_t tensor, size_t first, size_t count, float *to)
{
	struct body *body = (struct body *)context;

	die_in(body, SNAPSHOT);
	memcpy(to, (const float *)body->model.tensors[tensor].data + first, count * sizeof(*to));
	die_in(body, EXCHANGE);
	return pcclSuccess;
}

static pcclResult_t write_model(void *context, size_t tensor, size_t first, size_t count, const float *from)
{
	struct body *body = (struct body *)context;

	die_in(body, TAKE_OVER);
	memcpy((float *)body->model.tensors[tensor].data + first, from, count * sizeof(*from));
	return pcclSuccess;
}

/* Ranks 0, 2, 3 and the highest die, in an order that differs between runs. */
static enum phase phase_of(const struct kill_run *run, unsigned rank)
{
	static const unsigned places[PEERS] = {0, VICTIMS, 1, 2, VICTIMS, 3};

	return places[rank] == VICTIMS ? PHASES : (enum phase)((places[rank] + run->shift) % PHASES);
}

static void trains_until_killed(struct world_peer *me)
{
	const struct kill_run *run = (const struct kill_run *)me->argument;
	pcclDilocoSettings_t settings = run->training.settings;
	static struct body body;
	pcclDiloco_t *engine;
	unsigned step;

	peer_join(me);
	peer_grow(me, PEERS);
	body.me = me;
	body.phase = phase_of(run, peer_rank(me));
	body.from = ((unsigned)body.phase + 1) * APART;
	peer_tell(me, TOLD_RANK, peer_rank(me));
	peer_reach(me, MILESTONE_READY);
	training_init(&body.model, me->index);
	settings.read = read_model;
	settings.write = write_model;
	settings.context = &body;
	CHECK_RESULT(pcclSuccess, pcclDilocoCreate(me->comm, body.model.tensors, TRAINING_TENSORS, &settings, &engine));
	for (step = 1; step <= STEPS; step++) {
		training_step(&body.model);
		CHECK_RESULT(pcclSuccess, pcclDilocoStep(engine, 1));
	}
	die_in(&body, FLUSH);
	CHECK_RESULT(pcclSuccess, pcclDilocoFlush(engine));
	training_tell(me, engine);
	CHECK_RESULT(pcclSuccess, pcclDilocoDestroy(engine));
	peer_reach(me, MILESTONE_ENDED);
	while (body.phase != PHASES) /* one that died in its last exchange has got so far */
		pause();
	peer_meet(me, PEERS - VICTIMS);
	peer_leave(me);
}

static void kill_them(void **state, const struct kill_run *run)
{
	struct world *world = *state;
	unsigned phase, peer, survivors[PEERS], count = 0;

	peers_start_master(world, WORLD_PROGRAM);
	peers_start(world, PEERS, trains_until_killed, run);
	peers_await_all(world, 0, PEERS, MILESTONE_READY);
	for (phase = 0; phase < PHASES; phase++) {
		for (peer = 0; phase_of(run, (unsigned)peers_told(world, peer, TOLD_RANK)) != phase; peer++)
			;
		peers_await(world, peer, MILESTONE_KILL);
		if (run->is_master_killed && phase == EXCHANGE)
			peers_kill_master(world, 0);
		peers_signal(world, peer, SIGKILL);
		if (run->is_master_killed && phase == EXCHANGE)
			peers_restart_master(world, 0, WORLD_PROGRAM);
	}
	peers_finish(world);
	for (peer = 0; peer < PEERS; peer++)
		if (phase_of(run, (unsigned)peers_told(world, peer, TOLD_RANK)) == PHASES)
			survivors[count++] = peer;
	assert_int_equal(count, PEERS - VICTIMS);
	assert_int_equal(peers_told(world, survivors[0], TOLD_OUTER), peers_told(world, survivors[1], TOLD_OUTER));
	assert_int_equal(peers_told(world, survivors[0], TOLD_ROUNDS), peers_told(world, survivors[1], TOLD_ROUNDS));
	assert_int_equal(peers_told(world, survivors[0], TOLD_STEPS), STEPS);
	assert_int_equal(peers_told(world, survivors[0], TOLD_ALONE), 0);
	print_message("%llu rounds, %llu of them again\n",
		      (unsigned long long)peers_told(world, survivors[0], TOLD_ROUNDS),
		      (unsigned long long)peers_told(world, survivors[0], TOLD_REPEATED));
}

static struct kill_run run_in(pcclDilocoMode_t mode, unsigned shift)
{
	struct kill_run run = {.training = training_plain(mode), .shift = shift};

	run.training.settings.interval = 4;
	run.training.settings.error_feedback = true;
	run.training.settings.codec = pcclQuantInt8;
	if (mode == pcclDilocoStreaming) {
		run.training.settings.interval = 6;
		run.training.settings.fragments = 3;
		run.training.settings.overlap = 5;
	}
	return run;
}

static void members_die_in_every_phase_of_synchronous_training(void **state)
{
	const struct kill_run run = run_in(pcclDilocoSynchronous, 0);

	kill_them(state, &run);
}

static void members_die_in_every_phase_of_delayed_training(void **state)
{
	const struct kill_run run = run_in(pcclDilocoDelayed, 1);

	kill_them(state, &run);
}

static void members_die_in_every_phase_of_eager_training(void **state)
{
	const struct kill_run run = run_in(pcclDilocoEager, 2);

	kill_them(state, &run);
}

static void members_die_in_every_phase_of_streaming(void **state)
{
	const struct kill_run run = run_in(pcclDilocoStreaming, 3);

	kill_them(state, &run);
}

static void the_master_dies_with_a_member_in_an_exchange(void **state)
{
	struct kill_run run = run_in(pcclDilocoStreaming, 1);

	run.is_master_killed = true;
	kill_them(state, &run);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, peers_open, peers_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(members_die_in_every_phase_of_synchronous_training),
		CASE(members_die_in_every_phase_of_delayed_training),
		CASE(members_die_in_every_phase_of_eager_training),
		CASE(members_die_in_every_phase_of_streaming),
		CASE(the_master_dies_with_a_member_in_an_exchange),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
