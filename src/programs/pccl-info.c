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
#include "comm/bind.h"
#include "comm/cards.h"
#include "comm/cores.h"
#include "comm/settings.h"
#include "transport/address.h"
#include "transport/networks.h"
#include "transport/rdma/pair.h"
#include "transport/rdma/rdma.h"
#include "transport/rdma/survey.h"

#define LINE_BYTES 256
#define VERSION "%d.%d.%d"
#define VERSION_NUMBERS pcclGetVersion() / 10000, pcclGetVersion() / 100 % 100, pcclGetVersion() % 100
#define ADVICE_MAX 16
#define INTERFACES_MAX 16
#define FAR_S 0.1		  /* a round trip between continents */
#define WINDOW_WANTED (32u << 20) /* bytes: 2.5 Gbit/s over it */
#define LOCKED_WANTED (64u << 20) /* bytes: of connections over RDMA, with a MiB each */
#define PACKET_WANTED 4096u

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

/* As communicators read it: 0 is as if it were not there. false: they refuse it. */
static bool read_lanes(const char *given, unsigned long *lanes_out)
{
	char *end;

	*lanes_out = 0;
	if (given == NULL || *given == '\0')
		return true;
	*lanes_out = strtoul(given, &end, 10);
	return *given >= '0' && *given <= '9' && *end == '\0' && *lanes_out <= PCCL_LANES_MAX;
}

static void show_lane_count(uint32_t usual)
{
	const char *given = getenv("PCCL_LANES");
	unsigned long lanes;

	if (!read_lanes(given, &lanes)) {
		say("lanes", "none: PCCL_LANES is \"%s\"", given);
		advise("PCCL_LANES is \"%s\", which every communicator refuses: it wants a number from 0 to %u", given,
		       PCCL_LANES_MAX);
	} else if (lanes > 0) {
		say("lanes", "%lu, as PCCL_LANES says; default here: %u", lanes, usual);
	} else {
		say("lanes", "%u: one for two cores, 4 at most; PCCL_LANES changes it", usual);
	}
}

