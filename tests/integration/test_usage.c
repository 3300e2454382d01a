/* Calls that are wrong, at the wrong time, or without hope: the codes that programs written for PCCL 1.0 rely on. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/check.h"
#include "lib/peers.h"

static const pcclReduceDescriptor_t one_integer = {
	.count = 1, .op = pcclSum, .tag = 1, .src_descriptor = {pcclInt64, pcclDistributionNone}};

static void run_one_peer(void **state, world_body body)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_EMBEDDED);
	peers_start(world, 1, body, NULL);
	peers_finish(world);
}

/* ---- before anything ----------------------------------------------------------------------------------------- */

static void calls_without_init(struct world_peer *me)
{
	pcclAsyncReduceOp_t handle = {NULL, 0};
	pcclBuildInfo_t build;
	int64_t value = 0;
	bool pending;
	int size;

	CHECK_RESULT(pcclSuccess, pcclGetBuildInfo(&build));
	CHECK(build.has_cuda_support);
	CHECK_RESULT(pcclInvalidArgument, pcclGetBuildInfo(NULL));
	CHECK(pcclGetVersion() == PCCL_VERSION_MAJOR * 10000 + PCCL_VERSION_MINOR * 100 + PCCL_VERSION_PATCH);
	CHECK_RESULT(pcclNotInitialized, pcclCreateCommunicator(&me->params, &me->comm));
	CHECK_RESULT(pcclNotInitialized, pcclConnect(NULL));
	CHECK_RESULT(pcclNotInitialized, pcclGetAttribute(NULL, PCCL_ATTRIBUTE_GLOBAL_WORLD_SIZE, &size));
	CHECK_RESULT(pcclNotInitialized, pcclUpdateTopology(NULL));
	CHECK_RESULT(pcclNotInitialized, pcclArePeersPending(NULL, &pending));
	CHECK_RESULT(pcclNotInitialized, pcclOptimizeTopology(NULL));
	CHECK_RESULT(pcclNotInitialized, pcclAllReduce(&value, &value, &one_integer, NULL, NULL));
	CHECK_RESULT(pcclNotInitialized, pcclAllReduceAsync(&value, &value, &one_integer, NULL, &handle));
	CHECK_RESULT(pcclNotInitialized, pcclAwaitAsyncReduce(&handle, NULL));
	CHECK_RESULT(pcclNotInitialized, pcclCommAbort(NULL));
	CHECK_RESULT(pcclNotInitialized, pcclDestroyCommunicator(NULL));
	CHECK_RESULT(pcclSuccess, pcclInit());
	CHECK_RESULT(pcclSuccess, pcclInit());
}

static void nothing_works_before_init_but_what_says_so(void **state)
{
	run_one_peer(state, calls_without_init);
}

static void calls_with_null(struct world_peer *me)
{
	pcclAsyncReduceOp_t handle = {NULL, 0};
	int64_t value = 0;
	bool pending;
	int size;

	CHECK_RESULT(pcclSuccess, pcclInit());
	CHECK_RESULT(pcclInvalidArgument, pcclCreateCommunicator(&me->params, NULL));
	CHECK_RESULT(pcclInvalidArgument, pcclCreateCommunicator(NULL, &me->comm));
	CHECK_RESULT(pcclInvalidArgument, pcclConnect(NULL));
	CHECK_RESULT(pcclInvalidArgument, pcclGetAttribute(NULL, PCCL_ATTRIBUTE_GLOBAL_WORLD_SIZE, &size));
	CHECK_RESULT(pcclInvalidArgument, pcclUpdateTopology(NULL));
	CHECK_RESULT(pcclInvalidArgument, pcclArePeersPending(NULL, &pending));
	CHECK_RESULT(pcclInvalidArgument, pcclOptimizeTopology(NULL));
	CHECK_RESULT(pcclInvalidArgument, pcclAllReduce(&value, &value, &one_integer, NULL, NULL));
	CHECK_RESULT(pcclInvalidArgument, pcclAllReduceAsync(&value, &value, &one_integer, NULL, &handle));
	CHECK_RESULT(pcclInvalidArgument, pcclAwaitAsyncReduce(NULL, NULL));
	CHECK_RESULT(pcclInvalidArgument, pcclAwaitAsyncReduce(&handle, NULL));
	CHECK_RESULT(pcclInvalidArgument, pcclAllReduceMultipleWithRetry(NULL, 1, NULL, NULL, 1));
	CHECK_RESULT(pcclInvalidArgument, pcclCommAbort(NULL));
	CHECK_RESULT(pcclInvalidArgument, pcclDestroyCommunicator(NULL));
	CHECK(strstr(pcclGetLastError(NULL), "NULL") != NULL);
	CHECK(strlen(pcclGetErrorString(pcclInvalidArgument)) > 0);
	CHECK(strlen(pcclGetErrorString((pcclResult_t)12345)) > 0);
}

