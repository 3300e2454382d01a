/* Members of one process that have a join secret and the stand-in for libibverbs: what they reduce goes over RDMA where
 * both trust the network, else not. The one test of RDMA that knows nothing of the library's inside. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <netinet/in.h>

#include <pccl.h>
#include <pccl/security.h>

#include "lib/check.h"
#include "lib/device.h"

enum { MEMBERS = 2, COUNT = 1 << 16 };

static const struct standin_verbs *standin;
static char secret[PCCL_SECRET_TEXT_BYTES];

struct member {
	pcclCommCreateParams_t params;
	const char *trusts;
	pthread_barrier_t *end;
	char failed[256]; /* why; "": it has not */
};

static ccoip_socket_address_t free_place(void)
{
	ccoip_socket_address_t place = {.inet = {.protocol = inetIPv4, .ipv4 = {.data = {127, 0, 0, 1}}}};
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t bytes = sizeof(address);
	const int fd = socket(AF_INET, SOCK_STREAM, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &bytes), 0);
	close(fd);
	place.port = ntohs(address.sin_port);
	return place;
}

static bool is_complete(const pcclComm_t *comm)
{
	int size = 0;

	return pcclGetAttribute(comm, PCCL_ATTRIBUTE_PEER_GROUP_WORLD_SIZE, &size) == pcclSuccess && size == MEMBERS;
}

static const char *reduce(pcclComm_t *comm)
{
	const pcclReduceDescriptor_t descriptor = {
		.count = COUNT, .op = pcclSum, .tag = 1, .src_descriptor = {pcclInt64, pcclDistributionNone}};
	int64_t *numbers = malloc(2 * COUNT * sizeof(*numbers));
	const char *failed = NULL;
	int i;

	while (!is_complete(comm) && failed == NULL)
		if (pcclUpdateTopology(comm) != pcclSuccess)
			failed = pcclGetLastError(comm);
	for (i = 0; i < COUNT; i++)
		numbers[i] = i;
	if (failed == NULL && pcclAllReduce(numbers, numbers + COUNT, &descriptor, comm, NULL) != pcclSuccess)
		failed = pcclGetLastError(comm);
	for (i = 0; i < COUNT && failed == NULL; i++)
		if (numbers[COUNT + i] != (int64_t)MEMBERS * i)
			failed = "another number";
	free(numbers);
	return failed;
}

static void *take_part(void *context)
{
	struct member *member = context;
	pcclSecurity_t security = PCCL_SECURITY_INITIALIZER;
	pcclConfig_t config = PCCL_CONFIG_INITIALIZER;
	pcclComm_t *comm = NULL;
	const char *failed;

	security.secret = secret;
	security.rdma_trusted = member->trusts;
	config.security = &security;
	config.transport = pcclTransportRdma;
	config.listen_address = config.advertised_address = "127.0.0.1";
	config.lanes = 2;
	if (pcclCreateCommunicatorWithConfig(&member->params, &config, &comm) != pcclSuccess ||
	    pcclConnect(comm) != pcclSuccess)
		failed = pcclGetLastError(comm);
	else
		failed = reduce(comm);
	if (failed != NULL)
		(void)snprintf(member->failed, sizeof(member->failed), "%s", failed);
	if (failed != NULL && comm != NULL)
		(void)pcclCommAbort(comm); /* the other one does not wait for it */
	(void)pthread_barrier_wait(member->end);
	if (comm != NULL)
		(void)pcclDestroyCommunicator(comm);
	return NULL;
}

/* Messages that the devices have carried while they reduced. */
static long run(const char *first_trusts, const char *second_trusts)
{
	struct member members[MEMBERS] = {{.trusts = first_trusts}, {.trusts = second_trusts}};
	const ccoip_socket_address_t place = free_place();
	const long carried = standin->carried();
	pcclSecurity_t security = PCCL_SECURITY_INITIALIZER;
	pcclMasterInstance_t *master;
	pthread_t threads[MEMBERS];
	pthread_barrier_t end;
	int i;

	security.secret = secret;
	assert_int_equal(pcclCreateMaster(place, &master), pcclSuccess);
	assert_int_equal(pcclSetMasterSecurity(master, &security), pcclSuccess);
	assert_int_equal(pcclRunMaster(master), pcclSuccess);
	assert_int_equal(pthread_barrier_init(&end, NULL, MEMBERS), 0);
	for (i = 0; i < MEMBERS; i++) {
		members[i].params.master_address = place;
		members[i].end = &end;
		assert_int_equal(pthread_create(&threads[i], NULL, take_part, &members[i]), 0);
	}
	for (i = 0; i < MEMBERS; i++) {
		pthread_join(threads[i], NULL);
		if (members[i].failed[0] != '\0')
			fail_msg("member %d: %s", i, members[i].failed);
	}
	pthread_barrier_destroy(&end);
	assert_int_equal(pcclDestroyMaster(master), pcclSuccess);
	return standin->carried() - carried;
}

static void members_that_trust_the_network_reduce_over_rdma(void **state)
{
	(void)state;
	assert_true(run("127.0.0.0/8", "10.0.0.0/8,127.0.0.1/32") > 10);
	assert_int_equal(standin->left(), 0);
}

static void where_one_does_not_it_goes_over_tls(void **state)
{
	(void)state;
	assert_int_equal(run(NULL, NULL), 0);
	assert_int_equal(run("127.0.0.0/8", NULL), 0);
	assert_int_equal(run("127.0.0.0/8", "10.0.0.0/8"), 0);
	assert_int_equal(standin->left(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(members_that_trust_the_network_reduce_over_rdma),
		cmocka_unit_test(where_one_does_not_it_goes_over_tls),
	};

	standin = check_standin_verbs();
	if (pcclInit() != pcclSuccess || pcclGenerateSecret(secret) != pcclSuccess)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
