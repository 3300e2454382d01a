/* Frames that come before their op is launched here, or before there is room for them, and the memory of ops that have
 * ended, so that what comes late for them is told from what comes early. All of it is bounded per rank. */
#include <assert.h>
#include <string.h>

#include "base/fail.h"
#include "base/memory.h"
#include "collectives/exec/exec_internal.h"

#define STORED_BYTES ALIGN_BYTES /* in front of each payload, so that that is aligned */

enum pccl_frame_verdict reject(uint32_t rank, const struct pccl_frame *frame, const char *what)
{
	pccl_fail(pcclRankConnectionLost, "rank %u broke the protocol: %s (frame type %u of tag %llu, segment %u)",
		  rank, what, frame->type, (unsigned long long)frame->tag, frame->segment);
	return PCCL_FRAME_REJECT;
}

/* ---- regions ----------------------------------------------------------------------------------------------------- */

uint32_t eager_cost(uint32_t payload_bytes)
{
	return STORED_BYTES + (payload_bytes + ALIGN_BYTES - 1) / ALIGN_BYTES * ALIGN_BYTES;
}

static struct stored *stored_at(const struct region *region, uint32_t offset)
{
	return (struct stored *)(void *)(region->memory + offset);
}

void *stored_payload(struct stored *stored)
{
	return (uint8_t *)stored + STORED_BYTES;
}

struct stored *region_next(const struct region *region, const struct stored *after)
{
	uint32_t offset = 0;

	if (region == NULL)
		return NULL;
	if (after != NULL)
		offset = (uint32_t)((const uint8_t *)after - region->memory) + eager_cost(after->bytes);
	return offset < region->used_bytes ? stored_at(region, offset) : NULL;
}

struct stored *region_find(const struct region *region, const struct pccl_frame *frame, enum arrival arrival)
{
	struct stored *stored = NULL;

	while ((stored = region_next(region, stored)) != NULL)
		if (stored->arrival == arrival && stored->type == frame->type && stored->segment == frame->segment &&
		    stored->bytes == frame->payload_bytes)
			break;
	return stored;
}

bool region_has(const struct region *region, const struct pccl_frame *frame)
{
	struct stored *stored = NULL;

	while ((stored = region_next(region, stored)) != NULL)
		if (stored->arrival != NOT_HERE && stored->type == frame->type && stored->segment == frame->segment)
			return true;
	return false;
}

static struct region *region_take(struct pccl_exec *exec, uint32_t rank)
{
	struct region *region = exec->free_regions;

	if (region == NULL || exec->members[rank].region_count == REGIONS_MAX)
		return NULL;
	exec->free_regions = region->next;
	exec->members[rank].region_count++;
	region->used_bytes = 0;
	region->frames = 0;
	region->coming = 0;
	return region;
}

void region_free(struct pccl_exec *exec, uint32_t rank, struct region **region)
{
	struct region *old = *region;

	if (old == NULL)
		return;
	*region = NULL;
	old->next = exec->free_regions;
	exec->free_regions = old;
	exec->members[rank].region_count--;
}

void *region_store(struct pccl_exec *exec, uint32_t rank, struct region **region, const struct pccl_frame *frame,
		   struct stored **stored_out)
{
	struct stored *stored = region_find(*region, frame, NOT_HERE);
	uint32_t bytes = frame->payload_bytes;

	if (stored == NULL) {
		if (*region == NULL)
			*region = region_take(exec, rank);
		if (*region == NULL || (*region)->frames == PCCL_EXEC_EAGER_FRAMES || bytes > exec->eager_bytes ||
		    (*region)->used_bytes + eager_cost(bytes) > exec->eager_bytes)
			return NULL;
		stored = stored_at(*region, (*region)->used_bytes);
		(*region)->used_bytes += eager_cost(bytes);
		(*region)->frames++;
	}
	assert(*region != NULL);
	(*region)->coming++;
	stored->type = frame->type;
	stored->arrival = COMING;
	stored->segment = frame->segment;
	stored->bytes = bytes;
	*stored_out = stored;
	return stored_payload(stored);
}

/* ---- ops that are not launched here ------------------------------------------------------------------------------ */

static void early_forget(struct pccl_exec *exec)
{
	pccl_free(exec->early_pool);
	pccl_free(exec->early_buckets);
	pccl_free(exec->regions);
	pccl_free(exec->region_memory);
	exec->early_pool = NULL;
	exec->early_buckets = NULL;
	exec->regions = NULL;
	exec->region_memory = NULL;
	exec->free_regions = NULL;
	exec->pool_ranks = 0;
}

void early_destroy(struct pccl_exec *exec)
{
	early_forget(exec);
}