static void null_is_an_invalid_argument_everywhere(void **state)
{
	run_one_peer(state, calls_with_null);
}

/* ---- a communicator that is not connected -------------------------------------------------------------------- */

static void calls_unconnected(struct world_peer *me)
{
	pcclAsyncReduceOp_t handle;
	pcclReduceOpDescriptor_t multiple;
	pcclRankUuid_t uuid;
	uint64_t epoch;
	uint32_t rank;
	int64_t value = 0;
	bool pending;
	int size;

	multiple.sendbuf = multiple.recvbuf = &value;
	multiple.descriptor = one_integer;
	peer_create(me);
	handle.comm = me->comm;
	handle.tag = 1;
	CHECK_RESULT(pcclInvalidUsage, pcclGetAttribute(me->comm, PCCL_ATTRIBUTE_GLOBAL_WORLD_SIZE, &size));
	CHECK_RESULT(pcclInvalidUsage, pcclGetRank(me->comm, &rank));
	CHECK_RESULT(pcclInvalidUsage, pcclGetEpoch(me->comm, &epoch));
	CHECK_RESULT(pcclInvalidUsage, pcclGetUuid(me->comm, &uuid));
	CHECK_RESULT(pcclInvalidUsage, pcclUpdateTopology(me->comm));
	CHECK_RESULT(pcclInvalidUsage, pcclArePeersPending(me->comm, &pending));
	CHECK_RESULT(pcclInvalidUsage, pcclOptimizeTopology(me->comm));
	CHECK_RESULT(pcclInvalidUsage, pcclAllReduce(&value, &value, &one_integer, me->comm, NULL));
	CHECK_RESULT(pcclInvalidUsage, pcclAwaitAsyncReduce(&handle, NULL));
	CHECK_RESULT(pcclInvalidUsage, pcclAllReduceAsync(&value, &value, &one_integer, me->comm, &handle));
	CHECK(handle.comm == NULL);
	CHECK_RESULT(pcclInvalidUsage, pcclAllReduceMultipleWithRetry(&multiple, 1, me->comm, NULL, 1));
	CHECK(strstr(pcclGetLastError(me->comm), "pcclConnect") != NULL);
	CHECK_RESULT(pcclSuccess, pcclDestroyCommunicator(me->comm));
}

static void an_unconnected_communicator_can_only_connect(void **state)
{
	run_one_peer(state, calls_unconnected);
}

/* ---- alone in the world -------------------------------------------------------------------------------------- */

