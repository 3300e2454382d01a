/* What the kernel knows of a connection's way: apart, for its header does not go together with the C library's. */
#include "base/time.h"
#include "transport/engine/socket.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

static uint64_t without(uint64_t whole, uint64_t part)
{
	return whole > part ? whole - part : 0;
}

bool pccl_socket_measure(int fd, struct pccl_stream_counters *counters)
{
	struct tcp_info info;
	socklen_t bytes = sizeof(info);

	/* An older kernel fills in less. */
	memset(&info, 0, sizeof(info));
	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &bytes) != 0)
		return false;
	counters->acked_ns = pccl_clock_ns() - info.tcpi_last_ack_recv * PCCL_MS_NS;
	counters->bytes_per_second = info.tcpi_delivery_rate;
	/* The rest of the time data waited for the other side to read, or for this one to write. */
	counters->network_ns =
		without(info.tcpi_busy_time, info.tcpi_rwnd_limited + info.tcpi_sndbuf_limited) * UINT64_C(1000);
	/* Who has no window gets probes, and answers them. */
	counters->awaits = info.tcpi_unacked > 0 || info.tcpi_probes > 0;
	if (info.tcpi_min_rtt != UINT32_MAX) /* nothing measured yet */
		counters->trip_ns = info.tcpi_min_rtt * UINT64_C(1000);
	return true;
}
