#include "transport/networks.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/fail.h"

#define MAPPED_BYTES 12u
#define MAPPED_BITS (MAPPED_BYTES * 8)
#define ALL_BITS (PCCL_NETWORKS_ADDRESS_BYTES * 8)
#define ENTRY_BYTES 64u /* enough for any network, terminated */

static const uint8_t mapped[MAPPED_BYTES] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static bool is_mapped(const uint8_t *address)
{
	return memcmp(address, mapped, MAPPED_BYTES) == 0;
}

void pccl_networks_map(const void *v4, uint8_t address_out[PCCL_NETWORKS_ADDRESS_BYTES])
{
	memcpy(address_out, mapped, MAPPED_BYTES);
	memcpy(address_out + MAPPED_BYTES, v4, PCCL_NETWORKS_ADDRESS_BYTES - MAPPED_BYTES);
}

/* Bits of IPv4 count behind those that say that it is. *offset_out: how many these are. */
static bool parse_address(const char *text, uint8_t *address_out, uint32_t *offset_out)
{
	uint8_t v4[PCCL_NETWORKS_ADDRESS_BYTES - MAPPED_BYTES];

	*offset_out = MAPPED_BITS;
	if (inet_pton(AF_INET, text, v4) == 1) {
		pccl_networks_map(v4, address_out);
		return true;
	}
	*offset_out = 0;
	return inet_pton(AF_INET6, text, address_out) == 1 && !is_mapped(address_out);
}

/* Digits, and nothing else. */
static bool parse_bits(const char *text, uint32_t most, uint32_t *bits_out)
{
	uint32_t bits = 0;
	const char *at;

	for (at = text; *at >= '0' && *at <= '9' && bits <= most; at++)
		bits = bits * 10 + (uint32_t)(*at - '0');
	*bits_out = bits;
	return at != text && *at == '\0' && bits <= most;
}

static uint8_t mask_of(uint32_t bits, uint32_t byte)
{
	if (bits >= byte * 8 + 8)
		return 0xff;
	return bits <= byte * 8 ? 0 : (uint8_t)(0xff00u >> (bits - byte * 8));
}

bool pccl_networks_begin_alike(const uint8_t *left, const uint8_t *right, uint32_t bits)
{
	uint32_t i;

	for (i = 0; i * 8 < bits; i++)
		if (((left[i] ^ right[i]) & mask_of(bits, i)) != 0)
			return false;
	return true;
}

static pcclResult_t check_rest(const char *name, const char *text, const struct pccl_network *network, uint32_t offset)
{
	struct pccl_network whole = *network;
	char meant[PCCL_NETWORKS_TEXT_BYTES];
	uint32_t i;

	for (i = 0; i < PCCL_NETWORKS_ADDRESS_BYTES; i++)
		whole.address[i] &= mask_of(network->bits, i);
	if (memcmp(whole.address, network->address, sizeof(whole.address)) == 0)
		return pcclSuccess;
	pccl_networks_text(whole.address, meant);
	return pccl_fail(pcclInvalidArgument,
			 "%s: \"%s\" has bits behind its first %u: its network is %s/%u, its address alone is /%u",
			 name, text, network->bits - offset, meant, network->bits - offset, ALL_BITS - offset);
}

static pcclResult_t refuse(const char *name, const char *text)
{
	return pccl_fail(pcclInvalidArgument, "%s: \"%s\" is no network: 10.1.0.0/16 is one, fd00::/8, and 10.1.0.7/32",
			 name, text);
}

/* One entry, which is cut out of the list. */
static pcclResult_t parse_entry(const char *name, const char *text, struct pccl_network *network_out)
{
	char address[ENTRY_BYTES];
	const char *slash = strchr(text, '/');
	uint32_t offset = 0;
	bool good = slash != NULL;

	if (good) {
		(void)snprintf(address, sizeof(address), "%.*s", (int)(slash - text), text);
		good = parse_address(address, network_out->address, &offset) &&
		       parse_bits(slash + 1, ALL_BITS - offset, &network_out->bits);
	}
	if (!good)
		return refuse(name, text);
	if (network_out->bits == 0)
		return pccl_fail(pcclInvalidArgument, "%s: \"%s\" is every network: which ones are meant?", name, text);
	network_out->bits += offset;
	return check_rest(name, text, network_out, offset);
}

pcclResult_t pccl_networks_parse(const char *text, const char *name, struct pccl_networks *networks_out)
{
	char entry[ENTRY_BYTES];
	pcclResult_t result;

	memset(networks_out, 0, sizeof(*networks_out));
	for (;;) {
		size_t bytes = strcspn(text, ",");

		if (networks_out->count == PCCL_NETWORKS_MAX)
			return pccl_fail(pcclInvalidArgument, "%s: more than %u networks", name, PCCL_NETWORKS_MAX);
		(void)snprintf(entry, sizeof(entry), "%.*s", bytes < ENTRY_BYTES ? (int)bytes : (int)ENTRY_BYTES, text);
		if (bytes >= ENTRY_BYTES)
			return refuse(name, entry);
		result = parse_entry(name, entry, &networks_out->list[networks_out->count]);
		if (result != pcclSuccess)
			return result;
		networks_out->count++;
		if (text[bytes] == '\0')
			return pcclSuccess;
		text += bytes + 1;
	}
}

static bool has(const struct pccl_network *network, const uint8_t *address)
{
	return is_mapped(network->address) == is_mapped(address) &&
	       pccl_networks_begin_alike(network->address, address, network->bits);
}

bool pccl_networks_have_both(const struct pccl_networks *networks, const uint8_t one[PCCL_NETWORKS_ADDRESS_BYTES],
			     const uint8_t other[PCCL_NETWORKS_ADDRESS_BYTES])
{
	uint32_t i;

	for (i = 0; i < networks->count; i++)
		if (has(&networks->list[i], one) && has(&networks->list[i], other))
			return true;
	return false;
}

bool pccl_networks_have(const struct pccl_networks *networks, const uint8_t address[PCCL_NETWORKS_ADDRESS_BYTES])
{
	return pccl_networks_have_both(networks, address, address);
}

void pccl_networks_text(const uint8_t address[PCCL_NETWORKS_ADDRESS_BYTES], char out[PCCL_NETWORKS_TEXT_BYTES])
{
	bool is_v4 = is_mapped(address);

	if (inet_ntop(is_v4 ? AF_INET : AF_INET6, is_v4 ? address + MAPPED_BYTES : address, out,
		      PCCL_NETWORKS_TEXT_BYTES) == NULL)
		out[0] = '\0';
}