static void calls_alone(struct world_peer *me)
{
	pcclReduceDescriptor_t bad = one_integer;
	pcclReduceOpDescriptor_t multiple;
	pcclAsyncReduceOp_t handle;
	int64_t value = 0;
	bool pending = true;
	int size;

	multiple.sendbuf = multiple.recvbuf = &value;
	multiple.descriptor = one_integer;
	peer_join(me);
	CHECK_RESULT(pcclInvalidUsage, pcclConnect(me->comm));
	CHECK_RESULT(pcclInvalidArgument, pcclGetAttribute(me->comm, PCCL_ATTRIBUTE_GLOBAL_WORLD_SIZE, NULL));
	CHECK_RESULT(pcclInvalidArgument, pcclGetAttribute(me->comm, (pcclAttribute_t)99, &size));
	CHECK_RESULT(pcclInvalidArgument, pcclGetRank(me->comm, NULL));
	CHECK_RESULT(pcclInvalidArgument, pcclArePeersPending(me->comm, NULL));
	CHECK_RESULT(pcclSuccess, pcclArePeersPending(me->comm, &pending));
	CHECK(!pending);
	CHECK_RESULT(pcclInvalidUsage, pcclOptimizeTopology(me->comm));
	CHECK_RESULT(pcclSuccess, pcclUpdateTopology(me->comm));
	CHECK_RESULT(pcclTooFewPeers, pcclAllReduce(&value, &value, &one_integer, me->comm, NULL));
	CHECK_RESULT(pcclTooFewPeers, pcclAllReduceAsync(&value, &value, &one_integer, me->comm, &handle));
	CHECK_RESULT(pcclTooFewPeers, pcclAllReduceMultipleWithRetry(&multiple, 1, me->comm, NULL, 1));
	CHECK_RESULT(pcclInvalidArgument, pcclAllReduceMultipleWithRetry(&multiple, 0, me->comm, NULL, 1));
	CHECK_RESULT(pcclInvalidArgument, pcclAllReduceMultipleWithRetry(&multiple, 1, me->comm, NULL, 0));
	CHECK_RESULT(pcclInvalidArgument, pcclAllReduceAsync(&value, &value, &one_integer, me->comm, NULL));
	bad.src_descriptor.datatype = (pcclDataType_t)12;
	CHECK_RESULT(pcclInvalidArgument, pcclAllReduce(&value, &value, &bad, me->comm, NULL));
	CHECK_RESULT(pcclSuccess, pcclUpdateTopology(me->comm));
	peer_leave(me);
}

static void a_world_of_one_has_nobody_to_reduce_with(void **state)
{
	run_one_peer(state, calls_alone);
}

/* ---- in a world of two --------------------------------------------------------------------------------------- */

static void check_bad_arguments(struct world_peer *me)
{
	pcclOperation_t operation = PCCL_OPERATION_INITIALIZER;
	pcclOperationInfo_t info = PCCL_OPERATION_INFO_INITIALIZER;
	pcclReduceDescriptor_t bad = one_integer;
	int64_t value = 0, sum;

	bad.op = (pcclRedOp_t)5;
	CHECK_RESULT(pcclInvalidArgument, pcclAllReduce(&value, &sum, &bad, me->comm, NULL));
	bad = one_integer;
	bad.quantization_options.algorithm = (pcclQuantizationAlgorithm_t)98;
	CHECK_RESULT(pcclInvalidArgument, pcclAllReduce(&value, &sum, &bad, me->comm, NULL));
	CHECK_RESULT(pcclInvalidArgument, pcclAllReduce(&value, &sum, NULL, me->comm, NULL));
	CHECK_RESULT(pcclInvalidArgument, pcclAllReduce(NULL, &sum, &one_integer, me->comm, NULL));
	CHECK_RESULT(pcclInvalidArgument, pcclAllReduce(&value, NULL, &one_integer, me->comm, NULL));
	operation.count = SIZE_MAX;
	CHECK_RESULT(pcclInvalidArgument, pcclAllReduceWith(&value, &sum, &operation, me->comm, NULL));
	operation.count = 1;
	operation.size = 1;
	CHECK_RESULT(pcclInvalidArgument, pcclAllReduceWith(&value, &sum, &operation, me->comm, NULL));
	operation.size = sizeof(operation);
	operation.reserved[0] = 1;
	CHECK_RESULT(pcclInvalidArgument, pcclAllReduceWith(&value, &sum, &operation, me->comm, NULL));
	operation.reserved[0] = 0;
	info.reserved[0] = 1;
	CHECK_RESULT(pcclInvalidArgument, pcclAllReduceWith(&value, &sum, &operation, me->comm, &info));
	operation.plan = (pcclPlan_t)77;
	CHECK_RESULT(pcclInvalidArgument, pcclAllReduceWith(&value, &sum, &operation, me->comm, NULL));
	operation.plan = pcclPlanAuto;
	operation.failure_policy = (pcclFailurePolicy_t)1;
	CHECK_RESULT(pcclInvalidArgument, pcclAllReduceWith(&value, &sum, &operation, me->comm, NULL));
	operation.failure_policy = pcclPolicyDefault;
	operation.root = 2;
	CHECK_RESULT(pcclInvalidArgument, pcclBroadcast(&value, &sum, &operation, me->comm, NULL));
	CHECK_RESULT(pcclInvalidArgument, pcclAllReduceWith(&value, &sum, NULL, me->comm, NULL));
}

