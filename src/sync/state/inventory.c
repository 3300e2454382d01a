/* See inventory.h. */
#include "sync/state/inventory.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/fail.h"
#include "base/memory.h"
#include "collectives/element/dtype.h"

#define NAME_BYTES_MAX 65535u
#define KEY_BYTES (2 + 1 + 1 + 8) /* and the name */
#define NAME_SHOWN 100

/* ---- order ------------------------------ */

/* What tensors are sorted by. Names in memory are far apart and begin alike, so most comparisons are of `head`: the
 * eight bytes behind what all names begin with, the first one the highest, zeros behind the name's end. */
struct place {
	uint64_t head;
	const char *rest; /* of the name, behind the head; NULL: it has ended */
	uint32_t position;
	bool loose;
};

static int compare_rest(const struct place *left, const struct place *right)
{
	if (left->head != right->head)
		return left->head < right->head ? -1 : 1;
	if (left->rest == NULL || right->rest == NULL) /* both */
		return 0;
	return strcmp(left->rest, right->rest);
}

static int by_kind_and_name(const void *left, const void *right)
{
	const struct place *first = left, *second = right;

	if (first->loose != second->loose)
		return first->loose ? 1 : -1;
	return compare_rest(first, second);
}

static size_t common_bytes(const char *left, const char *right, size_t most)
{
	size_t bytes = 0;

	while (bytes < most && left[bytes] == right[bytes] && left[bytes] != '\0')
		bytes++;
	return bytes;
}

static void set_name(struct place *place, const char *name)
{
	uint32_t shift = 64;

	place->head = 0;
	place->rest = NULL;
	for (; shift > 0 && *name != '\0'; name++) {
		shift -= 8;
		place->head |= (uint64_t)(uint8_t)*name << shift;
	}
	if (shift == 0)
		place->rest = name;
}

/* Programs list them in the order of their names often enough. */
static void sort_places(struct place *places, size_t count)
{
	size_t index;

	for (index = 1; index < count; index++)
		if (by_kind_and_name(&places[index - 1], &places[index]) > 0)
			break;
	if (index < count)
		qsort(places, count, sizeof(*places), by_kind_and_name);
}

/* Also of one that may differ and one that may not: both kinds are in order, and are gone through as if merged. */
static const struct place *find_twin(const struct place *places, size_t count)
{
	size_t strict = 0, loose;
	size_t strict_end;

	for (loose = 1; loose < count; loose++)
		if (by_kind_and_name(&places[loose - 1], &places[loose]) == 0)
			return &places[loose];
	for (loose = 0; loose < count && !places[loose].loose; loose++)
		continue;
	strict_end = loose;
	while (strict < strict_end && loose < count) {
		int order = compare_rest(&places[strict], &places[loose]);

		if (order == 0)
			return &places[loose];
		if (order < 0)
			strict++;
		else
			loose++;
	}
	return NULL;
}

static pcclResult_t check_tensor(const pcclTensorInfo_t *info, size_t index)
{
	uint64_t element_bytes = pccl_dtype_bytes(info->datatype);

	if (strlen(info->name) > NAME_BYTES_MAX)
		return pccl_fail(pcclInvalidArgument, "the name of tensor %zu has more than %u bytes", index,
				 NAME_BYTES_MAX);
	if (info->count > INT64_MAX / element_bytes)
		return pccl_fail(pcclInvalidArgument, "tensor '%.100s' can't have %zu elements", info->name,
				 info->count);
	return pcclSuccess;
}

