/* Which card here goes with which place there. */
#include <string.h>

#include "lib/check.h"
#include "transport/link/ways.h"

static struct {
	struct pccl_card cards[PCCL_CARDS_MAX];
	uint32_t card_count;
	struct pccl_place places[PCCL_DIALLER_PLACES_MAX];
	struct pccl_departure departures[PCCL_DIALLER_PLACES_MAX];
	uint32_t place_count;
	struct pccl_way ways[PCCL_DIALLER_PLACES_MAX];
	uint32_t way_count;
} desk;

static void clear(void)
{
	memset(&desk, 0, sizeof(desk));
}

static void add_address(uint32_t card, const char *text, uint8_t bits)
{
	struct pccl_card *to = &desk.cards[card];
	struct pccl_card_address *address = &to->addresses[to->address_count++];

	assert_int_equal(pccl_address_numeric(text, 0, &address->address), pcclSuccess);
	address->network_bits = bits;
	if (desk.card_count <= card)
		desk.card_count = card + 1;
}

/* By no route of a card's. */
static struct pccl_departure *add_place(const char *text)
{
	struct pccl_departure *departure = &desk.departures[desk.place_count];

	assert_int_equal(pccl_address_numeric(text, 4000, &desk.places[desk.place_count++].address), pcclSuccess);
	departure->card = PCCL_CARDS_MAX;
	return departure;
}

static void add_routed(const char *text, uint32_t card, const char *from)
{
	struct pccl_departure *departure = add_place(text);

	departure->card = card;
	assert_int_equal(pccl_address_numeric(from, 0, &departure->from), pcclSuccess);
}

static void find(void)
{
	desk.way_count =
		pccl_ways_find(desk.cards, desk.card_count, desk.places, desk.departures, desk.place_count, desk.ways);
}

static void expect_way(uint32_t index, uint32_t card, uint32_t place, const char *from)
{
	char text[PCCL_ADDRESS_BYTES];

	assert_true(index < desk.way_count);
	assert_int_equal(desk.ways[index].card, card);
	assert_int_equal(desk.ways[index].place, place);
	pccl_address_text(&desk.ways[index].from, text);
	assert_string_equal(text, from);
}

static void two_in_the_same_networks(void)
{
	clear();
	add_address(0, "10.1.0.1", 16);
	add_address(1, "10.2.0.1", 16);
}

static void cards_go_with_places_in_their_networks(void **state)
{
	(void)state;
	two_in_the_same_networks();
	add_routed("10.1.0.2", 0, "10.1.0.1");
	add_routed("10.2.0.2", 1, "10.2.0.1");
	find();
	assert_int_equal(desk.way_count, 2);
	expect_way(0, 0, 0, "10.1.0.1");
	expect_way(1, 1, 1, "10.2.0.1");
}

static void order_of_the_other_side_does_not_matter(void **state)
{
	(void)state;
	two_in_the_same_networks();
	add_place("203.0.113.7"); /* nowhere near, and by a card that carries nothing */
	add_place("10.2.0.2");
	add_place("172.17.0.1");
	add_place("10.1.0.2");
	find();
	assert_int_equal(desk.way_count, 2);
	assert_int_equal(desk.ways[0].card + desk.ways[1].card, 1);
	assert_int_equal(desk.ways[0].place, desk.ways[0].card == 0 ? 3 : 1);
	assert_int_equal(desk.ways[1].place, desk.ways[1].card == 0 ? 3 : 1);
}

static void cards_of_one_network_are_paired_by_number(void **state)
{
	(void)state;
	clear();
	add_address(0, "10.1.0.1", 16);
	add_address(1, "10.1.0.2", 16);
	add_routed("10.1.0.3", 0, "10.1.0.1");
	add_routed("10.1.0.4", 0, "10.1.0.1");
	find();
	assert_int_equal(desk.way_count, 2);
	expect_way(0, 0, 0, "10.1.0.1");
	expect_way(1, 1, 1, "10.1.0.2");
}

static void each_card_of_a_network_carries_something_where_there_are_fewer_on_the_other_side(void **state)
{
	(void)state;
	clear();
	add_address(0, "10.1.0.1", 16);
	add_address(1, "10.1.0.2", 16);
	add_place("10.1.0.3");
	find();
	assert_int_equal(desk.way_count, 2);
	expect_way(0, 0, 0, "10.1.0.1");
	expect_way(1, 1, 0, "10.1.0.2");
	clear();
	add_address(0, "10.1.0.1", 16);
	add_place("10.1.0.3");
	add_place("10.1.0.4");
	find();
	assert_int_equal(desk.way_count, 2);
	expect_way(0, 0, 0, "10.1.0.1");
	expect_way(1, 0, 1, "10.1.0.1");
}

