/* OpenSSL's errors in words that say what to do. */
#include <string.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

#include "base/fail.h"
#include "transport/tls/tls_internal.h"

#define PLAIN_WORDS \
	"it does not speak TLS: it has no join secret and no certificate (its security is none, or it is no pccl)"

static const struct {
	int reason;
	const char *words;
} known[] = {
	{SSL_R_WRONG_VERSION_NUMBER, PLAIN_WORDS},
	{SSL_R_HTTP_REQUEST, PLAIN_WORDS},
	{SSL_R_PACKET_LENGTH_TOO_LONG, PLAIN_WORDS},
	{SSL_R_BAD_RECORD_TYPE, PLAIN_WORDS},
	{SSL_R_UNSUPPORTED_PROTOCOL, "it speaks no TLS 1.3"},
	{SSL_R_TLSV1_ALERT_PROTOCOL_VERSION, "it speaks no TLS 1.3"},
	{SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM, "it has another join secret, or none"},
	{SSL_R_NO_SHARED_CIPHER, "it has another join secret, or none"},
	{SSL_R_BINDER_DOES_NOT_VERIFY, "it knows the name of the join secret, and not the secret"},
	{SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE, "it has another join secret, or certificates and no secret"},
	{SSL_R_TLSV1_ALERT_DECRYPT_ERROR, "it has another join secret, or trusts another authority"},
	{SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE, "it has no certificate"},
	{SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED, "it asks for a certificate"},
	{SSL_R_TLSV1_ALERT_UNKNOWN_CA,
	 "its authority did not make this side's certificate, or it lacks a list of those revoked"},
	{SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED,
	 "it says that this side's certificate has expired, or its list of those revoked"},
	{SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED, "it says that this side's certificate was revoked"},
	{SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE,
	 "it says that this side's certificate is for another role: a master's is a server's (extended key usage "
	 "serverAuth), a peer's a client's (clientAuth)"},
	{SSL_R_SSLV3_ALERT_BAD_CERTIFICATE, "it does not take this side's certificate"},
	{SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC, "what it sent was changed on the way, or is of another connection"},
};

static const char *words_for(int reason)
{
	size_t i;

	for (i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (known[i].reason == reason)
			return known[i].words;
	return NULL;
}

static const char *words_for_certificate(long status)
{
	if (status == X509_V_ERR_UNABLE_TO_GET_CRL)
		return "PCCL_REVOKED_FILE has no list of an authority that its certificate comes from: it needs one of "
		       "each, the lists of those in between as well";
	if (status == X509_V_ERR_CRL_HAS_EXPIRED)
		return "a list in PCCL_REVOKED_FILE has expired: its authority has to make a new one";
	if (status == X509_V_ERR_INVALID_PURPOSE)
		return "its certificate is for another role: a master's is a server's (extended key usage serverAuth), "
		       "a peer's a client's (clientAuth)";
	return X509_verify_cert_error_string(status);
}

/* One call may leave several errors; the last that says something counts. Empties the queue. NULL: none does. */
static const char *find_words(const SSL *ssl, bool in_handshake, bool *unfit_out)
{
	const char *words = NULL, *some = NULL;
	unsigned long error;

	*unfit_out = false;
	while ((error = ERR_get_error()) != 0) {
		int reason = ERR_GET_REASON(error);

		some = ERR_reason_error_string(error);
		if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED || words_for(reason) != NULL)
			*unfit_out = reason != SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC;
		if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED)
			words = words_for_certificate(SSL_get_verify_result(ssl));
		else if (reason == SSL_R_UNEXPECTED_EOF_WHILE_READING && in_handshake)
			words = "it hung up during the handshake: its security may be none";
		else if (words_for(reason) != NULL)
			words = words_for(reason);
	}
	return words != NULL ? words : some;
}

bool pccl_tls_explain(const SSL *ssl, bool in_handshake)
{
	bool unfit;
	const char *words = find_words(ssl, in_handshake, &unfit);

	pccl_fail(pcclSystemError, "%s: %s", in_handshake ? "no TLS connection" : "the TLS connection broke",
		  words != NULL ? words : "it hung up");
	return unfit;
}
