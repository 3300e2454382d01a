/* The ops: by key, by cookie, by age, and, for each rank, which of them have something for it. All grows with what is
 * launched here, at launch only. A place tells the age, lower is older; when places run out those that live move down.
 * What an acknowledgement names, a handle, stays. */
#include <assert.h>
#include <string.h>

#include "base/bitmap.h"
#include "base/memory.h"
#include "collectives/exec/exec_internal.h"

/* ---- sets of ops: a word for 64 places, and above them a bit for each word that is not 0 ---- */

static uint32_t summary_words(uint32_t room)
{
	return (room / 64 + 63) / 64;
}

static uint32_t lot_words(uint32_t room)
{
	return summary_words(room) + room / 64;
}

static uint64_t *lot_at(const struct pccl_exec *exec, uint32_t rank, enum lot lot)
{
	return exec->table.lots + ((size_t)rank * LOTS + lot) * exec->table.lot_words;
}

void lot_set(struct pccl_exec *exec, uint32_t rank, enum lot lot, const struct op *op, bool value)
{
	uint64_t *summary = lot_at(exec, rank, lot), *words = summary + exec->table.summary;
	const uint64_t bit = UINT64_C(1) << op->place % 64;
	uint32_t word = op->place / 64;

	if (value) {
		words[word] |= bit;
		pccl_bitmap_set(summary, word);
		if (lot <= LOT_PARTIALS)
			pccl_bitmap_set(exec->ready, rank);
		return;
	}
	if ((words[word] & bit) == 0)
		return;
	words[word] &= ~bit;
	if (words[word] == 0)
		pccl_bitmap_clear(summary, word);
}

bool lots_any(const struct pccl_exec *exec, uint32_t rank)
{
	const uint64_t *summary = lot_at(exec, rank, LOT_CONTROL);
	uint32_t index;
	uint64_t any = 0;

	for (index = 0; index < exec->table.summary; index++)
		any |= summary[index] | summary[index + exec->table.lot_words] |
		       summary[index + 2 * exec->table.lot_words];
	return any != 0;
}

struct op *lot_oldest(const struct pccl_exec *exec, uint32_t rank, enum lot lot)
{
	const uint64_t *summary = lot_at(exec, rank, lot), *words = summary + exec->table.summary;
	uint32_t index = 0, word;
	struct op *op;

	while (index < exec->table.summary && summary[index] == 0)
		index++;
	if (index == exec->table.summary)
		return NULL;
	word = index * 64 + (uint32_t)__builtin_ctzll(summary[index]);
	op = exec->table.places[word * 64 + (uint32_t)__builtin_ctzll(words[word])];
	assert(op != NULL);
	return op;
}

/* ---- room -------------------------------------------------------------------------------------------------------- */

static void move_down(struct pccl_exec *exec, struct op *op, uint32_t place)
{
	uint32_t rank, from = op->place;
	int lot;

	for (rank = 0; rank < exec->ranks; rank++) {
		for (lot = 0; lot < LOTS; lot++) {
			uint64_t *words = lot_at(exec, rank, (enum lot)lot) + exec->table.summary;

			op->place = from;
			if (!pccl_bitmap_test(words, from))
				continue;
			lot_set(exec, rank, (enum lot)lot, op, false);
			op->place = place;
			lot_set(exec, rank, (enum lot)lot, op, true);
		}
	}
	op->place = place;
	exec->table.places[from] = NULL;
	exec->table.places[place] = op;
}

static void squeeze(struct pccl_exec *exec)
{
	struct table *table = &exec->table;
	uint32_t place, next = 0;

	for (place = 0; place < table->next; place++) {
		struct op *op = table->places[place];

		if (op == NULL)
			continue;
		if (next < place)
			move_down(exec, op, next);
		next++;
	}
	table->next = next;
}

static struct op **key_bucket(const struct table *table, const struct pccl_op_key *key)
{
	return &table->by_key[pccl_rng_hash(key->tag, key->sequence) & (table->room - 1)];
}

static struct op **cookie_bucket(const struct table *table, const void *cookie)
{
	return &table->by_cookie[pccl_rng_hash((uint64_t)(uintptr_t)cookie, 0) & (table->room - 1)];
}

