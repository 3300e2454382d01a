/* Which cores a lane's thread is bound to, on machines of all kinds, and which are near an interface. */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "comm/bind.h"
#include "comm/cores.h"
#include "lib/check.h"
#include "lib/topology.h"

#define EVERYTHING "0-1023"

static void assert_set(hwloc_const_bitmap_t set, const char *list)
{
	char text[256];

	assert_true(hwloc_bitmap_list_snprintf(text, sizeof(text), set) < (int)sizeof(text));
	assert_string_equal(text, list);
}

/* What becomes of one lane; the set is empty unless it is bound. */
static void expect_among(hwloc_topology_t topology, const char *allowed, const char *near, uint32_t peers,
			 uint32_t lanes, uint32_t lane, enum pccl_bind bind, const char *set)
{
	hwloc_bitmap_t may = topology_set(allowed), close = topology_set(near), found = hwloc_bitmap_alloc();

	assert_non_null(found);
	assert_int_equal(hwloc_bitmap_and(may, may, hwloc_topology_get_topology_cpuset(topology)), 0);
	assert_int_equal(pccl_bind_choose(topology, may, close, peers, lanes, lane, found), bind);
	assert_true(hwloc_bitmap_isincluded(found, may));
	assert_set(found, set);
	hwloc_bitmap_free(found);
	hwloc_bitmap_free(close);
	hwloc_bitmap_free(may);
}

static void expect(hwloc_topology_t topology, const char *allowed, const char *near, uint32_t lanes, uint32_t lane,
		   enum pccl_bind bind, const char *set)
{
	expect_among(topology, allowed, near, 1, lanes, lane, bind, set);
}

static void lanes_run_near_their_card_and_apart_where_cores_are_many(void **state)
{
	hwloc_topology_t topology = topology_synthetic("pack:2 core:16 pu:1");

	(void)state;
	expect(topology, EVERYTHING, "0-15", 4, 0, PCCL_BIND_APART, "0-3");
	expect(topology, EVERYTHING, "0-15", 4, 3, PCCL_BIND_APART, "12-15");
	expect(topology, EVERYTHING, "16-31", 4, 0, PCCL_BIND_APART, "16-19");
	expect(topology, EVERYTHING, "16-31", 3, 0, PCCL_BIND_APART, "16-20"); /* 5, 5 and 6 */
	expect(topology, EVERYTHING, "16-31", 3, 2, PCCL_BIND_APART, "26-31");
	expect(topology, EVERYTHING, "16-31", 1, 0, PCCL_BIND_APART, "16-31");
	expect(topology, EVERYTHING, "0-15", 5, 4, PCCL_BIND_SHARED, "0-15");
	expect(topology, EVERYTHING, "0-15", 8, 0, PCCL_BIND_SHARED, "0-15");
	expect(topology, EVERYTHING, "0-15", 9, 0, PCCL_BIND_FEW, "");
	hwloc_topology_destroy(topology);
}

static void peers_of_a_host_share_what_is_near_if_it_is_enough_for_all(void **state)
{
	hwloc_topology_t topology = topology_synthetic("pack:2 core:16 pu:1");

	(void)state;
	expect_among(topology, EVERYTHING, "0-15", 2, 2, 1, PCCL_BIND_SHARED, "0-15"); /* apart, if one were alone */
	expect_among(topology, EVERYTHING, "0-15", 2, 4, 0, PCCL_BIND_SHARED, "0-15");
	expect_among(topology, EVERYTHING, "0-15", 3, 4, 0, PCCL_BIND_FEW, "");
	expect_among(topology, EVERYTHING, "0-15", 8, 1, 0, PCCL_BIND_SHARED, "0-15");
	expect_among(topology, EVERYTHING, "0-15", 9, 1, 0, PCCL_BIND_FEW, "");
	expect_among(topology, EVERYTHING, "0-15", UINT32_MAX, 4, 0, PCCL_BIND_FEW, "");
	hwloc_topology_destroy(topology);
}

