/* What a caller sees of what the control thread and the lanes, played by a thread of the test, tell the monitor. */
#include "comm/monitor.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "base/memory.h"
#include "comm/monitor_internal.h"
#include "lib/check.h"

static struct {
	struct pccl_self self;
	struct pccl_monitor *monitor;
	pthread_mutex_t lock;
	pthread_cond_t told;
	bool joins; /* that the machine was told, and has not answered */
	bool votes;
	bool ends;
	bool forgets; /* the lanes that a loan was read by are gone, or about to be told */
	bool is_taken_back;
	bool is_taken_too_early;
} desk;

/* Under the monitor's lock. */
static void tell(void *control, const struct pccl_peer_event *event)
{
	(void)control;
	pthread_mutex_lock(&desk.lock);
	desk.joins = desk.joins || event->type == PCCL_PEER_JOIN;
	desk.votes = desk.votes || event->type == PCCL_PEER_VOTE;
	pthread_cond_broadcast(&desk.told);
	pthread_mutex_unlock(&desk.lock);
}

static void wake(void *lane)
{
	(void)lane;
}

static struct pccl_world world_of(uint32_t count)
{
	const struct pccl_world world = {.peers = count, .groups = 1, .largest_group = count};

	return world;
}

static void install(uint32_t epoch, uint32_t count, bool newcomers)
{
	struct pccl_install install = {.newcomers = newcomers, .world = world_of(count)};
	struct pccl_member members[3] = {{.uuid = desk.self.uuid}, {.uuid = {{2}}}, {.uuid = {{3}}}};

	install.view.epoch = epoch;
	install.view.lanes = install.view.streams = 1;
	install.view.member_count = count;
	install.view.members = members;
	pccl_monitor_install(desk.monitor, &install);
}

/* Two join; one of them is lost before the links to it are up here. */
static void answer_update(void)
{
	struct pccl_peer_action answer = {.type = PCCL_PEER_VOTED, .result = pcclSuccess, .world = world_of(3)};

	install(2, 3, true);
	pccl_monitor_voted(desk.monitor, &answer);
	install(3, 2, false);
	pccl_monitor_linked(desk.monitor, 3);
}

static void *play(void *context)
{
	(void)context;
	pthread_mutex_lock(&desk.lock);
	while (!desk.ends) {
		bool joins = desk.joins, votes = desk.votes;

		desk.joins = desk.votes = false;
		pthread_mutex_unlock(&desk.lock);
		if (joins) {
			install(1, 1, true);
			pccl_monitor_linked(desk.monitor, 1);
		}
		if (votes)
			answer_update();
		pthread_mutex_lock(&desk.lock);
		while (!desk.joins && !desk.votes && !desk.ends)
			pthread_cond_wait(&desk.told, &desk.lock);
	}
	pthread_mutex_unlock(&desk.lock);
	return NULL;
}

static void drop_commands(void)
{
	struct pccl_command *command = pccl_monitor_take(desk.monitor, 0);

	while (command != NULL) {
		struct pccl_command *next = command->next;

		pccl_command_free(command);
		command = next;
	}
}

static void open_desk(pthread_t *thread)
{
	const struct pccl_monitor_threads threads = {.tell = tell, .wake = wake};

	memset(&desk, 0, sizeof(desk));
	pthread_mutex_init(&desk.lock, NULL);
	pthread_cond_init(&desk.told, NULL);
	desk.self.uuid.data[0] = 1;
	desk.self.classic = true;
	desk.self.settings.lanes = 1;
	assert_int_equal(pccl_monitor_create(&desk.self, &desk.monitor), pcclSuccess);
	assert_int_equal(pthread_create(thread, NULL, play, NULL), 0);
	assert_int_equal(pccl_monitor_begin_connect(desk.monitor), pcclSuccess);
	assert_int_equal(pccl_monitor_join(desk.monitor, &threads), pcclSuccess);
	pccl_monitor_end_connect(desk.monitor, pcclSuccess);
}

static void close_desk(pthread_t thread)
{
	pthread_mutex_lock(&desk.lock);
	desk.ends = true;
	pthread_cond_broadcast(&desk.told);
	pthread_mutex_unlock(&desk.lock);
	pthread_join(thread, NULL);
	drop_commands();
	pccl_monitor_detach(desk.monitor);
	pccl_monitor_destroy(desk.monitor);
	pthread_cond_destroy(&desk.told);
	pthread_mutex_destroy(&desk.lock);
}

