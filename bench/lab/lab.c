/* Namespaces and their devices; middle.c carries what they send. */
#include "lab.h"

#include "../local.h"
#include "middle.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static bool complain(const char *what)
{
	(void)fprintf(stderr, "lab: ");
	perror(what);
	return false;
}

static bool parse_unit(const char **at, const char *const *units, const double *factors, double *value_out)
{
	char *end;
	const double value = strtod(*at, &end);
	unsigned i;

	for (i = 0; units[i] != NULL; i++) {
		const size_t length = strlen(units[i]);

		if (end == *at || !(value >= 0) || strncmp(end, units[i], length) != 0)
			continue;
		*value_out = value * factors[i];
		*at = end + length;
		return true;
	}
	return false;
}

bool lab_parse(const char *text, struct lab *lab)
{
	static const char *const rates[] = {"kbit", "mbit", "gbit", NULL}, *const times[] = {"us", "ms", "s", NULL};
	static const double rate_factors[] = {1e3, 1e6, 1e9}, time_factors[] = {1e3, 1e6, 1e9};
	static const char *const shares[] = {"%", NULL};
	static const double share_factors[] = {0.01};
	double round_trip_ns;

	if (!parse_unit(&text, rates, rate_factors, &lab->rate) || *text++ != ':' ||
	    !parse_unit(&text, times, time_factors, &round_trip_ns))
		return false;
	lab->loss = 0;
	if (*text == ':') {
		text++;
		if (!parse_unit(&text, shares, share_factors, &lab->loss))
			return false;
	}
	lab->delay_ns = (uint64_t)(round_trip_ns / 2);
	return *text == '\0' && lab->rate >= 1e3 && round_trip_ns <= 1e10 && lab->loss < 1;
}

ccoip_inet_address_t lab_address(unsigned node)
{
	ccoip_inet_address_t address = {inetIPv4, {{10, 77, 0, (uint8_t)(node + 1)}}, {{0}}};

	return address;
}

static bool bring_up(int fd, const char *name, const ccoip_inet_address_t *address)
{
	struct ifreq request;
	struct sockaddr_in where;

	memset(&request, 0, sizeof(request));
	strncpy(request.ifr_name, name, sizeof(request.ifr_name) - 1);
	if (address != NULL) {
		memset(&where, 0, sizeof(where));
		where.sin_family = AF_INET;
		memcpy(&where.sin_addr, address->ipv4.data, 4);
		memcpy(&request.ifr_addr, &where, sizeof(where));
		if (ioctl(fd, SIOCSIFADDR, &request) != 0)
			return false;
		where.sin_addr.s_addr = htonl(0xffffff00);
		memcpy(&request.ifr_netmask, &where, sizeof(where));
		if (ioctl(fd, SIOCSIFNETMASK, &request) != 0)
			return false;
	}
	request.ifr_flags = IFF_UP | IFF_RUNNING;
	return ioctl(fd, SIOCSIFFLAGS, &request) == 0;
}

/* A device in the namespace of the caller. -1: there is none. */
static int open_device(unsigned node)
{
	const ccoip_inet_address_t address = lab_address(node);
	int device = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC), fd;
	struct ifreq request;
	bool is_up;

	if (device < 0)
		return -1;
	memset(&request, 0, sizeof(request));
	strcpy(request.ifr_name, "lab0");
	request.ifr_flags = IFF_TUN | IFF_NO_PI;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	is_up = fd >= 0 && ioctl(device, TUNSETIFF, &request) == 0 && bring_up(fd, "lo", NULL) &&
		bring_up(fd, "lab0", &address);
	if (fd >= 0)
		close(fd);
	if (is_up)
		return device;
	close(device);
	return -1;
}

bool lab_enter(const struct lab *lab, unsigned node)
{
	int device;
	bool told;

	if (unshare(CLONE_NEWNET) != 0)
		return complain("making a network namespace");
	device = open_device(node);
	if (device < 0)
		return complain("making a network device");
	told = middle_tell(lab->control, node, device);
	close(device);
	return told ? true : complain("telling of a network device");
}

static int middle_body(uint32_t index, void *context)
{
	const struct lab *lab = (const struct lab *)context;

	(void)index;
	return middle_run(lab->control, lab->rate, lab->delay_ns, lab->loss);
}

bool lab_start(struct lab *lab)
{
	struct lab there = *lab;
	int ends[2];

	if (geteuid() != 0 && unshare(CLONE_NEWUSER) != 0)
		return complain("making a user namespace");
	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends) != 0)
		return complain("making a pair of sockets");
	lab->control = ends[0];
	there.control = ends[1];
	lab->middle = bench_spawn(middle_body, 0, &there);
	close(ends[1]);
	/* Nothing leaves this machine. */
	return lab->middle > 0 && setenv("PCCL_SECURITY", "none", 0) == 0 && lab_enter(lab, 0);
}

uint64_t lab_sent_bytes(void)
{
	FILE *file = fopen("/proc/self/net/dev", "re");
	unsigned long long bytes = 0, sent;
	char line[256];

	while (file != NULL && fgets(line, sizeof(line), file) != NULL)
		if (sscanf(line, " lab0: %*u %*u %*u %*u %*u %*u %*u %*u %llu", &sent) == 1)
			bytes = sent;
	if (file != NULL)
		(void)fclose(file);
	return bytes;
}

void lab_stop(struct lab *lab)
{
	if (lab->middle <= 0)
		return;
	kill(lab->middle, SIGTERM);
	(void)waitpid(lab->middle, NULL, 0);
	close(lab->control);
	lab->middle = 0;
}