static void where_there_is_nothing_to_choose_nobody_is_bound(void **state)
{
	hwloc_topology_t topology = topology_synthetic("pack:2 core:16 pu:1"),
			 small = topology_synthetic("pack:1 core:2 pu:1");

	(void)state;
	expect(topology, EVERYTHING, "", 4, 0, PCCL_BIND_UNKNOWN, "");	    /* loopback, a tunnel */
	expect(topology, EVERYTHING, EVERYTHING, 4, 0, PCCL_BIND_NEAR, ""); /* its node is not known */
	expect(topology, "0-7", "0-15", 2, 1, PCCL_BIND_NEAR, "");
	expect(small, EVERYTHING, "0-1", 1, 0, PCCL_BIND_NEAR, "");
	hwloc_topology_destroy(small);
	hwloc_topology_destroy(topology);
}

static void nobody_leaves_what_the_caller_may_use(void **state)
{
	hwloc_topology_t topology = topology_synthetic("pack:2 core:16 pu:1");

	(void)state;
	expect(topology, "0-7", "16-31", 2, 0, PCCL_BIND_FAR, "");
	expect(topology, "8-17", "16-31", 1, 0, PCCL_BIND_SHARED, "16-17");
	expect(topology, "8-16", "16-31", 1, 0, PCCL_BIND_FEW, ""); /* one, and a trainer's thread on it */
	expect(topology, "14-23", "16-31", 2, 0, PCCL_BIND_APART, "16-19");
	expect(topology, "14-23", "16-31", 2, 1, PCCL_BIND_APART, "20-23");
	expect(topology, "3", "16-31", 1, 0, PCCL_BIND_FAR, "");
	hwloc_topology_destroy(topology);
}

/* Linux numbers the second threads after all first ones. */
static void two_lanes_never_share_a_core_of_two_threads(void **state)
{
	hwloc_topology_t topology = topology_synthetic("pack:2 core:8 pu:2(indexes=2*16:16*1)");

	(void)state;
	expect(topology, EVERYTHING, "0-7,16-23", 2, 0, PCCL_BIND_APART, "0-3,16-19");
	expect(topology, EVERYTHING, "0-7,16-23", 2, 1, PCCL_BIND_APART, "4-7,20-23");
	expect(topology, EVERYTHING, "0-7,16-23", 4, 0, PCCL_BIND_SHARED, "0-7,16-23"); /* 8 cores, though 16 threads */
	expect(topology, EVERYTHING, "0-7,16-23", 5, 0, PCCL_BIND_FEW, "");
	expect(topology, "0-8", "0-7,16-23", 2, 0, PCCL_BIND_APART, "0-3"); /* one thread of each is granted */
	hwloc_topology_destroy(topology);
}

/* ---- a machine as hwloc describes it: two sockets with a card each ---------------------------------------------- */

#define SOCKET_CORES 8

static void describe_object(FILE *to, const char *type, unsigned index, unsigned long cpus, unsigned socket,
			    const char *end)
{
	static unsigned serial;

	fprintf(to,
		"<object type=\"%s\" os_index=\"%u\" cpuset=\"0x%lx\" complete_cpuset=\"0x%lx\" nodeset=\"0x%x\" "
		"complete_nodeset=\"0x%x\" gp_index=\"%u\"%s>\n",
		type, index, cpus, cpus, socket, socket, ++serial, end);
}

static void describe_socket(FILE *to, unsigned socket, const char *card)
{
	const unsigned long cpus = ((1ul << SOCKET_CORES) - 1) << (socket * SOCKET_CORES);
	unsigned core;

	describe_object(to, "Package", socket, cpus, 1u << socket, "");
	describe_object(to, "NUMANode", socket, cpus, 1u << socket, " local_memory=\"1048576\"/");
	for (core = socket * SOCKET_CORES; core < (socket + 1) * SOCKET_CORES; core++) {
		describe_object(to, "Core", core, 1ul << core, 1u << socket, "");
		describe_object(to, "PU", core, 1ul << core, 1u << socket, "/");
		fprintf(to, "</object>\n");
	}
	fprintf(to,
		"<object type=\"Bridge\" gp_index=\"%u\" bridge_type=\"0-1\" depth=\"0\" "
		"bridge_pci=\"000%u:[00-ff]\">\n"
		"<object type=\"PCIDev\" gp_index=\"%u\" pci_busid=\"000%u:01:00.0\" "
		"pci_type=\"0200 [15b3:1017] [15b3:0008] 00\" pci_link_speed=\"0.0\">\n"
		"<object type=\"OSDev\" gp_index=\"%u\" name=\"%s\" osdev_type=\"2\"/>\n"
		"</object>\n</object>\n</object>\n",
		1000 + socket, socket, 2000 + socket, socket, 3000 + socket, card);
}

