#include "sync/state/inventory.h"

#include <string.h>

#include "base/fail.h"
#include "base/rng.h"
#include "lib/allocations.h"
#include "lib/check.h"

static uint8_t bytes[4][3u << 20];

static pcclTensorInfo_t tensor(const char *name, uint32_t place, size_t count, pcclDataType_t type, bool loose)
{
	pcclTensorInfo_t info = {.name = name,
				 .data = bytes[place],
				 .count = count,
				 .datatype = type,
				 .allow_content_inequality = loose};

	return info;
}

static struct pccl_inventory *inventory_of(pcclTensorInfo_t *infos, size_t count)
{
	const pcclSharedState_t state = {.count = count, .infos = infos};
	struct pccl_inventory *inventory;
	uint32_t chunk;

	assert_int_equal(pccl_inventory_create(&state, &inventory), pcclSuccess);
	for (chunk = 0; chunk < inventory->chunk_count; chunk++)
		pccl_inventory_digest_chunk(inventory, chunk);
	return inventory;
}

/* What has to be equal first, each by name; numbers of chunks go through; an empty tensor has none. */
static void chunks_are_counted_through_the_tensors_by_name(void **state)
{
	pcclTensorInfo_t infos[] = {tensor("c", 0, (2u << 20) + 1, pcclUint8, false),
				    tensor("a", 1, 5, pcclDouble, true), tensor("b", 2, 0, pcclFloat, false),
				    tensor("ab", 3, 1u << 18, pcclFloat, false)};
	struct pccl_inventory *inventory = inventory_of(infos, 4);
	static const char *const names[] = {"ab", "b", "c", "a"};
	static const uint32_t first[] = {0, 1, 1, 4}, position[] = {3, 2, 0, 1};
	size_t length, index;

	(void)state;
	assert_int_equal(inventory->tensor_count, 4);
	for (index = 0; index < 4; index++) {
		assert_string_equal(inventory->tensors[index].name, names[index]);
		assert_int_equal(inventory->tensors[index].first_chunk, first[index]);
		assert_int_equal(inventory->tensors[index].position, position[index]);
	}
	assert_int_equal(inventory->strict_chunks, 4);
	assert_int_equal(inventory->chunk_count, 5);
	assert_int_equal(inventory->bytes, (2u << 20) + 1 + 40 + (1u << 20));
	assert_ptr_equal(pccl_inventory_place(inventory, 0, &length), bytes[3]);
	assert_int_equal(length, 1u << 20);
	assert_ptr_equal(pccl_inventory_place(inventory, 3, &length), bytes[0] + (2u << 20));
	assert_int_equal(length, 1);
	assert_ptr_equal(pccl_inventory_place(inventory, 4, &length), bytes[1]);
	assert_int_equal(length, 40);
	pccl_inventory_destroy(inventory);
}

/* Wherever its tensors lie, and in whatever order they are told. */
static void roots_tell_of_names_and_bytes_only(void **state)
{
	pcclTensorInfo_t here[] = {tensor("x", 0, 100, pcclUint8, false), tensor("y", 1, 100, pcclUint8, true)};
	pcclTensorInfo_t there[] = {tensor("y", 3, 100, pcclUint8, true), tensor("x", 2, 100, pcclUint8, false)};
	struct pccl_inventory *one, *other;
	struct pccl_digest roots[2][3];

	(void)state;
	memset(bytes, 3, sizeof(bytes));
	one = inventory_of(here, 2);
	other = inventory_of(there, 2);
	roots[0][0] = pccl_inventory_keys_root(one);
	roots[0][1] = pccl_inventory_content_root(one);
	roots[0][2] = pccl_inventory_loose_root(one);
	roots[1][0] = pccl_inventory_keys_root(other);
	roots[1][1] = pccl_inventory_content_root(other);
	roots[1][2] = pccl_inventory_loose_root(other);
	assert_memory_equal(roots[0], roots[1], sizeof(roots[0]));
	bytes[3][99] = 4;
	pccl_inventory_digest_chunk(other, 1);
	roots[1][1] = pccl_inventory_content_root(other);
	roots[1][2] = pccl_inventory_loose_root(other);
	assert_true(pccl_digest_equal(&roots[0][1], &roots[1][1]));
	assert_false(pccl_digest_equal(&roots[0][2], &roots[1][2]));
	pccl_inventory_destroy(one);
	pccl_inventory_destroy(other);
}

static void expect_difference(const struct pccl_inventory *own, pcclTensorInfo_t *infos, size_t count,
			      const char *words)
{
	struct pccl_inventory *theirs = inventory_of(infos, count);
	char text[200];

	pccl_inventory_compare(own, theirs->keys, theirs->keys_bytes, text, sizeof(text));
	if (strstr(text, words) == NULL)
		fail_msg("'%s' has no '%s'", text, words);
	pccl_inventory_destroy(theirs);
}

