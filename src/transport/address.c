#include "transport/address.h"

#include <arpa/inet.h>
#include <assert.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"

static struct sockaddr_in *as_v4(struct pccl_address *address)
{
	return (struct sockaddr_in *)&address->storage;
}

static struct sockaddr_in6 *as_v6(struct pccl_address *address)
{
	return (struct sockaddr_in6 *)&address->storage;
}

static const struct sockaddr_in *as_const_v4(const struct pccl_address *address)
{
	return (const struct sockaddr_in *)&address->storage;
}

static const struct sockaddr_in6 *as_const_v6(const struct pccl_address *address)
{
	return (const struct sockaddr_in6 *)&address->storage;
}

/* ---- text to address ----------------------------------------------------------------------------------------- */

static pcclResult_t parse_port(const char *digits, const char *whole, uint16_t *port_out)
{
	unsigned long value = 0;
	const char *at;

	for (at = digits; *at >= '0' && *at <= '9' && value <= UINT16_MAX; at++)
		value = value * 10 + (unsigned long)(*at - '0');
	if (at == digits || *at != '\0' || value > UINT16_MAX)
		return pccl_fail(pcclInvalidArgument, "address \"%s\": \"%s\" is not a port number", whole, digits);
	*port_out = (uint16_t)value;
	return pcclSuccess;
}

pcclResult_t pccl_address_split(const char *text, uint16_t default_port, char *host_out, size_t host_bytes,
				uint16_t *port_out)
{
	const char *host = text;
	const char *colon = strchr(text, ':');
	const char *port = NULL;
	size_t length = strlen(text);

	if (strstr(text, "://") != NULL)
		return pccl_fail(pcclInvalidArgument, "address \"%s\": want HOST:PORT, without a scheme", text);
	if (text[0] == '[') {
		const char *bracket = strchr(text, ']');

		if (bracket == NULL || (bracket[1] != '\0' && bracket[1] != ':'))
			return pccl_fail(pcclInvalidArgument, "address \"%s\": want [IPv6]:port", text);
		host = text + 1;
		length = (size_t)(bracket - host);
		if (bracket[1] == ':')
			port = bracket + 2;
	} else if (colon != NULL && strchr(colon + 1, ':') == NULL) {
		/* One colon divides host and port; more of them are a bare IPv6 address. */
		length = (size_t)(colon - text);
		port = colon + 1;
	}
	if (length == 0)
		return pccl_fail(pcclInvalidArgument, "address \"%s\": the host is missing", text);
	if (length >= host_bytes)
		return pccl_fail(pcclInvalidArgument, "address \"%s\": the host is longer than %zu characters", text,
				 host_bytes - 1);
	*port_out = default_port;
	if (port != NULL) {
		pcclResult_t result = parse_port(port, text, port_out);

		if (result != pcclSuccess)
			return result;
	}
	memcpy(host_out, host, length);
	host_out[length] = '\0';
	return pcclSuccess;
}

static void from_sockaddr(const struct sockaddr *from, socklen_t bytes, struct pccl_address *address_out)
{
	memset(address_out, 0, sizeof(*address_out));
	memcpy(&address_out->storage, from, bytes);
	address_out->bytes = bytes;
}

pcclResult_t pccl_address_resolve(const char *host, uint16_t port, struct pccl_address *addresses_out,
				  size_t *count_inout)
{
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
	struct addrinfo *list = NULL;
	const struct addrinfo *at;
	char service[8];
	size_t count = 0;
	int error;

	snprintf(service, sizeof(service), "%u", port);
	error = getaddrinfo(host, service, &hints, &list);
	if (error != 0) {
		*count_inout = 0;
		return pccl_fail(pcclInvalidArgument, "host \"%s\" can't be resolved: %s", host, gai_strerror(error));
	}
	for (at = list; at != NULL && count < *count_inout; at = at->ai_next)
		if ((at->ai_family == AF_INET || at->ai_family == AF_INET6) &&
		    at->ai_addrlen <= sizeof(addresses_out->storage))
			from_sockaddr(at->ai_addr, at->ai_addrlen, &addresses_out[count++]);
	freeaddrinfo(list);
	*count_inout = count;
	if (count == 0)
		return pccl_fail(pcclInvalidArgument, "host \"%s\" has neither an IPv4 nor an IPv6 address", host);
	return pcclSuccess;
}

