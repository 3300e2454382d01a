/* What was said over TLS and comes again: a connection that somebody on the way has recorded, and data with the first
 * words, which could be said again. Neither is heard. And what one with the secret may ask OpenSSL for, but not us. */
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

/* ---- guests -------------------------------------------------------------------------------------------------- */

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

/* Somebody who has the secret, and says what he likes. */
struct guest {
	struct wire wire; /* whom he calls */
	struct wire_kind kind;
	struct pccl_tls *tls;
	SSL_CTX *context;
	SSL *ssl;
	int fd;
};

static void guest_open(struct guest *guest)
{
	guest->tls = make_with_secret();
	guest->context = SSL_CTX_new(TLS_client_method());
	guest->ssl = SSL_new(guest->context);
	SSL_set_psk_use_session_callback(guest->ssl, show_secret);
	guest->kind = (struct wire_kind){pccl_tls_wire(guest->tls), "127.0.0.1", NULL};
	wire_listen(&guest->wire, &guest->kind);
	guest->fd = dial_bare(&guest->wire.address);
	assert_int_equal(fcntl(guest->fd, F_SETFL, O_NONBLOCK), 0);
	SSL_set_fd(guest->ssl, guest->fd);
}

static void guest_close(struct guest *guest)
{
	SSL_free(guest->ssl);
	SSL_CTX_free(guest->context);
	close(guest->fd);
	wire_destroy(&guest->wire);
	pccl_tls_destroy(guest->tls);
}

/* A frame with his first words, which could be said again: it is not heard. */
static void early_data_is_off(void **state)
{
	static struct guest guest;
	const struct pccl_frame frame = {.type = PCCL_FRAME_PARTIAL};
	uint8_t bytes[PCCL_FRAME_BYTES];
	size_t written;

	(void)state;
	pccl_frame_encode(&frame, bytes);
	guest_open(&guest);
	assert_int_equal(SSL_write_early_data(guest.ssl, bytes, sizeof(bytes), &written), 1);
	WIRE_UNTIL(&guest.wire, SSL_do_handshake(guest.ssl) == 1);
	WIRE_UNTIL(&guest.wire, wire_is_up(&guest.wire.acceptor));
	assert_int_equal(SSL_get_early_data_status(guest.ssl), SSL_EARLY_DATA_REJECTED);
	assert_int_equal(guest.wire.acceptor.calls[WIRE_HEADER], 0);
	assert_int_equal(SSL_write(guest.ssl, bytes, sizeof(bytes)), sizeof(bytes));
	WIRE_UNTIL(&guest.wire, guest.wire.acceptor.calls[WIRE_HEADER] == 1);
	guest_close(&guest);
}

/* OpenSSL would seal no more than he asks for (RFC 6066, 4), and leave the rest unsaid. */
static void who_wants_short_records_is_refused(void **state)
{
	static struct guest guest;

	(void)state;
	guest_open(&guest);
	SSL_set_tlsext_max_fragment_length(guest.ssl, TLSEXT_max_fragment_length_512);
	SSL_set_connect_state(guest.ssl);
	WIRE_UNTIL(&guest.wire, SSL_do_handshake(guest.ssl) == 1);
	WIRE_UNTIL(&guest.wire, guest.wire.acceptor.calls[WIRE_BROKEN] == 1);
	assert_non_null(strstr(guest.wire.acceptor.reason, "it asks for short records"));
	guest_close(&guest);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_recorded_is_refused_when_it_comes_again),
		cmocka_unit_test(early_data_is_off),
		cmocka_unit_test(who_wants_short_records_is_refused),
	};

	return cmocka_run_group_tests_name("replay", tests, NULL, NULL);
}
