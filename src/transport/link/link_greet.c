/* HELLO of a link's stream, and who the two sides prove to be. */
#include <assert.h>

#include "transport/link/link_stream.h"

static bool has_bond(const struct pccl_stream *stream, struct pccl_bond *bond_out)
{
	return stream->transport->bond != NULL && stream->transport->bond(stream, bond_out);
}

bool pccl_link_prove(const struct pccl_link_stream *ls, enum pccl_role role, struct pccl_proof *proof_out)
{
	const struct pccl_signer *signer = &ls->link->config.signer;
	struct pccl_bond bond;

	return signer->keys != NULL && has_bond(ls->stream, &bond) &&
	       pccl_proof_make(signer, role, &bond.binding, proof_out) == pcclSuccess;
}

bool pccl_link_is_neighbour(const struct pccl_link_stream *ls, const struct pccl_greeting *greeting)
{
	const struct pccl_link_config *config = &ls->link->config;
	struct pccl_bond bond;

	return config->signer.keys == NULL ||
	       (greeting->proves && has_bond(ls->stream, &bond) &&
		pccl_proof_is_of(&greeting->proof, PCCL_ROLE_CALLED, &bond.binding, &config->neighbour));
}

void pccl_link_say_hello(struct pccl_link_stream *ls)
{
	const struct pccl_link_config *config = &ls->link->config;
	struct pccl_hello hello = {.purpose = PCCL_PURPOSE_DATA, .group = config->group, .from = config->self};
	struct pccl_frame frame = {.type = PCCL_FRAME_HELLO};
	const struct pccl_transport *transport = ls->stream->transport;
	struct pccl_address local, remote;

	hello.to = config->neighbour;
	hello.pass = config->pass;
	hello.lane = config->lane;
	hello.stream = ls->index;
	hello.instance = ls->link->instance;
	hello.resumption = ls->hellos++;
	hello.received = ls->received;
	hello.host = config->host;
	hello.port = transport->ends(ls->stream, &local, &remote) ? pccl_address_port(&local) : 0;
	hello.proves = pccl_link_prove(ls, PCCL_ROLE_CALLER, &hello.proof);
	frame.payload_bytes = (uint32_t)pccl_hello_encode(&hello, ls->hello);
	ls->reported = ls->received;
	ls->unreported_bytes = 0;
	if (!transport->send(ls->stream, &frame, ls->hello, NULL))
		assert(false); /* a stream that has just been attached has room */
}