static void check_pending_operations(struct world_peer *me)
{
	int64_t second = 0;
	pcclReduceDescriptor_t descriptor = one_integer;
	pcclAsyncReduceOp_t handle, other, unknown;
	pcclTensorInfo_t tensor = {"sum", &second, 1, pcclInt64, pcclDeviceCpu, false};
	pcclSharedState_t state = {0, 1, &tensor};
	int64_t value = 21, sum = 0;
	bool pending = true;

	CHECK_RESULT(pcclSuccess, pcclAllReduceAsync(&value, &sum, &descriptor, me->comm, &handle));
	CHECK_RESULT(pcclInvalidArgument, pcclAllReduceAsync(&value, &second, &descriptor, me->comm, &other));
	CHECK_RESULT(pcclPendingAsyncOps, pcclUpdateTopology(me->comm));
	CHECK_RESULT(
		pcclPendingAsyncOps,
		pcclSynchronizeSharedState(me->comm, &state, PCCL_SHARED_STATE_SYNC_STRATEGY_ENFORCE_POPULAR, NULL));
	CHECK_RESULT(pcclSuccess, pcclArePeersPending(me->comm, &pending));
	CHECK(!pending);
	/* Another tag may run beside it. */
	descriptor.tag = 2;
	CHECK_RESULT(pcclSuccess, pcclAllReduce(&value, &second, &descriptor, me->comm, NULL));
	CHECK(second == 42);
	unknown.comm = me->comm;
	unknown.tag = 3;
	CHECK_RESULT(pcclRankConnectionLost, pcclAwaitAsyncReduce(&unknown, NULL));
	/* It has ended long ago, but counts until it is awaited. */
	CHECK_RESULT(pcclPendingAsyncOps, pcclUpdateTopology(me->comm));
	CHECK_RESULT(pcclSuccess, pcclAwaitAsyncReduce(&handle, NULL));
	CHECK(sum == 42);
	CHECK_RESULT(pcclRankConnectionLost, pcclAwaitAsyncReduce(&handle, NULL));
	CHECK_RESULT(pcclSuccess, pcclUpdateTopology(me->comm));
}

static void misuses_a_world_of_two(struct world_peer *me)
{
	int64_t sum;

	peer_join(me);
	peer_grow(me, 2);
	CHECK_RESULT(pcclInvalidUsage, pcclConnect(me->comm));
	check_bad_arguments(me);
	check_pending_operations(me);
	CHECK_RESULT(pcclSuccess, pcclOptimizeTopology(me->comm));
	CHECK_RESULT(pcclSuccess, peer_sum(me, 1, 5, &sum));
	CHECK(sum == 10);
	peer_leave(me);
}

static void misuse_is_refused_and_does_no_harm(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_PROGRAM);
	peers_start(world, 2, misuses_a_world_of_two, NULL);
	peers_finish(world);
}

/* ---- no master, no name, no port ----------------------------------------------------------------------------- */

static void connects_in_vain_then_well(struct world_peer *me)
{
	uint64_t before_ns = peers_now_ns();

	me->config.connect_timeout_ms = 2000;
	peer_create(me);
	CHECK_RESULT(pcclMasterConnectionFailed, pcclConnect(me->comm));
	CHECK(strlen(pcclGetLastError(me->comm)) > 0);
	CHECK_RESULT(pcclMasterConnectionFailed, pcclConnect(me->comm));
	CHECK(peers_is_soon(peers_now_ns(), before_ns + 4 * WORLD_SECOND_NS));
	CHECK_RESULT(pcclInvalidUsage, pcclUpdateTopology(me->comm));
	peer_reach(me, 1);
	peer_wait_gate(me, 1);
	CHECK_RESULT(pcclSuccess, pcclConnect(me->comm));
	CHECK(peer_world_size(me) == 1);
	peer_leave(me);
}

