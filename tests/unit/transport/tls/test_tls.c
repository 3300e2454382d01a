/* The TLS wire: the suite over a join secret and over certificates, and who is turned away, with which words. */
#include "unit/transport/transport_suite.h"

#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/ssl.h>

#include "base/fail.h"
#include "transport/tcp/tcp.h"
#include "transport/tls/tls.h"
#include "unit/transport/tls/authority.h"

#define RECORDS_PER_KEY 3u

static const char *const files[] = {"authority.pem", "member.pem",  "member.key",  "expired.pem",
				    "expired.key",   "traitor.pem", "traitor.key", "revoked.pem",
				    "server.pem",    "server.key",  "client.pem",  "client.key"};

static struct authority ours;
static struct authority theirs;
static struct pccl_tls *by_secret;
static struct pccl_tls *by_certificate;
static struct wire_kind secret_kind;
static struct wire_kind certificate_kind;

static struct pccl_join_secret secret_of(uint8_t byte)
{
	struct pccl_join_secret secret;

	memset(secret.data, byte, sizeof(secret.data));
	return secret;
}

/* Shows the secret made of the first byte; takes the others too. */
static struct pccl_tls *with_secrets(const char *bytes)
{
	/* so few that all that is sent meets new keys */
	struct pccl_tls_config config = {.secret_count = (uint32_t)strlen(bytes), .records_per_key = RECORDS_PER_KEY};
	struct pccl_tls *tls;
	uint32_t i;

	for (i = 0; i < config.secret_count; i++)
		config.secrets[i] = secret_of((uint8_t)bytes[i]);
	assert_int_equal(pccl_tls_create(&config, &tls), pcclSuccess);
	return tls;
}

static struct pccl_tls *with_certificate(const struct authority *trusted, const struct authority *issuer,
					 const char *name, bool revokes)
{
	char paths[4][128], file_name[64];
	struct pccl_tls_config config = {.authority = paths[0], .certificate = paths[1], .key = paths[2]};
	struct pccl_tls *tls;

	authority_path(trusted, "authority.pem", paths[0]);
	snprintf(file_name, sizeof(file_name), "%s.pem", name);
	authority_path(issuer, file_name, paths[1]);
	snprintf(file_name, sizeof(file_name), "%s.key", name);
	authority_path(issuer, file_name, paths[2]);
	authority_path(trusted, "revoked.pem", paths[3]);
	if (revokes)
		config.revoked = paths[3];
	if (pccl_tls_create(&config, &tls) != pcclSuccess)
		fail_msg("%s", pccl_fail_text());
	return tls;
}

static int set_up(void **state)
{
	(void)state;
	authority_create(&ours);
	authority_create(&theirs);
	authority_issue(&ours, "member", 10);
	authority_issue(&ours, "expired", -1);
	authority_revoke(&ours, authority_issue(&ours, "traitor", 10));
	authority_issue_for(&ours, "server", 10, "serverAuth");
	authority_issue_for(&ours, "client", 10, "clientAuth");
	authority_issue(&theirs, "member", 10);
	by_secret = with_secrets("s");
	by_certificate = with_certificate(&ours, &ours, "member", true);
	secret_kind = (struct wire_kind){pccl_tls_wire(by_secret), "127.0.0.1", NULL};
	certificate_kind = (struct wire_kind){pccl_tls_wire(by_certificate), "::1", NULL};
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	pccl_tls_destroy(by_secret);
	pccl_tls_destroy(by_certificate);
	authority_destroy(&ours, files, sizeof(files) / sizeof(files[0]));
	authority_destroy(&theirs, files, 3);
	return 0;
}

static int use_secret(void **state)
{
	*state = &secret_kind;
	return 0;
}

static int use_certificate(void **state)
{
	*state = &certificate_kind;
	return 0;
}

/* ---- who is turned away -------------------------------------------------------------------------------------- */

/* One side dials with a wire, the other has another one. What each is told, NULL: that end never was. */
static void check_refused(const struct pccl_transport *dials, const struct pccl_transport *listens,
			  const char *dialler_words, const char *listener_words)
{
	static struct wire wire;
	struct wire_kind kind = {listens, "127.0.0.1", NULL};
	struct wire_kind other = {dials, "127.0.0.1", NULL};

	wire_listen(&wire, &kind);
	wire.kind = &other;
	wire_dial(&wire);
	WIRE_UNTIL(&wire, wire.dialer.calls[WIRE_BROKEN] == 1 && wire.acceptor.calls[WIRE_BROKEN] == 1);
	if (strstr(wire.dialer.reason, dialler_words) == NULL)
		fail_msg("who dialled was told: %s", wire.dialer.reason);
	if (strstr(wire.acceptor.reason, listener_words) == NULL)
		fail_msg("who listened was told: %s", wire.acceptor.reason);
	assert_int_equal(wire.acceptor.calls[WIRE_HEADER], 0);
	assert_true(wire.dialer.stream->unfit);
	wire_destroy(&wire);
}