static void what_is_behind_a_router_gets_one_way(void **state)
{
	(void)state;
	two_in_the_same_networks();
	add_routed("203.0.113.7", 0, "10.1.0.1");
	add_routed("192.168.0.7", 0, "10.1.0.1"); /* its own network's; it means nothing here */
	find();
	assert_int_equal(desk.way_count, 1);
	expect_way(0, 0, 0, "10.1.0.1");
}

static void routes_of_several_cards_are_several_ways(void **state)
{
	(void)state;
	two_in_the_same_networks();
	add_routed("10.101.0.2", 0, "10.1.0.1");
	add_routed("10.102.0.2", 1, "10.2.0.1");
	find();
	assert_int_equal(desk.way_count, 2);
	expect_way(0, 0, 0, "10.1.0.1");
	expect_way(1, 1, 1, "10.2.0.1");
}

static void families_are_not_mixed(void **state)
{
	(void)state;
	two_in_the_same_networks();
	add_address(0, "fd01::1", 64);
	add_address(1, "fd02::1", 64);
	add_place("fd01::2");
	add_place("fd02::2");
	add_place("10.1.0.2");
	add_place("10.2.0.2");
	find();
	assert_int_equal(desk.way_count, 2);
	expect_way(0, 0, 2, "10.1.0.1");
	expect_way(1, 1, 3, "10.2.0.1");
	desk.place_count = 3; /* IPv4 in one network only */
	find();
	assert_int_equal(desk.way_count, 2);
	expect_way(0, 0, 0, "fd01::1");
	expect_way(1, 1, 1, "fd02::1");
}

static void this_host_is_no_way(void **state)
{
	(void)state;
	two_in_the_same_networks();
	add_place("10.1.0.1")->is_here = true;
	add_place("10.2.0.1")->is_here = true;
	find();
	assert_int_equal(desk.way_count, 0);
	desk.place_count = 0;
	find();
	assert_int_equal(desk.way_count, 0);
}

static void networks_end_anywhere_in_a_byte(void **state)
{
	struct pccl_card_address card;
	struct pccl_address place;

	(void)state;
	assert_int_equal(pccl_address_numeric("10.1.15.1", 0, &card.address), pcclSuccess);
	assert_int_equal(pccl_address_numeric("10.1.16.1", 9, &place), pcclSuccess);
	card.network_bits = 20;
	assert_false(pccl_ways_on_one_network(&card, &place));
	card.network_bits = 19;
	assert_true(pccl_ways_on_one_network(&card, &place));
	card.network_bits = 32;
	assert_false(pccl_ways_on_one_network(&card, &place));
	assert_true(pccl_ways_on_one_network(&card, &card.address));
	card.network_bits = 33;
	assert_false(pccl_ways_on_one_network(&card, &card.address));
	card.network_bits = 0;
	assert_true(pccl_ways_on_one_network(&card, &place));
	assert_int_equal(pccl_address_numeric("fd01::1", 9, &place), pcclSuccess);
	assert_false(pccl_ways_on_one_network(&card, &place));
}

static void who_is_on_this_host_is_reached_by_no_way(void **state)
{
	(void)state;
	two_in_the_same_networks();
	add_place("10.1.0.1")->is_here = true;
	add_routed("203.0.113.7", 0, "10.1.0.1"); /* of the translator */
	find();
	assert_int_equal(desk.way_count, 0);
	two_in_the_same_networks();
	add_place("127.0.0.1")->is_here = true; /* of the other side's own host: the master is there */
	add_routed("10.1.0.2", 0, "10.1.0.1");
	add_routed("10.2.0.2", 1, "10.2.0.1");
	find();
	assert_int_equal(desk.way_count, 2);
}

/* The system's choice changes every day. */
static void temporary_addresses_are_not_called_from(void **state)
{
	(void)state;
	clear();
	add_address(0, "fd01::1", 64);
	add_address(1, "fd02::1", 64);
	add_routed("fd01::2", 0, "fd01::1234");
	add_routed("2001:db8::2", 1, "fd02::1234");
	find();
	assert_int_equal(desk.way_count, 2);
	expect_way(0, 0, 0, "fd01::1");
	assert_int_equal(desk.ways[1].from.bytes, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cards_go_with_places_in_their_networks),
		cmocka_unit_test(order_of_the_other_side_does_not_matter),
		cmocka_unit_test(cards_of_one_network_are_paired_by_number),
		cmocka_unit_test(each_card_of_a_network_carries_something_where_there_are_fewer_on_the_other_side),
		cmocka_unit_test(what_is_behind_a_router_gets_one_way),
		cmocka_unit_test(routes_of_several_cards_are_several_ways),
		cmocka_unit_test(families_are_not_mixed),
		cmocka_unit_test(this_host_is_no_way),
		cmocka_unit_test(who_is_on_this_host_is_reached_by_no_way),
		cmocka_unit_test(temporary_addresses_are_not_called_from),
		cmocka_unit_test(networks_end_anywhere_in_a_byte),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
