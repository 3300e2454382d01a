/* Namespaces, a bridge and cables, by way of ip(8) and tc(8); see chaos_net.h. */
#include "chaos_net.h"

#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORDS_MAX 16
#define COMMAND_BYTES 160

/* Runs the words of a line as a command, without a shell. */
static bool run(const char *format, ...) __attribute__((format(printf, 1, 2)));

static bool run(const char *format, ...)
{
	char line[COMMAND_BYTES];
	char *words[WORDS_MAX + 1] = {NULL};
	char *rest = NULL;
	va_list arguments;
	int count = 0, status = 0;
	pid_t pid;

	va_start(arguments, format);
	vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	for (char *word = strtok_r(line, " ", &rest); word != NULL && count < WORDS_MAX;
	     word = strtok_r(NULL, " ", &rest))
		words[count++] = word;
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		if (words[0] != NULL)
			execvp(words[0], words);
		_exit(127);
	}
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	return pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* To the library these are other hosts; what they say stays in the kernel. */
bool chaos_net_create(void)
{
	(void)setenv("PCCL_SECURITY", "none", 0);
	if (unshare(CLONE_NEWNET) != 0) {
		fprintf(stderr, "allreduce-bench: this makes network namespaces and needs root: %s\n", strerror(errno));
		return false;
	}
	if (run("ip link set lo up") && run("ip link add bridge type bridge") &&
	    run("ip addr add 10.77.0.1/16 dev bridge") && run("ip link set bridge up"))
		return true;
	fprintf(stderr, "allreduce-bench: this needs the command ip (Debian: iproute2) and veth\n");
	return false;
}

ccoip_inet_address_t chaos_net_address(void)
{
	ccoip_inet_address_t address = {inetIPv4, {{10, 77, 0, 1}}, {{0}}};

	return address;
}

bool chaos_net_plug(uint32_t cable, pid_t pid)
{
	return run("ip link add cable%u type veth peer name uplink netns %d", cable, (int)pid) &&
	       run("ip link set cable%u master bridge up", cable);
}

bool chaos_net_detach(void)
{
	return unshare(CLONE_NEWNET) == 0;
}

bool chaos_net_configure(uint32_t cable)
{
	return run("ip link set lo up") &&
	       run("ip addr add 10.77.%u.%u/16 dev uplink", 1 + cable / 250, 1 + cable % 250) &&
	       run("ip link set uplink up");
}

/* The bucket holds what the kernel hands over at once, and more at high rates: a clock that ticks fills it. */
static bool limit(const char *interface, uint32_t mbit)
{
	return run("tc qdisc add dev %s root tbf rate %umbit burst %u latency 20ms", interface, mbit,
		   256 * 1024 + mbit * 500);
}

bool chaos_net_limit_in(uint32_t cable, uint32_t mbit)
{
	char name[16];

	snprintf(name, sizeof(name), "cable%u", cable);
	return limit(name, mbit);
}

bool chaos_net_limit_out(uint32_t mbit)
{
	return limit("uplink", mbit);
}

/* A bucket of one byte lets nothing through. */
static bool deafen(uint32_t cable, bool on)
{
	if (on)
		return run("tc qdisc add dev cable%u root tbf rate 8bit burst 1 latency 1ms", cable);
	return run("tc qdisc del dev cable%u root", cable);
}

bool chaos_net_harm(uint32_t cable, enum chaos_net_harm harm, bool on)
{
	char name[16];

	snprintf(name, sizeof(name), "cable%u", cable);
	if (if_nametoindex(name) == 0)
		return false;
	if (harm == CHAOS_NET_DEAF)
		return deafen(cable, on);
	if (harm == CHAOS_NET_APART)
		return run("ip link set %s type bridge_slave isolated %s", name, on ? "on" : "off");
	return run("ip link set %s %s", name, on ? "down" : "up");
}

void chaos_net_unplug(uint32_t cable)
{
	char name[16];

	/* It goes with its namespace, but the kernel takes its time, and the name may be wanted at once. */
	snprintf(name, sizeof(name), "cable%u", cable);
	if (if_nametoindex(name) != 0)
		(void)run("ip link del %s", name);
}
