/* A list of networks from any text: what is refused has a reason, and what is taken has the networks that it says, each
 * of which has its own first address. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "transport/networks.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void check(bool good)
{
	if (!good)
		abort();
}

static void try_list(const char *text)
{
	struct pccl_networks networks;
	uint32_t i;

	pccl_fail_clear();
	if (pccl_networks_parse(text, "LIST", &networks) != pcclSuccess) {
		check(pccl_fail_text()[0] != '\0');
		return;
	}
	check(networks.count > 0 && networks.count <= PCCL_NETWORKS_MAX);
	for (i = 0; i < networks.count; i++) {
		const struct pccl_network *network = &networks.list[i];
		uint8_t other[PCCL_NETWORKS_ADDRESS_BYTES];
		char shown[PCCL_NETWORKS_TEXT_BYTES];

		check(network->bits > 0 && network->bits <= 128);
		check(pccl_networks_have(&networks, network->address));
		pccl_networks_text(network->address, shown);
		check(shown[0] != '\0' && strchr(text, '/') != NULL);
		memcpy(other, network->address, sizeof(other));
		other[(network->bits - 1) / 8] ^= (uint8_t)(0x80u >> (network->bits - 1) % 8);
		check(networks.count > 1 || !pccl_networks_have(&networks, other));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	char *text = malloc(bytes + 1);

	if (text == NULL)
		return 0;
	if (bytes > 0)
		memcpy(text, data, bytes);
	text[bytes] = '\0';
	try_list(text);
	free(text);
	return 0;
}
