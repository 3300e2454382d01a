#include "transport/wires.h"

#include "transport/tcp/tcp.h"

const struct pccl_transport *pccl_wire_for(const struct pccl_address *address)
{
	(void)address; /* there is one wire, for IPv4 and IPv6 */
	return &pccl_tcp;
}