static hwloc_topology_t two_cards(void)
{
	hwloc_topology_t topology;
	char *text = NULL;
	size_t bytes = 0;
	FILE *to = open_memstream(&text, &bytes);

	assert_non_null(to);
	fprintf(to, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!DOCTYPE topology SYSTEM \"hwloc2.dtd\">\n"
		    "<topology version=\"2.0\">\n");
	describe_object(to, "Machine", 0, (1ul << (2 * SOCKET_CORES)) - 1, 3, "");
	describe_socket(to, 0, "eth0");
	describe_socket(to, 1, "eth1");
	fprintf(to, "</object>\n</topology>\n");
	assert_int_equal(fclose(to), 0);
	assert_int_equal(hwloc_topology_init(&topology), 0);
	assert_int_equal(hwloc_topology_set_io_types_filter(topology, HWLOC_TYPE_FILTER_KEEP_ALL), 0);
	assert_int_equal(hwloc_topology_set_xmlbuffer(topology, text, (int)bytes + 1), 0);
	assert_int_equal(hwloc_topology_load(topology), 0);
	free(text);
	return topology;
}

/* The processors that hwloc has the card beside. */
static void near_card(hwloc_topology_t topology, const char *card, char list_out[64])
{
	hwloc_obj_t device = NULL;

	while ((device = hwloc_get_next_osdev(topology, device)) != NULL)
		if (strcmp(device->name, card) == 0)
			break;
	assert_non_null(device);
	assert_true(hwloc_bitmap_list_snprintf(list_out, 64, hwloc_get_non_io_ancestor_obj(topology, device)->cpuset) <
		    64);
}

static void each_of_two_cards_has_its_socket(void **state)
{
	hwloc_topology_t topology = two_cards();
	char near[64], other[64], both[129];

	(void)state;
	near_card(topology, "eth0", near);
	near_card(topology, "eth1", other);
	expect(topology, EVERYTHING, near, 2, 1, PCCL_BIND_APART, "4-7");
	expect(topology, EVERYTHING, other, 2, 1, PCCL_BIND_APART, "12-15");
	expect(topology, EVERYTHING, other, 4, 1, PCCL_BIND_SHARED, "8-15");
	expect(topology, "2-11", other, 1, 0, PCCL_BIND_APART, "8-11");
	expect(topology, "0-7", other, 1, 0, PCCL_BIND_FAR, "");
	snprintf(both, sizeof(both), "%s,%s", near, other); /* a bond of them */
	expect(topology, EVERYTHING, both, 2, 0, PCCL_BIND_NEAR, "");
	hwloc_topology_destroy(topology);
}

/* ---- what the system tells of interfaces ------------------------------------------------------------------------ */

static char root[64];

static void make_folder(const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", root, name);
	assert_int_equal(mkdir(path, 0700), 0);
}

static void make_file(const char *name, const char *text)
{
	char path[256];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", root, name);
	file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	assert_int_equal(fclose(file), 0);
}

static void make_link(const char *name, const char *to)
{
	char path[256], target[256];

	snprintf(path, sizeof(path), "%s/%s", root, name);
	snprintf(target, sizeof(target), "%s/%s", root, to);
	assert_int_equal(symlink(target, path), 0);
}

static void expect_near(const char *interface, const char *list)
{
	hwloc_bitmap_t near = topology_set("7");

	pccl_bind_near(root, interface, near);
	assert_set(near, list);
	hwloc_bitmap_free(near);
}

