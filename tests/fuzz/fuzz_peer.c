/*
 * A peer's machine under a master that says anything: bytes are a sequence of events. No assertion may fail; views grow
 * and contain the peer; it is not frozen twice; a joint call ends once; nothing happens after the end; all memory
 * returns.
 */
#include "membership/peer/peer.h"

#include "base/time.h"
#include "base/uuid.h"
#include "messages.h"

#define MS PCCL_MS_NS
#define ACTIONS_MAX 5000

struct desk {
	struct pccl_peer *peer;
	pcclRankUuid_t uuid;
	uint64_t now_ns;
	uint32_t epoch;
	bool frozen;
	bool freezing;
	bool voting;
	bool ended;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void check(bool good)
{
	if (!good)
		abort();
}

static void take_install(struct desk *desk, const struct pccl_install *install)
{
	uint32_t rank;

	check(install->view.epoch > desk->epoch && pccl_view_rank(&install->view, &desk->uuid, &rank));
	check(desk->epoch == 0 || desk->frozen);
	desk->epoch = install->view.epoch;
	desk->frozen = false;
}

static void take_actions(struct desk *desk)
{
	struct pccl_peer_action action;
	uint32_t count = 0;

	while (pccl_peer_poll(desk->peer, &action)) {
		check(++count < ACTIONS_MAX && !desk->ended);
		switch (action.type) {
		case PCCL_PEER_SEND:
		case PCCL_PEER_MEET:
			pccl_message_destroy(action.message);
			break;
		case PCCL_PEER_FREEZE:
			check(!desk->frozen && !desk->freezing && desk->epoch > 0);
			desk->freezing = true;
			break;
		case PCCL_PEER_INSTALL:
			take_install(desk, action.install);
			break;
		case PCCL_PEER_VOTED:
			check(desk->voting);
			desk->voting = false;
			break;
		case PCCL_PEER_ENDED:
			desk->ended = true;
			break;
		default:
			break;
		}
	}
}

static void step(struct desk *desk, struct pccl_peer_event *event)
{
	event->now_ns = desk->now_ns;
	pccl_peer_step(desk->peer, event);
	take_actions(desk);
}

static void frozen(struct desk *desk)
{
	struct pccl_peer_event event = {.type = PCCL_PEER_FROZEN};

	if (!desk->freezing)
		return;
	desk->freezing = false;
	desk->frozen = true;
	event.report_count = 1;
	event.reports = fuzz_list(1, sizeof(*event.reports));
	event.reports[0].segment_count = 3;
	event.reports[0].held = fuzz_list(1, sizeof(*event.reports[0].held));
	step(desk, &event);
}

static void vote(struct desk *desk, uint8_t what)
{
	struct pccl_peer_event event = {.type = PCCL_PEER_VOTE};

	if (desk->voting || desk->epoch == 0)
		return;
	event.vote = (enum pccl_vote)(1 + what % 3);
	desk->voting = true;
	step(desk, &event);
}

static void pass(struct desk *desk, uint8_t amount)
{
	struct pccl_peer_event event = {.type = PCCL_PEER_TICK};
	uint64_t deadline_ns = pccl_peer_deadline(desk->peer);

	if (amount < 128 && deadline_ns != PCCL_NEVER && deadline_ns > desk->now_ns)
		desk->now_ns = deadline_ns;
	else
		desk->now_ns += amount * 20 * MS;
	step(desk, &event);
}

static void one_event(struct desk *desk, struct fuzz_bytes *bytes)
{
	static const enum pccl_peer_event_type of_links[] = {PCCL_PEER_LINK_HEARD, PCCL_PEER_LINK_BROKEN,
							     PCCL_PEER_LINK_MENDED, PCCL_PEER_MET};
	struct pccl_peer_event event = {.type = PCCL_PEER_MESSAGE, .text = "broken"};
	uint8_t what = fuzz_byte(bytes);

	switch (what % 16) {
	case 0:
		event.type = PCCL_PEER_CLOSED;
		break;
	case 1:
		event.type = what < 128 ? PCCL_PEER_LINK_LOST : of_links[what / 16 % 4];
		event.uuid = fuzz_uuid(bytes);
		break;
	case 2:
		event.type = PCCL_PEER_EXPIRED;
		break;
	case 3:
		event.type = what > 200 ? PCCL_PEER_LEAVE : PCCL_PEER_DIALLED;
		break;
	case 4:
	case 5:
		event.type = PCCL_PEER_DIALLED;
		break;
	case 6:
		vote(desk, what / 16);
		return;
	case 7:
		pass(desk, fuzz_byte(bytes));
		return;
	case 8:
	case 9:
		frozen(desk);
		return;
	default:
		event.message = fuzz_message(bytes);
		if (event.message == NULL)
			return;
		break;
	}
	step(desk, &event);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_bytes bytes = {data, data + size};
	struct pccl_peer_event join = {.type = PCCL_PEER_JOIN};
	struct pccl_peer_config config = {.heartbeat_interval_ns = 500 * MS,
					  .heartbeat_timeout_ns = 3000 * MS,
					  .connect_timeout_ns = 10000 * MS,
					  .admission_timeout_ns = 60000 * MS};
	struct desk desk;

	memset(&desk, 0, sizeof(desk));
	desk.now_ns = 1000 * MS;
	desk.uuid = fuzz_peer(1);
	config.self.uuid = desk.uuid;
	config.master_count = 1 + fuzz_below(&bytes, 3);
	if (pccl_peer_create(&config, &desk.peer) != pcclSuccess)
		abort();
	step(&desk, &join);
	while (bytes.at < bytes.end && !desk.ended)
		one_event(&desk, &bytes);
	(void)pccl_peer_state(desk.peer);
	pccl_peer_destroy(desk.peer);
	return 0;
}