static void the_first_tensor_that_differs_is_named(void **state)
{
	pcclTensorInfo_t own[] = {tensor("a", 0, 10, pcclFloat, false), tensor("b", 1, 10, pcclFloat, false)};
	pcclTensorInfo_t same[] = {own[1], own[0]};
	pcclTensorInfo_t longer[] = {own[0], tensor("b", 1, 11, pcclFloat, false)};
	pcclTensorInfo_t typed[] = {tensor("a", 0, 10, pcclInt32, false), own[1]};
	pcclTensorInfo_t more[] = {own[0], own[1], tensor("c", 2, 1, pcclFloat, false)};
	pcclTensorInfo_t loose[] = {own[0], tensor("b", 1, 10, pcclFloat, true)};
	struct pccl_inventory *inventory = inventory_of(own, 2);
	char text[200];

	(void)state;
	expect_difference(inventory, same, 2, "the tensors are the same");
	expect_difference(inventory, longer, 2, "tensor 'b' has 11 elements");
	expect_difference(inventory, typed, 2, "tensor 'a' has 10 elements of int32");
	expect_difference(inventory, own, 1, "no tensor 'b', as this peer has");
	expect_difference(inventory, more, 3, "a tensor 'c', and this peer has none");
	expect_difference(inventory, loose, 2, "allow_content_inequality of tensor 'b' is true in the group");
	pccl_inventory_compare(inventory, inventory->keys, inventory->keys_bytes - 1, text, sizeof(text));
	assert_non_null(strstr(text, "damaged"));
	pccl_inventory_destroy(inventory);
}

static void a_name_may_stand_once(void **state)
{
	pcclTensorInfo_t infos[] = {tensor("a", 0, 10, pcclFloat, false), tensor("a", 1, 10, pcclFloat, true)};
	const pcclSharedState_t twice = {.count = 2, .infos = infos};
	struct pccl_inventory *inventory;

	(void)state;
	assert_int_equal(pccl_inventory_create(&twice, &inventory), pcclInvalidArgument);
	assert_non_null(strstr(pccl_fail_text(), "'a'"));
}

#define NAMES 12
#define NAME_BYTES 32

/* So few letters that names are beginnings of each other, have long ends in common, and come twice at times. */
static void draw_name(struct pccl_rng *rng, size_t common, char *name_out)
{
	size_t length = common + pccl_rng_below(rng, NAME_BYTES / 2 - 1), index;

	for (index = 0; index < length; index++)
		name_out[index] = index < common || pccl_rng_chance(rng, 5, 6) ? 'm' : "a\xff"[pccl_rng_below(rng, 2)];
	name_out[length] = '\0';
}

static bool has_twins(char names[NAMES][NAME_BYTES])
{
	size_t left, right;

	for (left = 0; left < NAMES; left++)
		for (right = 0; right < left; right++)
			if (strcmp(names[left], names[right]) == 0)
				return true;
	return false;
}

static bool is_before(const struct pccl_inventory_tensor *left, const struct pccl_inventory_tensor *right)
{
	return left->loose != right->loose ? right->loose : strcmp(left->name, right->name) < 0;
}

static void any_names_are_in_order_and_twins_are_found(void **state)
{
	char names[NAMES][NAME_BYTES];
	pcclTensorInfo_t infos[NAMES];
	const pcclSharedState_t named = {.count = NAMES, .infos = infos};
	struct pccl_inventory *inventory;
	uint32_t turn, twins = 0;
	struct pccl_rng rng;

	(void)state;
	pccl_rng_seed(&rng, 12);
	for (turn = 0; turn < 2000; turn++) {
		size_t common = pccl_rng_below(&rng, NAME_BYTES / 2), index;
		pcclResult_t result;

		for (index = 0; index < NAMES; index++) {
			draw_name(&rng, common, names[index]);
			infos[index] = tensor(names[index], 0, 1, pcclFloat, pccl_rng_chance(&rng, 1, 3));
		}
		result = pccl_inventory_create(&named, &inventory);
		assert_int_equal(result, has_twins(names) ? pcclInvalidArgument : pcclSuccess);
		twins += result != pcclSuccess;
		for (index = 1; result == pcclSuccess && index < NAMES; index++)
			assert_true(is_before(&inventory->tensors[index - 1], &inventory->tensors[index]));
		pccl_inventory_destroy(inventory);
	}
	assert_in_range(twins, 100, 1900);
}

static void without_memory_there_is_none(void **state)
{
	pcclTensorInfo_t infos[] = {tensor("a", 0, 10, pcclFloat, false), tensor("b", 1, 10, pcclFloat, true)};
	const pcclSharedState_t two = {.count = 2, .infos = infos};
	struct pccl_inventory *inventory;
	size_t nth;

	(void)state;
	for (nth = 1;; nth++) {
		pcclResult_t result;

		check_fail_allocation(nth);
		result = pccl_inventory_create(&two, &inventory);
		if (!check_allocation_failed()) {
			check_fail_allocation(0);
			assert_int_equal(result, pcclSuccess);
			break;
		}
		assert_int_equal(result, pcclOutOfMemory);
	}
	assert_in_range(nth, 2, 10);
	pccl_inventory_destroy(inventory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chunks_are_counted_through_the_tensors_by_name),
		cmocka_unit_test(roots_tell_of_names_and_bytes_only),
		cmocka_unit_test(the_first_tensor_that_differs_is_named),
		cmocka_unit_test(a_name_may_stand_once),
		cmocka_unit_test(any_names_are_in_order_and_twins_are_found),
		cmocka_unit_test(without_memory_there_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