static void what_is_near_an_interface_its_device_tells_or_those_below_it(void **state)
{
	char command[128];

	(void)state;
	snprintf(root, sizeof(root), "/tmp/pccl-net-XXXXXX");
	assert_non_null(mkdtemp(root));
	make_folder("lo");
	make_folder("eth0");
	make_folder("eth0/device");
	make_file("eth0/device/local_cpus", "00000000,0000ff00\n");
	make_folder("eth1");
	make_folder("eth1/device");
	make_file("eth1/device/local_cpus", "ffffffff,00000000\n");
	make_folder("pci"); /* one of several functions of a card */
	make_folder("pci/virtio");
	make_file("pci/local_cpus", "f\n");
	make_folder("eth2");
	make_link("eth2/device", "pci/virtio");
	make_folder("bond0");
	make_link("bond0/lower_eth0", "eth0");
	make_link("bond0/lower_eth1", "eth1");
	make_link("bond0/upper_vlan", "vlan");
	make_folder("vlan");
	make_link("vlan/lower_bond0", "bond0");
	make_folder("loop");
	make_link("loop/lower_loop", "loop");
	expect_near("eth0", "8-15");
	expect_near("eth1", "32-63");
	expect_near("eth2", "0-3");
	expect_near("bond0", "8-15,32-63");
	expect_near("vlan", "8-15,32-63");
	expect_near("lo", "");
	expect_near("loop", "");
	expect_near("none", "");
	snprintf(command, sizeof(command), "rm -r %s", root);
	assert_int_equal(system(command), 0);
}

/* A tunnel has no card. */
static void the_first_link_counts_that_leaves_by_a_card(void **state)
{
	struct pccl_bind_way way = {.leaves = false};
	struct pccl_address tunnel, card;
	char command[128];

	(void)state;
	snprintf(root, sizeof(root), "/tmp/pccl-net-XXXXXX");
	assert_non_null(mkdtemp(root));
	make_folder("lo"); /* this machine is sure to have it */
	make_folder("lo/device");
	make_file("lo/device/local_cpus", "f\n");
	assert_int_equal(pccl_address_numeric("203.0.113.7", 1, &tunnel), pcclSuccess);
	assert_int_equal(pccl_address_numeric("127.0.0.1", 2, &card), pcclSuccess);
	pccl_bind_consider(&way, root, &tunnel);
	assert_true(way.leaves && !way.has_card);
	pccl_bind_consider(&way, root, &card);
	assert_true(way.has_card && pccl_address_equal(&way.local, &card));
	pccl_bind_consider(&way, root, &tunnel);
	assert_true(way.has_card && pccl_address_equal(&way.local, &card));
	snprintf(command, sizeof(command), "rm -r %s", root);
	assert_int_equal(system(command), 0);
}

/* ---- on this machine, whatever it is ---------------------------------------------------------------------------- */

static void loopback_binds_nobody(void **state)
{
	struct pccl_address loopback, nowhere;
	struct pccl_bound bound = {NULL, NULL};
	cpu_set_t before, after;
	hwloc_bitmap_t set = topology_set("7");

	(void)state;
	assert_int_equal(pccl_bind_look("lo", 1, 0, set), PCCL_BIND_UNKNOWN);
	assert_set(set, "");
	hwloc_bitmap_free(set);
	assert_int_equal(pccl_address_numeric("127.0.0.1", 0, &loopback), pcclSuccess);
	assert_int_equal(pccl_address_numeric("203.0.113.7", 0, &nowhere), pcclSuccess);
	assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
	pccl_bind_thread(&bound, &loopback, 1, 1, 0);
	pccl_bind_thread(&bound, &nowhere, 1, 1, 0);
	pccl_bind_fini(&bound);
	assert_int_equal(sched_getaffinity(0, sizeof(after), &after), 0);
	assert_true(CPU_EQUAL(&before, &after));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lanes_run_near_their_card_and_apart_where_cores_are_many),
		cmocka_unit_test(peers_of_a_host_share_what_is_near_if_it_is_enough_for_all),
		cmocka_unit_test(where_there_is_nothing_to_choose_nobody_is_bound),
		cmocka_unit_test(nobody_leaves_what_the_caller_may_use),
		cmocka_unit_test(two_lanes_never_share_a_core_of_two_threads),
		cmocka_unit_test(each_of_two_cards_has_its_socket),
		cmocka_unit_test(what_is_near_an_interface_its_device_tells_or_those_below_it),
		cmocka_unit_test(the_first_link_counts_that_leaves_by_a_card),
		cmocka_unit_test(loopback_binds_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
