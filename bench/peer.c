/* Joining, meeting and leaving; see peer.h. */
#include "peer.h"

#include "agree.h"

#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

/* Tags of the program's own small operations, away from those that are measured. */
#define TAG_GATHER (UINT64_C(1) << 40)
#define TAG_MEET (TAG_GATHER + 1)
#define TAG_AGREE (TAG_GATHER + 2)

/* Who is of another program never takes part in comparing flags. */
#define AGREE_TIMEOUT_MS 30000

void bench_complain(const char *what, pcclResult_t result)
{
	const char *cause = pcclGetLastError(NULL);

	fprintf(stderr, "allreduce-bench: %s: %s%s%s\n", what, pcclGetErrorString(result), *cause == '\0' ? "" : ": ",
		cause);
}

bool bench_resolve(const char *host, uint16_t port, ccoip_socket_address_t *address_out)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	struct addrinfo *found = NULL;
	int status = getaddrinfo(host, NULL, &hints, &found);

	if (status != 0) {
		fprintf(stderr, "allreduce-bench: cannot find host '%s': %s\n", host, gai_strerror(status));
		return false;
	}
	memset(address_out, 0, sizeof(*address_out));
	address_out->port = port;
	if (found->ai_family == AF_INET6) {
		struct sockaddr_in6 address;

		memcpy(&address, found->ai_addr, sizeof(address));
		address_out->inet.protocol = inetIPv6;
		memcpy(address_out->inet.ipv6.data, &address.sin6_addr, sizeof(address_out->inet.ipv6.data));
	} else {
		struct sockaddr_in address;

		memcpy(&address, found->ai_addr, sizeof(address));
		address_out->inet.protocol = inetIPv4;
		memcpy(address_out->inet.ipv4.data, &address.sin_addr, sizeof(address_out->inet.ipv4.data));
	}
	freeaddrinfo(found);
	return true;
}

bool bench_peer_refresh(struct bench_peer *peer)
{
	int world = 0;
	pcclResult_t result = pcclGetAttribute(peer->comm, PCCL_ATTRIBUTE_PEER_GROUP_WORLD_SIZE, &world);

	if (result == pcclSuccess)
		result = pcclGetRank(peer->comm, &peer->rank);
	if (result != pcclSuccess)
		bench_complain("reading the view", result);
	peer->world = (uint32_t)world;
	return result == pcclSuccess;
}

/* One joint look whether somebody waits, and if so the joint step that lets them in. */
static bool admit(struct bench_peer *peer)
{
	const struct timespec pause = {0, 20 * 1000 * 1000};
	bool pending = false;
	pcclResult_t result = pcclArePeersPending(peer->comm, &pending);

	if (result != pcclSuccess) {
		bench_complain("asking for waiting peers", result);
		return false;
	}
	if (!pending) {
		nanosleep(&pause, NULL);
		return true;
	}
	result = pcclUpdateTopology(peer->comm);
	if (result != pcclSuccess)
		bench_complain("admitting peers", result);
	return result == pcclSuccess;
}

/* Peers that were started separately and differ in a flag would wait for each other for ever: so all compare whenever
 * there is a new one. Complains, and is false at all of them. */
static bool agree(const struct bench_peer *peer)
{
	pcclOperation_t operation = PCCL_OPERATION_INITIALIZER;
	uint64_t mine[BENCH_AGREE_FLAGS], *all;
	char text[BENCH_PROBLEM_BYTES];
	pcclResult_t result;
	bool same;

	if (peer->options->mode != BENCH_MODE_PEER || peer->world < 2)
		return true;
	all = calloc(peer->world, sizeof(mine));
	if (all == NULL) {
		fprintf(stderr, "allreduce-bench: not enough memory for the flags of %u peers\n", peer->world);
		return false;
	}
	bench_agree_fill(peer->options, mine);
	operation.count = BENCH_AGREE_FLAGS;
	operation.datatype = pcclUint64;
	operation.tag = TAG_AGREE;
	operation.timeout_ms = AGREE_TIMEOUT_MS;
	operation.failure_policy = pcclPolicyAbort;
	result = pcclAllGather(mine, all, &operation, peer->comm, NULL);
	same = result == pcclSuccess;
	if (!same)
		bench_complain("comparing flags with the other peers", result);
	for (uint32_t rank = 0; same && rank < peer->world; rank++) {
		same = !bench_agree_differ(mine, all + (size_t)rank * BENCH_AGREE_FLAGS, text);
		if (!same)
			fprintf(stderr, "allreduce-bench: rank %u and this one, %u, were started with different %s\n",
				rank, peer->rank, text);
	}
	/* Who leaves at once may be gone before its last message has reached the others. */
	if (!same && result == pcclSuccess)
		(void)pcclBarrier(&operation, peer->comm);
	free(all);
	return same;
}

