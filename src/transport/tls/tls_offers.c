/* Do both sides want to hear offers before the first frame? By the name of a protocol in the handshake (RFC 7301),
 * which covers it: nobody in between can take it away, or add it. */
#include "transport/tls/tls_internal.h"

#include <string.h>

#define NAME_BYTES 11u

static const unsigned char names[] = {NAME_BYTES, 'p', 'c', 'c', 'l', '-', 'o', 'f', 'f', 'e', 'r', 's'};

/* Of who is dialled. Without an answer the connection goes on as if nothing had been asked. */
static int answer(SSL *ssl, const unsigned char **name_out, unsigned char *name_bytes_out, const unsigned char *asked,
		  unsigned int asked_bytes, void *context)
{
	unsigned char *name;

	(void)context;
	if (SSL_get_app_data(ssl) == NULL || SSL_select_next_proto(&name, name_bytes_out, names, sizeof(names), asked,
								   asked_bytes) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_NOACK;
	*name_out = name;
	return SSL_TLSEXT_ERR_OK;
}

void pccl_tls_answer_about_offers(SSL_CTX *context)
{
	SSL_CTX_set_alpn_select_cb(context, answer, NULL);
}

bool pccl_tls_ask_about_offers(SSL *ssl)
{
	return SSL_set_alpn_protos(ssl, names, sizeof(names)) == 0;
}

bool pccl_tls_hears_offers(const SSL *ssl)
{
	const unsigned char *name;
	unsigned int bytes;

	SSL_get0_alpn_selected(ssl, &name, &bytes);
	return bytes == NAME_BYTES && memcmp(name, names + 1, NAME_BYTES) == 0;
}
