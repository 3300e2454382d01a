/* Which wire carries what, and what goes nowhere: decided here, and nowhere else. */
#ifndef PCCL_TRANSPORT_WIRES_H
#define PCCL_TRANSPORT_WIRES_H

#include <stdbool.h>

#include <pccl/security.h>

#include "base/identity.h"
#include "transport/transport.h"

/* The wires of one communicator or master. Constant, so that all its threads may ask. */
struct pccl_wires;

/* No field of `security` is left to the environment any more. A mode of pcclSecurityDefault stays on this host.
 * pcclInvalidArgument says which secret or file, and what is wrong with it; pcclOutOfMemory. */
pcclResult_t pccl_wires_create(const pcclSecurity_t *security, struct pccl_wires **wires_out);
/* The credentials of `fresh` count for connections from now on; its keys, masters' keys and networks do not. Both are
 * protected. Takes `fresh` over. On the one thread of all streams and listeners. */
void pccl_wires_renew(struct pccl_wires *wires, struct pccl_wires *fresh);
/* After all streams and listeners. */
void pccl_wires_destroy(struct pccl_wires *wires);

/* Peers on one host may share memory, and peers use RDMA, as long as nobody has to be protected; RDMA also where they
 * have, after TLS, in networks that the settings of security trust. Before the wires are used. */
void pccl_wires_share_memory(struct pccl_wires *wires);
/* Links have so many times the streams, for there are several network cards: memory is shared by as many more. For the
 * whole process. */
void pccl_wires_make_room(uint32_t times);
void pccl_wires_use_rdma(struct pccl_wires *wires);

/* A new join secret as text. pcclSystemError. */
pcclResult_t pccl_wires_generate_secret(char text_out[PCCL_SECRET_TEXT_BYTES]);

/* This side's own key, NULL: it was given none. */
const struct pccl_key_pair *pccl_wires_identity(const struct pccl_wires *wires);
/* May whoever has proven to have the key be this side's master? NULL: no key; then not if masters' keys are known. */
bool pccl_wires_trust(const struct pccl_wires *wires, const struct pccl_key *master);
/* Is it one of the masters' keys that this side was given? */
bool pccl_wires_list(const struct pccl_wires *wires, const struct pccl_key *master);

/* What others know the key in a file by. pcclInvalidArgument, pcclSystemError. */
pcclResult_t pccl_wires_describe_key(const char *path, char text_out[PCCL_KEY_TEXT_BYTES]);

/* The wire between a peer and its master that listens on such an address, or dials it. */
const struct pccl_transport *pccl_wire_for(const struct pccl_wires *wires, const struct pccl_address *address);
/* The same between peers. */
const struct pccl_transport *pccl_wire_between_peers(const struct pccl_wires *wires,
						     const struct pccl_address *address);

/* Does everybody have to show that it may take part? */
bool pccl_wires_are_protected(const struct pccl_wires *wires);

/* May an address be dialled? pcclInvalidUsage says how to protect the way to it. */
pcclResult_t pccl_wires_allow(const struct pccl_wires *wires, const struct pccl_address *address);
/* May this caller stay? As above. */
pcclResult_t pccl_wires_admit(const struct pccl_wires *wires, const struct pccl_stream *stream);

#endif
