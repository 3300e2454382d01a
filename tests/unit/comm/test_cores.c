/* How many cores there are for this process, and what that makes of lanes. */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "comm/cores.h"
#include "lib/check.h"
#include "lib/topology.h"

static uint32_t cores_of(const char *what, const char *allowed)
{
	hwloc_topology_t topology = topology_synthetic(what);
	hwloc_bitmap_t set = topology_set(allowed);
	uint32_t cores = pccl_cores_among(topology, set);

	hwloc_bitmap_free(set);
	hwloc_topology_destroy(topology);
	return cores;
}

/* As it may be for other programs. First of all, for the machine is looked at once: by a child. */
static void another_machine_that_hwloc_is_given_counts_for_nothing(void **state)
{
	struct pccl_cores cores;
	cpu_set_t all;
	int status;
	pid_t child = fork();

	(void)state;
	if (child == 0) {
		(void)setenv("HWLOC_SYNTHETIC", "pack:8 core:128 pu:1", 1);
		pccl_cores_find(&cores);
		_exit(sched_getaffinity(0, sizeof(all), &all) == 0 && cores.machine == 0 &&
				      cores.bound == (uint32_t)CPU_COUNT(&all)
			      ? 0
			      : 1);
	}
	assert_true(child > 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void cores_count_once_and_only_where_they_may_be_used(void **state)
{
	(void)state;
	assert_int_equal(cores_of("pack:2 core:8 pu:1", "0-15"), 16);
	assert_int_equal(cores_of("pack:2 core:8 pu:2", "0-31"), 16); /* two threads each */
	assert_int_equal(cores_of("pack:2 core:8 pu:2", "0-3,17"), 3);
	assert_int_equal(cores_of("pack:1 core:4 pu:1", "7"), 0);
}

static void lanes_are_half_the_cores(void **state)
{
	static const uint32_t lanes[][3] = {/* bound, quota, lanes */
					    {1, 0, 1}, {2, 0, 1},  {3, 0, 1},  {4, 0, 2},  {7, 0, 2},
					    {8, 0, 4}, {64, 0, 4}, {64, 2, 1}, {64, 5, 2}, {2, 64, 1}};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(lanes) / sizeof(lanes[0]); i++) {
		const struct pccl_cores cores = {.machine = 64, .bound = lanes[i][0], .quota = lanes[i][1]};

		assert_int_equal(pccl_cores_lanes(&cores), lanes[i][2]);
	}
}

static void write_file(const char *root, const char *group, const char *name, const char *text)
{
	char path[256];
	FILE *file;

	snprintf(path, sizeof(path), "%s%s/%s", root, group, name);
	file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	assert_int_equal(fclose(file), 0);
}

static void write_limit(const char *root, const char *group, const char *text)
{
	write_file(root, group, "cpu.max", text);
}

static void a_control_group_has_no_more_than_those_above_it(void **state)
{
	char root[] = "/tmp/pccl-cgroup-XXXXXX", path[256];

	(void)state;
	assert_non_null(mkdtemp(root));
	snprintf(path, sizeof(path), "%s/a", root);
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/a/b", root);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(pccl_cores_quota(root, "/a/b"), 0); /* nothing is said */
	write_limit(root, "/a/b", "max 100000\n");
	assert_int_equal(pccl_cores_quota(root, "/a/b"), 0);
	write_limit(root, "/a", "450000 100000\n");
	assert_int_equal(pccl_cores_quota(root, "/a/b"), 5);
	assert_int_equal(pccl_cores_quota(root, "/"), 0);
	write_limit(root, "/a/b", "150000 100000\n");
	assert_int_equal(pccl_cores_quota(root, "/a/b"), 2);
	write_limit(root, "", "100000 100000\n");
	assert_int_equal(pccl_cores_quota(root, "/a/b"), 1);
	assert_int_equal(pccl_cores_quota(root, "/"), 1);
	write_limit(root, "", "-7 rubbish\n");
	assert_int_equal(pccl_cores_quota(root, "/"), 0);
	snprintf(path, sizeof(path), "rm -r %s", root);
	assert_int_equal(system(path), 0);
}

static void the_first_version_of_control_groups_limits_as_well(void **state)
{
	char root[] = "/tmp/pccl-cgroup-XXXXXX", path[256];

	(void)state;
	assert_non_null(mkdtemp(root));
	snprintf(path, sizeof(path), "%s/a", root);
	assert_int_equal(mkdir(path, 0700), 0);
	write_file(root, "", "cpu.cfs_quota_us", "-1\n");
	write_file(root, "", "cpu.cfs_period_us", "100000\n");
	assert_int_equal(pccl_cores_quota(root, "/a"), 0);
	write_file(root, "/a", "cpu.cfs_quota_us", "250000\n");
	assert_int_equal(pccl_cores_quota(root, "/a"), 0); /* of what? */
	write_file(root, "/a", "cpu.cfs_period_us", "100000\n");
	assert_int_equal(pccl_cores_quota(root, "/a"), 3);
	/* A container sees its own group as the root, and is told the name that it has outside. */
	write_file(root, "", "cpu.cfs_quota_us", "150000\n");
	assert_int_equal(pccl_cores_quota(root, "/docker/0123"), 2);
	snprintf(path, sizeof(path), "rm -r %s", root);
	assert_int_equal(system(path), 0);
}

/* Whom this thread is bound to counts at once, though the machine is looked at only once. */
static void a_thread_that_is_bound_has_fewer(void **state)
{
	struct pccl_cores before, after;
	cpu_set_t all, one;
	int first = 0;

	(void)state;
	pccl_cores_find(&before);
	assert_true(before.bound >= 1);
	assert_true(before.machine == 0 || before.bound <= before.machine);
	assert_int_equal(sched_getaffinity(0, sizeof(all), &all), 0);
	while (!CPU_ISSET(first, &all))
		first++;
	CPU_ZERO(&one);
	CPU_SET(first, &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	pccl_cores_find(&after);
	assert_int_equal(after.bound, 1);
	assert_int_equal(pccl_cores_lanes(&after), 1);
	assert_int_equal(sched_setaffinity(0, sizeof(all), &all), 0);
	pccl_cores_find(&after);
	assert_int_equal(after.bound, before.bound);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(another_machine_that_hwloc_is_given_counts_for_nothing),
		cmocka_unit_test(cores_count_once_and_only_where_they_may_be_used),
		cmocka_unit_test(lanes_are_half_the_cores),
		cmocka_unit_test(a_control_group_has_no_more_than_those_above_it),
		cmocka_unit_test(the_first_version_of_control_groups_limits_as_well),
		cmocka_unit_test(a_thread_that_is_bound_has_fewer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
