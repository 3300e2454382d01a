/* What was said over TLS and comes again: a connection that somebody on the way has recorded, and data with the first
 * words, which could be said again. Neither is heard. */
#include "transport/tls/tls.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/sha.h>
#include <openssl/ssl.h>

#include "base/fail.h"
#include "unit/transport/tls/authority.h"
#include "unit/transport/wire.h"

static const char *const files[] = {"authority.pem", "member.pem", "member.key"};

static const struct pccl_join_secret secret = {"a secret that both sides have"};

/* ---- recorded ------------------------------------------------------------------------------------------------ */

/* Somebody between the two, who keeps what the one that dials says. */
struct recorder {
	int door, near, far;
	uint8_t said[16384];
	size_t bytes;
};

static int open_door(struct wire *wire)
{
	int fd = socket(wire->address.storage.ss_family, SOCK_STREAM, 0);

	pccl_address_set_port(&wire->address, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&wire->address.storage, wire->address.bytes), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&wire->address.storage, &wire->address.bytes), 0);
	return fd;
}

static int dial_bare(const struct pccl_address *address)
{
	int fd = socket(address->storage.ss_family, SOCK_STREAM, 0);

	assert_int_equal(connect(fd, (const struct sockaddr *)&address->storage, address->bytes), 0);
	return fd;
}

static void pass_on(struct recorder *recorder)
{
	uint8_t answer[16384];
	ssize_t got = recv(recorder->near, recorder->said + recorder->bytes, sizeof(recorder->said) - recorder->bytes,
			   MSG_DONTWAIT);

	if (got > 0) {
		assert_int_equal(send(recorder->far, recorder->said + recorder->bytes, (size_t)got, 0), got);
		recorder->bytes += (size_t)got;
	}
	got = recv(recorder->far, answer, sizeof(answer), MSG_DONTWAIT);
	if (got > 0)
		assert_int_equal(send(recorder->near, answer, (size_t)got, 0), got);
}

static void pass_on_until(struct recorder *recorder, struct wire *wire, const uint32_t *done)
{
	uint64_t end_ns = pccl_clock_ns() + wire_patience_ns;

	while (*done == 0 && pccl_clock_ns() < end_ns) {
		pass_on(recorder);
		pccl_loop_turn(wire->loop, pccl_clock_ns() + 1000000);
	}
	assert_int_not_equal(*done, 0);
}

/* A connection with one frame, which comes again later, byte for byte, at the same port. */
static void check_replay(const struct wire_kind *kind)
{
	static struct recorder recorder;
	static struct wire wire;
	struct pccl_address place;
	uint8_t *payload = wire_payload(1000, 0);
	int fd;

	wire_listen(&wire, kind);
	place = wire.address;
	recorder = (struct recorder){.door = open_door(&wire), .far = dial_bare(&place)};
	wire_dial(&wire);
	recorder.near = accept(recorder.door, NULL, NULL);
	pass_on_until(&recorder, &wire, &wire.dialer.calls[WIRE_OPENED]);
	assert_true(wire_send(&wire.dialer, 0, payload, 1000));
	pass_on_until(&recorder, &wire, &wire.acceptor.calls[WIRE_RECEIVED]);
	wire_close(&wire.acceptor, false);
	memset(&wire.acceptor, 0, sizeof(wire.acceptor));
	wire.acceptor.transport = kind->transport;

	fd = dial_bare(&place);
	assert_int_equal(send(fd, recorder.said, recorder.bytes, 0), (ssize_t)recorder.bytes);
	WIRE_UNTIL(&wire, wire.acceptor.calls[WIRE_BROKEN] == 1);
	assert_int_equal(wire.acceptor.calls[WIRE_HEADER], 0);
	if (strstr(wire.acceptor.reason, "is of another connection") == NULL)
		fail_msg("%s", wire.acceptor.reason);
	close(fd);
	close(recorder.door);
	close(recorder.near);
	close(recorder.far);
	wire_destroy(&wire);
	free(payload);
}

static struct pccl_tls *make(const struct pccl_tls_config *config)
{
	struct pccl_tls *tls;

	if (pccl_tls_create(config, &tls) != pcclSuccess)
		fail_msg("%s", pccl_fail_text());
	return tls;
}