static pcclResult_t order_tensors(const pcclSharedState_t *state, struct place *places)
{
	size_t common = state->count > 0 ? strlen(state->infos[0].name) : 0, index;
	const struct place *twin;

	for (index = 0; index < state->count; index++) {
		pcclResult_t result = check_tensor(&state->infos[index], index);

		if (result != pcclSuccess)
			return result;
		common = common_bytes(state->infos[0].name, state->infos[index].name, common);
	}
	for (index = 0; index < state->count; index++) {
		set_name(&places[index], state->infos[index].name + common);
		places[index].position = (uint32_t)index;
		places[index].loose = state->infos[index].allow_content_inequality;
	}
	sort_places(places, state->count);
	twin = find_twin(places, state->count);
	if (twin == NULL)
		return pcclSuccess;
	return pccl_fail(pcclInvalidArgument, "two tensors have the name '%.100s'", state->infos[twin->position].name);
}

static void take_tensor(struct pccl_inventory_tensor *tensor, const pcclTensorInfo_t *info, uint32_t position)
{
	tensor->name = info->name;
	tensor->data = tensor->origin = info->data;
	tensor->device = info->device_type;
	tensor->position = position;
	tensor->count = info->count;
	tensor->bytes = info->count * pccl_dtype_bytes(info->datatype);
	tensor->type = info->datatype;
	tensor->loose = info->allow_content_inequality;
}

static pcclResult_t list_tensors(struct pccl_inventory *inventory, const pcclSharedState_t *state)
{
	struct place *places = pccl_calloc(state->count, sizeof(*places));
	pcclResult_t result = pcclOutOfMemory;
	size_t index;

	if (places != NULL)
		result = order_tensors(state, places);
	for (index = 0; result == pcclSuccess && index < state->count; index++)
		take_tensor(&inventory->tensors[index], &state->infos[places[index].position], places[index].position);
	inventory->tensor_count = state->count;
	pccl_free(places);
	return result;
}

static pcclResult_t count_chunks(struct pccl_inventory *inventory)
{
	uint64_t chunks = 0;
	size_t index;

	for (index = 0; index < inventory->tensor_count; index++) {
		struct pccl_inventory_tensor *tensor = &inventory->tensors[index];

		tensor->first_chunk = (uint32_t)chunks;
		chunks += pccl_chunk_count(tensor->bytes);
		inventory->bytes += tensor->bytes;
		if (chunks >= UINT32_MAX)
			return pccl_fail(pcclInvalidArgument, "the state is too large: 2^32 chunks of %zu bytes",
					 PCCL_CHUNK_BYTES);
		if (!tensor->loose)
			inventory->strict_chunks = (uint32_t)chunks;
	}
	inventory->chunk_count = (uint32_t)chunks;
	inventory->leaves = pccl_calloc(chunks, sizeof(*inventory->leaves));
	return inventory->leaves != NULL ? pcclSuccess : pcclOutOfMemory;
}

static pcclResult_t write_keys(struct pccl_inventory *inventory)
{
	struct pccl_writer writer;
	size_t bytes = 0, index;

	for (index = 0; index < inventory->tensor_count; index++)
		bytes += KEY_BYTES + strlen(inventory->tensors[index].name);
	inventory->keys = pccl_alloc(bytes);
	if (inventory->keys == NULL)
		return pcclOutOfMemory;
	inventory->keys_bytes = bytes;
	writer = pccl_writer_over(inventory->keys, bytes);
	for (index = 0; index < inventory->tensor_count; index++) {
		const struct pccl_inventory_tensor *tensor = &inventory->tensors[index];

		pccl_put_string(&writer, tensor->name);
		pccl_put_u8(&writer, (uint8_t)tensor->type);
		pccl_put_u8(&writer, tensor->loose);
		pccl_put_u64(&writer, tensor->count);
	}
	assert(!writer.overflow && pccl_writer_left(&writer) == 0);
	return pcclSuccess;
}

/* ---- life ------------------------------ */