static void connects_once(struct world_peer *me)
{
	uint64_t before_ns = peers_now_ns();

	me->params.master_address = peers_address(me->world, peers_free_port(1));
	me->config.connect_attempts = 1;
	peer_create(me);
	CHECK_RESULT(pcclMasterConnectionFailed, pcclConnect(me->comm));
	CHECK(strstr(pcclGetLastError(me->comm), "refused") != NULL);
	CHECK(peers_is_soon(peers_now_ns(), before_ns));
	peer_leave(me);
}

static void one_attempt_ends_at_a_port_that_refuses(void **state)
{
	run_one_peer(state, connects_once);
}

static void connect_may_be_repeated_until_there_is_a_master(void **state)
{
	struct world *world = *state;
	unsigned master = peers_start_master(world, WORLD_EMBEDDED);

	peers_kill_master(world, master);
	peers_start(world, 1, connects_in_vain_then_well, NULL);
	peers_await(world, 0, 1);
	peers_restart_master(world, master, WORLD_EMBEDDED);
	peers_open_gate(world, 1);
	peers_finish(world);
}

static void connects_to_no_such_host(struct world_peer *me)
{
	uint64_t before_ns;

	me->params.master_address.port = 0;
	me->config.masters = "no-such-host.invalid:48148";
	me->config.connect_timeout_ms = 500;
	peer_create(me);
	before_ns = peers_now_ns();
	CHECK_RESULT(pcclMasterConnectionFailed, pcclConnect(me->comm));
	CHECK(strstr(pcclGetLastError(me->comm), "no-such-host.invalid") != NULL);
	CHECK(peers_now_ns() - before_ns >= 450 * WORLD_MS_NS); /* it could have come to mean something */
	peer_leave(me);
	me->config.masters = NULL;
	peer_create(me);
	CHECK_RESULT(pcclInvalidArgument, pcclConnect(me->comm));
	CHECK(strstr(pcclGetLastError(me->comm), "master") != NULL);
	peer_leave(me);
}

/* A server that accepts and does not speak. */
static void connects_to_who_says_nothing(struct world_peer *me)
{
	struct sockaddr_in at = {.sin_family = AF_INET};
	socklen_t bytes = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char master[40];

	CHECK(listen(fd, 5) == 0);
	CHECK(getsockname(fd, (struct sockaddr *)&at, &bytes) == 0);
	(void)snprintf(master, sizeof(master), "127.0.0.1:%u", ntohs(at.sin_port));
	me->params.master_address.port = 0;
	me->config.masters = master;
	me->config.connect_timeout_ms = 2000;
	peer_create(me);
	CHECK_RESULT(pcclMasterConnectionFailed, pcclConnect(me->comm));
	CHECK(strstr(pcclGetLastError(me->comm), "accepts connections, but says nothing") != NULL);
	CHECK(strstr(pcclGetLastError(me->comm), master) != NULL);
	peer_leave(me);
	close(fd);
}

static void a_server_that_says_nothing_is_told_from_one_that_is_away(void **state)
{
	run_one_peer(state, connects_to_who_says_nothing);
}

static void a_wrong_host_name_is_named(void **state)
{
	run_one_peer(state, connects_to_no_such_host);
}

static void lacks_descriptors(struct world_peer *me)
{
	struct rlimit before, few;

	peer_create(me);
	CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0);
	few = before;
	few.rlim_cur = (rlim_t)dup(0);
	CHECK(setrlimit(RLIMIT_NOFILE, &few) == 0);
	CHECK_RESULT(pcclSystemError, pcclConnect(me->comm));
	CHECK(strstr(pcclGetLastError(NULL), "Too many open files") != NULL);
	CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
	CHECK_RESULT(pcclSuccess, pcclConnect(me->comm));
	peer_leave(me);
}

static void a_lack_of_descriptors_is_no_failure_of_a_master(void **state)
{
	run_one_peer(state, lacks_descriptors);
}

