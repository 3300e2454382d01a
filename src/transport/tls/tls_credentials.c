/* Join secrets and certificates become a context of OpenSSL's. */
#include "transport/tls/tls_internal.h"

#include <string.h>
#include <sys/mman.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/sha.h>
#include <openssl/x509_vfy.h>

#include "base/fail.h"
#include "base/memory.h"
#include "transport/files.h"

/* All of one digest, so that a join secret goes with each. */
#define SUITES "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256"
/* That one system call may bring: three whole records, which stay in the nearest caches until they are opened. */
#define READ_BYTES (3u * (SSL3_RT_MAX_PLAIN_LENGTH + 22u) + 8u)

/* RFC 8446 (5.5) takes up to 2^24.5 for safe with AES-GCM. So many are 137 GB. */
#define RECORDS_PER_KEY (1u << 23)

static const unsigned char first_suite[] = {0x13, 0x01}; /* TLS_AES_128_GCM_SHA256 in RFC 8446, B.4 */

/* What a session is for; it counts for nothing else. */
static const unsigned char purpose[] = {'p', 'c', 'c', 'l'};

static struct pccl_tls *tls_of(SSL *ssl)
{
	return SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
}

/* ---- join secrets -------------------------------------------------------------------------------------------- */

/* The name tells nothing of the secret: that has 256 bits at random. */
static void name_secret(const struct pccl_join_secret *secret, uint8_t name_out[PCCL_TLS_NAME_BYTES])
{
	static const char prefix[] = "pccl: name of a join secret";
	uint8_t text[sizeof(prefix) + PCCL_JOIN_SECRET_BYTES];
	uint8_t digest[SHA256_DIGEST_LENGTH];

	memcpy(text, prefix, sizeof(prefix));
	memcpy(text + sizeof(prefix), secret->data, PCCL_JOIN_SECRET_BYTES);
	(void)SHA256(text, sizeof(text), digest);
	memcpy(name_out, digest, PCCL_TLS_NAME_BYTES);
	OPENSSL_cleanse(text, sizeof(text));
}

/* NULL: out of memory. */
static SSL_SESSION *make_session(SSL *ssl, const struct pccl_join_secret *secret)
{
	const SSL_CIPHER *suite = SSL_CIPHER_find(ssl, first_suite);
	SSL_SESSION *session = SSL_SESSION_new();

	if (session != NULL && suite != NULL &&
	    SSL_SESSION_set1_master_key(session, secret->data, PCCL_JOIN_SECRET_BYTES) == 1 &&
	    SSL_SESSION_set_cipher(session, suite) == 1 &&
	    SSL_SESSION_set_protocol_version(session, TLS1_3_VERSION) == 1 &&
	    SSL_SESSION_set1_id_context(session, purpose, sizeof(purpose)) == 1)
		return session;
	SSL_SESSION_free(session);
	return NULL;
}

/* The side that dials: shows the first secret. */
static int use_secret(SSL *ssl, const EVP_MD *digest, const unsigned char **name_out, size_t *name_bytes_out,
		      SSL_SESSION **session_out)
{
	const struct pccl_tls *tls = tls_of(ssl);

	(void)digest; /* there is one */
	*name_out = tls->names[0];
	*name_bytes_out = PCCL_TLS_NAME_BYTES;
	*session_out = make_session(ssl, &tls->secrets[0]);
	return *session_out != NULL;
}

/* The side that is dialled: any secret that it has. Without one there is nothing else, so the handshake fails. */
static int find_secret(SSL *ssl, const unsigned char *name, size_t name_bytes, SSL_SESSION **session_out)
{
	const struct pccl_tls *tls = tls_of(ssl);
	uint32_t i;

	*session_out = NULL;
	for (i = 0; i < tls->secret_count; i++)
		if (name_bytes == PCCL_TLS_NAME_BYTES && memcmp(tls->names[i], name, PCCL_TLS_NAME_BYTES) == 0) {
			*session_out = make_session(ssl, &tls->secrets[i]);
			return *session_out != NULL;
		}
	return 1;
}