/* Memory that no frame comes to is never touched, and costs nothing but addresses. */
static pcclResult_t make_pools(struct pccl_exec *exec, uint32_t ranks, size_t region_count)
{
	early_forget(exec);
	exec->eager_bytes = pccl_exec_eager_bytes(ranks, exec->config.lanes);
	if (exec->config.eager_most > 0 && exec->config.eager_most < exec->eager_bytes)
		exec->eager_bytes = exec->config.eager_most;
	exec->announced_max = exec->config.announced_max;
	if (exec->announced_max == 0)
		exec->announced_max = pccl_exec_announced_max(ranks, exec->config.lanes);
	exec->early_room = exec->announced_max + EARLY_SPARE;
	exec->early_pool = pccl_alloc_aligned(ALIGN_BYTES, (size_t)ranks * exec->early_room * sizeof(struct early));
	exec->early_buckets = pccl_calloc(EARLY_BUCKETS, sizeof(*exec->early_buckets));
	exec->regions = pccl_calloc(region_count + 1, sizeof(struct region));
	exec->region_memory = pccl_alloc_aligned(ALIGN_BYTES, (region_count + 1) * exec->eager_bytes);
	if (exec->early_pool == NULL || exec->early_buckets == NULL || exec->regions == NULL ||
	    exec->region_memory == NULL)
		return pcclOutOfMemory;
	exec->pool_ranks = ranks;
	exec->pool_lanes = exec->config.lanes;
	return pcclSuccess;
}

pcclResult_t early_install(struct pccl_exec *exec, uint32_t ranks)
{
	size_t region_count = ranks == 1 ? 0 : (size_t)(ranks - 1) * PCCL_EXEC_EAGER_OPS + REGIONS_MAX;
	size_t index;
	bool fits = exec->pool_ranks == ranks && exec->pool_lanes == exec->config.lanes;

	if (!fits && make_pools(exec, ranks, region_count) != pcclSuccess)
		return pcclOutOfMemory;
	exec->free_regions = NULL;
	for (index = 0; index < ranks; index++) {
		exec->members[index].early = exec->early_pool + index * exec->early_room;
		exec->members[index].early_free = NONE;
	}
	for (index = 0; index < EARLY_BUCKETS; index++)
		exec->early_buckets[index] = NONE;
	for (index = region_count; index-- > 0;) {
		exec->regions[index].memory = exec->region_memory + index * exec->eager_bytes;
		exec->regions[index].next = exec->free_regions;
		exec->free_regions = &exec->regions[index];
	}
	return pcclSuccess;
}

/* All ops of a tag are in one bucket. */
static uint32_t *early_bucket(const struct pccl_exec *exec, uint32_t rank, uint64_t tag)
{
	return &exec->early_buckets[pccl_rng_hash(tag, rank) % EARLY_BUCKETS];
}

static struct early *early_at(const struct pccl_exec *exec, uint32_t index)
{
	return index == NONE ? NULL : &exec->early_pool[index];
}

void early_release(struct pccl_exec *exec, struct early *early)
{
	struct member *member = &exec->members[early->rank];
	uint32_t *link = early_bucket(exec, early->rank, early->key.tag);

	assert(early->used && early->region == NULL);
	while (early_at(exec, *link) != early)
		link = &exec->early_pool[*link].next;
	*link = early->next;
	early->used = false;
	early->next = member->early_free;
	member->early_free = (uint32_t)(early - exec->early_pool);
	member->early_count--;
}

static bool is_coming(const struct early *early)
{
	return early->start_arrival == COMING || (early->region != NULL && early->region->coming > 0);
}

/* Lets go of it when nothing is on its way into it. */
static bool early_drop(struct pccl_exec *exec, uint32_t rank, struct early *early)
{
	if (is_coming(early))
		return false;
	region_free(exec, rank, &early->region);
	early_release(exec, early);
	return true;
}

struct early *early_find(const struct pccl_exec *exec, uint32_t rank, const struct pccl_op_key *key)
{
	struct early *early;

	if (exec->members[rank].early_count == 0)
		return NULL;
	for (early = early_at(exec, *early_bucket(exec, rank, key->tag)); early != NULL;
	     early = early_at(exec, early->next))
		if (early->rank == rank && early->key.tag == key->tag && early->key.sequence == key->sequence &&
		    !early->adopted)
			return early;
	return NULL;
}

/* Makes room by forgetting the oldest op that its rank has given up. */
static void forget_refused(struct pccl_exec *exec, uint32_t rank)
{
	struct early *oldest = NULL;
	uint32_t index;

	for (index = 0; index < exec->members[rank].early_made; index++) {
		struct early *early = &exec->members[rank].early[index];

		if (early->used && !early->adopted && early->refused && !is_coming(early) &&
		    (oldest == NULL || early->age < oldest->age))
			oldest = early;
	}
	if (oldest != NULL)
		early_drop(exec, rank, oldest);
}