pcclResult_t pccl_inventory_create(const pcclSharedState_t *state, struct pccl_inventory **inventory_out)
{
	struct pccl_inventory *inventory = pccl_zalloc(sizeof(*inventory));
	pcclResult_t result = pcclOutOfMemory;

	*inventory_out = NULL;
	if (inventory == NULL)
		return pcclOutOfMemory;
	if (state->count >= UINT32_MAX) {
		pccl_free(inventory);
		return pccl_fail(pcclInvalidArgument, "a state of %zu tensors: at most 2^32 - 1", state->count);
	}
	inventory->tensors = pccl_calloc(state->count, sizeof(*inventory->tensors));
	if (inventory->tensors != NULL)
		result = list_tensors(inventory, state);
	if (result == pcclSuccess)
		result = count_chunks(inventory);
	if (result == pcclSuccess)
		result = write_keys(inventory);
	if (result != pcclSuccess) {
		pccl_inventory_destroy(inventory);
		return result;
	}
	*inventory_out = inventory;
	return pcclSuccess;
}

void pccl_inventory_destroy(struct pccl_inventory *inventory)
{
	if (inventory == NULL)
		return;
	pccl_free(inventory->tensors);
	pccl_free(inventory->leaves);
	pccl_free(inventory->keys);
	pccl_free(inventory);
}

/* ---- chunks ------------------------------ */

/* The last tensor that begins at the chunk or before: those that begin at the same are empty but for it. */
static const struct pccl_inventory_tensor *tensor_of(const struct pccl_inventory *inventory, uint32_t chunk)
{
	size_t low = 0, high = inventory->tensor_count;

	assert(chunk < inventory->chunk_count);
	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;

		if (inventory->tensors[middle].first_chunk <= chunk)
			low = middle;
		else
			high = middle;
	}
	return &inventory->tensors[low];
}

uint8_t *pccl_inventory_place(const struct pccl_inventory *inventory, uint32_t chunk, size_t *bytes_out)
{
	const struct pccl_inventory_tensor *tensor = tensor_of(inventory, chunk);
	uint32_t within = chunk - tensor->first_chunk;

	*bytes_out = pccl_chunk_length(tensor->bytes, within);
	assert(*bytes_out > 0);
	return tensor->data + (uint64_t)within * PCCL_CHUNK_BYTES;
}

pcclDataType_t pccl_inventory_type(const struct pccl_inventory *inventory, uint32_t chunk)
{
	return tensor_of(inventory, chunk)->type;
}

void pccl_inventory_digest_chunk(struct pccl_inventory *inventory, uint32_t chunk)
{
	size_t bytes;
	const uint8_t *place = pccl_inventory_place(inventory, chunk, &bytes);

	inventory->leaves[chunk] = pccl_digest_by(inventory->digest_kind, place, bytes);
}

struct pccl_digest pccl_inventory_keys_root(const struct pccl_inventory *inventory)
{
	return pccl_digest_by(inventory->digest_kind, inventory->keys, inventory->keys_bytes);
}

struct pccl_digest pccl_inventory_content_root(const struct pccl_inventory *inventory)
{
	return pccl_digest_root(inventory->digest_kind, inventory->leaves, inventory->strict_chunks);
}

struct pccl_digest pccl_inventory_loose_root(const struct pccl_inventory *inventory)
{
	return pccl_digest_root(inventory->digest_kind, inventory->leaves + inventory->strict_chunks,
				inventory->chunk_count - inventory->strict_chunks);
}

/* ---- what differs ------------------------------ */

struct key {
	const char *name; /* not terminated */
	size_t name_bytes;
	uint8_t type;
	uint8_t loose;
	uint64_t count;
};

static bool read_key(struct pccl_reader *reader, struct key *key_out)
{
	key_out->name_bytes = pccl_get_u16(reader);
	if (reader->bad || key_out->name_bytes > pccl_reader_left(reader))
		return false;
	key_out->name = (const char *)reader->at;
	reader->at += key_out->name_bytes;
	key_out->type = pccl_get_u8(reader);
	key_out->loose = pccl_get_u8(reader);
	key_out->count = pccl_get_u64(reader);
	return !reader->bad && pccl_dtype_valid(key_out->type) && key_out->loose <= 1 &&
	       memchr(key_out->name, '\0', key_out->name_bytes) == NULL;
}