static void load_secrets(struct pccl_tls *tls, const struct pccl_tls_config *config)
{
	uint32_t i;

	tls->secret_count = config->secret_count;
	for (i = 0; i < config->secret_count; i++) {
		tls->secrets[i] = config->secrets[i];
		name_secret(&tls->secrets[i], tls->names[i]);
	}
	SSL_CTX_set_psk_use_session_callback(tls->context, use_secret);
	SSL_CTX_set_psk_find_session_callback(tls->context, find_secret);
	/* A server that has a certificate and no secret is turned away: nobody's certificate counts. */
	SSL_CTX_set_verify(tls->context, SSL_VERIFY_PEER, NULL);
}

/* ---- certificates -------------------------------------------------------------------------------------------- */

static pcclResult_t fail_file(const char *path, const char *what)
{
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());

	pccl_fail(pcclInvalidArgument, "%s: %s: %s", path, what, reason != NULL ? reason : "it can't be read");
	ERR_clear_error();
	return pcclInvalidArgument;
}

/* Each authority of a chain needs its list: without one nobody would know that it, or what it made, was revoked. */
static pcclResult_t load_revoked(struct pccl_tls *tls, const char *path)
{
	X509_STORE *store = SSL_CTX_get_cert_store(tls->context);
	X509_LOOKUP *lookup = X509_STORE_add_lookup(store, X509_LOOKUP_file());

	if (lookup == NULL)
		return pcclOutOfMemory;
	if (X509_load_crl_file(lookup, path, X509_FILETYPE_PEM) <= 0)
		return fail_file(path, "no list of revoked certificates");
	X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
	return pcclSuccess;
}

static pcclResult_t check_files(const struct pccl_tls_config *config)
{
	pcclResult_t result = pccl_files_check(config->authority, "the certificate of an authority", false);

	if (result == pcclSuccess)
		result = pccl_files_check(config->certificate, "a certificate", false);
	if (result == pcclSuccess)
		result = pccl_files_check(config->key, "a private key", true);
	if (result == pcclSuccess && config->revoked != NULL)
		result = pccl_files_check(config->revoked, "a list of revoked certificates", false);
	return result;
}

/* In place of OpenSSL's, which asks the terminal, or standard input, and waits. */
static int give_no_phrase(char *phrase, int bytes, int writes, void *asked)
{
	(void)phrase;
	(void)bytes;
	(void)writes;
	*(bool *)asked = true;
	return -1;
}

static pcclResult_t fail_secret_file(const char *path, const char *what, bool asked)
{
	if (!asked)
		return fail_file(path, what);
	ERR_clear_error();
	return pccl_fail(pcclInvalidArgument,
			 "%s is protected by a pass phrase, and nobody is asked for one: give it without, readable by "
			 "its owner only",
			 path);
}

static pcclResult_t load_own(struct pccl_tls *tls, const struct pccl_tls_config *config)
{
	bool asked = false;
	pcclResult_t result = pcclSuccess;

	SSL_CTX_set_default_passwd_cb(tls->context, give_no_phrase);
	SSL_CTX_set_default_passwd_cb_userdata(tls->context, &asked);
	if (SSL_CTX_use_certificate_chain_file(tls->context, config->certificate) != 1)
		result = fail_secret_file(config->certificate, "no certificate", asked);
	else if (SSL_CTX_use_PrivateKey_file(tls->context, config->key, SSL_FILETYPE_PEM) != 1)
		result = fail_secret_file(config->key, "no private key", asked);
	SSL_CTX_set_default_passwd_cb_userdata(tls->context, NULL);
	return result;
}

