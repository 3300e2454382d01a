/* What strangers can do before they have shown that they belong to a protected run: nothing that members notice. Real
 * processes; and what they speak, as another program sees it. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <pccl/security.h>

#include "comm/protection.h"
#include "lib/check.h"
#include "lib/peers.h"
#include "unit/transport/tls/authority.h"

enum { WORLD = 2, COUNT = 20000, FLOOD = 250, SILENT = 300, HELLO_BYTES = 2048 };

static int open_world(void **state)
{
	char secret[PCCL_SECRET_TEXT_BYTES];

	if (pcclGenerateSecret(secret) != pcclSuccess || setenv("PCCL_SECRET", secret, 1) != 0)
		return -1;
	return peers_open(state);
}

static int close_world(void **state)
{
	unsetenv("PCCL_SECRET");
	return peers_close(state);
}

/* ---- a member's first words, as somebody on the way records them ---------------------------------------------- */

static void on_opened(void *context, struct pccl_stream *stream)
{
	(void)context;
	(void)stream;
}

static void on_broken(void *context, struct pccl_stream *stream, const char *reason)
{
	(void)context;
	(void)stream;
	(void)reason;
}

static const struct pccl_stream_events deaf = {.opened = on_opened, .broken = on_broken};

static int listen_at(struct pccl_address *address)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_return_code(fd, errno);
	assert_int_equal(pccl_address_numeric("127.0.0.1", 0, address), pcclSuccess);
	assert_return_code(bind(fd, (struct sockaddr *)&address->storage, address->bytes), errno);
	assert_return_code(listen(fd, 1), errno);
	assert_return_code(getsockname(fd, (struct sockaddr *)&address->storage, &address->bytes), errno);
	return fd;
}

static size_t record_hello(uint8_t out[HELLO_BYTES])
{
	const struct pccl_transport *wire;
	struct pccl_stream *stream;
	struct pccl_address address;
	struct pccl_wires *wires;
	struct pccl_loop *loop;
	ssize_t got = -1;
	int listener = listen_at(&address), fd;

	assert_int_equal(pccl_loop_create(&loop), pcclSuccess);
	assert_int_equal(pccl_protection_open(NULL, &wires), pcclSuccess);
	wire = pccl_wire_for(wires, &address);
	assert_int_equal(wire->dial(wire, loop, &address, NULL, &deaf, NULL, &stream), pcclSuccess);
	fd = accept(listener, NULL, NULL);
	assert_return_code(fd, errno);
	while (got < 0) {
		pccl_loop_turn(loop, pccl_loop_now(loop) + WORLD_MS_NS);
		got = recv(fd, out, HELLO_BYTES, MSG_DONTWAIT);
	}
	assert_true(got > 100);
	wire->close(stream, false);
	pccl_loop_destroy(loop);
	pccl_wires_destroy(wires);
	close(fd);
	close(listener);
	return (size_t)got;
}

/* ---- floods -------------------------------------------------------------------------------------------------- */

/* All-reduces without end until the gate opens: nobody is lost, and each is right. */
static void works_on(struct world_peer *me)
{
	int64_t *buffer = malloc(COUNT * sizeof(*buffer)), open = 0;
	pcclOperation_t operation = PCCL_OPERATION_INITIALIZER;
	const uint16_t *ports = me->argument;
	uint64_t round = 0, epoch;
	unsigned i;

	CHECK(buffer != NULL);
	me->config.port_first = ports[me->index];
	peer_join(me);
	peer_grow(me, WORLD);
	epoch = peer_epoch(me);
	operation.count = COUNT;
	operation.datatype = pcclInt64;
	while (open == 0) {
		for (i = 0; i < COUNT; i++)
			buffer[i] = (int64_t)(round + i) * (me->index + 1);
		CHECK_RESULT(pcclSuccess, pcclAllReduceWith(buffer, buffer, &operation, me->comm, NULL));
		for (i = 0; i < COUNT; i++)
			CHECK(buffer[i] == (int64_t)(round + i) * 3);
		CHECK_RESULT(pcclSuccess, peer_sum(me, 1, peer_gate_is_open(me, 1), &open));
		peer_reach(me, ++round);
	}
	CHECK(peer_epoch(me) == epoch);
	free(buffer);
	peer_meet(me, WORLD);
	peer_leave(me);
}

static void await_progress(struct world *world)
{
	unsigned i;

	for (i = 0; i < WORLD; i++)
		peers_await(world, i, peers_get(&world->shared->slots[i].milestone) + 3);
}

/* To each port: a member's first words again, the same with a bit that differs, and what is no TLS at all. */
static void flood(const uint16_t ports[WORLD + 1], uint8_t *hello, size_t bytes)
{
	static const char garbage[] = "GET / HTTP/1.1\r\n\r\n";
	unsigned round, i;

	for (round = 0; round < FLOOD; round++)
		for (i = 0; i < WORLD + 1; i++) {
			int fd = peers_dial(ports[i]);

			hello[bytes - 1] ^= (uint8_t)(round & 1);
			if (round % 4 == 3)
				(void)send(fd, garbage, sizeof(garbage) - 1, MSG_NOSIGNAL);
			else
				(void)send(fd, hello, bytes, MSG_NOSIGNAL);
			hello[bytes - 1] ^= (uint8_t)(round & 1);
			close(fd);
		}
}

