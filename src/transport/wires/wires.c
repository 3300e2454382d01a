#include "transport/wires/wires.h"

#include <string.h>

#include "base/fail.h"
#include "base/log.h"
#include "base/memory.h"
#include "transport/rdma/pair.h"
#include "transport/rdma/rdma.h"
#include "transport/shm/shm.h"
#include "transport/tcp/tcp.h"
#include "transport/tls/key_file.h"
#include "transport/tls/secret.h"
#include "transport/tls/tls.h"

#define MASTER_KEYS_MAX 16u

struct pccl_wires {
	struct pccl_tls *tls; /* NULL: plain */
	bool stays;	      /* on this host */
	bool has_identity;
	struct pccl_key_pair identity;
	struct pccl_key masters[MASTER_KEYS_MAX]; /* whose peer this side may be; none: of all */
	uint32_t master_count;
	bool memory;			    /* is shared there */
	const struct pccl_transport *rdma;  /* between peers; NULL: it is not used */
	struct pccl_rdma_wire rdma_trusted; /* how it is used beside TLS, and in which networks; none: not */
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

static pcclResult_t read_master_keys(const char *text, struct pccl_wires *wires)
{
	while (*text != '\0') {
		size_t bytes = strcspn(text, ",");

		if (wires->master_count == MASTER_KEYS_MAX)
			return pccl_fail(pcclInvalidArgument, "PCCL_MASTER_KEYS: more than %u keys", MASTER_KEYS_MAX);
		if (!pccl_key_parse(text, bytes, &wires->masters[wires->master_count++]))
			return pccl_fail(pcclInvalidArgument,
					 "PCCL_MASTER_KEYS: \"%.*s\" is no key: pccl-master prints its own",
					 bytes < PCCL_KEY_SHOWN ? (int)bytes : PCCL_KEY_SHOWN, text);
		text += bytes + (text[bytes] == ',');
	}
	return pcclSuccess;
}

static pcclResult_t load_keys(const pcclSecurity_t *security, struct pccl_wires *wires)
{
	pcclResult_t result = pcclSuccess;

	if (security->identity_file != NULL)
		result = pccl_key_file_load(security->identity_file, &wires->identity);
	wires->has_identity = security->identity_file != NULL;
	if (result == pcclSuccess && security->master_keys != NULL)
		result = read_master_keys(security->master_keys, wires);
	return result;
}

static pcclResult_t load(const pcclSecurity_t *security, struct pccl_wires *wires)
{
	pcclResult_t result = pcclSuccess;

	if (security->rdma_trusted != NULL)
		result = pccl_networks_parse(security->rdma_trusted, PCCL_RDMA_TRUSTED, &wires->rdma_trusted.trusted);
	if (result == pcclSuccess && (security->mode == pcclSecurityPsk || security->mode == pcclSecurityTls))
		result = seal(security, wires);
	return result == pcclSuccess ? load_keys(security, wires) : result;
}

pcclResult_t pccl_wires_create(const pcclSecurity_t *security, struct pccl_wires **wires_out)
{
	struct pccl_wires *wires = pccl_zalloc(sizeof(*wires));
	pcclResult_t result;

	*wires_out = NULL;
	if (wires == NULL)
		return pcclOutOfMemory;
	wires->stays = security->mode == pcclSecurityDefault;
	result = load(security, wires);
	if (result == pcclSuccess)
		*wires_out = wires;
	else
		pccl_wires_destroy(wires);
	return result;
}

void pccl_wires_renew(struct pccl_wires *wires, struct pccl_wires *fresh)
{
	pccl_tls_renew(wires->tls, fresh->tls);
	pccl_wires_destroy(fresh);
}

void pccl_wires_destroy(struct pccl_wires *wires)
{
	if (wires == NULL)
		return;
	pccl_tls_destroy(wires->tls);
	pccl_key_wipe(&wires->identity);
	pccl_free(wires);
}

pcclResult_t pccl_wires_generate_secret(char text_out[PCCL_SECRET_TEXT_BYTES])
{
	return pccl_join_secret_generate(text_out);
}

pcclResult_t pccl_wires_describe_key(const char *path, char text_out[PCCL_KEY_TEXT_BYTES])
{
	struct pccl_key_pair pair;
	pcclResult_t result = pccl_key_file_load(path, &pair);

	if (result == pcclSuccess)
		pccl_key_text(&pair.key, text_out);
	pccl_key_wipe(&pair);
	return result;
}

const struct pccl_key_pair *pccl_wires_identity(const struct pccl_wires *wires)
{
	return wires->has_identity ? &wires->identity : NULL;
}

bool pccl_wires_list(const struct pccl_wires *wires, const struct pccl_key *master)
{
	uint32_t i;

	for (i = 0; i < wires->master_count; i++)
		if (memcmp(&wires->masters[i], master, sizeof(*master)) == 0)
			return true;
	return false;
}

bool pccl_wires_trust(const struct pccl_wires *wires, const struct pccl_key *master)
{
	return wires->master_count == 0 || (master != NULL && pccl_wires_list(wires, master));
}

void pccl_wires_make_room(uint32_t times)
{
	pccl_shm_make_room(times);
}

void pccl_wires_share_memory(struct pccl_wires *wires)
{
	wires->memory = true;
}

/* Nothing that a device sends is encrypted. */
void pccl_wires_use_rdma(struct pccl_wires *wires)
{
	if (wires->tls == NULL) {
		wires->rdma = &pccl_rdma;
	} else if (wires->rdma_trusted.trusted.count > 0) {
		pccl_rdma_lay_over(pccl_tls_wire_with_offers(wires->tls), &wires->rdma_trusted);
		wires->rdma = &wires->rdma_trusted.slots;
	} else {
		pccl_log_info("RDMA is not encrypted, so where there is security it is used in networks only that "
			      "are said to be trusted (" PCCL_RDMA_TRUSTED "), and none is: TLS over TCP is used");
	}
}

const struct pccl_transport *pccl_wire_for(const struct pccl_wires *wires, const struct pccl_address *address)
{
	(void)address; /* one wire for IPv4 and IPv6 */
	return wires->tls != NULL ? pccl_tls_wire(wires->tls) : &pccl_tcp;
}

const struct pccl_transport *pccl_wire_between_peers(const struct pccl_wires *wires, const struct pccl_address *address)
{
	(void)address;
	if (wires->rdma != NULL)
		return wires->rdma;
	if (wires->tls != NULL)
		return pccl_tls_wire_between_peers(wires->tls);
	return wires->memory ? &pccl_shm : &pccl_shm_declining;
}

bool pccl_wires_are_protected(const struct pccl_wires *wires)
{
	return wires->tls != NULL;
}

static pcclResult_t refuse(const struct pccl_address *address, const char *what)
{
	char text[PCCL_ADDRESS_BYTES];

	pccl_address_text(address, text);
	return pccl_fail(pcclInvalidUsage,
			 "%s is %s, and no security is set: give all peers and masters a join secret "
			 "(pccl-master --generate-secret, PCCL_SECRET_FILE), or PCCL_SECURITY=none to go without",
			 text, what);
}

/* An address of this host may be that of another one tomorrow. */
pcclResult_t pccl_wires_allow(const struct pccl_wires *wires, const struct pccl_address *address)
{
	if (!wires->stays || pccl_address_is_loopback(address))
		return pcclSuccess;
	return refuse(address, "not a loopback address");
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
	return refuse(&remote, "another host");
}