/* Takes a port of all addresses for as long as the process lives; two more behind it are free. */
static uint16_t occupy_port(void)
{
	struct sockaddr_in6 address = {.sin6_family = AF_INET6};
	int one = 1, fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	uint16_t port;

	CHECK(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) == 0);
	do {
		port = peers_free_port(3);
		address.sin6_port = htons(port);
	} while (bind(fd, (const struct sockaddr *)&address, sizeof(address)) != 0);
	CHECK(listen(fd, 1) == 0);
	return port;
}

static void listens_where_it_may(struct world_peer *me)
{
	const uint16_t port = occupy_port();
	char text[16];

	(void)snprintf(text, sizeof(text), "%u", port);
	me->config.port_first = port;
	peer_create(me);
	CHECK_RESULT(pcclSystemError, pcclConnect(me->comm));
	CHECK(strstr(pcclGetLastError(me->comm), text) != NULL);
	peer_leave(me);
	me->config.port_last = (uint16_t)(port + 2);
	peer_join(me);
	peer_leave(me);
}

static void a_port_in_use_is_named_and_a_range_has_others(void **state)
{
	run_one_peer(state, listens_where_it_may);
}

/* ---- masters ------------------------------------------------------------------------------------------------- */

static pcclMasterInstance_t *awaited;
static unsigned returned; /* threads */

static void *await_master(void *unused)
{
	CHECK_RESULT(pcclSuccess, pcclMasterAwaitTermination(awaited));
	__atomic_add_fetch(&returned, 1, __ATOMIC_SEQ_CST);
	return unused;
}

/* Whoever comes first joins the thread; the others have to wait as well. */
static void is_awaited_by_two(pcclMasterInstance_t *master)
{
	pthread_t threads[2];

	awaited = master;
	CHECK(pthread_create(&threads[0], NULL, await_master, NULL) == 0);
	CHECK(pthread_create(&threads[1], NULL, await_master, NULL) == 0);
	peers_sleep_ms(50);
	CHECK(__atomic_load_n(&returned, __ATOMIC_SEQ_CST) == 0);
	CHECK_RESULT(pcclSuccess, pcclInterruptMaster(master));
	CHECK(pthread_join(threads[0], NULL) == 0 && pthread_join(threads[1], NULL) == 0);
}

static void lives_as_a_master(struct world_peer *me)
{
	const uint16_t port = peers_free_port(2);
	pcclMasterInstance_t *master, *second;
	char text[16];

	CHECK_RESULT(pcclInvalidArgument, pcclCreateMaster(peers_address(me->world, port), NULL));
	CHECK_RESULT(pcclInvalidArgument, pcclRunMaster(NULL));
	CHECK_RESULT(pcclInvalidArgument, pcclInterruptMaster(NULL));
	CHECK_RESULT(pcclInvalidArgument, pcclMasterAwaitTermination(NULL));
	CHECK_RESULT(pcclInvalidArgument, pcclDestroyMaster(NULL));
	CHECK_RESULT(pcclSuccess, pcclCreateMaster(peers_address(me->world, port), &master));
	CHECK_RESULT(pcclInvalidUsage, pcclInterruptMaster(master));
	CHECK_RESULT(pcclInvalidUsage, pcclMasterAwaitTermination(master));
	CHECK_RESULT(pcclSuccess, pcclRunMaster(master));
	CHECK_RESULT(pcclInvalidUsage, pcclRunMaster(master));
	CHECK_RESULT(pcclSuccess, pcclCreateMaster(peers_address(me->world, port), &second));
	CHECK_RESULT(pcclInvalidUsage, pcclRunMaster(second));
	(void)snprintf(text, sizeof(text), "%u", port);
	CHECK(strstr(pcclGetLastError(NULL), text) != NULL);
	CHECK_RESULT(pcclSuccess, pcclDestroyMaster(second));
	is_awaited_by_two(master);
	CHECK_RESULT(pcclSuccess, pcclInterruptMaster(master));
	CHECK_RESULT(pcclSuccess, pcclMasterAwaitTermination(master));
	CHECK_RESULT(pcclSuccess, pcclDestroyMaster(master));
	CHECK_RESULT(pcclSuccess, pcclCreateMaster(peers_address(me->world, 0), &master));
	CHECK_RESULT(pcclInvalidUsage, pcclRunMaster(master));
	CHECK_RESULT(pcclSuccess, pcclDestroyMaster(master));
	/* Destroying one that runs stops it; its port is free again. */
	CHECK_RESULT(pcclSuccess, pcclCreateMaster(peers_address(me->world, port), &master));
	CHECK_RESULT(pcclSuccess, pcclRunMaster(master));
	CHECK_RESULT(pcclSuccess, pcclDestroyMaster(master));
	CHECK_RESULT(pcclSuccess, pcclCreateMaster(peers_address(me->world, port), &master));
	CHECK_RESULT(pcclSuccess, pcclRunMaster(master));
	CHECK_RESULT(pcclSuccess, pcclDestroyMaster(master));
}