static void check_secrets(const char *dials, const char *listens, const char *dialler_words, const char *listener_words)
{
	struct pccl_tls *dialling = with_secrets(dials);
	struct pccl_tls *listening = with_secrets(listens);

	check_refused(pccl_tls_wire(dialling), pccl_tls_wire(listening), dialler_words, listener_words);
	pccl_tls_destroy(dialling);
	pccl_tls_destroy(listening);
}

static void another_secret_is_refused(void **state)
{
	(void)state;
	check_secrets("a", "b", "it has another join secret", "it has another join secret, or none");
}

static void check_certificate(struct pccl_tls *dialling, const char *dialler_words, const char *listener_words)
{
	check_refused(pccl_tls_wire(dialling), pccl_tls_wire(by_certificate), dialler_words, listener_words);
	pccl_tls_destroy(dialling);
}

static void certificates_that_do_not_count_are_refused(void **state)
{
	(void)state;
	check_certificate(with_certificate(&ours, &ours, "expired", false), "expired", "certificate has expired");
	check_certificate(with_certificate(&ours, &ours, "traitor", false), "revoked", "certificate revoked");
	check_certificate(with_certificate(&ours, &theirs, "member", false), "authority", "certificate");
	check_certificate(with_certificate(&theirs, &theirs, "member", false), "certificate", "authority");
}

static void check_welcome(const struct pccl_transport *dials, const struct pccl_transport *listens)
{
	static struct wire wire;
	struct wire_kind kind = {listens, "127.0.0.1", NULL}, other = {dials, "127.0.0.1", NULL};

	wire_listen(&wire, &kind);
	wire.kind = &other;
	wire_dial(&wire);
	WIRE_UNTIL(&wire, wire.dialer.calls[WIRE_OPENED] == 1 && wire_is_up(&wire.acceptor));
	wire_destroy(&wire);
}

static void certificates_are_for_the_role_that_they_name(void **state)
{
	static const char local[] = "its certificate is for another role",
			  remote[] = "this side's certificate is for another";
	struct pccl_tls *server = with_certificate(&ours, &ours, "server", false);
	struct pccl_tls *client = with_certificate(&ours, &ours, "client", false);
	struct pccl_tls *either = with_certificate(&ours, &ours, "member", false);

	(void)state;
	check_welcome(pccl_tls_wire(client), pccl_tls_wire(server));
	check_welcome(pccl_tls_wire_between_peers(client), pccl_tls_wire_between_peers(client));
	check_welcome(pccl_tls_wire(client), pccl_tls_wire(either));
	check_welcome(pccl_tls_wire_between_peers(either), pccl_tls_wire_between_peers(client));
	/* a peer that plays a master, a master that plays a peer, dialled and dialling */
	check_refused(pccl_tls_wire(client), pccl_tls_wire(client), local, remote);
	check_refused(pccl_tls_wire_between_peers(client), pccl_tls_wire_between_peers(server), local, remote);
	check_refused(pccl_tls_wire(server), pccl_tls_wire(server), remote, local);
	check_refused(pccl_tls_wire_between_peers(server), pccl_tls_wire_between_peers(client), remote, local);
	pccl_tls_destroy(server);
	pccl_tls_destroy(client);
	pccl_tls_destroy(either);
}

static void add_file(const struct authority *from, const struct authority *to, const char *name)
{
	char paths[2][128], data[8192];
	FILE *source, *target;
	size_t bytes;

	authority_path(from, name, paths[0]);
	authority_path(to, name, paths[1]);
	source = fopen(paths[0], "r");
	target = fopen(paths[1], "a");
	assert_true(source != NULL && target != NULL);
	bytes = fread(data, 1, sizeof(data), source);
	assert_in_range(bytes, 1, sizeof(data) - 1);
	assert_int_equal(fwrite(data, 1, bytes, target), bytes);
	assert_int_equal(fclose(source) | fclose(target), 0);
}

static void check_below(struct pccl_tls *worker, const char *dialler_words, const char *listener_words)
{
	struct pccl_tls *listening = with_certificate(&ours, &ours, "member", true);

	if (listener_words != NULL)
		check_refused(pccl_tls_wire(worker), pccl_tls_wire(listening), dialler_words, listener_words);
	else
		check_welcome(pccl_tls_wire(worker), pccl_tls_wire(listening));
	pccl_tls_destroy(listening);
}