static int compare_names(const char *own, const struct key *key)
{
	size_t own_bytes = strlen(own);
	size_t common = own_bytes < key->name_bytes ? own_bytes : key->name_bytes;
	int order = memcmp(own, key->name, common);

	if (order != 0)
		return order;
	return (own_bytes > key->name_bytes) - (own_bytes < key->name_bytes);
}

static int compare_place(const struct pccl_inventory_tensor *tensor, const struct key *key)
{
	if (tensor->loose != (key->loose == 1))
		return tensor->loose ? 1 : -1;
	return compare_names(tensor->name, key);
}

static int shown_bytes(const struct key *key)
{
	return key->name_bytes < NAME_SHOWN ? (int)key->name_bytes : NAME_SHOWN;
}

static void tell_flag(const struct key *key, char *text, size_t text_bytes)
{
	(void)snprintf(text, text_bytes, "allow_content_inequality of tensor '%.*s' is %s in the group, and %s here",
		       shown_bytes(key), key->name, key->loose ? "true" : "false", key->loose ? "false" : "true");
}

/* The group has a tensor at a place where this peer has another, or none. */
static void tell_missing(const struct pccl_inventory *inventory, const struct key *key, char *text, size_t text_bytes)
{
	size_t index;

	for (index = 0; index < inventory->tensor_count; index++) {
		if (compare_names(inventory->tensors[index].name, key) != 0)
			continue;
		tell_flag(key, text, text_bytes);
		return;
	}
	(void)snprintf(text, text_bytes, "the group's state has a tensor '%.*s', and this peer has none of that name",
		       shown_bytes(key), key->name);
}

/* The other way round: what the group has may stand among what may differ. */
static void tell_surplus(const struct pccl_inventory_tensor *tensor, struct pccl_reader reader, char *text,
			 size_t text_bytes)
{
	struct key key;

	while (pccl_reader_left(&reader) > 0 && read_key(&reader, &key)) {
		if (compare_names(tensor->name, &key) != 0)
			continue;
		tell_flag(&key, text, text_bytes);
		return;
	}
	(void)snprintf(text, text_bytes, "the group's state has no tensor '%.*s', as this peer has", NAME_SHOWN,
		       tensor->name);
}

static void tell_shape(const struct pccl_inventory_tensor *tensor, const struct key *key, char *text, size_t text_bytes)
{
	(void)snprintf(text, text_bytes,
		       "tensor '%.*s' has %" PRIu64 " elements of %s in the group's state, and %" PRIu64 " of %s here",
		       NAME_SHOWN, tensor->name, key->count, pccl_dtype_name((pcclDataType_t)key->type), tensor->count,
		       pccl_dtype_name(tensor->type));
}

void pccl_inventory_compare(const struct pccl_inventory *inventory, const uint8_t *keys, size_t keys_bytes, char *text,
			    size_t text_bytes)
{
	struct pccl_reader reader = pccl_reader_over(keys, keys_bytes);
	const struct pccl_inventory_tensor *tensor = inventory->tensors;
	const struct pccl_inventory_tensor *end = inventory->tensors + inventory->tensor_count;
	struct key key;

	for (; pccl_reader_left(&reader) > 0; tensor++) {
		int order;

		if (!read_key(&reader, &key)) {
			(void)snprintf(text, text_bytes, "the list of tensors that another peer sent is damaged");
			return;
		}
		order = tensor == end ? 1 : compare_place(tensor, &key);
		if (order > 0) {
			tell_missing(inventory, &key, text, text_bytes);
			return;
		}
		if (order < 0)
			break;
		if (tensor->count != key.count || tensor->type != (pcclDataType_t)key.type) {
			tell_shape(tensor, &key, text, text_bytes);
			return;
		}
	}
	if (tensor < end)
		tell_surplus(tensor, pccl_reader_over(keys, keys_bytes), text, text_bytes);
	else
		(void)snprintf(text, text_bytes, "the tensors are the same as the group's");
}