static struct pccl_tls *make_with_secret(void)
{
	const struct pccl_tls_config config = {.secrets = {secret}, .secret_count = 1};

	return make(&config);
}

static void what_was_recorded_is_refused_when_it_comes_again(void **state)
{
	struct authority authority;
	char paths[3][128];
	const struct pccl_tls_config config = {.authority = paths[0], .certificate = paths[1], .key = paths[2]};
	struct pccl_tls *by_secret = make_with_secret(), *by_certificate;
	size_t i;

	(void)state;
	authority_create(&authority);
	authority_issue(&authority, "member", 10);
	for (i = 0; i < 3; i++)
		authority_path(&authority, files[i], paths[i]);
	by_certificate = make(&config);
	check_replay(&(const struct wire_kind){pccl_tls_wire(by_secret), "127.0.0.1", NULL});
	check_replay(&(const struct wire_kind){pccl_tls_wire(by_certificate), "::1", NULL});
	pccl_tls_destroy(by_secret);
	pccl_tls_destroy(by_certificate);
	authority_destroy(&authority, files, 3);
}

/* ---- early --------------------------------------------------------------------------------------------------- */

/* As this side does it, but for early data. */
static int show_secret(SSL *ssl, const EVP_MD *digest, const unsigned char **name_out, size_t *name_bytes_out,
		       SSL_SESSION **session_out)
{
	static const unsigned char suite[] = {0x13, 0x01};
	static const char prefix[] = "pccl: name of a join secret";
	static uint8_t name[SHA256_DIGEST_LENGTH];
	uint8_t text[sizeof(prefix) + sizeof(secret.data)];
	SSL_SESSION *session = SSL_SESSION_new();

	(void)digest;
	memcpy(text, prefix, sizeof(prefix));
	memcpy(text + sizeof(prefix), secret.data, sizeof(secret.data));
	SHA256(text, sizeof(text), name);
	*name_out = name;
	*name_bytes_out = 16;
	*session_out = session;
	return SSL_SESSION_set1_master_key(session, secret.data, sizeof(secret.data)) &&
	       SSL_SESSION_set_cipher(session, SSL_CIPHER_find(ssl, suite)) &&
	       SSL_SESSION_set_protocol_version(session, TLS1_3_VERSION) &&
	       SSL_SESSION_set_max_early_data(session, 16384);
}

/* Who has the secret and sends a frame with its first words, which could be said again: it is not heard. */
static void early_data_is_off(void **state)
{
	static struct wire wire;
	const struct pccl_frame frame = {.type = PCCL_FRAME_PARTIAL};
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	SSL *ssl = SSL_new(context);
	struct pccl_tls *tls = make_with_secret();
	const struct wire_kind kind = {pccl_tls_wire(tls), "127.0.0.1", NULL};
	uint8_t bytes[PCCL_FRAME_BYTES];
	size_t written;
	int fd;

	(void)state;
	SSL_set_psk_use_session_callback(ssl, show_secret);
	pccl_frame_encode(&frame, bytes);
	wire_listen(&wire, &kind);
	fd = dial_bare(&wire.address);
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	SSL_set_fd(ssl, fd);
	assert_int_equal(SSL_write_early_data(ssl, bytes, sizeof(bytes), &written), 1);
	WIRE_UNTIL(&wire, SSL_do_handshake(ssl) == 1);
	WIRE_UNTIL(&wire, wire_is_up(&wire.acceptor));
	assert_int_equal(SSL_get_early_data_status(ssl), SSL_EARLY_DATA_REJECTED);
	assert_int_equal(wire.acceptor.calls[WIRE_HEADER], 0);
	assert_int_equal(SSL_write(ssl, bytes, sizeof(bytes)), sizeof(bytes));
	WIRE_UNTIL(&wire, wire.acceptor.calls[WIRE_HEADER] == 1);
	SSL_free(ssl);
	SSL_CTX_free(context);
	close(fd);
	wire_destroy(&wire);
	pccl_tls_destroy(tls);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_recorded_is_refused_when_it_comes_again),
		cmocka_unit_test(early_data_is_off),
	};

	return cmocka_run_group_tests_name("replay", tests, NULL, NULL);
}
