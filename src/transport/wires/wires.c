#include "transport/wires/wires.h"

#include "base/fail.h"
#include "base/memory.h"
#include "transport/tcp/tcp.h"
#include "transport/tls/secret.h"
#include "transport/tls/tls.h"

struct pccl_wires {
	struct pccl_tls *tls; /* NULL: plain */
	bool stays;	      /* on this host */
};

static pcclResult_t seal(const pcclSecurity_t *security, struct pccl_wires *wires)
{
	struct pccl_tls_config config = {.authority = security->authority_file,
					 .certificate = security->certificate_file,
					 .key = security->key_file,
					 .revoked = security->revoked_file};
	pcclResult_t result = pcclSuccess;

	if (security->mode == pcclSecurityPsk)
		result = pccl_join_secrets_gather(security->secret, security->secret_file, config.secrets,
						  &config.secret_count);
	if (result == pcclSuccess)
		result = pccl_tls_create(&config, &wires->tls);
	pccl_join_secrets_wipe(config.secrets);
	return result;
}

pcclResult_t pccl_wires_create(const pcclSecurity_t *security, struct pccl_wires **wires_out)
{
	struct pccl_wires *wires = pccl_zalloc(sizeof(*wires));
	pcclResult_t result = pcclSuccess;

	*wires_out = NULL;
	if (wires == NULL)
		return pcclOutOfMemory;
	wires->stays = security->mode == pcclSecurityDefault;
	if (security->mode == pcclSecurityPsk || security->mode == pcclSecurityTls)
		result = seal(security, wires);
	if (result == pcclSuccess)
		*wires_out = wires;
	else
		pccl_wires_destroy(wires);
	return result;
}

void pccl_wires_destroy(struct pccl_wires *wires)
{
	if (wires == NULL)
		return;
	pccl_tls_destroy(wires->tls);
	pccl_free(wires);
}

pcclResult_t pccl_wires_generate_secret(char text_out[PCCL_SECRET_TEXT_BYTES])
{
	return pccl_join_secret_generate(text_out);
}

const struct pccl_transport *pccl_wire_for(const struct pccl_wires *wires, const struct pccl_address *address)
{
	(void)address; /* one wire for IPv4 and IPv6 */
	return wires->tls != NULL ? pccl_tls_wire(wires->tls) : &pccl_tcp;
}

bool pccl_wires_are_protected(const struct pccl_wires *wires)
{
	return wires->tls != NULL;
}

static pcclResult_t refuse(const struct pccl_address *address)
{
	char text[PCCL_ADDRESS_BYTES];

	pccl_address_text(address, text);
	return pccl_fail(pcclInvalidUsage,
			 "%s is another host, and no security is set: give all peers and masters a join secret "
			 "(pccl-master --generate-secret, PCCL_SECRET_FILE), or PCCL_SECURITY=none to go without",
			 text);
}

pcclResult_t pccl_wires_allow(const struct pccl_wires *wires, const struct pccl_address *address)
{
	if (!wires->stays || pccl_address_is_loopback(address))
		return pcclSuccess;
	return refuse(address);
}

pcclResult_t pccl_wires_admit(const struct pccl_wires *wires, const struct pccl_stream *stream)
{
	struct pccl_address local, remote;

	if (!wires->stays)
		return pcclSuccess;
	if (!stream->transport->ends(stream, &local, &remote))
		return pccl_fail(pcclSystemError, "a caller had gone again before it could be asked who it is");
	/* This host has other addresses than that of the loopback interface. */
	if (pccl_address_is_loopback(&remote) || pccl_address_same_host(&local, &remote))
		return pcclSuccess;
	return refuse(&remote);
}