/* With lists, one of each authority is asked for; so that one in between can be revoked, with all that it has made. */
static void authorities_in_between_can_be_revoked(void **state)
{
	static const char *const names[] = {"authority.pem", "worker.pem", "worker.key",
					    "nobody.pem",    "nobody.key", "revoked.pem"};
	struct authority below;
	struct pccl_tls *worker;
	char path[128];
	long serial;
	FILE *file;

	(void)state;
	authority_create_below(&below, &ours);
	serial = ours.serial;
	authority_issue(&below, "worker", 10);
	authority_revoke(&below, authority_issue(&below, "nobody", 10));
	authority_path(&below, "worker.pem", path);
	file = fopen(path, "a"); /* with what leads to the authority */
	assert_non_null(file);
	assert_int_equal(PEM_write_X509(file, below.certificate), 1);
	fclose(file);
	worker = with_certificate(&ours, &below, "worker", false);
	check_below(worker, "lacks a list", "PCCL_REVOKED_FILE has no list of an authority");
	add_file(&below, &ours, "revoked.pem");
	check_below(worker, NULL, NULL);
	authority_revoke(&ours, serial);
	add_file(&below, &ours, "revoked.pem");
	check_below(worker, "revoked", "certificate revoked");
	pccl_tls_destroy(worker);
	authority_destroy(&below, names, sizeof(names) / sizeof(names[0]));
}

static void secret_and_certificate_do_not_meet(void **state)
{
	(void)state;
	check_refused(pccl_tls_wire(by_secret), pccl_tls_wire(by_certificate), "certificate", "");
	check_refused(pccl_tls_wire(by_certificate), pccl_tls_wire(by_secret), "it has another join secret",
		      "it has another join secret, or none");
}

/* Each side is told that the other one has no TLS. */
static void plain_and_tls_do_not_meet(void **state)
{
	static struct wire wire;
	struct wire_kind plain = {&pccl_tcp, "127.0.0.1", NULL};
	struct pccl_frame frame = {.type = PCCL_FRAME_PARTIAL};

	(void)state;
	check_refused(pccl_tls_wire(by_secret), &pccl_tcp, "it does not speak TLS", "it speaks TLS");
	wire_listen(&wire, &secret_kind);
	wire.kind = &plain;
	wire_dial(&wire);
	WIRE_UNTIL(&wire, wire.dialer.calls[WIRE_OPENED] == 1);
	assert_true(pccl_tcp.send(wire.dialer.stream, &frame, NULL, (void *)1));
	WIRE_UNTIL(&wire, wire.dialer.calls[WIRE_BROKEN] == 1 && wire.acceptor.calls[WIRE_BROKEN] == 1);
	assert_non_null(strstr(wire.acceptor.reason, "it does not speak TLS"));
	assert_true(wire.dialer.stream->unfit);
	if (strstr(wire.dialer.reason, "it asks for a join secret") == NULL)
		fail_msg("who dialled plainly was told: %s", wire.dialer.reason);
	wire_destroy(&wire);
}

static void new_secret_is_taken_while_the_old_one_still_is(void **state)
{
	struct pccl_tls *old = with_secrets("on");
	struct pccl_tls *new = with_secrets("no");

	(void)state;
	check_welcome(pccl_tls_wire(new), pccl_tls_wire(old));
	check_welcome(pccl_tls_wire(old), pccl_tls_wire(new));
	pccl_tls_destroy(old);
	pccl_tls_destroy(new);
}

/* Who was let in stays; who comes later needs what counts now. */
static void credentials_change_while_a_port_listens(void **state)
{
	static struct wire wire, later;
	struct pccl_tls *listening = with_secrets("a"), *fresh = with_secrets("b"), *dialling = with_secrets("b");
	struct pccl_tls *old = with_secrets("a");
	struct wire_kind kind = {pccl_tls_wire(listening), "127.0.0.1", NULL};
	struct wire_kind kinds[] = {{pccl_tls_wire(old), "127.0.0.1", NULL},
				    {pccl_tls_wire(dialling), "127.0.0.1", NULL}};

	(void)state;
	wire_listen(&wire, &kind);
	wire.kind = &kinds[0];
	wire_dial(&wire);
	WIRE_UNTIL(&wire, wire.dialer.calls[WIRE_OPENED] == 1 && wire_is_up(&wire.acceptor));
	pccl_tls_renew(listening, fresh);
	pccl_tls_destroy(fresh);
	wire_send(&wire.dialer, 0, NULL, 0);
	WIRE_UNTIL(&wire, wire.acceptor.calls[WIRE_HEADER] == 1);
	wire_destroy(&wire);
	wire_listen(&later, &kind);
	later.kind = &kinds[1];
	wire_dial(&later);
	WIRE_UNTIL(&later, later.dialer.calls[WIRE_OPENED] == 1 && wire_is_up(&later.acceptor));
	wire_destroy(&later);
	check_refused(pccl_tls_wire(old), pccl_tls_wire(listening), "it has another join secret",
		      "it has another join secret, or none");
	pccl_tls_destroy(listening);
	pccl_tls_destroy(dialling);
	pccl_tls_destroy(old);
}