pcclResult_t pccl_address_numeric(const char *text, uint16_t port, struct pccl_address *address_out)
{
	struct addrinfo hints = {
		.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
	struct addrinfo *list = NULL;
	char service[8];

	snprintf(service, sizeof(service), "%u", port);
	if (getaddrinfo(text, service, &hints, &list) != 0)
		return pccl_fail(pcclInvalidArgument, "\"%s\" is not a numeric IPv4 or IPv6 address", text);
	from_sockaddr(list->ai_addr, list->ai_addrlen, address_out);
	freeaddrinfo(list);
	return pcclSuccess;
}

bool pccl_address_from_system(const struct sockaddr *from, struct pccl_address *address_out)
{
	const sa_family_t family = from != NULL ? from->sa_family : AF_UNSPEC;

	if (family != AF_INET && family != AF_INET6)
		return false;
	memset(address_out, 0, sizeof(*address_out));
	address_out->bytes = family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
	memcpy(&address_out->storage, from, address_out->bytes);
	return true;
}

pcclResult_t pccl_address_from_ccoip(const ccoip_socket_address_t *from, struct pccl_address *address_out)
{
	memset(address_out, 0, sizeof(*address_out));
	if (from->inet.protocol == inetIPv4) {
		struct sockaddr_in *v4 = as_v4(address_out);

		v4->sin_family = AF_INET;
		v4->sin_port = htons(from->port);
		memcpy(&v4->sin_addr, from->inet.ipv4.data, sizeof(from->inet.ipv4.data));
		address_out->bytes = sizeof(*v4);
		return pcclSuccess;
	}
	if (from->inet.protocol == inetIPv6) {
		struct sockaddr_in6 *v6 = as_v6(address_out);

		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(from->port);
		memcpy(&v6->sin6_addr, from->inet.ipv6.data, sizeof(from->inet.ipv6.data));
		address_out->bytes = sizeof(*v6);
		return pcclSuccess;
	}
	return pccl_fail(pcclInvalidArgument, "address with protocol %d: want inetIPv4 or inetIPv6",
			 (int)from->inet.protocol);
}

pcclResult_t pccl_address_to_ccoip(const struct pccl_address *from, ccoip_socket_address_t *address_out)
{
	memset(address_out, 0, sizeof(*address_out));
	address_out->port = pccl_address_port(from);
	if (from->storage.ss_family == AF_INET) {
		const struct sockaddr_in *v4 = (const struct sockaddr_in *)&from->storage;

		address_out->inet.protocol = inetIPv4;
		memcpy(address_out->inet.ipv4.data, &v4->sin_addr, sizeof(address_out->inet.ipv4.data));
		return pcclSuccess;
	}
	if (from->storage.ss_family == AF_INET6) {
		const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&from->storage;

		address_out->inet.protocol = inetIPv6;
		memcpy(address_out->inet.ipv6.data, &v6->sin6_addr, sizeof(address_out->inet.ipv6.data));
		return pcclSuccess;
	}
	return pccl_fail(pcclInvalidArgument, "address family %d: want IPv4 or IPv6", (int)from->storage.ss_family);
}

/* ---- address to text ----------------------------------------------------------------------------------------- */

static void v6_text(const struct sockaddr_in6 *v6, char out[PCCL_ADDRESS_BYTES])
{
	const struct in6_addr *host = &v6->sin6_addr;
	char zone[IF_NAMESIZE];
	size_t used;

	if (IN6_IS_ADDR_V4MAPPED(host)) {
		inet_ntop(AF_INET, &host->s6_addr[12], out, PCCL_ADDRESS_BYTES);
		return;
	}
	inet_ntop(AF_INET6, host, out, PCCL_ADDRESS_BYTES);
	if (v6->sin6_scope_id == 0)
		return;
	used = strlen(out);
	if (if_indextoname(v6->sin6_scope_id, zone) != NULL)
		snprintf(out + used, PCCL_ADDRESS_BYTES - used, "%%%s", zone);
	else
		snprintf(out + used, PCCL_ADDRESS_BYTES - used, "%%%u", v6->sin6_scope_id);
}

void pccl_address_text(const struct pccl_address *address, char out[PCCL_ADDRESS_BYTES])
{
	switch (address->storage.ss_family) {
	case AF_INET:
		inet_ntop(AF_INET, &as_const_v4(address)->sin_addr, out, PCCL_ADDRESS_BYTES);
		break;
	case AF_INET6:
		v6_text(as_const_v6(address), out);
		break;
	default:
		snprintf(out, PCCL_ADDRESS_BYTES, "(no address)");
	}
}

void pccl_address_text_port(const struct pccl_address *address, char out[PCCL_ADDRESS_PORT_BYTES])
{
	char host[PCCL_ADDRESS_BYTES];
	bool brackets;

	pccl_address_text(address, host);
	brackets = strchr(host, ':') != NULL;
	snprintf(out, PCCL_ADDRESS_PORT_BYTES, "%s%s%s:%u", brackets ? "[" : "", host, brackets ? "]" : "",
		 pccl_address_port(address));
}

uint16_t pccl_address_port(const struct pccl_address *address)
{
	switch (address->storage.ss_family) {
	case AF_INET:
		return ntohs(as_const_v4(address)->sin_port);
	case AF_INET6:
		return ntohs(as_const_v6(address)->sin6_port);
	default:
		return 0;
	}
}

void pccl_address_set_port(struct pccl_address *address, uint16_t port)
{
	if (address->storage.ss_family == AF_INET6) {
		as_v6(address)->sin6_port = htons(port);
		return;
	}
	assert(address->storage.ss_family == AF_INET);
	as_v4(address)->sin_port = htons(port);
}

bool pccl_address_same_host(const struct pccl_address *left, const struct pccl_address *right)
{
	char left_text[PCCL_ADDRESS_BYTES];
	char right_text[PCCL_ADDRESS_BYTES];

	pccl_address_text(left, left_text);
	pccl_address_text(right, right_text);
	return strcmp(left_text, right_text) == 0;
}

bool pccl_address_equal(const struct pccl_address *left, const struct pccl_address *right)
{
	return pccl_address_port(left) == pccl_address_port(right) && pccl_address_same_host(left, right);
}

/* ---- kinds --------------------------------------------------------------------------------------------------- */

/* The four bytes of an IPv4 address, mapped or not, in host order. */
static bool as_number(const struct pccl_address *address, uint32_t *number_out)
{
	const struct in6_addr *v6 = &as_const_v6(address)->sin6_addr;
	uint32_t number;

	if (address->storage.ss_family == AF_INET)
		number = as_const_v4(address)->sin_addr.s_addr;
	else if (address->storage.ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(v6))
		memcpy(&number, &v6->s6_addr[12], sizeof(number));
	else
		return false;
	*number_out = ntohl(number);
	return true;
}

uint64_t pccl_address_origin(const struct pccl_address *address)
{
	uint64_t origin = 0;
	uint32_t number;

	if (as_number(address, &number))
		return number;
	if (address->storage.ss_family == AF_INET6)
		memcpy(&origin, as_const_v6(address)->sin6_addr.s6_addr, sizeof(origin));
	return origin;
}

bool pccl_address_is_loopback(const struct pccl_address *address)
{
	uint32_t number;

	if (as_number(address, &number))
		return number >> 24 == 127;
	return address->storage.ss_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&as_const_v6(address)->sin6_addr);
}

