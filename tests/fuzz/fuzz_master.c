/*
 * The master's machine among peers that say anything: bytes are a sequence of events, three or more bytes each. No
 * assertion may fail, nothing is sent to who is not there, views told on one connection grow, and all memory returns.
 */
#include "membership/master/master.h"

#include "base/time.h"
#include "messages.h"

#define CONNECTIONS 8
#define MS PCCL_MS_NS
#define ACTIONS_MAX 20000

struct desk {
	struct pccl_master *master;
	uint64_t now_ns;
	uint64_t next;
	uint64_t connections[CONNECTIONS]; /* 0: none */
	uint32_t epochs[CONNECTIONS];	   /* of the last INSTALL */
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static uint32_t place_of(const struct desk *desk, uint64_t connection)
{
	uint32_t place;

	for (place = 0; place < CONNECTIONS; place++) {
		if (connection != 0 && desk->connections[place] == connection)
			return place;
	}
	abort(); /* an action for nobody */
}

static void take_actions(struct desk *desk)
{
	struct pccl_master_action action;
	uint32_t count = 0;

	while (pccl_master_poll(desk->master, &action)) {
		uint32_t place = place_of(desk, action.connection);

		if (++count > ACTIONS_MAX)
			abort();
		if (action.type == PCCL_MASTER_HANG_UP) {
			desk->connections[place] = 0;
			continue;
		}
		if (action.message->type == PCCL_MESSAGE_INSTALL) {
			if (action.message->body.install.view.epoch <= desk->epochs[place] ||
			    !pccl_view_valid(&action.message->body.install.view))
				abort();
			desk->epochs[place] = action.message->body.install.view.epoch;
		}
		pccl_message_destroy(action.message);
	}
}

static void step(struct desk *desk, struct pccl_master_event *event)
{
	event->now_ns = desk->now_ns;
	pccl_master_step(desk->master, event);
	take_actions(desk);
}

static void accept_one(struct desk *desk, uint32_t place)
{
	struct pccl_master_event event = {.type = PCCL_MASTER_ACCEPTED, .text = "192.0.2.1"};

	if (desk->connections[place] != 0)
		return;
	desk->connections[place] = ++desk->next;
	desk->epochs[place] = 0;
	event.connection = desk->connections[place];
	step(desk, &event);
}

static void close_one(struct desk *desk, uint32_t place)
{
	struct pccl_master_event event = {.type = PCCL_MASTER_CLOSED, .text = "closed"};

	event.connection = desk->connections[place];
	desk->connections[place] = 0;
	if (event.connection != 0)
		step(desk, &event);
}

static void pass(struct desk *desk, uint32_t amount)
{
	struct pccl_master_event event = {.type = PCCL_MASTER_TICK};
	uint64_t deadline_ns = pccl_master_deadline(desk->master);

	if (amount < 128 && deadline_ns != UINT64_MAX && deadline_ns > desk->now_ns)
		desk->now_ns = deadline_ns;
	else
		desk->now_ns += amount * 20 * MS;
	step(desk, &event);
}

static void one_event(struct desk *desk, struct fuzz_bytes *bytes)
{
	struct pccl_master_event event = {.type = PCCL_MASTER_MESSAGE};
	uint8_t what = fuzz_byte(bytes);
	uint32_t place = what % CONNECTIONS;

	switch (what / CONNECTIONS % 8) {
	case 0:
		close_one(desk, place);
		break;
	case 1:
		pass(desk, fuzz_byte(bytes));
		break;
	default:
		accept_one(desk, place);
		event.connection = desk->connections[place];
		event.message = fuzz_message(bytes);
		if (event.message != NULL)
			step(desk, &event);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pccl_master_config config = {.heartbeat_interval_ns = 500 * MS,
					    .heartbeat_timeout_ns = 3000 * MS,
					    .complaint_window_ns = 100 * MS,
					    .return_grace_ns = 2000 * MS};
	struct fuzz_bytes bytes = {data, data + size};
	struct desk desk;

	memset(&desk, 0, sizeof(desk));
	desk.now_ns = 1000 * MS;
	config.uuid.data[0] = 3;
	if (pccl_master_create(&config, &desk.master) != pcclSuccess)
		abort();
	while (bytes.at < bytes.end)
		one_event(&desk, &bytes);
	pccl_master_destroy(desk.master);
	return 0;
}