static void check_older_tls(const struct wire_kind *kind)
{
	static struct wire wire;
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	BIO *out = BIO_new(BIO_s_mem());
	char hello[1024];
	int fd, count;
	SSL *ssl;

	SSL_CTX_set_max_proto_version(context, TLS1_2_VERSION);
	ssl = SSL_new(context);
	SSL_set_bio(ssl, BIO_new(BIO_s_mem()), out);
	SSL_set_connect_state(ssl);
	(void)SSL_do_handshake(ssl);
	count = BIO_read(out, hello, sizeof(hello));
	assert_true(count > 0);
	wire_listen(&wire, kind);
	fd = socket(wire.address.storage.ss_family, SOCK_STREAM, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&wire.address.storage, wire.address.bytes), 0);
	assert_int_equal(send(fd, hello, (size_t)count, MSG_NOSIGNAL), count);
	WIRE_UNTIL(&wire, wire.acceptor.calls[WIRE_BROKEN] == 1);
	assert_non_null(strstr(wire.acceptor.reason, "it speaks no TLS 1.3"));
	close(fd);
	SSL_free(ssl);
	SSL_CTX_free(context);
	wire_destroy(&wire);
}

static void older_tls_is_refused(void **state)
{
	(void)state;
	check_older_tls(&secret_kind);
	check_older_tls(&certificate_kind);
}

/* ---- who is there -------------------------------------------------------------------------------------------- */

static void check_bond(struct wire_kind *kind, const char *name, struct pccl_binding *binding_out)
{
	static struct wire wire;
	struct pccl_bond dialler, acceptor;

	wire_open(&wire, kind);
	WIRE_UNTIL(&wire, kind->transport->bond(wire.acceptor.stream, &acceptor));
	assert_true(kind->transport->bond(wire.dialer.stream, &dialler));
	assert_memory_equal(&dialler.binding, &acceptor.binding, sizeof(dialler.binding));
	assert_string_equal(dialler.name, name);
	assert_string_equal(acceptor.name, name);
	*binding_out = dialler.binding;
	wire_destroy(&wire);
}

static void both_ends_have_a_bond_that_no_other_connection_has(void **state)
{
	struct pccl_binding first, second;

	(void)state;
	check_bond(&secret_kind, "", &first);
	check_bond(&secret_kind, "", &second);
	assert_memory_not_equal(&first, &second, sizeof(first));
	check_bond(&certificate_kind, "member", &first);
	assert_memory_not_equal(&first, &second, sizeof(first));
}

static void plain_streams_have_no_bond(void **state)
{
	static struct wire wire;
	struct wire_kind plain = {&pccl_tcp, "127.0.0.1", NULL};
	struct pccl_bond bond;

	(void)state;
	wire_open(&wire, &plain);
	assert_false(pccl_tcp.bond(wire.dialer.stream, &bond));
	wire_destroy(&wire);
}

/* ---- credentials --------------------------------------------------------------------------------------------- */

static void bad_files_are_named(void **state)
{
	struct pccl_tls_config config = {.authority = "/nowhere/authority.pem", .certificate = "x", .key = "y"};
	char authority_file[128], member_file[128], other_key[128];
	struct pccl_tls *tls;

	(void)state;
	assert_int_equal(pccl_tls_create(&config, &tls), pcclInvalidArgument);
	assert_non_null(strstr(pccl_fail_text(), "/nowhere/authority.pem"));
	assert_null(tls);
	authority_path(&ours, "authority.pem", authority_file);
	authority_path(&ours, "member.pem", member_file);
	authority_path(&ours, "expired.key", other_key);
	config.authority = config.certificate = authority_file;
	config.certificate = member_file;
	config.key = other_key;
	assert_int_equal(pccl_tls_create(&config, &tls), pcclInvalidArgument);
	assert_non_null(strstr(pccl_fail_text(), "expired.key"));
}