bool pccl_address_is_link_local(const struct pccl_address *address)
{
	uint32_t number;

	if (as_number(address, &number))
		return number >> 16 == (169u << 8 | 254);
	return address->storage.ss_family == AF_INET6 && IN6_IS_ADDR_LINKLOCAL(&as_const_v6(address)->sin6_addr);
}

bool pccl_address_is_any(const struct pccl_address *address)
{
	uint32_t number;

	if (as_number(address, &number))
		return number == 0;
	return address->storage.ss_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&as_const_v6(address)->sin6_addr);
}

bool pccl_address_may_be_told(const struct pccl_address *address)
{
	return !pccl_address_is_loopback(address) && !pccl_address_is_link_local(address);
}

const uint8_t *pccl_address_host(const struct pccl_address *address, size_t *bytes_out)
{
	const bool is_v4 = address->storage.ss_family == AF_INET;

	*bytes_out = is_v4 ? sizeof(struct in_addr) : sizeof(struct in6_addr);
	return is_v4 ? (const uint8_t *)&as_const_v4(address)->sin_addr : as_const_v6(address)->sin6_addr.s6_addr;
}

bool pccl_address_may_be_dialled(const struct pccl_address *address)
{
	uint32_t number;

	if (pccl_address_port(address) == 0 || pccl_address_is_any(address))
		return false;
	if (as_number(address, &number))
		return number >> 28 != 14 && number != UINT32_MAX;
	return address->storage.ss_family == AF_INET6 && !IN6_IS_ADDR_MULTICAST(&as_const_v6(address)->sin6_addr);
}