/* Else two members that branch on what the same call has left them with go different ways. */
static void all_who_made_a_joint_call_see_the_world_of_its_answer(void **state)
{
	const struct pccl_joint_call update = {.vote = PCCL_VOTE_UPDATE, .failure = pcclUpdateTopologyFailed};
	struct pccl_standing standing;
	pthread_t thread;

	(void)state;
	open_desk(&thread);
	assert_int_equal(pccl_monitor_joint(desk.monitor, &update, NULL), pcclSuccess);
	assert_int_equal(pccl_monitor_attributes(desk.monitor, &standing), pcclSuccess);
	assert_int_equal(standing.world.peers, 3);
	assert_int_equal(standing.members, 3);
	close_desk(thread);
}

static pcclResult_t join_that_ends_with(pcclResult_t end)
{
	const struct pccl_monitor_threads threads = {.tell = tell, .wake = wake};
	pcclResult_t result;

	memset(&desk, 0, sizeof(desk));
	desk.self.settings.lanes = 1;
	assert_int_equal(pccl_monitor_create(&desk.self, &desk.monitor), pcclSuccess);
	assert_int_equal(pccl_monitor_begin_connect(desk.monitor), pcclSuccess);
	pccl_monitor_end(desk.monitor, end, "as it is");
	result = pccl_monitor_join(desk.monitor, &threads);
	pccl_monitor_end_connect(desk.monitor, result);
	drop_commands();
	pccl_monitor_detach(desk.monitor);
	pccl_monitor_destroy(desk.monitor);
	return result;
}

/* The way to the group is not what a lack of memory is about. */
static void who_can_not_join_is_told_what_it_lacks(void **state)
{
	(void)state;
	assert_int_equal(join_that_ends_with(pcclOutOfMemory), pcclOutOfMemory);
	assert_int_equal(join_that_ends_with(pcclAborted), pcclAborted);
	assert_int_equal(join_that_ends_with(pcclTimeout), pcclMasterConnectionFailed);
}

static void *take_back(void *context)
{
	(void)context;
	pccl_monitor_take_back(desk.monitor);
	pthread_mutex_lock(&desk.lock);
	desk.is_taken_back = true;
	desk.is_taken_too_early = !desk.forgets;
	pthread_mutex_unlock(&desk.lock);
	return NULL;
}

/* True: it waits, or is back already. */
static bool is_inside_or_back(void)
{
	bool yes;

	pthread_mutex_lock(&desk.monitor->lock);
	pthread_mutex_lock(&desk.lock);
	yes = desk.monitor->callers > 1 || desk.is_taken_back;
	pthread_mutex_unlock(&desk.lock);
	pthread_mutex_unlock(&desk.monitor->lock);
	return yes;
}

/* Another thread of the program has it join again, as PCCL 1.0's may. */
static void what_was_lent_is_back_when_no_lane_of_before_is_left(void **state)
{
	uint8_t data[100] = {0};
	pcclTensorInfo_t info = {.name = "a", .data = data, .count = sizeof(data)};
	pcclSharedState_t lent = {.count = 1, .infos = &info};
	struct pccl_inventory *inventory;
	struct pccl_loan *loan;
	pthread_t thread, taker;
	pcclResult_t result;

	(void)state;
	open_desk(&thread);
	assert_int_equal(pccl_inventory_create(&lent, &inventory), pcclSuccess);
	assert_int_equal(pccl_loan_create(inventory, NULL, false, NULL, &loan), pcclSuccess);
	assert_int_equal(pccl_monitor_lend(desk.monitor, loan), pcclSuccess);
	pccl_monitor_end(desk.monitor, pcclEvicted, "its seat is taken");
	assert_true(pccl_monitor_begin_rejoin(desk.monitor, &result));
	assert_int_equal(result, pcclSuccess);
	assert_int_equal(pthread_create(&taker, NULL, take_back, NULL), 0);
	while (!is_inside_or_back())
		sched_yield();
	drop_commands();
	pthread_mutex_lock(&desk.lock);
	desk.forgets = true;
	pthread_mutex_unlock(&desk.lock);
	pccl_monitor_detach(desk.monitor);
	pccl_monitor_clear(desk.monitor);
	pthread_join(taker, NULL);
	pccl_monitor_end_connect(desk.monitor, pcclMasterConnectionFailed);
	close_desk(thread);
	assert_false(desk.is_taken_too_early);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_lent_is_back_when_no_lane_of_before_is_left),
		cmocka_unit_test(who_can_not_join_is_told_what_it_lacks),
		cmocka_unit_test(all_who_made_a_joint_call_see_the_world_of_its_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