static void show_processors(void)
{
	struct pccl_cores cores;
	char limits[LINE_BYTES] = "";
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
	show_lane_count(lanes);
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

/* Those with a device: bridges of containers, tunnels and the like have none. */
static char card_names[LINE_BYTES];
static uint32_t card_count;

static void note_card(const char *name)
{
	char list[LINE_BYTES + 1], wanted[IF_NAMESIZE + 2], path[LINE_BYTES];
	const size_t used = strlen(card_names);

	(void)snprintf(list, sizeof(list), "%s,", card_names);
	(void)snprintf(wanted, sizeof(wanted), "%s,", name);
	(void)snprintf(path, sizeof(path), "/sys/class/net/%s/device", name);
	if (access(path, F_OK) != 0 || strstr(list, wanted) != NULL || used + strlen(wanted) >= sizeof(card_names) ||
	    card_count == PCCL_CARDS_MAX)
		return; /* a second address of it */
	(void)snprintf(card_names + used, sizeof(card_names) - used, "%s%s", used > 0 ? "," : "", name);
	card_count++;
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
	note_card(at->ifa_name);
	if (mtu > 0 && mtu < 1500)
		advise("%s carries packets of %lld bytes at most (a tunnel?): where small transfers pass and large "
		       "ones "
		       "stall, see that ICMP passes",
		       at->ifa_name, mtu);
}

typedef void (*show_address)(const struct ifaddrs *at, const struct pccl_address *address, bool leads);

/* Those that peers may dial, and the one that leads there. Returns how many there are. */
static unsigned for_addresses(const struct pccl_address *source, show_address show)
{
	struct ifaddrs *list = NULL;
	const struct ifaddrs *at;
	struct pccl_address address;
	unsigned shown = 0;

	if (getifaddrs(&list) != 0)
		return 0;
	for (at = list; at != NULL; at = at->ifa_next) {
		bool leads;

		if ((at->ifa_flags & IFF_UP) == 0 || !pccl_address_from_system(at->ifa_addr, &address))
			continue;
		leads = source != NULL && pccl_address_same_host(&address, source);
		if (!leads && !pccl_address_may_be_told(&address))
			continue;
		show(at, &address, leads);
		shown++;
	}
	freeifaddrs(list);
	return shown;
}

static uint32_t lanes_here(void)
{
	struct pccl_cores cores;
	unsigned long lanes;

	if (read_lanes(getenv("PCCL_LANES"), &lanes) && lanes > 0)
		return (uint32_t)lanes;
	pccl_cores_find(&cores);
	return pccl_cores_lanes(&cores);
}

static void say_binding(const char *interface, const char *lanes, hwloc_const_cpuset_t set, enum pccl_bind bind)
{
	char list[LINE_BYTES];

	(void)hwloc_bitmap_list_snprintf(list, sizeof(list), set);
	say("binding", "%s over %s to processors %s: %s", lanes, interface, list, pccl_bind_words(bind));
}

/* Which of the cores near it each lane would get. */
static void show_lanes(const char *interface)
{
	const uint32_t lanes = lanes_here();
	hwloc_bitmap_t set = hwloc_bitmap_alloc();
	enum pccl_bind bind = set != NULL ? pccl_bind_look(interface, lanes, 0, set) : PCCL_BIND_UNKNOWN;
	char name[32];
	uint32_t lane;

	if (bind == PCCL_BIND_SHARED)
		say_binding(interface, "lanes", set, bind);
	else if (bind != PCCL_BIND_APART)
		say("binding", "lanes over %s run anywhere: %s", interface, pccl_bind_words(bind));
	for (lane = 0; lane < lanes && bind == PCCL_BIND_APART; lane++) {
		bind = pccl_bind_look(interface, lanes, lane, set);
		(void)snprintf(name, sizeof(name), "lane %u", lane);
		say_binding(interface, name, set, bind);
	}
	if (bind == PCCL_BIND_FAR)
		advise("no core that this process may use is near %s: give it some of that node", interface);
	hwloc_bitmap_free(set);
}

/* Once for an interface of several addresses. */
static void show_binding(const struct ifaddrs *at, const struct pccl_address *address, bool leads)
{
	static char shown[INTERFACES_MAX][IF_NAMESIZE];
	static uint32_t shown_count;
	uint32_t i;

	(void)address;
	(void)leads;
	for (i = 0; i < shown_count; i++)
		if (strcmp(shown[i], at->ifa_name) == 0)
			return;
	if (shown_count == INTERFACES_MAX)
		return;
	(void)snprintf(shown[shown_count++], IF_NAMESIZE, "%s", at->ifa_name);
	show_lanes(at->ifa_name);
}

static void say_missing(const char *name, const char *why)
{
	say("cards", "%s carries nothing: %s", name, why);
}

/* Those that are to carry payload; or the hint that there are several. */
static void show_cards(void)
{
	const char *names = getenv("PCCL_INTERFACES");
	struct pccl_cards cards;
	char host[PCCL_ADDRESS_BYTES];
	uint32_t i;

	if (names == NULL || *names == '\0') {
		say("cards", "wherever the system sends; PCCL_INTERFACES names several that carry payload together");
		if (card_count > 1)
			advise("%u network cards have addresses: PCCL_INTERFACES=%s at all peers uses them at once, if "
			       "they "
			       "lead to the same networks",
			       card_count, card_names);
		return;
	}
	if (pccl_cards_are_loopback(names)) {
		say("cards", "%s, as PCCL_INTERFACES says: peers and masters of this host only", names);
		return;
	}
	pccl_cards_find(names, &cards);
	for (i = 0; i < cards.count; i++) {
		pccl_address_text(&cards.cards[i].addresses[0].address, host);
		say("cards", "%s carries payload, %s, as PCCL_INTERFACES says", cards.cards[i].name, host);
	}
	pccl_cards_tell_missing(names, &cards, say_missing);
	if (cards.count == 0)
		advise("none of the interfaces %.100s (PCCL_INTERFACES) can carry anything: peers don't start", names);
}

static void show_interfaces(const struct pccl_address *source)
{
	int binding = pcclBindingAuto;

	if (for_addresses(source, show_interface) == 0)
		say("address", "none but loopback: peers of this host only");
	(void)pccl_settings_choice("PCCL_BINDING", 0, pcclEnumBinding, pcclBindingAuto, &binding);
	if (binding == pcclBindingOff)
		say("binding", "off, as PCCL_BINDING says");
	else
		(void)for_addresses(source, show_binding);
	show_cards();
}

/* By which of our addresses the way there begins. */
static bool find_source(const char *there, struct pccl_address *source_out)
{
	struct pccl_address address;
	char host[256];
	uint16_t port;
	size_t count = 1;
	bool found = pccl_address_split(there, CCOIP_PROTOCOL_PORT_MASTER, host, sizeof(host), &port) == pcclSuccess &&
		     pccl_address_resolve(host, port, &address, &count) == pcclSuccess;

	if (!found) {
		fprintf(stderr, "pccl-info: %s\n", pccl_fail_text());
		return false;
	}
	found = pccl_cards_source(&address, source_out);
	if (!found)
		perror("pccl-info: there is no way from here");
	return found;
}

/* ---- RDMA ------------------------------------------------------------------------------------------------------ */

static void show_port(void *context, const struct pccl_survey_port *port)
{
	char path[LINE_BYTES], node[LINE_BYTES], rate[LINE_BYTES], gids[PCCL_SURVEY_GIDS * PCCL_SURVEY_GID_BYTES] = "";
	size_t used = 0;
	uint32_t i;

	(void)context;
	if (port->port == 0) {
		say("rdma", "%s can't be opened: is this user allowed to use /dev/infiniband?", port->device);
		return;
	}
	snprintf(path, sizeof(path), "/sys/class/infiniband/%s/device/numa_node", port->device);
	(void)read_line(path, node);
	snprintf(path, sizeof(path), "/sys/class/infiniband/%s/ports/%u/rate", port->device, port->port);
	(void)read_line(path, rate);
	for (i = 0; i < port->gid_count; i++)
		used += (size_t)snprintf(gids + used, sizeof(gids) - used, "%s%s", i == 0 ? "; GID " : ", ",
					 port->gids[i]);
	say("rdma", "%s port %u: %s, %s%s%s%s%s, packets of %u bytes%s", port->device, port->port,
	    port->up ? "up" : "down", port->link, *rate != '\0' ? ", " : "", rate, *node != '\0' ? ", node " : "", node,
	    port->packet_bytes, gids);
	if (port->up && port->packet_bytes < PACKET_WANTED && port->packet_bytes < port->packet_most)
		advise("%s port %u could carry packets of %u bytes rather than %u: a larger MTU for its network",
		       port->device, port->port, port->packet_most < PACKET_WANTED ? port->packet_most : PACKET_WANTED,
		       port->packet_bytes);
}

static const struct pccl_networks *trusted; /* NULL: nobody has asked for RDMA beside security, or not in a list */
static uint32_t untrusted_count;	    /* of the devices that were tried */

static void read_trusted(void)
{
	static struct pccl_networks networks;
	const char *listed = getenv(PCCL_RDMA_TRUSTED);

	if (listed == NULL)
		return;
	if (pccl_networks_parse(listed, PCCL_RDMA_TRUSTED, &networks) == pcclSuccess)
		trusted = &networks;
	else
		say("rdma", "%s", pccl_fail_text());
}

/* Is it used beside a join secret, or certificates? "": nobody has asked for that. */
static void say_trust(const struct pccl_pair *pair, char text[LINE_BYTES])
{
	char address[PCCL_NETWORKS_TEXT_BYTES];
	struct pccl_terms_end end;

	text[0] = '\0';
	if (trusted == NULL)
		return;
	pccl_pair_tell(pair, &end);
	pccl_networks_text(end.gid, address);
	if (pccl_networks_have(trusted, end.gid)) {
		(void)snprintf(text, LINE_BYTES,
			       "; with psk or tls, too, unencrypted, to devices in the network of " PCCL_RDMA_TRUSTED
			       " that has %s",
			       address);
	} else {
		untrusted_count++;
		(void)snprintf(text, LINE_BYTES, "; with psk or tls over TLS: %s is not in " PCCL_RDMA_TRUSTED,
			       address);
	}
}

/* As a connection of this address would: all that it takes is made, and ended again. */
static void try_pair(const char *whose, const struct pccl_address *address, uint32_t rail)
{
	char text[PCCL_PAIR_DESCRIBE_BYTES], trust[LINE_BYTES];
	struct pccl_pair *pair;

	if (pccl_pair_create(address, rail, NULL, &pair) != pcclSuccess) {
		say("rdma", "%s: over TCP, or TLS with psk or tls: %s", whose, pccl_fail_text());
		return;
	}
	pccl_pair_describe(pair, text);
	say_trust(pair, trust);
	say("rdma", "%s: over %s%s", whose, text, trust);
	pccl_pair_destroy(pair);
}

static void show_choice(const struct ifaddrs *at, const struct pccl_address *address, bool leads)
{
	char host[PCCL_ADDRESS_BYTES];

	(void)at;
	(void)leads;
	pccl_address_text(address, host);
	try_pair(host, address, 0);
}

/* The same for all addresses. */
static void show_rails(void)
{
	const struct pccl_address none = {.storage.ss_family = AF_INET};
	char whose[LINE_BYTES];
	uint32_t rail;

	for (rail = 0; rail < pccl_pair_rails(); rail++) {
		snprintf(whose, sizeof(whose), "PCCL_RDMA_DEVICE, %u of %u", rail + 1, pccl_pair_rails());
		try_pair(whose, &none, rail);
	}
}

static void show_rdma(const struct pccl_address *source)
{
	const char *wire = getenv("PCCL_TRANSPORT"), *listed = getenv("PCCL_RDMA_DEVICE");
	struct rlimit locked;

	read_trusted();
	if (pccl_survey(show_port, NULL) != pcclSuccess) {
		say("rdma", "none: %s", pccl_fail_text());
		return;
	}
	if (listed != NULL && *listed != '\0')
		show_rails();
	else
		(void)for_addresses(source, show_choice);
	if (wire == NULL || strcmp(wire, "rdma") != 0)
		advise("PCCL_TRANSPORT=rdma on both sides: else the devices are not used");
	if (getenv(PCCL_RDMA_TRUSTED) == NULL)
		advise(PCCL_RDMA_TRUSTED "=network/bits,... on both sides, if there is a join secret or a certificate, "
					 "and tensors may go unencrypted there: else they go over TLS");
	if (untrusted_count > 0 && listed != NULL && strchr(listed, ',') != NULL)
		advise("PCCL_RDMA_DEVICE with devices in networks of " PCCL_RDMA_TRUSTED " only, if there is a join "
		       "secret or a certificate: what is offered over others goes over TLS");
	if (getrlimit(RLIMIT_MEMLOCK, &locked) == 0 && locked.rlim_cur < LOCKED_WANTED)
		advise("ulimit -l unlimited: each connection over RDMA locks a MiB");
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
	show_rdma(there != NULL && found ? &source : NULL);
	show_buffers();
	show_congestion();
	show_limits();
	for (i = 0; i < advice_count; i++)
		printf("%s%s\n", i == 0 ? "\nWhat would help:\n  " : "  ", advice[i]);
	return found ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int end_with(int status)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return status;
	fputs("pccl-info: what was printed could not be written\n", stderr);
	return EXIT_FAILURE;
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
		return end_with(EXIT_SUCCESS);
	}
	if (argc - optind > 1) {
		fputs("pccl-info: one HOST:PORT at most\n", stderr);
		return 2;
	}
	return end_with(show(argc > optind ? argv[optind] : NULL));
}
