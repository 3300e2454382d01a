/*
 * Bytes through OpenSSL. What it wants to send goes into a buffer of ours, and from there to the socket: so a record
 * that was made is never made again, though the frames behind it may have been taken back before the socket had room.
 */
#include "transport/tls/tls.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "base/fail.h"
#include "base/memory.h"
#include "transport/engine/engine.h"
#include "transport/tls/tls_internal.h"

#define RECORD_BYTES SSL3_RT_MAX_PLAIN_LENGTH
#define SEALED_RECORD_BYTES (RECORD_BYTES + 256u) /* with all that TLS adds */
#define RECORDS_PER_CALL 4u
#define OWN_BYTES 8192u /* room for what TLS says by itself: handshakes, alerts, new keys */
#define OUT_BYTES (RECORDS_PER_CALL * SEALED_RECORD_BYTES + OWN_BYTES)

/* One connection. */
struct tls_connection {
	SSL *ssl;
	int fd;
	bool usable;   /* the handshake is done, and nothing has failed */
	int failure;   /* errno that the next read() returns; 0: none */
	bool said_end; /* close_notify is in the buffer, or gone */
	bool is_mute;  /* what is to be said can't be sealed any more */
	uint32_t records_per_key;
	uint32_t sealed_count; /* records sealed with the key in use */
	size_t taken;	       /* bytes that this call of read() or discard() has brought */
	bool drained;	       /* in it, the socket had less than there was room for, */
	bool dry;	       /* and all of that has been taken: there is no more just now */
	bool ended;	       /* the socket says that the other side has shut down */
	size_t out_begin;
	size_t out_end;
	uint8_t out[OUT_BYTES];	      /* sealed, on its way to the socket */
	uint8_t record[RECORD_BYTES]; /* where small pieces become one record */
};

/* ---- between OpenSSL and the socket ------------------------------------------------------------------------ */

static size_t room(const struct tls_connection *connection)
{
	return sizeof(connection->out) - connection->out_end;
}

static int take_sealed(BIO *bio, const char *bytes, int count)
{
	struct tls_connection *connection = BIO_get_data(bio);

	BIO_clear_retry_flags(bio);
	if ((size_t)count > room(connection)) {
		BIO_set_retry_write(bio);
		return -1;
	}
	memcpy(connection->out + connection->out_end, bytes, (size_t)count);
	connection->out_end += (size_t)count;
	return count;
}

/* Who has something, and was brought less than there was room for, does not ask the kernel again: the loop tells. */
static int bring_sealed(BIO *bio, char *to, int bytes)
{
	struct tls_connection *connection = BIO_get_data(bio);
	ssize_t got = -1;

	BIO_clear_retry_flags(bio);
	errno = EAGAIN;
	if (!connection->drained || connection->taken == 0)
		do
			got = recv(connection->fd, to, (size_t)bytes, MSG_DONTWAIT);
		while (got < 0 && errno == EINTR);
	if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		BIO_set_retry_read(bio);
	connection->drained = got < bytes;
	connection->ended = got == 0;
	if (connection->ended)
		errno = 0;
	return (int)got;
}

static long control(BIO *bio, int command, long number, void *pointer)
{
	const struct tls_connection *connection = BIO_get_data(bio);

	(void)number;
	(void)pointer;
	if (command == BIO_CTRL_EOF)
		return connection->ended;
	return command == BIO_CTRL_FLUSH; /* it asks after each flight; we send when we can */
}

BIO_METHOD *pccl_tls_make_method(void)
{
	BIO_METHOD *method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "pccl");

	if (method != NULL && BIO_meth_set_write(method, take_sealed) == 1 &&
	    BIO_meth_set_read(method, bring_sealed) == 1 && BIO_meth_set_ctrl(method, control) == 1)
		return method;
	BIO_meth_free(method);
	return NULL;
}

/* ---- from the buffer to the socket --------------------------------------------------------------------------- */

/* False with errno: EAGAIN, or what the socket says. */
static bool empty(struct tls_connection *connection)
{
	while (connection->out_begin < connection->out_end) {
		ssize_t sent = send(connection->fd, connection->out + connection->out_begin,
				    connection->out_end - connection->out_begin, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0)
			return false;
		connection->out_begin += (size_t)sent;
	}
	connection->out_begin = connection->out_end = 0;
	return true;
}

/* A socket that fails is found out by reading. */
static bool flush(void *state, int fd)
{
	(void)fd;
	return empty(state) || (errno != EAGAIN && errno != EWOULDBLOCK);
}

/* ---- life ---------------------------------------------------------------------------------------------------- */

