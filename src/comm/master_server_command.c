/* What a master's operator asks for: the line is read in the thread that asks, and carried out in the one that serves,
 * which the first one waits for. */
#include "comm/master_server_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "base/hex.h"
#include "base/memory.h"
#include "base/text.h"

#define BANS_MAX 1024u
#define LINE_BYTES 512

/* A command on its way. */
struct order {
	pcclMasterInstance_t *instance;
	struct pccl_task task;
	struct pccl_command command;
	/* the answer, under the lock */
	bool has_ended;
	pcclResult_t result;
	char words[PCCL_FAIL_TEXT_BYTES]; /* why it failed */
	char *text;			  /* lines with their ends; owned */
	size_t bytes;
	size_t room;
};

/* ---- the answer ---------------------------------------------------------------------------------------------- */

/* A line. */
static void answer(struct order *order, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void answer(struct order *order, const char *format, ...)
{
	char line[LINE_BYTES];
	size_t bytes, room = 2 * order->room + LINE_BYTES;
	va_list arguments;
	char *text;

	va_start(arguments, format);
	pccl_text_vformat(line, sizeof(line), format, arguments);
	va_end(arguments);
	bytes = strlen(line);
	if (order->room - order->bytes < bytes + 2) {
		text = pccl_realloc(order->text, room);
		if (text == NULL) {
			order->result = pccl_fail(pcclOutOfMemory, "the master is out of memory");
			return;
		}
		order->text = text;
		order->room = room;
	}
	memcpy(order->text + order->bytes, line, bytes);
	memcpy(order->text + order->bytes + bytes, "\n", 2);
	order->bytes += bytes + 1;
}

/* ---- who is here --------------------------------------------------------------------------------------------- */

struct guest {
	struct pccl_master_entry entry;
	struct pccl_master_client *client;
};

struct guests {
	struct guest *list; /* owned */
	size_t count;
	size_t room;
	struct pccl_master_client *next; /* clients are in the machine's order, those who came last first */
};

static void take_guest(void *context, const struct pccl_master_entry *entry)
{
	struct guests *guests = context;

	while (guests->next != NULL && guests->next->id > entry->connection)
		guests->next = guests->next->next;
	if (guests->next == NULL || guests->next->id != entry->connection || guests->count == guests->room)
		return;
	guests->list[guests->count].entry = *entry;
	guests->list[guests->count++].client = guests->next;
}

static int compare_guests(const void *left_memory, const void *right_memory)
{
	const struct pccl_master_entry *left = &((const struct guest *)left_memory)->entry;
	const struct pccl_master_entry *right = &((const struct guest *)right_memory)->entry;

	if (left->group != right->group)
		return left->group < right->group ? -1 : 1;
	if (left->place != right->place)
		return left->place < right->place ? -1 : 1;
	if (left->rank != right->rank)
		return left->rank < right->rank ? -1 : 1;
	return left->connection < right->connection ? -1 : left->connection > right->connection;
}

/* By group, members by rank, then the others in the order in which they came. */
static pcclResult_t find_guests(pcclMasterInstance_t *instance, struct guests *guests)
{
	const struct pccl_master_client *client;

	memset(guests, 0, sizeof(*guests));
	for (client = instance->clients; client != NULL; client = client->next)
		guests->room++;
	guests->list = pccl_calloc(guests->room + 1, sizeof(*guests->list));
	if (guests->list == NULL)
		return pccl_fail(pcclOutOfMemory, "the master is out of memory");
	guests->next = instance->clients;
	pccl_master_list(instance->master, take_guest, guests);
	qsort(guests->list, guests->count, sizeof(*guests->list), compare_guests);
	return pcclSuccess;
}

static void list_guest(struct order *order, const struct guest *guest)
{
	static const char *const places[] = {"member", "returned", "waiting"};
	const struct pccl_master_entry *entry = &guest->entry;
	const struct pccl_visitor *visitor = &guest->client->visitor;
	char uuid[PCCL_UUID_TEXT_BYTES], key[PCCL_KEY_TEXT_BYTES], seat[48] = "";

	pccl_hex_write(entry->uuid.data, sizeof(entry->uuid.data), uuid);
	pccl_key_text(&visitor->key, key);
	if (entry->place == PCCL_PLACE_MEMBER)
		(void)snprintf(seat, sizeof(seat), " epoch %u rank %u", entry->epoch, entry->rank);
	answer(order, "%s group %u%s uuid %s at %s%s%s%s%s", places[entry->place], entry->group, seat, uuid,
	       entry->remote, visitor->has_proven ? " key " : "", visitor->has_proven ? key : "",
	       visitor->bond.name[0] != '\0' ? " name " : "", visitor->bond.name);
}

/* Until something is wrong. */
static void for_guests(struct order *order, void (*act)(struct order *order, const struct guest *guest))
{
	struct guests guests;
	size_t i;

	order->result = find_guests(order->instance, &guests);
	for (i = 0; i < guests.count && order->result == pcclSuccess; i++)
		act(order, &guests.list[i]);
	pccl_free(guests.list);
}

static void list(struct order *order)
{
	for_guests(order, list_guest);
}

/* ---- who goes ------------------------------------------------------------------------------------------------ */

/* Nothing, if it has gone with another one, or is somebody else. */
static void evict_guest(struct order *order, const struct guest *guest)
{
	const struct pccl_command *command = &order->command;
	uint64_t connection = guest->entry.connection;
	struct pccl_master_client *client = pccl_master_server_find(order->instance, connection);

	if (client == NULL || !pccl_subject_is(&command->subject, &guest->entry.uuid, &client->visitor))
		return;
	if (pccl_master_needs(order->instance->master, connection)) {
		order->result = pccl_fail(pcclInvalidUsage,
					  "who is at %s is needed: with several masters, those who stay have to be a "
					  "majority; try again when there are more, or end its process",
					  guest->entry.remote);
		return;
	}
	list_guest(order, guest);
	(void)pccl_fail(pcclEvicted, "the operator of its master has %s this peer%s%s",
			command->verb == PCCL_VERB_BAN ? "banned" : "evicted", command->because[0] != '\0' ? ": " : "",
			command->because);
	pccl_master_server_turn_away(client);
}

/* All whom it is about, until one of them is needed. */
static void evict(struct order *order)
{
	for_guests(order, evict_guest);
}

static void evict_only(struct order *order)
{
	char whom[PCCL_SUBJECT_TEXT_BYTES];

	evict(order);
	pccl_subject_text(&order->command.subject, whom);
	if (order->result == pcclSuccess && order->bytes == 0)
		order->result = pccl_fail(pcclInvalidArgument, "nobody here is %s", whom);
}

/* ---- who may not come back ----------------------------------------------------------------------------------- */

/* The banned one's place, or that behind the last. */
static uint32_t find_ban(const pcclMasterInstance_t *instance, const struct pccl_subject *subject)
{
	uint32_t i;

	for (i = 0; i < instance->banned_count; i++)
		if (pccl_subject_equal(&instance->banned[i], subject))
			break;
	return i;
}

static pcclResult_t add_ban(pcclMasterInstance_t *instance, const struct pccl_subject *subject)
{
	struct pccl_subject *banned;

	if (!pccl_wires_are_protected(instance->wires))
		return pccl_fail(pcclInvalidUsage, "the master has no join secret and no certificates: on plain "
						   "connections nobody can prove who it is, so nobody can be banned");
	if (find_ban(instance, subject) < instance->banned_count)
		return pcclSuccess;
	if (instance->banned_count == BANS_MAX)
		return pccl_fail(pcclInvalidUsage, "%u are banned already: give the master a list of who may join",
				 BANS_MAX);
	banned = pccl_realloc(instance->banned, (instance->banned_count + 1) * sizeof(*banned));
	if (banned == NULL)
		return pccl_fail(pcclOutOfMemory, "the master is out of memory");
	banned[instance->banned_count++] = *subject;
	instance->banned = banned;
	return pcclSuccess;
}

pcclResult_t pccl_master_server_check_ban(const struct pccl_master_client *client, const pcclRankUuid_t *uuid)
{
	const pcclMasterInstance_t *instance = client->instance;
	uint32_t i;

	for (i = 0; i < instance->banned_count; i++)
		if (pccl_subject_is(&instance->banned[i], uuid, &client->visitor))
			return pccl_fail(pcclMasterConnectionFailed, "the operator of its master has banned this peer");
	return pcclSuccess;
}

static void ban(struct order *order)
{
	order->result = add_ban(order->instance, &order->command.subject);
	if (order->result == pcclSuccess)
		evict(order);
}

static void unban(struct order *order)
{
	pcclMasterInstance_t *instance = order->instance;
	uint32_t i = find_ban(instance, &order->command.subject);
	char whom[PCCL_SUBJECT_TEXT_BYTES];

	if (i < instance->banned_count) {
		instance->banned[i] = instance->banned[--instance->banned_count];
		return;
	}
	pccl_subject_text(&order->command.subject, whom);
	order->result = pccl_fail(pcclInvalidArgument, "%s is not banned", whom);
}

static void list_bans(struct order *order)
{
	char whom[PCCL_SUBJECT_TEXT_BYTES];
	uint32_t i;

	for (i = 0; i < order->instance->banned_count; i++) {
		pccl_subject_text(&order->instance->banned[i], whom);
		answer(order, "%s", whom);
	}
}

/* ---- from thread to thread ----------------------------------------------------------------------------------- */

static void carry_out(struct pccl_task *task)
{
	static void (*const verbs[])(struct order * order) = {[PCCL_VERB_LIST] = list,
							      [PCCL_VERB_BANS] = list_bans,
							      [PCCL_VERB_EVICT] = evict_only,
							      [PCCL_VERB_BAN] = ban,
							      [PCCL_VERB_UNBAN] = unban};
	struct order *order = task->context;
	pcclMasterInstance_t *instance = order->instance;

	verbs[order->command.verb](order);
	pthread_mutex_lock(&instance->lock);
	pccl_text_copy(order->words, sizeof(order->words), pccl_fail_text());
	order->has_ended = true; /* and is gone, once the lock is free */
	pthread_cond_broadcast(&instance->answered);
	pthread_mutex_unlock(&instance->lock);
}

static pcclResult_t await_answer(pcclMasterInstance_t *instance, struct order *order)
{
	pthread_mutex_lock(&instance->lock);
	if (!instance->ran || instance->interrupted) {
		pthread_mutex_unlock(&instance->lock);
		return pccl_fail(pcclInvalidUsage, "the master does not run");
	}
	/* Whoever stops the loop needs the lock for it, and what was posted before is run. */
	pccl_loop_post(instance->loop, &order->task);
	while (!order->has_ended)
		pthread_cond_wait(&instance->answered, &instance->lock);
	pthread_mutex_unlock(&instance->lock);
	return order->result == pcclSuccess ? pcclSuccess : pccl_fail(order->result, "%s", order->words);
}

/* A line at a time. */
static void hand_out(char *text, pcclLineCallback_t take, void *context)
{
	while (text != NULL && *text != '\0') {
		char *end = strchr(text, '\n');

		*end = '\0';
		take(text, context);
		text = end + 1;
	}
}

pcclResult_t pccl_master_server_command(pcclMasterInstance_t *instance, const char *line, pcclLineCallback_t take,
					void *context)
{
	struct order order = {.instance = instance, .task = {.run = carry_out}, .result = pcclSuccess};
	pcclResult_t result = pccl_command_parse(line, &order.command);

	order.task.context = &order;
	if (result == pcclSuccess)
		result = await_answer(instance, &order);
	if (take != NULL)
		hand_out(order.text, take, context);
	pccl_free(order.text);
	return result;
}
