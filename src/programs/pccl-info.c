/* pccl-info: what the library finds on this machine, what it chooses by that, and what would help. Changes nothing. */
#include <getopt.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <ccoip.h>
#include <pccl.h>

#include "base/cpu.h"
#include "base/fail.h"
#include "comm/cores.h"
#include "transport/address.h"

#define LINE_BYTES 256
#define VERSION "%d.%d.%d"
#define VERSION_NUMBERS pcclGetVersion() / 10000, pcclGetVersion() / 100 % 100, pcclGetVersion() % 100
#define ADVICE_MAX 16
#define FAR_S 0.1		  /* a round trip between continents */
#define WINDOW_WANTED (32u << 20) /* bytes: 2.5 Gbit/s over it */

static const char usage[] =
	"usage: pccl-info [HOST:PORT]\n"
	"\n"
	"What pccl finds on this machine, what it chooses by that, and what would help. Changes nothing.\n"
	"\n"
	"  HOST:PORT   of the master, or of a peer: which interface leads there (nothing is sent)\n"
	"  --version   print the version\n"
	"  --help      print this\n"
	"\n"
	"Exit status: 0, 1 the host is not known or can't be reached from here, 2 bad flags.\n";

/* What would help, printed at the end. */
static char advice[ADVICE_MAX][LINE_BYTES];
static size_t advice_count;

__attribute__((format(printf, 1, 2))) static void advise(const char *format, ...)
{
	va_list arguments;
	size_t i;

	if (advice_count == ADVICE_MAX)
		return;
	va_start(arguments, format);
	(void)vsnprintf(advice[advice_count], LINE_BYTES, format, arguments);
	va_end(arguments);
	for (i = 0; i < advice_count; i++)
		if (strcmp(advice[i], advice[advice_count]) == 0)
			return; /* an interface with several addresses */
	advice_count++;
}

__attribute__((format(printf, 2, 3))) static void say(const char *name, const char *format, ...)
{
	va_list arguments;

	printf("%-14s ", name);
	va_start(arguments, format);
	(void)vprintf(format, arguments);
	va_end(arguments);
	putchar('\n');
}

/* The first line of a file, without its end; false: it can't be read. */
static bool read_line(const char *path, char line_out[LINE_BYTES])
{
	FILE *file = fopen(path, "re");
	bool read = false;

	line_out[0] = '\0';
	if (file == NULL)
		return false;
	read = fgets(line_out, LINE_BYTES, file) != NULL;
	(void)fclose(file);
	line_out[strcspn(line_out, "\n")] = '\0';
	return read;
}

/* ---- processors ------------------------------------------------------------------------------------------------ */

static void show_processors(void)
{
	struct pccl_cores cores;
	char limits[LINE_BYTES] = "";
	const char *given = getenv("PCCL_LANES");
	uint32_t lanes;

	pccl_cores_find(&cores);
	lanes = pccl_cores_lanes(&cores);
	if (cores.bound < cores.machine)
		snprintf(limits, sizeof(limits), ", of which affinity and control group leave %u", cores.bound);
	if (cores.quota != 0)
		snprintf(limits + strlen(limits), sizeof(limits) - strlen(limits), ", time for %u", cores.quota);
	say("cores", "%u%s", cores.machine != 0 ? cores.machine : cores.bound, limits);
	say("kernels", "%s%s", pccl_cpu_level_name(pccl_cpu_level()),
	    pccl_cpu_has_sse42() ? ", CRC32C in hardware" : "");
	if (given != NULL && *given != '\0')
		say("lanes", "%s, as PCCL_LANES says; default here: %u", given, lanes);
	else
		say("lanes", "%u: one for two cores, 4 at most; PCCL_LANES changes it", lanes);
	if (cores.quota != 0 && cores.quota < cores.bound)
		advise("the control group grants time for %u of %u cores: who uses it up is stopped for a while, and "
		       "everybody waits for this peer",
		       cores.quota, cores.bound);
}

/* ---- network --------------------------------------------------------------------------------------------------- */

static long long attribute_of(const char *interface, const char *name)
{
	char path[LINE_BYTES], line[LINE_BYTES];

	snprintf(path, sizeof(path), "/sys/class/net/%s/%s", interface, name);
	return read_line(path, line) ? strtoll(line, NULL, 10) : -1;
}

/* Peers dial neither loopback nor link-local addresses. */
static void show_interface(const struct ifaddrs *at, const struct pccl_address *address, bool leads)
{
	const long long mtu = attribute_of(at->ifa_name, "mtu"), speed = attribute_of(at->ifa_name, "speed"),
			node = attribute_of(at->ifa_name, "device/numa_node");
	char host[PCCL_ADDRESS_BYTES], text[LINE_BYTES] = "";
	size_t used = 0;

	pccl_address_text(address, host);
	if (mtu > 0)
		used += (size_t)snprintf(text + used, sizeof(text) - used, ", MTU %lld", mtu);
	if (speed > 0)
		used += (size_t)snprintf(text + used, sizeof(text) - used, ", %lld Mbit/s", speed);
	if (node >= 0)
		(void)snprintf(text + used, sizeof(text) - used, ", node %lld", node);
	say("address", "%s, %s%s%s", host, at->ifa_name, text, leads ? ": leads there" : "");
	if (mtu > 0 && mtu < 1500)
		advise("%s carries packets of %lld bytes at most (a tunnel?): where small transfers pass and large "
		       "ones "
		       "stall, see that ICMP passes",
		       at->ifa_name, mtu);
}

