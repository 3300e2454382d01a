/* Host names, numeric addresses, and what sockets call them. */
#ifndef PCCL_TRANSPORT_ADDRESS_H
#define PCCL_TRANSPORT_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include <pccl.h>

#define PCCL_ADDRESS_BYTES 64				 /* numeric text, terminated; scope included */
#define PCCL_ADDRESS_PORT_BYTES (PCCL_ADDRESS_BYTES + 8) /* with brackets and port */

struct pccl_address {
	struct sockaddr_storage storage;
	socklen_t bytes;
};

/* Splits "host:port", "[v6]:port", "host", "[v6]", "v6" (the last three with default_port). Returns pcclInvalidArgument
 * and says why for anything else. Port 0 is let through. */
pcclResult_t pccl_address_split(const char *text, uint16_t default_port, char *host_out, size_t host_bytes,
				uint16_t *port_out);

/* Resolves a host name or numeric address (may block in the resolver: call it from the caller's thread or the control
 * thread only). Up to *count_inout addresses, in the resolver's order. Returns pcclInvalidArgument; the cause says
 * which name and why. */
pcclResult_t pccl_address_resolve(const char *host, uint16_t port, struct pccl_address *addresses_out,
				  size_t *count_inout);

/* Numeric text to address, no resolver. Returns pcclInvalidArgument. */
pcclResult_t pccl_address_numeric(const char *text, uint16_t port, struct pccl_address *address_out);

/* An interface's, say. false: NULL, or neither IPv4 nor IPv6. */
bool pccl_address_from_system(const struct sockaddr *from, struct pccl_address *address_out);

/* Returns pcclInvalidArgument for a protocol that is none. */
pcclResult_t pccl_address_from_ccoip(const ccoip_socket_address_t *from, struct pccl_address *address_out);

/* The same address as programs spell it. pcclInvalidArgument: neither IPv4 nor IPv6. */
pcclResult_t pccl_address_to_ccoip(const struct pccl_address *from, ccoip_socket_address_t *address_out);

/* Numeric text without port ("203.0.113.7"; IPv4-mapped IPv6 as IPv4), and with ("[2001:db8::1]:48148"). */
void pccl_address_text(const struct pccl_address *address, char out[PCCL_ADDRESS_BYTES]);
void pccl_address_text_port(const struct pccl_address *address, char out[PCCL_ADDRESS_PORT_BYTES]);

/* Host byte order; 0 for an address of another family. */
uint16_t pccl_address_port(const struct pccl_address *address);
void pccl_address_set_port(struct pccl_address *address, uint16_t port);

/* 127.0.0.0/8, ::1; 169.254.0.0/16, fe80::/10; 0.0.0.0, ::. IPv4-mapped ones count as IPv4. */
bool pccl_address_is_loopback(const struct pccl_address *address);
bool pccl_address_is_link_local(const struct pccl_address *address);
bool pccl_address_is_any(const struct pccl_address *address);

/* Does it mean the same host elsewhere, so that others may be told? Not so: loopback and link-local ones. */
bool pccl_address_may_be_told(const struct pccl_address *address);

/* The bytes of an IPv4 or an IPv6 address, in network order; *bytes_out: 4 or 16. */
const uint8_t *pccl_address_host(const struct pccl_address *address, size_t *bytes_out);

/* Is it one host's, with a port? Not so: any, multicast and broadcast addresses. */
bool pccl_address_may_be_dialled(const struct pccl_address *address);

/* The same host and port; an IPv4-mapped IPv6 address equals the IPv4 address. */
bool pccl_address_equal(const struct pccl_address *left, const struct pccl_address *right);
/* A number for where it is: the IPv4 address, of IPv6 the first 64 bits, for a host has a whole network of those. */
uint64_t pccl_address_origin(const struct pccl_address *address);
/* The same host, whatever the ports. */
bool pccl_address_same_host(const struct pccl_address *left, const struct pccl_address *right);

#endif