static void a_master_runs_once_and_stops_when_asked(void **state)
{
	run_one_peer(state, lives_as_a_master);
}

/* A master and two communicators in one process. */
static void is_everything_at_once(struct world_peer *me)
{
	const uint16_t port = peers_free_port(1);
	pcclMasterInstance_t *master;
	pcclComm_t *first, *second;
	pcclCommCreateParams_t params = {peers_address(me->world, port), 0, 0};
	int size;

	CHECK_RESULT(pcclSuccess, pcclInit());
	CHECK_RESULT(pcclSuccess, pcclCreateMaster(peers_address(me->world, port), &master));
	CHECK_RESULT(pcclSuccess, pcclRunMaster(master));
	CHECK_RESULT(pcclSuccess, pcclCreateCommunicator(&params, &first));
	params.peer_group = 1;
	CHECK_RESULT(pcclSuccess, pcclCreateCommunicator(&params, &second));
	CHECK_RESULT(pcclSuccess, pcclConnect(first));
	CHECK_RESULT(pcclSuccess, pcclConnect(second));
	CHECK_RESULT(pcclSuccess, pcclGetAttribute(second, PCCL_ATTRIBUTE_GLOBAL_WORLD_SIZE, &size));
	CHECK(size == 2);
	CHECK_RESULT(pcclSuccess, pcclDestroyCommunicator(first));
	/* The master first: destroying a communicator without one is as quick. */
	CHECK_RESULT(pcclSuccess, pcclDestroyMaster(master));
	CHECK_RESULT(pcclSuccess, pcclDestroyCommunicator(second));
}

static void one_process_may_be_master_and_several_peers(void **state)
{
	run_one_peer(state, is_everything_at_once);
}

static void outlives_the_master(struct world_peer *me)
{
	uint64_t before_ns;

	peer_join(me);
	peer_grow(me, 2);
	peer_reach(me, 1);
	peer_wait_gate(me, 1);
	before_ns = peers_now_ns();
	peer_leave(me);
	CHECK(peers_is_soon(peers_now_ns(), before_ns));
}

static void destroy_is_prompt_without_a_master(void **state)
{
	struct world *world = *state;
	unsigned master = peers_start_master(world, WORLD_PROGRAM);

	peers_start(world, 2, outlives_the_master, NULL);
	peers_await_all(world, 0, 2, 1);
	peers_kill_master(world, master);
	peers_open_gate(world, 1);
	peers_finish(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(nothing_works_before_init_but_what_says_so, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(null_is_an_invalid_argument_everywhere, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(an_unconnected_communicator_can_only_connect, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(a_world_of_one_has_nobody_to_reduce_with, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(misuse_is_refused_and_does_no_harm, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(connect_may_be_repeated_until_there_is_a_master, peers_open,
						peers_close),
		cmocka_unit_test_setup_teardown(one_attempt_ends_at_a_port_that_refuses, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(a_server_that_says_nothing_is_told_from_one_that_is_away, peers_open,
						peers_close),
		cmocka_unit_test_setup_teardown(a_lack_of_descriptors_is_no_failure_of_a_master, peers_open,
						peers_close),
		cmocka_unit_test_setup_teardown(a_wrong_host_name_is_named, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(a_port_in_use_is_named_and_a_range_has_others, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(a_master_runs_once_and_stops_when_asked, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(one_process_may_be_master_and_several_peers, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(destroy_is_prompt_without_a_master, peers_open, peers_close),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
