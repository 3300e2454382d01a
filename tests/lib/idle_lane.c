#include "lib/idle_lane.h"

#include <string.h>

#include "base/memory.h"
#include "lib/check.h"

pcclRankUuid_t idle_lane_uuid(uint32_t who)
{
	pcclRankUuid_t uuid = {{0}};

	memcpy(uuid.data, &who, sizeof(who));
	return uuid;
}

uint32_t idle_lane_link_number(const struct idle_lane_links *links, const struct pccl_lane_link *link)
{
	return (uint32_t)((struct pccl_neighbour *const *)(const void *)link - links->neighbours);
}

struct pccl_command *idle_lane_command(enum pccl_command_type type, uint32_t first, uint32_t count)
{
	struct pccl_command *command = pccl_zalloc(sizeof(*command));
	uint32_t i;

	assert_non_null(command);
	command->type = type;
	command->lanes = command->view.streams = 1;
	command->ranks = command->view.member_count = count;
	command->view.members = pccl_calloc(count, sizeof(*command->view.members));
	assert_non_null(command->view.members);
	for (i = 0; i < count; i++) {
		command->view.members[i].uuid = idle_lane_uuid(first + i);
		command->view.members[i].lanes = 1;
	}
	return command;
}

struct pccl_plan *idle_lane_launch(struct pccl_lane *lane, uint32_t ranks, void *cookie, uint64_t now_ns)
{
	struct pccl_command command = {.type = PCCL_COMMAND_LAUNCH};
	struct pccl_exec_launch *what = &command.launch;
	struct pccl_plan *plan;

	pccl_geometry_cut(PCCL_BARRIER, ranks, 0, sizeof(float), 64, &what->geometry);
	assert_int_equal(pccl_plan_create(PCCL_BARRIER, pcclPlanDirect, ranks, 0, 0, &what->geometry, &plan),
			 pcclSuccess);
	what->signature.kind = PCCL_BARRIER;
	what->signature.algorithm = pcclPlanDirect;
	what->plan = plan;
	what->cookie = cookie;
	pccl_lane_command(lane, &command, now_ns);
	return plan;
}

/* ---- the table ------------------------------ */

static pcclResult_t open_link(void *context, struct pccl_neighbour *neighbour, const struct pccl_member *member,
			      bool dials, struct pccl_lane_link **link_out)
{
	struct idle_lane_links *links = context;

	(void)member;
	(void)dials;
	assert_true(links->count < IDLE_LANE_LINKS_MAX);
	links->neighbours[links->count] = neighbour;
	*link_out = (struct pccl_lane_link *)&links->neighbours[links->count++];
	return pcclSuccess;
}

static void forget(struct pccl_lane_link *link, const void *cookie,
		   bool (*belongs)(const void *cookie, const struct pccl_frame *frame))
{
	(void)link;
	(void)cookie;
	(void)belongs;
}

static bool is_up(const struct pccl_lane_link *link)
{
	(void)link;
	return true;
}

static void ignore_link(struct pccl_lane_link *link)
{
	(void)link;
}

static bool no(const struct pccl_lane_link *link)
{
	(void)link;
	return false;
}

static void heard(const struct pccl_lane_link *link, struct pccl_heard *heard_out)
{
	const struct pccl_heard nothing = {0};

	(void)link;
	*heard_out = nothing;
}

static void renew(struct pccl_lane_link *link, uint64_t deadline_ns)
{
	(void)link;
	(void)deadline_ns;
}

static void adopt(struct pccl_lane_link *link, struct pccl_lane_guest *guest)
{
	(void)link;
	(void)guest;
}

static void turn_away(void *context, struct pccl_lane_guest *guest, const char *why)
{
	(void)context;
	(void)guest;
	(void)why;
}

static void outcome(void *context, const struct pccl_exec_outcome *what)
{
	(void)context;
	(void)what;
}

static void unpin(void *context, struct pccl_attempt *attempt)
{
	(void)context;
	(void)attempt;
}

static void frozen(void *context, const struct pccl_exec *exec)
{
	(void)context;
	(void)exec;
}

static void missed(void *context, const struct pccl_op_key *key)
{
	(void)context;
	(void)key;
}

static void expired(void *context, const struct pccl_op_key *key, const char *text)
{
	(void)context;
	(void)key;
	(void)text;
}

static void complain(void *context, const pcclRankUuid_t *member, const char *reason)
{
	(void)context;
	(void)member;
	(void)reason;
}

static void retract(void *context, const pcclRankUuid_t *member)
{
	(void)context;
	(void)member;
}

static void met(void *context, const pcclRankUuid_t *uuid, uint32_t number, const char *why_not)
{
	(void)context;
	(void)uuid;
	(void)number;
	(void)why_not;
}

static void broken(void *context, const pcclRankUuid_t *member, bool is_broken)
{
	(void)context;
	(void)member;
	(void)is_broken;
}

static void linked(void *context, uint32_t epoch)
{
	(void)context;
	(void)epoch;
}

static void busy(void *context, bool is_busy)
{
	(void)context;
	(void)is_busy;
}

static void give_up(void *context, pcclResult_t result)
{
	(void)context;
	(void)result;
	fail();
}

const struct pccl_lane_calls idle_lane_calls = {open_link, ignore_link, ignore_link, forget,  ignore_link, is_up,
						no,	   heard,	renew,	     adopt,   turn_away,   outcome,
						unpin,	   frozen,	missed,	     expired, complain,	   retract,
						met,	   broken,	linked,	     busy,    give_up};
