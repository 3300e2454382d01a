/* Names of masters: asked for anew at each attempt, and a bad one in a list does no harm. A resolver of the test's own
 * stands before the system's. */
#include <dlfcn.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

#include "lib/check.h"
#include "lib/peers.h"

enum { ANSWERS = 5 };

/* What the name master.test means, from question to question; NULL: nothing yet. The last answer stays. */
static const char *const answers[ANSWERS] = {NULL, NULL, "127.0.0.2", NULL, "127.0.0.1"};
static unsigned asked;

typedef int (*resolver)(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **out);

/* The library's calls come here: the program's own function goes before the system's. */
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **out)
{
	void *found = dlsym(RTLD_NEXT, "getaddrinfo");
	resolver system;
	unsigned question;

	memcpy(&system, &found, sizeof(system));
	if (node == NULL || strstr(node, ".test") == NULL)
		return system(node, service, hints, out);
	if ((hints->ai_flags & AI_NUMERICHOST) != 0 || strcmp(node, "master.test") != 0)
		return EAI_NONAME;
	question = __atomic_fetch_add(&asked, 1, __ATOMIC_RELAXED);
	node = answers[question < ANSWERS ? question : ANSWERS - 1];
	return node == NULL ? EAI_NONAME : system(node, service, hints, out);
}

/* Nobody listens at the first answer. */
static void follows_the_name(struct world_peer *me)
{
	char masters[64];

	(void)snprintf(masters, sizeof(masters), "master.test:%u", me->params.master_address.port);
	me->params.master_address.port = 0;
	me->config.masters = masters;
	peer_join(me);
	CHECK(__atomic_load_n(&asked, __ATOMIC_RELAXED) == ANSWERS);
	peer_leave(me);
}

static void a_name_is_looked_up_at_each_attempt(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_PROGRAM);
	peers_start(world, 1, follows_the_name, NULL);
	peers_finish(world);
}

/* The first master of a list founds groups, so the founder's bad one comes second; who has it first meets the founder,
 * which is alone, a little later. */
static void has_one_bad_master(struct world_peer *me)
{
	char masters[64];

	(void)snprintf(masters, sizeof(masters), me->index == 0 ? "127.0.0.1:%u,bad.test:1" : "bad.test:1,127.0.0.1:%u",
		       me->params.master_address.port);
	me->config.connect_timeout_ms = 6000;
	me->params.master_address.port = 0;
	me->config.masters = masters;
	peer_join(me);
	peer_grow(me, 2);
	peer_meet(me, 2);
	peer_leave(me);
}

static void a_bad_name_in_a_list_does_no_harm(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_PROGRAM);
	peers_start(world, 2, has_one_bad_master, NULL);
	peers_finish(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_name_is_looked_up_at_each_attempt, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(a_bad_name_in_a_list_does_no_harm, peers_open, peers_close),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