/* One of them by an encryption of PEM's own, as older programs have keys, and anything can have. */
static void write_locked(EVP_PKEY *key)
{
	static const char *const labels[][2] = {{"locked.pem", PEM_STRING_X509},
						{"locked-list.pem", PEM_STRING_X509_CRL}};
	unsigned char phrase[] = "phrase";
	FILE *file = authority_open(&ours, "locked.key");
	size_t i;

	assert_int_equal(PEM_write_PKCS8PrivateKey(file, key, EVP_aes_128_cbc(), (char *)phrase, 6, NULL, NULL), 1);
	fclose(file);
	file = authority_open(&ours, "locked-old.key");
	assert_int_equal(PEM_ASN1_write((i2d_of_void *)i2d_PrivateKey, PEM_STRING_ECPRIVATEKEY, file, key,
					EVP_aes_128_cbc(), phrase, 6, NULL, NULL),
			 1);
	fclose(file);
	for (i = 0; i < 2; i++) {
		file = authority_open(&ours, labels[i][0]);
		assert_int_equal(PEM_ASN1_write((i2d_of_void *)i2d_X509, labels[i][1], file, ours.certificate,
						EVP_aes_128_cbc(), phrase, 6, NULL, NULL),
				 1);
		fclose(file);
	}
}

static void check_locked(struct pccl_tls_config config, bool is_told)
{
	struct pccl_tls *tls;

	assert_int_equal(pccl_tls_create(&config, &tls), pcclInvalidArgument);
	if (is_told && strstr(pccl_fail_text(), "pass phrase") == NULL)
		fail_msg("%s", pccl_fail_text());
}

/* OpenSSL asked the terminal, or took the program's next line of input for the pass phrase. */
static void nobody_is_asked_for_a_pass_phrase(void **state)
{
	static const char *const names[] = {"locked.key",    "locked-old.key", "locked.pem", "locked-list.pem",
					    "authority.pem", "member.pem",     "member.key"};
	char paths[7][128];
	struct pccl_tls_config config = {.authority = paths[4], .certificate = paths[5]};
	int ends[2], kept = dup(0), left = 0;
	size_t i;

	(void)state;
	for (i = 0; i < 7; i++)
		authority_path(&ours, names[i], paths[i]);
	write_locked(ours.key);
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(write(ends[1], "phrase\n", 7), 7);
	assert_int_equal(dup2(ends[0], 0), 0);
	config.key = paths[0];
	check_locked(config, true);
	config.key = paths[1];
	check_locked(config, true);
	config.key = paths[6];
	config.certificate = paths[2];
	check_locked(config, true);
	config.certificate = paths[5];
	config.authority = paths[2];
	check_locked(config, false);
	config.authority = paths[4];
	config.revoked = paths[3];
	check_locked(config, false);
	assert_int_equal(ioctl(0, FIONREAD, &left), 0);
	assert_int_equal(left, 7);
	assert_int_equal(dup2(kept, 0), 0);
	close(kept);
	close(ends[0]);
	close(ends[1]);
	for (i = 0; i < 4; i++)
		unlink(paths[i]);
}

int main(void)
{
	const struct CMUnitTest suite[] = {SUITE_TESTS};
	const struct CMUnitTest own[] = {
		cmocka_unit_test(another_secret_is_refused),
		cmocka_unit_test(certificates_that_do_not_count_are_refused),
		cmocka_unit_test(certificates_are_for_the_role_that_they_name),
		cmocka_unit_test(authorities_in_between_can_be_revoked),
		cmocka_unit_test(secret_and_certificate_do_not_meet),
		cmocka_unit_test(plain_and_tls_do_not_meet),
		cmocka_unit_test(new_secret_is_taken_while_the_old_one_still_is),
		cmocka_unit_test(credentials_change_while_a_port_listens),
		cmocka_unit_test(older_tls_is_refused),
		cmocka_unit_test(both_ends_have_a_bond_that_no_other_connection_has),
		cmocka_unit_test(plain_streams_have_no_bond),
		cmocka_unit_test(bad_files_are_named),
		cmocka_unit_test(nobody_is_asked_for_a_pass_phrase),
	};
	int failed;

	suite_large_bytes = 1u << 20; /* a close waits for a second, and the thread sanitizer makes ciphers slow */
	set_up(NULL);
	failed = cmocka_run_group_tests_name("tls with a join secret", suite, use_secret, NULL);
	failed += cmocka_run_group_tests_name("tls with certificates", suite, use_certificate, NULL);
	failed += cmocka_run_group_tests_name("tls and strangers", own, NULL, NULL);
	tear_down(NULL);
	return failed;
}