static struct early *take_entry(struct pccl_exec *exec, struct member *member)
{
	struct early *early = early_at(exec, member->early_free);

	if (early == NULL)
		return &member->early[member->early_made++];
	member->early_free = early->next;
	return early;
}

/* The entry of an op, made if there is none. NULL: the rank has announced more than it may. */
static struct early *early_take(struct pccl_exec *exec, uint32_t rank, const struct pccl_frame *frame)
{
	struct pccl_op_key key = {frame->tag, frame->sequence};
	struct member *member = &exec->members[rank];
	struct early *early = early_find(exec, rank, &key);
	uint32_t *bucket;

	if (early != NULL)
		return early;
	if (member->early_count == exec->early_room)
		forget_refused(exec, rank);
	if (member->early_count == exec->early_room)
		return NULL;
	early = take_entry(exec, member);
	memset(early, 0, sizeof(*early));
	bucket = early_bucket(exec, rank, key.tag);
	early->next = *bucket;
	*bucket = (uint32_t)(early - exec->early_pool);
	early->rank = rank;
	early->used = true;
	early->key = key;
	early->age = exec->clock++;
	member->early_count++;
	return early;
}

static enum pccl_frame_verdict keep_start(uint32_t rank, const struct pccl_frame *frame, struct early *early,
					  void **destination_out)
{
	if (early->start_arrival != NOT_HERE)
		return reject(rank, frame, "an op starts twice");
	early->start_arrival = COMING;
	early->start_credit = frame->aux;
	early->joint = frame->segment;
	*destination_out = early->start;
	return PCCL_FRAME_TAKE;
}

enum pccl_frame_verdict early_accept(struct pccl_exec *exec, uint32_t rank, const struct pccl_frame *frame,
				     void **destination_out)
{
	struct stored *stored;
	struct early *early;

	if (frame->type == PCCL_FRAME_CREDIT || frame->type == PCCL_FRAME_CHECK || frame->type == PCCL_FRAME_DONE)
		return PCCL_FRAME_DISCARD; /* nobody says so of an op that was never launched here */
	if (ended_before(exec, frame->tag, frame->sequence))
		return PCCL_FRAME_DISCARD;
	if (is_packed(frame))
		return reject(rank, frame, "compressed before there is room for the whole segment");
	early = early_take(exec, rank, frame);
	if (early == NULL)
		return reject(rank, frame, "too many operations are open");
	if (early->doomed)
		return PCCL_FRAME_DISCARD;
	if (frame->type == PCCL_FRAME_START)
		return keep_start(rank, frame, early, destination_out);
	if (frame->type == PCCL_FRAME_REFUSE)
		return PCCL_FRAME_TAKE;
	if (early->refused)
		return PCCL_FRAME_DISCARD;
	if (region_has(early->region, frame))
		return reject(rank, frame, "a segment comes twice");
	*destination_out = region_store(exec, rank, &early->region, frame, &stored);
	if (*destination_out == NULL)
		return reject(rank, frame, "more was sent than may be sent before there is credit");
	return PCCL_FRAME_TAKE;
}

static void frame_ended(struct pccl_exec *exec, uint32_t rank, const struct pccl_frame *frame, bool here)
{
	struct pccl_op_key key = {frame->tag, frame->sequence};
	struct early *early = early_find(exec, rank, &key);
	struct stored *stored;

	if (early == NULL)
		return;
	if (frame->type == PCCL_FRAME_START) {
		early->start_arrival = here ? HERE : NOT_HERE;
		exec->any_missed = exec->any_missed || early->joint < exec->joint;
	} else if (frame->type == PCCL_FRAME_REFUSE) {
		if (!early->refused) {
			early->refusal.reason = frame->flags;
			early->refusal.segment = frame->segment;
			early->refusal.element = frame->aux;
		}
		early->refused = early->refused || here;
	} else {
		stored = region_find(early->region, frame, COMING);
		if (stored == NULL)
			return;
		stored->arrival = here ? HERE : NOT_HERE;
		early->region->coming--;
	}
	if (early->refused && early->region != NULL && early->region->coming == 0)
		region_free(exec, rank, &early->region);
	if (early->doomed)
		early_drop(exec, rank, early);
}

void early_received(struct pccl_exec *exec, uint32_t rank, const struct pccl_frame *frame)
{
	frame_ended(exec, rank, frame, true);
}

void early_dropped(struct pccl_exec *exec, uint32_t rank, const struct pccl_frame *frame)
{
	frame_ended(exec, rank, frame, false);
}

static void count_adopted(struct op *op, const struct region *region)
{
	struct stored *stored = NULL;

	while ((stored = region_next(region, stored)) != NULL) {
		if (stored->arrival == HERE)
			op->rx_bytes += stored->bytes;
		else if (stored->arrival == COMING)
			op->receiving++;
	}
}