static pcclResult_t load_certificates(struct pccl_tls *tls, const struct pccl_tls_config *config)
{
	pcclResult_t result = check_files(config);

	if (result != pcclSuccess)
		return result;
	/* Of authorities and lists of revoked ones OpenSSL asks nobody. */
	if (SSL_CTX_load_verify_file(tls->context, config->authority) != 1)
		return fail_file(config->authority, "no certificate of an authority");
	result = load_own(tls, config);
	if (result != pcclSuccess)
		return result;
	if (SSL_CTX_check_private_key(tls->context) != 1)
		return fail_file(config->key, "the key is not that of the certificate");
	SSL_CTX_set_verify(tls->context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	return config->revoked != NULL ? load_revoked(tls, config->revoked) : pcclSuccess;
}

/* ---- both ---------------------------------------------------------------------------------------------------- */

static pcclResult_t load(struct pccl_tls *tls, const struct pccl_tls_config *config)
{
	SSL_CTX *context = SSL_CTX_new(TLS_method());

	if (context == NULL)
		return pcclOutOfMemory;
	tls->context = context;
	if (SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) != 1 ||
	    SSL_CTX_set_ciphersuites(context, SUITES) != 1)
		return pccl_fail(pcclSystemError, "this OpenSSL has no TLS 1.3");
	SSL_CTX_set_app_data(context, tls);
	pccl_tls_answer_about_offers(context);
	SSL_CTX_set_num_tickets(context, 0);
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
	(void)SSL_CTX_set_session_id_context(context, purpose, sizeof(purpose));
	SSL_CTX_set_read_ahead(context, 1);
	SSL_CTX_set_default_read_buffer_len(context, READ_BYTES);
	/* ChaCha20 for who is slow at AES, whichever side that is. */
	SSL_CTX_set_options(context, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
	if (config->secret_count == 0)
		return load_certificates(tls, config);
	load_secrets(tls, config);
	return pcclSuccess;
}

pcclResult_t pccl_tls_create(const struct pccl_tls_config *config, struct pccl_tls **tls_out)
{
	struct pccl_tls *tls = pccl_zalloc(sizeof(*tls));
	pcclResult_t result;

	*tls_out = NULL;
	if (tls == NULL)
		return pcclOutOfMemory;
	(void)mlock(tls, sizeof(*tls)); /* where it is allowed: secrets are not to be swapped out */
	tls->to_masters = (struct pccl_tls_wire){pccl_tls_slots, tls, .expects_peers = false};
	tls->to_peers = (struct pccl_tls_wire){pccl_tls_slots, tls, .expects_peers = true};
	tls->with_offers = (struct pccl_tls_wire){pccl_tls_slots, tls, .expects_peers = true, .hears_offers = true};
	tls->records_per_key = config->records_per_key != 0 ? config->records_per_key : RECORDS_PER_KEY;
	tls->method = pccl_tls_make_method();
	result = tls->method != NULL ? load(tls, config) : pcclOutOfMemory;
	if (result != pcclSuccess) {
		pccl_tls_destroy(tls);
		return result;
	}
	*tls_out = tls;
	return pcclSuccess;
}

void pccl_tls_renew(struct pccl_tls *tls, struct pccl_tls *fresh)
{
	struct pccl_tls before = *tls;

	/* The wires and the method stay: streams and listeners know them. A handshake that has begun goes on with the
	 * old context, but looks for secrets here. */
	memcpy(tls->secrets, fresh->secrets, sizeof(tls->secrets));
	memcpy(tls->names, fresh->names, sizeof(tls->names));
	tls->secret_count = fresh->secret_count;
	tls->context = fresh->context;
	memcpy(fresh->secrets, before.secrets, sizeof(fresh->secrets));
	memcpy(fresh->names, before.names, sizeof(fresh->names));
	fresh->secret_count = before.secret_count;
	fresh->context = before.context;
	SSL_CTX_set_app_data(tls->context, tls);
	OPENSSL_cleanse(before.secrets, sizeof(before.secrets));
}

void pccl_tls_destroy(struct pccl_tls *tls)
{
	if (tls == NULL)
		return;
	SSL_CTX_free(tls->context);
	BIO_meth_free(tls->method);
	OPENSSL_cleanse(tls->secrets, sizeof(tls->secrets));
	(void)munlock(tls, sizeof(*tls));
	pccl_free(tls);
}

const struct pccl_transport *pccl_tls_wire(const struct pccl_tls *tls)
{
	return &tls->to_masters.slots;
}

const struct pccl_transport *pccl_tls_wire_between_peers(const struct pccl_tls *tls)
{
	return &tls->to_peers.slots;
}

const struct pccl_transport *pccl_tls_wire_with_offers(const struct pccl_tls *tls)
{
	return &tls->with_offers.slots;
}