/* OpenSSL takes who is dialled for a server, and who dials for a client: of peers both are the latter. */
static void expect_client(SSL *ssl)
{
	(void)SSL_set_purpose(ssl, X509_PURPOSE_SSL_CLIENT);
	(void)SSL_set_trust(ssl, X509_TRUST_SSL_CLIENT);
}

static pcclResult_t connect_ends(struct tls_connection *connection, const struct pccl_tls_wire *wire, bool dialled)
{
	const struct pccl_tls *tls = wire->tls;
	BIO *bio;

	connection->records_per_key = tls->records_per_key;
	connection->ssl = SSL_new(tls->context);
	bio = BIO_new(tls->method);
	if (connection->ssl == NULL || bio == NULL ||
	    (dialled && wire->hears_offers && !pccl_tls_ask_about_offers(connection->ssl))) {
		BIO_free(bio);
		SSL_free(connection->ssl);
		return pcclOutOfMemory;
	}
	SSL_set_app_data(connection->ssl, wire->hears_offers ? connection : NULL);
	BIO_set_data(bio, connection);
	BIO_set_init(bio, 1);
	SSL_set_bio(connection->ssl, bio, bio);
	SSL_set_mode(connection->ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	if (wire->expects_peers)
		expect_client(connection->ssl);
	if (dialled)
		SSL_set_connect_state(connection->ssl);
	else
		SSL_set_accept_state(connection->ssl);
	return pcclSuccess;
}

static pcclResult_t begin(const struct pccl_transport *self, int fd, bool dialled, void **state_out)
{
	struct tls_connection *connection = pccl_alloc(sizeof(*connection));
	pcclResult_t result;

	*state_out = NULL;
	if (connection == NULL)
		return pcclOutOfMemory;
	memset(connection, 0, offsetof(struct tls_connection, out));
	connection->fd = fd;
	result = connect_ends(connection, (const struct pccl_tls_wire *)self, dialled);
	if (result != pcclSuccess)
		pccl_free(connection);
	else
		*state_out = connection;
	return result;
}

/* Puts the last word into the buffer, once. */
static void say_end(struct tls_connection *connection)
{
	if (!connection->usable || connection->said_end)
		return;
	connection->said_end = true;
	ERR_clear_error();
	(void)SSL_shutdown(connection->ssl);
	ERR_clear_error();
}

static bool shut_down(void *state, int fd)
{
	struct tls_connection *connection = state;

	say_end(connection);
	if (!flush(connection, fd))
		return false;
	shutdown(fd, SHUT_WR);
	return true;
}

static void end(void *state)
{
	struct tls_connection *connection = state;

	say_end(connection);
	(void)empty(connection);
	SSL_free(connection->ssl);
	OPENSSL_cleanse(connection->record, sizeof(connection->record));
	pccl_free(connection);
}

/* Sends OpenSSL's alert. It makes none for who speaks no TLS: that one learns by ours whom it has called. */
static void say_refusal(struct tls_connection *connection)
{
	static const uint8_t alert[] = {SSL3_RT_ALERT, 3, 3, 0, 2, SSL3_AL_FATAL, SSL_AD_PROTOCOL_VERSION};

	if (connection->out_end == 0 && SSL_is_server(connection->ssl)) {
		memcpy(connection->out, alert, sizeof(alert));
		connection->out_end = sizeof(alert);
	}
	(void)empty(connection);
}

/* OpenSSL does as an extension of the other side's says, and would seal a part of what it is given. */
static bool takes_whole_records(const SSL *ssl)
{
	return SSL_SESSION_get_max_fragment_length(SSL_get0_session(ssl)) == TLSEXT_max_fragment_length_DISABLED;
}

static enum pccl_shake shake(void *state, int fd)
{
	struct tls_connection *connection = state;
	int status, error;
	bool unfit;

	ERR_clear_error();
	status = SSL_do_handshake(connection->ssl);
	error = SSL_get_error(connection->ssl, status);
	if (status != 1 && error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) {
		unfit = pccl_tls_explain(connection->ssl, true);
		say_refusal(connection);
		return unfit ? PCCL_SHAKE_UNFIT : PCCL_SHAKE_FAILED;
	}
	if (!flush(connection, fd) || status != 1)
		return PCCL_SHAKE_GOES_ON;
	if (!takes_whole_records(connection->ssl)) {
		(void)pccl_fail(pcclSystemError, "no TLS connection: it asks for short records, which no pccl does");
		return PCCL_SHAKE_UNFIT;
	}
	connection->usable = true;
	return PCCL_SHAKE_DONE;
}

/* Errors of others on this thread would be taken for the next call's. There are none as a rule, and to look is quicker
 * than to clear. */
static void forget_errors(void)
{
	if (ERR_peek_error() != 0)
		ERR_clear_error();
}

/* ---- reading ------------------------------------------------------------------------------------------------- */

/* Why SSL_read() brought nothing, as read() says it. */
static ssize_t explain(struct tls_connection *connection)
{
	int saved = errno;

	switch (SSL_get_error(connection->ssl, 0)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		errno = EAGAIN;
		return -1;
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	case SSL_ERROR_SYSCALL:
		connection->usable = false;
		errno = saved != 0 ? saved : ECONNRESET;
		return -1;
	default:
		connection->usable = false;
		if (ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
			errno = ECONNRESET;
			return -1;
		}
		(void)pccl_tls_explain(connection->ssl, false);
		errno = EPROTO;
		return -1;
	}
}

/* Without a call that would bring nothing. */
static bool is_dry(const struct tls_connection *connection)
{
	return connection->taken > 0 && connection->drained && SSL_has_pending(connection->ssl) == 0;
}

/* Fills one part. False: there is no more just now, or ever. */
static bool read_part(struct tls_connection *connection, uint8_t *to, size_t bytes)
{
	size_t got, done;

	for (done = 0; done < bytes; done += got, connection->taken += got) {
		connection->dry = is_dry(connection);
		if (connection->dry || SSL_read_ex(connection->ssl, to + done, bytes - done, &got) != 1)
			return false;
	}
	return true;
}

/* What was read before a failure is delivered first; the failure is told by the next call. */
static ssize_t finish_read(struct tls_connection *connection, bool filled, bool *more_out)
{
	ssize_t result = filled || connection->dry ? 1 : explain(connection);
	int error = errno;
	bool waits = connection->dry || (result < 0 && error == EAGAIN);

	(void)flush(connection, connection->fd); /* answers of TLS's own */
	*more_out = !waits;
	errno = error;
	if (result < 0 && !waits)
		connection->failure = error == EPROTO ? EBADMSG : error; /* its words would be gone by then */
	return connection->taken == 0 ? result : (ssize_t)connection->taken;
}

/* False with errno: an earlier call failed. */
static bool may_read(struct tls_connection *connection)
{
	forget_errors();
	connection->taken = 0;
	connection->drained = connection->dry = false;
	errno = connection->failure;
	return connection->failure == 0;
}

static ssize_t read_bytes(void *state, int fd, struct iovec *parts, size_t part_count, bool *more_out)
{
	struct tls_connection *connection = state;
	bool filled = true;
	size_t i;

	(void)fd;
	if (!may_read(connection))
		return -1;
	for (i = 0; i < part_count && filled; i++)
		filled = read_part(connection, parts[i].iov_base, parts[i].iov_len);
	return finish_read(connection, filled, more_out);
}

static ssize_t peek_byte(void *state, int fd, uint8_t *byte_out)
{
	struct tls_connection *connection = state;
	size_t got;
	bool more;

	(void)fd;
	if (!may_read(connection))
		return -1;
	return finish_read(connection, SSL_peek_ex(connection->ssl, byte_out, 1, &got) == 1, &more);
}

static ssize_t discard_bytes(void *state, int fd, size_t bytes, bool *more_out)
{
	struct tls_connection *connection = state;
	bool filled = true;

	(void)fd;
	if (!may_read(connection))
		return -1;
	while (connection->taken < bytes && filled) {
		size_t left = bytes - connection->taken;
		size_t piece = left < RECORD_BYTES ? left : RECORD_BYTES;

		filled = read_part(connection, connection->record, piece);
	}
	return finish_read(connection, filled, more_out);
}

/* ---- writing ------------------------------------------------------------------------------------------------- */

/* A place in the parts. */
struct cursor {
	const struct iovec *part;
	size_t left; /* parts, this one included */
	size_t done; /* bytes of this one */
};

static void skip_empty(struct cursor *cursor)
{
	while (cursor->left > 0 && cursor->done == cursor->part->iov_len) {
		cursor->part++;
		cursor->left--;
		cursor->done = 0;
	}
}

/* The next record's bytes: in place if this part has enough, else put together. Returns how many. */
static size_t next_record(struct tls_connection *connection, struct cursor *cursor, const uint8_t **from_out)
{
	size_t bytes = 0;

	skip_empty(cursor);
	*from_out = connection->record;
	while (cursor->left > 0 && bytes < RECORD_BYTES) {
		const uint8_t *from = (const uint8_t *)cursor->part->iov_base + cursor->done;
		size_t piece = cursor->part->iov_len - cursor->done;

		if (bytes == 0 && piece >= RECORD_BYTES) {
			*from_out = from;
			cursor->done += RECORD_BYTES;
			return RECORD_BYTES;
		}
		if (piece > RECORD_BYTES - bytes)
			piece = RECORD_BYTES - bytes;
		memcpy(connection->record + bytes, from, piece);
		bytes += piece;
		cursor->done += piece;
		skip_empty(cursor);
	}
	return bytes;
}

/* Right before a record: OpenSSL tells the other side before that. No key is to seal too many. */
static bool keep_key_fresh(struct tls_connection *connection)
{
	if (connection->sealed_count++ < connection->records_per_key)
		return true;
	connection->sealed_count = 1;
	return SSL_key_update(connection->ssl, SSL_KEY_UPDATE_NOT_REQUESTED) == 1;
}

/* Seals records until the buffer is full. Returns how many bytes of the parts are in it. */
static size_t seal_records(struct tls_connection *connection, struct cursor *cursor)
{
	size_t total = 0;

	while (room(connection) >= SEALED_RECORD_BYTES + OWN_BYTES) {
		const uint8_t *from;
		size_t bytes = next_record(connection, cursor, &from);
		size_t sealed;

		if (bytes == 0)
			break;
		if (!keep_key_fresh(connection) || SSL_write_ex(connection->ssl, from, bytes, &sealed) != 1) {
			connection->usable = false;
			connection->is_mute = true;
			ERR_clear_error();
			return 0;
		}
		assert(sealed == bytes); /* the buffer has room for a whole record */
		total += bytes;
	}
	return total;
}

static ssize_t write_bytes(void *state, int fd, struct iovec *parts, size_t part_count, bool *more_out)
{
	struct tls_connection *connection = state;
	struct cursor cursor = {parts, part_count, 0};
	size_t total = 0, sealed;

	(void)fd;
	*more_out = false;
	forget_errors();
	do {
		if (!empty(connection))
			return total > 0 ? (ssize_t)total : -1;
		sealed = seal_records(connection, &cursor);
		total += sealed;
	} while (sealed > 0);
	skip_empty(&cursor);
	if (cursor.left > 0 || connection->is_mute) {
		errno = EPIPE;
		return -1;
	}
	*more_out = true;
	return (ssize_t)total;
}

/* ---- who is there -------------------------------------------------------------------------------------------- */

/* One that is cut, or has a zero in the middle, would be another's. */
static void read_name(const SSL *ssl, char out[PCCL_BOND_NAME_BYTES])
{
	const X509 *certificate = SSL_get0_peer_certificate(ssl);
	const X509_NAME *subject = certificate != NULL ? X509_get_subject_name(certificate) : NULL;
	int index = subject != NULL ? X509_NAME_get_index_by_NID(subject, NID_commonName, -1) : -1;
	unsigned char *text = NULL;
	int bytes;

	out[0] = '\0';
	if (index < 0)
		return;
	bytes = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, index)));
	if (bytes > 0 && bytes < PCCL_BOND_NAME_BYTES && memchr(text, '\0', (size_t)bytes) == NULL) {
		memcpy(out, text, (size_t)bytes);
		out[bytes] = '\0';
	}
	OPENSSL_free(text);
}

static bool bond(const void *state, struct pccl_bond *bond_out)
{
	static const char label[] = "EXPORTER-pccl-identity";
	const struct tls_connection *connection = state;

	ERR_clear_error();
	read_name(connection->ssl, bond_out->name);
	if (connection->usable &&
	    SSL_export_keying_material(connection->ssl, bond_out->binding.data, sizeof(bond_out->binding.data), label,
				       sizeof(label) - 1, NULL, 0, 0) == 1)
		return true;
	ERR_clear_error();
	return false;
}

static bool hears_offers(const void *state)
{
	const struct tls_connection *connection = state;

	return pccl_tls_hears_offers(connection->ssl);
}

static const struct pccl_byte_calls sealed_bytes = {
	.begin = begin,
	.end = end,
	.shake = shake,
	.read = read_bytes,
	.write = write_bytes,
	.peek = peek_byte,
	.discard = discard_bytes,
	.flush = flush,
	.shut_down = shut_down,
	.hears_offers = hears_offers,
	.bond = bond,
};

const struct pccl_transport pccl_tls_slots = {.name = "tls", .bytes = &sealed_bytes, .seals = true, PCCL_ENGINE_SLOTS};