static void show_interfaces(const struct pccl_address *source)
{
	struct ifaddrs *list = NULL;
	const struct ifaddrs *at;
	struct pccl_address address;
	unsigned shown = 0;

	if (getifaddrs(&list) != 0)
		return;
	for (at = list; at != NULL; at = at->ifa_next) {
		bool leads;

		if ((at->ifa_flags & IFF_UP) == 0 || !pccl_address_from_system(at->ifa_addr, &address))
			continue;
		leads = source != NULL && pccl_address_same_host(&address, source);
		if (!leads && (pccl_address_is_loopback(&address) || pccl_address_is_link_local(&address)))
			continue;
		show_interface(at, &address, leads);
		shown++;
	}
	freeifaddrs(list);
	if (shown == 0)
		say("address", "none but loopback: peers of this host only");
}

/* By which of our addresses the way there begins. A datagram socket that connects sends nothing. */
static bool find_source(const char *there, struct pccl_address *source_out)
{
	struct pccl_address address;
	char host[256];
	uint16_t port;
	size_t count = 1;
	bool found = pccl_address_split(there, CCOIP_PROTOCOL_PORT_MASTER, host, sizeof(host), &port) == pcclSuccess &&
		     pccl_address_resolve(host, port, &address, &count) == pcclSuccess;
	const int fd = found ? socket(address.storage.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0) : -1;

	if (!found)
		fprintf(stderr, "pccl-info: %s\n", pccl_fail_text());
	if (fd < 0)
		return false;
	memset(source_out, 0, sizeof(*source_out));
	source_out->bytes = sizeof(source_out->storage);
	found = connect(fd, (const struct sockaddr *)&address.storage, address.bytes) == 0 &&
		getsockname(fd, (struct sockaddr *)&source_out->storage, &source_out->bytes) == 0;
	if (!found)
		perror("pccl-info: there is no way from here");
	(void)close(fd);
	return found;
}

/* ---- TCP ------------------------------------------------------------------------------------------------------- */

static long long third_number(const char *path)
{
	char line[LINE_BYTES];
	long long most = -1;

	if (read_line(path, line))
		(void)sscanf(line, "%*d %*d %18lld", &most);
	return most;
}

static void show_buffers(void)
{
	const long long send = third_number("/proc/sys/net/ipv4/tcp_wmem"),
			receive = third_number("/proc/sys/net/ipv4/tcp_rmem");
	const long long least = send < receive ? send : receive;

	if (least <= 0)
		return;
	say("buffers",
	    "TCP sends up to %lld KiB ahead, receives %lld KiB: one stream moves at most %.0f Mbit/s over a "
	    "round trip of %.0f ms",
	    send / 1024, receive / 1024, 8e-6 * (double)least / FAR_S, 1e3 * FAR_S);
	if (least < (long long)WINDOW_WANTED)
		advise("for links with a long round trip: sysctl -w net.ipv4.tcp_wmem=\"4096 65536 %u\" "
		       "net.ipv4.tcp_rmem=\"4096 131072 %u\", or more streams (PCCL_STREAMS)",
		       WINDOW_WANTED, WINDOW_WANTED);
}

static void show_congestion(void)
{
	char now[LINE_BYTES], there[LINE_BYTES];

	if (!read_line("/proc/sys/net/ipv4/tcp_congestion_control", now))
		return;
	(void)read_line("/proc/sys/net/ipv4/tcp_available_congestion_control", there);
	say("congestion", "%s (there are: %s)", now, there);
	if (strcmp(now, "bbr") != 0)
		advise("for links that lose packets: %ssysctl -w net.ipv4.tcp_congestion_control=bbr",
		       strstr(there, "bbr") != NULL ? "" : "modprobe tcp_bbr; ");
}

static void show_limits(void)
{
	struct rlimit files, locked;

	if (getrlimit(RLIMIT_NOFILE, &files) != 0 || getrlimit(RLIMIT_MEMLOCK, &locked) != 0)
		return;
	say("descriptors", "%llu: each peer takes one for each lane and stream", (unsigned long long)files.rlim_cur);
	if (locked.rlim_cur == RLIM_INFINITY)
		say("locked memory", "as much as there is");
	else
		say("locked memory", "%llu KiB", (unsigned long long)locked.rlim_cur / 1024);
	if (files.rlim_cur < 1024)
		advise("ulimit -n 4096");
}

/* ---- all of it ------------------------------------------------------------------------------------------------- */

static int show(const char *there)
{
	struct pccl_address source;
	const bool found = there == NULL || find_source(there, &source);
	size_t i;

	say("pccl", VERSION, VERSION_NUMBERS);
	show_processors();
	show_interfaces(there != NULL && found ? &source : NULL);
	show_buffers();
	show_congestion();
	show_limits();
	for (i = 0; i < advice_count; i++)
		printf("%s%s\n", i == 0 ? "\nWhat would help:\n  " : "  ", advice[i]);
	return found ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {
		{"version", no_argument, NULL, 'V'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
	int flag;

	while ((flag = getopt_long(argc, argv, "Vh", longs, NULL)) != -1) {
		if (flag != 'V' && flag != 'h')
			return 2;
		if (flag == 'h')
			fputs(usage, stdout);
		else
			printf("pccl-info " VERSION "\n", VERSION_NUMBERS);
		return EXIT_SUCCESS;
	}
	if (argc - optind > 1) {
		fputs("pccl-info: one HOST:PORT at most\n", stderr);
		return 2;
	}
	return show(argc > optind ? argv[optind] : NULL);
}
