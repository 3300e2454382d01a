/* A list of networks that somebody has written down: "10.1.0.0/16,fd00::/8". Pure. */
#ifndef PCCL_TRANSPORT_NETWORKS_H
#define PCCL_TRANSPORT_NETWORKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <pccl.h>

#define PCCL_NETWORKS_MAX 16u
#define PCCL_NETWORKS_ADDRESS_BYTES 16u /* IPv6; of IPv4 the mapped one, ::ffff:10.1.0.0 */

struct pccl_network {
	uint8_t address[PCCL_NETWORKS_ADDRESS_BYTES];
	uint32_t bits; /* that count, of 128 */
};

struct pccl_networks {
	uint32_t count;
	struct pccl_network list[PCCL_NETWORKS_MAX];
};

/* `name` is what people call the list. pcclInvalidArgument says which entry is wrong, and how: no network, bits behind
 * those that count, all addresses there are, or too many entries. */
pcclResult_t pccl_networks_parse(const char *text, const char *name, struct pccl_networks *networks_out);
/* The address of IPv6 that one of IPv4 has here, given in network order. */
void pccl_networks_map(const void *v4, uint8_t address_out[PCCL_NETWORKS_ADDRESS_BYTES]);
/* Are the first bits of two addresses, in network order, the same? Bytes behind them are not looked at. */
bool pccl_networks_begin_alike(const uint8_t *left, const uint8_t *right, uint32_t bits);
/* Is the address in one of them? Networks of IPv6 have no addresses of IPv4. */
bool pccl_networks_have(const struct pccl_networks *networks, const uint8_t address[PCCL_NETWORKS_ADDRESS_BYTES]);
/* Are both in one of them? Of what is between two networks a list says nothing. */
bool pccl_networks_have_both(const struct pccl_networks *networks, const uint8_t one[PCCL_NETWORKS_ADDRESS_BYTES],
			     const uint8_t other[PCCL_NETWORKS_ADDRESS_BYTES]);

#define PCCL_NETWORKS_TEXT_BYTES 48u
/* Such an address, for people. */
void pccl_networks_text(const uint8_t address[PCCL_NETWORKS_ADDRESS_BYTES], char out[PCCL_NETWORKS_TEXT_BYTES]);

#endif