bool bench_peer_grow(struct bench_peer *peer, uint32_t world)
{
	if (!bench_peer_refresh(peer) || !agree(peer))
		return false;
	while (peer->world < world) {
		const uint32_t before = peer->world;

		if (!admit(peer) || !bench_peer_refresh(peer))
			return false;
		if (peer->world > before && !agree(peer))
			return false;
	}
	return true;
}

bool bench_peer_create(struct bench_peer *peer, const struct bench_options *options,
		       const ccoip_socket_address_t *master, struct bench_meeting *meeting)
{
	pcclCommCreateParams_t params = {.master_address = *master};
	pcclConfig_t config = PCCL_CONFIG_INITIALIZER;
	pcclResult_t result = pcclInit();

	memset(peer, 0, sizeof(*peer));
	peer->options = options;
	peer->meeting = meeting;
	config.lanes = options->lanes;
	config.streams = options->streams;
	config.failure_policy = options->policy;
	config.zstd = options->zstd;
	config.checksums = options->checksums;
	config.transport = options->transport;
	config.verify = options->verify;
	if (result == pcclSuccess)
		result = pcclCreateCommunicatorWithConfig(&params, &config, &peer->comm);
	if (result != pcclSuccess)
		bench_complain("creating the communicator", result);
	return result == pcclSuccess;
}

bool bench_peer_connect(const struct bench_peer *peer)
{
	const pcclResult_t result = pcclConnect(peer->comm);

	if (result != pcclSuccess)
		bench_complain("joining", result);
	return result == pcclSuccess;
}

bool bench_peer_join(struct bench_peer *peer, const struct bench_options *options, const ccoip_socket_address_t *master,
		     struct bench_meeting *meeting)
{
	if (!bench_peer_create(peer, options, master, meeting))
		return false;
	if (bench_peer_connect(peer) && bench_peer_grow(peer, options->peers))
		return true;
	bench_peer_leave(peer);
	return false;
}

void bench_peer_leave(struct bench_peer *peer)
{
	if (peer->comm != NULL)
		pcclDestroyCommunicator(peer->comm);
	peer->comm = NULL;
}

bool bench_peer_meet(struct bench_peer *peer)
{
	pcclOperation_t operation = PCCL_OPERATION_INITIALIZER;
	pcclResult_t result;

	if (peer->meeting != NULL) {
		pthread_barrier_wait(&peer->meeting->barrier);
		return true;
	}
	if (peer->parted)
		return false;
	operation.tag = TAG_MEET;
	result = pcclBarrier(&operation, peer->comm);
	peer->parted = result != pcclSuccess;
	if (peer->parted)
		bench_complain("meeting the other peers", result);
	return result == pcclSuccess;
}

bool bench_peer_gather(struct bench_peer *peer, enum bench_gather how, double *values, size_t count)
{
	static const pcclRedOp_t ops[] = {pcclSum, pcclMax, pcclMin};
	pcclOperation_t operation = PCCL_OPERATION_INITIALIZER;
	pcclResult_t result;

	operation.count = count;
	operation.datatype = pcclDouble;
	operation.op = ops[how];
	operation.tag = TAG_GATHER;
	result = pcclAllReduceWith(values, values, &operation, peer->comm, NULL);
	peer->parted = result != pcclSuccess;
	if (peer->parted)
		bench_complain("combining the peers' figures", result);
	return result == pcclSuccess;
}