void early_adopt(struct pccl_exec *exec, struct op *op, uint32_t rank)
{
	struct early *early = early_find(exec, rank, &op->launch.key);
	struct peer *peer = &op->peers[rank];

	if (early == NULL)
		return;
	peer->refused = early->refused;
	peer->refusal = early->refusal;
	op->refused_count += early->refused && early->refusal.reason != PCCL_REFUSAL_HEARD;
	peer->start_credit = early->start_credit;
	peer->start_arrival = early->start_arrival;
	peer->region = early->region;
	early->region = NULL;
	count_adopted(op, peer->region);
	if (early->start_arrival == COMING) {
		early->adopted = true;
		peer->early = early;
		op->receiving++;
		return;
	}
	memcpy(peer->start, early->start, sizeof(peer->start));
	early_release(exec, early);
}

/* ---- ops that are missed ----------------------------------------------------------------------------------------- */

void pccl_exec_await_update(struct pccl_exec *exec, uint32_t joint)
{
	uint32_t rank, index;

	exec->joint = joint;
	exec->any_missed = true;
	for (rank = 0; rank < exec->ranks; rank++)
		for (index = 0; index < exec->members[rank].early_made; index++)
			exec->members[rank].early[index].missed = false;
}

/* One that its rank has given up keeps nobody waiting. */
static bool is_missed(const struct pccl_exec *exec, const struct early *early)
{
	return early->used && !early->adopted && !early->doomed && !early->refused && !early->missed &&
	       early->start_arrival == HERE && early->joint < exec->joint;
}

bool pccl_exec_missed(struct pccl_exec *exec, struct pccl_op_key *key_out)
{
	uint32_t rank, index;

	for (rank = 0; exec->any_missed && rank < exec->ranks; rank++) {
		for (index = 0; index < exec->members[rank].early_made; index++) {
			struct early *early = &exec->members[rank].early[index];

			if (!is_missed(exec, early))
				continue;
			early->missed = true;
			*key_out = early->key;
			return true;
		}
	}
	exec->any_missed = false;
	return false;
}

/* ---- ops that have ended ----------------------------------------------------------------------------------------- */

static bool not_after(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) <= 0;
}

void early_purge(struct pccl_exec *exec, uint64_t tag, uint32_t sequence)
{
	struct early *early, *next;
	uint32_t rank;

	for (rank = 0; rank < exec->ranks; rank++) {
		if (exec->members[rank].early_count == 0)
			continue;
		for (early = early_at(exec, *early_bucket(exec, rank, tag)); early != NULL; early = next) {
			next = early_at(exec, early->next);
			if (early->rank != rank || early->adopted || early->key.tag != tag ||
			    !not_after(early->key.sequence + 1, sequence))
				continue;
			early->doomed = true;
			early_drop(exec, rank, early);
		}
	}
}

/* A power of two. */
uint32_t ended_sets(uint32_t room)
{
	return 2 * room;
}

static struct ended *ended_set(const struct table *table, uint64_t tag)
{
	return table->ended + ENDED_WAYS * (pccl_rng_hash(tag, 0) & (ended_sets(table->room) - 1));
}

bool ended_before(const struct pccl_exec *exec, uint64_t tag, uint32_t sequence)
{
	const struct ended *set = ended_set(&exec->table, tag);
	uint32_t way;

	for (way = 0; way < ENDED_WAYS; way++)
		if (set[way].used && set[way].tag == tag)
			return not_after(sequence, set[way].sequence);
	return false;
}

/* The one of its tag in a set, else the one to be overwritten. */
static struct ended *ended_way(struct ended *set, uint64_t tag)
{
	struct ended *best = &set[0];
	uint32_t way;

	for (way = 0; way < ENDED_WAYS; way++) {
		if (set[way].used && set[way].tag == tag)
			return &set[way];
		if (!set[way].used || (best->used && set[way].age < best->age))
			best = &set[way];
	}
	return best;
}

void ended_copy(const struct table *from, struct table *to)
{
	size_t index;

	for (index = 0; index < (size_t)ENDED_WAYS * ended_sets(from->room); index++)
		if (from->ended[index].used)
			*ended_way(ended_set(to, from->ended[index].tag), from->ended[index].tag) = from->ended[index];
}

void ended_note(struct pccl_exec *exec, uint64_t tag, uint32_t sequence)
{
	struct ended *best = ended_way(ended_set(&exec->table, tag), tag);

	if (best->used && best->tag == tag && not_after(sequence, best->sequence))
		sequence = best->sequence;
	best->used = true;
	best->tag = tag;
	best->sequence = sequence;
	best->age = exec->clock++;
}