/* More than a port has room for: they begin, and say nothing more. */
static void sit_down(uint16_t port, const uint8_t *hello, size_t bytes, int fds[SILENT])
{
	unsigned i;

	for (i = 0; i < SILENT; i++) {
		fds[i] = peers_dial(port);
		(void)send(fds[i], hello, bytes, MSG_NOSIGNAL);
	}
}

static void a_flood_of_handshakes_is_not_noticed(void **state)
{
	struct world *world = *state;
	uint8_t hello[HELLO_BYTES];
	size_t bytes = record_hello(hello);
	uint16_t ports[WORLD + 1], first = peers_free_port(WORLD);
	unsigned i, master = peers_start_master(world, WORLD_PROGRAM);
	int fds[SILENT];

	for (i = 0; i < WORLD; i++)
		ports[i] = (uint16_t)(first + i);
	ports[WORLD] = world->masters[master].port;
	peers_start(world, WORLD, works_on, ports);
	peers_await_all(world, 0, WORLD, 3);
	flood(ports, hello, bytes);
	await_progress(world);
	sit_down(ports[WORLD], hello, bytes, fds);
	await_progress(world);
	for (i = 0; i < SILENT; i++)
		close(fds[i]);
	peers_open_gate(world, 1);
	peers_finish(world);
}

/* ---- what is spoken, as OpenSSL's own client sees it --------------------------------------------------------- */

static const char *const files[] = {"authority.pem", "worker.pem", "worker.key"};

/* Both streams of a command's output; returns its exit status. */
static int run(const char *command, char *out, size_t out_bytes)
{
	FILE *pipe = popen(command, "r");
	size_t got;
	int status;

	assert_non_null(pipe);
	got = fread(out, 1, out_bytes - 1, pipe);
	out[got] = '\0';
	status = pclose(pipe);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int connect_with(const struct authority *authority, uint16_t port, const char *flags, char out[8192])
{
	char command[512];

	(void)snprintf(command, sizeof(command),
		       "openssl s_client -connect 127.0.0.1:%u -CAfile %s/authority.pem -cert %s/worker.pem "
		       "-key %s/worker.key %s </dev/null 2>&1",
		       port, authority->folder, authority->folder, authority->folder, flags);
	return run(command, out, 8192);
}

static void stays(struct world_peer *me)
{
	const uint16_t *port = me->argument;

	me->config.port_first = *port;
	peer_join(me);
	peer_reach(me, 1);
	peer_wait_gate(me, 1);
	peer_leave(me);
}

static void check_port(const struct authority *authority, uint16_t port)
{
	static const char *const others[] = {"-tls1_2",	   "-tls1_1",
					     "-tls1",	   "-tls1_2 -cipher ALL:@SECLEVEL=0",
					     "-no_tls1_3", "-tls1_3 -ciphersuites TLS_AES_256_GCM_SHA384"};
	static const char *const ours[] = {"TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256"};
	char out[8192], flags[128];
	size_t i;

	for (i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (connect_with(authority, port, others[i], out) == 0 || strstr(out, "Cipher is (NONE)") == NULL)
			fail_msg("%s: %s", others[i], out);
	for (i = 0; i < sizeof(ours) / sizeof(ours[0]); i++) {
		(void)snprintf(flags, sizeof(flags), "-ciphersuites %s", ours[i]);
		if (connect_with(authority, port, flags, out) != 0 || strstr(out, "New, TLSv1.3") == NULL ||
		    strstr(out, ours[i]) == NULL || strstr(out, "Verification: OK") == NULL)
			fail_msg("%s: %s", ours[i], out);
	}
}

/* At masters and at peers. */
static void nothing_but_tls_1_3_is_spoken(void **state)
{
	struct world *world = *state;
	const uint16_t port = peers_free_port(1);
	struct authority authority;
	char out[8192];

	if (run("openssl version 2>&1", out, sizeof(out)) != 0)
		skip();
	authority_create(&authority);
	authority_issue(&authority, "worker", 10);
	unsetenv("PCCL_SECRET");
	authority_show(&authority, "worker");
	check_port(&authority, world->masters[peers_start_master(world, WORLD_PROGRAM)].port);
	peers_start(world, 1, stays, &port);
	peers_await(world, 0, 1);
	check_port(&authority, port);
	peers_open_gate(world, 1);
	peers_finish(world);
	authority_hide();
	authority_destroy(&authority, files, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_flood_of_handshakes_is_not_noticed, open_world, close_world),
		cmocka_unit_test_setup_teardown(nothing_but_tls_1_3_is_spoken, open_world, close_world),
	};

	return cmocka_run_group_tests_name("handshake", tests, NULL, NULL);
}