static void chain(struct table *to, struct op *op, bool by_key, bool by_cookie)
{
	struct op **bucket;

	if (by_key) {
		bucket = key_bucket(to, &op->launch.key);
		op->next_of_key = *bucket;
		*bucket = op;
	}
	if (by_cookie) {
		bucket = cookie_bucket(to, op->launch.cookie);
		op->next_of_cookie = *bucket;
		*bucket = op;
	}
}

static void chain_again(const struct table *from, struct table *to)
{
	struct op *op, *next;
	uint32_t bucket;

	for (bucket = 0; bucket < from->room; bucket++) {
		for (op = from->by_key[bucket]; op != NULL; op = next) {
			next = op->next_of_key;
			chain(to, op, true, false);
		}
		for (op = from->by_cookie[bucket]; op != NULL; op = next) {
			next = op->next_of_cookie;
			chain(to, op, false, true);
		}
	}
}

static void copy_lots(const struct table *from, struct table *to, uint32_t ranks)
{
	uint32_t set, sets = from->lots == NULL ? 0 : ranks * LOTS;

	for (set = 0; set < sets; set++) {
		const uint64_t *old = from->lots + (size_t)set * lot_words(from->room);
		uint64_t *new = to->lots + (size_t)set *lot_words(to->room);

		memcpy(new, old, summary_words(from->room) * sizeof(*old));
		memcpy(new + summary_words(to->room), old + summary_words(from->room), from->room / 64 * sizeof(*old));
	}
}

static void free_table(struct table *table)
{
	pccl_free(table->places);
	pccl_free(table->by_key);
	pccl_free(table->by_cookie);
	pccl_free(table->handles);
	pccl_free(table->ended);
	pccl_free(table->lots);
	pccl_free(table->partings);
}

static void copy_partings(const struct pccl_exec *exec, struct table *to)
{
	const struct table *from = &exec->table;
	uint32_t rank, index;

	for (rank = 0; rank < exec->ranks; rank++) {
		const struct member *member = &exec->members[rank];

		for (index = member->parting_first; index - member->parting_first < member->parting_count; index++)
			to->partings[(size_t)rank * to->room + index % to->room] =
				from->partings[(size_t)rank * from->room + index % from->room];
	}
}

/* As large as before or larger; what is in the old one stays. */
static pcclResult_t make_table(struct pccl_exec *exec, uint32_t room)
{
	const struct table *old = &exec->table;
	struct table table = *old;

	table.room = room;
	table.summary = summary_words(room);
	table.lot_words = lot_words(room);
	table.places = pccl_calloc(room, sizeof(*table.places));
	table.by_key = pccl_calloc(room, sizeof(*table.by_key));
	table.by_cookie = pccl_calloc(room, sizeof(*table.by_cookie));
	table.handles = pccl_calloc(room, sizeof(*table.handles));
	table.ended = pccl_calloc((size_t)ENDED_WAYS * ended_sets(room), sizeof(*table.ended));
	table.lots = pccl_calloc((size_t)exec->ranks * LOTS * lot_words(room), sizeof(*table.lots));
	table.partings = pccl_calloc((size_t)exec->ranks * room, sizeof(*table.partings));
	if (table.partings == NULL || table.places == NULL || table.by_key == NULL || table.by_cookie == NULL ||
	    table.handles == NULL || table.ended == NULL || table.lots == NULL) {
		free_table(&table);
		return pcclOutOfMemory;
	}
	if (old->room > 0) {
		memcpy(table.places, old->places, old->room * sizeof(*table.places));
		memcpy(table.handles, old->handles, old->room * sizeof(*table.handles));
		chain_again(old, &table);
		copy_lots(old, &table, exec->ranks);
		copy_partings(exec, &table);
		ended_copy(old, &table);
	} else {
		table.handle_free = NONE;
	}
	free_table(&exec->table);
	exec->table = table;
	return pcclSuccess;
}

