/* allreduce-bench, pccl-master and pccl-info as people and scripts meet them: what they print, and how they exit. */
#include "lib/check.h"
#include "lib/peers.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <pccl.h>

#define OUTPUT_BYTES 65536

/* Runs a program with these flags; returns its exit status and what it wrote to both outputs. */
static int run_program(const char *program, const char *flags, char output[OUTPUT_BYTES])
{
	const char *build = getenv("PCCL_BUILD");
	char command[512];
	size_t length;
	FILE *pipe;
	int status;

	snprintf(command, sizeof(command), "%s/bin/%s %s 2>&1", build == NULL ? "build/release" : build, program,
		 flags);
	pipe = popen(command, "r");
	assert_non_null(pipe);
	length = fread(output, 1, OUTPUT_BYTES - 1, pipe);
	output[length] = '\0';
	status = pclose(pipe);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int run(const char *flags, char output[OUTPUT_BYTES])
{
	return run_program("allreduce-bench", flags, output);
}

static void expect_of(const char *program, const char *flags, int status, const char *part)
{
	static char output[OUTPUT_BYTES];
	int got = run_program(program, flags, output);

	if (got != status)
		fail_msg("%s '%s' exited with %d, not %d:\n%s", program, flags, got, status, output);
	if (strstr(output, part) == NULL)
		fail_msg("%s '%s' did not say '%s':\n%s", program, flags, part, output);
}

static void expect(const char *flags, int status, const char *part)
{
	expect_of("allreduce-bench", flags, status, part);
}

static void bad_flags_are_explained_and_exit_2(void **state)
{
	(void)state;
	expect("--local 2 --frobnicate", 2, "--frobnicate");
	expect("--help >/dev/full", 1, "");
	expect("--local 2 --sizes 4K --iters 1 --warmup 0 >/dev/full", 1, "");
	expect("--local 2 --sizes huge", 2, "--sizes");
	expect("--local 2 --lanes 17", 2, "from 1 to 16");
	expect("--local 2 --streams 17", 2, "from 1 to 16");
	expect("", 2, "--local");
}

static void bad_flags_of_the_master_are_explained_and_exit_2(void **state)
{
	(void)state;
	expect_of("pccl-master", "--frobnicate", 2, "--frobnicate");
	expect_of("pccl-master", "127.0.0.1:48148", 2, "unexpected argument '127.0.0.1:48148'");
	expect_of("pccl-master", "--log-level loud", 2, "TRACE, DEBUG");
	expect_of("pccl-master", "--listen 127.0.0.1:99999", 2, "\"99999\" is not a port number");
	expect_of("pccl-master", "--listen 127.0.0.1:0", 2, "needs a port");
	expect_of("pccl-master", "--listen [fe80::1%lo]:48148", 2, "a link-local address");
	expect_of("pccl-master", "--listen [::1", 2, "[IPv6]:port");
	expect_of("pccl-master", "--generate-secret extra", 2, "unexpected argument 'extra'");
	expect_of("pccl-master", "--show-key /nowhere/key --listen 1:2:3", 2, "go with no other flag");
	expect_of("pccl-master", "--generate-secret --show-key /nowhere/key", 2, "go with no other flag");
	expect_of("pccl-master", "--control /nowhere/socket --do list --do bans", 2, "--do is there twice");
	expect_of("pccl-master",
		  "--key /nowhere/k --secret-file /nowhere/s --security none --listen 203.0.113.77:48148", 1,
		  "security none was asked for");
	expect_of("pccl-master", "--help >/dev/full", 1, "");
	expect_of("pccl-master", "--version >/dev/full", 1, "");
	setenv("PCCL_ALLOW_FILE", "", 1);
	expect_of("pccl-master", "--listen 203.0.113.77:48148", 1, "the name of the list of who may join is empty");
	unsetenv("PCCL_ALLOW_FILE");
	setenv("PCCL_LOG_LEVEL", "bogus", 1);
	expect_of("pccl-master", "--listen 203.0.113.77:48148", 2, "PCCL_LOG_LEVEL: ");
	unsetenv("PCCL_LOG_LEVEL");
	expect_of("pccl-master", "--generate-secret >/dev/full", 1, "");
	/* An address that only documents have: nothing is wrong with it but that it is not this machine's. */
	expect_of("pccl-master", "--listen 203.0.113.77:48148", 1, "203.0.113.77:48148");
}

static void the_master_tells_its_version(void **state)
{
	char version[64];

	(void)state;
	snprintf(version, sizeof(version), "pccl-master %d.%d.%d\n", PCCL_VERSION_MAJOR, PCCL_VERSION_MINOR,
		 PCCL_VERSION_PATCH);
	expect_of("pccl-master", "--version", 0, version);
}

static void help_names_every_flag(void **state)
{
	static const char *const flags[] = {
		"--local",     "--master",  "--peers", "--collective", "--sizes",     "--iters", "--warmup",
		"--seconds",   "--dtype",   "--op",    "--plan",       "--policy",    "--lanes", "--streams",
		"--inflight",  "--inplace", "--check", "--json",       "--demo",      "--chaos", "--seed",
		"--footprint", "--loss",    "--zstd",  "--state",      "--newcomers", "--link",	 "--prefetch"};

	static char output[OUTPUT_BYTES];

	(void)state;
	assert_int_equal(run("--help", output), 0);
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		if (strstr(output, flags[i]) == NULL)
			fail_msg("--help does not know %s", flags[i]);
}

/* Each field comes after the one before; with `exactly`, nothing else does. */
static void expect_fields(const char *output, const char *const *fields, size_t count, bool exactly)
{
	const char *at = output;
	size_t found = 0;

	assert_int_equal(output[0], '{');
	for (size_t i = 0; i < count; i++) {
		char field[64];
		const char *next;

		snprintf(field, sizeof(field), "\"%s\": ", fields[i]);
		next = strstr(at, field);
		if (next == NULL)
			fail_msg("%s is missing or out of order in %s", field, output);
		else
			at = next;
	}
	for (at = output; (at = strstr(at, "\": ")) != NULL; at++)
		found++;
	if (exactly)
		assert_int_equal(found, count);
}

static void a_row_of_json_has_the_promised_fields_in_order(void **state)
{
	static const char *const fields[] = {"collective",
					     "plan",
					     "dtype",
					     "op",
					     "peers",
					     "bytes",
					     "iters",
					     "time_us",
					     "time_us_min",
					     "time_us_p99",
					     "algbw_GBps",
					     "busbw_GBps",
					     "wire_bytes_per_peer",
					     "cpu_s_per_GiB",
					     "parity",
					     "errors"};
	static char output[OUTPUT_BYTES];

	(void)state;
	assert_int_equal(run("--local 2 --sizes 4K --iters 3 --warmup 1 --json --check", output), 0);
	expect_fields(output, fields, sizeof(fields) / sizeof(fields[0]), false);
	assert_non_null(strstr(output, "\"parity\": true, \"errors\": 0"));
}

static void every_collective_checks_its_results(void **state)
{
	(void)state;
	expect("--local 3 --sizes 1,64K --iters 2 --check --collective allreduce --op avg --dtype bf16", 0, "right");
	expect("--local 3 --sizes 1,64K --iters 2 --check --collective broadcast", 0, "right");
	expect("--local 3 --sizes 1,64K --iters 2 --check --collective reducescatter --inplace", 0, "right");
	expect("--local 3 --sizes 1,64K --iters 2 --check --collective allgather --inflight 3", 0, "right");
	expect("--local 3 --sizes 1,64K --iters 2 --check --collective reduce --op max --inflight 2", 0, "right");
	expect("--local 3 --sizes 1,64K --iters 2 --check --collective gather --inplace", 0, "right");
	expect("--local 3 --sizes 1,64K --iters 2 --check --collective scatter --inplace", 0, "right");
	expect("--local 3 --sizes 1,64K --iters 2 --check --collective alltoall --inflight 3", 0, "right");
}

static void the_lossless_stage_shows_in_the_bytes(void **state)
{
	static char output[OUTPUT_BYTES];
	const char *found;

	(void)state;
	assert_int_equal(
		run("--local 2 --sizes 1M --iters 3 --codec none --dtype bf16 --zstd on --check --json", output), 0);
	assert_non_null(strstr(output, "\"zstd\": \"on\""));
	assert_non_null(strstr(output, "\"parity\": true, \"errors\": 0"));
	found = strstr(output, "\"wire_bytes_per_peer\": ");
	assert_non_null(found);
	assert_in_range(strtoull(found + strlen("\"wire_bytes_per_peer\": "), NULL, 10), 100000, 900000);
}

/* The last of them was measured in a tenth of it, and less, when their number came from the last warm-up alone. */
static void seconds_are_used_up(void **state)
{
	struct timespec begin, end;

	(void)state;
	clock_gettime(CLOCK_MONOTONIC, &begin);
	expect("--local 2 --sizes 4K,64K --seconds 0.7 --warmup 1", 0, "64 KiB");
	clock_gettime(CLOCK_MONOTONIC, &end);
	assert_true((double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) * 1e-9 >= 1.4);
}

/* Two peers of one run, started by two people: both say it, and end. */
static void expect_disagreement(const char *one, const char *other, const char *flags)
{
	static char output[OUTPUT_BYTES];
	const char *build = getenv("PCCL_BUILD"), *at = output;
	unsigned said = 0;
	char line[1024], words[128];
	uint16_t port = peers_free_port(1);
	size_t length;
	FILE *pipe;

	build = build == NULL ? "build/release" : build;
	snprintf(line, sizeof(line),
		 "(%s/bin/pccl-master --listen 127.0.0.1:%u & master=$!\n"
		 "timeout 60 %s/bin/allreduce-bench --master 127.0.0.1:%u --sizes 4K %s & one=$!\n"
		 "timeout 60 %s/bin/allreduce-bench --master 127.0.0.1:%u --sizes 4K %s; echo other ends with $?\n"
		 "wait $one; echo one ends with $?; kill $master; wait $master) 2>&1",
		 build, port, build, port, one, build, port, other);
	pipe = popen(line, "r");
	assert_non_null(pipe);
	length = fread(output, 1, OUTPUT_BYTES - 1, pipe);
	output[length] = '\0';
	pclose(pipe);
	snprintf(words, sizeof(words), "were started with different %s\n", flags);
	while ((at = strstr(at, words)) != NULL) {
		at++;
		said++;
	}
	if (said != 2 || strstr(output, "one ends with 1\n") == NULL || strstr(output, "other ends with 1\n") == NULL)
		fail_msg("%s beside %s:\n%s", one, other, output);
}

static void peers_with_different_flags_say_so_and_end(void **state)
{
	(void)state;
	expect_disagreement("--peers 2 --iters 2", "--peers 2", "--iters");
	expect_disagreement("--peers 2", "--peers 3 --check", "--peers, --check");
}

static void the_least_that_is_measured_is_an_element(void **state)
{
	(void)state;
	expect("--local 2 --sizes 1 --iters 1 --warmup 0 --json --check", 0, "\"bytes\": 4,");
	expect("--local 2 --sizes 9 --iters 1 --warmup 0 --json --check --dtype float64", 0, "\"bytes\": 8,");
	expect("--local 3 --sizes 1 --iters 1 --warmup 0 --json --check --collective scatter", 0, "\"bytes\": 12,");
}

/* Over what bytes went the library does not tell. */
static void the_heading_says_which_transport_was_asked_for(void **state)
{
	(void)state;
	expect("--local 2 --sizes 4K --iters 1 --transport tcp", 0, ", transport tcp asked for\n");
}

/* One is evicted: neither it nor the other says anything a second time. */
static void who_can_not_meet_the_others_says_so_once(void **state)
{
	static char output[OUTPUT_BYTES];
	const char *build = getenv("PCCL_BUILD"), *at;
	uint16_t port = peers_free_port(1);
	char line[1024];
	unsigned said = 0;
	size_t length;
	FILE *pipe;

	(void)state;
	build = build == NULL ? "build/release" : build;
	snprintf(line, sizeof(line),
		 "(b=%s/bin; at=127.0.0.1:%u; socket=$(mktemp -u)\n"
		 "$b/pccl-master --listen $at --control $socket & master=$!\n"
		 "timeout 60 $b/allreduce-bench --master $at --peers 2 --sizes 4K --seconds 60 & one=$!\n"
		 "timeout 60 $b/allreduce-bench --master $at --peers 2 --sizes 4K --seconds 60 & other=$!\n"
		 "until [ -n \"$whom\" ]; do sleep 1\n"
		 "whom=$($b/pccl-master --control $socket --do list | awk '/rank 1/ {print $8, $9}'); done; sleep 1\n"
		 "$b/pccl-master --control $socket --do \"evict $whom\"; wait $one $other\n"
		 "kill $master; wait $master) 2>&1",
		 build, port);
	pipe = popen(line, "r");
	assert_non_null(pipe);
	length = fread(output, 1, OUTPUT_BYTES - 1, pipe);
	output[length] = '\0';
	pclose(pipe);
	for (at = output; (at = strstr(at, "meeting the other peers: ")) != NULL; at++)
		said++;
	if (said < 1 || said > 2 || strstr(output, "has evicted this peer") == NULL)
		fail_msg("%s", output);
}

static void kills_leave_neither_hangs_nor_divergences(void **state)
{
	static const char *const fields[] = {
		"chaos",	   "peers",	     "seconds",		 "operations",	     "faults",
		"hangs",	   "divergences",    "detection_ms_p50", "detection_ms_p99", "recovery_ms_p50",
		"recovery_ms_p99", "recovery_ms_max"};
	static char output[OUTPUT_BYTES];

	(void)state;
	assert_int_equal(run("--local 4 --chaos kill --seconds 2 --sizes 4K,64K --policy repair --json", output), 0);
	expect_fields(output, fields, sizeof(fields) / sizeof(fields[0]), true);
	assert_non_null(strstr(output, "\"hangs\": 0, \"divergences\": 0"));
}

static void faults_are_told_by_kind(void **state)
{
	(void)state;
	expect("--local 4 --chaos kill --seconds 2 --sizes 4K,64K", 0, " peers killed, 0 of them told");
}

static void a_loss_is_measured_beside_undisturbed_operations(void **state)
{
	(void)state;
	expect("--local 4 --loss --sizes 4M --iters 2 --policy repair --op avg --check", 0, ", 0 divergences");
	expect("--local 3 --loss --sizes 4M --iters 1 --policy abort --inplace --json", 0, "\"divergences\": 0");
}

/* A short run in three modes, with peers that die and join; parameters that differ would end it with 1. */
static void training_shows_losses_and_bytes(void **state)
{
	static const char flags[] =
		"--modes ddp,synchronous,streaming --peers 3 --steps 60 --interval 10 --fragments 2 "
		"--codec e3m0 --chaos --json";
	static const char *const fields[] = {"mode",
					     "codec",
					     "peers",
					     "steps",
					     "final_loss",
					     "wire_bytes_per_peer",
					     "ddp_bytes_per_peer",
					     "wait_share",
					     "peak_over_average",
					     "divergences",
					     "rounds",
					     "repeated",
					     "killed",
					     "missed",
					     "seconds"};
	static char output[OUTPUT_BYTES];

	(void)state;
	assert_int_equal(run_program("diloco-train", flags, output), 0);
	expect_fields(strstr(output, "{\"mode\": \"streaming\""), fields, sizeof(fields) / sizeof(fields[0]), true);
	expect_of("diloco-train", "--modes streaming --peers 2 --steps 8 --interval 4", 0, "streaming");
	expect_of("diloco-train", "--help >/dev/full", 1, "");
	expect_of("diloco-train", "--modes fast", 2, "streaming");
	expect_of("diloco-train", "--peers 1", 2, "from 2 to 16");
	expect_of("diloco-train", "--link 20:40ms", 2, "RATE:RTT");
	expect_of("diloco-train", "--help", 0, "--error-feedback");
}

static void newcomers_get_a_state_that_is_verified(void **state)
{
	static const char *const fields[] = {
		"state_bytes",		 "sources",    "newcomers",   "rounds",	  "killed",
		"undisturbed_seconds",	 "seconds",    "seconds_max", "rx_bytes", "rx_wire_bytes",
		"link_bytes_per_second", "link_share", "verified"};
	static char output[OUTPUT_BYTES];

	(void)state;
	assert_int_equal(run("--local 2 --newcomers 2 --state 4M --iters 2 --json", output), 0);
	expect_fields(output, fields, sizeof(fields) / sizeof(fields[0]), true);
	assert_non_null(strstr(output, "\"rx_bytes\": 4194304"));
	assert_non_null(strstr(output, "\"verified\": true"));
	expect("--local 2 --state 4M --iters 1 --zstd on --json", 0, "\"verified\": true");
	expect("--local 3 --state 32M --chaos kill --json", 0, "\"verified\": true");
}

static void the_machine_is_described(void **state)
{
	(void)state;
	expect_of("pccl-info", "", 0, "lanes ");
	expect_of("pccl-info", ">/dev/full", 1, "");
	expect_of("pccl-info", "127.0.0.1:48148", 0, "lo, MTU 65536: leads there");
	expect_of("pccl-info", "127.0.0.1:48148:1", 1, "127.0.0.1:48148:1");
	expect_of("pccl-info", "here there", 2, "one HOST:PORT");
	expect_of("pccl-info", "--frobnicate", 2, "--frobnicate");
	expect_of("pccl-info", "--help", 0, "what would help");
	setenv("PCCL_LANES", "3", 1);
	expect_of("pccl-info", "", 0, "3, as PCCL_LANES says");
	setenv("PCCL_LANES", "x", 1);
	expect_of("pccl-info", "", 0, "PCCL_LANES is \"x\", which every communicator refuses");
	setenv("PCCL_LANES", "17", 1);
	expect_of("pccl-info", "", 0, "from 0 to 16");
	setenv("PCCL_LANES", "0", 1);
	expect_of("pccl-info", "", 0, "one for two cores, 4 at most");
	unsetenv("PCCL_LANES");
	expect_of("pccl-info", "127.0.0.1:48148", 0, "lanes over lo run anywhere");
	setenv("PCCL_BINDING", "off", 1);
	expect_of("pccl-info", "127.0.0.1:48148", 0, "off, as PCCL_BINDING says");
	unsetenv("PCCL_BINDING");
	setenv("PCCL_INTERFACES", "lo,nowhere0", 1);
	expect_of("pccl-info", "", 0, "nowhere0 carries nothing: there is none of that name here");
	expect_of("pccl-info", "", 0, "none of the interfaces lo,nowhere0 (PCCL_INTERFACES) can carry anything");
	unsetenv("PCCL_INTERFACES");
}

/* With the stand-in for libibverbs, where that was built. */
static void devices_for_rdma_are_described(void **state)
{
	const char *build = getenv("PCCL_BUILD");
	char path[512];

	(void)state;
	snprintf(path, sizeof(path), "%s/test/standin/libibverbs.so.1", build == NULL ? "build/release" : build);
	if (access(path, F_OK) != 0) {
		expect_of("pccl-info", "", 0, "rdma           none: ");
		skip();
	}
	*strrchr(path, '/') = '\0';
	setenv("LD_LIBRARY_PATH", path, 1);
	expect_of("pccl-info", "127.0.0.1", 0, "standin1 port 1: up, Ethernet, packets of 4096 bytes; GID 0 fe80::2");
	expect_of("pccl-info", "127.0.0.1", 0, "127.0.0.1: over standin0 port 1, GID 2, packets of 4096 bytes");
	expect_of("pccl-info", "", 0, "PCCL_TRANSPORT=rdma on both sides");
	setenv("PCCL_RDMA_DEVICE", "standin1,lost0", 1);
	expect_of("pccl-info", "", 0, "PCCL_RDMA_DEVICE, 1 of 2: over standin1 port 1, GID 2");
	expect_of("pccl-info", "", 0,
		  "PCCL_RDMA_DEVICE, 2 of 2: over TCP, or TLS with psk or tls: no RDMA device is lost0");
	unsetenv("PCCL_RDMA_DEVICE");
	setenv("PCCL_RDMA_TRUSTED", "127.0.0.1/32", 1);
	expect_of("pccl-info", "127.0.0.1", 0,
		  "of 4096 bytes; with psk or tls, too, unencrypted, to devices in the "
		  "network of PCCL_RDMA_TRUSTED that has 127.0.0.1\n");
	setenv("PCCL_RDMA_DEVICE", "standin1,standin0", 1);
	expect_of("pccl-info", "", 0, "of 4096 bytes; with psk or tls over TLS: 127.0.0.2 is not in PCCL_RDMA_TRUSTED");
	expect_of("pccl-info", "", 0, "PCCL_RDMA_DEVICE with devices in networks of PCCL_RDMA_TRUSTED only");
	setenv("PCCL_RDMA_TRUSTED", "127.0.0.1/8", 1);
	setenv("PCCL_RDMA_DEVICE", "lost0", 1);
	expect_of("pccl-info", "", 0, "PCCL_RDMA_TRUSTED: \"127.0.0.1/8\" has bits behind its first 8");
	unsetenv("PCCL_RDMA_DEVICE");
	unsetenv("PCCL_RDMA_TRUSTED");
	unsetenv("LD_LIBRARY_PATH");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bad_flags_are_explained_and_exit_2),
		cmocka_unit_test(bad_flags_of_the_master_are_explained_and_exit_2),
		cmocka_unit_test(the_machine_is_described),
		cmocka_unit_test(devices_for_rdma_are_described),
		cmocka_unit_test(the_master_tells_its_version),
		cmocka_unit_test(help_names_every_flag),
		cmocka_unit_test(a_row_of_json_has_the_promised_fields_in_order),
		cmocka_unit_test(every_collective_checks_its_results),
		cmocka_unit_test(the_lossless_stage_shows_in_the_bytes),
		cmocka_unit_test(seconds_are_used_up),
		cmocka_unit_test(peers_with_different_flags_say_so_and_end),
		cmocka_unit_test(the_least_that_is_measured_is_an_element),
		cmocka_unit_test(the_heading_says_which_transport_was_asked_for),
		cmocka_unit_test(who_can_not_meet_the_others_says_so_once),
		cmocka_unit_test(kills_leave_neither_hangs_nor_divergences),
		cmocka_unit_test(faults_are_told_by_kind),
		cmocka_unit_test(newcomers_get_a_state_that_is_verified),
		cmocka_unit_test(a_loss_is_measured_beside_undisturbed_operations),
		cmocka_unit_test(training_shows_losses_and_bytes),
	};

	/* A peer that gets no processor for some seconds is not lost. */
	setenv("PCCL_HEARTBEAT_TIMEOUT_MS", "40000", 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