pcclResult_t table_install(struct pccl_exec *exec)
{
	struct table *table = &exec->table;
	struct pccl_op_key *partings;
	uint64_t *lots;

	if (table->room == 0)
		return make_table(exec, PLACES_MIN);
	lots = pccl_calloc((size_t)exec->ranks * LOTS * lot_words(table->room), sizeof(*lots));
	partings = pccl_calloc((size_t)exec->ranks * table->room, sizeof(*partings));
	if (lots == NULL || partings == NULL) {
		pccl_free(lots);
		pccl_free(partings);
		return pcclOutOfMemory;
	}
	pccl_free(table->lots);
	pccl_free(table->partings);
	table->lots = lots;
	table->partings = partings;
	memset(table->ended, 0, (size_t)ENDED_WAYS * ended_sets(table->room) * sizeof(*table->ended));
	return pcclSuccess;
}

void table_destroy(struct pccl_exec *exec)
{
	free_table(&exec->table);
	memset(&exec->table, 0, sizeof(exec->table));
}

void parting_add(struct pccl_exec *exec, uint32_t rank, const struct pccl_op_key *key)
{
	struct member *member = &exec->members[rank];
	uint32_t room = exec->table.room;

	assert(member->parting_count < room);
	exec->table.partings[(size_t)rank * room + (member->parting_first + member->parting_count++) % room] = *key;
	pccl_bitmap_set(exec->ready, rank);
}

struct pccl_op_key parting_take(struct pccl_exec *exec, uint32_t rank)
{
	struct member *member = &exec->members[rank];
	uint32_t room = exec->table.room;

	assert(member->parting_count > 0);
	member->parting_count--;
	return exec->table.partings[(size_t)rank * room + member->parting_first++ % room];
}

/* ---- ops come and go --------------------------------------------------------------------------------------------- */

pcclResult_t table_reserve(struct pccl_exec *exec)
{
	const struct table *table = &exec->table;

	if (table->next < table->room)
		return pcclSuccess;
	if (table->count > table->room / 2 && make_table(exec, 2 * table->room) != pcclSuccess)
		return pcclOutOfMemory;
	squeeze(exec);
	return pcclSuccess;
}

void table_add(struct pccl_exec *exec, struct op *op)
{
	struct table *table = &exec->table;

	chain(table, op, op->takes_place, true);
	if (!op->takes_place)
		return;
	op->place = table->next++;
	table->places[op->place] = op;
	table->count++;
	op->handle = table->handle_free;
	if (op->handle == NONE)
		op->handle = table->handles_made++;
	else
		table->handle_free = table->handles[op->handle].next;
	assert(op->handle < table->room);
	table->handles[op->handle].op = op;
}

static void unchain_key(const struct table *table, const struct op *op)
{
	struct op **link = key_bucket(table, &op->launch.key);

	while (*link != op)
		link = &(*link)->next_of_key;
	*link = op->next_of_key;
}

void table_forget_key(struct pccl_exec *exec, const struct op *op)
{
	unchain_key(&exec->table, op);
}

void table_forget_cookie(struct pccl_exec *exec, const struct op *op)
{
	struct op **link = cookie_bucket(&exec->table, op->launch.cookie);

	while (*link != op)
		link = &(*link)->next_of_cookie;
	*link = op->next_of_cookie;
}

void table_remove(struct pccl_exec *exec, const struct op *op)
{
	struct table *table = &exec->table;
	struct handle *handle = &table->handles[op->handle];

	assert(table->places[op->place] == op && handle->op == op);
	table->places[op->place] = NULL;
	table->count--;
	if (table->count == 0)
		table->next = 0;
	handle->op = NULL;
	handle->generation++;
	handle->next = table->handle_free;
	table->handle_free = op->handle;
}

struct op *op_find(const struct pccl_exec *exec, uint64_t tag, uint32_t sequence)
{
	const struct pccl_op_key key = {tag, sequence};
	struct op *op = *key_bucket(&exec->table, &key);

	while (op != NULL && (op->launch.key.tag != tag || op->launch.key.sequence != sequence))
		op = op->next_of_key;
	return op;
}

struct op *op_find_cookie(const struct pccl_exec *exec, const void *cookie)
{
	struct op *op = exec->table.room == 0 ? NULL : *cookie_bucket(&exec->table, cookie);

	while (op != NULL && op->launch.cookie != cookie)
		op = op->next_of_cookie;
	return op;
}
